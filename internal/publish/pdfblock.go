package publish

import (
	"io"
	"strconv"
	"strings"

	"sekimori/explain"
)

// faces of a letter.
var (
	titleFace   = face{bold: true, size: 14, leading: 1.5, ink: black}
	sectionFace = face{bold: true, size: 11, leading: 1.5, ink: black}
	bodyFace    = face{size: 10, leading: 1.5, ink: black}
	strongFace  = face{bold: true, size: 10, leading: 1.5, ink: black}
	labelFace   = face{size: 8.5, leading: 1.5, ink: soft}
	fineFace    = face{size: 8.5, leading: 1.55, ink: soft}
	recordFace  = face{fixed: true, size: 9.5, leading: 1.4, ink: black}
)

// writePDF writes a document on A4, as many pages as it takes.
func (d *document) writePDF(w io.Writer, info pageInfo) error {
	m := margins{left: 23, top: 16, right: 23, bottom: 17}
	s, err := newSheet(info, m)
	if err != nil {
		return err
	}
	s.foot = func(page int) {
		foot := face{size: 8, leading: 1.4, ink: soft}
		s.line(rule, 0.2, m.left, pageHeight-13.5, pageWidth-m.right, pageHeight-13.5)
		s.at(foot, m.left, pageHeight-12, s.clip(foot, d.title, s.width()-20))
		s.right(foot, pageWidth-m.right, pageHeight-12, d.lang.Text("letter.page", explain.Args{"page": strconv.Itoa(page)}))
	}
	var before blockKind = -1
	for i, bl := range d.blocks {
		s.set(bl, before, i+1 < len(d.blocks) && d.blocks[i+1].kind == blockRecord)
		before = bl.kind
	}
	return s.write(w)
}

// set draws one block below what is there.
func (s *sheet) set(bl block, before blockKind, box bool) {
	left, width := s.margin.left, s.width()
	if bl.depth > 0 {
		left, width = left+6, width-6
	}
	gap := func(mm float64) {
		if s.y > s.margin.top {
			s.y += mm
		}
	}
	text := textOfLines(bl.text)
	switch bl.kind {
	case blockAside:
		for _, line := range s.lines(bodyFace, text, width) {
			s.right(bodyFace, left+width, s.y, line)
			s.y += bodyFace.height()
		}
	case blockHeading:
		gap(5)
		for _, line := range s.lines(titleFace, text, width) {
			s.centre(titleFace, pageWidth/2, s.y, line)
			s.y += titleFace.height()
		}
		gap(3)
	case blockSection:
		gap(4.5)
		s.need(sectionFace.height() + 4*bodyFace.height())
		s.fill(blue, left, s.y+0.9, 1.1, sectionFace.height()-1.8)
		s.block(sectionFace, left+3, width-3, text)
		s.y += 1
	case blockParagraph, blockStrong, blockFine:
		f := bodyFace
		switch bl.kind {
		case blockStrong:
			f = strongFace
		case blockFine:
			f = fineFace
		}
		if before != blockSection && before != blockHeading {
			gap(1.6)
		}
		s.block(f, left, width, text)
	case blockItem, blockSubitem:
		if bl.kind == blockSubitem {
			left, width = left+6, width-6
		}
		if before != blockSection {
			gap(0.8)
		}
		s.need(s.least(bodyFace, width-6, text))
		if box {
			s.need(2*bodyFace.height() + 14)
		}
		s.at(bodyFace, left, s.y, bl.mark)
		s.block(bodyFace, left+6, width-6, text)
	case blockRecord:
		s.box(left+6*(1-float64(min(bl.depth, 1))), width-6*(1-float64(min(bl.depth, 1))), textOf(bl.mark), textOf(bl.text))
	case blockFact:
		if before != blockFact && before != blockSection {
			gap(1.6)
		}
		const label = 38.0
		lines := s.lines(labelFace, textOf(bl.mark), label-2)
		s.need(float64(len(lines)) * labelFace.height())
		y := s.y
		for i, line := range lines {
			s.at(labelFace, left, y+float64(i)*labelFace.height(), line)
		}
		s.block(fineOf(black), left+label, width-label, text)
		s.y = max(s.y, y+float64(len(lines))*labelFace.height()) + 0.4
	}
}

// fineOf is the small print in another ink.
func fineOf(c ink) face {
	f := fineFace
	f.ink = c
	return f
}

// box draws a record to be copied: its name above, the text in a frame, broken
// only where it has to be.
func (s *sheet) box(left, width float64, label, text string) {
	const pad = 1.8
	f := recordFace
	if !plainText(text) {
		f.fixed = false
	}
	lines := s.lines(f, text, width-2*pad)
	height := float64(len(lines))*recordFace.height() + 2*pad
	need := height + 3
	if label != "" {
		need += labelFace.height()
	}
	s.need(min(need, pageHeight-s.margin.top-s.margin.bottom))
	s.y += 1
	if label != "" {
		s.block(labelFace, left, width, label)
	}
	s.fill(sunken, left, s.y, width, height)
	s.frame(rule, 0.25, left, s.y, width, height)
	for i, line := range lines {
		s.at(f, left+pad, s.y+pad+float64(i)*recordFace.height(), strings.TrimRight(line, " "))
	}
	s.y += height + 1.5
}
