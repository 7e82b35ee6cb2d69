package spf

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sekimori/dns"
	"sekimori/explain"
)

// matching is what one mechanism gave. Where err is set the evaluation ends
// with status.
type matching struct {
	matched bool
	status  Status
	err     error
	step    explain.Step
}

// match evaluates a directive of the record of name (RFC 7208 §5).
func (e *evaluation) match(t *Term, name string) matching {
	switch t.Name {
	case All: // RFC 7208 §5.1
		return matching{matched: true, step: stepAll(t)}
	case IP4, IP6: // RFC 7208 §5.6; what does not match never comes here
		return matching{matched: e.inNetwork(t), step: e.stepNetwork(t)}
	}
	voids := e.voids
	target, m := e.enter(t, name)
	if m.err != nil {
		return m
	}
	switch {
	case e.foreign && t.Value.uses("sl"):
		// RFC 8616 §4: a local-part that is not ASCII matches nothing
		return matching{step: e.stepBadTarget(t)}
	case t.Name == Include && !multiLabel(target): // RFC 7208 §5.2: as "none"
		return matching{status: PermError, err: fmt.Errorf("%s: %w", clip(t.Text()), ErrNoRecord), step: stepNoTarget(t, target)}
	case !queryable(target):
		// RFC 7208 §4.8 leaves open what a name that cannot exist does. It is
		// taken as one that does not exist; no question is asked.
		return matching{step: e.stepBadTarget(t)}
	}
	switch t.Name {
	case Include:
		m = e.include(t, target)
	case A:
		m = e.a(t, target)
	case MX:
		m = e.mx(t, target)
	case PTR:
		m = e.ptr(t, target)
	case Exists:
		m = e.exists(t, target)
	}
	// RFC 7208 §4.6.4 limits terms, not questions: a term counts once. What an
	// include counted is already in.
	if t.Name != Include && e.voids > voids {
		e.voids = voids + 1
		if !m.matched && m.err == nil && e.voids > e.limits.VoidLookups {
			return matching{status: PermError, err: fmt.Errorf("%s: %w (limit %d)", clip(t.Text()), ErrVoidLimit, e.limits.VoidLookups),
				step: e.stepLimit("spf.limit.void", t, e.limits.VoidLookups, m.step)}
		}
	}
	return m
}

// inNetwork reports whether the client is in the network of an ip4 or ip6. An
// IPv4 client, mapped or not, is in no ip6 network (RFC 7208 §5).
func (e *evaluation) inNetwork(t *Term) bool { return t.Network.Contains(e.ip) }

// enter counts a term that asks the DNS and gives its target-name (RFC 7208
// §4.6.4, §4.8): without final dot, at most 253 octets; empty where there is
// no such name.
func (e *evaluation) enter(t *Term, name string) (string, matching) {
	if e.lookups >= e.limits.Lookups {
		return "", matching{status: PermError, err: fmt.Errorf("%s: %w (limit %d)", clip(t.Text()), ErrLookupLimit, e.limits.Lookups),
			step: e.stepLimit("spf.limit.lookups", t, e.limits.Lookups)}
	}
	e.lookups++
	if t.Value.IsZero() {
		return name, matching{}
	}
	return e.target(&t.Value, name), matching{}
}

// target fills in a domain-spec.
func (e *evaluation) target(m *MacroString, name string) string {
	if e.foreign && m.uses("sl") {
		return "" // RFC 8616 §4
	}
	s := m.text
	if m.pieces != nil {
		s = string(e.expand(make([]byte, 0, 128), m, name))
	}
	return shorten(strings.TrimSuffix(s, "."))
}

// shorten removes labels on the left until the name fits (RFC 7208 §7.3); ""
// where none is left.
func shorten(name string) string {
	const most = 253
	if len(name) <= most {
		return name
	}
	from := len(name) - most
	if name[from-1] == '.' {
		return name[from:]
	}
	dot := strings.IndexByte(name[from:], '.')
	if dot < 0 {
		return ""
	}
	return name[from+dot+1:]
}

// include is RFC 7208 §5.2.
func (e *evaluation) include(t *Term, target string) matching {
	o := e.check(target)
	m := matching{step: e.stepInclude(t, o)}
	switch o.status {
	case Pass:
		m.matched = true
	case Fail, SoftFail, Neutral:
	case TempError:
		m.status, m.err = TempError, o.err
	case PermError:
		m.status, m.err = PermError, o.err
	case None:
		m.status, m.err = PermError, fmt.Errorf("%s: %w", clip(t.Text()), ErrNoRecord)
	}
	return m
}

// addresses asks for the addresses of a name of the client's kind. An empty
// answer counts as void.
func (e *evaluation) addresses(name string) ([]string, dns.Type, error) {
	kind := dns.A
	if e.ip.Is6() {
		kind = dns.AAAA
	}
	records, err := e.ask(name, kind)
	if err == nil && len(records) > 0 {
		return records, kind, nil
	}
	if err == nil || dns.Absent(err) {
		e.voids++
		return nil, kind, nil
	}
	return nil, kind, err
}

// among returns the address whose network, of the length that the term has for
// its kind, holds the client's (RFC 7208 §5.3); "" for none.
func (e *evaluation) among(t *Term, records []string) string {
	bits := t.Bits4.or(32)
	if e.ip.Is6() {
		bits = t.Bits6.or(128)
	}
	for _, s := range records {
		a, err := netip.ParseAddr(s)
		if err != nil || a.BitLen() != e.ip.BitLen() {
			continue
		}
		if bits == a.BitLen() {
			if a == e.ip {
				return s
			}
			continue
		}
		if p, err := a.Prefix(bits); err == nil && p.Contains(e.ip) {
			return s
		}
	}
	return ""
}

// a is RFC 7208 §5.3.
func (e *evaluation) a(t *Term, target string) matching {
	records, kind, err := e.addresses(target)
	if err != nil {
		return e.failed(t, target, kind, err)
	}
	if len(records) == 0 {
		return matching{step: e.stepVoid(t, target, kind)}
	}
	if s := e.among(t, records); s != "" {
		return matching{matched: true, step: e.stepHost("spf.match.a", t, target, s)}
	}
	return matching{step: e.stepAddresses("spf.miss.a", t, target, records)}
}

// mx is RFC 7208 §5.4.
func (e *evaluation) mx(t *Term, target string) matching {
	records, err := e.ask(target, dns.MX)
	if err != nil && !dns.Absent(err) {
		return e.failed(t, target, dns.MX, err)
	}
	if len(records) == 0 {
		// No implicit MX: the name's own address is not tried.
		e.voids++
		return matching{step: e.stepVoid(t, target, dns.MX)}
	}
	hosts := exchangers(records)
	for i, h := range hosts {
		if i >= e.limits.MX { // RFC 7208 §4.6.4
			return matching{status: PermError, err: fmt.Errorf("%s: %w (limit %d)", clip(t.Text()), ErrMXLimit, e.limits.MX),
				step: e.stepLimit("spf.limit.mx", t, e.limits.MX)}
		}
		if !queryable(h) { // the null MX (RFC 7505) among them
			continue
		}
		addrs, kind, err := e.addresses(h)
		if err != nil {
			return e.failed(t, h, kind, err)
		}
		if s := e.among(t, addrs); s != "" {
			return matching{matched: true, step: e.stepHost("spf.match.mx", t, h, s)}
		}
	}
	return matching{step: e.stepHosts("spf.miss.mx", t, target, hosts)}
}

// exchangers returns the hosts of MX records, in order of preference.
func exchangers(records []string) []string {
	type exchanger struct {
		preference int
		host       string
	}
	all := make([]exchanger, 0, len(records))
	for _, r := range records {
		p, host, ok := strings.Cut(r, " ")
		n, err := strconv.Atoi(p)
		if !ok || err != nil {
			continue
		}
		all = append(all, exchanger{n, strings.TrimSuffix(host, ".")})
	}
	slices.SortStableFunc(all, func(a, b exchanger) int { return a.preference - b.preference })
	hosts := make([]string, len(all))
	for i := range all {
		hosts[i] = all[i].host
	}
	return hosts
}

// exists is RFC 7208 §5.7: an A record, whatever the client's address is.
func (e *evaluation) exists(t *Term, target string) matching {
	records, err := e.ask(target, dns.A)
	switch {
	case err != nil && !dns.Absent(err):
		return e.failed(t, target, dns.A, err)
	case len(records) == 0:
		e.voids++
		return matching{step: e.stepVoid(t, target, dns.A)}
	}
	return matching{matched: true, step: e.stepHost("spf.match.exists", t, target, records[0])}
}

// failed ends the evaluation because a question had no answer (RFC 7208 §5).
func (e *evaluation) failed(t *Term, name string, kind dns.Type, err error) matching {
	return matching{status: TempError, err: err, step: e.stepFailed(t, name, kind, err)}
}

// reverse is what the client's address says about its names.
type reverse struct {
	asked     bool
	claimed   []string
	validated []string // of claimed, those that lead back to the address
}

// validatedNames asks, once, for the names of the client that lead back to its
// address (RFC 7208 §5.5).
func (e *evaluation) validatedNames() []string {
	r := &e.names
	if r.asked {
		return r.validated
	}
	r.asked = true
	records, err := e.ask(strings.TrimSuffix(dns.Reverse(e.ip), "."), dns.PTR)
	if err != nil && !dns.Absent(err) {
		return nil
	}
	if len(records) == 0 {
		e.voids++
		return nil
	}
	for i, s := range records {
		if i >= e.limits.PTR { // RFC 7208 §4.6.4: the others MUST be ignored
			break
		}
		s = strings.TrimSuffix(s, ".")
		if !queryable(s) {
			continue
		}
		r.claimed = append(r.claimed, s)
		addrs, _, err := e.addresses(s)
		if err != nil {
			continue // RFC 7208 §5.5: that name is skipped
		}
		for _, a := range addrs {
			if a, err := netip.ParseAddr(a); err == nil && a == e.ip {
				r.validated = append(r.validated, s)
				break
			}
		}
	}
	return r.validated
}

// ptr is RFC 7208 §5.5.
func (e *evaluation) ptr(t *Term, target string) matching {
	for _, n := range e.validatedNames() {
		if under(n, target) {
			return matching{matched: true, step: e.stepHost("spf.match.ptr", t, n, "")}
		}
	}
	if e.late {
		return matching{status: TempError, err: fmt.Errorf("%s: %w (%s)", clip(t.Text()), ErrTimeLimit, e.limits.Time),
			step: e.stepFailed(t, target, dns.PTR, ErrTimeLimit)}
	}
	if len(e.names.claimed) == 0 {
		return matching{step: e.stepVoid(t, strings.TrimSuffix(dns.Reverse(e.ip), "."), dns.PTR)}
	}
	return matching{step: e.stepHosts("spf.miss.ptr", t, target, e.names.claimed)}
}

// under reports whether name is domain or lies below it.
func under(name, domain string) bool {
	n := len(name) - len(domain)
	return n >= 0 && strings.EqualFold(name[n:], domain) && (n == 0 || name[n-1] == '.')
}

// validatedName is the macro p (RFC 7208 §7.3): the domain itself, else one
// below it, else any, else "unknown".
func (e *evaluation) validatedName(domain string) string {
	best, rank := "unknown", 0
	for _, n := range e.validatedNames() {
		switch {
		case strings.EqualFold(n, domain):
			return n
		case rank < 2 && under(n, domain):
			best, rank = n, 2
		case rank == 0:
			best, rank = n, 1
		}
	}
	return best
}

// maxExplanation bounds the text of an explanation.
const maxExplanation = 500

// explanation fetches what exp points to (RFC 7208 §6.2). Whatever goes wrong
// is as if there were no exp.
func (e *evaluation) explanation(t *Term, name string) (string, explain.Step) {
	target := e.target(&t.Value, name)
	if !queryable(target) {
		return "", stepNoExplanation(t, target)
	}
	texts, err := e.ask(target, dns.TXT)
	if err != nil || len(texts) != 1 {
		return "", stepNoExplanation(t, target)
	}
	m, err := ParseExplanation(texts[0])
	if err != nil {
		return "", stepNoExplanation(t, target)
	}
	b := e.expand(nil, &m, name)
	if len(b) > maxExplanation {
		b = b[:maxExplanation]
	}
	for i, c := range b { // what macros brought in
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	if len(b) == 0 {
		return "", stepNoExplanation(t, target)
	}
	return string(b), stepExplanation(t, target, string(b))
}
