package web

import (
	"net/http"
	"net/netip"
	"slices"

	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/store"
)

// sourceView is the page of one source.
type sourceView struct {
	Name, Domain, Class                  string
	Windows                              []windowLink
	Days                                 int
	From, To, First, Last                store.Day
	Tone                                 string
	Stale                                *staleness
	Messages, Failing                    uint64
	FailShare                            float64
	AddressTotal                         int64
	Reasons                              []explain.Step
	HeaderFrom, DKIM, SPF, PTR           []string
	Daily                                *chart
	List                                 *listing
	Addresses                            []addressLine
	Auth                                 []store.AuthTotals
	Reporters                            []store.ReporterTotals
	Envelopes                            []store.EnvelopeTotals
	AuthList, ReporterList, EnvelopeList *listing
	Whose                                *whoseView
}

type addressLine struct {
	store.AddressTotals
	Host string
}

// shown is how many lines of a source's side tables a page has; a download
// has them all.
const shown = 50

func (s *server) source(w http.ResponseWriter, r *http.Request, p *page) error {
	return s.sourcePage(r, p, nil, "")
}

// sourcePage shows a source; typed is what of a form was not taken, and the
// problem a code that says why.
func (s *server) sourcePage(r *http.Request, p *page, typed *wordForm, problem string) error {
	ctx := r.Context()
	name, end, err := s.named(r)
	if err != nil {
		return err
	}
	v := &sourceView{Windows: p.windows(), Days: p.days()}
	a, fresh, err := s.Advisor.Cached(ctx, name, advise.Question{Days: v.Days})
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	i := slices.IndexFunc(a.Sources, func(src advise.Source) bool { return src.ID == id })
	if i < 0 {
		return errNotFound
	}
	src := &a.Sources[i]
	v.Name, v.Class = sourceName(p, src), string(src.Class)
	if v.Whose, err = s.whose(r, p, name.String(), src); err != nil {
		return err
	}
	if v.Whose.Said != nil && v.Whose.Said.Name != "" {
		v.Name = v.Whose.Said.Name
	}
	if typed != nil {
		v.Whose.Form, v.Whose.Problem, v.Whose.Done = *typed, problem, ""
	}
	shownName, _ := namesOf(name.String())
	v.Domain = shownName
	v.From, v.To, v.First, v.Last = a.Window.Begin, a.Window.End-1, src.FirstDay, src.LastDay
	v.Messages, v.Failing, v.FailShare = src.Messages, src.Failing, ratio(src.Failing, src.Messages)
	v.Reasons, v.HeaderFrom, v.DKIM, v.SPF, v.PTR = src.Reasons, src.HeaderFrom, src.DKIM, src.SPF, src.PTR
	if !fresh {
		v.Stale = &staleness{min(a.Window.End, end) - 1}
	}
	v.Tone = map[advise.Class]string{advise.Aligned: "good", advise.Broken: "warn", advise.Spoof: "bad"}[src.Class]

	asks := []string{"domain", name.String(), "source", id, "days", itoa(v.Days), "lang", string(p.Lang)}
	v.List = p.list("web.source.addresses", []string{"messages", "addr", "failing", "reporters", "first_day", "last_day"}, "messages", "failing", "reporters", "last_day").
		exports("addresses", asks...).ordered("messages", "addr", "failing", "reporters", "first_day", "last_day")
	v.List.Fragment, v.List.SearchLabel = "addresses", "web.search.address"
	v.AuthList = downloads("web.source.auth", "auth", asks...)
	v.ReporterList = downloads("web.source.reporters", "reporters", asks...)
	v.EnvelopeList = downloads("web.source.envelopes", "envelopes", asks...)

	addrs, total, err := s.Store.SourceAddresses(ctx, name.String(), id, a.Window, v.List.page())
	if err != nil {
		return err
	}
	v.List.Total, v.AddressTotal = total, total
	if v.List.Search != "" {
		v.AddressTotal = int64(addressCount(src))
	}
	if err := s.hosts(r, v, addrs); err != nil {
		return err
	}
	days, err := s.Store.SourceDaily(ctx, name.String(), id, a.Window)
	if err != nil {
		return err
	}
	v.Daily = passChart(p, "daily", name.String(), a.Window, src.Class, days)
	v.Daily.List = downloads("web.chart.source", "source-daily", asks...)
	if v.Auth, err = s.Store.SourceAuth(ctx, name.String(), id, a.Window); err != nil {
		return err
	}
	if v.Reporters, err = s.Store.SourceReporters(ctx, name.String(), id, a.Window); err != nil {
		return err
	}
	if v.Envelopes, err = s.Store.SourceEnvelopes(ctx, name.String(), id, a.Window); err != nil {
		return err
	}
	v.Auth = v.Auth[:min(len(v.Auth), shown)]
	v.Reporters = v.Reporters[:min(len(v.Reporters), shown)]
	v.Envelopes = v.Envelopes[:min(len(v.Envelopes), shown)]

	p.template, p.Nav, p.Data = "source", "overview", v
	p.Title = v.Name + " – " + v.Domain
	p.Crumbs = []crumb{{p.text("web.overview.title"), "/"}, {v.Domain, domainURL(name.String(), v.Days)}, {v.Name, ""}}
	return nil
}

// hosts puts the known host names beside the addresses. No name is looked up
// while a page waits.
func (s *server) hosts(r *http.Request, v *sourceView, addrs []store.AddressTotals) error {
	ask := make([]netip.Addr, len(addrs))
	for i := range addrs {
		ask[i] = addrs[i].Addr
	}
	names, err := s.Store.PTRs(r.Context(), ask)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		line := addressLine{AddressTotals: a}
		if n := names[a.Addr].Names; len(n) > 0 {
			line.Host = n[0]
		}
		v.Addresses = append(v.Addresses, line)
	}
	return nil
}
