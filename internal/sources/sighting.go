package sources

import (
	"context"
	"errors"
	"time"

	"sekimori/domain"
	"sekimori/internal/store"
	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
)

// FailureReports gives the failure reports about a domain; *store.Store has it.
type FailureReports interface {
	Sightings(ctx context.Context, domain string, w store.Window, f func(store.Sighting) error) error
}

// Verdicts gives what a gateway decided; *verdict.Reader has it.
type Verdicts interface {
	DayNames() ([]string, error)
	PoliciesOf(ctx context.Context, day, domain string) ([]int64, error)
	Rows(ctx context.Context, day string, policyID int64, f func(*aggregate.Record) error) error
}

// Sightings returns what gives all that other eyes than the aggregate reports
// saw of a domain in a window: failure reports, and the verdicts of this site's
// own gateway on mail under the domain's policy, a Sighting for each of its rows
// of a day. Either part may be nil. Nothing is held in memory; a day that was
// removed meanwhile is passed over. An error of f ends it.
func Sightings(reports FailureReports, gateway Verdicts) func(ctx context.Context, domain string, w store.Window, f func(store.Sighting) error) error {
	return func(ctx context.Context, domain string, w store.Window, f func(store.Sighting) error) error {
		if reports != nil {
			if err := reports.Sightings(ctx, domain, w, f); err != nil {
				return err
			}
		}
		if gateway != nil {
			return verdicts(ctx, gateway, domain, w, f)
		}
		return nil
	}
}

func verdicts(ctx context.Context, gateway Verdicts, name string, w store.Window, f func(store.Sighting) error) error {
	n, err := domain.Parse(name)
	if err != nil {
		return nil // no domain that a policy could be of
	}
	days, err := gateway.DayNames()
	if err != nil {
		return err
	}
	for _, d := range days {
		t, err := time.Parse(time.DateOnly, d)
		if err != nil {
			continue
		}
		day := store.DayOf(t)
		if day < w.Begin || day >= w.End {
			continue
		}
		policies, err := gateway.PoliciesOf(ctx, d, n.String())
		for _, id := range policies {
			if err = gateway.Rows(ctx, d, id, func(r *aggregate.Record) error { return f(ofRecord(r, day)) }); err != nil {
				break
			}
		}
		if err != nil && !errors.Is(err, verdict.ErrUnknown) {
			return err
		}
	}
	return nil
}

// ofRecord makes a sighting of a row of the gateway's own report.
func ofRecord(r *aggregate.Record, day store.Day) store.Sighting {
	g := store.Sighting{By: store.ByGateway, Author: r.HeaderFrom, Addr: r.SourceIP.Unmap(), Day: day, Messages: r.Count, Envelope: r.EnvelopeFrom, Delivery: string(r.Disposition)}
	if !r.DKIM && !r.SPF {
		g.Failing = r.Count
	}
	related := func(name string) bool { return Organization(name) == Organization(r.HeaderFrom) }
	for _, d := range r.DKIMResults {
		if g.DKIM == "" || related(d.Domain) && !related(g.DKIMDomain) {
			g.DKIMDomain, g.Selector, g.DKIM = d.Domain, d.Selector, d.Result
		}
	}
	for _, s := range r.SPFResults {
		if g.SPF == "" || s.Scope == "mfrom" {
			g.SPFDomain, g.SPF = s.Domain, s.Result
		}
	}
	return g
}
