//go:build unix

package arrival

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sekimori/internal/mailserver"
)

// TestMTAGone kills the mail server's processes while messages flow. The
// gateway serves the others, forgets nobody's session, and counts what was
// accepted: a message that its sender brought again, since the answer was
// lost, counts once for each time that it was delivered, or once. One that died
// with the cleanup process which had already read the answer counts too: its
// smtpd goes on with the session as if nothing had been, and nobody can tell.
func TestMTAGone(t *testing.T) {
	t.Parallel()
	w := here(t)
	g := w.gates["gone"]
	if err := g.configure("  mode: enforce\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.start(); err != nil {
		t.Fatal(err)
	}
	defer g.kill()
	s, err := mailserver.Start(mailserver.Options{Hostname: receiver, Domains: []string{"receiver.example"}, Milters: []string{g.milter()},
		Set: map[string]string{"service_throttle_time": "1s"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	var done atomic.Bool
	var accepted, lost atomic.Int64
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for i := 0; !done.Load(); i++ {
				l := compose(fmt.Sprintf("gone-%d-%d", n, i), atBank).from(bankMail, atBank)
				for {
					r, err := s.Send(mailserver.Main, l)
					if err == nil && r.Code == 250 {
						accepted.Add(1)
						break
					}
					if err == nil && r.Code/100 == 5 {
						t.Errorf("refused: %s", r)
						break
					}
					lost.Add(1)
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	killed, cleanups := 0, int64(0)
	for range 8 {
		time.Sleep(time.Duration(20+rand.IntN(60)) * time.Millisecond)
		for _, name := range []string{"smtpd", "cleanup"} {
			for _, pid := range processes(filepath.Join(s.Dir, "queue"), name) {
				if rand.IntN(2) == 1 {
					continue
				}
				_ = syscall.Kill(pid, syscall.SIGKILL)
				killed++
				if name == "cleanup" {
					cleanups++
				}
			}
		}
	}
	done.Store(true)
	wg.Wait()
	if killed == 0 {
		t.Fatal("no process of Postfix was found")
	}
	var inbox map[string][]byte
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		waiting, err := s.Waiting()
		if err != nil {
			t.Fatal(err)
		}
		if inbox, err = s.Delivered(); err != nil {
			t.Fatal(err)
		}
		if len(waiting) == 0 || time.Now().After(until) {
			break
		}
	}
	t.Logf("%d processes killed, %d of them cleanups, %d messages accepted, %d tries lost, %d delivered", killed, cleanups, accepted.Load(), lost.Load(), len(inbox))
	for until := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if strings.Contains(g.metrics(t), "\nsekimori_gateway_sessions 0\n") {
			break
		}
		s.Halt()
		if time.Now().After(until) {
			t.Errorf("sessions are left: %s", g.metrics(t))
			break
		}
	}
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	if _, err := g.start(); err != nil { // what is unsure is settled
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	have := g.counted(t, true)["bank.example"]
	if have < accepted.Load() || have > max(accepted.Load(), int64(len(inbox)))+cleanups {
		t.Errorf("%d are counted; %d were accepted and %d delivered, %d may have died in a cleanup", have, accepted.Load(), len(inbox), cleanups)
	}
}

// processes are those of the name whose working folder is dir.
func processes(dir, name string) []int {
	var pids []int
	all, _ := os.ReadDir("/proc")
	for _, e := range all {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if cwd, err := os.Readlink(filepath.Join("/proc", e.Name(), "cwd")); err != nil || cwd != dir {
			continue
		}
		comm, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "comm"))
		if strings.TrimSpace(string(comm)) == name {
			pids = append(pids, pid)
		}
	}
	return pids
}
