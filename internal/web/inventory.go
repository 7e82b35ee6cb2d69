package web

import (
	"errors"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"sekimori/domain"
	"sekimori/internal/inventory"
)

// inventoryView is a domain's sub-domains and what to publish for them.
type inventoryView struct {
	*inventory.Inventory
	Name, Ascii, URL string
	Said             string
	Filters          []kindFilter
	State            string
	AdviceOnly       bool
	Origin           string
	Filtered         bool
	List             *listing
	Rows             []nameLine
	Clock            *clockView
	Loaded           []loadedFile
	Problem          string // words
	Limit            int64
	AskedAll         bool
	ForgedURL        string
	ShowForged       bool
}

type nameLine struct {
	inventory.Name
	No           int
	Shown, Aside string
}

// clockView is the year within which p=none is to be left.
type clockView struct {
	gauge
	Since, Until string
	Days         int
	Tone         string
}

type loadedFile struct {
	inventory.Summary
	File, Form string
	Fault      string
}

func (s *server) inventory(w http.ResponseWriter, r *http.Request, p *page) error {
	name, err := s.anyName(r)
	if err != nil {
		return err
	}
	return s.inventoryPage(r, p, name, &inventoryView{Said: p.said()})
}

// anyName is the domain that the path names; it may be one without reports,
// if names of it are known.
func (s *server) anyName(r *http.Request) (domain.Name, error) {
	name, _, err := s.named(r)
	return name, err
}

func (s *server) inventoryPage(r *http.Request, p *page, name domain.Name, v *inventoryView) error {
	q := p.query
	v.List = p.list("webwork.inventory.list", []string{"name"})
	v.List.Fragment, v.List.SearchLabel = "list", "webwork.inventory.search"
	v.URL = "/domain/" + url.PathEscape(name.String()) + "/inventory"
	v.List.Path = v.URL
	ask := inventory.Query{Search: v.List.Search, Offset: (v.List.Number - 1) * pageSize, Limit: pageSize, Advice: q.Get("action") == "advice", Forged: q.Get("odd") == "1"}
	for _, st := range inventory.States {
		if q.Get("state") == string(st) {
			ask.State, v.State = st, string(st)
		}
	}
	v.AdviceOnly, v.ShowForged = ask.Advice, ask.Forged
	v.Filtered = v.State != "" || v.AdviceOnly || v.List.Search != ""
	inv, err := s.Work.Inventory.Take(r.Context(), name, ask)
	if err != nil {
		return err
	}
	v.Inventory, v.Limit = inv, s.MaxUpload
	v.Name, v.Ascii = namesOf(name.String())
	v.List.Total = inv.Matching
	v.List.exports("inventory", "domain", name.String(), "state", v.State, "advice", flag(v.AdviceOnly), "lang", string(p.Lang))
	if inv.Unasked > 0 {
		s.Work.Inventory.Ask(name)
	}
	v.Filters = append(v.Filters, kindFilter{"", int(inv.Total), v.List.url("state", "", "action", "", "page", ""), v.State == "" && !v.AdviceOnly})
	for _, st := range inventory.States {
		if n := inv.Counts[st]; n > 0 {
			v.Filters = append(v.Filters, kindFilter{string(st), int(n), v.List.url("state", string(st), "action", "", "page", ""), v.State == string(st)})
		}
	}
	if inv.Advised > 0 {
		v.Filters = append(v.Filters, kindFilter{"advice", int(inv.Advised), v.List.url("state", "", "action", "advice", "page", ""), v.AdviceOnly})
	}
	for i, n := range inv.Names {
		line := nameLine{Name: n, No: i}
		line.Shown, line.Aside = namesOf(n.Name)
		v.Rows = append(v.Rows, line)
	}
	if inv.None != nil {
		v.Clock = clockOfNone(p, inv.None)
	}
	p.template, p.Nav, p.Data = "inventory", "overview", v
	p.Title = p.text("webwork.inventory.of", "domain", v.Name)
	p.Crumbs = []crumb{{p.text("web.overview.title"), "/"}, {v.Name, domainURL(name.String(), 30)}, {p.text("webwork.inventory.title"), ""}}
	return nil
}

func clockOfNone(p *page, c *inventory.NoneClock) *clockView {
	v := &clockView{Days: c.Days, Tone: "good", Since: dayOf(p.Lang, c.Since), Until: dayOf(p.Lang, c.Since+noneLimit)}
	v.Width, v.Kind = min(100, c.Days*100/noneLimit), "days"
	switch {
	case c.Overdue || c.Days >= noneLimit:
		v.Tone, v.Kind = "bad", "days bad"
	case c.Days >= noneLimit*3/4:
		v.Tone, v.Kind = "warn", "days warn"
	}
	return v
}

// loadNames takes lists of names: certificates, a zone file, a plain list. The
// page that follows says what each gave.
func (s *server) loadNames(w http.ResponseWriter, r *http.Request, p *page) error {
	name, err := s.anyName(r)
	if err != nil {
		return err
	}
	v := &inventoryView{}
	files, err := s.files(w, r, mostLists, func(part *multipart.Part) error {
		one, err := s.loadOne(r, p, name, part)
		if err == nil {
			v.Loaded = append(v.Loaded, one)
		}
		return err
	})
	if err != nil {
		return err
	}
	if files > mostLists {
		v.Problem = p.text("web.upload.too-many", "n", mostLists)
	}
	if len(v.Loaded) == 0 {
		v.Problem, p.status = p.text("web.upload.nothing"), http.StatusBadRequest
	}
	s.Work.Inventory.Ask(name)
	return s.inventoryPage(r, p, name, v)
}

// mostLists is how many lists of names one upload may hold.
const mostLists = 20

func (s *server) loadOne(r *http.Request, p *page, name domain.Name, part *multipart.Part) (loadedFile, error) {
	defer part.Close()
	file := clip(part.FileName(), 255)
	sum, err := s.Work.Inventory.Load(r.Context(), name, file, part)
	var bad *inventory.ReadError
	switch {
	case errors.As(err, &bad):
		return loadedFile{Summary: sum, File: file, Fault: bad.Error()}, nil
	case err != nil:
		return loadedFile{}, err
	}
	l := loadedFile{Summary: sum, File: file, Form: string(sum.Form)}
	if code := "webwork.form." + l.Form; p.Lang.Has(code) {
		l.Form = p.text(code)
	}
	return l, nil
}

// ZoneLines are a name's records as a zone file has them.
func (n nameLine) ZoneLines() string {
	var b strings.Builder
	for i, a := range n.Advice {
		if i > 0 {
			b.WriteByte('\n')
		}
		value := a.Value
		if a.Type == "TXT" {
			value = strconv.Quote(value)
		}
		b.WriteString(a.Name + ". IN " + a.Type + " " + value)
	}
	return b.String()
}
