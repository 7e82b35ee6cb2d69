package posture

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/explain"
)

var update = flag.Bool("update", false, "rewrite the expected results")

// scenario is a folder of testdata: a zone file whose first lines say what to
// look at.
type scenario struct {
	name      domain.Name
	selectors []string
	resolver  dns.Resolver
}

func load(t testing.TB, dir string) scenario {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	zone, err := dnstest.Parse(bytes.NewReader(raw), dir)
	if err != nil {
		t.Fatal(err)
	}
	s := scenario{resolver: zone}
	for _, line := range strings.Split(string(raw), "\n") {
		rest, ok := strings.CutPrefix(line, "; check ")
		if !ok {
			continue
		}
		words := strings.Fields(rest)
		if s.name, err = domain.Parse(words[0]); err != nil {
			t.Fatal(err)
		}
		s.selectors = words[1:]
	}
	if s.name.IsZero() {
		t.Fatalf("%s: no line \"; check DOMAIN\"", dir)
	}
	return s
}

func TestScenarios(t *testing.T) {
	dirs, err := filepath.Glob("testdata/*/zone")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, d := range dirs {
		dir := filepath.Dir(d)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			s := load(t, dir)
			p := Inspect(t.Context(), s.resolver, s.name, Options{Selectors: s.selectors})
			for i, f := range p.Findings {
				// What other rooms say, and what they would publish, is theirs to test.
				if !strings.HasPrefix(f.Code, "posture.") {
					p.Findings[i].Finding = explain.Finding{Grade: f.Grade, Step: explain.Step{Code: f.Code}}
				}
			}
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			if err := enc.Encode(p); err != nil {
				t.Fatal(err)
			}
			var back Posture
			if err := json.Unmarshal(b.Bytes(), &back); err != nil {
				t.Fatal(err)
			}
			var again bytes.Buffer
			enc = json.NewEncoder(&again)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			if err := enc.Encode(back); err != nil || again.String() != b.String() {
				t.Errorf("read back (%v), -was +is:\n%s", err, cmp.Diff(b.String(), again.String()))
			}
			golden := filepath.Join(dir, "want.json")
			if *update {
				if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), b.String()); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}
