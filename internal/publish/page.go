package publish

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"

	"sekimori/internal/locale"
	"sekimori/internal/store"
)

// Limits of report.html. The other files hold the rest.
const (
	pageValues   = 200  // rows of a table by one attribute
	pageNames    = 2000 // organisations listed by name
	pageMails    = 50   // combinations
	pageProblems = 15
)

var (
	//go:embed templates/report.html
	pageTemplate string
	//go:embed templates/report.css
	pageStyle string
)

// page is report.html on its way: what it needs beside the summary is counted
// as the entries come by.
type page struct {
	wave           store.Wave
	names          bool
	missing, wrong int64 // domains, by their SPF
	mails          int64 // messages with a problem of SPF
	listed         []spfRow
	codes          map[string]*codeCount
}

// spfRow is an organisation whose SPF is missing or wrong. Its text depends on
// the language.
type spfRow struct {
	name, domain, state, record string
	text                        map[locale.Lang]string
}

// codeCount counts the domains with a problem.
type codeCount struct {
	topic, grade, code string
	domains            int64
}

func newPage(wave store.Wave, names bool) *page {
	return &page{wave: wave, names: names, codes: map[string]*codeCount{}}
}

func (p *page) entry(r *record, problems []Problem) error {
	last := "" // problems of one code stand for one domain
	for _, pr := range problems {
		if pr.Kind != "domain" || pr.Grade == gradeUnknown || pr.Code == last {
			continue
		}
		last = pr.Code
		if p.codes[pr.Code] == nil {
			p.codes[pr.Code] = &codeCount{topic: pr.Metric, grade: pr.Grade, code: pr.Code}
		}
		p.codes[pr.Code].domains++
	}
	what := spfState(r, p.wave)
	switch what {
	case "missing":
		p.missing++
	case "wrong":
		p.wrong++
	default:
		return nil
	}
	if p.names && len(p.listed) < pageNames {
		row := spfRow{name: clipped(r.Name, maxShown), domain: textOf(r.Domain), state: what, text: map[locale.Lang]string{}}
		if len(r.SPF.Records) > 0 {
			row.record = clipped(r.SPF.Records[0], 300)
		}
		for _, l := range locale.Langs {
			fresh := record{SurveyRow: r.SurveyRow}
			fresh.set(r.SurveyRow)
			row.text[l] = spfText(wording{l}.entry(&fresh))
		}
		p.listed = append(p.listed, row)
	}
	return nil
}

func (p *page) message(_ *store.MailResult, _ *owner, problems []Problem) error {
	for _, pr := range problems {
		if pr.Metric == "spf" {
			p.mails++
		}
	}
	return nil
}

// write writes the page: an article in each language, of which the reader sees
// one, chosen without a script. Nothing is fetched from anywhere: the
// Content-Security-Policy allows this style sheet and nothing else.
func (p *page) write(w io.Writer, v view, version string) error {
	hash := sha256.Sum256([]byte(pageStyle))
	data := struct {
		Lang, Title string
		StyleHash   string
		Style       template.HTML
		Articles    []template.HTML
	}{Lang: string(v.lang), Title: v.title(), StyleHash: "sha256-" + base64.StdEncoding.EncodeToString(hash[:]), Style: template.HTML("<style>" + pageStyle + "</style>")}
	base, err := template.New("report").Funcs(words(v)).Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("template of the report: %w", err)
	}
	for _, l := range locale.Langs {
		lv := view{v.Summary, l}
		t, err := base.Clone()
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := t.Funcs(words(lv)).ExecuteTemplate(&b, "article", p.article(lv, version)); err != nil {
			return fmt.Errorf("report in %s: %w", l, err)
		}
		data.Articles = append(data.Articles, template.HTML(b.String()))
	}
	return base.ExecuteTemplate(w, "page", data)
}

// words are the functions that the template writes with.
func words(v view) template.FuncMap {
	return template.FuncMap{
		"t":      func(code string) string { return v.t(code) },
		"num":    v.lang.Int,
		"swatch": swatch,
	}
}
