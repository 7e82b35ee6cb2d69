package posture

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/explain"
)

// inspectZone looks at x.example in a zone file.
func inspectZone(t *testing.T, zone string, o Options) Posture {
	t.Helper()
	return Inspect(t.Context(), open(t, zone), name(t, "x.example"), o)
}

func open(t *testing.T, zone string) *dnstest.Zone {
	t.Helper()
	z, err := dnstest.Parse(strings.NewReader("$TTL 60\n"+zone+"\n"), "zone")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func codes(p *Posture, topic Name) string {
	var out []string
	for _, f := range p.Findings {
		if f.Topic == topic && strings.HasPrefix(f.Code, "posture.") {
			out = append(out, strings.TrimPrefix(f.Code, "posture."))
		}
	}
	return strings.Join(out, " ")
}

func TestSends(t *testing.T) {
	const mx = "x.example. IN MX 1 m.x.example.\nm.x.example. IN A 192.0.2.1\n"
	for _, tt := range []struct {
		zone   string
		want   State
		reason Reason
	}{
		{``, No, ReasonNoSuchName},
		{`x.example. IN A 192.0.2.1`, Unknown, ReasonAddressOnly},
		{`x.example. IN TXT "hello"`, No, ReasonNoMailHost},
		{`x.example. IN TXT "v=spf1 -all"`, No, ReasonSPFDenies},
		{mx + `x.example. IN TXT "v=spf1 -all"`, No, ReasonSPFDenies}, // receives, and sends nothing
		{mx + `x.example. IN TXT "v=spf1 exp=e.example -all"`, No, ReasonSPFDenies},
		{mx + `x.example. IN TXT "v=spf1 -ip4:192.0.2.1 -all"`, No, ReasonSPFDenies},
		{mx + `x.example. IN TXT "v=spf1 -all ip4:192.0.2.1"`, No, ReasonSPFDenies}, // never reached
		{mx + `x.example. IN TXT "v=spf1 redirect=none.example"` + "\n" + `none.example. IN TXT "v=spf1 -all"`, No, ReasonSPFDenies},
		{mx + `x.example. IN TXT "v=spf1 redirect=some.example"` + "\n" + `some.example. IN TXT "v=spf1 a -all"`, Yes, ReasonSPF},
		{mx + `x.example. IN TXT "v=spf1 ip4:192.0.2.1 -all"`, Yes, ReasonSPF},
		{`x.example. IN TXT "v=spf1 ip4:192.0.2.1 -all"`, Yes, ReasonSPF}, // sends without receiving
		{mx + `x.example. IN TXT "v=spf1 ~all"`, Yes, ReasonMX},
		{mx, Yes, ReasonMX},
		{`x.example. IN MX 0 .`, No, ReasonNullMX},
		{"x.example. IN MX 0 .\n" + `x.example. IN TXT "v=spf1 ip4:192.0.2.1 -all"`, Yes, ReasonSPF},
		{`x.example. IN TYPE65280 \# 0`, Unknown, ReasonUnanswered},
		// A service with its own return address signs for it: no reject at once.
		{mx + `x.example. IN TXT "v=spf1 -all"` + "\ngoogle._domainkey.x.example. IN TXT " + rsaKey, Unknown, ReasonKey},
		{mx + `x.example. IN TXT "v=spf1 -all"` + "\nodd._domainkey.x.example. IN TXT " + rsaKey, Unknown, ReasonKey},
		{mx + `x.example. IN TXT "v=spf1 -all"` + "\ngoogle._domainkey.x.example. IN TXT \"v=DKIM1; p=\"", No, ReasonSPFDenies},
	} {
		p := inspectZone(t, tt.zone, Options{Frugal: true})
		if p.SendsMail != tt.want || p.SendsMailReason != tt.reason {
			t.Errorf("%q: sends %s (%s), want %s (%s)", tt.zone, p.SendsMail, p.SendsMailReason, tt.want, tt.reason)
		}
	}
}

const rsaKey = `"v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDPtW5iwpXVPiH5FzJ7Nrl8USzuY9zqqzjE0D1r04xDN6qwziDnmgcFNNfMewVKN2D1O+2J9N14hRprzByFwfQW76yojh54Xu3uSbQ3JP0A7k8o8GutRF8zbFUA8n0ZH2y0cIEjMliXY4W4LwPA7m4q0ObmvSjhd63O9d8z1XkUBwIDAQAB"`

func TestDKIM(t *testing.T) {
	const mx = "x.example. IN MX 1 m.x.example.\nm.x.example. IN A 192.0.2.1\n"
	for _, tt := range []struct {
		zone            string
		present, valid  State
		evidence        Evidence
		wildcard        State
		found           string
		frugalEqualsAll bool
	}{
		{mx, Unknown, Unknown, EvidenceNone, No, "dkim-missing", true},
		{mx + `google._domainkey.x.example. IN TXT ` + rsaKey, Yes, Yes, EvidenceKey, No, "", true},
		{mx + `xyz._domainkey.x.example. IN TXT ` + rsaKey, Yes, Unknown, EvidenceName, No, "", true},
		{mx + `google._domainkey.x.example. IN TXT "v=DKIM1; p="`, Unknown, Unknown, EvidenceRevoked, No, "dkim-revoked", true},
		{mx + `google._domainkey.x.example. IN TXT "v=DKIM1; p=AAAA"`, Yes, No, EvidenceKey, No, "dkim-unusable", true},
		{mx + `google._domainkey.x.example. IN CNAME gone.example.`, Yes, Unknown, EvidenceName, No, "dkim-dangling", true},
		// A wildcard for the web says nothing about keys.
		{mx + `*.x.example. IN A 192.0.2.1`, Unknown, Unknown, EvidenceNone, No, "dkim-not-found", true},
		// One for SPF makes every selector answer, with no key.
		{mx + `*.x.example. IN TXT "v=spf1 -all"`, Unknown, Unknown, EvidenceNone, Yes, "dkim-not-found", true},
		{mx + `*._domainkey.x.example. IN TXT "v=DKIM1; p="`, Unknown, Unknown, EvidenceRevoked, Yes, "dkim-revoked", true},
		{mx + `*._domainkey.x.example. IN TXT "v=DKIM1; p="` + "\n" + `google._domainkey.x.example. IN TXT ` + rsaKey, Yes, Yes, EvidenceKey, Yes, "", true},
		{mx + `*._domainkey.x.example. IN TXT ` + rsaKey, Yes, Yes, EvidenceKey, Yes, "dkim-wildcard", true},
		{`x.example. IN TXT "v=spf1 -all"` + "\n" + `*._domainkey.x.example. IN TXT "v=DKIM1; p="`, No, No, EvidenceRevoked, Yes, "", true},
		{`x.example. IN TXT "v=spf1 -all"`, No, No, EvidenceNone, No, "", true},
		{mx + `_domainkey.x.example. IN TYPE65280 \# 0`, Unknown, Unknown, EvidenceNone, No, "", true},
		{mx + `google._domainkey.x.example. IN TYPE65280 \# 0`, Yes, Unknown, EvidenceName, No, "", true},
	} {
		for _, frugal := range []bool{false, true} {
			p := inspectZone(t, tt.zone, Options{Frugal: frugal})
			d := &p.DKIM
			if d.Present != tt.present || d.Valid != tt.valid || d.Evidence != tt.evidence || d.Wildcard != tt.wildcard || codes(&p, TopicDKIM) != tt.found {
				t.Errorf("%q: present %s, valid %s, evidence %s, wildcard %s, found %q,\nwant %s, %s, %s, %s, %q", tt.zone,
					d.Present, d.Valid, d.Evidence, d.Wildcard, codes(&p, TopicDKIM), tt.present, tt.valid, tt.evidence, tt.wildcard, tt.found)
			}
		}
	}
}

func TestGiven(t *testing.T) {
	zone := "x.example. IN MX 1 m.x.example.\nm.x.example. IN A 192.0.2.1\n2026a._domainkey.x.example. IN TXT " + rsaKey
	p := inspectZone(t, zone, Options{Selectors: []string{" 2026A. ", "2026a", "", "google"}})
	if len(p.DKIM.Keys) != 1 || p.DKIM.Keys[0].Selector != "2026a" || p.DKIM.Keys[0].Origin != Given {
		t.Errorf("keys %+v", p.DKIM.Keys)
	}
	if n := len(wellKnown) + 1; p.DKIM.SelectorsAsked != n {
		t.Errorf("%d selectors asked, want %d", p.DKIM.SelectorsAsked, n)
	}
	if len(wellKnown) > maxWellKnown {
		t.Errorf("%d well-known selectors are over the budget of %d", len(wellKnown), maxWellKnown)
	}
	seen := map[string]bool{}
	for _, s := range wellKnown {
		if seen[s] {
			t.Errorf("%s is listed twice", s)
		}
		seen[s] = true
	}
}

func TestMX(t *testing.T) {
	for _, tt := range []struct {
		zone           string
		present, valid State
		found          string
	}{
		{"x.example. IN MX 1 m.x.example.\nm.x.example. IN A 192.0.2.1", Yes, Yes, ""},
		{"x.example. IN MX 1 m.x.example.\nm.x.example. IN AAAA 2001:db8::1", Yes, Yes, ""},
		{"x.example. IN MX 1 m.x.example.", Yes, No, "mx-host-missing mx-undeliverable"},
		{"x.example. IN MX 1 m.x.example.\nx.example. IN MX 2 n.x.example.\nm.x.example. IN A 192.0.2.1", Yes, Yes, "mx-host-missing"},
		{"x.example. IN MX 1 m.x.example.\nm.x.example. IN TYPE65280 \\# 0", Yes, Unknown, ""},
		{"x.example. IN MX 1 192.0.2.1.", Yes, No, "mx-address mx-undeliverable"},
		{"x.example. IN MX 1 m.x.example.\nm.x.example. IN CNAME h.example.\nh.example. IN A 192.0.2.1", Yes, Yes, "mx-alias"},
		{"x.example. IN MX 1 m.x.example.\nm.x.example. IN A 127.0.0.1", Yes, Yes, "mx-private"},
		{"x.example. IN MX 0 .", Yes, Yes, ""},
		{"x.example. IN MX 5 .", Yes, Yes, "mx-null-preference"},
		{"x.example. IN MX 0 .\nx.example. IN MX 1 m.x.example.\nm.x.example. IN A 192.0.2.1", Yes, Yes, "mx-null-beside-others"},
		{"x.example. IN MX 0 .\nx.example. IN TXT \"v=spf1 ip4:192.0.2.1 -all\"", Yes, Yes, "mx-null-but-sends"},
		{"x.example. IN TXT \"v=spf1 ip4:192.0.2.1 -all\"", No, No, "mx-missing"},
		{"x.example. IN TXT \"v=spf1 a -all\"\nx.example. IN A 192.0.2.1", No, Yes, "mx-implicit"},
		{"x.example. IN TXT \"v=spf1 -all\"\nx.example. IN A 192.0.2.1", No, Yes, "mx-null-wanted"},
		{"x.example. IN TXT \"v=spf1 -all\"", No, No, ""},
	} {
		p := inspectZone(t, tt.zone, Options{Frugal: true})
		if p.MX.Present != tt.present || p.MX.Valid != tt.valid || codes(&p, TopicMX) != tt.found {
			t.Errorf("%q: present %s, valid %s, found %q, want %s, %s, %q", tt.zone, p.MX.Present, p.MX.Valid, codes(&p, TopicMX), tt.present, tt.valid, tt.found)
		}
	}
}

func TestVerdict(t *testing.T) {
	const mx = "x.example. IN MX 1 m.x.example.\nm.x.example. IN A 192.0.2.1\ngoogle._domainkey.x.example. IN TXT " + rsaKey + "\n"
	spf := func(s string) string { return fmt.Sprintf("x.example. IN TXT %q\n", s) }
	dmarc := func(s string) string { return fmt.Sprintf("_dmarc.x.example. IN TXT %q\n", s) }
	for _, tt := range []struct {
		zone      string
		protected State
		level     Level
		want      string
	}{
		{"", No, LevelError, "no-such-domain"},
		{`_dmarc.example. IN TXT "v=DMARC1; p=none; np=reject; psd=y"`, Yes, LevelWarning, "no-such-domain-protected"},
		{mx, No, LevelError, "open"},
		{mx + spf("v=spf1 mx ?all"), No, LevelError, "open"},
		{mx + spf("v=spf1 mx -all"), No, LevelError, "from-open"},
		{mx + spf("v=spf1 mx -all") + dmarc("v=DMARC1; p=none; rua=mailto:a@x.example"), No, LevelWarning, "watched"},
		{mx + spf("v=spf1 mx -all") + dmarc("v=DMARC1; p=quarantine"), Yes, LevelOK, "set-aside"},
		{mx + spf("v=spf1 mx -all") + dmarc("v=DMARC1; p=reject"), Yes, LevelOK, "refused"},
		{mx + spf("v=spf1 mx -all") + dmarc("v=DMARC1; p=reject; t=y"), No, LevelWarning, "testing"},
		{mx + spf("v=spf1 mx -all") + dmarc("v=DMARC1; p=rejekt"), No, LevelError, "from-open"},
		{mx + spf("v=spf1 mx +all") + dmarc("v=DMARC1; p=reject"), No, LevelError, "plus-all"},
		{mx + spf("v=spf1 include:i.example -all") + dmarc("v=DMARC1; p=reject") + `i.example. IN TXT "v=spf1 +all"`, No, LevelError, "plus-all"},
		{mx + spf("v=spf1 ip4:0.0.0.0/0 -all") + dmarc("v=DMARC1; p=reject"), No, LevelError, "plus-all"},
		{mx + spf("v=spf1 mx ip4:nonsense -all") + dmarc("v=DMARC1; p=reject"), Yes, LevelOK, "refused"}, // DKIM holds
		{"x.example. IN MX 1 x.example.\nx.example. IN A 192.0.2.1\n" + spf("v=spf1 mx ip4:nonsense -all") + dmarc("v=DMARC1; p=reject"), Yes, LevelWarning, "own-at-risk"},
		{spf("v=spf1 -all") + dmarc("v=DMARC1; p=reject"), Yes, LevelOK, "silent"},
		{spf("v=spf1 -all"), No, LevelError, "silent-from"},
		{"x.example. IN MX 0 .", No, LevelError, "silent-open"},
		{mx + `_dmarc.x.example. IN TYPE65280 \# 0`, Unknown, LevelUnknown, "unknown"},
	} {
		p := inspectZone(t, tt.zone, Options{Frugal: true})
		v := p.Verdict
		if v.Protected != tt.protected || v.Level != tt.level || v.Code != "posture.verdict-"+tt.want {
			t.Errorf("%q: %s, %s, %s, want %s, %s, %s", tt.zone, v.Protected, v.Level, v.Code, tt.protected, tt.level, tt.want)
		}
	}
}

// signed answers with the security that a name's suffix has.
type signed struct {
	dns.Resolver
	secure map[string]dns.Security
}

func (s signed) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	a, err := s.Resolver.Lookup(ctx, name, t)
	longest := -1
	for suffix, sec := range s.secure {
		if n := strings.TrimSuffix(name, "."); (n == suffix || strings.HasSuffix(n, "."+suffix) || suffix == "") && len(suffix) > longest {
			a.Security, longest = sec, len(suffix)
		}
	}
	return a, err
}

func TestDNSSEC(t *testing.T) {
	const zone = ". IN SOA a. b. 1 2 3 4 5\nx.example. IN MX 1 m.other.example.\nm.other.example. IN A 192.0.2.1\n_25._tcp.m.other.example. IN TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, tt := range []struct {
		secure        map[string]dns.Security
		status        Status
		dnssec, valid State
		dane          State
		found         string
	}{
		{nil, StatusUnknown, Unknown, Unknown, Unknown, ""},
		{map[string]dns.Security{"": dns.Secure}, StatusSecure, Yes, Yes, Yes, ""},
		{map[string]dns.Security{"": dns.Secure, "x.example": dns.Unknown}, StatusInsecure, No, No, No, "dnssec-missing dane-insecure"},
		{map[string]dns.Security{"": dns.Secure, "x.example": dns.Insecure}, StatusInsecure, No, No, No, "dnssec-missing dane-insecure"},
		{map[string]dns.Security{"": dns.Secure, "other.example": dns.Insecure}, StatusSecure, Yes, Yes, No, "dane-insecure"},
		{map[string]dns.Security{"": dns.Secure, "other.example": dns.Unknown}, StatusSecure, Yes, Yes, No, "dane-insecure"},
		{map[string]dns.Security{"": dns.Secure, "x.example": dns.Bogus}, StatusBogus, Yes, No, No, "dnssec-bogus"},
	} {
		r := signed{open(t, zone), tt.secure}
		p := Inspect(t.Context(), r, name(t, "x.example"), Options{})
		found := strings.TrimSpace(codes(&p, TopicDNSSEC) + " " + codes(&p, TopicDANE))
		if got := p.Fact(FactDNSSEC); got != tt.valid {
			t.Errorf("%v: the fact is %s, want %s", tt.secure, got, tt.valid) // bogus is no protection
		}
		if p.DNSSEC.Status != tt.status || p.DNSSEC.Present != tt.dnssec || p.DNSSEC.Valid != tt.valid || p.DANE.Valid != tt.dane || found != tt.found {
			t.Errorf("%v: %s, present %s, valid %s, DANE %s, found %q, want %s, %s, %s, %s, %q", tt.secure,
				p.DNSSEC.Status, p.DNSSEC.Present, p.DNSSEC.Valid, p.DANE.Valid, found, tt.status, tt.dnssec, tt.valid, tt.dane, tt.found)
		}
	}
}

// TestOrder: the worst comes first, and nothing is said twice.
func TestOrder(t *testing.T) {
	s := load(t, "testdata/broken")
	p := Inspect(t.Context(), s.resolver, s.name, Options{Selectors: []string{"s1", "S1", "default"}})
	last := 4
	seen := map[string]bool{}
	for _, f := range p.Findings {
		if w := weight(f.Grade); w > last {
			t.Errorf("%s %s stands after something better", f.Grade, f.Code)
		} else {
			last = w
		}
		key := fmt.Sprint(f.Topic, f.Name, f.Code, f.Part, f.Args)
		if seen[key] {
			t.Errorf("twice: %s", key)
		}
		seen[key] = true
	}
	if p.Count(explain.Error) < 5 {
		t.Errorf("%d errors", p.Count(explain.Error))
	}
}

func TestDMARC(t *testing.T) {
	const zone = `x.example. IN MX 0 .
y.x.example. IN MX 0 .
z.y.x.example. IN MX 0 .
`
	for _, tt := range []struct {
		who, zone                  string
		inherited                  State
		at, tag, policy, subdomain string
		enforced, eligible         State
	}{
		{"x.example", `_dmarc.x.example. IN TXT "v=DMARC1; p=reject; sp=none"`, No, "x.example", "p", "reject", "none", Yes, No},
		{"y.x.example", `_dmarc.x.example. IN TXT "v=DMARC1; p=reject; sp=none"`, Yes, "x.example", "sp", "none", "none", No, No},
		{"y.x.example", `_dmarc.x.example. IN TXT "v=DMARC1; p=none; sp=reject"`, Yes, "x.example", "sp", "reject", "reject", Yes, No},
		{"n.x.example", `_dmarc.x.example. IN TXT "v=DMARC1; p=none; np=reject"`, Yes, "x.example", "np", "reject", "none", Yes, No},
		// Names below a domain with its own record ask the organization's.
		{"y.x.example", `_dmarc.x.example. IN TXT "v=DMARC1; p=quarantine"` + "\n" + `_dmarc.y.x.example. IN TXT "v=DMARC1; p=reject"`,
			No, "y.x.example", "p", "reject", "quarantine", Yes, Yes},
		{"y.x.example", `_dmarc.x.example. IN TXT "v=DMARC1; p=none"` + "\n" + `_dmarc.y.x.example. IN TXT "v=DMARC1; p=reject"`,
			No, "y.x.example", "p", "reject", "none", Yes, No},
		// A record between the author's domain and the organization is not used.
		{"z.y.x.example", `_dmarc.x.example. IN TXT "v=DMARC1; p=quarantine"` + "\n" + `_dmarc.y.x.example. IN TXT "v=DMARC1; p=none"`,
			Yes, "x.example", "p", "quarantine", "quarantine", Yes, Yes},
		{"x.example", `_dmarc.x.example. IN TXT "v=DMARC1; p=quarantine; pct=20"`, No, "x.example", "p", "quarantine", "quarantine", Yes, No},
		{"x.example", `_dmarc.x.example. IN TXT "v=DMARC1; p=bad; rua=mailto:a@x.example"`, No, "x.example", "p", "none", "none", No, No},
		{"x.example", `_dmarc.x.example. IN TYPE65280 \# 0`, Unknown, "", "", "", "", Unknown, Unknown},
		{"x.example", ``, No, "", "", "", "", No, No},
	} {
		p := Inspect(t.Context(), open(t, zone+tt.zone), name(t, tt.who), Options{Frugal: true})
		d := &p.DMARC
		if p.Exists == No { // BIMI is not asked for
			tt.eligible = No
		}
		if d.Inherited != tt.inherited || d.RecordDomain != tt.at || d.PolicyTag != tt.tag || d.Policy != tt.policy ||
			d.SubdomainPolicy != tt.subdomain || d.Enforced != tt.enforced || p.BIMI.Eligible != tt.eligible {
			t.Errorf("%s, %q: inherited %s from %q, %s=%s, below %s, enforced %s, eligible %s", tt.who, tt.zone,
				d.Inherited, d.RecordDomain, d.PolicyTag, d.Policy, d.SubdomainPolicy, d.Enforced, p.BIMI.Eligible)
		}
	}
}

// TestNoMailLost: what is to be published never stops mail that arrives today.
func TestNoMailLost(t *testing.T) {
	const mx = "x.example. IN MX 1 m.x.example.\nm.x.example. IN A 192.0.2.1\nx.example. IN TXT \"v=spf1 mx -all\"\ngoogle._domainkey.x.example. IN TXT " + rsaKey + "\n"
	const silent = "x.example. IN TXT \"v=spf1 -all\"\n"
	for _, tt := range []struct{ zone, want string }{
		// Names below send under sp=none.
		{silent + `_dmarc.x.example. IN TXT "v=DMARC1; p=quarantine; sp=none"`, "v=DMARC1; p=reject; sp=none"},
		// A slip kept the policy out of force: it does not begin with reject.
		{mx + `_dmarc.x.example. IN TXT "v=DMARC1; p=rejct; rua=mailto:r@x.example"`, "v=DMARC1; p=none; rua=mailto:r@x.example"},
		{mx + `_dmarc.x.example. IN TXT "v=dmarc1; p=reject; rua=mailto:r@x.example"`, "v=DMARC1; p=none; rua=mailto:r@x.example"},
		{mx + `_dmarc.x.example. IN TXT "v=DMARC1; p=reject; sp=rejct; rua=mailto:r@x.example"`, "v=DMARC1; p=none; rua=mailto:r@x.example"},
		// Of several records the mildest is kept, with where reports go.
		{mx + `_dmarc.x.example. IN TXT "v=DMARC1; p=reject"` + "\n" + `_dmarc.x.example. IN TXT "v=DMARC1; p=none; rua=mailto:r@x.example"`, "v=DMARC1; p=none; rua=mailto:r@x.example"},
		{mx + `_dmarc.x.example. IN TXT "v=DMARC1; p=reject; rua=mailto:r@x.example"` + "\n" + `_dmarc.x.example. IN TXT "v=DMARC1; p=quarantine"`, "v=DMARC1; p=none; rua=mailto:r@x.example"},
		// What pct held back so far stays so, for receivers of either kind.
		{mx + `_dmarc.x.example. IN TXT "v=DMARC1; p=reject; pct=10; rua=mailto:r@x.example"`, "v=DMARC1; p=reject; rua=mailto:r@x.example; t=y; pct=10"},
		// Nothing was in force, and nothing is lost, where there is no mail.
		{silent + `_dmarc.x.example. IN TXT "v=DMARC1; p=rejct"`, "v=DMARC1; p=reject; rua=mailto:dmarc-reports@x.example"},
	} {
		p := inspectZone(t, tt.zone, Options{Frugal: true})
		for _, f := range p.Findings {
			if f.Topic == TopicDMARC && f.Grade == explain.Error && (f.Publish == nil || f.Publish.Value != tt.want) ||
				(f.Code == "posture.dmarc-silent-weak" || f.Code == "dmarc.lint.pct") && f.Publish.Value != tt.want {
				t.Errorf("%q: %s publishes %+v, want %s", tt.zone, f.Code, f.Publish, tt.want)
			}
		}
		if p.DMARC.Level == LevelOK {
			t.Errorf("%q: no findings", tt.zone)
		}
	}
}

// TestPublicSuffix: nobody is told to publish a policy for all of co.jp.
func TestPublicSuffix(t *testing.T) {
	for zone, want := range map[string]string{
		"co.jp. IN NS a.dns.jp.":                           "posture.public-suffix",
		"co.jp. IN MX 1 m.co.jp.\nm.co.jp. IN A 192.0.2.1": "", // it sends mail, and is judged like others
	} {
		p := Inspect(t.Context(), open(t, zone), name(t, "co.jp"), Options{Frugal: true})
		found := ""
		for _, f := range p.Findings {
			if f.Topic == TopicDomain {
				found += f.Code
			}
			if want != "" && f.Publish != nil {
				t.Errorf("%q: %s publishes %+v", zone, f.Code, f.Publish)
			}
		}
		if found != want || (p.Verdict.Code == "posture.verdict-public-suffix") != (want != "") {
			t.Errorf("%q: found %q, verdict %s", zone, found, p.Verdict.Code)
		}
	}
}

// TestGivenMissing: a selector that somebody names is not passed over.
func TestGivenMissing(t *testing.T) {
	zone := "x.example. IN MX 1 m.x.example.\nm.x.example. IN A 192.0.2.1\nslow._domainkey.x.example. IN TYPE65280 \\# 0\ngoogle._domainkey.x.example. IN TXT " + rsaKey
	o := Options{Selectors: []string{"google", "gone", "slow"}}
	p := inspectZone(t, zone, o)
	if got := codes(&p, TopicDKIM); got != "dkim-selector-missing dkim-selector-unknown" {
		t.Errorf("found %q", got)
	}
	o.Frugal = true
	if p = inspectZone(t, zone, o); codes(&p, TopicDKIM) != "" {
		t.Errorf("in a survey: found %q", codes(&p, TopicDKIM))
	}
}

// TestBogus: answers that do not hold are not answers that failed to come.
func TestBogus(t *testing.T) {
	p := Inspect(t.Context(), bogus{}, name(t, "x.example"), Options{})
	if p.Verdict.Code != "posture.verdict-bogus" || p.Verdict.Level != LevelError || p.Verdict.Protected != Unknown || p.SendsMailReason != ReasonBogus {
		t.Errorf("%+v, %s", p.Verdict, p.SendsMailReason)
	}
}

type bogus struct{}

func (bogus) Lookup(context.Context, string, dns.Type) (dns.Answer, error) {
	return dns.Answer{Security: dns.Bogus}, dns.ErrTemporary
}

func TestSPFAdvice(t *testing.T) {
	const mx = "x.example. IN MX 1 m.x.example.\nm.x.example. IN A 192.0.2.1\n"
	for _, tt := range []struct{ zone, want string }{
		// A text that was meant as the record is put right, and that is all.
		{mx + `x.example. IN TXT "v=spf1; mx; -all"`, ""},
		{mx + `x.example. IN TXT "v=spf1 a a:a.example a:b.example a:c.example a:d.example a:e.example a:f.example mx include:i.example -all"` + "\n" + `i.example. IN TXT "v=spf1 exists:%{i}.i.example -all"`, "spf-lookup-costs"},
	} {
		p := inspectZone(t, tt.zone, Options{Frugal: true})
		if got := codes(&p, TopicSPF); got != tt.want {
			t.Errorf("%q: found %q, want %q", tt.zone, got, tt.want)
		}
		for _, f := range p.Findings {
			if f.Code == "posture.spf-lookup-costs" && fmt.Sprint(f.Args["terms"]) != "[include:i.example (2)]" {
				t.Errorf("%q: %v", tt.zone, f.Args)
			}
		}
	}
}

// TestManyMX: an mx of more than ten hosts is a permerror for most.
func TestManyMX(t *testing.T) {
	zone := "x.example. IN TXT \"v=spf1 mx -all\"\n"
	for i := range 11 {
		zone += fmt.Sprintf("x.example. IN MX 1 m%d.x.example.\nm%d.x.example. IN A 192.0.2.%d\n", i, i, i)
	}
	if p := inspectZone(t, zone, Options{Frugal: true}); p.SPF.Valid != No || p.SPF.Level != LevelError {
		t.Errorf("valid %s, level %s", p.SPF.Valid, p.SPF.Level)
	}
}

// TestPolicyHost: whether the policy can be fetched is unknown where its host
// does not answer.
func TestPolicyHost(t *testing.T) {
	const zone = "x.example. IN MX 1 m.x.example.\nm.x.example. IN A 192.0.2.1\n_mta-sts.x.example. IN TXT \"v=STSv1; id=1\"\n"
	for more, want := range map[string]State{
		"":                                      No,
		"mta-sts.x.example. IN A 192.0.2.1":     Yes,
		"mta-sts.x.example. IN TYPE65280 \\# 0": Unknown,
	} {
		if p := inspectZone(t, zone+more, Options{Frugal: true}); p.MTASTS.PolicyHost != want || p.MTASTS.Valid != want {
			t.Errorf("%q: host %s, valid %s, want %s", more, p.MTASTS.PolicyHost, p.MTASTS.Valid, want)
		}
	}
}

// TestInheritedNone: p=none of a domain above is nothing to one that its sp
// protects.
func TestInheritedNone(t *testing.T) {
	p := Inspect(t.Context(), open(t, "s.x.example. IN MX 1 m.x.example.\nm.x.example. IN A 192.0.2.1\n"+
		`_dmarc.x.example. IN TXT "v=DMARC1; p=none; sp=reject; rua=mailto:r@x.example"`), name(t, "s.x.example"), Options{Frugal: true})
	if p.DMARC.Policy != "reject" || p.DMARC.Level != LevelOK {
		t.Errorf("policy %s, level %s, findings %+v", p.DMARC.Policy, p.DMARC.Level, p.Findings)
	}
}

// TestUnclear: a web server's name under a domain that is protected owes little.
func TestUnclear(t *testing.T) {
	const www = "s.x.example. IN A 192.0.2.1\n"
	for zone, want := range map[string]explain.Grade{
		www + `_dmarc.x.example. IN TXT "v=DMARC1; p=reject; rua=mailto:r@x.example"`: explain.Warning,
		www: explain.Error,
	} {
		p := Inspect(t.Context(), open(t, zone), name(t, "s.x.example"), Options{Frugal: true})
		for _, f := range p.Findings {
			if f.Topic == TopicSPF && f.Grade != want || f.Topic == TopicDKIM && f.Grade != explain.Advice {
				t.Errorf("%q: %s %s", zone, f.Grade, f.Code)
			}
		}
	}
}

// TestInheritedBIMI: what is wrong with a record of the domain above is said of
// that one.
func TestInheritedBIMI(t *testing.T) {
	p := Inspect(t.Context(), open(t, "s.x.example. IN MX 1 m.x.example.\nm.x.example. IN A 192.0.2.1\n_dmarc.x.example. IN TXT \"v=DMARC1; p=reject; rua=mailto:r@x.example\"\n"+
		`default._bimi.x.example. IN TXT "v=BIMI1; l=https://x.example/logo.png"`), name(t, "s.x.example"), Options{Frugal: true})
	found := 0
	for _, f := range p.Findings {
		if f.Topic == TopicBIMI {
			found++
			if f.Name != "default._bimi.x.example" {
				t.Errorf("%s at %q", f.Code, f.Name)
			}
		}
	}
	if found == 0 {
		t.Error("no findings")
	}
}

// TestSuffixUnreachable: behind a resolver that serves some zones and reaches no
// suffix, what is published is known; a suffix that answers may hide a policy.
func TestSuffixUnreachable(t *testing.T) {
	const (
		mx    = "x.example. IN MX 1 m.x.example.\nm.x.example. IN A 192.0.2.1\n"
		fails = "_dmarc.example. IN TYPE65280 \\# 0\n"
		gone  = fails + "example. IN TYPE65280 \\# 0\n"
	)
	for _, tt := range []struct {
		zone       string
		dmarc, own State
	}{
		{mx, No, No},
		{mx + gone, No, No},
		{mx + fails + "example. IN NS ns.example.", Unknown, No},
		{mx + gone + "_dmarc.x.example. IN TYPE65280 \\# 0", Unknown, Unknown},
		{mx + gone + "_dmarc.x.example. IN TXT \"v=DMARC1; p=reject\"", Yes, Yes},
	} {
		p := inspectZone(t, tt.zone, Options{Frugal: true})
		if dmarc, own := p.Fact(FactDMARC), p.Fact(FactDMARCOwn); dmarc != tt.dmarc || own != tt.own {
			t.Errorf("%q: dmarc %s, own %s; want %s, %s", tt.zone, dmarc, own, tt.dmarc, tt.own)
		}
	}
}
