package reporter

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"

	"sekimori/domain"
	"sekimori/message"
)

// maxLine is how long a header line may be before it is folded (RFC 5322
// §2.1.1).
const maxLine = 78

// attachment is a report's mail.
type attachment struct {
	letter  Letter
	to      string
	date    time.Time
	id      string // Message-ID without <>
	subject []string
	open    func() (io.ReadCloser, error) // the file
}

// submitter is the domain that names the reporter in subjects and file names
// (RFC 9990 §3.5.2).
func (o *Options) submitter() string {
	_, d := message.SplitAddress(o.Email)
	if n, err := domain.Parse(d); err == nil {
		return n.String()
	}
	return d
}

// subject is a report's subject in the words and the order that RFC 9990
// §3.5.2 gives, where it may be folded.
func (o *Options) subject(policyDomain, reportID string) []string {
	return []string{"Report Domain: " + policyDomain, "Submitter: " + o.submitter(), "Report-ID: <" + reportID + ">"}
}

// messageID is the same for each attempt at a delivery, so that a message that
// arrives twice is known as one.
func (o *Options) messageID(reportID, to string) string {
	sum := sha256.Sum256([]byte(reportID + "\x00" + to))
	return reportID + "." + hex.EncodeToString(sum[:6]) + "@" + o.submitter()
}

// headerOf makes a header section of names and values. Long values are folded
// at their line ends, "\r\n ".
func headerOf(fields ...[2]string) message.Header {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(f[0] + ": " + f[1] + "\r\n")
	}
	b.WriteString("\r\n")
	h, _, err := message.Read(strings.NewReader(b.String()), 0)
	if err != nil {
		return nil // a header of ours is far below the limit
	}
	return h
}

// address writes a mailbox with its display name (RFC 5322 §3.4, RFC 2047).
func address(name, addr string) string {
	if name == "" {
		return "<" + addr + ">"
	}
	name = clean(name)
	if strings.IndexFunc(name, func(c rune) bool { return c >= 0x80 }) >= 0 {
		return strings.ReplaceAll(mime.BEncoding.Encode("utf-8", name), "?= =?", "?=\r\n =?") + " <" + addr + ">"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" <` + addr + ">"
}

// header is the mail's header section.
func (o *Options) header(a *attachment) message.Header {
	subject := strings.Join(a.subject, " ")
	if len("Subject: ")+len(subject) > maxLine {
		subject = strings.Join(a.subject, "\r\n ")
	}
	return headerOf(
		[2]string{"From", address(o.Organization, o.Email)},
		[2]string{"To", "<" + a.to + ">"},
		[2]string{"Subject", subject},
		[2]string{"Date", a.date.UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000")},
		[2]string{"Message-ID", "<" + a.id + ">"},
		[2]string{"Auto-Submitted", "auto-generated"}, // RFC 3834 §5
		[2]string{"MIME-Version", "1.0"},
		[2]string{"Content-Type", `multipart/mixed;` + "\r\n " + `boundary="` + a.boundary() + `"`},
	)
}

// boundary cannot stand in the parts: "=_" does not occur in base64 or
// quoted-printable (RFC 2045 §6.7).
func (a *attachment) boundary() string {
	sum := sha256.Sum256([]byte(a.id))
	return "=_" + hex.EncodeToString(sum[:12])
}

// writeBody streams the mail's body.
func (o *Options) writeBody(w io.Writer, a *attachment) error {
	bw := bufio.NewWriterSize(w, 32<<10)
	line := func(s string) { bw.WriteString(s + "\r\n") }
	line("--" + a.boundary())
	line("Content-Type: text/plain; charset=utf-8")
	line("Content-Transfer-Encoding: quoted-printable")
	line("")
	qp := quotedprintable.NewWriter(bw)
	if _, err := io.WriteString(qp, strings.ReplaceAll(o.text(a), "\n", "\r\n")); err != nil {
		return err
	}
	if err := qp.Close(); err != nil {
		return err
	}
	line("")
	line("--" + a.boundary())
	line("Content-Type: application/gzip;")
	line(` name="` + a.letter.Filename + `"`)
	line("Content-Transfer-Encoding: base64")
	line("Content-Disposition: attachment;")
	line(` filename="` + a.letter.Filename + `"`)
	line("")
	f, err := a.open()
	if err != nil {
		return err
	}
	defer f.Close()
	if err := writeBase64(bw, f); err != nil {
		return err
	}
	line("--" + a.boundary() + "--")
	return bw.Flush()
}

// text is what people read. The site's words come through Options.Letter.
func (o *Options) text(a *attachment) string {
	if o.Letter != nil {
		return strings.TrimRight(o.Letter(a.letter), "\n") + "\n"
	}
	return strings.Join(a.subject, "\n") + "\n"
}

// writeBase64 writes base64 in lines of 76 characters (RFC 2045 §6.8).
func writeBase64(w io.Writer, r io.Reader) error {
	const octets = 57
	in := make([]byte, octets*64)
	var out bytes.Buffer
	enc := make([]byte, base64.StdEncoding.EncodedLen(octets))
	for {
		n, err := io.ReadFull(r, in)
		out.Reset()
		for b := in[:n]; len(b) > 0; {
			k := min(octets, len(b))
			base64.StdEncoding.Encode(enc, b[:k])
			out.Write(enc[:base64.StdEncoding.EncodedLen(k)])
			out.WriteString("\r\n")
			b = b[k:]
		}
		if _, err := w.Write(out.Bytes()); err != nil {
			return err
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return err
		}
	}
}

// signed makes a mail of a header and a body: it runs the body through
// Options.Sign and counts it. The body is written once here and once for each
// attempt, and must be the same each time.
func (o *Options) signed(to string, h message.Header, body func(io.Writer) error) (Mail, error) {
	var head strings.Builder
	count := &counter{w: io.Discard}
	pr, pw := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		err := body(io.MultiWriter(count, pw))
		pw.CloseWithError(err)
		wrote <- err
	}()
	var fields []string
	var err error
	if o.Sign != nil {
		fields, err = o.Sign(h, pr)
	}
	if err == nil {
		// A signer may stop early, and may be none.
		_, err = io.Copy(io.Discard, pr)
	}
	pr.CloseWithError(io.ErrClosedPipe)
	if werr := <-wrote; err == nil {
		err = werr
	}
	if err != nil {
		return Mail{}, fmt.Errorf("sign the mail to %s: %w", to, err)
	}
	for _, f := range fields {
		head.WriteString(strings.TrimRight(f, "\r\n") + "\r\n")
	}
	for _, f := range h {
		head.WriteString(f.Raw())
	}
	head.WriteString("\r\n")
	return Mail{
		To: []string{to}, Size: int64(head.Len()) + count.n,
		Write: func(w io.Writer) error {
			if _, err := io.WriteString(w, head.String()); err != nil {
				return err
			}
			return body(w)
		},
	}, nil
}
