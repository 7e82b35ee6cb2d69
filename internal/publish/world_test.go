package publish

import (
	"encoding/json"
	"testing"
	"time"

	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/posture"
	"sekimori/internal/store"
)

// entryOf is a line of the small list.
func entryOf(line int64, name, domain, kind, prefecture, people string) store.Entry {
	return store.Entry{No: line - 1, Line: line, Name: name, Domain: domain, Input: domain, Attributes: []string{kind, prefecture, people}}
}

// small is the survey of testdata/small.zone: ten domains, a duplicate, a row
// without a domain and one that cannot be read, and seven messages.
func small(t testing.TB) *fakeStore {
	t.Helper()
	zone, err := dnstest.Open("testdata/small.zone")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeStore{wave: store.Wave{ID: 1, WaveSpec: store.WaveSpec{Name: "2026-11", List: "small.csv", Attributes: []string{"種別", "都道府県", "人口"}},
		Started: day, Finished: day.Add(90 * time.Second), Sealed: true}}
	for _, fact := range posture.Facts {
		f.wave.Facts = append(f.wave.Facts, string(fact))
	}
	entries := []store.Entry{
		entryOf(2, "強井市", "strong.example", "市", "北海道", "120000"),
		entryOf(3, "中村", "middle.example", "村", "北海道", "800"),
		entryOf(4, "見張町", "watched.example", "町", "青森県", "9000"),
		entryOf(5, "平一市", "plain1.example", "市", "青森県", "50000"),
		entryOf(6, "平二市", "plain2.example", "市", "岩手県", "60000"),
		entryOf(7, "壊村", "broken.example", "村", "岩手県", "1500"),
		entryOf(8, "裸町", "bare.example", "町", "沖縄県", "7000"),
		entryOf(9, "静町", "silent.example", "町", "沖縄県", ""),
		entryOf(10, "遅市", "slow.example", "市", "沖縄県", "300000"),
		entryOf(11, "半村", "half.example", "村", "沖縄県", "2000"),
		entryOf(12, "強井市 観光課", "strong.example", "市", "北海道", "120000"),
		entryOf(13, "名無町", "", "町", "", ""),
		entryOf(14, "読めない村", "", "村", "", ""),
	}
	entries[10].Of = 1
	entries[12].Input, entries[12].Problem, entries[12].Detail = "http://", "survey.no-such-code", "http://"
	for _, e := range entries {
		row := store.SurveyRow{Entry: e}
		f.wave.Entries++
		switch {
		case e.Of != 0:
			f.wave.Duplicates++
		case e.Problem != "":
			f.wave.Invalid++
		case e.Domain == "":
			f.wave.Without++
		default:
			f.wave.Domains++
			f.wave.Measured++
			row.Result = inspect(t, zone, e)
			if row.Result.Unanswered {
				f.wave.Unanswered++
			}
		}
		f.rows = append(f.rows, row)
	}
	for i, m := range []store.MailResult{
		{Entry: 1, From: "news@strong.example", Subject: "お知らせ", SMIME: "pass", Now: store.MailStates{SPF: "pass", DKIM: "pass", DMARC: "pass"}, Then: store.MailStates{SPF: "pass", DKIM: "pass", DMARC: "pass"}},
		{Entry: 1, From: "news@strong.example", SMIME: "pass", Now: store.MailStates{SPF: "pass", DKIM: "pass", DMARC: "pass"}, Then: store.MailStates{SPF: "pass", DKIM: "pass", DMARC: "pass"}},
		{Entry: 2, From: "news@middle.example", SMIME: "none", Now: store.MailStates{SPF: "pass", DKIM: "none", DMARC: "pass"}, Then: store.MailStates{SPF: "pass", DKIM: "none", DMARC: "bestguesspass"}},
		{Entry: 6, From: "news@broken.example", SMIME: "none", Now: store.MailStates{SPF: "permerror", DKIM: "none", DMARC: "none"}, Then: store.MailStates{SPF: "permerror", DKIM: "none", DMARC: "none"}},
		{Entry: 7, From: "news@bare.example", SMIME: "none", Now: store.MailStates{SPF: "none", DKIM: "none", DMARC: "none"}},
		{Entry: 7, From: "news@bare.example", SMIME: "none", Now: store.MailStates{SPF: "none", DKIM: "none", DMARC: "none"}, Then: store.MailStates{SPF: "softfail", DKIM: "none", DMARC: "none"}},
		{Entry: 0, From: "who@elsewhere.example", SMIME: "none", Now: store.MailStates{SPF: "pass", DKIM: "pass", DMARC: "pass"}},
	} {
		m.Key[0], m.Arrived = byte(i), day
		f.mail = append(f.mail, m)
	}
	f.wave.Messages = int64(len(f.mail))
	return f
}

// inspect measures an entry as a survey does.
func inspect(t testing.TB, zone *dnstest.Zone, e store.Entry) store.Result {
	t.Helper()
	name, err := domain.Parse(e.Domain)
	if err != nil {
		t.Fatal(err)
	}
	p := posture.Inspect(t.Context(), zone, name, posture.Options{Frugal: true, Selectors: []string{"s1"}})
	r := store.Result{No: e.No, Unanswered: p.Unanswered(), At: day, Questions: int64(p.Questions), Attempts: 1}
	for _, f := range posture.Facts {
		r.States = append(r.States, map[posture.State]store.State{posture.Yes: store.Yes, posture.No: store.No}[p.Fact(f)])
	}
	for _, f := range p.Findings {
		if f.Grade != explain.Advice {
			r.Codes = append(r.Codes, store.Code{Topic: string(f.Topic), Grade: string(f.Grade), Code: f.Code})
		}
	}
	if r.Doc, err = json.Marshal(&p); err != nil {
		t.Fatal(err)
	}
	return r
}
