package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sekimori/internal/store/verdict"
	"sekimori/milter"
)

// mta plays a mail server for the manuals: it sends the message in a file
// through the gateway, as come from an address, and prints the answer and the
// message as it would be passed on.
func mta() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: mta LISTENER CLIENT FILE")
		os.Exit(2)
	}
	f, err := os.Open(os.Args[3])
	if err == nil {
		defer f.Close()
		err = deliver(os.Args[1], os.Args[2], f, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mta:", err)
		os.Exit(1)
	}
}

func deliver(address, client string, message io.Reader, out io.Writer) error {
	m, err := arrived(client, message)
	if err != nil {
		return err
	}
	c, err := patientDial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	o, err := c.Send(context.Background(), &m)
	if err != nil {
		return err
	}
	if r := o.Response; r.Code != 0 {
		fmt.Fprintf(out, "answer: %d %s %s\n", r.Code, r.Enhanced, strings.Join(r.Text, " / "))
	} else {
		fmt.Fprintf(out, "answer: %v\n", r.Do)
	}
	for _, f := range milter.Apply(m, o).Header {
		fmt.Fprintf(out, "%s:%s\n", f.Name, f.Value)
	}
	return nil
}

// arrived reads a message; its envelope-from is its From.
func arrived(client string, r io.Reader) (milter.Message, error) {
	m := milter.Message{Client: netip.AddrPortFrom(netip.MustParseAddr(client), 25), Helo: "mail.example", Rcpt: []string{"someone@city.example.jp"},
		Macros: map[milter.Kind]map[string]string{milter.Connect: {"j": "mx.city.example.jp"}, milter.EndOfHeader: {"i": "4Z001"}, milter.EndOfMessage: {"i": "4Z001"}}}
	b := bufio.NewReader(r)
	for {
		line, err := b.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		if err != nil || line == "" {
			m.Body = b
			break
		}
		name, value, _ := strings.Cut(line, ":")
		m.Header = append(m.Header, milter.Field{Name: name, Value: value})
		if name == "From" {
			m.From = strings.Trim(regexp.MustCompile(`<.*>`).FindString(value), "<>")
		}
	}
	if m.From == "" {
		return m, errors.New("no <address> in From")
	}
	return m, nil
}

// patientDial waits for a gateway that is just starting.
func patientDial(address string) (*milter.Client, error) {
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := milter.Dial(context.Background(), address, milter.ClientOptions{Timeout: 20 * time.Second})
		if err == nil || time.Now().After(until) {
			return c, err
		}
	}
}

// hangup tells the gateway of a data folder to read its configuration again, and
// gives it time to.
func hangup() {
	st, ok, err := verdict.ReadStatus(filepath.Join(os.Args[1], "gateway"))
	if err != nil || !ok {
		fmt.Fprintln(os.Stderr, "hangup: no gateway runs there:", err)
		os.Exit(1)
	}
	if err := syscall.Kill(st.PID, syscall.SIGHUP); err != nil {
		fmt.Fprintln(os.Stderr, "hangup:", err)
		os.Exit(1)
	}
	time.Sleep(300 * time.Millisecond)
}

const gatewayZone = `$TTL 300
bank.example.        IN TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.bank.example. IN TXT "v=DMARC1; p=reject"
`

const forged = "From: <info@bank.example>\r\nSubject: hello\r\nMessage-ID: <1@bank.example>\r\n\r\nbody\r\n"

// running is a gateway in a process of its own.
type running struct {
	cmd     *exec.Cmd
	address string // of its socket
	log     *lines
}

// lines is a log that is looked into while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// has waits for a line that has text, and returns the first.
func (l *lines) has(t *testing.T, text string) string {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		for line := range strings.Lines(l.String()) {
			if strings.HasSuffix(line, "\n") && strings.Contains(line, text) {
				return line
			}
		}
		if time.Now().After(until) {
			t.Fatalf("no %s in the log:\n%s", text, l)
		}
	}
}

// startGateway starts a gateway in dir that answers from gatewayZone.
func startGateway(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	zone := filepath.Join(dir, "zone")
	if err := os.WriteFile(zone, []byte(gatewayZone), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "milter.sock")
	g := &running{address: "unix:" + socket, log: &lines{}}
	g.cmd = program(t, dir, append([]string{"gateway", "--listen", g.address, "--zone", zone, "--data", "data"}, args...)...)
	g.cmd.Stderr = g.log
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.cmd.Process.Kill(); _ = g.cmd.Wait() })
	return g
}

// open begins a message and leaves it in the middle.
func (g *running) open(t *testing.T) *slowBody {
	t.Helper()
	c, err := patientDial(g.address)
	if err != nil {
		t.Fatal(err)
	}
	s := &slowBody{begun: make(chan struct{}), rest: make(chan []byte), answer: make(chan string, 1)}
	m, err := arrived("203.0.113.9", strings.NewReader(forged))
	if err != nil {
		t.Fatal(err)
	}
	m.Body = s
	go func() {
		defer c.Close()
		o, err := c.Send(context.Background(), &m)
		if err != nil {
			s.answer <- err.Error()
			return
		}
		s.answer <- fmt.Sprint(o.Response.Do, " ", o.Response.Code, " ", len(o.Changes))
	}()
	<-s.begun
	time.Sleep(20 * time.Millisecond) // its header is on the way
	return s
}

// slowBody is a body that begins with enough octets for no buffer to hold them
// back, and of which the rest comes when it is let.
type slowBody struct {
	read   int
	once   sync.Once
	begun  chan struct{}
	rest   chan []byte
	answer chan string
}

func (s *slowBody) Read(p []byte) (int, error) {
	if s.read < 1<<20 {
		n := copy(p, strings.Repeat("a line of it\r\n", 100))
		s.read += n
		return n, nil
	}
	s.once.Do(func() { close(s.begun) })
	b, more := <-s.rest
	if !more {
		return 0, io.EOF
	}
	return copy(p, b), nil
}

// finish lets the message end, and returns the answer.
func (s *slowBody) finish() string {
	s.rest <- []byte("the end\r\n")
	close(s.rest)
	return <-s.answer
}

// TestGatewayReload: SIGHUP drops no session; a message that has begun is
// treated as before, the next one on the same connection's server by the new
// configuration.
func TestGatewayReload(t *testing.T) {
	dir := t.TempDir()
	site := filepath.Join(dir, "site.yaml")
	write := func(text string) {
		if err := os.WriteFile(site, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("gateway: {mode: monitor, on_reject: refuse}\n")
	g := startGateway(t, dir, "--config", "site.yaml")
	begun := g.open(t)
	write("gateway: {mode: enforce, on_reject: refuse}\n")
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	g.log.has(t, `"configuration read again","mode":"enforce"`)
	if got := begun.finish(); !strings.HasPrefix(got, "continue") && !strings.HasPrefix(got, "accept") {
		t.Errorf("the message that had begun: %s", got)
	}
	var out bytes.Buffer
	if err := deliver(g.address, "203.0.113.9", strings.NewReader(forged), &out); err != nil || !strings.HasPrefix(out.String(), "answer: 550 5.7.26") {
		t.Errorf("the next one: %v %s", err, &out)
	}
	// A key that others can read is a mistake like any other.
	write("sign: [{domain: bank.example, selector: s, key: none.pem}]\n")
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	g.log.has(t, "none.pem")
	out.Reset()
	if err := deliver(g.address, "203.0.113.9", strings.NewReader(forged), &out); err != nil || !strings.HasPrefix(out.String(), "answer: 550 5.7.26") {
		t.Errorf("after a wrong configuration: %v %s", err, &out)
	}
}

// TestGatewayDrain: SIGTERM lets a message in progress end and takes no new
// one; a second one ends the process at once.
func TestGatewayDrain(t *testing.T) {
	g := startGateway(t, t.TempDir())
	begun := g.open(t)
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	g.log.has(t, "gateway stopping")
	if got := begun.finish(); !strings.HasPrefix(got, "continue") && !strings.HasPrefix(got, "accept") {
		t.Errorf("the message in progress: %s", got)
	}
	if err := g.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, g.log)
	}
	g.log.has(t, `"gateway stopped","messages":1`)
	if c, err := net.Dial("unix", strings.TrimPrefix(g.address, "unix:")); err == nil {
		c.Close()
		t.Error("somebody still answers at the socket")
	}

	g = startGateway(t, t.TempDir())
	begun = g.open(t)
	for range 2 {
		if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		g.log.has(t, "gateway stopping")
	}
	began := time.Now()
	_ = g.cmd.Wait()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v to end after the second signal", took)
	}
	close(begun.rest)
	<-begun.answer
}

// TestGatewayHTTP: metrics and health of a process.
func TestGatewayHTTP(t *testing.T) {
	g := startGateway(t, t.TempDir(), "--http", "127.0.0.1:0")
	if err := deliver(g.address, "203.0.113.9", strings.NewReader(forged), io.Discard); err != nil {
		t.Fatal(err)
	}
	line := g.log.has(t, "gateway started") // a message may come before it
	var start struct{ HTTP string }
	if err := json.Unmarshal([]byte(line), &start); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	get := func(path string) string {
		r, err := http.Get("http://" + start.HTTP + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return fmt.Sprint(r.StatusCode, " ", string(b))
	}
	for path, want := range map[string]string{
		"/metrics":                        `sekimori_gateway_messages_total{action="accept",dmarc="fail"} 1`,
		"/healthz":                        "200 ok",
		"/readyz":                         "200 good\nmilter: good\ndns: good\nverdicts: good\nreports: good\n",
		"/readyz?format=json":             `{"state":"good","parts":[{"name":"milter","state":"good"}`,
		"/why?c=policy&d=bank.example":    "bank.example",
		"/why?c=policy&d=<script>&lang=a": "200 ",
	} {
		if got := get(path); !strings.Contains(got, want) {
			t.Errorf("%s: %s\nwant %s", path, got, want)
		}
	}
	if got := get("/why?d=<script>"); strings.Contains(got, "<script") {
		t.Errorf("unescaped: %s", got)
	}
}

// TestGatewayNotify: systemd is told when sockets answer, when the
// configuration is read, and when the gateway stops.
func TestGatewayNotify(t *testing.T) {
	dir := t.TempDir()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "notify"))
	next := func() string {
		b := make([]byte, 1000)
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	g := startGateway(t, dir)
	if got := next(); got != "READY=1\nSTATUS=monitor" {
		t.Errorf("at the start: %q", got)
	}
	if c, err := net.Dial("unix", strings.TrimPrefix(g.address, "unix:")); err != nil {
		t.Errorf("ready, but %v", err)
	} else {
		c.Close()
	}
	_ = g.cmd.Process.Signal(syscall.SIGHUP)
	if got := next(); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=\d+$`).MatchString(got) {
		t.Errorf("at SIGHUP: %q", got)
	}
	if got := next(); got != "READY=1\nSTATUS=monitor" {
		t.Errorf("after SIGHUP: %q", got)
	}
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	if got := next(); got != "STOPPING=1" {
		t.Errorf("at SIGTERM: %q", got)
	}
}

// TestServeGateway: serve with a gateway in it answers mail and people, shows
// the gateway's metrics to who may see metrics, and the page about refusals to
// everybody. Both end together.
func TestServeGateway(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"zone": gatewayZone, "token": "a-token-of-enough-letters\n",
		"site.yaml": "gateway:\n  listen: unix:" + dir + "/milter.sock\n  mode: enforce\n  on_reject: refuse\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := &running{address: "unix:" + filepath.Join(dir, "milter.sock"), log: &lines{}}
	g.cmd = program(t, dir, "serve", "--listen", "127.0.0.1:0", "--token-file", "token", "--config", "site.yaml", "--zone", "zone", "--data", "data")
	g.cmd.Stderr = g.log
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.cmd.Process.Kill(); _ = g.cmd.Wait() })
	var out bytes.Buffer
	if err := deliver(g.address, "203.0.113.9", strings.NewReader(forged), &out); err != nil || !strings.HasPrefix(out.String(), "answer: 550 5.7.26") {
		t.Errorf("%v %s", err, &out)
	}
	url := regexp.MustCompile(`The dashboard is at (\S+)/`).FindStringSubmatch(g.log.has(t, "The dashboard is at "))[1]
	get := func(path, token string) (int, string) {
		r, err := http.NewRequest(http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		a, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		b, _ := io.ReadAll(a.Body)
		return a.StatusCode, string(b)
	}
	if status, body := get("/why?c=policy&d=bank.example", ""); status != 200 || !strings.Contains(body, "bank.example") {
		t.Errorf("/why: %d %s", status, body)
	}
	if status, _ := get("/metrics", ""); status == 200 {
		t.Error("metrics without a token")
	}
	if status, body := get("/metrics", "a-token-of-enough-letters"); status != 200 || !strings.Contains(body, `sekimori_gateway_messages_total{action="refuse",dmarc="fail"} 1`) || !strings.Contains(body, "sekimori_http_request_seconds") {
		t.Errorf("/metrics: %d %s", status, body)
	}
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	if err := g.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, g.log)
	}
	g.log.has(t, "gateway stopped")
	if c, err := net.Dial("unix", strings.TrimPrefix(g.address, "unix:")); err == nil {
		c.Close()
		t.Error("the gateway still answers")
	}
}
