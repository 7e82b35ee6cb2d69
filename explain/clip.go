package explain

import (
	"strings"
	"unicode/utf8"
)

// Clip makes a value from outside fit to be an argument: at most 200 octets,
// valid UTF-8, control characters replaced. A clipped value ends in "…".
func Clip(s string) string {
	if plain(s) {
		return s
	}
	b := make([]byte, 0, most)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:min(len(s), i+utf8.UTFMax)])
		if r < ' ' || 0x7f <= r && r < 0xa0 || r == '\u2028' || r == '\u2029' || turns(r) {
			r = utf8.RuneError
		}
		if len(b)+utf8.RuneLen(r) > most-len("…") && i+n < len(s) || len(b)+utf8.RuneLen(r) > most {
			return string(append(b, "…"...))
		}
		b = utf8.AppendRune(b, r)
		i += n
	}
	return string(b)
}

// ClipFolded is Clip for a value that may be folded, as in a header field: tabs
// and line ends become spaces.
func ClipFolded(s string) string {
	if plain(s) {
		return s
	}
	return Clip(strings.Map(func(r rune) rune {
		if r == '\t' || r == '\r' || r == '\n' {
			return ' '
		}
		return r
	}, s[:min(len(s), 4*most)]))
}

// most is how long a clipped value is, in octets.
const most = 200

// plain reports whether s needs no clipping: it mostly does not.
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || 0x7f <= s[i] {
			return false
		}
	}
	return len(s) <= most
}

// turns tells characters that turn the direction of the text around them.
func turns(r rune) bool {
	return '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069' || r == '\u200e' || r == '\u200f' || r == '\u061c'
}
