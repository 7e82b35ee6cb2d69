package web

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"sekimori/explain"
	"sekimori/internal/locale"
	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
)

// gatewayMessageView is one message, and why it was treated so.
type gatewayMessageView struct {
	Line             messageLine
	Tone             string
	Answer, Evidence string
	Steps            []explain.Step
	Rule             string
	Local            []aggregate.Reason // what the report gives as reason for departing
	Asks             string             // what the domain's owner asks for
	PolicyName       string             // where the record is
	Results          []resultLine
	Sender           []string // what the sender's administrator can do
	Release          string   // commands for the operator; "" where nothing is held
	Delete           string
	Kept             moment // until when this is kept
	Took             string
}

// resultLine is what one method found.
type resultLine struct {
	Method, Result string
	Of             []resultOf
	Aligned        bool
	Counts         bool // the method counts for DMARC
}

type resultOf struct{ Result, Domain, Detail string }

func (s *server) gatewayMessage(w http.ResponseWriter, r *http.Request, p *page) error {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil || s.Gateway == nil {
		return errNotFound
	}
	e, err := s.Gateway.Entry(r.Context(), id)
	if errors.Is(err, verdict.ErrUnknown) {
		return errNotFound
	}
	if err != nil {
		return err
	}
	v := &gatewayMessageView{Line: messageLineOf(p, &e), Steps: e.Why, Took: tookOf(p.Lang, e.Took), Local: e.Record.Reasons}
	v.judge(p, &e)
	v.Results = resultsOf(&e)
	v.Sender = MessageAdvice(p.Lang, &e)
	if e.Rule.Code != "" {
		v.Rule = p.Lang.Step(e.Rule)
	}
	if e.Policy.Domain != "" {
		v.PolicyName = "_dmarc." + e.Policy.Domain
		v.Asks = p.text("webgateway.message.asks."+wishOf(&e), "domain", e.Policy.Domain)
	}
	if e.Action == verdict.Quarantine && QueueID(e.QueueID) {
		v.Release, v.Delete = "postsuper -H "+e.QueueID, "postsuper -d "+e.QueueID
	}
	keep := 30
	if h := s.Gateway.Health(e.Time); h.Keep > 0 {
		keep = h.Keep
	}
	v.Kept = p.at(e.Time.UTC().AddDate(0, 0, keep))
	v.Kept.Text, _, _ = strings.Cut(v.Kept.Text, " ")
	p.template, p.Nav, p.Data = "gatewaymessage", "gateway", v
	p.Title = p.text("webgateway.message.title." + string(e.Action))
	p.Crumbs = []crumb{{p.text("webgateway.title"), "/gateway"}, {p.text("webgateway.messages.title"), "/gateway/messages"}, {p.text("webgateway.message.crumb", "id", e.ID), ""}}
	return nil
}

// QueueID reports whether s may stand in a command: letters and digits, as the
// queue ids of Postfix and Sendmail are.
func QueueID(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
}

// judge answers the question of the page: what was done, and why.
func (v *gatewayMessageView) judge(p *page, e *verdict.Entry) {
	v.Tone = map[verdict.Action]string{verdict.Accept: "good", verdict.Mark: "warn", verdict.Quarantine: "warn", verdict.Refuse: "bad", verdict.TryAgain: "warn"}[e.Action]
	if e.DMARC == "fail" && e.Action == verdict.Accept {
		v.Tone = "warn"
	}
	v.Answer, v.Evidence = MessageAnswer(p.Lang, e)
}

// MessageAnswer says in a sentence what was done with a message, and in
// another why.
func MessageAnswer(l locale.Lang, e *verdict.Entry) (answer, because string) {
	from, _ := namesOf(e.Record.HeaderFrom)
	if from == "" {
		from = e.From
	}
	if from == "" {
		from = textOf(l, "webgateway.message.nobody")
	}
	reason := "none"
	switch {
	case e.Rule.Code != "":
		reason = "rule"
	case len(e.Why) > 0 && e.Why[0].Code == "gateway.unverified":
		reason = "unverified"
	case e.DMARC == "pass", e.DMARC == "fail", e.DMARC == "temperror", e.DMARC == "permerror":
		reason = e.DMARC
	case e.DMARC == "":
		reason = "own"
	}
	answer = textOf(l, "webgateway.message.did."+string(e.Action), "from", from)
	because = textOf(l, "webgateway.message.because."+reason, "from", from)
	if e.Asked != "" && e.Asked != e.Action {
		because += textOf(l, "webgateway.message.monitor", "action", textOf(l, "webgateway.would."+string(e.Asked)))
	} else if e.DMARC == "fail" && e.Action == verdict.Accept && e.Rule.Code == "" && wishOf(e) == "none" {
		because += textOf(l, "webgateway.message.nothing-asked")
	}
	return answer, because
}

// wishOf is the policy that the record in force asks for, roughly: which of
// its tags applied is among the steps.
func wishOf(e *verdict.Entry) string {
	var find func(steps []explain.Step) string
	find = func(steps []explain.Step) string {
		for _, s := range steps {
			if wish, ok := strings.CutPrefix(s.Code, "dmarc.do-"); ok {
				return wish
			}
			if wish := find(s.Children); wish != "" {
				return wish
			}
		}
		return ""
	}
	if w := find(e.Why); w == "none" || w == "quarantine" || w == "reject" {
		return w
	}
	for _, tag := range strings.Split(e.Policy.Text, ";") {
		name, value, _ := strings.Cut(tag, "=")
		if strings.TrimSpace(name) == "p" {
			if w := strings.ToLower(strings.TrimSpace(value)); w == "quarantine" || w == "reject" {
				return w
			}
		}
	}
	return "none"
}

func resultsOf(e *verdict.Entry) []resultLine {
	dmarc := resultLine{Method: "DMARC", Result: e.DMARC}
	if e.Record.HeaderFrom != "" {
		dmarc.Of = []resultOf{{"", e.Record.HeaderFrom, ""}}
	}
	spf := resultLine{Method: "SPF", Result: e.SPF, Aligned: e.Record.SPF, Counts: true}
	for _, r := range e.Record.SPFResults {
		spf.Of = append(spf.Of, resultOf{r.Result, r.Domain, r.Scope})
	}
	dkim := resultLine{Method: "DKIM", Result: e.DKIM, Aligned: e.Record.DKIM, Counts: true}
	for _, r := range e.Record.DKIMResults {
		dkim.Of = append(dkim.Of, resultOf{r.Result, r.Domain, r.Selector})
	}
	out := []resultLine{dmarc, spf, dkim}
	if e.ARC != "" && e.ARC != "none" {
		out = append(out, resultLine{Method: "ARC", Result: e.ARC})
	}
	return out
}

// MessageAdvice is what whoever runs the sender's mail can do so that the next
// message is confirmed.
func MessageAdvice(l locale.Lang, e *verdict.Entry) []string {
	r := &e.Record
	from := r.HeaderFrom
	var out []string
	say := func(code string, args ...any) { out = append(out, textOf(l, code, args...)) }
	switch e.DMARC {
	case "pass", "":
		return nil
	case "none":
		say("webgateway.advice.publish", "from", from)
		return out
	case "temperror":
		say("webgateway.advice.dns", "from", from)
		return out
	case "permerror":
		say("webgateway.advice.from")
		return out
	}
	client := "–"
	if e.Client.IsValid() {
		client = e.Client.String()
	}
	var passing, signed string
	for _, d := range r.DKIMResults {
		switch {
		case d.Result == "pass" && passing == "":
			passing = d.Domain
		case d.Result != "none" && signed == "":
			signed = d.Domain
		}
	}
	switch {
	case passing != "":
		say("webgateway.advice.dkim-align", "domain", passing, "from", from)
	case signed != "":
		say("webgateway.advice.dkim-broken", "domain", signed)
	default:
		say("webgateway.advice.dkim-sign", "from", from)
	}
	if len(r.SPFResults) > 0 { // one sender, one sentence
		x := r.SPFResults[0]
		switch {
		case x.Result == "pass" && !r.SPF:
			say("webgateway.advice.spf-align", "domain", x.Domain, "from", from)
		case !related(x.Domain, from):
			say("webgateway.advice.spf-own", "from", from)
		case x.Result == "none":
			say("webgateway.advice.spf-publish", "domain", x.Domain, "client", client)
		case x.Result != "pass" && x.Domain != "":
			say("webgateway.advice.spf-add", "domain", x.Domain, "client", client)
		}
	}
	say("webgateway.advice.stranger", "client", client)
	say("webgateway.advice.forwarded")
	return out
}

// related reports whether one of two domains is the other or stands above it.
func related(a, b string) bool {
	return a == b || strings.HasSuffix(a, "."+b) || strings.HasSuffix(b, "."+a)
}
