package dnstest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/dns/dnstest"
)

const file = `$TTL 600
$ORIGIN example.com.
@        IN SOA ns.example.com. root.example.com. (
            1 2 3
            4 5 )
         IN MX 10 mx
         IN MX 20 mx.other.example.
         IN TXT ( "v=spf1 "
                  "ip4:192.0.2.0/24 -all" ) ; over two lines
mx   60  IN A 192.0.2.1
         IN A 192.0.2.2
         IN AAAA 2001:db8::1
a.b.c    IN A 192.0.2.9
*.wild   IN TXT "any"
x.wild   IN A 192.0.2.3
www  30  IN CNAME web.example.com.
web      IN CNAME MX.EXAMPLE.com.
gone     IN CNAME nowhere.example.com.
loop1    IN CNAME loop2
loop2    IN CNAME loop1
slow     IN TYPE65280 \# 0
*.slowly IN TYPE65280 \# 0
aslow    IN CNAME slow
dup      IN TXT "same"
dup      IN TXT "same"
1.2.0.192.in-addr.arpa. PTR mx.example.com.
`

func TestLookup(t *testing.T) {
	z, err := dnstest.Parse(strings.NewReader(file), "zone")
	if err != nil {
		t.Fatal(err)
	}
	type want struct {
		records []string
		ttl     time.Duration
		err     error
	}
	for _, c := range []struct {
		name string
		typ  dns.Type
		want want
	}{
		{"example.com", dns.MX, want{records: []string{"10 mx.example.com.", "20 mx.other.example."}, ttl: 600}},
		{"EXAMPLE.com.", dns.TXT, want{records: []string{"v=spf1 ip4:192.0.2.0/24 -all"}, ttl: 600}},
		{"mx.example.com", dns.A, want{records: []string{"192.0.2.1", "192.0.2.2"}, ttl: 60}},
		{"mx.example.com", dns.AAAA, want{records: []string{"2001:db8::1"}, ttl: 600}},
		{"mx.example.com", dns.TXT, want{err: dns.ErrNoData}},
		{"www.example.com", dns.A, want{records: []string{"192.0.2.1", "192.0.2.2"}, ttl: 30}},
		{"www.example.com", dns.CNAME, want{records: []string{"web.example.com."}, ttl: 30}},
		{"www.example.com", dns.MX, want{err: dns.ErrNoData}},
		{"gone.example.com", dns.A, want{err: dns.ErrNameNotFound}},
		{"loop1.example.com", dns.A, want{err: dns.ErrTemporary}},
		{"b.c.example.com", dns.A, want{err: dns.ErrNoData}}, // empty non-terminal
		{"c.example.com", dns.TXT, want{err: dns.ErrNoData}},
		{"com", dns.A, want{err: dns.ErrNoData}},
		{"z.c.example.com", dns.A, want{err: dns.ErrNameNotFound}},
		{"y.wild.example.com", dns.TXT, want{records: []string{"any"}, ttl: 600}},
		{"deep.y.wild.example.com", dns.TXT, want{records: []string{"any"}, ttl: 600}},
		{"x.wild.example.com", dns.TXT, want{err: dns.ErrNoData}},             // a name that exists hides the wildcard
		{"under.x.wild.example.com", dns.TXT, want{err: dns.ErrNameNotFound}}, // closest encloser is x
		{"wild.example.com", dns.TXT, want{err: dns.ErrNoData}},
		{"slow.example.com", dns.A, want{err: dns.ErrTemporary}},
		{"a.slowly.example.com", dns.TXT, want{err: dns.ErrTemporary}},
		{"aslow.example.com", dns.A, want{err: dns.ErrTemporary}},
		{"dup.example.com", dns.TXT, want{records: []string{"same"}, ttl: 600}},
		{"1.2.0.192.in-addr.arpa", dns.PTR, want{records: []string{"mx.example.com."}, ttl: 600}},
		{"example.org", dns.A, want{err: dns.ErrNameNotFound}},
	} {
		got, err := z.Lookup(context.Background(), c.name, c.typ)
		if !errors.Is(err, c.want.err) || err == nil != (c.want.err == nil) {
			t.Errorf("%s %s: error %v, want %v", c.name, c.typ, err, c.want.err)
			continue
		}
		if !reflect.DeepEqual(got.Records, c.want.records) || got.TTL != c.want.ttl*time.Second {
			t.Errorf("%s %s: got %q %v, want %q %v", c.name, c.typ, got.Records, got.TTL, c.want.records, c.want.ttl*time.Second)
		}
	}
}

func TestLookupCancelled(t *testing.T) {
	z, err := dnstest.Parse(strings.NewReader(file), "zone")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := z.Lookup(ctx, "example.com", dns.MX); !errors.Is(err, dns.ErrTemporary) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want temporary and cancelled", err)
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"bad address", "a.example. A 192.0.2.1\nb.example. A 192.0.2\n", "zone:2: "},
		{"bad type", "\n\na.example. FOO bar\n", "zone:3: "},
		{"unclosed quote", "a.example. TXT \"x\n", "zone:"},
		{"alias and data", "a.example. A 192.0.2.1\na.example. CNAME b.example.\nc.example. A 192.0.2.2\n", "zone:2: a.example. has an alias"},
		{"data and alias", "a.example. CNAME b.example.\na.example. A 192.0.2.1\n", "zone:2: a.example. has an alias"},
		{"two aliases", "a.example. CNAME b.example.\na.example. CNAME c.example.", "zone:2: a.example. has two aliases"},
		{"class", "a.example. CH TXT \"x\"\n", "zone:1: "},
		{"include", "$INCLUDE other\n", "zone:1: "},
	} {
		_, err := dnstest.Parse(strings.NewReader(c.in), "zone")
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q…", c.name, err, c.want)
		}
	}
}

func TestOpenAbsent(t *testing.T) {
	if _, err := dnstest.Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want not exist", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(file)
	f.Add("$ORIGIN .\n* TXT x\n")
	f.Add("a\\.b.example. A 192.0.2.1")
	f.Add("a TXT\nb 60 IN TXT ;x\n\tTXT\nc TXT ( \"d\"\n)\n\\;d TXT \"e\\\"\ne\"")
	f.Add("x DS 1 2 3 00\ny.x NS z\nq TYPE65280 \\# 4 00060010\nr CNAME q\n*.r A 192.0.2.1")
	f.Fuzz(func(t *testing.T, s string) {
		z, err := dnstest.Parse(strings.NewReader(s), "zone")
		if err != nil {
			return
		}
		for _, name := range []string{"example.com", ".", "", "a..b", "a\\.b.example"} {
			a, err := z.Lookup(context.Background(), name, dns.TXT)
			if (err == nil) != (len(a.Records) > 0) || a.TTL < 0 || a.Security == dns.Bogus && !errors.Is(err, dns.ErrTemporary) {
				t.Fatalf("%q: %+v, %v", name, a, err)
			}
		}
	})
}
