package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"sekimori/internal/advise"
	"sekimori/internal/store"
)

// domainList is every domain with reports.
type domainList struct {
	Days    int                    `json:"days" doc:"Length of each line's window in days."`
	Domains []advise.DomainSummary `json:"domains"`
}

// dailyFigures is a domain's days.
type dailyFigures struct {
	Domain  string            `json:"domain"`
	Window  store.Window      `json:"window"`
	Days    []store.DayTotals `json:"days" doc:"Messages by day, and how many passed, were quarantined or rejected. Days without mail are left out, and all are for a department."`
	Classes []advise.ClassDay `json:"classes" doc:"Messages by day and class of their source."`
}

// policySpan is a run of days over which reports show one policy.
type policySpan struct {
	Policy   policy    `json:"policy"`
	From     store.Day `json:"from" format:"date"`
	To       store.Day `json:"to" format:"date" doc:"The last day, inclusive."`
	Reports  int64     `json:"reports"`
	Messages uint64    `json:"messages"`
}

type policyHistory struct {
	Domain   string       `json:"domain"`
	Policies []policySpan `json:"policies"`
}

// adviceAnswer is advice with its freshness beside it, so that the body is
// exactly what "advise --json" prints.
type adviceAnswer struct {
	CacheControl string `header:"Cache-Control"`
	Fresh        bool   `header:"Fresh" doc:"false: newer reports have arrived and the answer is being worked out again."`
	Body         *advise.Advice
}

func (s *server) domainOperations(a huma.API) {
	huma.Register(a, get("list-domains", "/domains", "domains", "All domains at a glance"),
		func(ctx context.Context, in *struct {
			Days int `query:"days" minimum:"1" maximum:"3660" default:"30" doc:"Length of the window in days, up to each domain's newest report."`
			Part
		}) (*answer[domainList], error) {
			list, err := s.Work.Overview(ctx, s.Advisor, in.Days, in.Department)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return reply(domainList{Days: in.Days, Domains: notNil(list)}), nil
		})

	huma.Register(a, get("get-advice", "/domains/{domain}/advice", "domains", "Who sends as the domain, what each policy would cost, and what to publish next"),
		func(ctx context.Context, in *struct {
			Named
			Window
			Part
		}) (*adviceAnswer, error) {
			advice, fresh, _, err := s.adviceOf(ctx, in.Named, in.Window, in.Part)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return &adviceAnswer{CacheControl: "private, no-cache", Fresh: fresh, Body: advice}, nil
		})

	huma.Register(a, get("get-daily", "/domains/{domain}/daily", "domains", "A domain's messages by day"),
		func(ctx context.Context, in *struct {
			Named
			Window
			Part
		}) (*answer[dailyFigures], error) {
			advice, _, w, err := s.adviceOf(ctx, in.Named, in.Window, in.Part)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			var days []store.DayTotals
			if in.Department == 0 { // what receivers did is not known by department
				if days, err = s.Store.DomainDaily(ctx, advice.Domain, w); err != nil {
					return nil, s.fail(ctx, err)
				}
			}
			return reply(dailyFigures{Domain: advice.Domain, Window: w, Days: notNil(days), Classes: notNil(advice.Daily)}), nil
		})

	huma.Register(a, get("get-policies", "/domains/{domain}/policies", "domains", "The policies that reports have shown, oldest first"),
		func(ctx context.Context, in *struct{ Named }) (*answer[policyHistory], error) {
			name, err := in.name()
			if err != nil {
				return nil, err
			}
			if _, err := (Window{}).of(ctx, s.Store, name); err != nil {
				return nil, s.fail(ctx, err)
			}
			spans, err := s.Store.PolicyHistory(ctx, name.String())
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			out := policyHistory{Domain: name.String(), Policies: make([]policySpan, len(spans))}
			for i, p := range spans {
				out.Policies[i] = policySpan{Policy: policyOf(p.Policy), From: p.From, To: p.To, Reports: p.Reports, Messages: p.Messages}
			}
			return reply(out), nil
		})
}

// advice returns the answer for a domain that has reports, and its window.
func (s *server) advice(ctx context.Context, n Named, q Window) (*advise.Advice, bool, store.Window, error) {
	return s.adviceOf(ctx, n, q, Part{})
}

// adviceOf is advice for a department's part of the domain.
func (s *server) adviceOf(ctx context.Context, n Named, q Window, part Part) (*advise.Advice, bool, store.Window, error) {
	name, err := n.name()
	if err != nil {
		return nil, false, store.Window{}, err
	}
	w, err := q.of(ctx, s.Store, name)
	if err != nil {
		return nil, false, store.Window{}, err
	}
	ask := q.question()
	if ask.Department = part.Department; ask.Department != 0 {
		if _, err := s.departmentNamed(ctx, ask.Department); err != nil {
			return nil, false, store.Window{}, err
		}
	}
	advice, fresh, err := s.Advisor.Cached(ctx, name, ask)
	if err != nil {
		return nil, false, store.Window{}, err
	}
	return advice, fresh, w, nil
}

// notNil makes an absent list an empty one, for JSON.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
