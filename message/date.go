package message

import (
	"strings"
	"time"
)

// ParseDate reads a date as the Date and Received fields have it (RFC 5322
// §3.3), with the obsolete forms (§4.3): years of two digits, names of zones,
// comments and white space anywhere. The day of the week is not compared. A
// zone that is unknown is taken as UTC (§4.3: "-0000"), and a missing one too.
// Dates that are none, such as 30 February, are not read.
func ParseDate(s string) (time.Time, bool) {
	var d dateParts
	n := 0
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',':
			i++
		case c == '(':
			depth := 0
			for ; i < len(s); i++ {
				if s[i] == '(' {
					depth++
				} else if s[i] == ')' {
					if depth--; depth == 0 {
						break
					}
				}
			}
			i++
		default:
			from := i
			for i < len(s) && strings.IndexByte(" \t\r\n,(", s[i]) < 0 {
				i++
			}
			if n++; n > 12 || !d.word(s[from:i]) {
				// What follows a complete date is a remark.
				return d.time()
			}
		}
	}
	return d.time()
}

type dateParts struct {
	day, month, year int
	clock            bool
	h, m, s          int
	zone             bool
	offset           int // seconds
}

// word takes the next word; false where it has no place in a date.
func (d *dateParts) word(w string) bool {
	switch {
	case d.zone:
		return false
	case d.clock:
		d.zone = true
		d.offset = zoneOffset(w)
		return true
	case d.year > 0 || d.month > 0 && d.day > 0 && strings.IndexByte(w, ':') > 0:
		return d.year > 0 && d.time24(w)
	case d.month == 0 && d.day == 0 && alphabetic(w) && monthNumber(w) == 0:
		return true // the day of the week
	case d.month == 0 && alphabetic(w):
		d.month = monthNumber(w)
		return d.month > 0
	case d.day == 0:
		v, ok := digits(w, 1, 2)
		d.day = v
		return ok && v > 0
	case d.month == 0:
		return false
	}
	v, ok := digits(w, 2, 4)
	if !ok {
		return false
	}
	switch { // RFC 5322 §4.3
	case len(w) == 2 && v < 50:
		v += 2000
	case len(w) < 4:
		v += 1900
	}
	d.year = v
	return v > 0
}

// time24 reads hour ":" minute [":" second].
func (d *dateParts) time24(w string) bool {
	h, rest, ok := strings.Cut(w, ":")
	if !ok {
		return false
	}
	m, sec, seconds := strings.Cut(rest, ":")
	var ok1, ok2 bool
	d.h, ok1 = digits(h, 1, 2)
	d.m, ok2 = digits(m, 1, 2)
	ok = ok1 && ok2
	if seconds {
		var ok3 bool
		d.s, ok3 = digits(sec, 1, 2)
		ok = ok && ok3
	}
	d.clock = ok && d.h < 24 && d.m < 60 && d.s <= 60
	return d.clock
}

func (d *dateParts) time() (time.Time, bool) {
	if !d.clock {
		return time.Time{}, false
	}
	zone := time.UTC
	if d.offset != 0 {
		zone = time.FixedZone("", d.offset)
	}
	t := time.Date(d.year, time.Month(d.month), d.day, d.h, d.m, d.s, 0, zone)
	if t.Day() != d.day && d.s < 60 {
		return time.Time{}, false
	}
	return t, true
}

func digits(s string, least, most int) (int, bool) {
	if len(s) < least || len(s) > most {
		return 0, false
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || '9' < s[i] {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

func alphabetic(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i] | 0x20; (c < 'a' || 'z' < c) && s[i] != '.' {
			return false
		}
	}
	return s != ""
}

func monthNumber(s string) int {
	if len(s) < 3 {
		return 0
	}
	for i := 0; i < 12; i++ {
		if strings.EqualFold(s[:3], "JanFebMarAprMayJunJulAugSepOctNovDec"[3*i:3*i+3]) {
			return i + 1
		}
	}
	return 0
}

// zoneOffset reads a zone, in seconds east of UTC.
func zoneOffset(z string) int {
	if len(z) == 5 && (z[0] == '+' || z[0] == '-') {
		h, ok1 := digits(z[1:3], 2, 2)
		m, ok2 := digits(z[3:], 2, 2)
		if !ok1 || !ok2 || m >= 60 {
			return 0
		}
		n := h*3600 + m*60
		if z[0] == '-' {
			return -n
		}
		return n
	}
	// RFC 5322 §4.3, obs-zone; and the one that Japan writes.
	switch strings.ToUpper(z) {
	case "EDT":
		return -4 * 3600
	case "EST", "CDT":
		return -5 * 3600
	case "CST", "MDT":
		return -6 * 3600
	case "MST", "PDT":
		return -7 * 3600
	case "PST":
		return -8 * 3600
	case "JST":
		return 9 * 3600
	}
	return 0
}
