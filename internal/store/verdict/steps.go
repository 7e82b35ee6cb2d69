package verdict

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"sekimori/explain"
)

// Kinds of an argument's value.
const (
	argText = iota
	argFalse
	argTrue
	argInt
	argFloat
	argList
)

// maxDepth bounds the nesting of an explanation, maxSteps the length of each of
// its lists.
const (
	maxDepth = 12
	maxSteps = 1000
)

// appendSteps adds steps. It stops adding after maxWhy octets.
func appendSteps(b []byte, steps []explain.Step, depth int) []byte {
	if depth >= maxDepth {
		steps = nil
	}
	steps = steps[:min(len(steps), maxSteps)]
	b = binary.AppendUvarint(b, uint64(len(steps)))
	for i := range steps {
		b = appendStep(b, &steps[i], depth)
	}
	return b
}

func appendStep(b []byte, s *explain.Step, depth int) []byte {
	b = appendText(appendText(b, s.Code), s.Ref)
	b = binary.AppendUvarint(b, uint64(len(s.Args)))
	if len(s.Args) > 0 {
		var few [8]string
		keys := few[:0]
		for k := range s.Args {
			keys = append(keys, k)
		}
		slices.Sort(keys) // the same step has the same octets each time
		for _, k := range keys {
			b = appendArg(appendText(b, k), s.Args[k])
		}
	}
	return appendSteps(b, s.Children, depth+1)
}

func appendArg(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendText(append(b, argText), v)
	case bool:
		if v {
			return append(b, argTrue)
		}
		return append(b, argFalse)
	case int64:
		return binary.AppendVarint(append(b, argInt), v)
	case int:
		return binary.AppendVarint(append(b, argInt), int64(v))
	case float64:
		return binary.LittleEndian.AppendUint64(append(b, argFloat), math.Float64bits(v))
	case []string:
		v = v[:min(len(v), maxSteps)]
		b = binary.AppendUvarint(append(b, argList), uint64(len(v)))
		for _, s := range v {
			b = appendText(b, s)
		}
		return b
	}
	return appendText(append(b, argText), fmt.Sprint(v))
}

func (d *decoder) steps(depth int) []explain.Step {
	n := d.count()
	if n == 0 || depth > maxDepth {
		if n > 0 {
			d.fail()
		}
		return nil
	}
	out := make([]explain.Step, 0, min(n, 64))
	for range n {
		if d.bad {
			break
		}
		var s explain.Step
		d.step(&s, depth)
		out = append(out, s)
	}
	return out
}

func (d *decoder) step(s *explain.Step, depth int) {
	s.Code, s.Ref = d.text(), d.text()
	n := d.count()
	if n > 0 {
		s.Args = make(explain.Args, min(n, 16))
	}
	for range n {
		k := d.text()
		v := d.arg()
		if d.bad {
			return
		}
		s.Args[k] = v
	}
	s.Children = d.steps(depth + 1)
}

func (d *decoder) arg() any {
	switch d.byte() {
	case argText:
		return d.text()
	case argFalse:
		return false
	case argTrue:
		return true
	case argInt:
		return d.int()
	case argFloat:
		if b := d.take(8); !d.bad {
			return math.Float64frombits(binary.LittleEndian.Uint64(b))
		}
		return nil
	case argList:
		n := d.count()
		out := make([]string, 0, n)
		for range n {
			if out = append(out, d.text()); d.bad {
				return nil
			}
		}
		return out
	}
	d.fail()
	return nil
}
