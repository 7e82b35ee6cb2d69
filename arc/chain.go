package arc

import (
	"errors"
	"strings"

	"sekimori/dkim"
	"sekimori/explain"
	"sekimori/message"
	"sekimori/taglist"
)

// fault is why a chain fails.
type fault struct {
	step      explain.Step
	err       error
	temporary bool
}

func (f *fault) Error() string { return strings.TrimPrefix(f.step.Code, "arc.") }

func broken(code, ref string, args explain.Args) *fault {
	return &fault{step: explain.Step{Code: code, Ref: ref, Args: args}}
}

// because adds what DKIM says as the cause.
func (f *fault) because(err error) *fault {
	f.err = err
	var e *dkim.Error
	var tag taglist.Fault
	switch {
	case errors.As(err, &e):
		f.step.Children = []explain.Step{e.Step}
	case errors.As(err, &tag):
		f.step.Children = []explain.Step{{Code: "arc.tags-malformed", Ref: "RFC 6376 §3.2", Args: explain.Args{
			"part": explain.Clip(tag.Text), "octet": int64(tag.Offset) + 1}}}
	}
	return f
}

// collect reads the sets of a header section and checks their structure (RFC
// 8617 §5.2, steps 1 to 3). sets[0] is instance 1. With a fault, highest is
// still the highest instance that was found.
func collect(h message.Header, most int) (sets []set, highest int, f *fault) {
	var count [parts]int
	note := func(e *fault) {
		if f == nil {
			f = e
		}
	}
	for i := range h {
		p, ok := partOf(h[i])
		if !ok {
			continue
		}
		if count[p]++; count[p] > most {
			// RFC 8617 §5.2, step 1.
			return sets, highest, broken("arc.too-many-sets", "RFC 8617 §5.2", explain.Args{"most": int64(most)})
		}
		n, s, e := read(h[i], p)
		if n == 0 {
			note(e)
			continue
		}
		if n > most {
			return sets, highest, broken("arc.too-many-sets", "RFC 8617 §5.2", explain.Args{"most": int64(most)})
		}
		highest = max(highest, n)
		for len(sets) < n {
			sets = append(sets, set{})
		}
		if sets[n-1].have[p] {
			note(broken("arc.field-repeated", "RFC 8617 §5.2", explain.Args{"instance": int64(n), "field": partNames[p]}))
			continue
		}
		note(e)
		sets[n-1].take(p, h[i], s)
	}
	if highest == 0 {
		return nil, 0, f
	}
	// RFC 8617 §5.2, step 2, before all else that may be wrong.
	if top := &sets[highest-1].seal; top.cv == Fail {
		return sets, highest, broken("arc.marked-failed", "RFC 8617 §5.2", explain.Args{
			"instance": int64(highest), "domain": explain.Clip(top.domain().Unicode())})
	}
	if f == nil {
		f = structure(sets)
	}
	return sets, highest, f
}

func (s *set) take(p part, f message.Field, from set) {
	s.fields[p], s.have[p] = f, true
	switch p {
	case results:
		s.text = from.text
	case signature:
		s.sig = from.sig
	case seal:
		s.seal = from.seal
	}
}

// read reads one field. n is 0 where it has no usable instance. A fault beside
// an instance says that the field is malformed.
func read(f message.Field, p part) (n int, s set, e *fault) {
	value := f.RawValue()
	if p == results {
		var ok bool
		if n, s.text, ok = readResults(value); !ok {
			return 0, s, noInstance(p, value)
		}
		return n, s, nil
	}
	list, faults := taglist.Parse(value)
	v, _ := list.Get("i")
	n, ok := instance(v)
	if !ok {
		return 0, s, noInstance(p, v)
	}
	code, ref := "arc.signature-malformed", "RFC 8617 §4.1.2"
	if p == seal {
		code, ref = "arc.seal-malformed", "RFC 8617 §4.1.3"
	}
	args := func() explain.Args { return explain.Args{"instance": int64(n)} }
	var err error
	if p == seal {
		s.seal, err = readSeal(list)
	} else {
		s.sig, err = readSignature(list)
	}
	if len(faults) > 0 {
		// RFC 6376 §3.2: a list with a fault is invalid as a whole.
		return n, s, broken(code, ref, args()).because(faults[0])
	}
	if err != nil {
		return n, s, broken(code, ref, args()).because(err)
	}
	if p == seal {
		if _, ok := list.Get("h"); ok {
			return n, s, broken("arc.seal-with-fields", "RFC 8617 §4.1.3", args())
		}
		return n, s, nil
	}
	// RFC 8617 §4.1.2: a signature must not cover the fields of sets. Those of
	// other sets than its own may be there or not, and a seal that it covers
	// covers it. Results are let pass, as in the protocol's test suite.
	if covers(s.sig, partNames[seal]) {
		return n, s, broken("arc.signature-covers-seal", "RFC 8617 §4.1.2", args())
	}
	return n, s, nil
}

func noInstance(p part, value string) *fault {
	return broken("arc.instance-invalid", "RFC 8617 §4.2.1", explain.Args{"field": partNames[p], "value": explain.Clip(unfold(value))})
}

// structure: RFC 8617 §5.2, step 3.
func structure(sets []set) *fault {
	for i := range sets {
		s, n := &sets[i], int64(i+1)
		if s.have == [parts]bool{} {
			return broken("arc.set-missing", "RFC 8617 §5.2", explain.Args{"instance": n})
		}
		for p, have := range s.have {
			if !have {
				return broken("arc.field-missing", "RFC 8617 §5.2", explain.Args{"instance": n, "field": partNames[p]})
			}
		}
		want := Pass
		if i == 0 {
			want = None
		}
		if s.seal.cv != want {
			return broken("arc.status-wrong", "RFC 8617 §5.2", explain.Args{
				"instance": n, "written": explain.Clip(string(s.seal.cv)), "expected": string(want)})
		}
	}
	return nil
}
