package api

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sekimori/internal/advise"
	"sekimori/internal/store"
)

// sourceQuery narrows and sorts a domain's sources.
type sourceQuery struct {
	Named
	Window
	Page
	Part
	Sort  string `query:"sort" enum:"messages,failing,name,class,first_day,last_day,reporters" doc:"Default: the most messages first, as are equal lines."`
	Class string `query:"class" enum:"aligned,broken,forwarder,unknown,spoof" doc:"Only sources of this class."`
}

type sourceList struct {
	Domain  string          `json:"domain"`
	Window  store.Window    `json:"window"`
	Total   int64           `json:"total" doc:"How many there are in all pages."`
	Sources []advise.Source `json:"sources"`
}

// sourceDetail is everything about one source but its addresses.
type sourceDetail struct {
	Domain    string                 `json:"domain"`
	Window    store.Window           `json:"window"`
	Source    advise.Source          `json:"source"`
	Days      []store.DayTotals      `json:"days"`
	Reporters []store.ReporterTotals `json:"reporters" doc:"Who saw it, the most messages first; at most 1,000."`
	Auth      []store.AuthTotals     `json:"auth" doc:"DKIM and SPF results, the most messages first; at most 1,000."`
	Envelopes []store.EnvelopeTotals `json:"envelopes" doc:"The names its mail carries, the most messages first; at most 1,000."`
}

type addressList struct {
	Domain    string                `json:"domain"`
	Source    string                `json:"source"`
	Window    store.Window          `json:"window"`
	Total     int64                 `json:"total"`
	Addresses []store.AddressTotals `json:"addresses"`
}

// SourceID is the source that an operation is asked about.
type SourceID struct {
	Source string `path:"source" maxLength:"200" doc:"A source's id."`
}

func (s *server) sourceOperations(a huma.API) {
	huma.Register(a, get("list-sources", "/domains/{domain}/sources", "sources", "Who sends as the domain, one line a service"),
		func(ctx context.Context, in *sourceQuery) (*answer[sourceList], error) {
			advice, _, w, err := s.adviceOf(ctx, in.Named, in.Window, in.Part)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			list := selectSources(advice.Sources, in)
			return reply(sourceList{Domain: advice.Domain, Window: w, Total: int64(len(list)), Sources: notNil(cut(list, in.Page))}), nil
		})

	huma.Register(a, get("get-source", "/domains/{domain}/sources/{source}", "sources", "One source: days, reporters, DKIM and SPF results, why it is classed so"),
		func(ctx context.Context, in *struct {
			Named
			SourceID
			Window
		}) (*answer[sourceDetail], error) {
			advice, _, w, err := s.advice(ctx, in.Named, in.Window)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			d := sourceDetail{Domain: advice.Domain, Window: w}
			i := slices.IndexFunc(advice.Sources, func(x advise.Source) bool { return x.ID == in.Source })
			if i < 0 {
				return nil, huma.Error404NotFound("no such source of " + advice.Domain + " in this window")
			}
			d.Source = advice.Sources[i]
			if d.Days, err = s.Store.SourceDaily(ctx, d.Domain, in.Source, w); err != nil {
				return nil, s.fail(ctx, err)
			}
			if d.Reporters, err = s.Store.SourceReporters(ctx, d.Domain, in.Source, w); err != nil {
				return nil, s.fail(ctx, err)
			}
			if d.Auth, err = s.Store.SourceAuth(ctx, d.Domain, in.Source, w); err != nil {
				return nil, s.fail(ctx, err)
			}
			if d.Envelopes, err = s.Store.SourceEnvelopes(ctx, d.Domain, in.Source, w); err != nil {
				return nil, s.fail(ctx, err)
			}
			d.Days, d.Reporters, d.Auth, d.Envelopes = notNil(d.Days), notNil(d.Reporters), notNil(d.Auth), notNil(d.Envelopes)
			return reply(d), nil
		})

	huma.Register(a, get("list-addresses", "/domains/{domain}/sources/{source}/addresses", "sources", "The addresses of a source"),
		func(ctx context.Context, in *struct {
			Named
			SourceID
			Window
			Page
			Sort string `query:"sort" enum:"messages,failing,addr,first_day,last_day,reporters" doc:"Default: the most messages first."`
		}) (*answer[addressList], error) {
			name, err := in.name()
			if err != nil {
				return nil, err
			}
			w, err := in.Window.of(ctx, s.Store, name)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			list, total, err := s.Store.SourceAddresses(ctx, name.String(), in.Source, w, in.sorted(in.Sort))
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return reply(addressList{Domain: name.String(), Source: in.Source, Window: w, Total: total, Addresses: notNil(list)}), nil
		})
}

// selectSources returns the sources that a query asks for, sorted, all pages.
func selectSources(all []advise.Source, q *sourceQuery) []advise.Source {
	out := make([]advise.Source, 0, len(all))
	want := strings.ToLower(q.Search)
	for _, x := range all {
		if q.Class != "" && string(x.Class) != q.Class || want != "" && !mentions(x, want) {
			continue
		}
		out = append(out, x)
	}
	var by func(a, b advise.Source) int
	switch q.Sort {
	case "failing":
		by = func(a, b advise.Source) int { return cmp.Compare(a.Failing, b.Failing) }
	case "name":
		by = func(a, b advise.Source) int { return cmp.Compare(a.Name, b.Name) }
	case "class":
		by = func(a, b advise.Source) int { return cmp.Compare(classRank(a.Class), classRank(b.Class)) }
	case "first_day":
		by = func(a, b advise.Source) int { return cmp.Compare(a.FirstDay, b.FirstDay) }
	case "last_day":
		by = func(a, b advise.Source) int { return cmp.Compare(a.LastDay, b.LastDay) }
	case "reporters":
		by = func(a, b advise.Source) int { return cmp.Compare(a.Reporters, b.Reporters) }
	case "messages":
		by = func(a, b advise.Source) int { return cmp.Compare(a.Messages, b.Messages) }
	default:
		by = func(a, b advise.Source) int { return 0 }
	}
	slices.SortStableFunc(out, func(a, b advise.Source) int {
		c := by(a, b)
		if q.Desc {
			c = -c
		}
		return cmp.Or(c, cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func classRank(c advise.Class) int {
	return slices.Index(advise.Classes[:], c)
}

func mentions(x advise.Source, want string) bool {
	for _, list := range [][]string{{x.Name, x.ID}, x.Addresses, x.HeaderFrom, x.DKIM, x.SPF, x.PTR} {
		for _, v := range list {
			if strings.Contains(strings.ToLower(v), want) {
				return true
			}
		}
	}
	return false
}

func cut[T any](list []T, p Page) []T {
	from := min(p.Offset, len(list))
	return list[from:min(from+p.Limit, len(list))]
}
