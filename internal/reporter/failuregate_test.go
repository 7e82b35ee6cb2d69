package reporter

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/internal/gateway"
	"sekimori/message"
	"sekimori/milter"
	"sekimori/report/failure"
)

// TestFailureFromGate is the whole way: messages come to a gateway over its
// socket, and reports on those that fail reach a mail server. The reports come
// through the gateway as well, as all mail does, and end there.
func TestFailureFromGate(t *testing.T) {
	w := newWorld(t)
	s := newSink(t, true)
	f, _ := w.failures(t, func(o *FailureOptions) {
		o.Send = (&Mailer{Address: s.addr, Helo: "mx.city.example", TLS: Require, Roots: s.roots}).Send
	})
	g, err := gateway.New(gateway.Options{
		Site: gateway.Site{AuthServID: "mx.city.example", Mode: gateway.Enforce, Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, Resolver: w.zone,
		Failure: func(_ context.Context, c gateway.FailureCase) { f.Report(FailureCase(c)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	address := "unix:" + filepath.Join(t.TempDir(), "milter.sock")
	ln, err := milter.Listen(address, milter.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	srv := &milter.Server{Serve: g.Serve, Offer: gateway.Offer()}
	go srv.Listen(ln)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(func() { srv.Shutdown(ctx); cancel() })
	c, err := milter.Dial(ctx, address, milter.ClientOptions{Hostname: "mx.city.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	hand := func(client, from, text string) milter.Outcome {
		t.Helper()
		h, body, err := message.Read(strings.NewReader(text), 0)
		if err != nil {
			t.Fatal(err)
		}
		m := &milter.Message{Client: netip.MustParseAddrPort(client), Helo: "host.example.net", From: from, Rcpt: []string{"taro@city.example"}, QueueID: "4XYZ", Body: body}
		for _, field := range h {
			m.Header = append(m.Header, milter.Field{Name: field.Name(), Value: field.RawValue()})
		}
		o, err := c.Send(ctx, m)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	crlf := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	hand("203.0.113.1:4001", "x@attacker.example", crlf(from("example.com")))
	hand("203.0.113.1:4002", "x@attacker.example", crlf(from("example.com")))
	hand("203.0.113.2:4003", "x@attacker.example", crlf(from("outside.example")))
	hand("192.0.2.1:4004", "x@example.com", crlf(from("example.com")))           // legitimate
	hand("203.0.113.3:4005", "x@attacker.example", crlf(from("silent.example"))) // nobody asks
	hand("10.1.2.3:4006", "x@city.example", crlf(from("example.com")))           // our own network
	hand("203.0.113.4:4007", "", crlf(from("example.com")))                      // a notification
	w.settle(t, f)

	got := s.messages()
	var to []string
	for _, m := range got {
		to = append(to, m.to)
		r, err := failure.Parse(strings.NewReader(string(m.data)), failure.Limits{})
		if err != nil || len(r.Deviations) != 0 || r.Delivery != failure.Policy || r.EnvelopeID != "4XYZ" || !strings.Contains(r.AuthenticationResults[0], "dmarc=fail") {
			t.Errorf("%+v, %v", r, err)
		}
		if m.to == "ruf@example.com" && (r.Incidents != 2 || r.SourceIP.String() != "203.0.113.1" || r.SourcePort != 4001) {
			t.Errorf("%+v", r)
		}
	}
	slices.Sort(to)
	if want := []string{"a@consents.example", "c@outside.example", "ruf@example.com"}; !slices.Equal(to, want) {
		t.Fatalf("reports to %v, want %v", to, want)
	}
	// Back through the gateway, as they leave and as somebody returns them.
	for _, m := range got {
		hand("127.0.0.1:4008", "", string(m.data))
		hand("203.0.113.9:4009", "bounces@attacker.example", string(m.data))
	}
	w.settle(t, f)
	time.Sleep(50 * time.Millisecond)
	if n := len(s.messages()); n != len(got) {
		t.Errorf("%d reports on reports", n-len(got))
	}
}
