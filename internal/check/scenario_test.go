package check

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/dns/dnstest"
)

var update = flag.Bool("update", false, "write the messages of testdata/scenario from their recipes, and what comes out")

// connectionFile is conn.json: what is known of the connection. A field that
// is absent is left to the message's trace fields.
type connectionFile struct {
	IP       string   `json:"ip,omitempty"`
	Helo     string   `json:"helo,omitempty"`
	MailFrom *string  `json:"mail_from,omitempty"`
	Time     string   `json:"time,omitempty"` // RFC 3339, or "received"
	Trust    []string `json:"trust,omitempty"`
	Sealers  []string `json:"sealers,omitempty"`
}

func (c connectionFile) batch(t *testing.T) *Batch {
	t.Helper()
	b := &Batch{Given: Input{Helo: c.Helo}, Workers: 1, TempDir: t.TempDir()}
	if c.IP != "" {
		b.Given.IP = netip.MustParseAddr(c.IP)
	}
	if c.MailFrom != nil {
		b.Given.MailFrom, b.Given.NullSender = *c.MailFrom, *c.MailFrom == ""
	}
	for _, n := range c.Trust {
		b.Trust = append(b.Trust, netip.MustParsePrefix(n))
	}
	switch c.Time {
	case "":
	case "received":
		b.AtReceived = true
	default:
		at, err := time.Parse(time.RFC3339, c.Time)
		if err != nil {
			t.Fatal(err)
		}
		b.Given.Time = at
	}
	return b
}

// TestScenarios checks each folder of testdata/scenario: message.eml, zone and
// conn.json give want.json; why.md says what the case is for.
func TestScenarios(t *testing.T) {
	root := filepath.Join("testdata", "scenario")
	if *update {
		writeScenarios(t, root)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(recipes()) {
		t.Errorf("%d folders, %d recipes: run with -update", len(entries), len(recipes()))
	}
	for _, e := range entries {
		t.Run(e.Name(), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(root, e.Name())
			zone, err := dnstest.Open(filepath.Join(dir, "zone"))
			if err != nil {
				t.Fatal(err)
			}
			var conn connectionFile
			if raw, err := os.ReadFile(filepath.Join(dir, "conn.json")); err == nil {
				if err := json.Unmarshal(raw, &conn); err != nil {
					t.Fatal(err)
				}
			}
			if why, err := os.ReadFile(filepath.Join(dir, "why.md")); err != nil || len(why) < 20 {
				t.Errorf("why.md: %v", err)
			}
			b := conn.batch(t)
			b.Checker = &Checker{Resolver: zone, AuthServID: "mx.receiver.example", Helo: true, Now: func() time.Time { return today }}
			for _, s := range conn.Sealers {
				b.Checker.Sealers = append(b.Checker.Sealers, name(t, s))
			}
			got := b.outcome(t, filepath.Join(dir, "message.eml"))
			if got.Err != nil {
				t.Fatal(got.Err)
			}
			text := shortened(t, got.Verdict)
			path := filepath.Join(dir, "want.json")
			if *update {
				if err := os.WriteFile(path, text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(text, want) {
				t.Errorf("got\n%s\nwant\n%s", text, want)
			}
		})
	}
}

// outcome is the one outcome of a file.
func (b *Batch) outcome(t testing.TB, path string) Checked {
	t.Helper()
	var all []Checked
	err := b.Run(context.Background(), []Place{{Name: filepath.Base(path), File: path}}, func(c Checked) error {
		all = append(all, c)
		return nil
	})
	if err != nil || len(all) != 1 {
		t.Fatalf("%d outcomes, error %v", len(all), err)
	}
	return all[0]
}

// shortened is a verdict as JSON, with the codes of its first two rows of
// steps in place of the steps: how the protocols explain themselves is for
// their own tests.
func shortened(t testing.TB, v Verdict) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	var says []string
	for _, s := range v.Steps() {
		line := s.Code
		for _, c := range s.Children {
			if strings.HasPrefix(c.Code, "check.") {
				line += " " + c.Code
			}
		}
		says = append(says, line)
	}
	m["steps"] = says
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
