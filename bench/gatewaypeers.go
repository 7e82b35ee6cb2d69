//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// filter is a milter at work, or several that a message goes through in turn.
type filter struct {
	name    string
	passes  string   // what it must say of signature and policy: "pass", or "" for anything
	sockets []string // "unix:/path", in the order of the message
	pids    []int
	stop    func()
}

// started is one program that listens at a socket.
func started(ctx context.Context, socket string, cmd *exec.Cmd) (pid int, stop func(), err error) {
	_ = os.Remove(socket)
	out := &head{most: 4096}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	stop = func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	}
	for until := time.Now().Add(time.Minute); ; { // rspamd compiles expressions first
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return cmd.Process.Pid, stop, nil
		}
		select {
		case <-ended:
			return 0, nil, fmt.Errorf("%s ended: %s", cmd.Args[0], lastLine(out.kept.Bytes()))
		case <-ctx.Done():
			stop()
			return 0, nil, ctx.Err()
		default:
		}
		if time.Now().After(until) {
			stop()
			return 0, nil, fmt.Errorf("%s does not listen: %s", cmd.Args[0], lastLine(out.kept.Bytes()))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// withNameServer makes a command see a resolv.conf of its own: in a mount
// namespace, so that nothing of the machine changes.
func withNameServer(ctx context.Context, resolvConf string, command ...string) *exec.Cmd {
	args := append([]string{"-m", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, resolvConf}, command...)
	return exec.CommandContext(ctx, "unshare", args...)
}

// openDKIMThenDMARC starts opendkim, and opendmarc that reads its results and
// checks SPF itself.
func openDKIMThenDMARC(ctx context.Context, dir, resolvConf, server string) (*filter, error) {
	for _, p := range []string{"opendkim", "opendmarc", "unshare"} {
		if _, err := exec.LookPath(p); err != nil {
			return nil, errMissing{p}
		}
	}
	dkimSocket, dmarcSocket := filepath.Join(dir, "opendkim.sock"), filepath.Join(dir, "opendmarc.sock")
	dkimConf, dmarcConf := filepath.Join(dir, "opendkim.conf"), filepath.Join(dir, "opendmarc.conf")
	nobody := filepath.Join(dir, "nobody")
	suffixes := filepath.Join(dir, "suffixes")
	err := errors.Join(
		os.WriteFile(dkimConf, fmt.Appendf(nil, "Mode v\nSocket local:%s\nSyslog no\nAlwaysAddARHeader yes\nAuthservID mx.receiver.example\nNameservers %s\nUserID root\nBackground no\nInternalHosts %s\n", dkimSocket, server, nobody), 0o600),
		os.WriteFile(nobody, []byte("127.0.0.9\n"), 0o600),
		os.WriteFile(suffixes, []byte("com\norg\nexample\n"), 0o600),
		os.WriteFile(dmarcConf, fmt.Appendf(nil, "Socket local:%s\nSyslog false\nAuthservID mx.receiver.example\nTrustedAuthservIDs mx.receiver.example\nRejectFailures false\nSPFIgnoreResults true\nSPFSelfValidate true\nPublicSuffixList %s\nUserID root\nBackground false\nIgnoreHosts %s\n", dmarcSocket, suffixes, nobody), 0o600))
	if err != nil {
		return nil, err
	}
	first, stopFirst, err := started(ctx, dkimSocket, withNameServer(ctx, resolvConf, "opendkim", "-f", "-x", dkimConf))
	if err != nil {
		return nil, err
	}
	second, stopSecond, err := started(ctx, dmarcSocket, withNameServer(ctx, resolvConf, "opendmarc", "-f", "-c", dmarcConf))
	if err != nil {
		stopFirst()
		return nil, err
	}
	return &filter{name: "opendkim, then opendmarc", passes: "pass", sockets: []string{"unix:" + dkimSocket, "unix:" + dmarcSocket}, pids: []int{first, second},
		stop: func() { stopSecond(); stopFirst() }}, nil
}

// rspamdConfig leaves rspamd only what is compared: SPF, DKIM, ARC, DMARC and
// the Authentication-Results field. A worker for each core scans by itself.
const rspamdConfig = `lua = "DIR/rspamd.lua"
options {
  pidfile = "DIR/rspamd.pid"; filters = "dkim";
  dns { nameserver = ["SERVER:PORT:10"]; timeout = 2s; sockets = 16; retransmits = 3; }
  cache_file = "DIR/symbols.cache"; dynamic_conf = "DIR/dyn"; history_file = "DIR/hist"; stats_file = "DIR/stats.ucl"; rrd = "DIR/rspamd.rrd";
  control_socket = "DIR/control.sock mode=0600"; hs_cache_dir = "DIR/"; tempdir = "DIR";
  local_addrs = [127.0.0.0/8]; allow_raw_input = true; task_timeout = 8s;
}
logging { type = "file"; filename = "DIR/rspamd.log"; level = "warning"; }
worker "rspamd_proxy" { bind_socket = "SOCKET mode=0666"; milter = yes; timeout = 120s; count = WORKERS; max_retries = 5;
  quarantine_on_reject = false; discard_on_reject = false; upstream "local" { default = yes; self_scan = yes; } }
metric { name = "default"; actions { reject = 9999; add_header = 9998; greylist = 9997; } }
dkim { dkim_cache_size = 2k; dkim_cache_expire = 1d; trusted_only = false; skip_multi = false; }
spf { spf_cache_size = 2k; spf_cache_expire = 1d; }
dmarc { }
arc { sign_inbound = false; sign_local = false; sign_authenticated = false; }
milter_headers { use = ["authentication-results"]; authenticated_headers = []; skip_local = false;
  routines { authentication-results { header = "Authentication-Results"; add_smtp_user = false; } } }
modules { PLUGINS }
`

func rspamd(ctx context.Context, dir, resolver string, workers int) (*filter, error) {
	if _, err := exec.LookPath("rspamd"); err != nil {
		return nil, errMissing{"rspamd"}
	}
	dir = filepath.Join(dir, "rspamd")
	// What rspamd compiles at its first start stays for the next ones.
	if err := errors.Join(os.MkdirAll(dir, 0o777), os.Chmod(dir, 0o777)); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(resolver)
	if err != nil {
		return nil, err
	}
	var plugins strings.Builder
	for _, p := range []string{"spf", "dmarc", "arc", "milter_headers"} {
		fmt.Fprintf(&plugins, "path = \"/usr/share/rspamd/plugins/%s.lua\"; ", p)
	}
	socket := filepath.Join(dir, "milter.sock")
	text := strings.NewReplacer("DIR", dir, "SERVER", host, "PORT", port, "SOCKET", socket, "WORKERS", fmt.Sprint(workers), "PLUGINS", plugins.String()).Replace(rspamdConfig)
	conf := filepath.Join(dir, "rspamd.conf")
	err = errors.Join(os.WriteFile(conf, []byte(text), 0o644),
		os.WriteFile(filepath.Join(dir, "rspamd.lua"), []byte("require \"global_functions\" ()\nconfig['regexp'] = {}\nrspamd_maps = {}\n"), 0o644))
	if err != nil {
		return nil, err
	}
	pid, stop, err := started(ctx, socket, exec.CommandContext(ctx, "rspamd", "-f", "-u", "root", "-g", "root", "-i", "-c", conf))
	if err != nil {
		return nil, err
	}
	// It finds another body hash than everybody else in messages that were signed
	// with simple canonicalization, or are in ISO-2022-JP.
	return &filter{name: fmt.Sprintf("rspamd, %d workers, only these modules", workers), sockets: []string{"unix:" + socket}, pids: []int{pid}, stop: stop}, nil
}

// errMissing is a program that is not installed.
type errMissing struct{ program string }

func (e errMissing) Error() string {
	return fmt.Sprintf("%s is not installed (apt-get install %[1]s)", e.program)
}
