package store

import (
	"math"
	"strconv"
	"strings"
)

// numberRunes is how long a number may be: what is longer is text.
const numberRunes = 48

// numberUnits may stand behind a number and say what it counts.
var numberUnits = [...]string{"円", "人", "名", "社", "件", "世帯", "戸", "年", "位", "校", "団体", "台", "店", "ドル", "%"}

// ParseNumber reads a number as tables write them: "1,234", "１２．５％",
// "-3", "▲3", "1億2,000万円" (120,000,000), "500百万円". Of a percentage it is
// the number before the sign. Codes are not numbers: a zero in front of other
// digits makes a text. The result is finite.
func ParseNumber(s string) (float64, bool) {
	if len(s) > 4*numberRunes {
		return 0, false
	}
	s = strings.TrimSpace(narrow(s))
	sign := 1.0
	for _, m := range [...]string{"-", "▲", "△", "+"} {
		if rest, ok := strings.CutPrefix(s, m); ok {
			if m != "+" {
				sign = -1
			}
			s = strings.TrimSpace(rest)
			break
		}
	}
	s = strings.TrimSpace(strings.TrimPrefix(s, "¥"))
	for _, u := range numberUnits {
		if rest, ok := strings.CutSuffix(s, u); ok {
			s = strings.TrimSpace(rest)
			break
		}
	}
	if v, ok := scientific(s); ok {
		return sign * v, true
	}
	v, ok := scaled(s)
	return sign * v, ok
}

// narrow makes full-width signs narrow, and one minus of the several there are.
func narrow(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '\u3000', '\u00a0':
			return ' '
		case '−', '‐', '–', '－':
			return '-'
		case '￥':
			return '¥'
		case '\\': // the yen sign of Shift_JIS
			return '¥'
		}
		if r >= '！' && r <= '～' {
			return r - '！' + '!'
		}
		return r
	}, s)
}

// scientific reads "1.5E+08", as spreadsheets write large numbers.
func scientific(s string) (float64, bool) {
	head, exp, ok := strings.Cut(s, "E")
	if !ok || len(exp) < 2 || len(exp) > 4 || exp[0] != '+' && exp[0] != '-' || head == "" {
		return 0, false
	}
	for _, r := range head + exp[1:] {
		if (r < '0' || r > '9') && r != '.' {
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil && !math.IsInf(v, 0)
}

// scaled reads digits and the words for powers of ten between them.
func scaled(s string) (float64, bool) {
	var total, section, num float64
	digits, have := false, false // there were any; num waits for its scale
	last := math.Inf(1)
	for s != "" {
		if n := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != ',' && r != '.' }); n != 0 {
			if n < 0 {
				n = len(s)
			}
			v, ok := plain(s[:n])
			if !ok || have {
				return 0, false
			}
			num, have, digits = v, true, true
			s = s[n:]
			continue
		}
		r, size := []rune(s)[0], 0
		size = len(string(r))
		s = s[size:]
		small, large := 0.0, 0.0
		switch r {
		case '十':
			small = 10
		case '百':
			small = 100
		case '千':
			small = 1000
		case '万':
			large = 1e4
		case '億':
			large = 1e8
		case '兆':
			large = 1e12
		default:
			return 0, false
		}
		if !digits {
			return 0, false // a unit, such as "千円", and no number
		}
		if small > 0 {
			if !have {
				num = 1
			}
			section += num * small
		} else {
			if large >= last || section+num == 0 && !have {
				return 0, false
			}
			last = large
			total += (section + num) * large
			section = 0
		}
		num, have = 0, false
	}
	v := total + section + num
	return v, digits && !math.IsInf(v, 0)
}

// plain reads digits with a decimal point, or commas between threes of digits.
func plain(s string) (float64, bool) {
	whole, frac, point := strings.Cut(s, ".")
	if whole == "" || point && frac == "" || strings.ContainsAny(frac, ",.") {
		return 0, false
	}
	if parts := strings.Split(whole, ","); len(parts) > 1 {
		for i, p := range parts {
			if i == 0 && (p == "" || len(p) > 3) || i > 0 && len(p) != 3 {
				return 0, false
			}
		}
		whole = strings.Join(parts, "")
	}
	if len(whole) > 1 && whole[0] == '0' {
		return 0, false
	}
	v, err := strconv.ParseFloat(whole+"."+frac+"0", 64)
	return v, err == nil
}
