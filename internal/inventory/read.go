package inventory

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"sekimori/domain"
	"sekimori/internal/store"
)

// Form is what kind of file names were read from.
type Form string

const (
	FormCertificateJSON Form = "certificate-json" // of crt.sh or Cert Spotter
	FormCertificateCSV  Form = "certificate-csv"
	FormZone            Form = "zone" // a master file (RFC 1035 §5)
	FormTable           Form = "table"
	FormText            Form = "text" // a name a line
)

// Bounds of one file.
const (
	maxNames   = 1_000_000 // that are taken
	maxBytes   = 4 << 30   // of the file
	maxEntry   = 4 << 20   // octets of one entry: a JSON object, a row, a line
	maxSamples = 10        // of names set aside
	sniffed    = 64 << 10  // octets that tell the form
	remembered = 100_000   // names that are known again without asking the store
)

// Summary is what reading one file gave.
type Summary struct {
	File   string `json:"file"`
	Form   Form   `json:"form"`
	Origin string `json:"origin"` // of its names: FromCertificates, FromZone or FromList
	// Entries counts certificates, records, rows or lines; Names the names that
	// were taken from them, each once unless it came again much later.
	Entries int64 `json:"entries"`
	Names   int64 `json:"names"`
	// Added are the names that the store did not have from that origin; Load sets it.
	Added int64 `json:"added"`
	// Wildcards counts names such as *.example.jp, which became their parent.
	Wildcards int64 `json:"wildcards"`
	// Outside counts names that do not belong to the domain and were set aside,
	// Invalid what is no domain name; the samples are the first of each.
	Outside       int64    `json:"outside"`
	OutsideSample []string `json:"outside_sample"`
	Invalid       int64    `json:"invalid"`
	InvalidSample []string `json:"invalid_sample"`
}

// ReadError is why a file cannot be read on. Its text says where and what to do.
type ReadError struct {
	File string
	Line int64 // from 1; 0 where there is none
	Err  error
}

// Error says what is wrong with which line of which file.
func (e *ReadError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap returns Err.
func (e *ReadError) Unwrap() error { return e.Err }

// Reading says how a file of names is read. The zero value takes every name.
type Reading struct {
	// Domain is the one whose sub-domains are wanted: others are counted and set
	// aside. Where it is zero, every name is taken as one of its organizational
	// domain.
	Domain domain.Name
	Now    time.Time // of names without a date; zero means the present
	// MaxNames bounds the names that are taken; 0 means 1,000,000.
	MaxNames int64
}

// Read reads a file of names in whatever form it is: an export of certificate
// transparency logs (JSON of crt.sh or Cert Spotter, CSV), a zone file, a table
// with a column of domains, addresses or URLs, or one name a line. It calls f
// with each name, in the order of the file, and holds one entry of at most 4 MiB
// in memory. name is what errors call the file.
//
// An error of the file is a *ReadError; one of f is returned as it is.
func (o Reading) Read(name string, r io.Reader, f func(store.KnownName) error) (Summary, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	o.Now = o.Now.UTC().Truncate(time.Second)
	if o.MaxNames <= 0 {
		o.MaxNames = maxNames
	}
	t := &taker{o: o, f: f, seen: make(map[string]struct{}, 1024), sum: Summary{File: name, OutsideSample: []string{}, InvalidSample: []string{}}}
	src := newSource(r)
	err := t.read(src)
	var own *ReadError
	var theirs callError
	switch {
	case errors.As(err, &theirs):
		return t.sum, theirs.error
	case err != nil && !errors.As(err, &own):
		err = &ReadError{File: name, Line: src.line, Err: err}
	case own != nil:
		own.File = name
	}
	return t.sum, err
}

// callError is an error of the caller's own function.
type callError struct{ error }

// taker takes names from entries.
type taker struct {
	o    Reading
	f    func(store.KnownName) error
	sum  Summary
	seen map[string]struct{}
}

var errEmpty = errors.New("the file is empty")

// read finds out the form by the first octets.
func (t *taker) read(src *source) error {
	head, err := src.head()
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(head)) == 0 {
		if len(head) < sniffed {
			return errEmpty
		}
		return errors.New("the file begins with nothing but space")
	}
	trimmed := bytes.TrimLeft(head, " \t\r\n")
	switch c := trimmed[0]; {
	case c == '[' || c == '{':
		t.sum.Form, t.sum.Origin = FormCertificateJSON, FromCertificates
		return t.certificates(src)
	case c == '<':
		return errors.New("this is a web page or an XML file; want JSON, CSV, a zone file or a list of names")
	case looksLikeZone(head):
		t.sum.Form, t.sum.Origin = FormZone, FromZone
		return t.zone(src)
	}
	return t.table(src, head)
}

// take takes a name as it stands in an entry: it may be a wildcard, an address
// or a URL.
func (t *taker) take(text string, first, last time.Time) error {
	n, wild, ok := nameIn(text)
	if !ok {
		t.invalid(text)
		return nil
	}
	if wild {
		t.sum.Wildcards++
	}
	of := t.o.Domain
	if of.IsZero() {
		of = n.Organizational()
	}
	if !n.IsSubdomainOf(of) {
		t.sum.Outside++
		if len(t.sum.OutsideSample) < maxSamples {
			t.sum.OutsideSample = append(t.sum.OutsideSample, n.String())
		}
		return nil
	}
	if _, again := t.seen[n.String()]; again {
		return nil
	}
	if len(t.seen) >= remembered {
		clear(t.seen)
	}
	t.seen[n.String()] = struct{}{}
	if t.sum.Names == t.o.MaxNames {
		return fmt.Errorf("it holds more than %d names; cut it into smaller files, or leave old certificates out", t.o.MaxNames)
	}
	t.sum.Names++
	if first.IsZero() || first.After(t.o.Now) {
		first = t.o.Now
	}
	if last.IsZero() || last.After(t.o.Now) {
		last = t.o.Now
	}
	if last.Before(first) {
		last = first
	}
	if err := t.f(store.KnownName{Domain: of.String(), Name: n.String(), Origin: t.sum.Origin, From: t.sum.File, First: first, Last: last}); err != nil {
		return callError{err}
	}
	return nil
}

func (t *taker) invalid(text string) {
	t.sum.Invalid++
	if len(t.sum.InvalidSample) < maxSamples {
		if len(text) > 80 {
			text = text[:80] + "…"
		}
		t.sum.InvalidSample = append(t.sum.InvalidSample, strings.ToValidUTF8(text, "\uFFFD"))
	}
}

// nameIn finds the domain name in a cell: it may be a URL, a mail address, a
// subject alternative name with its type before it, or a wildcard (RFC 6125
// §6.4.3, RFC 4592), of which the parent is taken. Labels that begin with an
// underscore belong to a service, not to a host (RFC 8552): what is above
// them is taken.
func nameIn(s string) (n domain.Name, wild, ok bool) {
	s = strings.TrimSpace(s)
	if len(s) > 2048 {
		return n, false, false
	}
	for _, kind := range []string{"dns:", "email:", "cn="} {
		if len(s) > len(kind) && strings.EqualFold(s[:len(kind)], kind) {
			s = s[len(kind):]
		}
	}
	if i := strings.Index(s, "://"); i >= 0 {
		s = s[i+3:]
		if j := strings.IndexAny(s, "/?#"); j >= 0 {
			s = s[:j]
		}
	} else {
		s, _, _ = strings.Cut(s, "/")
	}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = s[i+1:]
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 && strings.Trim(s[i+1:], "0123456789") == "" {
		s = s[:i]
	}
	s = strings.Trim(s, "\"'<>()[]{}, \t")
	for strings.HasPrefix(s, "*.") {
		s, wild = s[2:], true
	}
	n, err := domain.Parse(s)
	if err != nil || n.Labels() < 2 {
		return n, wild, false
	}
	if _, err := netip.ParseAddr(n.String()); err == nil {
		return n, wild, false
	}
	text := n.String()
	if i := strings.LastIndex("."+text, "._"); i >= 0 {
		for range strings.Count(text[:i], ".") + 1 {
			n = n.Parent()
		}
		if n.Labels() < 2 {
			return n, wild, false
		}
	}
	return n, wild, true
}

// source is a file on its way: it counts lines, bounds what one entry and the
// whole may take, and makes UTF-8 of other character sets.
type source struct {
	r     *bufio.Reader
	err   error
	line  int64 // of what was read last, from 1
	nl    bool  // the last octet ended a line
	entry int   // octets since begin
	all   int64
}

func newSource(r io.Reader) *source { return &source{r: bufio.NewReaderSize(r, sniffed), line: 1} }

// head returns the first octets, in UTF-8, without taking them.
func (s *source) head() ([]byte, error) {
	head, err := s.r.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, err
	}
	if what := packed(head); what != "" {
		return nil, fmt.Errorf("this is %s; want JSON, CSV, a zone file or a list of names", what)
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		s.r = bufio.NewReaderSize(transform.NewReader(s.r, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder()), sniffed)
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, _ = s.r.Discard(3)
	case !valid(head):
		// Spreadsheets of Japanese systems write CSV so.
		if text, err := japanese.ShiftJIS.NewDecoder().Bytes(whole(head)); err == nil && !bytes.ContainsRune(text, utf8.RuneError) {
			s.r = bufio.NewReaderSize(transform.NewReader(s.r, japanese.ShiftJIS.NewDecoder()), sniffed)
		}
	default:
		return head, nil
	}
	head, err = s.r.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, err
	}
	return head, nil
}

// whole is text without its last line, which may have been cut.
func whole(b []byte) []byte {
	if i := bytes.LastIndexByte(b, '\n'); i > 0 && len(b) == sniffed {
		return b[:i]
	}
	return b
}

func valid(head []byte) bool { return utf8.Valid(whole(head)) }

// packed names what is no text.
func packed(head []byte) string {
	for _, k := range [...]struct{ magic, what string }{
		{"\x1f\x8b", "a gzip file: unpack it first"}, {"PK\x03\x04", "a zip file or a spreadsheet: unpack it, or save it as CSV"},
		{"BZh", "a bzip2 file: unpack it first"}, {"\xfd7zXZ", "an xz file: unpack it first"}, {"\x28\xb5\x2f\xfd", "a zstd file: unpack it first"},
		{"%PDF", "a PDF file"}, {"\xd0\xcf\x11\xe0", "an old spreadsheet: save it as CSV"},
	} {
		if bytes.HasPrefix(head, []byte(k.magic)) {
			return k.what
		}
	}
	if !bytes.HasPrefix(head, []byte("\xff\xfe")) && !bytes.HasPrefix(head, []byte("\xfe\xff")) && bytes.IndexByte(head, 0) >= 0 {
		return "a binary file"
	}
	return ""
}

// begin says that an entry begins.
func (s *source) begin() { s.entry = 0 }

var (
	errLong = fmt.Errorf("an entry is longer than %d MiB", maxEntry>>20)
	errBig  = fmt.Errorf("the file is larger than %d GiB; cut it into smaller ones", maxBytes>>30)
)

// spend counts octets.
func (s *source) spend(n int) error {
	s.entry += n
	s.all += int64(n)
	switch {
	case s.entry > 4*maxEntry: // readers read ahead, some twice what they hold
		s.err = errLong
	case s.all > maxBytes:
		s.err = errBig
	}
	return s.err
}

// ReadByte is that of io.ByteReader, which the zone parser takes as it is: the
// count of lines is where the parser stands.
func (s *source) ReadByte() (byte, error) {
	if s.err != nil {
		return 0, s.err
	}
	b, err := s.r.ReadByte()
	if err != nil {
		s.err = err
		return b, err
	}
	if s.nl {
		s.line++
	}
	s.nl = b == '\n'
	return b, s.spend(1)
}

// Read is that of io.Reader. It does not count lines.
func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if e := s.spend(n); e != nil {
		return n, e
	}
	return n, err
}
