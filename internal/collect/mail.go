package collect

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"sekimori/message"
	"sekimori/report/aggregate"
)

// errTLSReport refuses a report that is not about DMARC.
var errTLSReport = errors.New("a TLS report (RFC 8460), not a DMARC aggregate report")

// mailState is what was met in one message.
type mailState struct {
	errs    []string // of parts that were meant to be reports, at most 3
	more    int      // further ones
	other   error    // of a part that turned out to be something else
	failure bool     // message/feedback-report
	tls     bool     // application/tlsrpt+json, +gzip
	bounce  bool     // message/delivery-status
	subject string
	refused error // why a failure report was not taken
}

// add notes that a part could not be read.
func (m *mailState) add(member string, err error) {
	if errors.Is(err, aggregate.ErrNotReport) || errors.Is(err, errTLSReport) {
		m.tls = m.tls || errors.Is(err, errTLSReport)
		if m.other == nil {
			m.other = err
		}
		return
	}
	if len(m.errs) == 3 {
		m.more++
		return
	}
	if member != "" {
		err = fmt.Errorf("%s: %w", clip(member, 200), err)
	}
	m.errs = append(m.errs, err.Error())
}

// verdict says what is wrong with the message; found is how many reports it
// gave.
func (m *mailState) verdict(found int) error {
	switch {
	case len(m.errs) > 0 && m.more > 0:
		return fmt.Errorf("%s; and %d more", strings.Join(m.errs, "; "), m.more)
	case len(m.errs) > 0:
		return errors.New(strings.Join(m.errs, "; "))
	case found > 0:
		return nil
	case m.refused != nil:
		return m.refused
	case m.failure:
		return errors.New("a failure report on one message (RFC 9991), not an aggregate report")
	case m.tls:
		return errTLSReport
	case m.bounce:
		return errors.New("a message without a report: a delivery status notification")
	case m.other != nil:
		return m.other
	}
	return fmt.Errorf("a message without a report (subject %q)", clip(m.subject, 100))
}

// mail reads a message: every part that is an archive, compressed or XML is
// taken for a report, whatever its media type says.
func (o *opener) mail(ctx context.Context, e *entry, br *bufio.Reader) (int, error) {
	m := &mailState{}
	seen := names{}
	found := 0
	no := int64(0)
	head := &headKeeper{r: &contextReader{ctx, br}, buf: o.pools.head()}
	defer func() { o.pools.freeHead(head.buf) }()
	err := message.Walk(head, o.limits.Message, func(p *message.Part) error {
		if no++; no == 1 {
			m.subject = message.DecodeWords(p.Message.Get("Subject"))
		}
		name := p.Filename
		if name == "" {
			name = "part " + p.Path
		}
		in := &entry{member: joinMember(e.member, seen.distinct(name, no)), depth: e.depth + 1, mail: m}
		n, err := o.part(ctx, in, p)
		if err != nil {
			if isFatal(err) {
				return err
			}
			m.add(in.member, err)
			return nil
		}
		found += n
		return nil
	})
	switch {
	case isFatal(err):
		return found, err
	case err != nil && ctx.Err() != nil:
		return found, fatal(ctx.Err())
	case err != nil:
		m.add("", err)
	}
	if found == 0 && len(m.errs) == 0 && (m.failure || !m.tls && !m.bounce) {
		rep, err := failureReport(head.buf, o.limits.Message)
		if err == nil {
			if err = o.visit.failure(ctx, e.member, &rep); err == nil {
				return 1, nil
			}
			if isFatal(err) {
				return found, err
			}
		}
		if !errors.Is(err, errNoFailureReport) {
			m.refused = err
		}
	}
	verdict := m.verdict(found)
	if e.mail != nil && verdict != nil { // a message within a message
		e.mail.failure = e.mail.failure || m.failure
	}
	return found, verdict
}

func (o *opener) part(ctx context.Context, in *entry, p *message.Part) (int, error) {
	m := in.mail
	switch p.MediaType {
	case "message/feedback-report":
		m.failure = true
		return 0, nil
	case "message/delivery-status", "message/disposition-notification":
		m.bounce = true
		return 0, nil
	case "application/tlsrpt+json", "application/tlsrpt+gzip":
		m.tls = true
		return 0, nil
	}
	body := o.pools.buffer(p.Body)
	defer o.pools.free(body)
	head, err := body.Peek(SniffLen)
	if err != nil && err != io.EOF {
		return 0, err
	}
	switch kind := Sniff(head); kind {
	case Gzip, Zip, Zstd, Bzip2, Tar:
	case Base64: // one layer was left on
		if strings.HasPrefix(p.MediaType, "text/plain") && p.Filename == "" && !p.Preamble && p.Depth > 0 {
			return 0, nil
		}
	case XML:
		if isMarkup(p, head) {
			return 0, nil
		}
	case Mail, Mbox:
		// A message attached under another media type.
		if strings.HasPrefix(p.MediaType, "text/") || p.MediaType == "message/partial" || in.depth > o.limits.Depth {
			return 0, nil
		}
	case JSON:
		if errors.Is(describeJSON(head), errTLSReport) {
			m.tls = true
		}
		return 0, nil
	case Empty:
		if reportName(p.Filename) {
			return 0, errEmpty
		}
		return 0, nil
	default:
		if reportName(p.Filename) {
			return 0, describe(head)
		}
		return 0, nil
	}
	in.r = body
	return o.open(ctx, in)
}

// isMarkup tells XML-like parts that are no attempt at a report: the HTML
// body, a picture.
func isMarkup(p *message.Part, head []byte) bool {
	if bytes.Contains(head, []byte("<feedback")) {
		return false
	}
	switch p.MediaType {
	case "text/html", "application/xhtml+xml", "image/svg+xml":
		return true
	}
	start := bytes.ToLower(bytes.TrimLeft(head, "\xef\xbb\xbf \t\r\n"))
	for _, tag := range []string{"<html", "<!doctype html", "<body", "<div", "<p>", "<svg", "<head", "<table"} {
		if bytes.HasPrefix(start, []byte(tag)) {
			return true
		}
	}
	// In plain text, "<" begins an address or a tag of a mailing list.
	return p.MediaType == "text/plain" && !bytes.HasPrefix(start, []byte("<?xml")) && p.Filename == ""
}

// reportName tells an attachment that is called like a report.
func reportName(name string) bool {
	name = strings.ToLower(name)
	for _, ext := range []string{".xml", ".xml.gz", ".gz", ".zip", ".zst"} {
		if strings.HasSuffix(name, ext) && strings.Count(name, "!") >= 3 {
			return true
		}
	}
	return false
}

// contextReader ends a long read when the context is cancelled.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, fatal(err)
	}
	return c.r.Read(p)
}
