package milter

import (
	"context"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestClientIsCollected: what a closed Client had goes with the next garbage
// collection. Were it kept for one more, as a sync.Pool keeps things, the heap
// of a load generator would grow by the golden ratio from one to the next.
func TestClientIsCollected(t *testing.T) {
	srv := &Server{Serve: each(func(*Session, Event) error { return nil })}
	address := "unix:" + filepath.Join(t.TempDir(), "s")
	ln, err := Listen(address, SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	go srv.Listen(ln)
	defer srv.Shutdown(context.Background())
	gone := make(chan bool)
	func() {
		c, err := Dial(context.Background(), address, ClientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		runtime.AddCleanup(c, func(ch chan bool) { close(ch) }, gone)
		m := example()
		m.Body = strings.NewReader(strings.Repeat("a line of the body\r\n", 1000))
		if _, err := c.Send(context.Background(), m); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}()
	time.Sleep(20 * time.Millisecond)
	runtime.GC()
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("a garbage collection leaves the client where it was")
	}
}
