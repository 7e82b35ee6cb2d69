//go:build unix

package arrival

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/internal/mailserver"
)

// TestCrowd brings every message of the table many times at once: what one
// session finds must not end in another's field.
func TestCrowd(t *testing.T) {
	w := here(t)
	all := arrivals()
	var wg sync.WaitGroup
	for n := range 24 {
		wg.Go(func() {
			for i := range 12 {
				a := all[(n*7+i*5)%len(all)]
				gate, want := "hold", a.hold
				if n%2 == 1 {
					gate, want = "refuse", a.refuse
				}
				r, err := w.postfix.Send(gate, a.send)
				if err != nil {
					t.Errorf("%s: %v", a.name, err)
					continue
				}
				if want == refused || r.Code != 250 {
					if (want == refused) != (r.Code/100 == 5) {
						t.Errorf("%s at %s: %s", a.name, gate, r)
					}
					continue
				}
				place, text, err := w.postfix.Await(r.ID(), 20*time.Second)
				if err != nil || (place == mailserver.InHold) != (want == held) {
					t.Errorf("%s at %s: %s, want %s: %v", a.name, gate, place, want, err)
					continue
				}
				if field, err := said(text); err != nil || field != a.want {
					t.Errorf("%s at %s: %v\n got %s\nwant %s", a.name, gate, err, field, a.want)
				}
			}
		})
	}
	wg.Wait()
	// When everybody has gone, no session is left, and no verdict waits.
	for _, gate := range []string{"hold", "refuse"} {
		var text string
		for until := time.Now().Add(5 * time.Second); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
			if text = w.gates[gate].metrics(t); strings.Contains(text, "\nsekimori_gateway_sessions 0\n") && strings.Contains(text, "\nsekimori_gateway_verdicts_waiting 0\n") && strings.Contains(text, "\nsekimori_gateway_verdicts_unmoved 0\n") {
				break
			}
		}
		for _, want := range []string{"sekimori_gateway_sessions 0", "sekimori_gateway_verdicts_waiting 0", "sekimori_gateway_verdicts_unmoved 0", "sekimori_gateway_protocol_errors_total 0"} {
			if !strings.Contains(text, "\n"+want+"\n") {
				t.Errorf("%s: no %q in the metrics: %s", gate, want, text)
			}
		}
	}
}

// metrics is what the gateway tells of itself.
func (g *gate) metrics(t *testing.T) string {
	t.Helper()
	r, err := http.Get("http://" + g.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFind asks why a message was held.
func TestFind(t *testing.T) {
	w := here(t)
	got, text := w.bring(t, "plain", compose("why-was-it-held", atBank).from(mallory, forged))
	if got != held {
		t.Fatalf("%s: %s", got, text)
	}
	g := w.gates["plain"]
	for _, query := range [][]string{{"--message-id", "<why-was-it-held@test.example>"}, {"--sender", forged, "--limit", "1"}, {"--address", "reader@receiver.example", "--limit", "1"}, {mallory, "--limit", "1"}} {
		var out string
		for until := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			cmd := g.verb(append([]string{"gateway", "find", "--json", "--data", g.data()}, query...)...)
			var status int
			var said string
			if out, status, said = ran(cmd); status == 0 {
				break
			}
			if status != 1 || time.Now().After(until) {
				t.Fatalf("%v: status %d: %s %s", query, status, out, said)
			}
		}
		if !json.Valid([]byte(out)) || !strings.Contains(out, "why-was-it-held@test.example") || !strings.Contains(out, "quarantine") || !strings.Contains(out, "bank.example") {
			t.Errorf("%v: %s", query, out)
		}
	}
	if out, status, _ := ran(g.verb("gateway", "find", "--data", g.data(), "--message-id", "never-seen@test.example")); status != 1 {
		t.Errorf("status %d: %s", status, out)
	}
}
