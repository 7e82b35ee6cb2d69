package web

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/collect"
	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// world is a made-up store and advisor: enough of everything to see a page of
// each kind. Its texts are as hostile as a report's may be.
type world struct {
	dir     string
	empty   bool
	stale   bool
	panics  bool
	err     error // every read fails with it
	domains []advise.DomainSummary
	imports []string // what was uploaded
	bench   *bench
	leaky   bool // the advisor does not narrow to a department
}

const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>`

var newest = store.DayOf(time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC))

func newWorld(dir string) *world {
	w := &world{dir: dir, bench: newBench(40)}
	add := func(name, policy string, since int, scale uint64, verdict advise.Verdict) {
		d := advise.DomainSummary{Domain: name, Window: store.Window{Begin: newest - 30, End: newest}, Policy: policy, PolicySince: newest - store.Day(since), Verdict: verdict}
		for _, c := range classDays(scale, 30) {
			d.Daily = append(d.Daily, c)
			d.Messages += c.Aligned + c.Broken + c.Forwarder + c.Unknown + c.Spoof
			d.Aligned, d.Broken, d.Forwarder, d.Unknown, d.Spoof = d.Aligned+c.Aligned, d.Broken+c.Broken, d.Forwarder+c.Forwarder, d.Unknown+c.Unknown, d.Spoof+c.Spoof
		}
		w.domains = append(w.domains, d)
	}
	add("kakuu.example", "none", 402, 9000, advise.NotReady)
	add("kakuu-kenkyu.example", "quarantine", 22, 800, advise.Ready)
	add("kakuu-kyufu.example", "none", 310, 60, advise.Ready)
	add("xn--fiqs8s.example", "reject", 90, 300, advise.Ready)
	add("new.example", "none", 3, 2, advise.InsufficientData)
	w.domains = append(w.domains, advise.DomainSummary{Domain: "pending.example", Window: store.Window{Begin: newest - 30, End: newest}, Policy: "none", PolicySince: newest - 40, Messages: 120, Aligned: 100, Unknown: 20, Pending: true})
	for i := range 60 {
		add(fmt.Sprintf("bukyoku%02d.kakuu.example", i), []string{"none", "quarantine", "reject"}[i%3], 30*(i%14), uint64(5+i), []advise.Verdict{advise.Ready, advise.NotReady, advise.InsufficientData}[i%3])
	}
	return w
}

func classDays(scale uint64, n int) []advise.ClassDay {
	var out []advise.ClassDay
	for i := range n {
		day := newest - store.Day(n-i)
		week := uint64(10)
		if wd := day.Time().Weekday(); wd == 0 || wd == 6 {
			week = 3
		}
		c := advise.ClassDay{Day: day, Aligned: scale * week / 10, Broken: scale * week / 90, Forwarder: scale / 40, Unknown: scale / 200, Spoof: scale / 60}
		if i%11 == 4 {
			c.Spoof += scale / 2
		}
		out = append(out, c)
	}
	return out
}

func (w *world) Overview(ctx context.Context, days int) ([]advise.DomainSummary, error) {
	if w.err != nil || w.empty {
		return nil, w.err
	}
	return slices.Clone(w.domains), nil
}

func (w *world) Cached(ctx context.Context, name domain.Name, q advise.Question) (*advise.Advice, bool, error) {
	if w.err != nil {
		return nil, false, w.err
	}
	if w.panics {
		panic("a fault in the advisor")
	}
	i := slices.IndexFunc(w.domains, func(d advise.DomainSummary) bool { return d.Domain == name.String() })
	d := w.domains[i]
	a := &advise.Advice{Domain: d.Domain, Window: store.Window{Begin: newest - store.Day(q.Days), End: newest}, Policy: d.Policy, Verdict: d.Verdict,
		NextRecord: "v=DMARC1; p=quarantine; sp=quarantine; np=reject; adkim=r; aspf=r; rua=mailto:dmarc-reports@" + d.Domain,
		Reasons:    []explain.Step{{Code: "web.answer.broken", Args: explain.Args{"next": "quarantine", "n": 3}}},
		Notes:      []explain.Step{{Code: "web.record.where", Args: explain.Args{"name": hostile}}},
		Daily:      classDays(d.Messages/20+1, q.Days)}
	for _, c := range a.Daily {
		a.Messages += c.Aligned + c.Broken + c.Forwarder + c.Unknown + c.Spoof
		a.Aligned += c.Aligned
	}
	src := func(id, name string, class advise.Class, n, failing uint64, addrs int) {
		s := advise.Source{ID: id, Name: name, Class: class, Messages: n, Failing: failing, HeaderFrom: []string{d.Domain, "bosai." + d.Domain}, Reporters: 7,
			Reasons: []explain.Step{{Code: "web.class.says." + string(class)}}, DKIM: []string{name}, SPF: []string{"bounce." + name}, FirstDay: a.Window.Begin, LastDay: a.Window.End - 1}
		for i := range addrs {
			s.Addresses = append(s.Addresses, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).String())
		}
		s.PTR = []string{"mx1." + name}
		s.Key, s.Department = "org:"+name, departmentOfSource(id)
		s.For, s.Against = []explain.Step{{Code: "web.class.says." + string(class)}, {Code: "web.class.do." + string(class)}}, []explain.Step{{Code: "web.class.says.unknown"}}
		s.Rhythm, s.Selectors, s.Envelope = advise.Rhythm{Pattern: "monthly", Days: 30, Active: 4}, []string{"s1", hostile}, []string{"bounce." + name}
		switch class {
		case advise.Unknown:
			s.Probability, s.Probabilities = 0.48, advise.Probabilities{Aligned: 0.02, Broken: 0.44, Forwarder: 0.03, Spoof: 0.03, Unknown: 0.48}
			s.Question = &explain.Step{Code: "ask.service", Args: explain.Args{"domain": name, "author": d.Domain}}
		case advise.Forwarder:
			s.Probability, s.Probabilities = 1, advise.Probabilities{Forwarder: 0.71, Broken: 0.2, Unknown: 0.09}
			s.Word = &advise.Word{Class: advise.Forwarder, Name: "卒業生の転送 " + hostile, Note: hostile, By: "田中", At: time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)}
		default:
			s.Probability, s.Probabilities = 0.97, advise.Probabilities{Aligned: 0.01, Broken: 0.97, Unknown: 0.02}
			s.Sender = &advise.Sender{ID: "x", Name: hostile, Kind: "delivery", Network: "KAKUU-NET " + hostile, Country: "JP"}
			s.OtherDomains, s.Seen = 2, []advise.Seen{{By: "failure-reports", Messages: 9, Failing: 8, Last: newest - 2}, {By: "gateway", Messages: 3, Failing: 3, Last: newest - 1}}
		}
		a.Sources = append(a.Sources, s)
	}
	src("own-1", d.Domain, advise.Aligned, 181234, 12, 3)
	src("vendor-1", "haishin-benri.example", advise.Aligned, 61000, 0, 12)
	src("broken-1", "anketo-cloud.example", advise.Broken, 9120, 9120, 4)
	src("fwd-1", "fwd1.u-kasumi.example", advise.Forwarder, 5400, 1900, 2)
	src("hostile", hostile+".example", advise.Unknown, 400, 400, 1)
	src("unnamed", "unnamed-networks", advise.Spoof, 60123, 60123, 200)
	for i := range 70 {
		src(fmt.Sprintf("spoof-%d", i), fmt.Sprintf("vps%02d.rental-server.example", i), advise.Spoof, uint64(900-i), uint64(900-i), 1)
	}
	a.Ladder = ladderOfWorld(d.Domain)
	a.Policies = []advise.PolicyCost{{P: "quarantine", LegitimateAtRisk: 9520, Share: 0.036, Upper95: 0.037, Legitimate: 256000, Stopped: 60000,
		Sources:   []advise.RiskShare{{ID: "broken-1", Name: "anketo-cloud.example", AtRisk: 9120, Messages: 9120}, {ID: "hostile", Name: hostile, AtRisk: 400, Messages: 400}},
		Receivers: []advise.RiskShare{{Name: hostile, AtRisk: 5000, Messages: 120000}, {Name: "kensaku-mail.example", AtRisk: 4520, Messages: 136000}}}}
	if q.Department != 0 && w.bench != nil && !w.leaky { // an advisor that does not narrow is caught by the pages
		all := a.Sources
		a.Sources = nil
		for _, src := range all {
			if d := w.bench.departments[q.Department-1]; src.Department == d.Name {
				a.Sources, a.Department = append(a.Sources, src), d.Name
			}
		}
	}
	return a, !w.stale, nil
}

func (w *world) DomainNames(ctx context.Context) ([]string, error) {
	var out []string
	for _, d := range w.domains {
		out = append(out, d.Domain)
	}
	return out, w.err
}

func (w *world) Newest(ctx context.Context, name string) (store.Day, bool, error) {
	if w.err != nil || w.empty {
		return 0, false, w.err
	}
	ok := name == "" || slices.ContainsFunc(w.domains, func(d advise.DomainSummary) bool { return d.Domain == name })
	return newest, ok, nil
}

func (w *world) DomainDaily(ctx context.Context, name string, win store.Window) ([]store.DayTotals, error) {
	var out []store.DayTotals
	for d := win.Begin; d < win.End; d++ {
		out = append(out, store.DayTotals{Day: d, Messages: 10000 + 500*uint64(d%7), Aligned: 9000, Quarantined: 300 * uint64(d%3), Rejected: 100 * uint64(d%5)})
	}
	return out, w.err
}

func (w *world) PolicyHistory(ctx context.Context, name string) ([]store.PolicySpan, error) {
	return []store.PolicySpan{
		{Policy: aggregate.PolicyPublished{Domain: name, P: "none", ADKIM: "r", ASPF: "r", PCT: "100"}, From: newest - 402, To: newest - 40, Reports: 3100, Messages: 1204000},
		{Policy: aggregate.PolicyPublished{Domain: name, P: "none", SP: "none", NP: "reject"}, From: newest - 39, To: newest - 1, Reports: 400, Messages: 290000},
	}, w.err
}

func (w *world) SourceAddresses(ctx context.Context, name, source string, win store.Window, p store.Page) ([]store.AddressTotals, int64, error) {
	var out []store.AddressTotals
	for i := range 50 {
		out = append(out, store.AddressTotals{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Messages: uint64(5000 - i), Failing: uint64(i), FirstDay: win.Begin, LastDay: win.End - 1, Reporters: 5})
	}
	out = append(out[:10:10], store.AddressTotals{Addr: netip.MustParseAddr("2001:db8:1234:5678:9abc:def0:1234:5678"), Messages: 17, FirstDay: win.Begin, LastDay: win.Begin, Reporters: 1})
	return out, 130, w.err
}

func (w *world) SourceDaily(ctx context.Context, name, source string, win store.Window) ([]store.DayTotals, error) {
	return w.DomainDaily(ctx, name, win)
}

func (w *world) SourceReporters(ctx context.Context, name, source string, win store.Window) ([]store.ReporterTotals, error) {
	return []store.ReporterTotals{{Reporter: "kensaku-mail.example", Messages: 81000, Failing: 3, Reports: 30, FirstDay: win.Begin, LastDay: win.End - 1}, {Reporter: hostile, Messages: 2, Reports: 1, FirstDay: win.Begin, LastDay: win.Begin}}, w.err
}

func (w *world) SourceAuth(ctx context.Context, name, source string, win store.Window) ([]store.AuthTotals, error) {
	return []store.AuthTotals{{Method: "dkim", Domain: "anketo-cloud.example", Selector: "s2026", Result: "pass", Messages: 9000}, {Method: "spf", Domain: "bounce.anketo-cloud.example", Scope: "mfrom", Result: "softfail", Messages: 120}, {Method: "dkim", Domain: hostile, Selector: hostile, Result: "fail", Messages: 3}}, w.err
}

func (w *world) SourceEnvelopes(ctx context.Context, name, source string, win store.Window) ([]store.EnvelopeTotals, error) {
	return []store.EnvelopeTotals{{HeaderFrom: name, EnvelopeFrom: hostile, Messages: 5, Failing: 5}}, w.err
}

func (w *world) PTRs(ctx context.Context, addrs []netip.Addr) (map[netip.Addr]store.PTR, error) {
	out := map[netip.Addr]store.PTR{}
	for i, a := range addrs {
		if i%2 == 0 {
			out[a] = store.PTR{Addr: a, Names: []string{fmt.Sprintf("mx%d.mail.anketo-cloud.example", i)}, Status: store.PTRFound}
		}
	}
	return out, w.err
}

func (w *world) head(seq int64) store.ReportHead {
	begin := time.Date(2026, 9, 1+int(seq%30), 0, 0, 0, 0, time.UTC)
	h := store.ReportHead{Seq: seq, FirstDay: store.DayOf(begin), Days: 1, Rows: 40 + seq, Messages: uint64(800 + seq), Aligned: uint64(700 + seq), Stored: begin.Add(30 * time.Hour),
		Origin: store.Origin{Import: 1, Path: "/srv/reports/2026-09/kensaku.zip", Member: "kensaku!kakuu.example!1.xml"},
		Report: aggregate.Report{Form: aggregate.RFC7489, Metadata: aggregate.Metadata{OrgName: "kensaku-mail.example", Email: "noreply-dmarc@kensaku-mail.example", ReportID: fmt.Sprintf("%d.1234567890123456789", seq), Begin: begin, End: begin.Add(86399 * time.Second)},
			PolicyPublished: aggregate.PolicyPublished{Domain: "kakuu.example", P: "none", ADKIM: "r", ASPF: "r", PCT: "100"}}}
	if seq%5 == 0 {
		h.Report.Metadata.OrgName = hostile
		h.Report.Metadata.ExtraContactInfo = "javascript:alert(1)"
		for _, c := range aggregate.DeviationCodes() {
			h.Report.Deviations = append(h.Report.Deviations, aggregate.Deviation{Code: c, Line: 3, Times: 2, Detail: hostile})
		}
	}
	return h
}

func (w *world) Reports(ctx context.Context, f store.ReportFilter, p store.Page) ([]store.ReportHead, int64, error) {
	if w.empty || p.Search == "nothing" {
		return nil, 0, w.err
	}
	var out []store.ReportHead
	for i := range min(50, p.Limit) {
		out = append(out, w.head(int64(p.Offset+i+1)))
	}
	return out, 1234, w.err
}

func (w *world) Report(ctx context.Context, seq int64) (store.ReportHead, error) {
	if seq < 1 || seq > 2000 {
		return store.ReportHead{}, cmp.Or(w.err, store.ErrNotFound)
	}
	return w.head(seq), w.err
}

func (w *world) Records(ctx context.Context, seq int64, p store.Page) ([]store.RecordRow, int64, error) {
	var out []store.RecordRow
	for i := range int64(12) {
		rec := aggregate.Record{SourceIP: netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), Count: uint64(100 - i), Disposition: aggregate.DispositionNone, DKIM: i%2 == 0, SPF: i%3 == 0, HeaderFrom: "kakuu.example", EnvelopeFrom: "bounce.kakuu.example",
			DKIMResults: []aggregate.DKIMResult{{Domain: "kakuu.example", Selector: "s1", Result: "pass"}}, SPFResults: []aggregate.SPFResult{{Domain: "bounce.kakuu.example", Scope: "mfrom", Result: "fail"}}}
		if i == 3 {
			rec.Reasons = []aggregate.Reason{{Type: "forwarded", Comment: hostile}}
			rec.Disposition = aggregate.DispositionReject
			rec.DKIMResults = append(rec.DKIMResults, aggregate.DKIMResult{Domain: hostile, Selector: hostile, Result: "permerror", HumanResult: hostile})
		}
		out = append(out, store.RecordRow{No: i, Record: rec})
	}
	return out, 12, w.err
}

func (w *world) Raw(ctx context.Context, seq int64) (io.ReadCloser, string, error) {
	if seq > 2000 {
		return nil, "", store.ErrNotFound
	}
	return io.NopCloser(strings.NewReader("<?xml version=\"1.0\"?><feedback>" + hostile + "</feedback>")), "a\r\nSet-Cookie: x=1!" + hostile + ".xml", w.err
}

func (w *world) ListQuarantined(ctx context.Context, p store.Page) ([]store.Quarantined, int64, error) {
	if w.empty {
		return nil, 0, w.err
	}
	return []store.Quarantined{
		{ID: 1, Path: "/srv/reports/2026-09/sakurane.xml", Kept: "quarantine/1", Size: 18234, Reason: "line 812, offset 18234: the input ends inside <record>: get the report again from its sender", At: time.Date(2026, 10, 1, 3, 4, 5, 0, time.UTC)},
		{ID: 2, Path: "upload/" + hostile + ".zip!1.xml", Kept: "quarantine/2", Size: 0, Reason: hostile, At: time.Date(2026, 9, 30, 23, 4, 5, 0, time.UTC)},
	}, 2, w.err
}

func (w *world) OpenQuarantined(ctx context.Context, id int64) (*os.File, store.Quarantined, error) {
	if id != 2 {
		return nil, store.Quarantined{}, store.ErrNotFound
	}
	name := filepath.Join(w.dir, "kept")
	if err := os.WriteFile(name, []byte("<html><script>alert(1)</script>"), 0o600); err != nil {
		return nil, store.Quarantined{}, err
	}
	f, err := os.Open(name)
	return f, store.Quarantined{ID: 2, Path: "/x/../" + hostile + ".html"}, err
}

func (w *world) Imports(ctx context.Context, p store.Page) ([]store.Import, int64, error) {
	if w.empty {
		return nil, 0, w.err
	}
	at := time.Date(2026, 10, 1, 1, 0, 0, 0, time.UTC)
	return []store.Import{
		{ID: 2, Paths: []string{"a.zip", "b.zip", "c.zip", hostile}, Started: at, Files: 4},
		{ID: 1, Paths: []string{"/srv/reports/2026-09"}, Started: at, Finished: at.Add(time.Minute), Files: 990, Reports: 982, Rows: 40211, Messages: 290112, Duplicates: 1, Rejected: 1},
	}, 2, w.err
}

func (w *world) ImportReader(ctx context.Context, name string, r io.Reader) (collect.Result, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return collect.Result{}, err
	}
	w.imports = append(w.imports, name)
	if strings.Contains(string(b), "bad") {
		return collect.Result{Files: 1, Rejected: []collect.Rejected{{Path: name, Error: hostile, Kept: "quarantine/3"}}}, nil
	}
	return collect.Result{Files: 1, Reports: 1, Rows: 5, Messages: 10}, nil
}
