package spf_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	blitiri "blitiri.com.ar/go/spf"

	"sekimori/dns"
	"sekimori/spf"
)

// goResolver is a zone as net.Resolver would answer from it.
type goResolver struct {
	z       *zone
	tooLong bool // a name of more than 253 octets was asked for
}

func (r *goResolver) records(name string, t dns.Type) ([]string, error) {
	name = strings.TrimSuffix(name, ".")
	r.tooLong = r.tooLong || len(name) > 253
	a, err := r.z.Lookup(context.Background(), name, t)
	switch {
	case err == nil:
		return a.Records, nil
	case dns.Absent(err):
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
}

func (r *goResolver) LookupTXT(_ context.Context, name string) ([]string, error) {
	return r.records(name, dns.TXT)
}

func (r *goResolver) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	all, err := r.records(name, dns.MX)
	var out []*net.MX
	for _, s := range all {
		p, h, _ := strings.Cut(s, " ")
		n, _ := strconv.Atoi(p)
		out = append(out, &net.MX{Pref: uint16(n), Host: h})
	}
	slices.SortStableFunc(out, func(a, b *net.MX) int { return int(a.Pref) - int(b.Pref) })
	return out, err
}

func (r *goResolver) LookupIPAddr(_ context.Context, name string) ([]net.IPAddr, error) {
	var out []net.IPAddr
	var first error
	for _, t := range []dns.Type{dns.A, dns.AAAA} {
		all, err := r.records(name, t)
		if err != nil && (first == nil || !err.(*net.DNSError).IsNotFound) {
			first = err
		}
		for _, s := range all {
			out = append(out, net.IPAddr{IP: net.ParseIP(s)})
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	return nil, first
}

func (r *goResolver) LookupAddr(_ context.Context, addr string) ([]string, error) {
	return r.records(dns.Reverse(netip.MustParseAddr(addr)), dns.PTR)
}

// both evaluates a case with either implementation. unlimited lifts the limit
// of void lookups from both.
func both(g generated, unlimited bool) disagreement {
	v := spf.Verifier{Resolver: g.zone}
	r := &goResolver{z: g.zone}
	options := []blitiri.Option{blitiri.WithResolver(r)}
	if unlimited {
		v.Limits.VoidLookups = 1000
		options = append(options, blitiri.OverrideVoidLookupLimit(1000))
	}
	ours := v.Verify(context.Background(), g.input)
	theirs, err := blitiri.CheckHostWithSender(net.ParseIP(g.input.IP.String()), g.input.Helo, g.input.MailFrom, options...)
	return disagreement{g, unlimited, ours, theirs, err, r}
}

// rewrite is the case with another text for each TXT record.
func (g generated) rewrite(f func(string) string) generated {
	z := &zone{records: map[string]map[dns.Type][]string{}, timeout: g.zone.timeout}
	for name, sets := range g.zone.records {
		z.records[name] = map[dns.Type][]string{}
		for t, all := range sets {
			for _, s := range all {
				if t == dns.TXT {
					s = f(s)
				}
				z.records[name][t] = append(z.records[name][t], s)
			}
		}
	}
	g.zone = z
	return g
}

// any reports whether a TXT record of the case matches.
func (g generated) any(re *regexp.Regexp) bool {
	for _, sets := range g.zone.records {
		if slices.ContainsFunc(sets[dns.TXT], re.MatchString) {
			return true
		}
	}
	return false
}

// disagreement is a case and what the two say of it.
type disagreement struct {
	g      generated
	voids  bool // evaluated without a limit of void lookups
	ours   spf.Result
	theirs blitiri.Result
	err    error
	r      *goResolver
}

// none reports whether the two agree.
func (d disagreement) none() bool { return string(d.ours.Status) == string(d.theirs) }

var (
	macroP      = regexp.MustCompile(`%\{[pP]`)
	transformed = regexp.MustCompile(`%\{([a-zA-Z])([0-9]+[rR]?[-.+,/_=]*|[rR][-.+,/_=]*|[-.+,/_=]+)\}`)
	senderMacro = regexp.MustCompile(`%\{[sSlLoO]`)
	slashSpec   = regexp.MustCompile(`[:=][^ ]*/[^ 0-9/][^ ]*`)
	hugeDigits  = regexp.MustCompile(`%\{([a-z])[0-9]{19,}`)
	upperMacro  = regexp.MustCompile(`%\{[SLO]`)
	mapped6     = regexp.MustCompile(`(?i)ip6:::ffff:`)
)

// rule says why we differ from blitiri.com.ar/go/spf v1.6.0. It either knows a
// disagreement of its kind, or takes the cause away: it then explains the
// disagreement if upon that the two agree.
type rule struct {
	name, clause, why string
	knows             func(d disagreement) bool
	without           func(d disagreement) (g generated, voids, ok bool)
}

func rules() []rule {
	rewrite := func(d disagreement, re *regexp.Regexp, to string) (generated, bool, bool) {
		return d.g.rewrite(func(s string) string { return re.ReplaceAllString(s, to) }), d.voids, d.g.any(re)
	}
	return []rule{
		{name: "syntax", clause: "RFC 7208 §4.6, §7.1",
			why: "a record is read whole, by the grammar, before it is evaluated; they find faults only in terms that they come to, and let some pass",
			knows: func(d disagreement) bool {
				var bad *spf.SyntaxError
				return errors.As(d.ours.Err, &bad)
			}},
		{name: "domain", clause: "RFC 7208 §4.3",
			why: "a MAIL FROM that is a domain alone is evaluated as postmaster there; they take the HELO name",
			knows: func(d disagreement) bool {
				return d.g.input.MailFrom != "" && !strings.Contains(d.g.input.MailFrom, "@")
			}},
		{name: "digits", clause: "RFC 7208 §7.3",
			why:     "a macro may ask for any number of parts; they refuse what does not fit an int",
			without: func(d disagreement) (generated, bool, bool) { return rewrite(d, hugeDigits, "%{$1") }},
		{name: "escape", clause: "RFC 7208 §7.3",
			why: "a space is escaped as %20; theirs becomes a plus",
			without: func(d disagreement) (generated, bool, bool) {
				g := d.g
				g.input.MailFrom = strings.ReplaceAll(g.input.MailFrom, " ", "")
				return g, d.voids, g.input != d.g.input && g.any(upperMacro)
			}},
		{name: "postmaster", clause: "RFC 7208 §2.4, §4.3",
			why: "without a local-part the sender is postmaster, and with a null reverse-path postmaster at the HELO name; their macros s, l and o are then empty",
			without: func(d disagreement) (generated, bool, bool) {
				g := d.g
				switch {
				case g.input.MailFrom == "":
					g.input.MailFrom = "postmaster@" + g.input.Helo
				case g.input.MailFrom[0] == '@':
					g.input.MailFrom = "postmaster" + g.input.MailFrom
				default:
					return g, d.voids, false
				}
				return g, d.voids, g.any(senderMacro)
			}},
		{name: "macro p", clause: "RFC 7208 §7.3",
			why:     "the macro p gives the validated name of the client; theirs is always unknown",
			without: func(d disagreement) (generated, bool, bool) { return rewrite(d, macroP, "%{v") }},
		{name: "parts", clause: "RFC 7208 §7.3",
			why: "no special treatment is given to leading, trailing, or consecutive delimiters: parts may be empty, and a macro without transformers is not split; they drop empty parts",
			without: func(d disagreement) (generated, bool, bool) {
				g, voids, ok := rewrite(d, transformed, "%{$1}")
				g.input.Helo = strings.TrimSuffix(g.input.Helo, ".")
				for _, odd := range []string{"..", "/"} {
					g.input.MailFrom = strings.ReplaceAll(g.input.MailFrom, odd, "")
				}
				g.input.MailFrom = strings.TrimPrefix(g.input.MailFrom, ".")
				return g, voids, ok || g.input != d.g.input
			}},
		{name: "mapped", clause: "RFC 7208 §5",
			why:     "an IPv4 client is never in an ip6 network, be it written as a mapped address",
			without: func(d disagreement) (generated, bool, bool) { return rewrite(d, mapped6, "ip6:2001:db9::") }},
		{name: "mx limit", clause: "RFC 7208 §4.6.4",
			why:   "hosts are tried in order of preference, and it is an error to need more than ten; they refuse more than ten at once",
			knows: func(d disagreement) bool { return errors.Is(d.err, blitiri.ErrTooManyMXRecords) }},
		{name: "mx order", clause: "RFC 7208 §5.4",
			why: "a host that matches ends the search; they ask for the addresses of all hosts first, and fail if one has no answer",
			without: func(d disagreement) (generated, bool, bool) {
				g, z := d.g, *d.g.zone
				z.timeout = map[string]bool{}
				for n := range g.zone.timeout {
					if !strings.HasPrefix(n, "h") {
						z.timeout[n] = true
					}
				}
				g.zone = &z
				return g, d.voids, d.theirs == blitiri.TempError && len(z.timeout) < len(d.g.zone.timeout)
			}},
		{name: "slash", clause: "RFC 7208 §7.1",
			why:   "a domain-spec may hold a slash; they refuse it",
			knows: func(d disagreement) bool { return d.theirs == blitiri.PermError && d.g.any(slashSpec) }},
		{name: "long name", clause: "RFC 7208 §7.3",
			why:   "a name of more than 253 octets loses labels on its left; they ask for it as it is",
			knows: func(d disagreement) bool { return d.r.tooLong }},
		{name: "void", clause: "RFC 7208 §4.6.4",
			why: "the limit is on terms: a name that cannot exist is never asked for, an address that is looked up is of the client's kind, and an mx or ptr whose hosts have none counts too",
			without: func(d disagreement) (generated, bool, bool) {
				return d.g, true, !d.voids && (errors.Is(d.ours.Err, spf.ErrVoidLimit) || errors.Is(d.err, blitiri.ErrVoidLookupLimitReached))
			}},
	}
}

const (
	differentialCases = 20000
	unexplained       = "?"
)

// explained evaluates a case with both and returns the rule that explains why
// they differ: "" where they agree. Where taking one cause away leaves another
// one, the first is named.
func explained(g generated, voids bool) string {
	d := both(g, voids)
	if d.none() {
		return ""
	}
	for _, settled := range []func(generated, bool) bool{
		func(g generated, voids bool) bool { return both(g, voids).none() },
		func(g generated, voids bool) bool { return explained(g, voids) != unexplained },
	} {
		for _, rule := range rules() {
			if rule.knows != nil && rule.knows(d) {
				return rule.name
			}
			if rule.without != nil {
				if g, voids, ok := rule.without(d); ok && settled(g, voids) {
					return rule.name
				}
			}
		}
	}
	return unexplained
}

func TestDifferential(t *testing.T) {
	began := time.Now()
	count := map[string]int{}
	for seed := range uint64(differentialCases) {
		g := generate(seed)
		name := explained(g, false)
		if count[name]++; name == unexplained && count[name] <= 5 {
			d := both(g, false)
			t.Errorf("case %d: ours %s (%v), theirs %s (%v)\n%s", seed, d.ours.Status, d.ours.Err, d.theirs, d.err, g)
		}
	}
	if n := count[unexplained]; n > 0 {
		t.Errorf("%d disagreements without an explanation", n)
	}
	for _, rule := range rules() {
		t.Logf("%-10s %5d  %s: %s", rule.name, count[rule.name], rule.clause, rule.why)
		if count[rule.name] == 0 {
			t.Errorf("rule %q explains nothing: remove it, or make cases for it", rule.name)
		}
	}
	t.Logf("%d cases in %v, %d agree", differentialCases, time.Since(began).Round(time.Millisecond), count[""])
}

// String writes a case to be read when it fails.
func (g generated) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v\n", g.input)
	var names []string
	for n := range g.zone.records {
		names = append(names, n)
	}
	for n := range g.zone.timeout {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		if g.zone.timeout[n] {
			fmt.Fprintf(&b, "  %s TIMEOUT\n", n)
		}
		for typ, all := range g.zone.records[n] {
			fmt.Fprintf(&b, "  %s %s %q\n", n, typ, all)
		}
	}
	return b.String()
}
