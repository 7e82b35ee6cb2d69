package publish

import (
	"bufio"
	"encoding/json"
	"io"
)

// emitter writes a JSON document piece by piece, so that lists of any length
// take no memory, with its keys in the order in which they come. Objects and
// lists that are begun stand on lines of their own; a value stands on one. The
// first error stays, and nothing is written after it.
type emitter struct {
	w    *bufio.Writer
	err  error
	open []level
}

type level struct {
	end  string
	some bool // a comma is due
}

func newEmitter(w io.Writer) *emitter { return &emitter{w: bufio.NewWriterSize(w, 1<<16)} }

// member puts a value into an object.
func (e *emitter) member(key string, v any) {
	e.next()
	e.key(key)
	e.value(v)
}

// element puts a value into a list.
func (e *emitter) element(v any) {
	e.next()
	e.value(v)
}

// object begins an object as a member.
func (e *emitter) object(key string) { e.begin(key, "{", "}") }

// list begins a list as a member.
func (e *emitter) list(key string) { e.begin(key, "[", "]") }

// document begins the outermost object.
func (e *emitter) document() {
	e.write("{")
	e.open = append(e.open, level{end: "}"})
}

func (e *emitter) begin(key, start, end string) {
	e.next()
	e.key(key)
	e.write(start)
	e.open = append(e.open, level{end: end})
}

// end ends what was begun last.
func (e *emitter) end() {
	last := e.open[len(e.open)-1]
	e.open = e.open[:len(e.open)-1]
	if last.some {
		e.line()
	}
	e.write(last.end)
	if len(e.open) == 0 {
		e.write("\n")
	}
}

// flush hands everything on and returns the first error.
func (e *emitter) flush() error {
	if e.err == nil {
		e.err = e.w.Flush()
	}
	return e.err
}

func (e *emitter) next() {
	if at := &e.open[len(e.open)-1]; at.some {
		e.write(",")
	} else {
		at.some = true
	}
	e.line()
}

func (e *emitter) line() {
	e.write("\n")
	for range e.open {
		e.write("  ")
	}
}

func (e *emitter) key(k string) {
	e.value(k)
	e.write(": ")
}

func (e *emitter) write(s string) {
	if e.err == nil {
		_, e.err = e.w.WriteString(s)
	}
}

func (e *emitter) value(v any) {
	if e.err != nil {
		return
	}
	enc := json.NewEncoder(unended{e.w})
	enc.SetEscapeHTML(false)
	e.err = enc.Encode(v)
}

// unended leaves out the line end that json.Encoder puts behind a value.
type unended struct{ w io.Writer }

func (u unended) Write(p []byte) (int, error) {
	body := p
	if n := len(p); n > 0 && p[n-1] == '\n' {
		body = p[:n-1]
	}
	if _, err := u.w.Write(body); err != nil {
		return 0, err
	}
	return len(p), nil
}
