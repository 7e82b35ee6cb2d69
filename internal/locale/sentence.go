package locale

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"sekimori/explain"
)

// sentence is a parsed sentence: text and placeholders in turn.
type sentence []part

// part is a run of text, or a placeholder when name is set.
type part struct {
	text      string
	name      string
	one, many string // English number forms; both empty for none
	group     string // code prefix of a value that is itself a code
}

// parseSentence reads a sentence's placeholders.
func parseSentence(s string) (sentence, error) {
	var out sentence
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			out = append(out, part{text: text.String()})
			text.Reset()
		}
	}
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "{{"):
			text.WriteByte('{')
			i += 2
		case strings.HasPrefix(s[i:], "}}"):
			text.WriteByte('}')
			i += 2
		case s[i] == '}':
			return nil, fmt.Errorf("closing brace at byte %d without an opening one: write }}", i)
		case s[i] == '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return nil, fmt.Errorf("placeholder at byte %d is not closed", i)
			}
			p, err := parsePlaceholder(s[i+1 : i+end])
			if err != nil {
				return nil, fmt.Errorf("placeholder at byte %d: %w", i, err)
			}
			flush()
			out = append(out, p)
			i += end + 1
		default:
			text.WriteByte(s[i])
			i++
		}
	}
	flush()
	return out, nil
}

func parsePlaceholder(s string) (part, error) {
	fields := strings.Split(s, "|")
	name, group, _ := strings.Cut(fields[0], "@")
	p := part{name: name, group: group}
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return p, fmt.Errorf("name %q: want lower-case letters, digits and _", name)
	}
	switch len(fields) {
	case 1:
	case 3:
		p.one, p.many = fields[1], fields[2]
	default:
		return p, fmt.Errorf("%q: want {name} or {name|singular|plural}", s)
	}
	return p, nil
}

// names returns the set of placeholder names.
func (s sentence) names() map[string]bool {
	m := map[string]bool{}
	for _, p := range s {
		if p.name != "" {
			m[p.name] = true
		}
	}
	return m
}

// fill writes the sentence with its arguments.
func (s sentence) fill(l Lang, args explain.Args) string {
	var b strings.Builder
	for _, p := range s {
		if p.name == "" {
			b.WriteString(p.text)
			continue
		}
		v, ok := args[p.name]
		// What has a name of its own in a language comes as name_ja or name_en beside.
		if own, is := args[p.name+"_"+string(l)]; is && own != "" {
			v, ok = own, true
		}
		if !ok {
			b.WriteString("⟦" + p.name + "⟧")
			continue
		}
		if code := p.group + "." + fmt.Sprint(v); p.group != "" && l.Has(code) {
			b.WriteString(l.Text(code, nil))
			continue
		}
		b.WriteString(format(l, p.name, v))
		if p.one != "" || p.many != "" {
			b.WriteByte(' ')
			if f, isNum := number(v); isNum && f == 1 {
				b.WriteString(p.one)
			} else {
				b.WriteString(p.many)
			}
		}
	}
	return b.String()
}

// number returns a numeric argument's value. A document read back from JSON
// has every number as a float64.
func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int:
		return float64(n), true
	case int32:
		return float64(n), true
	case int64:
		return float64(n), true
	case uint64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// format writes one argument.
func format(l Lang, name string, v any) string {
	switch x := v.(type) {
	case string:
		return x
	case []string:
		return l.List(x)
	case []any:
		items := make([]string, len(x))
		for i, e := range x {
			items[i] = format(l, "", e)
		}
		return l.List(items)
	case bool:
		return strconv.FormatBool(x)
	case int:
		return l.Int(int64(x))
	case int32:
		return l.Int(int64(x))
	case int64:
		return l.Int(x)
	case uint64:
		return group(strconv.FormatUint(x, 10))
	case float64:
		if isShare(name) {
			return l.Percent(x)
		}
		if x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			return l.Int(int64(x))
		}
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return fmt.Sprint(v)
}

func isShare(name string) bool {
	for _, suffix := range []string{"share", "ratio", "upper95"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// List joins items as the language does.
func (l Lang) List(items []string) string {
	if l == Japanese {
		return strings.Join(items, "、")
	}
	return strings.Join(items, ", ")
}

// Int writes a whole number grouped by thousands.
func (l Lang) Int(n int64) string { return group(strconv.FormatInt(n, 10)) }

// Uint writes a whole number grouped by thousands.
func (l Lang) Uint(n uint64) string { return group(strconv.FormatUint(n, 10)) }

// Percent writes a fraction in percent with as many digits as it takes to see
// that it is neither nothing nor everything: 0.00031 is 0.031 %, never 0 %.
func (l Lang) Percent(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "–"
	}
	p := f * 100
	var s string
	switch {
	case p == 0:
		s = "0"
	case p == 100:
		s = "100"
	case p < 0.001:
		s = "<0.001"
	case p < 0.1:
		s = strconv.FormatFloat(p, 'f', 3, 64)
	case p < 1:
		s = strconv.FormatFloat(p, 'f', 2, 64)
	case p > 99.99 && p < 100:
		s = ">99.99"
	case p > 99 && p < 100:
		s = strconv.FormatFloat(math.Floor(p*100)/100, 'f', 2, 64)
	default:
		s = strconv.FormatFloat(p, 'f', 1, 64)
	}
	return s + "%"
}

// group puts a comma between thousands.
func group(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}
