package advise

import (
	"context"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"sekimori/internal/sources"
	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// memory is a store of rows in memory: what advise needs of the real one,
// small enough to see through.
type memory struct {
	mu      sync.Mutex
	rows    map[string][]memoryRow // by policy domain
	version map[string]int64
	spans   map[string][]store.PolicySpan
	ptr     map[netip.Addr]store.PTR
	advice  map[[2]string]store.CachedAdvice
	classes map[string]map[netip.Addr]store.ClassRow
	scans   int // calls of Sources
}

type memoryRow struct {
	store.SourceRow
	reporter string
	days     int
}

func newMemory() *memory {
	return &memory{rows: map[string][]memoryRow{}, version: map[string]int64{}, spans: map[string][]store.PolicySpan{},
		ptr: map[netip.Addr]store.PTR{}, advice: map[[2]string]store.CachedAdvice{}, classes: map[string]map[netip.Addr]store.ClassRow{}}
}

// put stores a report as the real store condenses it.
func (m *memory) put(r aggregate.Report, records []aggregate.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dom := strings.ToLower(r.PolicyPublished.Domain)
	first, n := store.Spread(r.Metadata.Begin, r.Metadata.End)
	for _, rec := range records {
		m.rows[dom] = append(m.rows[dom], memoryRow{condense(rec, first), r.Metadata.Reporter(), n})
	}
	m.version[dom]++
	spans := m.spans[dom]
	if len(spans) == 0 {
		m.spans[dom] = []store.PolicySpan{{Policy: r.PolicyPublished, From: first, To: first}}
		return
	}
	s := &spans[len(spans)-1]
	s.From, s.To = min(s.From, first), max(s.To, first+store.Day(n)-1)
}

func condense(rec aggregate.Record, day store.Day) store.SourceRow {
	org := sources.Organization
	row := store.SourceRow{
		Addr: rec.SourceIP, HeaderFrom: strings.ToLower(rec.HeaderFrom), DKIMAligned: rec.DKIM, SPFAligned: rec.SPF,
		Disposition: rec.Disposition, Messages: rec.Count, FirstDay: day, LastDay: day, Reporters: 1,
	}
	for _, d := range rec.DKIMResults {
		related := org(d.Domain) == org(row.HeaderFrom)
		if d.Result == "pass" && (row.DKIMDomain == "" || related && org(row.DKIMDomain) != org(row.HeaderFrom)) {
			row.DKIMDomain = strings.ToLower(d.Domain)
		}
		if d.Result != "pass" && d.Result != "none" && row.DKIMFailed == "" {
			row.DKIMFailed = strings.ToLower(d.Domain)
		}
	}
	if row.DKIMDomain != "" {
		row.DKIMFailed = ""
	}
	for _, s := range rec.SPFResults {
		row.EnvelopeDomain = strings.ToLower(s.Domain)
		if s.Result == "pass" {
			row.SPFDomain = row.EnvelopeDomain
		}
	}
	if len(rec.Reasons) > 0 {
		row.Override = rec.Reasons[0].Type
	}
	return row
}

func (m *memory) Newest(_ context.Context, domain string) (store.Day, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var end store.Day
	for d, rows := range m.rows {
		if domain != "" && d != domain {
			continue
		}
		for _, r := range rows {
			end = max(end, r.FirstDay+store.Day(r.days))
		}
	}
	return end, end != 0, nil
}

func (m *memory) DomainVersion(domain string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.version[domain]
}

func (m *memory) DomainNames(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.rows)), nil
}

func (m *memory) PolicyHistory(_ context.Context, domain string) ([]store.PolicySpan, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.spans[domain]), nil
}

func (m *memory) Domains(ctx context.Context, w store.Window) ([]store.DomainTotals, error) {
	names, _ := m.DomainNames(ctx)
	var out []store.DomainTotals
	for _, d := range names {
		t := store.DomainTotals{Domain: d}
		t.Newest, _, _ = m.Newest(ctx, d)
		t.Newest--
		daily, _ := m.DomainDaily(ctx, d, w)
		for _, x := range daily {
			t.Messages += x.Messages
			t.Aligned += x.Aligned
		}
		spans, _ := m.PolicyHistory(ctx, d)
		if len(spans) > 0 {
			t.Policy, t.PolicySince = spans[len(spans)-1].Policy, spans[len(spans)-1].From
		}
		if len(daily) > 0 {
			out = append(out, t)
		}
	}
	return out, nil
}

// each calls f with the part of each row that lies on each day of the window.
func (m *memory) each(domain string, w store.Window, f func(r memoryRow, d store.Day, n uint64)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows[domain] {
		for k := range r.days {
			d := r.FirstDay + store.Day(k)
			n := r.Messages*uint64(k+1)/uint64(r.days) - r.Messages*uint64(k)/uint64(r.days)
			if d >= w.Begin && d < w.End && n > 0 {
				f(r, d, n)
			}
		}
	}
}

func (m *memory) DomainDaily(_ context.Context, domain string, w store.Window) ([]store.DayTotals, error) {
	by := map[store.Day]store.DayTotals{}
	m.each(domain, w, func(r memoryRow, d store.Day, n uint64) {
		t := by[d]
		t.Day = d
		t.Messages += n
		if r.Aligned() {
			t.Aligned += n
		}
		by[d] = t
	})
	out := slices.Collect(maps.Values(by))
	slices.SortFunc(out, func(a, b store.DayTotals) int { return int(a.Day - b.Day) })
	return out, nil
}

func (m *memory) Evidence(_ context.Context, domain string, w, inner store.Window, f func(store.SourceRow) error) error {
	type agg struct {
		row       store.SourceRow
		reporters map[string]bool
	}
	by := map[store.SourceRow]*agg{}
	m.each(domain, w, func(r memoryRow, d store.Day, n uint64) {
		k := r.SourceRow
		k.Messages, k.FirstDay, k.LastDay, k.Disposition = 0, 0, 0, ""
		a := by[k]
		if a == nil {
			a = &agg{row: k, reporters: map[string]bool{}}
			a.row.FirstDay, a.row.LastDay = d, d
			by[k] = a
		}
		a.row.Messages += n
		if d >= inner.Begin && d < inner.End {
			a.row.Inner += n
		}
		a.row.FirstDay, a.row.LastDay = min(a.row.FirstDay, d), max(a.row.LastDay, d)
		a.reporters[r.reporter] = true
	})
	m.mu.Lock()
	m.scans++
	m.mu.Unlock()
	list := slices.Collect(maps.Values(by))
	slices.SortFunc(list, func(a, b *agg) int { return a.row.Addr.Compare(b.row.Addr) })
	for _, a := range list {
		a.row.Reporters = len(a.reporters)
		if err := f(a.row); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) GroupDays(_ context.Context, domain string, w store.Window, addrs []netip.Addr, of []int, f func(int, store.Day, uint64, uint64) error) error {
	type key struct {
		group int
		d     store.Day
	}
	group := map[netip.Addr]int{}
	for i, a := range addrs {
		group[a] = of[i]
	}
	by := map[key]count{}
	m.each(domain, w, func(r memoryRow, d store.Day, n uint64) {
		if g, ok := group[r.Addr]; ok {
			c := by[key{g, d}]
			c.add(n, !r.Aligned())
			by[key{g, d}] = c
		}
	})
	for k, c := range by {
		if err := f(k.group, k.d, c.messages, c.failing); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) PTRs(_ context.Context, addrs []netip.Addr) (map[netip.Addr]store.PTR, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[netip.Addr]store.PTR{}
	for _, a := range addrs {
		if p, ok := m.ptr[a]; ok {
			out[a] = p
		}
	}
	return out, nil
}

func (m *memory) PutPTRs(_ context.Context, ps []store.PTR) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range ps {
		m.ptr[p.Addr] = p
	}
	return nil
}

func (m *memory) Advice(_ context.Context, domain, question string) (store.CachedAdvice, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.advice[[2]string{domain, question}]
	return a, ok, nil
}

func (m *memory) PutAdvice(_ context.Context, a store.CachedAdvice) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advice[[2]string{a.Domain, a.Question}] = a
	return nil
}

func (m *memory) AdviceSummaries(_ context.Context, question string) ([]store.CachedAdvice, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []store.CachedAdvice
	for k, a := range m.advice {
		if k[1] == question {
			a.Doc = nil
			out = append(out, a)
		}
	}
	return out, nil
}

func (m *memory) SetClasses(_ context.Context, domain string, rows iter.Seq2[netip.Addr, store.ClassRow]) error {
	c := maps.Collect(rows)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.classes[domain] = c
	return nil
}

func (m *memory) ClassCounts(_ context.Context, domain string, w store.Window, passing bool, f func(store.ClassCount) error) error {
	m.mu.Lock()
	classes := m.classes[domain]
	m.mu.Unlock()
	by := map[store.ClassCount]uint64{}
	m.each(domain, w, func(r memoryRow, d store.Day, n uint64) {
		c := store.ClassCount{Day: d, Reporter: r.reporter, Class: "unknown", Aligned: r.Aligned()}
		if x, ok := classes[r.Addr]; ok {
			c.Class, c.Source = x.Class, x.Source
		}
		if passing || !c.Aligned {
			by[c] += n
		}
	})
	for c, n := range by {
		c.Messages = n
		if err := f(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) DomainReporters(_ context.Context, domain string, w store.Window) ([]store.DomainReporter, error) {
	by := map[string]*store.DomainReporter{}
	m.each(domain, w, func(r memoryRow, d store.Day, n uint64) {
		x := by[r.reporter]
		if x == nil {
			x = &store.DomainReporter{Reporter: r.reporter}
			by[r.reporter] = x
		}
		x.Messages += n
		if r.Aligned() {
			x.Aligned += n
		}
	})
	var out []store.DomainReporter
	for _, x := range by {
		out = append(out, *x)
	}
	return out, nil
}
