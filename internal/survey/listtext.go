package survey

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Form is what kind of file a list is.
type Form string

const (
	FormText Form = "text" // CSV, TSV, or one domain a line
	FormXLSX Form = "xlsx"
)

// FormOf tells the form of a file by its first octets, 512 or all there are.
// The error says what it is instead, and what to do.
func FormOf(head []byte) (Form, error) {
	not := func(what string) (Form, error) {
		return "", fmt.Errorf("not a list: %s; want CSV, TSV or XLSX, or one domain a line", what)
	}
	trimmed := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n"))
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return FormXLSX, nil
	case bytes.HasPrefix(head, []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")):
		return not("an old Excel file (.xls) or an encrypted one; save it as .xlsx without a password, or as CSV")
	case bytes.HasPrefix(head, []byte("%PDF")):
		return not("a PDF file")
	case bytes.HasPrefix(head, []byte("\x1f\x8b")), bytes.HasPrefix(head, []byte("BZh")), bytes.HasPrefix(head, []byte("\xfd7zXZ")), bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		return not("a compressed file; unpack it first")
	case bytes.HasPrefix(trimmed, []byte("<!doctype")), bytes.HasPrefix(trimmed, []byte("<html")), bytes.HasPrefix(trimmed, []byte("<?xml")):
		return not("a web page or an XML file")
	case bytes.HasPrefix(trimmed, []byte("{")), bytes.HasPrefix(trimmed, []byte("[{")):
		return not("a JSON file")
	}
	if _, ok := utf16Of(head); ok {
		return FormText, nil
	}
	if bytes.Count(head, []byte{0}) > 0 {
		return not("a binary file")
	}
	return FormText, nil
}

// Text is a list in a text file. It is safe for concurrent use where its
// file is.
type Text struct {
	// Charset is the file's, by its name at IANA in small letters.
	Charset string
	// Delimiter parts the cells.
	Delimiter rune

	file io.ReaderAt
	size int64
	enc  encoding.Encoding // nil for UTF-8
}

// OpenText finds out the character set, from the whole file unless it is
// given, and what parts the cells, from its beginning.
func OpenText(file io.ReaderAt, size int64, charset string) (*Text, error) {
	t := &Text{file: file, size: size}
	var err error
	if charset != "" {
		t.Charset, t.enc, err = charsetNamed(charset)
	} else {
		t.Charset, t.enc, err = detect(io.NewSectionReader(file, 0, size))
	}
	if err != nil {
		return nil, err
	}
	head, err := io.ReadAll(io.LimitReader(t.decoded(), 256<<10))
	if err != nil {
		return nil, err
	}
	t.Delimiter = delimiter(head)
	return t, nil
}

// Rows begins to read the table.
func (t *Text) Rows() (Rows, error) { return newCells(t.decoded(), t.Delimiter), nil }

// decoded is the file in UTF-8, without a byte order mark.
func (t *Text) decoded() io.Reader {
	var r io.Reader = io.NewSectionReader(t.file, 0, t.size)
	if t.enc != nil {
		return transform.NewReader(r, t.enc.NewDecoder())
	}
	return transform.NewReader(r, unicode.UTF8BOM.NewDecoder())
}

func charsetNamed(name string) (string, encoding.Encoding, error) {
	switch strings.ToLower(strings.ReplaceAll(name, "_", "-")) {
	case "utf-8", "utf8":
		return "utf-8", nil, nil
	case "cp932", "ms932", "sjis", "windows-31j":
		name = "shift_jis"
	case "utf-16", "utf16":
		return "utf-16", unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), nil
	}
	enc, err := htmlindex.Get(name)
	if err != nil {
		return "", nil, fmt.Errorf("unknown character set %s: want utf-8, shift_jis, euc-jp, iso-2022-jp or utf-16", quoted(name))
	}
	canonical, err := htmlindex.Name(enc)
	if err != nil {
		canonical = strings.ToLower(name)
	}
	return canonical, enc, nil
}

// utf16Of recognises UTF-16 by its mark, or by the octets of zero that ASCII
// has in it.
func utf16Of(head []byte) (encoding.Encoding, bool) {
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), true
	case len(head) < 4:
		return nil, false
	}
	var zeros [2]int
	for i, c := range head {
		if c == 0 {
			zeros[i&1]++
		}
	}
	switch few, many := len(head)/100, len(head)/5; {
	case zeros[1] > many && zeros[0] <= few:
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), true
	case zeros[0] > many && zeros[1] <= few:
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), true
	}
	return nil, false
}

// detect tells UTF-8, UTF-16, Shift_JIS (with the additions of Windows), EUC-JP
// and ISO-2022-JP apart. Where a text is none of them throughout, it is taken
// for that with the fewest faults.
func detect(r io.Reader) (string, encoding.Encoding, error) {
	var utf, sjis, euc judge
	buf := make([]byte, 64<<10)
	escapes := false
	for first := true; ; first = false {
		n, err := io.ReadFull(r, buf)
		b := buf[:n]
		if first {
			if enc, ok := utf16Of(b[:min(n, 512)]); ok {
				return "utf-16", enc, nil
			}
		}
		escapes = escapes || bytes.Contains(b, []byte("\x1b$B")) || bytes.Contains(b, []byte("\x1b$@"))
		for _, c := range b {
			if c < 0x80 && utf.need == 0 && sjis.need == 0 && euc.need == 0 {
				continue
			}
			utf.utf8(c)
			sjis.shiftJIS(c)
			euc.eucJP(c)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return "", nil, err
		}
	}
	switch {
	case escapes && utf.faults == 0:
		return "iso-2022-jp", japanese.ISO2022JP, nil
	case utf.faults == 0 || utf.faults <= min(sjis.cost(), euc.cost()):
		return "utf-8", nil, nil
	case euc.cost() < sjis.cost():
		return "euc-jp", japanese.EUCJP, nil
	}
	return "shift_jis", japanese.ShiftJIS, nil
}

// judge follows a text octet by octet as if it were in one character set.
type judge struct {
	need   int  // octets that the character still wants
	lead   byte // its first octet
	faults int64
	rare   int64 // half-width katakana: what the wrong set makes of kanji
}

func (j *judge) cost() int64 { return j.faults + j.rare/4 }

func (j *judge) utf8(c byte) {
	switch {
	case j.need > 0 && c&0xC0 == 0x80:
		j.need--
	case j.need > 0:
		j.need = 0
		j.faults++
		j.utf8(c)
	case c < 0x80:
	case c >= 0xC2 && c < 0xE0:
		j.need = 1
	case c >= 0xE0 && c < 0xF0:
		j.need = 2
	case c >= 0xF0 && c < 0xF5:
		j.need = 3
	default:
		j.faults++
	}
}

func (j *judge) shiftJIS(c byte) {
	switch {
	case j.need > 0:
		j.need = 0
		if c < 0x40 || c == 0x7F || c > 0xFC {
			j.faults++
		}
	case c < 0x80:
	case c >= 0xA1 && c <= 0xDF:
		j.rare++
	case c >= 0x81 && c <= 0x9F, c >= 0xE0 && c <= 0xFC:
		j.need = 1
	default:
		j.faults++
	}
}

func (j *judge) eucJP(c byte) {
	switch {
	case j.need > 0:
		if c < 0xA1 || c == 0xFF {
			j.need = 0
			j.faults++
			j.eucJP(c)
			return
		}
		if j.need--; j.lead == 0x8E {
			j.rare++
		}
	case c < 0x80:
	case c == 0x8E, c >= 0xA1 && c <= 0xFE:
		j.lead, j.need = c, 1
	case c == 0x8F:
		j.lead, j.need = c, 2
	default:
		j.faults++
	}
}

// delimiter finds what parts the cells: that which gives most rows the same
// number of them.
func delimiter(head []byte) rune {
	head = head[:validEnd(head)]
	best, most := ',', 0
	for _, d := range [...]rune{'\t', ',', ';', '|'} {
		widths := map[int]int{}
		rows := newCells(bytes.NewReader(head), d)
		for n := 0; n < 100; n++ {
			cells, _, err := rows.Next()
			if err != nil {
				break
			}
			if !blank(cells) {
				widths[len(cells)]++
			}
		}
		for w, n := range widths {
			if w < 2 {
				continue
			}
			// A row more weighs as much as a column more, so that commas within
			// the cells of a table do not win.
			if score := n * (min(w, 50) + 8); score > most {
				best, most = d, score
			}
		}
	}
	return best
}

// validEnd is where the last whole character ends.
func validEnd(b []byte) int {
	for i := len(b); i > 0 && i > len(b)-utf8.UTFMax; i-- {
		if r, n := utf8.DecodeLastRune(b[:i]); r != utf8.RuneError || n != 1 {
			return i
		}
	}
	return len(b)
}
