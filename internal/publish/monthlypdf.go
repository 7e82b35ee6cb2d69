package publish

import (
	"io"
	"strconv"

	"sekimori/explain"
	"sekimori/internal/advise"
)

// area is a part of the page that what is set in it never leaves.
type area struct{ x, y, w, h float64 }

// fit sets a text into an area: in the largest of the sizes in which it fits,
// else in the least, cut off with an ellipsis. It returns the height it took.
func (s *sheet) fit(f face, sizes []float64, in area, text string) float64 {
	var lines []string
	for i, size := range sizes {
		f.size = size
		lines = s.lines(f, text, in.w)
		most := max(1, int(in.h/f.height()+1e-6))
		if len(lines) <= most {
			break
		}
		if i == len(sizes)-1 {
			lines[most-1] = s.clip(f, lines[most-1]+"…", in.w)
			lines = lines[:most]
		}
	}
	for i, line := range lines {
		s.at(f, in.x, in.y+float64(i)*f.height(), line)
	}
	return float64(len(lines)) * f.height()
}

// list sets points one below the other, each of at most so many lines, as far
// as there is room.
func (s *sheet) list(f face, in area, most int, marks func(int) string, items []string) float64 {
	const indent = 5
	y := in.y
	for i, text := range items {
		h := float64(most) * f.height()
		if left := in.y + in.h - y; left < f.height() {
			break
		} else if h > left {
			h = left
		}
		s.at(f, in.x, y, marks(i))
		y += s.fit(f, []float64{f.size}, area{in.x + indent, y, in.w - indent, h}, text) + 0.8
	}
	return y - in.y
}

// writePDF writes the report on one page: every part has its place, and what
// is too long for it is cut off.
func (p *monthlyPaper) writePDF(w io.Writer) error {
	m := margins{left: 18, top: 15, right: 18, bottom: 12}
	s, err := newSheet(pageInfo{lang: p.lang, title: p.Title, author: "", made: p.f.Made}, m)
	if err != nil {
		return err
	}
	left, width := m.left, s.width()
	title := face{bold: true, size: 15, leading: 1.35, ink: black}
	small := face{size: 8, leading: 1.45, ink: soft}
	y := m.top
	lines := 14.5
	if least := (face{bold: true, size: 11.5}); s.measure(least, p.Title) <= width { // better small than in two lines
		lines = title.height()
	}
	y += s.fit(title, []float64{15, 13, 11.5, 11}, area{left, y, width, lines}, p.Title) + 1
	s.at(small, left, y, s.clip(small, p.Period, width))
	y += small.height() + 3
	y = p.pdfVerdict(s, y) + 4
	y = p.pdfTiles(s, y) + 5
	if len(p.Line) > 0 {
		y = p.pdfLine(s, y) + 5
	}
	p.pdfPair(s, y)
	s.line(rule, 0.2, left, pageHeight-m.bottom-9, pageWidth-m.right, pageHeight-m.bottom-9)
	foot := face{size: 7, leading: 1.45, ink: soft}
	s.fit(foot, []float64{7}, area{left, pageHeight - m.bottom - 8, width, 8}, p.t("monthly.note", nil)+" "+p.Made)
	return s.write(w)
}

func (p *monthlyPaper) pdfVerdict(s *sheet, y float64) float64 {
	height := 34.0
	if len(p.Why) == 0 {
		height = 20
	}
	left, width := s.margin.left, s.width()
	c := soft
	switch advise.Verdict(p.Class) {
	case advise.Ready:
		c = green
	case advise.NotReady:
		c = red
	}
	s.fill(ink{247, 247, 247}, left, y, width, height)
	s.fill(c, left, y, 2.2, height)
	sign := face{bold: true, size: 15, leading: 1, ink: white}
	s.f.SetFillColor(c.r, c.g, c.b)
	s.f.Circle(left+10, y+8, 4.3, "F")
	mark := p.Sign
	if mark == "✓" {
		s.f.SetDrawColor(255, 255, 255)
		s.f.SetLineWidth(0.9)
		s.f.Line(left+8, y+8.1, left+9.5, y+9.7)
		s.f.Line(left+9.5, y+9.7, left+12.2, y+6.3)
	} else {
		s.centre(sign, left+10, y+8-sign.height()/2, mark)
	}
	answer := face{bold: true, size: 15, leading: 1.3, ink: black}
	at := y + 4.2
	at += s.fit(answer, []float64{15, 13, 11.5}, area{left + 17, at, width - 21, 12.5}, p.Verdict) + 1.4
	why := face{size: 8.5, leading: 1.4, ink: black}
	s.list(why, area{left + 17, at, width - 21, y + height - at - 1.5}, 2, func(int) string { return p.bullet() }, p.Why)
	return y + height
}

func (p *monthlyPaper) bullet() string {
	if p.lang == "ja" {
		return "・"
	}
	return "•"
}

func (p *monthlyPaper) pdfTiles(s *sheet, y float64) float64 {
	const height, gap = 31, 3.0
	w := (s.width() - 3*gap) / 4
	label := face{size: 8.5, leading: 1.35, ink: black}
	value := face{bold: true, size: 19, leading: 1.25, ink: black}
	aside := face{size: 7.5, leading: 1.4, ink: soft}
	colours := map[string]ink{"aligned": green, "broken": red, "spoof": {111, 79, 174}, "work": blue}
	for i, t := range p.Tiles {
		x := s.margin.left + float64(i)*(w+gap)
		s.frame(rule, 0.25, x, y, w, height)
		s.fill(colours[t.Class], x, y, w, 1.2)
		s.fit(label, []float64{8.5, 7.5}, area{x + 2.5, y + 2.8, w - 5, 4.2}, t.Label)
		s.fit(value, []float64{19, 16, 13, 10.5, 8.5}, area{x + 2.5, y + 7.6, w - 5, 8.6}, t.Value)
		s.fit(aside, []float64{7.5, 6.8}, area{x + 2.5, y + 17.2, w - 5, height - 17.8}, t.Aside)
	}
	return y + height
}

// heading sets the heading of a part.
func (s *sheet) heading(x, y, width float64, text string) float64 {
	f := face{bold: true, size: 10.5, leading: 1.35, ink: black}
	s.fill(blue, x, y+0.6, 1, f.height()-1.2)
	s.at(f, x+2.6, y, s.clip(f, text, width-2.6))
	return y + f.height() + 1.2
}

func (p *monthlyPaper) pdfLine(s *sheet, y float64) float64 {
	const height = 48.0
	y = s.heading(s.margin.left, y, s.width(), p.t("monthly.section.line", nil))
	low := p.least()
	left, right := s.margin.left+15, pageWidth-s.margin.right-8
	top, bottom := y+5, y+height-6
	x := func(i int) float64 { return left + (right-left)*float64(i)/float64(max(1, len(p.Line)-1)) }
	at := func(share float64) float64 { return bottom - (bottom-top)*(share-low)/(1-low) }
	scale := face{size: 7, leading: 1.3, ink: soft}
	for _, share := range []float64{low, (low + 1) / 2, 1} {
		s.line(ink{217, 217, 217}, 0.2, left, at(share), right, at(share))
		s.right(scale, left-2, at(share)-scale.height()/2, scaleText(share))
	}
	last := -1
	for i, m := range p.Line {
		s.centre(scale, x(i), bottom+1.6, m.Label)
		if m.Known && last >= 0 {
			s.line(blue, 0.55, x(last), at(p.Line[last].Share), x(i), at(m.Share))
		}
		if last = i; !m.Known {
			last = -1
		}
	}
	value := face{size: 7, leading: 1.3, ink: black}
	for i, m := range p.Line {
		if !m.Known {
			s.centre(scale, x(i), bottom-scale.height()-0.6, "–")
			continue
		}
		s.f.SetFillColor(blue.r, blue.g, blue.b)
		s.f.Circle(x(i), at(m.Share), 0.9, "F")
		if i == len(p.Line)-1 {
			value.bold = true
		}
		above := at(m.Share) - 1.6 - value.height()
		if p.below(i) {
			above = at(m.Share) + 1.4
		}
		s.centre(value, x(i), above, m.Value)
	}
	return y + height
}

// pdfPair sets what to do on the left, and the ladder and the next step on the
// right, down to the foot of the page.
func (p *monthlyPaper) pdfPair(s *sheet, y float64) {
	const gap = 8.0
	w := (s.width() - gap) / 2
	end := pageHeight - s.margin.bottom - 11
	body := face{size: 9.5, leading: 1.45, ink: black}
	small := face{size: 7.5, leading: 1.4, ink: soft}

	x := s.margin.left
	at := s.heading(x, y, w, p.t("monthly.section.fixes", nil))
	if len(p.Fixes) == 0 {
		at += s.fit(body, []float64{9.5, 8.5}, area{x, at, w, 3 * body.height()}, p.t("monthly.fixes.none", nil))
	} else {
		for i, d := range p.Fixes {
			if at+body.height()+small.height() > end-36 && i > 0 {
				break
			}
			s.at(body, x, at, strconv.Itoa(i+1)+".")
			at += s.fit(body, []float64{9.5, 8.5}, area{x + 5, at, w - 5, 2 * body.height()}, d.What)
			if d.Who != "" {
				at += s.fit(small, []float64{7.5}, area{x + 5, at, w - 5, 2 * small.height()}, d.Who)
			}
			at += 1
		}
	}
	if p.More != "" {
		s.at(small, x, at, s.clip(small, p.More, w))
		at += small.height()
	}
	at = s.heading(x, at+3, w, p.t("monthly.section.events", nil))
	events := p.Events
	if len(events) == 0 {
		events = []string{p.t("monthly.events.none", nil)}
	}
	event := face{size: 8.5, leading: 1.45, ink: black}
	s.list(event, area{x, at, w, end - at}, 3, func(int) string { return p.bullet() }, events)

	x += w + gap
	at = s.heading(x, y, w, p.t("monthly.section.step", nil))
	for _, r := range p.Rungs {
		c, thick := rule, 0.25
		f, tag := face{size: 8.5, leading: 1.3, ink: black}, ""
		switch {
		case r.Now:
			c, thick, tag, f.bold = blue, 0.7, p.t("monthly.now", nil), true
		case r.Next:
			c, thick, tag = green, 0.7, p.t("monthly.next", nil)
		}
		s.frame(c, thick, x, at, w, 6.2)
		right := 0.0
		if tag != "" {
			t := face{bold: true, size: 8, leading: 1.3, ink: c}
			right = s.measure(t, tag) + 3
			s.right(t, x+w-2, at+3.1-t.height()/2, tag)
		}
		s.at(f, x+2, at+3.1-f.height()/2, s.clip(f, r.Name+"  "+r.Label, w-5-right))
		at += 7.2
	}
	at += 1
	for _, text := range p.Steps {
		at += s.fit(body, []float64{9.5, 8.5}, area{x, at, w, 3 * body.height()}, text) + 0.8
	}
	if p.Record == "" || at > end-16 {
		return
	}
	label := p.t("monthly.record", explain.Args{"domain": p.f.Domain})
	at += s.fit(small, []float64{7.5, 6.5}, area{x, at, w, 2 * small.height()}, label) + 0.6
	record := face{fixed: true, size: 8, leading: 1.35, ink: black}
	lines := min(len(s.lines(record, p.Record, w-4)), max(1, int((end-at-3)/record.height())))
	h := float64(lines)*record.height() + 3
	s.fill(sunken, x, at, w, h)
	s.frame(rule, 0.25, x, at, w, h)
	s.fit(record, []float64{8}, area{x + 2, at + 1.5, w - 4, float64(lines) * record.height()}, p.Record)
}
