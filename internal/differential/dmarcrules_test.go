package differential

import (
	"slices"
	"strings"
)

func whenDMARC(odd ...string) func(dmarcCase) bool {
	return func(c dmarcCase) bool { return c.has(odd...) }
}

// passed returns the domains that a mechanism passed with.
func (c dmarcCase) passed(method string) (out []string) {
	if method == "spf" {
		if c.spf == "pass" {
			out = append(out, c.spfDomain)
		}
		return out
	}
	for _, k := range c.dkim {
		if k.result == "pass" {
			out = append(out, k.domain)
		}
	}
	return out
}

// dmarcRules are the disagreements that are known; the first that fits is
// taken.
var dmarcRules = []rule[dmarcCase]{
	{"wildcard of the suffix list", "RFC 7489 §3.2", "they take *.kawasaki.jp for kawasaki.jp, and so find another organization", func(c dmarcCase) bool {
		return strings.Contains(strings.ToLower(c.from), ".x.kawasaki.jp")
	}},
	{"exception of the suffix list", "RFC 7489 §3.2", "they take !city.kawasaki.jp for one more organization of other names", func(c dmarcCase) bool {
		return strings.HasSuffix(strings.ToLower(c.from), shared)
	}},
	{"From in capitals", "RFC 4343 §3", "they look up the suffix list with regard to case, and find no organization", whenDMARC("from in capitals")},
	{"the DNS fails", "RFC 7489 §6.6.3", "they take a failure of the name server for absence; for us it is temporary", whenDMARC("dns fails")},
	{"public suffix as identifier", "RFC 7489 §3.1", "they take a public suffix and the names under it for one organization", whenDMARC("identifier is a public suffix")},
	{"p= abbreviated", "RFC 7489 §6.3", "they take any beginning of a keyword (p=rej)", whenDMARC("p short")},
	{"mode spelled out", "RFC 7489 §6.3", "they take adkim=strict for s; it is no value, and the default applies", whenDMARC("adkim long")},
	{"mode unknown", "RFC 7489 §6.3", "an unknown mode makes the record invalid for them; for us the default applies", whenDMARC("adkim unknown")},
	{"number unknown", "RFC 7489 §6.3", "an unknown pct, ri, rf, fo or rua makes the record invalid for them; for us the default applies", whenDMARC("pct unknown", "ri unknown")},
	{"no policy", "RFC 7489 §6.6.3", "invalid for them; for us it counts as p=none if it asks for reports, and as absent if not", whenDMARC("no p", "no p but rua", "p unknown", "p unknown but rua", "sp unknown")},
	{"several records", "RFC 7489 §6.6.3", "they take the first; none applies", whenDMARC("several")},
	{"beside another record", "RFC 7489 §6.6.3", "they do not find a policy record behind another TXT record; others are discarded", whenDMARC("beside another")},
	{"spaces around the version", "RFC 7489 §6.4", "they look for \"v=DMARC\" without spaces; spaces are allowed", whenDMARC("spaces around =")},
	{"case of the version's tag", "RFC 7489 §6.4", "they look for a lower-case v= and a value in capitals", whenDMARC("version case")},
	{"version not first", "RFC 7489 §6.3", "they take v= anywhere; a record begins with it", whenDMARC("version last")},
	{"other version", "RFC 7489 §6.6.3", "an invalid record for them; for us no DMARC record at all", whenDMARC("version")},
	{"p twice", "RFC 7489 §6.3 (not settled)", "they take the last; we the first (documented)", whenDMARC("twice p")},
	{"organization of one letter", "RFC 7489 §3.2", "they take m.co.jp for one organization with every name under co.jp: a message passes that must not", func(c dmarcCase) bool {
		return c.theirs.class == "pass" && slices.Contains(append(c.passed("spf"), c.passed("dkim")...), oneLetter)
	}},
	{"one signature's domain, another's result", "RFC 7489 §3.1.1", "they join the domain of a signature that failed to the pass of another: a message passes that must not", func(c dmarcCase) bool {
		failed := slices.ContainsFunc(c.dkim, func(k dkimResult) bool { return k.result != "pass" })
		return c.theirs.class == "pass" && strings.Contains(c.theirs.detail, "dkim") && !slices.Contains(c.result.AlignedBy, "dkim") && failed && len(c.passed("dkim")) > 0
	}},
	{"strict is not", "RFC 7489 §3.1.1, §3.1.2", "under strict they take a subdomain of the From domain for equal to it if that is the organization", func(c dmarcCase) bool {
		strict := false
		for _, a := range c.result.Alignments {
			strict = strict || a.Strict && !a.Aligned
		}
		return strict && c.theirs.class == "pass"
	}},
	{"pct draws lots", "RFC 7489 §6.6.4", "they draw by themselves, and do nothing where the lot falls out; we apply the next lower policy", func(c dmarcCase) bool {
		return c.ours.class == c.theirs.class && c.result.Record != nil && c.result.Record.Pct < 100
	}},
}
