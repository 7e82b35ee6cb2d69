package reporter

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"sekimori/dkim"
	"sekimori/internal/store/outbox"
	"sekimori/message"
)

// TestTLS: STARTTLS where it is offered, required, or not wanted.
func TestTLS(t *testing.T) {
	with, without := newSink(t, true), newSink(t, false)
	for _, tt := range []struct {
		to    *sink
		tls   TLS
		roots bool
		sent  bool
		crypt bool
	}{
		{with, Opportunistic, false, true, true}, // whatever its certificate
		{with, Require, false, false, false},     // an unknown certificate
		{with, Require, true, true, true},
		{with, Plain, false, true, false},
		{without, Opportunistic, false, true, false},
		{without, Require, true, false, false},
		{without, Plain, false, true, false},
	} {
		m := Mailer{Address: tt.to.addr, Helo: "mx.city.example", TLS: tt.tls}
		if tt.roots {
			m.Roots = with.roots
		}
		before := len(tt.to.messages())
		err := m.Send(context.Background(), Mail{To: []string{"a@example.com"}, Write: func(w io.Writer) error {
			_, err := io.WriteString(w, "Subject: x\r\n\r\n.dot\r\n")
			return err
		}})
		got := tt.to.messages()[before:]
		if (err == nil) != tt.sent || len(got) > 0 != tt.sent || tt.sent && (got[0].tls != tt.crypt || got[0].helo != "mx.city.example") {
			t.Errorf("%s (roots %v): %v, %+v", tt.tls, tt.roots, err, got)
		}
		var e *MailError
		if err != nil && (!errors.As(err, &e) || e.Lasting || !e.Gone) {
			t.Errorf("%s: %#v", tt.tls, err)
		}
		if tt.sent && string(got[0].data) != "Subject: x\r\n\r\n.dot\r\n" {
			t.Errorf("%q", got[0].data)
		}
	}
}

// TestSigned: what is signed is what is sent.
func TestSigned(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d := &days{}
	p := com()
	// A long name, so that header lines are folded.
	p.Domain = strings.Repeat("a-very-long-label-indeed.", 8) + "example.com"
	p.Text = "v=DMARC1; p=none; rua=mailto:dmarc+%22odd%22@example.com"
	d.add(yesterday, p, row(1, 3))
	s := newSink(t, true)
	o := options(t, d)
	o.SMTP, o.Organization = s.addr, "例の市 情報政策課 電子メール係 なりすまし対策 担当 \"R&D\""
	o.Sign = func(h message.Header, body io.Reader) ([]string, error) {
		return dkim.Sign(h, body, &dkim.Signer{Domain: name("city.example"), Selector: "s1", Key: private})
	}
	o.Letter = func(l Letter) string {
		return "これは " + l.Domain + " へのお知らせです。\n" + strings.Repeat("long ", 60) + "\n"
	}
	if _, err := reporter(t, o).Round(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	got := s.messages()
	if len(got) != 1 || got[0].to != `dmarc+"odd"@example.com` {
		t.Fatalf("sent to %s", addresses(got))
	}
	m := open(t, got[0].data)
	if to := m.header.Get("To"); to != `<"dmarc+\"odd\""@example.com>` {
		t.Errorf("To: %s", to)
	}
	if m.messages != 3 || !strings.HasPrefix(m.text, "これは a-very") || m.filename == "" {
		t.Errorf("%d messages, file %q, text %q", m.messages, m.filename, m.text)
	}
	if from := message.DecodeWords(m.header.Get("From")); !strings.HasPrefix(from, "例の市 情報政策課 電子メール係 なりすまし対策 担当 \"R&D\"") {
		t.Errorf("From: %s", from)
	}
	zone := parseZone(t, `s1._domainkey.city.example. TXT "v=DKIM1; k=ed25519; p=`+base64.StdEncoding.EncodeToString(public)+`"`)
	h, body, err := message.Read(bytes.NewReader(got[0].data), 0)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&dkim.Verifier{Resolver: zone}).Verify(context.Background(), h, body)
	if err != nil || len(res) != 1 || res[0].Status != dkim.Pass {
		t.Errorf("%v %+v", err, res)
	}
	for line := range strings.SplitSeq(string(got[0].data), "\r\n") {
		if len(line) > 998 || strings.Contains(line, "\n") {
			t.Errorf("a line of %d octets (RFC 5322 §2.1.1)", len(line))
		}
		for i := range len(line) {
			if line[i] >= 0x80 {
				t.Fatalf("a line that is not ASCII: %s", line)
			}
		}
	}
}

// TestConnection: one connection carries many mails, a refused one does not
// end it, and one that the MTA has ended is opened again.
func TestConnection(t *testing.T) {
	d := &days{}
	for i := range 12 {
		p := com()
		p.Domain = "d" + string(rune('a'+i)) + ".example.com"
		d.add(yesterday, p, row(1, uint64(i+1)))
	}
	s := newSink(t, false)
	n := 0
	s.reply = func(string) error {
		n++
		switch n {
		case 3:
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "no"}
		case 6:
			return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "enough"}
		}
		return nil
	}
	o := options(t, d)
	o.SMTP, o.Connections, o.TLS = s.addr, 1, Plain
	out, err := reporter(t, o).Round(context.Background(), "")
	if err != nil || out.Sent != 11 || out.Failed != 1 || out.Waiting != 0 {
		t.Errorf("%+v %v", out, err)
	}
	if s.conns != 2 {
		t.Errorf("%d connections", s.conns)
	}
}

// TestHostileServer: a server that says nonsense, or nothing more, costs an
// attempt.
func TestHostileServer(t *testing.T) {
	for name, script := range map[string]string{
		"ends at once":       "",
		"no SMTP":            "HTTP/1.1 200 OK\r\n\r\n",
		"refuses":            "554 no mail here\r\n",
		"a line without end": "220 " + strings.Repeat("x", 100_000),
		"ends after EHLO":    "220 hello\r\n250 yes\r\n",
		"odd codes":          "220 hello\r\n250 yes\r\n999 what\r\n000\r\n",
		"multi-line forever": "220 hello\r\n" + strings.Repeat("250-x\r\n", 10_000),
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					_, _ = io.WriteString(c, script)
					time.Sleep(20 * time.Millisecond)
					c.Close()
				}()
			}
		}()
		d := &days{}
		d.add(yesterday, com(), row(1, 3))
		o := options(t, d)
		o.SMTP = l.Addr().String()
		out, err := reporter(t, o).Round(context.Background(), "")
		if err != nil || out.Waiting != 1 || out.Failed != 0 {
			t.Errorf("%s: %+v %v", name, out, err)
		}
		l.Close()
	}
}

// TestChangedFile: a report whose file was changed is not sent.
func TestChangedFile(t *testing.T) {
	d := &days{}
	d.add(yesterday, com(), row(1, 3))
	o := options(t, d)
	r := reporter(t, o)
	if out, err := r.Round(context.Background(), ""); err != nil || out.Waiting != 1 {
		t.Fatalf("%+v %v", out, err)
	}
	for _, f := range files(t, o.Dir) {
		if err := writeFile(f, "other"); err != nil {
			t.Fatal(err)
		}
	}
	s := newSink(t, false)
	o.SMTP = s.addr
	if err := r.Reload(o); err != nil {
		t.Fatal(err)
	}
	out, err := r.Round(context.Background(), "")
	if err != nil || out.Failed != 1 || len(s.messages()) != 0 {
		t.Errorf("%+v %v", out, err)
	}
	box, err := outbox.Open(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	list, err := box.List(context.Background(), outbox.Filter{})
	if err != nil || list[0].Deliveries[0].State != outbox.GivenUp || !strings.Contains(list[0].Deliveries[0].Error, "was changed") {
		t.Errorf("%v %+v", err, list)
	}
}
