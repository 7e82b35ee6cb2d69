package differential

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sekimori/dmarc"
	"sekimori/domain"
)

// dmarcCase is an Author Domain, what SPF and DKIM said, and the records that
// may apply.
type dmarcCase struct {
	n         int
	odd       []string
	from      string
	spf       string // result
	spfDomain string
	dkim      []dkimResult
	records   map[string][]string

	ours, theirs verdict
	said         dmarcSaid
	result       dmarc.Result
}

type dkimResult struct{ result, domain string }

func (c dmarcCase) has(odd ...string) bool {
	return slices.ContainsFunc(odd, func(o string) bool { return slices.Contains(c.odd, o) })
}

func (c dmarcCase) describe() string {
	return fmt.Sprintf("case %d: %s\nFrom %s, spf=%s %s, dkim %v\nrecords %q\nours: %s, aligned by %v, record at %s\ntheirs: %s: %s\n%v",
		c.n, strings.Join(c.odd, ", "), c.from, c.spf, c.spfDomain, c.dkim, c.records, c.ours, c.result.AlignedBy, c.result.PolicyDomain, c.theirs, c.said.results, c.said.history)
}

// shared is an exception of the public suffix list, and so an organization. All
// cases that use it share one record.
const shared, sharedRecord = "city.kawasaki.jp", "v=DMARC1; p=quarantine; sp=reject"

// oneLetter is of an organization whose name has one letter.
const oneLetter = "mail.m.co.jp"

// someDMARC makes case n. Its names are its own, so that all cases can stand
// in one zone.
func someDMARC(n int) dmarcCase {
	r := random("dmarc", n)
	c := dmarcCase{n: n, records: map[string][]string{}}
	suffix := pick(r, "com", "com", "jp", "co.jp", "co.jp", "go.jp", "lg.jp", "x.kawasaki.jp", "co.uk", "github.io")
	org := fmt.Sprintf("n%d.%s", n, suffix)
	if chance(r, 2) {
		org = shared
	}
	near := func() string { // a name of the same organization
		return pick(r, org, org, "mail."+org, "a.b."+org, "bounce.mail."+org)
	}
	c.from = near()
	far := func() string {
		return pick(r, fmt.Sprintf("m%d.com", n), fmt.Sprintf("m%d.%s", n, suffix), "other.example.net", suffix, "x"+org, oneLetter)
	}
	some := func() string {
		if chance(r, 60) {
			return near()
		}
		if d := far(); d != suffix {
			return d
		}
		c.odd = append(c.odd, "identifier is a public suffix")
		return suffix
	}
	record := func(name string) {
		if org == shared {
			return
		}
		texts, odd := someRecord(r)
		c.records["_dmarc."+name] = texts
		if odd != "" {
			c.odd = append(c.odd, odd)
		}
	}
	if chance(r, 75) {
		record(org)
	}
	if c.from != org && chance(r, 35) {
		record(c.from)
	}
	if strings.Count(c.from, ".") > strings.Count(org, ".")+1 && chance(r, 20) {
		_, parent, _ := strings.Cut(c.from, ".")
		if parent != org {
			record(parent) // neither RFC 7489 nor OpenDMARC asks there
		}
	}
	if org != shared && chance(r, 3) {
		c.records["_dmarc."+c.from] = []string{servfail}
		c.odd = append(c.odd, "dns fails")
	}
	c.spf = pick(r, "pass", "pass", "pass", "fail", "softfail", "neutral", "none", "temperror", "permerror")
	c.spfDomain = some()
	for range r.IntN(4) {
		c.dkim = append(c.dkim, dkimResult{pick(r, "pass", "pass", "fail", "temperror", "permerror", "neutral"), some()})
	}
	if chance(r, 5) {
		c.from = strings.ToUpper(c.from)
		c.odd = append(c.odd, "from in capitals")
	}
	return c
}

// someRecord makes the TXT records of a name.
func someRecord(r *rand.Rand) (texts []string, odd string) {
	tags := []string{"v=DMARC1", "p=" + pick(r, "none", "quarantine", "reject")}
	if chance(r, 40) {
		tags = append(tags, "sp="+pick(r, "none", "quarantine", "reject"))
	}
	if chance(r, 40) {
		tags = append(tags, "adkim="+pick(r, "r", "s"))
	}
	if chance(r, 40) {
		tags = append(tags, "aspf="+pick(r, "r", "s"))
	}
	for range r.IntN(3) {
		tags = append(tags, pick(r, "rua=mailto:dmarc@example.net", "ruf=mailto:f@example.net", "ri=3600", "rf=afrf", "fo=1:d:s", "np=reject", "x=y"))
	}
	slices.Sort(tags[2:])
	tags = slices.Compact(tags)
	if chance(r, 15) {
		tags = append(tags, fmt.Sprintf("pct=%d", pick(r, 0, 1, 25, 50, 99, 100)))
	}
	sep := pick(r, "; ", ";", " ; ")
	set := func(what, text string) { odd = what; tags = []string{text} }
	end := pick(r, "", "", ";", "; ")
	if !chance(r, 80) {
		plain := strings.Join(tags, sep)
		what := pick(r, "no p", "no p but rua", "p unknown", "p short", "p unknown but rua", "sp unknown", "adkim unknown", "adkim long", "version", "version case", "version last", "other record",
			"several", "beside another", "twice p", "empty tag", "stray word", "capitals", "pct unknown", "ri unknown", "spaces around =", "p not second")
		switch what {
		case "no p":
			set(what, "v=DMARC1; adkim=s")
		case "no p but rua":
			set(what, "v=DMARC1; rua=mailto:d@example.net")
		case "p unknown":
			set(what, "v=DMARC1; p=block")
		case "p short":
			set(what, "v=DMARC1; p="+pick(r, "r", "rej", "q", "quar", "n"))
		case "p unknown but rua":
			set(what, "v=DMARC1; p=block; rua=mailto:d@example.net")
		case "sp unknown":
			set(what, "v=DMARC1; p=reject; sp=block"+pick(r, "", "; rua=mailto:d@example.net"))
		case "adkim unknown":
			set(what, "v=DMARC1; p=reject; "+pick(r, "adkim", "aspf")+"=x")
		case "adkim long":
			set(what, "v=DMARC1; p=reject; "+pick(r, "adkim", "aspf")+"="+pick(r, "strict", "relaxed"))
		case "version":
			set(what, pick(r, "v=DMARC2; p=reject", "v=DMARC; p=reject", "v=DMARC10; p=reject"))
		case "version case":
			set(what, pick(r, "v=dmarc1; p=reject", "V=DMARC1; p=reject"))
		case "version last":
			set(what, "p=reject; v=DMARC1")
		case "other record":
			set(what, pick(r, "v=spf1 -all", "hello", "p=reject"))
		case "several":
			return []string{plain, "v=DMARC1; p=" + pick(r, "none", "reject")}, what
		case "beside another":
			return []string{"v=spf1 -all", plain}, what
		case "twice p":
			set(what, "v=DMARC1; p=none; p=reject")
		case "empty tag":
			set(what, "v=DMARC1;; p=reject")
		case "stray word":
			set(what, "v=DMARC1; p=reject; hello; sp=none")
		case "capitals":
			set(what, "v=DMARC1; P=Reject; SP=NONE; aDKIM=S")
		case "pct unknown":
			set(what, "v=DMARC1; p=reject; pct="+pick(r, "200", "-1", "x", ""))
		case "ri unknown":
			set(what, "v=DMARC1; p=reject; "+pick(r, "ri=x", "fo=z", "rf=xyz", "rua=x", "rua="))
		case "spaces around =":
			set(what, "v = DMARC1 ; p = reject ; aspf = s")
		case "p not second":
			set(what, "v=DMARC1; adkim=s; sp=none; p=reject")
		}
	}
	return []string{strings.Join(tags, sep) + end}, odd
}

// evaluate is this program in the mode of RFC 7489.
func (c *dmarcCase) evaluate(zone texts) error {
	v := &dmarc.Verifier{Resolver: zone, Options: dmarc.Options{Method: dmarc.PSL}}
	author, err := domain.Parse(c.from)
	if err != nil {
		return err
	}
	var ids []dmarc.Identifier
	add := func(method, result, name string) error {
		d, err := domain.Parse(name)
		if result == "pass" {
			ids = append(ids, dmarc.Identifier{Method: method, Domain: d})
		}
		return err
	}
	if err := add("spf", c.spf, c.spfDomain); err != nil {
		return err
	}
	for _, k := range c.dkim {
		if err := add("dkim", k.result, k.domain); err != nil {
			return err
		}
	}
	ctx := context.Background()
	c.result = v.Evaluate(ctx, v.Discover(ctx, author), ids)
	switch res := c.result; res.Status {
	case dmarc.Fail:
		c.ours = verdict{string(res.Policy), string(res.Disposition)}
	case dmarc.Pass:
		c.ours = verdict{"pass", strings.Join(res.AlignedBy, " ")}
	case dmarc.NoRecord:
		c.ours = verdict{"absent", ""}
	case dmarc.TempError:
		c.ours = verdict{"temporary", ""}
	case dmarc.PermError:
		c.ours = verdict{"invalid", res.Reason.Code}
	default:
		c.ours = verdict{string(res.Status), ""}
	}
	return nil
}

// renamed evaluates the case in lower case and under co.jp in the place of the
// wildcard.
func (c *dmarcCase) renamed() error {
	other := func(name string) string {
		return strings.ReplaceAll(strings.ToLower(name), "x.kawasaki.jp", "co.jp")
	}
	d := dmarcCase{n: c.n, from: other(c.from), spf: c.spf, spfDomain: other(c.spfDomain)}
	for _, k := range c.dkim {
		d.dkim = append(d.dkim, dkimResult{k.result, other(k.domain)})
	}
	zone := texts{"_dmarc." + shared: {sharedRecord}}
	for name, records := range c.records {
		zone[other(name)] = records
	}
	if err := d.evaluate(zone); err != nil {
		return err
	}
	if d.ours.class != c.ours.class || !slices.Equal(d.result.AlignedBy, c.result.AlignedBy) {
		return fmt.Errorf("%s: %s; with other names %s: %s", c.from, c.ours, d.from, d.ours)
	}
	return nil
}

// message is what OpenDMARC gets to see.
func (c *dmarcCase) message() (from string, fields []string) {
	results := fmt.Sprintf("mx.receiver.example; spf=%s smtp.mailfrom=%s", c.spf, c.spfDomain)
	for i, k := range c.dkim {
		results += fmt.Sprintf("; dkim=%s header.d=%s header.s=s%d", k.result, k.domain, i)
	}
	return "user@" + c.spfDomain, []string{
		"Authentication-Results: " + results + "\r\n",
		"Date: Sat, 21 Nov 2026 09:00:00 +0900\r\n",
		"From: \"Taro\" <taro@" + c.from + ">\r\n",
		"To: hanako@receiver.example\r\n",
		"Subject: test\r\n",
	}
}

// agree holds the policy that applies against each other, on a pass what it
// was aligned by, on a failure what is done.
func (c *dmarcCase) agree() bool {
	return c.ours.class == c.theirs.class && (c.ours.detail == c.theirs.detail || c.ours.class == "temporary" || c.ours.class == "invalid")
}

// read classifies what OpenDMARC said.
func (c *dmarcCase) read(said dmarcSaid) {
	c.said = said
	_, rest, _ := strings.Cut(said.results, "dmarc=")
	word, rest, _ := strings.Cut(rest, " ")
	policy := ""
	if _, p, ok := strings.Cut(rest, "(p="); ok {
		policy, _, _ = strings.Cut(p, " ")
	}
	done := "none"
	if said.quarantine != "" {
		done = "quarantine"
	}
	switch {
	case said.verdict == 'y' || said.verdict == 'r': // no field is added to what is rejected
		c.theirs = verdict{"reject", "reject"}
	case said.verdict == 't':
		c.theirs = verdict{"temporary", said.reply}
	case word == "fail":
		c.theirs = verdict{policy, done}
	case word == "pass":
		var by []string
		for _, method := range []string{"spf", "dkim"} {
			if said.history["align_"+method] == "4" {
				by = append(by, method)
			}
		}
		c.theirs = verdict{"pass", strings.Join(by, " ")}
	case word == "none":
		c.theirs = verdict{"absent", ""}
	case word == "permerror;", word == "permerror":
		c.theirs = verdict{"invalid", ""}
	default:
		c.theirs = verdict{word, ""}
	}
}

// TestOpenDMARC: both find the policy, compare the domains and say what is to
// be done. OpenDMARC knows RFC 7489 alone; so this is our mode of that name.
func TestOpenDMARC(t *testing.T) {
	cs := make([]dmarcCase, amount())
	zone := texts{"_dmarc." + shared: {sharedRecord}}
	for i := range cs {
		cs[i] = someDMARC(i)
		for name, recs := range cs[i].records {
			zone[strings.ToLower(name)] = recs
		}
	}
	o := startOpenDMARC(t, zone)
	said := o.judge(t, len(cs), func(i int) (string, []string) { return cs[i].message() })
	each(len(cs), func(i int) {
		cs[i].read(said[i])
		if err := cs[i].evaluate(zone); err != nil {
			t.Errorf("case %d: %v", i, err)
		}
	})
	// Where OpenDMARC is no measure, a case is held against another one of ours:
	// names must not matter but for how they end.
	each(len(cs), func(i int) {
		if cs[i].from == strings.ToUpper(cs[i].from) || strings.HasSuffix(cs[i].from, ".x.kawasaki.jp") {
			if err := cs[i].renamed(); err != nil {
				t.Error(err)
			}
		}
	})
	tb := newTable(dmarcRules)
	for _, c := range cs {
		tb.judge(t, c, c.ours, c.agree(), c.describe)
	}
	tb.report(t, "DMARC as of RFC 7489")
}
