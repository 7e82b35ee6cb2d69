package arc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"time"

	"sekimori/dkim"
	"sekimori/dns"
	"sekimori/explain"
	"sekimori/message"
)

// Validation is one message on its way through a Verifier. It is for one
// goroutine.
type Validation struct {
	v      *Verifier
	now    time.Time
	header message.Header
	fields *dkim.Fields
	sets   []set
	bodies []*message.BodyDigest // of the AMS of each set; nil where it is not looked at
	keys   keyring
	buf    []byte // for canonicalized fields
	result Result
	fault  *fault
}

// Begin reads the chain in a header section, starts asking for the keys of its
// newest set and adds what has to be hashed of the body to d: at most three
// hashes, however many sets there are. Questions end with ctx.
func (v *Verifier) Begin(ctx context.Context, h message.Header, d *message.Digests) *Validation {
	n := &Validation{v: v, header: h}
	n.sets, n.result.Sets, n.fault = collect(h, v.Limits.sets())
	if len(n.sets) == 0 || n.fault != nil {
		return n
	}
	n.now = time.Now()
	if v.Now != nil {
		n.now = v.Now()
	}
	newest := &n.sets[len(n.sets)-1]
	if x := newest.sig.Expires; !x.IsZero() && n.now.After(x) {
		// RFC 6376 §3.5, "x"
		n.fault = broken("arc.signature-expired", "RFC 6376 §3.5", explain.Args{
			"instance": int64(len(n.sets)), "expired": x.UTC().Format("2006-01-02 15:04:05 UTC")})
		return n
	}
	n.keys = keyring{resolver: v.Resolver, slots: make(chan struct{}, 8)}
	n.keys.ask(ctx, newest.sig)
	n.keys.ask(ctx, newest.seal.Signature)

	n.bodies = make([]*message.BodyDigest, len(n.sets))
	for i := range n.sets {
		sig := n.sets[i].sig
		limit := int64(-1)
		if sig.Limited {
			if i < len(n.sets)-1 {
				// An older signature with l= counts as one that no longer
				// holds: each length would be another hash of the body.
				continue
			}
			limit = sig.Length
		}
		n.bodies[i] = d.Add(message.BodyHash{Canonicalization: sig.BodyCanon, Hash: sig.Algorithm.Hash(), Limit: limit})
	}
	return n
}

// NeedsBody reports whether Finish depends on the body.
func (n *Validation) NeedsBody() bool { return n.bodies != nil }

// Finish gives the result, after the body went through the Digests of Begin
// and these were closed. It waits for keys as long as ctx lets it, and asks for
// those of older sets.
func (n *Validation) Finish(ctx context.Context) Result {
	r := &n.result
	if len(n.sets) == 0 && n.fault == nil {
		// RFC 8617 §5.2, step 1.
		r.Status = None
		r.Reason = explain.Step{Code: "arc.none", Ref: "RFC 8617 §5.2", Args: explain.Args{}}
		r.Steps = []explain.Step{r.Reason}
		return *r
	}
	r.Chain = chain(n.sets)
	r.say("arc.found", "RFC 8617 §5.2", explain.Args{"sets": int64(r.Sets)})
	if n.fault == nil {
		n.fault = n.validate(ctx)
	}
	if f := n.fault; f != nil {
		r.Status, r.Err, r.Temporary = Fail, f.err, f.temporary
		if r.Err == nil {
			r.Err = f
		}
		r.conclude(f.step)
		return *r
	}
	r.Status = Pass
	r.conclude(explain.Step{Code: "arc.pass", Ref: "RFC 8617 §5.2", Args: explain.Args{
		"sets": int64(r.Sets), "sealers": r.names()}})
	return *r
}

func chain(sets []set) []Set {
	out := make([]Set, 0, len(sets))
	for i := len(sets) - 1; i >= 0; i-- {
		s := &sets[i]
		if s.have == [parts]bool{} {
			continue
		}
		one := Set{Instance: i + 1, Status: s.seal.cv, Results: s.text}
		if s.seal.Signature != nil {
			one.Domain, one.Selector = s.seal.Domain, s.seal.Selector
		}
		out = append(out, one)
	}
	return out
}

func (r *Result) say(code, ref string, args explain.Args) {
	r.Steps = append(r.Steps, explain.Step{Code: code, Ref: ref, Args: args})
}

func (r *Result) conclude(s explain.Step) {
	r.Reason = s
	r.Steps = append(r.Steps, s)
}

// names are the sealers for people, the newest first.
func (r *Result) names() []string {
	var out []string
	for i := range r.Chain {
		out = append(out, explain.Clip(r.Chain[i].Domain.Unicode()))
	}
	return out
}

// validate: RFC 8617 §5.2, steps 4 to 6. The newest seal is verified before
// older signatures, which changes no result: nobody but its sealer can have us
// ask for more than two keys.
func (n *Validation) validate(ctx context.Context) *fault {
	last := len(n.sets) - 1
	n.fields = dkim.NewFields(n.header)
	n.buf = make([]byte, 0, 4096)
	if f := n.message(ctx, last); f != nil { // step 4
		return f
	}
	sig := n.sets[last].sig
	n.result.fromSigned = sig.Signs("From")
	n.result.say("arc.signature-right", "RFC 8617 §5.2", explain.Args{
		"instance": int64(last + 1), "domain": explain.Clip(sig.Domain.Unicode())})
	if !n.result.fromSigned {
		n.result.say("arc.from-unsigned", "RFC 6376 §5.4", explain.Args{"instance": int64(last + 1)})
	}
	digests := sealDigests(n.sets)
	if f := n.sealed(ctx, last, digests[last]); f != nil { // step 6, the newest
		return f
	}
	for i := last - 1; i >= 0; i-- {
		n.keys.ask(ctx, n.sets[i].seal.Signature)
	}
	n.oldest(ctx, last)
	for i := last - 1; i >= 0; i-- { // step 6
		if f := n.sealed(ctx, i, digests[i]); f != nil {
			return f
		}
	}
	return nil
}

// oldest works out OldestPass (RFC 8617 §5.2, step 5).
func (n *Validation) oldest(ctx context.Context, last int) {
	for i := last - 1; i >= 0; i-- {
		if n.bodies[i] == nil {
			n.changed(i, "arc.older-unknown", nil)
			return
		}
		if !bytes.Equal(n.bodies[i].Sum(), n.sets[i].sig.BodyHash) {
			n.changed(i, "arc.changed-before", nil)
			return
		}
	}
	for i := last - 1; i >= 0; i-- {
		n.keys.ask(ctx, n.sets[i].sig)
	}
	for i := last - 1; i >= 0; i-- {
		if f := n.message(ctx, i); f != nil {
			code := "arc.older-unknown" // for want of a key
			if f.step.Code == "arc.signature-wrong" || f.step.Code == "arc.body-differs" {
				code = "arc.changed-before"
			}
			n.changed(i, code, []explain.Step{f.step})
			return
		}
	}
	if last > 0 {
		n.result.say("arc.unchanged", "RFC 8617 §5.2", explain.Args{"sets": int64(last + 1)})
	}
}

// changed says that the signature of sets[i] does not hold any more, or cannot
// be looked at.
func (n *Validation) changed(i int, code string, why []explain.Step) {
	n.result.OldestPass = i + 2
	step := explain.Step{Code: code, Ref: "RFC 8617 §5.2", Children: why, Args: explain.Args{
		"instance": int64(i + 1), "oldest": int64(i + 2),
		"domain": explain.Clip(n.sets[i].seal.domain().Unicode()), "next": explain.Clip(n.sets[i+1].seal.domain().Unicode())}}
	n.result.Steps = append(n.result.Steps, step)
}

// message verifies the AMS of sets[i], as RFC 6376 §6.1 verifies signatures.
func (n *Validation) message(ctx context.Context, i int) *fault {
	s := &n.sets[i]
	args := func() explain.Args {
		return explain.Args{"instance": int64(i + 1), "domain": explain.Clip(s.sig.Domain.Unicode())}
	}
	body := n.bodies[i]
	octets := body.Octets()
	switch {
	case s.sig.Limited && s.sig.Length > octets:
		return broken("arc.body-differs", "RFC 6376 §3.5", args())
	case !bytes.Equal(body.Sum(), s.sig.BodyHash):
		return broken("arc.body-differs", "RFC 6376 §6.1.3", args())
	case s.sig.Limited && s.sig.Length < octets:
		// What nobody signed could come from anybody (RFC 6376 §8.2).
		a := args()
		a["unsigned"] = octets - s.sig.Length
		return broken("arc.body-partly-unsigned", "RFC 6376 §8.2", a)
	}
	n.buf = n.fields.AppendSigned(n.buf[:0], s.sig.HeaderCanon, s.sig.Headers)
	n.buf = dkim.AppendSelf(n.buf, s.sig.HeaderCanon, s.fields[signature])
	digest := sha256.Sum256(n.buf)
	right, f := n.keys.verify(ctx, s.sig, digest[:], n.v.Limits.keys())
	if f != nil {
		return f.of(i+1, partNames[signature])
	}
	if !right {
		return broken("arc.signature-wrong", "RFC 6376 §6.1.3", args())
	}
	return nil
}

// sealed verifies the AS of sets[i].
func (n *Validation) sealed(ctx context.Context, i int, digest [sha256.Size]byte) *fault {
	s := &n.sets[i].seal
	args := explain.Args{"instance": int64(i + 1), "domain": explain.Clip(s.Domain.Unicode())}
	right, f := n.keys.verify(ctx, s.Signature, digest[:], n.v.Limits.keys())
	if f != nil {
		return f.of(i+1, partNames[seal])
	}
	if !right {
		return broken("arc.seal-wrong", "RFC 8617 §5.2", args)
	}
	n.result.say("arc.seal-right", "RFC 8617 §5.2", args)
	return nil
}

// sealDigests hashes what each seal covers: all sets up to its own, each in
// the order AAR, AMS, AS (RFC 8617 §5.1.1), in one pass.
func sealDigests(sets []set) [][sha256.Size]byte {
	out := make([][sha256.Size]byte, len(sets))
	h := sha256.New()
	var buf []byte
	for i := range sets {
		s := &sets[i]
		buf = message.Relaxed.AppendField(buf[:0], s.fields[results])
		buf = message.Relaxed.AppendField(buf, s.fields[signature])
		h.Write(buf)
		own := dkim.AppendSelf(buf[:0], message.Relaxed, s.fields[seal])
		if i == len(sets)-1 {
			h.Write(own)
			h.Sum(out[i][:0])
			break
		}
		branch(h, own, &out[i])
		buf = message.Relaxed.AppendField(own[:0], s.fields[seal])
		h.Write(buf)
	}
	return out
}

// branch gives the hash of all that h has taken and own, and leaves h as it is.
func branch(h hash.Hash, own []byte, out *[sha256.Size]byte) {
	if c, ok := h.(hash.Cloner); ok {
		if twin, err := c.Clone(); err == nil {
			twin.Write(own)
			twin.Sum(out[:0])
		}
	}
}

// keyring asks for each key once.
type keyring struct {
	resolver dns.Resolver
	slots    chan struct{} // questions at the same time
	asked    map[string]*question
}

type question struct {
	name string
	done chan struct{}
	keys []*dkim.Key
	err  error

	fault any // a panic, for whoever waits
}

// ask starts the question for a signature's key, unless it is asked already.
func (k *keyring) ask(ctx context.Context, sig *dkim.Signature) *question {
	name := dkim.KeyName(sig.Selector, sig.Domain.String())
	if q := k.asked[name]; q != nil {
		return q
	}
	if k.asked == nil {
		k.asked = make(map[string]*question)
	}
	q := &question{name: name, done: make(chan struct{})}
	k.asked[name] = q
	selector, domain := sig.Selector, sig.Domain.String()
	if dns.Ready(k.resolver, name, dns.TXT) {
		q.keys, _, q.err = dkim.Lookup(ctx, k.resolver, selector, domain)
		close(q.done)
		return q
	}
	go func() {
		defer func() {
			q.fault = recover()
			close(q.done)
		}()
		select {
		case k.slots <- struct{}{}:
			defer func() { <-k.slots }()
			q.keys, _, q.err = dkim.Lookup(ctx, k.resolver, selector, domain)
		case <-ctx.Done():
			q.err = ctx.Err()
		}
	}()
	return q
}

// verify verifies a signature with its keys. The fault is without instance and
// field.
func (k *keyring) verify(ctx context.Context, sig *dkim.Signature, digest []byte, l dkim.Limits) (bool, *fault) {
	q := k.ask(ctx, sig)
	select {
	case <-q.done:
	default:
		select {
		case <-q.done:
		case <-ctx.Done():
			f := broken("arc.key-temporary", "RFC 8617 §5.2.1", explain.Args{"name": q.name})
			f.err, f.temporary = ctx.Err(), true
			return false, f
		}
	}
	if q.fault != nil {
		panic(q.fault) // where the caller can catch it
	}
	if q.err != nil {
		return false, keyFault(q)
	}
	var unusable error
	usable := false
	for _, key := range q.keys {
		if err := key.Usable(sig.Algorithm, l); err != nil {
			if unusable == nil {
				unusable = err
			}
			continue
		}
		usable = true
		if key.Verify(sig.Algorithm, digest, sig.Value) == nil {
			return true, nil
		}
	}
	if !usable {
		return false, broken("arc.key-unusable", "RFC 6376 §6.1.2", explain.Args{"name": q.name}).because(unusable)
	}
	return false, nil
}

// keyFault: RFC 8617 §5.2.1 makes no difference between no key and no answer;
// people want to know.
func keyFault(q *question) *fault {
	args := explain.Args{"name": q.name}
	var e *dkim.Error
	switch {
	case errors.As(q.err, &e):
		return broken("arc.key-unusable", "RFC 6376 §6.1.2", args).because(q.err)
	case dns.Absent(q.err):
		f := broken("arc.key-absent", "RFC 6376 §6.1.2", args)
		f.err = q.err
		return f
	}
	f := broken("arc.key-temporary", "RFC 8617 §5.2.1", args)
	f.err, f.temporary = q.err, true
	return f
}

// of says which field the fault is about.
func (f *fault) of(instance int, field string) *fault {
	f.step.Args["instance"] = int64(instance)
	f.step.Args["field"] = field
	return f
}
