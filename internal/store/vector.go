package store

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"unsafe"

	duckdb "github.com/duckdb/duckdb-go/v2"
	"github.com/duckdb/duckdb-go/v2/mapping"
)

// chunkRows is DuckDB's vector size.
const chunkRows = 2048

// nativeConn returns the handle behind a driver connection. The driver keeps
// it to itself; its own Appender, which goes through reflection value by
// value, takes about eight times as long as filling data chunks does.
func nativeConn(dc any) (mapping.Connection, error) {
	c, ok := dc.(*duckdb.Conn)
	if !ok {
		return mapping.Connection{}, fmt.Errorf("want a connection of duckdb-go, have %T", dc)
	}
	f := reflect.ValueOf(c).Elem().FieldByName("conn")
	if !f.IsValid() || f.Type() != reflect.TypeFor[mapping.Connection]() {
		return mapping.Connection{}, errors.New("this version of duckdb-go has no field conn of its mapping's type Connection")
	}
	p := f.FieldByName("Ptr")
	if !p.IsValid() || p.Kind() != reflect.UnsafePointer {
		return mapping.Connection{}, errors.New("this version of duckdb-go has no pointer in its mapping's type Connection")
	}
	return mapping.Connection{Ptr: p.UnsafePointer()}, nil
}

var _ driver.Conn = (*duckdb.Conn)(nil)

// appender fills a table's data chunks. Strings are not copied into the chunk:
// it points into pinned Go memory until DuckDB has taken it over.
type appender struct {
	table  string
	native mapping.Appender
	types  []mapping.LogicalType
	chunk  mapping.DataChunk
	at     int // rows in the chunk
	rows   int // rows appended since the last flush
	cols   []vector
	pins   runtime.Pinner
}

// vector is one column of the chunk, or a list's or struct's child.
type vector struct {
	v    mapping.Vector
	data unsafe.Pointer
	// of a list: the element's fields (or the element itself, where it is no
	// struct), how many elements there are and fit.
	kids []vector
	size int
	room int
}

// listEntry is DuckDB's list_entry_t.
type listEntry struct{ offset, length uint64 }

// newAppender returns an appender to a table. It belongs to the connection's
// transaction: what it appends is committed or rolled back with that.
func newAppender(conn mapping.Connection, table string) (*appender, error) {
	a := &appender{table: table}
	if mapping.AppenderCreateExt(conn, "", "", table, &a.native) == mapping.StateError {
		err := a.failure("create")
		a.close()
		return nil, err
	}
	for i := range mapping.AppenderColumnCount(a.native) {
		a.types = append(a.types, mapping.AppenderColumnType(a.native, i))
	}
	a.chunk = mapping.CreateDataChunk(a.types)
	a.cols = make([]vector, len(a.types))
	a.refresh()
	return a, nil
}

func (a *appender) failure(doing string) error {
	d := mapping.AppenderErrorData(a.native)
	defer mapping.DestroyErrorData(&d)
	return fmt.Errorf("%s: %s rows: %w", a.table, doing, engineError(errors.New(mapping.ErrorDataMessage(d))))
}

// refresh fetches the chunk's memory, which a reset may have moved.
func (a *appender) refresh() {
	for i, t := range a.types {
		c := &a.cols[i]
		c.v = mapping.DataChunkGetVector(a.chunk, mapping.IdxT(i))
		c.data = mapping.VectorGetData(c.v)
		if mapping.GetTypeId(t) != mapping.TypeList {
			continue
		}
		c.size = 0
		if c.kids == nil {
			et := mapping.ListTypeChildType(t)
			n := 1
			if mapping.GetTypeId(et) == mapping.TypeStruct {
				n = int(mapping.StructTypeChildCount(et))
			}
			c.kids = make([]vector, n)
			mapping.DestroyLogicalType(&et)
		}
		c.room = 0
		c.reserve(chunkRows)
	}
}

// reserve makes room for n elements of a list column in all.
func (c *vector) reserve(n int) {
	if n <= c.room {
		return
	}
	c.room = max(n, 2*c.room)
	mapping.ListVectorReserve(c.v, mapping.IdxT(c.room))
	child := mapping.ListVectorGetChild(c.v)
	for f := range c.kids {
		k := &c.kids[f]
		k.v = child
		if len(c.kids) > 1 {
			k.v = mapping.StructVectorGetChild(child, mapping.IdxT(f))
		}
		k.data = mapping.VectorGetData(k.v)
	}
}

// col returns a column's values as a slice over the chunk's memory.
func col[T any](a *appender, i int) []T {
	return unsafe.Slice((*T)(a.cols[i].data), chunkRows)
}

// kid returns the values of a field of a list column's elements.
func kid[T any](a *appender, i, field int) []T {
	c := &a.cols[i]
	return unsafe.Slice((*T)(c.kids[field].data), c.room)
}

// fill sets n rows of a column from where the chunk stands to one value.
func fill[T any](a *appender, i, n int, v T) {
	s := col[T](a, i)[a.at : a.at+n]
	for k := range s {
		s[k] = v
	}
}

// put copies values into a column, from where the chunk stands.
func put[T any](a *appender, i int, v []T) { copy(col[T](a, i)[a.at:], v) }

// pin keeps an arena in place until the chunk is handed over, and returns the
// number to add to its offsets.
func (a *appender) pin(arena []byte) uint64 {
	if len(arena) == 0 {
		return 0
	}
	p := unsafe.SliceData(arena)
	a.pins.Pin(p)
	return uint64(uintptr(unsafe.Pointer(p)))
}

// putTexts copies strings whose arena is pinned at base.
func putTexts(dst, src []text, base uint64) {
	copy(dst, src)
	for i := range src {
		if src[i].n > inlineText {
			dst[i].point(base)
		}
	}
}

// putText sets a column's value in the row where the chunk stands.
func putText(a *appender, i int, t text, base uint64) {
	putTexts(col[text](a, i)[a.at:a.at+1], []text{t}, base)
}

// putList copies the lists of rows from to to (exclusive).
func putList(a *appender, i int, l *list, from, to int, base uint64) {
	c := &a.cols[i]
	first := 0
	if from > 0 {
		first = int(l.end[from-1])
	}
	last := int(l.end[to-1])
	entries := col[listEntry](a, i)[a.at:]
	start := first
	for k := from; k < to; k++ {
		end := int(l.end[k])
		entries[k-from] = listEntry{uint64(c.size + start - first), uint64(end - start)}
		start = end
	}
	if last == first {
		return
	}
	c.reserve(c.size + last - first)
	for f := range c.kids {
		if f < listFields && l.fields[f] != nil { // others are not texts: the caller's
			putTexts(kid[text](a, i, f)[c.size:], l.fields[f][first:last], base)
		}
	}
	c.size += last - first
}

// room returns how many more rows the chunk takes; it is never zero.
func (a *appender) room() (int, error) {
	if a.at == chunkRows {
		if err := a.send(); err != nil {
			return 0, err
		}
	}
	return chunkRows - a.at, nil
}

// send hands the chunk over.
func (a *appender) send() error {
	defer a.pins.Unpin()
	if a.at == 0 {
		return nil
	}
	for i := range a.cols {
		if c := &a.cols[i]; c.kids != nil {
			mapping.ListVectorSetSize(c.v, mapping.IdxT(c.size))
		}
	}
	mapping.DataChunkSetSize(a.chunk, mapping.IdxT(a.at))
	a.rows += a.at
	a.at = 0
	if mapping.AppendDataChunk(a.native, a.chunk) == mapping.StateError {
		return a.failure("append")
	}
	mapping.DataChunkReset(a.chunk)
	a.refresh()
	if a.rows >= flushRows {
		return a.flush()
	}
	return nil
}

// flushRows is how many rows are handed from the appender to the transaction
// at a time: few enough to bound memory, enough to be fast.
const flushRows = 10 * chunkRows

// flush gives the rows to the transaction.
func (a *appender) flush() error {
	a.rows = 0
	if mapping.AppenderFlush(a.native) == mapping.StateError {
		return a.failure("store")
	}
	return nil
}

// finish hands over and flushes everything, and closes the appender.
func (a *appender) finish() error {
	err := a.send()
	if err == nil {
		err = a.flush()
	}
	a.close()
	return err
}

// close frees the appender; what it has not flushed is gone.
func (a *appender) close() {
	a.pins.Unpin()
	if a.native.Ptr != nil {
		mapping.AppenderClear(a.native)
		mapping.AppenderDestroy(&a.native)
	}
	if a.chunk.Ptr != nil {
		mapping.DestroyDataChunk(&a.chunk)
	}
	for i := range a.types {
		mapping.DestroyLogicalType(&a.types[i])
	}
	a.types = nil
}
