package milter

import (
	"errors"
	"io"
)

// ErrShutdown ends a session that is between messages while the server shuts
// down.
var ErrShutdown = errors.New("milter: the server is shutting down")

// Session is one connection of an MTA. It belongs to the goroutine that runs
// Server.Serve.
type Session struct{}

// Next answers the event at hand with Continue, if an answer is due, and
// returns the next one. io.EOF means that the MTA said goodbye.
func (s *Session) Next() (Event, error) { return Event{}, io.EOF }

// Macro returns a macro's value as of now, "" where there is none. Names are
// as in Sendmail: "i", "{auth_authen}"; the braces may be left out.
func (s *Session) Macro(name string) string { return "" }

// Reply answers the event at hand.
func (s *Session) Reply(r Response) error { return nil }

// Has reports whether the MTA lets the filter do all of a.
func (s *Session) Has(a Action) bool { return false }

// LeadingSpace reports whether header values keep the space after the colon.
func (s *Session) LeadingSpace() bool { return false }

// InsertHeader puts a field before the one at index (0: on top of all).
func (s *Session) InsertHeader(index int, name, value string) error { return nil }

// AddHeader puts a field at the end of the header.
func (s *Session) AddHeader(name, value string) error { return nil }

// ChangeHeader gives the index-th field of that name (from 1) another value.
func (s *Session) ChangeHeader(index int, name, value string) error { return nil }

// DeleteHeader removes the index-th field of that name (from 1).
func (s *Session) DeleteHeader(index int, name string) error { return nil }

// ReplaceBody gives the message another body.
func (s *Session) ReplaceBody(r io.Reader) error { return nil }

// Quarantine lets the MTA hold the message.
func (s *Session) Quarantine(reason string) error { return nil }

// AddRcpt adds a recipient.
func (s *Session) AddRcpt(address string, params ...string) error { return nil }

// DeleteRcpt removes a recipient.
func (s *Session) DeleteRcpt(address string) error { return nil }

// ChangeFrom changes the sender of the envelope.
func (s *Session) ChangeFrom(address string, params ...string) error { return nil }

// Progress tells the MTA that the filter is still at work.
func (s *Session) Progress() error { return nil }
