package rpki

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxLine is the longest line of a text that is read.
const maxLine = 64 << 10

// columns are where the three values stand in a line.
type columns struct{ asn, prefix, max int }

// readColumns finds the columns by a header line, as Routinator ("ASN,IP
// Prefix,Max Length,Trust Anchor", csvext with the URI before it) and
// rpki-client write it.
func readColumns(cells []string) (columns, bool) {
	c := columns{-1, -1, -1}
	for i, s := range cells {
		switch strings.ToLower(strings.NewReplacer(" ", "", "_", "", "-", "").Replace(s)) {
		case "asn", "as", "originas":
			c.asn = i
		case "ipprefix", "prefix", "ipaddressprefix":
			c.prefix = i
		case "maxlength", "maxlen":
			c.max = i
		}
	}
	return c, c.asn >= 0 && c.prefix >= 0
}

// csv reads lines "AS64496,192.0.2.0/24,24,…". None of the three values has a
// comma or a line end in it, so that quotes need only be taken off.
func (l *loader) csv(in *bufio.Reader) error {
	lines := newLines(in)
	at := columns{0, 1, 2}
	first := true
	var cells []string
	for lines.next() {
		text := strings.TrimSpace(lines.text)
		if text == "" || text[0] == '#' {
			continue
		}
		cells = cells[:0]
		for c := range strings.SplitSeq(text, ",") {
			cells = append(cells, strings.Trim(strings.TrimSpace(c), `"`))
			if len(cells) == 64 {
				break
			}
		}
		if first {
			first = false
			if c, ok := readColumns(cells); ok {
				at = c
				continue
			}
			if _, err := ParseASN(cells[0]); err != nil || len(cells) < 2 {
				return fmt.Errorf("line %d: %.60q: want the header \"ASN,IP Prefix,Max Length\" or such a line", lines.n, text)
			}
		}
		if err := l.csvEntry(place{"line", lines.n}, at, cells); err != nil {
			return err
		}
	}
	return lines.err
}

func (l *loader) csvEntry(where place, at columns, cells []string) error {
	if len(cells) <= max(at.asn, at.prefix) {
		return l.odd(where, errors.New("too few columns"))
	}
	asn, err := ParseASN(cells[at.asn])
	if err != nil {
		return l.odd(where, err)
	}
	longest := int64(unstated)
	if at.max >= 0 && at.max < len(cells) && cells[at.max] != "" {
		n, err := strconv.ParseUint(cells[at.max], 10, 16)
		if err != nil {
			return l.odd(where, fmt.Errorf("maxLength %.40q: want a number", cells[at.max]))
		}
		longest = int64(n)
	}
	return l.entry(where, asn, cells[at.prefix], longest)
}

// lines reads a text line by line; err says why it stopped, nil at the end.
type lines struct {
	s    *bufio.Scanner
	text string
	n    int64
	err  error
}

func newLines(r io.Reader) *lines {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4<<10), maxLine)
	return &lines{s: s}
}

func (l *lines) next() bool {
	if !l.s.Scan() {
		if err := l.s.Err(); errors.Is(err, bufio.ErrTooLong) {
			l.err = fmt.Errorf("line %d: more than %d octets", l.n+1, maxLine)
		} else if err != nil {
			l.err = fmt.Errorf("line %d: %w", l.n+1, err)
		}
		return false
	}
	l.n++
	l.text = l.s.Text()
	return true
}
