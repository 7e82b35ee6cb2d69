package web

import (
	"math"
	"slices"
	"strconv"

	"sekimori/internal/locale"
	"sekimori/internal/posture"
	"sekimori/internal/profile"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// keyFacts are the columns of tables that have room for a few.
var keyFacts = [...]posture.Fact{posture.FactProtected, posture.FactSPF, posture.FactDMARC, posture.FactDMARCEnforced, posture.FactDKIM}

// factGroup is facts that are read together. Its heading is the sentence
// web.survey.group.ID.
type factGroup struct {
	ID    string
	Facts []string
}

// factGroups orders the facts as people ask for them.
func factGroups() []factGroup {
	names := func(fs ...posture.Fact) []string {
		out := make([]string, len(fs))
		for i, f := range fs {
			out[i] = string(f)
		}
		return out
	}
	return []factGroup{
		{"forgery", names(posture.FactProtected, posture.FactSPFDMARC, posture.FactSPF, posture.FactSPFValid, posture.FactSPFClosed,
			posture.FactDMARC, posture.FactDMARCOwn, posture.FactDMARCValid, posture.FactDMARCEnforced, posture.FactDMARCQuarantine,
			posture.FactDMARCReject, posture.FactDMARCReports, posture.FactDKIM, posture.FactDKIMValid)},
		{"transit", names(posture.FactSTARTTLS, posture.FactMTASTS, posture.FactMTASTSValid, posture.FactMTASTSEnforce,
			posture.FactTLSRPT, posture.FactDANE, posture.FactDANEValid)},
		{"trust", names(posture.FactBIMI, posture.FactBIMILogo, posture.FactBIMICertificate, posture.FactDNSSEC, posture.FactRPKI)},
		{"profiles", profile.Metrics()},
		{"kind", names(posture.FactExists, posture.FactSendsMail, posture.FactMX, posture.FactNullMX, posture.FactSPFNobody)},
	}
}

// factLabel names a fact for people; one that this program does not know, of a
// wave that a later one has made, keeps its own name.
func factLabel(l locale.Lang, fact string) string {
	if code := "publish.fact." + fact; l.Has(code) {
		return l.Text(code, nil)
	}
	return fact
}

func factMeans(l locale.Lang, fact string) string {
	if code := "publish.means." + fact; l.Has(code) {
		return l.Text(code, nil)
	}
	return ""
}

// bar draws a share: the whole width is all domains, of which the track is
// those known and the rest those that are not; the fill is the yes among the
// known, and the whisker its 95 % interval, which a lower bound has not. Figures are percent of the width.
type bar struct {
	Track, Fill, Low, High, Hidden string
	Whisker, Rest                  bool
}

func percent(f float64) string {
	return strconv.FormatFloat(math.Round(f*10000)/100, 'f', -1, 64) + "%"
}

func barOf(s survey.Figure) bar {
	all := s.Known() + s.Unknown
	if all == 0 {
		return bar{Track: "0%", Fill: "0%", Hidden: "100%", Rest: true}
	}
	track := float64(s.Known()) / float64(all)
	b := bar{Track: percent(track), Fill: percent(float64(s.Yes) / float64(all)), Hidden: percent(1 - track), Rest: s.Unknown > 0}
	if low, high, ok := s.Interval(); ok {
		b.Whisker, b.Low, b.High = true, percent(low*track), percent(high*track)
	}
	return b
}

// shareView is a share in words and as a bar.
type shareView struct {
	survey.Figure
	Bar bar
	// Percent is the share, a dash where nothing is known; Interval is its 95 %
	// interval, empty for a lower bound; Of the fraction behind it.
	Percent, Interval, Of string
	// Hidden words how many are unknown, and says so where that is most of
	// them; "" for none.
	Hidden string
}

// shareViewOf words a figure.
func shareViewOf(l locale.Lang, s survey.Figure) shareView {
	v := shareView{Figure: s, Bar: barOf(s), Percent: "–"}
	if f, ok := s.Value(); ok {
		if v.Percent = l.Percent(f); s.Least {
			v.Percent = textOf(l, "publish.least", "share", f)
		}
	}
	if low, high, ok := s.Interval(); ok {
		v.Interval = textOf(l, "web.survey.interval", "low_share", low, "high_share", high)
	}
	switch {
	case s.Unknown > s.Known() && !s.Least: // of a lower bound they mostly are
		v.Hidden = textOf(l, "web.survey.unknown-most", "n", s.Unknown)
	case s.Unknown > 0:
		v.Hidden = textOf(l, "web.survey.unknown-n", "n", s.Unknown)
	}
	v.Of = textOf(l, "web.survey.of", "yes", s.Yes, "known", s.Of())
	if s.Least {
		v.Of = textOf(l, "publish.least.of", "yes", s.Yes, "all", s.Of())
	}
	return v
}

// leastNote says which of the facts are lower bounds, and why; "" where none
// is.
func leastNote(l locale.Lang, facts []string) string {
	var names []string
	for _, f := range facts {
		if survey.LowerBound(f) {
			names = append(names, factLabel(l, f))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return textOf(l, "publish.least.note", "facts", names)
}

// factLine is one fact of a table.
type factLine struct {
	shareView
	Fact, Label, Means string
	// The domains behind each number; "" for no link.
	YesURL, NoURL, UnknownURL string
}

// factTable is the facts of one group.
type factTable struct {
	ID    string
	Lines []factLine
	Least string // which of them are lower bounds; "" for none
}

// tablesOf arranges a row's shares by group. Facts of which nothing is known
// of any domain are named in silent instead.
func tablesOf(l locale.Lang, wave *store.Wave, shares []survey.Share) (tables []factTable, silent []string) {
	placed := map[string]bool{}
	groups := factGroups()
	for _, g := range groups {
		for _, f := range g.Facts {
			placed[f] = true
		}
	}
	for _, f := range wave.Facts {
		if !placed[f] {
			groups[len(groups)-1].Facts = append(groups[len(groups)-1].Facts, f)
		}
	}
	for _, g := range groups {
		t := factTable{ID: g.ID}
		for _, f := range g.Facts {
			i := slices.Index(wave.Facts, f)
			if i < 0 || i >= len(shares) {
				continue
			}
			if shares[i].Known() == 0 && shares[i].Unknown > 0 {
				silent = append(silent, factLabel(l, f))
				continue
			}
			t.Lines = append(t.Lines, factLine{shareView: shareViewOf(l, survey.FigureOf(f, shares[i])), Fact: f, Label: factLabel(l, f), Means: factMeans(l, f)})
		}
		if len(t.Lines) > 0 {
			t.Least = leastNote(l, factsOf(t.Lines))
			tables = append(tables, t)
		}
	}
	return tables, silent
}

// factsOf are the names of the facts of lines.
func factsOf(lines []factLine) []string {
	out := make([]string, len(lines))
	for i := range lines {
		out[i] = lines[i].Fact
	}
	return out
}

// columnsOf are the key facts that a wave has.
func columnsOf(wave *store.Wave) []string {
	var out []string
	for _, f := range keyFacts {
		if slices.Contains(wave.Facts, string(f)) {
			out = append(out, string(f))
		}
	}
	return out
}

// stateOf reads the words of store.State.
func stateOf(s string) (store.State, bool) {
	switch s {
	case "yes":
		return store.Yes, true
	case "no":
		return store.No, true
	case "unknown":
		return store.Unknown, true
	}
	return store.Unknown, false
}

// stateAt is the state of a fact in a row's result; unknown where there is no
// result, or none of this fact.
func stateAt(wave *store.Wave, row *store.SurveyRow, fact string) store.State {
	if i := slices.Index(wave.Facts, fact); i >= 0 && i < len(row.Result.States) {
		return row.Result.States[i]
	}
	return store.Unknown
}

// factsAt answers profiles from what is stored of a domain: what the posture
// itself does not keep in its JSON form is among the facts.
func factsAt(wave *store.Wave, row *store.SurveyRow) profile.Facts {
	return func(f posture.Fact) posture.State { return posture.State(stateAt(wave, row, string(f)).String()) }
}
