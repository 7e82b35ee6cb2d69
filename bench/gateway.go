//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sekimori/internal/nameserver"
	"sekimori/message"
	"sekimori/milter"
)

const (
	gatewaySessions = 16          // at once, as many as a Postfix of some size has
	gatewayRate     = 1000        // messages a second of the measure of latency
	gatewayOpen     = 1000        // sessions held open for the measure of memory
	gatewayServer   = "127.0.0.2" // a name server at port 53 of its own, for programs that know no other port
)

// gateway measures a milter's work beside that of others: the same messages,
// the same client over unix sockets, a new connection for each message, NSD and
// Unbound (cache warm) on the same cores. Each round runs all in turn.
func (b *bench) gateway(ctx context.Context) error {
	w, err := b.openPost(ctx)
	if errors.Is(err, nameserver.ErrMissing) {
		b.skip("%v", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer w.Close()
	starts := []func() (*filter, error){
		func() (*filter, error) { return b.ours(ctx, w) },
		func() (*filter, error) { return openDKIMThenDMARC(ctx, w.dir, w.resolvConf, gatewayServer) },
		func() (*filter, error) { return rspamd(ctx, w.dir, w.Resolver, runtime.NumCPU()) },
	}
	missing := map[int]bool{}
	rates, cpus := map[string][]float64{}, map[string][]float64{}
	const part = "gateway, unix sockets, 16 sessions"
	var names []string
	for range b.rounds {
		for i, start := range starts {
			if missing[i] {
				continue
			}
			f, err := start()
			if e := (errMissing{}); errors.As(err, &e) {
				b.skip("%v", err)
				missing[i] = true
				continue
			}
			if err != nil {
				return err
			}
			for _, of := range []struct {
				size string
				mail []posted
				n    int
			}{{"10 KB", w.small, 4000}, {"100 KB", w.large, 1000}} {
				_, err := w.drive(ctx, f, of.mail, min(of.n, 400), 0) // warm
				var r driven
				if err == nil {
					r, err = w.drive(ctx, f, of.mail, of.n, 0)
				}
				if err != nil {
					f.stop()
					return fmt.Errorf("%s: %w", f.name, err)
				}
				name := f.name + ", " + of.size
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
				rates[name] = append(rates[name], float64(of.n)/r.wall)
				cpus[name] = append(cpus[name], r.cpu*1000/float64(of.n))
			}
			f.stop()
		}
	}
	speed, cost := map[string]float64{}, map[string]float64{}
	for _, name := range names {
		speed[name] = b.add(part, name, "messages/s", rates[name], "")
		cost[name] = b.add(part, "  CPU a message", "ms", cpus[name], "")
	}
	for _, peer := range []struct {
		starts string
		want   float64
	}{{"opendkim", 5}, {"rspamd", 4}} {
		for _, name := range names {
			if strings.HasPrefix(name, peer.starts) && strings.HasSuffix(name, ", 10 KB") {
				b.atLeast("by "+name, speed["sekimori gateway, 10 KB"]/speed[name], peer.want, "times")
			}
		}
	}
	b.atMost("CPU of a message of 10 KB", cost["sekimori gateway, 10 KB"], 0.20, "ms")
	b.atMost("CPU of a message of 100 KB", cost["sekimori gateway, 100 KB"], 0.6, "ms")
	return b.calm(ctx, w)
}

// calm measures what does not depend on others: latency at a steady rate, and
// memory with many sessions in the middle of a message.
func (b *bench) calm(ctx context.Context, w *post) error {
	const part = "gateway, alone"
	var p99s []float64
	for range b.rounds {
		f, err := b.ours(ctx, w)
		if err != nil {
			return err
		}
		_, err = w.drive(ctx, f, w.small, 400, 0)
		var r driven
		if err == nil {
			r, err = w.drive(ctx, f, w.small, 20*gatewayRate, gatewayRate)
		}
		f.stop()
		if err != nil {
			return err
		}
		p99s = append(p99s, r.p99*1000)
	}
	b.atMost("p99 at 1,000 messages/s", b.add(part, fmt.Sprintf("p99 of the whole session, %d messages/s of 10 KB", gatewayRate), "ms", p99s, "from when each was due"), 10, "ms")
	f, err := b.ours(ctx, w)
	if err != nil {
		return err
	}
	defer f.stop()
	peak, err := w.crowd(ctx, f)
	if err != nil {
		return err
	}
	b.atMost("memory of 1,000 sessions", b.add(part, fmt.Sprintf("peak memory, %d sessions in the middle of a message", gatewayOpen), "MiB", []float64{peak}, ""), 150, "MiB")
	return nil
}

// ours starts the gateway as an operator would, verdicts kept.
func (b *bench) ours(ctx context.Context, w *post) (*filter, error) {
	dir, err := b.data("gateway")
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(w.dir, "sekimori.sock")
	program, err := filepath.Abs(b.program)
	if err != nil {
		return nil, err
	}
	pid, stop, err := started(ctx, socket, exec.CommandContext(ctx, program, "gateway", "--listen", "unix:"+socket, "--resolver", w.Resolver, "--data", dir))
	if err != nil {
		return nil, err
	}
	return &filter{name: "sekimori gateway", passes: "pass", sockets: []string{"unix:" + socket}, pids: []int{pid}, stop: stop}, nil
}

// posted is a message as an MTA gives it to a milter.
type posted struct {
	milter.Message
	body []byte
	spf  string // what SPF must come to
}

// post is the mail, and the DNS behind it.
type post struct {
	*nameserver.Servers
	dir, resolvConf string
	small, large    []posted
}

func (b *bench) openPost(ctx context.Context) (*post, error) {
	mail, err := b.mailFolder()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(b.path("gateway"))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return nil, err
	}
	w := &post{dir: dir, resolvConf: filepath.Join(dir, "resolv.conf")}
	for _, of := range []struct {
		file string
		n    int
		into *[]posted
	}{{"5000.mbox", 2000, &w.small}, {"large.mbox", 200, &w.large}} {
		ls, err := letters(filepath.Join(mail, of.file), of.n)
		if err != nil {
			return nil, err
		}
		for _, l := range ls {
			p, err := l.posted()
			if err != nil {
				return nil, err
			}
			*of.into = append(*of.into, p)
		}
	}
	text, err := os.ReadFile(filepath.Join(mail, "zone"))
	if err != nil {
		return nil, err
	}
	zone := filepath.Join(dir, "zone")
	head := "$ORIGIN example.\n$TTL 86400\n@ SOA ns root 1 3600 600 86400 3600\n@ NS ns\nns A 127.0.0.1\n"
	err = errors.Join(os.WriteFile(zone, append([]byte(head), text...), 0o644),
		os.WriteFile(w.resolvConf, []byte("nameserver "+gatewayServer+"\noptions timeout:2 attempts:2\n"), 0o644))
	if err != nil {
		return nil, err
	}
	w.Servers, err = nameserver.Start(nameserver.Options{Dir: dir, Zones: map[string]string{"example.": zone}, Also: gatewayServer + ":53", Patience: time.Minute})
	return w, err
}

// posted takes off what the receiving host wrote, and gives header fields as
// Postfix does.
func (l letter) posted() (posted, error) {
	at := bytes.Index(l.text, []byte("DKIM-Signature:"))
	if at < 0 {
		return posted{}, errors.New("a message without signature")
	}
	var body bytes.Buffer
	h, r, err := message.Read(bytes.NewReader(l.text[at:]), 0)
	if err == nil {
		_, err = body.ReadFrom(r)
	}
	if err != nil {
		return posted{}, err
	}
	ip, err := netip.ParseAddr(l.ip)
	if err != nil {
		return posted{}, err
	}
	p := posted{spf: l.spf, body: body.Bytes(), Message: milter.Message{Client: netip.AddrPortFrom(ip, 34567), Host: l.helo, Helo: l.helo, From: l.from, Rcpt: []string{"user@receiver.example"},
		Macros: map[milter.Kind]map[string]string{milter.Connect: {"j": "mx.receiver.example", "{daemon_name}": "mx.receiver.example", "v": "Postfix 3.7.11"}, milter.Mail: {"i": "4TABCDEF"}, milter.EndOfMessage: {"i": "4TABCDEF"}}}}
	for _, f := range h {
		p.Header = append(p.Header, milter.Field{Name: f.Name(), Value: strings.ReplaceAll(strings.TrimSuffix(f.RawValue(), "\r\n"), "\r\n", "\n")})
	}
	return p, nil
}

// driven is what a run came to: seconds.
type driven struct{ wall, cpu, p50, p99 float64 }

// drive sends n messages through a filter, gatewaySessions at once, or at a
// rate of so many a second whatever the answers (open loop: the time of a
// message counts from when it was due). A verdict that is not as it must be is
// an error.
func (w *post) drive(ctx context.Context, f *filter, mail []posted, n, rate int) (driven, error) {
	planned := time.Duration(0)
	if rate > 0 {
		planned = time.Duration(n) * time.Second / time.Duration(rate)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*planned+5*time.Minute)
	defer cancel()
	sessions := gatewaySessions
	if rate > 0 {
		sessions = 256 // so that a slow answer does not keep the next ones waiting
	}
	took := make([]float64, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	before := cpuOf(f.pids)
	began := time.Now()
	for range sessions {
		wg.Go(func() {
			for failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				due := time.Now()
				if rate > 0 {
					due = began.Add(time.Duration(i) * time.Second / time.Duration(rate))
					time.Sleep(time.Until(due))
				}
				if err := f.send(ctx, &mail[i%len(mail)]); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				took[i] = time.Since(due).Seconds()
			}
		})
	}
	wg.Wait()
	r := driven{wall: time.Since(began).Seconds(), cpu: cpuOf(f.pids) - before}
	if err := failed.Load(); err != nil {
		return r, *err
	}
	r.p50, r.p99 = percentile(took, 50), percentile(took, 99)
	return r, nil
}

// send gives a message to each milter of the filter in turn, as an MTA does,
// and looks at the fields that come back.
func (f *filter) send(ctx context.Context, p *posted) error {
	m := p.Message
	var said strings.Builder
	for _, socket := range f.sockets {
		m.Body = bytes.NewReader(p.body)
		c, err := milter.Dial(ctx, socket, milter.ClientOptions{})
		if err != nil {
			return err
		}
		out, err := c.Send(ctx, &m)
		c.Close()
		if err != nil {
			return err
		}
		for _, change := range out.Changes {
			said.WriteString(change.Value)
		}
		if len(f.sockets) > 1 {
			m = milter.Apply(m, out)
		}
	}
	for _, want := range []string{"dkim=" + f.passes, "spf=" + p.spf, "dmarc=" + f.passes} {
		if !strings.Contains(said.String(), want) {
			return fmt.Errorf("%s is missing in %q", want, said.String())
		}
	}
	return nil
}

// cpuOf adds up the CPU seconds of processes and all that they started.
func cpuOf(pids []int) (seconds float64) {
	for pid := range descendants(pids) {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		for _, i := range []int{11, 12} { // utime and stime, in hundredths of a second
			ticks, _ := strconv.ParseFloat(fields[i], 64)
			seconds += ticks / 100
		}
	}
	return seconds
}

// descendants returns the processes and all below them.
func descendants(pids []int) map[int]bool {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], pid)
	}
	out := map[int]bool{}
	for todo := slices.Clone(pids); len(todo) > 0; {
		pid := todo[0]
		todo = append(todo[1:], children[pid]...)
		out[pid] = true
	}
	return out
}

// crowd holds many sessions open, each in the middle of its body, lets all of
// them end, and returns the filter's peak memory in MiB.
func (w *post) crowd(ctx context.Context, f *filter) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	var waiting atomic.Int64
	var failed atomic.Pointer[error]
	release := make(chan struct{})
	for i := range gatewayOpen {
		wg.Go(func() {
			p := &w.small[i%len(w.small)]
			m := p.Message
			half := len(p.body) / 2
			m.Body = io.MultiReader(bytes.NewReader(p.body[:half]), readerFunc(func() {
				waiting.Add(1)
				select {
				case <-release:
				case <-ctx.Done():
				}
			}), bytes.NewReader(p.body[half:]))
			c, err := milter.Dial(ctx, f.sockets[0], milter.ClientOptions{Timeout: 2 * time.Minute})
			if err == nil {
				_, err = c.Send(ctx, &m)
				c.Close()
			}
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		})
	}
	for waiting.Load() < gatewayOpen && failed.Load() == nil && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(time.Second)
	close(release)
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return memoryOf(f.pids[0], "VmHWM:"), ctx.Err()
}

// readerFunc is read once, as empty, after it was called.
type readerFunc func()

func (f readerFunc) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}
