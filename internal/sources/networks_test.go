package sources

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func put(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNetworks(t *testing.T) {
	asn := mmdb{
		netip.MustParsePrefix("192.0.2.0/24"):  {"autonomous_system_number": uint32(64500), "autonomous_system_organization": "EXAMPLE-NET\x01 Example Networks"},
		netip.MustParsePrefix("2001:db8::/32"): {"autonomous_system_number": uint32(64501), "autonomous_system_organization": "Six"},
	}.write(t, "GeoLite2-ASN")
	country := mmdb{
		netip.MustParsePrefix("192.0.2.0/25"):   {"country": map[string]any{"iso_code": "JP"}},
		netip.MustParsePrefix("192.0.2.128/25"): {"registered_country": map[string]any{"iso_code": "us"}},
		netip.MustParsePrefix("198.51.0.0/16"):  {"country": map[string]any{"iso_code": "not a code"}},
	}.write(t, "GeoLite2-Country")
	flat := mmdb{netip.MustParsePrefix("203.0.113.0/24"): {"as_name": "Flat", "country_code": "DE"}}.write(t, "flat")
	table := put(t, "networks.csv", "\ufeffprefix,organisation,country\r\n# our own\r\n"+
		"192.0.2.64/26,\"City, of \"\"Kakuu\"\"\",jp\r\n\r\n 198.51.100.0/24 , AS64502 Rented Servers \n2001:db8:1::/48,Branch\n192.0.2.200,One Host\n::ffff:203.0.113.0/120,Mapped,NL")
	n, err := OpenNetworks(table, asn, country, flat)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"192.0.2.70":           `City, of "Kakuu"|JP|192.0.2.64/26|64500`,
		"192.0.2.1":            "EXAMPLE-NET Example Networks|JP|192.0.2.0/25|64500",
		"192.0.2.200":          "One Host|US|192.0.2.200/32|64500",
		"::ffff:192.0.2.201":   "EXAMPLE-NET Example Networks|US|192.0.2.128/25|64500",
		"198.51.100.9":         "Rented Servers||198.51.100.0/24|64502",
		"203.0.113.9":          "Mapped|NL|203.0.113.0/24|0",
		"2001:db8:1::5":        "Branch||2001:db8:1::/48|64501",
		"2001:db8:2::5%eth0":   "Six||2001:db8::/32|64501",
		"8.8.8.8":              "",
		"198.51.1.1":           "",
		"2001:db9::1":          "",
		"64:ff9b::192.0.2.1":   "",
		"255.255.255.255":      "",
		"ffff:ffff:ffff::ffff": "",
	} {
		got, ok := n.Lookup(netip.MustParseAddr(addr))
		s := ""
		if ok {
			s = fmt.Sprintf("%s|%s|%v|%d", got.Organisation, got.Country, got.Prefix, got.ASN)
		}
		if s != want {
			t.Errorf("%s: %q, want %q", addr, s, want)
		}
	}
	if _, ok := n.Lookup(netip.Addr{}); ok {
		t.Error("no address has a network")
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	var none *Networks
	if _, ok := none.Lookup(netip.MustParseAddr("192.0.2.1")); ok || none.Close() != nil {
		t.Error("nil Networks")
	}
}

func TestOpenNetworksErrors(t *testing.T) {
	whole, err := os.ReadFile(mmdb{netip.MustParsePrefix("192.0.2.0/24"): {"as_name": "x"}}.write(t, "whole"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"absent.csv":  {"", "no such file"},
		"cut.mmdb":    {string(whole[:len(whole)/2]), "is not in that form, or was cut off"},
		"broken.mmdb": {mmdbMark + "garbage", "broken.mmdb: "},
		"net.csv":     {"192.0.2.0/24,A\n192.0.2.0/33,B\n", `net.csv:2: prefix "192.0.2.0/33"`},
		"cols.csv":    {"192.0.2.0/24,A\n192.0.2.0/24\n", "cols.csv:2: 1 values: want prefix,organisation[,country]"},
		"many.csv":    {"192.0.2.0/24,A\n192.0.2.0/24,a,jp,x\n", "many.csv:2: 4 values"},
		"quote.csv":   {"a,b\n192.0.2.0/24,\"A\n", "quote.csv:2: a quoted value does not end"},
		"after.csv":   {"a,b\n192.0.2.0/24,\"A\"x\n", "after.csv:2: something follows a quoted value"},
		"country.csv": {"a,b\n192.0.2.0/24,A,Japan\n", `country.csv:2: country "Japan": want two letters`},
		"nothing.csv": {"a,b\n192.0.2.0/24,,\n", "nothing.csv:2: neither an organisation nor a country"},
		"long.csv":    {"a,b\n" + strings.Repeat("x", 5000), "long.csv:2: longer than 4096 octets"},
		"sjis.csv":    {"a,b\n192.0.2.0/24,\x93\xfa\n", "sjis.csv:2: not in UTF-8"},
		"zone.csv":    {"a,b\nfe80::1%eth0,A\n", `zone.csv:2: prefix "fe80::1%eth0" has a zone`},
		"wide.csv":    {"a,b\n::ffff:0:0/90,A\n", "wide.csv:2: prefix"},
	} {
		path := filepath.Join(t.TempDir(), name)
		if c.text != "" {
			path = put(t, name, c.text)
		}
		if n, err := OpenNetworks(path); err == nil || n != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if _, err := OpenNetworks(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("a folder: %v", err)
	}
	if n, err := OpenNetworks(); err != nil || n == nil {
		t.Errorf("no files: %v", err)
	}
	if n, err := OpenNetworks(put(t, "empty.csv", "")); err != nil || n == nil {
		t.Errorf("an empty table: %v", err)
	}
}

// TestPrefixTableMemory holds a table to what the comment promises, roughly.
func TestPrefixTableMemory(t *testing.T) {
	var text strings.Builder
	const lines = 200_000
	for i := range lines {
		fmt.Fprintf(&text, "%d.%d.%d.0/24,Network %d,JP\n", 1+i>>16, i>>8&255, i&255, i%2000)
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	table, err := parsePrefixTable("t", strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / lines
	t.Logf("%.1f octets a line", each)
	if each > 100 {
		t.Errorf("%.1f octets of memory a line", each)
	}
	if n, ok := table.lookup(netip.MustParseAddr("2.1.2.3")); !ok || n.Organisation != "Network 1794" {
		t.Errorf("%+v", n)
	}
	runtime.KeepAlive(&text)
}

func FuzzPrefixTable(f *testing.F) {
	f.Add([]byte("prefix,organisation\n192.0.2.0/24,\"A, B\",jp\n"))
	f.Add([]byte("::ffff:192.0.2.0/120,AS1 X\r\n2001:db8::/32,\"\"\"\",\n"))
	f.Add([]byte("0.0.0.0/0,x\n::/0,y"))
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := parsePrefixTable("t", strings.NewReader(string(text)))
		if (table == nil) == (err == nil) {
			t.Fatal("neither a table nor an error")
		}
		if table == nil {
			return
		}
		for p, i := range table.table.All() {
			n, ok := table.lookup(p.Addr())
			if !ok || !p.IsValid() || int(i) >= len(table.said) || len(n.Organisation) > 200 || n.Country != "" && len(n.Country) != 2 || n.Organisation == "" && n.Country == "" {
				t.Fatalf("%v: %+v", p, n)
			}
		}
	})
}

func BenchmarkNetworks(b *testing.B) {
	asn := mmdb{netip.MustParsePrefix("192.0.2.0/24"): {"autonomous_system_number": uint32(64500), "autonomous_system_organization": "Example Networks"}}.write(b, "asn")
	n, err := OpenNetworks(put(b, "t.csv", "198.51.100.0/24,Rented\n"), asn)
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("8.8.8.8")}
	b.ReportAllocs()
	for b.Loop() {
		for _, a := range addrs {
			n.Lookup(a)
		}
	}
}
