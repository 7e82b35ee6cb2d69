package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sekimori/internal/advise"
	"sekimori/internal/collect"
	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// TestWithAStore sends reports in by HTTP and gets their figures out again,
// with the real store, importer and advisor.
func TestWithAStore(t *testing.T) {
	ctx := context.Background()
	st, err := store.Open(ctx, t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	advisor := advise.New(advise.Config{Store: st, Now: time.Now})
	defer advisor.Close()
	h, err := New(Config{Store: st, Advisor: advisor, Importer: collect.New(st), TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	upload := func(name string, body []byte) collect.Result {
		t.Helper()
		rec := do(h, "POST", "/api/v1/reports?name="+name, nil, bytes.NewReader(body))
		var res collect.Result
		if err := json.Unmarshal(rec.Body.Bytes(), &res); err != nil || rec.Code != 200 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		return res
	}
	// An empty store answers, too.
	for target, status := range map[string]int{"/api/v1/domains": 200, "/api/v1/reports": 200, "/api/v1/quarantine": 200, "/api/v1/imports": 200,
		"/api/v1/domains/kakuu.example/advice": 404, "/api/v1/reports/1": 404, "/api/v1/reports/1/records": 404, "/api/v1/reports/1/raw": 404,
		"/export/domains.csv": 200, "/export/reports.xlsx": 200, "/export/records.csv?seq=1": 404} {
		if rec := do(h, "GET", target, nil, nil); rec.Code != status {
			t.Errorf("empty store: %s: %d %s", target, rec.Code, rec.Body)
		}
	}
	var messages uint64
	const days, rows = 20, 30
	for day := range days {
		doc, n := madeReport(t, day, rows)
		messages += n
		if res := upload("a.xml", doc); res.Reports != 1 || res.Rows != rows || res.Messages != n {
			t.Fatalf("day %d: %+v", day, res)
		}
	}
	doc, _ := madeReport(t, 0, rows)
	if res := upload("again.xml", doc); res.Duplicates != 1 || res.Reports != 0 {
		t.Errorf("the same again: %+v", res)
	}
	if res := upload("broken.xml", doc[:len(doc)/2]); len(res.Rejected) != 1 {
		t.Errorf("half a report: %+v", res)
	}

	get := func(target string, into any) *http.Response {
		t.Helper()
		rec := do(h, "GET", target, nil, nil)
		if rec.Code != 200 {
			t.Fatalf("%s: %d %s", target, rec.Code, rec.Body)
		}
		if into != nil {
			if err := json.Unmarshal(rec.Body.Bytes(), into); err != nil {
				t.Fatalf("%s: %v", target, err)
			}
		}
		return rec.Result()
	}
	const d = "/api/v1/domains/kakuu.example"
	var advice advise.Advice
	get(d+"/advice", &advice)
	if advice.Messages != messages || len(advice.Sources) == 0 {
		t.Errorf("advice about %d messages of %d, %d sources", advice.Messages, messages, len(advice.Sources))
	}
	var daily struct {
		Days    []store.DayTotals
		Classes []advise.ClassDay
	}
	get(d+"/daily", &daily)
	var sum, classes uint64
	for _, x := range daily.Days {
		sum += x.Messages
	}
	for _, x := range daily.Classes {
		classes += x.Aligned + x.Broken + x.Forwarder + x.Unknown + x.Spoof
	}
	if sum != messages || classes != messages {
		t.Errorf("days add up to %d, classes to %d, of %d", sum, classes, messages)
	}
	sum = 0
	for _, src := range advice.Sources {
		var list addressList
		get(d+"/sources/"+src.ID+"/addresses?limit=1000", &list)
		for _, a := range list.Addresses {
			sum += a.Messages
		}
		get(d+"/sources/"+src.ID, nil)
	}
	if sum != messages {
		t.Errorf("addresses of all sources add up to %d of %d", sum, messages)
	}
	get(d+"/policies", nil)
	var reports struct {
		Total   int64
		Reports []struct{ Seq, Rows int64 }
	}
	get("/api/v1/reports?domain=kakuu.example&reporter=Receiver&limit=3&sort=messages&desc=true", &reports)
	if reports.Total != days || len(reports.Reports) != 3 {
		t.Errorf("reports: %+v", reports)
	}
	seq := reports.Reports[0].Seq
	get(fmt.Sprintf("/api/v1/reports/%d/records?sort=messages&desc=true", seq), nil)
	if rec := do(h, "GET", fmt.Sprintf("/api/v1/reports/%d/raw", seq), nil, nil); !strings.Contains(rec.Body.String(), "<feedback") || !strings.HasSuffix(strings.TrimSuffix(rec.Header().Get("Content-Disposition"), `"`), ".xml") {
		t.Errorf("raw: %v %.100s", rec.Header(), rec.Body)
	}
	var kept struct{ Items []store.Quarantined }
	get("/api/v1/quarantine", &kept)
	if len(kept.Items) != 1 {
		t.Fatalf("quarantine: %+v", kept)
	}
	if rec := do(h, "GET", fmt.Sprintf("/api/v1/quarantine/%d/file", kept.Items[0].ID), nil, nil); rec.Body.String() != string(doc[:len(doc)/2]) {
		t.Errorf("the kept copy differs: %d", rec.Code)
	}
	for name, tab := range tables() {
		if strings.HasPrefix(name, "survey") || strings.HasPrefix(name, "gateway") || tab.work {
			continue // needs a survey, a gateway, or the work of fixing
		}
		q := fmt.Sprintf("?domain=kakuu.example&source=%s&seq=%d&lang=ja", advice.Sources[0].ID, seq)
		for _, form := range []string{".csv", ".xlsx"} {
			rec := do(h, "GET", "/export/"+name+form+q, nil, nil)
			if rec.Code != 200 {
				t.Errorf("%s%s: %d %s", name, form, rec.Code, rec.Body)
			} else if form == ".csv" {
				lines, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(rec.Body.String(), "\ufeff"))).ReadAll()
				if err != nil || len(lines) < 2 && name != "deviations" || len(lines[0]) != len(tab.columns) {
					t.Errorf("%s: %v, %q", name, err, lines)
				}
			}
		}
	}
}

// madeReport is one day's report, and how many messages it counts.
func madeReport(t *testing.T, day, rows int) ([]byte, uint64) {
	t.Helper()
	begin := time.Date(2026, 9, 1+day, 0, 0, 0, 0, time.UTC)
	var b bytes.Buffer
	w, err := aggregate.NewWriter(&b, aggregate.RFC7489, aggregate.Report{
		Metadata:        aggregate.Metadata{OrgName: "Receiver", Email: "dmarc@receiver.example", ReportID: fmt.Sprint("day", day), Begin: begin, End: begin.Add(24*time.Hour - time.Second)},
		PolicyPublished: aggregate.PolicyPublished{Domain: "kakuu.example", P: "none"}})
	if err != nil {
		t.Fatal(err)
	}
	var sum uint64
	for i := range rows {
		pass := i%3 > 0
		r := aggregate.Record{SourceIP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Count: uint64(i + 1), Disposition: aggregate.DispositionNone, DKIM: pass,
			HeaderFrom: "kakuu.example", EnvelopeFrom: "kakuu.example", SPFResults: []aggregate.SPFResult{{Domain: "kakuu.example", Scope: "mfrom", Result: "fail"}}}
		if pass {
			r.DKIMResults = []aggregate.DKIMResult{{Domain: "kakuu.example", Selector: "k1", Result: "pass"}}
		}
		sum += r.Count
		if err := w.WriteRecord(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), sum
}
