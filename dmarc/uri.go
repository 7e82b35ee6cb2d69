package dmarc

import (
	"errors"
	"strings"

	"sekimori/domain"
)

// URI is a destination of reports (RFC 9989 §4.6).
type URI struct {
	// Text is the URI as published, without the obsolete size.
	Text   string
	Scheme string // in lower case
	// Address is the mailbox of a mailto URI, decoded; else empty.
	Address string
	// Host is the domain of the mailbox, or the host of the authority; zero
	// where the URI has none, or one that is no domain name.
	Host domain.Name
	// Size is the obsolete limit "10m" of mailto:a@example.com!10m. It is read
	// and has no effect (RFC 9989 §4.8, obs-dmarc-report-size).
	Size string
}

// String writes the URI as it stands in a record.
func (u URI) String() string {
	if u.Size != "" {
		return u.Text + "!" + u.Size
	}
	return u.Text
}

// Errors of ParseURI.
var (
	errNoScheme = errors.New("report destination: no scheme: want mailto:user@example.com")
	errNoURI    = errors.New("report destination: an octet that may not stand in a URI: percent-encode it")
	errBang     = errors.New(`report destination: "!" must be written %21`)
	errMailto   = errors.New("report destination: mailto without user@example.com")
)

// ParseURI reads one URI of rua or ruf (RFC 9989 §4.8, dmarc-uri and
// obs-dmarc-uri; RFC 3986). White space around it is ignored. A mailto URI must
// have one mailbox at a domain name (RFC 6068).
func ParseURI(s string) (URI, error) {
	s = strings.Trim(s, " \t\r\n")
	var u URI
	if i := strings.IndexByte(s, '!'); i >= 0 {
		if !isSize(s[i+1:]) {
			return URI{}, errBang
		}
		s, u.Size = s[:i], s[i+1:]
	}
	u.Text = s
	colon := strings.IndexByte(s, ':')
	if colon <= 0 {
		return URI{}, errNoScheme
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case i < colon:
			// scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )
			if !isAlpha(c) && (i == 0 || !isDigit(c) && c != '+' && c != '-' && c != '.') {
				return URI{}, errNoScheme
			}
		case c == '%':
			if i+2 >= len(s) || unhex(s[i+1]) < 0 || unhex(s[i+2]) < 0 {
				return URI{}, errNoURI
			}
		case !isURI(c):
			return URI{}, errNoURI
		}
	}
	u.Scheme = strings.ToLower(s[:colon])
	rest := s[colon+1:]
	if u.Scheme != "mailto" {
		u.Host = authority(rest)
		return u, nil
	}
	rest, _, _ = strings.Cut(rest, "?") // RFC 6068: header fields follow
	at := strings.LastIndexByte(rest, '@')
	if at <= 0 || strings.HasPrefix(rest, "//") { // RFC 6068 §2: mailto has no authority
		return URI{}, errMailto
	}
	local, host := unescape(rest[:at]), unescape(rest[at+1:])
	name, err := domain.Parse(host)
	if err != nil || strings.TrimSpace(host) != host || !printable(local) {
		return URI{}, errMailto
	}
	u.Address, u.Host = rest, name
	if local != rest[:at] || name.String() != rest[at+1:] {
		u.Address = local + "@" + name.String()
	}
	return u, nil
}

// isSize: 1*DIGIT [ "k" / "m" / "g" / "t" ].
func isSize(s string) bool {
	if n := len(s); n > 1 && strings.IndexByte("kmgtKMGT", s[n-1]) >= 0 {
		s = s[:n-1]
	}
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

// authority returns the host of //userinfo@host:port/… (RFC 3986 §3.2).
func authority(s string) domain.Name {
	s, ok := strings.CutPrefix(s, "//")
	if !ok {
		return domain.Name{}
	}
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		s = s[:i]
	}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = s[i+1:]
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		s = s[:i]
	}
	n, err := domain.Parse(unescape(s))
	if err != nil {
		return domain.Name{}
	}
	return n
}

// unescape decodes %XX; what is not such a triplet stays.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0 {
			b = append(b, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

// printable keeps line ends and other control characters out of addresses.
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}

// isURI: unreserved and reserved of RFC 3986 §2.
func isURI(c byte) bool {
	switch c {
	case '-', '.', '_', '~', ':', '/', '?', '#', '[', ']', '@', '!', '$', '&', '\'', '(', ')', '*', '+', ',', ';', '=':
		return true
	}
	return isAlpha(c) || isDigit(c)
}

func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func unhex(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
