package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"sekimori/internal/locale"
	"sekimori/internal/store/verdict"
	"sekimori/internal/web/api"
)

// gatewayView is the page of what came through the gateway lately.
type gatewayView struct {
	Tabs   []gatewayTab
	Health healthView
	Known  bool

	Tone, Answer, Evidence string
	Spans                  []spanLink
	Sums                   []gatewaySum
	Median, P99            string
	Measured               int64 // messages behind the latency
	Results, Actions       *chart
	Quiet                  bool // nothing came in the span shown
	Spoofed                []spoofedLine
	Senders                []senderLine
	Updated                moment
}

// gatewayTab is one of the gateway's pages.
type gatewayTab struct {
	URL, Label string // Label: code
	Current    bool
}

func gatewayTabs(current string) []gatewayTab {
	return []gatewayTab{
		{"/gateway", "webgateway.tab.live", current == "live"},
		{"/gateway/messages", "webgateway.tab.messages", current == "messages"},
		{"/gateway/reports", "webgateway.tab.reports", current == "reports"},
	}
}

// healthView is how the gateway does.
type healthView struct {
	api.Health
	Seen, Start, Last moment
	Mode              string // "monitor", "enforce", or "" where nobody tells
	Silent            bool   // there was a gateway and it gives no sign of life
	Waiting           bool
}

type spanLink struct {
	Span    api.Span
	URL     string
	Current bool
}

// gatewaySum is what became of the messages of a span.
type gatewaySum struct {
	Span api.Span
	verdict.Bucket
	All, Own                  int64
	PassShare, FailShare      string
	MessagesURL, FailURL      string
	QuarantineURL, RefuseURL  string
	PassURL, NoneURL, MarkURL string
	TryURL                    string
}

type spoofedLine struct {
	verdict.Spoofed
	Name, ASCII, URL string
}

type senderLine struct {
	verdict.Sender
	Addr, URL string
}

// gatewaySpan reads the span that the address names: an hour where it names
// none.
func gatewaySpan(p *page) api.Span {
	for _, s := range api.Spans {
		if p.query.Get("span") == string(s) {
			return s
		}
	}
	return api.LastHour
}

func (s *server) gateway(w http.ResponseWriter, r *http.Request, p *page) error {
	ctx := r.Context()
	p.template, p.Nav, p.IsTop, p.Title = "gateway", "gateway", true, p.text("webgateway.title")
	v := &gatewayView{Tabs: gatewayTabs("live"), Tone: "good"}
	p.Data = v
	if s.Gateway == nil {
		return nil
	}
	var err error
	if v.Health, err = s.gatewayHealth(ctx, p); err != nil {
		return err
	}
	v.Known = v.Health.Known
	if !v.Known {
		return nil
	}
	shown := gatewaySpan(p)
	var hour, live verdict.Live
	for _, span := range api.Spans {
		l, err := s.Gateway.Lately(ctx, span)
		if err != nil {
			return err
		}
		if span == api.LastHour {
			hour = l
		}
		if span == shown {
			live = l
		}
		v.Sums = append(v.Sums, sumOf(p.Lang, span, &l))
		v.Spans = append(v.Spans, spanLink{span, p.with("span", string(span)), span == shown})
	}
	v.answer(p, &hour)
	v.Updated = clockOf(p, s.Gateway.Now())
	v.Results, v.Actions = resultChart(p, shown, &live), actionChart(p, shown, &live)
	v.Quiet = live.Total.Messages() == 0
	if v.Measured = live.Total.Messages(); v.Measured > 0 {
		v.Median, v.P99 = tookOf(p.Lang, live.Latency.Quantile(0.5)), tookOf(p.Lang, live.Latency.Quantile(0.99))
	}
	since := live.Since.UTC().Format(time.RFC3339)
	for _, d := range live.Spoofed[:min(10, len(live.Spoofed))] {
		line := spoofedLine{Spoofed: d, URL: messagesURL("sender", d.Domain, "dmarc", "fail", "since", since)}
		line.Name, line.ASCII = namesOf(d.Domain)
		v.Spoofed = append(v.Spoofed, line)
	}
	for _, d := range live.Senders[:min(10, len(live.Senders))] {
		if d.Client.IsValid() {
			v.Senders = append(v.Senders, senderLine{d, d.Client.String(), messagesURL("address", d.Client.String(), "dmarc", "fail", "since", since)})
		}
	}
	return nil
}

// messagesURL is the list of messages for what is looked for; name and value
// in turn.
func messagesURL(pairs ...string) string {
	return withQuery("/gateway/messages", url.Values{}, pairs...)
}

// gatewayHealth reads how the gateway does and words it.
func (s *server) gatewayHealth(ctx context.Context, p *page) (healthView, error) {
	last, ok, err := s.Gateway.Newest(ctx)
	if err != nil {
		return healthView{}, err
	}
	var at time.Time
	if ok {
		at = last.Time
	}
	h := healthView{Health: s.Gateway.Health(at), Last: p.at(at)}
	h.Seen, h.Start, h.Mode = p.at(h.Since), p.at(h.Started), h.Status.Mode
	h.Silent = h.Known && !h.Running
	h.Waiting = h.Status.Waiting > 0 || h.Lost > 0 || h.Fault != ""
	return h, nil
}

// answer says in a sentence what came through, and in another what was done.
func (v *gatewayView) answer(p *page, hour *verdict.Live) {
	t := &hour.Total
	n := judged(t)
	switch h := &v.Health; {
	case h.Silent && h.Stopped:
		v.Tone, v.Answer = "warn", p.text("webgateway.answer.stopped", "at", h.Seen.Text)
	case h.Silent:
		v.Tone, v.Answer = "bad", p.text("webgateway.answer.silent", "at", h.Seen.Text)
	case h.Lost > 0:
		v.Tone, v.Answer = "bad", p.text("webgateway.answer.lost", "n", h.Lost)
	case h.Status.Waiting > 0 || h.Fault != "":
		v.Tone, v.Answer = "warn", p.text("webgateway.answer.waiting", "n", h.Status.Waiting)
	case n == 0:
		v.Answer = p.text("webgateway.answer.none")
	case t.Fail == 0:
		v.Answer = p.text("webgateway.answer.clean", "n", n)
	default:
		v.Answer = p.text("webgateway.answer.failing", "n", n, "fail", t.Fail, "part", p.Lang.Percent(float64(t.Fail)/float64(n)))
	}
	switch {
	case v.Health.Silent:
		v.Evidence = p.text("webgateway.evidence.silent")
	case v.Health.Mode == "monitor":
		v.Evidence = p.text("webgateway.evidence.monitor")
	case n > 0:
		v.Evidence = p.text("webgateway.evidence.enforce", "quarantine", t.Quarantine, "refuse", t.Refuse, "mark", t.Mark, "tempfail", t.TryAgain)
	}
}

func sumOf(l locale.Lang, span api.Span, live *verdict.Live) gatewaySum {
	t := live.Total
	since := live.Since.UTC().Format(time.RFC3339)
	n := uint64(max(0, judged(&t)))
	return gatewaySum{Span: span, Bucket: t, All: t.Messages(), Own: max(0, t.Messages()-judged(&t)), PassShare: shareOf(l, uint64(max(0, t.Pass)), n), FailShare: shareOf(l, uint64(max(0, t.Fail)), n),
		MessagesURL: messagesURL("since", since), FailURL: messagesURL("since", since, "dmarc", "fail"), PassURL: messagesURL("since", since, "dmarc", "pass"), NoneURL: messagesURL("since", since, "dmarc", "none"),
		QuarantineURL: messagesURL("since", since, "action", "quarantine"), RefuseURL: messagesURL("since", since, "action", "refuse"), MarkURL: messagesURL("since", since, "action", "mark"), TryURL: messagesURL("since", since, "action", "tempfail")}
}

// judged is how many messages were verified: all but our own.
func judged(b *verdict.Bucket) int64 { return b.Pass + b.Fail + b.NoPolicy + b.Trouble }

// tookOf words how long something took.
func tookOf(l locale.Lang, d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f %s", d.Seconds(), textOf(l, "webgateway.unit.seconds"))
	case d >= time.Second:
		return fmt.Sprintf("%.1f %s", d.Seconds(), textOf(l, "webgateway.unit.seconds"))
	case ms >= 10:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f ms", ms)
}

// clockOf is a time of today with its seconds.
func clockOf(p *page, t time.Time) moment {
	return moment{t.UTC().Format(time.RFC3339), t.In(p.zone).Format("15:04:05")}
}

// gatewayLine is what the overview says of the gateway; nil where there is
// none, or where it cannot be read: the gateway's own page will say so.
type gatewayLine struct{ Tone, Text string }

func (s *server) gatewayLine(ctx context.Context, p *page) *gatewayLine {
	if s.Gateway == nil {
		return nil
	}
	h, err := s.gatewayHealth(ctx, p)
	if err != nil || !h.Known {
		return nil
	}
	if h.Silent {
		return &gatewayLine{"warn", p.text("webgateway.line.silent", "at", h.Seen.Text)}
	}
	day, err := s.Gateway.Lately(ctx, api.LastDay)
	if err != nil {
		return nil
	}
	t := &day.Total
	code := cmp.Or(map[string]string{"monitor": "webgateway.line.monitor"}[h.Mode], "webgateway.line.enforce")
	return &gatewayLine{"", p.text(code, "n", judged(t), "fail", t.Fail, "quarantine", t.Quarantine, "refuse", t.Refuse)}
}
