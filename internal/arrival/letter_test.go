//go:build unix

package arrival

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"sekimori/arc"
	"sekimori/dkim"
	"sekimori/domain"
	"sekimori/internal/mailserver"
	"sekimori/message"
)

// letter is a message that is being written: fields without their line ends,
// and a body with CRLF.
type letter struct {
	fields []string
	body   string
}

// compose begins a message; id tells it from others.
func compose(id, from string, more ...string) *letter {
	l := &letter{body: "Dear all,\r\n\r\nthe bridge is open again.\r\n"}
	if from != "" {
		l.fields = append(l.fields, "From: "+from)
	}
	l.fields = append(l.fields, "To: reader@receiver.example", "Subject: "+id, "Date: Mon, 2 Nov 2026 09:00:00 +0900",
		"Message-ID: <"+id+"@test.example>")
	l.fields = append(l.fields, more...)
	return l
}

func (l *letter) bytes() []byte {
	return []byte(strings.Join(l.fields, "\r\n") + "\r\n\r\n" + l.body)
}

// parts are its header and body as our packages have them.
func (l *letter) parts() (message.Header, *bytes.Reader) {
	var h message.Header
	head := []byte(strings.Join(l.fields, "\r\n") + "\r\n\r\n")
	h, _, err := message.Read(bytes.NewReader(head), len(head)+1)
	if err != nil {
		panic(err)
	}
	return h, bytes.NewReader([]byte(l.body))
}

// top puts fields on top.
func (l *letter) top(fields ...string) *letter {
	var all []string
	for _, f := range fields {
		all = append(all, strings.TrimSuffix(f, "\r\n"))
	}
	l.fields = append(all, l.fields...)
	return l
}

// signed adds a signature of a domain with each of the selectors ("r", "e").
func (l *letter) signed(by string, selectors ...string) *letter {
	name := mustName(by)
	h, body := l.parts()
	var signers []*dkim.Signer
	for _, s := range selectors {
		signers = append(signers, &dkim.Signer{Domain: name, Selector: s, Key: keys()[s]})
	}
	fields, err := dkim.Sign(h, body, signers...)
	if err != nil {
		panic(err)
	}
	return l.top(fields...)
}

// sealed adds an ARC set.
func (l *letter) sealed(by string, cv arc.Status, results string) *letter {
	h, body := l.parts()
	s := &arc.Sealer{Domain: mustName(by), Selector: "r", Key: keys()["r"]}
	fields, err := s.Seal(h, body, cv, results)
	if err != nil {
		panic(err)
	}
	return l.top(fields...)
}

// footer changes the body as a mailing list does.
func (l *letter) footer() *letter {
	l.body += "-- \r\nhttps://ml.example/\r\n"
	return l
}

// envelope is a message with its envelope, as client brings it.
func (l *letter) from(client, mailFrom string) mailserver.Letter {
	_, host, _ := strings.Cut(mailFrom, "@")
	if host == "" {
		host = "mail.other.example"
	}
	return mailserver.Letter{Client: addr(client), Helo: host, From: mailFrom, Rcpt: []string{"reader@receiver.example"}, Data: l.bytes()}
}

func mustName(s string) domain.Name {
	n, err := domain.Parse(s)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", s, err))
	}
	return n
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
