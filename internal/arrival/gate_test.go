//go:build unix

package arrival

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// gate is a "sekimori gateway" that can be started, killed and started again.
type gate struct {
	w            *world
	name         string
	id           string // its authserv-id; receiver unless set
	dir          string // its configuration, data and log
	socket       string // of the machine, unless it listens at tcp
	tcp          string // HOST:PORT
	http         string // HOST:PORT
	resolver     string // the world's unless set
	extra        []string
	cmd          *exec.Cmd
	ended        chan struct{}
	out          *os.File
	waitedForEnd error
}

func (w *world) newGate(name string) *gate {
	dir := filepath.Join(w.dir, "gate-"+name)
	return &gate{w: w, name: name, dir: dir, socket: filepath.Join(dir, "milter.sock")}
}

// milter is the gate as smtpd_milters has it.
func (g *gate) milter() string {
	if g.tcp != "" {
		return "inet:" + g.tcp
	}
	return "unix:" + g.socket
}

// place is where it listens, as net.Dial has it.
func (g *gate) place() (network, address string) {
	if g.tcp != "" {
		return "tcp", g.tcp
	}
	return "unix", g.socket
}

// data is its --data.
func (g *gate) data() string { return filepath.Join(g.dir, "data") }

// configure writes the configuration: its own lines in the section "gateway",
// then further sections.
func (g *gate) configure(own string, sections ...string) error {
	if err := os.MkdirAll(g.dir, 0o755); err != nil {
		return err
	}
	if g.http == "" {
		var err error
		if g.http, err = freePort(); err != nil {
			return err
		}
	}
	id := g.id
	if id == "" {
		id = receiver
	}
	text := fmt.Sprintf("gateway:\n  authserv_id: %s\n  socket: {mode: \"0666\"}\n  http: %s\n", id, g.http) +
		strings.TrimPrefix(own, "\n") + strings.Join(sections, "")
	return os.WriteFile(filepath.Join(g.dir, "sekimori.yaml"), []byte(text), 0o644)
}

// begin starts the process and waits for nothing.
func (g *gate) begin() error {
	log, err := os.OpenFile(filepath.Join(g.dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	g.out = log
	resolver := g.resolver
	if resolver == "" {
		resolver = g.w.dns.Resolver
	}
	network, address := g.place()
	g.cmd = exec.Command(g.w.program, append([]string{"gateway", "--listen", network + ":" + address,
		"--config", filepath.Join(g.dir, "sekimori.yaml"), "--resolver", resolver, "--data", g.data()}, g.extra...)...)
	g.cmd.Dir = g.dir
	g.cmd.Stdout, g.cmd.Stderr = log, log
	g.ended = make(chan struct{})
	if err := g.cmd.Start(); err != nil {
		return err
	}
	go func(c *exec.Cmd, ended chan struct{}) { g.waitedForEnd = c.Wait(); close(ended) }(g.cmd, g.ended)
	return nil
}

// start starts the gateway and waits until it serves: until a milter's
// negotiation is answered. It returns how long that took.
func (g *gate) start() (time.Duration, error) {
	began := time.Now()
	if err := g.begin(); err != nil {
		return 0, err
	}
	for {
		err := g.negotiate()
		if err == nil {
			return time.Since(began), nil
		}
		select {
		case <-g.ended:
			return 0, fmt.Errorf("ended (%v): %s", g.waitedForEnd, g.log())
		default:
		}
		if time.Since(began) > 20*time.Second {
			return 0, fmt.Errorf("does not serve: %w: %s", err, g.log())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// negotiate opens a session as an MTA does.
func (g *gate) negotiate() error {
	network, address := g.place()
	c, err := net.DialTimeout(network, address, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	// SMFIC_OPTNEG: version 6, all actions, all steps.
	if _, err := c.Write([]byte{0, 0, 0, 13, 'O', 0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff}); err != nil {
		return err
	}
	answer := make([]byte, 5)
	if _, err := c.Read(answer); err != nil {
		return err
	}
	if answer[4] != 'O' {
		return fmt.Errorf("negotiation answered with %q", answer)
	}
	_, err = c.Write([]byte{0, 0, 0, 1, 'Q'})
	return err
}

// kill ends it as a crash does.
func (g *gate) kill() { g.end(syscall.SIGKILL) }

// stop ends it as the service manager does, and returns how it ended.
func (g *gate) stop() error {
	g.end(syscall.SIGTERM)
	return g.waitedForEnd
}

func (g *gate) end(s os.Signal) {
	if g.cmd == nil {
		return
	}
	_ = g.cmd.Process.Signal(s)
	select {
	case <-g.ended:
	case <-time.After(35 * time.Second):
		_ = g.cmd.Process.Kill()
		<-g.ended
	}
	g.cmd = nil
	g.out.Close()
}

// log is what it has written so far, but for the lines of the messages.
func (g *gate) log() string {
	text, _ := os.ReadFile(filepath.Join(g.dir, "log"))
	var kept []string
	for line := range strings.Lines(string(bytes.ToValidUTF8(text, []byte("?")))) {
		if !strings.Contains(line, `"msg":"message"`) && !strings.Contains(line, "ended by a fault of the peer") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept[max(0, len(kept)-30):], "")
}

// verb is a verb of the program as a command.
func (g *gate) verb(args ...string) *exec.Cmd { return exec.Command(g.w.program, args...) }
