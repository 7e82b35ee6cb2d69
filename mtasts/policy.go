package mtasts

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Mode is what a sender does where the policy is not kept.
type Mode string

const (
	Enforce Mode = "enforce" // does not deliver
	Testing Mode = "testing" // delivers, and reports by TLS-RPT
	None    Mode = "none"    // there is no policy any more
)

// MaxAge is the longest time that a policy may be kept (RFC 8461 §3.2).
const MaxAge = 31557600 * time.Second

// MaxPolicy is the longest policy that is read (RFC 8461 §3.3 suggests it).
const MaxPolicy = 64 << 10

// Policy is the text at https://mta-sts.DOMAIN/.well-known/mta-sts.txt.
type Policy struct {
	Mode Mode
	// MX are the names that a mail exchanger may have, in lower case; one
	// that begins with "*." stands for exactly one label more.
	MX []string
	// MaxAge is how long to keep the policy; more than the constant of that
	// name counts as that.
	MaxAge time.Duration
	// Extensions are the fields that RFC 8461 does not know.
	Extensions []Field
}

// PolicyURL is where the policy of a domain is.
func PolicyURL(domain string) string {
	return "https://mta-sts." + domain + "/.well-known/mta-sts.txt"
}

// ParsePolicy reads a policy. Of a field that is repeated, mx apart, the first
// counts (RFC 8461 §3.2). Time and memory grow with the text, which may have
// MaxPolicy octets.
func ParsePolicy(text string) (*Policy, error) {
	p := &Policy{}
	seen := map[string]bool{}
	err := lines(text, func(f Field, line int) error {
		if seen[f.Name] && f.Name != "mx" {
			return nil
		}
		seen[f.Name] = true
		switch f.Name {
		case "version":
			if f.Value != "STSv1" {
				return fmt.Errorf("line %d: version %.40q: want STSv1", line, f.Value)
			}
		case "mode":
			p.Mode = Mode(f.Value)
			if p.Mode != Enforce && p.Mode != Testing && p.Mode != None {
				return fmt.Errorf("line %d: mode %.40q: want enforce, testing or none", line, f.Value)
			}
		case "max_age":
			n, ok := age(f.Value)
			if !ok {
				return fmt.Errorf("line %d: max_age %.40q: want seconds, at most 10 digits", line, f.Value)
			}
			p.MaxAge = min(time.Duration(n)*time.Second, MaxAge)
		case "mx":
			mx := strings.ToLower(f.Value)
			if !isPattern(mx) {
				return fmt.Errorf("line %d: mx %.80q: want a host name, or one after \"*.\"", line, f.Value)
			}
			p.MX = append(p.MX, mx)
		default:
			if !isPolicyExtension(f) {
				return fmt.Errorf("line %d: %.40q: want NAME: VALUE", line, f.Name)
			}
			p.Extensions = append(p.Extensions, f)
		}
		return nil
	})
	for _, name := range [...]string{"version", "mode", "max_age"} {
		if err == nil && !seen[name] {
			err = fmt.Errorf("no %s", name)
		}
	}
	if err == nil && len(p.MX) == 0 && p.Mode != None {
		err = errors.New("no mx")
	}
	if err != nil {
		return nil, fmt.Errorf("MTA-STS policy: %w", err)
	}
	return p, nil
}

// lines walks over the fields of a policy; lines end in LF or CRLF.
func lines(text string, each func(f Field, line int) error) error {
	if len(text) > MaxPolicy {
		return fmt.Errorf("%d octets long, at most %d are read", len(text), MaxPolicy)
	}
	for n := 1; text != ""; n++ {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		line = strings.TrimRight(strings.TrimSuffix(line, "\r"), " \t")
		if line == "" && strings.Trim(text, " \t\r\n") == "" {
			return nil // nothing but blank lines follow
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			name = line + " " // no name has a blank
		}
		if err := each(Field{Name: name, Value: strings.TrimLeft(value, " \t")}, n); err != nil {
			return err
		}
	}
	return nil
}

func age(s string) (int64, bool) {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || '9' < s[i] {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && len(s) <= 10
}

// isPattern: a host name, perhaps after "*." (RFC 8461 §4.1), in lower case.
func isPattern(s string) bool {
	s = strings.TrimPrefix(s, "*.")
	if s == "" || len(s) > 253 {
		return false
	}
	for len(s) > 0 {
		label, rest, more := strings.Cut(s, ".")
		if label == "" || len(label) > 63 || more && rest == "" {
			return false
		}
		for i := 0; i < len(label); i++ {
			if c := label[i]; !alnum(c) && c != '-' && c != '_' {
				return false
			}
		}
		s = rest
	}
	return true
}

// isPolicyExtension: sts-policy-extension of RFC 8461 §3.2. Its value may hold
// blanks between other octets, and UTF-8.
func isPolicyExtension(f Field) bool {
	for i := 0; i < len(f.Name); i++ {
		if c := f.Name[i]; !alnum(c) && (i == 0 || c != '_' && c != '-' && c != '.') {
			return false
		}
	}
	for i := 0; i < len(f.Value); i++ {
		if c := f.Value[i]; c < ' ' || c == 0x7f {
			return false
		}
	}
	return 1 <= len(f.Name) && len(f.Name) <= 32 && f.Value != ""
}

// String writes the policy as it is published.
func (p *Policy) String() string {
	var b strings.Builder
	b.WriteString("version: STSv1\nmode: " + string(p.Mode) + "\n")
	for _, mx := range p.MX {
		b.WriteString("mx: " + mx + "\n")
	}
	b.WriteString("max_age: " + strconv.FormatInt(int64(p.MaxAge/time.Second), 10) + "\n")
	for _, f := range p.Extensions {
		b.WriteString(f.Name + ": " + f.Value + "\n")
	}
	return b.String()
}

// Allows reports whether a mail exchanger's name is one of the policy's (RFC
// 8461 §4.1): "*." stands for exactly one label.
func (p *Policy) Allows(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	_, parent, _ := strings.Cut(host, ".")
	for _, mx := range p.MX {
		if rest, wild := strings.CutPrefix(mx, "*."); wild && parent == rest || mx == host {
			return host != ""
		}
	}
	return false
}
