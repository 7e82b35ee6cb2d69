package spf_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"sekimori/dns"
	"sekimori/spf"
)

// generated is a zone and a client, made from a number alone.
type generated struct {
	seed  uint64
	zone  *zone
	input spf.Input
}

var (
	genAddrs = []string{"192.0.2.1", "192.0.2.2", "192.0.2.77", "192.0.3.1", "198.51.100.9", "203.0.113.200",
		"2001:db8::1", "2001:db8::2", "2001:db8:1::9", "::ffff:192.0.2.1"}
	genLocals = []string{"user", "first.last", "a-b+c", "list-owner", "A.User", "x_y=z", "a..b", ".dot", "sp ace", "-dash-"}
	genHelos  = []string{"h0.example", "h3.example", "mail.d1.example", "localhost", "[192.0.2.1]", "d2.example", "H1.Example."}
	genMacros = []string{"%{i}", "%{ir}", "%{l}", "%{L}", "%{s}", "%{S}", "%{d}", "%{d1}", "%{d2r}", "%{o}", "%{h}", "%{H}", "%{v}",
		"%{l1r-}", "%{l2-+}", "%{lr_=}", "%{p}", "%{p2}", "%%", "%_", "%-", "%{I1}", "%{d127}", "%{d128R.}"}
	genBad = []string{"a:", "mx:", "include", "include:", "exists", "ip4", "ip4:192.0.2", "ip4:192.0.2.1:25", "ip4:192.0.2.1/33", "ip4:192.0.2.1/032",
		"ip4:192.0.2.1//24", "ip4:2001:db8::1", "ip6:192.0.2.1", "ip6:2001:db8::1/129", "ip6:2001:db8::1//64", "ip6:gg::", "ip6:fe80::1%eth0",
		"all:x", "all/8", "all.", "ptr/24", "ptr:", "a/33", "a/", "a//", "a//129", "a/24/64", "mx/x", "a/+8", "a:museum", "a:192.0.2.1", "a:example.-com",
		"a:example.com:8080", "a:%{x}.example", "a:%{c}.example", "a:%{d0}.example", "a:%(d}.example", "a:%{d.example", "a:%{d}x", "a:x%",
		"redirect:d1.example", "-redirect=d1.example", "redirect=", "redirect=-all", "exp=", "exp=-all", "foo", "foo:bar", "foo/bar", "foo=%", "foo=%{x}",
		"=x", "+", "--all", "a:\xc3\xa9.example", "\x01", "a\t", "exists:h0.example/24", "include:d1.example/24", "1up=x", "-foo=x", "a_b", "ptr=", "%{d}"}
	genOdd = []string{"foo=bar", "moo.cow-far_out=man:dog/cat", "exp=e.example", "v=spf1", "x=%{c}%{r}%{t}", "ALL", "A", "Mx", "?IP4:192.0.2.0/24",
		"ip6:::ffff:192.0.2.1", "ip6:::ffff:192.0.2.0/120", "ip4:0.0.0.0/0", "ip6:::/0", "a:h0.example.", "a:h1..example", "a:" + strings.Repeat("x", 64) + ".example",
		"exists:%{l/}.u.example", "a:h2.example/0", "a:x/y.example", "mx//0", "a//0", "exists:%{d99999999999999999999}",
		"a:" + strings.Repeat("%{d}.", 30) + "example", "include:" + strings.Repeat("long.", 60) + "d1.example", "redirect=d3.example", "exists:%{l}.u.example", "exists:%{p}.u.example",
		"exists:%{L}.u.example", "-exists:%{s}.u.example", "exists:%{d99999999999999999999}", "include:" + strings.Repeat("long.", 60) + "d1.example"}
)

// generate makes a case. Most records are sound, so that evaluation goes deep.
func generate(seed uint64) generated {
	r := rand.New(rand.NewPCG(seed, 7208))
	pick := func(all []string) string { return all[r.IntN(len(all))] }
	g := generated{seed: seed, zone: &zone{records: map[string]map[dns.Type][]string{}, timeout: map[string]bool{}}}
	set := func(name string, t dns.Type, v string) {
		if g.zone.records[name] == nil {
			g.zone.records[name] = map[dns.Type][]string{}
		}
		g.zone.records[name][t] = append(g.zone.records[name][t], v)
	}
	address := func(name string) {
		a := netip.MustParseAddr(pick(genAddrs)).Unmap()
		if a.Is4() {
			set(name, dns.A, a.String())
		} else {
			set(name, dns.AAAA, a.String())
		}
	}
	host := func() string { return fmt.Sprintf("h%d.example", r.IntN(8)) }
	dom := func() string { return fmt.Sprintf("d%d.example", r.IntN(6)) }
	spec := func() string {
		switch r.IntN(12) {
		case 0:
			return dom()
		case 1:
			return pick(genMacros) + "." + dom()
		case 2:
			return pick(genMacros) + ".u.example"
		case 3:
			return pick(genMacros) + "." + pick(genMacros) + "." + pick(genMacros)
		case 4:
			return "gone.example"
		case 5:
			return strings.ToUpper(host())
		case 6:
			return "_" + host() + "."
		}
		return host()
	}
	length := func() string {
		switch r.IntN(8) {
		case 0:
			return fmt.Sprintf("/%d", r.IntN(33))
		case 1:
			return fmt.Sprintf("//%d", r.IntN(129))
		case 2:
			return fmt.Sprintf("/%d//%d", r.IntN(33), r.IntN(129))
		}
		return ""
	}
	term := func() string {
		q := pick([]string{"", "", "", "", "+", "-", "~", "?"})
		switch n := r.IntN(100); {
		case n < 18:
			return q + "a:" + spec() + length()
		case n < 22:
			return q + "a" + length()
		case n < 30:
			return q + "mx:" + pick([]string{dom(), dom(), spec()}) + length()
		case n < 34:
			return q + "mx" + length()
		case n < 52:
			return q + "include:" + pick([]string{dom(), dom(), dom(), spec()})
		case n < 60:
			return q + fmt.Sprintf("ip4:192.0.%d.%d", 2+r.IntN(2), r.IntN(256)) + pick([]string{"", "/24", "/25", "/31", "/16"})
		case n < 66:
			return q + "ip6:2001:db8:" + pick([]string{":", "1::"}) + pick([]string{"1", "2", "9"}) + pick([]string{"", "/64", "/127", "/48"})
		case n < 74:
			return q + "exists:" + spec()
		case n < 79:
			return q + "ptr" + pick([]string{"", ":" + dom(), ":example.com", ":h1.example"})
		case n < 84:
			return "redirect=" + pick([]string{dom(), dom(), spec()})
		case n < 90:
			return pick(genOdd)
		case n < 91:
			return q + pick(genBad)
		case n < 92:
			return "ip4:203.0.113.0/24"
		}
		return q + "all"
	}
	for i := range 6 {
		name := fmt.Sprintf("d%d.example", i)
		switch r.IntN(25) {
		case 0:
			continue
		case 1:
			g.zone.timeout[name] = true
			continue
		case 2:
			set(name, dns.TXT, "unrelated")
			set(name, dns.TXT, "v=spf10 -all")
		case 3:
			set(name, dns.TXT, "v=spf1 -all")
		}
		txt := pick([]string{"v=spf1", "v=spf1", "v=spf1", "V=Spf1"})
		for range r.IntN(6) {
			txt += pick([]string{" ", " ", " ", "  "}) + term()
		}
		if r.IntN(3) > 0 {
			txt += pick([]string{" -all", " ~all", " ?all", " all", " "})
		}
		set(name, dns.TXT, txt)
		for range r.IntN(3) {
			address(name)
		}
		mx := r.IntN(4)
		if r.IntN(15) == 0 {
			mx = 12
		}
		for k := range mx {
			set(name, dns.MX, fmt.Sprintf("%d %s.", 10*k, pick([]string{host(), host(), "gone.example", fmt.Sprintf("h%d.example", k%8)})))
		}
		if r.IntN(30) == 0 {
			set(name, dns.MX, "0 .")
		}
	}
	for i := range 8 {
		name := fmt.Sprintf("h%d.example", i)
		switch r.IntN(12) {
		case 0:
		case 1:
			g.zone.timeout[name] = true
		default:
			for range 1 + r.IntN(3) {
				address(name)
			}
		}
	}
	set(strings.Repeat("long.", 48)+"d1.example", dns.TXT, "v=spf1 ~all")
	set("e.example", dns.TXT, "because %{i}")
	for _, l := range []string{"user", "last.first", "owner", "postmaster", "sp%20ace", "h1.example", "h0.example", "postmaster@h0.example", "a..b"} {
		set(l+".u.example", dns.A, "127.0.0.2")
	}
	for _, a := range genAddrs {
		rev := strings.TrimSuffix(dns.Reverse(netip.MustParseAddr(a)), ".")
		if r.IntN(8) == 0 {
			g.zone.timeout[rev] = true
			continue
		}
		n := r.IntN(4)
		if r.IntN(20) == 0 {
			n = 12
		}
		for range n {
			set(rev, dns.PTR, pick([]string{host(), host(), dom(), "gone.example", "H1.Example"})+".")
		}
	}
	g.input = spf.Input{IP: netip.MustParseAddr(pick(genAddrs)), Helo: pick(genHelos)}
	switch r.IntN(30) {
	case 0:
	case 1:
		g.input.MailFrom = "@" + dom()
	case 2:
		g.input.MailFrom = "user@" + pick([]string{"localhost", "a..example", strings.Repeat("x", 64) + ".example", "[192.0.2.1]", "d1.example."})
	case 3:
		g.input.MailFrom = dom()
	default:
		g.input.MailFrom = pick(genLocals) + "@" + dom()
	}
	return g
}
