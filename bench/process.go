package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what a process took.
type usage struct {
	wall, cpu float64 // seconds; cpu is user and system of the process and its children
	peak      float64 // MiB, the most resident memory of the process itself
	out       []byte  // standard output, at most 1 MiB of it
}

// timed runs a command to its end. Exit statuses in ok count as success
// besides 0. Standard output is kept in part, unless cmd.Stdout takes it.
func timed(ctx context.Context, cmd *exec.Cmd, ok ...int) (usage, error) {
	out, errs := &head{most: 1 << 20}, &head{most: 4 << 10}
	if cmd.Stderr = errs; cmd.Stdout == nil {
		cmd.Stdout = out
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return usage{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	peak := watchPeak(cmd.Process.Pid)
	err := cmd.Wait()
	u := usage{wall: time.Since(began).Seconds(), peak: peak(), out: out.kept.Bytes()}
	if s := cmd.ProcessState; s != nil {
		u.cpu = (s.UserTime() + s.SystemTime()).Seconds()
		for _, code := range ok {
			if s.ExitCode() == code {
				err = nil
			}
		}
	}
	if err != nil {
		return u, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(errs.String()))
	}
	return u, nil
}

// watchPeak follows VmHWM of a process, 50 times a second, and returns a
// function that ends the watch and says the highest. rusage's ru_maxrss will
// not do: it begins with the memory of the process that started the other.
func watchPeak(pid int) func() float64 {
	done, peak := make(chan struct{}), make(chan float64)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		most := 0.0
		for {
			most = max(most, memoryOf(pid, "VmHWM:"))
			select {
			case <-done:
				peak <- most
				return
			case <-tick.C:
			}
		}
	}()
	return func() float64 { close(done); return <-peak }
}

// memoryOf reads a line of /proc/PID/status, in MiB; 0 where there is none.
func memoryOf(pid int, field string) float64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if v, ok := strings.CutPrefix(line, field); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// head keeps the beginning of what is written to it. (It does not embed its
// buffer: that would take everything in by ReadFrom.)
type head struct {
	kept bytes.Buffer
	most int
}

func (h *head) Write(p []byte) (int, error) {
	if room := h.most - h.kept.Len(); room > 0 {
		h.kept.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (h *head) String() string { return h.kept.String() }

// terminate asks a process that this program started to end, and waits.
func terminate(cmd *exec.Cmd, patience time.Duration) error {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		<-done
		return fmt.Errorf("did not end within %s", patience)
	}
}
