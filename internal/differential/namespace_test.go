package differential

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	mdns "github.com/miekg/dns"

	"sekimori/internal/require"
)

// Some programs know only the name server of /etc/resolv.conf, on port 53.
// They get one: this test's binary starts itself in a network and a mount
// namespace of its own, where it is the name server and where resolv.conf says
// so. Nothing of the machine changes, and nothing is asked of the network.

// insideEnv tells the binary that it is the process in the namespaces, and
// names its folder: "zone" is what the name server knows, "command" the
// program to run, an argument a line. Standard input ends it.
const insideEnv = "SEKIMORI_DIFFERENTIAL_INSIDE"

// namespaced starts a program with its own name server, and ends it with the
// test. records are TXT records by name; the value servfail makes the name
// server fail.
func namespaced(t *testing.T, dir string, records map[string][]string, command ...string) {
	t.Helper()
	var zone strings.Builder
	for name, texts := range records {
		for _, text := range texts {
			zone.WriteString(name + "\t" + text + "\n")
		}
	}
	for file, text := range map[string]string{"zone": zone.String(), "command": strings.Join(command, "\n"), "resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	start := func(flags uintptr) error {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), insideEnv+"="+dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
		if flags&syscall.CLONE_NEWUSER != 0 {
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		stdin, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		if strings.TrimSpace(line) != "ready" {
			stdin.Close()
			_ = cmd.Wait()
			return errors.New(strings.TrimSpace(line + stderr.String()))
		}
		t.Cleanup(func() { stdin.Close(); _ = cmd.Wait() })
		return nil
	}
	const own = syscall.CLONE_NEWNS | syscall.CLONE_NEWNET
	if err := start(own); err != nil {
		if err2 := start(own | syscall.CLONE_NEWUSER); err2 != nil {
			require.Missing(t, fmt.Sprintf("namespaces for a name server of the test's own (run it as root, or allow unprivileged user namespaces): %v; %v", err, err2))
		}
	}
}

// inside is the process in the namespaces.
func inside(dir string) int {
	fail := func(err error) int { fmt.Println(err); return 1 }
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fail(fmt.Errorf("private mounts: %w", err))
	}
	if err := syscall.Mount(filepath.Join(dir, "resolv.conf"), "/etc/resolv.conf", "", syscall.MS_BIND, ""); err != nil {
		return fail(fmt.Errorf("resolv.conf: %w", err))
	}
	if err := loopbackUp(); err != nil {
		return fail(fmt.Errorf("loopback: %w", err))
	}
	raw, err := os.ReadFile(filepath.Join(dir, "zone"))
	if err != nil {
		return fail(err)
	}
	zone := map[string][]string{}
	for line := range strings.Lines(string(raw)) {
		name, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		zone[name+"."] = append(zone[name+"."], text)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		return fail(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:53")
	if err != nil {
		return fail(err)
	}
	for _, s := range []*mdns.Server{{PacketConn: conn, Handler: nameServer(zone)}, {Listener: tcp, Handler: nameServer(zone)}} {
		go func() { _ = s.ActivateAndServe() }()
	}
	command, err := os.ReadFile(filepath.Join(dir, "command"))
	if err != nil {
		return fail(err)
	}
	argv := strings.Split(string(command), "\n")
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return fail(err)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return 0
}

// loopbackUp does what "ip link set lo up" does.
func loopbackUp() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	var request struct { // struct ifreq of netdevice(7)
		name  [16]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], "lo")
	request.flags = syscall.IFF_UP | syscall.IFF_RUNNING
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}

// servfail as a record makes every question for the name fail.
const servfail = "SERVFAIL"

// nameServer answers TXT questions; what it does not know does not exist.
func nameServer(zone map[string][]string) mdns.Handler {
	return mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		m := new(mdns.Msg).SetReply(q)
		m.RecursionAvailable = true
		name := strings.ToLower(q.Question[0].Name)
		texts, known := zone[name]
		switch {
		case !known:
			m.Rcode = mdns.RcodeNameError
		case texts[0] == servfail:
			m.Rcode = mdns.RcodeServerFailure
		case q.Question[0].Qtype == mdns.TypeTXT:
			for _, text := range texts {
				var parts []string
				for len(text) > 255 {
					parts, text = append(parts, text[:255]), text[255:]
				}
				m.Answer = append(m.Answer, &mdns.TXT{
					Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeTXT, Class: mdns.ClassINET, Ttl: 300},
					Txt: append(parts, text)})
			}
		}
		_ = w.WriteMsg(m)
	})
}
