package dnstest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/internal/require"
)

// owner escapes a name for a zone file: what is neither a letter, a digit nor
// one of "-_." in decimal.
func owner(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if c := name[i]; c == '.' || c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\%03d`, c)
		}
	}
	return strings.TrimSuffix(b.String(), ".") + "."
}

// quoted writes a character-string of any length in one pair of quotes.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03d`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}

// TestSuiteZones turns the zones of the public SPF and ARC suites into zone
// files, and finds every record in them again.
func TestSuiteZones(t *testing.T) {
	for _, path := range [][]string{
		{"spf-rfc7208-suite", "rfc7208-tests.yml"}, {"spf-rfc7208-suite", "rfc4408-tests.yml"},
		{"arc-valimail", "arc-draft-validation-tests.yml"}, {"arc-valimail", "arc-draft-sign-tests.yml"},
	} {
		raw, err := os.ReadFile(require.Data(t, path...))
		if err != nil {
			t.Fatal(err)
		}
		d := yaml.NewDecoder(bytes.NewReader(raw))
		zones := 0
		for {
			var doc struct {
				ZoneData map[string]any    `yaml:"zonedata"`
				Texts    map[string]string `yaml:"txt-records"`
			}
			if err := d.Decode(&doc); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if len(doc.ZoneData)+len(doc.Texts) == 0 {
				continue
			}
			zones++
			suiteZone(t, path[1], doc.ZoneData, doc.Texts)
		}
		if zones == 0 {
			t.Errorf("%s: no zones", path[1])
		}
	}
}

func suiteZone(t *testing.T, suite string, data map[string]any, texts map[string]string) {
	t.Helper()
	type record struct {
		name string
		typ  dns.Type
		want string
	}
	var all []record
	fails := map[string]bool{}
	var b strings.Builder
	add := func(name, typ, rdata, want string) {
		fmt.Fprintf(&b, "%s 60 IN %s %s\n", owner(name), typ, rdata)
		if typ != "SPF" {
			all = append(all, record{name, dns.Type(typ), want})
		}
	}
	for name, text := range texts {
		add(name, "TXT", quoted(text), text)
	}
	for name, v := range data {
		list, _ := v.([]any)
		for _, item := range list {
			if item == "TIMEOUT" {
				fmt.Fprintf(&b, "%s IN TYPE65280 \\# 0\n", owner(name))
				fails[name] = true
				continue
			}
			m, _ := item.(map[string]any)
			for typ, v := range m {
				switch v := v.(type) {
				case string:
					switch {
					case v == "NONE": // there is no copy of the SPF record
					case typ == "TXT" || typ == "SPF":
						add(name, typ, quoted(v), v)
					case typ == "CNAME" || typ == "PTR":
						add(name, typ, owner(v), owner(v))
					default:
						add(name, typ, v, strings.ToLower(v))
					}
				case []any:
					if typ == "MX" {
						add(name, typ, fmt.Sprintf("%v %s", v[0], owner(v[1].(string))), "")
						continue
					}
					var parts []string
					for _, p := range v {
						parts = append(parts, quoted(p.(string)))
					}
					add(name, typ, strings.Join(parts, " "), "")
				}
			}
		}
	}
	z, err := dnstest.Parse(strings.NewReader(b.String()), suite)
	if err != nil {
		t.Errorf("%v\n%s", err, b.String())
		return
	}
	for _, r := range all {
		a, err := z.Lookup(context.Background(), r.name, r.typ)
		if err != nil || r.want != "" && r.typ != dns.AAAA && !slices.Contains(a.Records, r.want) {
			t.Errorf("%s: %q %s: %q, %v, want %q", suite, r.name, r.typ, a.Records, err, r.want)
		}
	}
	for name := range fails {
		if _, err := z.Lookup(context.Background(), name, dns.SOA); !errors.Is(err, dns.ErrTemporary) {
			t.Errorf("%s: %q: %v, want a failure", suite, name, err)
		}
	}
}
