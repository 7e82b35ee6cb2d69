package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sekimori/report/aggregate"
)

func testMail(r *rand.Rand, i int) MailResult {
	words := []string{"pass", "none", "fail", "bestguesspass", "temperror"}
	states := func() MailStates {
		return MailStates{SPF: words[r.IntN(5)], DKIM: words[r.IntN(3)], DMARC: words[r.IntN(4)]}
	}
	m := MailResult{Key: [16]byte{byte(i), byte(i >> 8), 9, 15: 1}, Path: fmt.Sprintf("box/%d.eml", i), Entry: int64(r.IntN(4)), From: fmt.Sprintf("news@d%d.example", i%7),
		Subject: fmt.Sprintf("お知らせ %d", i), SMIME: words[r.IntN(2)], Now: states(), Doc: fmt.Appendf(nil, `{"message":%d,"text":%q}`, i, strings.Repeat("verdict ", 40))}
	if i%3 > 0 {
		m.Then = states()
		m.Arrived = testDay.Add(time.Duration(i) * time.Minute)
	}
	if i%5 == 0 {
		m.Then.DKIM = ""
		m.Selectors = []Selector{{Domain: "d1.example", Name: fmt.Sprint("s", i%3)}}
	}
	return m
}

func TestMail(t *testing.T) {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(6, 6))
	s := openTest(t, t.TempDir())
	other, _, err := s.StartWave(ctx, WaveSpec{Name: "other"})
	if err != nil {
		t.Fatal(err)
	}
	wave, _, err := s.StartWave(ctx, WaveSpec{Name: "w"})
	if err != nil {
		t.Fatal(err)
	}
	var all []MailResult
	for i := range 400 {
		all = append(all, testMail(r, i))
	}
	if n, err := s.PutMail(ctx, other.ID, all[:7]); err != nil || n != 7 {
		t.Fatal(n, err)
	}
	var fresh int64
	for part := range slices.Chunk(append(slices.Clone(all[:5]), all...), 90) { // the first five twice in one batch
		n, err := s.PutMail(ctx, wave.ID, part)
		if err != nil {
			t.Fatal(err)
		}
		fresh += n
	}
	if fresh != 400 {
		t.Errorf("%d new messages, want 400", fresh)
	}
	// The same again takes the place of what is there.
	for i := range all[:20] {
		all[i].Entry = 3
		all[i].Now.SPF = "permerror"
	}
	if n, err := s.PutMail(ctx, wave.ID, all[:20]); err != nil || n != 0 {
		t.Errorf("%d new messages, %v", n, err)
	}
	if w, err := s.Wave(ctx, "w"); err != nil || w.Messages != 400 {
		t.Errorf("%+v, %v", w, err)
	}
	var got []MailResult
	if err := s.EachMail(ctx, wave.ID, func(m *MailResult) error { got = append(got, *m); return nil }); err != nil {
		t.Fatal(err)
	}
	var want []MailResult
	for _, m := range all {
		m.Doc = nil
		want = append(want, m)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("messages: %s", d)
	}
	for entry, ok := range map[int64]func(MailResult) bool{
		0:  func(MailResult) bool { return true },
		3:  func(m MailResult) bool { return m.Entry == 3 },
		-1: func(m MailResult) bool { return m.Entry == 0 },
	} {
		var want []MailResult
		for _, m := range all {
			if ok(m) {
				want = append(want, m)
			}
		}
		got, total, err := s.Mails(ctx, wave.ID, entry, Page{Sort: "no", Limit: 1000})
		if err != nil || int(total) != len(want) || cmp.Diff(want, got) != "" {
			t.Errorf("messages of %d: %d, %v: %s", entry, total, err, cmp.Diff(want, got))
		}
	}
	if m, total, err := s.Mails(ctx, wave.ID, 0, Page{Search: "お知らせ 39", Limit: 3}); err != nil || total != 11 || len(m) != 3 || m[0].Arrived.Before(m[1].Arrived) {
		t.Errorf("%d, %v", total, err)
	}
	for _, basis := range []Basis{BasisThen, BasisNow} {
		for _, matched := range []bool{false, true} {
			want := map[Combination]int64{}
			for _, m := range all {
				if matched && m.Entry == 0 {
					continue
				}
				st := m.Now
				if basis == BasisThen {
					for _, x := range []struct {
						to   *string
						then string
					}{{&st.SPF, m.Then.SPF}, {&st.DKIM, m.Then.DKIM}, {&st.DMARC, m.Then.DMARC}} {
						if x.then != "" {
							*x.to = x.then
						}
					}
				}
				want[Combination{SMIME: m.SMIME, MailStates: st}]++
			}
			got, err := s.Combinations(ctx, wave.ID, basis, matched)
			if err != nil || len(got) != len(want) {
				t.Fatal(len(got), len(want), err)
			}
			for i, c := range got {
				n := c.Count
				c.Count = 0
				if want[c] != n || i > 0 && got[i-1].Count < n {
					t.Errorf("%s %v: %+v: %d, want %d", basis, matched, c, n, want[c])
				}
			}
		}
	}
	if _, err := s.Combinations(ctx, wave.ID, "perhaps", false); err == nil {
		t.Error("counted by nonsense")
	}
}

func TestSelectors(t *testing.T) {
	ctx := context.Background()
	s := openTest(t, t.TempDir())
	report := func(id string, records ...aggregate.Record) {
		t.Helper()
		n := &Incoming{Report: testReport("d.example", "receiver.example", id, 0, 1), Rows: &Rows{}, Origin: Origin{1, id, ""}}
		for i := range records {
			n.Rows.Add(&records[i])
		}
		if _, err := s.Put(ctx, []*Incoming{n}); err != nil {
			t.Fatal(err)
		}
	}
	signed := func(count uint64, sigs ...string) aggregate.Record {
		rec := sampleRecord(0)
		rec.Count, rec.DKIMResults = count, nil
		for _, x := range sigs {
			f := strings.Fields(x)
			rec.DKIMResults = append(rec.DKIMResults, aggregate.DKIMResult{Domain: f[0], Selector: f[1], Result: f[2]})
		}
		return rec
	}
	report("1", signed(5, "D.example a pass", "vendor.example v pass"), signed(9, "d.example b pass"), signed(100, "d.example forged fail"))
	check := func(want map[string][]string) {
		t.Helper()
		got, err := s.Selectors(ctx, []string{"d.example", "vendor.example", "Mail.example", "nobody.example"})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	}
	check(map[string][]string{"d.example": {"b", "a"}, "vendor.example": {"v"}})
	var many []aggregate.Record
	for i := range 40 {
		many = append(many, signed(1, fmt.Sprintf("many.example s%02d pass", i)))
	}
	report("2", append(many, signed(20, "d.example A pass"))...)
	s.surveys.marks.at = time.Time{} // a minute later
	check(map[string][]string{"d.example": {"a", "b"}, "vendor.example": {"v"}})
	got, err := s.Selectors(ctx, []string{"many.example"})
	if err != nil || len(got["many.example"]) != 20 || got["many.example"][0] != "s00" {
		t.Errorf("%v, %v", got, err)
	}
	wave, _, err := s.StartWave(ctx, WaveSpec{Name: "w"})
	if err != nil {
		t.Fatal(err)
	}
	mail := MailResult{Selectors: []Selector{{"mail.example", "m1"}, {"MAIL.example.", "M1"}, {"mail.example", "m2"}, {"", "x"}, {"d.example", "a"}}}
	for range 2 {
		if _, err := s.PutMail(ctx, wave.ID, []MailResult{mail}); err != nil {
			t.Fatal(err)
		}
	}
	check(map[string][]string{"d.example": {"a", "b"}, "vendor.example": {"v"}, "Mail.example": {"m1", "m2"}})
}
