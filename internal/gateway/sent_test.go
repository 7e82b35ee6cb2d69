package gateway

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sekimori/internal/store/verdict"
	"sekimori/milter"
)

// TestSent: signed own mail is counted by its recipients elsewhere in the
// gateway's folder, over the protocol and back from the disk.
func TestSent(t *testing.T) {
	keys, _, err := LoadKeys([]Key{{Domain: domainName(t, "bank.example"), Selector: "S1", File: private(t)}, {Domain: domainName(t, "bank.example"), Selector: "s2", File: private(t)}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	log, err := verdict.Open(dir, verdict.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	g := newGate(t, zone(t, bankZone), Options{Signer: keys, Sent: log.CountSent,
		Site: Site{Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}})
	c := dial(t, g.listen(t), milter.ClientOptions{})
	there := []string{"you@there.example", "they@mail.there.example", "we@branch.bank.example", "boss@bank.example"}
	_, h, body := send(t, c, mail{from: "info@bank.example", rcpt: there, text: draft("info@bank.example")})
	var b strings.Builder
	for _, f := range h {
		b.WriteString(f.Raw())
	}
	for _, m := range []mail{
		{from: "info@bank.example", rcpt: there, text: b.String() + "\r\n" + body}, // once more, by way of a filter
		{from: "info@bank.example", rcpt: there[3:], text: draft("info@bank.example")},
		{from: "", rcpt: there[:1], text: draft("info@shop.bank.example")},
		{from: "info@bank.example", rcpt: there[:1], text: draft("info@bank.example")},
		{from: "a@b.example", rcpt: there, text: draft("a@b.example")}, // no key; its answer comes after the others are counted
	} {
		send(t, c, m)
	}
	// What is given up, or comes from elsewhere, is not sent by us.
	f := &fake{macros: map[string]string{"j": "mx.example"}}
	gone := mail{client: "203.0.113.9:5", from: "info@bank.example", rcpt: there, text: draft("info@bank.example"), abort: true}
	foreign := mail{client: "198.51.100.1:5", from: "info@bank.example", rcpt: there, text: draft("info@bank.example")}
	f.events = append(append(gone.connection(), gone.events(t)...), append(foreign.connection(), foreign.events(t)...)...)
	if err := g.serve(context.Background(), f); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := verdict.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, since, err := r.Sent("2026-01-01", "2027-01-01")
	if err != nil {
		t.Fatal(err)
	}
	by := []verdict.Signature{{Domain: "bank.example", Selector: "s1"}, {Domain: "bank.example", Selector: "s2"}}
	want := []verdict.Sent{
		{Day: "2026-11-22", From: "bank.example", By: by, Copies: 3},
		{Day: "2026-11-22", From: "shop.bank.example", By: by, Copies: 1},
	}
	if d := cmp.Diff(want, got); d != "" || since != "2026-11-23" {
		t.Errorf("since %s (-want +got):\n%s", since, d)
	}
}
