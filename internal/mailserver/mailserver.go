//go:build unix

// Package mailserver runs Postfix on loopback, for tests and benchmarks that
// want a real mail server, and speaks SMTP to it octet by octet.
package mailserver

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrMissing is the error of a program that is not installed, and of a user
// that is not root: Postfix wants to be started by root.
var ErrMissing = errors.New("not installed")

// Main is the name of the service that every Server has.
const Main = "main"

// Options say how a Server is set up. Zero values are usable: a server that
// takes mail for nobody.
type Options struct {
	// Dir takes configuration, queue, log and mail. Its path must be short, for
	// sockets lie in it, and open to other users. Empty means a folder of its
	// own, which Stop removes.
	Dir string
	// Hostname is the server's name: mx.example unless set.
	Hostname string
	// Milters are as in smtpd_milters: "inet:127.0.0.1:8025", "unix:/path".
	Milters []string
	// Default is milter_default_action: "tempfail" unless set.
	Default string
	// Domains are those whose mail is delivered here, whoever the recipient is.
	Domains []string
	// Routes say where the mail of other domains goes: "127.0.0.1:2525" by
	// domain, or "error:5.1.1 nobody here" for mail that comes back. The server relays for clients on loopback.
	Routes map[string]string
	// XCLIENT are the networks whose clients may say that they are others:
	// loopback unless set.
	XCLIENT []string
	// Services are further ports, with settings of their own that go before
	// those of the server.
	Services map[string]map[string]string
	// Set are further settings of main.cf.
	Set map[string]string
}

// Server is a Postfix at work.
type Server struct {
	Dir string

	o         Options
	ports     map[string]int
	postfix   string
	master    *exec.Cmd
	out       bytes.Buffer
	ended     chan struct{}
	temporary bool

	mu    sync.Mutex
	names map[string]string // files of the inbox by the message's ID
	known map[string]bool   // files that were read
}

// Start sets a server up and waits until its ports answer. The error wraps
// ErrMissing where Postfix is not there or the user is not root.
func Start(o Options) (*Server, error) {
	s := &Server{o: o, Dir: o.Dir, ports: map[string]int{}}
	if os.Getuid() != 0 {
		return nil, fmt.Errorf("root, which Postfix wants to be started by: %w", ErrMissing)
	}
	var err error
	if s.postfix, err = find("postfix"); err != nil {
		return nil, err
	}
	if s.Dir == "" {
		if s.Dir, err = os.MkdirTemp("", "pfx"); err != nil {
			return nil, err
		}
		s.temporary = true
	}
	if err := s.setUp(); err != nil {
		s.remove()
		return nil, err
	}
	if err := s.Run(); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// Address is where a service listens: "127.0.0.1:PORT".
func (s *Server) Address(service string) string {
	return "127.0.0.1:" + strconv.Itoa(s.ports[service])
}

// Log is what the server has written down so far.
func (s *Server) Log() string {
	text, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
	return string(text)
}

// Stop ends the server and removes its folder where that was its own.
func (s *Server) Stop() {
	s.Halt()
	s.remove()
}

// Halt ends the server; queue and mail stay, and Run starts it again.
func (s *Server) Halt() {
	if s.master == nil {
		return
	}
	// Its children are process groups of their own; they end with their master.
	_ = s.master.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(-s.master.Process.Pid, syscall.SIGKILL)
		<-s.ended
	}
	s.master = nil
}

// Run starts a server that Halt ended.
func (s *Server) Run() error {
	conf := filepath.Join(s.Dir, "conf")
	daemons, err := s.command("postconf", "-h", "daemon_directory")
	if err != nil {
		return err
	}
	s.master = exec.Command(filepath.Join(strings.TrimSpace(daemons), "master"), "-c", conf, "-d")
	s.master.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.master.Stdout, s.master.Stderr = &s.out, &s.out
	s.ended = make(chan struct{})
	if err := s.master.Start(); err != nil {
		s.master = nil
		return err
	}
	go func(c *exec.Cmd, ended chan struct{}) { _ = c.Wait(); close(ended) }(s.master, s.ended)
	until := time.Now().Add(10 * time.Second)
	for service := range s.ports {
		for {
			c, err := net.DialTimeout("tcp", s.Address(service), time.Second)
			if err == nil {
				c.Close() // master listens: whoever connects is served
				break
			}
			select {
			case <-s.ended:
				return fmt.Errorf("postfix ended: %s %s", &s.out, s.Log())
			default:
			}
			if time.Now().After(until) {
				return fmt.Errorf("postfix does not listen: %w", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

// Reload has the server read Routes and settings again after Change.
func (s *Server) Reload() error {
	_, err := s.command("postfix", "reload")
	return err
}

// Change changes settings of main.cf; Reload makes them count.
func (s *Server) Change(set map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if _, err := s.command("postconf", "-e", name+" = "+set[name]); err != nil {
			return err
		}
	}
	return nil
}

// command runs one of Postfix's programs on the server's configuration.
func (s *Server) command(name string, args ...string) (string, error) {
	path, err := find(name)
	if err != nil {
		return "", err
	}
	cmd := exec.Command(path, append([]string{"-c", filepath.Join(s.Dir, "conf")}, args...)...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, &said)
	}
	return out.String(), nil
}

func (s *Server) remove() {
	if s.temporary {
		_ = os.RemoveAll(s.Dir)
	}
}

// setUp writes the configuration and lets Postfix make its queue.
func (s *Server) setUp() error {
	owner, err := user.Lookup("postfix")
	if err != nil {
		return fmt.Errorf("user postfix: %w", ErrMissing)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	if err := os.Chmod(s.Dir, 0o755); err != nil {
		return err
	}
	for _, sub := range []string{"conf", "queue", "data", "mail"} {
		if err := os.Mkdir(filepath.Join(s.Dir, sub), 0o755); err != nil {
			return err
		}
	}
	for _, sub := range []string{"data", "mail"} {
		if err := os.Chown(filepath.Join(s.Dir, sub), uid, gid); err != nil {
			return err
		}
	}
	services := map[string]map[string]string{Main: nil}
	maps.Copy(services, s.o.Services)
	for name := range services {
		if s.ports[name], err = freePort(); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{"routes": routes(s.o.Routes), "main.cf": s.mainCF(owner), "master.cf": s.masterCF(services)} {
		path := filepath.Join(s.Dir, "conf", name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
		// Postfix waits until its files are older than a second or two, lest
		// they are still being written.
		past := time.Now().Add(-time.Minute)
		if err := os.Chtimes(path, past, past); err != nil {
			return err
		}
	}
	return s.setUpQueue(uid, gid)
}

// setUpQueue makes the folders of the queue, as "postfix check" does, which
// takes two seconds for it.
func (s *Server) setUpQueue(uid, gid int) error {
	drop, err := user.LookupGroup("postdrop")
	if err != nil {
		return fmt.Errorf("group postdrop: %w", ErrMissing)
	}
	dropGID, _ := strconv.Atoi(drop.Gid)
	for _, d := range []struct {
		name     string
		mode     os.FileMode
		uid, gid int
	}{
		{"active", 0o700, uid, 0}, {"bounce", 0o700, uid, 0}, {"corrupt", 0o700, uid, 0}, {"defer", 0o700, uid, 0}, {"deferred", 0o700, uid, 0},
		{"flush", 0o700, uid, 0}, {"hold", 0o700, uid, 0}, {"incoming", 0o700, uid, 0}, {"private", 0o700, uid, 0}, {"saved", 0o700, uid, 0},
		{"trace", 0o700, uid, 0}, {"maildrop", 0o730, uid, dropGID}, {"public", 0o710, uid, dropGID}, {"pid", 0o755, 0, 0},
	} {
		path := filepath.Join(s.Dir, "queue", d.name)
		if err := os.Mkdir(path, d.mode); err != nil {
			return err
		}
		if err := os.Chown(path, d.uid, d.gid); err != nil {
			return err
		}
		if err := os.Chmod(path, d.mode); err != nil {
			return err
		}
	}
	return nil
}

func routes(to map[string]string) string {
	text := ""
	for domain, address := range to {
		if strings.HasPrefix(address, "error:") {
			text += domain + " " + address + "\n"
			continue
		}
		host, port, _ := net.SplitHostPort(address)
		text += fmt.Sprintf("%s smtp:[%s]:%s\n", domain, host, port)
	}
	return text
}

func (s *Server) mainCF(owner *user.User) string {
	or := func(value, otherwise string) string {
		if value == "" {
			return otherwise
		}
		return value
	}
	set := map[string]string{
		"compatibility_level":   "3.6",
		"queue_directory":       s.Dir + "/queue",
		"data_directory":        s.Dir + "/data",
		"maillog_file":          s.Dir + "/log",
		"maillog_file_prefixes": "/tmp, /dev/shm, " + s.Dir,
		"myhostname":            or(s.o.Hostname, "mx.example"),
		"inet_protocols":        "all",
		"inet_interfaces":       "127.0.0.1",
		"mynetworks":            "127.0.0.0/8",
		"mydestination":         "",
		"alias_maps":            "",
		"enable_long_queue_ids": "yes",
		"smtpd_peername_lookup": "no",

		"smtp_dns_support_level":              "disabled",
		"smtp_host_lookup":                    "native",
		"disable_dns_lookups":                 "yes",
		"transport_maps":                      "texthash:" + s.Dir + "/conf/routes",
		"relay_domains":                       "texthash:" + s.Dir + "/conf/routes",
		"smtp_tls_security_level":             "may",
		"virtual_mailbox_domains":             strings.Join(s.o.Domains, ", "),
		"virtual_mailbox_base":                s.Dir + "/mail",
		"virtual_mailbox_maps":                "static:inbox/",
		"virtual_uid_maps":                    "static:" + owner.Uid,
		"virtual_gid_maps":                    "static:" + owner.Gid,
		"virtual_minimum_uid":                 "1",
		"virtual_mailbox_limit":               "0",
		"message_size_limit":                  "0",
		"smtputf8_enable":                     "yes",
		"default_process_limit":               "200",
		"smtpd_recipient_limit":               "1000",
		"smtpd_client_event_limit_exceptions": "static:all",

		"smtpd_milters":                  strings.Join(s.o.Milters, ", "),
		"milter_default_action":          or(s.o.Default, "tempfail"),
		"milter_protocol":                "6",
		"milter_connect_timeout":         "5s",
		"milter_command_timeout":         "10s",
		"milter_content_timeout":         "30s",
		"milter_connect_macros":          "j {daemon_name} {daemon_addr} {daemon_port} {client_addr} {client_name} v",
		"local_recipient_maps":           "",
		"local_header_rewrite_clients":   "", // whoever comes by XCLIENT is a stranger
		"smtpd_authorized_xclient_hosts": or(strings.Join(s.o.XCLIENT, ", "), "127.0.0.0/8"),

		// Errors of tests' own making are answered at once.
		"smtpd_error_sleep_time":   "0",
		"smtpd_soft_error_limit":   "1000",
		"smtpd_hard_error_limit":   "1000",
		"smtpd_junk_command_limit": "1000",
		"in_flow_delay":            "0",
		"queue_run_delay":          "2s",
		"minimal_backoff_time":     "1s",
		"maximal_backoff_time":     "2s",
		"notify_classes":           "",
	}
	maps.Copy(set, s.o.Set)
	text := ""
	for _, name := range slices.Sorted(maps.Keys(set)) {
		text += name + " = " + set[name] + "\n"
	}
	return text
}

func (s *Server) masterCF(services map[string]map[string]string) string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(services)) {
		text += fmt.Sprintf("127.0.0.1:%d inet n - n - - smtpd\n", s.ports[name])
		for _, key := range slices.Sorted(maps.Keys(services[name])) {
			text += fmt.Sprintf("  -o { %s = %s }\n", key, services[name][key])
		}
	}
	return text + `pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`
}

func find(name string) (string, error) {
	for _, dir := range []string{"", "/usr/sbin/", "/usr/local/sbin/"} {
		if p, err := exec.LookPath(dir + name); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s: %w (apt-get install postfix)", name, ErrMissing)
}

// freePort finds a port that is free on loopback.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
