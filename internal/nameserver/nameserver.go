//go:build unix

// Package nameserver runs NSD and Unbound on loopback, for tests and
// benchmarks that want real name servers.
package nameserver

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	mdns "github.com/miekg/dns"
)

// ErrMissing is the error of a program that is not installed.
var ErrMissing = errors.New("not installed")

// Options say what is served.
type Options struct {
	// Dir takes configurations, logs and sockets.
	Dir string
	// Zones are the zone files by the name of their apex, with a final dot.
	Zones map[string]string
	// Silent are names whose servers take questions and never answer.
	Silent []string
	// Also is a further "address:port" at which Unbound listens: for programs
	// that know the name server of /etc/resolv.conf alone, at port 53.
	Also string
	// Threads of Unbound; 0 means 1.
	Threads int
	// Patience is how long to wait for the servers to have read their zones;
	// 0 means 20 s.
	Patience time.Duration
}

// Servers are NSD with the zones, and Unbound before it.
type Servers struct {
	// Resolver is Unbound's address, Authority NSD's: "127.0.0.1:PORT".
	Resolver, Authority string

	children []*child
	silent   net.PacketConn
}

// child is a program at work.
type child struct {
	cmd   *exec.Cmd
	out   bytes.Buffer
	ended chan struct{}
}

// Start starts both servers and waits until they answer for each zone. The
// error wraps ErrMissing where a program is not there.
func Start(o Options) (*Servers, error) {
	s := &Servers{}
	if err := s.start(o); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the servers.
func (s *Servers) Close() {
	for _, c := range s.children {
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		<-c.ended
	}
	s.children = nil
	if s.silent != nil {
		s.silent.Close()
	}
}

func (s *Servers) start(o Options) error {
	if o.Patience == 0 {
		o.Patience = 20 * time.Second
	}
	nsd, err := find("nsd")
	if err != nil {
		return err
	}
	unbound, err := find("unbound")
	if err != nil {
		return err
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	// Its socket is never read: questions time out, and are not refused.
	if s.silent, err = net.ListenPacket("udp4", "127.0.0.1:0"); err != nil {
		return err
	}
	write := func(name, text string) (string, error) {
		p := filepath.Join(o.Dir, name)
		return p, os.WriteFile(p, []byte(text), 0o600)
	}
	port, err := FreePort()
	if err != nil {
		return err
	}
	s.Authority = fmt.Sprintf("127.0.0.1:%d", port)
	conf := fmt.Sprintf("server:\n ip-address: 127.0.0.1@%d\n port: %[1]d\n username: %q\n chroot: \"\"\n zonesdir: %q\n pidfile: %q\n"+
		" database: \"\"\n xfrdfile: %q\n zonelistfile: %q\n xfrdir: %[3]q\n server-count: 1\n rrl-ratelimit: 0\nremote-control:\n control-enable: no\n",
		port, me.Username, o.Dir, filepath.Join(o.Dir, "nsd.pid"), filepath.Join(o.Dir, "xfrd"), filepath.Join(o.Dir, "list"))
	stubs := ""
	var apexes []string
	for apex, file := range o.Zones {
		apexes = append(apexes, apex)
		conf += fmt.Sprintf("zone:\n name: %s\n zonefile: %q\n", apex, file)
		stubs += fmt.Sprintf("stub-zone:\n name: %s\n stub-addr: 127.0.0.1@%d\n", apex, port)
	}
	slices.Sort(apexes)
	for _, name := range o.Silent {
		stubs += fmt.Sprintf("stub-zone:\n name: %s\n stub-addr: %s\n", name, strings.Replace(s.silent.LocalAddr().String(), ":", "@", 1))
	}
	path, err := write("nsd.conf", conf)
	if err != nil {
		return err
	}
	if err := s.run(o, s.Authority, apexes, nsd, "-d", "-c", path); err != nil {
		return err
	}
	if port, err = FreePort(); err != nil {
		return err
	}
	s.Resolver = fmt.Sprintf("127.0.0.1:%d", port)
	threads := max(o.Threads, 1)
	if o.Also != "" {
		stubs = fmt.Sprintf("server:\n interface: %s\n", strings.Replace(o.Also, ":", "@", 1)) + stubs
	}
	path, err = write("unbound.conf", fmt.Sprintf("server:\n interface: 127.0.0.1@%d\n port: %[1]d\n do-ip6: no\n username: \"\"\n chroot: \"\"\n directory: %q\n pidfile: \"\"\n use-syslog: no\n"+
		" verbosity: 0\n num-threads: %d\n so-reuseport: yes\n so-rcvbuf: 4m\n so-sndbuf: 4m\n do-not-query-localhost: no\n module-config: \"iterator\"\n"+
		" local-zone: \"test.\" nodefault\n local-zone: \"example.\" nodefault\n"+
		" outgoing-range: 4096\n num-queries-per-thread: 4096\n msg-cache-size: 64m\n rrset-cache-size: 128m\n"+
		"remote-control:\n control-enable: no\n%s", port, o.Dir, threads, stubs))
	if err != nil {
		return err
	}
	return s.run(o, s.Resolver, apexes, unbound, "-d", "-c", path)
}

// run starts a program and waits until it answers for the zones.
func (s *Servers) run(o Options, address string, apexes []string, command ...string) error {
	c := &child{cmd: exec.Command(command[0], command[1:]...), ended: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children go with it
	if err := c.cmd.Start(); err != nil {
		return err
	}
	go func() { _ = c.cmd.Wait(); close(c.ended) }()
	s.children = append(s.children, c)
	until := time.Now().Add(o.Patience)
	for _, apex := range apexes {
		q := new(mdns.Msg).SetQuestion(apex, mdns.TypeSOA)
		for {
			client := mdns.Client{Timeout: 500 * time.Millisecond}
			if m, _, err := client.Exchange(q, address); err == nil && m.Rcode == mdns.RcodeSuccess {
				break
			}
			select {
			case <-c.ended:
				return fmt.Errorf("%s ended: %s", command[0], &c.out)
			default:
			}
			if time.Now().After(until) {
				return fmt.Errorf("%s does not answer for %s", command[0], apex)
			}
			time.Sleep(30 * time.Millisecond)
		}
	}
	return nil
}

func find(name string) (string, error) {
	for _, dir := range []string{"", "/usr/sbin/", "/usr/local/sbin/"} {
		if p, err := exec.LookPath(dir + name); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s: %w (apt-get install %[1]s)", name, ErrMissing)
}

// Listen opens a port of loopback for UDP and for TCP, as a name server of a
// test's own needs it.
func Listen() (net.PacketConn, net.Listener, error) {
	for range 50 {
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		l, err := net.Listen("tcp4", pc.LocalAddr().String())
		if err == nil {
			return pc, l, nil
		}
		pc.Close()
	}
	return nil, nil, errors.New("no port is free for UDP and TCP")
}

// FreePort finds a port that is free for UDP and TCP on loopback. Another
// program may take it first.
func FreePort() (int, error) {
	pc, l, err := Listen()
	if err != nil {
		return 0, err
	}
	pc.Close()
	l.Close()
	return pc.LocalAddr().(*net.UDPAddr).Port, nil
}
