package publish

import (
	"strings"

	"github.com/rivo/uniseg"
)

// columns is the width of plain text: a terminal's, and what a letter that is
// printed on A4 in a fixed-width typeface holds.
const columns = 80

// Lines breaks a text into lines no wider than room, as measure says. Lines
// end where both scripts allow it (Unicode Standard Annex #14): at spaces, and
// between East Asian characters unless one of them may not begin or end a
// line. A name or an address is not broken at its hyphens and slashes; what is
// wider than a line by itself is broken between characters. A line end of the
// text is kept. Measure is asked of ever longer pieces of one line and must
// not be negative.
func Lines(text string, room float64, measure func(string) float64) []string {
	var out []string
	line := ""
	flush := func() {
		out = append(out, strings.TrimRight(line, " \n"))
		line = ""
	}
	fits := func(s string) bool { return measure(strings.TrimRight(s, " \n")) <= room }
	state, must := -1, false
	for rest := text; rest != ""; {
		var seg string
		seg, rest, must, state = uniseg.FirstLineSegmentInString(rest, state)
		for !must && rest != "" && (strings.HasSuffix(seg, "-") || strings.HasSuffix(seg, "/")) {
			next, after, end, st := uniseg.FirstLineSegmentInString(rest, state)
			if !fits(seg + next) {
				break
			}
			seg, rest, must, state = seg+next, after, end, st
		}
		if line != "" && !fits(line+seg) {
			flush()
		}
		if !fits(seg) {
			whole := uniseg.NewGraphemes(seg)
			for whole.Next() {
				if line != "" && !fits(line+whole.Str()) {
					flush()
				}
				line += whole.Str()
			}
		} else {
			line += seg
		}
		if must && rest != "" || strings.HasSuffix(seg, "\n") {
			flush()
		}
	}
	if line != "" {
		flush()
	}
	return out
}

// wide measures text in columns of a terminal: East Asian wide characters take
// two.
func wide(s string) float64 { return float64(uniseg.StringWidth(s)) }
