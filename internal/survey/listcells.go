package survey

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxQuoted bounds a cell in quotation marks, and maxRow a row, in octets. A
// quotation mark that is not closed within the bound is taken for itself.
const (
	maxQuoted = 64 << 10
	maxRow    = 1 << 20
)

// ErrLongRow says that a row is longer than any list has.
var ErrLongRow = errors.New("a row of the list is longer than 1 MiB")

// cellReader reads a table of text as RFC 4180 has it, and leniently: a
// quotation mark within a cell stands for itself, and so does one that is never
// closed; what follows a closing one belongs to the cell; rows end in CR LF, LF
// or CR, and may differ in length.
type cellReader struct {
	r     *bufio.Reader
	delim byte
	line  int64 // that begins next, from 1
	cells []string
	buf   []byte // of the cell
	size  int    // of the row so far
}

func newCells(r io.Reader, delimiter rune) *cellReader {
	return &cellReader{r: bufio.NewReaderSize(r, maxQuoted+utf8.UTFMax), delim: byte(delimiter), line: 1}
}

// Next is that of Rows.
func (c *cellReader) Next() ([]string, int64, error) {
	c.cells, c.size = c.cells[:0], 0
	line := c.line
	for {
		end, err := c.cell()
		if errors.Is(err, io.EOF) {
			if len(c.cells) == 0 && len(c.buf) == 0 {
				return nil, 0, io.EOF
			}
			end, err = true, nil
		}
		if err != nil {
			return nil, 0, fmt.Errorf("line %d: %w", line, err)
		}
		c.cells = append(c.cells, string(c.buf))
		c.buf = c.buf[:0]
		if end {
			return c.cells, line, nil
		}
	}
}

// cell reads one cell into buf, and reports whether it was the row's last. At
// the end of the text it is io.EOF.
func (c *cellReader) cell() (last bool, err error) {
	c.buf = c.buf[:0]
	if b, err := c.r.Peek(1); err == nil && b[0] == '"' {
		if err := c.quoted(); err != nil {
			return false, err
		}
	}
	for {
		b, err := c.r.ReadByte()
		if err != nil {
			return false, err
		}
		if c.size++; c.size > maxRow {
			return false, ErrLongRow
		}
		switch b {
		case c.delim:
			return false, nil
		case '\r':
			if next, err := c.r.Peek(1); err == nil && next[0] == '\n' {
				_, _ = c.r.ReadByte()
			}
			c.line++
			return true, nil
		case '\n':
			c.line++
			return true, nil
		}
		c.buf = append(c.buf, b)
	}
}

// quoted reads a cell in quotation marks, the marks included, if the closing
// one is near enough; else nothing.
func (c *cellReader) quoted() error {
	for n := 512; ; n = min(4*n, maxQuoted) {
		b, err := c.r.Peek(n)
		for i := 1; i < len(b); i++ {
			if b[i] != '"' {
				continue
			}
			if i+1 < len(b) && b[i+1] == '"' {
				i++
				continue
			}
			if i+1 == len(b) && err == nil {
				break // there may be another one behind it
			}
			return c.unquote(b[:i+1])
		}
		if err != nil || n == maxQuoted {
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			return nil
		}
	}
}

// unquote takes a whole cell in quotation marks.
func (c *cellReader) unquote(b []byte) error {
	if c.size += len(b); c.size > maxRow {
		return ErrLongRow
	}
	inner := b[1 : len(b)-1]
	for i := 0; i < len(inner); i++ {
		switch inner[i] {
		case '"':
			i++
		case '\n':
			c.line++
		case '\r':
			if i+1 == len(inner) || inner[i+1] != '\n' {
				c.line++
			}
		}
		c.buf = append(c.buf, inner[i])
	}
	_, err := c.r.Discard(len(b))
	return err
}
