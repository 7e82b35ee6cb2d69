package publish

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"
)

// writeMail writes a letter as a message: a draft that a mail program opens,
// and that can be handed to a mail server as it is where all addresses are
// known. RFC 5322 §3.6 wants From and Date; without an address of ours it is
// the domain's postmaster, whom every domain has (RFC 5321 §4.5.1).
func (c *correspondence) writeMail(w io.Writer, d *document) error {
	var text bytes.Buffer
	if err := d.writeText(&text); err != nil {
		return err
	}
	body := bytes.ReplaceAll(text.Bytes(), []byte("\n"), []byte("\r\n"))
	var m bytes.Buffer
	field := func(name, value string) { fmt.Fprintf(&m, "%s: %s\r\n", name, value) }
	from := mail.Address{Address: "postmaster@" + c.Domain}
	if a, err := mail.ParseAddress(c.From.Address); err == nil {
		from.Address = a.Address
	}
	if name := clipped(c.From.Name, 100); name == "" {
		field("From", from.String())
	} else if plainText(name) {
		from.Name = name
		field("From", from.String())
	} else {
		field("From", encodeWords(name)+"\r\n "+from.String())
	}
	if to := c.to(); to != "" {
		field("To", (&mail.Address{Address: to}).String())
	}
	field("Subject", encodeWords(d.title))
	field("Date", c.dated().Format(time.RFC1123Z))
	field("Message-ID", fmt.Sprintf("<case-%d.%s.letter.%s@%s>", c.Case.ID, strings.ReplaceAll(c.Date.String(), "-", ""), c.lang, c.Domain))
	// Outlook opens such a message for editing instead of showing it.
	field("X-Unsent", "1")
	field("MIME-Version", "1.0")
	field("Content-Language", string(c.lang))
	field("Content-Type", "text/plain; charset=utf-8")
	quoted := quotedText(body)
	if packed := base64Lines(body); len(packed) < len(quoted) {
		field("Content-Transfer-Encoding", "base64")
		m.WriteString("\r\n")
		m.Write(packed)
	} else {
		field("Content-Transfer-Encoding", "quoted-printable")
		m.WriteString("\r\n")
		m.Write(quoted)
	}
	_, err := w.Write(m.Bytes())
	return err
}

// encodeWords writes a field's text in ASCII: as it is, or as encoded words of
// base64, one a line (RFC 2047 §2).
func encodeWords(s string) string {
	s = textOf(s)
	if plainText(s) && len(s) < 60 {
		return s
	}
	const most = 36 // octets of text in a word: 48 characters of base64
	var words []string
	word := ""
	flush := func() { words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(word))+"?=") }
	for _, r := range s {
		if len(word)+utf8.RuneLen(r) > most {
			flush()
			word = ""
		}
		word += string(r)
	}
	flush()
	return strings.Join(words, "\r\n ")
}

func quotedText(body []byte) []byte {
	var b bytes.Buffer
	q := quotedprintable.NewWriter(&b)
	q.Write(body) // a bytes.Buffer takes everything
	q.Close()
	return b.Bytes()
}

func base64Lines(body []byte) []byte {
	packed := base64.StdEncoding.EncodeToString(body)
	var b bytes.Buffer
	for len(packed) > 76 {
		b.WriteString(packed[:76] + "\r\n")
		packed = packed[76:]
	}
	b.WriteString(packed + "\r\n")
	return b.Bytes()
}
