package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekimori/internal/locale"
)

const checkZone = `$TTL 3600
good.example.        IN MX 10 mx.good.example.
mx.good.example.     IN A 192.0.2.1
good.example.        IN TXT "v=spf1 mx -all"
_dmarc.good.example. IN TXT "v=DMARC1; p=reject; rua=mailto:d@good.example"
s1._domainkey.good.example. IN TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
deep.example.        IN TXT "v=spf1 a:a.example a:b.example a:c.example a:d.example a:e.example a:f.example a:g.example a:h.example a:i.example a:j.example mx -all"
deep.example.        IN MX 10 mx.good.example.
open.example.        IN MX 10 mx.good.example.
slow.example.        IN TYPE65280 \# 0
_dmarc.slow.example. IN TYPE65280 \# 0
*.slow.example.      IN TYPE65280 \# 0
`

// runCheck runs the verb on a zone and returns status, output and complaints.
func runCheck(t *testing.T, in string, args ...string) (int, string, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "zone"), []byte(checkZone), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	st := Run(t.Context(), Env{Args: append([]string{"check", "--zone", "zone"}, args...), In: strings.NewReader(in),
		Out: &out, Err: &errs, Dir: dir, Lang: locale.English})
	return st, out.String(), errs.String()
}

func TestCheckStatus(t *testing.T) {
	for _, tt := range []struct {
		args string
		in   string
		want int
	}{
		{"good.example", "", StatusDone},
		{"postmaster@good.example", "", StatusDone},
		{"open.example", "", StatusNegative},
		{"good.example open.example", "", StatusNegative},
		{"slow.example", "", StatusTemporary},
		{"good.example slow.example", "", StatusTemporary},
		{"open.example slow.example", "", StatusNegative},
		{"nowhere.example", "", StatusNegative},
		{"https://good.example/", "", StatusUsage},
		{"192.0.2.1", "", StatusUsage},
		{"_dmarc.good.example", "", StatusUsage},
		{"s1._domainkey.good.example", "", StatusUsage},
		{"_spf.good.example", "", StatusNegative}, // a domain like others
		{"ｕｓｅｒ＠ｇｏｏｄ．ｅｘａｍｐｌｅ", "", StatusDone},
		{"good..example", "", StatusUsage},
		{"", "", StatusUsage},
		{"good.example --selector a.b/c", "", StatusUsage},
		{"good.example --selector a --selector b,c", "", StatusDone},
		{"-", "good.example\n", StatusDone},
		{"-", "good.example\nbad..example\n", StatusNegative},
		{"-", "# nothing\n\n", StatusDone},
	} {
		if got, out, errs := runCheck(t, tt.in, strings.Fields(tt.args)...); got != tt.want {
			t.Errorf("check %s < %q: status %d, want %d\n%s%s", tt.args, tt.in, got, tt.want, out, errs)
		}
	}
}

// TestCheckLines checks that results come in the order of the input, one a
// line, with those that cannot be read in their place.
func TestCheckLines(t *testing.T) {
	in := "\ufeffgood.example\r\n# a comment\n\nx y\nsomebody@open.example # at work\nslow.example\n" + strings.Repeat("a", 3*maxListLine) + "\ngood.example"
	for range 64 {
		in += "\ngood.example\nopen.example"
	}
	st, out, errs := runCheck(t, in, "-", "--json")
	if st != StatusNegative {
		t.Errorf("status %d", st)
	}
	var got []string
	for _, line := range strings.Split(strings.TrimSuffix(out, "\n"), "\n") {
		var v struct{ Domain, Input, Error string }
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if v.Error != "" {
			v.Domain = "!" + v.Input[:min(len(v.Input), 3)]
		} else if v.Input != "" {
			v.Domain += "=" + v.Input
		}
		got = append(got, v.Domain)
	}
	want := []string{"good.example", "!x y", "open.example=somebody@open.example", "slow.example", "!aaa", "good.example"}
	for range 64 {
		want = append(want, "good.example", "open.example")
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if !strings.Contains(errs, "line 4:") || !strings.Contains(errs, "line 7: longer than") {
		t.Errorf("complaints: %s", errs)
	}
}

// TestCheckWords looks for sentences that are missing in either language.
func TestCheckWords(t *testing.T) {
	zones, err := filepath.Glob("../posture/testdata/*/zone")
	if err != nil || len(zones) == 0 {
		t.Fatalf("no zones: %v", err)
	}
	for _, z := range zones {
		raw, err := os.ReadFile(z)
		if err != nil {
			t.Fatal(err)
		}
		_, line, _ := strings.Cut(string(raw), "; check ")
		line, _, _ = strings.Cut(line, "\n")
		words := strings.Fields(line)
		for _, l := range locale.Langs {
			var out, errs bytes.Buffer
			args := []string{"check", "--zone", z, words[0]}
			for _, s := range words[1:] {
				args = append(args, "--selector", s)
			}
			dir, _ := os.Getwd()
			Run(t.Context(), Env{Args: args, Out: &out, Err: &errs, Dir: dir, Lang: l})
			if s := out.String(); strings.Contains(s, "⟦") || s == "" {
				t.Errorf("%s %s:\n%s%s", z, l, s, errs.String())
			}
		}
	}
}

func FuzzReadDomains(f *testing.F) {
	f.Add("example.jp\n# comment\nuser@example.com\n")
	f.Add("\ufeff日本語.jp\r\n\r\nhttps://example.jp/\n192.0.2.1")
	f.Add("@\n[::1]\n" + strings.Repeat("x", maxListLine+1) + "\n")
	f.Fuzz(func(t *testing.T, s string) {
		n := 0
		readDomains(strings.NewReader(s), func(it item) bool {
			n++
			if it.err == nil && it.name.IsZero() || it.err != nil && !it.name.IsZero() {
				t.Errorf("%q: name %q and error %v", it.input, it.name, it.err)
			}
			return true
		})
		if most := strings.Count(s, "\n") + 1; n > most {
			t.Errorf("%d domains from %d lines", n, most)
		}
	})
}

// TestCheckLookups: that a record asks too much is said where it is summed up.
func TestCheckLookups(t *testing.T) {
	if _, out, _ := runCheck(t, "", "deep.example"); !strings.Contains(out, "✗ SPF      published, but of no effect: 11 DNS lookups, and 10") {
		t.Error(out)
	}
}

// TestCheckSelector: the whole name of a key record stands for its selector.
func TestCheckSelector(t *testing.T) {
	for _, s := range []string{"s1", "s1._domainkey", "s1._domainkey.good.example."} {
		if st, out, _ := runCheck(t, "", "good.example", "--json", "--selector", s); st != StatusDone || !strings.Contains(out, `"origin": "given"`) || strings.Contains(out, "selector-missing") {
			t.Errorf("--selector %s: status %d\n%s", s, st, out)
		}
	}
}
