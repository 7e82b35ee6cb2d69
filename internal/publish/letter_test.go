package publish

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rivo/uniseg"

	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/locale"
	"sekimori/internal/repair"
	"sekimori/internal/store"
)

// exampleLetter is about a newsletter service that signs as itself.
func exampleLetter() repair.Letter {
	day := store.Day(20779)
	return repair.Letter{
		Case: store.Case{ID: 12}, Department: store.Department{Name: "観光課", Contact: "kanko@city.example.jp"},
		From:   repair.Contact{Name: "情報政策課 メール担当", Address: "postmaster@city.example.jp", URL: "https://sekimori.city.example.jp"},
		Domain: "city.example.jp",
		Source: repair.LetterSource{ID: "s1", Key: "org:okuru.example", Name: "okuru.example", Kind: repair.Vendor, Sender: &advise.Sender{ID: "okuru", Name: "Okuru Mail", Kind: "delivery"}, SenderJA: "おくるメール",
			Addresses: []string{"192.0.2.10", "192.0.2.11", "2001:db8::25"}, AddressCount: 14, PTR: []string{"out1.okuru.example", "out2.okuru.example"}, HeaderFrom: []string{"city.example.jp", "event.city.example.jp"},
			Envelope: []string{"bounce.okuru.example"}, Selectors: nil, DKIM: []string{"okuru.example"}, SPF: []string{"bounce.okuru.example"}, FirstDay: day - 200, LastDay: day - 2, Rhythm: advise.Rhythm{Pattern: "monthly", Days: 30}},
		Window: store.Window{Begin: day - 30, End: day}, Messages: 12345, Failing: 12001,
		Receivers:     []repair.LetterReceiver{{Name: "google.com", Messages: 8000, Failing: 7900}, {Name: "yahoo.co.jp", Messages: 3000, Failing: 2998}, {Name: "Outlook.com", Messages: 900, Failing: 880}},
		ReceiverCount: 9, Policy: "none", Next: "quarantine",
		Wrong: []explain.Step{{Code: "repair.wrong-spf-other-domain", Args: explain.Args{"domain": "city.example.jp", "domains": []string{"bounce.okuru.example"}}}, {Code: "repair.wrong-dkim-other-domain", Args: explain.Args{"domain": "city.example.jp", "domains": []string{"okuru.example"}}}},
		Changes: []repair.LetterChange{
			{What: explain.Step{Code: "repair.change-dkim-vendor", Args: explain.Args{"service": "おくるメール", "domain": "city.example.jp"}}, URL: "https://okuru.example/help/dkim"},
			{What: explain.Step{Code: "repair.change-dkim-key", Args: explain.Args{"service": "おくるメール", "domain": "city.example.jp"}}, Name: "okuru1._domainkey.city.example.jp", Type: "TXT", Record: "v=DKIM1; k=rsa; p=<公開鍵>", Who: "dns"},
			{What: explain.Step{Code: "repair.change-spf-include", Args: explain.Args{"include": "include:_spf.okuru.example", "domain": "city.example.jp"}}, Instead: true, Name: "city.example.jp", Type: "TXT",
				Now: "v=spf1 ip4:192.0.2.0/24 mx -all", Record: "v=spf1 ip4:192.0.2.0/24 mx include:_spf.okuru.example -all", Who: "dns"},
		},
		Proof: repair.Proof{Messages: 200, Receivers: 2, Days: 30}, By: day + 30, Date: day,
	}
}

// hostileLetter has names that would break a form that does not take care.
func hostileLetter() repair.Letter {
	l := exampleLetter()
	l.Owner = "evil@example.com\r\nBcc: all@example.com"
	l.Source.Said = "<script>alert(1)</script>\u202e" + strings.Repeat("とても長い名前", 60)
	l.From = repair.Contact{Name: "A\r\nX-Evil: 1", Address: "x@y\r\nBcc: z@example.com", URL: "javascript:alert(1)"}
	l.Domain = strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + ".example"
	l.Changes[0].Record = strings.Repeat("x", 5000) + "\n.\r\n"
	l.Receivers[0].Name = strings.Repeat("\x00\xff", 300)
	return l
}

func TestLetterText(t *testing.T) {
	for _, l := range locale.Langs {
		var b bytes.Buffer
		if err := Letter(&b, exampleLetter(), l, Text); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		if strings.Contains(text, "⟦") {
			t.Errorf("%s: a code or an argument is missing:\n%s", l, text)
		}
		for _, line := range strings.Split(text, "\n") {
			if uniseg.StringWidth(line) > 80 {
				t.Errorf("%s: %d columns: %s", l, uniseg.StringWidth(line), line)
			}
		}
		for _, want := range []string{"v=spf1 ip4:192.0.2.0/24 mx include:_spf.okuru.example -all\n", "12,001", "200", "google.com", "https://okuru.example/help/dkim"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", l, want, text)
			}
		}
		save(t, "letter."+string(l)+".txt", b.Bytes())
	}
}

// save keeps a result for a person to look at, where asked to.
func save(t *testing.T, name string, b []byte) {
	t.Helper()
	if dir := os.Getenv("SEKIMORI_PAPERS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLetterMail(t *testing.T) {
	for name, letter := range map[string]repair.Letter{"example": exampleLetter(), "hostile": hostileLetter()} {
		for _, l := range locale.Langs {
			var b, text bytes.Buffer
			if err := Letter(&b, letter, l, Mail); err != nil {
				t.Fatal(err)
			}
			if err := Letter(&text, letter, l, Text); err != nil {
				t.Fatal(err)
			}
			save(t, "letter."+name+"."+string(l)+".eml", b.Bytes())
			for _, line := range strings.Split(b.String(), "\r\n") {
				if len(line) > 78 && name == "example" || len(line) > 998 || strings.ContainsAny(line, "\r\n") || strings.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
					t.Errorf("%s %s: %d octets: %q", name, l, len(line), line)
				}
			}
			m, err := mail.ReadMessage(&b)
			if err != nil {
				t.Fatal(err)
			}
			if m.Header.Get("X-Evil") != "" || m.Header.Get("Bcc") != "" {
				t.Errorf("%s: a name became a field: %v", name, m.Header)
			}
			if _, err := mail.ParseAddress(m.Header.Get("From")); err != nil {
				t.Errorf("%s: From %q: %v", name, m.Header.Get("From"), err)
			}
			if subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil || subject == "" || name == "example" && !strings.Contains(subject, "city.example.jp") {
				t.Errorf("%s: subject %q, %v", name, subject, err)
			}
			if when, err := m.Header.Date(); err != nil || !when.Equal(letter.Date.Time()) {
				t.Errorf("date %v, %v", when, err)
			}
			var body io.Reader = quotedprintable.NewReader(m.Body)
			if m.Header.Get("Content-Transfer-Encoding") == "base64" {
				body = base64.NewDecoder(base64.StdEncoding, m.Body)
			}
			got, err := io.ReadAll(body)
			if err != nil || strings.ReplaceAll(string(got), "\r\n", "\n") != text.String() {
				t.Errorf("%s %s: the body is not the text: %v\n%s", name, l, err, got)
			}
		}
	}
	if to := (&correspondence{Letter: exampleLetter()}).to(); to != "kanko@city.example.jp" {
		t.Errorf("to %q", to)
	}
}

func TestLetterHTML(t *testing.T) {
	for _, l := range locale.Langs {
		var b bytes.Buffer
		if err := Letter(&b, hostileLetter(), l, HTML); err != nil {
			t.Fatal(err)
		}
		if s := b.String(); strings.Contains(s, "<script") || strings.Contains(s, "\u202e") || strings.Contains(s, "⟦") {
			t.Errorf("%s: not escaped, or a code is missing:\n%s", l, s)
		}
	}
}

func TestLetterPDF(t *testing.T) {
	needFont(t)
	for name, letter := range map[string]repair.Letter{"example": exampleLetter(), "hostile": hostileLetter()} {
		for _, l := range locale.Langs {
			var b bytes.Buffer
			start := time.Now()
			if err := Letter(&b, letter, l, PDF); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s %s: %d octets in %v", name, l, b.Len(), time.Since(start).Round(time.Millisecond))
			if b.Len() > 300<<10 || !bytes.HasPrefix(b.Bytes(), []byte("%PDF-")) {
				t.Errorf("%s: %d octets, beginning %q", l, b.Len(), b.Bytes()[:min(8, b.Len())])
			}
			save(t, "letter."+name+"."+string(l)+".pdf", b.Bytes())
		}
	}
}

func TestLetterFormat(t *testing.T) {
	if err := Letter(io.Discard, exampleLetter(), locale.English, "docx"); err == nil || errors.Is(err, ErrFont) {
		t.Errorf("an unknown format: %v", err)
	}
}

func writeTest(name string, b []byte) error { return os.WriteFile(name, b, 0o644) }
