package watch

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

var start = time.Date(2026, 11, 1, 0, 30, 0, 0, time.UTC)

func mustName(t testing.TB, s string) domain.Name {
	n, err := domain.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// resolver answers from a zone that tests replace.
type resolver struct {
	mu   sync.Mutex
	zone *dnstest.Zone
	down bool
	n    int
}

func (r *resolver) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	r.mu.Lock()
	z, down := r.zone, r.down
	r.n++
	r.mu.Unlock()
	if down {
		return dns.Answer{}, &dns.Failure{Name: name, Type: t, Err: dns.ErrTemporary}
	}
	return z.Lookup(ctx, name, t)
}

func (r *resolver) set(t testing.TB, text string) {
	t.Helper()
	z, err := dnstest.Parse(strings.NewReader("$ORIGIN city.example.jp.\n"+text), "zone")
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.zone, r.down = z, false
	r.mu.Unlock()
}

func open(t testing.TB, dir string) *store.Store {
	t.Helper()
	st, err := store.Open(context.Background(), dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func opened(t testing.TB) *store.Store {
	st := open(t, t.TempDir())
	t.Cleanup(func() { st.Close() })
	return st
}

// report puts one day's report about city.example.jp into the store: n
// messages that pass, and some that were forged.
func report(t testing.TB, st *store.Store, day store.Day, policy string, n, forged uint64) {
	t.Helper()
	in := &store.Incoming{Rows: &store.Rows{}, Report: aggregate.Report{
		Metadata:        aggregate.Metadata{OrgName: "receiver", ReportID: day.String(), Begin: day.Time(), End: (day + 1).Time().Add(-time.Second)},
		PolicyPublished: aggregate.PolicyPublished{Domain: "city.example.jp", P: policy},
	}}
	in.Rows.Add(&aggregate.Record{SourceIP: netip.MustParseAddr("192.0.2.1"), Count: n, DKIM: true, HeaderFrom: "city.example.jp",
		DKIMResults: []aggregate.DKIMResult{{Domain: "city.example.jp", Selector: "s1", Result: "pass"}}})
	if forged > 0 {
		in.Rows.Add(&aggregate.Record{SourceIP: netip.MustParseAddr("203.0.113.1"), Count: forged, HeaderFrom: "city.example.jp"})
	}
	if _, err := st.Put(context.Background(), []*store.Incoming{in}); err != nil {
		t.Fatal(err)
	}
}

func classes(t testing.TB, st *store.Store) {
	t.Helper()
	c := map[netip.Addr]store.ClassRow{
		netip.MustParseAddr("192.0.2.1"): {Class: "aligned", Source: "a"}, netip.MustParseAddr("203.0.113.1"): {Class: "spoof", Source: "s"},
	}
	if err := st.SetClasses(context.Background(), "city.example.jp", maps.All(c)); err != nil {
		t.Fatal(err)
	}
}

func watcher(t testing.TB, c Config) *Watcher {
	t.Helper()
	if c.Say == nil {
		c.Say = func(lang string, s explain.Step) string { return fmt.Sprint(lang, " ", s.Code, " ", s.Args) }
	}
	w, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func codes(e []Entry) string {
	var out []string
	for _, x := range e {
		out = append(out, x.Step.Code)
	}
	return strings.Join(out, " ")
}

// mailbox is a mail server on loopback that keeps what it is given.
type mailbox struct {
	addr string
	mu   sync.Mutex
	got  []string
	from []string
	to   []string
	say  error // the answer to RCPT, where set
}

func (b *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{b: b}, nil }

type session struct {
	b        *mailbox
	from, to string
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.from = from; return nil }
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.to = to
	return s.b.say
}
func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.got, s.b.from, s.b.to = append(s.b.got, string(text)), append(s.b.from, s.from), append(s.b.to, s.to)
	return err
}
func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

func (b *mailbox) answer(err error) { b.mu.Lock(); defer b.mu.Unlock(); b.say = err }
func (b *mailbox) mails() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string{}, b.got...)
}

func newMailbox(t testing.TB) *mailbox {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &mailbox{addr: ln.Addr().String()}
	srv := smtp.NewServer(b)
	srv.Domain = "mx.test.example"
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	return b
}

// sender speaks SMTP, as the edge of the program does.
type sender struct{ addr string }

func (s sender) Send(_ context.Context, from string, to []string, message []byte) error {
	c, err := smtp.Dial(s.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SendMail(from, to, strings.NewReader(string(message))); err != nil {
		if e, ok := err.(*smtp.SMTPError); ok && e.Code >= 500 {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return err
	}
	return c.Quit()
}
