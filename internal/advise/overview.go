package advise

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sekimori/domain"
	"sekimori/internal/store"
)

// DomainSummary is one line of the page of all domains.
type DomainSummary struct {
	Domain string       `json:"domain"`
	Window store.Window `json:"window"`
	Policy string       `json:"policy"` // p in the newest report; "" for not known
	// PolicySince is the first day of the unbroken run of reports, up to the
	// newest, that show this policy.
	PolicySince store.Day  `json:"policy_since"`
	Messages    uint64     `json:"messages"`
	Aligned     uint64     `json:"aligned"`   // messages that passed
	Broken      uint64     `json:"broken"`    // failing messages of broken sources
	Forwarder   uint64     `json:"forwarder"` // failing messages of forwarders
	Unknown     uint64     `json:"unknown"`   // failing messages that cannot be told yet
	Spoof       uint64     `json:"spoof"`     // spoofed messages
	Verdict     Verdict    `json:"verdict"`   // "" while Pending
	Daily       []ClassDay `json:"daily"`
	// Pending is set where no answer has been worked out yet: Broken,
	// Forwarder and Spoof are 0 and Unknown holds all failing messages.
	Pending bool `json:"pending"`
	// Stale is set where reports arrived after the answer was worked out.
	Stale bool `json:"stale"`
}

// summarize makes the line of an answer.
func (r *result) summarize() DomainSummary {
	a := r.advice
	s := DomainSummary{
		Domain: a.Domain, Window: a.Window, Policy: a.Policy, PolicySince: r.since,
		Messages: a.Messages, Aligned: a.Aligned, Verdict: a.Verdict, Daily: a.Daily,
	}
	for _, x := range a.Sources {
		switch x.Class {
		case Broken:
			s.Broken += x.Failing
		case Forwarder:
			s.Forwarder += x.Failing
		case Spoof:
			s.Spoof += x.Failing
		default:
			s.Unknown += x.Failing
		}
	}
	return s
}

// Overview returns one line per domain with reports, those with the most
// messages first, for windows of the given number of days that end with each
// domain's newest report. The lines come from kept answers; a domain that has
// none yet is Pending and shows its totals only. Nothing is worked out here:
// Refresh does that.
func (a *Advisor) Overview(ctx context.Context, days int) ([]DomainSummary, error) {
	q := Question{Days: days}
	keptLines, err := a.c.Store.AdviceSummaries(ctx, q.key())
	if err != nil {
		return nil, fmt.Errorf("overview: %w", err)
	}
	names, err := a.c.Store.DomainNames(ctx)
	if err != nil {
		return nil, fmt.Errorf("overview: %w", err)
	}
	lines := make(map[string]DomainSummary, len(names))
	for _, c := range keptLines {
		var s summary
		if json.Unmarshal(c.Summary, &s) == nil && s.Rules == rules {
			s.Summary.Stale = c.Version != a.c.Store.DomainVersion(c.Domain) || s.State != a.state(c.Domain)
			lines[c.Domain] = s.Summary
		}
	}
	out := make([]DomainSummary, 0, len(names))
	missing := false
	for _, n := range names {
		if s, ok := lines[n]; ok {
			out = append(out, s)
		} else {
			missing = true
		}
	}
	if missing {
		pending, err := a.pending(ctx, q, lines)
		if err != nil {
			return nil, fmt.Errorf("overview: %w", err)
		}
		out = append(out, pending...)
	}
	for i := range out {
		if out[i].Daily == nil {
			out[i].Daily = []ClassDay{}
		}
	}
	slices.SortFunc(out, func(x, y DomainSummary) int {
		return cmp.Or(cmp.Compare(y.Messages, x.Messages), strings.Compare(x.Domain, y.Domain))
	})
	return out, nil
}

// pending makes lines for the domains that have no answer yet, from totals
// that the store keeps.
func (a *Advisor) pending(ctx context.Context, q Question, have map[string]DomainSummary) ([]DomainSummary, error) {
	end, ok, err := a.c.Store.Newest(ctx, "")
	if err != nil || !ok {
		return nil, err
	}
	days := q.Days
	if days <= 0 {
		days = defaultDays
	}
	w := store.Window{Begin: end - store.Day(min(days, maxDays)), End: end}
	all, err := a.c.Store.Domains(ctx, w)
	if err != nil {
		return nil, err
	}
	var out []DomainSummary
	for _, t := range all {
		if _, ok := have[t.Domain]; ok {
			continue
		}
		out = append(out, DomainSummary{
			Domain: t.Domain, Window: w, Policy: t.Policy.P, PolicySince: t.PolicySince,
			Messages: t.Messages, Aligned: t.Aligned, Unknown: t.Messages - min(t.Aligned, t.Messages), Pending: true,
		})
	}
	return out, nil
}

// Refresh brings kept answers up to date, one domain after the other, the
// windows of Config.Days for each. It goes on after an error and returns the
// errors together; when the context ends it stops.
func (a *Advisor) Refresh(ctx context.Context) error {
	names, err := a.c.Store.DomainNames(ctx)
	if err != nil {
		return fmt.Errorf("refresh advice: %w", err)
	}
	var errs []error
	for _, days := range a.c.Days {
		q := Question{Days: days}
		keptLines, err := a.c.Store.AdviceSummaries(ctx, q.key())
		if err != nil {
			return fmt.Errorf("refresh advice: %w", err)
		}
		fresh := make(map[string]bool, len(keptLines))
		for _, c := range keptLines {
			var s summary
			if json.Unmarshal(c.Summary, &s) == nil && s.Rules == rules {
				fresh[c.Domain] = c.Version == a.c.Store.DomainVersion(c.Domain) && s.State == a.state(c.Domain) &&
					!(s.Pending && a.mayGoOn(c.Domain))
			}
		}
		for _, n := range names {
			if fresh[n] {
				continue
			}
			name, err := domain.Parse(n)
			if err != nil {
				continue // a report may name anything; it has no page of its own
			}
			w := a.start(name, q)
			select {
			case <-w.done:
			case <-ctx.Done():
				return errors.Join(append(errs, ctx.Err())...)
			}
			if w.err != nil && len(errs) < 10 {
				errs = append(errs, w.err)
			}
		}
	}
	return errors.Join(errs...)
}
