package locale

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bound returns a text of the language with each number bound to the counter
// behind it by a no-break space, so that no line ends between them: for pages.
// Other languages are returned as they are.
func (l Lang) Bound(s string) string {
	if l != Japanese || !strings.Contains(s, " ") {
		return s
	}
	var b strings.Builder
	from := 0
	for i := 1; i < len(s); i++ {
		if s[i] == ' ' && Counts(s[:i], s[i+1:]) {
			b.WriteString(s[from:i] + "\u00a0")
			from = i + 1
		}
	}
	return b.String() + s[from:]
}

// Counts reports whether a number ends before what begins with a Japanese
// counter.
func Counts(before, after string) bool {
	if before == "" {
		return false
	}
	end := before[len(before)-1]
	next, _ := utf8.DecodeRuneInString(after)
	return (end >= '0' && end <= '9' || end == '%') && unicode.In(next, unicode.Han, unicode.Hiragana, unicode.Katakana)
}
