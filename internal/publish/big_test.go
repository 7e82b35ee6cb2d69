package publish

import (
	"fmt"
	"math"
	"time"

	"sekimori/internal/posture"
	"sekimori/internal/store"
)

// prefectures are those of Japan, from north to south.
var prefectures = [...]string{"北海道", "青森県", "岩手県", "宮城県", "秋田県", "山形県", "福島県", "茨城県", "栃木県", "群馬県", "埼玉県", "千葉県", "東京都", "神奈川県", "新潟県", "富山県", "石川県", "福井県", "山梨県", "長野県", "岐阜県", "静岡県", "愛知県", "三重県",
	"滋賀県", "京都府", "大阪府", "兵庫県", "奈良県", "和歌山県", "鳥取県", "島根県", "岡山県", "広島県", "山口県", "徳島県", "香川県", "愛媛県", "高知県", "福岡県", "佐賀県", "長崎県", "熊本県", "大分県", "宮崎県", "鹿児島県", "沖縄県"}

// random is a generator of numbers that are the same on every machine.
type random uint64

func (r *random) next() float64 {
	*r = *r*6364136223846793005 + 1442695040888963407
	return float64(*r>>11) / (1 << 53)
}

// big is a survey as large as that of all municipalities of Japan, made up:
// its states fit together as those of real domains do.
func big() *fakeStore {
	f := &fakeStore{wave: store.Wave{ID: 2, WaveSpec: store.WaveSpec{Name: "2026-11", List: "municipalities.csv", Attributes: []string{"都道府県", "種別", "人口"}},
		Started: day, Finished: day.Add(4 * time.Hour), Sealed: true}}
	for _, fact := range posture.Facts {
		f.wave.Facts = append(f.wave.Facts, string(fact))
	}
	f.wave.Facts = append(f.wave.Facts, "profile_jp_gov", "profile_google", "profile_yahoo", "profile_microsoft")
	r := random(1)
	for i := range int64(1741) {
		prefecture := prefectures[i*47/1741]
		kind, people := "市", int64(30000*math.Exp(r.next()*3.5))
		if x := r.next(); x < .43 {
			kind, people = "町", int64(3000+r.next()*30000)
		} else if x < .54 {
			kind, people = "村", int64(300+r.next()*8000)
		}
		row := store.SurveyRow{Entry: store.Entry{No: i + 1, Line: i + 2, Name: fmt.Sprintf("第%d%s", i+1, kind), Domain: fmt.Sprintf("%s%d.example", map[string]string{"市": "city", "町": "town", "村": "vill"}[kind], i+1),
			Attributes: []string{prefecture, kind, fmt.Sprint(people)}}}
		row.Input = row.Domain
		row.Result = made(&r, &f.wave, &row.Entry, kind == "市")
		f.rows = append(f.rows, row)
		f.wave.Entries, f.wave.Domains, f.wave.Measured = i+1, i+1, i+1
		if row.Result.Unanswered {
			f.wave.Unanswered++
		}
	}
	for c, n := range map[[4]string]int{{"pass", "pass", "pass", "pass"}: 6, {"none", "pass", "pass", "pass"}: 21, {"none", "pass", "none", "none"}: 30, {"none", "pass", "none", "bestguesspass"}: 12,
		{"none", "none", "none", "none"}: 1, {"none", "permerror", "none", "none"}: 1, {"none", "softfail", "none", "none"}: 1} {
		for range n {
			states := store.MailStates{SPF: c[1], DKIM: c[2], DMARC: c[3]}
			now := states
			if now.DMARC == "bestguesspass" {
				now.DMARC = "none"
			}
			f.mail = append(f.mail, store.MailResult{Entry: int64(len(f.mail)*20 + 1), From: "news@example.jp", Subject: "広報", SMIME: c[0], Then: states, Now: now, Arrived: day})
		}
	}
	f.wave.Messages = int64(len(f.mail))
	return f
}

// made is a result that might be that of a real domain; strong ones do more.
func made(r *random, w *store.Wave, e *store.Entry, strong bool) store.Result {
	out := store.Result{No: e.No, At: day, Attempts: 1, Questions: 14}
	factor := .6
	if strong {
		factor = 1.2
	}
	pick := func(p float64) store.State {
		if r.next() < p*factor {
			return store.Yes
		}
		return store.No
	}
	s := map[posture.Fact]store.State{}
	set := func(f posture.Fact, st, under store.State) {
		if under != store.Yes {
			st = under
		}
		s[f] = st
	}
	if r.next() < .02 {
		out.Unanswered = true
		out.States = make([]store.State, len(w.Facts))
		return out
	}
	s[posture.FactExists], s[posture.FactSendsMail] = store.Yes, store.Yes
	s[posture.FactMX], s[posture.FactNullMX] = store.Yes, store.No
	spf := store.Yes
	if r.next() < .1 {
		spf = store.No
	}
	s[posture.FactSPF] = spf
	valid := store.Yes
	if r.next() < .03 {
		valid = store.No
	}
	set(posture.FactSPFValid, valid, spf)
	set(posture.FactSPFClosed, store.Yes, s[posture.FactSPFValid])
	set(posture.FactSPFNobody, store.No, store.Yes)
	dmarc := pick(.15)
	if r.next() < .01 {
		dmarc = store.Unknown
	}
	s[posture.FactDMARC] = dmarc
	set(posture.FactDMARCOwn, store.Yes, dmarc)
	set(posture.FactDMARCValid, store.Yes, dmarc)
	q, rej := pick(.3), pick(.15)
	if q == store.Yes {
		rej = store.No
	}
	set(posture.FactDMARCQuarantine, q, dmarc)
	set(posture.FactDMARCReject, rej, dmarc)
	enforced := store.No
	if q == store.Yes || rej == store.Yes {
		enforced = store.Yes
	}
	set(posture.FactDMARCEnforced, enforced, dmarc)
	set(posture.FactDMARCReports, pick(.8), dmarc)
	both := dmarc
	if spf == store.No {
		both = store.No
	}
	s[posture.FactSPFDMARC] = both
	if x := r.next(); x < .25 {
		s[posture.FactDKIM], s[posture.FactDKIMValid] = store.Yes, store.Yes
	} else if x < .4 {
		s[posture.FactDKIM], s[posture.FactDKIMValid] = store.No, store.No
	}
	s[posture.FactMTASTS], s[posture.FactTLSRPT], s[posture.FactDANE], s[posture.FactDANEValid] = pick(.01), pick(.02), pick(.01), store.No
	set(posture.FactMTASTSValid, store.Yes, s[posture.FactMTASTS])
	set(posture.FactMTASTSEnforce, pick(.5), s[posture.FactMTASTS])
	s[posture.FactBIMI], s[posture.FactBIMILogo], s[posture.FactBIMICertificate] = store.No, store.No, store.No
	s[posture.FactDNSSEC] = pick(.04)
	protected := s[posture.FactDMARCEnforced]
	if valid == store.No {
		protected = store.No
	}
	s[posture.FactProtected] = protected
	for _, f := range w.Facts {
		st := s[posture.Fact(f)]
		switch f {
		case "profile_jp_gov":
			st = protected
		case "profile_google", "profile_yahoo", "profile_microsoft":
			st = both
		}
		out.States = append(out.States, st)
	}
	if spf == store.No {
		out.Codes = append(out.Codes, store.Code{Topic: "spf", Grade: "error", Code: "posture.spf-missing"})
	} else if valid == store.No {
		out.Codes = append(out.Codes, store.Code{Topic: "spf", Grade: "error", Code: "spf.syntax.bad-ip4"})
		out.Doc = fmt.Appendf(nil, `{"spf":{"all":"","records":["v=spf1 ip4:192.0.2.%d -all"]},"findings":[{"topic":"spf","grade":"error","code":"spf.syntax.bad-ip4","args":{"term":"ip4:192.0.2.300","octet":8}}]}`, 300)
	}
	if dmarc == store.No {
		out.Codes = append(out.Codes, store.Code{Topic: "dmarc", Grade: "error", Code: "posture.dmarc-missing"})
	}
	return out
}

// compared gives a fake survey an earlier one, a year before.
func compared(f *fakeStore) store.Wave {
	before := f.wave
	before.ID, before.Name, before.Started, before.Finished = f.wave.ID+100, "2025-11", day.AddDate(-1, 0, 0), day.AddDate(-1, 0, 0).Add(time.Hour)
	r := random(7)
	counts := map[store.Change]int64{}
	for row := range f.measurable {
		for i, fact := range f.wave.Facts {
			to := row.Result.States[i]
			from := to
			if x := r.next(); x < .01 {
				from = store.Unknown
			} else if x < .06 && to == store.Yes {
				from = store.No
			} else if x < .02 && to == store.No {
				from = store.Yes
			}
			counts[store.Change{Fact: fact, From: from, To: to}]++
		}
	}
	for c, n := range counts {
		c.Domains = n
		f.earlier = append(f.earlier, c)
	}
	return before
}
