package web

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"time"

	"sekimori/domain"
	"sekimori/internal/publish"
	"sekimori/internal/web/api"
)

// monthlyView is the report for the management: one page of paper.
type monthlyView struct {
	Name     string
	Month    string
	Months   []monthChoice
	Path     string
	PDF      string
	Narrow   *narrowing
	Hidden   []hiddenField
	Report   template.HTML // made and escaped by package publish
	Language string
}

type monthChoice struct {
	Month, Text string
	Selected    bool
}

func (s *server) monthly(w http.ResponseWriter, r *http.Request, p *page) error {
	name, _, err := s.named(r)
	if err != nil {
		return err
	}
	n, err := s.narrowed(r, p)
	if err != nil {
		return err
	}
	v, err := s.monthlyOf(r, p, name, n.department(), "/domain/"+url.PathEscape(name.String())+"/monthly")
	if err != nil {
		return err
	}
	v.Narrow = n
	if n.department() != 0 {
		v.Hidden = append(v.Hidden, hiddenField{"department", n.asked()})
	}
	p.template, p.Nav, p.Data = "monthly", "overview", v
	p.Title = p.text("webwork.monthly.of", "domain", v.Name)
	p.Crumbs = []crumb{{p.text("web.overview.title"), "/"}, {v.Name, domainURL(name.String(), 30)}, {p.text("webwork.monthly.title"), ""}}
	return nil
}

// monthlyOf makes the report's view; path is where it is.
func (s *server) monthlyOf(r *http.Request, p *page, name domain.Name, department int64, path string) (*monthlyView, error) {
	v := &monthlyView{Path: path, Language: string(p.Lang)}
	v.Name, _ = namesOf(name.String())
	months, month, err := s.monthOf(r, p, name)
	if err != nil {
		return nil, err
	}
	v.Month = month
	for _, m := range months {
		text := m
		if at, err := time.Parse("2006-01", m); err == nil {
			text = monthOf(p, at)
		}
		v.Months = append(v.Months, monthChoice{m, text, m == v.Month})
	}
	v.PDF = withQuery(path+".pdf", nil, "month", v.Month, "department", idText(department))
	var b bytes.Buffer
	if err := s.Work.Monthly.Write(r.Context(), &b, api.Month{Domain: name.String(), Month: v.Month, Department: department}, p.Lang, publish.HTML); err != nil {
		return nil, err
	}
	v.Report = template.HTML(b.String())
	return v, nil
}

// monthOf lists the months of a domain, and finds the one that the address
// names among them.
func (s *server) monthOf(r *http.Request, p *page, name domain.Name) ([]string, string, error) {
	months, err := s.Work.Monthly.Months(r.Context(), name.String())
	if err != nil {
		return nil, "", err
	}
	if len(months) == 0 {
		return nil, "", errNotFound
	}
	month := p.query.Get("month")
	if month == "" {
		if month, err = s.Work.Monthly.Usual(r.Context(), name.String()); err != nil {
			return nil, "", err
		}
	}
	if !slices.Contains(months, month) {
		return nil, "", errNotFound
	}
	return months, month, nil
}

// monthlyPDF sends the report as a file.
func (s *server) monthlyPDF(w http.ResponseWriter, r *http.Request, p *page) error {
	name, _, err := s.named(r)
	if err != nil {
		return err
	}
	n, err := s.narrowed(r, p)
	if err != nil {
		return err
	}
	return s.sendMonthly(w, r, p, name, n.department())
}

func (s *server) sendMonthly(w http.ResponseWriter, r *http.Request, p *page, name domain.Name, department int64) error {
	_, m, err := s.monthOf(r, p, name)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := s.Work.Monthly.Write(r.Context(), &b, api.Month{Domain: name.String(), Month: m, Department: department}, p.Lang, publish.PDF); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/pdf")
	send(w, s, &b, "attachment", fmt.Sprintf("%s-%s-%s.pdf", name, m, p.Lang))
	p.template = ""
	return nil
}
