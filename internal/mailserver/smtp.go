//go:build unix

package mailserver

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Reply is an answer of the server: its code, and the text of its lines.
type Reply struct {
	Code  int
	Lines []string
}

func (r Reply) String() string { return fmt.Sprintf("%d %s", r.Code, strings.Join(r.Lines, "\n")) }

// ID is the message's, where the reply says that it is queued.
func (r Reply) ID() string {
	if len(r.Lines) == 0 {
		return ""
	}
	_, id, _ := strings.Cut(r.Lines[len(r.Lines)-1], "queued as ")
	return id
}

// Conn is a connection to an SMTP server that sends exactly the octets it is
// told to. It is for one goroutine.
type Conn struct {
	net.Conn
	r *bufio.Reader
}

// Dial connects and reads the greeting.
func Dial(address string) (*Conn, error) {
	nc, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: nc, r: bufio.NewReader(nc)}
	if r, err := c.Reply(); err != nil || r.Code != 220 {
		nc.Close()
		return nil, fmt.Errorf("greeting of %s: %s, %w", address, r, err)
	}
	return c, nil
}

// Reply reads the next answer; it waits a minute at most.
func (c *Conn) Reply() (Reply, error) {
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return Reply{}, err
	}
	var r Reply
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return r, err
		}
		line = strings.TrimRight(line, "\r\n")
		if len(line) < 3 {
			return r, fmt.Errorf("reply %q", line)
		}
		if r.Code, err = strconv.Atoi(line[:3]); err != nil {
			return r, fmt.Errorf("reply %q", line)
		}
		r.Lines = append(r.Lines, strings.TrimPrefix(strings.TrimPrefix(line[3:], "-"), " "))
		if len(line) == 3 || line[3] == ' ' {
			return r, nil
		}
	}
}

// Command sends a line and reads the answer.
func (c *Conn) Command(line string) (Reply, error) {
	if _, err := c.Write([]byte(line + "\r\n")); err != nil {
		return Reply{}, err
	}
	return c.Reply()
}

// Letter is a message with its envelope, and who brings it.
type Letter struct {
	Client netip.Addr // as XCLIENT has it; the zero Addr leaves XCLIENT out
	Name   string     // the client's name; unknown unless set
	Helo   string     // client.example unless set
	Login  string     // the authenticated user, by XCLIENT
	From   string     // the reverse-path without <>
	Rcpt   []string
	// Parameters of MAIL, such as "SMTPUTF8".
	Parameters string
	// Data is the message with CRLF as line end; Send dot-stuffs it and ends it.
	Data []byte
	// Raw is sent after DATA as it is, in place of Data: it has to bring its
	// own end.
	Raw []byte
}

// Introduce says who the client is, and greets.
func (c *Conn) Introduce(l Letter) error {
	helo := l.Helo
	if helo == "" {
		helo = "client.example"
	}
	if l.Client.IsValid() || l.Login != "" {
		attributes := ""
		if l.Client.IsValid() {
			address := l.Client.String()
			if l.Client.Is6() {
				address = "IPV6:" + address
			}
			name := l.Name
			if name == "" {
				name = "[UNAVAILABLE]"
			}
			attributes += " NAME=" + name + " ADDR=" + address
		}
		if l.Login != "" {
			attributes += " LOGIN=" + l.Login
		}
		if r, err := c.Command("XCLIENT" + attributes); err != nil || r.Code != 220 {
			return fmt.Errorf("XCLIENT%s: %s, %w", attributes, r, err)
		}
	}
	if r, err := c.Command("EHLO " + helo); err != nil || r.Code != 250 {
		return fmt.Errorf("EHLO %s: %s, %w", helo, r, err)
	}
	return nil
}

// Mail sends a message on a connection that is introduced, and returns the
// first answer that is not positive, or the last.
func (c *Conn) Mail(l Letter) (Reply, error) {
	parameters := l.Parameters
	if parameters != "" {
		parameters = " " + parameters
	}
	r, err := c.Command("MAIL FROM:<" + l.From + ">" + parameters)
	if err != nil || r.Code != 250 {
		return r, err
	}
	for _, to := range l.Rcpt {
		if r, err = c.Command("RCPT TO:<" + to + ">"); err != nil || r.Code != 250 {
			return r, err
		}
	}
	if r, err = c.Command("DATA"); err != nil || r.Code != 354 {
		return r, err
	}
	raw := l.Raw
	if raw == nil {
		raw = Stuffed(l.Data)
	}
	if _, err = c.Write(raw); err != nil {
		return r, err
	}
	return c.Reply()
}

// Stuffed is a message as it goes over the line (RFC 5321 §4.5.2), with its
// end.
func Stuffed(data []byte) []byte {
	out := bytes.ReplaceAll(data, []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(out, []byte(".")) {
		out = append([]byte("."), out...)
	}
	if !bytes.HasSuffix(out, []byte("\r\n")) {
		out = append(out, "\r\n"...)
	}
	return append(out, ".\r\n"...)
}

// Send brings a message to a service in a session of its own.
func (s *Server) Send(service string, l Letter) (Reply, error) {
	c, err := Dial(s.Address(service))
	if err != nil {
		return Reply{}, err
	}
	defer c.Close()
	if err := c.Introduce(l); err != nil {
		return Reply{}, err
	}
	r, err := c.Mail(l)
	if err == nil {
		_, _ = c.Command("QUIT")
	}
	return r, err
}

// Submit hands a message to the server with sendmail(1), as programs on its
// host do. Line ends are LF.
func (s *Server) Submit(from string, to []string, data []byte) error {
	path, err := find("sendmail")
	if err != nil {
		return err
	}
	cmd := exec.Command(path, append([]string{"-C", filepath.Join(s.Dir, "conf"), "-i", "-f", from}, to...)...)
	cmd.Stdin = bytes.NewReader(data)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sendmail: %w: %s", err, out)
	}
	return nil
}
