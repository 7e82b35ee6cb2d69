package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sekimori/internal/inventory"
	"sekimori/internal/watch"
)

type timelineList struct {
	Domain  string        `json:"domain"`
	Entries []watch.Entry `json:"entries" doc:"The newest first, at most 2,000."`
}

// timelineBack is how far back a timeline goes by itself.
const timelineBack = 5 * 366 * 24 * time.Hour

// InventoryQuery narrows and pages an inventory.
type InventoryQuery struct {
	State  string `query:"state" enum:"sends,receives,silent,absent,unknown" doc:"Only names in this state."`
	Advice bool   `query:"advice" doc:"Only names with records to publish."`
	Origin string `query:"origin" enum:"reports,certificates,zone,list" doc:"Only names known from there."`
	Search string `query:"search" maxLength:"200" doc:"Only names that contain this."`
	Forged bool   `query:"forged" doc:"Also names that occur in forged mail alone."`
}

func (q *InventoryQuery) query() inventory.Query {
	return inventory.Query{State: inventory.State(q.State), Advice: q.Advice, Origin: q.Origin, Search: q.Search, Forged: q.Forged}
}

func (s *server) historyOperations(a huma.API) {
	if s.Work.Timeline != nil {
		huma.Register(a, get("get-timeline", "/domains/{domain}/timeline", "domains", "What happened to a domain: policy, DNS, fixes, waves of spoofing"),
			func(ctx context.Context, in *struct {
				Named
				Since Date   `query:"since" format:"date" doc:"Only from this day on (YYYY-MM-DD)."`
				Kind  string `query:"kind" maxLength:"40" doc:"Only entries of this kind."`
			}) (*answer[timelineList], error) {
				name, err := in.name()
				if err != nil {
					return nil, err
				}
				since := s.Work.Clock().Add(-timelineBack)
				if in.Since.Day != 0 {
					since = in.Since.Time()
				}
				all, err := s.Work.Timeline.Timeline(ctx, name, since)
				if err != nil {
					return nil, s.fail(ctx, err)
				}
				out := timelineList{Domain: name.String(), Entries: []watch.Entry{}}
				for _, e := range all {
					if in.Kind == "" || e.Kind == in.Kind {
						out.Entries = append(out.Entries, e)
					}
				}
				return reply(out), nil
			})
	}
	if s.Work.Inventory != nil {
		huma.Register(a, get("get-inventory", "/domains/{domain}/inventory", "domains", "A domain's sub-domains: which send, and what to publish for those that do not"),
			func(ctx context.Context, in *struct {
				Named
				InventoryQuery
				Offset int `query:"offset" minimum:"0" default:"0"`
				Limit  int `query:"limit" minimum:"1" maximum:"1000" default:"50"`
			}) (*answer[*inventory.Inventory], error) {
				name, err := in.name()
				if err != nil {
					return nil, err
				}
				q := in.query()
				q.Offset, q.Limit = in.Offset, in.Limit
				inv, err := s.Work.Inventory.Take(ctx, name, q)
				if err != nil {
					return nil, s.fail(ctx, err)
				}
				return reply(inv), nil
			})
	}
	if s.Work.Monthly != nil {
		huma.Register(a, get("get-monthly", "/domains/{domain}/monthly", "domains", "The figures of the monthly report"),
			func(ctx context.Context, in *struct {
				Named
				Month      string `query:"month" pattern:"^[0-9]{4}-[0-9]{2}$" doc:"YYYY-MM. Default: the last whole one that has reports."`
				Department int64  `query:"department" minimum:"0" doc:"Only this department's part."`
			}) (*answer[any], error) {
				name, err := in.name()
				if err != nil {
					return nil, err
				}
				if _, err := (Window{}).of(ctx, s.Store, name); err != nil {
					return nil, s.fail(ctx, err)
				}
				if in.Department != 0 {
					if _, err := s.departmentNamed(ctx, in.Department); err != nil {
						return nil, err
					}
				}
				if in.Month == "" {
					if in.Month, err = s.Work.Monthly.Usual(ctx, name.String()); err != nil {
						return nil, s.fail(ctx, err)
					}
				}
				figures, err := s.Work.Monthly.Figures(ctx, Month{name.String(), in.Month, in.Department})
				if err != nil {
					return nil, s.fail(ctx, err)
				}
				return reply(figures), nil
			})
	}
}
