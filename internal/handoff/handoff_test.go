package handoff

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func listen(t *testing.T, dir string, run Run) *Listener {
	t.Helper()
	l, err := Listen(dir, run)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		l.Close(ctx)
	})
	return l
}

func TestCall(t *testing.T) {
	dir := t.TempDir()
	listen(t, dir, func(ctx context.Context, j Job, s Streams) int {
		in, err := io.ReadAll(s.In)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(s.Out, "%v %s %s", j.Args, j.Dir, strings.Repeat("x", 200_000))
		fmt.Fprintf(s.Err, "%d bytes", len(in))
		return 3
	})
	var out, errOut bytes.Buffer
	status, err := Call(t.Context(), dir, Job{Args: []string{"import", "-"}, Dir: "/srv"},
		Streams{In: strings.NewReader(strings.Repeat("y", 300_000)), Out: &out, Err: &errOut})
	if err != nil || status != 3 {
		t.Fatalf("status %d, %v; want 3", status, err)
	}
	if want := "[import -] /srv " + strings.Repeat("x", 200_000); out.String() != want {
		t.Errorf("out has %d bytes, want %d", out.Len(), len(want))
	}
	if errOut.String() != "300000 bytes" {
		t.Errorf("err = %q", errOut.String())
	}
}

func TestNoOwner(t *testing.T) {
	dir := t.TempDir()
	if _, err := Call(t.Context(), dir, Job{}, Streams{}); !errors.Is(err, ErrNoOwner) {
		t.Errorf("empty folder: %v, want ErrNoOwner", err)
	}
	l := listen(t, dir, func(context.Context, Job, Streams) int { return 0 })
	l.Close(t.Context())
	if _, err := Call(t.Context(), dir, Job{}, Streams{}); !errors.Is(err, ErrNoOwner) {
		t.Errorf("dead socket: %v, want ErrNoOwner", err)
	}
	// the next owner replaces the dead socket
	listen(t, dir, func(context.Context, Job, Streams) int { return 7 })
	if status, err := Call(t.Context(), dir, Job{}, Streams{}); status != 7 || err != nil {
		t.Errorf("second owner: %d, %v", status, err)
	}
}

func TestCallerGoesAway(t *testing.T) {
	dir := t.TempDir()
	started, ended := make(chan bool), make(chan bool)
	listen(t, dir, func(ctx context.Context, j Job, s Streams) int {
		close(started)
		<-ctx.Done()
		close(ended)
		return 0
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	if _, err := Call(ctx, dir, Job{}, Streams{Out: io.Discard, Err: io.Discard}); !errors.Is(err, context.Canceled) {
		t.Errorf("call: %v, want cancelled", err)
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the job was not told that its caller went away")
	}
}

func TestCloseWaitsForJobs(t *testing.T) {
	dir := t.TempDir()
	started, release := make(chan bool), make(chan bool)
	l, err := Listen(dir, func(ctx context.Context, j Job, s Streams) int {
		close(started)
		<-release
		return 5
	})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan int)
	go func() {
		status, err := Call(context.Background(), dir, Job{}, Streams{})
		if err != nil {
			t.Error(err)
		}
		got <- status
	}()
	<-started
	go func() { time.Sleep(20 * time.Millisecond); close(release) }()
	if err := l.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if s := <-got; s != 5 {
		t.Errorf("status %d, want 5", s)
	}
}

func TestLongFolderAndPermissions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("深", 40), strings.Repeat("d", 60))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	listen(t, dir, func(context.Context, Job, Streams) int { return 4 })
	if status, err := Call(t.Context(), dir, Job{}, Streams{}); status != 4 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	info, err := os.Stat(filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the socket is open to others: %v", info.Mode())
	}
}

// TestOwnerEnds has an owner that ends while the job lies in its queue.
func TestOwnerEnds(t *testing.T) {
	dir := t.TempDir()
	ln, err := net.Listen("unix", filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { ln.Close() })
	in := strings.NewReader("for another owner")
	if _, err := Call(t.Context(), dir, Job{Args: []string{"import", "-"}}, Streams{In: in}); !errors.Is(err, ErrNoOwner) {
		t.Errorf("%v, want ErrNoOwner", err)
	}
	if in.Len() != len("for another owner") {
		t.Error("standard input was read for a job that never began")
	}
}
