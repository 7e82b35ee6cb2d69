package web

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sekimori/internal/store"
)

// pageSize is how many lines a page of a list has.
const pageSize = 50

// listing is one table that is sorted, searched and paged by its address:
// sort, desc, q and page.
type listing struct {
	Path        string
	Fragment    string // id of the table's heading
	Sort        string
	Desc        bool
	Search      string
	SearchLabel string // code
	Caption     string // code of the table's name
	Number      int    // page, from 1
	Total       int64

	query  url.Values
	export string // the export's name under /export/
	asks   url.Values
	sorts  []string // the orders that the export knows
}

// list reads a table's parameters. The first of sorts is its default; those
// named in down sort downwards at first.
func (p *page) list(caption string, sorts []string, down ...string) *listing {
	l := &listing{Path: p.path, Caption: caption, query: p.query, SearchLabel: "web.search.label"}
	l.Sort = p.query.Get("sort")
	if !slices.Contains(sorts, l.Sort) {
		l.Sort = sorts[0]
	}
	switch p.query.Get("desc") {
	case "1":
		l.Desc = true
	case "0":
	default:
		l.Desc = slices.Contains(down, l.Sort)
	}
	l.Search = clip(p.query.Get("q"), 200)
	l.Number, _ = strconv.Atoi(p.query.Get("page"))
	l.Number = max(1, min(l.Number, 1_000_000))
	return l
}

// exports names the table's downloads and what they are asked for; name and
// value in turn.
func (l *listing) exports(name string, asks ...string) *listing {
	l.export, l.asks = name, url.Values{}
	for i := 0; i+1 < len(asks); i += 2 {
		if asks[i+1] != "" {
			l.asks.Set(asks[i], asks[i+1])
		}
	}
	return l
}

// ordered names the orders that the table's downloads can have too.
func (l *listing) ordered(sorts ...string) *listing {
	l.sorts = sorts
	return l
}

// Export returns where the table is downloaded as "csv" or "xlsx".
func (l *listing) Export(kind string) string {
	q := url.Values{}
	for k, v := range l.asks {
		q[k] = v
	}
	if l.Search != "" {
		q.Set("search", l.Search)
	}
	if slices.Contains(l.sorts, l.Sort) {
		q.Set("sort", l.Sort)
		q.Set("desc", strconv.FormatBool(l.Desc))
	}
	return withQuery("/export/"+l.export+"."+kind, q)
}

// clip cuts a string to at most n bytes of valid UTF-8.
func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}

// page is the part of the list to ask the store for.
func (l *listing) page() store.Page {
	return store.Page{Offset: (l.Number - 1) * pageSize, Limit: pageSize, Sort: l.Sort, Desc: l.Desc, Search: l.Search}
}

// cut returns the range of a list in memory that is on this page.
func (l *listing) cut(n int) (from, to int) {
	l.Total = int64(n)
	from = min((l.Number-1)*pageSize, n)
	return from, min(from+pageSize, n)
}

// heading is a column's heading that sorts.
type heading struct {
	Label  string
	Number bool
	Sort   string // aria-sort; "" where another column sorts
	URL    string
}

// Th returns the heading of a column: another click turns the order round.
func (l *listing) Th(key, label string, number bool) heading {
	h := heading{Label: label, Number: number}
	desc := number // figures: the largest first
	if key == l.Sort {
		h.Sort = "ascending"
		if l.Desc {
			h.Sort = "descending"
		}
		desc = !l.Desc
	}
	d := "0"
	if desc {
		d = "1"
	}
	h.URL = l.url("sort", key, "desc", d, "page", "")
	return h
}

// URL is the list's address with some parameters set, in pairs of name and value.
func (l *listing) URL(pairs ...string) string { return l.url(pairs...) }

func (l *listing) url(pairs ...string) string {
	u := withQuery(l.Path, l.query, pairs...)
	if l.Fragment != "" {
		u += "#" + l.Fragment
	}
	return u
}

// Cleared is the address without the search.
func (l *listing) Cleared() string { return l.url("q", "", "page", "") }

type hiddenField struct{ Name, Value string }

// Hidden lists the parameters that a search keeps.
func (l *listing) Hidden() []hiddenField {
	var out []hiddenField
	for k, vs := range l.query {
		if k == "q" || k == "page" {
			continue
		}
		for _, v := range vs {
			out = append(out, hiddenField{k, v})
		}
	}
	slices.SortFunc(out, func(a, b hiddenField) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// From and To count the lines on this page, from 1.
func (l *listing) From() int64 { return min(int64(l.Number-1)*pageSize+1, l.Total) }
func (l *listing) To() int64   { return min(int64(l.Number)*pageSize, l.Total) }

// Pages is the number of pages.
func (l *listing) Pages() int { return int((l.Total + pageSize - 1) / pageSize) }

// Previous and Next are the neighbouring pages' addresses, "" at the ends.
func (l *listing) Previous() string {
	if l.Number <= 1 {
		return ""
	}
	return l.url("page", strconv.Itoa(l.Number-1))
}

func (l *listing) Next() string {
	if l.Number >= l.Pages() {
		return ""
	}
	return l.url("page", strconv.Itoa(l.Number+1))
}

type pageLink struct {
	Number       int
	URL          string
	Current, Gap bool
}

// Numbers lists the pages to link: the first, the last, and those around this one.
func (l *listing) Numbers() []pageLink {
	var out []pageLink
	last, before := l.Pages(), 0
	for n := 1; n <= last; n++ {
		if n != 1 && n != last && (n < l.Number-1 || n > l.Number+1) {
			continue
		}
		if n != before+1 {
			out = append(out, pageLink{Gap: true})
		}
		before = n
		out = append(out, pageLink{Number: n, URL: l.url("page", strconv.Itoa(n)), Current: n == l.Number})
	}
	return out
}

// windows are the lengths of time that a page can show.
var windowDays = [...]int{7, 30, 90, 365}

type windowLink struct {
	Days    int
	URL     string
	Current bool
}

// days reads the window's length from the address: one of those offered, 30
// where it says nothing.
func (p *page) days() int {
	n, _ := strconv.Atoi(p.query.Get("days"))
	if slices.Contains(windowDays[:], n) {
		return n
	}
	return 30
}

func (p *page) windows() []windowLink {
	var out []windowLink
	for _, d := range windowDays {
		out = append(out, windowLink{d, p.with("days", strconv.Itoa(d), "page", ""), d == p.days()})
	}
	return out
}
