package store

import (
	"encoding/binary"
	"math"
	"strings"
	"unicode/utf8"

	"sekimori/report/aggregate"
)

// text is a string as DuckDB lays it out: a length, the first four bytes, and
// then either eight more bytes or, beyond twelve, a pointer. While it is in
// Rows, the pointer is an offset into the arena.
type text struct {
	n    uint32
	head [4]byte
	tail [8]byte
}

const inlineText = 12

// Rows is a columnar batch of records on their way in, laid out so that the
// store's writer only copies. It is not for concurrent use, but a filled one
// may be handed to another goroutine. The zero Rows is empty and ready.
type Rows struct {
	n        int
	messages uint64
	day      DayTotals // totals of all rows; Day is unused

	net, host   []uint64
	count       []uint64
	disposition []uint8
	dkim, spf   []bool
	texts       [rowTexts][]text
	lists       [rowLists]list

	arena []byte
	last  [rowTexts]lastText
	item  [rowLists][listFields]lastText
	org   organizations
}

// The text columns of a record, in the order of the table.
const (
	textHeaderFrom = iota
	textEnvelopeFrom
	textEnvelopeTo
	textAuthDKIM
	textFailedDKIM
	textAuthSPF
	textSPFChecked
	textOverride
	rowTexts
)

// The list columns of a record, in the order of the table.
const (
	listDKIM = iota
	listSPF
	listReasons
	rowLists

	listFields = 4 // the most fields that an element has
)

// list is a column of lists: the elements of row i are those from end[i-1] to
// end[i] of every field.
type list struct {
	end    []uint32
	fields [listFields][]text
}

// lastText remembers the value that a column had last: reports repeat
// themselves, and a repeated string need not be kept twice.
type lastText struct {
	s string
	t text
}

// Reset empties the batch, keeping its memory unless that has grown beyond
// what a batch of usual size needs.
func (r *Rows) Reset() {
	if cap(r.arena) > 16<<20 {
		*r = Rows{org: r.org}
		return
	}
	r.n, r.messages, r.day = 0, 0, DayTotals{}
	r.net, r.host, r.count, r.disposition = r.net[:0], r.host[:0], r.count[:0], r.disposition[:0]
	r.dkim, r.spf = r.dkim[:0], r.spf[:0]
	for i := range r.texts {
		r.texts[i] = r.texts[i][:0]
		r.last[i] = lastText{}
	}
	for i := range r.lists {
		l := &r.lists[i]
		l.end = l.end[:0]
		for f := range l.fields {
			l.fields[f] = l.fields[f][:0]
			r.item[i][f] = lastText{}
		}
	}
	r.arena = r.arena[:0]
}

// Len returns the number of records.
func (r *Rows) Len() int { return r.n }

// Messages returns the sum of the records' counts, at most 1<<64 - 1.
func (r *Rows) Messages() uint64 { return r.messages }

// rowBytes is what a record takes in the columns of fixed width.
const rowBytes = 16 + 8 + 1 + 1 + 1 + rowTexts*16 + rowLists*4

// Size returns about how many bytes of memory the records take. Batches of
// about 1 to 4 MiB are best: larger ones are not faster.
func (r *Rows) Size() int {
	n := len(r.arena) + r.n*rowBytes
	for i := range r.lists {
		n += len(r.lists[i].fields[0]) * listFields * 16
	}
	return n
}

// Room returns about how many bytes of memory the batch holds, in use or not.
func (r *Rows) Room() int {
	n := cap(r.arena) + cap(r.net)*rowBytes
	for i := range r.lists {
		n += cap(r.lists[i].fields[0]) * listFields * 16
	}
	return n
}

// Add copies a record; rec may be used again at once. Invalid UTF-8 in it is
// replaced by U+FFFD.
func (r *Rows) Add(rec *aggregate.Record) {
	r.n++
	aligned := rec.DKIM || rec.SPF
	r.messages = addSat(r.messages, rec.Count)
	r.day.add(rec.Count, aligned, rec.Disposition)

	a := addrNumber(rec.SourceIP)
	r.net = append(r.net, a.net)
	r.host = append(r.host, a.host)
	r.count = append(r.count, rec.Count)
	r.disposition = append(r.disposition, dispositionNumber(rec.Disposition))
	r.dkim = append(r.dkim, rec.DKIM)
	r.spf = append(r.spf, rec.SPF)

	e := r.org.evidence(rec)
	for i, s := range [rowTexts]string{
		textHeaderFrom:   e.headerFrom,
		textEnvelopeFrom: rec.EnvelopeFrom,
		textEnvelopeTo:   rec.EnvelopeTo,
		textAuthDKIM:     e.authDKIM,
		textFailedDKIM:   e.failedDKIM,
		textAuthSPF:      e.authSPF,
		textSPFChecked:   e.spfChecked,
		textOverride:     e.override,
	} {
		r.texts[i] = append(r.texts[i], r.text(s, &r.last[i]))
	}

	for i := range rec.DKIMResults {
		d := &rec.DKIMResults[i]
		r.element(listDKIM, d.Domain, d.Selector, d.Result, d.HumanResult)
	}
	for i := range rec.SPFResults {
		s := &rec.SPFResults[i]
		r.element(listSPF, s.Domain, s.Scope, s.Result, s.HumanResult)
	}
	for i := range rec.Reasons {
		r.element(listReasons, rec.Reasons[i].Type, rec.Reasons[i].Comment)
	}
	for i := range r.lists {
		l := &r.lists[i]
		l.end = append(l.end, uint32(len(l.fields[0])))
	}
}

func (r *Rows) element(column int, fields ...string) {
	l := &r.lists[column]
	for f, s := range fields {
		l.fields[f] = append(l.fields[f], r.text(s, &r.item[column][f]))
	}
}

// text lays out s; last is the value laid out before in the same place.
func (r *Rows) text(s string, last *lastText) text {
	if s == "" {
		return text{}
	}
	if s == last.s {
		return last.t
	}
	t := layText(s, &r.arena)
	*last = lastText{s, t}
	return t
}

// layText lays out s, putting it into the arena if it is a long one. The arena
// must stay under 4 GiB, which the limits of a report's fields see to.
func layText(s string, arena *[]byte) text {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return lay(s, arena)
}

// lay lays out octets, text or not.
func lay[T string | []byte](s T, arena *[]byte) text {
	var t text
	t.n = uint32(len(s))
	copy(t.head[:], s)
	if len(s) <= inlineText {
		if len(s) > 4 {
			copy(t.tail[:], s[4:])
		}
		return t
	}
	binary.NativeEndian.PutUint64(t.tail[:], uint64(len(*arena)))
	*arena = append(*arena, s...)
	return t
}

// days spreads the records over n days (Spread) and adds them to into, which
// has n elements.
func (r *Rows) days(into []DayTotals) {
	if len(into) == 1 {
		into[0].merge(r.day)
		return
	}
	for i, c := range r.count {
		aligned := r.dkim[i] || r.spf[i]
		d := dispositions[r.disposition[i]]
		for k := range into {
			into[k].add(share(c, k, len(into)), aligned, d)
		}
	}
}

// add counts messages.
func (d *DayTotals) add(n uint64, aligned bool, disp aggregate.Disposition) {
	d.Messages = addSat(d.Messages, n)
	if aligned {
		d.Aligned = addSat(d.Aligned, n)
	}
	switch disp {
	case aggregate.DispositionQuarantine:
		d.Quarantined = addSat(d.Quarantined, n)
	case aggregate.DispositionReject:
		d.Rejected = addSat(d.Rejected, n)
	}
}

func (d *DayTotals) merge(o DayTotals) {
	d.Messages = addSat(d.Messages, o.Messages)
	d.Aligned = addSat(d.Aligned, o.Aligned)
	d.Quarantined = addSat(d.Quarantined, o.Quarantined)
	d.Rejected = addSat(d.Rejected, o.Rejected)
}

// addSat adds, staying at the largest number where the sum would pass it.
func addSat(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

// point turns an offset into the arena at base into a pointer.
func (t *text) point(base uint64) {
	binary.NativeEndian.PutUint64(t.tail[:], base+binary.NativeEndian.Uint64(t.tail[:]))
}
