package milter

import (
	"context"
	"net"
	"time"
)

// Limits bound what a peer may cost. A zero field means its default.
type Limits struct {
	Frame    int           // octets of a frame; default 1 MiB
	Sessions int           // at a time; default 4096
	Idle     time.Duration // between two commands of the MTA; default 7210 s
	Read     time.Duration // from a frame's first octet to its last; default 1 min
	Reply    time.Duration // writing an answer; default 1 min
	Macros   int           // octets of all macros of a session; default 64 KiB
	Args     int           // octets of one envelope command; default 16 KiB
}

// Server accepts connections of MTAs.
type Server struct {
	Serve   func(ctx context.Context, s *Session) error
	Offer   Offer
	Limits  Limits
	OnError func(error) // may be nil; called from many goroutines
}

// Stats counts since the start; Sessions is as of now.
type Stats struct {
	Sessions       int64 // open now
	SessionsTotal  int64
	Messages       int64 // that reached their end
	ProtocolErrors int64
}

// Listen accepts until Shutdown, and then returns nil.
func (srv *Server) Listen(ln net.Listener) error { return nil }

// Shutdown stops accepting and lets messages in progress come to their end.
func (srv *Server) Shutdown(ctx context.Context) error { return nil }

// Stats returns the counters.
func (srv *Server) Stats() Stats { return Stats{} }
