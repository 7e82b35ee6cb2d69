package web

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"sekimori/internal/publish"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// WaveReader finds the waves of surveys.
type WaveReader interface {
	Waves(ctx context.Context) ([]store.Wave, error)
	Wave(ctx context.Context, name string) (store.Wave, error)
}

// SurveyRowReader is the organisations of a wave.
type SurveyRowReader interface {
	SurveyRows(ctx context.Context, wave int64, f store.SurveyFilter, p store.Page) ([]store.SurveyRow, int64, error)
	SurveyRow(ctx context.Context, wave, no int64) (store.SurveyRow, error)
	SurveyCodes(ctx context.Context, wave int64) ([]store.CodeTotal, error)
	ChangedRows(ctx context.Context, before, after int64, fact string, from, to store.State, p store.Page) ([]store.ChangedRow, int64, error)
}

// SurveyReader is what the pages of surveys, and their downloads, read of the
// store.
type SurveyReader interface {
	WaveReader
	SurveyRowReader
	publish.Store
	Mails(ctx context.Context, wave, entry int64, p store.Page) ([]store.MailResult, int64, error)
}

// surveysView is the page of all waves.
type surveysView struct {
	Lines   []waveLine
	Columns []factLine // headings
	More    int        // waves that are not shown
	Least   string     // as in factTable
}

// waveLine is one wave in the table.
type waveLine struct {
	waveHead
	Shares     []shareView
	CompareURL string // with the wave before; "" for the first
}

// waveHead is what every page of a wave begins with.
type waveHead struct {
	store.Wave
	URL, File        string
	StartedAt, Ended moment
	Progress         *progress
	Tabs             []tab
	Compared         bool // there is another wave to compare with
	Answered         int64
}

type tab struct {
	Key, URL string
	Current  bool
}

// progress is how far an unfinished wave has come.
type progress struct {
	All, Done, Left int64
	Percent, Width  string
	PerSecond       string // "" while it is not known
	Remaining       string // worded; "" while it is not known
	Stands          bool   // nothing has been added since the page was last asked for
	Reading         bool   // the list is not read to its end yet
}

func waveURL(name string) string { return "/survey/" + url.PathEscape(name) }

// headOf fills what pages say of a wave. now is the time that progress is
// measured at.
func (s *server) headOf(p *page, w store.Wave, now time.Time) waveHead {
	h := waveHead{Wave: w, URL: waveURL(w.Name), File: filepath.Base(strings.ReplaceAll(w.List, `\`, "/")), StartedAt: p.at(w.Started), Ended: p.at(w.Finished)}
	h.Answered = max(0, w.Measured-w.Unanswered)
	if h.File == "." || h.File == "/" {
		h.File = ""
	}
	if !w.Finished.IsZero() {
		return h
	}
	pr := &progress{All: w.Domains, Done: w.Measured, Left: max(0, w.Domains-w.Measured), Reading: !w.Sealed, Percent: "–", Width: "0"}
	if w.Domains > 0 && w.Sealed {
		f := min(1, float64(w.Measured)/float64(w.Domains))
		pr.Percent, pr.Width = p.Lang.Percent(f), strings.TrimSuffix(percent(f), "%")
	}
	rate, stands, known := s.pace.of(w, now)
	switch {
	case stands:
		pr.Stands = true
	case known && rate > 0:
		pr.PerSecond = rateOf(p, rate)
		if pr.Left > 0 && !pr.Reading {
			pr.Remaining = durationOf(p, time.Duration(float64(pr.Left)/rate*float64(time.Second)))
		}
	}
	h.Progress = pr
	return h
}

func rateOf(p *page, perSecond float64) string {
	if perSecond < 1 {
		return p.text("web.survey.rate.minute", "n", int64(perSecond*60+0.5))
	}
	return p.text("web.survey.rate.second", "n", int64(perSecond+0.5))
}

// durationOf words a time that is left, in the largest fitting unit.
func durationOf(p *page, d time.Duration) string {
	switch {
	case d < 90*time.Second:
		return p.text("web.survey.left.seconds", "n", int64(d/time.Second)+1)
	case d < 90*time.Minute:
		return p.text("web.survey.left.minutes", "n", int64((d+30*time.Second)/time.Minute))
	}
	return p.text("web.survey.left.hours", "n", int64((d+30*time.Minute)/time.Hour))
}

// pace measures how quickly waves grow, from one look at them to the next.
type pace struct {
	mu    sync.Mutex
	looks map[int64]look
}

type look struct {
	measured     int64
	at           time.Time
	rate         float64
	known, stood bool
}

// Looks nearer together than this say nothing new, and looks further apart say
// too little about now.
const (
	nearLooks = 2 * time.Second
	farLooks  = 10 * time.Minute
	mostLooks = 64
)

// of returns domains a second; stands where nothing has been added. A wave
// that is looked at for the first time has no pace.
func (p *pace) of(w store.Wave, now time.Time) (rate float64, stands, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, seen := p.looks[w.ID]
	gone := now.Sub(last.at)
	switch {
	case !seen || gone > farLooks || w.Measured < last.measured:
		if len(p.looks) >= mostLooks {
			clear(p.looks)
		}
		p.looks[w.ID] = look{measured: w.Measured, at: now}
		return 0, false, false
	case gone < nearLooks:
		return last.rate, last.stood, last.known
	}
	l := look{measured: w.Measured, at: now, known: true}
	l.rate = float64(w.Measured-last.measured) / gone.Seconds()
	l.stood = w.Measured == last.measured && w.Sealed
	p.looks[w.ID] = l
	return l.rate, l.stood, l.known
}

// mostWaves is how many waves the page of all waves shows.
const mostWaves = 60

func (s *server) surveys(w http.ResponseWriter, r *http.Request, p *page) error {
	ctx := r.Context()
	waves, err := s.Store.Waves(ctx)
	if err != nil {
		return err
	}
	v := &surveysView{More: max(0, len(waves)-mostWaves)}
	for _, f := range keyFacts {
		v.Columns = append(v.Columns, factLine{Fact: string(f), Label: factLabel(p.Lang, string(f)), Means: factMeans(p.Lang, string(f))})
	}
	v.Least = leastNote(p.Lang, factsOf(v.Columns))
	now := time.Now()
	for i, wave := range waves[:min(len(waves), mostWaves)] {
		line := waveLine{waveHead: s.headOf(p, wave, now)}
		row, err := s.sums.whole(ctx, s.Store, wave)
		if err != nil {
			return err
		}
		for _, f := range keyFacts {
			line.Shares = append(line.Shares, shareViewOf(p.Lang, factShare(&wave, row, string(f))))
		}
		if i+1 < len(waves) {
			line.CompareURL = line.URL + "/compare/" + url.PathEscape(waves[i+1].Name)
		}
		v.Lines = append(v.Lines, line)
	}
	p.template, p.Nav, p.IsTop, p.Data = "surveys", "survey", true, v
	p.Title = p.text("web.survey.title")
	return nil
}

// factShare is a fact's figure among a wave's shares.
func factShare(w *store.Wave, shares []survey.Share, fact string) survey.Figure {
	for i, f := range w.Facts {
		if f == fact && i < len(shares) {
			return survey.FigureOf(fact, shares[i])
		}
	}
	return survey.FigureOf(fact, survey.Share{})
}

// wave finds the wave that the address names, and begins its page.
func (s *server) wave(r *http.Request, p *page, current string) (*waveHead, error) {
	name := r.PathValue("wave")
	if name == "" || len(name) > 200 {
		return nil, errNotFound
	}
	wave, err := s.Store.Wave(r.Context(), name)
	if err != nil {
		return nil, err
	}
	h := s.headOf(p, wave, time.Now())
	waves, err := s.Store.Waves(r.Context())
	if err != nil {
		return nil, err
	}
	other := ""
	for i, o := range waves {
		if o.ID == wave.ID {
			if i+1 < len(waves) {
				other = waves[i+1].Name
			} else if i > 0 {
				other = waves[i-1].Name
			}
		}
	}
	for _, t := range [...]tab{{Key: "overview", URL: h.URL}, {Key: "list", URL: h.URL + "/list"}, {Key: "problems", URL: h.URL + "/problems"}, {Key: "mail", URL: h.URL + "/mail"}} {
		t.Current = t.Key == current
		h.Tabs = append(h.Tabs, t)
	}
	if other != "" {
		h.Compared = true
		h.Tabs = append(h.Tabs, tab{Key: "compare", URL: h.URL + "/compare/" + url.PathEscape(other), Current: current == "compare"})
	}
	p.Nav = "survey"
	p.Title = cmp.Or(wave.Name, "–")
	p.Crumbs = []crumb{{p.text("web.survey.title"), "/survey"}, {wave.Name, ""}}
	return &h, nil
}

// under puts a page of a wave below the wave's own in the trail.
func (h *waveHead) under(p *page, titles ...crumb) {
	p.Crumbs[len(p.Crumbs)-1].URL = h.URL
	p.Crumbs = append(p.Crumbs, titles...)
	p.Title = titles[len(titles)-1].Text + " – " + h.Name
}
