package aggregate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Writer writes one report, record by record: an RFC 9990 report, or one
// after RFC 7489 for those who read only that. It writes what the form's
// schema allows and refuses the rest, with the element's path in the error; an
// element that the form requires and whose absence has a meaning is written
// with that meaning (RFC 7489: sp as p, pct as 100, fo as 0, scope as mfrom).
// After an error the report is incomplete, and every later call returns it.
//
// A Writer serves one goroutine. It buffers: Close flushes.
type Writer struct {
	w       *bufio.Writer
	form    Form
	err     error
	records int64
}

// NewWriter begins a report: it writes the head. The zero Form is RFC9990.
// The Report's own Form and Deviations do not matter; to write a report in
// another form than it was read in, clear what the other form lacks.
func NewWriter(w io.Writer, form Form, r Report) (*Writer, error) {
	if form == "" {
		form = RFC9990
	}
	if form != RFC9990 && form != RFC7489 {
		return nil, fmt.Errorf("report form %q: want %q or %q", form, RFC9990, RFC7489)
	}
	wr := &Writer{w: bufio.NewWriterSize(w, 32<<10), form: form}
	wr.head(&r)
	return wr, wr.err
}

// refuse stops the writing, unless it stopped before.
func (w *Writer) refuse(path, format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("writing the report: "+path+": "+format, args...)
	}
}

// lacks refuses a value for an element that the form does not have.
func (w *Writer) lacks(path, value string) {
	if value != "" {
		w.refuse(path, "%q: %s has no such element; leave it empty, or write the other form", quote(value), w.form)
	}
}

func (w *Writer) raw(s string) {
	if w.err != nil {
		return
	}
	if _, err := w.w.WriteString(s); err != nil {
		w.err = fmt.Errorf("writing the report: %w", err)
	}
}

// begin, end and leaf write elements, indented by depth.
func (w *Writer) begin(depth int, name string) { w.tag(indent(depth), "<", name, ">\n") }
func (w *Writer) end(depth int, name string)   { w.tag(indent(depth), "</", name, ">\n") }

func (w *Writer) tag(indent, open, name, end string) {
	w.raw(indent)
	w.raw(open)
	w.raw(name)
	w.raw(end)
}

// leaf writes an element with text. The name is the last part of the path,
// which is for the error.
func (w *Writer) leaf(depth int, path, value string) {
	if w.err != nil {
		return
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	w.tag(indent(depth), "<", name, ">")
	w.escape(path, value)
	w.tag("", "</", name, ">\n")
}

// optional is leaf for an element that is left out where it is empty.
func (w *Writer) optional(depth int, path, value string) {
	if value != "" {
		w.leaf(depth, path, value)
	}
}

func indent(depth int) string { return "          "[:2*depth] }

// escape writes text so that it is read as it stands, and refuses what XML
// cannot hold (XML 1.0 §2.2).
func (w *Writer) escape(path, s string) {
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] && c != '>' {
			i++
			continue
		}
		size, as := 1, ""
		switch {
		case c == '<':
			as = "&lt;"
		case c == '>': // for "]]>"
			as = "&gt;"
		case c == '&':
			as = "&amp;"
		case c == '\r': // or it would be read as a newline, XML 1.0 §2.11
			as = "&#13;"
		case c == ']':
		default:
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 || !character(r) {
				w.refuse(path, "%q: byte %d is no character that XML can hold", quote(s), i)
				return
			}
		}
		if as != "" {
			w.raw(s[from:i])
			w.raw(as)
			from = i + size
		}
		i += size
	}
	w.raw(s[from:])
}

// need refuses an empty value.
func (w *Writer) need(path, value string) {
	if value == "" {
		w.refuse(path, "is empty; %s requires it", w.form)
	}
}

// among refuses a token that the form's schema does not list.
func (w *Writer) among(path, value string, tokens ...string) {
	if !slices.Contains(tokens, value) {
		w.refuse(path, "%q: %s allows %s", quote(value), w.form, strings.Join(tokens, ", "))
	}
}

// maybe is among for an element that may be absent.
func (w *Writer) maybe(path, value string, tokens ...string) {
	if value != "" {
		w.among(path, value, tokens...)
	}
}

// head writes everything before the first record.
func (w *Writer) head(r *Report) {
	w.raw("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
	if w.form == RFC9990 {
		w.raw("<feedback xmlns=\"" + namespace9990 + "\">\n")
		w.maybe("version", r.Version, "1.0")
	} else {
		w.raw("<feedback>\n")
		if strings.Count(r.Version, ".") > 1 || strings.Trim(r.Version, "0123456789.") != "" || r.Version == "." {
			w.refuse("version", "%q: want a decimal", quote(r.Version))
		}
	}
	version := r.Version
	if version == "" {
		version = "1.0"
	}
	w.leaf(1, "version", version)
	w.metadata(&r.Metadata)
	w.policy(&r.PolicyPublished)
}

func (w *Writer) metadata(m *Metadata) {
	const path = "report_metadata/"
	w.need(path+"report_id", m.ReportID)
	if m.Begin.Unix() < 0 || m.End.Unix() > latest {
		w.refuse(path+"date_range", "%s to %s: want times from 1970 to 9999", m.Begin, m.End)
	}
	if m.End.Unix() < m.Begin.Unix() {
		w.refuse(path+"date_range", "end %s is before begin %s", m.End, m.Begin)
	}
	w.begin(1, "report_metadata")
	w.leaf(2, path+"org_name", m.OrgName)
	w.leaf(2, path+"email", m.Email)
	w.optional(2, path+"extra_contact_info", m.ExtraContactInfo)
	w.leaf(2, path+"report_id", m.ReportID)
	w.begin(2, "date_range")
	w.leaf(3, path+"date_range/begin", strconv.FormatInt(m.Begin.Unix(), 10))
	w.leaf(3, path+"date_range/end", strconv.FormatInt(m.End.Unix(), 10))
	w.end(2, "date_range")
	for i, e := range m.Errors {
		if i == 1 && w.form == RFC9990 {
			w.refuse(path+"error", "there are %d; %s allows one", len(m.Errors), w.form)
		}
		w.leaf(2, path+"error", e)
	}
	if w.form == RFC9990 {
		w.optional(2, path+"generator", m.Generator)
	} else {
		w.lacks(path+"generator", m.Generator)
	}
	w.end(1, "report_metadata")
}

func (w *Writer) policy(p *PolicyPublished) {
	const path = "policy_published/"
	w.need(path+"domain", p.Domain)
	w.maybe(path+"adkim", p.ADKIM, "r", "s")
	w.maybe(path+"aspf", p.ASPF, "r", "s")
	w.among(path+"p", p.P, "none", "quarantine", "reject")
	w.maybe(path+"sp", p.SP, "none", "quarantine", "reject")
	w.begin(1, "policy_published")
	w.leaf(2, path+"domain", p.Domain)
	w.optional(2, path+"adkim", p.ADKIM)
	w.optional(2, path+"aspf", p.ASPF)
	w.leaf(2, path+"p", p.P)
	if w.form == RFC9990 {
		w.lacks(path+"pct", p.PCT)
		w.maybe(path+"np", p.NP, "none", "quarantine", "reject")
		w.maybe(path+"testing", p.Testing, "n", "y")
		w.maybe(path+"discovery_method", p.DiscoveryMethod, "psl", "treewalk")
		w.optional(2, path+"sp", p.SP)
		w.optional(2, path+"np", p.NP)
		w.optional(2, path+"discovery_method", p.DiscoveryMethod)
		w.optional(2, path+"fo", p.FO)
		w.optional(2, path+"testing", p.Testing)
	} else {
		w.lacks(path+"np", p.NP)
		w.lacks(path+"testing", p.Testing)
		w.lacks(path+"discovery_method", p.DiscoveryMethod)
		if strings.Trim(p.PCT, "0123456789") != "" {
			w.refuse(path+"pct", "%q: want a whole number", quote(p.PCT))
		}
		w.leaf(2, path+"sp", or(p.SP, p.P)) // RFC 7489 §6.3: sp falls to p
		w.leaf(2, path+"pct", or(p.PCT, "100"))
		w.leaf(2, path+"fo", or(p.FO, "0"))
	}
	w.end(1, "policy_published")
}

// or returns the first of two strings that is not empty.
func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// WriteRecord writes one record.
func (w *Writer) WriteRecord(r *Record) error {
	if w.err == nil {
		w.records++
		w.record(r)
	}
	return w.err
}

// Close writes the end and flushes; it does not close the writer below. Both
// forms require a record: without one, Close fails.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if w.records == 0 {
		w.refuse("record", "there is none; %s requires one", w.form)
		return w.err
	}
	w.raw("</feedback>\n")
	if w.err == nil {
		if err := w.w.Flush(); err != nil {
			w.err = fmt.Errorf("writing the report: %w", err)
		}
	}
	if w.err != nil {
		return w.err
	}
	w.err = errClosed
	return nil
}

var errClosed = errors.New("writing the report: it is closed")
