// Package handoff lets one process own a data folder and do the work of the
// others. The owner listens on a socket in the folder; a command that finds
// the folder owned sends its arguments there, and its output, errors and exit
// status come back as if it had run by itself.
//
// The socket is open to the user who owns the folder and to root. The job runs
// in the owner, with the owner's rights to files.
package handoff

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// SocketName is the socket's name in a data folder.
const SocketName = "socket"

// Job is a command line to run, and what it needs to know of its caller.
type Job struct {
	Args     []string `json:"args"`     // without the program's name
	Dir      string   `json:"dir"`      // the caller's working folder; relative paths start here
	Lang     string   `json:"lang"`     // "ja" or "en"
	Terminal bool     `json:"terminal"` // the caller's stderr is a terminal
	Width    int      `json:"width"`    // its columns; 0 is unknown
	User     string   `json:"user"`     // the caller's name, which is kept with what it changes
}

// Streams are a job's input and outputs.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Run does a job and returns its exit status. The context ends when the caller
// goes away.
type Run func(context.Context, Job, Streams) int

// ErrNoOwner says that nobody listens in the folder.
var ErrNoOwner = errors.New("no process listens in the data folder")

// Frames: one byte of kind, four bytes of length (big-endian), the payload.
const (
	frameIn     = 'i' // caller to owner: a piece of standard input; empty is its end
	frameBegun  = 'b' // owner to caller: the job begins; the first
	frameOut    = 'o'
	frameErr    = 'e'
	frameStatus = 's' // owner to caller: the exit status, last

	maxFrame = 64 << 10
	maxJob   = 4 << 20 // bytes of a job's JSON: a command line, at the most
)

// Listener is the owner's side.
type Listener struct {
	ln   net.Listener
	wg   sync.WaitGroup
	stop context.CancelFunc
}

// Listen opens the socket in dir, replacing one that a dead owner left: the
// caller must hold the folder's lock. Jobs run concurrently, each in a
// goroutine of its own.
func Listen(dir string, run Run) (*Listener, error) {
	path, done, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := os.Remove(filepath.Join(dir, SocketName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove a stale socket: %w", err)
	}
	old := syscall.Umask(0o077)
	ln, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen in %s: %w", dir, err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ctx, stop := context.WithCancel(context.Background())
	l := &Listener{ln: ln, stop: stop}
	l.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				if errors.Is(err, net.ErrClosed) {
					return
				}
				time.Sleep(50 * time.Millisecond) // out of descriptors: wait, do not spin
				continue
			}
			l.wg.Go(func() {
				defer c.Close()
				serveConn(ctx, c.(*net.UnixConn), run)
			})
		}
	})
	return l, nil
}

// Close stops accepting and waits for the jobs under way; when ctx ends first
// they are cancelled. The socket's file stays, for the next owner to replace:
// removing it here could remove a successor's.
func (l *Listener) Close(ctx context.Context) error {
	err := l.ln.Close()
	done := make(chan struct{})
	go func() { l.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		l.stop()
		<-done
	}
	l.stop()
	return err
}

func serveConn(ctx context.Context, c *net.UnixConn, run Run) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := checkPeer(c); err != nil {
		return
	}
	r := bufio.NewReaderSize(c, maxFrame)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxJob {
		return
	}
	buf := make([]byte, n)
	if _, err := io.ReadFull(r, buf); err != nil {
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	var job Job
	if err := json.Unmarshal(buf, &job); err != nil {
		return
	}
	if writeFrame(c, frameBegun, nil) != nil {
		return
	}
	in, inW := io.Pipe()
	go func() { // the caller's input; its hanging up cancels the job
		defer cancel()
		for {
			kind, b, err := readFrame(r)
			if err != nil {
				inW.CloseWithError(io.ErrUnexpectedEOF)
				return
			}
			if kind != frameIn {
				continue
			}
			if len(b) == 0 {
				inW.Close()
				continue
			}
			_, _ = inW.Write(b) // a job that does not read has closed the pipe
		}
	}()
	var mu sync.Mutex
	status := run(ctx, job, Streams{In: in, Out: &frameWriter{c, &mu, frameOut}, Err: &frameWriter{c, &mu, frameErr}})
	in.Close()
	mu.Lock()
	defer mu.Unlock()
	_ = writeFrame(c, frameStatus, []byte{byte(status)})
}

// Call hands a job to the owner of dir and returns its exit status. It returns
// ErrNoOwner when nobody listens, or the owner ended before it began the job;
// any other error means that the owner went away during the job. Standard input
// is not touched before the job begins.
func Call(ctx context.Context, dir string, job Job, s Streams) (int, error) {
	path, done, err := socketPath(dir)
	if err != nil {
		return 0, err
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	done()
	if err != nil {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if errors.Is(err, os.ErrPermission) {
			return 0, fmt.Errorf("the data folder %s belongs to another user: %w", dir, err)
		}
		return 0, fmt.Errorf("%w: %v", ErrNoOwner, err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	b, err := json.Marshal(job)
	if err != nil {
		return 0, err
	}
	if len(b) > maxJob {
		return 0, fmt.Errorf("the command line has %d bytes, more than %d", len(b), maxJob)
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(len(b)))
	if _, err := c.Write(append(head, b...)); err != nil {
		return 0, fmt.Errorf("%w: %v", ErrNoOwner, err)
	}
	feed := func() {
		buf := make([]byte, maxFrame)
		for {
			n, err := s.In.Read(buf)
			if n > 0 && writeFrame(c, frameIn, buf[:n]) != nil {
				return
			}
			if err != nil {
				_ = writeFrame(c, frameIn, nil)
				return
			}
		}
	}
	begun := false
	r := bufio.NewReaderSize(c, maxFrame)
	for {
		kind, b, err := readFrame(r)
		if err != nil {
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			if !begun {
				// It was closing when we came: the job lay in its queue.
				return 0, fmt.Errorf("%w: %v", ErrNoOwner, err)
			}
			return 0, fmt.Errorf("the process that owns %s went away during the work; run the command again", dir)
		}
		switch kind {
		case frameBegun:
			if !begun && s.In != nil {
				go feed()
			}
			begun = true
		case frameOut:
			_, err = s.Out.Write(b)
		case frameErr:
			_, err = s.Err.Write(b)
		case frameStatus:
			if len(b) != 1 {
				return 0, errors.New("the owner of the data folder answered without an exit status")
			}
			return int(b[0]), nil
		}
		if err != nil {
			return 0, err
		}
	}
}

type frameWriter struct {
	w    io.Writer
	mu   *sync.Mutex
	kind byte
}

func (f *frameWriter) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for rest := p; len(rest) > 0; {
		n := min(len(rest), maxFrame)
		if err := writeFrame(f.w, f.kind, rest[:n]); err != nil {
			return len(p) - len(rest), err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

func writeFrame(w io.Writer, kind byte, b []byte) error {
	f := make([]byte, 5, 5+len(b))
	f[0] = kind
	binary.BigEndian.PutUint32(f[1:], uint32(len(b)))
	_, err := w.Write(append(f, b...))
	return err
}

func readFrame(r *bufio.Reader) (kind byte, b []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes, more than %d", n, maxFrame)
	}
	b = make([]byte, n)
	_, err = io.ReadFull(r, b)
	return head[0], b, err
}

// socketPath names the socket. A path over the system's 107 bytes is reached
// through a descriptor of its folder, which done closes.
func socketPath(dir string) (path string, done func(), err error) {
	path = filepath.Join(dir, SocketName)
	if len(path) < 100 {
		return path, func() {}, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), SocketName), func() { f.Close() }, nil
}

// checkPeer refuses other users than the owner's own and root, should the
// folder's permissions ever be opened.
func checkPeer(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *syscall.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if credErr != nil {
		return credErr
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Getuid() {
		return fmt.Errorf("user %d may not use this data folder", cred.Uid)
	}
	return nil
}
