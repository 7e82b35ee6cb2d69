package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/rivo/uniseg"
)

// lineWidth is the width that text is laid out for where no terminal says
// otherwise.
const lineWidth = 80

// writeJSON writes the one document that --json promises.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// column describes a column of a text table.
type column struct {
	head  string
	right bool // numbers
	grow  bool // takes what is left of the line, and is cut to it
}

// table lays rows out in at most width columns of the terminal. Wide (East
// Asian) characters count as two.
func table(w io.Writer, width int, cols []column, rows [][]string) {
	if width <= 0 {
		width = lineWidth
	}
	widths := make([]int, len(cols))
	for i, c := range cols {
		widths[i] = uniseg.StringWidth(c.head)
		for _, r := range rows {
			widths[i] = max(widths[i], uniseg.StringWidth(r[i]))
		}
	}
	used := 2 * (len(cols) - 1)
	for i, c := range cols {
		if !c.grow {
			used += widths[i]
		}
	}
	for i, c := range cols {
		if c.grow {
			widths[i] = min(widths[i], max(width-used, 12))
		}
	}
	line := func(cells []string) {
		var b strings.Builder
		for i, cell := range cells {
			if i > 0 {
				b.WriteString("  ")
			}
			cell = cut(cell, widths[i])
			pad := strings.Repeat(" ", widths[i]-uniseg.StringWidth(cell))
			if cols[i].right {
				b.WriteString(pad + cell)
			} else {
				b.WriteString(cell + pad)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	heads := make([]string, len(cols))
	for i, c := range cols {
		heads[i] = c.head
	}
	line(heads)
	for _, r := range rows {
		line(r)
	}
}

// cut shortens s to width columns, with an ellipsis.
func cut(s string, width int) string {
	if uniseg.StringWidth(s) <= width {
		return s
	}
	var b strings.Builder
	n := 0
	g := uniseg.NewGraphemes(s)
	for g.Next() {
		if n+g.Width() > width-1 {
			break
		}
		b.WriteString(g.Str())
		n += g.Width()
	}
	return b.String() + "…"
}

// wrap breaks text into lines of at most width columns, at spaces and between
// East Asian characters. The first line begins with lead; the others are
// indented as far.
func wrap(w io.Writer, width int, lead, text string) {
	if width <= 0 {
		width = lineWidth
	}
	indent := strings.Repeat(" ", uniseg.StringWidth(lead))
	room := width - len(indent)
	var line strings.Builder
	n := 0
	flush := func() {
		if n > 0 {
			fmt.Fprintln(w, lead+strings.TrimRight(line.String(), " "))
			lead = indent
		}
		line.Reset()
		n = 0
	}
	state := -1
	for rest := text; rest != ""; {
		var seg string
		var must bool
		seg, rest, must, state = uniseg.FirstLineSegmentInString(rest, state)
		// A name or an address is not broken at its hyphens and slashes, as long
		// as it fits into a line.
		for !must && rest != "" && (strings.HasSuffix(seg, "-") || strings.HasSuffix(seg, "/")) {
			next, after, end, st := uniseg.FirstLineSegmentInString(rest, state)
			if uniseg.StringWidth(strings.TrimRight(seg+next, " \n")) > room {
				break
			}
			seg, rest, must, state = seg+next, after, end, st
		}
		sw := uniseg.StringWidth(strings.TrimRight(seg, " \n"))
		if n > 0 && n+sw > room {
			flush()
		}
		line.WriteString(strings.TrimRight(seg, "\n"))
		n += uniseg.StringWidth(strings.TrimRight(seg, "\n"))
		if must {
			flush()
		}
	}
	flush()
}

// prose is a text broken into lines for --help.
func (e *Env) prose(code string) string {
	var b strings.Builder
	wrap(&b, lineWidth-1, "", e.text(code, nil))
	return strings.TrimRight(b.String(), "\n")
}
