package gateway

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"sekimori/authres"
	"sekimori/domain"
	"sekimori/internal/check"
	"sekimori/message"
)

// Limits of what is kept of a message while it comes. What is beyond is left
// out; the message itself is never refused for it.
const (
	maxHeader    = 1 << 20 // octets, and so are the fields' own limits
	maxFields    = 20_000
	maxFrom      = 20       // From fields beyond the cap
	maxFromSize  = 64 << 10 // octets of them
	maxRcpt      = 1_000
	maxAddress   = 320 // octets: RFC 5321 §4.5.3.1, 64 + 1 + 255
	maxMessageID = 256
	maxHelo      = 255
)

// own says why a message is our own, which is not verified but signed.
type own uint8

const (
	foreign     own = iota
	signedIn        // the user signed in
	fromNetwork     // the client is in Site.Networks
	fromHost        // it did not come over a network
)

// arrival is a message between MAIL and its end. Its buffers are used again.
type arrival struct {
	rules  *ruling
	ctx    context.Context
	cancel context.CancelFunc
	timer  *time.Timer // ends ctx when the DNS was given its time

	own  own
	user string // who signed in
	id   string // authserv-id of what is added
	in   check.Input

	checking *check.Checking
	verdict  check.Verdict
	digests  message.Digests // of own mail
	leaving  Leaving
	unsigned bool // a signature of own mail failed

	gathered *gathering
	header   message.Header
	over     bool     // the header is longer than is kept
	froms    []string // From fields beyond that
	fromSize int
	fromLost bool // not even all of those were kept
	headed   bool // the header has ended
	failed   bool // a fault of our own: it is taken unverified
	size     int64
	counted  [len(foreignFields)]int // how many there are of each
	prints   [2]xxhash.Digest
	scratch  []byte
	received time.Time // its end
}

// foreignFields are fields that are counted as they come, because some of them
// may have to be taken out by their number.
var foreignFields = [...]string{"Authentication-Results", "BIMI-Location", "BIMI-Indicator", "BIMI-Logo-Preference", markerName}

const (
	authResField = iota
	firstBIMI
	_
	lastBIMI
	markerField
)

// markerName is the field that says in Mark that a message is suspicious;
// filters of mailboxes know it.
const (
	markerName  = "X-Spam-Flag"
	markerValue = "YES"
)

var arrivals = sync.Pool{New: func() any { return &arrival{header: make(message.Header, 0, 32)} }}

// free gives the buffers back, unless a huge message made them large.
func (a *arrival) free() {
	if cap(a.header) > 256 || cap(a.scratch) > 16<<10 {
		return
	}
	clear(a.header[:cap(a.header)])
	*a = arrival{header: a.header[:0], scratch: a.scratch[:0]}
	arrivals.Put(a)
}

// gathering is a header section while it comes; a message has none any more
// once its header is complete.
type gathering struct {
	raw    []byte // with CRLF
	starts []int  // of the fields, in raw
}

var gatherings = sync.Pool{New: func() any { return &gathering{raw: make([]byte, 0, 8<<10), starts: make([]int, 0, 64)} }}

func (g *gathering) free() {
	if cap(g.raw) <= 64<<10 && cap(g.starts) <= 1024 {
		g.raw, g.starts = g.raw[:0], g.starts[:0]
		gatherings.Put(g)
	}
}

// field takes a field of the header. A fold comes as LF, and is a CRLF in what
// was signed.
func (a *arrival) field(name, value string, spaced bool) {
	n := len(name) + 1 + len(value) + 2
	if !spaced {
		n++
	}
	a.size += int64(n)
	for i, f := range foreignFields {
		if len(name) >= len(f) && strings.EqualFold(strings.TrimRight(name, " \t"), f) {
			a.counted[i]++
		}
	}
	if a.headed {
		return // no MTA sends a field behind the header
	}
	if a.gathered == nil {
		a.gathered = gatherings.Get().(*gathering)
	}
	g := a.gathered
	if a.over || len(g.raw)+n+strings.Count(value, "\n") > maxHeader || len(g.starts) >= maxFields {
		a.beyond(name, value)
		return
	}
	g.starts = append(g.starts, len(g.raw))
	g.raw = append(append(g.raw, name...), ':')
	if !spaced {
		g.raw = append(g.raw, ' ') // RFC 5322 §2.2 has none; MTAs write one
	}
	for {
		i := strings.IndexByte(value, '\n')
		if i < 0 {
			break
		}
		g.raw = append(g.raw, value[:i]...)
		if i == 0 || value[i-1] != '\r' {
			g.raw = append(g.raw, '\r')
			a.size++
		}
		g.raw = append(g.raw, '\n')
		value = value[i+1:]
	}
	g.raw = append(append(g.raw, value...), '\r', '\n')
}

// beyond takes a field that is not kept. Who the author claims to be is found
// out all the same: otherwise a long header would be a way around the author's
// policy.
func (a *arrival) beyond(name, value string) {
	a.over = true
	if !strings.EqualFold(strings.TrimRight(name, " \t"), "From") {
		return
	}
	if a.fromSize += len(value); len(a.froms) == maxFrom || a.fromSize > maxFromSize {
		a.fromLost = true
		return
	}
	a.froms = append(a.froms, "From:"+value+"\r\n")
}

// authors is the header of a message whose header is not kept: its From fields.
func (a *arrival) authors() message.Header {
	var out message.Header
	for _, f := range a.header {
		if f.Is("From") {
			out = append(out, f)
		}
	}
	for _, s := range a.froms {
		if f, ok := message.ParseField(s); ok {
			out = append(out, f)
		}
	}
	return out
}

// endOfHeader makes the header of what was gathered: one string, of which the
// fields are parts. Fields without a name that can be one are no fields.
func (a *arrival) endOfHeader() {
	b := a.scratch[:0]
	for _, r := range a.in.Rcpt {
		b = append(append(b, r...), 0)
	}
	a.scratch = b
	a.prints[0].Write(b)
	a.prints[1].Write(b)
	a.headed = true
	g := a.gathered
	if g == nil {
		return
	}
	a.prints[0].Write(g.raw)
	a.prints[1].Write(g.raw)
	text := string(g.raw)
	for i, from := range g.starts {
		to := len(text)
		if i+1 < len(g.starts) {
			to = g.starts[i+1]
		}
		if f, ok := message.ParseField(text[from:to]); ok {
			a.header = append(a.header, f)
		}
	}
	a.gathered = nil
	g.free()
}

// begin starts the print, with the envelope. It is two hashes, of which the
// second does without the body.
func (a *arrival) begin() {
	a.prints[0].Reset()
	a.prints[1].ResetWithSeed(1)
	b := a.scratch[:0]
	ip := a.in.IP.As16()
	b = append(b, ip[:]...)
	b = append(append(b, a.in.MailFrom...), 0)
	a.scratch = b
	a.prints[0].Write(b)
	a.prints[1].Write(b)
}

// sum is the print.
func (a *arrival) sum() (p [16]byte) {
	binary.BigEndian.PutUint64(p[:8], a.prints[0].Sum64())
	binary.BigEndian.PutUint64(p[8:], a.prints[1].Sum64())
	return p
}

// removal is a field to take out: the index-th of its name, from 1.
type removal struct {
	field int // in foreignFields
	index int
}

// removals lists the fields to take out, for each name the last first, so that
// the numbers of the others stay: forged results (RFC 8601 §5), and what only a
// receiver may say of BIMI (draft-14 §7.4). Of a header that was too long to
// read all results go.
func (a *arrival) removals(marked bool) []removal {
	var out []removal
	all := func(field int) {
		for i := a.counted[field]; i > 0; i-- {
			out = append(out, removal{field, i})
		}
	}
	switch {
	case a.counted[authResField] == 0:
	case a.over || a.failed:
		all(authResField)
	default:
		ids := make([]string, 0, 1+len(a.rules.site.TrustedIDs))
		ids = append(append(ids, a.id), a.rules.site.TrustedIDs...)
		forged := authres.Filter{IDs: ids}.Removals(a.header)
		n, next := 0, 0
		for i := range a.header {
			if next == len(forged) {
				break
			}
			if !a.header[i].Is(foreignFields[authResField]) {
				continue
			}
			n++
			if forged[next].Index == i {
				out = append(out, removal{authResField, n})
				next++
			}
		}
		for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
			out[i], out[j] = out[j], out[i]
		}
	}
	for f := firstBIMI; f <= lastBIMI; f++ {
		all(f)
	}
	if marked {
		all(markerField) // what we say must not be said already
	}
	return out
}

// domainOf is the domain of an address; zero where there is none that is a
// name.
func domainOf(address string) domain.Name {
	if address == "" {
		return domain.Name{}
	}
	_, host := message.SplitAddress(address)
	d, _ := domain.Parse(host)
	return d
}

// reversePath takes an address out of its angle brackets.
func reversePath(arg string) string {
	arg = strings.TrimSpace(arg)
	if strings.HasPrefix(arg, "<") && strings.HasSuffix(arg, ">") {
		arg = arg[1 : len(arg)-1]
	}
	return arg
}

// clip cuts a text from outside to at most most octets, and takes out what is
// no text.
func clip(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	plain := true
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// unfolded takes the CR out of a field that was made with CRLF: folds are LF on
// the wire of a milter. The name and the line's end go too.
func unfolded(field []byte) string {
	_, v, _ := bytes.Cut(field, []byte(": "))
	v = bytes.TrimRight(v, "\r\n")
	out := v[:0]
	for _, c := range v {
		if c != '\r' {
			out = append(out, c)
		}
	}
	return string(out)
}
