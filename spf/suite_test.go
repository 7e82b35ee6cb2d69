package spf_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"sekimori/dns"
	"sekimori/internal/require"
	"sekimori/spf"
)

// scenario is one document of the suites: a zone and tests.
type scenario struct {
	Description string
	Tests       map[string]suiteTest
	Zonedata    map[string][]yaml.Node
}

type suiteTest struct {
	Spec        any
	Helo        string
	Host        string
	Mailfrom    string
	Result      yaml.Node
	Explanation string
	Receiver    string
	Header      string
	Strict      *int
}

// results are the results that the suite accepts.
func (c suiteTest) results(t *testing.T) []string {
	var one string
	if c.Result.Kind == yaml.ScalarNode {
		if err := c.Result.Decode(&one); err != nil {
			t.Fatal(err)
		}
		return []string{one}
	}
	var many []string
	if err := c.Result.Decode(&many); err != nil {
		t.Fatal(err)
	}
	return many
}

func (c suiteTest) input(t *testing.T) spf.Input {
	ip, err := netip.ParseAddr(c.Host)
	if err != nil {
		t.Fatal(err)
	}
	return spf.Input{IP: ip, Helo: c.Helo, MailFrom: c.Mailfrom}
}

func suite(t testing.TB, elem ...string) []scenario {
	f, err := os.Open(require.Data(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []scenario
	d := yaml.NewDecoder(f)
	for {
		var s scenario
		if err := d.Decode(&s); err != nil {
			break
		}
		if s.Zonedata != nil || s.Tests != nil {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		t.Fatal("no scenarios")
	}
	return all
}

// zone is zonedata as a Resolver. A name with TIMEOUT fails for every type
// that it has no records of.
type zone struct {
	records map[string]map[dns.Type][]string
	timeout map[string]bool
}

// newZone reads zonedata. Records of the type SPF stand for TXT where the name
// has no TXT of its own, as the suite wants of its drivers.
func newZone(t testing.TB, data map[string][]yaml.Node) *zone {
	z := &zone{records: map[string]map[dns.Type][]string{}, timeout: map[string]bool{}}
	for name, entries := range data {
		name = strings.ToLower(name)
		sets := map[dns.Type][]string{}
		var old []string
		hasTXT := false
		for _, n := range entries {
			if n.Kind == yaml.ScalarNode {
				if n.Value != "TIMEOUT" {
					t.Fatalf("%s: %q", name, n.Value)
				}
				z.timeout[name] = true
				continue
			}
			var m map[string]yaml.Node
			if err := n.Decode(&m); err != nil {
				t.Fatal(err)
			}
			for typ, v := range m {
				text := scalar(t, v)
				switch typ {
				case "SPF":
					old = append(old, text)
				case "TXT":
					hasTXT = true
					if text != "NONE" {
						sets[dns.TXT] = append(sets[dns.TXT], text)
					}
				case "MX":
					var pair []string
					if err := v.Decode(&pair); err != nil {
						t.Fatal(err)
					}
					sets[dns.MX] = append(sets[dns.MX], pair[0]+" "+strings.TrimSuffix(pair[1], ".")+".")
				default:
					sets[dns.Type(typ)] = append(sets[dns.Type(typ)], text)
				}
			}
		}
		if !hasTXT && old != nil {
			sets[dns.TXT] = old
		}
		z.records[name] = sets
	}
	return z
}

// scalar is a value as octets: the suites mean U+0096 as the octet 0x96.
func scalar(t testing.TB, n yaml.Node) string {
	var parts []string
	if n.Kind == yaml.SequenceNode {
		if err := n.Decode(&parts); err != nil {
			t.Fatal(err)
		}
	} else {
		parts = []string{n.Value}
	}
	var b []byte
	for _, r := range strings.Join(parts, "") {
		if r > 255 {
			t.Fatalf("rune %q", r)
		}
		b = append(b, byte(r))
	}
	return string(b)
}

func (z *zone) Lookup(ctx context.Context, name string, typ dns.Type) (dns.Answer, error) {
	fail := func(err error) (dns.Answer, error) { return dns.Answer{}, fmt.Errorf("%s %s: %w", name, typ, err) }
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for range 8 {
		for _, l := range strings.Split(name, ".") {
			if l == "" || len(l) > 63 {
				return fail(dns.ErrNameNotFound)
			}
		}
		sets, ok := z.records[name]
		switch {
		case len(sets[typ]) > 0:
			return dns.Answer{Records: slices.Clone(sets[typ])}, nil
		case z.timeout[name]:
			return fail(dns.ErrTemporary)
		case !ok:
			return fail(dns.ErrNameNotFound)
		case len(sets[dns.CNAME]) == 0:
			return fail(dns.ErrNoData)
		}
		name = strings.ToLower(strings.TrimSuffix(sets[dns.CNAME][0], "."))
	}
	return fail(dns.ErrTemporary)
}

func runSuite(t *testing.T, all []scenario, except map[string]string) (ran int) {
	for _, s := range all {
		z := newZone(t, s.Zonedata)
		v := spf.Verifier{Resolver: z}
		for name, c := range s.Tests {
			ran++
			want := c.results(t)
			got := v.Verify(context.Background(), c.input(t))
			key := s.Description + "/" + name
			ok := slices.Contains(want, string(got.Status))
			if ok && got.Status == spf.Fail && c.Explanation != "" {
				expect := c.Explanation
				if expect == "DEFAULT" {
					expect = ""
				}
				ok = got.Explanation == expect
			}
			if clause, exempt := except[key]; exempt {
				if ok {
					t.Errorf("%s agrees with the suite: take it off the table (%s)", key, clause)
				}
				continue
			}
			if !ok {
				t.Errorf("%s: got %s %q (%v), want %v %q", key, got.Status, got.Explanation, got.Err, want, c.Explanation)
			}
			if (got.Err == nil) != (got.Status != spf.TempError && got.Status != spf.PermError) && !errors.Is(got.Err, spf.ErrBadDomain) {
				t.Errorf("%s: status %s with error %v", key, got.Status, got.Err)
			}
		}
	}
	return ran
}

// exceptions lists the tests of the suites whose result is not ours, each with
// the clause that justifies it. The RFC 7208 suite has none; where the RFC 4408
// suite differs from RFC 7208, it accepts both results.
var exceptions = map[string]string{
	// pyspf's own tests of its lax and harsh modes.
	"/default-modifier":       "RFC 7208 §6: an unknown modifier is ignored; default= was dropped before RFC 4408",
	"/default-modifier-harsh": "RFC 7208 §2.6: there is no result \"ambiguous\"",
}

// TestPyspfHeaders reads the Received-SPF fields that pyspf expects of itself,
// and compares them with our results.
func TestPyspfHeaders(t *testing.T) {
	read := 0
	for _, s := range suite(t, "spf-pyspf-extra", "test.yml") {
		v := spf.Verifier{Resolver: newZone(t, s.Zonedata)}
		for name, c := range s.Tests {
			if c.Header == "" {
				continue
			}
			read++
			in := c.input(t)
			ours := v.Verify(context.Background(), in)
			for _, field := range []string{c.Header, ours.ReceivedSPF(in, c.Receiver)} {
				got, err := spf.ParseReceivedSPF(field)
				if err != nil || got.Status != ours.Status || got.ClientIP != in.IP || got.EnvelopeFrom != in.MailFrom || got.Helo != in.Helo ||
					got.Receiver != c.Receiver || got.Identity != spf.MailFrom || got.Mechanism != ours.Mechanism && got.Mechanism != "" {
					t.Errorf("%s: %s: %+v, %v", name, field, got, err)
				}
			}
		}
	}
	if read != 3 {
		t.Errorf("%d fields, want 3", read)
	}
}

// TestPyspfZone evaluates the domains of pyspf's documentation, whose file
// holds a zone alone.
func TestPyspfZone(t *testing.T) {
	all := suite(t, "spf-pyspf-extra", "doctest.yml")
	v := spf.Verifier{Resolver: newZone(t, all[0].Zonedata)}
	for _, c := range []struct {
		ip, domain string
		want       spf.Status
	}{
		{"66.39.138.46", "kitterman.com", spf.Pass},
		{"66.39.138.47", "kitterman.com", spf.Fail},
		{"72.81.252.19", "controlledmail.com", spf.Pass},
		{"2607:f0d0:3001:aa::2", "controlledmail.com", spf.Pass},
		{"2607:f0d0:3001:aa::3", "controlledmail.com", spf.Fail},
		{"192.0.2.225", "parallel.example.org", spf.PermError},  // an include whose record has the type SPF alone
		{"192.0.2.27", "parallel.kitterman.org", spf.PermError}, // includes that are not in the zone
		{"192.0.2.27", "example.net", spf.None},
	} {
		got := v.Verify(context.Background(), spf.Input{IP: netip.MustParseAddr(c.ip), MailFrom: "a@" + c.domain})
		if got.Status != c.want {
			t.Errorf("%s from %s: %s (%v), want %s", c.domain, c.ip, got.Status, got.Err, c.want)
		}
	}
}

// narrowed lists the tests of the RFC 4408 suite that accept several results
// where RFC 7208 leaves one.
var narrowed = map[string]struct {
	status spf.Status
	clause string
}{
	"Record lookup/txtonly":                 {spf.Fail, "RFC 7208 §3.1: TXT only"},
	"Record lookup/spfonly":                 {spf.None, "RFC 7208 §3.1: TXT only"},
	"Record lookup/spftimeout":              {spf.Fail, "RFC 7208 §3.1: TXT only"},
	"Record lookup/txttimeout":              {spf.TempError, "RFC 7208 §4.4"},
	"Record lookup/nospftxttimeout":         {spf.TempError, "RFC 7208 §4.4"},
	"Selecting records/spfoverride":         {spf.Fail, "RFC 7208 §3.1: TXT only"},
	"Selecting records/multitxt1":           {spf.PermError, "RFC 7208 §4.5"},
	"Selecting records/multispf2":           {spf.Pass, "RFC 7208 §3.1: TXT only"},
	"EXISTS mechanism syntax/exists-dnserr": {spf.TempError, "RFC 7208 §5"},
	"IP6 mechanism syntax/cidr6-0-ip4":      {spf.Neutral, "RFC 7208 §5"},
	"IP6 mechanism syntax/cidr6-ip4":        {spf.Neutral, "RFC 7208 §5"},
	"Processing limits/mx-limit":            {spf.PermError, "RFC 7208 §4.6.4"},
}

// TestNarrowed checks that where the suites differ RFC 7208 wins.
func TestNarrowed(t *testing.T) {
	left := len(narrowed)
	for _, s := range suite(t, "spf-rfc7208-suite", "rfc4408-tests.yml") {
		v := spf.Verifier{Resolver: newZone(t, s.Zonedata)}
		for name, c := range s.Tests {
			want, ok := narrowed[s.Description+"/"+name]
			if !ok {
				continue
			}
			left--
			if got := v.Verify(context.Background(), c.input(t)); got.Status != want.status {
				t.Errorf("%s/%s: got %s, want %s by %s", s.Description, name, got.Status, want.status, want.clause)
			}
		}
	}
	if left != 0 {
		t.Errorf("%d of the tests in the table are not in the suite", left)
	}
}

func TestSuites(t *testing.T) {
	for _, c := range []struct {
		folder, file string
		tests        int
	}{
		{"spf-rfc7208-suite", "rfc7208-tests.yml", 203},
		{"spf-rfc7208-suite", "rfc4408-tests.yml", 191},
		{"spf-pyspf-extra", "test.yml", 16},
	} {
		t.Run(c.file, func(t *testing.T) {
			if n := runSuite(t, suite(t, c.folder, c.file), exceptions); n != c.tests {
				t.Errorf("%d tests, want %d", n, c.tests)
			}
		})
	}
}
