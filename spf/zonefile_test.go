package spf_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/spf"
)

// masterFile writes a zone as a master file (RFC 1035 §5). A name with
// records beside its TIMEOUT cannot be written: a file says of a name as a
// whole that it does not answer.
func masterFile(z *zone) (string, error) {
	var b strings.Builder
	var failed error
	names := map[string]bool{}
	for n := range z.records {
		names[n] = true
	}
	for name := range names {
		sets := z.records[name]
		if z.timeout[name] {
			if len(sets) > 0 {
				failed = fmt.Errorf("%s has records and a time-out", name)
			}
			fmt.Fprintf(&b, "%s TYPE65280 \\# 0\n", masterName(name))
			continue
		}
		for typ, all := range sets {
			for _, v := range all {
				switch typ {
				case dns.TXT:
					v = masterText(v)
				case dns.MX:
					p, host, _ := strings.Cut(v, " ")
					v = p + " " + masterName(host)
				case dns.PTR, dns.CNAME:
					v = masterName(v)
				}
				fmt.Fprintf(&b, "%s %s %s\n", masterName(name), typ, v)
			}
		}
	}
	return b.String(), failed
}

// masterName escapes a name; dots separate labels.
func masterName(s string) string {
	var b strings.Builder
	for _, c := range []byte(strings.TrimSuffix(s, ".")) {
		if c == '.' || c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "\\%03d", c)
		}
	}
	return b.String() + "."
}

// masterText writes character-strings of at most 255 octets.
func masterText(s string) string {
	var parts []string
	for {
		n := min(len(s), 255)
		var b strings.Builder
		for _, c := range []byte(s[:n]) {
			if c < ' ' || c > '~' || c == '"' || c == '\\' {
				fmt.Fprintf(&b, "\\%03d", c)
			} else {
				b.WriteByte(c)
			}
		}
		parts = append(parts, `"`+b.String()+`"`)
		if s = s[n:]; s == "" {
			return strings.Join(parts, " ")
		}
	}
}

// TestSuitesFromZoneFile runs the suites from master files, as --zone does.
func TestSuitesFromZoneFile(t *testing.T) {
	ran, left := 0, 0
	for _, file := range [][2]string{{"spf-rfc7208-suite", "rfc7208-tests.yml"}, {"spf-rfc7208-suite", "rfc4408-tests.yml"}, {"spf-pyspf-extra", "test.yml"}} {
		for _, s := range suite(t, file[0], file[1]) {
			z := newZone(t, s.Zonedata)
			text, failed := masterFile(z)
			served, err := dnstest.Parse(strings.NewReader(text), file[1])
			if err != nil {
				t.Errorf("%s: %s: %v", file[1], s.Description, err)
				continue
			}
			for name, c := range s.Tests {
				in := c.input(t)
				want := (&spf.Verifier{Resolver: z}).Verify(context.Background(), in)
				got := (&spf.Verifier{Resolver: served}).Verify(context.Background(), in)
				ran++
				if got.Status == want.Status && got.Explanation == want.Explanation {
					continue
				}
				if failed != nil && strings.HasSuffix(in.MailFrom, "timeout.example.net") {
					left++
					continue
				}
				if slices.Contains(c.results(t), string(got.Status)) {
					t.Logf("%s: %s/%s: another result that the suite accepts: %s", file[1], s.Description, name, got.Status)
					continue
				}
				t.Errorf("%s: %s/%s: %s %q (%v), want %s %q", file[1], s.Description, name, got.Status, got.Explanation, got.Err, want.Status, want.Explanation)
			}
		}
	}
	t.Logf("%d tests, %d of them about a name with records and a time-out, which a file cannot hold", ran, left)
}
