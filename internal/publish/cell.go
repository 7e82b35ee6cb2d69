package publish

import (
	"strings"
	"unicode/utf8"
)

// cellRunes is how many characters a cell of a spreadsheet holds.
const cellRunes = 32767

// textOf is a value from outside as it may be shown: one line, valid UTF-8,
// without control characters and without those that turn the direction of
// writing.
func textOf(s string) string {
	if plainText(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r < ' ' || 0x7f <= r && r < 0xa0 || r == '\u2028' || r == '\u2029' || 0xfffe <= r&0xffff || turns(r):
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// plainText reports whether textOf has nothing to do: it mostly has not.
func plainText(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || 0x7f <= s[i] {
			return false
		}
	}
	return true
}

// turns tells characters that turn the direction of the text around them.
func turns(r rune) bool {
	return '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069' || r == '\u200e' || r == '\u200f' || r == '\u061c'
}

// clipped is textOf, cut to a number of characters.
func clipped(s string, most int) string {
	// A character has at most four octets: what lies beyond is not looked at.
	s = textOf(s[:min(len(s), 4*most+utf8.UTFMax)])
	if len(s) <= most {
		return s
	}
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// cellOf is a value as a cell of a spreadsheet takes it: as text. A cell that
// begins with one of these would be a formula; the full-width forms count too,
// as Japanese Excel takes them for the others.
func cellOf(s string) string {
	s = clipped(s, cellRunes-1)
	// A program may drop the spaces before it looks.
	for _, r := range s {
		switch r {
		case ' ', '\u00a0', '\u3000', '\ufeff':
			continue
		case '=', '+', '-', '@', '＝', '＋', '－', '＠':
			return "'" + s
		}
		break
	}
	return s
}
