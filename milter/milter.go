// Package milter speaks the mail filter protocol of Sendmail and Postfix,
// versions 2 to 6: a Server for filters, and a Client for tests and load. It
// knows the wire and the order of a session, and no policy.
//
// A filter is a function that is called once for a connection and pulls what
// the MTA says:
//
//	srv := &milter.Server{Serve: func(ctx context.Context, s *milter.Session) error {
//		for {
//			ev, err := s.Next()
//			if err != nil {
//				return err // io.EOF: the MTA said goodbye
//			}
//			if ev.Kind == milter.EndOfMessage {
//				s.InsertHeader(0, "X-Seen", "yes")
//				s.Reply(milter.Response{Do: milter.Accept})
//			}
//		}
//	}}
//	ln, err := milter.Listen("unix:/run/filter.sock", milter.SocketOptions{Mode: 0o660})
//	...
//	err = srv.Listen(ln)
package milter

import "net/netip"

// Kind is what an Event says.
type Kind uint8

// The kinds of events, in the order of a session. Abort ends a message without
// an end; Unknown may come at any time.
const (
	Connect      Kind = iota + 1 // an SMTP client connected
	Helo                         // HELO or EHLO; may come again
	Mail                         // MAIL FROM: a message begins
	Rcpt                         // RCPT TO, once for each recipient
	Data                         // DATA
	HeaderField                  // one field of the message's header
	EndOfHeader                  // the header is complete
	Body                         // a piece of the body
	EndOfMessage                 // the message is complete: changes and the verdict
	Abort                        // the message is given up; wants no answer
	Unknown                      // a command that the MTA does not know
)

func (k Kind) String() string {
	switch k {
	case Connect:
		return "connect"
	case Helo:
		return "helo"
	case Mail:
		return "mail"
	case Rcpt:
		return "rcpt"
	case Data:
		return "data"
	case HeaderField:
		return "header field"
	case EndOfHeader:
		return "end of header"
	case Body:
		return "body"
	case EndOfMessage:
		return "end of message"
	case Abort:
		return "abort"
	case Unknown:
		return "unknown command"
	}
	return "no event"
}

// Event is what the MTA says at one step.
type Event struct {
	Kind Kind

	// Connect: the client's host name as the MTA has it ("[192.0.2.1]" or
	// "unknown" where it has none), the family ('4', '6', 'L' for a socket of
	// the machine, 'U' for unknown), the address for '4' and '6' (invalid where
	// the MTA's cannot be read), and the path for 'L'.
	Host   string
	Family byte
	Addr   netip.AddrPort
	Path   string

	Name  string   // Helo: the client's name; HeaderField: the field's name; Unknown: the command
	Value string   // HeaderField: what follows the colon, folds as the MTA sends them (LF or CRLF); the space after the colon is there if Session.LeadingSpace
	Args  []string // Mail, Rcpt: the address in angle brackets, then the parameters of ESMTP

	// Body is a piece of the body, at most 65,535 octets from known MTAs and
	// at most Limits.Frame from any. It is valid until the session's next
	// method is called.
	Body []byte
}
