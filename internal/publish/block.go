package publish

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/rivo/uniseg"

	"sekimori/internal/locale"
)

// document is a letter as a row of blocks, before it has a form. All its text
// is worded already.
type document struct {
	lang   locale.Lang
	title  string
	blocks []block
}

// blockKind is what a block is.
type blockKind int

const (
	blockAside     blockKind = iota // a line at the right: date, sender
	blockHeading                    // the title
	blockSection                    // a heading within
	blockParagraph                  // running text
	blockStrong                     // running text that must not be missed
	blockItem                       // of a list, with its own mark: "1." or "・"
	blockSubitem                    // of a list within a list
	blockRecord                     // text to be copied as it is
	blockFact                       // label and value, a line each
	blockFine                       // small print
)

// block is one piece of a document.
type block struct {
	kind  blockKind
	mark  string // of an item, or the label of a fact or a record
	text  string
	depth int // how far records, facts and paragraphs are indented: 0 or 1
}

func (d *document) add(k blockKind, text string) {
	d.blocks = append(d.blocks, block{kind: k, text: text})
}

func (d *document) put(b block) { d.blocks = append(d.blocks, b) }

// writeText writes a document as plain text of at most 80 columns. Records
// stay whole whatever their length, as they are to be copied.
func (d *document) writeText(w io.Writer) error {
	var b bytes.Buffer
	blank := func() {
		if b.Len() > 0 && !bytes.HasSuffix(b.Bytes(), []byte("\n\n")) {
			b.WriteByte('\n')
		}
	}
	var before blockKind = -1
	for _, bl := range d.blocks {
		text := textOfLines(bl.text)
		indent := strings.Repeat("    ", bl.depth)
		switch bl.kind {
		case blockAside:
			for _, line := range Lines(text, columns, wide) {
				b.WriteString(strings.Repeat(" ", max(0, columns-uniseg.StringWidth(line))) + line + "\n")
			}
		case blockHeading:
			blank()
			lines := Lines(text, columns-4, wide)
			for _, line := range lines {
				b.WriteString(strings.Repeat(" ", max(0, columns-uniseg.StringWidth(line))/2) + line + "\n")
			}
			blank()
		case blockSection:
			blank()
			lines := Lines(text, columns, wide)
			longest := 0
			for _, line := range lines {
				b.WriteString(line + "\n")
				longest = max(longest, uniseg.StringWidth(line))
			}
			b.WriteString(strings.Repeat("-", longest) + "\n")
		case blockParagraph, blockStrong, blockFine:
			if before != blockSection {
				blank()
			}
			setText(&b, indent, "", text)
		case blockItem:
			if before != blockSection && before != blockItem {
				blank()
			}
			setText(&b, indent, spaced(bl.mark), text)
		case blockSubitem:
			setText(&b, indent+"    ", spaced(bl.mark), text)
		case blockRecord:
			blank()
			if bl.mark != "" {
				setText(&b, indent, "", textOf(bl.mark))
			}
			b.WriteString(indent + "  " + textOf(bl.text) + "\n")
			blank()
		case blockFact:
			if before != blockFact && before != blockSection {
				blank()
			}
			setText(&b, indent, textOf(bl.mark)+": ", text)
		}
		before = bl.kind
	}
	_, err := w.Write(b.Bytes())
	return err
}

// spaced is a mark with the blank that follows it; the Japanese one is as wide
// as a blank already.
func spaced(mark string) string {
	if mark != "" && mark != "・" {
		mark += " "
	}
	return mark
}

// setText writes a text behind a mark, its further lines as far in. Behind a
// label, which ends in ": ", they are two columns in.
func setText(b *bytes.Buffer, indent, mark, text string) {
	room := float64(columns - len(indent))
	in := strings.Repeat(" ", uniseg.StringWidth(mark))
	if strings.HasSuffix(mark, ": ") {
		text, mark, in = mark+text, "", "  "
		room -= 2
	}
	for i, line := range Lines(text, room-float64(uniseg.StringWidth(mark)), wide) {
		lead := in
		if i == 0 {
			lead = mark
		}
		b.WriteString(indent + lead + line + "\n")
	}
}

// textOfLines is textOf for a text that may have line ends of its own.
func textOfLines(s string) string {
	parts := strings.Split(s, "\n")
	for i, p := range parts {
		parts[i] = textOf(p)
	}
	return strings.Join(parts, "\n")
}

// writeHTML writes a document as a piece of a page, whose style sheet knows
// the classes letter, letter-aside, letter-record, letter-mark, letter-strong
// and letter-fine. Headings begin at h2.
func (d *document) writeHTML(w io.Writer) error {
	var b bytes.Buffer
	esc := template.HTMLEscapeString
	lines := func(s string) string { return strings.ReplaceAll(esc(d.lang.Bound(textOfLines(s))), "\n", "<br>") }
	fmt.Fprintf(&b, "<div class=\"letter\" lang=\"%s\">\n", d.lang)
	open := ""
	list := func(tag string) {
		if open == tag {
			return
		}
		if open != "" {
			fmt.Fprintf(&b, "</%s>\n", open)
		}
		if open = tag; tag != "" {
			fmt.Fprintf(&b, "<%s class=\"letter-list\">\n", tag)
		}
	}
	for _, bl := range d.blocks {
		switch bl.kind {
		case blockFact:
			list("dl")
		default:
			list("")
		}
		inset := ""
		if bl.depth > 0 {
			inset = " letter-inset"
		}
		switch bl.kind {
		case blockAside:
			fmt.Fprintf(&b, "<p class=\"letter-aside\">%s</p>\n", lines(bl.text))
		case blockHeading:
			fmt.Fprintf(&b, "<h2>%s</h2>\n", lines(bl.text))
		case blockSection:
			fmt.Fprintf(&b, "<h3>%s</h3>\n", lines(bl.text))
		case blockParagraph:
			fmt.Fprintf(&b, "<p class=\"letter-text%s\">%s</p>\n", inset, lines(bl.text))
		case blockStrong:
			fmt.Fprintf(&b, "<p class=\"letter-strong\"><strong>%s</strong></p>\n", lines(bl.text))
		case blockItem, blockSubitem:
			class := "letter-item"
			if bl.kind == blockSubitem {
				class += " letter-inset"
			}
			fmt.Fprintf(&b, "<p class=\"%s\"><span class=\"letter-mark\">%s</span> <span>%s</span></p>\n", class, esc(bl.mark), lines(bl.text))
		case blockRecord:
			if bl.mark != "" {
				fmt.Fprintf(&b, "<p class=\"letter-label%s\">%s</p>\n", inset, lines(bl.mark))
			}
			fmt.Fprintf(&b, "<pre class=\"letter-record%s\" tabindex=\"0\"><code>%s</code></pre>\n", inset, esc(textOf(bl.text)))
		case blockFact:
			fmt.Fprintf(&b, "<div><dt>%s</dt><dd>%s</dd></div>\n", lines(bl.mark), lines(bl.text))
		case blockFine:
			fmt.Fprintf(&b, "<p class=\"letter-fine\">%s</p>\n", lines(bl.text))
		}
	}
	list("")
	b.WriteString("</div>\n")
	_, err := w.Write(b.Bytes())
	return err
}
