package explain

import "unicode/utf8"

// Clip makes a value from outside fit to be an argument: at most 200 octets,
// valid UTF-8, control characters replaced. A clipped value ends in "…".
func Clip(s string) string {
	const most = 200
	clean := len(s) <= most
	for i := 0; clean && i < len(s); i++ {
		clean = ' ' <= s[i] && s[i] < 0x7f
	}
	if clean {
		return s
	}
	b := make([]byte, 0, most)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:min(len(s), i+utf8.UTFMax)])
		switch {
		case r < ' ' || 0x7f <= r && r < 0xa0 || r == '\u2028' || r == '\u2029' || '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069':
			r = utf8.RuneError // controls, and those that turn the direction of text
		}
		if len(b)+utf8.RuneLen(r) > most-len("…") && i+n < len(s) || len(b)+utf8.RuneLen(r) > most {
			return string(append(b, "…"...))
		}
		b = utf8.AppendRune(b, r)
		i += n
	}
	return string(b)
}
