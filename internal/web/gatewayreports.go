package web

import "net/http"

// gatewayReportsView is the list of reports that go out.
type gatewayReportsView struct {
	Tabs  []gatewayTab
	Known bool
}

func (s *server) gatewayReports(w http.ResponseWriter, r *http.Request, p *page) error {
	p.template, p.Nav, p.IsTop, p.Title = "gatewayreports", "gateway", true, p.text("webgateway.reports.title")
	p.Data = &gatewayReportsView{Tabs: gatewayTabs("reports"), Known: s.Gateway != nil}
	return nil
}
