package dmarc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	oracle "github.com/emersion/go-msgauth/dmarc"

	"sekimori/dmarc"
)

// disagreements are the ways in which go-msgauth, which follows RFC 7489, reads
// a record otherwise, and the clause by which this package is right. Each is
// recognised by what the two make of the record; read is whether go-msgauth
// takes it for a record at all.
var disagreements = []struct {
	why    string
	clause string
	holds  func(txt string, r *dmarc.Record, read bool) bool
}{
	{"go-msgauth drops a record with any syntax error; here the piece is ignored", "RFC 9989 §4.8",
		func(_ string, r *dmarc.Record, read bool) bool {
			return r != nil && !read && (has(r, dmarc.Stray, "") || has(r, dmarc.BadValue, ""))
		}},
	{"go-msgauth takes the last of repeated tags; here the first, by default", "RFC 9989 §4.8",
		func(_ string, r *dmarc.Record, _ bool) bool { return r != nil && has(r, dmarc.Duplicate, "") }},
	{"go-msgauth needs p", "RFC 9989 §4.7: RECOMMENDED",
		func(_ string, r *dmarc.Record, read bool) bool { return r != nil && !read && !r.Has("p") }},
	{"go-msgauth wants keywords and names in lower case", "RFC 5234 §2.3",
		func(txt string, r *dmarc.Record, _ bool) bool {
			txt = strings.NewReplacer("DMARC1", "", "\x01", "").Replace(txt)
			return r != nil && txt != strings.ToLower(txt)
		}},
	{"go-msgauth finds v anywhere in the record, and empty pieces before it", "RFC 9989 §4.7: MUST be first",
		func(txt string, r *dmarc.Record, read bool) bool {
			return r == nil && read && strings.Contains(txt, "DMARC1")
		}},
	{"go-msgauth drops a record with an rf or ri it does not know", "RFC 9989 §9.3: historic",
		func(_ string, r *dmarc.Record, read bool) bool {
			return r != nil && !read && (r.Has("rf") || r.Has("ri"))
		}},
	{"go-msgauth keeps every piece of a list of URIs", "RFC 9989 §4.6: URIs of RFC 3986",
		func(_ string, r *dmarc.Record, read bool) bool { return r != nil && read && has(r, dmarc.BadURI, "") }},
	{"go-msgauth allows fo to ask for both 0 and 1, and to repeat itself", "RFC 9989 §4.7: mutually exclusive",
		func(_ string, r *dmarc.Record, read bool) bool {
			return r != nil && read && has(r, dmarc.BadValue, "fo")
		}},
	{"go-msgauth reads a sign in pct", "RFC 7489 §6.4: 1*3DIGIT",
		func(txt string, r *dmarc.Record, read bool) bool {
			return r != nil && read && has(r, dmarc.BadValue, "pct")
		}},
}

func has(r *dmarc.Record, k dmarc.FaultKind, tag string) bool {
	for _, f := range r.Faults {
		if f.Kind == k && (tag == "" || f.Tag == tag) {
			return true
		}
	}
	return false
}

// randomRecord is mostly right, and sometimes wrong in a way that records are.
func randomRecord(r *rand.Rand) string {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	pieces := []string{"v=DMARC1"}
	if r.IntN(8) == 0 {
		pieces[0] = pick("v = DMARC1", "V=DMARC1", "v=dmarc1", " v=DMARC1", "v=DMARC1x", "v=DMARC1 p=none", "p=none; v=DMARC1", "; v=DMARC1", "")
	}
	tags := []string{"p", "sp", "np", "adkim", "aspf", "fo", "rua", "ruf", "pct", "t", "psd", "x", "rf", "ri", "v"}
	values := map[string][]string{
		"p": {"none", "quarantine", "reject", "none", "quarantine", "reject", "none", "reject", "quarantine", "Reject", "bad", ""}, "sp": {"none", "quarantine", "reject", "none", "x"},
		"np": {"reject", "none"}, "adkim": {"r", "s", "s", "S", "x"}, "aspf": {"r", "s", "s", "x"},
		"fo": {"0", "1", "d", "1:d:s", "0:s", "d:s", "1 : d", "0:1", "x"}, "pct": {"100", "50", "0", "7", "101", "-1", "1e1", "+5", "050"},
		"rua": {"mailto:a@b.example", "mailto:a@b.example,mailto:c@d.example", "mailto:a@b.example , https://x.example/", "mailto:a@b.example!10m", "a@b.example", ""},
		"ruf": {"mailto:f@b.example"}, "t": {"y", "n"}, "psd": {"y", "n", "u"}, "x": {"1", "y=z"}, "rf": {"afrf", "iodef"}, "ri": {"86400", "x"}, "v": {"DMARC1"},
	}
	if r.IntN(16) > 0 {
		pieces = append(pieces, "p"+pick("=", "=", "=", " = ")+pick(values["p"]...))
	}
	for range r.IntN(4) {
		tag := tags[r.IntN(len(tags))]
		if tag == "p" || tag == "v" || r.IntN(4) == 0 {
			tag = tags[1+r.IntN(11)] // not too many repetitions and relics
		}
		if r.IntN(12) == 0 {
			pieces = append(pieces, pick("", " ", "word", "1x=y", "=", "a b=c", "x=\x01"))
			continue
		}
		name := tag
		if r.IntN(30) == 0 {
			name = strings.ToUpper(tag)
		}
		pieces = append(pieces, name+"="+pick(values[tag]...))
	}
	return strings.Join(pieces, pick(";", "; ", " ; ", "; ")) + pick("", "", ";", "; ")
}

// TestOracle reads 20,000 generated records here and with go-msgauth. What the
// two make of a record is the same, or a disagreement of the table.
func TestOracle(t *testing.T) {
	rng := rand.New(rand.NewPCG(7489, 1))
	same, read := 0, 0
	seen := make([]int, len(disagreements))
	for range 20_000 {
		txt := randomRecord(rng)
		ours, _ := dmarc.Parse(txt)
		theirs, err := oracle.Parse(txt)
		if err != nil {
			theirs = nil
		}
		a, b := "", ""
		if ours != nil {
			a = comparable7489(string(ours.P), string(ours.SP), string(ours.ADKIM), string(ours.ASPF), ours.Pct, ours.FO.Any, ours.FO.DKIM, ours.FO.SPF, texts(ours.RUA), texts(ours.RUF))
		}
		if theirs != nil {
			pct := 100
			if theirs.Percent != nil {
				pct = *theirs.Percent
			}
			fo := theirs.FailureOptions
			b = comparable7489(string(theirs.Policy), string(theirs.SubdomainPolicy), string(theirs.DKIMAlignment), string(theirs.SPFAlignment), pct,
				fo&oracle.FailureAny != 0, fo&oracle.FailureDKIM != 0, fo&oracle.FailureSPF != 0,
				strings.Join(theirs.ReportURIAggregate, ","), strings.Join(theirs.ReportURIFailure, ","))
			read++
		}
		if a == b {
			same++
			continue
		}
		known := false
		for i, d := range disagreements {
			if d.holds(txt, ours, theirs != nil) {
				seen[i]++
				known = true
			}
		}
		if !known {
			t.Errorf("%q:\nhere      %s\ngo-msgauth %s %v", txt, a, b, err)
		}
	}
	t.Logf("%d of 20000 the same, %d read by go-msgauth", same, read)
	for i, d := range disagreements {
		t.Logf("%5d  %s (%s)", seen[i], d.why, d.clause)
		if seen[i] == 0 {
			t.Errorf("disagreement not met: %s", d.why)
		}
	}
	if same < 10_000 {
		t.Errorf("only %d records are read alike: the cases are too wild", same)
	}
}

func texts(list []dmarc.URI) string {
	var s []string
	for _, u := range list {
		s = append(s, u.String())
	}
	return strings.Join(s, ",")
}

func comparable7489(fields ...any) string { return fmt.Sprintf("%v", fields) }

// FuzzParse: a record survives being printed, its faults are where they say,
// and nothing panics: linting, changing, discovering.
func FuzzParse(f *testing.F) {
	f.Add("v=DMARC1; p=reject; rua=mailto:a@b.example!10m,https://c.example/; fo=1:d:s; pct=5")
	f.Add("v = DMARC1 ;; p= none; P=x; 1=2; word; psd=y")
	f.Add("“v=DMARC1 p=quarantäne, rua=a@b.example; mailto:c@d.example”")
	f.Fuzz(func(t *testing.T, txt string) {
		findings := dmarc.Lint(txt, "example.jp")
		if len(findings) > 100 {
			t.Fatalf("%d findings", len(findings))
		}
		for _, x := range findings {
			if x.Publish != nil && x.Publish.Type == "TXT" {
				if _, err := dmarc.Parse(x.Publish.Value); err != nil {
					t.Fatalf("%q: %s advises %q: %v", txt, x.Code, x.Publish.Value, err)
				}
			}
		}
		r, err := dmarc.Parse(txt)
		if err != nil {
			return
		}
		roundTrip(t, r)
		for i, x := range r.Faults {
			if x.Offset < 0 || x.Offset > len(txt) || i > 0 && r.Faults[i-1].Offset > x.Offset {
				t.Fatalf("%q: fault %+v", txt, x)
			}
		}
		if w := r.With("np", "reject"); w.NP != dmarc.Reject || w.P != r.P {
			t.Fatalf("%q with np=reject is %q", txt, w)
		}
		for _, u := range append(r.RUA, r.RUF...) {
			if again, err := dmarc.ParseURI(u.String()); err != nil || again != u {
				t.Fatalf("%q: %+v, again %+v, %v", txt, u, again, err)
			}
		}
		v := &dmarc.Verifier{Resolver: &zone{txt: map[string][]string{"_dmarc.example.jp": {txt}}}}
		v.Evaluate(context.Background(), v.Discover(context.Background(), name(t, "a.example.jp")), nil)
	})
}
