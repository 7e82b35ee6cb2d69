package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"sekimori/message"
	"sekimori/milter"
)

// maxCorpus bounds what is held of the messages to be sent.
const maxCorpus = 2 << 30

// benchMessage is a message to be sent, and what is expected of it.
type benchMessage struct {
	milter.Message
	body   []byte
	expect []string
}

// benchEnvelope is what messages have that come without one.
type benchEnvelope struct {
	clients []netip.AddrPort // in turn
	helo    string
	from    string // "": the message's Return-Path, or the address of its From
	rcpt    []string
	expect  []string
}

// corpus is the messages of a run, read into memory.
type corpus struct {
	envelope benchEnvelope
	list     []benchMessage
	size     int64
	skipped  []error // files of a folder that are no messages
}

// folder reads all files of a folder and those below it, in order.
func (c *corpus) folder(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !d.Type().IsRegular() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		err = c.file(path, c.envelope, len(c.list))
		var tooMuch errTooMuch
		if err == nil || errors.As(err, &tooMuch) {
			return err
		}
		c.skipped = append(c.skipped, err)
		return nil
	})
}

type errTooMuch struct{}

func (errTooMuch) Error() string {
	return fmt.Sprintf("the messages are larger than %d GiB together: name fewer", maxCorpus>>30)
}

// file reads one message. Line ends become CRLF, as in SMTP.
func (c *corpus) file(path string, e benchEnvelope, n int) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if c.size += int64(len(raw)); c.size > maxCorpus {
		return errTooMuch{}
	}
	header, rest, err := message.Read(bytes.NewReader(crlf(raw)), 0)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(header) == 0 {
		return fmt.Errorf("%s: no message: it has no header", path)
	}
	body, err := io.ReadAll(rest)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	m := benchMessage{body: body, expect: e.expect}
	m.Client, m.Helo, m.From, m.Rcpt = e.clients[n%len(e.clients)], e.helo, e.from, e.rcpt
	for _, f := range header {
		m.Header = append(m.Header, milter.Field{Name: f.Name(), Value: f.RawValue()})
	}
	if m.From == "" {
		m.From = senderOf(header)
	}
	c.list = append(c.list, m)
	return nil
}

// senderOf takes a sender for the envelope out of a header; "<>" of a
// Return-Path is the null sender.
func senderOf(h message.Header) string {
	if h.Has("Return-Path") {
		return strings.Trim(h.Get("Return-Path"), "<> \t")
	}
	if list, err := message.ParseAddrSpecs(h.Get("From")); err == nil {
		for _, a := range list {
			if a.Domain != "" {
				return a.Local + "@" + a.Domain
			}
		}
	}
	return ""
}

// crlf makes every line end CRLF.
func crlf(b []byte) []byte {
	bare := bytes.Count(b, []byte("\n")) - bytes.Count(b, []byte("\r\n"))
	if bare == 0 {
		return b
	}
	out := make([]byte, 0, len(b)+bare)
	for i, c := range b {
		if c == '\n' && (i == 0 || b[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}

// manifest reads a list of messages with their envelopes: a line each, tabs
// between path, client address, HELO name, sender, recipient, and, if there,
// domain and SPF's result. "#" begins a comment line. A path is as seen from
// the working folder, or else from the manifest's.
func (c *corpus) manifest(path, dir string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if line == "" || line[0] == '#' {
			continue
		}
		at := func(err error) error { return fmt.Errorf("%s, line %d: %w", path, n, err) }
		col := strings.Split(line, "\t")
		if len(col) < 5 {
			return at(fmt.Errorf("%d columns: want path, client, HELO, sender and recipient, with tabs between", len(col)))
		}
		client, err := clientAddr(col[1])
		if err != nil {
			return at(err)
		}
		e := benchEnvelope{clients: []netip.AddrPort{client}, helo: col[2], from: strings.Trim(col[3], "<>"), rcpt: []string{strings.Trim(col[4], "<>")}}
		value := func(i int) string {
			if i < len(col) {
				return col[i]
			}
			return ""
		}
		fill := strings.NewReplacer("%domain", value(5), "%spf", value(6))
		for _, x := range c.envelope.expect {
			e.expect = append(e.expect, fill.Replace(x))
		}
		file := col[0]
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, col[0])
			if _, err := os.Stat(file); err != nil {
				file = filepath.Join(filepath.Dir(path), col[0])
			}
		}
		if err := c.file(file, e, 0); err != nil {
			return at(err)
		}
		// The null sender of a manifest is meant.
		c.list[len(c.list)-1].From = e.from
	}
	return lines.Err()
}

func clientAddr(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("client address %s: want an IP address such as 192.0.2.1", quote(s))
	}
	return netip.AddrPortFrom(a, 34567), nil
}
