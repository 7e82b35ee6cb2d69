package verdict

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"time"

	"sekimori/report/aggregate"
)

// What the journal and the day files hold of an entry is in a binary form of
// our own: numbers as varints, texts with their length in front. It comes in
// three parts, so that what repeats is kept once:
//
//	kind      policy and report row (the part that a report merges by), then
//	          the words of the verdict, action, rule
//	message   what is one message's own
//	why       the explanation
//
// Each part is decoded by itself, and refuses what it did not write: a day file
// may be damaged.

// Bounds of what is kept of one entry. The gateway clips earlier; these keep a
// frame of the journal small whatever comes.
const (
	maxText    = 4096
	maxRcpt    = 1000
	maxReasons = 20
	maxWhy     = 64 << 10 // octets of the encoded explanation
	maxFrame   = 8 << 20
)

var errEncoding = errors.New("not what was written: damaged")

func appendText(b []byte, s string) []byte {
	if len(s) > maxText {
		s = s[:maxText]
	}
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendAddr(b []byte, a netip.Addr) []byte {
	a = a.Unmap()
	switch {
	case a.Is4():
		x := a.As4()
		return append(append(b, 4), x[:]...)
	case a.Is6():
		x := a.As16()
		return append(append(b, 16), x[:]...)
	}
	return append(b, 0)
}

// decoder reads on until something is missing; then bad is set and everything
// further is empty.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() { d.b, d.bad = nil, true }

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

// take returns n octets, which stay part of the input.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) bytes() []byte { return d.take(d.uint()) }
func (d *decoder) text() string  { return string(d.bytes()) }

// count reads the length of a list whose members take an octet at least.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

// list is count for a list that is never longer than most.
func (d *decoder) list(most int) int {
	n := d.count()
	if n > most {
		d.fail()
		return 0
	}
	return n
}

func (d *decoder) addr() netip.Addr {
	switch n := d.byte(); n {
	case 0:
	case 4, 16:
		if b := d.take(uint64(n)); !d.bad {
			a, _ := netip.AddrFromSlice(b)
			return a
		}
	default:
		d.fail()
	}
	return netip.Addr{}
}

func (d *decoder) done() error {
	if d.bad || len(d.b) > 0 {
		return errEncoding
	}
	return nil
}

// appendMerge adds what rows of a report are merged by: everything that such a
// row holds but its count, and its policy.
func appendMerge(b []byte, p *Policy, r *aggregate.Record) []byte {
	for _, s := range [...]string{p.Domain, p.Text, p.Method} {
		b = appendText(b, s)
	}
	b = appendAddr(b, r.SourceIP)
	flags := byte(0)
	if r.DKIM {
		flags |= 1
	}
	if r.SPF {
		flags |= 2
	}
	b = append(b, flags)
	for _, s := range [...]string{string(r.Disposition), r.HeaderFrom, r.EnvelopeFrom, r.EnvelopeTo} {
		b = appendText(b, s)
	}
	reasons := r.Reasons[:min(len(r.Reasons), maxReasons)]
	b = binary.AppendUvarint(b, uint64(len(reasons)))
	for i := range reasons {
		b = appendText(appendText(b, reasons[i].Type), reasons[i].Comment)
	}
	dkim := capped(r)
	b = binary.AppendUvarint(b, uint64(len(dkim)))
	for i := range dkim {
		x := &dkim[i]
		b = appendText(appendText(appendText(appendText(b, x.Domain), x.Selector), x.Result), x.HumanResult)
	}
	spf := r.SPFResults[:min(len(r.SPFResults), maxResults)]
	b = binary.AppendUvarint(b, uint64(len(spf)))
	for i := range spf {
		x := &spf[i]
		b = appendText(appendText(appendText(appendText(b, x.Domain), x.Scope), x.Result), x.HumanResult)
	}
	return b
}

func (d *decoder) merge(p *Policy, r *aggregate.Record) {
	p.Domain, p.Text, p.Method = d.text(), d.text(), d.text()
	*r = aggregate.Record{SourceIP: d.addr()}
	flags := d.byte()
	r.DKIM, r.SPF = flags&1 != 0, flags&2 != 0
	r.Disposition = aggregate.Disposition(d.text())
	r.HeaderFrom, r.EnvelopeFrom, r.EnvelopeTo = d.text(), d.text(), d.text()
	for range d.list(maxReasons) {
		r.Reasons = append(r.Reasons, aggregate.Reason{Type: d.text(), Comment: d.text()})
	}
	for range d.list(maxResults) {
		r.DKIMResults = append(r.DKIMResults, aggregate.DKIMResult{Domain: d.text(), Selector: d.text(), Result: d.text(), HumanResult: d.text()})
	}
	for range d.list(maxResults) {
		r.SPFResults = append(r.SPFResults, aggregate.SPFResult{Domain: d.text(), Scope: d.text(), Result: d.text(), HumanResult: d.text()})
	}
}

// appendKind adds the kind of an entry: the merged part with its length, and
// the words.
func appendKind(b []byte, e *Entry) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = appendMerge(b, &e.Policy, &e.Record)
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	for _, s := range [...]string{string(e.Action), string(e.Asked), e.SPF, e.DKIM, e.DMARC, e.ARC} {
		b = appendText(b, s)
	}
	// Kinds whose explanations have other codes are kept apart, so that each
	// keeps its own explanation.
	b = binary.LittleEndian.AppendUint64(b, sumCodes(fnvStart, e.Why))
	return appendStep(b, &e.Rule, 0)
}

// mergePart returns the part of an encoded kind that rows are merged by.
func mergePart(kind []byte) ([]byte, error) {
	if len(kind) < 4 {
		return nil, errEncoding
	}
	n := binary.LittleEndian.Uint32(kind)
	if uint64(n) > uint64(len(kind)-4) {
		return nil, errEncoding
	}
	return kind[4 : 4+n], nil
}

func parseKind(kind []byte, e *Entry) error {
	merge, err := mergePart(kind)
	if err != nil {
		return err
	}
	d := decoder{b: merge}
	d.merge(&e.Policy, &e.Record)
	if err := d.done(); err != nil {
		return err
	}
	d = decoder{b: kind[4+len(merge):]}
	e.Action, e.Asked = Action(d.text()), Action(d.text())
	e.SPF, e.DKIM, e.DMARC, e.ARC = d.text(), d.text(), d.text(), d.text()
	d.take(8)
	d.step(&e.Rule, 0)
	return d.done()
}

// Bits of a message's own flags.
const (
	sameFrom   = 1 << iota // From is MailFrom
	sameClient             // the client is the row's source
)

// appendMessage adds what is a message's own. Its first octets are fixed, so
// that a search can skip by them: action and class.
func appendMessage(b []byte, e *Entry) []byte {
	flags := byte(0)
	if e.From == e.MailFrom {
		flags |= sameFrom
	}
	if e.Client.Unmap() == e.Record.SourceIP.Unmap() {
		flags |= sameClient
	}
	b = append(b, byte(actionNumber(e.Action))<<4|byte(classOf(e)), flags)
	b = binary.AppendVarint(b, e.Time.UnixMicro())
	b = binary.AppendUvarint(b, uint64(max(e.Took.Microseconds(), 0)))
	b = binary.AppendUvarint(b, uint64(max(e.Size, 0)))
	b = appendText(appendText(appendText(b, e.MailFrom), e.QueueID), e.Subject)
	// Names of the sender's domain repeat.
	base := domainOf(e.MailFrom)
	b = appendUnder(appendUnder(b, e.MessageID, base), e.Helo, base)
	if flags&sameFrom == 0 {
		b = appendUnder(b, e.From, base)
	}
	if flags&sameClient == 0 {
		b = appendAddr(b, e.Client)
	}
	rcpt := e.Rcpt[:min(len(e.Rcpt), maxRcpt)]
	b = binary.AppendUvarint(b, uint64(len(rcpt)))
	for _, s := range rcpt {
		b = appendText(b, s)
	}
	return b
}

// appendUnder adds a text, without the base that it may end with.
func appendUnder(b []byte, s, base string) []byte {
	s = s[:min(len(s), maxText)]
	if base != "" && strings.HasSuffix(s, base) {
		s = s[:len(s)-len(base)]
		return append(binary.AppendUvarint(b, uint64(len(s))<<1|1), s...)
	}
	return append(binary.AppendUvarint(b, uint64(len(s))<<1), s...)
}

func (d *decoder) under(base string) string {
	n := d.uint()
	s := d.take(n >> 1)
	if n&1 == 0 {
		return string(s)
	}
	return string(s) + base
}

// parseMessage reads what appendMessage wrote; the kind must have been read
// into e, or Client is left for later where it is the row's source.
func parseMessage(b []byte, e *Entry) error {
	d := decoder{b: b}
	d.byte()
	flags := d.byte()
	e.Time = time.UnixMicro(d.int()).UTC()
	e.Took = time.Duration(min(d.uint(), 1<<50)) * time.Microsecond
	e.Size = int64(min(d.uint(), 1<<62))
	e.MailFrom, e.QueueID, e.Subject = d.text(), d.text(), d.text()
	base := domainOf(e.MailFrom)
	e.MessageID, e.Helo = d.under(base), d.under(base)
	e.From = e.MailFrom
	if flags&sameFrom == 0 {
		e.From = d.under(base)
	}
	e.Client = e.Record.SourceIP
	if flags&sameClient == 0 {
		e.Client = d.addr()
	}
	e.Rcpt = nil
	if n := d.list(maxRcpt); n > 0 {
		e.Rcpt = make([]string, n)
		for i := range e.Rcpt {
			e.Rcpt[i] = d.text()
		}
	}
	return d.done()
}

// class is what DMARC made of a message, as the live figures count it.
type class uint8

const (
	classOwn      class = iota // not verified: mail of our own
	classPass                  // DMARC passed
	classFail                  // DMARC failed
	classNoPolicy              // no policy applies
	classTrouble               // it could not be told
	classes
)

func classOf(e *Entry) class {
	switch e.DMARC {
	case "":
		return classOwn
	case "pass":
		return classPass
	case "fail":
		return classFail
	case "none":
		return classNoPolicy
	}
	return classTrouble
}

// actions in the order of their numbers, which are kept on disk.
var actions = [...]Action{Accept, Mark, Quarantine, Refuse, TryAgain}

func actionNumber(a Action) int {
	for i, b := range actions {
		if a == b {
			return i
		}
	}
	return len(actions)
}
