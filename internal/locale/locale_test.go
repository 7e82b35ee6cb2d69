package locale

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"sekimori/explain"
)

// TestFiles checks that both languages say the same things.
func TestFiles(t *testing.T) {
	c, err := read(files)
	if err != nil {
		t.Fatal(err)
	}
	ja, en := c[Japanese], c[English]
	for code, s := range ja {
		o, ok := en[code]
		if !ok {
			t.Errorf("%s has no English sentence", code)
			continue
		}
		if a, b := s.names(), o.names(); !maps.Equal(a, b) {
			t.Errorf("%s: placeholders differ: %v and %v", code, a, b)
		}
		for _, p := range s {
			if p.many != "" {
				t.Errorf("%s: Japanese has no plural", code)
			}
		}
	}
	for code := range en {
		if _, ok := ja[code]; !ok {
			t.Errorf("%s has no Japanese sentence", code)
		}
	}
	if len(ja) == 0 {
		t.Error("there are no sentences")
	}
}

// TestCodes checks that every code of advice in the sources has its sentences,
// and that no sentence is left over.
func TestCodes(t *testing.T) {
	want := map[string]bool{}
	quoted := regexp.MustCompile(`"((?:why|verdict|note)\.[a-z0-9-]+)"`)
	named := regexp.MustCompile(`Name[A-Z][A-Za-z]+\s+= "([a-z-]+)"`)
	paths, err := filepath.Glob(filepath.Join("..", "advise", "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("sources of advise: %v, %v", paths, err)
	}
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") {
			continue
		}
		src, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range quoted.FindAllStringSubmatch(string(src), -1) {
			want[m[1]] = true
		}
		for _, m := range named.FindAllStringSubmatch(string(src), -1) {
			want["source."+m[1]] = true
		}
	}
	for code := range want {
		if !Japanese.Has(code) || !English.Has(code) {
			t.Errorf("%s has no sentence", code)
		}
	}
	for _, code := range Japanese.Codes() {
		room, _, _ := strings.Cut(code, ".")
		if slices.Contains([]string{"why", "verdict", "note", "source"}, room) && !want[code] {
			t.Errorf("nothing says %s", code)
		}
	}
}

func TestText(t *testing.T) {
	c, err := read(fstest.MapFS{
		"a.ja.json": {Data: []byte(`{"n":"{n} 通、{names}","share":"{share}","c":"{c@c}","c.x":"エックス"}`)},
		"a.en.json": {Data: []byte(`{"n":"{n|message|messages}: {names}","share":"{share} {{of}}","c":"{c@c}","c.x":"ex"}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		l    Lang
		code string
		args explain.Args
		want string
	}{
		{English, "n", explain.Args{"n": int64(1), "names": []string{"a", "b"}}, "1 message: a, b"},
		{English, "n", explain.Args{"n": uint64(1234567), "names": []string{}}, "1,234,567 messages: "},
		{English, "n", explain.Args{"n": float64(1234), "names": []any{"a", "b"}}, "1,234 messages: a, b"}, // read back from JSON
		{English, "n", explain.Args{"n": int64(0), "names": "x"}, "0 messages: x"},
		{Japanese, "n", explain.Args{"n": int64(-1000), "names": []string{"a", "b"}}, "-1,000 通、a、b"},
		{Japanese, "n", explain.Args{"n": 2}, "2 通、⟦names⟧"},
		{English, "share", explain.Args{"share": 0.5}, "50.0% {of}"},
		{Japanese, "share", explain.Args{"share": 0.00031}, "0.031%"},
		{English, "c", explain.Args{"c": "x"}, ""},
	} {
		got := c[tc.l][tc.code].fill(tc.l, tc.args)
		if tc.code == "c" {
			continue // looks the value up in the embedded files; below
		}
		if got != tc.want {
			t.Errorf("%s %s %v: got %q, want %q", tc.l, tc.code, tc.args, got, tc.want)
		}
	}
	if got := English.Text("no.such.code", nil); got != "⟦no.such.code⟧" {
		t.Errorf("unknown code: %q", got)
	}
	args := explain.Args{"source": "scattered-hosts", "messages": int64(3), "failing": int64(2)}
	if got := English.Text("verdict.fix", args); !strings.Contains(got, English.Text("source.scattered-hosts", nil)) {
		t.Errorf("a code as a value is not worded: %s", got)
	}
	args["source"] = "vendor.example"
	if got := English.Step(explain.Step{Code: "verdict.fix", Args: args}); !strings.Contains(got, "vendor.example") {
		t.Errorf("a name as a value is lost: %s", got)
	}
}

func TestReadFaults(t *testing.T) {
	for name, fs := range map[string]fstest.MapFS{
		"language":  {"a.fr.json": {Data: []byte(`{}`)}},
		"json":      {"a.en.json": {Data: []byte(`{`)}},
		"twice":     {"a.en.json": {Data: []byte(`{"x":"1"}`)}, "b.en.json": {Data: []byte(`{"x":"2"}`)}},
		"unclosed":  {"a.en.json": {Data: []byte(`{"x":"{n"}`)}},
		"closing":   {"a.en.json": {Data: []byte(`{"x":"n}"}`)}},
		"plural":    {"a.en.json": {Data: []byte(`{"x":"{n|one}"}`)}},
		"name":      {"a.en.json": {Data: []byte(`{"x":"{N}"}`)}},
		"name void": {"a.en.json": {Data: []byte(`{"x":"{}"}`)}},
	} {
		if _, err := read(fs); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPercent(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0%", 1: "100%", 0.5: "50.0%", 0.123456: "12.3%", 0.000001: "<0.001%", 0.00031: "0.031%", 0.005: "0.50%",
		0.99999: ">99.99%", 0.9951: "99.51%", 2: "200.0%",
	} {
		if got := English.Percent(f); got != want {
			t.Errorf("Percent(%v) = %s, want %s", f, got, want)
		}
	}
}

func TestMatch(t *testing.T) {
	for in, want := range map[string]Lang{
		"": Japanese, "ja": Japanese, "en-GB,en;q=0.9": English, "fr-FR,fr;q=0.9": English, "*": Japanese,
		"fr, ja;q=0.8, en;q=0.9": English, "ja;q=0, en;q=0.1": English, "en;q=0.5, ja;q=0.5": English,
		"en;q=bad, ja": Japanese, ";;;,": Japanese, "JA-JP": Japanese,
	} {
		if got := Match(in); got != want {
			t.Errorf("Match(%q) = %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]Lang{"ja": Japanese, "en_US.UTF-8": English, "EN": English, "fr": "", "": ""} {
		if got, ok := Parse(in); got != want || ok != (want != "") {
			t.Errorf("Parse(%q) = %s, %v", in, got, ok)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("ja,en;q=0.8")
	f.Fuzz(func(t *testing.T, s string) {
		if l := Match(s); l != Japanese && l != English {
			t.Errorf("Match(%q) = %q", s, l)
		}
	})
}
