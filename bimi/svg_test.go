package bimi_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sekimori/bimi"
	"sekimori/explain"
	"sekimori/internal/require"
)

func logoCodes(l *bimi.Logo) string {
	var out []string
	for _, f := range l.Findings {
		s := strings.TrimPrefix(f.Code, "bimi.svg.")
		if f.Grade != explain.Error {
			s += "(" + string(f.Grade) + ")"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestLogoCases(t *testing.T) {
	dir := require.Data(t, "bimi-svg-cases")
	raw, err := os.ReadFile(filepath.Join(dir, "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Cases []struct{ File, Verdict string }
	}
	if err := json.Unmarshal(raw, &list); err != nil || len(list.Cases) == 0 {
		t.Fatal(err)
	}
	for _, c := range list.Cases {
		b, err := os.ReadFile(filepath.Join(dir, c.File))
		if err != nil {
			t.Fatal(err)
		}
		if l := bimi.ReadLogo(b); l.Valid() != (c.Verdict == "valid") {
			t.Errorf("%s is %s, found %q", c.File, c.Verdict, logoCodes(&l))
		} else {
			t.Logf("%s: %q", c.File, logoCodes(&l))
		}
	}
}

const good = `<svg xmlns="http://www.w3.org/2000/svg" version="1.2" baseProfile="tiny-ps" viewBox="0 0 100 100"><title>Example Co.</title>%s</svg>`

func zipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}

func TestLogo(t *testing.T) {
	in := func(s string) string { return fmt.Sprintf(good, s) }
	root := func(attrs, body string) string {
		return `<svg xmlns="http://www.w3.org/2000/svg" ` + attrs + `>` + body + `</svg>`
	}
	const tags = `version="1.2" baseProfile="tiny-ps"`
	var laughs strings.Builder
	laughs.WriteString(`<defs><path id="x0" d="M0 0"/>`)
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&laughs, `<g id="x%d"><use href="#x%d"/><use href="#x%d"/></g>`, i, i-1, i-1)
	}
	laughs.WriteString(`</defs><use href="#x29"/>`)
	for _, tt := range []struct{ name, svg, want string }{
		{"plain", in(`<rect width="9" height="9"/>`), ""},
		{"zipped", zipped(in("")), ""},
		{"byte order mark", "\ufeff" + in(""), ""},
		{"declared", `<?xml version="1.0" encoding="utf-8" standalone="yes"?><!-- a comment -->` + in(`<!-- a comment --><![CDATA[ ]]>`), ""},
		{"prefixed", `<s:svg xmlns:s="http://www.w3.org/2000/svg" version="1.2" baseProfile="tiny-ps" viewBox="0,0 1,1"><s:title>x</s:title><s:g/></s:svg>`, ""},
		{"inner reference", in(`<defs><linearGradient id="g"/></defs><rect fill="url( '#g')"/>`), ""},
		{"square by its size", root(tags+` width="96px" height="96px"`, `<title>x</title>`), ""},
		{"a name that is markup", in(``) + "\n<!-- after -->\n", ""},

		{"empty", "", "root"},
		{"half zipped", zipped(in(""))[:60], "gzip"},
		{"bomb", zipped(strings.Repeat(" ", 10<<20)), "long"},
		{"large", in(strings.Repeat(" ", 32<<10)), "large"},
		{"huge", in(strings.Repeat(" ", 256<<10)), "long"},
		{"not closed", in("<g>"), "syntax"},
		{"closed twice", in("</g>"), "syntax"},
		{"two roots", in("") + in(""), "syntax"},
		{"text after", in("") + "x", "syntax"},
		{"text before", "x" + in(""), "syntax"},
		{"declaration late", "\n<?xml version=\"1.0\"?>" + in(""), "syntax"},
		{"not UTF-8", in("\xff"), "syntax"},
		{"Shift_JIS", `<?xml version="1.0" encoding="Shift_JIS"?>` + in(""), "encoding"},
		{"a doctype", `<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">` + in(""), "doctype"},
		{"entities", `<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>` + in("&b;"), "doctype"},
		{"an entity of nobody", in("&b;"), "syntax"},
		{"a style sheet", `<?xml-stylesheet href="http://example.net/"?>` + in(""), "instruction"},
		{"twice the same", in(`<g id="a" id="b"/>`), "syntax"},
		{"twice the same by prefixes", in(`<use xmlns:a="http://www.w3.org/1999/xlink" xmlns:b="http://www.w3.org/1999/xlink" a:href="#x" b:href="#x"/>`), "syntax"},
		{"a prefix of nobody", in(`<x:g/>`), "syntax"},
		{"an attribute's prefix of nobody", in(`<g x:y=""/>`), "syntax"},
		{"deep", in(strings.Repeat("<g>", 70)), "deep"},

		{"not in the namespace", `<svg version="1.2" baseProfile="tiny-ps"/>`, "root"},
		{"no version, no profile", root("", `<title>x</title>`), "missing missing no-view(advice)"},
		{"other profile", root(`version="1.1" baseProfile="full" viewBox="0 0 1 1"`, `<title>x</title>`), "value value"},
		{"no title", root(tags+` viewBox="0 0 1 1"`, ``), "title-missing"},
		{"title second", root(tags+` viewBox="0 0 1 1"`, `<desc/><title>x</title>`), "title-missing title-late"},
		{"two titles", in(`<title>y</title>`), "title-late"},
		{"title in vain", root(tags+` viewBox="0 0 1 1"`, `<title> </title>`), "title-empty"},
		{"wide", root(tags+` viewBox="0 0 2 1"`, `<title>x</title>`), "not-square(warning)"},
		{"view in disorder", root(tags+` viewBox="0 0 x"`, `<title>x</title>`), "view(warning)"},
		{"an offset", root(tags+` viewBox="0 0 1 1" x="0"`, `<title>x</title>`), "root-place"},

		{"script", in(`<script>alert(1)</script>`), "element"},
		{"script by attribute", in(`<g onclick="x()"/>`), "script"},
		{"picture", in(`<image href="#x"/>`), "element"},
		{"foreign", in(`<foreignObject><body xmlns="http://www.w3.org/1999/xhtml"><script/></body></foreignObject>`), "element"},
		{"an editor's", in(`<m:x xmlns:m="http://www.inkscape.org/" m:y="1"/><g xmlns:m="http://www.inkscape.org/" m:z=""/>`), "element attribute"},
		{"style", in(`<path style="fill:red"/>`), "attribute"},
		{"out of place", in(`<stop/><g><metadata/></g><path><title>x</title></path>`), "place place place"},
		{"an svg in it", in(`<svg/>`), "element"},
		{"text", in(`text`), "text"},
		{"reference outside", in(`<use xmlns:l="http://www.w3.org/1999/xlink" l:href="https://example.net/#x"/>`), "reference"},
		{"reference outside by url", in(`<path fill="url(https://example.net/#x)"/>`), "reference"},
		{"a base", in(`<g xml:base="https://example.net/"/>`), "reference"},
		{"value", in(`<path fill-rule="odd" id="1"/><g xml:lang="123456789"/>`), "value value value"},
		{"id twice", in(`<g id="a" xml:id="b"/>`), "attribute"},
		{"laughs", in(laughs.String()), "expansion"},
		{"loop", in(`<g id="a"><use href="#b"/></g><g id="b"><use href="#a"/></g>`), "loop"},
		{"itself", in(`<g id="a"><use href="#a"/></g>`), "loop"},
	} {
		l := bimi.ReadLogo([]byte(tt.svg))
		if got := logoCodes(&l); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	l := bimi.ReadLogo([]byte("\n" + fmt.Sprintf(good, "\n\n<g\n><image/></g>")))
	if len(l.Findings) != 1 || l.Findings[0].Args["line"] != int64(5) || l.Title != "Example Co." {
		t.Errorf("%+v", l)
	}
}

// TestSchema compares with the schema of the profile, on mutated drawings.
// Where the two differ there is a reason.
func TestSchema(t *testing.T) {
	xmllint := require.Program(t, "xmllint", "libxml2-utils")
	schema := require.Data(t, "bimi-mail-bimi", "lib", "Mail", "BIMI", "Data", "SVG_1.2_PS.rng")
	seeds := []string{
		fmt.Sprintf(good, `<desc>d</desc><metadata>m</metadata><g id="a" transform="none"><path d="M0 0" fill="#fff" fill-rule="evenodd"/></g>`),
		fmt.Sprintf(good, `<defs><linearGradient id="g" gradientUnits="userSpaceOnUse" x1="0"><stop offset="0" stop-color="red"/></linearGradient></defs><rect x="1" y="1" width="3" rx="2"/><use href="#a" x="1"/>`),
		fmt.Sprintf(good, `<text x="1" y="2" font-size="3" font-weight="bold" text-anchor="middle">abc</text><textArea width="auto">x</textArea><circle r="1"/><ellipse rx="1"/><line x1="0"/><polyline points="0,0"/><polygon points="1,1"/><solidColor solid-color="red"/><radialGradient cx="1" r="2"/>`),
	}
	for _, f := range []string{require.Data(t, "bimi-mail-bimi", "t", "data", "FM-good.svg")} {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, string(b))
	}
	words := strings.Fields(`svg title desc metadata text textArea g defs use path rect circle ellipse line polyline polygon solidColor stop linearGradient radialGradient
		image script a animate style switch font glyph`)
	attrs := strings.Fields(`id="b" id="1" xml:id="c" xml:lang="ja-JP" xml:space="preserve" xml:space="x" class="a|b" class="" role="img" about="x" transform="none" fill="none"
		fill-rule="nonzero" fill-rule="x" fill-rule="|evenodd|" stroke="red" stroke-linecap="butt" stroke-linecap="x" color-rendering="auto" vector-effect="none" direction="up" font-weight="700" font-weight="inherit"
		font-weight="bold" text-align="end" x="1" y="2" width="1" height="2" cx="1" cy="1" r="1" rx="1" ry="2" x1="1" y2="2" points="0" d="M" pathLength="1" offset="1" gradientUnits="x" gradientUnits="objectBoundingBox"
		gradientTransform="none" rotate="1" editable="none" editable="true" display="none" display="x" visibility="hidden" viewport-fill="none" buffered-rendering="static" requiredFonts="x" systemLanguage="ja" href="#x"
		version="1.1" version="|1.2|" baseProfile="tiny" preserveAspectRatio="xMidYMid|meet" preserveAspectRatio="none" preserveAspectRatio="xMinYMin" snapshotTime="none" zoomAndPan="magnify" zoomAndPan="disable"
		focusable="false" focusable="auto" playbackOrder="all" timelineBegin="onLoad" externalResourcesRequired="true" contentScriptType="x" style="x" onclick="x" data-x="y" opacity="1" stop-color="red" solid-opacity="1"
		unicode-bidi="embed" line-increment="auto" display-align="center" font-style="italic" font-variant="x"`)
	for i := range attrs {
		attrs[i] = strings.ReplaceAll(attrs[i], "|", " ")
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	const count = 2000
	files := make([]string, count)
	texts := make([]string, count)
	for i := range count {
		s := seeds[i%len(seeds)]
		for range rnd.IntN(3) {
			s = mutate(rnd, s, words, attrs)
		}
		texts[i], files[i] = s, filepath.Join(dir, fmt.Sprintf("%04d.svg", i))
		if err := os.WriteFile(files[i], []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, _ := exec.CommandContext(t.Context(), xmllint, append([]string{"--noout", "--nonet", "--relaxng", schema}, files...)...).CombinedOutput()
	valid := map[string]bool{}
	for _, line := range strings.Split(string(out), "\n") {
		if f, ok := strings.CutSuffix(line, " validates"); ok {
			valid[f] = true
		}
	}
	both := 0
	for i, f := range files {
		l := bimi.ReadLogo([]byte(texts[i]))
		if l.Valid() == valid[f] {
			if l.Valid() {
				both++
			}
			continue
		}
		stricter := !slices.ContainsFunc(l.Findings, func(f explain.Finding) bool {
			// What the schema does not say: that a title holds words, that
			// nothing is referred to outside or in circles, that there is no
			// DTD, and how large a logo may be.
			return f.Grade == explain.Error && !slices.Contains([]string{"bimi.svg.title-empty", "bimi.svg.reference", "bimi.svg.loop"}, f.Code)
		})
		if valid[f] && stricter {
			continue
		}
		var why []string
		for _, line := range strings.Split(string(out), "\n") {
			if strings.HasPrefix(line, f) && len(why) < 3 {
				why = append(why, strings.TrimPrefix(line, f))
			}
		}
		t.Errorf("%s: by the schema %v, found %q %v\n%s\n%.600s", filepath.Base(f), valid[f], logoCodes(&l), l.Findings, strings.Join(why, "\n"), texts[i])
		if t.Failed() && i > 400 {
			break
		}
	}
	t.Logf("%d drawings, %d valid by both", count, both)
	if both < count/10 {
		t.Error("hardly any is valid: the test looks in the wrong place")
	}
}

// mutate changes a drawing in one place.
func mutate(rnd *rand.Rand, s string, words, attrs []string) string {
	var starts []int // of start tags
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '<' && (s[i+1]|0x20) >= 'a' && (s[i+1]|0x20) <= 'z' {
			starts = append(starts, i)
		}
	}
	at := starts[rnd.IntN(len(starts))]
	end := at + 1
	for end < len(s) && !strings.ContainsRune(" />\t\r\n", rune(s[end])) {
		end++
	}
	name := s[at+1 : end]
	word := words[rnd.IntN(len(words))]
	switch rnd.IntN(6) {
	case 0, 1: // one more attribute
		return s[:end] + " " + attrs[rnd.IntN(len(attrs))] + s[end:]
	case 2: // an element before
		return s[:at] + "<" + word + "/>" + s[at:]
	case 3: // another name
		return strings.ReplaceAll(strings.ReplaceAll(s, "<"+name+" ", "<"+word+" "), "</"+name+">", "</"+word+">")
	case 4: // text before
		return s[:at] + "x" + s[at:]
	}
	i := rnd.IntN(len(s)) // anything
	return s[:i] + string(rune(32+rnd.IntN(95))) + s[i+1:]
}

func FuzzReadLogo(f *testing.F) {
	f.Add([]byte(fmt.Sprintf(good, `<g id="a"><use href="#a"/></g>`)))
	f.Add([]byte(zipped(fmt.Sprintf(good, `<path d="M0 0"/>`))))
	f.Add([]byte("<?xml version='1.0'?><!DOCTYPE svg><svg/>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := bimi.ReadLogo(b)
		if len(l.Findings) > 40 || l.Valid() && l.SVG == nil {
			t.Fatalf("%d findings, %d octets", len(l.Findings), len(l.SVG))
		}
		if !l.Valid() {
			return
		}
		for _, bad := range []string{"<script", "<image", "<!DOCTYPE", "<foreignObject", "onload="} {
			if bytes.Contains(l.SVG, []byte(bad)) && !bytes.Contains(l.SVG, []byte("<!--")) && !bytes.Contains(l.SVG, []byte("<![CDATA[")) && !bytes.Contains(l.SVG, []byte("\""+bad)) {
				t.Errorf("%s in %q", bad, l.SVG)
			}
		}
	})
}
