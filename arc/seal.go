package arc

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekimori/dkim"
	"sekimori/domain"
	"sekimori/message"
)

// Sealer adds ARC Sets (RFC 8617 §5.1). It is safe for concurrent use if its
// Key is.
type Sealer struct {
	Domain   domain.Name
	Selector string
	// Key is an RSA key of 1024 bits or more, or an Ed25519 key. RFC 8617 has
	// one set per instance, so there is no sealing with both at once; few
	// validators know Ed25519.
	Key crypto.Signer
	// HeaderCanon and BodyCanon are those of the message signature, relaxed
	// where they are "". Seals are always relaxed (RFC 8617 §4.1.3).
	HeaderCanon, BodyCanon message.Canonicalization
	// Headers is h= of the message signature as it is to be. From must be in
	// it; Authentication-Results and the fields of ARC must not (RFC 8617
	// §4.1.2). nil means dkim.DefaultHeaders of the message and every
	// DKIM-Signature that it has.
	Headers []string
	// Now gives t=; nil means time.Now.
	Now func() time.Time
}

// Errors of sealing.
var (
	// ErrFailed: the newest set says cv=fail. Such a chain is not continued
	// (RFC 8617 §5.1, step 2; §5.1.3).
	ErrFailed = errors.New("seal: the chain was marked as failed before; it is not continued (RFC 8617 §5.1)")
	// ErrFull: the chain has fifty sets (RFC 8617 §4.2.1).
	ErrFull = errors.New("seal: the chain has 50 sets, no more are allowed (RFC 8617 §4.2.1)")
)

// Sealing is one message on its way through a Sealer. It is for one goroutine.
type Sealing struct {
	s        *Sealer
	a        dkim.Algorithm
	header   message.Header
	instance int
	sets     []set // those before; nil where they do not go into the seal
	broken   bool  // they cannot be continued but as failed
	body     *message.BodyDigest
	canon    [2]message.Canonicalization
	names    []string
	lines    int // how long lines of base64 are
}

// Begin prepares to seal the message as it will leave: all changes, DKIM
// signatures included, are made before (RFC 8617 §5.1, step 1). It adds what
// has to be hashed of the body to d. ErrFailed and ErrFull say that the message
// is to go on unsealed.
func (s *Sealer) Begin(h message.Header, d *message.Digests) (*Sealing, error) {
	a, err := dkim.AlgorithmOf(s.Key)
	if err != nil {
		return nil, err
	}
	if dkim.KeyName(s.Selector, s.Domain.String()) == "" {
		return nil, fmt.Errorf("seal: selector %q and domain %q are no name for a key", s.Selector, s.Domain)
	}
	n := &Sealing{s: s, a: a, header: h, lines: 72}
	sets, highest, fault := collect(h, maxSets)
	if len(sets) > 0 && sets[len(sets)-1].seal.cv == Fail {
		return nil, ErrFailed
	}
	if highest >= maxSets {
		return nil, ErrFull
	}
	n.instance, n.sets, n.broken = highest+1, sets, fault != nil
	n.canon = [2]message.Canonicalization{s.HeaderCanon, s.BodyCanon}
	for i, c := range n.canon {
		switch c {
		case "":
			n.canon[i] = message.Relaxed
		case message.Simple, message.Relaxed:
		default:
			return nil, fmt.Errorf("seal: unknown canonicalization %q, want %q or %q", c, message.Simple, message.Relaxed)
		}
	}
	if n.names, err = s.headers(h); err != nil {
		return nil, err
	}
	n.body = d.Add(message.BodyHash{Canonicalization: n.canon[1], Hash: a.Hash(), Limit: -1})
	return n, nil
}

func (s *Sealer) headers(h message.Header) ([]string, error) {
	names := s.Headers
	if names == nil {
		names = dkim.DefaultHeaders(h)
		for i := range h {
			if h[i].Is("DKIM-Signature") && len(names) < 512 {
				names = append(names, "DKIM-Signature") // RFC 8617 §4.1.2, SHOULD
			}
		}
	}
	if !slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(s, "From") }) {
		return nil, errors.New("seal: From is not among the fields to sign (RFC 6376 §5.4)")
	}
	for _, name := range names {
		// RFC 8617 §4.1.2: these are taken out or added on the way.
		for _, bad := range [...]string{"Authentication-Results", partNames[results], partNames[signature], partNames[seal]} {
			if strings.EqualFold(name, bad) {
				return nil, fmt.Errorf("seal: %s must not be signed (RFC 8617 §4.1.2)", bad)
			}
		}
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' || r == ';' }) {
			return nil, fmt.Errorf("seal: %q is no name of a field", name)
		}
	}
	return names, nil
}

// Instance is the number of the set that is being made.
func (n *Sealing) Instance() int { return n.instance }

// Finish makes the set, after the body went through the Digests of Begin and
// these were closed. cv is the Status that validating the message gave when it
// arrived, before it was changed; results are those of the checks made then, as
// the value of an Authentication-Results field with its authserv-id: all of
// them in one (RFC 8617 §4.1.1), the result of ARC among them.
//
// The fields come with their line ends, in the order in which they go on top
// of the message: ARC-Seal, ARC-Message-Signature, ARC-Authentication-Results.
// The seal of a chain that failed covers only its own set (RFC 8617 §5.1.2).
func (n *Sealing) Finish(cv Status, results string) ([]string, error) {
	switch {
	case cv != None && cv != Pass && cv != Fail:
		return nil, fmt.Errorf("seal: unknown chain validation status %q", cv)
	case n.instance == 1 && n.broken && cv != Fail, n.instance == 1 && !n.broken && cv != None, n.instance > 1 && cv == None:
		return nil, fmt.Errorf("seal: status %q, but the message has %d sets", cv, n.instance-1)
	case n.broken && cv != Fail:
		return nil, fmt.Errorf("seal: status %q, but the chain is broken", cv)
	}
	aar, err := n.results(results)
	if err != nil {
		return nil, err
	}
	now := time.Now
	if n.s.Now != nil {
		now = n.s.Now
	}
	stamp := strconv.FormatInt(now().Unix(), 10)

	// RFC 8617 §4.1.2.
	ams := newTags(partNames[signature], n.lines)
	ams.open(n.a)
	ams.tag("bh", base64.StdEncoding.EncodeToString(n.body.Sum()))
	ams.tag("c", string(n.canon[0])+"/"+string(n.canon[1]))
	ams.tag("d", n.s.Domain.String())
	ams.list("h", n.names)
	ams.tag("i", strconv.Itoa(n.instance))
	ams.tag("s", n.s.Selector)
	ams.tag("t", stamp)
	own, err := ams.field("")
	if err != nil {
		return nil, err
	}
	in := dkim.NewFields(n.header).AppendSigned(make([]byte, 0, 4096), n.canon[0], n.names)
	value, err := n.sign(dkim.AppendSelf(in, n.canon[0], own))
	if err != nil {
		return nil, err
	}
	signed, err := ams.field(value)
	if err != nil {
		return nil, err
	}

	// RFC 8617 §4.1.3.
	as := newTags(partNames[seal], n.lines)
	as.open(n.a)
	as.tag("cv", string(cv))
	as.tag("d", n.s.Domain.String())
	as.tag("i", strconv.Itoa(n.instance))
	as.tag("s", n.s.Selector)
	as.tag("t", stamp)
	if own, err = as.field(""); err != nil {
		return nil, err
	}
	in = in[:0]
	if cv != Fail { // RFC 8617 §5.1.1; for cv=fail §5.1.2
		for i := range n.sets {
			for _, f := range n.sets[i].fields {
				in = message.Relaxed.AppendField(in, f)
			}
		}
	}
	in = message.Relaxed.AppendField(in, aar)
	in = message.Relaxed.AppendField(in, signed)
	if value, err = n.sign(dkim.AppendSelf(in, message.Relaxed, own)); err != nil {
		return nil, err
	}
	sealed, err := as.field(value)
	if err != nil {
		return nil, err
	}
	return []string{sealed.Raw(), signed.Raw(), aar.Raw()}, nil
}

func (n *Sealing) sign(in []byte) (string, error) {
	digest := sha256.Sum256(in)
	value, err := dkim.SignDigest(n.s.Key, digest[:])
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	return base64.StdEncoding.EncodeToString(value), nil
}

// Seal seals a whole message.
func (s *Sealer) Seal(h message.Header, body io.Reader, cv Status, results string) ([]string, error) {
	var d message.Digests
	n, err := s.Begin(h, &d)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(&d, body); err != nil {
		return nil, err
	}
	d.Close()
	return n.Finish(cv, results)
}

// results writes the AAR, folded where white space may be.
func (n *Sealing) results(text string) (message.Field, error) {
	text = unfold(text)
	for i := 0; i < len(text); i++ {
		if c := text[i]; c < ' ' && c != '\t' || c == 0x7f {
			return message.Field{}, fmt.Errorf("seal: the results have a control character at octet %d", i+1)
		}
	}
	if text == "" {
		return message.Field{}, errors.New("seal: no results; those of a message without checks are \"id; none\"")
	}
	b := make([]byte, 0, len(text)+128)
	b = append(b, partNames[results]...)
	b = append(b, ": i="...)
	b = strconv.AppendInt(b, int64(n.instance), 10)
	b = append(b, "; "...)
	return parse(foldResults(b, text))
}

func parse(raw []byte) (message.Field, error) {
	f, ok := message.ParseField(string(raw))
	if !ok {
		return f, errors.New("seal: the field could not be written")
	}
	return f, nil
}

// lineLength is how long lines should be (RFC 5322 §2.1.1).
const lineLength = 78

// foldResults appends results and CRLF: a new line after each semicolon, and at
// other white space where the line would get too long; never in quotes.
func foldResults(b []byte, text string) []byte {
	col := len(b)
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && (quoted || depth > 0) && i+1 < len(text):
			b = append(b, c, text[i+1])
			col += 2
			i++
			continue
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(' && !quoted:
			depth++
		case c == ')' && !quoted && depth > 0:
			depth--
		case (c == ' ' || c == '\t') && !quoted:
			for i+1 < len(text) && (text[i+1] == ' ' || text[i+1] == '\t') {
				i++
			}
			next := strings.IndexAny(text[i+1:], " \t")
			if next < 0 {
				next = len(text) - i - 1
			}
			if depth == 0 && b[len(b)-1] == ';' || col+1+next > lineLength {
				b = append(b, "\r\n "...)
				col = 1
				continue
			}
			c = ' '
		}
		b = append(b, c)
		col++
	}
	return append(b, '\r', '\n')
}

// tags writes a signature's field. The first lines are the algorithm and the
// signature, so that the others stay as they are when the value comes in.
type tags struct {
	head, tail []byte
	col        int // in tail's last line
	lines      int // how long those of base64 are
}

func newTags(name string, lines int) *tags {
	return &tags{head: append(make([]byte, 0, 64), name+":"...), lines: lines}
}

func (t *tags) open(a dkim.Algorithm) {
	t.head = append(t.head, " a="+string(a)+";\r\n b="...)
	t.tail = make([]byte, 0, 512)
	t.col = lineLength // begin a line
}

func (t *tags) tag(name, value string) {
	t.begin(len(name) + 1 + len(value))
	t.put(name + "=" + value)
}

// list writes a tag that may be broken after colons.
func (t *tags) list(name string, items []string) {
	t.begin(min(len(strings.Join(items, ":"))+len(name)+1, 60))
	t.put(name + "=")
	for i, item := range items {
		if i > 0 {
			t.put(":")
			if t.col+len(item)+2 > lineLength {
				t.line()
			}
		}
		t.put(item)
	}
}

func (t *tags) begin(n int) {
	t.tail = append(t.tail, ';')
	if t.col++; t.col+n+2 > lineLength {
		t.line()
		return
	}
	t.put(" ")
}

func (t *tags) line() {
	t.tail = append(t.tail, "\r\n "...)
	t.col = 1
}

func (t *tags) put(s string) {
	t.tail = append(t.tail, s...)
	t.col += len(s)
}

// field is the field with a value for b=.
func (t *tags) field(value string) (message.Field, error) {
	b := make([]byte, 0, len(t.head)+len(t.tail)+len(value)+len(value)/16+8)
	b = append(b, t.head...)
	width := t.lines - len("b=")
	for len(value) > width {
		b = append(b, value[:width]...)
		b = append(b, "\r\n "...)
		value = value[width:]
		width = t.lines
	}
	b = append(b, value...)
	b = append(b, t.tail...)
	return parse(append(b, '\r', '\n'))
}
