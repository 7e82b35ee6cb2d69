package web

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/internal/posture"
	"sekimori/internal/profile"
	"sekimori/internal/store"
)

// kinds are domains as surveys find them, by name.
const kinds = `
$ORIGIN kind.example.
good 3600 MX 10 mx.good
good TXT "v=spf1 mx -all"
mx.good A 192.0.2.1
_dmarc.good TXT "v=DMARC1; p=reject; rua=mailto:dmarc@good.kind.example"
_mta-sts.good TXT "v=STSv1; id=20261101"
mta-sts.good A 192.0.2.2
_smtp._tls.good TXT "v=TLSRPTv1; rua=mailto:tls@good.kind.example"
watched MX 10 mx.watched
mx.watched A 192.0.2.3
watched TXT "v=spf1 mx ~all"
_dmarc.watched TXT "v=DMARC1; p=none"
open MX 10 mx.open
mx.open A 192.0.2.4
open TXT "v=spf1 mx ~all"
bare MX 10 mx.bare
mx.bare A 192.0.2.5
broken MX 10 mx.broken
mx.broken A 192.0.2.6
broken TXT "v=spf1 mx -all"
broken TXT "v=spf1 ip4:192.0.2.6 +all"
_dmarc.broken TXT "v=DMARC1; p=quarantene"
silent TXT "v=spf1 -all"
_dmarc.silent TXT "v=DMARC1; p=reject"
slow TYPE65280 \# 0
_dmarc.slow TYPE65280 \# 0
www.slow TYPE65280 \# 0
`

// kind is what a survey finds out about one domain.
type kind struct {
	states     []store.State
	codes      []store.Code
	doc        []byte
	unanswered bool
}

// factNames are the facts of the made-up waves.
func factNames() []string {
	var out []string
	for _, f := range posture.Facts {
		out = append(out, string(f))
	}
	return append(out, profile.Metrics()...)
}

// lookedAt inspects the kinds once.
var lookedAt = sync.OnceValue(func() map[string]kind {
	zone, err := dnstest.Parse(strings.NewReader(kinds), "kinds")
	if err != nil {
		panic(err)
	}
	out := map[string]kind{}
	for _, name := range []string{"good", "watched", "open", "bare", "broken", "silent", "slow", "gone"} {
		n, err := domain.Parse(name + ".kind.example")
		if err != nil {
			panic(err)
		}
		p := posture.Inspect(context.Background(), zone, n, posture.Options{Frugal: true, Timeout: 2 * time.Second})
		k := kind{unanswered: p.Unanswered()}
		k.doc, _ = json.Marshal(&p)
		of := profile.States(&p)
		for _, f := range factNames() {
			s, ok := of[f]
			if !ok {
				s = p.Fact(posture.Fact(f))
			}
			k.states = append(k.states, map[posture.State]store.State{posture.Yes: store.Yes, posture.No: store.No}[s])
		}
		for _, f := range p.Findings {
			k.codes = append(k.codes, store.Code{Topic: string(f.Topic), Grade: string(f.Grade), Code: f.Code})
		}
		out[name] = k
	}
	return out
})

// prefectures are attribute values, among them one that means harm.
var prefectures = []string{"北海道", "青森県", "岩手県", "宮城県", "秋田県", "山形県", "福島県", "茨城県", "栃木県", "群馬県", "埼玉県", "千葉県", "東京都", "神奈川県", "新潟県", "富山県", "石川県", "福井県", "山梨県", "長野県", "岐阜県", "静岡県", "愛知県", "三重県", "滋賀県", "京都府", "大阪府", "兵庫県", "奈良県", "和歌山県", "鳥取県", "島根県", "岡山県", "広島県", "山口県", "徳島県", "香川県", "愛媛県", "高知県", "福岡県", "佐賀県", "長崎県", "熊本県", "大分県", "宮崎県", "鹿児島県", "沖縄県", hostile, ""}

// fakeWave is a wave and its entries.
type fakeWave struct {
	store.Wave
	rows []store.SurveyRow
}

// surveyed makes the waves of a world, the newest first.
func surveyed() []fakeWave {
	begun := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	order := []string{"watched", "open", "good", "bare", "watched", "open", "silent", "good", "broken", "watched", "open", "slow", "gone"}
	wave := func(id int64, name string, begun time.Time, shift, n int) fakeWave {
		w := fakeWave{Wave: store.Wave{ID: id, WaveSpec: store.WaveSpec{Name: name, List: "/srv/lists/自治体一覧.csv", Attributes: []string{"都道府県", "種別", "人口", "備考"}, Facts: factNames()},
			Started: begun, Finished: begun.Add(20 * time.Minute), Sealed: true, Messages: 72}}
		for i := range n {
			k := order[(i*i+i*shift)%len(order)]
			if shift > 1 && i%3 == 0 && k == "watched" {
				k = "bare"
			}
			d := fmt.Sprintf("city%03d.example", i)
			row := store.SurveyRow{Entry: store.Entry{No: int64(i + 1), Line: int64(i + 2), Input: "https://www." + d + "/index.html", Domain: d, Name: fmt.Sprintf("架空市役所 第%d号", i+1),
				Attributes: []string{prefectures[i%len(prefectures)], []string{"市", "町", "村", "特別区"}[i%4], strconv.Itoa(900 + i*i*37), fmt.Sprintf("備考 %d", i)}}}
			switch i % 60 {
			case 7:
				row.Domain, row.Input, row.Problem, row.Detail = "", "なし", "", ""
				w.Without++
			case 11:
				row.Domain, row.Input, row.Problem, row.Detail = "", hostile, "survey.list.domain", hostile
				w.Invalid++
			case 13:
				row.Of = row.No - 5
				w.Duplicates++
			case 17:
				row.Domain, row.Name, row.Aliases = "xn--fiqs8s.example", hostile, []string{"mail." + d}
				w.Domains++
			default:
				w.Domains++
			}
			if row.Domain != "" && row.Of == 0 {
				of := lookedAt()[k]
				row.Result = store.Result{No: row.No, States: of.states, Codes: of.codes, Doc: of.doc, Unanswered: of.unanswered, Questions: 14, Attempts: 1, At: begun.Add(time.Duration(i) * time.Second)}
				w.Measured++
				if of.unanswered {
					w.Unanswered++
				}
			}
			w.Entries++
			w.rows = append(w.rows, row)
		}
		return w
	}
	now := wave(3, "2026-11", begun, 1, 420)
	running := wave(4, "週次 <試行>", begun.AddDate(0, 0, 12), 1, 200)
	running.Finished, running.Messages = time.Time{}, 0
	for i := range running.rows {
		if i > 130 && running.rows[i].Result.No != 0 {
			running.rows[i].Result = store.Result{}
			running.Measured--
		}
	}
	return []fakeWave{running, now, wave(2, "2025-11", begun.AddDate(-1, 0, 0), 3, 400)}
}

// madeUp are the waves of every world; they do not change.
var madeUp = sync.OnceValue(surveyed)

func (w *world) waves() []fakeWave {
	if w.empty {
		return nil
	}
	return madeUp()
}

func (w *world) Waves(ctx context.Context) ([]store.Wave, error) {
	var out []store.Wave
	for _, f := range w.waves() {
		out = append(out, f.Wave)
	}
	return out, w.err
}

func (w *world) Wave(ctx context.Context, name string) (store.Wave, error) {
	for _, f := range w.waves() {
		if f.Name == name || name == "" {
			return f.Wave, w.err
		}
	}
	return store.Wave{}, cmp.Or(w.err, store.ErrNotFound)
}

func (w *world) wave(id int64) *fakeWave {
	for i := range w.waves() {
		if f := &w.waves()[i]; f.ID == id {
			return f
		}
	}
	return &fakeWave{}
}

func (f *fakeWave) measured(row *store.SurveyRow) bool { return row.Domain != "" && row.Of == 0 }

func (f *fakeWave) tally(value string, rows []*store.SurveyRow) store.Group {
	g := store.Group{Value: value, Facts: make([]store.Tally, len(f.Facts))}
	for _, r := range rows {
		g.Domains++
		for i := range f.Facts {
			state := store.Unknown
			if i < len(r.Result.States) {
				state = r.Result.States[i]
			}
			switch state {
			case store.Yes:
				g.Facts[i].Yes++
			case store.No:
				g.Facts[i].No++
			default:
				g.Facts[i].Unknown++
			}
		}
	}
	return g
}

// by sorts the rows to be measured into groups; the keys in order of appearance.
func (f *fakeWave) by(key func(*store.SurveyRow) string) ([]string, map[string][]*store.SurveyRow) {
	var keys []string
	groups := map[string][]*store.SurveyRow{}
	for i := range f.rows {
		r := &f.rows[i]
		if !f.measured(r) {
			continue
		}
		k := key(r)
		if _, ok := groups[k]; !ok {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], r)
	}
	return keys, groups
}

func (w *world) Groups(ctx context.Context, wave int64, attribute string, most int) ([]store.Group, error) {
	f := w.wave(wave)
	at := slices.Index(f.Attributes, attribute)
	keys, groups := f.by(func(r *store.SurveyRow) string {
		if at < 0 {
			return ""
		}
		return r.Attributes[at]
	})
	var out []store.Group
	for _, k := range keys {
		out = append(out, f.tally(k, groups[k]))
	}
	return out, w.err
}

func (w *world) Bands(ctx context.Context, wave int64, attribute string, bounds []float64) ([]store.Group, error) {
	f := w.wave(wave)
	at := slices.Index(f.Attributes, attribute)
	_, groups := f.by(func(r *store.SurveyRow) string {
		n, _ := strconv.ParseFloat(r.Attributes[at], 64)
		return strconv.Itoa(bandOf(bounds, n))
	})
	var out []store.Group
	for i := range len(bounds) + 1 {
		out = append(out, f.tally("", groups[strconv.Itoa(i)]))
	}
	return out, w.err
}

// bandOf is the index of a number's band.
func bandOf(bounds []float64, n float64) int {
	i, found := slices.BinarySearch(bounds, n)
	if found {
		i++
	}
	return i
}

func (w *world) Shapes(ctx context.Context, wave int64) ([]store.AttributeShape, error) {
	f := w.wave(wave)
	var out []store.AttributeShape
	for at, name := range f.Attributes {
		keys, groups := f.by(func(r *store.SurveyRow) string { return r.Attributes[at] })
		s := store.AttributeShape{Name: name, Filled: f.Domains - int64(len(groups[""])), Distinct: int64(len(keys))}
		if name == "人口" {
			s.Numeric = s.Filled
			for q := range 11 {
				s.Quantiles = append(s.Quantiles, 900+math.Pow(float64(q)*42, 2)*37)
			}
		}
		out = append(out, s)
	}
	return out, w.err
}

func (w *world) SurveyRows(ctx context.Context, wave int64, q store.SurveyFilter, p store.Page) ([]store.SurveyRow, int64, error) {
	f := w.wave(wave)
	at := slices.Index(f.Attributes, q.Attribute)
	var out []store.SurveyRow
	for i := range f.rows {
		r := &f.rows[i]
		if f.measured(r) == q.Odd {
			continue
		}
		if at >= 0 {
			n, _ := strconv.ParseFloat(r.Attributes[at], 64)
			if !q.Band && r.Attributes[at] != q.Value || q.Band && !(n >= q.Low && n < q.High) {
				continue
			}
		}
		if q.Fact != "" && stateAt(&f.Wave, r, q.Fact) != q.State ||
			q.Code != "" && !slices.ContainsFunc(r.Result.Codes, func(c store.Code) bool { return c.Code == q.Code }) ||
			!strings.Contains(strings.ToLower(r.Domain+" "+r.Name), strings.ToLower(q.Search)) {
			continue
		}
		row := *r
		row.Result.Doc = nil
		out = append(out, row)
	}
	slices.SortStableFunc(out, func(a, b store.SurveyRow) int {
		c := cmp.Compare(a.No, b.No)
		switch p.Sort {
		case "name":
			c = cmp.Compare(a.Name, b.Name)
		case "domain":
			c = cmp.Compare(a.Domain, b.Domain)
		case "problems":
			c = cmp.Compare(len(a.Result.Codes), len(b.Result.Codes))
		}
		if p.Desc {
			c = -c
		}
		return c
	})
	return cutPage(out, p), int64(len(out)), w.err
}

func cutPage[T any](all []T, p store.Page) []T {
	from := min(p.Offset, len(all))
	return all[from:min(from+p.Limit, len(all))]
}

func (w *world) SurveyRow(ctx context.Context, wave, no int64) (store.SurveyRow, error) {
	f := w.wave(wave)
	if no < 1 || no > int64(len(f.rows)) {
		return store.SurveyRow{}, cmp.Or(w.err, store.ErrNotFound)
	}
	return f.rows[no-1], w.err
}

func (w *world) SurveyCodes(ctx context.Context, wave int64) ([]store.CodeTotal, error) {
	f := w.wave(wave)
	counts := map[store.Code]int64{}
	for _, r := range f.rows {
		for _, c := range r.Result.Codes {
			counts[c]++
		}
	}
	var out []store.CodeTotal
	for c, n := range counts {
		out = append(out, store.CodeTotal{Code: c, Domains: n})
	}
	slices.SortFunc(out, func(a, b store.CodeTotal) int {
		return cmp.Or(cmp.Compare(b.Domains, a.Domains), cmp.Compare(a.Code.Code, b.Code.Code))
	})
	return out, w.err
}

// pairs are the domains of two waves.
func (w *world) pairs(before, after int64) [][2]*store.SurveyRow {
	a, b := w.wave(before), w.wave(after)
	byName := map[string]*store.SurveyRow{}
	for i := range a.rows {
		if r := &a.rows[i]; a.measured(r) {
			byName[r.Domain] = r
		}
	}
	var out [][2]*store.SurveyRow
	for i := range b.rows {
		r := &b.rows[i]
		if old := byName[r.Domain]; old != nil && b.measured(r) {
			out = append(out, [2]*store.SurveyRow{old, r})
		}
	}
	return out
}

func (w *world) Changes(ctx context.Context, before, after int64, attribute, value string) ([]store.Change, error) {
	a, b := w.wave(before), w.wave(after)
	counts := map[store.Change]int64{}
	for _, p := range w.pairs(before, after) {
		for _, f := range b.Facts {
			counts[store.Change{Fact: f, From: stateAt(&a.Wave, p[0], f), To: stateAt(&b.Wave, p[1], f)}]++
		}
	}
	var out []store.Change
	for c, n := range counts {
		c.Domains = n
		out = append(out, c)
	}
	return out, w.err
}

func (w *world) ChangedRows(ctx context.Context, before, after int64, fact string, from, to store.State, p store.Page) ([]store.ChangedRow, int64, error) {
	a, b := w.wave(before), w.wave(after)
	var out []store.ChangedRow
	for _, pair := range w.pairs(before, after) {
		if stateAt(&a.Wave, pair[0], fact) == from && stateAt(&b.Wave, pair[1], fact) == to && strings.Contains(pair[1].Domain, p.Search) {
			out = append(out, store.ChangedRow{Before: *pair[0], After: *pair[1]})
		}
	}
	return cutPage(out, p), int64(len(out)), w.err
}

func (w *world) Combinations(ctx context.Context, wave int64, b store.Basis, matchedOnly bool) ([]store.Combination, error) {
	if w.wave(wave).Messages == 0 {
		return nil, w.err
	}
	s := func(spf, dkim, dmarc string) store.MailStates {
		return store.MailStates{SPF: spf, DKIM: dkim, DMARC: dmarc}
	}
	return []store.Combination{{SMIME: "none", MailStates: s("pass", "pass", "none"), Count: 30}, {SMIME: "none", MailStates: s("pass", "none", "none"), Count: 21},
		{SMIME: "pass", MailStates: s("pass", "pass", "pass"), Count: 12}, {SMIME: "none", MailStates: s("softfail", "none", "bestguesspass"), Count: 6},
		{SMIME: "fail", MailStates: s("permerror", "none", "none"), Count: 1}, {SMIME: "none", MailStates: s("none", "none", "none"), Count: 1}, {SMIME: "none", MailStates: s("temperror", hostile, "fail"), Count: 1}}, w.err
}

func (w *world) Mails(ctx context.Context, wave, entry int64, p store.Page) ([]store.MailResult, int64, error) {
	all := w.wave(wave).Messages
	if entry > 0 {
		if all == 0 || entry%5 != 0 {
			return nil, 0, w.err
		}
		all = 3
	}
	var out []store.MailResult
	for i := range int(all) {
		m := store.MailResult{Entry: int64(i%40 + 1), From: fmt.Sprintf("news@city%03d.example", i%40), Subject: "広報メール 11月号", Arrived: time.Date(2026, 10, 1+i%28, 1, 2, 3, 0, time.UTC), SMIME: "none",
			Now: store.MailStates{SPF: "pass", DKIM: "none", DMARC: "pass"}, Then: store.MailStates{SPF: "pass", DKIM: "none", DMARC: "none"}}
		switch i % 4 {
		case 1:
			m.Then, m.SMIME = store.MailStates{}, "pass"
		case 2:
			m.From, m.Subject, m.Entry, m.Arrived = hostile, hostile, 0, time.Time{}
		}
		if entry > 0 {
			m.Entry = entry
		}
		out = append(out, m)
	}
	return cutPage(out, p), all, w.err
}

func (w *world) EachSurveyRow(ctx context.Context, wave int64, f func(*store.SurveyRow) error) error {
	for _, r := range w.wave(wave).rows {
		if err := f(&r); err != nil {
			return err
		}
	}
	return w.err
}

func (w *world) EachMail(ctx context.Context, wave int64, f func(*store.MailResult) error) error {
	mails, _, err := w.Mails(ctx, wave, 0, store.Page{Limit: 1000})
	for i := range mails {
		if err := f(&mails[i]); err != nil {
			return err
		}
	}
	return err
}
