package message

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"sekimori/internal/require"
)

func TestParseAddresses(t *testing.T) {
	type list = []Address
	for _, c := range []struct {
		in   string
		want list
	}{
		{"", nil},
		{"a@example.jp", list{{"", "a", "example.jp"}}},
		{"  a@example.jp \t", list{{"", "a", "example.jp"}}},
		{"<a@example.jp>", list{{"", "a", "example.jp"}}},
		{"Hanako Yamada <a@example.jp>", list{{"Hanako Yamada", "a", "example.jp"}}},
		{"Hanako   Yamada<a@example.jp>", list{{"Hanako Yamada", "a", "example.jp"}}},
		{`"Yamada, Hanako" <a@example.jp>`, list{{"Yamada, Hanako", "a", "example.jp"}}},
		{`"Yamada \"Hana\" \\ \(x" <a@example.jp>`, list{{`Yamada "Hana" \ (x`, "a", "example.jp"}}},
		{`Hanako "H." Yamada <a@example.jp>`, list{{"Hanako H. Yamada", "a", "example.jp"}}},
		{"John Q. Public <j@x.example>, <k@x.example>", list{{"John Q. Public", "j", "x.example"}, {"", "k", "x.example"}}},
		{"a@x.example, b@y.example", list{{"", "a", "x.example"}, {"", "b", "y.example"}}},
		{"a@x.example; b@y.example", list{{"", "a", "x.example"}, {"", "b", "y.example"}}},
		{",, a@x.example,,b@y.example,", list{{"", "a", "x.example"}, {"", "b", "y.example"}}},
		{"Hanako\r\n Yamada\r\n <a@example.jp>\r\n", list{{"Hanako Yamada", "a", "example.jp"}}},

		// Comments (RFC 5322 §3.2.2): the old place of the name.
		{"a@example.jp (Hanako Yamada)", list{{"Hanako Yamada", "a", "example.jp"}}},
		{"a@example.jp (b@y.example)", list{{"b@y.example", "a", "example.jp"}}},
		{"(b@y.example) a@example.jp", list{{"", "a", "example.jp"}}},
		{"(b@y.example, <c@z.example>) Hana <a@example.jp> (d@w.example)", list{{"Hana", "a", "example.jp"}}},
		{"Hana (of (the) \\) <b@y.example>) Yamada <a@example.jp>", list{{"Hana Yamada", "a", "example.jp"}}},
		{"a(x)@(y)example(z).jp", list{{"z", "a", "example.jp"}}},

		// Groups (§3.4; RFC 6854 allows them in From).
		{"A Group:Ed Jones <c@a.example>,joe@where.example,John <jdoe@one.example>;",
			list{{"Ed Jones", "c", "a.example"}, {"", "joe", "where.example"}, {"John", "jdoe", "one.example"}}},
		{"Undisclosed recipients:;", nil},
		{"g: a@x.example; , h: b@y.example", list{{"", "a", "x.example"}, {"", "b", "y.example"}}},

		// Obsolete forms (§4.4, appendix A.6).
		{"Mary Smith <@node.example:mary@example.net>, , jdoe@test  . example",
			list{{"Mary Smith", "mary", "example.net"}, {"", "jdoe", "test.example"}}},
		{"<@a.example,,@b.example : c@d.example>", list{{"", "c", "d.example"}}},
		{"John Doe <jdoe@machine(comment).  example>", list{{"John Doe", "jdoe", "machine.example"}}},
		{`Pete(A nice \) chap) <pete(his account)@silly.test(his host)>`, list{{"Pete", "pete", "silly.test"}}},
		{`a . "b c" . d @ example.jp`, list{{"", "a.b c.d", "example.jp"}}},

		// Local parts.
		{`"b@y.example"@example.jp`, list{{"", "b@y.example", "example.jp"}}},
		{`X <"b@y.example> <"@example.jp>`, list{{"X", "b@y.example> <", "example.jp"}}},
		{`""@example.jp`, list{{"", "", "example.jp"}}},
		{"a..b.@example.jp, .c@example.jp", list{{"", "a..b.", "example.jp"}, {"", ".c", "example.jp"}}},
		{"a=b+c/d'e@example.jp", list{{"", "a=b+c/d'e", "example.jp"}}},

		// Domains: as written, also UTF-8 (RFC 6532) and literals.
		{"山田@例え.jp", list{{"", "山田", "例え.jp"}}},
		{"a@EXAMPLE.jp.", list{{"", "a", "EXAMPLE.jp"}}},
		{"a@[192.0.2.1]", list{{"", "a", "[192.0.2.1]"}}},
		{"<a@[IPv6:2001:db8::1]>, b@[IPv6:2001:db8::2]", list{{"", "a", "[IPv6:2001:db8::1]"}, {"", "b", "[IPv6:2001:db8::2]"}}},

		// Encoded words (RFC 2047 §5): names, never addresses.
		{"=?UTF-8?B?5bGx55Sw?= <a@example.jp>", list{{"山田", "a", "example.jp"}}},
		{"=?iso-2022-jp?B?GyRCOzNFRBsoQg==?=\r\n =?iso-2022-jp?B?GyRCMlY7UhsoQg==?= <a@example.jp>", list{{"山田花子", "a", "example.jp"}}},
		{"=?utf-8?q?=3Ca=40good.example=3E?= <b@evil.example>", list{{"<a@good.example>", "b", "evil.example"}}},
		{`"=?utf-8?q?Yamada=2C?=" <a@example.jp>`, list{{"Yamada,", "a", "example.jp"}}},
		{"=?utf-8?q?a=00b=0D=0Ac?= <a@example.jp>", list{{"a b  c", "a", "example.jp"}}},
		{"=?x-none?q?a?= <a@example.jp>", list{{"=?x-none?q?a?=", "a", "example.jp"}}},
		{"=?utf-8?q?x?=@example.jp", list{{"", "=?utf-8?q?x?=", "example.jp"}}},
		{"=?utf-8?q?a@good.example?= <b@evil.example>", list{{"a@good.example", "b", "evil.example"}}},
		{"a\xe9 <a@example.jp>", list{{"a\ufffd", "a", "example.jp"}}},

		// Not by the grammar, but with one meaning.
		{"a@good.example <b@evil.example>", list{{"a@good.example", "b", "evil.example"}}},
		{"Hana [Yamada] \\ <a@example.jp>", list{{`Hana [Yamada] \`, "a", "example.jp"}}},
		{"Yamada, Hanako <a@example.jp>", list{{"Yamada", "", ""}, {"Hanako", "a", "example.jp"}}},
		{"Hanako <a@example.jp", list{{"Hanako", "a", "example.jp"}}},
		{"<>", list{{}}},
		{"Mail System <>", list{{"Mail System", "", ""}}},
		{"<MAILER-DAEMON>", list{{"", "MAILER-DAEMON", ""}}},
		{"postmaster", list{{"postmaster", "", ""}}},
	} {
		got, err := ParseAddresses(c.in)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("ParseAddresses(%q) = %+q, %v, want %+q", c.in, got, err, c.want)
		}
	}
}

// TestParseAddressesRefuses: what programs read in different ways has no
// address at all.
func TestParseAddressesRefuses(t *testing.T) {
	for _, c := range []struct{ in, msg string }{
		{"a@good.example b@evil.example", "octet 16"},
		{"a@good.example@evil.example", "octet 15"},
		{"<a@good.example@evil.example>", "octet 16"},
		{"<a@good.example> <b@evil.example>", "octet 18"},
		{"<a@good.example> b@evil.example", "octet 18"},
		{"X <a@good.example>, Y <b@evil.example> z", "octet 40"},
		{"<a@good.example, b@evil.example>", `octet 16: ',' in angle brackets`},
		{"a <<b@evil.example>>", "octet 4"},
		{"a@good.example>", "octet 15"},
		{"Hana a@good.example", "octet 6"},
		{"a@good.example Hana", "octet 16"},
		{"a@good.example\x00@evil.example", `octet 15: control character '\x00'`},
		{"X\x00 <a@good.example>", "control character"},
		{"a@good.example\r\nFrom: b@evil.example", "control character"},
		{"a@good.example\rFrom: b@evil.example", "control character"},
		{"X <a@good.example>\n", ""},
		{"\x1b$B;3ED\x1b(B <a@example.jp>", "control character"},
		{"a@good.example (x", `octet 16: "(" without`},
		{"a@good.example )", "octet 16"},
		{`"X <a@good.example>`, "octet 1: a quotation mark"},
		{"X <", `octet 3: "<" without`},
		{"X <a", `octet 3: "<" without`},
		{"X <a b@example.jp>", "octet 6"},
		{"g: h: a@x.example;;", "group inside a group"},
		{"a@good.example: b@evil.example;", "octet 15"},
		{": a@x.example;", "without the name"},
		{"a@", "octet 3"},
		{"@x.example", "want an address"},
		{"<@x.example>", "in a route"},
		{"a@x..example", "empty label"},
		{"a@.example", "empty label"},
		{"a@x.example?=", "octet 12"},
		{"a@=?utf-8?q?x?=", "octet 3"},
		{"a@[192.0.2.1", `without its "]"`},
		{"a@[192.0 .2.1]", "domain literal"},
		{"a@x\xff.example", "not UTF-8"},
		{"\xff@x.example", "not UTF-8"},
		{strings.Repeat("(", 40) + strings.Repeat(")", 40) + "a@x.example", "nested deeper than 32"},
		{strings.Repeat("a,", maxAddresses+2), "more than 10000"},
	} {
		got, err := ParseAddresses(c.in)
		if c.msg == "" {
			if err != nil {
				t.Errorf("ParseAddresses(%q): %v", c.in, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.msg) {
			t.Errorf("ParseAddresses(%.60q): %+q, %v, want an error with %q", c.in, got, err, c.msg)
		}
		if got != nil {
			t.Errorf("ParseAddresses(%.60q): addresses beside an error: %+q", c.in, got)
		}
	}
	if _, err := ParseAddresses(strings.Repeat("a,", maxAddresses+2)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many: %v, want ErrTooLarge", err)
	}
}

func TestSplitAddress(t *testing.T) {
	for in, want := range map[string][2]string{
		"":                            {"", ""},
		"<>":                          {"", ""},
		"a@example.jp":                {"a", "example.jp"},
		"<a@example.jp>":              {"a", "example.jp"},
		`"b@y.example"@example.jp`:    {"b@y.example", "example.jp"},
		`<"a b>"@example.jp>`:         {"a b>", "example.jp"},
		`"a\"@b"@example.jp`:          {`a"@b`, "example.jp"},
		"@a.example,@b.example:c@d.e": {"c", "d.e"},
		"postmaster":                  {"postmaster", ""},
		"a@b@c.example":               {"a@b", "c.example"},
		"a@[192.0.2.1]":               {"a", "[192.0.2.1]"},
		"a b@example.jp":              {"a b", "example.jp"},
		"山田@例え.jp":                    {"山田", "例え.jp"},
		"a@":                          {"a", ""},
	} {
		local, domain := SplitAddress(in)
		if local != want[0] || domain != want[1] {
			t.Errorf("SplitAddress(%q) = %q, %q, want %q", in, local, domain, want)
		}
	}
}

func TestAddressString(t *testing.T) {
	for want, a := range map[string]Address{
		"":                          {},
		"a.b@example.jp":            {"X", "a.b", "example.jp"},
		`"a b\"\\"@example.jp`:      {"", `a b"\`, "example.jp"},
		`"a..b"@example.jp`:         {"", "a..b", "example.jp"},
		`""@example.jp`:             {"", "", "example.jp"},
		"postmaster":                {"", "postmaster", ""},
		`"b@y.example"@[192.0.2.1]`: {"", "b@y.example", "[192.0.2.1]"},
	} {
		if got := a.String(); got != want {
			t.Errorf("%+q.String() = %q, want %q", a, got, want)
		}
	}
}

// TestAddressesInData: real fields have addresses that can be read; what
// cannot is named here, with its reason.
func TestAddressesInData(t *testing.T) {
	unreadable := map[string]string{
		"azuma kuniyuki &lt;":  "brackets written for HTML",
		"(mailbox in US-ASCII": "a placeholder",
	}
	read := 0
	for _, dir := range []string{"mail-japanese", "mime-mail-parser", "arf-sisimai", "dkim-mailauth"} {
		for _, f := range files(t, require.Data(t, dir)) {
			in, err := os.Open(f)
			if err != nil {
				t.Fatal(err)
			}
			h, _, err := Read(in, 0)
			in.Close()
			if err != nil {
				continue
			}
			for _, name := range []string{"From", "Sender", "Reply-To", "To", "Cc"} {
			next:
				for _, field := range h.All(name) {
					list, err := ParseAddresses(field.RawValue())
					if err == nil {
						read++
						for _, a := range list {
							wellFormed(t, field.RawValue(), a)
						}
						continue
					}
					for start := range unreadable {
						if strings.HasPrefix(field.Value(), start) {
							continue next
						}
					}
					t.Errorf("%s: %q: %v", filepath.Base(f), field.RawValue(), err)
				}
			}
		}
	}
	if read < 150 {
		t.Errorf("only %d fields were read", read)
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasSuffix(path, ".json") && !strings.HasSuffix(path, ".txt") {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wellFormed is what holds of every address, whatever it was read from.
func wellFormed(t *testing.T, in string, a Address) {
	t.Helper()
	if !utf8.ValidString(a.Name) || strings.IndexFunc(a.Name, unicode.IsControl) >= 0 {
		t.Errorf("%q: name %q", in, a.Name)
	}
	if strings.ContainsAny(a.Domain, " \t\r\n\x00@<>,;\"()\\") || !utf8.ValidString(a.Domain) || !utf8.ValidString(a.Local) {
		t.Errorf("%q: %q at domain %q", in, a.Local, a.Domain)
	}
	if strings.ContainsAny(a.Local, "\r\n\x00") {
		t.Errorf("%q: local part %q", in, a.Local)
	}
	if a.Domain != "" && !strings.HasPrefix(a.Domain, "[") {
		squeezed := strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "").Replace(in)
		if !strings.Contains(in, "(") && !strings.Contains(squeezed, "@"+a.Domain) {
			t.Errorf("%q: domain %q does not stand behind an \"@\"", in, a.Domain)
		}
	}
}

func FuzzAddresses(f *testing.F) {
	for _, s := range []string{
		"a@good.example <b@evil.example>", `"x, y" <a@b.example> (c), d@e.example`, "g: a@b.example, c . d @ e . example;",
		"<@a.example,@b.example:c@d.example>", "=?utf-8?q?=3Ca=40x=3E?= <a@[192.0.2.1]>", `"a@b"@c.example`, "a(b(c)\\))@d.example",
		"山田 <a@例え.jp", "a\xff <b@c.example>", "a@b\r\n .example",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		SplitAddress(s)
		list, err := ParseAddresses(s)
		bare, bareErr := ParseAddrSpecs(s)
		if (err == nil) != (bareErr == nil) || len(bare) != len(list) {
			t.Fatalf("%q: %+q, %v with names and %+q, %v without", s, list, err, bare, bareErr)
		}
		for i := range bare {
			if bare[i] != (Address{Local: list[i].Local, Domain: list[i].Domain}) {
				t.Fatalf("%q: %+q with its name, %+q without", s, list[i], bare[i])
			}
		}
		if err != nil {
			if list != nil {
				t.Fatalf("%q: addresses beside an error", s)
			}
			return
		}
		if len(list) > len(s) {
			t.Fatalf("%d addresses in %d octets", len(list), len(s))
		}
		for _, a := range list[:min(len(list), 20)] {
			wellFormed(t, s, a)
			if a.Domain == "" {
				continue
			}
			// An address that is written is read back as it is.
			again, err := ParseAddresses(a.String())
			if err != nil || len(again) != 1 || again[0].Local != a.Local || again[0].Domain != a.Domain {
				t.Fatalf("%q: %+q is written %q and read %+q, %v", s, a, a.String(), again, err)
			}
			if local, domain := SplitAddress(a.String()); local != a.Local || domain != a.Domain {
				t.Fatalf("%q is split into %q and %q", a.String(), local, domain)
			}
		}
	})
}

func BenchmarkParseAddresses(b *testing.B) {
	for name, v := range map[string]string{
		"plain":   ` "Example Notices" <notices@mail.example.jp>`,
		"bare":    ` notices@mail.example.jp`,
		"coded":   ` =?UTF-8?B?5bGx55Sw?= <notices@mail.example.jp>`,
		"hundred": strings.Repeat("Hanako Yamada <hanako@example.jp>,\r\n ", 100),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(v)))
			for b.Loop() {
				if _, err := ParseAddresses(v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
