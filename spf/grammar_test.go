package spf_test

import (
	"net"
	"regexp"
	"strings"
	"testing"

	"sekimori/dns"
	"sekimori/spf"
)

// The grammar of RFC 7208 §12 as regular expressions: a second reading of the
// RFC, to hold the parser to.
const (
	digits       = `(?:0*[1-9][0-9]*)?`
	expandAny    = `(?:%\{[slodipvhcrtSLODIPVHCRT]` + digits + `[rR]?[-.+,/_=]*\}|%%|%_|%-)`
	expandDomain = `(?:%\{[slodipvhSLODIPVH]` + digits + `[rR]?[-.+,/_=]*\}|%%|%_|%-)`
	literal      = `[\x21-\x24\x26-\x7e]`
	topLabel     = `(?:[A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*|[A-Za-z0-9]+-[A-Za-z0-9-]*[A-Za-z0-9])`
	domainSpec   = `(?:` + expandDomain + `|` + literal + `)*(?:\.` + topLabel + `\.?|` + expandDomain + `)`
	length4      = `/(?:[0-9]|[12][0-9]|3[0-2])`
	length6      = `/(?:[0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])`
	dualLength   = `(?:` + length4 + `)?(?:/` + length6 + `)?`
	qnum         = `(?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])`
)

var (
	directive = regexp.MustCompile(`^[-+?~]?(?:(?i:all)|(?i:include|exists):` + domainSpec + `|(?i:a|mx)(?::` + domainSpec + `)?` + dualLength +
		`|(?i:ptr)(?::` + domainSpec + `)?|(?i:ip4):` + qnum + `\.` + qnum + `\.` + qnum + `\.` + qnum + `(?:` + length4 + `)?|(?i:ip6):([0-9A-Fa-f:.]+)(?:` + length6 + `)?)$`)
	known    = regexp.MustCompile(`^(?i:redirect|exp)=` + domainSpec + `$`)
	modifier = regexp.MustCompile(`^([A-Za-z][-_.A-Za-z0-9]*)=(?:` + expandAny + `|` + literal + `)*$`)
)

// grammatical reports whether a text is a record by the grammar.
func grammatical(txt string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(txt[:min(6, len(txt))]), "v=spf1")
	if !ok || rest != "" || len(txt) > 6 && txt[6] != ' ' {
		return false
	}
	redirects, exps := 0, 0
	for _, term := range strings.Split(txt[6:], " ") {
		if term == "" {
			continue
		}
		if m := directive.FindStringSubmatch(term); m != nil {
			if m[1] != "" && (net.ParseIP(m[1]) == nil || !strings.Contains(m[1], ":")) {
				return false
			}
			continue
		}
		m := modifier.FindStringSubmatch(term)
		if m == nil {
			return false
		}
		switch name := strings.ToLower(m[1]); name {
		case "redirect", "exp":
			if !known.MatchString(term) {
				return false
			}
			if name == "exp" {
				exps++
			} else {
				redirects++
			}
		}
	}
	return redirects < 2 && exps < 2
}

// TestGrammar compares the parser with the grammar on the records of the
// suites and of the generated cases.
func TestGrammar(t *testing.T) {
	n, good := 0, 0
	check := func(txt string) {
		n++
		_, err := spf.Parse(txt)
		if want := grammatical(txt); (err == nil) != want {
			t.Errorf("Parse(%q): %v; by the grammar: %v", txt, err, want)
		} else if want {
			good++
		}
	}
	for _, file := range []string{"rfc7208-tests.yml", "rfc4408-tests.yml"} {
		for _, s := range suite(t, "spf-rfc7208-suite", file) {
			for _, sets := range newZone(t, s.Zonedata).records {
				for _, txt := range sets[dns.TXT] {
					check(txt)
				}
			}
		}
	}
	for seed := range uint64(3000) {
		for _, sets := range generate(seed).zone.records {
			for _, txt := range sets[dns.TXT] {
				check(txt)
			}
		}
	}
	for _, term := range append(genBad, genOdd...) {
		for _, q := range []string{"", "-"} {
			check("v=spf1 " + q + term)
		}
	}
	t.Logf("%d records, %d of them sound", n, good)
}
