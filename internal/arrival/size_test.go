//go:build unix

package arrival

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestSize brings what is large or odd in its octets.
func TestSize(t *testing.T) {
	w := here(t)
	line := strings.Repeat("all work and no play makes a long letter ", 2)[:76] + "\r\n"
	large := compose("large", atBank)
	large.body = strings.Repeat(line, 50<<20/len(line))
	many := compose("many", atBank)
	for i := range 10_000 {
		many.fields = append(many.fields, fmt.Sprintf("X-Field-%d: %d", i%100, i))
	}
	long := compose("long", atBank)
	long.body = strings.Repeat("x", 3<<20) + "\r\n"
	empty := compose("empty", atBank)
	empty.body = ""
	nuls := compose("nuls", atBank)
	nuls.body = "zero: \x00\x00 and more\r\n\x00\r\n.\r\n..\r\n"
	const pass = none + "dkim=pass bank.example/r; " + bankAR
	for _, c := range []struct {
		name string
		l    *letter
		want string
	}{
		{"50 MB", large.signed("bank.example", "r"), pass},
		{"10,000 fields", many.signed("bank.example", "r"), pass},
		{"no body", empty.signed("bank.example", "r"), pass},
		{"NUL in the body", nuls.signed("bank.example", "r"), pass},
		// Postfix breaks such a line, after the milter saw it or before.
		{"a line of 3 MB", long.signed("bank.example", "r"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, gate := range []string{"hold", "monitor"} {
				got, text := w.bring(t, gate, c.l.from(elsewhere, nobody))
				if c.want != "" && got != delivered || got == refused || got == later {
					t.Fatalf("%s: %s", got, text[:min(len(text), 3000)])
				}
				field, err := said([]byte(text))
				t.Log(gate, got, field)
				if c.want != "" && (err != nil || field != c.want) {
					t.Errorf("%v\n got %s\nwant %s", err, field, c.want)
				}
				if c.want != "" && !strings.HasSuffix(text, "\n\n"+strings.ReplaceAll(c.l.body, "\r\n", "\n")) {
					t.Error("the body is another")
				}
			}
		})
	}
	for _, gate := range []string{"hold", "monitor"} {
		if mb := w.gates[gate].resident(); mb > 100 {
			t.Errorf("%s: %d MB in memory", gate, mb)
		}
	}
}

// resident is how much memory the gateway has had at most, in MB.
func (g *gate) resident() int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	kb, _, _ := strings.Cut(strings.TrimSpace(string(rest)), " ")
	n, _ := strconv.Atoi(kb)
	return n / 1024
}

// TestNULInHeader has octets in the header that end strings elsewhere: what
// follows them must not make another author of the one people see.
func TestNULInHeader(t *testing.T) {
	w := here(t)
	for i, from := range []string{"info@bank.example\x00@mallory.example", "x@mallory.example\x00, info@bank.example", "\x00info@bank.example", "x@mallory.example\x00\r\n , info@bank.example",
		"\x00 <x@mallory.example> <info@bank.example>", "x@mallory.example\r, info@bank.example", "x@mallory.example\n , info@bank.example"} {
		l := compose(fmt.Sprintf("nul-%d", i), from).signed("mallory.example", "r")
		for _, gate := range []string{"hold", "refuse", "monitor"} {
			got, text := w.bring(t, gate, l.from(mallory, forged))
			t.Logf("%q at %s: %s", from, gate, got)
			if got == refused {
				continue
			}
			field, err := said([]byte(text))
			if err != nil {
				t.Error(err)
			}
			h, _, _ := header([]byte(text))
			t.Logf("%q: %s", h.Get("From"), field)
			if got == delivered && gate != "monitor" && strings.Contains(h.Get("From"), "bank.example") {
				t.Errorf("%q delivered: %s", h.Get("From"), field)
			}
			if strings.Contains(field, "dmarc=pass bank") {
				t.Errorf("%q: %s", h.Get("From"), field)
			}
		}
	}
}

// TestOversized hides the author in a header that is larger than anybody
// keeps. That must not be a way around his domain's policy.
func TestOversized(t *testing.T) {
	w := here(t)
	var much []string
	for i := range 30 {
		much = append(much, "X-Huge: "+strings.Repeat("a lot of words and then some more of them\r\n ", 1200)+strconv.Itoa(i))
	}
	first, last := compose("huge-first", atBank), compose("huge-last", "")
	first.fields = append(first.fields, much...)
	last.fields = append(append(last.fields, much...), "From: "+atBank)
	for _, l := range []*letter{first, last} {
		// SPF confirms it, whatever the length.
		if got, text := w.bring(t, "plain", l.from(bankMail, atBank)); got != delivered {
			t.Errorf("%s: %s", got, text[:min(len(text), 2000)])
		} else if field, err := said([]byte(text)); err != nil || !strings.HasPrefix(field, "spf=pass bank.example; ") || !strings.HasSuffix(field, bankAR) {
			t.Errorf("%s, %v", field, err)
		}
		for gate, want := range map[string]fate{"plain": held, "refuse": marked, "monitor": delivered} {
			got, text := w.bring(t, gate, l.from(mallory, forged))
			if got != want {
				t.Errorf("%s: %s, want %s: %s", gate, got, want, text[:min(len(text), 1000)])
			}
		}
		// Nor does a refusal hang on a signature that nobody looked at.
		if got, text := w.bring(t, "refuse", compose("huge-signed", atBank, much...).signed("bank.example", "r").from(elsewhere, nobody)); got != marked {
			t.Errorf("%s: %s", got, text[:min(len(text), 1000)])
		}
	}
}
