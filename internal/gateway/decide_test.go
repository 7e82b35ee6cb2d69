package gateway

import (
	"net/netip"
	"strings"
	"testing"

	"sekimori/arc"
	"sekimori/dkim"
	"sekimori/dmarc"
	"sekimori/internal/check"
	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
	"sekimori/spf"
)

// judged is a verdict of DMARC alone, for a message from info@bank.example.
func judged(t *testing.T, s dmarc.Status, p, asked dmarc.Policy) *check.Verdict {
	v := &check.Verdict{}
	v.DMARC.Status, v.DMARC.Policy, v.DMARC.Disposition = s, p, asked
	v.DMARC.From = domainName(t, "bank.example")
	if p != "" {
		v.DMARC.PolicyDomain = v.DMARC.From
		v.DMARC.Record = dmarc.New(p)
	}
	return v
}

// TestDecide is what becomes of a message by policy and site.
func TestDecide(t *testing.T) {
	const (
		accept, mark, hold, refuse, later = verdict.Accept, verdict.Mark, verdict.Quarantine, verdict.Refuse, verdict.TryAgain
		none, pass, quarantine, reject    = aggregate.DispositionNone, aggregate.DispositionPass, aggregate.DispositionQuarantine, aggregate.DispositionReject
	)
	monitor, enforce := Site{}, Site{Mode: Enforce}
	refusing := Site{Mode: Enforce, OnReject: refuse}
	marking := Site{Mode: Enforce, OnReject: mark, OnQuarantine: mark}
	strict := Site{Mode: Enforce, OnReject: refuse, OnTrouble: later, OnBadFrom: refuse}
	for _, c := range []struct {
		name          string
		status        dmarc.Status
		policy, asked dmarc.Policy
		testing       bool
		site          Site
		facts         Facts

		action, wanted verdict.Action
		disposition    aggregate.Disposition
		reasons        string // type:comment, joined by "; "
		because        Because
	}{
		{name: "passes under none", status: dmarc.Pass, policy: dmarc.None, asked: dmarc.None, site: enforce, action: accept, disposition: none},
		{name: "passes under quarantine", status: dmarc.Pass, policy: dmarc.Quarantine, asked: dmarc.None, site: enforce, action: accept, disposition: pass},
		{name: "passes under reject, monitored", status: dmarc.Pass, policy: dmarc.Reject, asked: dmarc.None, site: monitor, action: accept, disposition: pass},
		{name: "fails under none", status: dmarc.Fail, policy: dmarc.None, asked: dmarc.None, site: strict, action: accept, disposition: none},

		{name: "fails under quarantine, monitored", status: dmarc.Fail, policy: dmarc.Quarantine, asked: dmarc.Quarantine, site: monitor,
			action: accept, wanted: hold, disposition: none, reasons: "local_policy:" + commentMonitoring, because: ByPolicy},
		{name: "fails under quarantine", status: dmarc.Fail, policy: dmarc.Quarantine, asked: dmarc.Quarantine, site: enforce,
			action: hold, disposition: quarantine, because: ByPolicy},
		{name: "fails under quarantine, marked", status: dmarc.Fail, policy: dmarc.Quarantine, asked: dmarc.Quarantine, site: marking,
			action: mark, disposition: quarantine, because: ByPolicy},
		{name: "fails under quarantine, the MTA cannot hold", status: dmarc.Fail, policy: dmarc.Quarantine, asked: dmarc.Quarantine, site: enforce, facts: Facts{CannotHold: true},
			action: mark, disposition: quarantine, because: ByPolicy},

		{name: "fails under reject, monitored", status: dmarc.Fail, policy: dmarc.Reject, asked: dmarc.Reject, site: monitor,
			action: accept, wanted: hold, disposition: none, reasons: "local_policy:" + commentMonitoring, because: ByPolicy},
		{name: "fails under reject, monitored, would be refused", status: dmarc.Fail, policy: dmarc.Reject, asked: dmarc.Reject, site: Site{OnReject: refuse},
			action: accept, wanted: refuse, disposition: none, reasons: "local_policy:" + commentMonitoring, because: ByPolicy},
		{name: "fails under reject", status: dmarc.Fail, policy: dmarc.Reject, asked: dmarc.Reject, site: enforce,
			action: hold, disposition: quarantine, reasons: "local_policy:" + commentLevel, because: ByPolicy},
		{name: "fails under reject, refused", status: dmarc.Fail, policy: dmarc.Reject, asked: dmarc.Reject, site: refusing,
			action: refuse, disposition: reject, because: ByPolicy},
		{name: "fails under reject, marked", status: dmarc.Fail, policy: dmarc.Reject, asked: dmarc.Reject, site: marking,
			action: mark, disposition: quarantine, reasons: "local_policy:" + commentLevel, because: ByPolicy},

		{name: "t=y with reject", status: dmarc.Fail, policy: dmarc.Reject, asked: dmarc.Quarantine, testing: true, site: refusing,
			action: hold, disposition: quarantine, reasons: "policy_test_mode:", because: ByPolicy},
		{name: "t=y with quarantine", status: dmarc.Fail, policy: dmarc.Quarantine, asked: dmarc.None, testing: true, site: enforce,
			action: accept, disposition: none, reasons: "policy_test_mode:"},
		{name: "t=y with none", status: dmarc.Fail, policy: dmarc.None, asked: dmarc.None, testing: true, site: enforce, action: accept, disposition: none},
		{name: "t=y with reject, monitored", status: dmarc.Fail, policy: dmarc.Reject, asked: dmarc.Quarantine, testing: true, site: monitor,
			action: accept, wanted: hold, disposition: none, reasons: "policy_test_mode:; local_policy:" + commentMonitoring, because: ByPolicy},
		{name: "pct left it out", status: dmarc.Fail, policy: dmarc.Reject, asked: dmarc.Quarantine, site: enforce,
			action: hold, disposition: quarantine, reasons: "other:" + commentPct, because: ByPolicy},

		{name: "no record", status: dmarc.NoRecord, site: strict, action: accept, disposition: none},
		{name: "DNS trouble, accepted", status: dmarc.TempError, site: enforce, action: accept, disposition: none},
		{name: "DNS trouble, later", status: dmarc.TempError, site: strict, action: later, disposition: none, because: ByTrouble},
		{name: "DNS trouble, later, monitored", status: dmarc.TempError, site: Site{OnTrouble: later}, action: accept, wanted: later, disposition: none, because: ByTrouble},
		{name: "DNS trouble under a policy", status: dmarc.TempError, policy: dmarc.Reject, asked: dmarc.None, site: enforce,
			action: accept, disposition: none, reasons: "other:" + commentTrouble},
		{name: "DNS trouble and two authors", status: dmarc.TempError, site: Site{Mode: Enforce, OnBadFrom: hold}, facts: Facts{BadFrom: true},
			action: hold, disposition: quarantine, reasons: "local_policy:" + commentFrom, because: ByFrom},

		{name: "no author", status: dmarc.PermError, site: enforce, facts: Facts{BadFrom: true}, action: accept, disposition: none},
		{name: "no author to read, one claimed", status: dmarc.PermError, site: enforce, facts: Facts{BadFrom: true, Claims: true},
			action: hold, disposition: quarantine, reasons: "local_policy:" + commentFrom, because: ByFrom},
		{name: "no author, refused", status: dmarc.PermError, site: strict, facts: Facts{BadFrom: true},
			action: refuse, disposition: reject, reasons: "local_policy:" + commentFrom, because: ByFrom},
		{name: "no author, monitored", status: dmarc.PermError, site: Site{OnBadFrom: mark}, facts: Facts{BadFrom: true},
			action: accept, wanted: mark, disposition: none, because: ByFrom},
		{name: "two authors, the strictest policy decides", status: dmarc.Fail, policy: dmarc.Quarantine, asked: dmarc.Quarantine, site: strict, facts: Facts{BadFrom: true},
			action: hold, disposition: quarantine, because: ByPolicy},
		{name: "two authors, no policy decides", status: dmarc.Fail, policy: dmarc.None, asked: dmarc.None, site: strict, facts: Facts{BadFrom: true},
			action: refuse, disposition: reject, reasons: "local_policy:" + commentFrom, because: ByFrom},
		{name: "two authors, both pass", status: dmarc.Pass, policy: dmarc.Reject, asked: dmarc.None, site: strict, facts: Facts{BadFrom: true},
			action: refuse, disposition: reject, reasons: "local_policy:" + commentFrom, because: ByFrom},
	} {
		v := judged(t, c.status, c.policy, c.asked)
		v.DMARC.Testing = c.testing
		if c.wanted == "" {
			c.wanted = c.action
		}
		d := Decide(&c.site, v, c.facts)
		if got := told(d.Reasons); d.Action != c.action || d.Asked != c.wanted || d.Disposition != c.disposition || got != c.reasons || d.Because != c.because || d.Rule.Code != "" {
			t.Errorf("%s: %+v (%s), want %+v", c.name, d, got, c)
		}
		if err := c.site.Check(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func told(reasons []aggregate.Reason) string {
	var out []string
	for _, r := range reasons {
		out = append(out, r.Type+":"+r.Comment)
	}
	return strings.Join(out, "; ")
}

// TestSubdomainPolicies: whichever of p, sp and np applies is done.
func TestSubdomainPolicies(t *testing.T) {
	g := newGate(t, zone(t, `
$ORIGIN example.
_dmarc.corp TXT "v=DMARC1; p=none; sp=quarantine; np=reject"
there.corp TXT "hello"
`), Options{Site: Site{Mode: Enforce, OnReject: verdict.Refuse}})
	for from, want := range map[string]verdict.Action{
		"a@corp.example": verdict.Accept, "a@there.corp.example": verdict.Quarantine, "a@nowhere.corp.example": verdict.Refuse,
	} {
		m := bad
		m.text = draft(from)
		if _, e := g.one(t, m); e.Action != want || e.Policy.Domain != "corp.example" {
			t.Errorf("%s: %s (%s), want %s", from, e.Action, e.Policy.Domain, want)
		}
	}
}

// TestRules: each kind of rule, what it needs, and what a report says of it.
func TestRules(t *testing.T) {
	failing := func(edit func(*check.Verdict)) *check.Verdict {
		v := judged(t, dmarc.Fail, dmarc.Reject, dmarc.Reject)
		v.Input.IP = netip.MustParseAddr("192.0.2.77")
		if edit != nil {
			edit(v)
		}
		return v
	}
	bySPF := func(d string) func(*check.Verdict) {
		return func(v *check.Verdict) { v.SPF = spf.Result{Status: spf.Pass, Domain: d} }
	}
	byDKIM := func(d string) func(*check.Verdict) {
		return func(v *check.Verdict) {
			v.DKIM = []check.Signature{{Result: dkim.Result{Status: dkim.Pass, Domain: domainName(t, d)}}}
		}
	}
	client := Facts{Client: netip.MustParseAddr("192.0.2.77")}
	list := Facts{Client: client.Client, List: domainName(t, "news.ml.example")}
	sender := Facts{Client: client.Client, MailFrom: domainName(t, "srs.alumni.example")}
	forwarder := Rule{Forwarder: domainName(t, "alumni.example"), Reason: "alumni"}
	aList := Rule{List: domainName(t, "ml.example")}
	for _, c := range []struct {
		name    string
		rule    Rule
		v       *check.Verdict
		facts   Facts
		holds   bool
		kind    string // type:comment of the report's reason
		code    string
		refused bool
	}{
		{name: "forwarder by SPF", rule: forwarder, v: failing(bySPF("srs.alumni.example")), holds: true, kind: "trusted_forwarder:alumni", code: "gateway.rule-forwarder"},
		{name: "forwarder by DKIM", rule: forwarder, v: failing(byDKIM("alumni.example")), holds: true, kind: "trusted_forwarder:alumni", code: "gateway.rule-forwarder"},
		{name: "forwarder, nothing passed", rule: forwarder, v: failing(nil), facts: sender},
		{name: "forwarder, SPF of HELO only", rule: forwarder, v: failing(func(v *check.Verdict) { bySPF("alumni.example")(v); v.NoSPF = true }), facts: client},
		{name: "forwarder, another passed", rule: forwarder, v: failing(byDKIM("notalumni.example"))},
		{name: "forwarder refused", rule: Rule{Forwarder: forwarder.Forwarder, Action: verdict.Refuse, Reason: "closed"}, v: failing(byDKIM("alumni.example")), holds: true, code: "gateway.rule-forwarder", refused: true},
		{name: "list", rule: aList, v: failing(byDKIM("bounces.ml.example")), facts: list, holds: true, kind: "mailing_list:", code: "gateway.rule-list"},
		{name: "list, not authenticated", rule: aList, v: failing(byDKIM("other.example")), facts: list},
		{name: "list, other list", rule: aList, v: failing(byDKIM("ml.example")), facts: client},
		{name: "network", rule: Rule{Network: netip.MustParsePrefix("192.0.2.0/24"), Reason: "partner"}, v: failing(nil), facts: client, holds: true, kind: "local_policy:partner", code: "gateway.rule-network"},
		{name: "network, elsewhere", rule: Rule{Network: netip.MustParsePrefix("192.0.2.0/26")}, v: failing(nil), facts: client},
		{name: "network, no address", rule: Rule{Network: netip.MustParsePrefix("0.0.0.0/0")}, v: failing(nil)},
		{name: "from", rule: Rule{From: domainName(t, "example")}, v: failing(nil), holds: true, kind: "local_policy:", code: "gateway.rule-from"},
		{name: "mail from", rule: Rule{MailFrom: domainName(t, "alumni.example")}, v: failing(nil), facts: sender, holds: true, kind: "local_policy:", code: "gateway.rule-mail-from"},
		{name: "mail from, null", rule: Rule{MailFrom: domainName(t, "alumni.example")}, v: failing(nil)},
		{name: "both", rule: Rule{MailFrom: domainName(t, "alumni.example"), Forwarder: forwarder.Forwarder}, v: failing(byDKIM("alumni.example")), facts: sender, holds: true, kind: "trusted_forwarder:", code: "gateway.rule-forwarder"},
		{name: "one of both", rule: Rule{MailFrom: domainName(t, "alumni.example"), Forwarder: forwarder.Forwarder}, v: failing(nil), facts: sender},
		{name: "none", rule: Rule{}, v: failing(nil)},
	} {
		site := Site{Mode: Enforce, OnReject: verdict.Refuse, Rules: []Rule{c.rule}}
		d := Decide(&site, c.v, c.facts)
		want := verdict.Refuse
		if c.holds && !c.refused {
			want = verdict.Accept
		}
		code := c.code
		if c.refused {
			code = "" // what the policy asks for anyway
		}
		if d.Action != want || d.Rule.Code != code || told(d.Reasons) != c.kind {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
	// The first that matches decides, and a rule can be stricter than the policy.
	site := Site{Mode: Enforce, Rules: []Rule{{Network: netip.MustParsePrefix("192.0.2.0/24")}, {From: domainName(t, "bank.example"), Action: verdict.Refuse, Reason: "never here"}}}
	passing := judged(t, dmarc.Pass, dmarc.Reject, dmarc.None)
	if d := Decide(&site, passing, client); d.Action != verdict.Accept || d.Rule.Code != "" || d.Disposition != "pass" {
		t.Errorf("%+v", d)
	}
	if d := Decide(&site, passing, Facts{Client: netip.MustParseAddr("2001:db8::1")}); d.Action != verdict.Refuse || d.Because != ByRule || d.Disposition != "reject" || told(d.Reasons) != "local_policy:never here" {
		t.Errorf("%+v", d)
	}
	site.Mode = Monitor
	if d := Decide(&site, passing, Facts{}); d.Action != verdict.Accept || d.Asked != verdict.Refuse || d.Disposition != "pass" || d.Reasons != nil || d.Rule.Code == "" {
		t.Errorf("%+v", d)
	}
	// What a rule lets through is not the doing of monitoring.
	if d := Decide(&site, failing(nil), client); d.Disposition != "none" || told(d.Reasons) != "local_policy:" {
		t.Errorf("%+v", d)
	}
}

// TestSealers: a chain counts down to where the seals are trusted, and only for
// the very author.
func TestSealers(t *testing.T) {
	site := Site{Mode: Enforce, Rules: []Rule{{Sealer: domainName(t, "sealer.example"), Reason: "our list host"}, {Sealer: domainName(t, "old.example")}}}
	plain := draft("info@bank.example")
	pass := "old.example; dmarc=pass header.from=bank.example"
	chain := func(texts ...string) string {
		out, status := plain, arc.None
		for i := 0; i+1 < len(texts); i += 2 {
			out = sealed(t, out, texts[i], status, texts[i+1])
			status = arc.Pass
		}
		return out
	}
	g := newGate(t, zone(t, bankZone+"s1._domainkey.old TXT RSA\ns1._domainkey.anybody TXT RSA\n"), Options{Site: site})
	for name, c := range map[string]struct {
		text string
		want verdict.Action
	}{
		"trusted":             {chain("sealer.example", pass), verdict.Accept},
		"failed there":        {chain("sealer.example", "x; dmarc=fail header.from=bank.example"), verdict.Quarantine},
		"another author":      {chain("sealer.example", "x; dmarc=pass header.from=evil.example"), verdict.Quarantine},
		"no author named":     {chain("sealer.example", "x; dmarc=pass"), verdict.Quarantine},
		"unknown sealer":      {chain("anybody.example", pass), verdict.Quarantine},
		"two trusted":         {chain("old.example", pass, "sealer.example", "x; dmarc=fail header.from=bank.example"), verdict.Accept},
		"first is not":        {chain("anybody.example", pass, "sealer.example", "x; dmarc=fail header.from=bank.example"), verdict.Quarantine},
		"newest is not":       {chain("sealer.example", pass, "anybody.example", pass), verdict.Quarantine},
		"changed afterwards":  {strings.Replace(chain("sealer.example", pass), "statement.", "invoice.", 1), verdict.Quarantine},
		"no chain":            {plain, verdict.Quarantine},
		"results not to read": {chain("sealer.example", "x; dmarc=(pass"), verdict.Quarantine},
	} {
		m := bad
		m.text = c.text
		if _, e := g.one(t, m); e.Action != c.want || (c.want == verdict.Accept) != (e.Rule.Code != "") || c.want == verdict.Accept && told(e.Record.Reasons) != "local_policy:our list host" {
			t.Errorf("%s: %s %+v %s (arc=%s)", name, e.Action, e.Rule, told(e.Record.Reasons), e.ARC)
		}
	}
}
