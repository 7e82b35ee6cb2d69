//go:build unix

package arrival

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sekimori/internal/mailserver"
)

// TestHostilePeer has others speak to the gateway's socket while mail flows:
// garbage, lengths that lie, steps in the wrong order, messages that never
// end. Mail is judged as ever, and the memory stays small.
func TestHostilePeer(t *testing.T) {
	w := here(t)
	g := w.gates["hostile"]
	if err := g.configure("  mode: enforce\n  on_reject: refuse\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.start(); err != nil {
		t.Fatal(err)
	}
	defer g.kill()
	pid := g.cmd.Process.Pid
	var done atomic.Bool
	var attacks atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		random := rand.New(rand.NewPCG(uint64(i), 7))
		wg.Go(func() {
			for !done.Load() {
				g.attack(random)
				attacks.Add(1)
			}
		})
	}
	for i := range 40 {
		good := compose(fmt.Sprintf("hostile-good-%d", i), atBank).from(bankMail, atBank)
		if got, text := w.bring(t, "hostile", good); got != delivered {
			t.Errorf("%s: %s", got, text)
		} else if field, err := said([]byte(text)); err != nil || field != "spf=pass bank.example; dkim=none; "+bankAR {
			t.Errorf("%s, %v", field, err)
		}
		if got, text := w.bring(t, "hostile", compose(fmt.Sprintf("hostile-bad-%d", i), atBank).from(mallory, forged)); got != refused {
			t.Errorf("%s: %s", got, text)
		}
	}
	done.Store(true)
	wg.Wait()
	t.Logf("%d attacks, %d MB at most", attacks.Load(), g.resident())
	if g.resident() > 150 {
		t.Errorf("%d MB in memory", g.resident())
	}
	if err := syscall.Kill(pid, 0); err != nil || g.cmd.Process.Pid != pid {
		t.Error("the gateway did not live through it")
	}
	if strings.Contains(g.log(), "panic") || strings.Contains(g.log(), "goroutine ") {
		t.Error(g.log())
	}
	g.awaitCount(t, "bank.example", 80, 5*time.Second)
}

// frame is a milter command.
func frame(command byte, payload ...string) []byte {
	body := strings.Join(payload, "")
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+1)), command), body...)
}

// attack opens a session and does one thing that no MTA does.
func (g *gate) attack(random *rand.Rand) {
	c, err := net.DialTimeout("unix", g.socket, time.Second)
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(300 * time.Millisecond))
	go func() { _, _ = io.Copy(io.Discard, c) }()
	hello := frame('O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff")
	connect := frame('C', "[192.0.2.10]\x004\x00\x19192.0.2.10\x00")
	mail := frame('M', "<"+atBank+">\x00")
	var said []byte
	switch random.IntN(10) {
	case 0: // noise
		said = make([]byte, 1+random.IntN(4096))
		for i := range said {
			said[i] = byte(random.Uint32())
		}
	case 1: // a frame of four gigabytes
		said = append(hello, 0xff, 0xff, 0xff, 0xff, 'B', 'x')
	case 2: // of nothing
		said = append(hello, 0, 0, 0, 0)
	case 3: // an end without a beginning
		said = append(append(hello, frame('E')...), frame('E')...)
	case 4: // a header without end
		said = append(append(append(hello, connect...), mail...), bytes.Repeat(frame('L', "X-Field\x00", strings.Repeat("v", 1000), "\x00"), 3000)...)
	case 5: // strings without end
		said = append(hello, frame('M', strings.Repeat("<", 60_000))...)
		said = append(said, frame('L', "no value")...)
		said = append(said, frame('D', "Mj\x00")...)
	case 6: // recipients without number
		said = append(append(append(hello, connect...), mail...), bytes.Repeat(frame('R', "<"+strings.Repeat("r", 300)+"@x.example>\x00"), 10_000)...)
	case 7: // macros without number
		said = hello
		for i := range 3000 {
			said = append(said, frame('D', "M", fmt.Sprintf("{m%d}\x00%s\x00", i, strings.Repeat("v", 300)))...)
		}
	case 8: // negotiated twice, in an old version, with nothing allowed
		said = append(append(frame('O', "\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00"), hello...), hello...)
	case 9: // broken off anywhere
		whole := bytes.Join([][]byte{hello, connect, frame('H', "x\x00"), mail, frame('R', "<a@b>\x00"), frame('T'), frame('L', "From\x00 "+atBank+"\x00"), frame('N'), frame('B', "body"), frame('E')}, nil)
		whole = whole[:random.IntN(len(whole)-5)] // never to the end: that would be a message
		if len(whole) > 20 && random.IntN(2) == 0 {
			whole[17+random.IntN(len(whole)-17)] ^= 1 << random.IntN(8)
		}
		said = whole
	}
	_, _ = c.Write(said)
	time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
}

// TestReload changes the configuration while a session is open; a
// configuration with a mistake changes nothing.
func TestReload(t *testing.T) {
	w := here(t)
	g := w.gates["reloaded"]
	if err := g.configure("  mode: monitor\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.start(); err != nil {
		t.Fatal(err)
	}
	defer g.kill()
	c, err := mailserver.Dial(w.postfix.Address("reloaded"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l := compose("reloaded", atBank).from(mallory, forged)
	if err := c.Introduce(l); err != nil {
		t.Fatal(err)
	}
	send := func(want fate) {
		t.Helper()
		var got fate
		var text string
		for until := time.Now().Add(3 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			r, err := c.Mail(l)
			if err != nil {
				t.Fatal(err)
			}
			if got, text = w.fateOf(t, "reloaded", r); got == want || time.Now().After(until) {
				break
			}
		}
		if got != want {
			t.Errorf("%s, want %s: %s: %s", got, want, text, g.log())
		}
	}
	change := func(config string) {
		t.Helper()
		if err := g.configure(config); err != nil {
			t.Fatal(err)
		}
		if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	send(delivered)
	change("  mode: enforce\n")
	send(held)
	change("  mode: enforce\n  on_reject: refuse\n")
	send(refused)
	change("  mode: surrender\n")
	time.Sleep(200 * time.Millisecond)
	send(refused)
	if log := g.log(); !strings.Contains(log, "surrender") {
		t.Errorf("the log does not tell of the mistake: %s", log)
	}
	for path, want := range map[string]string{"/healthz": "", "/readyz": "", "/metrics": `sekimori_gateway_messages_total{`} {
		r, err := http.Get("http://" + g.http + path)
		if err != nil {
			t.Error(err)
			continue
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s %s", path, r.Status, body)
		}
	}
}

// TestSocket has a socket that a dead gateway left replaced, and one that
// lives left alone.
func TestSocket(t *testing.T) {
	w := here(t)
	g := w.gates["socket"]
	if err := g.configure(""); err != nil {
		t.Fatal(err)
	}
	if _, err := g.start(); err != nil {
		t.Fatal(err)
	}
	g.kill()
	if _, err := os.Stat(g.socket); err != nil {
		t.Fatal("nothing was left behind")
	}
	if _, err := g.start(); err != nil {
		t.Fatal(err)
	}
	defer g.kill()
	info, err := os.Stat(g.socket)
	if err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	second := w.newGate("second")
	if err := second.configure(""); err != nil {
		t.Fatal(err)
	}
	second.socket = g.socket
	if err := second.begin(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-second.ended:
		if second.cmd.ProcessState.ExitCode() != 2 && second.cmd.ProcessState.ExitCode() != 3 {
			t.Errorf("ended with %s: %s", second.cmd.ProcessState, second.log())
		}
	case <-time.After(5 * time.Second):
		t.Error("a second gateway took the socket of one that lives")
	}
	second.kill()
	// Nor may two write the same verdicts.
	third := w.newGate("third")
	if err := third.configure(""); err != nil {
		t.Fatal(err)
	}
	third.extra = []string{"--data", g.data()}
	if err := third.begin(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-third.ended:
	case <-time.After(5 * time.Second):
		t.Error("a second gateway took the data folder of one that lives")
	}
	third.kill()
	if got, text := w.bring(t, "socket", compose("socket", atBank).from(bankMail, atBank)); got != delivered {
		t.Errorf("%s: %s", got, text)
	}
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(g.dir, "milter.sock")); err == nil {
		t.Error("the socket is still there")
	}
}
