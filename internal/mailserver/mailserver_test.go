//go:build unix

package mailserver

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sekimori/internal/require"
)

func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(o)
	if errors.Is(err, ErrMissing) {
		require.Missing(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.Log())
		}
		s.Stop()
	})
	return s
}

// TestServers has one server take mail for itself and for another.
func TestServers(t *testing.T) {
	far := start(t, Options{Hostname: "mx.far.example", Domains: []string{"far.example"}})
	near := start(t, Options{Hostname: "mx.near.example", Domains: []string{"near.example"}, Routes: map[string]string{"far.example": far.Address(Main)},
		Services: map[string]map[string]string{"held": {"smtpd_client_restrictions": "static:HOLD"}}})
	letter := Letter{Client: netip.MustParseAddr("192.0.2.7"), Name: "mail.other.example", Helo: "mail.other.example", From: "a@other.example",
		Rcpt: []string{"b@near.example"}, Data: []byte("Subject: x\r\n\r\n.dot\r\nlast")}
	for service, want := range map[string]Place{Main: InInbox, "held": InHold} {
		r, err := near.Send(service, letter)
		if err != nil || r.Code != 250 || r.ID() == "" {
			t.Fatalf("%s, %v", r, err)
		}
		place, text, err := near.Await(r.ID(), 10*time.Second)
		if err != nil || place != want {
			t.Fatalf("%s: %s, %v", service, place, err)
		}
		if !strings.HasPrefix(string(text), "Received: from mail.other.example (mail.other.example [192.0.2.7])\n") || !strings.Contains(string(text), "\n\n.dot\nlast\n") {
			t.Errorf("%s: %s", service, text)
		}
	}
	r, err := near.Send(Main, Letter{Client: netip.MustParseAddr("127.0.0.1"), From: "a@other.example", Rcpt: []string{"b@far.example"}, Data: []byte("Subject: y\r\n\r\n")})
	if err != nil || r.Code != 250 {
		t.Fatalf("%s, %v", r, err)
	}
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		all, err := far.Delivered()
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 1 {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("%d messages came through", len(all))
		}
	}
	near.Halt()
	if err := near.Run(); err != nil {
		t.Fatal(err)
	}
	if r, err := near.Send(Main, letter); err != nil || r.Code != 250 {
		t.Fatalf("%s, %v", r, err)
	}
}
