package verdict

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sekimori/explain"
	"sekimori/report/aggregate"
)

// A row has at most 100 DKIM results, the ones that say most (RFC 9990 §3.1.3).
func TestCapped(t *testing.T) {
	r := aggregate.Record{HeaderFrom: "mail.example.com"}
	add := func(n int, domain, result string) {
		for i := range n {
			r.DKIMResults = append(r.DKIMResults, aggregate.DKIMResult{Domain: domain, Result: result, Selector: fmt.Sprint("s", i)})
		}
	}
	add(60, "mail.example.com", "fail")
	add(60, "else.example", "pass")
	add(30, "example.com", "pass")
	add(20, "MAIL.example.com", "pass")
	count := map[string]int{}
	got := capped(&r)
	for _, x := range got {
		count[x.Domain+" "+x.Result]++
	}
	want := map[string]int{"else.example pass": 50, "example.com pass": 30, "MAIL.example.com pass": 20}
	if d := cmp.Diff(want, count); d != "" || len(got) != 100 {
		t.Error(d)
	}
	if got[0].Domain != "else.example" || got[99].Domain != "MAIL.example.com" {
		t.Error("not in the order of the header")
	}
	r.DKIMResults = r.DKIMResults[:100]
	if d := cmp.Diff(r.DKIMResults, capped(&r)); d != "" {
		t.Error(d)
	}
	r = aggregate.Record{HeaderFrom: "no domain"}
	add(300, "a.example", "fail")
	if len(capped(&r)) != 100 {
		t.Error("not capped")
	}
}

// Large and deep entries are cut, and stay readable.
func TestLargeEntry(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, dir, Options{Segment: 64 << 10})
	e := testEntry(10, noon)
	long := make([]byte, 1<<20)
	for i := range long {
		long[i] = 'a'
	}
	e.Subject = string(long)
	for i := range 5000 {
		e.Rcpt = append(e.Rcpt, fmt.Sprintf("r%d@%s", i, long[:300]))
	}
	step := explain.Step{Code: "deep"}
	for range 100 {
		step = explain.Step{Code: "deep", Children: []explain.Step{step}}
	}
	e.Why = append(e.Why, step)
	for range 3000 {
		e.Why = append(e.Why, explain.Step{Code: "many", Args: explain.Args{"x": string(long[:200])}})
	}
	if _, err := l.Append(e); err != nil {
		t.Fatal(err)
	}
	flush(t, l)
	got, err := readTest(t, dir).Entry(t.Context(), e.ID)
	if err != nil || len(got.Rcpt) != maxRcpt || len(got.Subject) != maxText || len(got.Why) == 0 {
		t.Errorf("%d recipients, %d of the subject, %d steps, %v", len(got.Rcpt), len(got.Subject), len(got.Why), err)
	}
}

func FuzzEntry(f *testing.F) {
	for _, e := range []*Entry{testEntry(0, noon), testEntry(1, noon), {Record: aggregate.Record{SourceIP: netip.IPv6Loopback()}}} {
		f.Add(appendKind(nil, e), appendMessage(nil, e), appendSteps(nil, e.Why, 0))
	}
	f.Fuzz(func(t *testing.T, kind, message, why []byte) {
		var e Entry
		okKind := parseKind(kind, &e) == nil
		okMessage := parseMessage(message, &e) == nil
		d := decoder{b: why}
		steps := d.steps(0)
		if d.done() == nil {
			d := decoder{b: appendSteps(nil, steps, 0)}
			if again := d.steps(0); d.done() == nil && !cmp.Equal(steps, again) && len(why) < maxText {
				t.Log("a step differs when it is written again") // longer than what is written
			}
		}
		if !okKind || !okMessage {
			return
		}
		var again Entry
		if err := parseKind(appendKind(nil, &e), &again); err != nil {
			t.Fatal(err)
		}
		if err := parseMessage(appendMessage(nil, &e), &again); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzFrames(f *testing.F) {
	b := appendFrame(nil, 1, frameEntry, []byte("content"))
	f.Add(appendFrame(b, 2, frameOutcomes, []byte{1, 1, 2, 200, 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &segment{f: bytesFile(append([]byte(segmentMagic), b...)), end: int64(len(segmentMagic) + len(b)), old: true}
		r := newSegmentReader(s)
		for {
			f, ok, err := r.next(s.end)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			_, _ = parseRecord(f)
			_ = parseOutcomes(f.content, func(settled) {})
		}
		if r.torn < 0 || r.torn > int64(len(b)) {
			t.Fatalf("%d octets are torn of %d", r.torn, len(b))
		}
	})
}

// bytesFile is a segment in memory.
type bytesFile []byte

func (f bytesFile) ReadAt(b []byte, at int64) (int, error) {
	if at >= int64(len(f)) {
		return 0, errEncoding
	}
	n := copy(b, f[at:])
	if n < len(b) {
		return n, errEncoding
	}
	return n, nil
}
func (bytesFile) WriteAt([]byte, int64) (int, error) { return 0, errEncoding }
func (bytesFile) Close() error                       { return nil }
func (bytesFile) Sync() error                        { return nil }
