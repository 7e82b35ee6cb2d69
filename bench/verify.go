package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"sekimori/dns"
	"sekimori/internal/check"
	"sekimori/internal/resolve"
	"sekimori/message"
)

// verify measures what a message costs: SPF, DKIM, DMARC and the
// Authentication-Results field, on one core, with the DNS's answers in a
// cache. Beside it runs the same work done with go-msgauth and blitiri/spf, and
// what cannot be done faster: an RSA verification and the SHA-256 of the message.
func (b *bench) verify(ctx context.Context) error {
	dir, err := b.mailFolder()
	if err != nil {
		return err
	}
	server, err := serveZone(filepath.Join(dir, "zone"))
	if err != nil {
		return err
	}
	defer server.close()
	if err := b.oneCore(ctx, dir, server); err != nil {
		return err
	}
	if err := b.cached(ctx, server); err != nil {
		return err
	}
	if err := b.opendkim(ctx, dir); err != nil {
		return err
	}
	return b.mailboxes(ctx, dir)
}

// contender is one way of doing the work.
type contender struct {
	name  string
	check func(letter) error
}

func (b *bench) oneCore(ctx context.Context, dir string, server *nameServer) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	small, err := letters(filepath.Join(dir, "5000.mbox"), 1000)
	if err != nil {
		return err
	}
	large, err := letters(filepath.Join(dir, "large.mbox"), 200)
	if err != nil {
		return err
	}
	ours, err := newOurs(server.address, true)
	if err != nil {
		return err
	}
	waiting, err := newOurs(server.address, false)
	if err != nil {
		return err
	}
	limit, err := newLimit()
	if err != nil {
		return err
	}
	peer := newPeer(server.address)
	contenders := []contender{
		{"ours", ours.check},
		{"ours, SPF and DMARC at once", waiting.check},
		{"go-msgauth and blitiri/spf", peer.check},
		{"limit: crypto/rsa verify and SHA-256", limit.check},
	}
	for _, set := range []struct {
		size    string
		letters []letter
		times   int // each message is checked so often in a round
	}{{"10 KB", small, 4}, {"100 KB", large, 6}} {
		rates, err := b.race(ctx, contenders, set.letters, set.times)
		if err != nil {
			return err
		}
		for i, c := range contenders {
			b.add("verify", set.size+", "+c.name, "msg/s", rates[i], "CPU time, one core")
		}
		if set.size == "10 KB" {
			b.ratio("verify, 10 KB: of the limit", rates[0], rates[3], 0.6)
			b.ratio("verify, 10 KB: × go-msgauth and blitiri/spf", rates[0], rates[2], 1.8)
		} else {
			b.aim("verify, 100 KB: of the limit", median(ratios(rates[0], rates[3])), 0.75, "")
		}
		objects, octets, err := allocations(set.letters, ours.check)
		if err != nil {
			return err
		}
		b.add("verify", set.size+", allocations", "/msg", []float64{objects}, "")
		b.add("verify", set.size+", allocated", "KiB/msg", []float64{octets / 1024}, "")
		b.atMost("verify, "+set.size+": allocations a message", objects, mostAllocations, "")
	}
	return b.bodies(large)
}

// mostAllocations is what one message with one signature may allocate, however
// long it is.
const mostAllocations = 170

// ratio holds the median of the rounds' ratios against a bar: what disturbs the
// machine in a round disturbs both.
func (b *bench) ratio(name string, of, to []float64, want float64) {
	b.atLeast(name, median(ratios(of, to)), want, "")
}

func ratios(of, to []float64) []float64 {
	r := make([]float64, len(of))
	for i := range of {
		r[i] = of[i] / to[i]
	}
	return r
}

// race has each contender check all letters times times, in turns, and returns
// the rates in messages a second of CPU time.
func (b *bench) race(ctx context.Context, contenders []contender, ls []letter, times int) ([][]float64, error) {
	rates := make([][]float64, len(contenders))
	for round := range 2*b.rounds + 2 {
		for i, c := range contenders {
			runtime.GC()
			began := cpuTime()
			for range times {
				for _, l := range ls {
					if err := c.check(l); err != nil {
						return nil, fmt.Errorf("%s: %w", c.name, err)
					}
				}
				if err := ctx.Err(); err != nil {
					return nil, err
				}
			}
			if round > 0 { // the first fills caches
				rates[i] = append(rates[i], float64(times*len(ls))/(cpuTime()-began))
			}
		}
	}
	return rates, nil
}

// cpuTime is what this process has used, in seconds.
func cpuTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// allocations counts what one message allocates.
func allocations(ls []letter, do func(letter) error) (objects, octets float64, err error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, l := range ls {
		if err := do(l); err != nil {
			return 0, 0, err
		}
	}
	runtime.ReadMemStats(&after)
	n := float64(len(ls))
	return float64(after.Mallocs-before.Mallocs) / n, float64(after.TotalAlloc-before.TotalAlloc) / n, nil
}

// onlyReader and onlyWriter have io.CopyBuffer go through its buffer.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)

// bodies measures the body's way alone: canonicalization and SHA-256, read in
// pieces of 32 KiB as from a file or a connection, beside SHA-256 of the same
// octets read in the same way.
func (b *bench) bodies(ls []letter) error {
	var all [][]byte
	total := 0
	for _, l := range ls {
		_, body, found := bytes.Cut(l.text, []byte("\r\n\r\n"))
		if !found {
			return errors.New("a message has no body")
		}
		all = append(all, body)
		total += len(body)
	}
	buf := make([]byte, 32<<10)
	raw := func() {
		for _, body := range all {
			h := sha256.New()
			_, _ = io.CopyBuffer(onlyWriter{h}, onlyReader{bytes.NewReader(body)}, buf)
			h.Sum(nil)
		}
	}
	digested := func(canon ...message.Canonicalization) func() {
		return func() {
			for _, body := range all {
				var d message.Digests
				for _, c := range canon {
					d.Add(message.BodyHash{Canonicalization: c, Hash: crypto.SHA256, Limit: -1})
				}
				_, _ = io.CopyBuffer(onlyWriter{&d}, onlyReader{bytes.NewReader(body)}, buf)
				_ = d.Close()
			}
		}
	}
	ways := []struct {
		name string
		do   func()
	}{{"SHA-256 alone", raw}, {"relaxed", digested(message.Relaxed)}, {"simple", digested(message.Simple)}, {"relaxed and simple at once", digested(message.Relaxed, message.Simple)}}
	speeds := make([][]float64, len(ways))
	for round := range 2*b.rounds + 2 {
		for i, w := range ways {
			began := cpuTime()
			for range 10 {
				w.do()
			}
			if round > 0 {
				speeds[i] = append(speeds[i], 10*float64(total)/1e6/(cpuTime()-began))
			}
		}
	}
	for i, w := range ways {
		b.add("verify", "bodies of 100 KB, "+w.name, "MB/s", speeds[i], "")
	}
	b.ratio("bodies of 100 KB, relaxed: of SHA-256 alone", speeds[1], speeds[0], 0.75)
	b.ratio("bodies of 100 KB, simple: of SHA-256 alone", speeds[2], speeds[0], 0.75)
	return nil
}

// cached measures an answer out of the resolver's cache.
func (b *bench) cached(ctx context.Context, server *nameServer) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	r, err := resolve.New(resolve.Options{Servers: []string{server.address}})
	if err != nil {
		return err
	}
	const name, times = "2026a._domainkey.city7.example", 200_000
	var cost []float64
	for range b.rounds + 1 {
		began := cpuTime()
		for range times {
			if a, err := r.Lookup(ctx, name, dns.TXT); err != nil || len(a.Records) != 1 {
				return fmt.Errorf("%s: %d records, %w", name, len(a.Records), err)
			}
		}
		cost = append(cost, (cpuTime()-began)/times*1e9)
	}
	b.add("verify", "internal/resolve, an answer out of the cache", "ns", cost[1:], "")
	return nil
}

// ours is this program's way.
type ours struct{ checker *check.Checker }

func newOurs(server string, sequential bool) (*ours, error) {
	r, err := resolve.New(resolve.Options{Servers: []string{server}})
	if err != nil {
		return nil, err
	}
	return &ours{&check.Checker{Resolver: r, AuthServID: "mx.receiver.example", Sequential: sequential}}, nil
}

func (o *ours) check(l letter) error {
	in := check.Input{IP: netip.MustParseAddr(l.ip), Helo: l.helo, MailFrom: l.from}
	v, err := o.checker.Check(context.Background(), in, bytes.NewReader(l.text))
	if err != nil {
		return err
	}
	field := v.AuthenticationResultsField()
	if string(v.SPF.Status) != l.spf || v.DMARC.Status != "pass" || v.DMARC.Policy != "reject" || len(v.DKIM) != 1 || v.DKIM[0].Status != "pass" || len(field) < 100 {
		return fmt.Errorf("wrong verdict: spf %s, want %s; dmarc %s; %s", v.SPF.Status, l.spf, v.DMARC.Status, field)
	}
	return nil
}

// limit does only what cannot be left out.
type limit struct {
	keys    []*rsa.PublicKey
	sigs    [][]byte
	digests [][32]byte
	next    int
}

func newLimit() (*limit, error) {
	l := &limit{}
	for i := range 8 {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, err
		}
		d := sha256.Sum256([]byte{byte(i)})
		sig, err := rsa.SignPKCS1v15(nil, k, crypto.SHA256, d[:])
		if err != nil {
			return nil, err
		}
		l.keys, l.sigs, l.digests = append(l.keys, &k.PublicKey), append(l.sigs, sig), append(l.digests, d)
	}
	return l, nil
}

func (l *limit) check(m letter) error {
	l.next = (l.next + 1) % len(l.keys)
	sum := sha256.Sum256(m.text)
	if sum == [32]byte{} {
		return errors.New("impossible")
	}
	return rsa.VerifyPKCS1v15(l.keys[l.next], crypto.SHA256, l.digests[l.next][:], l.sigs[l.next])
}

// mailboxes measures "sekimori verify --json" from process start to exit.
func (b *bench) mailboxes(ctx context.Context, dir string) error {
	run := func(n int) (usage, error) {
		// Into a file: who reads a pipe takes time from the cores measured.
		out, err := os.Create(filepath.Join(dir, "verdicts.jsonl"))
		if err != nil {
			return usage{}, err
		}
		defer out.Close()
		cmd := exec.Command(b.program, "verify", "--json", "--zone", filepath.Join(dir, "zone"), filepath.Join(dir, fmt.Sprintf("%d.mbox", n)))
		cmd.Stdout = out
		u, err := timed(ctx, cmd)
		if err != nil {
			return u, err
		}
		if _, err := out.Seek(0, io.SeekStart); err != nil {
			return u, err
		}
		lines := &lineCounter{}
		if _, err := io.Copy(lines, out); err != nil {
			return u, err
		}
		if lines.lines != n || lines.passes != n {
			err = fmt.Errorf("verify wrote %d lines with %d passes for %d messages", lines.lines, lines.passes, n)
		}
		return u, err
	}
	var rate, parallel, few, many []float64
	for range b.rounds {
		u, err := run(5_000)
		if err != nil {
			return err
		}
		few = append(few, u.peak)
		if u, err = run(20_000); err != nil {
			return err
		}
		many = append(many, u.peak)
		rate = append(rate, 20_000/u.wall)
		parallel = append(parallel, u.cpu/u.wall)
	}
	b.add("verify", "sekimori verify --json, mbox of 20,000 messages of 10 KB", "msg/s", rate, "process start to exit")
	b.add("verify", "the same, CPU time by wall-clock time", "", parallel, fmt.Sprintf("%d cores", runtime.NumCPU()))
	b.add("verify", "the same, peak memory", "MiB", many, "")
	b.add("verify", "mbox of 5,000 messages, peak memory", "MiB", few, "")
	if runtime.NumCPU() > 1 {
		b.atLeast("verify of an mbox: cores busy", median(parallel), 1.7, "")
	}
	b.atMost("verify of an mbox: peak memory of 20,000 by that of 5,000", median(many)/median(few), 1.15, "")
	return nil
}

// lineCounter counts lines, and those that say that DMARC passes.
type lineCounter struct {
	lines, passes int
	line          []byte
}

var dmarcPass = []byte(`"dmarc":{"result":"pass"`)

func (c *lineCounter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			c.line = append(c.line, p...)
			return n, nil
		}
		c.line = append(c.line, p[:i]...)
		c.lines++
		if bytes.Contains(c.line, dmarcPass) {
			c.passes++
		}
		c.line, p = c.line[:0], p[i+1:]
	}
}
