package gateway

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/arc"
	"sekimori/dkim"
	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/internal/store/verdict"
	"sekimori/message"
	"sekimori/milter"
)

// today is when the tests' messages arrive.
var today = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

func domainName(t testing.TB, s string) domain.Name {
	t.Helper()
	n, err := domain.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func testKey(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "check", "testdata", "keys", kind+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return k.(crypto.Signer)
}

// zone reads a zone file in which RSA and ED25519 stand for the test keys.
func zone(t testing.TB, text string) *dnstest.Zone {
	t.Helper()
	for _, kind := range []string{"rsa", "ed25519"} {
		der, err := x509.MarshalPKIXPublicKey(testKey(t, kind).Public())
		if err != nil {
			t.Fatal(err)
		}
		if kind == "ed25519" {
			der = der[len(der)-32:] // RFC 8463 §4.2: the key alone
		}
		p := base64.StdEncoding.EncodeToString(der)
		key := `"v=DKIM1; k=` + kind + `; p=`
		for len(p) > 200 {
			key += p[:200] + `" "`
			p = p[200:]
		}
		text = strings.ReplaceAll(text, strings.ToUpper(kind), key+p+`"`)
	}
	z, err := dnstest.Parse(strings.NewReader("$TTL 3600\n"+text), "zone")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// signed signs a message for a domain with the RSA key, selector s1.
func signed(t testing.TB, text, by string) string {
	t.Helper()
	h, body, err := message.Read(strings.NewReader(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := dkim.Sign(h, body, &dkim.Signer{Domain: domainName(t, by), Selector: "s1", Key: testKey(t, "rsa"), Now: func() time.Time { return today.Add(-time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(fields, "") + text
}

// sealed puts an ARC Set on a message.
func sealed(t testing.TB, text, by string, status arc.Status, found string) string {
	t.Helper()
	h, body, err := message.Read(strings.NewReader(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &arc.Sealer{Domain: domainName(t, by), Selector: "s1", Key: testKey(t, "rsa"), Now: func() time.Time { return today.Add(-time.Minute) }}
	fields, err := s.Seal(h, body, status, found)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(fields, "") + text
}

func withCRLF(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// mail is a message as a client hands it in.
type mail struct {
	client string // "192.0.2.10:25000"; "" is a local program, "?" is not known
	helo   string
	from   string
	rcpt   []string
	text   string
	macros map[string]string
	abort  bool // it is given up before its end
}

// events are what an MTA says of a message, without its connection.
func (m mail) events(t testing.TB) []milter.Event {
	t.Helper()
	out := []milter.Event{{Kind: milter.Mail, Args: []string{"<" + m.from + ">", "SIZE=1000"}}}
	for _, r := range m.rcpt {
		out = append(out, milter.Event{Kind: milter.Rcpt, Args: []string{"<" + r + ">"}})
	}
	h, body, err := message.Read(strings.NewReader(m.text), 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range h {
		// Postfix: folds are LF.
		out = append(out, milter.Event{Kind: milter.HeaderField, Name: f.Name(), Value: strings.ReplaceAll(f.RawValue(), "\r\n", "\n")})
	}
	out = append(out, milter.Event{Kind: milter.EndOfHeader})
	rest, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	for len(rest) > 0 {
		n := min(len(rest), 65535)
		out = append(out, milter.Event{Kind: milter.Body, Body: rest[:n]})
		rest = rest[n:]
	}
	if m.abort {
		return append(out, milter.Event{Kind: milter.Abort})
	}
	return append(out, milter.Event{Kind: milter.EndOfMessage})
}

func (m mail) connection() []milter.Event {
	ev := milter.Event{Kind: milter.Connect, Host: "localhost", Family: 'L'}
	switch m.client {
	case "":
	case "?":
		ev.Family, ev.Host = 'U', "unknown"
	default:
		ev = milter.Event{Kind: milter.Connect, Host: "unknown", Family: '4', Addr: netip.MustParseAddrPort(m.client)}
		if ev.Addr.Addr().Is6() {
			ev.Family = '6'
		}
	}
	return []milter.Event{ev, {Kind: milter.Helo, Name: m.helo}}
}

// result is what the gateway did with a message.
type result struct {
	inserted []added // the topmost first
	deleted  []string
	held     string
	reply    milter.Response
}

// get returns the value of an inserted field.
func (r *result) get(field string) string {
	for _, a := range r.inserted {
		if a.name == field {
			return a.value
		}
	}
	return ""
}

// fake plays a session: it says its events and notes the answers.
type fake struct {
	events  []milter.Event
	macros  map[string]string
	without milter.Action
	broken  error // of Reply
	// on is called before each event is handed out.
	on func(milter.Event)

	current result
	results []result
}

func (f *fake) Next() (milter.Event, error) {
	if len(f.events) == 0 {
		return milter.Event{}, io.EOF
	}
	ev := f.events[0]
	f.events = f.events[1:]
	f.current = result{}
	if f.on != nil {
		f.on(ev)
	}
	return ev, nil
}
func (f *fake) Macro(name string) string    { return f.macros[name] }
func (f *fake) LeadingSpace() bool          { return true }
func (f *fake) Has(a milter.Action) bool    { return f.without&a == 0 }
func (f *fake) Quarantine(why string) error { f.current.held = why; return nil }
func (f *fake) InsertHeader(i int, name, value string) error {
	if i != 0 {
		return errors.New("not on top")
	}
	f.current.inserted = append([]added{{name, value}}, f.current.inserted...)
	return nil
}

func (f *fake) DeleteHeader(i int, name string) error {
	f.current.deleted = append(f.current.deleted, name+" "+string(rune('0'+i)))
	return nil
}

func (f *fake) Reply(r milter.Response) error {
	if f.broken != nil {
		return f.broken
	}
	f.current.reply = r
	f.results = append(f.results, f.current)
	return nil
}

// book is a Log in memory.
type book struct {
	mu      sync.Mutex
	entries []*verdict.Entry
	err     error
}

func (b *book) Append(e *verdict.Entry) (verdict.Receipt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return verdict.Receipt{}, b.err
	}
	b.entries = append(b.entries, e)
	e.ID = uint64(len(b.entries))
	return verdict.Receipt{}, nil
}

// gate is a gateway with its log.
type gate struct {
	*Gateway
	book *book
}

func newGate(t testing.TB, r dns.Resolver, o Options) *gate {
	t.Helper()
	b := &book{}
	o.Resolver, o.Now = r, func() time.Time { return today }
	if o.Log == nil {
		o.Log = b
	}
	if o.Hostname == "" {
		o.Hostname = "mx.example"
	}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &gate{g, b}
}

// deliver hands in messages over one connection, and returns what became of
// each.
func (g *gate) deliver(t testing.TB, all ...mail) []result {
	t.Helper()
	f := &fake{macros: map[string]string{"j": "mx.example", "i": "4bQ1"}}
	f.events = all[0].connection()
	for _, m := range all {
		for k, v := range m.macros {
			f.macros[k] = v
		}
		f.events = append(f.events, m.events(t)...)
	}
	if err := g.serve(context.Background(), f); err != nil {
		t.Fatal(err)
	}
	return f.results
}

// one is deliver for one message: what became of it, and its entry.
func (g *gate) one(t testing.TB, m mail) (result, *verdict.Entry) {
	t.Helper()
	before := len(g.book.entries)
	r := g.deliver(t, m)
	if len(r) != 1 {
		t.Fatalf("%d answers", len(r))
	}
	if len(g.book.entries) == before {
		return r[0], nil
	}
	return r[0], g.book.entries[len(g.book.entries)-1]
}

// copied is a file with a mode that keys may have.
func copied(t testing.TB, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(out, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}
