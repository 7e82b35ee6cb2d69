package store

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"sekimori/report/aggregate"
)

// stored is a report with its records, as a test keeps it beside the store.
type stored struct {
	report  aggregate.Report
	records []aggregate.Record
}

// randomStored makes reports of a few domains and reporters, some over several
// days, with addresses and evidence that repeat.
func randomStored(r *rand.Rand, n int) []stored {
	var out []stored
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	for i := range n {
		days := 1
		if r.IntN(4) == 0 {
			days = 1 + r.IntN(9)
		}
		rep := testReport(pick("a.example", "b.example", "c.example.co.jp"), pick("google.com", "Outlook", "docomo.ne.jp"), fmt.Sprint("id-", i), r.IntN(40), days)
		rep.PolicyPublished.P = pick("none", "none", "quarantine")
		rep.Metadata.Generator = pick("", "a rather long name of a generator 関守")
		if r.IntN(3) == 0 {
			rep.Metadata.Errors = []string{"one", "another, longer than twelve bytes"}
			rep.Deviations = []aggregate.Deviation{{Code: "missing-org-name", Element: "report_metadata/org_name", Messages: 1 << 40, Line: 3, Offset: 77, Detail: "org_name of some length", Times: 2}, {Code: "x", Times: 1}}
		}
		s := stored{report: rep}
		for range 1 + r.IntN(30) {
			rec := aggregate.Record{
				SourceIP: netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(40))}), Count: uint64(r.IntN(20)),
				Disposition: aggregate.Disposition(pick("none", "quarantine", "reject", "pass")),
				DKIM:        r.IntN(2) == 0, SPF: r.IntN(3) == 0,
				HeaderFrom: pick("a.example", "mail.a.example", "news.a-long-name.example"), EnvelopeFrom: pick("", "bounce.a.example", "b.example"), EnvelopeTo: pick("", "c.example"),
			}
			if r.IntN(5) == 0 {
				rec.SourceIP = netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", r.IntN(9)))
			}
			for range r.IntN(3) {
				rec.DKIMResults = append(rec.DKIMResults, aggregate.DKIMResult{
					Domain: pick("a.example", "vendor.example", "esp-with-long-name.example"), Selector: pick("s1", "selector-of-2026"), Result: pick("pass", "fail", "temperror"), HumanResult: pick("", "body hash did not verify")})
			}
			for range r.IntN(2) {
				rec.SPFResults = append(rec.SPFResults, aggregate.SPFResult{Domain: pick("a.example", "bounce.vendor.example"), Scope: pick("mfrom", "helo", ""), Result: pick("pass", "softfail")})
			}
			for range r.IntN(3) {
				rec.Reasons = append(rec.Reasons, aggregate.Reason{Type: pick("forwarded", "local_policy"), Comment: pick("", "arc=pass as far as we can tell")})
			}
			s.records = append(s.records, rec)
		}
		out = append(out, s)
	}
	return out
}

func (s stored) incoming() *Incoming {
	rows := &Rows{}
	for i := range s.records {
		rows.Add(&s.records[i])
	}
	return &Incoming{Report: s.report, Rows: rows, Raw: Raw{Encoding: Identity, Bytes: []byte("<feedback>" + s.report.Metadata.ReportID + "</feedback>")}, Origin: Origin{1, "dir/" + s.report.Metadata.ReportID, "m"}}
}

func putAll(t testing.TB, s *Store, all []stored, batch int) {
	t.Helper()
	for part := range slices.Chunk(all, batch) {
		var in []*Incoming
		for _, r := range part {
			in = append(in, r.incoming())
		}
		out, err := s.Put(context.Background(), in)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range out {
			if o.Duplicate || o.Rows != int64(len(part[i].records)) {
				t.Fatalf("%+v for %+v", o, part[i].report)
			}
		}
	}
}

// days calls f for each of the records' days within the window, by the
// sentence in Spread's comment.
func (s stored) days(w Window, f func(d Day, rec *aggregate.Record, n uint64)) {
	first, n := Spread(s.report.Metadata.Begin, s.report.Metadata.End)
	for i := range s.records {
		c := s.records[i].Count
		for k := range n {
			d := first + Day(k)
			if d >= w.Begin && d < w.End {
				f(d, &s.records[i], c*uint64(k+1)/uint64(n)-c*uint64(k)/uint64(n))
			}
		}
	}
}

func modelDaily(all []stored, domain string, w Window, take func(*aggregate.Record) bool) []DayTotals {
	m := map[Day]*DayTotals{}
	for _, s := range all {
		if s.report.PolicyPublished.Domain != domain {
			continue
		}
		s.days(w, func(d Day, rec *aggregate.Record, n uint64) {
			if take != nil && !take(rec) {
				return
			}
			if m[d] == nil {
				m[d] = &DayTotals{Day: d}
			}
			m[d].add(n, rec.DKIM || rec.SPF, rec.Disposition)
		})
	}
	var out []DayTotals
	for _, d := range m {
		if take == nil || d.Messages > 0 {
			out = append(out, *d)
		}
	}
	slices.SortFunc(out, func(a, b DayTotals) int { return cmp.Compare(a.Day, b.Day) })
	return out
}

func modelSources(all []stored, domain string, w Window) []SourceRow {
	type key struct{ SourceRow }
	m := map[key]*SourceRow{}
	who := map[key]map[string]bool{}
	var orgs organizations
	for _, s := range all {
		if s.report.PolicyPublished.Domain != domain {
			continue
		}
		s.days(w, func(d Day, rec *aggregate.Record, n uint64) {
			first, days := Spread(s.report.Metadata.Begin, s.report.Metadata.End)
			e := orgs.evidence(rec)
			k := key{SourceRow{Addr: rec.SourceIP, HeaderFrom: e.headerFrom, DKIMDomain: e.authDKIM, DKIMFailed: e.failedDKIM, SPFDomain: e.authSPF,
				EnvelopeDomain: e.spfChecked, DKIMAligned: rec.DKIM, SPFAligned: rec.SPF, Override: e.override}}
			row := m[k]
			if row == nil {
				c := k.SourceRow
				c.FirstDay, c.LastDay = maxDay, -1
				row = &c
				m[k], who[k] = row, map[string]bool{}
			}
			row.Messages += n
			row.FirstDay = min(row.FirstDay, max(first, w.Begin))
			row.LastDay = max(row.LastDay, min(first+Day(days)-1, w.End-1))
			if n > 0 {
				who[k][s.report.Metadata.OrgName] = true
			}
		})
	}
	var out []SourceRow
	for k, row := range m {
		row.Reporters = len(who[k])
		if row.Messages > 0 {
			out = append(out, *row)
		}
	}
	sortSources(out)
	return out
}

func sortSources(s []SourceRow) {
	slices.SortFunc(s, func(a, b SourceRow) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
}
