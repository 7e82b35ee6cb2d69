package publish

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"

	"sekimori/internal/survey"
)

// Charts are inline SVG without a viewBox, in percent of their width: they fit
// the column that they stand in without stretching patterns and strokes. They
// are decoration to a screen reader, as the figures stand beside them in the
// same row. Their colours and patterns come from the page's style.

// pct is a fraction as a length in SVG.
func pct(f float64) string {
	return strconv.FormatFloat(max(0, min(1, f))*100, 'f', 3, 64) + "%"
}

// barChart draws a share from 0 to 100 %, and its interval, if it has one, as a
// whisker.
func barChart(s survey.Figure) template.HTML {
	var b strings.Builder
	b.WriteString(`<svg class="bar" width="100%" height="18" aria-hidden="true" focusable="false"><rect class="bed" y="2" width="100%" height="14"/>`)
	if share, ok := s.Value(); ok {
		fmt.Fprintf(&b, `<rect class="yes" y="2" width="%s" height="14"/>`, pct(share))
	}
	if low, high, ok := s.Interval(); ok {
		for _, class := range [...]string{"halo", "whisker"} {
			fmt.Fprintf(&b, `<g class="%s"><line x1="%s" x2="%s" y1="9" y2="9"/><line x1="%s" x2="%s" y1="5" y2="13"/><line x1="%s" x2="%s" y1="5" y2="13"/></g>`,
				class, pct(low), pct(high), pct(low), pct(low), pct(high), pct(high))
		}
	}
	for _, x := range [...]string{"25%", "50%", "75%"} {
		fmt.Fprintf(&b, `<line class="grid" x1="%s" x2="%s" y1="0" y2="18"/>`, x, x)
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

// part is a piece of a stacked bar.
type part struct {
	Class string // its colour and pattern
	Label string
	Count int64
	Share string // of the whole, written out
}

// stackedChart draws counts as parts of their sum. Pieces that have room for
// it show their share.
func stackedChart(parts []part, height int) template.HTML {
	var total int64
	for _, p := range parts {
		total += p.Count
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="stack" width="100%%" height="%d" aria-hidden="true" focusable="false">`, height)
	var at float64
	for _, p := range parts {
		if total == 0 || p.Count == 0 {
			continue
		}
		w := float64(p.Count) / float64(total)
		fmt.Fprintf(&b, `<rect class="seg %s" x="%s" width="%s" height="%d"/><rect class="tex %s" x="%s" width="%s" height="%d"/>`, p.Class, pct(at), pct(w), height, p.Class, pct(at), pct(w), height)
		if at > 0 {
			fmt.Fprintf(&b, `<line class="gap" x1="%s" x2="%s" y1="0" y2="%d"/>`, pct(at), pct(at), height)
		}
		at += w
	}
	fmt.Fprintf(&b, `<rect class="frame" x="0" y="0" width="100%%" height="%d"/></svg>`, height)
	return template.HTML(b.String())
}

// swatch is the sign of a part in a legend.
func swatch(class string) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg class="swatch" width="24" height="14" aria-hidden="true" focusable="false"><rect class="seg %s" width="24" height="14"/><rect class="tex %s" width="24" height="14"/><rect class="frame" width="24" height="14"/></svg>`, class, class))
}

// moveChart draws a share before, as a ring, and after, as a disc.
func moveChart(before, after survey.Figure) template.HTML {
	var b strings.Builder
	b.WriteString(`<svg class="move" width="100%" height="22" aria-hidden="true" focusable="false"><line class="base" x1="2%" x2="98%" y1="11" y2="11"/>`)
	for _, x := range [...]string{"2%", "26%", "50%", "74%", "98%"} {
		fmt.Fprintf(&b, `<line class="grid" x1="%s" x2="%s" y1="2" y2="20"/>`, x, x)
	}
	from, ok1 := before.Value()
	to, ok2 := after.Value()
	if ok1 && ok2 {
		fmt.Fprintf(&b, `<line class="way" x1="%s" x2="%s" y1="11" y2="11"/>`, inside(from), inside(to))
	}
	if ok1 {
		fmt.Fprintf(&b, `<circle class="from" cx="%s" cy="11" r="5"/>`, inside(from))
	}
	if ok2 {
		fmt.Fprintf(&b, `<circle class="to" cx="%s" cy="11" r="5"/>`, inside(to))
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

// inside keeps a sign off the edges, where half of it would be cut.
func inside(f float64) string { return pct(0.02 + f*0.96) }

// heat is the class of a cell's tint by its share, from "heat0" to "heat10".
func heat(s survey.Figure) string {
	f, ok := s.Value()
	if !ok {
		return "heatless"
	}
	return "heat" + strconv.Itoa(int(f*10+0.5))
}
