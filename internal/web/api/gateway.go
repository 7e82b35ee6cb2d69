package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sekimori/internal/store/outbox"
	"sekimori/internal/store/verdict"
)

// GatewayReader is what is read of the gateway's verdicts; *verdict.Reader has
// it.
type GatewayReader interface {
	Find(ctx context.Context, q verdict.Query) (found []verdict.Entry, more bool, err error)
	Entry(ctx context.Context, id uint64) (verdict.Entry, error)
	Live(ctx context.Context, since, until time.Time, step time.Duration) (verdict.Live, error)
}

// Span is a length of time up to now that figures of the gateway are about.
type Span string

// The spans, the shortest first.
const (
	LastHour Span = "hour"
	LastDay  Span = "day"
	LastWeek Span = "week"
)

// Spans lists them.
var Spans = [...]Span{LastHour, LastDay, LastWeek}

// spans says how long each is, into what steps it is cut, and for how long
// its figures are shown before they are counted again.
func (s Span) spans() (length, step, keep time.Duration) {
	switch s {
	case LastDay:
		return 24 * time.Hour, 15 * time.Minute, 30 * time.Second
	case LastWeek:
		return 7 * 24 * time.Hour, 2 * time.Hour, 2 * time.Minute
	}
	return time.Hour, time.Minute, 5 * time.Second
}

// Gateway is the gateway as pages and API show it. However many people look,
// the figures of a span are counted once in a while only. It is safe for
// concurrent use.
type Gateway struct {
	GatewayReader
	Outbox OutboxReader // that of the folder, unless set
	dir    string
	now    func() time.Time
	kept   map[Span]*keptLive // does not change
}

type keptLive struct {
	mu   sync.Mutex
	at   time.Time
	live verdict.Live
}

// NewGateway returns the gateway whose folder is dir; now is nil for the clock.
func NewGateway(r GatewayReader, dir string, now func() time.Time) *Gateway {
	sent, _ := outbox.Read(dir) // it opens nothing yet, so that nothing fails
	g := &Gateway{GatewayReader: r, Outbox: sent, dir: dir, now: now, kept: map[Span]*keptLive{}}
	if g.now == nil {
		g.now = time.Now
	}
	for _, s := range Spans {
		g.kept[s] = &keptLive{}
	}
	return g
}

// Now is the gateway's clock.
func (g *Gateway) Now() time.Time { return g.now() }

// Lately returns the figures of a span. The last step is the one under way.
func (g *Gateway) Lately(ctx context.Context, s Span) (verdict.Live, error) {
	length, step, keep := s.spans()
	k := g.kept[s]
	if k == nil {
		return verdict.Live{}, fmt.Errorf("span %q: want hour, day or week", s)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := g.now()
	if age := now.Sub(k.at); age >= 0 && age < keep {
		return k.live, nil
	}
	until := now.Truncate(step).Add(step)
	live, err := g.Live(ctx, until.Add(-length), until, step)
	if err != nil {
		return verdict.Live{}, err
	}
	k.at, k.live = now, live
	return live, nil
}

// Health is whether there is a gateway, and how it does.
type Health struct {
	Known   bool // there is one, or was
	Running bool
	Since   time.Time // of the last sign of life; zero where there is none
	verdict.Status
}

// silent is how old the last sign of life of a running gateway is at most.
const silent = 30 * time.Second

// Health reads how the gateway does. A status that cannot be read counts as
// none; last is the time of the newest verdict, where there is one.
func (g *Gateway) Health(last time.Time) Health {
	h := Health{Known: !last.IsZero(), Since: last}
	st, ok, err := verdict.ReadStatus(g.dir)
	if err != nil || !ok {
		return h
	}
	h.Status, h.Known = st, true
	if st.At.After(h.Since) {
		h.Since = st.At
	}
	h.Running = !st.Stopped && g.now().Sub(st.At) < silent
	return h
}

// Newest returns the newest verdict, or false where there is none.
func (g *Gateway) Newest(ctx context.Context) (verdict.Entry, bool, error) {
	found, _, err := g.Find(ctx, verdict.Query{Limit: 1})
	if err != nil || len(found) == 0 {
		return verdict.Entry{}, false, err
	}
	return found[0], true, nil
}

// ParseTime reads a time as people write it: RFC 3339, a day (2026-11-22), a
// day and a time of a zone, or how long ago (30m, 24h, 7d).
func ParseTime(s string, now time.Time, zone *time.Location) (time.Time, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, strings.ToUpper(s)); err == nil {
		return t, nil
	}
	for _, form := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if t, err := time.ParseInLocation(form, s, zone); err == nil {
			return t, nil
		}
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%q: want a day such as 2026-11-22, a time such as 2026-11-22T09:30:00+09:00, or how long ago such as 2h or 7d", s)
}

// MessageQuery is what messages of the gateway are looked for by.
type MessageQuery struct {
	Text      string `query:"text" maxLength:"400" doc:"A message id, an address, a domain or a queue id."`
	MessageID string `query:"message_id" maxLength:"400" doc:"Message-ID, with or without <>."`
	Sender    string `query:"sender" maxLength:"400" doc:"Envelope sender or From: an address or a domain."`
	Address   string `query:"address" maxLength:"400" doc:"A recipient, an IP address or a network."`
	Since     string `query:"since" maxLength:"40" doc:"Only from this time on: RFC 3339, YYYY-MM-DD (UTC), or how long ago (2h, 7d)."`
	Until     string `query:"until" maxLength:"40" doc:"Only before this time."`
	Action    string `query:"action" enum:"accept,mark,quarantine,refuse,tempfail" doc:"Only what was treated so."`
	DMARC     string `query:"dmarc" enum:"pass,fail,none,temperror,permerror" doc:"Only with this result of DMARC."`
}

// long reports whether a part of it is longer than any sense.
func (q *MessageQuery) long() bool {
	for _, s := range []string{q.Text, q.MessageID, q.Sender, q.Address, q.Since, q.Until, q.Action, q.DMARC} {
		if len(s) > 400 {
			return true
		}
	}
	return false
}

// Query returns it as the reader takes it.
func (q *MessageQuery) Query(now time.Time, zone *time.Location) (verdict.Query, error) {
	out := verdict.Query{MessageID: q.MessageID, Sender: q.Sender, Address: q.Address, Text: q.Text, Action: verdict.Action(q.Action), DMARC: q.DMARC}
	var err error
	if out.Since, err = ParseTime(q.Since, now, zone); err != nil {
		return out, fmt.Errorf("since: %w", err)
	}
	if out.Until, err = ParseTime(q.Until, now, zone); err != nil {
		return out, fmt.Errorf("until: %w", err)
	}
	return out, nil
}

type gatewayAnswer struct {
	Known   bool          `json:"known" doc:"There is a gateway with this data folder, or was."`
	Running bool          `json:"running"`
	Since   *time.Time    `json:"since" doc:"The last sign of life."`
	Status  gatewayStatus `json:"status"`
	Live    GatewayLive   `json:"live"`
}

type gatewayStatus struct {
	Mode     string   `json:"mode" doc:"monitor or enforce; empty where it is not known."`
	Listen   []string `json:"listen"`
	Keep     int      `json:"keep" doc:"For how many days verdicts are kept."`
	Reports  bool     `json:"reports" doc:"Whether aggregate reports are sent."`
	Sessions int64    `json:"sessions"`
	Waiting  int64    `json:"waiting" doc:"Verdicts in memory only, because they cannot be written."`
	Unmoved  int64    `json:"unmoved" doc:"Verdicts in the journal that searches do not find yet."`
	Lost     int64    `json:"lost"`
	Fault    string   `json:"fault,omitempty"`
}

func (s *server) gatewayOperations(a huma.API) {
	huma.Register(a, get("get-gateway", "/gateway", "gateway", "What came through the gateway lately"),
		func(ctx context.Context, in *struct {
			Span string `query:"span" enum:"hour,day,week" default:"hour" doc:"How far back the figures go."`
		}) (*answer[gatewayAnswer], error) {
			var out gatewayAnswer
			out.Status.Listen, out.Live = []string{}, liveOf(verdict.Live{})
			if s.Gateway == nil {
				return reply(out), nil
			}
			live, err := s.Gateway.Lately(ctx, Span(in.Span))
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			last, ok, err := s.Gateway.Newest(ctx)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			if !ok {
				last.Time = time.Time{}
			}
			h := s.Gateway.Health(last.Time)
			out.Known, out.Running, out.Live = h.Known, h.Running, liveOf(live)
			if !h.Since.IsZero() {
				t := h.Since.UTC()
				out.Since = &t
			}
			out.Status = gatewayStatus{Mode: h.Mode, Listen: notNil(h.Listen), Keep: h.Keep, Reports: h.Reports, Sessions: h.Sessions, Waiting: h.Waiting, Unmoved: h.Unmoved, Lost: h.Lost, Fault: h.Fault}
			return reply(out), nil
		})

	huma.Register(a, get("list-gateway-messages", "/gateway/messages", "gateway", "Messages that came through the gateway, the newest first"),
		func(ctx context.Context, in *struct {
			MessageQuery
			Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"How many to return at most."`
			Before uint64 `query:"before" doc:"Only messages older than the one with this id: the next page."`
		}) (*answer[GatewayMessages], error) {
			out := GatewayMessages{Messages: []GatewayMessage{}}
			if s.Gateway == nil {
				return reply(out), nil
			}
			q, err := in.Query(s.Gateway.Now(), time.UTC)
			if err != nil {
				return nil, huma.Error400BadRequest(err.Error())
			}
			q.Limit, q.Before = in.Limit, in.Before
			found, more, err := s.Gateway.Find(ctx, q)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return reply(MessagesOf(found, more)), nil
		})

	huma.Register(a, get("get-gateway-message", "/gateway/messages/{id}", "gateway", "One message, and why it was treated so"),
		func(ctx context.Context, in *struct {
			ID uint64 `path:"id" minimum:"1"`
		}) (*answer[GatewayMessage], error) {
			if s.Gateway == nil {
				return nil, huma.Error404NotFound("there is no gateway")
			}
			e, err := s.Gateway.Entry(ctx, in.ID)
			if errors.Is(err, verdict.ErrUnknown) {
				return nil, huma.NewError(http.StatusNotFound, "no such message, or it is kept no longer")
			}
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return reply(MessageOf(&e)), nil
		})
}
