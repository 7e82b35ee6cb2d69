package publish

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"sekimori/internal/locale"
)

// columns is the width of plain text: a terminal's, and what a letter that is
// printed on A4 in a fixed-width typeface holds.
const columns = 80

// Lines breaks a text into lines no wider than room, as measure says. Lines
// end where both scripts allow it (Unicode Standard Annex #14): at spaces, and
// between East Asian characters unless one of them may not begin or end a
// line. Japanese lines end after a particle or a comma where one is near enough
// to the end, and not between a number and its counter. A name or an address is not broken at its hyphens and slashes; what is
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
	full := func(next string) {
		rest := ""
		if at := phraseEnd(line, next, room/4, measure); at > 0 && fits(line[at:]+next) {
			line, rest = line[:at], line[at:]
		}
		flush()
		line = rest
	}
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
		for !must && strings.HasSuffix(seg, " ") && locale.Counts(strings.TrimRight(seg, " "), rest) {
			next, after, end, st := uniseg.FirstLineSegmentInString(rest, state)
			if !fits(seg + next) {
				break
			}
			seg, rest, must, state = seg+next, after, end, st
		}
		if line != "" && !fits(line+seg) {
			full(seg)
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

// phraseEnd finds where a full Japanese line had better end than before next: at
// the last end of a phrase in it, if what follows is no wider than four
// characters nor than most. 0 says that the line ends well as it is.
func phraseEnd(line, next string, most float64, measure func(string) float64) int {
	after, _ := utf8.DecodeRuneInString(next)
	most = min(most, 4*measure("あ"))
	for at := len(line); at > 0; {
		before, n := utf8.DecodeLastRuneInString(line[:at])
		if measure(line[at:]) > most {
			return 0
		}
		if endsPhrase(before, after) {
			return at % len(line)
		}
		if before < 0x80 { // within a name or a number
			return 0
		}
		after, at = before, at-n
	}
	return 0
}

// endsPhrase says whether a phrase may end between two characters: after a
// particle, a usual ending of verbs, or a comma, and before what begins a word
// or a bracket.
func endsPhrase(before, after rune) bool {
	if strings.ContainsRune("、。，．」』）ー・", after) {
		return false
	}
	if strings.ContainsRune("、。，．", before) || strings.ContainsRune("「『（", after) && !strings.ContainsRune("「『（", before) {
		return true
	}
	return strings.ContainsRune("はがをにでともへのやてばらたるいく」』）", before) && !unicode.Is(unicode.Hiragana, after)
}

// wide measures text in columns of a terminal: East Asian wide characters take
// two.
func wide(s string) float64 { return float64(uniseg.StringWidth(s)) }
