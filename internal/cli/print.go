package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/rivo/uniseg"

	"sekimori/internal/publish"
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
	fit(cols, widths, width)
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

// without leaves a column out of a table.
func without(cols []column, rows [][]string, at int) ([]column, [][]string) {
	for i := range rows {
		rows[i] = slices.Delete(rows[i], at, at+1)
	}
	return slices.Delete(cols, at, at+1), rows
}

// growLeast is how narrow a column that grows may become.
const growLeast = 10

// fit makes columns that grow narrower, the widest first, until the line fits.
func fit(cols []column, widths []int, width int) {
	over := 2*(len(cols)-1) - width
	for _, n := range widths {
		over += n
	}
	for ; over > 0; over-- {
		widest := -1
		for i, c := range cols {
			if c.grow && widths[i] > growLeast && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
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

// wrap breaks text into lines of at most width columns. The first line begins
// with lead; the others are indented as far. A word that is wider than a line
// stays whole, so that it can be copied.
func wrap(w io.Writer, width int, lead, text string) {
	if width <= 0 {
		width = lineWidth
	}
	indent := strings.Repeat(" ", uniseg.StringWidth(lead))
	room := float64(width - len(indent))
	measure := func(s string) float64 {
		n := float64(uniseg.StringWidth(s))
		if n > room {
			if _, more, _, _ := uniseg.FirstLineSegmentInString(s, -1); more == "" {
				return room
			}
		}
		return n
	}
	for _, line := range publish.Lines(text, room, measure) {
		fmt.Fprintln(w, lead+line)
		lead = indent
	}
}

// prose is a text broken into lines for --help.
func (e *Env) prose(code string) string {
	var b strings.Builder
	wrap(&b, lineWidth-1, "", e.text(code, nil))
	return strings.TrimRight(b.String(), "\n")
}
