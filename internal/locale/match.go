package locale

import (
	"strconv"
	"strings"
)

// Match picks the language that an Accept-Language header asks for (RFC 9110
// §12.5.4): the offered one with the highest weight, the first of equals. An
// empty or unusable header gives Japanese, the language of most readers; a
// header that names only other languages gives English.
func Match(acceptLanguage string) Lang {
	if len(acceptLanguage) > 1024 {
		acceptLanguage = acceptLanguage[:1024]
	}
	best, bestQ, other := Lang(""), 0.0, false
	for _, item := range strings.Split(acceptLanguage, ",") {
		tag, params, _ := strings.Cut(item, ";")
		tag = strings.TrimSpace(tag)
		if tag == "" {
			continue
		}
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			if err != nil || !(f >= 0 && f <= 1) {
				continue
			}
			q = f
		}
		if q == 0 {
			continue
		}
		l, ok := Parse(tag)
		if !ok {
			other = other || tag != "*"
			continue
		}
		if q > bestQ {
			best, bestQ = l, q
		}
	}
	switch {
	case best != "":
		return best
	case other:
		return English
	}
	return Japanese
}
