package milter

import (
	"context"
	"io"
	"net/netip"
	"time"
)

// Field is a field of a message's header, its value as after the colon.
type Field struct{ Name, Value string }

// Message is what a Client sends.
type Message struct {
	Client netip.AddrPort // invalid: family 'U'
	Host   string         // of the client; "": "[ADDRESS]"
	Helo   string
	From   string // without brackets; "" is the null sender
	Rcpt   []string
	Macros map[Kind]map[string]string // by step, beside those that the client makes itself
	Header []Field                    // values keep their leading space; folds as CRLF or LF
	Body   io.Reader                  // nil: empty
}

// ClientOptions are how a Client behaves.
type ClientOptions struct {
	Version uint32 // default 6
	Actions Action // that the MTA offers; default all
	Steps   Step   // that the MTA offers; default all
	Timeout time.Duration
}

// Client plays an MTA.
type Client struct{}

// Change is one modification that a filter asked for.
type Change struct {
	Code   byte // the SMFIR_* letter: 'h', 'i', 'm', 'b', 'q', '+', '-', 'e', '2'
	Index  int
	Name   string
	Value  string
	Body   []byte
	Params string
}

// Outcome is what became of a message.
type Outcome struct {
	At       Kind     // the step of the last answer
	Response Response // that answer
	Changes  []Change
	Progress int // how often the filter asked for patience
}

// Dial connects and negotiates.
func Dial(ctx context.Context, address string, o ClientOptions) (*Client, error) { return nil, nil }

// Send sends one message over a connection that may have served others.
func (c *Client) Send(ctx context.Context, m *Message) (Outcome, error) { return Outcome{}, nil }

// Close says goodbye.
func (c *Client) Close() error { return nil }

// Apply returns the message as the MTA would pass it on.
func Apply(m Message, o Outcome) Message { return m }
