package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"

	"sekimori/explain"
	"sekimori/milter"
)

// maxLoadSessions bounds the sessions at a time; each takes a descriptor.
const maxLoadSessions = 20000

func newBenchMilter(e *Env) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench-milter",
		Short: e.text("benchmilter.short", nil),
		Long:  strings.Join([]string{e.prose("benchmilter.long"), e.prose("benchmilter.long-rate"), e.prose("benchmilter.long-status")}, "\n\n"),
		Example: "  sekimori bench-milter --connect unix:/run/milter.sock --messages mail/\n" +
			"  sekimori bench-milter --connect tcp:127.0.0.1:8890 --messages one.eml \\\n    --rate 1000 --duration 30s --reuse --expect dmarc=pass",
		Args: cobra.NoArgs,
	}
	text := func(name string) string { return e.text("benchmilter.flag."+name, nil) }
	fl := cmd.Flags()
	fl.StringArrayVar(&f.connect, "connect", nil, text("connect"))
	fl.StringArrayVar(&f.messages, "messages", nil, text("messages"))
	fl.StringVar(&f.manifest, "manifest", "", text("manifest"))
	fl.IntVar(&f.sessions, "sessions", 16, text("sessions"))
	fl.Float64Var(&f.rate, "rate", 0, text("rate"))
	fl.DurationVar(&f.duration, "duration", 0, text("duration"))
	fl.Int64Var(&f.count, "count", 0, text("count"))
	fl.Int64Var(&f.warmup, "warmup", 0, text("warmup"))
	fl.BoolVar(&f.reuse, "reuse", false, text("reuse"))
	fl.StringArrayVar(&f.clients, "client-ip", nil, text("client-ip"))
	fl.StringVar(&f.helo, "helo", "client.example", text("helo"))
	fl.StringVar(&f.from, "from", "", text("from"))
	fl.StringArrayVar(&f.rcpt, "rcpt", nil, text("rcpt"))
	fl.StringArrayVar(&f.expect, "expect", nil, text("expect"))
	fl.IntSliceVar(&f.pids, "pid", nil, text("pid"))
	fl.DurationVar(&f.timeout, "timeout", time.Minute, text("timeout"))
	fl.BoolVar(&f.asJSON, "json", false, e.text("cli.flag.json", nil))
	_ = cmd.MarkFlagFilename("messages")
	_ = cmd.MarkFlagFilename("manifest")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, c, err := f.open(e)
		if err != nil {
			return usageError{err, cmd.CommandPath()}
		}
		procs, err := processTree(f.pids)
		if err != nil {
			return usageError{fmt.Errorf("--pid: %w", err), cmd.CommandPath()}
		}
		return e.benchMilter(cmd.Context(), &f, l, c, procs)
	}
	return cmd
}

type benchFlags struct {
	connect, messages     []string
	manifest              string
	sessions              int
	rate                  float64
	duration, timeout     time.Duration
	count, warmup         int64
	reuse, asJSON         bool
	clients, rcpt, expect []string
	helo, from            string
	pids                  []int
}

// open checks the flags and reads the messages.
func (f *benchFlags) open(e *Env) (*load, *corpus, error) {
	switch {
	case len(f.connect) == 0:
		return nil, nil, errors.New("--connect: say where the filter is: unix:PATH or tcp:HOST:PORT")
	case len(f.messages) == 0 && f.manifest == "":
		return nil, nil, errors.New("--messages: say which messages to send: a file or a folder")
	case f.sessions < 1 || f.sessions > maxLoadSessions:
		return nil, nil, fmt.Errorf("--sessions %d: want 1 to %d", f.sessions, maxLoadSessions)
	case f.rate < 0 || f.rate > 1e6:
		return nil, nil, fmt.Errorf("--rate %g: want up to 1,000,000 messages a second, or 0 for as many as go", f.rate)
	case f.duration < 0, f.count < 0, f.warmup < 0, f.timeout <= 0:
		return nil, nil, errors.New("--duration, --count, --warmup and --timeout are not negative")
	case f.duration > 0 && f.count > 0:
		return nil, nil, errors.New("--duration and --count: give one of them")
	}
	for i, a := range f.connect {
		if kind, path, ok := strings.Cut(a, ":"); ok && (kind == "unix" || kind == "local") {
			f.connect[i] = "unix:" + e.path(path)
		}
		if _, _, err := milter.ParseAddress(f.connect[i]); err != nil {
			return nil, nil, fmt.Errorf("--connect: %w", err)
		}
	}
	c := &corpus{envelope: benchEnvelope{helo: f.helo, from: strings.Trim(f.from, "<>"), rcpt: f.rcpt, expect: f.expect}}
	for _, s := range f.clients {
		a, err := clientAddr(s)
		if err != nil {
			return nil, nil, fmt.Errorf("--client-ip: %w", err)
		}
		c.envelope.clients = append(c.envelope.clients, a)
	}
	if len(f.clients) == 0 {
		c.envelope.clients = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:34567")}
	}
	if len(f.rcpt) == 0 {
		c.envelope.rcpt = []string{"recipient@recv.example"}
	}
	for _, m := range f.messages {
		info, err := os.Stat(e.path(m))
		if err == nil && info.IsDir() {
			err = c.folder(e.path(m))
		} else if err == nil {
			err = c.file(e.path(m), c.envelope, len(c.list))
		}
		if err != nil {
			return nil, nil, fmt.Errorf("--messages: %w", err)
		}
	}
	if f.manifest != "" {
		if err := c.manifest(e.path(f.manifest), e.Dir); err != nil {
			return nil, nil, fmt.Errorf("--manifest: %w", err)
		}
	}
	if len(c.list) == 0 {
		return nil, nil, errors.New("--messages: no message was found there")
	}
	l := &load{addresses: f.connect, messages: c.list, sessions: f.sessions, rate: f.rate, duration: f.duration, count: f.count,
		warmup: f.warmup, reuse: f.reuse, timeout: f.timeout}
	if l.count == 0 && l.duration == 0 {
		l.count = int64(len(c.list))
	}
	return l, c, nil
}

// benchMilter runs, with progress, and prints what came of it.
func (e *Env) benchMilter(ctx context.Context, f *benchFlags, l *load, c *corpus, procs processes) error {
	for i, err := range c.skipped {
		if i == benchSamples {
			fmt.Fprintln(e.Err, e.text("benchmilter.skipped-more", explain.Args{"n": int64(len(c.skipped) - i)}))
			break
		}
		e.complain(err)
	}
	for _, a := range l.addresses {
		probe, err := milter.Dial(ctx, a, milter.ClientOptions{Timeout: l.timeout})
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return temporary(err)
		}
		probe.Close()
	}
	stop := make(chan struct{})
	drawn := make(chan struct{})
	go func() {
		defer close(drawn)
		e.drawLoad(l, stop)
	}()
	before := procs.cpu()
	t, took := l.run(ctx)
	cost := procs.cpu() - before
	close(stop)
	<-drawn
	r := newBenchResult(f, l, t, took)
	if n := t.latency.n + t.errors; len(procs) > 0 && n > 0 {
		r.CPU = float64(cost) / float64(time.Millisecond) / float64(n)
		r.Memory = procs.memory()
	}
	if f.asJSON {
		if err := writeJSON(e.Out, r); err != nil {
			return err
		}
	} else {
		e.printBench(e.Out, r, l)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case t.errors > 0 || t.unexpected > 0 || len(c.skipped) > 0:
		return statusError{status: StatusNegative}
	}
	return nil
}

// drawLoad shows how far the run has come.
func (e *Env) drawLoad(l *load, stop <-chan struct{}) {
	if !e.Terminal {
		return
	}
	const every = 500 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	var before int64
	for {
		select {
		case <-stop:
			fmt.Fprint(e.Err, "\r\x1b[K")
			return
		case <-tick.C:
			n := l.done.Load()
			fmt.Fprint(e.Err, "\r\x1b[K"+e.text("benchmilter.progress", explain.Args{"n": n, "rate": (n - before) * int64(time.Second/every), "errors": l.failed.Load()}))
			before = n
		}
	}
}

// benchResult is what --json prints. Times are in milliseconds.
type benchResult struct {
	Connect    []string         `json:"connect"`
	Corpus     int              `json:"corpus_messages"`
	Sessions   int              `json:"sessions"`
	Reuse      bool             `json:"reuse"`
	Rate       float64          `json:"rate,omitempty"` // wanted
	Messages   int64            `json:"messages"`       // answered
	Seconds    float64          `json:"seconds"`
	PerSecond  float64          `json:"messages_per_second"`
	Octets     int64            `json:"body_octets"`
	Latency    benchLatency     `json:"latency_ms"`
	Late       *benchLatency    `json:"late_ms,omitempty"` // from when a message was due until it was begun
	Answers    map[string]int64 `json:"answers"`
	Errors     int64            `json:"errors"`
	ErrorTexts []string         `json:"error_examples"`
	Bare       int64            `json:"without_authentication_results"`
	Unexpected int64            `json:"unexpected"`
	Lacking    []string         `json:"unexpected_examples"`
	CPU        float64          `json:"cpu_ms_per_message,omitempty"`
	Memory     int64            `json:"memory_peak_octets,omitempty"`
}

type benchLatency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

func latencyOf(l *latencies) benchLatency {
	ms := func(d time.Duration) float64 { return float64(d.Round(time.Microsecond)) / float64(time.Millisecond) }
	b := benchLatency{P50: ms(l.quantile(.5)), P90: ms(l.quantile(.9)), P99: ms(l.quantile(.99)), P999: ms(l.quantile(.999)), Max: ms(l.max)}
	if l.n > 0 {
		b.Mean = ms(l.sum / time.Duration(l.n))
	}
	return b
}

func newBenchResult(f *benchFlags, l *load, t *loadTally, took time.Duration) *benchResult {
	r := &benchResult{Connect: l.addresses, Corpus: len(l.messages), Sessions: l.sessions, Reuse: l.reuse, Rate: f.rate,
		Messages: t.latency.n, Seconds: took.Seconds(), Octets: t.octets, Latency: latencyOf(&t.latency), Answers: t.answers,
		Errors: t.errors, ErrorTexts: append([]string{}, t.samples...), Bare: t.bare, Unexpected: t.unexpected, Lacking: append([]string{}, t.lacking...)}
	if took > 0 {
		r.PerSecond = float64(t.latency.n) / took.Seconds()
	}
	if l.rate > 0 {
		late := latencyOf(&t.late)
		r.Late = &late
	}
	return r
}

// printBench writes the result: what was reached first, then how.
func (e *Env) printBench(w io.Writer, r *benchResult, l *load) {
	type line struct{ head, text string }
	var lines []line
	add := func(head, code string, args explain.Args) {
		lines = append(lines, line{e.text("benchmilter.head."+head, nil), e.text(code, args)})
	}
	ms := func(f float64) string { return fmt.Sprintf("%.2f ms", f) }
	spread := func(b benchLatency) explain.Args {
		return explain.Args{"p50": ms(b.P50), "p90": ms(b.P90), "p99": ms(b.P99), "max": ms(b.Max)}
	}
	add("messages", "benchmilter.rate", explain.Args{"rate": int64(r.PerSecond + .5), "n": r.Messages, "seconds": fmt.Sprintf("%.1f", r.Seconds)})
	add("latency", "benchmilter.latency", spread(r.Latency))
	if r.Late != nil {
		add("late", "benchmilter.late", explain.Args{"rate": fmt.Sprintf("%g", r.Rate), "p50": ms(r.Late.P50), "p99": ms(r.Late.P99), "max": ms(r.Late.Max)})
	}
	var answers []string
	for _, k := range slices.SortedFunc(maps.Keys(r.Answers), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Answers[b], r.Answers[a]), cmp.Compare(a, b))
	}) {
		answers = append(answers, k+" "+e.Lang.Int(r.Answers[k]))
	}
	add("answers", "benchmilter.answers", explain.Args{"answers": strings.Join(answers, " · ")})
	add("results", "benchmilter.results", explain.Args{"n": r.Messages - r.Bare, "bare": r.Bare})
	if r.Unexpected > 0 || len(l.messages[0].expect) > 0 {
		add("expected", "benchmilter.unexpected", explain.Args{"n": r.Unexpected})
	}
	add("errors", "benchmilter.errors", explain.Args{"n": r.Errors})
	if r.CPU > 0 || r.Memory > 0 {
		add("cost", "benchmilter.cost", explain.Args{"cpu": fmt.Sprintf("%.3f ms", r.CPU), "memory": fmt.Sprintf("%.1f MB", float64(r.Memory)/1e6)})
	}
	how := "benchmilter.fresh"
	if r.Reuse {
		how = "benchmilter.reused"
	}
	add("sessions", how, explain.Args{"n": int64(r.Sessions)})
	add("corpus", "benchmilter.corpus", explain.Args{"n": int64(r.Corpus), "where": strings.Join(r.Connect, ", ")})
	width := 0
	for _, l := range lines {
		width = max(width, uniseg.StringWidth(l.head))
	}
	for _, l := range lines {
		wrap(w, e.width(), l.head+strings.Repeat(" ", width-uniseg.StringWidth(l.head)+2), l.text)
	}
	for _, s := range append(slices.Clone(r.ErrorTexts), r.Lacking...) {
		wrap(w, e.width(), "  ", cut(s, 400))
	}
}
