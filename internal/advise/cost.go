package advise

import (
	"cmp"
	"slices"
	"strings"

	"sekimori/explain"
	"sekimori/internal/store"
)

// What an answer needs to be more than "insufficient-data".
const (
	minDays = 14    // days of the window with reports; all of them in a shorter window
	maxRisk = 0.001 // upper bound of broken mail at risk, as a share of legitimate mail
)

// totals is the window's messages by class of their source.
type totals struct {
	messages, aligned uint64
	legitimate        uint64 // all messages of aligned, broken and forwarding sources
	broken            uint64 // failing messages of broken sources
	forwarded         uint64 // failing messages of forwarders
	remainder         uint64 // failing messages of aligned sources
	spoofed, unknown  uint64 // failing messages
	plausible         uint64 // of unknown: those of sources with an identity of their own
	brokenSources     []*group
	unknownSources    []*group
	absentSources     []*group        // broken, periodic, due again, and not in the window
	subdomains        map[string]bool // author domains below ours with failing mail that may be ours
	waiting           map[*group]bool // fixed, and to be waited for
	direct            uint64          // messages of aligned and broken sources: not passed on
}

// answer puts the answer together.
func (n *analysis) answer() *Advice {
	t := n.sum()
	waiting := n.waiting(&t)
	a := &Advice{
		Domain: n.name.String(), Window: n.window, Policy: n.policy.seen.P,
		Messages: t.messages, Aligned: t.aligned, Department: n.department,
		Sources: []Source{}, Policies: []PolicyCost{}, Daily: []ClassDay{},
		Ladder: Ladder{Now: n.policy.seen.P, Fixes: []Fix{}, Waiting: waiting, Scopes: []ScopeCost{}, Reasons: []explain.Step{}},
	}
	for _, g := range n.groups {
		if g.window.messages > 0 && n.of(g) {
			a.Sources = append(a.Sources, g.source())
		}
	}
	slices.SortStableFunc(a.Sources, func(x, y Source) int {
		return cmp.Or(cmp.Compare(rank(x.Class), rank(y.Class)), cmp.Compare(y.Failing, x.Failing),
			cmp.Compare(y.Messages, x.Messages), strings.Compare(x.ID, y.ID))
	})
	for _, p := range []string{"quarantine", "reject"} {
		c := PolicyCost{
			P: p, LegitimateAtRisk: t.broken, Legitimate: t.legitimate,
			IndirectAtRisk: t.forwarded, Stopped: t.spoofed, Uncertain: t.unknown, RemainderAtRisk: t.remainder,
			InForce: n.policy.seen.P == p, Sources: t.atSources(), Receivers: n.counts.atReceivers(),
		}
		if t.legitimate > 0 { // of nothing there is no share
			c.Share, c.Upper95 = ratio(t.broken, t.legitimate), upperBound(t.broken, t.legitimate)
		}
		a.Policies = append(a.Policies, c)
	}
	a.Ladder.Fixes = n.fixes(&t)
	n.decide(a, t)
	a.NextRecord = n.nextRecord(a, t)
	n.ladder(a, &t)
	a.Notes = n.notes
	if a.Notes == nil {
		a.Notes = []explain.Step{}
	}
	return a
}

// rank orders classes for work: what is to be fixed first.
func rank(c Class) int {
	return slices.Index([]Class{Broken, Unknown, Forwarder, Aligned, Spoof}, c)
}

// sum counts the window by class.
func (n *analysis) sum() totals {
	t := totals{subdomains: map[string]bool{}, waiting: map[*group]bool{}}
	for _, g := range n.groups {
		if !n.of(g) {
			continue
		}
		w := g.window
		t.messages += w.messages
		t.aligned += w.messages - w.failing
		switch g.class {
		case Aligned:
			t.legitimate += w.messages
			t.direct += w.messages
			t.remainder += w.failing
		case Broken:
			t.legitimate += w.messages
			t.direct += w.messages
			t.broken += g.atRisk
			if w.failing > 0 {
				t.brokenSources = append(t.brokenSources, g)
			} else if n.due(g) {
				t.absentSources = append(t.absentSources, g)
			}
		case Forwarder:
			t.legitimate += w.messages
			t.forwarded += w.failing
		case Spoof:
			t.spoofed += w.failing
		default:
			t.unknown += w.failing
			if w.failing > 0 && g.plausible() {
				t.plausible += w.failing
				t.unknownSources = append(t.unknownSources, g)
			}
		}
		if g.class == Broken || g.class == Aligned || g.class == Unknown && g.plausible() {
			for _, h := range g.headerFrom {
				if h.failing > 0 && h.name != n.scene.domain {
					t.subdomains[h.name] = true
				}
			}
		}
	}
	byFailing := func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.window.failing, a.window.failing), cmp.Compare(b.all.failing, a.all.failing), strings.Compare(a.key, b.key))
	}
	slices.SortFunc(t.brokenSources, byFailing)
	slices.SortFunc(t.unknownSources, byFailing)
	slices.SortFunc(t.absentSources, byFailing)
	return t
}

// atSources lists where the mail at risk comes from, the most first.
func (t *totals) atSources() []RiskShare {
	out := []RiskShare{}
	for _, g := range t.brokenSources {
		if g.atRisk > 0 {
			out = append(out, RiskShare{ID: g.id(), Name: g.label(), AtRisk: g.atRisk, Messages: g.window.messages})
		}
	}
	return most(out)
}

// plausible reports whether an unknown group may be mail of ours, so that it
// has to be settled before a step: one with an identity or a name, or one whose
// evidence is more for than against, or strong on both sides, or out of the
// ordinary.
func (g *group) plausible() bool {
	strong := func(i weighed) bool { return i.points >= 1.5 }
	return !g.rest && (g.bare*2 < g.all.messages || g.ptrOrg != "" || g.score >= 1 || g.notable || slices.ContainsFunc(g.items, strong))
}

// due reports whether a broken source that did not send in the window is
// likely to send again: a periodic one that has not stayed away twice.
func (n *analysis) due(g *group) bool {
	if g.all.messages == 0 || g.pattern.period < 5 {
		return false
	}
	return int(n.window.End-g.last) <= 2*g.pattern.period+7
}

// decide gives the verdict and its reasons.
func (n *analysis) decide(a *Advice, t totals) {
	cost := a.Policies[0]
	because := func(code string, args explain.Args) {
		a.Reasons = append(a.Reasons, explain.Step{Code: code, Args: args})
	}
	bad := false
	for _, g := range t.brokenSources {
		if len(a.Reasons) < 10 && g.atRisk > 0 && !t.waiting[g] {
			because("verdict.fix", explain.Args{"source": g.label(), "id": g.id(), "failing": int64(g.window.failing), "messages": int64(g.window.messages)})
		}
	}
	if t.broken > 0 && cost.Upper95 > maxRisk {
		bad = true
	}
	for _, f := range a.Ladder.Waiting[:min(len(a.Ladder.Waiting), 5)] {
		because("verdict.waiting", explain.Args{"source": f.Name, "id": f.Source, "fixed": f.What.Args["fixed"]})
	}
	for g := range t.waiting {
		bad = bad || g.awaited()
	}
	for i, g := range t.absentSources {
		bad = true
		if i >= 5 {
			break
		}
		if t.waiting[g] {
			continue
		}
		because("verdict.absent", explain.Args{"source": g.label(), "id": g.id(), "last": g.last.String(), "days": int64(g.pattern.period)})
	}
	if t.plausible > 0 && (t.legitimate == 0 || ratio(t.plausible, t.legitimate) > maxRisk) {
		bad = true
		for _, g := range t.unknownSources[:min(len(t.unknownSources), 5)] {
			because("verdict.settle", explain.Args{"source": g.label(), "id": g.id(), "failing": int64(g.window.failing)})
		}
	}
	need := min(minDays, max(1, n.window.Days()))
	switch {
	case t.messages == 0:
		a.Verdict = InsufficientData
		because("verdict.no-reports", nil)
	case bad:
		a.Verdict = NotReady
	case n.days < need:
		a.Verdict = InsufficientData
		because("verdict.few-days", explain.Args{"days": int64(n.days), "need": int64(need)})
	case t.legitimate == 0 && t.plausible == 0:
		a.Verdict = Ready
		because("verdict.no-mail", explain.Args{"days": int64(n.days)})
	case cost.Upper95 > maxRisk:
		a.Verdict = InsufficientData
		because("verdict.few-messages", explain.Args{"messages": int64(t.legitimate), "upper95": cost.Upper95})
	default:
		a.Verdict = Ready
		because("verdict.ready", explain.Args{"legitimate": int64(t.legitimate), "at_risk": int64(t.broken), "upper95": cost.Upper95})
	}
	if a.Verdict == NotReady {
		first := explain.Step{Code: "verdict.unsettled", Ref: "RFC 9989 §5.1"} // nothing is known to be lost
		if t.broken > 0 {
			first.Code, first.Args = "verdict.not-ready", explain.Args{
				"at_risk": int64(t.broken), "legitimate": int64(t.legitimate), "share": cost.Share, "upper95": cost.Upper95,
			}
		}
		a.Reasons = slices.Insert(a.Reasons, 0, first)
	}
	if t.messages > 0 && t.legitimate == 0 && a.Verdict != Ready {
		because("verdict.none-seen", nil)
	}
	if a.Policy == "quarantine" || a.Policy == "reject" {
		if t.broken > 0 {
			because("verdict.in-force", explain.Args{"policy": a.Policy, "at_risk": int64(t.broken)})
		} else if t.legitimate > 0 {
			because("verdict.in-force-safe", explain.Args{"policy": a.Policy})
		}
	}
	if t.spoofed > 0 {
		because("verdict.would-stop", explain.Args{"messages": int64(t.spoofed)})
	}
	if t.forwarded > 0 {
		because("verdict.indirect", explain.Args{"messages": int64(t.forwarded)})
	}
	if t.remainder > 0 {
		because("verdict.remainder", explain.Args{"messages": int64(t.remainder)})
	}
}

// label is a group's name in a sentence. A code in place of a name is worded
// by the locale: {source@source} would not do for names, so it stays as it is.
func (g *group) label() string { return g.name }

// policyState is what is published.
type policyState struct {
	seen      policySeen
	published string // the record as the DNS has it now, "" for not known
}

// policySeen is the policy in the newest report of the window.
type policySeen struct {
	P, SP, NP, ADKIM, ASPF, FO, Testing string
	since                               store.Day
}

func policyAt(spans []store.PolicySpan, w store.Window) policyState {
	var out policyState
	var last store.Day
	for _, s := range spans {
		if s.From >= w.End {
			continue
		}
		if out.seen.P == "" || s.To >= last {
			last = s.To
			p := s.Policy
			out.seen = policySeen{P: p.P, SP: p.SP, NP: p.NP, ADKIM: p.ADKIM, ASPF: p.ASPF, FO: p.FO, Testing: p.Testing, since: s.From}
		}
	}
	return out
}
