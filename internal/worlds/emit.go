package worlds

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"sekimori/report/aggregate"
)

// finish writes the reports, the zone and the truth.
func (b *builder) finish() *World {
	w := &World{}
	end := b.emit(w)
	b.writeZone()
	w.Zone = b.zone.String()
	w.Truth = b.truth(w, end)
	return w
}

// emit makes reports of the rows and returns the day after the newest one.
func (b *builder) emit(w *World) (end int) {
	counts := make([]tally, len(b.sources))
	for d := range b.days {
		for i := range b.receivers {
			r := &b.receivers[i]
			if d%r.span != 0 {
				continue
			}
			var rows []row
			for k := d; k < min(d+r.span, b.days); k++ {
				if cell := b.cells[k*len(b.receivers)+i]; len(rows) == 0 {
					rows = cell
				} else {
					rows = append(rows, cell...)
				}
			}
			if len(rows) == 0 || r.gone(d) {
				continue
			}
			span := min(r.span, b.days-d)
			for domain, part := range parts(rows) {
				if domain == 0 {
					end = max(end, d+span)
				}
				rep := b.report(r, i, d, span, domain, part)
				for _, x := range part {
					counts[x.source].see(b, d, span, &x, domain)
				}
				w.reports = append(w.reports, rep)
				if b.chance(r.twice) {
					w.reports = append(w.reports, rep)
				}
			}
		}
	}
	for i, s := range b.sources {
		counts[i].settle(b, s, end)
	}
	return end
}

// parts sorts the rows of a report, joins equal ones, and yields them by policy
// domain.
func parts(rows []row) func(yield func(int, []row) bool) {
	slices.SortFunc(rows, func(x, y row) int {
		return cmp.Or(cmp.Compare(x.domain, y.domain), x.addr.Compare(y.addr), cmp.Compare(x.kind, y.kind), cmp.Compare(x.source, y.source))
	})
	out := rows[:0]
	for _, x := range rows {
		if n := len(out); n > 0 && out[n-1].addr == x.addr && out[n-1].kind == x.kind && out[n-1].domain == x.domain && out[n-1].source == x.source {
			out[n-1].count += x.count
			continue
		}
		out = append(out, x)
	}
	return func(yield func(int, []row) bool) {
		for i := 0; i < len(out); {
			k := i
			for k < len(out) && out[k].domain == out[i].domain {
				k++
			}
			if !yield(int(out[i].domain), out[i:k]) {
				return
			}
			i = k
		}
	}
}

// policyDomain returns the domain of a row's policy.
func (b *builder) policyDomain(i int) string {
	if i == 0 {
		return b.domain
	}
	return b.partners[i-1]
}

func (b *builder) report(r *receiver, i, day, span, domain int, rows []row) Report {
	begin := b.date(day).Add(-r.shift)
	name := b.policyDomain(domain)
	p := b.policies[0]
	for _, x := range b.policies {
		if x.from <= day {
			p = x
		}
	}
	if domain > 0 {
		p = policySpan{p: "none"}
	}
	mode := "r"
	if b.strict && domain == 0 {
		mode = "s"
	}
	rep := Report{Report: aggregate.Report{Form: r.form, Version: "1.0",
		Metadata:        aggregate.Metadata{OrgName: r.name, Email: r.email, ReportID: r.id(name, begin, i), Begin: begin, End: begin.Add(time.Duration(span)*24*time.Hour - time.Second)},
		PolicyPublished: aggregate.PolicyPublished{Domain: name, ADKIM: mode, ASPF: mode, P: p.p, SP: p.sp},
	}}
	if r.form == aggregate.RFC9990 {
		rep.PolicyPublished.NP, rep.PolicyPublished.Testing, rep.PolicyPublished.DiscoveryMethod = p.np, "n", "treewalk"
	} else {
		rep.PolicyPublished.PCT = "100"
		if rep.PolicyPublished.SP == "" {
			rep.PolicyPublished.SP = p.p
		}
	}
	rep.Records = make([]aggregate.Record, len(rows))
	for k, x := range rows {
		rec := &rep.Records[k]
		rec.SourceIP, rec.Count = x.addr, uint64(x.count)
		b.write(r, &b.kinds[x.kind], day, name, rec)
	}
	return rep
}

// tally counts what the reports hold of one source.
type tally struct {
	addrs   map[string]bool
	authors map[string]uint64
	days    []seen
	all     seen
}

type seen struct {
	day               int
	messages, failing uint64
}

func (t *tally) see(b *builder, day, span int, x *row, domain int) {
	k := &b.kinds[x.kind]
	if t.addrs == nil {
		t.addrs, t.authors = map[string]bool{}, map[string]uint64{}
	}
	if domain > 0 {
		return // another policy domain's
	}
	t.addrs[x.addr.String()] = true
	dkim, spf := b.outcome(k, b.domain)
	n, failing := uint64(x.count), uint64(0)
	if !dkim && !spf {
		failing = n
	}
	t.authors[k.from] += n
	t.all.messages += n
	t.all.failing += failing
	for i := range span {
		// As the store spreads a report of several days: evenly.
		part := func(n uint64) uint64 { return n*uint64(i+1)/uint64(span) - n*uint64(i)/uint64(span) }
		s := seen{day + i, part(n), 0}
		if failing > 0 {
			s.failing = s.messages
		}
		t.days = append(t.days, s)
	}
}

// settle writes the counts into the source.
func (t *tally) settle(b *builder, s *sender, end int) {
	s.Messages, s.Failing = t.all.messages, t.all.failing
	most := uint64(0)
	for a, n := range t.authors {
		if n > most || n == most && a < s.HeaderFrom {
			s.HeaderFrom, most = a, n
		}
	}
	s.IPs = make([]string, 0, len(t.addrs))
	for a := range t.addrs {
		s.IPs = append(s.IPs, a)
	}
	slices.Sort(s.IPs)
	for _, d := range t.days {
		if d.day >= end-30 && d.day < end {
			s.Messages30 += d.messages
			s.Failing30 += d.failing
		}
	}
	if s.Class == Broken && s.Failing30 == 0 && s.Messages30 > 0 {
		s.Class = Aligned // mended before the window
	}
}

// truth sums up.
func (b *builder) truth(w *World, end int) Truth {
	t := Truth{Seed: b.seed, Domain: b.domain, Kind: b.kind, Policy: b.policies[len(b.policies)-1].p, Days: end, Begin: b.begin, End: b.date(end), Sources: map[string]*Source{}}
	for _, s := range b.sources {
		if s.Messages == 0 {
			continue
		}
		src := s.Source
		t.Sources[s.name] = &src
		switch s.Class {
		case Broken:
			t.AtRisk += s.Failing30
			if s.Messages30 == 0 && s.period > 0 && b.dueAgain(s, end) {
				t.Due = append(t.Due, s.name)
			}
			fallthrough
		case Aligned, Forwarder:
			t.Legitimate += s.Messages30
		}
	}
	slices.Sort(t.Due)
	t.Ready = len(t.Due) == 0 && (t.Legitimate == 0 || within1000(t.AtRisk, t.Legitimate))
	return t
}

// dueAgain reports whether a periodic sender has shown itself as one, at least
// twice, and has not stayed away for two periods.
func (b *builder) dueAgain(s *sender, end int) bool {
	last, runs := -100, 0
	for d := range end {
		if s.broken(d) {
			if d-last > 4 {
				runs++
			}
			last = d
		}
	}
	return runs >= 2 && end-last <= 2*s.period
}

// within1000 reports whether the exact one-sided 95 % upper bound (Clopper and
// Pearson) of x of n is at most 0.1 %: whether x or fewer would be seen in at
// most one case of twenty if the share were 0.1 %.
func within1000(x, n uint64) bool {
	const p = 0.001
	if n == 0 || float64(x) >= p*float64(n) {
		return false
	}
	term := float64(n) * math.Log1p(-p) // logarithm of the probability of none
	sum := math.Exp(term)
	for i := uint64(1); i <= x; i++ {
		term += math.Log(float64(n-i+1)) - math.Log(float64(i)) + math.Log(p) - math.Log1p(-p)
		sum += math.Exp(term)
	}
	return sum <= 0.05
}

// writeZone adds what the organisation publishes itself.
func (b *builder) writeZone() {
	terms := strings.Join(b.spf, " ")
	if b.longSPF {
		for i := range 12 {
			b.record(`_s%d.%s. TXT "v=spf1 ip4:%d.%d.0.0/22 -all"`, i, b.domain, 20+i, 7*i)
			terms += fmt.Sprintf(" include:_s%d.%s", i, b.domain)
		}
		terms += " " + strings.Join(b.late, " ")
	}
	all := "-all"
	if b.chance(0.5) && b.kind != "parked" {
		all = "~all"
	}
	b.record(`%s. TXT "%s %s"`, b.domain, strings.TrimSpace("v=spf1 "+terms), all)
	p := b.policies[len(b.policies)-1]
	rec := "v=DMARC1; p=" + p.p
	if p.sp != "" {
		rec += "; sp=" + p.sp
	}
	if p.np != "" {
		rec += "; np=" + p.np
	}
	if b.strict {
		rec += "; adkim=s; aspf=s"
	}
	b.record(`_dmarc.%s. TXT "%s; rua=mailto:rua@%[1]s"`, b.domain, rec)
	for _, x := range b.partners {
		b.record(`_dmarc.%s. TXT "v=DMARC1; p=none; rua=mailto:rua@%s"`, x, b.domain)
	}
}
