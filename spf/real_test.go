package spf_test

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"sekimori/dns"
	"sekimori/internal/require"
	"sekimori/spf"
)

// realZones reads zones that were in use, as a Resolver. Names at others are
// not in them.
func realZones(t testing.TB) *zone {
	raw, err := os.ReadFile(require.Data(t, "dns-moj", "zones.json"))
	if err != nil {
		t.Fatal(err)
	}
	var data map[string]map[string]map[string][]string
	if err := json.Unmarshal(raw, &data); err != nil {
		t.Fatal(err)
	}
	z := &zone{records: map[string]map[dns.Type][]string{}, timeout: map[string]bool{}}
	for _, names := range data {
		for name, sets := range names {
			z.records[name] = map[dns.Type][]string{}
			for typ, all := range sets {
				z.records[name][dns.Type(typ)] = all
			}
		}
	}
	return z
}

// TestRealZones looks at every SPF record of real zones: the records are
// sound, their findings have words, and what is to be published is a record.
func TestRealZones(t *testing.T) {
	z := realZones(t)
	seen := map[string]int{}
	n := 0
	for name, sets := range z.records {
		for _, txt := range sets[dns.TXT] {
			if !spf.IsRecord(txt) {
				continue
			}
			n++
			if _, err := spf.Parse(txt); err != nil {
				t.Logf("%s: %v", name, err)
			}
			found := spf.Inspect(context.Background(), z, name).Findings
			checkWords(t, name, found)
			for _, f := range found {
				seen[strings.TrimPrefix(f.Code, "spf.")]++
				if f.Publish != nil {
					if _, err := spf.Parse(f.Publish.Value); err != nil {
						t.Errorf("%s: to publish %q: %v", name, f.Publish.Value, err)
					}
				}
			}
			break
		}
	}
	if n < 100 {
		t.Errorf("%d records", n)
	}
	t.Logf("%d names with a record: %v", n, seen)
}
