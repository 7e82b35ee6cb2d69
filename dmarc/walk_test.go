package dmarc_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sekimori/dmarc"
	"sekimori/dns"
	"sekimori/domain"
)

// The reference: RFC 9989 §4.10 step by step, as slowly and as plainly as it is
// written. It shares nothing with the package; records of the generated zones
// are told apart by their first characters only.

type refRecord struct{ name, txt, psd string }

var errRef = errors.New("no answer")

// refQuery: the records at _dmarc.name that begin with the version; nil if
// there is more than one.
func refQuery(z *zone, name string) (*refRecord, error) {
	if z.fails["_dmarc."+name] != nil {
		return nil, errRef
	}
	var valid []string
	for _, txt := range z.txt["_dmarc."+name] {
		if strings.HasPrefix(txt, "v=DMARC1;") {
			valid = append(valid, txt)
		}
	}
	if len(valid) != 1 {
		return nil, nil
	}
	r := &refRecord{name: name, txt: valid[0], psd: "u"}
	for _, v := range []string{"y", "n"} {
		if strings.Contains(r.txt, "psd="+v) {
			r.psd = v
		}
	}
	return r, nil
}

// refWalk: steps 1 to 7.
func refWalk(z *zone, start string) (records []refRecord, queries []string, err error) {
	target := start
	for first := true; ; first = false {
		queries = append(queries, "_dmarc."+target)
		r, err := refQuery(z, target)
		if err != nil {
			return nil, queries, err
		}
		if r != nil {
			records = append(records, *r)
			if r.psd == "n" || r.psd == "y" {
				return records, queries, nil
			}
		}
		labels := strings.Split(target, ".")
		x := len(labels)
		if first && x >= 8 {
			labels = labels[x-7:]
		} else {
			labels = labels[1:]
		}
		if len(labels) == 0 {
			return records, queries, nil
		}
		target = strings.Join(labels, ".")
	}
}

// refOrg: §4.10.2, the list of three.
func refOrg(start string, records []refRecord) (org, psd string) {
	for _, r := range records {
		if r.psd == "n" {
			return r.name, ""
		}
		if r.psd == "y" && r.name != start {
			above := strings.TrimSuffix(start, "."+r.name)
			labels := strings.Split(above, ".")
			return labels[len(labels)-1] + "." + r.name, r.name
		}
	}
	if len(records) == 0 {
		return start, ""
	}
	return records[len(records)-1].name, ""
}

// refPolicy: §4.10.1. The policy is "" where DMARC is not applied.
func refPolicy(z *zone, author string) (policy, tag, at string, err error) {
	own, err := refQuery(z, author)
	if err != nil {
		return "", "", "", err
	}
	rec := own
	if rec == nil {
		records, _, err := refWalk(z, author)
		if err != nil {
			return "", "", "", err
		}
		org, psd := refOrg(author, records)
		for i := range records {
			if records[i].name == org {
				rec = &records[i]
			}
		}
		for i := range records {
			if rec == nil && records[i].name == psd {
				rec = &records[i]
			}
		}
	}
	if rec == nil {
		return "", "", "", nil
	}
	tags := map[string]string{}
	for _, piece := range strings.Split(rec.txt, ";") {
		if n, v, ok := strings.Cut(strings.TrimSpace(piece), "="); ok {
			tags[n] = v
		}
	}
	ok := func(tag string, missing bool) bool {
		v, has := tags[tag]
		return !has && missing || v == "none" || v == "quarantine" || v == "reject"
	}
	if !ok("p", false) || !ok("sp", true) || !ok("np", true) {
		if strings.Contains(tags["rua"], "mailto:") {
			return "none", "p", rec.name, nil
		}
		return "", "", "", nil
	}
	policy, tag = tags["p"], "p"
	if rec.name != author {
		if tags["sp"] != "" {
			policy, tag = tags["sp"], "sp"
		}
		if tags["np"] != "" && !z.has(author) {
			policy, tag = tags["np"], "np"
		}
	}
	return policy, tag, rec.name, nil
}

// refVerdict joins the two for identifiers that passed.
func refVerdict(z *zone, author string, adkim, aspf func(txt string) bool, ids []dmarc.Identifier) (status string, by []string) {
	policy, _, at, err := refPolicy(z, author)
	if err != nil {
		return "temperror", nil
	}
	if policy == "" {
		return "none", nil
	}
	rec, _ := refQuery(z, at)
	doubt := false
	hit := map[string]bool{}
	for _, id := range ids {
		strict := adkim(rec.txt)
		if id.Method == "spf" {
			strict = aspf(rec.txt)
		}
		d := id.Domain.String()
		if d == author {
			hit[id.Method] = true
			continue
		}
		if strict {
			continue
		}
		mine, _, err := refWalk(z, author)
		theirs, _, err2 := refWalk(z, d)
		if err != nil || err2 != nil {
			// Only a doubt if the names could be of one organization at all.
			if err != nil && lastLabel(author) == lastLabel(d) {
				doubt = true
			}
			if err == nil {
				if org, _ := refOrg(author, mine); d == org || strings.HasSuffix(d, "."+org) {
					doubt = true
				}
			}
			continue
		}
		a, _ := refOrg(author, mine)
		b, _ := refOrg(d, theirs)
		if a == b {
			hit[id.Method] = true
		}
	}
	for _, m := range []string{"spf", "dkim"} {
		if hit[m] {
			by = append(by, m)
		}
	}
	switch {
	case by != nil:
		return "pass", by
	case doubt:
		return "temperror", nil
	}
	return "fail", nil
}

func lastLabel(s string) string { return s[strings.LastIndexByte(s, '.')+1:] }

// world makes a small DNS in which names meet often.
type world struct{ r *rand.Rand }

func (w world) pick(s ...string) string { return s[w.r.IntN(len(s))] }

func (w world) name() string {
	n := 1 + w.r.IntN(5)
	if w.r.IntN(6) == 0 {
		n = 6 + w.r.IntN(6) // around the limit of eight
	}
	s := w.pick("com", "com", "jp")
	for range n - 1 {
		s = w.pick("a", "a", "b") + "." + s
	}
	return s
}

func (w world) record() string {
	s := "v=DMARC1;"
	policy := func() string { return w.pick("none", "quarantine", "reject", "reject", "bad") }
	if w.r.IntN(10) > 0 {
		s += " p=" + policy() + ";"
	}
	for _, tag := range []string{"sp", "np"} {
		if w.r.IntN(3) == 0 {
			s += " " + tag + "=" + policy() + ";"
		}
	}
	for _, tag := range []string{"adkim", "aspf"} {
		if w.r.IntN(5) == 0 {
			s += " " + tag + "=s;"
		}
	}
	if w.r.IntN(3) == 0 {
		s += " psd=" + w.pick("y", "n", "u") + ";"
	}
	if w.r.IntN(3) == 0 {
		s += " rua=" + w.pick("mailto:r@a.example", "nonsense") + ";"
	}
	return s
}

func (w world) zone() *zone {
	z := &zone{txt: map[string][]string{}, exists: map[string]bool{}, fails: map[string]error{}}
	for range 1 + w.r.IntN(8) {
		n := "_dmarc." + w.name()
		for range 1 + w.r.IntN(5)/4 {
			z.txt[n] = append(z.txt[n], w.record())
		}
		if w.r.IntN(6) == 0 {
			z.txt[n] = append(z.txt[n], w.pick("v=spf1 -all", "v=dmarc1; p=none", "p=none; v=DMARC1;"))
		}
	}
	for range w.r.IntN(4) {
		z.exists[w.name()] = true
	}
	if w.r.IntN(6) == 0 {
		z.fails["_dmarc."+w.name()] = dns.ErrTemporary
	}
	return z
}

// TestWalkDifferential compares with the reference in 20,000 generated worlds.
func TestWalkDifferential(t *testing.T) {
	ctx := context.Background()
	statuses := map[string]int{}
	for seed := range uint64(20_000) {
		w := world{rand.New(rand.NewPCG(9989, seed))}
		z := w.zone()
		author := w.name()
		var ids []dmarc.Identifier
		for range w.r.IntN(4) {
			ids = append(ids, dmarc.Identifier{Method: w.pick("spf", "dkim"), Domain: name(t, w.pick(w.name(), author))})
		}
		has := func(s string) func(string) bool {
			return func(txt string) bool { return strings.Contains(txt, s) }
		}
		wantPolicy, wantTag, wantAt, wantErr := refPolicy(z, author)
		wantStatus, wantBy := refVerdict(z, author, has("adkim=s"), has("aspf=s"), ids)
		for _, sequential := range []bool{true, false} {
			v := &dmarc.Verifier{Resolver: z, Options: dmarc.Options{Sequential: sequential}}
			z.queries()
			d := v.Discover(ctx, name(t, author))
			asked := z.queries()
			bad := func(what string, got, want any) {
				t.Helper()
				t.Errorf("world %d (sequential %v): author %s, identifiers %v: %s %v, want %v\n%v\nexists %v fails %v",
					seed, sequential, author, ids, what, got, want, z.txt, z.exists, z.fails)
			}
			if len(asked) > 9 || repeated(asked) {
				bad("questions", asked, "at most 8 and the author's, each once")
			}
			if (d.Err != nil) != (wantErr != nil) {
				bad("error", d.Err, wantErr)
			}
			if string(d.Policy) != wantPolicy || d.Tag != wantTag || d.Record != nil && d.Domain.String() != wantAt {
				bad("policy", fmt.Sprint(d.Policy, d.Tag, d.Domain), fmt.Sprint(wantPolicy, wantTag, wantAt))
			}
			if sequential && wantErr == nil {
				_, queries, _ := refWalk(z, author)
				if n := min(len(asked), len(queries)); !slices.Equal(asked[:n], queries[:n]) {
					bad("queries", asked, queries)
				}
			}
			r := v.Evaluate(ctx, d, ids)
			if string(r.Status) != wantStatus || !slices.Equal(r.AlignedBy, wantBy) {
				bad("status", fmt.Sprint(r.Status, r.AlignedBy), fmt.Sprint(wantStatus, wantBy))
			}
			if repeated(append(asked, z.queries()...)) {
				bad("a question asked twice", asked, "")
			}
			records, _, err := refWalk(z, author)
			if org, gotErr := d.Organizational(ctx, name(t, author)); err == nil {
				if want, _ := refOrg(author, records); org.String() != want || gotErr != nil {
					bad("organizational domain", fmt.Sprint(org, gotErr), want)
				}
			} else if gotErr == nil {
				bad("organizational domain", org, err)
			}
			if len(r.Steps) == 0 || r.Reason.Code == "" {
				bad("explanation", r.Steps, "some")
			}
			statuses[string(r.Status)]++
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("results: %v", statuses)
	for _, s := range []string{"none", "pass", "fail", "temperror"} {
		if statuses[s] < 400 {
			t.Errorf("only %d results %s: the worlds are too alike", statuses[s], s)
		}
	}
}

func repeated(names []string) bool {
	sorted := slices.Sorted(slices.Values(names))
	return len(slices.Compact(sorted)) != len(names)
}

// FuzzDiscover: no zone makes it ask more than it says, and a verdict is
// always explained.
func FuzzDiscover(f *testing.F) {
	f.Add("a.b.example", "mail.b.example", "b.example|v=DMARC1; p=reject; np=none\nexample|v=DMARC1; psd=y")
	f.Add("a.b.c.d.e.f.g.h.i.j", "j", "j|v=DMARC1; p=none\nj|v=DMARC1; p=none")
	f.Add("a.example", "a.example", "a.example|v=DMARC1; p=quarantine; t=y\nexample|!")
	f.Fuzz(func(t *testing.T, author, identifier, records string) {
		a, err := domain.Parse(author)
		if err != nil {
			return
		}
		z := &zone{txt: map[string][]string{}, fails: map[string]error{}}
		for _, line := range strings.Split(records, "\n") {
			n, txt, _ := strings.Cut(line, "|")
			if txt == "!" {
				z.fails["_dmarc."+n] = dns.ErrTemporary
			} else {
				z.txt["_dmarc."+n] = append(z.txt["_dmarc."+n], txt)
			}
		}
		var ids []dmarc.Identifier
		for range 3 {
			if n, err := domain.Parse(identifier); err == nil {
				ids = append(ids, dmarc.Identifier{Method: "dkim", Domain: n}, dmarc.Identifier{Method: "spf", Domain: n.Parent(), Temporary: true})
			}
		}
		for _, o := range []dmarc.Options{{}, {Sequential: true}, {Method: dmarc.PSL, Duplicates: dmarc.LastTag}} {
			v := &dmarc.Verifier{Resolver: z, Options: o}
			d := v.Discover(context.Background(), a)
			if n := len(z.queries()); n > 9 {
				t.Fatalf("%d questions for the policy", n)
			}
			r := v.Evaluate(context.Background(), d, ids)
			if n := len(z.queries()); n > 8*3 {
				t.Fatalf("%d questions for alignment", n)
			}
			if r.Reason.Code == "" || len(r.Steps) == 0 || r.Disposition == "" {
				t.Fatalf("no explanation: %+v", r)
			}
			if (r.Status == dmarc.Pass) != (len(r.AlignedBy) > 0) || r.Status != dmarc.Fail && r.Disposition != dmarc.None {
				t.Fatalf("result that contradicts itself: %+v", r)
			}
		}
	})
}
