package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sekimori/internal/store/verdict"
	"sekimori/internal/web/api"
)

// gatewayMessagesView is the list of messages.
type gatewayMessagesView struct {
	Tabs     []gatewayTab
	Known    bool
	Query    api.MessageQuery
	Detailed bool // one of the folded fields is filled in
	Filtered bool
	Invalid  string // what is wrong with a time
	Actions  []option
	Results  []option
	List     *listing
	JSON     string
	Rows     []messageLine
	Newest   string // the first page, "" where this is it
	Older    string // the next page, "" where there is none
	Monitor  bool   // some of these would have been treated otherwise
}

// option is a choice of a list.
type option struct {
	Value, Label string // Label: code
	Selected     bool
}

// messageLine is one message in the list.
type messageLine struct {
	*verdict.Entry
	URL     string
	At      moment
	Addr    string
	To      string
	More    int // further recipients
	Other   bool
	Subject string
}

// The words that the filters offer, in the order in which they are shown.
var (
	gatewayActions = [...]verdict.Action{verdict.Accept, verdict.Mark, verdict.Quarantine, verdict.Refuse, verdict.TryAgain}
	gatewayResults = [...]string{"pass", "fail", "none", "temperror", "permerror"}
)

func (s *server) gatewayMessages(w http.ResponseWriter, r *http.Request, p *page) error {
	p.template, p.Nav, p.IsTop, p.Title = "gatewaymessages", "gateway", true, p.text("webgateway.messages.title")
	q := p.query
	v := &gatewayMessagesView{Tabs: gatewayTabs("messages"), Known: s.Gateway != nil,
		Query: api.MessageQuery{Text: clip(strings.TrimSpace(q.Get("q")), 400), MessageID: clip(strings.TrimSpace(q.Get("message_id")), 400), Sender: clip(strings.TrimSpace(q.Get("sender")), 400),
			Address: clip(strings.TrimSpace(q.Get("address")), 400), Since: clip(strings.TrimSpace(q.Get("since")), 40), Until: clip(strings.TrimSpace(q.Get("until")), 40)}}
	if a := q.Get("action"); slices.Contains(gatewayActions[:], verdict.Action(a)) {
		v.Query.Action = a
	}
	if d := q.Get("dmarc"); slices.Contains(gatewayResults[:], d) {
		v.Query.DMARC = d
	}
	p.Data = v
	for _, a := range gatewayActions {
		v.Actions = append(v.Actions, option{string(a), "webgateway.action." + string(a), string(a) == v.Query.Action})
	}
	for _, d := range gatewayResults {
		v.Results = append(v.Results, option{d, "webgateway.dmarc." + d, d == v.Query.DMARC})
	}
	v.Filtered = v.Query != (api.MessageQuery{})
	v.Detailed = v.Query.MessageID != "" || v.Query.Sender != "" || v.Query.Address != "" || v.Query.Since != "" || v.Query.Until != ""
	v.List = p.list("webgateway.messages.list", []string{""})
	asks := []string{"text", v.Query.Text, "message_id", v.Query.MessageID, "sender", v.Query.Sender, "address", v.Query.Address, "action", v.Query.Action, "dmarc", v.Query.DMARC}
	if s.Gateway == nil {
		return nil
	}
	find, err := v.Query.Query(s.Gateway.Now(), p.zone)
	if err != nil {
		v.Invalid = p.text("webgateway.messages.bad-time")
		p.status = http.StatusBadRequest
		return nil
	}
	// Downloads know no zone but UTC.
	if !find.Since.IsZero() {
		asks = append(asks, "since", find.Since.UTC().Format("2006-01-02T15:04:05Z"))
	}
	if !find.Until.IsZero() {
		asks = append(asks, "until", find.Until.UTC().Format("2006-01-02T15:04:05Z"))
	}
	v.JSON = withQuery("/api/v1/gateway/messages", url.Values{}, asks...)
	v.List.Search = "" // it is among what is asked
	v.List.exports("gateway-messages", append(asks, "lang", string(p.Lang))...)
	find.Limit = pageSize
	find.Before, _ = strconv.ParseUint(q.Get("before"), 10, 64)
	found, more, err := s.Gateway.Find(r.Context(), find)
	if err != nil {
		return err
	}
	for i := range found {
		line := messageLineOf(p, &found[i])
		v.Monitor = v.Monitor || line.Other
		v.Rows = append(v.Rows, line)
	}
	if find.Before > 0 {
		v.Newest = p.with("before", "")
	}
	if more && len(found) > 0 {
		v.Older = p.with("before", strconv.FormatUint(found[len(found)-1].ID, 10))
	}
	return nil
}

func messageLineOf(p *page, e *verdict.Entry) messageLine {
	l := messageLine{Entry: e, URL: messageURL(e.ID), At: p.at(e.Time), Other: e.Asked != "" && e.Asked != e.Action, Subject: e.Subject}
	l.At.Text = e.Time.In(p.zone).Format("2006-01-02 15:04:05")
	if e.Client.IsValid() {
		l.Addr = e.Client.String()
	}
	if len(e.Rcpt) > 0 {
		l.To, l.More = e.Rcpt[0], len(e.Rcpt)-1
	}
	return l
}

func messageURL(id uint64) string { return "/gateway/messages/" + strconv.FormatUint(id, 10) }
