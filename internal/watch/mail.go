package watch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"

	"sekimori/explain"
	"sekimori/internal/store"
)

// check finds addresses and languages that cannot work.
func (w *Watcher) check() error {
	if len(w.c.To) > 0 || w.c.From != "" {
		if err := address(w.c.From); err != nil {
			return fmt.Errorf("alerts.from: %w", err)
		}
	}
	for _, to := range w.c.To {
		if err := address(to); err != nil {
			return fmt.Errorf("alerts.mail: %w", err)
		}
	}
	if w.c.Webhook != nil {
		if err := w.c.Webhook.check(); err != nil {
			return fmt.Errorf("alerts.webhook: %w", err)
		}
	}
	if w.c.Store == nil {
		return errors.New("watch: no store given")
	}
	return nil
}

// address checks a mailbox: an addr-spec alone (RFC 5322 §3.4.1), in ASCII,
// since nothing is known of SMTPUTF8 here.
func address(s string) error {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > 254 || strings.IndexFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f }) >= 0 {
		return fmt.Errorf("%q is no mail address such as postmaster@example.jp", s)
	}
	return nil
}

// mail writes a notice as a message (RFC 5322), in every language one after the
// other. Each attempt writes the same one.
func (w *Watcher) mail(a store.Alert, n Notice) []byte {
	subject := w.say(w.c.Langs[0], w.subject(n))
	var text strings.Builder
	for i, lang := range w.c.Langs {
		if i > 0 {
			text.WriteString("\n" + strings.Repeat("-", 60) + "\n\n")
		}
		text.WriteString(w.say(lang, n.Step) + "\n")
		for k, s := range n.More {
			if k == 0 {
				text.WriteString("\n")
			}
			text.WriteString("- " + strings.ReplaceAll(w.say(lang, s), "\n", "\n  ") + "\n")
		}
		if link := w.link(n); link != "" {
			text.WriteString("\n" + w.say(lang, explain.Step{Code: "watch.mail-link"}) + "\n" + link + "\n")
		}
		text.WriteString("\n" + w.say(lang, explain.Step{Code: "watch.mail-foot", Args: explain.Args{"event": n.Event}}) + "\n")
	}
	sum := sha256.Sum256([]byte(a.ID))
	_, host, _ := strings.Cut(w.c.From, "@")
	var b bytes.Buffer
	field := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	field("From", "<"+w.c.From+">")
	field("To", "<"+a.Recipient+">")
	field("Subject", encoded(subject))
	field("Date", a.Made.UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000"))
	// The same for each attempt, so that a mail that arrives twice is known as one.
	field("Message-ID", "<"+hex.EncodeToString(sum[:16])+"@"+host+">")
	field("Auto-Submitted", "auto-generated") // RFC 3834 §5
	field("MIME-Version", "1.0")
	field("Content-Type", "text/plain; charset=utf-8")
	field("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	q := quotedprintable.NewWriter(&b)
	_, _ = q.Write([]byte(strings.ReplaceAll(text.String(), "\n", "\r\n"))) // to memory
	_ = q.Close()
	return b.Bytes()
}

func (w *Watcher) subject(n Notice) explain.Step {
	return explain.Step{Code: "watch.subject." + n.Kind, Args: explain.Args{"domain": n.Domain, "date": store.DayOf(n.At).String()}}
}

// encoded is a subject as a header field has it (RFC 2047), folded between
// encoded words.
func encoded(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(c rune) bool { return c == '\r' || c == '\n' }), " ")
	return strings.ReplaceAll(mime.BEncoding.Encode("utf-8", s), "?= =?", "?=\r\n =?")
}
