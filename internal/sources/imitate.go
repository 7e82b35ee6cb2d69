package sources

import (
	"strings"

	"sekimori/domain"
)

// Imitates reports whether a domain looks like one of ours without being it: the
// same label under another suffix, characters that look alike, one letter more,
// less or other (two in a long label), or our label with something around it. It
// looks at organisational domains and costs some microseconds. Honest domains
// imitate, too, such as that of a branch abroad: what it says is that the name
// proves nothing, and that rhythm alone makes nobody one of ours.
func Imitates(name, ours string) bool {
	a, b := Organization(name), Organization(ours)
	if a == "" || b == "" || a == b {
		return false
	}
	x, y := registered(a), registered(b)
	if len(y) < 4 || x == "" {
		return false // so short a label is like many
	}
	if x == y || skeleton(x) == skeleton(y) {
		return true
	}
	if len(y) >= 5 && strings.Contains(strings.ReplaceAll(x, "-", ""), strings.ReplaceAll(y, "-", "")) {
		return true
	}
	most := 0
	switch {
	case len(y) >= 12:
		most = 2
	case len(y) >= 6:
		most = 1
	}
	return most > 0 && distance([]rune(x), []rune(y), most) <= most
}

// registered is the label of an organisational domain that somebody chose, in
// U-labels.
func registered(org string) string {
	n, err := domain.Parse(org)
	if err != nil {
		return ""
	}
	label, _, _ := strings.Cut(n.Unicode(), ".")
	return strings.ToLower(label)
}

// alike are characters that people take for one another, each with the one that
// stands for them.
var alike = strings.NewReplacer(
	"rn", "m", "vv", "w", "cl", "d", "0", "o", "1", "l", "i", "l", "5", "s", "3", "e", "8", "b", "2", "z", "9", "g", "q", "g", "-", "",
	// Cyrillic and Greek letters of Latin looks.
	"а", "a", "в", "b", "е", "e", "к", "k", "м", "m", "н", "h", "о", "o", "р", "p", "с", "c", "т", "t", "у", "y", "х", "x", "і", "l", "ѕ", "s", "ј", "j", "ԁ", "d",
	"α", "a", "ε", "e", "ι", "l", "κ", "k", "ν", "v", "ο", "o", "ρ", "p", "τ", "t", "υ", "u", "χ", "x",
	"à", "a", "á", "a", "â", "a", "ä", "a", "å", "a", "è", "e", "é", "e", "ê", "e", "ë", "e", "ì", "l", "í", "l", "î", "l", "ï", "l",
	"ò", "o", "ó", "o", "ô", "o", "ö", "o", "ù", "u", "ú", "u", "û", "u", "ü", "u", "ñ", "n", "ç", "c",
)

func skeleton(label string) string { return alike.Replace(label) }

// distance counts the letters to add, leave out, change or swap with the next
// one; above most it is most+1.
func distance(a, b []rune, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return most + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			least = min(least, row[j])
		}
		if least > most {
			return most + 1
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], most+1)
}
