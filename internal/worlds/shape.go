package worlds

import (
	"fmt"
	"strings"
)

// shape is one part of a world: a kind of sender.
type shape struct {
	name   string // class "/" what it is
	weight int    // how often Make draws it, against others of its class
	add    func(b *builder, name string)
}

// shapes lists all of them by class.
func shapes() []shape {
	var out []shape
	out = append(out, goodShapes[:]...)
	out = append(out, brokenShapes[:]...)
	out = append(out, forwardShapes[:]...)
	return append(out, spoofShapes[:]...)
}

// Shapes returns the names of all shapes, for Compose.
func Shapes() []string {
	var out []string
	for _, s := range shapes() {
		out = append(out, s.name)
	}
	return out
}

// add adds a shape by name.
func (b *builder) add(name string) error {
	for _, s := range shapes() {
		if s.name == name {
			b.run(s)
			return nil
		}
	}
	return fmt.Errorf("there is no shape %q", name)
}

func (b *builder) run(s shape) {
	b.shapeNow = s.name
	_, short, _ := strings.Cut(s.name, "/")
	s.add(b, short)
}

// draw adds n shapes of a list by weight.
func (b *builder) draw(list []shape, n int) {
	sum := 0
	for _, s := range list {
		sum += s.weight
	}
	for range n {
		p := b.r.IntN(sum)
		for _, s := range list {
			if p -= s.weight; p < 0 {
				b.run(s)
				break
			}
		}
	}
}
