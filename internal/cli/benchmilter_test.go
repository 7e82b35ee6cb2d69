package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rivo/uniseg"

	"sekimori/internal/locale"
	"sekimori/milter"
)

// startFilter runs a filter that adds a result and answers by the subject.
func startFilter(t *testing.T, slow time.Duration) (address string, sessions *atomic.Int64) {
	t.Helper()
	address = "unix:" + filepath.Join(t.TempDir(), "m")
	ln, err := milter.Listen(address, milter.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sessions = new(atomic.Int64)
	srv := &milter.Server{Serve: func(_ context.Context, s *milter.Session) error {
		var from, subject, client, seen string
		for {
			ev, err := s.Next()
			if err != nil {
				return err
			}
			switch ev.Kind {
			case milter.Connect:
				sessions.Add(1)
				client = ev.Addr.Addr().String()
			case milter.Mail:
				from, subject, seen = ev.Args[0], "", ""
			case milter.HeaderField:
				if ev.Name == "Subject" {
					subject = strings.TrimSpace(ev.Value)
				}
				if ev.Name == "Authentication-Results" {
					seen = " again"
				}
			case milter.EndOfMessage:
				time.Sleep(slow)
				var r milter.Response
				switch subject {
				case "broken":
					return nil
				case "refused":
					r = milter.Response{Code: 550, Enhanced: "5.7.26", Text: []string{"no"}}
				case "held":
					s.Quarantine("held")
				}
				if err := s.InsertHeader(0, "Authentication-Results", "mx; spf=pass smtp.mailfrom="+strings.Trim(from, "<>")+" ip="+client+seen); err != nil {
					return err
				}
				if err := s.Reply(r); err != nil {
					return err
				}
			}
		}
	}}
	done := make(chan struct{})
	go func() { srv.Listen(ln); close(done) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		srv.Shutdown(ctx)
		<-done
	})
	return address, sessions
}

// benchFolder writes messages, and a manifest of two of them.
func benchFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"mail/a.eml":      "From: A <a@example.org>\nSubject: fine\n\nbody\n",
		"mail/b.eml":      "Return-Path: <b@example.net>\r\nFrom: c@example.org\r\nSubject: held\r\n\r\nbody\r\n",
		"refused.eml":     "From: d@example.org\nSubject: refused\n\n",
		"broken.eml":      "From: d@example.org\nSubject: broken\n\n",
		"mixed/a.eml":     "From: A <a@example.org>\nSubject: fine\n\nbody\n",
		"mixed/empty.txt": "",
		"lists/m.tsv":     "# a comment\nmail/a.eml\t192.0.2.7\thelo.example\tsender@x.example\tr@y.example\tx.example\tpass\n../mail/b.eml\t2001:db8::1\thelo.example\t<>\tr@y.example\n",
		"short.tsv":       "mail/a.eml\t192.0.2.7\n",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func runBench(t *testing.T, dir string, l locale.Lang, args ...string) (int, string, string) {
	t.Helper()
	var out, errs bytes.Buffer
	st := Run(t.Context(), Env{Args: append([]string{"bench-milter"}, args...), In: strings.NewReader(""), Out: &out, Err: &errs, Dir: dir, Lang: l})
	return st, out.String(), errs.String()
}

func TestBenchMilter(t *testing.T) {
	address, _ := startFilter(t, 0)
	dir := benchFolder(t)
	for _, tt := range []struct {
		name, args string
		status     int
		answers    map[string]int64
		messages   int64
	}{
		{"folder", "--messages mail", StatusDone, map[string]int64{"continue": 1, "quarantine": 1}, 2},
		{"count", "--messages mail --count 100", StatusDone, map[string]int64{"continue": 50, "quarantine": 50}, 100},
		{"warm-up", "--messages mail/a.eml --count 10 --warmup 5 --reuse", StatusDone, map[string]int64{"continue": 10}, 10},
		{"refused", "--messages refused.eml --messages mail/a.eml", StatusDone, map[string]int64{"continue": 1, "reply-550": 1}, 2},
		{"expected", "--messages mail --expect spf=pass --expect ip=192.0.2.1", StatusDone, map[string]int64{"continue": 1, "quarantine": 1}, 2},
		{"not expected", "--messages mail --expect b@example.net", StatusNegative, map[string]int64{"continue": 1, "quarantine": 1}, 2},
		{"envelope", "--messages mail --from x@y.example --client-ip 198.51.100.1 --reuse --expect x@y.example --expect ip=198.51.100.1", StatusDone, map[string]int64{"continue": 1, "quarantine": 1}, 2},
		{"manifest", "--manifest lists/m.tsv --expect spf=%spf", StatusDone, map[string]int64{"continue": 1, "quarantine": 1}, 2},
		{"domain", "--manifest lists/m.tsv --messages mail/a.eml --expect @%domain", StatusNegative, map[string]int64{"continue": 2, "quarantine": 1}, 3},
		{"one client after another", "--manifest lists/m.tsv --reuse --sessions 1 --count 6", StatusDone, map[string]int64{"continue": 3, "quarantine": 3}, 6},
		{"in turn", "--connect " + address + " --messages mail --expect again", StatusDone, map[string]int64{"continue": 1, "quarantine": 1}, 2},
		{"broken", "--messages broken.eml --messages mail/a.eml", StatusNegative, map[string]int64{"continue": 1}, 1},
		{"no message", "--messages mixed", StatusNegative, map[string]int64{"continue": 1}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st, out, errs := runBench(t, dir, locale.English, append(strings.Fields(tt.args), "--connect", address, "--json")...)
			var r benchResult
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				t.Fatalf("status %d, %v: %s%s", st, err, out, errs)
			}
			if st != tt.status || r.Messages != tt.messages {
				t.Errorf("status %d, %d messages: %s%s", st, r.Messages, out, errs)
			}
			for k, n := range tt.answers {
				if r.Answers[k] != n {
					t.Errorf("answers %v, want %v", r.Answers, tt.answers)
				}
			}
			if r.Bare != 0 || r.PerSecond <= 0 || r.Latency.P50 > r.Latency.P99 || r.Latency.P99 > r.Latency.Max || r.Latency.Max <= 0 {
				t.Errorf("%s", out)
			}
		})
	}
}

// TestBenchMilterRate has a filter that is slower than the rate: what waits
// counts, and the time grows as the line does.
func TestBenchMilterRate(t *testing.T) {
	address, sessions := startFilter(t, 20*time.Millisecond)
	dir := benchFolder(t)
	st, out, errs := runBench(t, dir, locale.English, "--connect", address, "--messages", "mail/a.eml", "--rate", "100", "--duration", "500ms", "--sessions", "1", "--reuse", "--json")
	var r benchResult
	if err := json.Unmarshal([]byte(out), &r); err != nil || st != StatusDone {
		t.Fatalf("status %d, %v: %s%s", st, err, out, errs)
	}
	// 50 messages are due in 500 ms and take a second.
	if r.Messages != 50 || r.Latency.Max < 400 || r.Latency.P50 < 150 || r.Late == nil || r.Late.Max < 400 || sessions.Load() != 1 {
		t.Errorf("%s", out)
	}
}

func TestBenchMilterUsage(t *testing.T) {
	dir := benchFolder(t)
	for _, tt := range []struct {
		args, want string
		status     int
	}{
		{"", "--connect", StatusUsage},
		{"--connect unix:m", "--messages", StatusUsage},
		{"--connect nowhere --messages mail", "want unix:/path", StatusUsage},
		{"--connect unix:m --messages gone", "no such file", StatusUsage},
		{"--connect unix:m --messages mail --sessions 0", "--sessions", StatusUsage},
		{"--connect unix:m --messages mail --rate -1", "--rate", StatusUsage},
		{"--connect unix:m --messages mail --count 1 --duration 1s", "one of them", StatusUsage},
		{"--connect unix:m --messages mail --client-ip x", "--client-ip", StatusUsage},
		{"--connect unix:m --manifest short.tsv", "line 1: 2 columns", StatusUsage},
		{"--connect unix:m --messages mail --pid 999999999", "--pid", StatusUsage},
		{"--connect unix:m --messages mail", "connecting to the filter", StatusTemporary},
	} {
		st, _, errs := runBench(t, dir, locale.English, strings.Fields(tt.args)...)
		if st != tt.status || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: status %d, %s; want %d, %s", tt.args, st, errs, tt.status, tt.want)
		}
	}
}

// TestBenchMilterText checks that the text fits the screen in both languages.
func TestBenchMilterText(t *testing.T) {
	address, _ := startFilter(t, 0)
	dir := benchFolder(t)
	for _, l := range locale.Langs {
		_, out, _ := runBench(t, dir, l, "--connect", address, "--messages", "mail", "--messages", "broken.eml", "--rate", "1000", "--duration", "50ms", "--expect", "nonsense")
		if strings.Contains(out, "⟦") || !strings.Contains(out, "p99") {
			t.Errorf("%s", out)
		}
		for line := range strings.Lines(out) {
			if w := uniseg.StringWidth(strings.TrimRight(line, "\n")); w > lineWidth {
				t.Errorf("%d columns: %s", w, line)
			}
		}
	}
}

func TestLatencies(t *testing.T) {
	var l, half latencies
	var all []time.Duration
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 10000 {
		d := time.Duration(r.ExpFloat64() * float64(10*time.Millisecond))
		all = append(all, d)
		if i%2 == 0 {
			l.add(d)
		} else {
			half.add(d)
		}
	}
	l.merge(&half)
	slices.Sort(all)
	for _, q := range []float64{.001, .5, .9, .99, .999, 1} {
		want := all[max(int(q*float64(len(all))+.999999)-1, 0)]
		if got := l.quantile(q); got < want || got > want+want/64+1 {
			t.Errorf("quantile %g: %v, want %v", q, got, want)
		}
	}
	for _, d := range []time.Duration{0, 1, 63, 64, 127, 128, 129, 255, 256, time.Second, time.Hour, 1<<63 - 1} {
		if end := latencyEnd(latencyStep(d)); end < d || d > 64 && float64(end) > float64(d)*(1+1.0/64) {
			t.Errorf("step of %d ends at %d", d, end)
		}
	}
}
