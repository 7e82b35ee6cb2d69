package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sekimori/internal/store"
	"sekimori/internal/web/api"
)

// mostForm bounds the body of a form without files.
const mostForm = 64 << 10

// form reads a posted form, bounded.
func form(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return err
		}
		return errBadQuery
	}
	return nil
}

// personCookie remembers who a form was last sent by. It is a convenience and
// proves nothing: everybody who is let in shares one password.
const personCookie = "person"

// person is who sends a form, by the form itself, and remembers it for the
// next; "" where the field was left empty.
func person(w http.ResponseWriter, r *http.Request) string {
	name := api.Line(r.PostForm.Get("by"))
	if name != "" {
		remember(w, r, personCookie, url.QueryEscape(name))
	}
	return name
}

// lastPerson is the name that the next form begins with.
func lastPerson(r *http.Request) string { return api.Line(cookie(r, personCookie)) }

// says are the outcomes that a page tells of after a form was taken; each is
// the end of a code "webwork.said.".
var says = [...]string{"saved", "assigned", "added", "removed", "revoked", "made", "uploaded"}

// said is the outcome that the address names, or "".
func (p *page) said() string {
	if s := p.query.Get("said"); slices.Contains(says[:], s) {
		return s
	}
	return ""
}

// done sends the reader on after a form was taken (303), so that loading the
// page again sends nothing twice.
func done(w http.ResponseWriter, r *http.Request, p *page, to, said string, pairs ...string) error {
	p.template = ""
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, withQuery(to, nil, append([]string{"said", said}, pairs...)...), http.StatusSeeOther)
	return nil
}

// departmentLink is a choice of a list of departments.
type departmentLink struct {
	ID       int64
	Name     string
	Selected bool
}

// narrowing is what pages that can be narrowed to a department show of it;
// nil where there are no departments.
type narrowing struct {
	Path        string
	Hidden      []hiddenField // what the form keeps of the address
	Departments []departmentLink
	ID          int64
	Name        string // of the one that the page is narrowed to; ""
	Cleared     string // address of the whole
}

// narrowed reads the department that the address names. An unknown one is
// not found: figures of the whole must not pass for a part's.
func (s *server) narrowed(r *http.Request, p *page) (*narrowing, error) {
	if s.Work == nil {
		return nil, nil
	}
	all, err := s.Work.Store.Departments(r.Context())
	if err != nil {
		return nil, err
	}
	asked := p.query.Get("department")
	if len(all) == 0 && asked == "" {
		return nil, nil
	}
	n := &narrowing{Path: p.path, Cleared: p.with("department", "", "page", "")}
	if asked != "" {
		if n.ID, err = strconv.ParseInt(asked, 10, 64); err != nil || n.ID < 1 {
			return nil, errNotFound
		}
	}
	for _, d := range all {
		n.Departments = append(n.Departments, departmentLink{d.ID, d.Name, d.ID == n.ID})
		if d.ID == n.ID {
			n.Name = d.Name
		}
	}
	if n.ID != 0 && n.Name == "" {
		return nil, errNotFound
	}
	l := &listing{query: p.query}
	for _, h := range l.Hidden() {
		if h.Name != "department" && h.Name != "said" {
			n.Hidden = append(n.Hidden, h)
		}
	}
	return n, nil
}

// department is the id that a page is narrowed to, 0 for the whole.
func (n *narrowing) department() int64 {
	if n == nil {
		return 0
	}
	return n.ID
}

// narrowedURL keeps an address narrowed.
func narrowedURL(to string, n *narrowing) string {
	if n.department() == 0 {
		return to
	}
	path, query, _ := strings.Cut(to, "?")
	q, err := url.ParseQuery(query)
	if err != nil {
		return to
	}
	return withQuery(path, q, "department", n.asked())
}

// asked is that id as an address has it.
func (n *narrowing) asked() string { return idText(n.department()) }

func idText(id int64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatInt(id, 10)
}

// idOf reads an id out of a path or a form; 0 is none.
func idOf(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id < 0 {
		return 0, errBadQuery
	}
	return id, nil
}

// dayFrom reads the day of a date field; 0 for none.
func dayFrom(s string) (store.Day, error) {
	if s == "" {
		return 0, nil
	}
	var d store.Day
	if err := d.UnmarshalText([]byte(s)); err != nil {
		return 0, errBadQuery
	}
	return d, nil
}
