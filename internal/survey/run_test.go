package survey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/internal/posture"
	"sekimori/internal/resolve"
	"sekimori/internal/store"
)

// begin puts domains into a wave of a new store.
func begin(t testing.TB, domains []string) (*store.Store, store.Wave) {
	t.Helper()
	st, err := store.Open(t.Context(), t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	w, _, err := st.StartWave(t.Context(), store.WaveSpec{Name: "w", Attributes: []string{}, Facts: Metrics()})
	if err != nil {
		t.Fatal(err)
	}
	entries := make([]store.Entry, len(domains))
	for i, d := range domains {
		entries[i] = store.Entry{No: int64(i + 1), Line: int64(i + 1), Domain: d, Attributes: []string{}}
	}
	if err := st.AddEntries(t.Context(), w.ID, entries); err != nil {
		t.Fatal(err)
	}
	if w, err = st.SealEntries(t.Context(), w.ID); err != nil {
		t.Fatal(err)
	}
	return st, w
}

func numbered(n int) []string {
	domains := make([]string, n)
	for i := range domains {
		domains[i] = fmt.Sprintf("d%d.example", i)
	}
	return domains
}

func rows(t testing.TB, st *store.Store, w store.Wave) []store.SurveyRow {
	t.Helper()
	var out []store.SurveyRow
	if err := st.EachSurveyRow(t.Context(), w.ID, func(r *store.SurveyRow) error { out = append(out, *r); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestWildNetwork: through a resolver that drops a fifth of the questions, fails
// for one in twenty, truncates, blows up and garbles answers, loops aliases and
// has 500 TXT records at a name, no state is other than the truth or unknown,
// the run ends, and no domain costs more than its bound.
func TestWildNetwork(t *testing.T) {
	const n = 120
	zone := wildZone(t, n)
	domains := append(numbered(n), "loop1.example", "loop2.example", "absent.example")
	w := serveWild(t, &wild{zone: zone, drop: 200, fail: 50, truncate: 100, oversize: 50, broken: 20})
	r, err := resolve.New(resolve.Options{Servers: []string{w.addr}, Timeout: pause, Deadline: 6 * pause, Concurrency: 1024, MinTTL: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	st, wave := begin(t, domains)
	run := Runner{Store: Keep(st), Resolver: r, Options: posture.Options{Frugal: true, Timeout: 5 * time.Second}, Domains: 64, AuthorityRate: DefaultAuthorityRate, Retries: 2, Backoff: pause}
	began := time.Now()
	if wave, err = run.Run(t.Context(), wave); err != nil {
		t.Fatal(err)
	}
	if wave.Finished.IsZero() || wave.Measured != int64(len(domains)) {
		t.Errorf("wave %+v", wave)
	}
	unknown, told := 0, 0
	for _, row := range rows(t, st, wave) {
		name, err := domain.Parse(row.Domain)
		if err != nil {
			t.Fatal(err)
		}
		truth := posture.Inspect(t.Context(), zone, name, posture.Options{Frugal: true})
		for i, f := range wave.Facts {
			got, want := row.Result.States[i], stateOf(truth.Fact(posture.Fact(f)))
			switch {
			case strings.HasPrefix(f, "profile_"), want == store.Unknown:
			case strings.HasPrefix(row.Domain, "loop"):
				if got == store.No && f == string(posture.FactExists) {
					t.Errorf("%s: an alias in circles is taken for no such name", row.Domain)
				}
			case got == store.Unknown:
				unknown++
			case got != want:
				t.Errorf("%s: %s is %v, in truth %v (attempt %d)", row.Domain, f, got, want, row.Result.Attempts)
			default:
				told++
			}
		}
	}
	// Each question may be put three times, each time over UDP and TCP, and
	// twice more where it failed; each domain three times.
	d, most := w.worst()
	t.Logf("%v; %d questions, at most %d for one domain (%s); %d states told, %d unknown", time.Since(began).Round(time.Millisecond), w.total.Load(), most, d, told, unknown)
	if most > 3*posture.MaxQuestions {
		t.Errorf("%d questions for %s", most, d)
	}
	if unknown*20 > told {
		t.Errorf("%d states unknown beside %d told: retries do not help", unknown, told)
	}
}

// TestDeadServers: a domain whose servers never answer costs a handful of
// questions, and is unknown in everything that its own servers would tell.
func TestDeadServers(t *testing.T) {
	var asked atomic.Int64
	dead := resolverFunc(func(_ context.Context, name string, typ dns.Type) (dns.Answer, error) {
		if strings.HasSuffix(name, "dead.example") {
			asked.Add(1)
			return dns.Answer{}, &dns.Failure{Name: name, Type: typ, Err: dns.ErrTemporary}
		}
		return dns.Answer{}, &dns.Failure{Name: name, Type: typ, Err: dns.ErrNameNotFound}
	})
	st, wave := begin(t, []string{"dead.example"})
	run := Runner{Store: Keep(st), Resolver: dead, Options: posture.Options{Frugal: true}}
	wave, err := run.Run(t.Context(), wave)
	if err != nil {
		t.Fatal(err)
	}
	row := rows(t, st, wave)[0]
	if !row.Result.Unanswered || !row.Result.Retry || wave.Unanswered != 1 {
		t.Errorf("result %+v", row.Result)
	}
	for i, f := range wave.Facts {
		if row.Result.States[i] != store.Unknown {
			t.Errorf("%s is %v", f, row.Result.States[i])
		}
	}
	if asked.Load() > 4 {
		t.Errorf("%d questions", asked.Load())
	}
}

type resolverFunc func(context.Context, string, dns.Type) (dns.Answer, error)

func (f resolverFunc) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	return f(ctx, name, t)
}

// TestRetries: what was unknown at first is known after a retry, an earlier
// answer is not lost to a worse later one, and a run over a finished wave asks
// for the unknown only.
func TestRetries(t *testing.T) {
	zone := wildZone(t, 10)
	var round atomic.Int64
	var asked [10]atomic.Int64
	r := resolverFunc(func(ctx context.Context, name string, typ dns.Type) (dns.Answer, error) {
		labels := strings.Split(name, ".")
		var no int
		if _, err := fmt.Sscanf(strings.Join(labels[max(0, len(labels)-2):], "."), "d%d.example", &no); err == nil && no < len(asked) {
			asked[no].Add(1)
			switch {
			case no == 1 && round.Load() == 0, // at first it does not answer at all
				no == 2 && round.Load() == 0 && strings.HasPrefix(name, "_dmarc."),
				no == 2 && round.Load() > 0 && !strings.HasPrefix(name, "_dmarc."),
				no == 3: // never
				return dns.Answer{}, &dns.Failure{Name: name, Type: typ, Err: dns.ErrTemporary}
			}
		}
		return zone.Lookup(ctx, name, typ)
	})
	st, wave := begin(t, numbered(10))
	run := Runner{Store: Keep(st), Resolver: r, Options: posture.Options{Frugal: true}, Retries: 0}
	wave, err := run.Run(t.Context(), wave)
	if err != nil {
		t.Fatal(err)
	}
	if wave.Unanswered != 2 || wave.Finished.IsZero() {
		t.Fatalf("wave %+v", wave)
	}
	var before [10]int64
	for i := range asked {
		before[i] = asked[i].Load()
	}
	round.Store(1)
	run.Retries, run.Backoff = 1, time.Millisecond
	if wave, err = run.Run(t.Context(), wave); err != nil {
		t.Fatal(err)
	}
	if wave.Unanswered != 1 {
		t.Errorf("%d unanswered, want 1", wave.Unanswered)
	}
	all := rows(t, st, wave)
	for i := range asked {
		again := asked[i].Load() - before[i]
		if want := i >= 1 && i <= 3; want != (again > 0) {
			t.Errorf("d%d.example: asked %d times again", i, again)
		}
		if want := map[bool]int64{true: 2, false: 1}[i >= 1 && i <= 3]; all[i].Result.Attempts != want {
			t.Errorf("d%d.example: %d attempts, want %d", i, all[i].Result.Attempts, want)
		}
	}
	state := func(no int, f posture.Fact) store.State {
		for i, name := range wave.Facts {
			if name == string(f) {
				return all[no].Result.States[i]
			}
		}
		return store.Unknown
	}
	if state(1, posture.FactSPF) != store.Yes || state(3, posture.FactSPF) != store.Unknown {
		t.Error("a retry did not tell what there was to tell")
	}
	// Of d2 the first attempt told more: it stays.
	if state(2, posture.FactMX) != store.Yes || state(2, posture.FactDMARC) != store.Unknown {
		t.Errorf("d2.example: mx %v, dmarc %v", state(2, posture.FactMX), state(2, posture.FactDMARC))
	}
}

// TestInterrupted: a run that is stopped ends within a second and keeps what it
// has; the next one does not ask again for what is done.
func TestInterrupted(t *testing.T) {
	const n = 400
	zone := wildZone(t, 20)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked [n]atomic.Int32
	var total atomic.Int64
	slow := resolverFunc(func(ctx context.Context, name string, typ dns.Type) (dns.Answer, error) {
		labels := strings.Split(name, ".")
		var no int
		if len(labels) == 2 && typ == dns.MX {
			if _, err := fmt.Sscanf(name, "d%d.example", &no); err == nil {
				asked[no].Add(1)
				if total.Add(1) == 100 {
					cancel()
				}
			}
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return dns.Answer{}, &dns.Failure{Name: name, Type: typ, Err: fmt.Errorf("%w: %w", dns.ErrTemporary, ctx.Err())}
		}
		return zone.Lookup(ctx, name, typ)
	})
	st, wave := begin(t, numbered(n))
	run := Runner{Store: Keep(st), Resolver: slow, Options: posture.Options{Frugal: true}, Domains: 16}
	began := time.Now()
	if _, err := run.Run(ctx, wave); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	half, err := st.Wave(t.Context(), "w")
	if err != nil || half.Measured == 0 || half.Measured > 100 || !half.Finished.IsZero() {
		t.Fatalf("%+v, %v", half, err)
	}
	done := map[int64]bool{}
	for _, row := range rows(t, st, half) {
		if row.Result.No != 0 {
			done[row.No] = true
			if row.Result.Retry || row.Result.Unanswered {
				t.Errorf("%s: what was cut short was kept as a result", row.Domain)
			}
		}
	}
	var before [n]int32
	for i := range asked {
		before[i] = asked[i].Load()
	}
	var last Progress
	run.Progress = func(p Progress) { last = p }
	whole, err := run.Run(t.Context(), half)
	if err != nil || whole.Measured != n || whole.Finished.IsZero() {
		t.Fatalf("%+v, %v", whole, err)
	}
	if last.Total != n || last.Done < half.Measured || last.Rate <= 0 {
		t.Errorf("progress %+v", last)
	}
	for i := range asked {
		if again := asked[i].Load() - before[i]; done[int64(i+1)] != (again == 0) {
			t.Errorf("d%d.example: done %v, and asked %d times", i, done[int64(i+1)], again)
		}
	}
}

// TestManners: the servers of one operator get no more questions a second than
// they may, those of others do not wait for them, and those on this machine get
// what they can take.
func TestManners(t *testing.T) {
	type span struct{ n, first, last atomic.Int64 }
	var big, others, local span
	began := time.Now()
	count := func(s *span) {
		now := int64(time.Since(began))
		s.n.Add(1)
		s.first.CompareAndSwap(0, now)
		s.last.Store(now)
	}
	r := resolverFunc(func(_ context.Context, name string, typ dns.Type) (dns.Answer, error) {
		labels := strings.Split(strings.TrimSuffix(name, "."), ".")
		org := strings.Join(labels[max(0, len(labels)-2):], ".")
		if typ == dns.NS {
			switch {
			case strings.HasPrefix(org, "big"):
				return dns.Answer{Records: []string{"ns1.operator.example.", "ns2.operator-2.example."}}, nil
			case strings.HasPrefix(org, "local"):
				return dns.Answer{Records: []string{"ns.loopback.example."}}, nil
			case strings.HasPrefix(org, "small"):
				return dns.Answer{Records: []string{"ns." + strings.Map(letters, org) + "."}}, nil
			}
		}
		if typ == dns.A && strings.HasPrefix(name, "ns") {
			if org == "loopback.example" {
				return dns.Answer{Records: []string{"127.0.0.1"}}, nil
			}
			return dns.Answer{Records: []string{"192.0.2.1"}}, nil
		}
		switch {
		case strings.HasPrefix(org, "big"):
			count(&big)
		case strings.HasPrefix(org, "small"):
			count(&others)
		case strings.HasPrefix(org, "local"):
			count(&local)
		}
		return dns.Answer{}, &dns.Failure{Name: name, Type: typ, Err: dns.ErrNoData}
	})
	var domains []string
	for i := range 40 { // first come those of one operator
		domains = append(domains, fmt.Sprintf("big%d.example", i))
	}
	for i := range 40 {
		domains = append(domains, fmt.Sprintf("small%d.example", i), fmt.Sprintf("local%d.example", i))
	}
	st, wave := begin(t, domains)
	const rate = 400
	run := Runner{Store: Keep(st), Resolver: r, Options: posture.Options{Frugal: true}, Domains: 16, AuthorityRate: rate}
	if _, err := run.Run(t.Context(), wave); err != nil {
		t.Fatal(err)
	}
	pace := float64(big.n.Load()) / (time.Duration(big.last.Load() - big.first.Load())).Seconds()
	t.Logf("%d questions at %.0f a second; others done at %v, local at %v, all at %v", big.n.Load(), pace,
		time.Duration(others.last.Load()).Round(time.Millisecond), time.Duration(local.last.Load()).Round(time.Millisecond), time.Duration(big.last.Load()).Round(time.Millisecond))
	if pace > 1.25*rate {
		t.Errorf("%.0f questions a second, %d allowed", pace, rate)
	}
	if others.last.Load() > big.last.Load() || local.last.Load() > big.last.Load()/2 {
		t.Error("others waited for the one operator")
	}
}

func letters(r rune) rune { // so that each small domain has an operator of its own
	if '0' <= r && r <= '9' {
		return r - '0' + 'a'
	}
	return r
}

// TestAuthority: failures slow an operator's questions down, answers make up
// for it, and never below a twentieth.
func TestAuthority(t *testing.T) {
	a := newAuthority("k", 100)
	for range 10 {
		a.halved = time.Time{}
		a.note(true)
	}
	if a.rate != 5 {
		t.Errorf("rate %v after failures, want 5", a.rate)
	}
	if got := a.share(256); got != 1 {
		t.Errorf("%d domains at a time", got)
	}
	for range 1000 {
		a.note(false)
	}
	if a.rate != 100 || a.share(256) != 33 {
		t.Errorf("rate %v, share %d after answers", a.rate, a.share(256))
	}
	for hosts, want := range map[string]string{
		"ns-1.awsdns-12.com. ns-2.awsdns-34.co.uk.": "awsdns.co.uk", "ns1.example.jp": "example.jp", "": "",
	} {
		if got := operator(strings.Fields(hosts)); got != want {
			t.Errorf("%s: %q, want %q", hosts, got, want)
		}
	}
}

// TestResult: selectors from the list are asked, problems are kept, and the
// document is the posture.
func TestResult(t *testing.T) {
	zone := wildZone(t, 5)
	st, wave := begin(t, []string{"d1.example"})
	run := Runner{Store: Keep(st), Resolver: zone, Options: posture.Options{Frugal: true, Now: time.Now}}
	if _, err := run.Run(t.Context(), wave); err != nil {
		t.Fatal(err)
	}
	row, err := st.SurveyRow(t.Context(), wave.ID, 1)
	if err != nil {
		t.Fatal(err)
	}
	var p posture.Posture
	if err := json.Unmarshal(row.Result.Doc, &p); err != nil || p.Domain.String() != "d1.example" {
		t.Errorf("%v: %s", err, row.Result.Doc)
	}
	if len(row.Result.Codes) == 0 || row.Result.Questions < 5 || row.Result.Took <= 0 {
		t.Errorf("%+v", row.Result)
	}
	if got := joined([]string{"a", "b"}, []string{"b", "c"}); strings.Join(got, " ") != "a b c" {
		t.Errorf("selectors %v", got)
	}
}

// TestMemory: memory does not grow with the list. SEKIMORI_SURVEY_DOMAINS sets
// how many there are.
func TestMemory(t *testing.T) {
	n := 6000
	if s := os.Getenv("SEKIMORI_SURVEY_DOMAINS"); s != "" {
		fmt.Sscan(s, &n)
	}
	generated := resolverFunc(func(_ context.Context, name string, typ dns.Type) (dns.Answer, error) {
		org := strings.Count(name, ".") == 1
		switch {
		case org && typ == dns.MX:
			return dns.Answer{Records: []string{"10 mx.example."}}, nil
		case org && typ == dns.TXT:
			return dns.Answer{Records: []string{"v=spf1 mx include:spf.example -all", "verification=" + name}}, nil
		case org && typ == dns.NS:
			return dns.Answer{Records: []string{"ns.op" + string(rune('a'+len(name)%20)) + ".example."}}, nil
		case typ == dns.A:
			return dns.Answer{Records: []string{"127.0.0.1"}}, nil
		}
		return dns.Answer{}, &dns.Failure{Name: name, Type: typ, Err: dns.ErrNoData}
	})
	st, wave := begin(t, numbered(n))
	var most uint64
	run := Runner{Store: Keep(st), Resolver: generated, Options: posture.Options{Frugal: true}, AuthorityRate: DefaultAuthorityRate, Progress: func(Progress) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapInuse)
	}}
	began := time.Now()
	wave, err := run.Run(t.Context(), wave)
	if err != nil || wave.Measured != int64(n) {
		t.Fatalf("%+v, %v", wave, err)
	}
	t.Logf("%d domains in %v, %d MiB of heap at most", n, time.Since(began).Round(time.Millisecond), most>>20)
	if most > 96<<20 {
		t.Errorf("%d MiB of heap", most>>20)
	}
}
