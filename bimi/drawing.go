package bimi

import (
	"strings"

	"sekimori/explain"
)

// drawing counts what would be drawn. A "use" repeats what it refers to, and
// nested a few levels deep a file of a few hundred octets is millions of
// elements: receivers that draw it would be kept busy.
type drawing struct {
	parts map[string]*part
	// around are the parts that the present place is in; the first is the
	// drawing as a whole.
	around []*part
}

// part is an element with an id, or the whole: how many elements it has
// itself, and which parts it repeats.
type part struct {
	own   int
	uses  []string
	state int // 0 not counted yet, 1 being counted, 2 counted
	total int
}

// draw takes an element.
func (l *logoReader) draw(o *open, list []attribute) {
	if len(l.around) == 0 {
		l.parts, l.around = map[string]*part{}, []*part{{}}
	}
	o.ids = len(l.around)
	for _, a := range list {
		if (a.name == "id" || a.name == "xml:id") && l.parts[a.value] == nil {
			p := &part{}
			l.parts[a.value] = p
			// What is around has what is in it as if it referred to it.
			in := l.around[len(l.around)-1]
			in.uses = append(in.uses, a.value)
			l.around = append(l.around, p)
		}
	}
	here := l.around[len(l.around)-1]
	here.own++
	if o.is != "use" {
		return
	}
	for _, a := range list {
		if id, ok := strings.CutPrefix(strings.TrimSpace(a.value), "#"); ok && strings.HasSuffix(a.name, "href") {
			here.uses = append(here.uses, id)
		}
	}
}

// leave ends an element.
func (l *logoReader) leave(o *open) {
	if o.ids > 0 {
		l.around = l.around[:o.ids]
	}
}

// finish counts.
func (l *logoReader) finish() {
	l.line = 0
	if len(l.around) == 0 {
		return
	}
	switch n := l.count(l.around[0]); {
	case n < 0:
		l.add(explain.Error, "bimi.svg.loop", nil, "")
	case n > maxDrawn:
		l.add(explain.Error, "bimi.svg.expansion", explain.Args{"limit": int64(maxDrawn)}, "")
	}
}

// count returns the elements of a part with all that it repeats, at most one
// more than maxDrawn; -1 where it repeats itself.
func (l *logoReader) count(p *part) int {
	switch p.state {
	case 1:
		return -1
	case 2:
		return p.total
	}
	p.state = 1
	p.total = p.own
	for _, id := range p.uses {
		q := l.parts[id]
		if q == nil {
			continue // nothing is drawn
		}
		n := l.count(q)
		if n < 0 {
			p.total = -1
			break
		}
		p.total = min(p.total+n, maxDrawn+1)
	}
	p.state = 2
	return p.total
}
