package publish

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"sekimori/internal/locale"
	"sekimori/internal/posture"
	"sekimori/internal/require"
	"sekimori/internal/store"
)

func readPage(t *testing.T, dir string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, PageFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestPage checks what the page of the small survey says, in both languages,
// and that every share stands beside its denominator.
func TestPage(t *testing.T) {
	page := readPage(t, written(t, small(t), options(locale.English)))
	for _, want := range []string{
		`<html lang="en">`, `id="choose-en" value="en" checked`, `<article lang="ja"`, `<article lang="en"`,
		"メールのなりすまし対策 調査 2026-11", "Who protects their mail: survey 2026-11",
		"88.9%", "8 / 9", "56.5–98.0%", // SPF
		"3 of the 8 domains known are protected", "分かった8個のうち3個、37.5%",
		"5,000 to under 50,000", "5,000以上5万未満", "(not given)",
		"DKIM (at least)", "DKIMあり（少なくとも）", "at least ", " of all 10", "DKIM, DKIM key usable: at least so many",
		"bestguesspass", "There is no DMARC record.", "DMARC レコードがありません。",
		"This page names nobody", "2 of the 9 domains known (22.2%): 1 without a record, 1 with a faulty one",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, name := range []string{"strong.example", "bare.example", "強井市", "裸町", "news@"} {
		if strings.Contains(page, name) {
			t.Errorf("the page names %s", name)
		}
	}
	if bad := regexp.MustCompile(`⟦[^⟧]*⟧|%!|NaN|undefined`).FindString(page); bad != "" {
		t.Errorf("the page has %q", bad)
	}
}

// TestPageNames checks that organisations are named where that is wanted.
func TestPageNames(t *testing.T) {
	o := options(locale.Japanese)
	o.Names = true
	page := readPage(t, written(t, small(t), o))
	for _, want := range []string{"壊村", "broken.example", "ip4:192.0.2.300", "裸町", "bare.example", "レコードの誤り", "wrong record", "SPF レコードがありません", "There is no SPF record."} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "strong.example") {
		t.Error("the page names one that has nothing wrong")
	}
}

// TestHostilePage checks that no text becomes an element, an attribute or a
// script, and that the page asks for nothing.
func TestHostilePage(t *testing.T) {
	for _, lang := range locale.Langs {
		page := readPage(t, written(t, hostile(t), Options{Lang: lang, Names: true}))
		if strings.ContainsAny(page, "\u202e\u2066\u200f\x00\x01") {
			t.Error("the page turns the direction of writing, or has control characters")
		}
		z := html.NewTokenizer(strings.NewReader(page))
		for z.Next() != html.ErrorToken {
			tok := z.Token()
			if tok.Type != html.StartTagToken && tok.Type != html.SelfClosingTagToken {
				continue
			}
			switch tok.Data {
			case "script", "img", "link", "iframe", "object", "embed", "base", "form":
				t.Errorf("the page has a %s", tok.Data)
			}
			for _, a := range tok.Attr {
				outside := strings.Contains(a.Val, "//") || (a.Key == "href" || a.Key == "src") && !strings.HasPrefix(a.Val, "#")
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || outside {
					t.Errorf("%s has %s=%q", tok.Data, a.Key, a.Val)
				}
			}
		}
		if strings.Contains(pageStyle, "url(h") || strings.Contains(pageStyle, "@import") {
			t.Error("the style sheet asks for something")
		}
	}
}

// emptyWave is a survey of nothing.
func emptyWave() *fakeStore {
	f := &fakeStore{wave: store.Wave{ID: 3, WaveSpec: store.WaveSpec{Name: "empty", List: "empty.csv"}, Started: day}}
	for _, fact := range posture.Facts {
		f.wave.Facts = append(f.wave.Facts, string(fact))
	}
	return f
}

// unknown is a survey that nobody answered.
func unknown() *fakeStore {
	f := emptyWave()
	f.wave.Name, f.wave.Attributes = "unknown", []string{"kind"}
	for i := range int64(20) {
		f.rows = append(f.rows, store.SurveyRow{Entry: store.Entry{No: i + 1, Line: i + 1, Domain: fmt.Sprintf("a%d.example", i), Attributes: []string{fmt.Sprint("kind ", i%3)}},
			Result: store.Result{No: i + 1, Unanswered: true, States: make([]store.State, len(f.wave.Facts)), At: day}})
	}
	f.wave.Entries, f.wave.Domains, f.wave.Measured, f.wave.Unanswered = 20, 20, 20, 20
	return f
}

// many is a survey with very many values of very long names.
func many() *fakeStore {
	f := big()
	f.wave.Name, f.wave.Attributes = "many", []string{strings.Repeat("とても長い名前の区分", 6), "English attribute with quite a long name, too", "人口"}
	for i := range f.rows {
		f.rows[i].Attributes = []string{fmt.Sprintf("第%d番目の%s", i%250, strings.Repeat("長い名前の値", 10)), fmt.Sprintf("Averylongwordwithoutanyspacesinitatall%d", i%8), f.rows[i].Attributes[2]}
	}
	return f
}

// TestPageExtremes checks that there is a page for surveys of nothing, without
// answers, and with very many values.
func TestPageExtremes(t *testing.T) {
	for f, want := range map[*fakeStore]string{emptyWave(): "The list has no domain to count.", unknown(): "of none of them is it known", many(): "There are 250 values; the 200 with the most domains are shown."} {
		page := readPage(t, written(t, f, Options{Lang: locale.English}))
		if !strings.Contains(page, want) {
			t.Errorf("%s: the page lacks %q", f.wave.Name, want)
		}
		if bad := regexp.MustCompile(`⟦[^⟧]*⟧|%!|NaN|undefined|Inf\b`).FindString(page); bad != "" {
			t.Errorf("%s: the page has %q", f.wave.Name, bad)
		}
	}
}

// TestPageBrowser opens pages in Chromium; see testdata/browse.mjs.
// SEKIMORI_SCREENSHOTS names a folder for pictures.
func TestPageBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("drives a browser")
	}
	ui := filepath.Join(require.Root(t), "internal", "web", "ui")
	chromium := os.Getenv("CHROMIUM")
	if chromium == "" {
		chromium = require.Program(t, "chromium", "chromium")
	}
	node := require.Program(t, "node", "nodejs")
	if _, err := os.Stat(filepath.Join(ui, "node_modules", "playwright-core")); err != nil {
		require.Missing(t, "internal/web/ui/node_modules: run npm ci in internal/web/ui")
	}
	args := []string{filepath.Join("testdata", "browse.mjs"), ui}
	year := big()
	before := compared(year)
	for _, c := range []struct {
		name string
		f    *fakeStore
	}{{"year", year}, {"hostile", hostile(t)}, {"empty", emptyWave()}, {"unknown", unknown()}, {"many", many()}} {
		o := Options{Lang: locale.Japanese, Version: "test", Names: c.f != year}
		if c.f == year {
			o.Against = &before
		}
		dir := filepath.Join(t.TempDir(), c.name)
		if _, _, err := Write(t.Context(), c.f, c.f.wave, dir, o); err != nil {
			t.Fatal(err)
		}
		args = append(args, filepath.Join(dir, PageFile))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, args...)
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}
