package failure

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"strconv"
	"strings"
	"time"

	"sekimori/message"
)

// Write writes a DMARC failure report as a whole message, lines ending in CRLF,
// ready to be signed. What is missing and required is an error before anything
// is written: in Mail the addresses, date, id, subject and text; of the report
// UserAgent, AuthFailure, one domain and one result at least, and the Header of
// the message that failed, which goes out as text/rfc822-headers: redact it
// first. Of a Report that Parse made, Whole and Deviations do not matter.
//
// Whatever the values hold, what comes out is one report: line ends and control
// characters in them become spaces. The same Report gives the same octets.
// Memory is three times what is written.
func Write(w io.Writer, r *Report) error {
	if err := r.complete(); err != nil {
		return err
	}
	var text, feedback, original bytes.Buffer
	writeText(&text, r.Mail.Text)
	feedback.WriteString("Content-Type: message/feedback-report\r\nContent-Transfer-Encoding: 7bit\r\n\r\n")
	r.writeFields(&feedback)
	writeHeader(&original, r.Header)

	// Nobody who writes a part can make the boundary stand in it.
	sum := sha256.New()
	for _, b := range [...]*bytes.Buffer{&text, &feedback, &original} {
		sum.Write(b.Bytes())
	}
	boundary := "=_" + hex.EncodeToString(sum.Sum(nil))[:40]

	var out bytes.Buffer
	out.Grow(text.Len() + feedback.Len() + original.Len() + 1024)
	m := &r.Mail
	writeField(&out, "From", m.From)
	writeField(&out, "To", m.To)
	writeField(&out, "Subject", mime.QEncoding.Encode("utf-8", clean(m.Subject)))
	writeField(&out, "Date", m.Date.Format(time.RFC1123Z))
	writeField(&out, "Message-ID", "<"+m.ID+">")
	// RFC 3834 §5: nobody answers it by machine.
	writeField(&out, "Auto-Submitted", "auto-generated")
	writeField(&out, "MIME-Version", "1.0")
	fmt.Fprintf(&out, "Content-Type: multipart/report; report-type=feedback-report;\r\n boundary=\"%s\"\r\n", boundary)
	for _, b := range [...]*bytes.Buffer{&text, &feedback, &original} {
		fmt.Fprintf(&out, "\r\n--%s\r\n", boundary)
		out.Write(b.Bytes())
	}
	fmt.Fprintf(&out, "\r\n--%s--\r\n", boundary)
	_, err := w.Write(out.Bytes())
	return err
}

// complete says what is missing.
func (r *Report) complete() error {
	m := &r.Mail
	for _, need := range [...]struct {
		there bool
		what  string
	}{
		{mailbox(m.From), "From to be an address"},
		{mailbox(m.To), "To to be an address"},
		{m.Subject != "", "a Subject"},
		{!m.Date.IsZero(), "a Date"},
		{strings.Count(m.ID, "@") == 1 && !strings.ContainsAny(m.ID, "<> \t\r\n"), "a Message-ID of the form LEFT@RIGHT"},
		{m.Text != "", "a text for people (RFC 6522 §3)"},
		{r.UserAgent != "", "User-Agent (RFC 5965 §3.1)"},
		{r.AuthFailure != "", "Auth-Failure (RFC 6591 §3.1)"},
		{len(r.AuthenticationResults) > 0, "Authentication-Results (RFC 6591 §3.1)"},
		{len(r.ReportedDomains) > 0, "Reported-Domain (RFC 6591 §3.1)"},
		{len(r.Header) > 0, "the header of the message that failed (RFC 5965 §2)"},
	} {
		if !need.there {
			return errors.New("failure report: it needs " + need.what)
		}
	}
	return nil
}

func mailbox(s string) bool {
	list, err := message.ParseAddrSpecs(s)
	return err == nil && len(list) == 1 && list[0].Local != "" && list[0].Domain != "" && scrub(s) == s
}

// writeFields writes the feedback part (RFC 5965 §3, RFC 6591 §3, RFC 9991 §4).
func (r *Report) writeFields(b *bytes.Buffer) {
	field := func(name, value string) {
		if value != "" {
			writeField(b, name, value)
		}
	}
	field("Feedback-Type", either(r.FeedbackType, "auth-failure"))
	field("Version", either(r.Version, "1"))
	field("User-Agent", r.UserAgent)
	field("Auth-Failure", string(r.AuthFailure))
	for _, v := range r.AuthenticationResults {
		field("Authentication-Results", v)
	}
	if r.AuthFailure == DMARC || r.AlignmentTold {
		list := make([]string, len(r.Unaligned))
		for i, m := range r.Unaligned {
			list[i] = string(m)
		}
		field("Identity-Alignment", either(strings.Join(list, ", "), "none"))
	}
	field("DKIM-Domain", r.DKIMDomain)
	field("DKIM-Identity", r.DKIMIdentity)
	field("DKIM-Selector", r.DKIMSelector)
	if r.DKIMSelectorDNS != "" {
		field("DKIM-Selector-DNS", quote(r.DKIMSelectorDNS))
	}
	writeEncoded(b, "DKIM-Canonicalized-Header", r.CanonicalHeader)
	writeEncoded(b, "DKIM-Canonicalized-Body", r.CanonicalBody)
	for _, s := range r.SPFDNS {
		field("SPF-DNS", either(s.Type, "txt")+" : "+s.Domain+" : "+quote(s.Text))
	}
	field("Original-Envelope-Id", r.EnvelopeID)
	switch {
	case r.MailFrom != "":
		field("Original-Mail-From", "<"+r.MailFrom+">")
	case r.NullFrom:
		field("Original-Mail-From", "<>")
	}
	for _, v := range r.Rcpt {
		field("Original-Rcpt-To", "<"+v+">")
	}
	if !r.Arrived.IsZero() {
		field("Arrival-Date", r.Arrived.Format(time.RFC1123Z))
	}
	field("Reporting-MTA", r.ReportingMTA)
	if r.SourceIP.IsValid() {
		field("Source-IP", r.SourceIP.String())
	}
	if r.SourcePort != 0 {
		field("Source-Port", strconv.Itoa(int(r.SourcePort)))
	}
	for _, v := range r.ReportedDomains {
		field("Reported-Domain", v)
	}
	field("Delivery-Result", string(r.Delivery))
	if r.Incidents > 1 {
		field("Incidents", strconv.FormatUint(r.Incidents, 10))
	}
	for _, e := range r.Extra {
		if message.IsFieldLine([]byte(e.Name + ":")) {
			field(e.Name, e.Value)
		}
	}
}

func either(v, instead string) string {
	if v == "" {
		return instead
	}
	return v
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// writeField writes a field of printable ASCII, folded at white space so that
// lines are no longer than 78 octets where that can be, and never than 998 (RFC
// 5322 §2.1.1).
func writeField(b *bytes.Buffer, name, value string) {
	b.WriteString(name)
	b.WriteByte(':')
	col := len(name) + 1
	for i, word := range strings.Fields(scrub(value)) {
		if i > 0 && col+1+len(word) > 78 {
			b.WriteString("\r\n")
			col = 0
		}
		b.WriteByte(' ')
		col++
		for len(word) > 900 {
			b.WriteString(word[:900] + "\r\n ")
			word, col = word[900:], 1
		}
		b.WriteString(word)
		col += len(word)
	}
	b.WriteString("\r\n")
}

// writeEncoded writes a field of base64, folded.
func writeEncoded(b *bytes.Buffer, name string, data []byte) {
	if len(data) == 0 {
		return
	}
	b.WriteString(name + ":")
	for enc := base64.StdEncoding.EncodeToString(data); enc != ""; {
		n := min(len(enc), 76)
		b.WriteString("\r\n " + enc[:n])
		enc = enc[n:]
	}
	b.WriteString("\r\n")
}

// writeText writes the part for people.
func writeText(b *bytes.Buffer, text string) {
	text = strings.TrimRight(cleanText(text), " \t\n") + "\n"
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\n")
	crlf := strings.ReplaceAll(text, "\n", "\r\n")
	if sevenBit(crlf, 78) {
		b.WriteString("Content-Transfer-Encoding: 7bit\r\n\r\n" + crlf)
		return
	}
	b.WriteString("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
	quoted(b, crlf)
}

// writeHeader writes the last part.
func writeHeader(b *bytes.Buffer, h message.Header) {
	var raw strings.Builder
	for _, f := range h {
		// Line ends as they are on the wire; a field is one field, whatever it
		// holds.
		lines := strings.Split(strings.ReplaceAll(strings.TrimRight(f.Raw(), "\r\n"), "\r\n", "\n"), "\n")
		for i, l := range lines {
			l = strings.ReplaceAll(l, "\r", " ")
			if i > 0 && (strings.TrimLeft(l, " \t") == "" || l[0] != ' ' && l[0] != '\t') {
				l = " " + l
			}
			if i > 0 && strings.TrimSpace(l) == "" {
				continue // a line of white space may be taken for the end of the header
			}
			fold(&raw, l)
		}
	}
	b.WriteString("Content-Type: text/rfc822-headers\r\n")
	if text := raw.String(); sevenBit(text, 998) {
		b.WriteString("Content-Transfer-Encoding: 7bit\r\n\r\n" + text)
	} else {
		// RFC 6522 §4: fields that are not plain may be encoded this way.
		b.WriteString("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
		quoted(b, text)
	}
}

// fold writes one line of a header, folded at white space where it is long.
func fold(b *strings.Builder, line string) {
	line = strings.TrimRight(line, " \t")
	for len(line) > 78 {
		// White space that the line begins with is no place to fold it.
		start := len(line) - len(strings.TrimLeft(line, " \t"))
		i := -1
		if start < 78 {
			i = strings.LastIndexAny(line[start:78], " \t")
		}
		if i < 0 {
			i = strings.IndexAny(line[start:], " \t")
		}
		if i < 0 {
			break
		}
		b.WriteString(line[:start+i] + "\r\n")
		line = line[start+i:]
	}
	b.WriteString(line + "\r\n")
}

// sevenBit tells lines of ASCII without controls and no longer than most.
func sevenBit(s string, most int) bool {
	col := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\r' && i+1 < len(s) && s[i+1] == '\n':
		case c == '\n' && i > 0 && s[i-1] == '\r':
			col = 0
		case c == '\t' || c >= ' ' && c <= '~':
			if col++; col > most {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func quoted(b *bytes.Buffer, text string) {
	w := quotedprintable.NewWriter(b)
	_, _ = io.WriteString(w, text) // into memory
	_ = w.Close()
}
