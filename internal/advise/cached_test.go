package advise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/domain"
	"sekimori/internal/locale"
	"sekimori/internal/store"
	"sekimori/internal/worlds"
	"sekimori/report/aggregate"
)

// fill stores days of a plain domain: n messages a day from its own server,
// and as many from each of some bots.
func fill(m *memory, dom string, days, n, bots int) {
	begin := store.DayOf(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))
	for d := range days {
		recs := []aggregate.Record{{
			SourceIP: netip.MustParseAddr("192.0.2.1"), Count: uint64(n), DKIM: true, SPF: true, HeaderFrom: dom, Disposition: "none",
			DKIMResults: []aggregate.DKIMResult{{Domain: dom, Result: "pass"}}, SPFResults: []aggregate.SPFResult{{Domain: dom, Result: "pass"}},
		}}
		for b := range bots {
			recs = append(recs, aggregate.Record{SourceIP: netip.AddrFrom4([4]byte{100, byte(b / 200), byte(b), 7}), Count: uint64(n), HeaderFrom: dom,
				Disposition: "none", SPFResults: []aggregate.SPFResult{{Domain: dom, Result: "fail"}}})
		}
		day := (begin + store.Day(d)).Time()
		m.put(aggregate.Report{
			Metadata:        aggregate.Metadata{OrgName: "r", ReportID: fmt.Sprint(d), Begin: day, End: day.Add(86399 * time.Second)},
			PolicyPublished: aggregate.PolicyPublished{Domain: dom, P: "none", SP: "none"},
		}, recs)
	}
}

func TestCached(t *testing.T) {
	ctx := t.Context()
	m := newMemory()
	fill(m, "a.example", 40, 500, 30)
	adv := New(Config{Store: m})
	defer adv.Close()
	name := mustName(t, "a.example")

	// Asked by many at once and never before: worked out once.
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			a, fresh, err := adv.Cached(ctx, name, Question{})
			if err != nil || !fresh || a.Messages != 30*500*31 {
				t.Errorf("%+v, %v, %v", a, fresh, err)
			}
		})
	}
	wg.Wait()
	if m.scans != 1 { // the window and the time before it in one
		t.Errorf("%d scans, want 1", m.scans)
	}
	a, _, err := adv.Cached(ctx, name, Question{Days: 30})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range a.Sources {
		if len(s.Addresses) > keptAddresses || s.Class == Spoof && s.AddressCount != 30 {
			t.Errorf("%s: %d of %d addresses kept", s.Name, len(s.Addresses), s.AddressCount)
		}
	}
	if full, err := adv.Advise(ctx, name, Question{}); err != nil || len(full.Sources) != 2 || len(full.Sources[1].Addresses) != 30 {
		t.Errorf("the whole answer: %+v, %v", full, err)
	}

	// A report arrives: the old answer at once, the new one soon.
	fill(m, "a.example", 41, 500, 30)
	old, fresh, err := adv.Cached(ctx, name, Question{})
	if err != nil || fresh || old.Messages != a.Messages {
		t.Fatalf("stale: %v, %v, %v", old.Messages, fresh, err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		now, fresh, err := adv.Cached(ctx, name, Question{})
		if err != nil {
			t.Fatal(err)
		}
		if fresh {
			if now.Messages <= a.Messages {
				t.Errorf("%d messages, before %d", now.Messages, a.Messages)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the answer stays stale")
		}
		time.Sleep(5 * time.Millisecond)
	}

	// Another process, the same store: nothing is worked out anew.
	scans := m.scans
	again := New(Config{Store: m})
	defer again.Close()
	if _, fresh, err := again.Cached(ctx, name, Question{}); err != nil || !fresh || m.scans != scans {
		t.Errorf("after a restart: %v, %v, %d scans", fresh, err, m.scans-scans)
	}
	// Nor is an answer of other rules taken.
	kept := m.advice[[2]string{"a.example", "30"}]
	kept.Doc = []byte(strings.Replace(string(kept.Doc), fmt.Sprintf(`"rules":%d`, rules), `"rules":0`, 1))
	m.advice[[2]string{"a.example", "30"}] = kept
	if _, fresh, err := again.Cached(ctx, name, Question{}); err != nil || !fresh || m.scans == scans {
		t.Errorf("other rules: %v, %v, %d scans", fresh, err, m.scans-scans)
	}
}

// TestAnswerWith: what a command asks is worked out once for the same data and the
// same files beside them, with all addresses.
func TestAnswerWith(t *testing.T) {
	m := newMemory()
	fill(m, "a.example", 40, 500, 30)
	name := mustName(t, "a.example")
	now := time.Now().UTC()
	ask := func(with string, scans int) {
		t.Helper()
		adv := New(Config{Store: m, With: with, Now: func() time.Time { return now }})
		defer adv.Close()
		before := m.scans
		a, err := adv.Answer(t.Context(), name, Question{})
		if err != nil || len(a.Sources) != 2 || len(a.Sources[1].Addresses) != 30 || m.scans-before != scans {
			t.Errorf("with %q: %d scans, want %d; %+v, %v", with, m.scans-before, scans, a, err)
		}
	}
	ask("", 1)
	ask("", 0)
	ask("senders.yaml 10 1", 1)
	ask("senders.yaml 10 1", 0)
	ask("senders.yaml 12 2", 1)
	fill(m, "a.example", 41, 500, 30)
	ask("senders.yaml 12 2", 1)
	ask("senders.yaml 12 2", 0)
	now = now.AddDate(0, 0, lookAfterStep)
	ask("senders.yaml 12 2", 0)
	now = now.AddDate(0, 0, 1) // the day to look again is over
	ask("senders.yaml 12 2", 1)
	ask("senders.yaml 12 2", 0)
}

func TestCachedErrors(t *testing.T) {
	m := newMemory()
	adv := New(Config{Store: m})
	if _, _, err := adv.Cached(t.Context(), domain.Name{}, Question{}); err == nil {
		t.Error("no name: no error")
	}
	a, _, err := adv.Cached(t.Context(), mustName(t, "nothing.example"), Question{})
	if err != nil || a.Verdict != InsufficientData || a.Sources == nil || a.NextRecord == "" {
		t.Errorf("a domain without reports: %+v, %v", a, err)
	}
	if len(m.advice) != 0 {
		t.Errorf("an answer about a domain without reports is kept: %v", m.advice)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := adv.Advise(ctx, mustName(t, "nothing.example"), Question{}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	adv.Close()
	if _, _, err := adv.Cached(t.Context(), mustName(t, "other.example"), Question{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after Close: %v", err)
	}
}

func TestOverview(t *testing.T) {
	ctx := t.Context()
	m := newMemory()
	fill(m, "big.example", 40, 1000, 20)
	fill(m, "small.example", 40, 10, 0)
	adv := New(Config{Store: m})
	defer adv.Close()
	lines, err := adv.Overview(ctx, 30)
	if err != nil || len(lines) != 2 || lines[0].Domain != "big.example" || !lines[0].Pending || lines[0].Unknown != 30*20*1000 || lines[0].Verdict != "" {
		t.Fatalf("before: %+v, %v", lines, err)
	}
	if m.scans != 0 {
		t.Errorf("%d scans for an overview", m.scans)
	}
	if err := adv.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	scans := m.scans
	lines, err = adv.Overview(ctx, 30)
	if err != nil || len(lines) != 2 {
		t.Fatal(lines, err)
	}
	b := lines[0]
	if b.Pending || b.Stale || b.Spoof != 30*20*1000 || b.Unknown != 0 || b.Verdict != Ready || len(b.Daily) != 30 || b.Policy != "none" {
		t.Errorf("after: %+v", b)
	}
	if s := lines[1]; s.Verdict != InsufficientData || s.Messages != 300 {
		t.Errorf("a small domain: %+v", s)
	}
	if err := adv.Refresh(ctx); err != nil || m.scans != scans {
		t.Errorf("refreshed what is fresh: %d scans, %v", m.scans-scans, err)
	}
	fill(m, "small.example", 41, 10, 0)
	if lines, err = adv.Overview(ctx, 30); err != nil || !lines[1].Stale || lines[0].Stale {
		t.Errorf("stale: %+v, %v", lines, err)
	}
	if err := adv.Refresh(ctx); err != nil || m.scans != scans+1 {
		t.Errorf("%d scans for one stale domain, %v", m.scans-scans, err)
	}
	if lines, err = New(Config{Store: newMemory()}).Overview(ctx, 30); err != nil || lines == nil || len(lines) != 0 {
		t.Errorf("an empty store: %v, %v", lines, err)
	}
}

// TestJSON checks the public names, and that no list is null.
func TestJSON(t *testing.T) {
	m := newMemory()
	fill(m, "a.example", 40, 500, 12)
	adv := New(Config{Store: m})
	defer adv.Close()
	a, err := adv.Advise(t.Context(), mustName(t, "a.example"), Question{Days: 7, Until: store.DayOf(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC))})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "null") {
		t.Errorf("a null in %s", raw)
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	need := func(m map[string]any, what string, names ...string) {
		t.Helper()
		for _, n := range names {
			if _, ok := m[n]; !ok {
				t.Errorf("%s has no %q", what, n)
			}
		}
	}
	need(doc, "advice", "domain", "window", "policy", "messages", "aligned", "sources", "policies", "verdict", "next_record")
	if w := doc["window"].(map[string]any); w["begin"] != "2026-05-25" || w["end"] != "2026-06-01" {
		t.Errorf("window %v", w)
	}
	src := doc["sources"].([]any)[0].(map[string]any)
	need(src, "source", "id", "name", "class", "messages", "failing", "addresses", "header_from", "reasons")
	need(src["reasons"].([]any)[0].(map[string]any), "reason", "code", "args")
	pol := doc["policies"].([]any)
	need(pol[0].(map[string]any), "policy", "p", "legitimate_at_risk", "share", "upper95")
	if len(pol) != 2 || pol[0].(map[string]any)["p"] != "quarantine" || pol[1].(map[string]any)["p"] != "reject" {
		t.Errorf("policies %v", pol)
	}
	// The sentences can be written from what was read back.
	var back Advice
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	steps := append(append([]Source(nil), back.Sources...), Source{Reasons: append(back.Reasons, back.Notes...)})
	for _, s := range steps {
		for _, r := range s.Reasons {
			for _, l := range locale.Langs {
				if text := l.Step(r); strings.Contains(text, "⟦") {
					t.Errorf("%s: %s", l, text)
				}
			}
		}
	}
}

// TestSentences checks the sentences of all that the generated and the shared
// worlds say.
func TestSentences(t *testing.T) {
	codes := map[string]bool{}
	for seed := uint64(200); seed < 212; seed++ {
		w := worlds.Make(seed)
		_, a, _ := judged(t, w, inMemory(w), seed%4 == 3)
		all := append(a.Reasons, a.Notes...)
		for _, s := range a.Sources {
			all = append(all, s.Reasons...)
			if len(s.Reasons) == 0 {
				t.Errorf("seed %d: %s is %s for no reason", seed, s.Name, s.Class)
			}
			if !strings.Contains(s.Name, ".") && !locale.English.Has("source."+s.Name) {
				t.Errorf("seed %d: source %q has no name", seed, s.Name)
			}
		}
		for _, r := range all {
			codes[r.Code] = true
			for _, l := range locale.Langs {
				if text := l.Step(r); strings.Contains(text, "⟦") {
					t.Errorf("%s: %s", l, text)
				}
			}
		}
	}
	if len(codes) < 20 {
		t.Errorf("only %d different sentences", len(codes))
	}
}
