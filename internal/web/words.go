package web

import (
	"fmt"
	"html/template"
	"strings"

	"sekimori/explain"
	"sekimori/internal/locale"
	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// words are the functions that templates write text with, in one language.
func words(l locale.Lang, a *assets) template.FuncMap {
	return template.FuncMap{
		"t":        func(code string, args ...any) string { return textOf(l, code, args...) },
		"step":     func(s explain.Step) string { return l.Bound(l.Step(s)) },
		"num":      func(n any) string { return l.Text("web.number", explain.Args{"n": n}) },
		"share":    func(part, whole uint64) string { return shareOf(l, part, whole) },
		"chance":   chanceOf,
		"day":      func(d store.Day) string { return dayOf(l, d) },
		"days":     daysOf,
		"size":     func(n int64) string { return sizeOf(l, n) },
		"list":     func(s []string) string { return orDash(l.List(s)) },
		"orDash":   orDash,
		"upper":    strings.ToUpper,
		"soft":     soft,
		"tone":     toneOf,
		"combo":    func(id string, lines []comboLine) comboTable { return comboTable{id, lines} },
		"itemmark": itemMark,
		"asset":    a.path,
		"script":   func() string { return a.script },
		"settings": func(p aggregate.PolicyPublished) string {
			var out []string
			for _, s := range settingsOf(p) {
				out = append(out, s.Name+"="+s.Value)
			}
			return strings.Join(out, "; ")
		},
	}
}

// soft escapes a name and lets it break after its dots where it is too long
// for its column.
func soft(s string) template.HTML {
	return template.HTML(strings.ReplaceAll(template.HTMLEscapeString(s), ".", ".<wbr>"))
}

// textOf returns the sentence of a code; args are name and value in turn.
func textOf(l locale.Lang, code string, args ...any) string {
	if len(args) == 0 {
		return l.Bound(l.Text(code, nil))
	}
	m := make(explain.Args, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		m[fmt.Sprint(args[i])] = args[i+1]
	}
	return l.Bound(l.Text(code, m))
}

// shareOf writes a part of a whole in percent, a dash where there is no whole.
func shareOf(l locale.Lang, part, whole uint64) string {
	if whole == 0 {
		return "–"
	}
	return l.Percent(float64(part) / float64(whole))
}

// chanceOf writes a probability: whole percent, as it is known no better.
func chanceOf(p float64) string {
	switch {
	case p < 0.01:
		return "<1%"
	case p > 0.99:
		return ">99%"
	}
	return fmt.Sprintf("%.0f%%", p*100)
}

// daysOf writes the days from first to last into a table: one date where they
// are one day, else two that a narrow column puts one below the other.
func daysOf(first, last any) template.HTML {
	a, b := template.HTMLEscapeString(fmt.Sprint(first)), template.HTMLEscapeString(fmt.Sprint(last))
	if a == b {
		return template.HTML("<span class=\"whole\">" + a + "</span>")
	}
	return template.HTML("<span><span class=\"whole\">" + a + " –</span> <span class=\"whole\">" + b + "</span></span>")
}

// dayOf writes a day out for a sentence.
func dayOf(l locale.Lang, d store.Day) string {
	if l == locale.Japanese {
		return d.Time().Format("2006年1月2日")
	}
	return d.Time().Format("2 January 2006")
}

// sizeOf writes a number of bytes for people.
func sizeOf(l locale.Lang, n int64) string {
	f, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, u
	}
	if unit == "B" || f == float64(int64(f)) || f >= 100 {
		return l.Int(int64(f)) + " " + unit
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// toneOf says how an authentication result (RFC 8601) reads: well or badly.
func toneOf(result string) string {
	switch result {
	case "pass":
		return "good"
	case "fail", "permerror", "hardfail":
		return "bad"
	case "softfail", "temperror", "policy":
		return "warn"
	}
	return ""
}

// setting is one tag of a published record.
type setting struct{ Name, Value string }

// settingsOf lists what a published policy sets besides its domain and p.
func settingsOf(p aggregate.PolicyPublished) []setting {
	var out []setting
	for _, s := range []setting{
		{"sp", p.SP}, {"np", p.NP}, {"adkim", p.ADKIM}, {"aspf", p.ASPF}, {"pct", p.PCT}, {"fo", p.FO},
		{"t", p.Testing}, {"discovery_method", p.DiscoveryMethod},
	} {
		if s.Value != "" {
			out = append(out, s)
		}
	}
	return out
}
