package milter

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// SocketOptions are for sockets of the machine (unix).
type SocketOptions struct {
	Mode  fs.FileMode // zero: as the umask leaves it
	Owner string      // a user's name or number; "": as it is
	Group string      // a group's name or number; "": as it is
}

// ParseAddress reads where a filter listens, as this program, Postfix or
// Sendmail write it, and returns network and address as package net has them:
//
//	unix:/path  local:/path  /path
//	tcp:host:port  inet:host:port  inet:port@host  inet6:port@host  inet:port
//
// Without a host all of the machine's addresses are meant.
func ParseAddress(s string) (network, address string, err error) {
	kind, rest, ok := strings.Cut(s, ":")
	if strings.HasPrefix(s, "/") {
		kind, rest, ok = "unix", s, true
	}
	if !ok || rest == "" {
		return "", "", fmt.Errorf("address %q: want unix:/path or tcp:host:port", s)
	}
	switch kind {
	case "unix", "local":
		return "unix", rest, nil
	case "tcp", "inet":
		network = "tcp"
	case "tcp4":
		network = "tcp4"
	case "tcp6", "inet6":
		network = "tcp6"
	default:
		return "", "", fmt.Errorf("address %q: %q is no kind of socket: want unix:/path or tcp:host:port", s, kind)
	}
	var host, port string
	if p, h, ok := strings.Cut(rest, "@"); ok { // Sendmail
		port, host = p, strings.Trim(h, "[]")
	} else if !strings.Contains(rest, ":") && strings.HasPrefix(kind, "inet") {
		port = rest
	} else if host, port, err = net.SplitHostPort(rest); err != nil {
		return "", "", fmt.Errorf("address %q: want tcp:host:port, an IPv6 address in brackets", s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n > 65535 {
		return "", "", fmt.Errorf("address %q: port %q: want a number up to 65535", s, port)
	}
	return network, net.JoinHostPort(host, port), nil
}

// maxSocketPath is what an address of a socket holds (sun_path, with its NUL).
const maxSocketPath = 107

// Listen opens an address that ParseAddress reads. A socket that a process
// left behind, on which nobody answers, is replaced in one step: there is
// always either the old one or a new one with its final owner and mode. One
// that is in use is an error, and so is a file that is no socket. Closing the
// listener removes its socket, unless another one is in its place by then.
func Listen(address string, o SocketOptions) (net.Listener, error) {
	network, addr, err := ParseAddress(address)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		return listenUnix(addr, o)
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	return ln, nil
}

func listenUnix(path string, o SocketOptions) (net.Listener, error) {
	uid, gid, err := o.ids()
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	if err := vacant(path); err != nil {
		return nil, err
	}
	// Made under another name first, so that nobody meets it half done.
	temp := filepath.Join(filepath.Dir(path), ".m"+strconv.FormatInt(int64(os.Getpid()), 36)+strconv.FormatInt(time.Now().UnixNano()&0xffff, 36))
	if len(path) > maxSocketPath || len(temp) > maxSocketPath {
		return nil, fmt.Errorf("socket %s: the path is too long: a socket's has at most %d octets", path, maxSocketPath)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("socket %s: the folder %s does not exist", path, filepath.Dir(path))
		}
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	ln.SetUnlinkOnClose(false)
	give := func() error {
		if uid >= 0 || gid >= 0 {
			if err := os.Chown(temp, uid, gid); err != nil {
				return err
			}
		}
		if o.Mode != 0 {
			if err := os.Chmod(temp, o.Mode.Perm()); err != nil {
				return err
			}
		}
		return os.Rename(temp, path)
	}
	if err := give(); err != nil {
		ln.Close()
		os.Remove(temp)
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	own, err := os.Lstat(path)
	if err != nil {
		ln.Close()
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return &socket{UnixListener: ln, path: path, own: own}, nil
}

// vacant reports whether path may be taken: nothing is there, or a socket on
// which nobody answers.
func vacant(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("socket %s: %w", path, err)
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("socket %s: there is something else of that name; remove it, or choose another", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
	}
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("socket %s: in use by another process", path)
}

// ids finds the numbers of owner and group; -1 leaves them.
func (o SocketOptions) ids() (uid, gid int, err error) {
	uid, gid = -1, -1
	if o.Owner != "" {
		if uid, err = strconv.Atoi(o.Owner); err != nil {
			u, err := user.Lookup(o.Owner)
			if err != nil {
				return 0, 0, fmt.Errorf("no user %q", o.Owner)
			}
			uid, _ = strconv.Atoi(u.Uid)
		}
	}
	if o.Group != "" {
		if gid, err = strconv.Atoi(o.Group); err != nil {
			g, err := user.LookupGroup(o.Group)
			if err != nil {
				return 0, 0, fmt.Errorf("no group %q", o.Group)
			}
			gid, _ = strconv.Atoi(g.Gid)
		}
	}
	return uid, gid, nil
}

// socket is a listener that goes with its path.
type socket struct {
	*net.UnixListener
	path string
	own  fs.FileInfo
	once sync.Once
}

func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

func (s *socket) Close() error {
	s.once.Do(func() {
		if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.own) {
			os.Remove(s.path)
		}
	})
	return s.UnixListener.Close()
}
