package web

import (
	"net/http"
	"net/url"
	"strconv"

	"sekimori/internal/locale"
	"sekimori/internal/posture"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// briefRows is how many values of an attribute the overview shows.
const briefRows = 12

// waveView is the overview of a wave.
type waveView struct {
	*waveHead
	Tone, Answer, Evidence, Means string
	Tables                        []factTable
	Silent                        []string // facts of which nothing is known
	Attributes                    []attributeTable
	Untabulated                   []untabulated
	Problems                      []problemTotal
	ProblemsMore                  int
	List                          *listing // downloads
}

// attributeTable counts the domains by one attribute.
type attributeTable struct {
	ID, Name, URL string
	Columns       []factLine // headings
	Rows          []attributeRow
	Total         int // rows, those not shown included
	List          *listing
	Least         string // as in factTable
}

// attributeRow is one value of an attribute.
type attributeRow struct {
	Label   string
	URL     string // "" where its domains cannot be listed
	Domains int64
	Shares  []shareView
}

type untabulated struct {
	Name             string
	Filled, Distinct int64
}

// problemTotal is a problem and how many domains have it.
type problemTotal struct {
	store.CodeTotal
	Mark, Topic, Text, URL string
	Share                  string // of the domains
}

// bandLabel words a value of a table for people.
func bandLabel(l locale.Lang, r *survey.Row) string {
	if r.Band == nil {
		if r.Value == "" {
			return l.Text("web.survey.none", nil)
		}
		return r.Value
	}
	return r.Band.Value()
}

// rowURL is the page of one value of an attribute.
func (h *waveHead) rowURL(t *survey.Table, r *survey.Row) string {
	switch {
	case r.Value == "":
		return withQuery(h.URL+"/by", nil, "attribute", t.Attribute, "none", "1")
	}
	return withQuery(h.URL+"/by", nil, "attribute", t.Attribute, "value", r.Value)
}

func (h *waveHead) attributeURL(name string) string {
	return withQuery(h.URL+"/by", nil, "attribute", name)
}

// listURL is the list of organisations in a state.
func (h *waveHead) listURL(fact, state string) string {
	return withQuery(h.URL+"/list", nil, "fact", fact, "state", state)
}

func (s *server) surveyWave(w http.ResponseWriter, r *http.Request, p *page) error {
	ctx := r.Context()
	h, err := s.wave(r, p, "overview")
	if err != nil {
		return err
	}
	sum, err := s.sums.of(ctx, s.Store, h.Wave)
	if err != nil {
		return err
	}
	codes, err := s.Store.SurveyCodes(ctx, h.ID)
	if err != nil {
		return err
	}
	v := &waveView{waveHead: h}
	v.answer(p, sum)
	v.Tables, v.Silent = tablesOf(p.Lang, &h.Wave, sum.All().Facts)
	for i := range v.Tables {
		for j := range v.Tables[i].Lines {
			f := &v.Tables[i].Lines[j]
			f.YesURL, f.NoURL, f.UnknownURL = h.listURL(f.Fact, "yes"), h.listURL(f.Fact, "no"), h.listURL(f.Fact, "unknown")
		}
	}
	for i := range sum.Tables[1:] {
		t := attributeTableOf(p, h, &sum.Tables[i+1])
		t.ID = "by" + strconv.Itoa(i)
		t.Rows = t.Rows[:min(len(t.Rows), briefRows)]
		v.Attributes = append(v.Attributes, t)
	}
	for _, u := range sum.Untabulated {
		v.Untabulated = append(v.Untabulated, untabulated{u.Name, u.Filled, u.Distinct})
	}
	const most = 8
	v.Problems = problemTotals(p, h, codes[:min(len(codes), most)])
	v.ProblemsMore = max(0, len(codes)-most)
	v.List = downloads("web.survey.downloads", "survey", "wave", h.Name, "lang", string(p.Lang))
	p.template, p.IsTop, p.Data = "survey", false, v
	return nil
}

// answer words the question that a survey is made for: how many protect their
// mail. A wave that does not have that fact is answered by its DMARC policies.
func (v *waveView) answer(p *page, sum *survey.Summary) {
	fact := string(posture.FactProtected)
	s := sum.Fact(fact)
	if s.Known()+s.Unknown == 0 {
		fact = string(posture.FactDMARCEnforced)
		s = sum.Fact(fact)
	}
	f, ok := s.Value()
	if !ok {
		v.Tone, v.Answer = "unknown", p.text("web.survey.answer.nothing")
		if v.Progress != nil {
			v.Answer = p.text("web.survey.answer.not-yet")
		}
		return
	}
	low, high, _ := s.Interval()
	v.Answer = p.text("web.survey.answer."+fact, "yes", s.Yes, "known", s.Known(), "share", f)
	v.Evidence = p.text("web.survey.evidence-all", "low_share", low, "high_share", high)
	if s.Unknown > 0 {
		v.Evidence = p.text("web.survey.evidence", "low_share", low, "high_share", high, "unknown", s.Unknown)
	}
	v.Means = factMeans(p.Lang, fact)
	switch {
	case f >= 0.9:
		v.Tone = "good"
	case f >= 0.5:
		v.Tone = "warn"
	default:
		v.Tone = "bad"
	}
}

// attributeTableOf shows an attribute by the key facts.
func attributeTableOf(p *page, h *waveHead, t *survey.Table) attributeTable {
	out := attributeTable{Name: t.Attribute, URL: h.attributeURL(t.Attribute), Total: len(t.Rows)}
	facts := columnsOf(&h.Wave)
	out.Least = leastNote(p.Lang, facts)
	for _, f := range facts {
		out.Columns = append(out.Columns, factLine{Fact: f, Label: factLabel(p.Lang, f), Means: factMeans(p.Lang, f)})
	}
	for i := range t.Rows {
		r := &t.Rows[i]
		row := attributeRow{Label: bandLabel(p.Lang, r), URL: h.rowURL(t, r), Domains: r.Domains}
		for _, f := range facts {
			row.Shares = append(row.Shares, shareViewOf(p.Lang, factShare(&h.Wave, r.Facts, f)))
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// problemTotals words problems without what each domain would fill in.
func problemTotals(p *page, h *waveHead, codes []store.CodeTotal) []problemTotal {
	var out []problemTotal
	for _, c := range codes {
		t := problemTotal{CodeTotal: c, Mark: gradeMark(c.Grade), Topic: topicName(p.Lang, c.Topic), Text: p.Lang.Outline(c.Code.Code),
			URL: h.URL + "/list?code=" + url.QueryEscape(c.Code.Code), Share: shareOf(p.Lang, uint64(max(0, c.Domains)), uint64(max(0, h.Domains)))}
		out = append(out, t)
	}
	return out
}

// gradeMark is the sign of a grade of explain.
func gradeMark(grade string) string {
	switch grade {
	case "error":
		return "bad"
	case "warning":
		return "warn"
	}
	return "hint"
}

// topicName names a topic of package posture.
func topicName(l locale.Lang, topic string) string {
	if code := "cli.check.topic." + topic; l.Has(code) {
		return l.Text(code, nil)
	}
	return topic
}

// problemsView is every problem that domains of a wave have.
type problemsView struct {
	*waveHead
	Problems []problemTotal
	Input    int64 // rows of the list that could not be used
	List     *listing
}

func (s *server) surveyProblems(w http.ResponseWriter, r *http.Request, p *page) error {
	h, err := s.wave(r, p, "problems")
	if err != nil {
		return err
	}
	codes, err := s.Store.SurveyCodes(r.Context(), h.ID)
	if err != nil {
		return err
	}
	v := &problemsView{waveHead: h, Problems: problemTotals(p, h, codes), Input: h.Invalid + h.Without + h.Duplicates}
	v.List = downloads("web.survey.problems.title", "survey-problems", "wave", h.Name, "lang", string(p.Lang))
	h.under(p, crumb{p.text("web.survey.problems.title"), ""})
	p.template, p.Data = "surveyproblems", v
	return nil
}
