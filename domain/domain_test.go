package domain

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekimori/internal/require"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"example.com":             "example.com",
		"EXAMPLE.com.":            "example.com",
		" example.com\n":          "example.com",
		"jp":                      "jp",
		"_dmarc.Example.JP":       "_dmarc.example.jp",
		"s1._domainkey.a-b.jp":    "s1._domainkey.a-b.jp",
		"日本語.jp":                  "xn--wgv71a119e.jp",
		"日本語。jp":                  "xn--wgv71a119e.jp", // ideographic full stop
		"ＥＸＡＭＰＬＥ．ｃｏｍ":             "example.com",       // full width
		"XN--WGV71A119E.JP":       "xn--wgv71a119e.jp",
		"bücher.example":          "xn--bcher-kva.example",
		"BÜCHER.example":          "xn--bcher-kva.example",
		"faß.example":             "xn--fa-hia.example", // not transitional: not "fass"
		"_spf.bücher.example":     "_spf.xn--bcher-kva.example",
		"-a-.example":             "-a-.example",
		"r3---sn.example.com":     "r3---sn.example.com",
		strings.Repeat("a", 63):   strings.Repeat("a", 63),
		"192.0.2.1":               "192.0.2.1",
		"xn--a.example":           "xn--a.example", // no valid A-label; seen, so kept
		"1.0.0.127.in-addr.arpa.": "1.0.0.127.in-addr.arpa",
	} {
		n, err := Parse(in)
		if err != nil || n.String() != want {
			t.Errorf("Parse(%q) = %q, %v, want %q", in, n, err, want)
			continue
		}
		if again, err := Parse(n.String()); err != nil || again != n {
			t.Errorf("Parse(%q) = %q, %v: not a fixed point", n, again, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ in, msg string }{
		{"", "empty domain name"},
		{".", "empty domain name"},
		{"  ", "empty domain name"},
		{"..", "empty label"},
		{".example.com", "empty label at octet 1"},
		{"example..com", "empty label at octet 9"},
		{"user@example.com", `octet 5 is '@'`},
		{"exa mple.com", `octet 4 is ' '`},
		{"a/b.example", `octet 2 is '/'`},
		{"<script>.example", `octet 1 is '<'`},
		{"a\x00b.example", `octet 2 is '\x00'`},
		{strings.Repeat("a", 64) + ".example", "64 octets long, at most 63"},
		{strings.Repeat("abcdefg.", 32) + "jp", "258 octets long, at most 253"},
		{strings.Repeat("日", 60) + ".jp", "domain name"},
		{"bad\xff.example", "not valid UTF-8"},
		{"日本 語.jp", "domain name"},
	} {
		n, err := Parse(tt.in)
		if err == nil {
			t.Errorf("Parse(%q) = %q, want an error", tt.in, n)
			continue
		}
		if !strings.Contains(err.Error(), tt.msg) {
			t.Errorf("Parse(%q): %v, want %q in it", tt.in, err, tt.msg)
		}
		if !n.IsZero() {
			t.Errorf("Parse(%q): an error and the name %q", tt.in, n)
		}
	}
	if _, err := Parse(" . "); !errors.Is(err, ErrEmpty) {
		t.Errorf("the root: %v, want ErrEmpty", err)
	}
}

func must(t *testing.T, s string) Name {
	t.Helper()
	if s == "" {
		return Name{}
	}
	n, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestUnicode(t *testing.T) {
	for in, want := range map[string]string{
		"xn--wgv71a119e.jp":       "日本語.jp",
		"www.example.jp":          "www.example.jp",
		"_spf.xn--bcher-kva.test": "_spf.bücher.test",
		"xn--a.xn--wgv71a119e.jp": "xn--a.日本語.jp",
		"":                        "",
	} {
		if got := must(t, in).Unicode(); got != want {
			t.Errorf("Unicode of %q = %q, want %q", in, got, want)
		}
	}
}

func TestTree(t *testing.T) {
	n := must(t, "www.example.co.jp")
	if n.Labels() != 4 || (Name{}).Labels() != 0 || must(t, "jp").Labels() != 1 {
		t.Error("Labels miscounts")
	}
	if got := n.Parent().String(); got != "example.co.jp" {
		t.Errorf("Parent = %q", got)
	}
	if !must(t, "jp").Parent().IsZero() || !(Name{}).Parent().IsZero() {
		t.Error("a top-level domain has a parent")
	}
	for _, tt := range []struct {
		n, p string
		want bool
	}{
		{"example.com", "example.com", true},
		{"a.b.example.com", "example.com", true},
		{"badexample.com", "example.com", false},
		{"example.com", "www.example.com", false},
		{"com", "example.com", false},
		{"example.com", "", false},
		{"", "example.com", false},
		{"", "", false},
	} {
		if got := must(t, tt.n).IsSubdomainOf(must(t, tt.p)); got != tt.want {
			t.Errorf("%q.IsSubdomainOf(%q) = %v", tt.n, tt.p, got)
		}
	}
}

func TestOrganizational(t *testing.T) {
	for in, want := range map[string]string{
		"mail.kanri.soumu.go.jp": "soumu.go.jp",
		"soumu.go.jp":            "soumu.go.jp",
		"go.jp":                  "go.jp",
		"jp":                     "jp",
		"a.b.example.com":        "example.com",
		"city.kobe.jp":           "city.kobe.jp",
		"www.city.kobe.jp":       "city.kobe.jp",
		"a.b.unlisted":           "b.unlisted",
		"localhost":              "localhost",
		"mail.日本語.jp":            "xn--wgv71a119e.jp",
		"":                       "",
	} {
		if got := must(t, in).Organizational().String(); got != want {
			t.Errorf("organizational domain of %q = %q, want %q", in, got, want)
		}
	}
	if !must(t, "co.jp").IsPublicSuffix() || must(t, "example.co.jp").IsPublicSuffix() || (Name{}).IsPublicSuffix() {
		t.Error("IsPublicSuffix errs")
	}
}

// TestPublicSuffixVectors runs the list's own tests. In them "null" is a name
// without a registrable domain, which for us is: invalid, or a suffix itself.
func TestPublicSuffixVectors(t *testing.T) {
	dir := require.Data(t, "dmarc-publicsuffix")
	// The tests may be younger or older than the list built in. Every
	// exception says why.
	exceptions := map[string]string{}
	for _, file := range []string{"tests/tests.txt", "tests/test_psl.txt"} {
		f, err := os.Open(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		checked := 0
		sc := bufio.NewScanner(f)
		for sc.Scan() {
			line := strings.TrimSpace(sc.Text())
			line = strings.TrimPrefix(line, "checkPublicSuffix(")
			line = strings.NewReplacer("'", "", ",", " ", ");", "").Replace(line)
			if strings.HasPrefix(line, "//") || line == "" {
				continue
			}
			f := strings.Fields(line)
			if len(f) != 2 {
				t.Fatalf("%s: line %q is not understood", file, line)
			}
			if f[0] == "null" {
				continue
			}
			checked++
			got := "null"
			if n, err := Parse(f[0]); err == nil && !n.IsPublicSuffix() {
				got = n.Organizational().String()
			}
			want := f[1]
			if want != "null" {
				want = must(t, want).String()
			}
			if got == want {
				if why, ok := exceptions[f[0]]; ok {
					t.Errorf("%s: %q is no exception any more (%s)", file, f[0], why)
				}
				continue
			}
			if exceptions[f[0]] == "" {
				t.Errorf("%s: organizational domain of %q = %s, want %s", file, f[0], got, want)
			}
		}
		if err := sc.Err(); err != nil {
			t.Fatal(err)
		}
		if checked < 30 {
			t.Errorf("%s: only %d checks were run", file, checked)
		}
	}
}

func TestText(t *testing.T) {
	var n Name
	if err := n.UnmarshalText([]byte("Example.JP.")); err != nil || n.String() != "example.jp" {
		t.Fatalf("UnmarshalText: %q, %v", n, err)
	}
	if b, err := n.MarshalText(); err != nil || string(b) != "example.jp" {
		t.Fatalf("MarshalText: %q, %v", b, err)
	}
	if err := n.UnmarshalText(nil); err != nil || !n.IsZero() {
		t.Fatalf("no text: %q, %v", n, err)
	}
	if err := n.UnmarshalText([]byte("a b")); err == nil {
		t.Fatal("a broken name was read")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"example.com", "日本語.jp", "_dmarc.EXAMPLE.jp.", "xn--a.b", "..", "a\xff.b", "\u3002"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Parse(s)
		if err != nil {
			if !n.IsZero() {
				t.Fatalf("an error and the name %q", n)
			}
			return
		}
		if n.IsZero() || len(n.String()) > 253 || strings.ToLower(n.String()) != n.String() {
			t.Fatalf("Parse(%q) = %q: not canonical", s, n)
		}
		if again, err := Parse(n.String()); err != nil || again != n {
			t.Fatalf("Parse(%q) = %q, %v: not a fixed point", n, again, err)
		}
		org := n.Organizational()
		if !n.IsSubdomainOf(org) || org.Organizational() != org {
			t.Fatalf("organizational domain of %q = %q", n, org)
		}
		_ = n.Unicode()
	})
}
