package publish

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"

	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/locale"
	"sekimori/internal/store"
)

// Bounds of what one page holds.
const (
	monthlyWhy   = 3
	monthlyFixes = 4
)

// Monthly writes the report for the management. PDF is exactly one A4 page,
// whatever the names and numbers, and ErrFont in a build without fonts; HTML is
// a piece of a page; Text has at most 80 columns. The same figures give the same
// octets.
func Monthly(w io.Writer, f MonthlyFigures, lang locale.Lang, format Format) error {
	p := paperOf(f, lang)
	switch format {
	case Text:
		return p.writeText(w)
	case HTML:
		return p.writeHTML(w)
	case PDF:
		return p.writePDF(w)
	}
	return fmt.Errorf("no such format: %q: want text, html or pdf", format)
}

// paper is a monthly report in words.
type monthlyPaper struct {
	f       MonthlyFigures
	lang    locale.Lang
	Title   string
	Period  string
	Made    string
	Verdict string
	Class   string // of the verdict
	Sign    string // for those who see no colours
	Why     []string
	Tiles   []monthlyTile
	Line    []monthlyMark // none where there is nothing to compare
	Fixes   []monthlyDuty
	Events  []string
	More    string // how many fixes are not listed
	Steps   []string
	Rungs   []monthlyRung
	Record  string
}

// monthlyTile is one figure.
type monthlyTile struct{ Label, Value, Aside, Class string }

// monthlyDuty is one thing to fix, and who is at it.
type monthlyDuty struct{ What, Who string }

// monthlyMark is one point of the line.
type monthlyMark struct {
	Label, Value string
	Share        float64
	Known        bool
}

// monthlyRung is one policy of the ladder.
type monthlyRung struct {
	Name, Label string
	Now, Next   bool
}

func (p *monthlyPaper) t(code string, args explain.Args) string { return p.lang.Text(code, args) }

// lines is a duty with who is at it on a line below.
func (d monthlyDuty) lines() string {
	if d.Who == "" {
		return d.What
	}
	return d.What + "\n" + d.Who
}

// monthText writes a month out.
func monthText(l locale.Lang, month string) string {
	w, err := monthDays(month)
	if err != nil {
		return textOf(month)
	}
	if l == locale.Japanese {
		return w.Begin.Time().Format("2006年1月")
	}
	return w.Begin.Time().Format("January 2006")
}

func paperOf(f MonthlyFigures, lang locale.Lang) *monthlyPaper {
	p := &monthlyPaper{f: f, lang: lang, Class: string(f.Verdict)}
	name := clipped(readable(f.Domain), 120)
	if f.Department != "" {
		name = p.t("monthly.part", explain.Args{"domain": name, "department": clipped(f.Department, 60)})
	}
	p.Title = p.t("monthly.title", explain.Args{"domain": name, "month": monthText(lang, f.Month)})
	span := explain.Args{"begin": dayOf(lang, f.Window.Begin), "end": dayOf(lang, f.Window.End-1)}
	if p.Period = p.t("monthly.period", span); !f.Whole {
		p.Period = p.t("monthly.period.part", span)
	}
	p.Made = p.t("monthly.made", explain.Args{"day": dayOf(lang, store.DayOf(f.Made.UTC()))})
	p.verdict()
	p.tiles()
	p.line()
	p.fixes()
	p.events()
	p.steps()
	return p
}

func (p *monthlyPaper) verdict() {
	f := p.f
	switch {
	case f.Verdict == advise.Ready && f.Next == "":
		p.Verdict, p.Sign = p.t("monthly.verdict.top", nil), "✓"
	case f.Verdict == advise.Ready:
		p.Verdict, p.Sign = p.t("monthly.verdict.ready", explain.Args{"policy": f.Next}), "✓"
	case f.Verdict == advise.NotReady:
		p.Verdict, p.Sign = p.t("monthly.verdict.not-ready", explain.Args{"n": int64(len(f.Fixes))}), "!"
	default:
		p.Verdict, p.Sign, p.Class = p.t("monthly.verdict.insufficient-data", nil), "?", string(advise.InsufficientData)
	}
	for _, s := range f.Reasons {
		if len(p.Why) == monthlyWhy {
			break
		}
		if s.Code != "verdict.fix" { // they have a place of their own
			p.Why = append(p.Why, textOf(p.lang.Step(s)))
		}
	}
}

func (p *monthlyPaper) tiles() {
	f, l := p.f, p.lang
	share, passing := "–", p.t("monthly.tile.unknown", nil)
	risk := passing
	if f.Legitimate > 0 {
		share = l.Percent(float64(f.Passing) / float64(f.Legitimate))
		passing = p.t("monthly.tile.passing.aside", explain.Args{"passing": f.Passing, "legitimate": f.Legitimate})
		risk = p.t("monthly.tile.risk.aside", explain.Args{"upper95": f.Upper95})
	}
	p.Tiles = []monthlyTile{{p.t("monthly.tile.passing", nil), share, passing, "aligned"}}
	p.Tiles = append(p.Tiles, monthlyTile{p.t("monthly.tile.risk", nil), l.Uint(f.AtRisk), risk, "broken"})
	stopped := "monthly.tile.spoof.open"
	if f.Stopped {
		stopped = "monthly.tile.spoof.stopped"
	}
	p.Tiles = append(p.Tiles, monthlyTile{p.t("monthly.tile.spoof", nil), l.Uint(f.Spoofed), p.t(stopped, explain.Args{"policy": f.Policy}), "spoof"})
	work := p.t("monthly.tile.work.aside", explain.Args{"found": f.Found, "open": f.Open})
	if f.Overdue > 0 {
		work = p.t("monthly.tile.work.overdue", explain.Args{"found": f.Found, "open": f.Open, "overdue": f.Overdue})
	}
	p.Tiles = append(p.Tiles, monthlyTile{p.t("monthly.tile.work", nil), p.t("monthly.tile.work.done", explain.Args{"done": f.Done}), work, "work"})
}

func (p *monthlyPaper) line() {
	known := func(m MonthlyPoint) bool { return m.Legitimate > 0 }
	months := p.f.Months
	if first := slices.IndexFunc(months, known); first >= 0 {
		months = months[first:]
	}
	if len(months) < 2 || !slices.ContainsFunc(months[1:], known) {
		return
	}
	for _, m := range months {
		k := monthlyMark{Label: m.Month, Value: "–"}
		if len(m.Month) == 7 {
			k.Label = strings.TrimPrefix(m.Month[5:], "0")
			if p.lang == locale.Japanese {
				k.Label += "月"
			} else if w, err := monthDays(m.Month); err == nil {
				k.Label = w.Begin.Time().Format("Jan")
			}
		}
		if k.Share, k.Known = m.Share(); k.Known {
			k.Value = p.lang.Percent(k.Share)
		}
		p.Line = append(p.Line, k)
	}
}

func (p *monthlyPaper) fixes() {
	for i, f := range p.f.Fixes {
		if i == monthlyFixes {
			p.More = p.t("monthly.fixes.more", explain.Args{"n": int64(len(p.f.Fixes) - monthlyFixes)})
			break
		}
		p.Fixes = append(p.Fixes, monthlyDuty{p.t("monthly.fix", explain.Args{"source": sourceName(p.lang, f.Name), "at_risk": f.AtRisk}), p.who(f)})
	}
}

// nobody says whether something is to be fixed, and nobody is to do it.
func (f MonthlyFix) nobody() bool { return f.State != "" && f.Owner == "" && f.Department == 0 }

// who says how the fixing of something stands.
func (p *monthlyPaper) who(f MonthlyFix) string {
	if f.State == "" {
		return ""
	}
	parts := []string{p.t("repair.state."+string(f.State), nil)}
	switch {
	case f.Owner != "":
		parts = append(parts, p.t("monthly.fix.owner", explain.Args{"owner": clipped(f.Owner, 60)}))
	case f.nobody():
		parts = append(parts, p.t("monthly.fix.nobody", nil))
	}
	if f.Due != 0 {
		code := "monthly.fix.due"
		if f.Due < store.DayOf(p.f.Made.UTC()) {
			code = "monthly.fix.overdue"
		}
		parts = append(parts, p.t(code, explain.Args{"day": dayOf(p.lang, f.Due)}))
	}
	return p.lang.List(parts)
}

// events words what happened.
func (p *monthlyPaper) events() {
	for _, e := range p.f.Happened {
		s := textOf(p.lang.Step(e.Step))
		switch {
		case e.Kind == "wave":
			first, last := store.DayOf(e.At), store.DayOf(e.Until)-1
			code := "monthly.wave"
			if first >= last {
				code = "monthly.wave-day"
			}
			s = p.t(code, explain.Args{"first": dayOf(p.lang, first), "last": dayOf(p.lang, last), "messages": e.Step.Args["messages"], "usual": e.Step.Args["usual"]})
		case policyTurn(e) && e.Step.Args["after"] != nil:
			s = p.t("monthly.event", explain.Args{"day": dayOf(p.lang, store.DayOf(e.At)), "text": p.t("monthly.policy-changed", explain.Args{"before": e.Step.Args["before"], "after": e.Step.Args["after"]})})
		default:
			s = p.t("monthly.event", explain.Args{"day": dayOf(p.lang, store.DayOf(e.At)), "text": s})
		}
		p.Events = append(p.Events, s)
	}
}

func (p *monthlyPaper) steps() {
	f := p.f
	for _, policy := range []string{"none", "quarantine", "reject"} {
		p.Rungs = append(p.Rungs, monthlyRung{Name: "p=" + policy, Label: p.t("monthly.policy."+policy, nil), Now: f.Policy == policy, Next: f.Next == policy && f.Verdict == advise.Ready})
	}
	code := "monthly.step.wait"
	switch {
	case f.Verdict == advise.Ready && f.Next == "":
		code = "monthly.step.keep"
	case f.Verdict == advise.Ready:
		code = "monthly.step.go"
	case len(f.Fixes) > 0:
		code = "monthly.step.fix"
	}
	p.Steps = append(p.Steps, p.t(code, explain.Args{"policy": f.Next, "n": int64(len(f.Fixes))}))
	var nobody int64
	for _, x := range f.Fixes {
		if x.nobody() {
			nobody++
		}
	}
	if nobody > 0 {
		p.Steps = append(p.Steps, p.t("monthly.step.nobody", explain.Args{"n": nobody}))
	}
	if f.LookAt >= store.DayOf(f.Made.UTC()) {
		p.Steps = append(p.Steps, p.t("monthly.step.look", explain.Args{"day": dayOf(p.lang, f.LookAt)}))
	}
	p.Record = clipped(f.Record, 600)
}

// writeText writes the report for a terminal or a mail.
func (p *monthlyPaper) writeText(w io.Writer) error {
	d := document{lang: p.lang, title: p.Title}
	d.add(blockHeading, p.Title)
	d.add(blockParagraph, p.Period)
	d.add(blockStrong, "["+p.Sign+"] "+p.Verdict)
	for _, s := range p.Why {
		d.put(block{kind: blockItem, mark: "-", text: s})
	}
	d.add(blockSection, p.t("monthly.section.figures", nil))
	for _, t := range p.Tiles {
		d.put(block{kind: blockFact, mark: t.Label, text: t.Value + p.t("monthly.aside", explain.Args{"text": t.Aside})})
	}
	if len(p.Line) > 0 {
		d.add(blockSection, p.t("monthly.section.line", nil))
		for i, m := range p.Line {
			d.put(block{kind: blockFact, mark: p.f.Months[len(p.f.Months)-len(p.Line)+i].Month, text: m.Value})
		}
	}
	d.add(blockSection, p.t("monthly.section.events", nil))
	for _, s := range p.Events {
		d.put(block{kind: blockItem, mark: "-", text: s})
	}
	if len(p.Events) == 0 {
		d.add(blockParagraph, p.t("monthly.events.none", nil))
	}
	if len(p.Fixes) > 0 {
		d.add(blockSection, p.t("monthly.section.fixes", nil))
		for i, s := range p.Fixes {
			d.put(block{kind: blockItem, mark: strconv.Itoa(i+1) + ".", text: s.lines()})
		}
		if p.More != "" {
			d.add(blockParagraph, p.More)
		}
	}
	d.add(blockSection, p.t("monthly.section.step", nil))
	for _, r := range p.Rungs {
		mark := "  "
		if r.Now {
			mark = "=>"
		} else if r.Next {
			mark = "->"
		}
		d.put(block{kind: blockItem, mark: mark, text: r.Name + " " + r.Label})
	}
	for _, s := range p.Steps {
		d.add(blockParagraph, s)
	}
	if p.Record != "" {
		d.put(block{kind: blockRecord, mark: p.t("monthly.record", explain.Args{"domain": p.f.Domain}), text: p.Record})
	}
	d.add(blockFine, p.t("monthly.note", nil)+" "+p.Made)
	return d.writeText(w)
}

// writeHTML writes the report as a piece of a page.
func (p *monthlyPaper) writeHTML(w io.Writer) error {
	t, err := template.New("monthly").Funcs(template.FuncMap{
		"t":     func(code string) string { return p.lang.Bound(p.t(code, nil)) },
		"b":     p.lang.Bound,
		"chart": p.chart,
		"n":     func(i int) int { return i + 1 },
		"named": func(code string) string { return p.t(code, explain.Args{"domain": p.f.Domain}) },
	}).Parse(monthlyTemplate)
	if err != nil {
		return fmt.Errorf("template of the monthly report: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return fmt.Errorf("monthly report: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// Lang is the report's language, for its markup.
func (p *monthlyPaper) Lang() string { return string(p.lang) }

// least is where the scale of the line begins: as near to 100 % as the points
// allow, so that a change is seen.
func (p *monthlyPaper) least() float64 {
	low := 1.0
	for _, m := range p.Line {
		if m.Known {
			low = min(low, m.Share)
		}
	}
	for _, floor := range []float64{0.99, 0.98, 0.95, 0.9, 0.8, 0.5} {
		if low >= floor+(1-floor)*0.1 {
			return floor
		}
	}
	return 0
}

// below says that the value of a point had better stand under it: the line comes
// down to it and goes up again.
func (p *monthlyPaper) below(i int) bool {
	higher := func(j int) bool {
		return j < 0 || j >= len(p.Line) || p.Line[j].Known && p.Line[j].Share > p.Line[i].Share
	}
	return higher(i-1) && higher(i+1) && p.Line[i].Share > p.least()
}

// chart draws the line as SVG. The table of its values stands beside it for
// those who do not see it.
func (p *monthlyPaper) chart() template.HTML {
	const width, height, left, right, top, bottom = 720.0, 150.0, 62.0, 28.0, 18.0, 30.0
	low := p.least()
	x := func(i int) float64 {
		return left + (width-left-right)*float64(i)/float64(max(1, len(p.Line)-1))
	}
	y := func(s float64) float64 { return top + (height-top-bottom)*(1-(s-low)/(1-low)) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="monthly-line" viewBox="0 0 %g %g" aria-hidden="true" focusable="false">`, width, height)
	for _, s := range []float64{low, (low + 1) / 2, 1} {
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/><text class="scale" x="%.1f" y="%.1f" text-anchor="end">%s</text>`,
			left, width-right, y(s), y(s), left-6, y(s)+4, template.HTMLEscapeString(scaleText(s)))
	}
	last := -1
	for i, m := range p.Line {
		fmt.Fprintf(&b, `<text class="scale" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, x(i), height-6, template.HTMLEscapeString(m.Label))
		if !m.Known {
			last = -1
			continue
		}
		if last >= 0 {
			fmt.Fprintf(&b, `<line class="way" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, x(last), y(p.Line[last].Share), x(i), y(m.Share))
		}
		last = i
	}
	for i, m := range p.Line {
		if m.Known {
			at := y(m.Share) - 8
			if p.below(i) {
				at = y(m.Share) + 15
			}
			fmt.Fprintf(&b, `<circle class="point" cx="%.1f" cy="%.1f" r="3.5"/><text class="value" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`,
				x(i), y(m.Share), x(i), at, template.HTMLEscapeString(m.Value))
		}
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

// scaleText is a share on the scale.
func scaleText(s float64) string { return strconv.FormatFloat(s*100, 'f', -1, 64) + "%" }
