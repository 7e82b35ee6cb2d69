package milter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !f(); {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestShutdown has one session between messages, one in a message and one that
// waits in its end.
func TestShutdown(t *testing.T) {
	hold := make(chan struct{})
	var messages atomic.Int32
	srv := &Server{OnError: func(err error) { t.Error(err) }, Serve: each(func(s *Session, ev Event) error {
		if ev.Kind == EndOfMessage && s.Macro("i") == "held" {
			<-hold
		}
		if ev.Kind == EndOfMessage {
			messages.Add(1)
		}
		return nil
	})}
	address := "unix:" + filepath.Join(t.TempDir(), "s")
	ln, err := Listen(address, SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Listen(ln) }()

	idle := dial(t, address, ClientOptions{})
	if _, err := idle.Send(context.Background(), example()); err != nil {
		t.Fatal(err)
	}
	half := raw(t, address)
	half.Write(append(hello(stepAll), frames("Ch\x00U", "M<a@b>\x00", "R<c@d>\x00", "LX\x00y\x00")...))
	waiting := make(chan error, 1)
	go func() {
		m := example()
		m.QueueID = "held"
		c := dial(t, address, ClientOptions{})
		o, err := c.Send(context.Background(), m)
		if err == nil && (o.At != EndOfMessage || o.Response.Do != Continue) {
			err = fmt.Errorf("outcome %+v", o)
		}
		waiting <- err
	}()
	eventually(t, "three sessions, two messages at their end", func() bool { s := srv.Stats(); return s.Sessions == 3 && s.Messages == 2 })
	time.Sleep(20 * time.Millisecond)

	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(context.Background()) }()
	if err := <-ended; err != nil {
		t.Errorf("listen: %v", err)
	}
	if _, err := os.Lstat(strings.TrimPrefix(address, "unix:")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	// What was on its way when the server began to stop is seen to its end.
	if _, err := idle.Send(context.Background(), example()); err != nil {
		t.Errorf("a message that was on its way: %v", err)
	}
	eventually(t, "the idle session is closed", func() bool { return srv.Stats().Sessions == 2 })
	if _, err := idle.Send(context.Background(), example()); err == nil {
		t.Error("an idle session went on")
	}
	close(hold)
	if err := <-waiting; err != nil {
		t.Errorf("a message at its end: %v", err)
	}
	half.Write(frames("N", "E"))
	if _, _, err := ReadFrame(half, nil, 100); err != nil { // the negotiation
		t.Error(err)
	}
	if code, _, err := ReadFrame(half, nil, 100); err != nil || code != byte(Continue) {
		t.Errorf("a message in progress: %q, %v", code, err)
	}
	if _, _, err := ReadFrame(half, nil, 100); err == nil {
		t.Error("the session goes on behind its message")
	}
	if err := <-down; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if n := messages.Load(); n != 4 {
		t.Errorf("%d messages", n)
	}
}

// TestShutdownInHaste has a filter that does not answer and a peer that does
// not go on.
func TestShutdownInHaste(t *testing.T) {
	srv := &Server{Serve: func(ctx context.Context, s *Session) error {
		for {
			ev, err := s.Next()
			if err != nil {
				return err
			}
			if ev.Kind == EndOfMessage {
				<-ctx.Done()
				s.Reply(Response{Do: TempFail})
			}
		}
	}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Listen(ln)
	stuck := dial(t, "tcp:"+ln.Addr().String(), ClientOptions{})
	lazy, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer lazy.Close()
	lazy.Write(append(hello(stepAll), frames("M<a@b>\x00")...))
	got := make(chan Outcome, 1)
	go func() { o, _ := stuck.Send(context.Background(), example()); got <- o }()
	eventually(t, "two sessions", func() bool { s := srv.Stats(); return s.Sessions == 2 && s.Messages == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
	if o := <-got; o.Response.Do != TempFail {
		t.Errorf("outcome %+v", o)
	}
	eventually(t, "all sessions end", func() bool { return srv.Stats().Sessions == 0 })
}

func TestLimits(t *testing.T) {
	errs := make(chan error, 10)
	srv := &Server{Limits: Limits{Idle: 300 * time.Millisecond, Read: 100 * time.Millisecond, Args: 100, Macros: 100}, OnError: func(err error) { errs <- err },
		Serve: each(func(*Session, Event) error { return nil })}
	address := serve(t, srv)
	for _, tt := range []struct {
		name string
		send []byte
		want string
	}{
		{"silence", nil, "silent for too long"},
		{"half a frame", []byte{0, 0, 1, 0, 'H', 'x'}, "silent for too long"},
		{"an empty frame", []byte{0, 0, 0, 0}, "without a command"},
		{"a huge frame", []byte{0xff, 0xff, 0xff, 0xff}, "announced a frame"},
		{"long arguments", frames("M" + strings.Repeat("x", 200) + "\x00"), "at most 100"},
		{"long HELO", frames("H" + strings.Repeat("x", 200) + "\x00"), "at most 100"},
		{"long macros", frames("DMi\x00" + strings.Repeat("x", 200) + "\x00"), "more than 100"},
		{"end in a frame", frames("Q")[:4], "unexpected EOF"},
		{"end in a message", frames("M<a@b>\x00"), "without a goodbye"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := raw(t, address)
			conn.Write(append(hello(stepAll), tt.send...))
			if strings.HasPrefix(tt.name, "end in ") {
				conn.(*net.UnixConn).CloseWrite()
			}
			if err := <-errs; !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ended with %v, want %s", err, tt.want)
			}
			io.Copy(io.Discard, conn) // is closed
		})
	}
	// Between messages nothing is lost, and nothing said.
	for _, send := range [][]byte{nil, hello(stepAll), append(hello(stepAll), frames("Hx\x00")...)} {
		conn := raw(t, address)
		conn.Write(send)
		conn.(*net.UnixConn).CloseWrite()
		io.Copy(io.Discard, conn)
	}
	select {
	case err := <-errs:
		t.Errorf("reported: %v", err)
	default:
	}
	if n := srv.Stats().ProtocolErrors; n != 5 {
		t.Errorf("%d protocol errors", n)
	}
}

// TestLongFrames sends fields beyond the usual buffer, and octet by octet.
func TestLongFrames(t *testing.T) {
	sum := make(chan int, 3)
	address := serve(t, &Server{Limits: Limits{Frame: 300000}, Serve: each(func(s *Session, ev Event) error {
		if ev.Kind == HeaderField {
			sum <- len(ev.Value)
		}
		return nil
	})})
	conn := raw(t, address)
	conn.Write(hello(stepAll))
	conn.Write(frames("M<a@b>\x00", "LX\x00"+strings.Repeat("x", 250000)+"\x00", "LX\x00yy\x00"))
	for _, b := range frames("LX\x00zzz\x00") {
		conn.Write([]byte{b})
	}
	for _, want := range []int{250000, 2, 3} {
		if n := <-sum; n != want {
			t.Errorf("field of %d octets, want %d", n, want)
		}
	}
}

// TestFrames has many peers that hold back the end of a long frame.
func TestFrames(t *testing.T) {
	errs := make(chan error, 20)
	srv := &Server{Limits: Limits{Frames: 1 << 20}, OnError: func(err error) { errs <- err }, Serve: each(func(*Session, Event) error { return nil })}
	address := serve(t, srv)
	long := frames("M<a@b>\x00", "LX\x00"+strings.Repeat("x", 300000)+"\x00")
	conns := make([]net.Conn, 5)
	for i := range conns {
		conns[i] = raw(t, address)
		go conns[i].Write(append(hello(stepAll), long[:len(long)-20]...))
	}
	if err := <-errs; !strings.Contains(err.Error(), "long frames of all sessions") { // three fit
		t.Error(err)
	}
	for _, c := range conns {
		c.Close()
	}
	eventually(t, "nothing is held", func() bool { return srv.chunks.grown.Load() == 0 && srv.Stats().Sessions == 0 })
}

func TestPanic(t *testing.T) {
	errs := make(chan error, 1)
	address := serve(t, &Server{OnError: func(err error) { errs <- err }, Serve: each(func(s *Session, ev Event) error {
		if ev.Name == "boom" {
			panic("boom")
		}
		return nil
	})})
	conn := raw(t, address)
	conn.Write(append(hello(0), frames("Hboom\x00")...))
	if err := <-errs; !strings.Contains(err.Error(), "boom") {
		t.Error(err)
	}
	if _, err := dial(t, address, ClientOptions{}).Send(context.Background(), example()); err != nil {
		t.Errorf("other sessions: %v", err)
	}
}

func TestSessionsLimit(t *testing.T) {
	full := make(chan error, 10)
	srv := &Server{Limits: Limits{Sessions: 2}, OnError: func(err error) { full <- err }, Serve: each(func(*Session, Event) error { return nil })}
	address := serve(t, srv)
	a, b := dial(t, address, ClientOptions{}), dial(t, address, ClientOptions{})
	third := make(chan error, 1)
	go func() {
		c, err := Dial(context.Background(), address, ClientOptions{Timeout: 5 * time.Second})
		if err == nil {
			c.Close()
		}
		third <- err
	}()
	select {
	case err := <-third:
		t.Fatalf("a third session: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := <-full; !strings.Contains(err.Error(), "all 2 sessions") {
		t.Error(err)
	}
	a.Close()
	if err := <-third; err != nil {
		t.Errorf("third session: %v", err)
	}
	b.Close()
}

// TestIdleMemory opens a thousand sessions that are in the middle of a message.
func TestIdleMemory(t *testing.T) {
	const n = 1000
	srv := &Server{Serve: each(func(*Session, Event) error { return nil })}
	address := serve(t, srv)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = raw(t, address)
		if _, err := conns[i].Write(append(hello(stepAll), frames("DCj\x00mx\x00", "Ch\x004\x00\x01192.0.2.1\x00", "Hx\x00", "DMi\x001\x00", "M<a@b>\x00", "R<c@d>\x00",
			"LSubject\x00 "+strings.Repeat("x", 60)+"\x00", "N", "B"+strings.Repeat("x", MaxChunk))...)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadFrame(conns[i], nil, 100); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(50 * time.Millisecond)
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	// Both ends are in this process.
	each := float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse) / n
	t.Logf("%.0f octets a session", each)
	if each > 20<<10 {
		t.Errorf("%.0f octets a session, want 20 KiB at most", each)
	}
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.sock")
	ln, err := Listen("local:"+path, SocketOptions{Mode: 0o660})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o660 || info.Mode()&fs.ModeSocket == 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if ln.Addr().String() != path {
		t.Errorf("address %s", ln.Addr())
	}
	if _, err := Listen("unix:"+path, SocketOptions{}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a socket in use: %v", err)
	}
	ln.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}

	// One that a process left behind.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	ln, err = Listen("unix:"+path, SocketOptions{Group: fmt.Sprint(os.Getgid())})
	if err != nil {
		t.Fatal(err)
	}
	// Another one in its place stays.
	os.Remove(path)
	other, err := Listen(path, SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the other's socket: %v", err)
	}
	other.Close()

	os.WriteFile(path, nil, 0o600)
	for address, want := range map[string]string{
		"unix:" + path:                                         "something else",
		"unix:" + filepath.Join(dir, "no", "s"):                "does not exist",
		"unix:" + filepath.Join(dir, strings.Repeat("x", 120)): "too long",
		"tcp:127.0.0.1:http":                                   "port",
		"127.0.0.1:25":                                         "no kind of socket",
		"tcp:":                                                 "want unix:/path",
		"udp:127.0.0.1:25":                                     "no kind of socket",
		"tcp:127.0.0.1":                                        "want tcp:host:port",
	} {
		if ln, err := Listen(address, SocketOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", address, err, want)
			if ln != nil {
				ln.Close()
			}
		}
	}
	if _, err := Listen("unix:"+filepath.Join(dir, "t"), SocketOptions{Owner: "nobody-of-that-name"}); err == nil {
		t.Error("an owner that does not exist")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".m*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]string{
		"unix:/run/m": "unix /run/m", "local:/run/m": "unix /run/m", "/run/m": "unix /run/m",
		"tcp:127.0.0.1:8890": "tcp 127.0.0.1:8890", "tcp:[::1]:8890": "tcp [::1]:8890", "tcp::8890": "tcp :8890",
		"inet:8890@127.0.0.1": "tcp 127.0.0.1:8890", "inet:localhost:8890": "tcp localhost:8890", "inet:8890": "tcp :8890",
		"inet6:8890@::1": "tcp6 [::1]:8890", "inet6:8890@[::1]": "tcp6 [::1]:8890",
	} {
		network, addr, err := ParseAddress(in)
		if err != nil || network+" "+addr != want {
			t.Errorf("%s: %s %s, %v; want %s", in, network, addr, err, want)
		}
	}
}

// TestReplace lets many take one socket in turn: each that listens is reached.
func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	var wg sync.WaitGroup
	for range 20 {
		ln, err := Listen("unix:"+path, SocketOptions{})
		if err != nil {
			t.Fatal(err)
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			if conn, err := ln.Accept(); err == nil {
				conn.Close()
			}
			ln.(*socket).UnixListener.Close() // as a process that is killed
		}()
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, conn)
		conn.Close()
		wg.Wait()
	}
}
