// Package domain is what a domain name is to this program: a comparable value
// in one canonical form, so that two spellings of a name are one name
// everywhere: in maps, in the store, in alignment.
//
// The canonical form is the A-label form of RFC 5890, in lower case, without
// the trailing dot. Parse makes it from whatever stands in reports, mail and
// command lines; Unicode turns it back for people.
package domain

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// Name is a domain name. Names are equal (==) exactly when they are the same
// domain, and may be keys of a map. The zero Name is invalid and means "none".
type Name struct{ s string }

// Limits of RFC 1035 §2.3.4, in octets of the A-label form.
const (
	maxName  = 253
	maxLabel = 63
)

// ErrEmpty is the error of parsing nothing, or the root.
var ErrEmpty = errors.New("empty domain name")

// lookup is how RFC 5891 §5 has a name prepared for looking it up, without
// the rules that real names break: underscores and hyphens may stand anywhere.
var lookup = idna.New(
	idna.MapForLookup(),
	idna.Transitional(false),
	idna.StrictDomainName(false),
	idna.CheckHyphens(false),
)

// Parse reads a domain name in any spelling: U-labels or A-labels, any case,
// with or without the trailing dot, with underscores. A label holds letters,
// digits, "-" and "_"; it is 1 to 63 octets long and the name at most 253
// (RFC 1035 §2.3.4), counted in A-labels. Surrounding space is ignored.
func Parse(s string) (Name, error) {
	in := s
	s = strings.TrimSpace(s)
	// Before the punycode conversion, whose effort grows with the square of
	// the length: no name has more octets in U-labels than this.
	if len(s) > 4*maxName {
		return Name{}, fmt.Errorf("domain name %s: %d octets long, at most %d are allowed", clip(in), len(s), maxName)
	}
	ascii := true
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			ascii = false
			break
		}
	}
	if !ascii {
		if !utf8.ValidString(s) || strings.ContainsRune(s, utf8.RuneError) {
			return Name{}, fmt.Errorf("domain name %s: not valid UTF-8", clip(in))
		}
		a, err := lookup.ToASCII(s)
		if err != nil {
			return Name{}, fmt.Errorf("domain name %s: not an internationalised name: %w", clip(in), err)
		}
		s = a
	}
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if s == "" {
		return Name{}, ErrEmpty
	}
	if len(s) > maxName {
		return Name{}, fmt.Errorf("domain name %s: %d octets long, at most %d are allowed", clip(in), len(s), maxName)
	}
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' {
			if c := s[i]; !ldh(c) {
				return Name{}, fmt.Errorf("domain name %s: octet %d is %q, want letters, digits, \"-\" and \"_\"", clip(in), i+1, c)
			}
			continue
		}
		switch n := i - start; {
		case n == 0:
			return Name{}, fmt.Errorf("domain name %s: empty label at octet %d", clip(in), start+1)
		case n > maxLabel:
			return Name{}, fmt.Errorf("domain name %s: label %s is %d octets long, at most %d are allowed", clip(in), clip(s[start:i]), n, maxLabel)
		}
		start = i + 1
	}
	return Name{s}, nil
}

// ldh tells whether c may stand in a label, once in lower case.
func ldh(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// clip quotes a value for an error message, shortened.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}

// String returns the name in A-labels, lower case, without a trailing dot:
// what goes into a query, a file and the store. The zero Name gives "".
func (n Name) String() string { return n.s }

// Unicode returns the name in U-labels, for people. A label that is no valid
// A-label stays as it is.
func (n Name) Unicode() string {
	if !strings.Contains(n.s, "xn--") {
		return n.s
	}
	// Label by label, so that one broken label does not keep the rest encoded.
	labels := strings.Split(n.s, ".")
	for i, l := range labels {
		if !strings.HasPrefix(l, "xn--") {
			continue
		}
		if u, err := lookup.ToUnicode(l); err == nil && !strings.ContainsAny(u, ".") {
			labels[i] = u
		}
	}
	return strings.Join(labels, ".")
}

// IsZero reports whether n is the zero Name.
func (n Name) IsZero() bool { return n.s == "" }

// Labels counts the labels: 3 for "www.example.com", 0 for the zero Name.
func (n Name) Labels() int {
	if n.s == "" {
		return 0
	}
	return strings.Count(n.s, ".") + 1
}

// Parent returns the name without its first label; the zero Name for a name of
// one label, and for the zero Name.
func (n Name) Parent() Name {
	if i := strings.IndexByte(n.s, '.'); i >= 0 {
		return Name{n.s[i+1:]}
	}
	return Name{}
}

// IsSubdomainOf reports whether n is p or lies below it. With a zero Name on
// either side the answer is no.
func (n Name) IsSubdomainOf(p Name) bool {
	if n.s == "" || p.s == "" || !strings.HasSuffix(n.s, p.s) {
		return false
	}
	rest := len(n.s) - len(p.s)
	return rest == 0 || n.s[rest-1] == '.'
}

// Organizational returns the organizational domain by the public suffix list
// (RFC 7489 §3.2): the public suffix and one label more. The list is the whole
// one, with its private part, as of the golang.org/x/net version built in; an
// unlisted top-level domain is a suffix of one label. A name that is itself a
// public suffix, or has one label, is returned as it is.
//
// RFC 9989 finds the organizational domain in the DNS instead (§4.10); this
// is for grouping, and for reports that were made by the list.
func (n Name) Organizational() Name {
	if n.s == "" {
		return Name{}
	}
	org, err := publicsuffix.EffectiveTLDPlusOne(n.s)
	if err != nil {
		return n
	}
	return Name{org}
}

// IsPublicSuffix reports whether the name is itself a public suffix, such as
// "jp" or "co.jp": no organisation is behind it.
func (n Name) IsPublicSuffix() bool {
	if n.s == "" {
		return false
	}
	suffix, _ := publicsuffix.PublicSuffix(n.s)
	return suffix == n.s
}

// MarshalText writes the name in A-labels.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.s), nil }

// UnmarshalText reads a name as Parse does; no text is the zero Name.
func (n *Name) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*n = Name{}
		return nil
	}
	v, err := Parse(string(b))
	if err != nil {
		return err
	}
	*n = v
	return nil
}
