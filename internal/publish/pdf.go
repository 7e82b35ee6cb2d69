package publish

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/text/unicode/norm"

	"sekimori/internal/locale"
)

// An A4 page in millimetres, upright.
const (
	pageWidth  = 210.0
	pageHeight = 297.0
)

// point is the size of a typographic point in millimetres.
const point = 25.4 / 72

// missing stands for a character that the typeface lacks; Japanese printers
// use it so.
const missing = '〓'

// ink is a colour of the paper forms: dark enough on white for WCAG's 4.5 : 1,
// and told apart in grey.
type ink struct{ r, g, b int }

var (
	black  = ink{26, 26, 26}
	soft   = ink{89, 89, 89}
	rule   = ink{178, 178, 178}
	sunken = ink{244, 244, 244}
	blue   = ink{0, 49, 216} // links and the line of the chart
	green  = ink{25, 122, 75}
	red    = ink{206, 0, 0}
	white  = ink{255, 255, 255}
)

// face is a style of text: weight and size, its ink, and the distance between
// lines as a multiple of the size.
type face struct {
	bold, fixed bool
	size        float64 // points
	ink         ink
	leading     float64
}

func (f face) height() float64 { return f.size * f.leading * point }

// margins are the empty edges of a page, in millimetres.
type margins struct{ left, top, right, bottom float64 }

// sheet is a PDF on its way. Positions are in millimetres from the upper left
// corner. The first error stays and is returned by write.
type sheet struct {
	f      *fpdf.Fpdf
	lang   locale.Lang
	margin margins
	y      float64 // where the next line begins
	has    map[rune]bool
	foot   func(page int) // draws the foot of a page before it is left; nil for none
}

// pageInfo is what a PDF says of itself.
type pageInfo struct {
	lang          locale.Lang
	title, author string
	made          time.Time // the same input and time give the same octets
}

// newSheet begins a document with one empty page.
func newSheet(info pageInfo, m margins) (*sheet, error) {
	f := fpdf.New("P", "mm", "A4", "")
	f.SetCatalogSort(true)
	f.SetCreationDate(info.made.UTC())
	f.SetModificationDate(info.made.UTC())
	f.SetProducer("Sekimori", true)
	f.SetCreator("Sekimori", true)
	f.SetTitle(textOf(info.title), true)
	f.SetAuthor(textOf(info.author), true)
	f.SetLang(string(info.lang))
	f.SetXmpMetadata(xmp(info))
	f.SetAutoPageBreak(false, 0)
	f.SetMargins(m.left, m.top, m.right)
	s := &sheet{f: f, lang: info.lang, margin: m, y: m.top}
	for style, weight := range map[string]string{"": regular, "B": bold} {
		b, err := typeface(weight)
		if err != nil {
			return nil, err
		}
		if s.has == nil {
			if s.has, err = coverage(b); err != nil {
				return nil, fmt.Errorf("%s: %w", weight, err)
			}
		}
		f.AddUTF8FontFromBytes("noto", style, b)
	}
	f.AddPage()
	return s, f.Error()
}

// write ends the document.
func (s *sheet) write(w io.Writer) error {
	if s.foot != nil {
		s.foot(s.f.PageNo())
	}
	if err := s.f.Output(w); err != nil {
		return fmt.Errorf("write the PDF: %w", err)
	}
	return nil
}

// width is that between the margins.
func (s *sheet) width() float64 { return pageWidth - s.margin.left - s.margin.right }

// room is the height that is left on the page.
func (s *sheet) room() float64 { return pageHeight - s.margin.bottom - s.y }

// turn begins a new page.
func (s *sheet) turn() {
	if s.foot != nil {
		s.foot(s.f.PageNo())
	}
	s.f.AddPage()
	s.y = s.margin.top
}

// need turns the page if there is less room than that.
func (s *sheet) need(height float64) {
	if s.room() < height && s.y > s.margin.top {
		s.turn()
	}
}

// take sets the typeface of what follows.
func (s *sheet) take(f face) {
	style := ""
	if f.bold {
		style = "B"
	}
	if f.fixed {
		s.f.SetFont("Courier", style, f.size)
	} else {
		s.f.SetFont("noto", style, f.size)
	}
	s.f.SetTextColor(f.ink.r, f.ink.g, f.ink.b)
}

// plain is a text as the typeface can show it.
func (s *sheet) plain(f face, text string) string {
	text = norm.NFC.String(text)
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case 0xfe00 <= r && r <= 0xfe0f || 0xe0100 <= r && r <= 0xe01ef || r == 0x200b || r == 0xfeff:
			return -1 // selectors of variants, and what has no width
		case f.fixed && (r < ' ' || r > '~'):
			return '?'
		case f.fixed || s.has[r]:
			return r
		case r == '–' || r == '\u2011' || r == '\u00ad':
			return '-'
		case r == '\u00a0' || r == '\u202f' || r == '\t':
			return ' '
		}
		return missing
	}, strings.ToValidUTF8(text, string(missing)))
}

// measure is the width of a line in a face.
func (s *sheet) measure(f face, text string) float64 {
	s.take(f)
	return s.f.GetStringWidth(s.plain(f, text))
}

// lines breaks a text for a width.
func (s *sheet) lines(f face, text string, width float64) []string {
	s.take(f)
	return Lines(s.plain(f, text), width, s.f.GetStringWidth)
}

// clip shortens a line to a width, with an ellipsis.
func (s *sheet) clip(f face, text string, width float64) string {
	s.take(f)
	text = s.plain(f, text)
	if s.f.GetStringWidth(text) <= width {
		return text
	}
	r := []rune(text)
	for len(r) > 1 && s.f.GetStringWidth(string(r)+"…") > width {
		r = r[:len(r)-1]
	}
	return strings.TrimRight(string(r), " ") + "…"
}

// at sets one line with its upper left corner there. Nothing is broken.
func (s *sheet) at(f face, x, y float64, text string) {
	s.take(f)
	// Noto's ascent is 0.88 of the em square that a line is centred on.
	s.f.Text(x, y+f.height()/2+f.size*point*0.36, s.plain(f, text))
}

// right sets one line that ends there.
func (s *sheet) right(f face, x, y float64, text string) {
	s.at(f, x-s.measure(f, text), y, text)
}

// centre sets one line about there.
func (s *sheet) centre(f face, x, y float64, text string) {
	s.at(f, x-s.measure(f, text)/2, y, text)
}

// least is the height that the first lines of a text need on a page: its first
// two, or all three of three.
func (s *sheet) least(f face, width float64, text string) float64 {
	n := len(s.lines(f, text, width))
	if n > 3 {
		n = 2
	}
	return float64(n) * f.height()
}

// block sets a text from left on, as wide as given, and goes below it. Pages
// turn between its lines, but neither is one line alone left behind nor one
// taken over.
func (s *sheet) block(f face, left, width float64, text string) {
	s.need(s.least(f, width, text))
	lines := s.lines(f, text, width)
	for i, line := range lines {
		if rest := len(lines) - i; rest == 2 && len(lines) > 3 {
			s.need(2 * f.height())
		} else {
			s.need(f.height())
		}
		s.at(f, left, s.y, line)
		s.y += f.height()
	}
}

// fill paints a rectangle.
func (s *sheet) fill(c ink, x, y, w, h float64) {
	s.f.SetFillColor(c.r, c.g, c.b)
	s.f.Rect(x, y, w, h, "F")
}

// line draws a stroke.
func (s *sheet) line(c ink, thick, x1, y1, x2, y2 float64) {
	s.f.SetDrawColor(c.r, c.g, c.b)
	s.f.SetLineWidth(thick)
	s.f.Line(x1, y1, x2, y2)
}

// frame draws a rectangle's edge.
func (s *sheet) frame(c ink, thick, x, y, w, h float64) {
	s.f.SetDrawColor(c.r, c.g, c.b)
	s.f.SetLineWidth(thick)
	s.f.Rect(x, y, w, h, "D")
}

// xmp is the title, author and language for programs that read no PDF
// dictionary (ISO 16684-1).
func xmp(info pageInfo) []byte {
	esc := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace
	at := info.made.UTC().Format(time.RFC3339)
	return []byte(`<?xpacket begin="` + "\ufeff" + `" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/">
<dc:format>application/pdf</dc:format>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">` + esc(textOf(info.title)) + `</rdf:li></rdf:Alt></dc:title>
<dc:creator><rdf:Seq><rdf:li>` + esc(textOf(info.author)) + `</rdf:li></rdf:Seq></dc:creator>
<dc:language><rdf:Bag><rdf:li>` + string(info.lang) + `</rdf:li></rdf:Bag></dc:language>
<xmp:CreateDate>` + at + `</xmp:CreateDate><xmp:ModifyDate>` + at + `</xmp:ModifyDate><xmp:CreatorTool>Sekimori</xmp:CreatorTool>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>`)
}

// coverage reads which characters of the basic plane a TrueType font has, from
// its character map of format 4 (OpenType 1.9, "cmap"). The font is part of
// the program, and still nothing is read beyond its end.
func coverage(font []byte) (map[rune]bool, error) {
	bad := fmt.Errorf("no character map of format 4 in the font")
	u16 := func(at int) int {
		if at < 0 || at+2 > len(font) {
			return -1
		}
		return int(binary.BigEndian.Uint16(font[at:]))
	}
	u32 := func(at int) int { return u16(at)<<16 | u16(at+2) }
	table := -1
	for i := range max(0, u16(4)) {
		if at := 12 + 16*i; at+16 <= len(font) && string(font[at:at+4]) == "cmap" {
			table = u32(at + 8)
		}
	}
	if table < 0 {
		return nil, bad
	}
	for i := range max(0, u16(table+2)) {
		at := table + u32(table+4+8*i+4)
		if u16(at) != 4 {
			continue
		}
		has := map[rune]bool{}
		n := u16(at+6) / 2
		for seg := range max(0, n) {
			end, start := u16(at+14+2*seg), u16(at+16+2*n+2*seg)
			delta, offset := u16(at+16+4*n+2*seg), u16(at+16+6*n+2*seg)
			for c := start; c >= 0 && c <= end && c < 0xffff; c++ {
				glyph := c
				if offset > 0 {
					if glyph = u16(at + 16 + 6*n + 2*seg + offset + 2*(c-start)); glyph <= 0 {
						continue
					}
				}
				if (glyph+delta)&0xffff != 0 {
					has[rune(c)] = true
				}
			}
		}
		return has, nil
	}
	return nil, bad
}
