//go:build unix

package arrival

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekimori/internal/mailserver"
)

// TestKilled kills the gateway fifty times while mail flows. The senders do
// what servers do: what was not accepted is sent again. In the end every
// message was accepted once, is delivered once for each acceptance, and counted
// once; and the gateway served again within a second each time.
func TestKilled(t *testing.T) {
	w := here(t)
	g := w.gates["killed"]
	if err := g.configure("  mode: enforce\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.start(); err != nil {
		t.Fatal(err)
	}
	defer g.kill()
	const kills, senders = 50, 4
	var done atomic.Bool
	var mu sync.Mutex
	accepted := map[string]string{} // message by its ID in the queue
	retries := 0
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for n := 0; !done.Load(); n++ {
				id := fmt.Sprintf("killed-%d-%d", s, n)
				l := compose(id, atBank).from(bankMail, atBank)
				for try := 0; ; try++ {
					r, err := w.postfix.Send("killed", l)
					if err == nil && r.Code == 250 {
						mu.Lock()
						accepted[r.ID()] = id
						retries += try
						mu.Unlock()
						break
					}
					if err == nil && r.Code/100 == 5 {
						t.Errorf("%s refused: %s", id, r)
						break
					}
					if try == 2000 {
						t.Errorf("%s: never accepted: %s, %v", id, r, err)
						break
					}
					time.Sleep(20 * time.Millisecond)
				}
			}
		})
	}
	var took []time.Duration
	random := rand.New(rand.NewPCG(5, uint64(time.Now().UnixNano())))
	for range kills {
		time.Sleep(time.Duration(random.IntN(120)) * time.Millisecond)
		g.kill()
		d, err := g.start()
		if err != nil {
			done.Store(true)
			wg.Wait()
			t.Fatal(err)
		}
		took = append(took, d)
	}
	done.Store(true)
	wg.Wait()
	slices.Sort(took)
	t.Logf("%d messages, %d tries more; serving again after %s at most, %s mostly", len(accepted), retries, took[kills-1], took[kills/2])
	if took[kills-1] > time.Second {
		t.Errorf("serving again took %s", took[kills-1:])
	}
	if len(accepted) < kills {
		t.Errorf("only %d messages came through", len(accepted))
	}
	unique := map[string]bool{}
	for id, m := range accepted {
		if unique[m] {
			t.Errorf("%s was accepted twice", m)
		}
		unique[m] = true
		if place, _, err := w.postfix.Await(id, 10*time.Second); err != nil || place != mailserver.InInbox {
			t.Errorf("%s: %s, %v", m, place, err)
		}
	}
	w.onceEach(t, "killed-", accepted)
	g.awaitCount(t, "bank.example", int64(len(accepted)), 10*time.Second)
	if err := g.stop(); err != nil {
		t.Errorf("stopped: %v", err)
	}
	if have := g.counted(t, true)["bank.example"]; have != int64(len(accepted)) {
		t.Errorf("%d are counted after the end, want %d", have, len(accepted))
	}
}

// onceEach checks that the messages of a test lie in the inbox once for each
// time Postfix accepted them.
func (w *world) onceEach(t *testing.T, prefix string, accepted map[string]string) {
	t.Helper()
	all, err := w.postfix.Delivered()
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for _, text := range all {
		h, _, err := header(text)
		if err != nil {
			continue
		}
		if s := strings.TrimSpace(h.Get("Subject")); len(s) > len(prefix) && s[:len(prefix)] == prefix {
			times[s]++
			if field, err := said(mailserver.Undelivered(text)); err != nil || field != "spf=pass bank.example; dkim=none; "+bankAR {
				t.Errorf("%s: %s, %v", s, field, err)
			}
		}
	}
	for _, m := range accepted {
		if times[m] != 1 {
			t.Errorf("%s: delivered %d times", m, times[m])
		}
		delete(times, m)
	}
	for m, n := range times {
		t.Errorf("%s: delivered %d times, never accepted", m, n)
	}
}

// TestDrain ends the gateway in the middle of a message, as the service
// manager does: the message is still judged, and nothing is lost.
func TestDrain(t *testing.T) {
	w := here(t)
	g := w.gates["drained"]
	if err := g.configure("  mode: enforce\n  on_reject: refuse\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.start(); err != nil {
		t.Fatal(err)
	}
	defer g.kill()
	l := compose("drained", atBank).from(mallory, forged)
	c, err := mailserver.Dial(w.postfix.Address("drained"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Introduce(l); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"MAIL FROM:<" + l.From + ">", "RCPT TO:<" + l.Rcpt[0] + ">", "DATA"} {
		if r, err := c.Command(command); err != nil || r.Code >= 400 {
			t.Fatal(r, err)
		}
	}
	data := mailserver.Stuffed(l.Data)
	if _, err := c.Write(data[:len(data)/2]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // Postfix waits for no answer: the gateway must have seen that a message began
	ended := make(chan error, 1)
	go func() { ended <- g.stop() }()
	time.Sleep(300 * time.Millisecond)
	if _, err := c.Write(data[len(data)/2:]); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Reply(); err != nil || r.Code != 550 {
		t.Errorf("%s, %v: want the verdict", r, err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the gateway ended with %v: %s", err, g.log())
		}
	case <-time.After(10 * time.Second):
		t.Error("the gateway does not end")
	}
	// Without a gateway mail waits; with one again it goes on.
	if got, text := w.bring(t, "drained", compose("drained-2", atBank).from(bankMail, atBank)); got != later {
		t.Errorf("%s: %s", got, text)
	}
	if d, err := g.start(); err != nil || d > time.Second {
		t.Errorf("%s, %v", d, err)
	}
	if got, text := w.bring(t, "drained", compose("drained-2", atBank).from(bankMail, atBank)); got != delivered {
		t.Errorf("%s: %s", got, text)
	}
	g.awaitCount(t, "bank.example", 2, 5*time.Second) // a refused message counts as well
}
