package failure

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"sekimori/message"
)

// ErrNotReport: the message is no failure report.
var ErrNotReport = errors.New("not a failure report: no message/feedback-report part, and no text that is known to stand for one")

// Limits bound what one report may cost. A zero field means its default.
type Limits struct {
	Message  message.Limits
	Feedback int // octets of the feedback part that are read: 256 KiB
	Fields   int // fields of it that are kept: 200
	Value    int // octets of one value: 8 KiB; of a canonicalized header or body: 64 KiB
	Header   int // octets of the header of the message that failed: 256 KiB
	Text     int // octets of the part for people: 16 KiB
}

func (l Limits) withDefaults() Limits {
	for _, d := range [...]struct {
		v *int
		n int
	}{
		{&l.Message.Header, 256 << 10}, {&l.Message.Parts, 200}, {&l.Message.Depth, 20},
		{&l.Feedback, 256 << 10}, {&l.Fields, 200}, {&l.Value, 8 << 10}, {&l.Header, 256 << 10}, {&l.Text, 16 << 10},
	} {
		if *d.v <= 0 {
			*d.v = d.n
		}
	}
	return l
}

// Parse reads a report: a whole message. What has one plausible meaning is
// read, and noted in Deviations. A message that is no failure report gives
// ErrNotReport; other errors are those of r and, with message.ErrTooLarge, of
// limits that were exceeded before the report's own part was found. The
// original's body is passed over, whatever its length; memory is bounded by
// the limits.
func Parse(r io.Reader, l Limits) (Report, error) {
	p := &parser{limits: l.withDefaults()}
	err := message.Walk(r, p.limits.Message, p.part)
	switch {
	case errors.Is(err, message.ErrTooLarge) && p.feedback != nil:
		p.deviates(Cut)
	case err != nil:
		return Report{}, err
	}
	if p.feedback == nil && !p.plain() {
		return Report{}, ErrNotReport
	}
	p.finish()
	return p.out, nil
}

type parser struct {
	limits Limits
	out    Report
	top    message.Header // of the message that was given
	// feedback are the fields of the report's part, around are the entities that
	// it stands in.
	feedback message.Header
	around   []string
	text     []byte
	hasText  bool
	original message.Header
	whole    bool
}

func (p *parser) deviates(d Deviation) {
	if !slices.Contains(p.out.Deviations, d) {
		p.out.Deviations = append(p.out.Deviations, d)
	}
}

// part takes one leaf of the message.
func (p *parser) part(m *message.Part) error {
	if p.top == nil {
		p.top = m.Message
		if attached(m.Containers) > 0 {
			p.top = message.Header{} // a bare wrapper around a message
		}
	}
	switch {
	case m.Preamble:
		return nil
	case p.feedback != nil:
		return p.beside(m)
	case strings.Contains(m.MediaType, "feedback-report"):
		return p.fields(m, m.Body)
	case m.MediaType == "text/rfc822-headers":
		if p.original == nil {
			return p.headers(m.Body)
		}
		return nil
	case attached(m.Containers) > 0:
		return nil // what it is only shows once the feedback part is known
	}
	// A part under a wrong media type is known by how it begins.
	in := bufio.NewReaderSize(m.Body, 512)
	head, _ := in.Peek(64)
	if begins := bytes.TrimLeft(head, " \t\r\n"); len(begins) >= 14 && strings.EqualFold(string(begins[:14]), "Feedback-Type:") {
		p.deviates(OtherMediaType)
		return p.fields(m, in)
	}
	if !p.hasText && strings.HasPrefix(m.MediaType, "text/plain") {
		return p.readText(in)
	}
	return nil
}

// attached counts the messages around a part.
func attached(containers []string) int {
	n := 0
	for _, c := range containers {
		if c == "message/rfc822" || c == "message/global" {
			n++
		}
	}
	return n
}

func (p *parser) readText(r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, int64(p.limits.Text)+1))
	if len(text) > p.limits.Text {
		text = text[:p.limits.Text]
		p.deviates(Cut)
	}
	p.text, p.hasText = text, true
	return err
}

// fields reads the feedback part.
func (p *parser) fields(m *message.Part, r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, int64(p.limits.Feedback)+1))
	if err != nil {
		return err
	}
	if len(text) > p.limits.Feedback {
		text = text[:p.limits.Feedback]
		p.deviates(Cut)
	}
	h, _, err := message.Read(bytes.NewReader(text), 2*p.limits.Feedback)
	if err != nil || len(h) == 0 {
		return nil // no fields: not the part that it says it is
	}
	if m.Encoding != "" && m.Encoding != "7bit" && m.Encoding != "8bit" && m.Encoding != "binary" {
		p.deviates(Encoded)
	}
	if len(m.Containers) == 0 || m.Containers[len(m.Containers)-1] != "multipart/report" {
		p.deviates(NotMultipart)
	}
	p.feedback, p.around = h, slices.Clone(m.Containers)
	p.mail(m.Message)
	return nil
}

// beside takes a part that follows the feedback part: the message that failed,
// or its header.
func (p *parser) beside(m *message.Part) error {
	if p.original != nil {
		return nil
	}
	depth := attached(p.around)
	switch {
	case (strings.HasSuffix(m.MediaType, "/rfc822-headers") || m.MediaType == "text/rfc822-header") && attached(m.Containers) == depth:
		return p.headers(m.Body)
	case attached(m.Containers) == depth+1 && len(m.Message) > 0:
		p.original, p.whole = m.Message, true
	}
	return nil
}

func (p *parser) headers(r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, int64(p.limits.Header)+1))
	if err != nil {
		return err
	}
	if len(text) > p.limits.Header {
		text = text[:p.limits.Header]
		p.deviates(Cut)
	}
	h, _, err := message.Read(bytes.NewReader(text), 2*p.limits.Header)
	if err == nil && len(h) > 0 {
		p.original = h
	}
	return nil
}

// mail takes what is known of the message that the report is.
func (p *parser) mail(h message.Header) {
	m := &p.out.Mail
	m.From, m.To = p.value(message.DecodeWords(h.Get("From"))), p.value(message.DecodeWords(h.Get("To")))
	m.Subject = p.value(message.DecodeWords(h.Get("Subject")))
	m.ID = strings.Trim(p.value(h.Get("Message-ID")), "<> \t;")
	m.Date, _ = message.ParseDate(h.Get("Date"))
}

func (p *parser) finish() {
	out := &p.out
	out.Mail.Text = strings.TrimRight(cleanText(string(p.text)), " \t\n")
	for _, f := range p.feedback {
		p.field(f)
	}
	if out.Incidents == 0 {
		out.Incidents = 1 // RFC 5965 §3.2
	}
	out.Header, out.Whole = p.original, p.whole
	authFailure := out.FeedbackType == "auth-failure" || out.FeedbackType == ""
	for _, d := range [...]struct {
		is   bool
		what Deviation
	}{
		{out.FeedbackType == "", NoFeedbackType},
		{out.Version == "", NoVersion},
		{out.UserAgent == "", NoUserAgent},
		{authFailure && out.AuthFailure == "", NoAuthFailure},
		{authFailure && len(out.AuthenticationResults) == 0, NoResults},
		{authFailure && out.AuthFailure == DMARC && !out.AlignmentTold, NoAlignment},
		{authFailure && len(out.ReportedDomains) == 0, NoDomain},
		{out.Header == nil, NoOriginal},
	} {
		if d.is && !slices.Contains(out.Deviations, NoFeedback) {
			p.deviates(d.what)
		}
	}
}
