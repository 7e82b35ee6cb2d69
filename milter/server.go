package milter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Limits bound what a peer may cost. A zero field means its default. At the
// worst a session holds 64 KiB of a frame that does not come to its end, until
// Read is over, and all together Frames beyond that.
type Limits struct {
	Frame    int           // octets of a frame's data; default 1 MiB: Postfix sends fields of up to its header_size_limit, 100 KiB
	Frames   int           // octets of frames beyond 64 KiB, of all sessions together, while they arrive; default 64 MiB
	Sessions int           // at a time; default 4096; further ones wait for one to end
	Idle     time.Duration // between two commands of the MTA; default 7210 s, libmilter's, as an SMTP client may be slow
	Read     time.Duration // from a frame's first octets to its last; default 1 min
	Reply    time.Duration // writing an answer; default 1 min
	Macros   int           // octets of all macros of a session; default 64 KiB
	Args     int           // octets of one command of the envelope or the connection; default 16 KiB
}

func (l Limits) withDefaults() Limits {
	set := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	wait := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	set(&l.Frame, 1<<20)
	l.Frame = min(max(l.Frame, MaxChunk), 1<<30)
	set(&l.Frames, 64<<20)
	set(&l.Sessions, 4096)
	wait(&l.Idle, 7210*time.Second)
	wait(&l.Read, time.Minute)
	wait(&l.Reply, time.Minute)
	set(&l.Macros, 64<<10)
	set(&l.Args, 16<<10)
	return l
}

// Server accepts connections of MTAs. Its fields are not changed once Listen
// was called.
type Server struct {
	// Serve is called once for a connection, in a goroutine of its own, and
	// pulls events until Next returns an error; when it returns, the connection
	// is closed; an event without its answer is then a matter of the MTA's
	// default (milter_default_action of Postfix). ctx ends when a shutdown has no more time. A panic ends that
	// connection alone.
	Serve   func(ctx context.Context, s *Session) error
	Offer   Offer
	Limits  Limits
	OnError func(error) // what ended a session that did not end well; may be nil; called from many goroutines

	once     sync.Once
	invalid  error
	limits   Limits
	wish     negotiated
	macros   []byte // Offer's lists, as a negotiation has them
	chunks   chunks
	slots    chan struct{}
	base     context.Context
	cancel   context.CancelFunc
	draining atomic.Bool
	stop     chan struct{} // closed when draining begins

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	sessions  map[*Session]struct{}
	running   sync.WaitGroup

	open, total, messages, breaches atomic.Int64
	full                            atomic.Int64 // when it was said last that no more sessions are taken (Unix seconds)
}

// Stats counts since the start; Sessions is as of now.
type Stats struct {
	Sessions       int64 // open now
	SessionsTotal  int64
	Messages       int64 // that reached their end
	ProtocolErrors int64
}

func (srv *Server) start() {
	srv.once.Do(func() {
		srv.invalid = srv.Offer.check()
		if srv.Serve == nil {
			srv.invalid = errors.New("milter: Server.Serve is not set")
		}
		srv.limits = srv.Limits.withDefaults()
		srv.chunks.most = int64(srv.limits.Frames)
		srv.wish = srv.Offer.wanted()
		srv.macros = srv.Offer.appendMacroLists(nil)
		srv.slots = make(chan struct{}, srv.limits.Sessions)
		srv.base, srv.cancel = context.WithCancel(context.Background())
		srv.stop = make(chan struct{})
		srv.listeners = map[net.Listener]struct{}{}
		srv.sessions = map[*Session]struct{}{}
	})
}

// Listen accepts until Shutdown, and then returns nil; it closes ln. Several
// listeners may be served at a time.
func (srv *Server) Listen(ln net.Listener) error {
	srv.start()
	defer ln.Close()
	if srv.invalid != nil {
		return srv.invalid
	}
	srv.mu.Lock()
	if srv.draining.Load() {
		srv.mu.Unlock()
		return nil
	}
	srv.listeners[ln] = struct{}{}
	srv.mu.Unlock()
	defer func() {
		srv.mu.Lock()
		delete(srv.listeners, ln)
		srv.mu.Unlock()
	}()
	for pause := time.Duration(0); ; {
		conn, err := ln.Accept()
		if err != nil {
			if srv.draining.Load() {
				return nil
			}
			if !passing(err) {
				return fmt.Errorf("milter: accepting: %w", err)
			}
			// Out of descriptors, say: sessions that end give some back.
			srv.report(fmt.Errorf("milter: accepting: %w", err))
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-srv.stop:
				return nil
			}
			continue
		}
		pause = 0
		if !srv.room() || !srv.add(conn) {
			conn.Close()
			return nil
		}
	}
}

// room waits until there may be one more session; false: no more.
func (srv *Server) room() bool {
	select {
	case srv.slots <- struct{}{}:
		return true
	default:
	}
	now := time.Now().Unix()
	if said := srv.full.Load(); now-said >= 60 && srv.full.CompareAndSwap(said, now) {
		srv.report(fmt.Errorf("milter: all %d sessions are in use: further connections wait", srv.limits.Sessions))
	}
	select {
	case srv.slots <- struct{}{}:
		return true
	case <-srv.stop:
		return false
	}
}

// passing reports whether accepting may work again later.
func passing(err error) bool {
	for _, e := range [...]error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// add starts a session for which there is room.
func (srv *Server) add(conn net.Conn) bool {
	s := &Session{srv: srv, conn: conn}
	l := &srv.limits
	s.in = inflow{chunks: &srv.chunks, limit: l.Frame, idle: l.Idle, read: l.Read}
	s.in.open(conn)
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.draining.Load() {
		<-srv.slots
		return false
	}
	srv.sessions[s] = struct{}{}
	srv.running.Add(1)
	srv.open.Add(1)
	srv.total.Add(1)
	go srv.run(s)
	return true
}

// ample makes the goroutine's stack grow at once to what judging a message
// takes, while there is next to nothing on it to be moved. Step by step, which
// moves all frames each time, it took a twentieth of a message's time.
//
//go:noinline
func ample() byte {
	var b [15 << 10]byte
	return b[len(os.Args)%len(b)]
}

func (srv *Server) run(s *Session) {
	defer func() {
		if v := recover(); v != nil {
			srv.report(fmt.Errorf("milter: a session panicked: %v\n%s", v, debug.Stack()))
		}
		s.close()
		srv.mu.Lock()
		delete(srv.sessions, s)
		srv.mu.Unlock()
		srv.open.Add(-1)
		<-srv.slots
		srv.running.Done()
	}()
	ample()
	err := srv.Serve(srv.base, s)
	if err == nil {
		err = s.err
	}
	var p *ProtocolError
	if errors.As(s.err, &p) {
		srv.breaches.Add(1)
	}
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, ErrShutdown), s.left:
	case srv.draining.Load() && (errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled)):
	case errors.Is(err, os.ErrDeadlineExceeded):
		srv.report(fmt.Errorf("milter: the peer was silent for too long: %w", err))
	default:
		srv.report(err)
	}
}

func (srv *Server) report(err error) {
	if srv.OnError != nil {
		srv.OnError(err)
	}
}

// Shutdown stops accepting, closes the sessions that are between messages when
// nothing more has come from them for a fifth of a second, and waits until the messages in progress have come to their end. When ctx ends
// first, it ends the sessions' context, gives them a second to answer, closes
// what is left and returns ctx's error. The server cannot be used again.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.start()
	srv.mu.Lock()
	if !srv.draining.Swap(true) {
		close(srv.stop)
	}
	for ln := range srv.listeners {
		ln.Close()
	}
	for s := range srv.sessions {
		s.wake()
	}
	srv.mu.Unlock()
	done := make(chan struct{})
	go func() {
		srv.running.Wait()
		close(done)
	}()
	defer srv.cancel()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	srv.cancel()
	select {
	case <-done:
	case <-time.After(time.Second):
		srv.mu.Lock()
		for s := range srv.sessions {
			s.conn.Close()
		}
		srv.mu.Unlock()
	}
	return ctx.Err()
}

// Stats returns the counters.
func (srv *Server) Stats() Stats {
	return Stats{Sessions: srv.open.Load(), SessionsTotal: srv.total.Load(), Messages: srv.messages.Load(), ProtocolErrors: srv.breaches.Load()}
}
