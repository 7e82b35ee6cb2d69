package milter

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Errors of a session's methods. ErrAnswered, ErrNoReply, ErrNotOffered, ErrForm
// and ErrTooEarly are of a wrong call: nothing was sent, the session goes on,
// and the event at hand still waits for its answer. All others end the session.
var (
	// ErrShutdown ends a session that is between messages while the server
	// shuts down.
	ErrShutdown = errors.New("milter: the server is shutting down")
	// ErrAnswered: there is no event that waits for an answer.
	ErrAnswered = errors.New("milter: this event has its answer already")
	// ErrNoReply: the MTA waits for no answer to this event; name its kind in
	// Offer.Answers.
	ErrNoReply = errors.New("milter: the MTA waits for no answer here; name the event in Offer.Answers")
	// ErrNotOffered: the MTA does not let the filter do that.
	ErrNotOffered = errors.New("milter: the MTA does not offer this action")
	// ErrForm: what was asked cannot be said in the protocol, or the event does
	// not take that answer; the error's text says what is wrong.
	ErrForm = errors.New("milter: wrong form")
	// ErrTooEarly: a message is changed at its end only.
	ErrTooEarly = errors.New("milter: messages are changed at EndOfMessage only")
)

// formError says what is wrong with the arguments of a call.
type formError string

func (e formError) Error() string        { return string(e) }
func (e formError) Is(target error) bool { return target == ErrForm }

func malformed(format string, args ...any) error { return formError(fmt.Sprintf(format, args...)) }

// Session is one connection of an MTA. It belongs to the goroutine that runs
// Server.Serve. Events come in the order of Kind's constants: a message begins
// with Mail (unless that is in Offer.Without) and ends with an answer to
// EndOfMessage, with a verdict other than Continue before it (at Rcpt only
// Accept and Discard end it), or with Abort; then the next may follow. What
// breaks that order is a ProtocolError.
//
// While it waits for its MTA a session holds no buffer; what it costs are some
// hundred octets, its macros and a goroutine's stack.
type Session struct {
	srv  *Server
	conn net.Conn
	in   inflow
	out  []byte
	lent *scrap // what out is of

	terms  negotiated
	macros macros
	err    error // ends the session

	at    Kind // the last step of the message in progress; 0: between messages
	now   Kind // the event at hand; 0: none
	due   bool // it waits for an answer
	began bool // Connect came

	held    byte // a command that comes after a made-up event
	heldTo  []byte
	ending  bool // EndOfMessage comes after its last piece of body
	skipped bool // Skip was said
	left    bool // the peer closed the connection between messages

	mu   sync.Mutex
	idle bool // waiting between messages: may be closed

	until time.Time // the end of its lull; zero: the server does not shut down
}

// Next answers the event at hand with Continue, if an answer is due, and
// returns the next one. io.EOF means that the MTA said goodbye (SMFIC_QUIT), and
// ErrShutdown that the server is shutting down; any other error that the
// connection is lost or broken, or was closed without a goodbye. A message in
// progress is over then.
func (s *Session) Next() (Event, error) {
	if s.err != nil {
		return Event{}, s.err
	}
	if err := s.settle(); err != nil {
		return Event{}, s.fail(err)
	}
	for {
		ev, ok, err := s.next()
		if err != nil {
			return Event{}, s.fail(err)
		}
		if ok {
			return ev, nil
		}
	}
}

// settle ends what concerns the event at hand.
func (s *Session) settle() error {
	if s.due {
		if err := s.Reply(Response{}); err != nil {
			return err
		}
	}
	s.now = 0
	return nil
}

func (s *Session) fail(err error) error {
	s.err = err
	s.at, s.now, s.due = 0, 0, false
	return err
}

// next takes one frame; no event comes of some.
func (s *Session) next() (Event, bool, error) {
	if s.ending {
		s.in.done()
		s.ending = false
		return s.endOfMessage()
	}
	command, data := s.held, s.heldTo
	if command == 0 {
		var err error
		if command, data, err = s.frame(); err != nil {
			if err == io.EOF {
				// Nothing is lost between messages, nor by who looks whether
				// somebody listens; but whether the last answer was read is
				// not known.
				s.left = s.at == 0
				err = fmt.Errorf("milter: the peer closed the connection without a goodbye: %w", io.ErrUnexpectedEOF)
			}
			return Event{}, false, err
		}
	}
	s.held, s.heldTo = 0, nil
	ev, ok, err := s.take(command, data)
	if err != nil || ok && ev.Kind == Body || s.held != 0 {
		return ev, ok, err // data is still of use
	}
	s.in.done()
	return ev, ok, nil
}

// frame reads one. Between messages the server may end the waiting.
func (s *Session) frame() (byte, []byte, error) {
	s.in.done()
	if s.at != 0 || s.in.pending() {
		return s.in.frame()
	}
	// The time is set first: what wake sets must stand.
	if err := s.in.patience(false); err != nil {
		return 0, nil, err
	}
	if !s.rest(true) {
		// What the MTA has sent already is read: it may be the beginning of a
		// message of which it expects no answer yet.
		now := time.Now()
		if s.until.IsZero() {
			s.until = now.Add(lull)
		}
		if !now.Before(s.until) {
			return 0, nil, ErrShutdown
		}
		if err := s.conn.SetReadDeadline(s.until); err != nil {
			return 0, nil, err
		}
	}
	command, data, err := s.in.frame()
	woken := !s.rest(false)
	if woken {
		if s.until.IsZero() {
			s.until = time.Now().Add(lull)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = ErrShutdown
		}
		s.in.deadline = time.Time{} // is not what the connection has now
	}
	return command, data, err
}

// lull is how long a session between messages is listened to, once, when the
// server shuts down.
const lull = 200 * time.Millisecond

// rest says that the session waits between messages, or no longer. It returns
// false when the server is shutting down.
func (s *Session) rest(idle bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv.draining.Load() {
		s.idle = false
		return false
	}
	s.idle = idle
	return true
}

// wake soon ends the waiting of a session that is between messages.
func (s *Session) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle {
		_ = s.conn.SetReadDeadline(time.Now().Add(lull))
	}
}

// take makes an event of a frame, or what else it asks for.
func (s *Session) take(command byte, data []byte) (Event, bool, error) {
	if s.terms.version == 0 && command != cmdNegotiate && command != cmdQuit {
		return Event{}, false, breach("sends %q before it has negotiated", command)
	}
	switch command {
	case cmdNegotiate:
		return Event{}, false, s.negotiate(data)
	case cmdMacro:
		return Event{}, false, s.macros.define(data, s.srv.limits.Macros)
	case cmdQuit:
		return Event{}, false, io.EOF
	case cmdQuitNewConn:
		if s.at != 0 {
			return s.abortBefore(command, data)
		}
		s.macros.forget(stageConnect)
		s.began = false
		return Event{}, false, nil
	case cmdAbort:
		if s.at == 0 {
			// Postfix aborts at every RSET, message or not.
			s.macros.stale = true
			return Event{}, false, nil
		}
		return s.abort()
	case cmdConnect:
		if s.began {
			return Event{}, false, breach("sends a second connect without SMFIC_QUIT_NC")
		}
		s.began = true
		ev, err := readConnect(data, s.srv.limits.Args)
		return s.event(ev, err)
	case cmdHelo:
		if s.at != 0 {
			return s.abortBefore(command, data)
		}
		name, err := readString(data, s.srv.limits.Args, "helo")
		return s.event(Event{Kind: Helo, Name: name}, err)
	case cmdMail:
		if s.at != 0 {
			return s.abortBefore(command, data)
		}
		s.macros.message()
		s.skipped = false
		args, err := readArgs(data, s.srv.limits.Args, "mail")
		s.at = Mail
		return s.event(Event{Kind: Mail, Args: args}, err)
	case cmdUnknown:
		text, err := readString(data, s.srv.limits.Args, "an unknown command")
		return s.event(Event{Kind: Unknown, Name: text}, err)
	}
	return s.content(command, data)
}

// content takes the frames between Mail and the end of a message.
func (s *Session) content(command byte, data []byte) (Event, bool, error) {
	switch command {
	case cmdRcpt:
		if err := s.step(Rcpt); err != nil {
			return Event{}, false, err
		}
		args, err := readArgs(data, s.srv.limits.Args, "rcpt")
		return s.event(Event{Kind: Rcpt, Args: args}, err)
	case cmdData:
		err := s.step(Data)
		return s.event(Event{Kind: Data}, err)
	case cmdHeader:
		if err := s.step(HeaderField); err != nil {
			return Event{}, false, err
		}
		name, value, err := readField(data)
		return s.event(Event{Kind: HeaderField, Name: name, Value: value}, err)
	case cmdEndOfHeader:
		err := s.step(EndOfHeader)
		return s.event(Event{Kind: EndOfHeader}, err)
	case cmdBody:
		err := s.step(Body)
		if s.skipped && err == nil {
			// What was on its way when Skip was said.
			s.now, s.due = Body, !s.silent(Body)
			return Event{}, false, s.settle()
		}
		return s.event(Event{Kind: Body, Body: data}, err)
	case cmdEndOfBody:
		if len(data) == 0 || s.skipped || s.unwanted(Body) {
			return s.endOfMessage()
		}
		// The last piece of the body came along with its end. There is no
		// answer to that part.
		if err := s.step(Body); err != nil {
			return Event{}, false, err
		}
		s.ending = true
		s.now, s.due = Body, false
		return Event{Kind: Body, Body: data}, true, nil
	}
	return Event{}, false, breach("sends the unknown command %q", command)
}

func (s *Session) endOfMessage() (Event, bool, error) {
	if err := s.step(EndOfMessage); err != nil {
		return Event{}, false, err
	}
	s.srv.messages.Add(1)
	s.now, s.due = EndOfMessage, true
	return Event{Kind: EndOfMessage}, true, nil
}

// step takes the message one step on, or finds that it cannot come now.
func (s *Session) step(k Kind) error {
	switch {
	case s.at == 0 && s.terms.steps&NoMail == 0:
		return breach("sends %s outside of a message", k)
	case s.at == 0:
		s.macros.message()
		s.skipped = false
	case k < s.at, k == s.at && k != Rcpt && k != HeaderField && k != Body:
		return breach("sends %s after %s", k, s.at)
	}
	s.at = k
	return nil
}

// event makes ev the event at hand. One that the filter does not want, and the
// MTA sends all the same, is answered here.
func (s *Session) event(ev Event, err error) (Event, bool, error) {
	if err != nil {
		return Event{}, false, err
	}
	s.now, s.due = ev.Kind, !s.silent(ev.Kind)
	if s.unwanted(ev.Kind) {
		return Event{}, false, s.settle()
	}
	return ev, true, nil
}

// silent reports whether the MTA waits for no answer to an event.
func (s *Session) silent(k Kind) bool {
	_, noReply := kindSteps(k)
	return s.terms.steps&noReply != 0
}

func (s *Session) unwanted(k Kind) bool {
	no, _ := kindSteps(k)
	return s.srv.wish.steps&no != 0
}

func (s *Session) abort() (Event, bool, error) {
	s.over()
	s.now, s.due = Abort, false
	return Event{Kind: Abort}, true, nil
}

// abortBefore ends the message in progress by an event of its own before the
// command that implies it: libmilter calls its abort then, too.
func (s *Session) abortBefore(command byte, data []byte) (Event, bool, error) {
	s.held, s.heldTo = command, data
	return s.abort()
}

// over ends the message in progress.
func (s *Session) over() {
	s.at = 0
	s.macros.stale = true
	s.ending = false
}

func (s *Session) negotiate(data []byte) error {
	if s.terms.version != 0 && (s.began || s.at != 0) {
		return breach("negotiates in the middle of a connection")
	}
	peer, _, err := readNegotiation(data)
	if err != nil {
		return err
	}
	s.terms = s.srv.wish.meet(peer.offers())
	b, at := begin(s.buffer(), cmdNegotiate)
	b = s.terms.append(b)
	if s.terms.actions&ActSetMacros != 0 {
		b = append(b, s.srv.macros...)
	}
	s.out = end(b, at)
	return s.flush()
}

// Macro returns a macro's value as of now, "" where there is none. Names are
// as in Sendmail: "i", "{auth_authen}"; the braces may be left out. Macros of
// Connect and Helo hold for the connection, the others for their message. At
// EndOfMessage all of them can be asked for, until the next call of Next.
func (s *Session) Macro(name string) string { return s.macros.get(name) }

// Has reports whether the MTA lets the filter do all of a.
func (s *Session) Has(a Action) bool { return s.terms.actions&a == a }

// LeadingSpace reports whether header values keep the space after the colon.
// Else the MTA has taken one away if there was one.
func (s *Session) LeadingSpace() bool { return s.terms.steps&LeadingSpace != 0 }

// Version is the protocol's version that is spoken; 0 before the first event.
func (s *Session) Version() int { return int(s.terms.version) }

// buffer returns out, lent from the pool at its first use.
func (s *Session) buffer() []byte {
	if s.out == nil {
		s.lent = s.srv.chunks.getScrap()
		s.out = s.lent[:0]
	}
	return s.out
}

// flush writes what waits in out.
func (s *Session) flush() error {
	if s.lent == nil {
		return nil
	}
	defer func() {
		s.srv.chunks.putScrap(s.lent)
		s.out, s.lent = nil, nil
	}()
	if len(s.out) == 0 {
		return nil
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.srv.limits.Reply)); err != nil {
		return err
	}
	if _, err := s.conn.Write(s.out); err != nil {
		return fmt.Errorf("milter: writing the answer: %w", err)
	}
	return nil
}

func (s *Session) close() {
	s.in.close()
	if s.lent != nil {
		s.srv.chunks.putScrap(s.lent)
		s.out, s.lent = nil, nil
	}
	_ = s.conn.Close()
}
