// Package bimi reads, prints and checks the assertion record by which a domain
// names the logo to show beside its mail (Brand Indicators for Message
// Identification, draft-brand-indicators-for-message-identification-14), and
// finds the record that applies to a message. It looks at logos and at mark
// certificates too; fetching them is not done here.
package bimi

import (
	"errors"
	"fmt"
	"strings"

	"sekimori/taglist"
)

const version = "BIMI1"

// Avatar says which picture is to be shown where there is a choice: the tag
// avp.
type Avatar string

const (
	Brand    Avatar = "brand"    // the logo; the default
	Personal Avatar = "personal" // the sender's own picture
)

// Limits of a record.
const (
	maxRecord   = 8192
	maxPrefixes = 64
	maxLabel    = 63
)

// Record is an assertion record (draft-14 §4.3).
type Record struct {
	Location  string // l=: where the logo is; an https URI, or empty
	Authority string // a=: where the mark certificate is; an https URI, or empty
	Avatar    Avatar // avp=
	// Local: the record says lps=, so that a local-part may choose another
	// selector. Prefixes are those that may; none means all.
	Local    bool
	Prefixes []string
	// Extensions are the tags that the draft does not know; they are ignored.
	Extensions []taglist.Tag
}

// Declined reports whether the domain says that it wants no logo: both l and a
// are empty (draft-14 §4.3.1).
func (r *Record) Declined() bool { return r.Location == "" && r.Authority == "" }

// Name is where the record of a selector is.
func Name(selector, domain string) string { return selector + "._bimi." + domain }

// Begins reports whether a TXT record is one of BIMI, valid or not: the
// version comes first and is exact; others at the name are ignored (draft-14
// §7.2).
func Begins(txt string) bool {
	head, _, _ := strings.Cut(txt, ";")
	name, value, _ := strings.Cut(head, "=")
	return strings.Trim(name, " \t") == "v" && strings.Trim(value, " \t") == version
}

// Parse reads a record. Its form is that of a tag-list (RFC 6376 §3.2), and is
// not repaired: a record with a fault is none.
func Parse(txt string) (*Record, error) {
	r, err := parse(txt)
	if err != nil {
		return nil, fmt.Errorf("BIMI record: %w", err)
	}
	return r, nil
}

func parse(txt string) (*Record, error) {
	if len(txt) > maxRecord {
		return nil, fmt.Errorf("%d octets long, at most %d are read", len(txt), maxRecord)
	}
	if !Begins(txt) {
		return nil, errors.New("octet 1: want v=BIMI1;")
	}
	list, faults := taglist.Parse(txt)
	if len(faults) > 0 {
		return nil, faults[0]
	}
	r := &Record{Avatar: Brand}
	located := false
	for _, t := range list[1:] {
		switch t.Name {
		case "l", "a":
			if t.Value != "" && !isHTTPS(t.Value) {
				return nil, fmt.Errorf("octet %d: %s=%.80q: want an https URI, or nothing", t.Offset+1, t.Name, t.Value)
			}
			if t.Name == "a" {
				r.Authority = t.Value
				continue
			}
			if located = true; t.Value != "" && !isSVG(t.Value) {
				return nil, fmt.Errorf("octet %d: l=%.80q: want a name that ends in .svg or .svgz", t.Offset+1, t.Value)
			}
			r.Location = t.Value
		case "avp":
			if r.Avatar = Avatar(t.Value); r.Avatar != Brand && r.Avatar != Personal {
				return nil, fmt.Errorf("octet %d: avp=%.40q: want brand or personal", t.Offset+1, t.Value)
			}
		case "lps":
			var bad string
			r.Local = true
			if r.Prefixes, bad = prefixes(t.Value); bad != "" {
				return nil, fmt.Errorf("octet %d: lps has %.80q: want prefixes of letters, digits and \"-\", at most %d", t.Offset+1, bad, maxPrefixes)
			}
		default:
			r.Extensions = append(r.Extensions, t)
		}
	}
	if !located {
		return nil, errors.New("no l: want the logo's URI, or l= with nothing")
	}
	return r, nil
}

// prefixes reads the list of lps, in lower case; bad is the first piece that
// is none.
func prefixes(s string) (out []string, bad string) {
	if s == "" {
		return nil, ""
	}
	for _, p := range strings.Split(s, ",") {
		p = strings.ToLower(strings.Trim(p, " \t\r\n"))
		if !isLabel(p) || len(out) == maxPrefixes {
			return nil, "\"" + p + "\""
		}
		out = append(out, p)
	}
	return out, ""
}

// isLabel: letters, digits and dashes, at most 63.
func isLabel(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '-' && (c < '0' || '9' < c) && (c < 'a' || 'z' < c) {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= maxLabel
}

// isHTTPS: an https URI with a host and no octet that RFC 3986 forbids.
func isHTTPS(u string) bool {
	const scheme = "https://"
	if len(u) <= len(scheme) || !strings.EqualFold(u[:len(scheme)], scheme) {
		return false
	}
	rest := u[len(scheme):]
	for i := 0; i < len(rest); i++ {
		if c := rest[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("<>\"{}|\\^`;", c) >= 0 {
			return false
		}
	}
	return strings.IndexByte("/?#:@", rest[0]) < 0
}

// isSVG: the path ends in .svg or .svgz.
func isSVG(u string) bool {
	if i := strings.IndexAny(u, "?#"); i >= 0 {
		u = u[:i]
	}
	u = strings.ToLower(u)
	return strings.HasSuffix(u, ".svg") || strings.HasSuffix(u, ".svgz")
}

// String writes the record as it is published.
func (r *Record) String() string {
	var b strings.Builder
	b.WriteString("v=BIMI1; l=" + r.Location + ";")
	if r.Authority != "" || r.Location == "" {
		b.WriteString(" a=" + r.Authority + ";")
	}
	if r.Avatar == Personal {
		b.WriteString(" avp=personal;")
	}
	if r.Local {
		b.WriteString(" lps=" + strings.Join(r.Prefixes, ",") + ";")
	}
	for _, t := range r.Extensions {
		b.WriteString(" " + t.Name + "=" + t.Value + ";")
	}
	return b.String()
}

// Normalize turns a local-part into the selector that lps looks for: cut at
// "+", runs of "_" and "." made one "-", without dashes at its ends; false
// where what is left is no label (draft-14 §4.3.3).
func Normalize(local string) (string, bool) {
	local, _, _ = strings.Cut(local, "+")
	if len(local) > 4*maxLabel {
		return "", false
	}
	b := make([]byte, 0, len(local))
	run := false
	for i := 0; i < len(local); i++ {
		c := local[i]
		if c == '_' || c == '.' {
			if !run {
				b = append(b, '-')
			}
			run = true
			continue
		}
		run = false
		b = append(b, c)
	}
	s := strings.ToLower(strings.Trim(string(b), "-"))
	return s, isLabel(s)
}

// Selector returns the selector to which the record sends mail of a
// local-part; false for none.
func (r *Record) Selector(local string) (string, bool) {
	if !r.Local {
		return "", false
	}
	s, ok := Normalize(local)
	if !ok || len(r.Prefixes) == 0 {
		return s, ok
	}
	for _, p := range r.Prefixes {
		if strings.HasPrefix(s, p) {
			return s, true
		}
	}
	return "", false
}
