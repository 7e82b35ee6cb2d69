package milter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMany has many clients at a time with messages of all sizes: what each
// filter saw is what its client sent, though they share their buffers.
func TestMany(t *testing.T) {
	const clients, messages = 48, 15
	srv := &Server{Offer: Offer{Answers: []Kind{Body}}, OnError: func(err error) { t.Error(err) }, Serve: func(_ context.Context, s *Session) error {
		var h hash.Hash
		for {
			ev, err := s.Next()
			if err != nil {
				return err
			}
			switch ev.Kind {
			case Mail:
				h = sha256.New()
				io.WriteString(h, ev.Args[0])
			case HeaderField:
				io.WriteString(h, ev.Name+":"+ev.Value)
			case Body:
				// What lies in a shared buffer must stay while it is looked at.
				before := sha256.Sum256(ev.Body)
				time.Sleep(50 * time.Microsecond)
				if sha256.Sum256(ev.Body) != before {
					return fmt.Errorf("a piece of body changed")
				}
				h.Write(ev.Body)
			case EndOfMessage:
				if err := s.AddHeader("X-Sum", hex.EncodeToString(h.Sum(nil))+s.Macro("i")); err != nil {
					return err
				}
			}
		}
	}}
	address := serve(t, srv)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := rand.New(rand.NewPCG(1, uint64(i)))
			o := ClientOptions{Timeout: 30 * time.Second}
			if i%3 == 0 {
				o.Steps = stepV2 // answers at every step
			}
			c, err := Dial(context.Background(), address, o)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for j := range messages {
				m := example()
				m.From = fmt.Sprintf("%d-%d@example.org", i, j)
				m.QueueID = fmt.Sprint(i, "-", j)
				body := make([]byte, r.IntN(1<<r.IntN(19)+1))
				for k := range body {
					body[k] = byte(r.Uint32())
				}
				m.Body = strings.NewReader(string(body))
				m.Header = m.Header[:1]
				for range r.IntN(20) {
					m.Header = append(m.Header, Field{"X-Field", "\t" + strings.Repeat(string(rune('a'+r.IntN(26))), r.IntN(1<<r.IntN(17)+1))})
				}
				h := sha256.New()
				io.WriteString(h, "<"+m.From+">")
				for k, f := range m.Header {
					if k == 0 && o.Steps == stepV2 {
						f.Value = strings.TrimPrefix(f.Value, " ")
					}
					io.WriteString(h, f.Name+":"+f.Value)
				}
				h.Write(body)
				out, err := c.Send(context.Background(), m)
				if err != nil || len(out.Changes) != 1 {
					t.Errorf("%d-%d: %+v, %v", i, j, out, err)
					return
				}
				if got, want := strings.TrimSpace(out.Changes[0].Value), hex.EncodeToString(h.Sum(nil))+m.QueueID; got != want {
					t.Errorf("%d-%d: %s, want %s", i, j, got, want)
				}
			}
		}()
	}
	wg.Wait()
	if n := srv.Stats().Messages; n != clients*messages {
		t.Errorf("%d messages", n)
	}
}
