package watch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/store"
)

// timelineCases is how many pieces of work a timeline tells of, those that
// changed last.
const timelineCases = 500

// Timeline returns what happened to a domain since a moment, the latest first,
// at most MaxEntries: changes of its zone, policies that reports show, pieces of
// work found, fixed and found again, what people said, alarms, and waves of
// forged mail. A zero since is a year and a month before now.
func (w *Watcher) Timeline(ctx context.Context, name domain.Name, since time.Time) ([]Entry, error) {
	if name.IsZero() {
		return nil, errors.New("timeline: no domain given")
	}
	if since.IsZero() {
		since = w.c.Now().AddDate(-1, -1, 0)
	}
	t := timeline{w: w, domain: name.String(), since: since.UTC()}
	for _, part := range []func(context.Context) error{t.happened, t.policies, t.work, t.words, t.forged} {
		if err := part(ctx); err != nil {
			return nil, fmt.Errorf("timeline of %s: %w", name, err)
		}
	}
	out := slices.DeleteFunc(t.out, func(e Entry) bool { return e.At.Before(t.since) && e.Until.Before(t.since) })
	slices.SortStableFunc(out, func(a, b Entry) int {
		return cmp.Or(b.At.Compare(a.At), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Step.Code, b.Step.Code))
	})
	return out[:min(len(out), MaxEntries)], nil
}

type timeline struct {
	w      *Watcher
	domain string
	since  time.Time
	out    []Entry
}

// happened takes what was noted when it happened. Changes of the zone get their
// records from what was observed.
func (t *timeline) happened(ctx context.Context) error {
	list, err := t.w.c.Store.Happenings(ctx, t.domain, t.since, MaxEntries)
	if err != nil {
		return err
	}
	seen, err := t.w.c.Store.Observations(ctx, t.domain, "", 10_000)
	if err != nil {
		return err
	}
	zone := map[string]change{}
	for _, c := range changes(seen) {
		zone[c.key()] = c
	}
	for _, h := range list {
		var s explain.Step
		if json.Unmarshal(h.Step, &s) != nil || s.Code == "" {
			continue
		}
		e := Entry{Domain: t.domain, At: h.At, Kind: h.Kind, Step: s}
		if c, ok := zone[h.Key]; ok && h.Kind == "dns" {
			e.Name, e.Before, e.After = c.after.Name, c.before.Value, c.after.Value
		}
		t.out = append(t.out, e)
	}
	return nil
}

// policies takes what reports show. A change that the zone was seen to make is
// not told twice.
func (t *timeline) policies(ctx context.Context) error {
	spans, err := t.w.c.Store.PolicyHistory(ctx, t.domain)
	if err != nil {
		return err
	}
	for i, s := range spans {
		at := s.From.Time()
		if at.Before(t.since) {
			continue
		}
		p := cmp.Or(strings.ToLower(s.Policy.P), "none")
		step := explain.Step{Code: "watch.policy-first", Args: explain.Args{"policy": explain.Clip(p)}}
		if i > 0 {
			before := cmp.Or(strings.ToLower(spans[i-1].Policy.P), "none")
			step = explain.Step{Code: "watch.policy-changed", Args: explain.Args{"before": explain.Clip(before), "after": explain.Clip(p)}}
			if before == p {
				step = explain.Step{Code: "watch.policy-details", Args: explain.Args{"policy": explain.Clip(p)}}
			}
		}
		if !t.said(at, p) {
			t.out = append(t.out, Entry{Domain: t.domain, At: at, Kind: "policy", Step: step})
		}
	}
	return nil
}

// said reports whether the zone was seen to change to a policy around a day:
// receivers follow within the life of the old record.
func (t *timeline) said(at time.Time, p string) bool {
	return slices.ContainsFunc(t.out, func(e Entry) bool {
		if e.Kind != "dns" || !strings.HasPrefix(e.Name, "_dmarc.") {
			return false
		}
		after, _ := e.Step.Args["after"].(string)
		d := at.Sub(e.At)
		return (after == p || e.Step.Code == "watch.dmarc-changed") && -3*24*time.Hour <= d && d <= 3*24*time.Hour
	})
}

// work takes the turns of pieces of work.
func (t *timeline) work(ctx context.Context) error {
	cases, _, err := t.w.c.Store.Cases(ctx, store.CaseFilter{Domain: t.domain}, store.Page{Limit: timelineCases, Sort: "changed", Desc: true})
	if err != nil {
		return err
	}
	for _, c := range cases {
		if c.Changed.Before(t.since) && c.Opened.Before(t.since) {
			continue
		}
		events, err := t.w.c.Store.CaseEvents(ctx, c.ID)
		if err != nil {
			return err
		}
		for _, v := range events {
			code, kind := turn(v)
			if code == "" {
				continue
			}
			t.out = append(t.out, Entry{Domain: t.domain, At: v.At, Kind: kind, By: v.By, Case: c.ID, Source: c.Source,
				Step: explain.Step{Code: code, Args: explain.Args{"source": explain.Clip(c.Name)}}})
		}
	}
	return nil
}

// turn words the events of a piece of work that a timeline tells of.
func turn(v store.CaseEvent) (code, kind string) {
	switch {
	case v.Kind == "opened":
		return "watch.case-opened", "found"
	case v.Kind == "reopened":
		return "watch.case-reopened", "reopened"
	case v.Kind != "state" && v.Kind != "proof":
		return "", ""
	}
	switch store.CaseState(v.To) {
	case store.CaseDone:
		return "watch.case-fixed", "fixed"
	case store.CaseWaiting:
		return "watch.case-waiting", "waiting"
	case store.CaseAccepted:
		return "watch.case-accepted", "accepted"
	}
	return "", ""
}

// words takes what people said about sources.
func (t *timeline) words(ctx context.Context) error {
	list, err := t.w.c.Store.Sayings(ctx, t.domain)
	if err != nil {
		return err
	}
	for _, s := range list {
		code := ""
		switch s.Class {
		case "aligned", "broken":
			code = "watch.word-ours"
		case "forwarder":
			code = "watch.word-forwarder"
		case "spoof":
			code = "watch.word-not-ours"
		case "":
			if code = "watch.word-taken-back"; s.Name != "" {
				code = "watch.word-named"
			}
		}
		if code == "" {
			continue
		}
		_, of, ok := strings.Cut(s.Key, ":")
		if !ok {
			of = s.Key
		}
		t.out = append(t.out, Entry{Domain: t.domain, At: s.At, Kind: "word", By: s.By, Source: s.Source,
			Step: explain.Step{Code: code, Args: explain.Args{"source": explain.Clip(cmp.Or(s.Name, of))}}})
	}
	return nil
}

// forged takes waves of forged mail.
func (t *timeline) forged(ctx context.Context) error {
	list, err := t.w.wavesOf(ctx, t.domain, store.DayOf(t.since))
	for _, v := range list {
		t.out = append(t.out, v.entry(t.domain, store.DayOf(t.w.c.Now().UTC())))
	}
	return err
}
