package locale

import "strings"

// Outline returns the sentence of a code with "…" in the place of every
// argument, where many cases are told of at once; the code itself where it has
// no sentence.
func (l Lang) Outline(code string) string {
	s, ok := load()[l][code]
	if !ok {
		return code
	}
	var b strings.Builder
	for _, p := range s {
		switch {
		case p.name == "":
			b.WriteString(p.text)
		case p.many != "":
			b.WriteString("… " + p.many)
		default:
			b.WriteString("…")
		}
	}
	return b.String()
}
