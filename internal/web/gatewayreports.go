package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sekimori/internal/store/outbox"
	"sekimori/internal/web/api"
	"sekimori/report/aggregate"
)

// gatewayReportsView is the list of reports that were made for the owners of
// domains.
type gatewayReportsView struct {
	Tabs             []gatewayTab
	Health           healthView
	Known            bool
	Tone             string
	Answer, Evidence string
	Waiting, Failed  int64 // reports with a delivery that is still tried, or that was given up
	Query            api.SentQuery
	Filtered         bool
	States           []option
	List             *listing
	JSON             string
	Rows             []sentLine
}

// sentLine is one report in the list.
type sentLine struct {
	*outbox.Entry
	Name, ASCII, FormName, XML string
	To                         []sentTo
}

// sentTo is what became of one delivery.
type sentTo struct {
	outbox.Delivery
	Tone, Why      string
	When           moment
	WhenCode       string // what When is
	Foreign        bool   // Why is an MTA's own words
	Tried, Pending bool
}

// gatewayStates are the states that the filter offers.
var gatewayStates = [...]outbox.State{outbox.Waiting, outbox.Unverified, outbox.Sent, outbox.Refused, outbox.GivenUp, outbox.Dropped}

func (s *server) gatewayReports(w http.ResponseWriter, r *http.Request, p *page) error {
	ctx := r.Context()
	p.template, p.Nav, p.IsTop, p.Title = "gatewayreports", "gateway", true, p.text("webgateway.reports.title")
	q := p.query
	v := &gatewayReportsView{Tabs: gatewayTabs("reports"), Query: api.SentQuery{Day: clip(strings.TrimSpace(q.Get("day")), 10), Text: clip(strings.TrimSpace(q.Get("q")), 200)}}
	p.Data = v
	if st := outbox.State(q.Get("state")); slices.Contains(gatewayStates[:], st) {
		v.Query.State = string(st)
	}
	for _, st := range gatewayStates {
		v.States = append(v.States, option{string(st), "webgateway.state." + string(st), string(st) == v.Query.State})
	}
	v.Filtered = v.Query != (api.SentQuery{})
	v.List = p.list("webgateway.reports.list", []string{""})
	if s.Gateway == nil {
		return nil
	}
	var err error
	if v.Health, err = s.gatewayHealth(ctx, p); err != nil {
		return err
	}
	asks := []string{"day", v.Query.Day, "state", v.Query.State, "text", v.Query.Text}
	v.JSON = withQuery("/api/v1/gateway/reports", url.Values{}, asks...)
	v.List.Search = "" // it is among what is asked
	v.List.exports("gateway-reports", append(asks, "lang", string(p.Lang))...)
	f := v.Query.Filter()
	page := v.List.page()
	f.Limit, f.Offset = page.Limit, page.Offset
	found, total, err := s.Gateway.Outbox.Reports(ctx, f)
	if err != nil {
		return err
	}
	v.List.Total = total
	v.Known = total > 0 || v.Filtered
	for i := range found {
		v.Rows = append(v.Rows, sentLineOf(p, &found[i]))
	}
	return s.sentAnswer(r, p, v)
}

// sentAnswer says how the reports do on the whole.
func (s *server) sentAnswer(r *http.Request, p *page, v *gatewayReportsView) error {
	count := func(f outbox.Filter) (int64, error) {
		f.Limit = 1
		_, n, err := s.Gateway.Outbox.Reports(r.Context(), f)
		return n, err
	}
	all, err := count(outbox.Filter{})
	if err != nil {
		return err
	}
	if v.Waiting, err = count(outbox.Filter{Open: true}); err != nil {
		return err
	}
	for _, st := range []outbox.State{outbox.Refused, outbox.GivenUp} {
		n, err := count(outbox.Filter{State: st})
		if err != nil {
			return err
		}
		v.Failed += n
	}
	switch {
	case all == 0:
		return nil
	case v.Failed > 0:
		v.Tone, v.Answer = "warn", p.text("webgateway.reports.answer.failed", "all", all, "failed", v.Failed)
	case v.Waiting > 0:
		v.Tone, v.Answer = "good", p.text("webgateway.reports.answer.waiting", "all", all, "waiting", v.Waiting)
	default:
		v.Tone, v.Answer = "good", p.text("webgateway.reports.answer.sent", "all", all)
	}
	v.Known = true
	v.Evidence = p.text("webgateway.reports.evidence")
	if v.Health.Running && !v.Health.Reports {
		v.Evidence = p.text("webgateway.reports.off")
	}
	return nil
}

func sentLineOf(p *page, e *outbox.Entry) sentLine {
	l := sentLine{Entry: e, FormName: p.text("web.form." + e.Form)}
	if e.Form != string(aggregate.RFC7489) && e.Form != string(aggregate.RFC9990) {
		l.FormName = e.Form
	}
	l.Name, l.ASCII = namesOf(e.Domain)
	if e.File != "" {
		l.XML = "/gateway/reports/" + url.PathEscape(e.ReportID) + "/xml"
	}
	for _, d := range e.Deliveries {
		t := sentTo{Delivery: d, Tried: d.Attempts > 0, Pending: d.State.Open(),
			Tone: map[outbox.State]string{outbox.Sent: "good", outbox.Refused: "bad", outbox.GivenUp: "bad"}[d.State]}
		if t.Pending && d.Attempts > 0 {
			t.Tone = "warn"
		}
		when := d.Ended
		t.WhenCode = "webgateway.reports.ended"
		if t.Pending {
			when, t.WhenCode = d.Next, "webgateway.reports.next"
		}
		if !when.IsZero() && when.Before(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.When = p.at(when)
		}
		switch {
		case d.Error != "" && d.State != outbox.Sent:
			t.Why, t.Foreign = d.Error, true
		case d.Reason.Code != "" && d.State != outbox.Sent && d.State != outbox.Waiting:
			t.Why = p.Lang.Step(d.Reason)
		}
		l.To = append(l.To, t)
	}
	return l
}

// gatewayReportXML sends a report that was made, as plain text or to be saved.
func (s *server) gatewayReportXML(w http.ResponseWriter, r *http.Request, p *page) error {
	if s.Gateway == nil {
		return errNotFound
	}
	body, name, err := s.Gateway.XML(r.Context(), r.PathValue("id"))
	if errors.Is(err, outbox.ErrUnknown) {
		return errNotFound
	}
	if err != nil {
		return err
	}
	defer body.Close()
	sendXML(w, s, r, p, body, name)
	return nil
}
