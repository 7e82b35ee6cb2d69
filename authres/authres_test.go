package authres

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"sekimori/internal/require"
	"sekimori/message"
)

// one is a result without ceremony.
func one(method, value, comment string, props ...string) Result {
	r := Result{Method: method, Version: 1, Value: value, Comment: comment}
	for _, p := range props {
		name, value, _ := strings.Cut(p, "=")
		t, n, ok := strings.Cut(name, ".")
		if !ok {
			t, n = "", name
		}
		r.Props = append(r.Props, Prop{t, n, value})
	}
	return r
}

func TestParse(t *testing.T) {
	reason := func(r Result, s string) Result { r.Reason = s; return r }
	note := func(r Result, s string) Result { r.Note = s; return r }
	version := func(r Result, n int) Result { r.Version = n; return r }
	for _, c := range []struct {
		name, in, id string
		want         []Result
	}{
		// RFC 8601 appendix B.
		{"B.2 none", "example.org 1; none", "example.org", nil},
		{"B.3 one", "example.com; spf=pass smtp.mailfrom=example.net", "example.com",
			[]Result{one("spf", "pass", "", "smtp.mailfrom=example.net")}},
		{"B.4 several", "example.com;\r\n          auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n          spf=pass smtp.mailfrom=example.net", "example.com",
			[]Result{one("auth", "pass", "cram-md5", "smtp.auth=sender@example.net"), one("spf", "pass", "", "smtp.mailfrom=example.net")}},
		{"B.6 reason", `example.com; dkim=pass reason="good signature" header.i=@mail-router.example.net; dkim=fail reason="bad signature" header.i=@newyork.example.com`, "example.com",
			[]Result{reason(one("dkim", "pass", "", "header.i=@mail-router.example.net"), "good signature"),
				reason(one("dkim", "fail", "", "header.i=@newyork.example.com"), "bad signature")}},
		{"B.7 comments everywhere", `foo.example.net (foobar) 1 (baz); dkim (Because I like it) / 1 (One yay) = (wait for it) fail policy (A dot can go here) . (like that) expired (this surprised me) = (as I wasn't expecting it) 1362471462`, "foo.example.net",
			[]Result{one("dkim", "fail", "Because I like it", "policy.expired=1362471462")}},
		{"quoted id", `"mx (1); x.example"; spf=pass`, "mx (1); x.example", []Result{one("spf", "pass", "")}},
		{"escapes", `"a\"b\\" ; spf=pass (a \) b (c)) smtp.mailfrom="a b\"@c"`, `a"b\`,
			[]Result{one("spf", "pass", "a ) b (c)", `smtp.mailfrom=a b"@c`)}},
		{"any case", "MX.Example.JP; DKIM=PASS Header.D=Example.JP", "MX.Example.JP",
			[]Result{one("dkim", "pass", "", "header.d=Example.JP")}},
		{"method version", "a.example; dkim/2=pass; spf/1=fail", "a.example",
			[]Result{version(one("dkim", "pass", ""), 2), one("spf", "fail", "")}},
		{"semicolons in comments and quotes", `a.example; dkim=fail (1024-bit key; unprotected) reason="x; y" header.b="a;b"`, "a.example",
			[]Result{reason(one("dkim", "fail", "1024-bit key; unprotected", "header.b=a;b"), "x; y")}},
		{"no space before a comment", "a.example;spf=pass(ok)smtp.helo=b.example", "a.example",
			[]Result{one("spf", "pass", "ok", "smtp.helo=b.example")}},
		{"quoted local part", `a.example; spf=pass smtp.mailfrom="a b;c"@d.example`, "a.example",
			[]Result{one("spf", "pass", "", `smtp.mailfrom="a b;c"@d.example`)}},
		{"empty values", `a.example; spf=none smtp.mailfrom="" smtp.helo=b.example; iprev=fail policy.iprev=;`, "a.example",
			[]Result{one("spf", "none", "", "smtp.mailfrom=", "smtp.helo=b.example"), one("iprev", "fail", "", "policy.iprev=")}},
		{"values that ought to be quoted", "a.example; x=pass header.b=dC/g+1== smtp.remote-ip=2001:db8::1 smtp.mailfrom=b+c=d.example@e.example smtp.bits=128/128 smtp.x=<>", "a.example",
			[]Result{one("x", "pass", "", "header.b=dC/g+1==", "smtp.remote-ip=2001:db8::1", "smtp.mailfrom=b+c=d.example@e.example", "smtp.bits=128/128", "smtp.x=<>")}},
		{"UTF-8", "例え.jp; spf=pass smtp.mailfrom=山田@例え.jp", "例え.jp",
			[]Result{one("spf", "pass", "", "smtp.mailfrom=山田@例え.jp")}},

		// What receivers write.
		{"Google", "mx.google.com;\r\n       dkim=pass header.i=@example.jp header.s=default header.b=1VSEye1n;\r\n       spf=pass (google.com: domain of a@example.jp designates 192.0.2.33 as permitted sender) smtp.mailfrom=a@example.jp;\r\n       dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=example.jp;\r\n       dara=pass header.i=@example.net", "mx.google.com",
			[]Result{one("dkim", "pass", "", "header.i=@example.jp", "header.s=default", "header.b=1VSEye1n"),
				one("spf", "pass", "google.com: domain of a@example.jp designates 192.0.2.33 as permitted sender", "smtp.mailfrom=a@example.jp"),
				one("dmarc", "pass", "p=REJECT sp=REJECT dis=NONE", "header.from=example.jp"),
				one("dara", "pass", "", "header.i=@example.net")}},
		{"Google's best guess", "mx.google.com; spf=pass (google.com: best guess record for domain of a@example.jp designates 192.0.2.33 as permitted sender) smtp.mailfrom=a@example.jp", "mx.google.com",
			[]Result{note(one("spf", "none", "google.com: best guess record for domain of a@example.jp designates 192.0.2.33 as permitted sender", "smtp.mailfrom=a@example.jp"), "pass (best guess record)")}},
		{"a best guess in a second comment", "mx.example; spf=pass (x) smtp.helo=y (Best-Guess Record)", "mx.example",
			[]Result{note(one("spf", "none", "x", "smtp.helo=y"), "pass (best guess record)")}},
		{"a best guess that failed", "mx.example; spf=neutral (best guess record)", "mx.example", []Result{one("spf", "neutral", "best guess record")}},
		{"Microsoft", "spf=pass (sender IP is 192.0.2.45)\r\n smtp.helo=out.example.jp; outlook.test; dkim=none (message not\r\n signed) header.d=none;outlook.test; dmarc=bestguesspass action=none\r\n header.from=example.jp;compauth=pass reason=109", "",
			[]Result{one("spf", "pass", "sender IP is 192.0.2.45", "smtp.helo=out.example.jp"),
				one("dkim", "none", "message not signed", "header.d=none"),
				note(one("dmarc", "none", "", "action=none", "header.from=example.jp"), "bestguesspass"),
				reason(one("compauth", "pass", ""), "109")}},
		{"Microsoft, sealed", "mx.microsoft.test 1; spf=pass (sender ip is\r\n 192.0.2.161) smtp.rcpttodomain=b.example smtp.mailfrom=a.example; dmarc=pass (p=reject\r\n sp=reject pct=100) action=none header.from=a.example; dkim=none (message not\r\n signed); arc=none (0)", "mx.microsoft.test",
			[]Result{one("spf", "pass", "sender ip is 192.0.2.161", "smtp.rcpttodomain=b.example", "smtp.mailfrom=a.example"),
				one("dmarc", "pass", "p=reject sp=reject pct=100", "action=none", "header.from=a.example"),
				one("dkim", "none", "message not signed"), one("arc", "none", "0")}},
		{"Yahoo", "mta.yahoo.test from=a.example; domainkeys=neutral (no sig); from=b.example; dkim=pass (ok)", "mta.yahoo.test",
			[]Result{one("domainkeys", "neutral", "no sig"), one("from", "b.example", ""), one("dkim", "pass", "ok")}},
		{"a comment between properties", "a.example; dmarc=pass policy.published-domain-policy=none (p=none,d=none) policy.policy-from=p header.from=b.example;", "a.example",
			[]Result{one("dmarc", "pass", "p=none,d=none", "policy.published-domain-policy=none", "policy.policy-from=p", "header.from=b.example")}},
		{"words without a place", "a.example x y; spf=pass and more smtp.helo=b; what is this; = ; =x y=z", "a.example",
			[]Result{one("spf", "pass", "", "smtp.helo=b")}},
		{"nothing", ";", "", nil},
	} {
		got, err := Parse(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got.AuthServID != c.id || got.Version != 1 || !reflect.DeepEqual(got.Results, c.want) {
			t.Errorf("%s:\n got %q %+v\nwant %q %+v", c.name, got.AuthServID, got.Results, c.id, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ in, msg string }{
		{"", "empty"},
		{" (x) ", "empty"},
		{`a.example; spf=pass reason="x`, "octet 28: a quotation mark"},
		{"a.example; spf=pass (x", "octet 21: \"(\" without"},
		{`a.example; spf=pass (x\)`, "octet 21"},
		{"a.example; spf=pass\x00", "control character"},
		{"a.example; spf=pass\r\nX: y", "control character"},
		{"a.example; spf=pass\r X", "control character"},
		{"a.example; " + strings.Repeat("spf=pass;", 501), "more than 500"},
		{"a.example; spf=pass" + strings.Repeat(" a.b=c", 101), "more than 100 properties"},
		{"a.example" + strings.Repeat("(", 40) + strings.Repeat(")", 40), "nested deeper"},
	} {
		got, err := Parse(c.in)
		if err == nil || !strings.Contains(err.Error(), c.msg) || got != nil {
			t.Errorf("Parse(%.40q) = %+v, %v, want an error with %q", c.in, got, err, c.msg)
		}
	}
	for _, in := range []string{"a.example 2; spf=pass", "a.example 0; spf=pass", "a.example 99999999999; spf=pass"} {
		got, err := Parse(in)
		if !errors.Is(err, ErrVersion) || got == nil || got.AuthServID != "a.example" || len(got.Results) != 1 {
			t.Errorf("Parse(%q) = %+v, %v, want ErrVersion", in, got, err)
		}
	}
}

func TestParseARC(t *testing.T) {
	for _, in := range []string{"i=3; a.example; spf=pass", " (x) i = 3 (y) ;\r\n a.example 1; spf=pass", "I=3;spf=pass"} {
		n, r, err := ParseARC(in)
		if err != nil || n != 3 || len(r.All("spf")) != 1 {
			t.Errorf("ParseARC(%q) = %d, %+v, %v", in, n, r, err)
		}
	}
	for _, in := range []string{"", "a.example; spf=pass", "i=; a.example; none", "i=0; a.example; none", "i=51; a.example; none", "i=+1; a.example; none", "i=1 a.example; none", "i=x; none", "i=1;"} {
		if n, r, err := ParseARC(in); err == nil {
			t.Errorf("ParseARC(%q) = %d, %+v, want an error", in, n, r)
		}
	}
}

func TestAllAndGet(t *testing.T) {
	r, err := Parse("a.example; dkim=pass header.d=b.example header.d=c.example; dkim/9=pass; spf=fail")
	if err != nil {
		t.Fatal(err)
	}
	all := r.All("DKIM")
	if len(all) != 1 {
		t.Fatalf("All = %+v, want the one of version 1", all)
	}
	if d, ok := all[0].Get("Header", "D"); !ok || d != "b.example" {
		t.Errorf("Get = %q, %v", d, ok)
	}
	if _, ok := all[0].Get("header", "i"); ok {
		t.Error("a property that is not there")
	}
	if _, ok := all[0].Noted(); ok {
		t.Error("a note on an ordinary pass")
	}
	if s, ok := (Result{Method: "dmarc", Note: "bestguesspass"}).Noted(); !ok || s.Args["written"] != "bestguesspass" {
		t.Errorf("Noted = %+v, %v", s, ok)
	}
}

// sample is the results of a usual message, with the properties of all methods.
func sample() *Results {
	return &Results{AuthServID: "mx.example.jp", Results: []Result{
		one("spf", "pass", "", "smtp.mailfrom=bounce+2fa=b.example@mail.example.jp", "smtp.helo=out.example.jp"),
		one("dkim", "pass", "2048-bit key", "header.d=example.jp", "header.i=@example.jp", "header.a=rsa-sha256", "header.s=s2026", "header.b=dC/g+1=="),
		one("dmarc", "pass", "p=reject", "header.from=example.jp", "policy.dmarc=reject"),
		one("arc", "pass", "", "smtp.remote-ip=2001:db8::1", "header.oldest-pass=0"),
		one("iprev", "pass", "", "policy.iprev=192.0.2.1"),
	}}
}

func TestWrite(t *testing.T) {
	want := `mx.example.jp; spf=pass smtp.mailfrom=bounce+2fa=b.example@mail.example.jp smtp.helo=out.example.jp; ` +
		`dkim=pass (2048-bit key) header.d=example.jp header.i=@example.jp header.a=rsa-sha256 header.s=s2026 header.b="dC/g+1=="; ` +
		`dmarc=pass (p=reject) header.from=example.jp policy.dmarc=reject; ` +
		`arc=pass smtp.remote-ip="2001:db8::1" header.oldest-pass=0; iprev=pass policy.iprev=192.0.2.1`
	if got := sample().String(); got != want {
		t.Errorf("String:\n got %s\nwant %s", got, want)
	}
	want = "Authentication-Results: mx.example.jp;\r\n" +
		"\tspf=pass smtp.mailfrom=bounce+2fa=b.example@mail.example.jp\r\n" +
		"\tsmtp.helo=out.example.jp;\r\n" +
		"\tdkim=pass (2048-bit key) header.d=example.jp header.i=@example.jp\r\n" +
		"\theader.a=rsa-sha256 header.s=s2026 header.b=\"dC/g+1==\";\r\n" +
		"\tdmarc=pass (p=reject) header.from=example.jp policy.dmarc=reject;\r\n" +
		"\tarc=pass smtp.remote-ip=\"2001:db8::1\" header.oldest-pass=0;\r\n" +
		"\tiprev=pass policy.iprev=192.0.2.1\r\n"
	if got := sample().Field(); got != want {
		t.Errorf("Field:\n got %s\nwant %s", got, want)
	}
	if got := (&Results{AuthServID: "mx.example.jp"}).Field(); got != "Authentication-Results: mx.example.jp; none\r\n" {
		t.Errorf("no results: %q", got)
	}
	if got := (&Results{}).String(); got != `""; none` {
		t.Errorf("zero Results: %q", got)
	}
}

// TestWriteHostile: values from outside stay values.
func TestWriteHostile(t *testing.T) {
	for _, c := range []struct {
		in   Result
		want string
	}{
		{one("spf", "pass", "a) b; dkim=pass (c", "smtp.helo=x; dmarc=pass"), `spf=pass (a\) b; dkim=pass \(c) smtp.helo="x; dmarc=pass"`},
		{one("spf", "pass", "a\r\nX: y\x00\x7f\u0085 \t z", "smtp.helo=x\r\nX-Y: z"), `spf=pass (aX: y z) smtp.helo="xX-Y: z"`},
		{one("spf", "pass", "\\", `smtp.mailfrom="a b"@c`), `spf=pass (\\) smtp.mailfrom="a b"@c`},
		{one("spf", "pass", "", "smtp.helo=\xff\xfe山"), `spf=pass smtp.helo="??山"`},
		{one("spf", "pass", "", "smtp.helo=", "bad name.x=y", "smtp.bad name=y", "action=none"), `spf=pass smtp.helo=""`},
		{one("spf", "pass", "", "smtp.helo="+strings.Repeat("x", 901)), `spf=pass`},
		{one("spf", "pass; dkim=pass", ""), ``},
		{one("spf dkim=pass; x", "pass", ""), ``},
		{one("", "pass", ""), ``},
		{one("x", "pass", "", "smtp.mailfrom=a..b@c.example", "smtp.x=@b.example", "smtp.y=a@", "smtp.z=a@b@c"), `x=pass smtp.mailfrom="a..b@c.example" smtp.x=@b.example smtp.y="a@" smtp.z="a@b@c"`},
	} {
		want := "mx; " + c.want
		if c.want == "" {
			want = "mx; none"
		}
		if got := (&Results{AuthServID: "mx", Results: []Result{c.in}}).String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if got := (&Results{AuthServID: "mx\r\n; spf=pass"}).String(); got != `"mx; spf=pass"; none` {
		t.Errorf("authserv-id: %s", got)
	}
	long := Result{Method: "spf", Value: "pass", Comment: strings.Repeat("あ ", 300), Reason: strings.Repeat("い", 300)}
	for _, line := range strings.Split((&Results{AuthServID: "mx", Results: []Result{long}}).Field(), "\r\n") {
		if len(line) > 998 {
			t.Errorf("a line of %d octets", len(line))
		}
	}
}

func TestMerge(t *testing.T) {
	h, _, err := message.Read(strings.NewReader("Authentication-Results: a.example; arc=none\r\nAuthentication-Results: A.example.;\r\n spf=pass smtp.mailfrom=b@c.example; dkim=pass (x)\r\n"+
		"Authentication-Results: other.example; dmarc=pass\r\nAuthentication-Results: a.example; dmarc=pass (\r\n\r\n"), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := "a.example; arc=none; spf=pass smtp.mailfrom=b@c.example; dkim=pass (x)"
	if got := Merge(h, "a.example").String(); got != want {
		t.Errorf("Merge = %s, want %s", got, want)
	}
}

func TestForged(t *testing.T) {
	const ours = "mx.example.jp"
	for _, c := range []struct {
		value string
		want  string // the code's last words
	}{
		{"mx.example.jp; spf=pass", "own"},
		{"MX.EXAMPLE.JP. 1; none", "own"},
		{" (a (b) mx.other) \r\n mx.example.jp (x); spf=pass", "own"},
		{`"mx.example.jp"; spf=pass`, "own"},
		{`"mx.exa\mple.jp"; spf=pass`, "own"},
		{"mx(c).example(d).jp; spf=pass", "own"},
		{"mx.example.jp/1; spf=pass", "own"},
		{"mx.example.jp=; spf=pass", ""}, // a result of the method "mx.example.jp"; no consumer reads an authserv-id
		{`"mx.example.jp spf=pass"; none`, "own"},
		{"other mx.example.jp; spf=pass", "own"},
		{"other.example; mx.example.jp; spf=pass", "own"},
		{"spf=pass smtp.helo=x; mx.example.jp; dkim=pass", "own"},
		{"ｍｘ．example。jp; spf=pass", "own"},
		{"mx.example.jp 2; spf=pass", "version"},
		{"other.example 2; spf=pass", "version"},
		{"mx.example.jp; spf=pass (", "unreadable"},
		{`"mx.example.jp; spf=pass`, "unreadable"},
		{`mx.exa"mple.jp; spf=pass`, "unreadable"},
		{"mx.exam\x00ple.jp; spf=pass", "unreadable"},
		{"=?utf-8?q?mx=2Eexample=2Ejp?=; spf=pass (", "unreadable"},
		{"other.example; spf=pass", ""},
		{"other.example; spf=pass (", ""},
		{"mx.example.jp.evil.example; spf=pass", ""},
		{"amx.example.jp; spf=pass", ""},
		{"other.example; dkim=pass header.d=mx.example.jp", ""},
		{"spf=pass smtp.helo=mx.example.jp", ""},
		{"", ""},
	} {
		f, ok := message.ParseField("Authentication-Results: " + c.value + "\r\n")
		if !ok {
			t.Fatal(c.value)
		}
		want := c.want
		if want != "" {
			want = "authres.removed-" + want
		}
		got := ""
		if r := (Filter{IDs: []string{"x.example", ours}}).Removals(message.Header{f}); len(r) > 0 {
			got = r[0].Reason.Code
		}
		if got != want {
			t.Errorf("%q: %q, want %q", c.value, got, want)
		}
		if r := (Filter{All: true}).Removals(message.Header{f}); len(r) != 1 {
			t.Errorf("%q stays where all are taken out", c.value)
		}
	}
	for _, id := range []string{"メール.例え.jp", "xn--4dkua4c.xn--r8jz45g.jp"} {
		for _, written := range []string{"メール.例え.jp", "XN--4dkua4c.xn--r8jz45g.jp.", `"メール。例え.jp"`, "メール.例え.jp (", "xn--4dkua4c.xn--r8jz45g.jp ("} {
			f, _ := message.ParseField("authentication-results : " + written + "; spf=pass")
			if len(Forged(message.Header{f}, id)) != 1 {
				t.Errorf("%q does not count as %q", written, id)
			}
		}
	}
	h, _, err := message.Read(strings.NewReader("From: a\r\nAuthentication-Results: a.example; none\r\nAUTHENTICATION-RESULTS: b.example; none\r\nauthentication-results:a.example; none\r\nX-Authentication-Results: a.example; none\r\n\r\n"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := Forged(h, "a.example"); !reflect.DeepEqual(got, []int{1, 3}) {
		t.Errorf("Forged = %v, want 1 and 3", got)
	}
	if got := Forged(h); got != nil {
		t.Errorf("Forged without ids = %v", got)
	}
}

// TestMilterFields reads the fields of a milter's test sessions: what it says
// it found is what is read, and its own fields are the ones it takes out.
func TestMilterFields(t *testing.T) {
	dir := require.Data(t, "auth-authentication-milter")
	raw, err := os.ReadFile(filepath.Join(dir, "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Cases []struct {
			Output  string              `json:"expected_output"`
			Results map[string][]string `json:"expected_results"`
		}
	}
	if err := json.Unmarshal(raw, &suite); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, c := range suite.Cases {
		f, err := os.Open(filepath.Join(dir, c.Output))
		if err != nil {
			t.Fatal(err)
		}
		h, _, err := message.Read(f, 0)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		fields := h.All("Authentication-Results")
		if len(c.Results) == 0 || len(fields) == 0 {
			continue
		}
		r, err := Parse(fields[0].RawValue())
		if err != nil {
			t.Errorf("%s: %v", c.Output, err)
			continue
		}
		for method, want := range c.Results {
			var got []string
			for _, one := range r.All(method) {
				got = append(got, one.Value)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s = %v, want %v", c.Output, method, got, want)
			}
			compared++
		}
	}
	if compared < 100 {
		t.Errorf("only %d results were compared", compared)
	}
}

// TestRealFields: every field in the collections can be read, and what is
// written of it is read back.
func TestRealFields(t *testing.T) {
	read := 0
	for _, dir := range []string{"auth-authentication-milter", "dkim-lieser", "mail-japanese", "arf-sisimai", "dkim-mailauth", "bimi-mailauth"} {
		root := require.Data(t, dir)
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			h, _, err := message.Read(f, 0)
			if err != nil {
				return nil
			}
			for _, field := range h {
				var r *Results
				switch {
				case field.Is("Authentication-Results"):
					r, err = Parse(field.RawValue())
				case field.Is("ARC-Authentication-Results"):
					_, r, err = ParseARC(field.RawValue())
				default:
					continue
				}
				if err != nil {
					if field.Value() != "" { // some were emptied by their owner
						t.Errorf("%s: %q: %v", path, field.Value(), err)
					}
					continue
				}
				read++
				again, err := Parse(r.String())
				if err != nil || again.String() != r.String() {
					t.Errorf("%s: %q is written %q: %v", path, field.Value(), r.String(), err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if read < 100 {
		t.Errorf("only %d fields were read", read)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"example.com; spf=pass smtp.mailfrom=example.net",
		`foo.example.net (foobar) 1 (baz); dkim (x) / 1 = fail policy (A) . (b) expired (c) = (d) 1362471462`,
		"spf=pass (sender IP is 192.0.2.1)\r\n smtp.helo=x; outlook.test; dkim=none header.d=none;dmarc=bestguesspass action=none;compauth=pass reason=109",
		`"a\"b" 1; dkim=pass reason="x; y" header.b="a/b==" header.i="a b"@c.example (best guess record)`, "例え.jp; spf=pass smtp.mailfrom=山@例え.jp",
		"i=1; mx.example 1; none", "=?utf-8?q?mx?=; =; x=\x00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		Forged(message.Header{}, s)
		if field, ok := message.ParseField("Authentication-Results:" + s); ok {
			Filter{IDs: []string{"mx.example", s}}.Removals(message.Header{field})
		}
		r, err := Parse(s)
		if err == nil {
			same(t, r)
		}
		if _, r, err := ParseARC(s); err == nil {
			same(t, r)
		}
		// The octets as values: nothing escapes from its place.
		third := len(s) / 3
		r = &Results{AuthServID: s, Results: []Result{
			{Method: "spf", Value: "pass", Comment: s, Reason: s[:third], Props: []Prop{{"smtp", "helo", s}, {"smtp", "mailfrom", s[third:]}}},
			{Method: s[:third], Value: "pass", Version: len(s)},
			{Method: "dkim", Value: s[third : 2*third], Props: []Prop{{s[2*third:], "d", "x"}, {"header", s[:third], s[third:]}}},
			{Method: "arc", Value: "none"},
		}}
		same(t, r)
	})
}

// same checks that what is written is one field, in lines that mail can carry,
// and is read back as it was meant.
func same(t *testing.T, r *Results) {
	t.Helper()
	text, field := r.String(), r.Field()
	if strings.ContainsAny(text, "\r\n\x00") {
		t.Fatalf("control characters in %q", text)
	}
	for i, line := range strings.Split(strings.TrimSuffix(field, "\r\n"), "\r\n") {
		if len(line) > 998*2 || i > 0 && (line == "" || line[0] != ' ' && line[0] != '\t') || strings.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("line %d of %q", i+1, field)
		}
	}
	got, err := Parse(text)
	if err != nil {
		t.Fatalf("%+v is written as %q, which cannot be read: %v", r, text, err)
	}
	folded, err := Parse(strings.TrimPrefix(field, "Authentication-Results:"))
	if err != nil || !reflect.DeepEqual(folded, got) {
		t.Fatalf("in lines %+v, in one %+v: %v", folded, got, err)
	}
	want := &Results{AuthServID: cleanValue(r.AuthServID), Version: 1}
	if len(want.AuthServID) > maxValue {
		want.AuthServID = ""
	}
	for _, one := range r.Results {
		if !isKeyword(one.Method) || !isKeyword(one.Value) {
			continue
		}
		w := Result{Method: strings.ToLower(one.Method), Version: max(one.Version, 1), Value: strings.ToLower(one.Value),
			Comment: clipText(cleanText(one.Comment)), Reason: clipText(cleanText(one.Reason))}
		for _, p := range one.Props {
			if v := cleanValue(p.Value); isKeyword(p.Type) && isKeyword(p.Name) && len(v) <= maxValue {
				w.Props = append(w.Props, Prop{strings.ToLower(p.Type), strings.ToLower(p.Name), v})
			}
		}
		w.judge(speaksOfGuess(w.Comment))
		want.Results = append(want.Results, w)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%q\n got %+v\nwant %+v", text, got, want)
	}
}

func BenchmarkWrite(b *testing.B) {
	r := sample()
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = r.AppendField(buf[:0])
	}
}

func BenchmarkParse(b *testing.B) {
	s := strings.TrimPrefix(sample().Field(), "Authentication-Results:")
	b.ReportAllocs()
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		if _, err := Parse(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkForged(b *testing.B) {
	var h message.Header
	for _, s := range []string{"From: a@example.jp", "Received: x", sample().Field(), "Subject: y", "To: z@example.jp"} {
		f, _ := message.ParseField(s)
		h = append(h, f)
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(Forged(h, "other.example.jp")) != 0 {
			b.Fatal("forged")
		}
	}
}
