package advise

import (
	"cmp"
	"slices"
	"strings"

	"sekimori/dmarc"
	"sekimori/explain"
	"sekimori/internal/store"
)

// Bounds of the ladder.
const (
	maxFixes = 60
	// proofMessages and proofShare are what shows that a source said to be
	// fixed is: so many messages since, of which at most this share fails.
	proofMessages = 20
	proofShare    = 0.01
	// lookAfterStep is how many days after a step its effect is looked at, and
	// lookAfterFix how many after something was to be fixed.
	lookAfterStep = 14
	lookAfterFix  = 7
	// oldReports is how many days without a report are remarkable: most
	// reporters write daily.
	oldReports = 7
)

// since is a source's messages from the day on which it was said to be fixed.
type since struct {
	count
	known bool // false where its days were not read: then only seen says something
	seen  bool // it has sent since
}

// mend reads from which day on sources are said to be fixed, and takes the
// failing messages from before that day off the risk of those that have proven
// it since.
func (n *analysis) mend() error {
	for _, g := range n.groups {
		g.atRisk = g.window.failing
	}
	cases := n.a.c.Cases
	if cases == nil {
		cases, _ = n.a.c.Store.(Cases)
	}
	if cases == nil {
		return nil
	}
	fixed, err := cases.Fixed(n.ctx, n.scene.domain)
	if err != nil {
		return err
	}
	// A service that did not pass has a key of its own as long as nothing of it
	// passes: "org:okuru.example/" becomes "org:okuru.example".
	base := make(map[string]store.Day, len(fixed))
	for key, day := range fixed {
		if b, _, failing := strings.Cut(key, "/"); failing && strings.HasPrefix(key, "org:") {
			base[b] = max(base[b], day)
		}
	}
	for _, g := range n.groups {
		day, ok := fixed[g.key]
		if !ok {
			day, ok = base[g.key]
		}
		if !ok && g.word != nil && g.word.key != "" { // found again under another key
			day, ok = fixed[g.word.key]
		}
		if !ok || day <= 0 || day > n.window.End {
			continue
		}
		g.fixed = day
		if g.class == Broken && g.proven() {
			g.riskFrom = day
			g.atRisk = min(g.atRisk, g.sinceFix().failing)
		}
	}
	return nil
}

// sinceFix counts a source's messages since it was said to be fixed.
func (g *group) sinceFix() since {
	s := since{seen: g.last >= g.fixed}
	if g.days == nil || len(g.hosts) > maxGroupAddrs {
		return s // the days are not known, or not those of all addresses
	}
	s.known = true
	for d, c := range g.days {
		if d >= g.fixed {
			s.sum(c)
		}
	}
	s.seen = s.messages > 0
	return s
}

// proven reports whether what a source sent since it was said to be fixed shows
// that it is.
func (g *group) proven() bool {
	s := g.sinceFix()
	return s.known && s.messages >= proofMessages && ratio(s.failing, s.messages) <= proofShare
}

// awaited reports whether a source that was fixed has to be seen again before
// the next step: it sends now and then, and has not since.
func (g *group) awaited() bool {
	return g.fixed > 0 && g.pattern.period >= 5 && !g.sinceFix().seen
}

// waiting returns the sources that were fixed and of which nothing remains to
// be done but to wait, with what for.
func (n *analysis) waiting(t *totals) []Fix {
	out := []Fix{}
	for _, g := range n.groups {
		if g.fixed == 0 || g.class != Broken && g.class != Aligned || !n.of(g) {
			continue
		}
		s := g.sinceFix()
		args := explain.Args{"source": g.label(), "fixed": g.fixed.String()}
		step := explain.Step{Args: args}
		switch {
		case g.awaited():
			step.Code = "fix.wait-occasion"
			args["days"], args["last"], args["next"] = int64(g.pattern.period), g.last.String(), g.occasion(n.from()).String()
		case g.class == Broken && !s.seen:
			step.Code = "fix.wait-mail"
			args["last"] = g.last.String()
		case g.class == Broken && s.known && s.messages < proofMessages && ratio(s.failing, s.messages) <= proofShare:
			step.Code = "fix.wait-more"
			args["messages"], args["need"] = int64(s.messages), int64(proofMessages)
		default:
			continue
		}
		t.waiting[g] = true
		out = append(out, Fix{Source: g.id(), Key: g.key, Name: g.label(), AtRisk: g.atRisk, What: step})
	}
	slices.SortStableFunc(out, func(a, b Fix) int {
		return cmp.Or(cmp.Compare(b.AtRisk, a.AtRisk), strings.Compare(a.Key, b.Key))
	})
	return out[:min(len(out), maxFixes)]
}

// occasion is the next day from after on, on which a periodic source is due.
func (g *group) occasion(after store.Day) store.Day {
	d := g.last
	for p := store.Day(max(1, g.pattern.period)); d < after; d += p {
	}
	return d
}

// tasks lists what stands between the domain and its next step, the heaviest
// first.
func (t *totals) tasks() []task {
	var out []task
	for _, g := range t.brokenSources {
		if !t.waiting[g] && g.atRisk > 0 {
			out = append(out, task{g, repair, g.atRisk})
		}
	}
	for _, g := range t.unknownSources {
		out = append(out, task{g, settle, g.window.failing})
	}
	for _, g := range t.absentSources {
		if !t.waiting[g] {
			out = append(out, task{g, before, 0})
		}
	}
	slices.SortStableFunc(out, func(a, b task) int {
		return cmp.Or(cmp.Compare(b.atRisk, a.atRisk), cmp.Compare(a.kind, b.kind), strings.Compare(a.g.key, b.g.key))
	})
	return out
}

// enough reports whether broken and plausible messages, and so many sources
// that are due again, leave nothing in the way of the next step. Where there is
// too little legitimate mail for the bound, no message at risk is enough.
func (t *totals) enough(broken, plausible uint64, due int) bool {
	if due > 0 || plausible > 0 && (t.legitimate == 0 || ratio(plausible, t.legitimate) > maxRisk) {
		return false
	}
	return broken == 0 || upperBound(broken, t.legitimate) <= maxRisk
}

// fixes is the shortest list that makes the domain ready.
func (n *analysis) fixes(t *totals) []Fix {
	tasks := t.tasks()
	var broken, plausible uint64
	due := 0
	for _, x := range tasks {
		switch x.kind {
		case repair:
			broken += x.atRisk
		case settle:
			plausible += x.atRisk
		default:
			due++
		}
	}
	// left is what remains once the tasks that are done are done.
	left := func(done func(i int) bool) (b, p uint64, d int) {
		b, p, d = broken, plausible, due
		for i, x := range tasks {
			switch {
			case !done(i):
			case x.kind == repair:
				b -= x.atRisk
			case x.kind == settle:
				p -= x.atRisk
			default:
				d--
			}
		}
		return b, p, d
	}
	list := shortest(len(tasks), func(done []bool) bool {
		return t.enough(left(func(i int) bool { return done[i] }))
	})
	out := []Fix{}
	for k, i := range list[:min(len(list), maxFixes)] {
		b, _, _ := left(func(j int) bool { return slices.Contains(list[:k+1], j) })
		upper := 0.0
		if t.legitimate > 0 {
			upper = upperBound(b, t.legitimate)
		}
		out = append(out, n.fix(tasks[i], upper))
	}
	return out
}

// ladder fills in the way to p=reject, once verdict and next record are known.
func (n *analysis) ladder(a *Advice, t *totals) {
	l := &a.Ladder
	l.Now = n.policy.seen.P
	switch policy(l.Now) {
	case dmarc.None:
		l.Next = string(dmarc.Quarantine)
		if t.legitimate == 0 && t.messages > 0 && a.Verdict == Ready {
			l.Next = string(dmarc.Reject) // nothing to lose: one step
		}
	case dmarc.Quarantine:
		l.Next = string(dmarc.Reject)
	}
	if a.Verdict != NotReady {
		l.Fixes = []Fix{}
	}
	n.lookAt(a, t)
	l.StepBack = n.stepBack(a)
	l.Rehearse = n.rehearse(a)
	l.Coverage = n.coverage()
	l.Scopes = n.scopes(a)
	if l.Reasons = n.said; l.Reasons == nil {
		l.Reasons = []explain.Step{}
	}
}

// say adds to what is said of the ladder.
func (n *analysis) say(code string, args explain.Args) {
	n.said = append(n.said, explain.Step{Code: code, Args: args})
}

// rehearse writes the record that tries the next step without taking it: with
// t=y receivers treat failing mail one level more mildly than p says, and their
// reports show what p would have done (RFC 9989 §4.7). There is none where
// nothing remains to be stepped up to, or where nothing is known.
func (n *analysis) rehearse(a *Advice) string {
	l := &a.Ladder
	if l.Next == "" || a.Messages == 0 {
		return ""
	}
	next, err := dmarc.Parse(a.NextRecord)
	if err != nil {
		return ""
	}
	// Receivers that know RFC 7489 only read past t, and apply p as it is.
	n.say("ladder.rehearse", explain.Args{"policy": l.Next})
	next = next.With("p", l.Next)
	if next.SP != "" && next.SP.Level() < policy(l.Next).Level() {
		next = next.Without("sp")
	}
	return next.With("t", "y").String()
}

// from is the day that plans begin with: the end of the window, or today where
// the newest reports were asked for and are older.
func (n *analysis) from() store.Day {
	if !n.newest {
		return n.window.End
	}
	return max(n.window.End, store.DayOf(n.a.c.Now()))
}

// lookAt says when to look again, and why. Of what happened since the end of
// reports that are old, it says that it is not known.
func (n *analysis) lookAt(a *Advice, t *totals) {
	l, end := &a.Ladder, n.from()
	if end-n.window.End > oldReports && t.messages > 0 {
		n.note("note.old-reports", explain.Args{"last": (n.window.End - 1).String()})
	}
	at := func(d store.Day, code string, args explain.Args) {
		if args == nil {
			args = explain.Args{}
		}
		args["day"] = d.String()
		l.LookAt = d
		n.say(code, args)
	}
	// next is the first occasion of a periodic sender that is waited for.
	var next *group
	for _, g := range n.groups {
		if (t.waiting[g] && g.awaited() || slices.Contains(t.absentSources, g)) && (next == nil || g.occasion(end) < next.occasion(end)) {
			next = g
		}
	}
	occasion := func(code string) {
		// Reports of a day come on the next.
		at(next.occasion(end)+2, code, explain.Args{"source": next.label(), "days": int64(next.pattern.period)})
	}
	need := min(minDays, max(1, n.window.Days()))
	switch {
	case t.messages == 0:
		at(end+minDays, "ladder.look-reports", explain.Args{"need": int64(minDays)})
	case a.Verdict == NotReady && next != nil && len(l.Fixes) == 0:
		occasion("ladder.look-occasion")
	case a.Verdict == NotReady:
		at(end+lookAfterFix, "ladder.look-fix", explain.Args{"fixes": int64(len(l.Fixes))})
		if next != nil {
			n.say("ladder.also-occasion", explain.Args{"source": next.label(), "day": next.occasion(end).String()})
		}
	case a.Verdict == InsufficientData && n.days < need:
		at(end+store.Day(need-n.days), "ladder.look-days", explain.Args{"days": int64(n.days), "need": int64(need)})
	case a.Verdict == InsufficientData:
		// With no message at risk, about 3/0.001 legitimate ones show the
		// bound; at the rate seen so far that takes so many days.
		days, most := need, uint64(2995)
		if t.legitimate > 0 && n.days > 0 {
			days = int(min(365, (most*uint64(n.days)+t.legitimate-1)/t.legitimate))
		}
		at(end+store.Day(max(1, days-n.days)), "ladder.look-messages", explain.Args{"messages": int64(t.legitimate), "need": int64(most), "window": int64(days)})
	case l.Next == "":
		at(end+30, "ladder.look-top", nil)
	default:
		at(end+lookAfterStep, "ladder.look-step", explain.Args{"policy": l.Next, "days": int64(lookAfterStep)})
		if g := n.rare(); g != nil {
			n.say("ladder.also-rare", explain.Args{"source": g.label(), "days": int64(g.pattern.period), "day": g.occasion(end).String()})
		}
	}
}

// rare is the source of ours with the longest period that will send first
// after the usual look: the step is proven only then.
func (n *analysis) rare() *group {
	var out *group
	for _, g := range n.groups {
		if g.class == Aligned && n.of(g) && g.pattern.period > lookAfterStep && n.due(g) && (out == nil || g.pattern.period > out.pattern.period) {
			out = g
		}
	}
	return out
}

// of reports whether a source belongs to what the answer is about.
func (n *analysis) of(g *group) bool { return n.department == "" || g.department == n.department }
