package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/collect"
	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// world is a store, an advisor and an importer with little in them.
type world struct {
	dir      string
	reports  int64
	addrs    int
	err      error // given by every method of the store
	uploaded map[string]string
}

var (
	newest = store.DayOf(time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC))
	first  = newest - 30
)

func (w *world) Newest(_ context.Context, d string) (store.Day, bool, error) {
	return newest, d == "kakuu.example", w.err
}

func (w *world) PolicyHistory(context.Context, string) ([]store.PolicySpan, error) {
	return []store.PolicySpan{{Policy: aggregate.PolicyPublished{P: "none"}, From: first, To: newest - 1, Reports: 3, Messages: 10}}, w.err
}

func (w *world) DomainDaily(_ context.Context, _ string, win store.Window) ([]store.DayTotals, error) {
	return []store.DayTotals{{Day: win.Begin, Messages: 10, Aligned: 7, Rejected: 1}}, w.err
}

func (w *world) SourceAddresses(_ context.Context, _, source string, _ store.Window, p store.Page) ([]store.AddressTotals, int64, error) {
	var out []store.AddressTotals
	for i := p.Offset; i < min(p.Offset+p.Limit, w.addrs); i++ {
		out = append(out, store.AddressTotals{Addr: netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), Messages: uint64(i), FirstDay: first, LastDay: newest - 1, Reporters: 2})
	}
	return out, int64(w.addrs), w.err
}

func (w *world) SourceDaily(context.Context, string, string, store.Window) ([]store.DayTotals, error) {
	return nil, w.err
}

func (w *world) SourceReporters(context.Context, string, string, store.Window) ([]store.ReporterTotals, error) {
	return []store.ReporterTotals{{Reporter: "=cmd|' /C calc'!A0", Messages: 4}}, w.err
}

func (w *world) SourceAuth(context.Context, string, string, store.Window) ([]store.AuthTotals, error) {
	return []store.AuthTotals{{Method: "dkim", Domain: "kakuu.example", Result: "pass", Messages: 3}}, w.err
}

func (w *world) SourceEnvelopes(context.Context, string, string, store.Window) ([]store.EnvelopeTotals, error) {
	return nil, w.err
}

func (w *world) head(seq int64) store.ReportHead {
	return store.ReportHead{Seq: seq, Rows: 2, Messages: 5, Aligned: 4, FirstDay: first, Days: 1, Stored: time.Unix(1790800000, 0),
		Report: aggregate.Report{Form: aggregate.RFC9990, PolicyPublished: aggregate.PolicyPublished{Domain: "kakuu.example", P: "none"},
			Metadata: aggregate.Metadata{OrgName: "架空プロバイダ", ReportID: fmt.Sprint(seq), Begin: first.Time(), End: (first + 1).Time()}}}
}

func (w *world) Reports(_ context.Context, f store.ReportFilter, p store.Page) ([]store.ReportHead, int64, error) {
	var out []store.ReportHead
	for i := int64(p.Offset); i < min(int64(p.Offset+p.Limit), w.reports); i++ {
		out = append(out, w.head(i+1))
	}
	return out, w.reports, w.err
}

func (w *world) Report(_ context.Context, seq int64) (store.ReportHead, error) {
	if seq > w.reports {
		return store.ReportHead{}, store.ErrNotFound
	}
	return w.head(seq), w.err
}

func (w *world) Records(_ context.Context, seq int64, p store.Page) ([]store.RecordRow, int64, error) {
	if p.Offset > 0 || seq > w.reports {
		return nil, 1, nil
	}
	return []store.RecordRow{{Record: aggregate.Record{SourceIP: netip.MustParseAddr("2001:db8::1"), Count: 1 << 40, Disposition: aggregate.DispositionNone,
		HeaderFrom: "＝kakuu.example", DKIMResults: []aggregate.DKIMResult{{Domain: "kakuu.example", Selector: "k1", Result: "pass"}}}}}, 1, w.err
}

func (w *world) Raw(_ context.Context, seq int64) (io.ReadCloser, string, error) {
	if seq > w.reports {
		return nil, "", store.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader([]byte("<feedback/>"))), "a!b!1!2.xml", w.err
}

func (w *world) ListQuarantined(_ context.Context, p store.Page) ([]store.Quarantined, int64, error) {
	if p.Offset > 0 {
		return nil, 1, nil
	}
	return []store.Quarantined{{ID: 1, Path: "a.xml", Kept: "quarantine/ab-a.xml", Size: 3, Reason: "line 1, offset 2: not XML", At: time.Unix(1790800000, 0)}}, 1, w.err
}

func (w *world) OpenQuarantined(_ context.Context, id int64) (*os.File, store.Quarantined, error) {
	if id != 1 {
		return nil, store.Quarantined{}, store.ErrNotFound
	}
	p := filepath.Join(w.dir, "ab-a.xml")
	if err := os.WriteFile(p, []byte("<html><script>alert(1)</script>"), 0o600); err != nil {
		return nil, store.Quarantined{}, err
	}
	f, err := os.Open(p)
	return f, store.Quarantined{ID: 1, Kept: "quarantine/ab-a.xml"}, err
}

func (w *world) Imports(context.Context, store.Page) ([]store.Import, int64, error) {
	return []store.Import{{ID: 1, Paths: []string{"/mail"}, Files: 3}}, 1, w.err
}

func (w *world) Cached(_ context.Context, n domain.Name, q advise.Question) (*advise.Advice, bool, error) {
	a := &advise.Advice{Domain: n.String(), Window: store.Window{Begin: newest - store.Day(q.Days), End: newest}, Policy: "none", Messages: 10, Aligned: 7,
		Verdict: advise.NotReady, Policies: []advise.PolicyCost{{P: "reject", LegitimateAtRisk: 2, Share: 0.25}}}
	for i, c := range advise.Classes {
		a.Sources = append(a.Sources, advise.Source{ID: "s" + string(c), Key: "org:" + string(c) + ".example", Name: string(c) + ".example", Class: c, Messages: uint64(10 - i), Failing: uint64(i),
			Addresses: []string{fmt.Sprintf("192.0.2.%d", i)}, HeaderFrom: []string{"kakuu.example"}, Reasons: []explain.Step{{Code: "no.such.code"}}, FirstDay: first, LastDay: newest - 1})
	}
	return a, true, w.err
}

func (w *world) Overview(_ context.Context, days int) ([]advise.DomainSummary, error) {
	return []advise.DomainSummary{{Domain: "kakuu.example", Policy: "none", Messages: 10, Aligned: 7, Verdict: advise.NotReady}}, w.err
}

func (w *world) ImportReader(_ context.Context, name string, r io.Reader) (collect.Result, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return collect.Result{}, err
	}
	w.uploaded[name] = string(b)
	return collect.Result{Files: 1, Reports: 1, Rejected: []collect.Rejected{}}, nil
}

func newWorld(t *testing.T, c Config) (*world, http.Handler) {
	t.Helper()
	w := &world{dir: t.TempDir(), reports: 3, addrs: 2500, uploaded: map[string]string{}}
	c.Store, c.Advisor, c.Importer = w, w, w
	c.TempDir = t.TempDir()
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return w, h
}

func do(h http.Handler, method, target string, header map[string]string, body io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, body)
	for k, v := range header {
		r.Header.Set(k, v)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}
