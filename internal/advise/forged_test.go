package advise

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"sekimori/internal/worlds"
	"sekimori/report/aggregate"
)

// TestForged: a botnet that forges our signature is spoofing, with the DNS and
// without; forwarders, lists and a vendor with a key that does not work are
// still told.
func TestForged(t *testing.T) {
	for seed := uint64(1); seed <= 6; seed++ {
		forged := "spoof/botnet-forged-signature"
		if seed%3 == 0 {
			forged = "spoof/botnet-huge-forged-signature"
		}
		w, err := worlds.Compose(900+seed, "aligned/own", "forwarder/plain", "forwarder/srs", "forwarder/list-footer", "forwarder/mailbox-provider",
			"broken/vendor-business", "broken/key-wrong", forged)
		if err != nil {
			t.Fatal(err)
		}
		var spoofed uint64
		for _, s := range w.Truth.Sources {
			if s.Class == worlds.Spoof {
				spoofed = s.Failing30
			}
		}
		for _, offline := range []bool{false, true} {
			_, a, j := judged(t, w, inMemory(w), offline)
			if p := a.Policies[0]; p.Stopped*100 < spoofed*95 || p.Uncertain*20 > spoofed+p.LegitimateAtRisk*20 {
				t.Errorf("seed %d, offline %v: of %d forged messages %d stopped, %d uncertain", seed, offline, spoofed, p.Stopped, p.Uncertain)
			}
			if j.SpoofOurs > 0 || j.Lost > 0 || j.Found < j.Broken && !offline || j.IndirectOK*5 < j.Indirect*4 || a.Policies[0].IndirectAtRisk > j.Indirect || len(a.Sources) > 40 {
				t.Errorf("seed %d, offline %v: %d sources\n%s\n%v", seed, offline, len(a.Sources), j, j.Missed)
			}
			told := false
			for _, s := range a.Sources {
				for _, why := range s.Reasons {
					told = told || why.Code == "why.forged-signature"
				}
			}
			if !told {
				t.Errorf("seed %d, offline %v: nothing is said of forged signatures", seed, offline)
			}
		}
	}
}

// TestManyAddresses: however many addresses there are and whatever they show,
// an answer is short, adds up and takes bounded memory.
func TestManyAddresses(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 20_000
	}
	const dom = "hiroi.example"
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	shapes := map[string]func(r *rand.Rand, i int, rec *aggregate.Record){
		// Four of five pass with the domain's own signature and SPF.
		"passing": func(r *rand.Rand, i int, rec *aggregate.Record) {
			rec.DKIM, rec.SPF = r.IntN(10) < 8, r.IntN(10) < 6
			shown(rec, dom, rec.DKIM, dom, rec.SPF)
		},
		"signed": func(r *rand.Rand, i int, rec *aggregate.Record) {
			rec.DKIM = r.IntN(10) < 8
			shown(rec, dom, rec.DKIM, "", false)
		},
		"forged": func(r *rand.Rand, i int, rec *aggregate.Record) { shown(rec, dom, false, dom, false) },
		"identities": func(r *rand.Rand, i int, rec *aggregate.Record) {
			shown(rec, dom, false, fmt.Sprintf("lists%d.example", i), true)
		},
		"authors": func(r *rand.Rand, i int, rec *aggregate.Record) {
			rec.HeaderFrom = fmt.Sprintf("a%d.%s", i, dom)
			shown(rec, rec.HeaderFrom, false, rec.HeaderFrom, false)
		},
		"everything": func(r *rand.Rand, i int, rec *aggregate.Record) {
			rec.DKIM, rec.SPF = r.IntN(3) == 0, r.IntN(3) == 0
			envelope := dom
			if !rec.SPF && r.IntN(2) == 0 {
				envelope = fmt.Sprintf("e%d.example", r.IntN(n))
			}
			shown(rec, dom, rec.DKIM, envelope, rec.SPF || envelope != dom)
			if r.IntN(4) == 0 {
				rec.Reasons = []aggregate.Reason{{Type: "forwarded"}}
			}
		},
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			m := newMemory()
			var recs []aggregate.Record
			var messages uint64
			for i := range n {
				rec := aggregate.Record{SourceIP: netip.AddrFrom4([4]byte{byte(1 + r.IntN(220)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))}),
					Count: uint64(1 + r.IntN(9)), HeaderFrom: dom, Disposition: "none"}
				shape(r, i, &rec)
				messages += rec.Count
				recs = append(recs, rec)
			}
			for d := range 20 {
				at := day.AddDate(0, 0, d)
				m.put(aggregate.Report{Metadata: aggregate.Metadata{OrgName: "r", ReportID: fmt.Sprint(d), Begin: at, End: at.Add(86399 * time.Second)},
					PolicyPublished: aggregate.PolicyPublished{Domain: dom, P: "none"}}, recs[d*n/20:(d+1)*n/20])
			}
			recs = nil
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			a, err := New(Config{Store: m, MaxAddresses: n}).Advise(t.Context(), mustName(t, dom), Question{})
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			doc, err := json.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			var sum uint64
			addresses := 0
			byClass := map[Class]uint64{}
			for _, s := range a.Sources {
				sum += s.Messages
				addresses += s.AddressCount
				byClass[s.Class] += s.Messages
			}
			t.Logf("%v, %d MiB allocated in all, document %d KiB, %d sources, %d addresses, %v", took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20, len(doc)>>10, len(a.Sources), addresses, byClass)
			if len(a.Sources) > 5*maxLines+7 || sum != messages || a.Messages != messages || addresses < n*9/10 {
				t.Errorf("%d sources, %d of %d messages, %d addresses", len(a.Sources), sum, messages, addresses)
			}
			if name == "forged" && byClass[Spoof]*100 < messages*95 || name == "identities" && byClass[Forwarder] > 0 {
				t.Errorf("%v", byClass)
			}
		})
	}
}

// shown writes the results of a record.
func shown(rec *aggregate.Record, d string, dkim bool, envelope string, spf bool) {
	word := map[bool]string{true: "pass", false: "fail"}
	rec.DKIMResults = []aggregate.DKIMResult{{Domain: d, Result: word[dkim]}}
	if envelope != "" {
		rec.SPFResults = []aggregate.SPFResult{{Domain: envelope, Result: word[spf]}}
	}
}
