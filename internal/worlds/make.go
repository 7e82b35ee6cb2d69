package worlds

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

// kind is a kind of organisation.
type kind struct {
	name   string
	weight int
	tlds   []string
	lo, hi float64 // messages on a business day
	good   int     // vendors at most
	broken int     // broken sources at most
	fwd    int
	spoof  int
	subs   []string // sub-domains
}

var kinds = [...]kind{
	{"ministry", 3, []string{"go.jp"}, 1500, 20000, 3, 4, 4, 4, []string{"info", "mail", "shingikai", "kouhou", "bosai", "ml"}},
	{"city", 4, []string{"lg.jp", "jp"}, 200, 4000, 3, 4, 3, 3, []string{"bosai", "koho", "toshokan", "kyoiku", "shimin", "suido"}},
	{"bank", 2, []string{"co.jp", "com"}, 3000, 40000, 4, 3, 3, 5, []string{"direct", "mail", "ib", "card", "info"}},
	{"shop", 3, []string{"co.jp", "com", "jp"}, 500, 15000, 4, 3, 3, 4, []string{"shop", "news", "order", "mm", "www"}},
	{"isp", 1, []string{"ne.jp"}, 5000, 40000, 2, 3, 5, 4, []string{"support", "members", "smtp", "news"}},
	{"university", 2, []string{"ac.jp"}, 500, 8000, 2, 5, 4, 3, []string{"eng", "sci", "lib", "nyushi", "alumni", "med"}},
	{"company", 4, []string{"co.jp", "example", "com"}, 100, 3000, 3, 3, 3, 3, []string{"sales", "recruit", "support", "news", "event"}},
	{"small", 2, []string{"co.jp", "or.jp", "jp"}, 12, 60, 1, 2, 2, 2, []string{"info", "mail"}},
	{"sector", 2, []string{"or.jp", "jp"}, 300, 6000, 3, 4, 3, 3, []string{"kenpo", "shibu", "honbu", "news"}},
	{"parked", 1, []string{"jp", "com"}, 0, 0, 0, 0, 0, 3, []string{"www"}},
}

var nameParts = [...]string{"aoi", "hinode", "kita", "minato", "sakura", "tsubame", "yamabuki", "kaede", "shirakaba", "komorebi", "hayate", "mizuho", "wakaba", "fujimi", "asahi"}

// newBuilder draws what a world has as a whole.
func newBuilder(seed uint64) *builder {
	r := rand.New(rand.NewPCG(seed, 0x5eed0f))
	b := &builder{r: r, seed: seed, kindOf: map[mail]int32{}, byName: map[string]*sender{}, used: map[netip.Addr]bool{},
		dnsNames: map[string]bool{}, holidays: map[int]bool{}}
	sum := 0
	for _, k := range kinds {
		sum += k.weight
	}
	k, p := kinds[0], r.IntN(sum)
	for _, x := range kinds {
		if p -= x.weight; p < 0 {
			k = x
			break
		}
	}
	b.kind = k.name
	b.domain = fmt.Sprintf("%s-%s%d.%s", nameParts[r.IntN(len(nameParts))], k.name, seed%100000, pick(b, k.tlds...))
	switch r.IntN(6) {
	case 0:
		b.days = 60 + r.IntN(20)
	case 5:
		b.days = 200 + r.IntN(200)
	default:
		b.days = 75 + r.IntN(60)
	}
	b.begin = time.Date(2025, time.Month(1+r.IntN(14)), 1+r.IntN(28), 0, 0, 0, 0, time.UTC)
	if k.hi > 0 {
		b.scale = b.spread(k.lo, k.hi)
	} else {
		b.scale = b.spread(50, 2000)
	}
	b.noise, b.nameless = r.Float64()*r.Float64(), 0.25*r.Float64()*r.Float64()
	b.forward = b.chance(0.5)
	b.unsigned = b.chance(0.06)
	if b.hosted = b.chance(0.1); b.hosted && b.chance(0.4) {
		b.unsigned = true
	}
	b.strict = b.chance(0.06)
	b.longSPF = b.chance(0.05)
	for range b.days / 25 {
		b.holidays[r.IntN(b.days)] = true
	}
	b.chunks = max(10, min(90, 6000/b.days))
	b.record("$TTL 3600")
	b.dnsNames[b.domain] = true
	b.publish()
	if b.kind == "sector" {
		for i := range 1 + r.IntN(3) {
			b.partners = append(b.partners, fmt.Sprintf("kumiai%d-%d.%s", i, seed%100000, pick(b, k.tlds...)))
		}
	}
	b.meet()
	return b
}

// publish draws the policy and its changes.
func (b *builder) publish() {
	p := policySpan{p: "none"}
	switch b.r.IntN(10) {
	case 0:
		p.p = "quarantine"
	case 1:
		p.p = "reject"
	case 2:
		p.sp = pick(b, "quarantine", "reject")
	case 3:
		p.np = "reject"
	case 4:
		p.p, p.sp = "quarantine", "none"
	}
	b.policies = []policySpan{p}
	if b.chance(0.15) { // a step was taken
		next := p
		next.from = 10 + b.r.IntN(b.days-15)
		next.p = map[string]string{"none": "quarantine", "quarantine": "reject", "reject": "none"}[p.p]
		if b.chance(0.3) {
			next.np = "reject"
		}
		b.policies = append(b.policies, next)
		if b.chance(0.3) { // and taken back
			p.from = next.from + 3 + b.r.IntN(10)
			b.policies = append(b.policies, p)
		}
	}
}

func (b *builder) kindData() kind {
	for _, k := range kinds {
		if k.name == b.kind {
			return k
		}
	}
	return kinds[0]
}

// Make makes the world of a seed.
func Make(seed uint64) *World {
	b := newBuilder(seed)
	k := b.kindData()
	upTo := func(n int) int {
		if n == 0 {
			return 0
		}
		return b.r.IntN(n + 1)
	}
	if b.kind == "parked" {
		b.draw(spoofShapes[:], upTo(k.spoof))
		return b.finish()
	}
	b.run(goodShapes[0])
	b.draw(goodShapes[1:], upTo(k.good+1))
	if k.broken > 0 && b.chance(0.62) {
		b.draw(brokenShapes[:], 1+b.r.IntN(k.broken))
	}
	b.draw(forwardShapes[:], upTo(k.fwd+1))
	b.draw(spoofShapes[:], upTo(k.spoof))
	return b.finish()
}

// Compose makes a world of the shapes named, in that order. Most shapes need
// "aligned/own" before them. Names that begin with "condition/" set what holds
// for the world as a whole: "condition/unsigned" (our servers do not sign),
// "condition/hosted" (they are a provider's), "condition/strict" (strict
// alignment), "condition/long-spf", "condition/forward" and
// "condition/no-forward" (whether honest names resolve to their addresses).
// Unless named, the first four do not hold.
func Compose(seed uint64, names ...string) (*World, error) {
	b := newBuilder(seed)
	b.kind = "company"
	b.unsigned, b.hosted, b.strict, b.longSPF = false, false, false, false
	for _, n := range names {
		switch n {
		case "condition/unsigned":
			b.unsigned = true
		case "condition/hosted":
			b.hosted = true
		case "condition/strict":
			b.strict = true
		case "condition/long-spf":
			b.longSPF = true
		case "condition/forward", "condition/no-forward":
			b.forward = n == "condition/forward"
		default:
			if err := b.add(n); err != nil {
				return nil, err
			}
		}
	}
	return b.finish(), nil
}
