package aggregate

import (
	"strconv"
	"strings"

	"sekimori/domain"
)

// Filename returns the name under which a gzipped report is sent (RFC 9990
// §3.5.2, RFC 7489 §7.2.1.1):
//
//	receiver "!" policy-domain "!" begin "!" end [ "!" unique-id ] ".xml.gz"
//
// The receiver is the domain of the report's e-mail address, else its
// organisation's name. The unique-id is the report id without what is no
// letter or digit, at most 64 long; it is left out where nothing remains. A
// report sent again has the same name again.
func Filename(r Report) string {
	m := r.Metadata
	var b strings.Builder
	receiver := m.OrgName
	if i := strings.LastIndexByte(m.Email, '@'); i >= 0 {
		if n, err := domain.Parse(strings.TrimSuffix(m.Email[i+1:], ">")); err == nil {
			receiver = n.String()
		}
	}
	b.WriteString(namePart(receiver))
	b.WriteByte('!')
	b.WriteString(namePart(r.PolicyPublished.Domain))
	b.WriteByte('!')
	b.WriteString(strconv.FormatInt(m.Begin.Unix(), 10))
	b.WriteByte('!')
	b.WriteString(strconv.FormatInt(m.End.Unix(), 10))
	id := strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' {
			return c
		}
		return -1
	}, m.ReportID)
	if id != "" {
		b.WriteByte('!')
		b.WriteString(id[:min(len(id), 64)])
	}
	b.WriteString(".xml.gz")
	return b.String()
}

// namePart makes a domain fit for a file name; whatever else stands there
// becomes hyphens. It never begins with a dot and is never empty.
func namePart(s string) string {
	if n, err := domain.Parse(s); err == nil {
		return n.String()
	}
	s = strings.Trim(strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.':
			return c
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		}
		return '-'
	}, s), ".-")
	if s == "" {
		return "unknown"
	}
	return s[:min(len(s), 100)]
}
