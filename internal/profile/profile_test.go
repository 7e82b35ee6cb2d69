package profile

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/internal/locale"
	"sekimori/internal/posture"
)

// TestData checks what is in the files: names, conditions, dates, and that
// every item, and nothing else, has its sentences in both languages.
func TestData(t *testing.T) {
	said := map[string]bool{}
	ids, metrics := map[string]bool{}, map[string]bool{}
	entries, err := files.ReadDir(".")
	if err != nil || len(entries) != len(order) {
		t.Errorf("%d files for %d profiles: %v", len(entries), len(order), err)
	}
	for i := range All() {
		p := &All()[i]
		if p.ID != order[i] || p.Metric != "profile_"+strings.ReplaceAll(p.ID, "-", "_") || ids[p.ID] || metrics[p.Metric] {
			t.Errorf("%s, %s: not named as it should be", p.ID, p.Metric)
		}
		ids[p.ID], metrics[p.Metric] = true, true
		for _, end := range []string{"", ".source", ".note"} {
			said["profile."+p.ID+end] = true
		}
		items := map[string]bool{}
		for _, it := range p.Items {
			where := p.ID + "." + it.ID
			if it.ID == "" || items[it.ID] || it.Ref == "" {
				t.Errorf("%s: no ID, one used twice, or no clause", where)
			}
			items[it.ID] = true
			for _, end := range []string{"", ".why", ".do"} {
				said["profile."+where+end] = true
			}
			if !slices.Contains([]Level{Must, Should, Consider}, it.Level) {
				t.Errorf("%s: level %q", where, it.Level)
			}
			if !slices.Contains([]Audience{Everybody, Senders, Silent, Receivers}, it.Applies) {
				t.Errorf("%s: applies to %q", where, it.Applies)
			}
			if it.Since != "" {
				if _, err := time.Parse(time.DateOnly, it.Since); err != nil {
					t.Errorf("%s: %v", where, err)
				}
			}
			if it.When != nil {
				if err := it.When.check(); err != nil {
					t.Errorf("%s: %v", where, err)
				}
			}
			if it.When != nil && it.Messages {
				t.Errorf("%s: seen in the DNS and in messages only", where)
			}
		}
	}
	for _, l := range locale.Langs {
		for code := range said {
			if !l.Has(code) {
				t.Errorf("%s has no sentence in %s", code, l)
			}
		}
		for _, code := range l.Codes() {
			if strings.HasPrefix(code, "profile.") && !said[code] {
				t.Errorf("nothing says %s", code)
			}
		}
	}
}

func TestFaultyConditions(t *testing.T) {
	for name, raw := range map[string]string{
		"nothing":        `{"items":[{"when":{}}]}`,
		"two kinds":      `{"items":[{"when":{"fact":"spf","any":[{"fact":"dkim"}]}}]}`,
		"no such fact":   `{"items":[{"when":{"fact":"spam"}}]}`,
		"no such state":  `{"items":[{"when":{"fact":"spf","is":"unknown"}}]}`,
		"is and isnt":    `{"items":[{"when":{"fact":"spf","is":"no","isnt":"no"}}]}`,
		"is of a group":  `{"items":[{"when":{"all":[{"fact":"spf"}],"is":"no"}}]}`,
		"faulty inside":  `{"items":[{"when":{"not":{"all":[{"fact":"spf"},{}]}}}]}`,
		"faulty in any":  `{"items":[{"when":{"any":[{"fact":"spf"},{"fact":"x"}]}}]}`,
		"faulty negated": `{"items":[{"when":{"not":{"fact":"x"}}}]}`,
	} {
		var p Profile
		if err := decode([]byte(raw), &p); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if p.Items[0].When.check() == nil {
			t.Errorf("%s: taken", name)
		}
	}
	var p Profile
	if decode([]byte(`{"itmes":[]}`), &p) == nil {
		t.Error("a field that does not exist is taken")
	}
}

// facts is a domain of which these facts are known to hold, those after "-" not
// to, and the others nothing.
func facts(list string) Facts {
	known := map[posture.Fact]posture.State{}
	for _, f := range strings.Fields(list) {
		if name, isNot := strings.CutPrefix(f, "-"); isNot {
			known[posture.Fact(name)] = posture.No
		} else {
			known[posture.Fact(f)] = posture.Yes
		}
	}
	return func(f posture.Fact) posture.State {
		if s, ok := known[f]; ok {
			return s
		}
		return posture.Unknown
	}
}

func TestJudge(t *testing.T) {
	const none = "-" // not applicable
	for _, c := range []struct{ facts, gov, google string }{
		{"sends_mail dmarc_valid spf_valid dkim dkim_valid dmarc_enforced", "yes", "yes"},
		{"sends_mail dmarc_valid spf_valid -dkim dmarc_enforced", "yes", "no"}, // one of the two is enough for the government
		{"sends_mail dmarc_valid spf_valid dmarc_enforced", "yes", "unknown"},
		{"sends_mail dmarc_valid spf_valid dkim -dmarc_enforced", "no", "yes"}, // none will do for Google; a name below _domainkey is evidence
		{"sends_mail dmarc_valid spf_valid dkim -dkim_valid -dmarc_enforced", "no", "no"},
		{"sends_mail -dmarc_valid -dmarc_enforced spf_valid dkim dkim_valid", "no", "no"},
		{"sends_mail dmarc_valid -spf_valid dmarc_enforced", "unknown", "no"},
		{"sends_mail", "unknown", "unknown"},
		{"-sends_mail dmarc_reject dmarc_enforced", "yes", none},
		{"-sends_mail dmarc_reject -dmarc_enforced", "no", none}, // under test
		{"-sends_mail -dmarc_reject dmarc_enforced", "no", none},
		{"-sends_mail", "unknown", none},
		{"dmarc_valid spf_valid dmarc_enforced dmarc_reject", "yes", "unknown"}, // by either yardstick
		{"dmarc_valid spf_valid dmarc_enforced -dmarc_reject", "unknown", "unknown"},
		{"dmarc_valid spf_valid dkim dkim_valid -dmarc_enforced -dmarc_reject", "unknown", "yes"},
		{"", "unknown", "unknown"},
	} {
		for id, want := range map[string]string{"jp-gov": c.gov, "google": c.google, "microsoft": c.google, "yahoo": c.google} {
			p := &All()[slices.Index(order[:], id)]
			r := Judge(p, facts(c.facts))
			got := string(r.State)
			if r.NotApplicable {
				got = none
			}
			if got != want {
				t.Errorf("%s of %q: %s, want %s", id, c.facts, got, want)
			}
			if p.State(facts(c.facts)) != r.State {
				t.Errorf("%s of %q: State and Judge differ", id, c.facts)
			}
			if len(r.Items) != len(p.Items) {
				t.Errorf("%s: %d of %d items", id, len(r.Items), len(p.Items))
			}
		}
	}
}

// TestItems looks at items of which there is more to say than a state.
func TestItems(t *testing.T) {
	item := func(id, of string) Finding {
		r := Judge(&All()[0], facts(of))
		return r.Items[slices.IndexFunc(r.Items, func(f Finding) bool { return f.ID == id })]
	}
	if f := item("dmarc-receiver", "mx -null_mx"); !f.NotMeasurable || f.State != posture.Unknown || f.NotApplicable {
		t.Errorf("what a receiver does: %+v", f)
	}
	if f := item("dmarc-receiver", "mx null_mx"); !f.NotApplicable {
		t.Errorf("of a domain that accepts no mail: %+v", f)
	}
	if f := item("tls", "mx -null_mx -starttls dane_valid"); f.State != posture.Yes {
		t.Errorf("DANE makes encryption mandatory: %+v", f)
	}
	if f := item("silent-spf", "-sends_mail -exists"); f.State != posture.Yes {
		t.Errorf("a name that does not exist has no SPF record: %+v", f)
	}
	if f := item("policy", "-sends_mail"); !f.NotApplicable {
		t.Errorf("the policy of senders, of one that sends nothing: %+v", f)
	}
}

func TestStates(t *testing.T) {
	zone, err := dnstest.Parse(strings.NewReader(`
$ORIGIN example.
good MX 10 mx.good
good TXT "v=spf1 mx -all"
mx.good A 192.0.2.1
_dmarc.good TXT "v=DMARC1; p=reject; rua=mailto:r@good.example"
silent TXT "v=spf1 -all"
_dmarc.silent TXT "v=DMARC1; p=reject"
`), "")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]posture.State{"good.example": posture.Yes, "silent.example": posture.Yes} {
		n, err := domain.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		p := posture.Inspect(t.Context(), zone, n, posture.Options{Frugal: true})
		got := States(&p)
		if got["profile_jp_gov"] != want || len(got) != len(Metrics()) {
			t.Errorf("%s: %v", name, got)
		}
		for _, m := range Metrics() {
			if _, ok := got[m]; !ok {
				t.Errorf("%s: nothing of %s", name, m)
			}
		}
	}
}
