package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"sekimori/explain"
	"sekimori/internal/store"
)

// Retries: a minute after the first attempt, twice as long after each further
// one, at most four hours, for three days.
const (
	firstPause = time.Minute
	longPause  = 4 * time.Hour
	tryFor     = 72 * time.Hour
)

// Channels of alerts.
const (
	byMail    = "mail"
	byWebhook = "webhook"
)

// Notice is what an alert tells: a code for what happened and more codes for
// the details. It is what is kept until the alert is delivered.
type Notice struct {
	Event  string         `json:"event"` // the same each time the event is met
	Kind   string         `json:"kind"`  // "step-back", "all-clear", "dns", "reopened" or "reminder"
	Domain string         `json:"domain"`
	At     time.Time      `json:"at"`
	Step   explain.Step   `json:"step"`
	More   []explain.Step `json:"more,omitempty"`
	Path   string         `json:"path,omitempty"` // of the page about it, below that of the domain; "/work" stands alone
}

// raise enters alerts for everybody who is to hear of the notices. An event
// that was entered before is not entered again.
func (w *Watcher) raise(ctx context.Context, notices []Notice) error {
	var alerts []store.Alert
	for _, n := range notices {
		for _, to := range w.c.To {
			a, err := alert(n, byMail, to)
			if err != nil {
				return err
			}
			alerts = append(alerts, a)
		}
		if w.c.Webhook != nil {
			a, err := alert(n, byWebhook, "")
			if err != nil {
				return err
			}
			alerts = append(alerts, a)
		}
	}
	return w.enter(ctx, alerts)
}

func (w *Watcher) enter(ctx context.Context, alerts []store.Alert) error {
	if len(alerts) == 0 {
		return nil
	}
	if _, err := w.c.Store.PutAlerts(ctx, alerts); err != nil {
		return err
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return nil
}

func alert(n Notice, channel, to string) (store.Alert, error) {
	body, err := json.Marshal(n)
	if err != nil {
		return store.Alert{}, err
	}
	id := n.Event + "/" + channel
	if to != "" {
		id += "/" + strings.ToLower(to)
	}
	return store.Alert{ID: id, Event: n.Event, Domain: n.Domain, Kind: n.Kind, Channel: channel, Recipient: to, Made: n.At, Body: body}, nil
}

// pause is how long to wait after an attempt, by the number of attempts before.
func pause(tries int) time.Duration {
	d := firstPause
	for ; tries > 0 && d < longPause; tries-- {
		d *= 2
	}
	return min(d, longPause)
}

// patience is how many attempts in a row may fail on one channel before the
// rest waits for the next pass: what is down need not be asked fifty times.
const patience = 3

// Deliver makes an attempt for each alert that is due, and returns how many
// were delivered. The channels work beside each other, so that a webhook which
// hangs holds no mail up. What fails is tried again later, for three days; then
// it is given up, and the timeline says so. The error is the store's.
func (w *Watcher) Deliver(ctx context.Context) (int, error) {
	w.delivering.Lock() // so that none is delivered twice at once
	defer w.delivering.Unlock()
	const batch = 50
	delivered := 0
	for ctx.Err() == nil {
		due, err := w.c.Store.DueAlerts(ctx, w.c.Now(), batch)
		if err != nil {
			return delivered, err
		}
		queues := map[string][]store.Alert{}
		for _, a := range due {
			queues[a.Channel] = append(queues[a.Channel], a)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex // of what follows
		var failure error
		stopped := false
		for _, queue := range queues {
			wg.Go(func() {
				n, whole, err := w.deliverEach(ctx, queue)
				mu.Lock()
				defer mu.Unlock()
				delivered += n
				stopped = stopped || !whole
				if err != nil {
					failure = err
				}
			})
		}
		wg.Wait()
		if failure != nil || stopped || len(due) < batch {
			return delivered, failure
		}
	}
	return delivered, nil
}

// deliverEach goes through one channel's alerts; whole says that it came to the end.
func (w *Watcher) deliverEach(ctx context.Context, queue []store.Alert) (delivered int, whole bool, err error) {
	failed := 0
	for _, a := range queue {
		if ctx.Err() != nil || failed == patience {
			return delivered, false, nil
		}
		ok, err := w.deliver(ctx, a)
		if err != nil {
			return delivered, false, err
		}
		if failed++; ok {
			delivered++
			failed = 0
		}
	}
	return delivered, true, nil
}

// deliver makes one attempt and keeps what came of it.
func (w *Watcher) deliver(ctx context.Context, a store.Alert) (bool, error) {
	err := w.send(ctx, a)
	if err != nil && ctx.Err() != nil {
		return false, nil // the program ends: the next one tries again
	}
	now := w.c.Now()
	t := store.AlertAttempt{ID: a.ID, At: now, Outcome: store.AlertSent}
	e := Event{Kind: Delivered, Domain: a.Domain, Alert: a.ID}
	var wait retryError
	switch {
	case err == nil:
	case errors.Is(err, ErrRefused) || now.Sub(a.Made) >= tryFor:
		t.Outcome, t.Error = store.AlertGivenUp, err.Error()
		e.Kind, e.Err = GivenUp, err
	default:
		next := pause(a.Tries)
		if errors.As(err, &wait) {
			next = max(next, min(wait.after, longPause))
		}
		t.Outcome, t.Next, t.Error = store.AlertWaiting, now.Add(next), err.Error()
		e.Kind, e.Err = Delayed, err
	}
	// What was sent is marked although the program ends just now.
	if err := w.c.Store.AlertTried(context.WithoutCancel(ctx), t); err != nil {
		return false, err
	}
	w.c.Tell(e)
	if t.Outcome == store.AlertGivenUp && a.Domain != "" {
		step := explain.Step{Code: "watch.alert-failed", Args: explain.Args{"channel": a.Channel, "to": explain.Clip(a.Recipient), "error": explain.Clip(t.Error)}}
		h, err := happening(a.Domain, now, "alert-failed", a.ID, step)
		if err == nil {
			_, err = w.c.Store.Happen(ctx, []store.Happening{h})
		}
		if err != nil {
			return false, err
		}
	}
	return t.Outcome == store.AlertSent, nil
}

func (w *Watcher) send(ctx context.Context, a store.Alert) error {
	var n Notice
	if err := json.Unmarshal(a.Body, &n); err != nil {
		return fmt.Errorf("%w: its text cannot be read: %w", ErrRefused, err)
	}
	switch a.Channel {
	case byMail:
		if w.c.Mailer == nil {
			return errors.New("there is no mail server to send by; set alerts.smtp")
		}
		ctx, cancel := context.WithTimeout(ctx, mailLimit)
		defer cancel()
		return w.c.Mailer.Send(ctx, w.c.From, []string{a.Recipient}, w.mail(a, n))
	case byWebhook:
		if w.c.Webhook == nil {
			return errors.New("there is no webhook any more; set alerts.webhook")
		}
		doc, err := w.document(a, n)
		if err != nil {
			return err
		}
		return w.c.Webhook.post(ctx, a.ID, w.c.Now(), doc)
	}
	return fmt.Errorf("%w: no channel %q", ErrRefused, a.Channel)
}

// mailLimit bounds one mail.
const mailLimit = 5 * time.Minute

// say is a sentence of a language, or the bare code.
func (w *Watcher) say(lang string, s explain.Step) string {
	if w.c.Say == nil {
		return s.Code
	}
	return w.c.Say(lang, s)
}

// link is the address of a notice's page; "" where it is not known.
func (w *Watcher) link(n Notice) string {
	switch {
	case w.c.URL == "":
		return ""
	case n.Domain == "" || strings.HasPrefix(n.Path, "/work"):
		return strings.TrimSuffix(w.c.URL, "/") + n.Path
	}
	return strings.TrimSuffix(w.c.URL, "/") + "/domain/" + n.Domain + n.Path
}

// Reopened raises an alert about work that was done and is to be done again.
func (w *Watcher) Reopened(ctx context.Context, cases []store.Case) error {
	var list []Notice
	for _, c := range cases {
		list = append(list, Notice{Event: fmt.Sprintf("reopened/%s/%d/%d", c.Domain, c.ID, c.Reopened), Kind: "reopened", Domain: c.Domain, At: w.c.Now().UTC(),
			Path: fmt.Sprintf("/work/%d", c.ID), Step: explain.Step{Code: "watch.reopened",
				Args: explain.Args{"domain": c.Domain, "source": explain.Clip(c.Name), "relapse": int64(min(c.Relapse, 1<<62))}}})
	}
	return w.raise(ctx, list)
}
