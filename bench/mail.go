package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/encoding/japanese"

	"sekimori/dkim"
	"sekimori/domain"
	"sekimori/message"
)

// Generated mail: what public bodies and companies send, signed with
// rsa-2048 by one of 50 domains. The messages are the same on every run, the
// keys are new each time the folder is made.

const (
	mailDomains = 50
	mailPrefix  = "From MAILER-DAEMON Sun Nov  1 00:00:00 2026\n"
)

// letter is one message as a mail server gets it.
type letter struct {
	ip, helo, from string
	domain         string
	spf            string // what SPF must come to
	text           []byte // with CRLF
}

var englishWords = strings.Fields(`account application attached available budget building ceremony change city
committee confirm contact contract council date deadline delivery department details division document enclosed
estimate event fiscal following form guidance holiday information inspection invoice kindly line meeting minutes
municipal notice office order participants period plan please prefecture procedure project proposal quarter receipt
regarding registration report request residents review schedule section service staff station submit system tax
thank the therefore this to update visit with work year`)

var japaneseWords = strings.Fields(`いつも お世話に なって おります 会議の 資料を お送り いたします ご確認ください 下記の とおり 予算 申請書 締切 令和八年度
総務課 担当者 住民税 納付書 通知 説明会 開催 日程 場所 参加 希望の方は ご返信 よろしく お願い 申し上げます 請求書 見積 納品 契約 更新
手続き 窓口 電話番号 受付時間 平日 午前九時 から 午後五時 まで 変更 点検 休業 ホームページ`)

// prose writes n octets or a little more, in lines of ordinary length.
func prose(r *mrand.Rand, words []string, n int, separator string) string {
	var b strings.Builder
	column, left := 0, 30+r.IntN(60)
	for b.Len() < n {
		w := words[r.IntN(len(words))]
		if column+len(w) > 72 {
			b.WriteString("\r\n")
			column = 0
		} else if column > 0 {
			b.WriteString(separator)
			column += len(separator)
		}
		b.WriteString(w)
		column += len(w)
		if left--; left == 0 {
			b.WriteString(".\r\n\r\n")
			column, left = 0, 30+r.IntN(60)
		}
	}
	b.WriteString("\r\n")
	return b.String()
}

// lines76 is base64 as mail programs fold it.
func lines76(b []byte) string {
	s := base64.StdEncoding.EncodeToString(b)
	var out strings.Builder
	for len(s) > 76 {
		out.WriteString(s[:76] + "\r\n")
		s = s[76:]
	}
	out.WriteString(s + "\r\n")
	return out.String()
}

// compose makes message i of about size octets, unsigned.
func compose(i, size int) (letter, error) {
	r := mrand.New(mrand.NewPCG(uint64(i), uint64(size)))
	d := fmt.Sprintf("city%d.example", i%mailDomains)
	l := letter{ip: "192.0.2.10", helo: "out." + d, from: fmt.Sprintf("bounce-%d@%s", i, d), domain: d, spf: "pass"}
	if i%10 == 9 { // one in ten was forwarded
		l.ip, l.helo, l.spf = "203.0.113.9", "forward.example", "fail"
	}
	date := time.Date(2026, 11, 2, 9, 0, 0, 0, time.FixedZone("", 9*3600)).Add(time.Duration(i) * time.Second).Format(time.RFC1123Z)
	var h strings.Builder
	fmt.Fprintf(&h, "Return-Path: <%s>\r\n", l.from)
	fmt.Fprintf(&h, "Received: from %[1]s (%[1]s [%[2]s])\r\n\tby mx.receiver.example (Postfix) with ESMTPS id 4T%06[3]X\r\n\tfor <user%[4]d@receiver.example>; %[5]s\r\n", l.helo, l.ip, i, i%97, date)
	fmt.Fprintf(&h, "Received: from app%[1]d.%[2]s (unknown [10.1.2.%[1]d])\r\n\tby out.%[2]s (Postfix) with ESMTPA id %08[3]x;\r\n\t%[4]s\r\n", i%250, d, r.Uint32(), date)
	fmt.Fprintf(&h, "Date: %s\r\n", date)
	fmt.Fprintf(&h, "From: %s <info@%s>\r\n", []string{`"Tax division"`, "=?UTF-8?B?5biC5b255omA57eP5YuZ6Kqy?=", "=?ISO-2022-JP?B?GyRCO1Q0OUFtTDMyXRsoQg==?="}[i%3], d)
	fmt.Fprintf(&h, "To: user%d@receiver.example\r\n", i%97)
	if i%3 == 0 {
		fmt.Fprintf(&h, "Reply-To: desk%d@%s\r\n", i%5, d)
	}
	subject := strings.TrimSpace(strings.ReplaceAll(prose(r, englishWords, 40, " "), "\r\n", " "))
	if i%2 == 1 {
		subject = "=?UTF-8?B?" + base64.StdEncoding.EncodeToString([]byte(strings.Join(japaneseWords[i%20:i%20+3], ""))) + "?="
	}
	fmt.Fprintf(&h, "Subject: %s\r\nMessage-ID: <%d.%08x@%s>\r\nMIME-Version: 1.0\r\n", subject, i, r.Uint32(), d)
	var body string
	room := size - h.Len() - 1000 // the signature and some more fields
	kind := i % 4
	if size > 50_000 {
		kind = 4
	}
	switch kind {
	case 0:
		h.WriteString("Content-Type: text/plain; charset=us-ascii\r\n")
		body = prose(r, englishWords, room, " ")
	case 1:
		h.WriteString("Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: base64\r\n")
		body = lines76([]byte(prose(r, japaneseWords, (room)*3/4, "")))
	case 2:
		h.WriteString("Content-Type: text/plain; charset=ISO-2022-JP\r\nContent-Transfer-Encoding: 7bit\r\n")
		text, err := japanese.ISO2022JP.NewEncoder().String(prose(r, japaneseWords, room, ""))
		if err != nil {
			return l, err
		}
		for len(text) < room { // two octets a character, not three
			more, err := japanese.ISO2022JP.NewEncoder().String(prose(r, japaneseWords, room-len(text), ""))
			if err != nil {
				return l, err
			}
			text += more
		}
		body = text
	case 3:
		h.WriteString("Content-Type: multipart/alternative;\r\n\tboundary=\"=_alternative\"\r\n")
		html := strings.ReplaceAll(prose(r, englishWords, (room-400)/2, " "), ".\r\n\r\n", ".</p>\r\n<p style=\"margin:0\">")
		body = "--=_alternative\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n" + prose(r, englishWords, (room-400)/2, " ") +
			"\r\n--=_alternative\r\nContent-Type: text/html; charset=UTF-8\r\n\r\n<html><body>\r\n<p>" + html + "</p>\r\n</body></html>\r\n--=_alternative--\r\n"
	case 4:
		h.WriteString("Content-Type: multipart/mixed;\r\n\tboundary=\"=_mixed\"\r\n")
		text := prose(r, englishWords, 8000, " ")
		raw := make([]byte, (room-400-len(text))*57/78)
		for k := range raw {
			raw[k] = byte(r.Uint32())
		}
		body = "--=_mixed\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n" + text +
			"\r\n--=_mixed\r\nContent-Type: application/pdf; name=\"notice.pdf\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"notice.pdf\"\r\n\r\n" +
			lines76(raw) + "--=_mixed--\r\n"
	}
	if i%5 < 2 {
		fmt.Fprintf(&h, "List-Unsubscribe: <https://%s/u/%d>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", d, i)
	}
	fmt.Fprintf(&h, "X-Mailer: mailer %d.%d\r\n", 1+i%3, i%10)
	l.text = []byte(h.String() + "\r\n" + body)
	return l, nil
}

// postOffice signs messages.
type postOffice struct {
	relaxed, simple [mailDomains]*dkim.Signer
}

func newPostOffice() (*postOffice, error) {
	p := &postOffice{}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for i := range mailDomains {
		wg.Go(func() {
			k, err := rsa.GenerateKey(rand.Reader, 2048)
			d, err2 := domain.Parse(fmt.Sprintf("city%d.example", i))
			if err == nil {
				err = err2
			}
			if err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
				return
			}
			now := func() time.Time { return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) }
			p.relaxed[i] = &dkim.Signer{Domain: d, Selector: "2026a", Key: k, Now: now, HeaderCanon: message.Relaxed, BodyCanon: message.Relaxed}
			s := *p.relaxed[i]
			s.HeaderCanon, s.BodyCanon = message.Simple, message.Simple
			p.simple[i] = &s
		})
	}
	wg.Wait()
	return p, failed
}

// letter returns message i, signed: four of five relaxed, one simple.
func (p *postOffice) letter(i, size int) (letter, error) {
	l, err := compose(i, size)
	if err != nil {
		return l, err
	}
	s := p.relaxed[i%mailDomains]
	if i%5 == 4 {
		s = p.simple[i%mailDomains]
	}
	// It was signed before it was received: Return-Path and the Received of the
	// receiving host stand above the signature.
	above := bytes.Index(l.text, []byte("Received: from app"))
	h, body, err := message.Read(bytes.NewReader(l.text[above:]), 0)
	if err != nil {
		return l, err
	}
	fields, err := dkim.Sign(h, body, s)
	if err != nil {
		return l, err
	}
	l.text = bytes.Join([][]byte{l.text[:above], []byte(fields[0]), l.text[above:]}, nil)
	return l, nil
}

// zone is what the DNS says of the domains.
func (p *postOffice) zone() (string, error) {
	var b strings.Builder
	for i, s := range p.relaxed {
		k, err := dkim.NewKey(s.Key.Public())
		if err != nil {
			return "", err
		}
		record := k.String()
		fmt.Fprintf(&b, "$ORIGIN city%d.example.\n$TTL 86400\n", i)
		b.WriteString("@ IN A 192.0.2.80\n@ IN MX 10 mx\nmx IN A 192.0.2.25\nout IN A 192.0.2.10\nout IN TXT \"v=spf1 a -all\"\n")
		fmt.Fprintf(&b, "@ IN TXT \"v=spf1 ip4:198.51.100.0/24 mx include:_spf.city%d.example -all\"\n_spf IN TXT \"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ~all\"\n", i)
		fmt.Fprintf(&b, "2026a._domainkey IN TXT \"%s\" \"%s\"\n", record[:200], record[200:])
		fmt.Fprintf(&b, "_dmarc IN TXT \"v=DMARC1; p=reject; rua=mailto:dmarc@city%d.example\"\n", i)
	}
	return b.String(), nil
}

// mailFolder makes a folder with the zone and mailboxes, if it is not there.
func (b *bench) mailFolder() (string, error) {
	return b.once("mail", func(path string) error {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		p, err := newPostOffice()
		if err != nil {
			return err
		}
		zone, err := p.zone()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(path, "zone"), []byte(zone), 0o644); err != nil {
			return err
		}
		for name, of := range map[string]struct{ n, size int }{"20000.mbox": {20_000, 10_240}, "5000.mbox": {5_000, 10_240}, "large.mbox": {200, 102_400}} {
			if err := p.mailbox(filepath.Join(path, name), of.n, of.size); err != nil {
				return err
			}
		}
		return nil
	})
}

// mailbox writes an mbox of n messages, with bare line feeds as files of the
// kind have.
func (p *postOffice) mailbox(path string, n, size int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	const batch = 256
	texts := make([][]byte, batch)
	for at := 0; at < n; at += batch {
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for w := range errs {
			wg.Go(func() {
				for i := at + w; i < min(at+batch, n); i += len(errs) {
					l, err := p.letter(i, size)
					if err != nil {
						errs[w] = err
						return
					}
					texts[i-at] = bytes.ReplaceAll(l.text, []byte("\r\n"), []byte("\n"))
				}
			})
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		for _, t := range texts[:min(batch, n-at)] {
			if _, err := io.WriteString(f, mailPrefix+string(t)+"\n"); err != nil {
				return err
			}
		}
	}
	return f.Close()
}

// letters reads the first n messages of a mailbox as they came over SMTP.
func letters(path string, n int) ([]letter, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []letter
	for i, text := range bytes.Split(raw, []byte(mailPrefix)) {
		if i == 0 {
			continue
		}
		size := 10_240
		if len(text) > 50_000 {
			size = 102_400
		}
		l, err := compose(i-1, size) // for what is known beside the text
		if err != nil {
			return nil, err
		}
		l.text = bytes.ReplaceAll(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"), []byte("\r\n"))
		if out = append(out, l); len(out) == n {
			break
		}
	}
	return out, nil
}
