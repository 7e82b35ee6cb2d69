package watch

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/repair"
	"sekimori/internal/store"
)

// hook is a webhook's receiver.
type hook struct {
	mu     sync.Mutex
	status int
	ids    []string
	bodies []string
	bad    []string // what was wrong with a request
}

const secret = "it is a secret"

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(r.Header.Get("Webhook-Id") + "." + r.Header.Get("Webhook-Timestamp") + "." + string(body)))
	if want := "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil)); r.Header.Get("Webhook-Signature") != want || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		h.bad = append(h.bad, r.Method+" "+r.Header.Get("Webhook-Signature")+", want "+want)
	}
	h.ids, h.bodies = append(h.ids, r.Header.Get("Webhook-Id")), append(h.bodies, string(body))
	if h.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "7200")
	}
	w.WriteHeader(h.status)
}

func (h *hook) answer(status int) { h.mu.Lock(); defer h.mu.Unlock(); h.status = status }
func (h *hook) count() int        { h.mu.Lock(); defer h.mu.Unlock(); return len(h.ids) }

// advice is an answer whose window ends with a day, and whose bar is crossed on
// another; 0 for not.
func advice(end, day store.Day, policy string) *advise.Advice {
	a := &advise.Advice{Domain: "city.example.jp", Window: store.Window{Begin: end - 30, End: end},
		Sources: []advise.Source{{ID: "1", Name: "okuru.example", Class: advise.Broken, Failing: 50, Messages: 60}, {ID: "2", Name: "x", Class: advise.Spoof, Failing: 500}}}
	a.Ladder.Now = policy
	a.Ladder.StepBack = advise.StepBack{Share: 0.005, Record: "v=DMARC1; p=quarantine", Tripped: day != 0, Day: day, Failing: 50}
	return a
}

// TestTrigger goes through an alarm: given once, to everybody, through trouble
// and restarts; and the all-clear, not before it is quiet.
func TestTrigger(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	st := open(t, dir)
	h := &hook{status: 500}
	srv := httptest.NewServer(h)
	defer srv.Close()
	box := newMailbox(t)
	at := &clock{t: start}
	config := Config{Store: st, Now: at.now, Mailer: sender{box.addr}, From: "sekimori@city.example.jp", To: []string{"a@city.example.jp", "b@city.example.jp"},
		Webhook: &Webhook{URL: srv.URL + "/x", Secret: secret}, URL: "https://sekimori.city.example.jp/"}
	w := watcher(t, config)
	day := store.DayOf(start)
	trigger := func(a *advise.Advice) {
		t.Helper()
		if err := w.Trigger(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	deliver := func() {
		t.Helper()
		if _, err := w.Deliver(ctx); err != nil {
			t.Fatal(err)
		}
	}
	happened := func() string {
		t.Helper()
		list, err := st.Happenings(ctx, "city.example.jp", time.Time{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, e := range list {
			out = append(out, e.Kind)
		}
		return strings.Join(out, " ")
	}

	trigger(advice(day, 0, "reject"))
	narrowed := advice(day, day-1, "reject")
	narrowed.Department = "a part"
	trigger(narrowed)
	if got := happened(); got != "" {
		t.Fatalf("without cause: %s", got)
	}
	trigger(advice(day, day-1, "reject"))
	trigger(advice(day, day-1, "reject"))
	deliver()
	if n := len(box.mails()); n != 2 || h.count() != 1 || happened() != "step-back" {
		t.Fatalf("%d mails, %d calls, %s", n, h.count(), happened())
	}

	// The webhook fails; the program starts anew; it is told under the same id.
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	st = open(t, dir)
	defer func() { st.Close() }()
	config.Store = st
	w = watcher(t, config)
	trigger(advice(day, day-1, "reject"))
	deliver()
	if h.count() != 1 {
		t.Fatal("tried again at once")
	}
	h.answer(429)
	at.add(5 * time.Minute)
	deliver()
	at.add(time.Hour)
	deliver() // it asked for two hours
	if h.count() != 2 {
		t.Fatalf("%d calls", h.count())
	}
	h.answer(204)
	at.add(time.Hour)
	deliver()
	deliver()
	if h.count() != 3 || h.ids[0] != h.ids[2] || h.bodies[0] != h.bodies[2] || len(h.bad) > 0 || len(box.mails()) != 2 {
		t.Fatalf("%d calls %v, %v, %d mails", h.count(), h.ids, h.bad, len(box.mails()))
	}
	var doc struct {
		ID, Event, Kind, Domain, URL string
		What                         struct {
			Code string
			Args map[string]any
			Text map[string]string
		}
		Details []struct{ Code string }
	}
	if err := json.Unmarshal([]byte(h.bodies[2]), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Kind != "step-back" || doc.Domain != "city.example.jp" || doc.What.Code != "watch.step-back" || doc.What.Text["ja"] == "" || len(doc.Details) != 2 ||
		doc.URL != "https://sekimori.city.example.jp/domain/city.example.jp" || doc.ID != h.ids[2] {
		t.Errorf("%s", h.bodies[2])
	}

	// Quiet for six days is not quiet; another day above the bar begins anew.
	trigger(advice(day+6, 0, "reject"))
	trigger(advice(day+7, day+6, "reject"))
	trigger(advice(day+13, 0, "reject"))
	if got := happened(); got != "step-back" {
		t.Fatalf("too early: %s", got)
	}
	alarms, err := w.Alarms(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if alarms.Alerts != (store.AlertCounts{Sent: 3}) {
		t.Errorf("%+v", alarms)
	}
	at.add(14 * 24 * time.Hour)
	trigger(advice(day+14, 0, "reject"))
	trigger(advice(day+15, 0, "reject"))
	if got := happened(); got != "all-clear step-back" {
		t.Fatalf("%s", got)
	}
	// The next one is an alarm of its own, which ends when the policy goes back.
	at.add(24 * time.Hour)
	trigger(advice(day+20, day+19, "reject"))
	at.add(time.Hour)
	trigger(advice(day+21, 0, "quarantine"))
	deliver()
	if got := happened(); got != "all-clear step-back all-clear step-back" || len(box.mails()) != 8 || h.count() != 6 {
		t.Fatalf("%s, %d mails, %d calls", got, len(box.mails()), h.count())
	}
}

// TestMail looks at a mail as a reader gets it.
func TestMail(t *testing.T) {
	ctx, st := t.Context(), opened(t)
	box := newMailbox(t)
	at := &clock{t: start}
	w := watcher(t, Config{Store: st, Now: at.now, Mailer: sender{box.addr}, From: "sekimori@city.example.jp", To: []string{"a@city.example.jp"}, URL: "https://s.example.jp",
		Say: func(lang string, s explain.Step) string {
			if lang == "ja" {
				return "日本語の長い長い長い長い長い長い長い長い長い長い長い件名\r\nBcc: evil@example.com " + s.Code
			}
			return "English " + s.Code
		}})
	n := Notice{Event: "e", Kind: "dns", Domain: "city.example.jp", At: start, Step: explain.Step{Code: "watch.dmarc-removed"}, More: []explain.Step{{Code: "watch.was"}}, Path: "/timeline"}
	if err := w.raise(ctx, []Notice{n, n}); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Deliver(ctx); err != nil || got != 1 {
		t.Fatalf("%d delivered, %v", got, err)
	}
	m, err := mail.ReadMessage(strings.NewReader(box.mails()[0]))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || !strings.HasPrefix(subject, "日本語の長い") || m.Header.Get("Bcc") != "" {
		t.Errorf("subject %q, %v", subject, err)
	}
	if m.Header.Get("From") != "<sekimori@city.example.jp>" || m.Header.Get("To") != "<a@city.example.jp>" || m.Header.Get("Auto-Submitted") != "auto-generated" ||
		!strings.HasSuffix(m.Header.Get("Message-Id"), "@city.example.jp>") || m.Header.Get("Date") != "Sun, 01 Nov 2026 00:30:00 +0000" {
		t.Errorf("%v", m.Header)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil || !strings.Contains(string(text), "English watch.dmarc-removed") || !strings.Contains(string(text), "https://s.example.jp/domain/city.example.jp/timeline") {
		t.Errorf("%s, %v", text, err)
	}
	for line := range strings.Lines(box.mails()[0]) {
		if len(line) > 100 {
			t.Errorf("a line of %d octets: %s", len(line), line)
		}
	}
	if box.from[0] != "sekimori@city.example.jp" || box.to[0] != "a@city.example.jp" {
		t.Errorf("envelope from %q to %q", box.from, box.to)
	}
}

// TestDeliverFails checks pauses, and that what is refused, or too old, ends.
func TestDeliverFails(t *testing.T) {
	ctx, st := t.Context(), opened(t)
	box := newMailbox(t)
	at := &clock{t: start}
	w := watcher(t, Config{Store: st, Now: at.now, Mailer: sender{box.addr}, From: "sekimori@city.example.jp", To: []string{"a@city.example.jp"}})
	raise := func(event string) {
		t.Helper()
		if err := w.raise(ctx, []Notice{{Event: event, Kind: "dns", Domain: "city.example.jp", At: at.now(), Step: explain.Step{Code: "watch.x"}}}); err != nil {
			t.Fatal(err)
		}
	}
	counts := func() store.AlertCounts {
		t.Helper()
		c, err := st.AlertCounts(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	box.answer(&smtp.SMTPError{Code: 550, Message: "no such user"})
	raise("refused")
	if _, err := w.Deliver(ctx); err != nil || counts() != (store.AlertCounts{GivenUp: 1}) {
		t.Fatalf("%+v, %v", counts(), err)
	}
	list, err := st.Happenings(ctx, "city.example.jp", time.Time{}, 0)
	if err != nil || len(list) != 1 || list[0].Kind != "alert-failed" {
		t.Fatalf("%+v, %v", list, err)
	}
	box.answer(&smtp.SMTPError{Code: 451, Message: "not now"})
	raise("delayed")
	tries := 0
	for ; tries < 100 && counts().Waiting > 0; tries++ {
		if _, err := w.Deliver(ctx); err != nil {
			t.Fatal(err)
		}
		due, err := st.Alerts(ctx, "city.example.jp", 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range due {
			if a.Outcome == store.AlertWaiting {
				at.add(a.Next.Sub(at.now()))
			}
		}
	}
	// 1, 2, 4 … 128 minutes, then every four hours up to three days.
	if tries < 20 || tries > 30 || counts().GivenUp != 2 {
		t.Errorf("%d attempts, %+v", tries, counts())
	}
	// Configuration that went away is told of, and waits.
	box.answer(nil)
	raise("later")
	w.c.Mailer = nil
	if _, err := w.Deliver(ctx); err != nil || counts().Waiting != 1 {
		t.Fatalf("%+v, %v", counts(), err)
	}
}

// TestWebhookBounds checks where a webhook may lead.
func TestWebhookBounds(t *testing.T) {
	ctx := context.Background()
	h := &hook{status: 200}
	other := httptest.NewServer(h)
	defer other.Close()
	mux := http.NewServeMux()
	mux.Handle("/ok", h)
	mux.Handle("/same", http.RedirectHandler("/ok", http.StatusTemporaryRedirect))
	mux.Handle("/get", http.RedirectHandler("/ok", http.StatusFound))
	mux.Handle("/other", http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	mux.Handle("/round", http.RedirectHandler("/round", http.StatusPermanentRedirect))
	mux.Handle("/gone", http.NotFoundHandler())
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, io.LimitReader(endless{}, 1<<30))
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for path, ok := range map[string]bool{"/ok": true, "/same": true, "/get": false, "/other": false, "/round": false, "/gone": false, "/big": true} {
		err := (&Webhook{URL: srv.URL + path, Secret: secret}).post(ctx, "id", start, []byte("{}"))
		if (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
	}
	if h.count() != 2 || len(h.bad) > 0 {
		t.Errorf("%d calls, %v", h.count(), h.bad)
	}
	tls := httptest.NewTLSServer(h)
	defer tls.Close()
	if err := (&Webhook{URL: tls.URL, Secret: secret}).post(ctx, "id", start, []byte("{}")); err == nil {
		t.Error("a certificate of nobody was believed")
	}
	if err := (&Webhook{URL: tls.URL, Secret: secret, Client: tls.Client()}).post(ctx, "id", start, []byte("{}")); err != nil {
		t.Error(err)
	}
	for url, ok := range map[string]bool{"https://hooks.example.jp/x": true, "http://127.0.0.1:1/": true, "http://[::1]/": true, "http://localhost/": true,
		"http://hooks.example.jp/x": false, "http://192.0.2.1/": false, "ftp://x/": false, "https://": false, "https://a:b@x.example/": false, "": false, "http://127.0.0.1.example.com/": false} {
		if err := (&Webhook{URL: url}).check(); (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
	}
	if (&Webhook{URL: "https://x.example/", Secret: "whsec_!"}).check() == nil {
		t.Error("a secret that is no base64")
	}
	// The example of Standard Webhooks.
	key, err := (&Webhook{Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}).key()
	if got := signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); err != nil || got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("%s, %v", got, err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// duties is work that is due.
type duties struct {
	list []repair.Reminder
	sent int
}

func (d *duties) Due(context.Context, time.Time) ([]repair.Reminder, error) { return d.list, nil }
func (d *duties) Reminded(_ context.Context, sent []repair.Reminder, _ time.Time) error {
	d.sent += len(sent)
	return nil
}

// TestRemind checks that each recipient gets one mail a day with all that is
// his, and that what belongs to nobody goes to the site.
func TestRemind(t *testing.T) {
	ctx, st := t.Context(), opened(t)
	box := newMailbox(t)
	at := &clock{t: start}
	d := &duties{}
	for i, to := range []string{"events@city.example.jp", "EVENTS@city.example.jp", "", "a person\r\nBcc: x@example.com"} {
		d.list = append(d.list, repair.Reminder{To: to, Kind: []repair.ReminderKind{repair.DueSoon, repair.Overdue, repair.NoMail, repair.DueSoon}[i],
			Case: store.Case{ID: int64(i + 1), Domain: "city.example.jp", Name: "okuru.example", Due: store.DayOf(start) + 2}})
	}
	c := Config{Store: st, Now: at.now, Mailer: sender{box.addr}, From: "sekimori@city.example.jp", To: []string{"postmaster@city.example.jp"}, Reminders: d}
	w := watcher(t, c)
	for range 2 {
		if err := w.Remind(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Deliver(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if len(box.to) != 2 || d.sent != 4 {
		t.Fatalf("to %v, %d noted", box.to, d.sent)
	}
	for i, to := range box.to {
		want := map[string][]string{"events@city.example.jp": {"watch.reminder-due", "watch.reminder-overdue"}, "postmaster@city.example.jp": {"watch.reminder-no-mail", "watch.reminder-due"}}[to]
		for _, s := range want {
			if !strings.Contains(box.got[i], s) {
				t.Errorf("%s: no %s in %s", to, s, box.got[i])
			}
		}
	}
	at.add(24 * time.Hour)
	if err := w.Remind(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Deliver(ctx); err != nil || n != 2 {
		t.Fatalf("the next day: %d mails, %v", n, err)
	}
}

func TestNewRefuses(t *testing.T) {
	st := opened(t)
	for name, c := range map[string]Config{
		"no from":     {Store: st, To: []string{"a@example.jp"}},
		"display":     {Store: st, From: "a@example.jp", To: []string{"A <a@example.jp>"}},
		"line end":    {Store: st, From: "a@example.jp", To: []string{"a@example.jp\r\nBcc: b@example.jp"}},
		"no store":    {},
		"plain http":  {Store: st, Webhook: &Webhook{URL: "http://hooks.example.jp/"}},
		"not ASCII":   {Store: st, From: "a@example.jp", To: []string{"市役所@example.jp"}},
		"from broken": {Store: st, From: "nobody"},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if !errors.Is(retryError{ErrRefused, 0}.error, ErrRefused) {
		t.Error("the cause is lost")
	}
}

// TestReopened checks that a relapse is told once, and a second one again.
func TestReopened(t *testing.T) {
	ctx, st := t.Context(), opened(t)
	box := newMailbox(t)
	w := watcher(t, Config{Store: st, Now: (&clock{t: start}).now, Mailer: sender{box.addr}, From: "sekimori@city.example.jp", To: []string{"a@city.example.jp"}, URL: "https://s.example.jp"})
	c := store.Case{ID: 7, Domain: "city.example.jp", Name: "okuru.example", Reopened: 1}
	for range 2 {
		if err := w.Reopened(ctx, []store.Case{c}); err != nil {
			t.Fatal(err)
		}
	}
	c.Reopened = 2
	if err := w.Reopened(ctx, []store.Case{c}); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Deliver(ctx); err != nil || n != 2 || !strings.Contains(box.mails()[0], "https://s.example.jp/work/7") {
		t.Fatalf("%d mails, %v: %v", n, err, box.mails())
	}
}

// TestDeliverBeside checks that a webhook which is down is not asked for each of
// many alerts, and holds no mail up.
func TestDeliverBeside(t *testing.T) {
	ctx, st := t.Context(), opened(t)
	box := newMailbox(t)
	h := &hook{status: 503}
	srv := httptest.NewServer(h)
	defer srv.Close()
	w := watcher(t, Config{Store: st, Now: (&clock{t: start}).now, Mailer: sender{box.addr}, From: "sekimori@city.example.jp", To: []string{"a@city.example.jp"},
		Webhook: &Webhook{URL: srv.URL, Secret: secret}})
	var list []Notice
	for i := range 20 {
		list = append(list, Notice{Event: string(rune('a' + i)), Kind: "dns", Domain: "city.example.jp", At: start, Step: explain.Step{Code: "watch.x"}})
	}
	if err := w.raise(ctx, list); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Deliver(ctx); err != nil || n != 20 || h.count() != patience {
		t.Fatalf("%d delivered, %d calls, %v", n, h.count(), err)
	}
}
