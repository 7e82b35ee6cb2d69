package dmarc_test

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"sekimori/dmarc"
	"sekimori/taglist"
)

// fields writes what a record says, for comparing: only what is no default.
func fields(r *dmarc.Record) string {
	var s []string
	add := func(name, v string) {
		if v != "" {
			s = append(s, name+"="+v)
		}
	}
	add("p", string(r.P))
	add("sp", string(r.SP))
	add("np", string(r.NP))
	if r.ADKIM != dmarc.Relaxed {
		add("adkim", string(r.ADKIM))
	}
	if r.ASPF != dmarc.Relaxed {
		add("aspf", string(r.ASPF))
	}
	if r.PSD != dmarc.Undecided {
		add("psd", string(r.PSD))
	}
	if r.Testing {
		add("t", "y")
	}
	if r.FO != (dmarc.FailureOptions{}) {
		add("fo", r.FO.String())
	}
	uris := func(name string, list []dmarc.URI) {
		var all []string
		for _, u := range list {
			all = append(all, u.String())
		}
		add(name, strings.Join(all, ","))
	}
	uris("rua", r.RUA)
	uris("ruf", r.RUF)
	if r.Pct != 100 {
		add("pct", fmt.Sprint(r.Pct))
	}
	for _, f := range r.Faults {
		s = append(s, fmt.Sprintf("!%s@%d", f.Kind, f.Offset))
	}
	return strings.Join(s, " ")
}

// TestParse: RFC 9989 §4.7 and §4.8, clause by clause.
func TestParse(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"v=DMARC1", ""},
		{"v=DMARC1;", ""},
		{"v=DMARC1; p=none", "p=none"},
		{"v=DMARC1;p=reject;sp=quarantine;np=none;", "p=reject sp=quarantine np=none"},
		// dmarc-sep and equals: white space around.
		{"v = DMARC1 ;\tp = reject ; sp\t=\tnone ; ", "p=reject sp=none"},
		{" v=DMARC1; p=none", "p=none"},
		// Keywords are ABNF strings, in any case (RFC 5234 §2.3); so are names.
		{"V=DMARC1; P=Reject; ADKIM=S; PSD=Y; T=Y", "p=reject adkim=s psd=y t=y"},
		// The order behind v is free.
		{"v=DMARC1; rua=mailto:a@b.example; p=none", "p=none rua=mailto:a@b.example"},
		{"v=DMARC1; adkim=s; aspf=s; p=none", "p=none adkim=s aspf=s"},
		{"v=DMARC1; p=none; adkim=r; aspf=r; psd=u; t=n; fo=0; pct=100", "p=none"},
		{"v=DMARC1; psd=n; t=y; p=quarantine", "p=quarantine psd=n t=y"},
		// Unknown tags are ignored, and so are the historic rf and ri (§9.3).
		{"v=DMARC1; p=none; x=y; rf=afrf; ri=3600; Foo=bar", "p=none"},
		{"v=DMARC1; p=none; pct=20", "p=none pct=20"},
		// Syntax errors: the default, or nothing.
		{"v=DMARC1; p=none; reject", "p=none !stray@18"},
		{"v=DMARC1; ; p=none;;", "p=none !empty@10 !empty@19"},
		{"v=DMARC1; p=nothing", "!bad-value@10"},
		{"v=DMARC1; p=; sp=reject", "sp=reject !bad-value@10"},
		{"v=DMARC1; p=none; sp=x; np=", "p=none !bad-value@18 !bad-value@24"},
		{"v=DMARC1; p=none; adkim=x; aspf=strict; psd=1; t=1", "p=none !bad-value@18 !bad-value@27 !bad-value@40 !bad-value@47"},
		{"v=DMARC1; p=none; pct=101", "p=none !bad-value@18"},
		{"v=DMARC1; p=none; pct=-1", "p=none !bad-value@18"},
		{"v=DMARC1; p=none; pct=50%", "p=none !bad-value@18"},
		{"v=DMARC1; p=none; pct=007", "p=none pct=7"},
		{"v=DMARC1; p=none; pct=0", "p=none pct=0"},
		{"v=DMARC1; p=none rua=mailto:a@b.example", "!bad-value@10"},
		{"v=DMARC1; 1p=none; p=none", "p=none !bad-name@10"},
		{"v=DMARC1; =none; p=none", "p=none !bad-name@10"},
		// Repeated: the first counts.
		{"v=DMARC1; p=reject; p=none", "p=reject !duplicate@20"},
		{"v=DMARC1; p=bad; P=none", "!bad-value@10 !duplicate@17"},
		{"v=DMARC1; v=DMARC1; p=none", "p=none !duplicate@10"},
		// fo: 0 or 1, d, s, each once.
		{"v=DMARC1; fo=1", "fo=1"},
		{"v=DMARC1; fo=0:d:s", "fo=0:d:s"},
		{"v=DMARC1; fo=d", "fo=0:d"},
		{"v=DMARC1; fo=S:1:D", "fo=1:d:s"},
		{"v=DMARC1; fo=d : s", "fo=0:d:s"},
		{"v=DMARC1; fo=0:1", "!bad-value@10"},
		{"v=DMARC1; fo=d:d", "!bad-value@10"},
		{"v=DMARC1; fo=1:x", "!bad-value@10"},
		{"v=DMARC1; fo=", "!bad-value@10"},
		// URIs.
		{"v=DMARC1; rua=mailto:a@b.example , mailto:c@d.example", "rua=mailto:a@b.example,mailto:c@d.example"},
		{"v=DMARC1; rua=a@b.example,mailto:c@d.example", "rua=mailto:c@d.example !bad-uri@14"},
		{"v=DMARC1; rua=mailto:a@b.example,, x ", "rua=mailto:a@b.example !bad-uri@33 !bad-uri@35"},
		{"v=DMARC1; ruf=https://b.example/r!10m", "ruf=https://b.example/r!10m"},
	} {
		r, err := dmarc.Parse(tt.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.in, err)
			continue
		}
		// The faults in the order of their places, which one pass does not give.
		if got := fields(r); !sameWords(got, tt.want) {
			t.Errorf("Parse(%q) =\n%s, want\n%s", tt.in, got, tt.want)
		}
		for _, f := range r.Faults {
			if !strings.HasPrefix(tt.in[f.Offset:], f.Text) && f.Kind != dmarc.BadValue && f.Kind != dmarc.Duplicate {
				t.Errorf("Parse(%q): %+v is not there", tt.in, f)
			}
			if f.Error() == "" {
				t.Errorf("Parse(%q): %+v has no words", tt.in, f)
			}
		}
		roundTrip(t, r)
	}
}

func sameWords(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	m := map[string]int{}
	for _, w := range x {
		m[w]++
	}
	for _, w := range y {
		m[w]--
	}
	for _, n := range m {
		if n != 0 {
			return false
		}
	}
	return true
}

// roundTrip: what String writes is the same record, without what was no tag.
func roundTrip(t *testing.T, r *dmarc.Record) {
	t.Helper()
	again, err := dmarc.Parse(r.String())
	if err != nil {
		t.Errorf("%q is printed as %q: %v", r.Text, r.String(), err)
		return
	}
	a, b := *again, *r
	a.Text, b.Text, a.Faults, b.Faults = "", "", nil, nil
	for _, x := range []*dmarc.Record{&a, &b} {
		x.Tags = append(taglist.List(nil), x.Tags...)
		for i := range x.Tags {
			x.Tags[i].Offset = 0
		}
	}
	if !reflect.DeepEqual(a, b) || again.String() != r.String() {
		t.Errorf("%q is printed as %q, which is\n%+v, not\n%+v", r.Text, r.String(), a, b)
	}
}

// TestNoRecord: §4.7: v must be first, and DMARC1 to the letter; else the
// entire record is ignored.
func TestNoRecord(t *testing.T) {
	for _, in := range []string{
		"", " ", ";", "p=none", "p=none; v=DMARC1", "; v=DMARC1; p=none",
		"v=dmarc1; p=none", "v=Dmarc1", "v=DMARC2; p=none", "v=DMARC1p=none", "v=DMARC1 p=none",
		"v=DMARC1, p=none", "v=DMARC1.", "v=DMARC 1", "v= ", "v", "v;", "vDMARC1", "vv=DMARC1",
		`"v=DMARC1; p=none"`, "v=spf1 -all", "x v=DMARC1", "v=DMARC1\\; p=none", "v=DMARC1:p=none",
		"\ufeffv=DMARC1; p=none", "v=DMARC1;" + strings.Repeat("x", 16384),
	} {
		r, err := dmarc.Parse(in)
		var f dmarc.Fault
		if err == nil || !errors.As(err, &f) || err.Error() == "" {
			t.Errorf("Parse(%q) = %v, %v, want a Fault", clipped(in), r, err)
		}
	}
}

func TestParseURI(t *testing.T) {
	for in, want := range map[string][4]string{ // scheme, address, host, size
		"mailto:a@b.example":                    {"mailto", "a@b.example", "b.example", ""},
		" MAILTO:A.b+c@B.Example\t":             {"mailto", "A.b+c@b.example", "b.example", ""},
		"mailto:a@b.example!10m":                {"mailto", "a@b.example", "b.example", "10m"},
		"mailto:a@b.example!50":                 {"mailto", "a@b.example", "b.example", "50"},
		"mailto:a@b.example!1T":                 {"mailto", "a@b.example", "b.example", "1T"},
		"mailto:a%2Cb%21c@b.example":            {"mailto", "a,b!c@b.example", "b.example", ""},
		"mailto:%22a%20b%22@b.example":          {"mailto", `"a b"@b.example`, "b.example", ""},
		"mailto:a%40x@b.example":                {"mailto", "a@x@b.example", "b.example", ""},
		"mailto:a@b.example?subject=x%20y":      {"mailto", "a@b.example", "b.example", ""},
		"mailto:a@%E6%97%A5%E6%9C%AC.example":   {"mailto", "a@xn--wgv71a.example", "xn--wgv71a.example", ""},
		"https://b.example/r?x=1":               {"https", "", "b.example", ""},
		"https://u:p@b.example:8443/r":          {"https", "", "b.example", ""},
		"https://[2001:db8::1]/r":               {"https", "", "", ""},
		"urn:x":                                 {"urn", "", "", ""},
		"x-y.z+1:foo":                           {"x-y.z+1", "", "", ""},
		"mailto:abuse-reports=x@mail.b.example": {"mailto", "abuse-reports=x@mail.b.example", "mail.b.example", ""},
	} {
		u, err := dmarc.ParseURI(in)
		got := [4]string{u.Scheme, u.Address, u.Host.String(), u.Size}
		if err != nil || got != want {
			t.Errorf("ParseURI(%q) = %q, %v, want %q", in, got, err, want)
		}
		if again, err := dmarc.ParseURI(u.String()); err != nil || again != u {
			t.Errorf("ParseURI(%q): printed as %q, which is %+v, %v", in, u.String(), again, err)
		}
	}
	for _, in := range []string{
		"", "a@b.example", "mailto", "mailto:", "mailto:a", "mailto:@b.example", "mailto:a@", "mailto://a@b.example",
		"mailto:a b@c.example", "mailto:a@b..example", "mailto:a@[192.0.2.1]", "mailto:a!b@c.example", "mailto:a@b.example!",
		"mailto:a@b.example!10x", "mailto:a@b.example!m", "mailto:a@b.example!10m!", "mailto:%0d%0aBcc:x@b.example",
		"mailto:a%00@b.example", "mailto:a%2@b.example", "mailto:a%zz@b.example", "1x:y", ":x", "mailto:\"a\"@b.example",
		"mailto:<a@b.example>", "mailto:日本@b.example", "mailto:a@b.example%20",
	} {
		if u, err := dmarc.ParseURI(in); err == nil {
			t.Errorf("ParseURI(%q) = %+v, want an error", in, u)
		}
	}
}

func TestEffective(t *testing.T) {
	for in, want := range map[string][3]dmarc.Policy{
		"v=DMARC1":                                   {"none", "none", "none"},
		"v=DMARC1; p=reject":                         {"reject", "reject", "reject"},
		"v=DMARC1; p=reject; sp=none":                {"reject", "none", "none"},
		"v=DMARC1; p=none; np=reject":                {"none", "none", "reject"},
		"v=DMARC1; p=none; sp=quarantine; np=reject": {"none", "quarantine", "reject"},
		"v=DMARC1; p=quarantine; sp=bad":             {"quarantine", "quarantine", "quarantine"},
	} {
		r, err := dmarc.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		p, sp, np := r.Effective()
		if got := [3]dmarc.Policy{p, sp, np}; got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
}

func TestWith(t *testing.T) {
	r := dmarc.New(dmarc.Quarantine)
	for _, step := range []struct{ name, value, want string }{
		{"rua", "mailto:a@b.example", "v=DMARC1; p=quarantine; rua=mailto:a@b.example"},
		{"np", "reject", "v=DMARC1; p=quarantine; np=reject; rua=mailto:a@b.example"},
		{"sp", "none", "v=DMARC1; p=quarantine; sp=none; np=reject; rua=mailto:a@b.example"},
		{"p", "reject", "v=DMARC1; p=reject; sp=none; np=reject; rua=mailto:a@b.example"},
		{"x", "a;b\r\n", "v=DMARC1; p=reject; sp=none; np=reject; rua=mailto:a@b.example; x=a%3Bb%0D%0A"},
		{"fo", "", "v=DMARC1; p=reject; sp=none; np=reject; rua=mailto:a@b.example; x=a%3Bb%0D%0A"},
		{"t", "y", "v=DMARC1; p=reject; sp=none; np=reject; rua=mailto:a@b.example; t=y; x=a%3Bb%0D%0A"},
	} {
		if r = r.With(step.name, step.value); r.String() != step.want {
			t.Errorf("With(%s, %q) =\n%s, want\n%s", step.name, step.value, r, step.want)
		}
	}
	if got := r.Without("x", "sp", "v", "rua").String(); got != "v=DMARC1; p=reject; np=reject; t=y" {
		t.Errorf("Without = %s", got)
	}
	twice, err := dmarc.Parse("v=DMARC1; p=none; P=reject; p=x")
	if err != nil {
		t.Fatal(err)
	}
	if got := twice.With("p", "quarantine").String(); got != "v=DMARC1; p=quarantine" {
		t.Errorf("With of a repeated tag = %s", got)
	}
}

// TestParseBounds: the worst records of the longest length cost what Parse says.
func TestParseBounds(t *testing.T) {
	for _, piece := range []string{";", "x;", "a=;", "p=x;", "rua=,;", ",", "=;", "rua=mailto:a@b.c,", "1=;", "v=DMARC1;"} {
		txt := "v=DMARC1;rua="
		txt += strings.Repeat(piece, (8192-len(txt))/len(piece))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		const runs = 10
		for range runs {
			if _, err := dmarc.Parse(txt); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		if per := (after.TotalAlloc - before.TotalAlloc) / runs / uint64(len(txt)); per > 200 {
			t.Errorf("%q: %d octets of memory for each of the record", piece, per)
		}
		start := time.Now()
		dmarc.Lint(txt, "example.jp")
		if took := time.Since(start); took > time.Second {
			t.Errorf("%q: Lint takes %v", piece, took)
		}
	}
}
