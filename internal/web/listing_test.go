package web

import (
	"net/url"
	"strings"
	"testing"

	"sekimori/internal/advise"
	"sekimori/internal/locale"
	"sekimori/internal/store"
)

func testPage(query string) *page {
	q, _ := url.ParseQuery(query)
	return &page{Lang: locale.English, path: "/x", query: q}
}

func TestListing(t *testing.T) {
	sorts := []string{"messages", "name"}
	for _, c := range []struct {
		query      string
		sort       string
		desc       bool
		page       int
		total      int64
		from, to   int64
		prev, next string
	}{
		{"", "messages", true, 1, 120, 1, 50, "", "/x?page=2"},
		{"page=2&q=a%26b", "messages", true, 2, 120, 51, 100, "/x?page=1&q=a%26b", "/x?page=3&q=a%26b"},
		{"page=3&sort=name", "name", false, 3, 120, 101, 120, "/x?page=2&sort=name", ""},
		{"sort=password&desc=0", "messages", false, 1, 3, 1, 3, "", ""},
		{"page=-4", "messages", true, 1, 0, 0, 0, "", ""},
		{"page=99999999999999999999", "messages", true, 1_000_000, 10, 10, 10, "/x?page=999999", ""},
		{"page=x", "messages", true, 1, 50, 1, 50, "", ""},
	} {
		l := testPage(c.query).list("web.sources.title", sorts, "messages")
		l.Total = c.total
		if l.Sort != c.sort || l.Desc != c.desc || l.Number != c.page || l.From() != c.from || l.To() != c.to || l.Previous() != c.prev || l.Next() != c.next {
			t.Errorf("%q: %+v from %d to %d, %q %q", c.query, l, l.From(), l.To(), l.Previous(), l.Next())
		}
	}
	l := testPage("q="+strings.Repeat("あ", 200)).list("c", sorts)
	if len(l.Search) > 200 || !strings.HasPrefix(l.Search, "ああ") || strings.ContainsRune(l.Search, '\uFFFD') {
		t.Errorf("a long search becomes %q", l.Search)
	}
	l = testPage("").list("c", sorts, "messages")
	if h := l.Th("messages", "x", true); h.Sort != "descending" || h.URL != "/x?desc=0&sort=messages" {
		t.Errorf("%+v", h)
	}
	if h := l.Th("name", "x", false); h.Sort != "" || h.URL != "/x?desc=0&sort=name" {
		t.Errorf("%+v", h)
	}
	l.exports("sources", "domain", "a.example", "class", "").ordered("messages")
	if got := l.Export("csv"); got != "/export/sources.csv?desc=true&domain=a.example&sort=messages" {
		t.Error(got)
	}
	l.Total, l.Number = 5000, 50
	n := l.Numbers()
	if len(n) != 7 || !n[1].Gap || !n[3].Current || !n[5].Gap || n[6].Number != 100 {
		t.Errorf("%+v", n)
	}
}

func TestNoneSince(t *testing.T) {
	const end = store.Day(20000)
	for _, c := range []struct {
		policy string
		days   int
		tone   string
	}{{"none", 1, "good"}, {"none", 272, "good"}, {"none", 273, "warn"}, {"none", 364, "warn"}, {"none", 365, "bad"}, {"none", 4000, "bad"}} {
		n := noneSince(c.policy, end-store.Day(c.days), end)
		if n == nil || n.Tone != c.tone || n.Days != c.days || n.Width > 100 {
			t.Errorf("%+v: %+v", c, n)
		}
	}
	if noneSince("reject", end-400, end) != nil || noneSince("none", 0, end) != nil || noneSince("none", end, end) != nil {
		t.Error("days at p=none where there are none")
	}
}

func TestCharts(t *testing.T) {
	p := testPage("")
	w := store.Window{Begin: 100, End: 130}
	c := classChart(p, "c", "a.example", w, []advise.ClassDay{{Day: 100, Aligned: 5}, {Day: 129, Spoof: 7}, {Day: 99, Broken: 1}, {Day: 130, Broken: 1}})
	if len(c.Rows) != 30 || c.Rows[0].Values[0] != 5 || c.Rows[29].Values[4] != 7 || c.Rows[15].Values[0] != 0 {
		t.Errorf("%+v", c.Rows)
	}
	d := dispositionChart(p, "d", "a.example", w, []store.DayTotals{{Day: 101, Messages: 5, Quarantined: 4, Rejected: 3}})
	if d.Rows[1].Values[0] != 0 || d.Rows[1].Values[2] != 3 {
		t.Errorf("delivered must not fall below nothing: %v", d.Rows[1])
	}
	s := sparkOf(p, w, []advise.ClassDay{{Day: 100, Aligned: 1 << 60}, {Day: 129, Spoof: 1}})
	if !strings.HasPrefix(s.All, "M0.0 0.0h") || strings.Contains(s.All+s.Fail, "NaN") {
		t.Errorf("%+v", s)
	}
	if s := sparkOf(p, store.Window{}, nil); s.All != "" || s.Fail != "" || s.Label == "" {
		t.Errorf("%+v", s)
	}
}

func TestHarmlessNames(t *testing.T) {
	for in, want := range map[string]string{
		"a!b!1!2.xml": "a!b!1!2.xml", "": "file", "..": "file", "a\r\nb": "a__b", "日本語.zip": "日本語.zip", "../../x": ".._.._x", "a\xffb": "ab", `"<>|`: "file",
	} {
		if got := harmless(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
