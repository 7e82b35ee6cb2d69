package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"

	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// compareView sets a wave against an earlier one.
type compareView struct {
	*waveHead
	Before       waveHead
	Others       []choice
	Both         int64
	Tone, Answer string
	Lead         string
	Tables       []changeTable
	Moved        *movedView
	List         *listing
}

type changeTable struct {
	ID    string
	Lines []changeLine
	Least string // as in factTable
}

// changeLine is what became of one fact.
type changeLine struct {
	Fact, Label, Means string
	Before, After      shareView
	Points             string
	Tone               string // "up", "down" or ""
	Gained, Lost       moveLink
	// Hidden counts domains of which the fact is not known any more, Seen those
	// of which it is known now.
	Hidden, Seen int64
}

// moveLink counts domains that went from one state to another.
type moveLink struct {
	N   int64
	URL string
}

// movedView is the domains that went from one state to another.
type movedView struct {
	Fact, From, To string // From and To as words of store.State
	Label          string
	Rows           []movedLine
	Clear          string
}

type movedLine struct {
	Name, Domain, Ascii, URL, BeforeURL string
}

func (s *server) surveyCompare(w http.ResponseWriter, r *http.Request, p *page) error {
	ctx := r.Context()
	h, err := s.wave(r, p, "compare")
	if err != nil {
		return err
	}
	other := r.PathValue("other")
	if len(other) > 200 || other == h.Name {
		return errNotFound
	}
	before, err := s.Store.Wave(ctx, other)
	if err != nil {
		return err
	}
	waves, err := s.Store.Waves(ctx)
	if err != nil {
		return err
	}
	change, err := s.sums.against(ctx, s.Store, before, h.Wave)
	if err != nil {
		return err
	}
	v := &compareView{waveHead: h, Before: s.headOf(p, before, h.Started)}
	for _, o := range waves[:min(len(waves), mostWaves)] {
		if o.ID != h.ID {
			v.Others = append(v.Others, choice{Value: o.Name, Label: o.Name, URL: h.URL + "/compare/" + url.PathEscape(o.Name), Current: o.ID == before.ID})
		}
	}
	v.List = downloads("web.survey.compare.title", "survey-changes", "wave", h.Name, "other", before.Name, "lang", string(p.Lang))
	if change != nil {
		v.Both = change.Both
		v.fill(p, change)
	}
	if err := s.moved(r, p, h, &before, v); err != nil {
		return err
	}
	h.under(p, crumb{p.text("web.survey.compare.with", "other", before.Name), ""})
	p.template, p.Data = "surveycompare", v
	return nil
}

// fill words the comparison, the facts in the order in which tables have them.
func (v *compareView) fill(p *page, change *survey.Comparison) {
	at := map[string]*survey.FactChange{}
	for i := range change.Facts {
		at[change.Facts[i].Fact] = &change.Facts[i]
	}
	v.Answer = p.text("web.survey.compare.nothing")
	for _, fact := range []string{"dmarc_enforced", "protected"} { // the last that is known
		c := at[fact]
		if c == nil {
			continue
		}
		x, ok := c.Before.Value()
		y, known := c.After.Value()
		if !ok || !known {
			continue
		}
		v.Answer = p.text("web.survey.compare.answer", "fact", factLabel(p.Lang, fact), "before_share", x, "after_share", y, "points", points(p, y-x))
		v.Lead = p.text("web.survey.compare.lead", "gained", c.Gained(), "lost", c.Lost(), "both", change.Both)
		v.Tone = "unknown"
		if y > x {
			v.Tone = "good"
		} else if y < x {
			v.Tone = "warn"
		}
	}
	placed := map[string]bool{}
	groups := factGroups()
	for _, g := range groups {
		for _, f := range g.Facts {
			placed[f] = true
		}
	}
	for i := range change.Facts {
		if f := change.Facts[i].Fact; !placed[f] {
			groups[len(groups)-1].Facts = append(groups[len(groups)-1].Facts, f)
		}
	}
	for _, g := range groups {
		t := changeTable{ID: g.ID}
		var names []string
		for _, f := range g.Facts {
			c := at[f]
			if c == nil {
				continue
			}
			before, after := c.Figures()
			if before.Known()+after.Known() > 0 {
				t.Lines, names = append(t.Lines, changeLineOf(p, c)), append(names, f)
			}
		}
		if len(t.Lines) > 0 {
			t.Least = leastNote(p.Lang, names)
			v.Tables = append(v.Tables, t)
		}
	}
}

func changeLineOf(p *page, c *survey.FactChange) changeLine {
	before, after := c.Figures()
	l := changeLine{Fact: c.Fact, Label: factLabel(p.Lang, c.Fact), Means: factMeans(p.Lang, c.Fact),
		Before: shareViewOf(p.Lang, before), After: shareViewOf(p.Lang, after), Points: pointsOf(p, after, before)}
	link := func(n int64, from, to string) moveLink {
		m := moveLink{N: n}
		if n > 0 {
			m.URL = p.with("fact", c.Fact, "from", from, "to", to, "page", "", "q", "") + "#moved"
		}
		return m
	}
	l.Gained, l.Lost = link(c.Gained(), "no", "yes"), link(c.Lost(), "yes", "no")
	l.Hidden = c.Moves[store.Yes][store.Unknown] + c.Moves[store.No][store.Unknown]
	l.Seen = c.Moves[store.Unknown][store.Yes] + c.Moves[store.Unknown][store.No]
	if d, ok := after.Above(before); ok && d != 0 {
		l.Tone = "up"
		if d < 0 {
			l.Tone = "down"
		}
	}
	return l
}

// moved lists the domains that went from one state to another, where the
// address asks for them.
func (s *server) moved(r *http.Request, p *page, h *waveHead, before *store.Wave, v *compareView) error {
	fact := p.query.Get("fact")
	from, ok := stateOf(p.query.Get("from"))
	to, known := stateOf(p.query.Get("to"))
	if !ok || !known || from == to || !slices.Contains(h.Facts, fact) || !slices.Contains(before.Facts, fact) {
		return nil
	}
	m := &movedView{Fact: fact, From: from.String(), To: to.String(), Label: factLabel(p.Lang, fact), Clear: p.with("fact", "", "from", "", "to", "", "page", "", "q", "")}
	l := p.list("web.survey.compare.moved", []string{"no", "domain"})
	l.Fragment = "moved"
	page := l.page()
	rows, total, err := s.Store.ChangedRows(r.Context(), before.ID, h.ID, fact, from, to, page)
	if err != nil {
		return err
	}
	l.Total = total
	v.List = l.ordered("no", "domain").exports("survey-moved", "wave", h.Name, "other", before.Name, "fact", fact, "from", m.From, "to", m.To, "lang", string(p.Lang))
	for i := range rows {
		row := &rows[i]
		line := movedLine{URL: h.organisationURL(row.After.No), BeforeURL: v.Before.organisationURL(row.Before.No)}
		line.Domain, line.Ascii = namesOf(row.After.Domain)
		line.Name = cmp.Or(row.After.Name, row.Before.Name, line.Domain)
		m.Rows = append(m.Rows, line)
	}
	v.Moved = m
	return nil
}
