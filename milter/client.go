package milter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Field is a field of a message's header: the name, and what stands behind the
// colon, with its leading space; folds are CRLF or LF.
type Field struct{ Name, Value string }

// Message is what a Client sends.
type Message struct {
	Client  netip.AddrPort             // invalid: of an unknown family
	Host    string                     // the client's name; "": "[ADDRESS]", or "localhost" without address
	Helo    string                     // "": no HELO is sent
	From    string                     // without brackets; "" is the null sender
	Params  []string                   // of MAIL, such as "SIZE=1000"
	Rcpt    []string                   // without brackets
	QueueID string                     // macro i; "": one is made up
	Macros  map[Kind]map[string]string // by step, in place of or beside those that are made up; without braces
	Header  []Field
	Body    io.Reader // nil: empty; lines end in CRLF
}

// ClientOptions are how a Client behaves. The zero value behaves as Postfix.
type ClientOptions struct {
	Version  int           // of the protocol; default 6
	Actions  Action        // offered to the filter; zero: all
	Steps    Step          // offered to the filter; zero: all
	Hostname string        // of the MTA, macro j; default "localhost"
	Timeout  time.Duration // for connecting, and for each answer; default 1 min
	MaxReply int           // octets of all changes of one message; default 64 MiB
}

// Change is one modification that a filter asked for.
type Change struct {
	Code  byte   // the letter of SMFIR: 'h' add, 'i' insert, 'm' change a field, 'b' body, 'q' quarantine, '+', '2' add, '-' delete a recipient, 'e' sender
	Index int    // of 'i' and 'm'
	Name  string // of a field; the address of '+', '2', '-', 'e'; the reason of 'q'
	Value string // of a field, as it came; the parameters of '2' and 'e'
	Body  []byte // of 'b'
}

// Outcome is what became of a message.
type Outcome struct {
	At       Kind       // the step of the last answer: EndOfMessage unless the filter decided before
	Response Response   // that answer
	Rcpt     []Response // to each recipient
	Changes  []Change
	Progress int  // how often the filter asked for patience
	Skipped  bool // the filter did not want all of the body

	LeadingSpace bool // values of Changes have their leading space; else the MTA puts one
}

// Quarantined reports whether the MTA would hold the message.
func (o *Outcome) Quarantined() bool {
	return slices.ContainsFunc(o.Changes, func(c Change) bool { return c.Code == repQuarantine })
}

// Client plays an MTA: it sends messages to a filter over one connection, one
// after the other. It is for one goroutine at a time. Postfix's habits are its
// own: folds are LF, macros come before their command, one space after the
// colon is left out unless the filter wants it, and nothing is waited for where
// the filter answers nothing. All of the body comes before its end, which the
// protocol would let bring the last piece: rspamd does not look for it there.
type Client struct {
	conn   net.Conn
	in     inflow
	out    []byte
	terms  negotiated
	lists  map[Kind][]string // macros that the filter chose
	opts   ClientOptions
	pool   chunks
	sender sender
	open   bool // Connect was sent
	ended  bool // of no further use
	// The last message ended with Continue: libmilter looks for SMFIC_QUIT_NC
	// then, and ignores it behind any other answer.
	undecided bool
	serial    uint32
}

// sender is what a connection's messages have in common.
type sender struct {
	client     netip.AddrPort
	host, helo string
}

// ErrEnded: the filter ended the connection, or an error did; another Client
// is needed.
var ErrEnded = errors.New("milter: this connection is over; dial again")

// Dial connects to an address that ParseAddress reads, and negotiates.
func Dial(ctx context.Context, address string, o ClientOptions) (*Client, error) {
	network, addr, err := ParseAddress(address)
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	d := net.Dialer{Timeout: o.Timeout}
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("connecting to the filter at %s: %w", address, err)
	}
	c, err := NewClient(conn, o)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (o ClientOptions) withDefaults() ClientOptions {
	if o.Version == 0 {
		o.Version = newestVersion
	}
	if o.Actions == 0 {
		o.Actions = actAll
	}
	if o.Steps == 0 {
		o.Steps = stepAll
	}
	if o.Hostname == "" {
		o.Hostname = "localhost"
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.MaxReply <= 0 {
		o.MaxReply = 64 << 20
	}
	return o
}

// NewClient negotiates over a connection.
func NewClient(conn net.Conn, o ClientOptions) (*Client, error) {
	o = o.withDefaults()
	c := &Client{conn: conn, opts: o, pool: chunks{own: true}}
	c.in = inflow{chunks: &c.pool, limit: 1 << 20, idle: o.Timeout, read: o.Timeout}
	c.in.open(conn)
	if err := c.negotiate(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Client) negotiate() error {
	offer := negotiated{uint32(c.opts.Version), c.opts.Actions, c.opts.Steps}
	b, at := begin(c.out, cmdNegotiate)
	c.out = end(offer.append(b), at)
	if err := c.flush(); err != nil {
		return err
	}
	command, data, err := c.in.frame()
	if err != nil {
		return fmt.Errorf("milter: negotiating: %w", silence(err))
	}
	if command != cmdNegotiate {
		return breach("answers the negotiation with %q", command)
	}
	terms, rest, err := readNegotiation(data)
	switch {
	case err != nil:
		return err
	case terms.version > offer.version:
		return breach("wants version %d of the protocol; %d was offered", terms.version, offer.version)
	case terms.actions&^offer.actions != 0:
		return breach("wants actions %#x that were not offered", uint32(terms.actions&^offer.actions))
	}
	// Steps that were not offered are heeded all the same, as Postfix does.
	c.terms, c.lists = terms, nil
	if terms.actions&ActSetMacros != 0 {
		if c.lists, err = readMacroLists(rest); err != nil {
			return err
		}
	}
	c.in.done()
	return nil
}

// readMacroLists reads what appendMacroLists writes.
func readMacroLists(data []byte) (map[Kind][]string, error) {
	lists := map[Kind][]string{}
	for len(data) > 0 {
		if len(data) < 5 {
			return nil, breach("sends a list of macros without an end")
		}
		number := binary.BigEndian.Uint32(data)
		text, rest := cut(data[4:])
		if len(text) == len(data)-4 {
			return nil, breach("sends a list of macros without an end")
		}
		data = rest
		known := false
		for k := Connect; k <= Unknown; k++ {
			if n, ok := macroStage(k); ok && n == number {
				known = true
				lists[k] = nil
				for _, name := range strings.FieldsFunc(string(text), func(r rune) bool { return r == ' ' || r == ',' }) {
					if macroName(name) {
						lists[k] = append(lists[k], bare(name))
					}
				}
			}
		}
		if !known {
			return nil, breach("sends a list of macros for the unknown step %d", number)
		}
	}
	return lists, nil
}

// Steps returns what was negotiated.
func (c *Client) Steps() Step { return c.terms.steps }

// Actions returns what was negotiated.
func (c *Client) Actions() Action { return c.terms.actions }

// Version returns what was negotiated.
func (c *Client) Version() int { return int(c.terms.version) }

// Send sends one message and returns what the filter made of it. The first one
// tells the filter who connects; so does each that has another client, host or
// HELO than the one before (SMFIC_QUIT_NC). That is possible only where the
// filter's last answer was Continue; else the error is ErrEnded. When ctx ends,
// the connection is closed.
func (c *Client) Send(ctx context.Context, m *Message) (Outcome, error) {
	if c.ended {
		return Outcome{}, ErrEnded
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { c.conn.Close() })
		defer stop()
	}
	var o Outcome
	err := c.send(m, &o)
	o.LeadingSpace = c.terms.steps&LeadingSpace != 0
	if err != nil {
		c.ended = true
		c.conn.Close()
		c.in.close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
	}
	return o, err
}

func (c *Client) send(m *Message, o *Outcome) error {
	who := sender{m.Client, m.Host, m.Helo}
	if c.open && who != c.sender {
		if !c.undecided {
			return ErrEnded
		}
		c.out = AppendFrame[string](c.out, cmdQuitNewConn)
		c.open = false
	}
	if !c.open {
		c.open, c.sender = true, who
		if err := c.connect(m, o); err != nil || o.decided() {
			c.ended = c.ended || o.decided()
			return err
		}
	}
	if err := c.message(m, o); err != nil {
		return err
	}
	c.undecided = o.At == EndOfMessage && o.Response.Do == Continue
	if o.At != EndOfMessage && o.decided() {
		// Postfix gives the message up towards this filter.
		c.out = AppendFrame[string](c.out, cmdAbort)
		return c.flush()
	}
	return nil
}

// decided reports whether the last answer ends the message.
func (o *Outcome) decided() bool { return o.Response.ends(o.At) }

func (c *Client) connect(m *Message, o *Outcome) error {
	host := m.Host
	addr := m.Client.Addr()
	if host == "" {
		host = "localhost"
		if addr.IsValid() {
			host = "[" + addr.String() + "]"
		}
	}
	c.sendMacros(m, Connect, cmdConnect, [][2]string{{"j", c.opts.Hostname}, {"daemon_name", c.opts.Hostname}, {"v", "milter client"}})
	err := c.step(Connect, cmdConnect, o, func(b []byte) []byte {
		b = cstring(b, host)
		switch {
		case addr.Is4() || addr.Is4In6():
			b = append(b, '4')
		case addr.Is6():
			b = append(b, '6')
		default:
			return append(b, 'U')
		}
		b = binary.BigEndian.AppendUint16(b, m.Client.Port())
		return cstring(b, addr.Unmap().String())
	})
	if err != nil || o.decided() || m.Helo == "" {
		return err
	}
	c.sendMacros(m, Helo, cmdHelo, nil)
	return c.step(Helo, cmdHelo, o, func(b []byte) []byte { return cstring(b, m.Helo) })
}

func (c *Client) message(m *Message, o *Outcome) error {
	id := m.QueueID
	if id == "" {
		c.serial++
		id = "4T" + strings.ToUpper(strconv.FormatUint(uint64(c.serial), 36))
	}
	_, host, _ := strings.Cut(m.From, "@")
	c.sendMacros(m, Mail, cmdMail, [][2]string{{"mail_addr", m.From}, {"mail_host", host}, {"mail_mailer", "smtp"}})
	err := c.step(Mail, cmdMail, o, func(b []byte) []byte {
		b = cstring(b, "<"+m.From+">")
		for _, p := range m.Params {
			b = cstring(b, p)
		}
		return b
	})
	if err != nil || o.decided() {
		return err
	}
	refused := 0
	for _, to := range m.Rcpt {
		_, host, _ := strings.Cut(to, "@")
		c.sendMacros(m, Rcpt, cmdRcpt, [][2]string{{"i", id}, {"rcpt_addr", to}, {"rcpt_host", host}, {"rcpt_mailer", "local"}})
		if err := c.step(Rcpt, cmdRcpt, o, func(b []byte) []byte { return cstring(b, "<"+to+">") }); err != nil || o.decided() {
			return err
		}
		o.Rcpt = append(o.Rcpt, o.Response)
		if o.Response.Do != Continue {
			refused++
		}
	}
	if refused > 0 && refused == len(m.Rcpt) {
		c.out = AppendFrame[string](c.out, cmdAbort)
		return c.flush()
	}
	c.sendMacros(m, Data, cmdData, [][2]string{{"i", id}})
	if err := c.step(Data, cmdData, o, nil); err != nil || o.decided() {
		return err
	}
	for _, f := range m.Header {
		err := c.step(HeaderField, cmdHeader, o, func(b []byte) []byte {
			value := f.Value
			if c.terms.steps&LeadingSpace == 0 {
				value = strings.TrimPrefix(value, " ")
			}
			b = cstring(b, f.Name)
			for {
				line, rest, more := strings.Cut(value, "\r\n")
				b = append(b, line...)
				if !more {
					return append(b, 0)
				}
				b, value = append(b, '\n'), rest
			}
		})
		if err != nil || o.decided() {
			return err
		}
	}
	c.sendMacros(m, EndOfHeader, cmdEndOfHeader, [][2]string{{"i", id}})
	if err := c.step(EndOfHeader, cmdEndOfHeader, o, nil); err != nil || o.decided() {
		return err
	}
	return c.body(m, id, o)
}

// body sends the body and its end.
func (c *Client) body(m *Message, id string, o *Outcome) error {
	lent := c.pool.get()
	defer c.pool.put(lent)
	for more := m.Body != nil && c.terms.steps&NoBody == 0; more && !o.Skipped; {
		n, err := io.ReadFull(m.Body, lent[:MaxChunk])
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			more = false
		case err != nil:
			return fmt.Errorf("milter: reading the message's body: %w", err)
		}
		if n == 0 {
			break
		}
		if err := c.step(Body, cmdBody, o, func(b []byte) []byte { return append(b, lent[:n]...) }); err != nil || o.decided() {
			return err
		}
		o.Skipped = o.Response.Do == Skip
	}
	c.sendMacros(m, EndOfMessage, cmdEndOfBody, [][2]string{{"i", id}})
	return c.step(EndOfMessage, cmdEndOfBody, o, nil)
}

// sendMacros sends those of a step: the usual ones and the message's own.
func (c *Client) sendMacros(m *Message, at Kind, command byte, usual [][2]string) {
	own := m.Macros[at]
	if len(usual) == 0 && len(own) == 0 {
		return
	}
	b, start := begin(c.out, cmdMacro)
	b = append(b, command)
	chosen, limited := c.lists[at]
	put := func(name, value string) {
		if limited && !slices.Contains(chosen, name) {
			return
		}
		if len(name) > 1 {
			b = append(b, '{')
			b = append(b, name...)
			b = append(b, '}', 0)
		} else {
			b = cstring(b, name)
		}
		b = cstring(b, value)
	}
	for _, u := range usual {
		if _, replaced := own[u[0]]; !replaced {
			put(u[0], u[1])
		}
	}
	for name, value := range own {
		put(bare(name), value)
	}
	c.out = end(b, start)
}

// step sends a command and, where the filter answers, waits for that.
func (c *Client) step(k Kind, command byte, o *Outcome, data func([]byte) []byte) error {
	o.At, o.Response = k, Response{Do: Continue}
	no, noReply := kindSteps(k)
	if c.terms.steps&no != 0 {
		return nil
	}
	b, at := begin(c.out, command)
	if data != nil {
		b = data(b)
	}
	c.out = end(b, at)
	if c.terms.steps&noReply != 0 {
		if len(c.out) < flushAt/2 {
			return nil
		}
		return c.flush()
	}
	if err := c.flush(); err != nil {
		return err
	}
	return c.answer(k, o)
}

// answer reads up to the verdict.
func (c *Client) answer(k Kind, o *Outcome) error {
	for size := 0; ; {
		code, data, err := c.in.frame()
		if err != nil {
			return fmt.Errorf("milter: waiting for the answer to %s: %w", k, silence(err))
		}
		if size += len(data) + lead; size > c.opts.MaxReply {
			return breach("answers %s in more than %d octets", k, c.opts.MaxReply)
		}
		switch v := Verdict(code); v {
		case Verdict(repProgress):
			o.Progress++
			continue
		case Continue, Accept, Reject, TempFail, Discard, Skip:
			if len(data) > 0 {
				return breach("answers %s with data behind %s", k, v)
			}
			r := Response{Do: v}
			if err := r.fits(k, c.terms.steps); err != nil {
				return breach("answers %s with %s", k, v)
			}
			o.Response = r
		case Custom:
			r, err := readReply(data)
			if err != nil {
				return err
			}
			o.Response = r
		case Verdict(repConnFail), Verdict(repShutdown):
			o.Response = Response{Do: TempFail}
			c.ended = true
		default:
			if k != EndOfMessage {
				return breach("answers %s with %q", k, code)
			}
			change, err := readChange(code, data)
			if err != nil {
				return err
			}
			o.Changes = append(o.Changes, change)
			continue
		}
		c.in.done()
		return nil
	}
}

func (c *Client) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.opts.Timeout)); err != nil {
		return err
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	if err != nil {
		return fmt.Errorf("milter: writing to the filter: %w", err)
	}
	return nil
}

// Close says goodbye, unless the connection is over, and closes it.
func (c *Client) Close() error {
	if !c.ended {
		c.out = AppendFrame[string](c.out[:0], cmdQuit)
		_ = c.flush()
	}
	c.ended = true
	c.in.close()
	return c.conn.Close()
}

// silence says what the end of a connection means where an answer is due.
func silence(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the filter closed the connection: %w", io.ErrUnexpectedEOF)
	}
	return err
}
