package verdict

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sekimori/explain"
	"sekimori/report/aggregate"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// testEntry is message i of a made-up traffic: 50 domains, 200 senders.
func testEntry(i int, at time.Time) *Entry {
	author := fmt.Sprintf("d%d.example", i%50)
	client := netip.AddrFrom4([4]byte{192, 0, byte(2 + i%4), byte(i % 50)})
	e := &Entry{
		Time: at, Took: time.Duration(i%20) * time.Millisecond, QueueID: fmt.Sprintf("4Q%08X", i),
		MessageID: fmt.Sprintf("%d.%x@mail.%s", i, i*2654435761, author), Client: client, Helo: "mail." + author,
		MailFrom: fmt.Sprintf("user%d@%s", i%300, author), From: fmt.Sprintf("user%d@%s", i%300, author),
		Rcpt: []string{fmt.Sprintf("staff%d@city.example.jp", i%1000)}, Size: int64(1000 + i), Action: Accept, Asked: Accept,
		SPF: "pass", DKIM: "pass", DMARC: "pass", ARC: "none",
		Policy: Policy{Domain: author, Text: "v=DMARC1; p=reject; rua=mailto:r@" + author, Method: "treewalk"},
		Record: aggregate.Record{SourceIP: client, Disposition: aggregate.DispositionPass, DKIM: true, SPF: true, HeaderFrom: author, EnvelopeFrom: author,
			DKIMResults: []aggregate.DKIMResult{{Domain: author, Selector: "s1", Result: "pass"}},
			SPFResults:  []aggregate.SPFResult{{Domain: author, Scope: "mfrom", Result: "pass"}}},
	}
	e.Print[0], e.Print[1], e.Print[2], e.Print[15] = byte(i), byte(i>>8), byte(i>>16), 1
	if i%10 == 0 {
		e.SPF, e.DKIM, e.DMARC = "fail", "none", "fail"
		e.Action, e.Asked = Quarantine, Quarantine
		e.Record.DKIM, e.Record.SPF, e.Record.Disposition = false, false, aggregate.DispositionQuarantine
		e.Record.DKIMResults = nil
		e.Record.SPFResults[0].Result = "fail"
		e.Record.Reasons = []aggregate.Reason{{Type: "local_policy", Comment: "quarantined"}}
		e.Rule = explain.Step{Code: "gateway.rule", Args: explain.Args{"number": int64(3)}}
		e.Why = []explain.Step{
			{Code: "spf.fail", Ref: "RFC 7208 §8.4", Args: explain.Args{"ip": client.String(), "domain": author, "share": 0.5, "ok": true, "list": []string{"a", "b"}}},
			{Code: "dmarc.fail", Ref: "RFC 9989 §4.4", Args: explain.Args{"domain": author}, Children: []explain.Step{{Code: "dmarc.not-aligned"}}},
		}
	}
	return e
}

func openTest(t testing.TB, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func readTest(t testing.TB, dir string) *Reader {
	t.Helper()
	r, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func flush(t testing.TB, l *Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := l.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// totals adds up what each day's reports count, and checks that the day says
// the same.
func totals(t testing.TB, dir string) map[string]int64 {
	t.Helper()
	ctx := context.Background()
	r := readTest(t, dir)
	days, err := r.Days(ctx)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	for _, d := range days {
		policies, err := r.Policies(ctx, d.Day)
		if err != nil {
			t.Fatal(err)
		}
		var sum int64
		for _, p := range policies {
			var n, rows int64
			err := r.Rows(ctx, d.Day, p.ID, func(rec *aggregate.Record) error {
				n += int64(rec.Count)
				rows++
				return nil
			})
			if err != nil || n != p.Messages || rows != p.Rows {
				t.Fatalf("%s: %+v has %d messages in %d rows, %v", d.Day, p, n, rows, err)
			}
			sum += n
		}
		if sum != d.Messages {
			t.Fatalf("%+v: rows count %d", d, sum)
		}
		out[d.Day] = sum
	}
	return out
}

func TestAppendAndRead(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	l := openTest(t, dir, Options{})
	var all []*Entry
	for i := range 500 {
		e := testEntry(i, noon.Add(time.Duration(i)*time.Second))
		switch i {
		case 20:
			e.Client, e.Record.SourceIP = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::1")
			e.From, e.Subject = "other@else.example", "件名"
		case 21:
			e.Client = netip.Addr{}
		case 22:
			e.Policy, e.DMARC = Policy{}, "none"
		}
		r, err := l.Append(e)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && e.ID <= all[i-1].ID {
			t.Fatalf("ID %d after %d", e.ID, all[i-1].ID)
		}
		r.Confirm()
		all = append(all, e)
	}
	flush(t, l)
	if s := l.Stats(); s.Appended != 500 || s.Unmoved != 0 || s.Waiting != 0 || s.Fault != nil || s.Moving != nil {
		t.Errorf("%+v", s)
	}
	r := readTest(t, dir)
	for i, e := range all {
		got, err := r.Entry(ctx, e.ID)
		if err != nil {
			t.Fatal(err)
		}
		want := *e
		want.Print, want.Answer, want.Counted = [16]byte{}, Received, true
		want.Record.Count = 1
		if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Fatalf("entry %d: %s", i, d)
		}
	}
	if _, err := r.Entry(ctx, 1<<40); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown: %v", err)
	}
	if got := totals(t, dir); !reflect.DeepEqual(got, map[string]int64{"2026-11-22": 500}) {
		t.Errorf("%v", got)
	}
	for _, c := range []struct {
		q    Query
		want []int
	}{
		{Query{MessageID: all[77].MessageID}, []int{77}},
		{Query{MessageID: "<" + all[77].MessageID + ">"}, []int{77}},
		{Query{Text: all[77].MessageID}, []int{77}},
		{Query{Text: all[77].QueueID}, []int{77}},
		{Query{Sender: "OTHER@else.example"}, []int{20}},
		{Query{Sender: "else.example"}, []int{20}},
		{Query{Text: "@else.example"}, []int{20}},
		{Query{Address: "2001:db8::/32"}, []int{20}},
		{Query{Address: "2001:db8::1"}, []int{20}},
		{Query{Text: "2001:db8::1"}, []int{20}},
		{Query{Address: "staff7@CITY.example.jp"}, []int{7}},
		{Query{Address: "192.0.2.0/28", Limit: 3}, []int{464, 460, 456}},
		{Query{Address: "192.0.2.0/28", Limit: 3, Before: all[456].ID}, []int{452, 412, 408}},
		{Query{Address: "192.0.2.8", Action: Accept, Limit: 3}, []int{408, 308, 208}},
		{Query{DMARC: "none"}, []int{22}},
		{Query{Limit: 2}, []int{499, 498}},
		{Query{Action: Quarantine, Limit: 2, Before: all[491].ID}, []int{490, 480}},
		{Query{Since: noon.Add(10 * time.Second), Until: noon.Add(13 * time.Second)}, []int{12, 11, 10}},
		{Query{Action: Refuse}, nil},
		{Query{Sender: "nobody@else.example"}, nil},
		{Query{Sender: "other@else.example", Address: "203.0.113.1"}, nil},
	} {
		found, more, err := r.Find(ctx, c.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, e := range found {
			for i := range all {
				if all[i].ID == e.ID {
					got = append(got, i)
				}
			}
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: %v, want %v (more: %v)", c.q, got, c.want, more)
		}
	}
	live, err := r.Live(ctx, noon, noon.Add(10*time.Minute), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if len(live.Buckets) != 10 || live.Total.Messages() != 500 || live.Total.Quarantine != 50 || live.Total.Fail != 50 || live.Total.NoPolicy != 1 ||
		live.Buckets[0].Messages() != 60 || live.Buckets[8].Messages() != 20 || live.Buckets[9].Messages() != 0 {
		t.Errorf("%+v", live)
	}
	if len(live.Spoofed) != 5+0 || live.Spoofed[0].Messages != 10 || live.Spoofed[0].Sources == 0 || len(live.Senders) == 0 || live.Senders[0].Domains == 0 {
		t.Errorf("%+v\n%+v", live.Spoofed, live.Senders)
	}
	if q := live.Latency.Quantile(0.5); q < 5*time.Millisecond || q > 15*time.Millisecond {
		t.Errorf("median %v", q)
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, dir, Options{})
	_, err := Open(dir, Options{})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Fatalf("%v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(testEntry(1, noon)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	openTest(t, dir, Options{})
}

func TestNothingKept(t *testing.T) {
	ctx := context.Background()
	r := readTest(t, t.TempDir()+"/none")
	if d, err := r.Days(ctx); len(d) > 0 || err != nil {
		t.Errorf("%v, %v", d, err)
	}
	if f, more, err := r.Find(ctx, Query{Text: "a@b.example"}); len(f) > 0 || more || err != nil {
		t.Errorf("%v, %v", f, err)
	}
	if _, err := r.Policies(ctx, "2026-11-22"); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
	if live, err := r.Live(ctx, noon, noon.Add(time.Hour), time.Minute); err != nil || len(live.Buckets) != 60 {
		t.Errorf("%+v, %v", live, err)
	}
}

// An address is kept as the message wrote it; the domain is asked for as a log,
// a policy or a person writes it.
func TestFindInternationalized(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, dir, Options{})
	for i, from := range []string{"a@日本語.example", "a@xn--wgv71a119e.example"} {
		e := testEntry(i, noon)
		e.MailFrom, e.From, e.Rcpt = "", from, []string{from}
		if _, err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, l)
	r := readTest(t, dir)
	for _, s := range []string{"日本語.example", "xn--wgv71a119e.example", "XN--WGV71A119E.Example", "a@日本語.example", "a@xn--wgv71a119e.example", "@xn--wgv71a119e.example"} {
		for _, q := range []Query{{Text: s}, {Sender: s}, {Address: s}} {
			if found, _, err := r.Find(context.Background(), q); err != nil || len(found) != 2 {
				t.Errorf("%+v: %d entries, %v", q, len(found), err)
			}
		}
	}
}
