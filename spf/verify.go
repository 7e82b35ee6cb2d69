package spf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/explain"
)

// Identity is which of a client's claims is checked (RFC 7208 §2.2).
type Identity string

const (
	MailFrom Identity = "mailfrom"
	Helo     Identity = "helo"
)

// Input is what a client said and where it connected from.
type Input struct {
	// IP is the client's address. An IPv4-mapped IPv6 address is taken as
	// IPv4 (RFC 7208 §5).
	IP netip.Addr
	// Helo is the name given with HELO or EHLO.
	Helo string
	// MailFrom is the reverse-path without its angle brackets. Empty means the
	// null reverse-path, for which postmaster@Helo is checked (RFC 7208 §2.4).
	MailFrom string
}

// Limits bound an evaluation. A field that is zero has the default of the RFC.
type Limits struct {
	Lookups     int           // terms that ask the DNS: 10 (RFC 7208 §4.6.4)
	VoidLookups int           // of those, terms with an empty answer: 2
	MX          int           // names of one mx mechanism whose addresses are asked for: 10
	PTR         int           // names of the client that are validated: 10
	Time        time.Duration // for the whole evaluation: 20 s
}

func (l Limits) withDefaults() Limits {
	set := func(n *int, d int) {
		if *n == 0 {
			*n = d
		}
	}
	set(&l.Lookups, 10)
	set(&l.VoidLookups, 2)
	set(&l.MX, 10)
	set(&l.PTR, 10)
	if l.Time == 0 {
		l.Time = 20 * time.Second
	}
	return l
}

// Verifier evaluates SPF (RFC 7208 §4). Its fields are not changed once it is
// in use; it is then safe for concurrent use.
//
// With the default limits an evaluation asks at most 123 questions: the
// record, 10 terms of which each may be an mx with 10 hosts, the client's name
// and 10 addresses of it, and an explanation.
type Verifier struct {
	Resolver dns.Resolver
	Limits   Limits
	// Receiver is the name of the receiving host, for the macro r; where it is
	// empty the macro gives "unknown".
	Receiver string
	// Now is the time for the macro t, time.Now where it is nil.
	Now func() time.Time
	// Cache keeps parsed records where it is set; one may serve many Verifiers.
	Cache *Cache
}

// Result is the outcome of an evaluation.
type Result struct {
	Status   Status
	Identity Identity
	// Domain is the one evaluated, in lower case and A-labels. Where what was
	// given is no domain name it is that, clipped to be shown.
	Domain string
	// Sender is the mailbox that the evaluation was about, with the local-part
	// "postmaster" where there was none (RFC 7208 §4.3).
	Sender string
	// Mechanism is the directive that matched, as published; "default" where
	// none did, empty where no record was evaluated to its end.
	Mechanism string
	// Record is the domain's record, as published; empty where there is none.
	Record string
	// Explanation is the text that the domain's owner gives with a fail (RFC
	// 7208 §6.2): printable ASCII of at most 500 octets, and untrusted.
	Explanation string
	// Lookups and VoidLookups count the terms that asked the DNS, and those of
	// them that had an empty answer (RFC 7208 §4.6.4).
	Lookups     int
	VoidLookups int
	// Steps explain the result: one step with the verdict, and below it what
	// led there.
	Steps []explain.Step
	// Err is why the status is TempError or PermError; also why it is None
	// where the domain or the address is unusable.
	Err error
}

// Why an evaluation ended without a verdict; Result.Err matches one of them
// under errors.Is, or is a *SyntaxError, or wraps the resolver's error.
var (
	ErrNoAddress       = errors.New("no client address to evaluate")
	ErrBadDomain       = errors.New("not a domain name of two labels or more")
	ErrMultipleRecords = errors.New("more than one SPF record")
	ErrNoRecord        = errors.New("include or redirect to a domain without SPF record")
	ErrLookupLimit     = errors.New("too many terms that ask the DNS")
	ErrVoidLimit       = errors.New("too many terms whose DNS answer is empty")
	ErrMXLimit         = errors.New("too many mail exchangers")
	ErrTimeLimit       = errors.New("evaluation took too long")
)

// Verify evaluates the MAIL FROM identity (RFC 7208 §2.4).
func (v *Verifier) Verify(ctx context.Context, in Input) Result {
	local, dom := "postmaster", in.Helo
	if in.MailFrom != "" {
		at := strings.LastIndexByte(in.MailFrom, '@')
		dom = in.MailFrom[at+1:]
		if at > 0 { // RFC 7208 §4.3: else the local-part is "postmaster"
			local = in.MailFrom[:at]
		}
	}
	return v.evaluate(ctx, in, MailFrom, local, dom)
}

// VerifyHelo evaluates the HELO identity (RFC 7208 §2.3).
func (v *Verifier) VerifyHelo(ctx context.Context, in Input) Result {
	return v.evaluate(ctx, in, Helo, "postmaster", in.Helo)
}

// evaluation is one evaluation under way.
type evaluation struct {
	v       *Verifier
	ctx     deadline
	limits  Limits
	ip      netip.Addr
	local   string // of the sender
	origin  string // the sender's domain
	helo    string
	foreign bool // the local-part is not ASCII

	lookups int
	voids   int
	late    bool // the time limit was hit

	names reverse // the client's, once asked for

	ipArg any // the address as argument of steps
}

func (e *evaluation) now() time.Time {
	if e.v.Now != nil {
		return e.v.Now()
	}
	return time.Now()
}

func (v *Verifier) evaluate(ctx context.Context, in Input, id Identity, local, dom string) Result {
	res := Result{Identity: id}
	e := &evaluation{v: v, limits: v.Limits.withDefaults(), ip: in.IP.Unmap().WithZone(""), local: local, helo: in.Helo}
	name, ok := initialDomain(dom)
	res.Domain, e.origin = name, dom
	if ok {
		if e.origin = strings.TrimSuffix(dom, "."); !ascii(dom) {
			e.origin = name // RFC 8616 §4: A-labels
		}
	}
	res.Sender = local + "@" + e.origin
	e.foreign = !ascii(local)
	if e.ip.IsValid() {
		e.ipArg = e.ip.String()
	} else {
		e.ipArg = ""
	}
	switch {
	case !e.ip.IsValid():
		res.Status, res.Err = None, ErrNoAddress
		res.Steps = []explain.Step{e.verdict(&res, stepNoAddress())}
		return res
	case !ok: // RFC 7208 §4.3
		res.Status, res.Err = None, fmt.Errorf("%q: %w", clip(dom), ErrBadDomain)
		res.Steps = []explain.Step{e.verdict(&res, stepBadDomain(dom))}
		return res
	}
	e.ctx.Context, e.ctx.at = ctx, time.Now().Add(e.limits.Time)
	defer e.ctx.stop()

	o := e.check(name)
	res.Status, res.Record, res.Err = o.status, o.record, o.err
	res.Lookups, res.VoidLookups = e.lookups, e.voids
	switch o.status {
	case Pass, Fail, SoftFail, Neutral:
		res.Mechanism = "default" // RFC 7208 §9.1
		if o.term != nil {
			res.Mechanism = o.term.Text()
		}
	}
	// The verdict and what is below it share one array.
	all := make([]explain.Step, 1, 3)
	if o.record != "" {
		all = append(all, stepRecord(name, o.record, o.steps))
	} else {
		all = append(all, o.steps...)
	}
	if o.status == Fail && o.explain != nil {
		var step explain.Step
		res.Explanation, step = e.explanation(o.explain, o.domain)
		all = append(all, step)
	}
	all[0] = e.verdict(&res, all[1:]...)
	res.Steps = all[:1:1]
	return res
}

// outcome is the result of check_host() (RFC 7208 §4) and what led to it.
type outcome struct {
	status  Status
	err     error
	record  string         // of the domain asked about, as published
	domain  string         // whose directive matched: another after a redirect
	term    *Term          // that matched, nil for none
	explain *Term          // the exp modifier of domain's record
	steps   []explain.Step // a record's terms, or why there is none
}

// check is check_host() for a domain in presentation form without a final dot,
// valid per RFC 7208 §4.3.
func (e *evaluation) check(name string) outcome {
	texts, err := e.ask(name, dns.TXT)
	if err != nil && !dns.Absent(err) {
		// RFC 7208 §4.4: server failure, or no answer in time
		return outcome{status: TempError, err: err, steps: []explain.Step{stepNoAnswer(name, dns.TXT, err)}}
	}
	txt, n := pick(texts)
	switch {
	case n == 0: // RFC 7208 §4.3, §4.5
		return outcome{status: None, steps: []explain.Step{stepNoRecord(name)}}
	case n > 1: // RFC 7208 §4.5
		return outcome{status: PermError, err: fmt.Errorf("%s: %w", clip(name), ErrMultipleRecords),
			steps: []explain.Step{stepMultiple(name, n)}}
	}
	r, bad := e.v.Cache.parse(txt)
	if bad != nil {
		// RFC 7208 §4.6: syntax errors anywhere
		return outcome{status: PermError, err: fmt.Errorf("%s: %w", clip(name), bad), record: txt,
			steps: []explain.Step{stepSyntax(bad)}}
	}
	o := e.record(r, name)
	o.record = txt
	return o
}

// pick returns the SPF record among TXT records, and how many there are.
func pick(texts []string) (txt string, n int) {
	for _, s := range texts {
		if IsRecord(s) {
			txt = s
			n++
		}
	}
	return txt, n
}

// record evaluates the terms of a record (RFC 7208 §4.6).
func (e *evaluation) record(r *Record, name string) outcome {
	o := outcome{domain: name, explain: r.Explanation()}
	steps := make([]explain.Step, 0, min(len(r.Terms)+1, 8))
	for i := 0; i < len(r.Terms); i++ {
		t := &r.Terms[i]
		if t.IsModifier() {
			continue
		}
		if t.Name == IP4 || t.Name == IP6 {
			// Networks in a row that do not match share one step.
			first := i
			for ; i < len(r.Terms); i++ {
				t := &r.Terms[i]
				if !t.IsModifier() && (t.Name != IP4 && t.Name != IP6 || e.inNetwork(t)) {
					break
				}
			}
			if i > first {
				steps = append(steps, e.stepNoNetwork(r.Terms[first:i]))
				i--
				continue
			}
		}
		m := e.match(t, name)
		steps = append(steps, m.step)
		switch {
		case m.err != nil:
			o.status, o.err = m.status, m.err
		case m.matched: // RFC 7208 §4.6.2
			o.status, o.term = t.Qualifier.Status(), t
		default:
			continue
		}
		o.steps = steps
		return o
	}
	redirect := r.Redirect()
	if redirect == nil { // RFC 7208 §4.7
		o.status = Neutral
		o.steps = append(steps, stepDefault())
		return o
	}
	// RFC 7208 §6.1. A record with all never comes here.
	to, m := e.enter(redirect, name)
	if m.err != nil {
		o.status, o.err = m.status, m.err
		o.steps = append(steps, m.step)
		return o
	}
	if !multiLabel(to) {
		o.status, o.err = PermError, fmt.Errorf("%s: %s: %w", clip(name), clip(redirect.Text()), ErrNoRecord)
		o.steps = append(steps, stepNoTarget(redirect, to))
		return o
	}
	next := e.check(to)
	o.steps = append(steps, stepRedirect(redirect, next))
	o.status, o.err, o.term, o.domain, o.explain = next.status, next.err, next.term, next.domain, next.explain
	if o.status == None {
		o.status, o.err = PermError, fmt.Errorf("%s: %s: %w", clip(name), clip(redirect.Text()), ErrNoRecord)
	}
	return o
}

// initialDomain makes the domain of an identity one to ask about (RFC 7208
// §4.3): several labels of 1 to 63 octets, in lower case and A-labels, without
// the final dot. What is none is returned clipped.
func initialDomain(s string) (string, bool) {
	if !ascii(s) {
		n, err := domain.Parse(s) // RFC 8616 §4
		if err != nil {
			return clipASCII(s), false
		}
		s = n.String()
	}
	name := strings.TrimSuffix(s, ".")
	if !multiLabel(name) || name[0] == '[' {
		return clipASCII(s), false
	}
	for i := 0; i < len(name); i++ {
		if name[i] <= ' ' || name[i] == 0x7f {
			return clipASCII(s), false
		}
	}
	return lower(name), true
}

// multiLabel reports whether a name without final dot can have a record that
// is asked for: RFC 7208 §4.3 wants two labels.
func multiLabel(name string) bool { return queryable(name) && strings.IndexByte(name, '.') > 0 }

// queryable reports whether a name without final dot can be in the DNS: labels
// of 1 to 63 octets, 253 in all (RFC 1035 §2.3.4).
func queryable(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	start := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '.' {
			continue
		}
		if n := i - start; n == 0 || n > 63 {
			return false
		}
		start = i + 1
	}
	return true
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
