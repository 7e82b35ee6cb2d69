package publish

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"sekimori/internal/posture"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// article is report.html in one language, worded and ready to be laid out.
type article struct {
	Lang, Title, Counts, Answer, Unfinished string
	Sections                                []link
	Cards                                   []card
	Policies                                *policyChart
	Groups                                  []barGroup
	Least                                   string // which of the bars are lower bounds
	By                                      []byTable
	Mail                                    *mailSection
	SPF                                     *spfSection
	Problems                                []problemRow
	Change                                  *changeSection
	Notes                                   []string
	Terms                                   []term
}

type link struct{ ID, Title string }

type card struct{ Name, Share, Of, Interval, Unknown string }

type policyChart struct {
	Says  string
	Chart template.HTML
	Parts []part
}

type barGroup struct {
	Name string
	Rows []barRow
}

type barRow struct {
	Name                string
	Chart               template.HTML
	Share, Of, Interval string
	Unknown             int64
}

type byTable struct {
	ID, Title, Answer, Attribute, More, Least string
	Policies                                  bool
	Legend                                    []part
	Facts                                     []string
	Rows                                      []byRow
}

type byRow struct {
	Name, Says string
	Domains    int64
	Chart      template.HTML
	Cells      []heatCell
	Total      bool
}

type heatCell struct{ Share, Of, Heat string }

type mailSection struct {
	Answer, Warning string
	Tables          []mailTable
}

type mailTable struct {
	Caption, More, TotalShare string
	Total                     int64
	Rows                      []mailRow
}

type mailRow struct {
	SMIME, SPF, DKIM, DMARC, Share string
	Chart                          template.HTML
	Count                          int64
}

type spfSection struct {
	Answer, Messages, More string
	Rows                   []spfLine
}

type spfLine struct{ Name, Domain, State, Text, Record string }

type problemRow struct {
	Text, Topic, Grade, Share string
	Count                     int64
}

type changeSection struct {
	Title, Answer, Scope, Least string
	Rows                        []changeRow
}

type changeRow struct {
	Name, Before, BeforeOf, After, AfterOf, Points string
	Chart                                          template.HTML
	Gained, Lost, Unclear                          int64
}

type term struct{ Name, Means string }

func (p *page) article(v view, version string) *article {
	a := &article{Lang: string(v.lang), Title: v.title(), Answer: v.answer(),
		Counts: v.t("publish.counts", "list", clipped(v.Wave.List, maxShown), "domains", v.Wave.Domains, "measured", v.Measured(), "unanswered", v.Wave.Unanswered, "period", v.period())}
	if left := v.Wave.Domains - v.Wave.Measured; left > 0 {
		a.Unfinished = v.t("publish.note.unfinished", "left", left)
	}
	a.Cards, a.Policies, a.Groups = v.cards(), v.policyChart(), v.groups()
	a.Least = v.leastNote(v.shown())
	for i, t := range v.Tables[1:] {
		if len(t.Rows) > 0 && v.Measured() > 0 {
			a.By = append(a.By, v.byTable(t, fmt.Sprintf("by%d", i+1)))
		}
	}
	a.Mail, a.SPF, a.Problems, a.Change = v.mailSection(), p.spfSection(v), p.problems(v), v.changeSection()
	a.Notes, a.Terms = v.notes(version), v.terms()
	a.Sections = a.contents(v)
	return a
}

// contents are the page's sections, for its table of contents.
func (a *article) contents(v view) []link {
	out := []link{{"answer", v.t("publish.page.answer")}}
	if len(a.Groups) > 0 {
		out = append(out, link{"measures", v.t("publish.page.measures")})
	}
	for _, b := range a.By {
		out = append(out, link{b.ID, b.Title})
	}
	if a.Mail != nil {
		out = append(out, link{"mail", v.t("publish.page.mail")})
	}
	if a.SPF != nil {
		out = append(out, link{"spf", v.t("publish.page.spf")})
	}
	if len(a.Problems) > 0 {
		out = append(out, link{"problems", v.t("publish.page.problems")})
	}
	if a.Change != nil {
		out = append(out, link{"change", a.Change.Title})
	}
	return append(out, link{"method", v.t("publish.page.method")})
}

// cards are the four figures that people quote.
func (v view) cards() []card {
	var out []card
	for _, f := range [...]posture.Fact{posture.FactProtected, posture.FactSPF, posture.FactDMARC, posture.FactDMARCEnforced} {
		i := slices.Index(v.Wave.Facts, string(f))
		if i < 0 || !v.known(i) {
			continue
		}
		s := v.All().Facts[i]
		c := card{Name: v.fact(i), Share: v.percent(survey.FigureOf(string(f), s)), Of: v.t("publish.page.of-known", "yes", s.Yes, "known", s.Known()), Interval: v.t("publish.page.between", "interval", v.interval(s))}
		if s.Unknown > 0 {
			c.Unknown = v.t("publish.page.and-unknown", "unknown", s.Unknown)
		}
		out = append(out, c)
	}
	return out
}

// policyParts are the domains by DMARC policy, as parts of all.
func (v view) policyParts(facts []survey.Share) ([]part, bool) {
	reject, quarantine, none, absent, unknown, ok := v.policies(facts)
	total := reject + quarantine + none + absent + unknown
	if !ok || total == 0 || total == unknown {
		return nil, false
	}
	out := []part{{Class: "reject", Count: reject}, {Class: "quarantine", Count: quarantine}, {Class: "watch", Count: none}, {Class: "absent", Count: absent}, {Class: "unknown", Count: unknown}}
	for i := range out {
		out[i].Label = v.t("publish.policy." + out[i].Class)
		out[i].Share = v.lang.Percent(float64(out[i].Count) / float64(total))
	}
	return out, true
}

func (v view) policyChart() *policyChart {
	parts, ok := v.policyParts(v.All().Facts)
	if !ok {
		return nil
	}
	return &policyChart{Says: v.t("publish.page.policies.says", "domains", v.All().Domains), Chart: stackedChart(parts, 36), Parts: parts}
}

// groups are the bars of the whole list, by topic.
func (v view) groups() []barGroup {
	var out []barGroup
	for _, t := range v.topics() {
		g := barGroup{Name: v.t("publish.topic." + t.Name)}
		for _, i := range t.Facts {
			f := v.figure(v.All(), i)
			g.Rows = append(g.Rows, barRow{v.fact(i), barChart(f), v.atLeast(f), v.ofAll(f), v.interval(f), f.Unknown})
		}
		out = append(out, g)
	}
	return out
}

// byTable is the table by one attribute.
func (v view) byTable(t survey.Table, id string) byTable {
	name := clipped(t.Attribute, maxShown)
	out := byTable{ID: id, Title: v.t("publish.page.by", "attribute", name), Attribute: name, Answer: v.spread(t)}
	facts := v.headlines()
	out.Least = v.leastNote(facts)
	for _, i := range facts {
		out.Facts = append(out.Facts, v.named(i))
	}
	out.Legend, out.Policies = v.policyParts(v.All().Facts)
	rows := t.Rows
	if len(rows) > pageValues {
		out.More = v.t("publish.page.by.more", "shown", int64(pageValues), "values", int64(len(rows)))
		rows = largest(rows)
	}
	for _, r := range rows {
		out.Rows = append(out.Rows, v.byRow(v.value(r), r, facts))
	}
	total := v.byRow(v.t("publish.value.all"), v.All(), facts)
	total.Total = true
	out.Rows = append(out.Rows, total)
	return out
}

// largest are the rows with the most domains, in the order in which they were.
func largest(rows []survey.Row) []survey.Row {
	at := make([]int, len(rows))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(rows[b].Domains, rows[a].Domains) })
	at = at[:pageValues]
	slices.Sort(at)
	out := make([]survey.Row, 0, len(at))
	for _, i := range at {
		out = append(out, rows[i])
	}
	return out
}

func (v view) byRow(name string, r survey.Row, facts []int) byRow {
	out := byRow{Name: name, Domains: r.Domains}
	if parts, ok := v.policyParts(r.Facts); ok {
		out.Chart = stackedChart(parts, 18)
		var says []string
		for _, p := range parts {
			if p.Count > 0 {
				says = append(says, p.Label+" "+v.lang.Int(p.Count))
			}
		}
		out.Says = v.lang.List(says)
	}
	for _, i := range facts {
		f := v.figure(r, i)
		out.Cells = append(out.Cells, heatCell{v.percent(f), v.of(f), heat(f)})
	}
	return out
}

// enough is how many known domains a value must have to be compared with
// others in a sentence.
const enough = 10

// spread says how far the shares of the values of an attribute lie apart;
// nothing where there is little to compare.
func (v view) spread(t survey.Table) string {
	for _, f := range [...]posture.Fact{posture.FactProtected, posture.FactDMARC, posture.FactSPF} {
		i := slices.Index(v.Wave.Facts, string(f))
		if i < 0 {
			continue
		}
		var low, high *survey.Row
		n := 0
		for j := range t.Rows {
			r := &t.Rows[j]
			x, ok := r.Facts[i].Value()
			if !ok || r.Facts[i].Known() < enough || r.Value == "" {
				continue
			}
			n++
			if low == nil || x < first(low.Facts[i].Value()) {
				low = r
			}
			if high == nil || x > first(high.Facts[i].Value()) {
				high = r
			}
		}
		if n < 2 || first(high.Facts[i].Value()) == 0 {
			continue
		}
		code := "publish.page.spread"
		if n < len(t.Rows) {
			code = "publish.page.spread-some"
		}
		return v.t(code, "fact", v.fact(i), "low", v.value(*low), "low_share", first(low.Facts[i].Value()), "high", v.value(*high), "high_share", first(high.Facts[i].Value()), "enough", int64(enough))
	}
	return ""
}

func first(f float64, _ bool) float64 { return f }

func (v view) mailSection() *mailSection {
	m := v.Mail
	if m.Messages == 0 {
		return nil
	}
	out := &mailSection{}
	var signed, passed int64
	for _, c := range m.Then {
		if c.SMIME == "pass" {
			signed += c.Count
		}
		if strings.EqualFold(c.DMARC, "pass") {
			passed += c.Count
		}
	}
	out.Answer = v.t("publish.page.mail.answer", "messages", m.Messages, "dmarc", passed, "dmarc_share", float64(passed)/float64(m.Messages), "signed", signed, "signed_share", float64(signed)/float64(m.Messages))
	if !m.Matched {
		out.Warning = v.mailScope()
	}
	out.Tables = []mailTable{v.mailTable("publish.mail.then", m.Then), v.mailTable("publish.mail.now", m.Now)}
	return out
}

func (v view) mailTable(code string, list []store.Combination) mailTable {
	t := mailTable{Caption: v.t(code)}
	for i, c := range list {
		t.Total += c.Count
		if i >= pageMails {
			continue
		}
		share := float64(c.Count) / float64(v.Mail.Messages)
		t.Rows = append(t.Rows, mailRow{word(c.SMIME), word(c.SPF), word(c.DKIM), word(c.DMARC), v.lang.Percent(share),
			stackedChart([]part{{Class: "yes", Count: c.Count}, {Class: "rest", Count: v.Mail.Messages - c.Count}}, 14), c.Count})
	}
	t.TotalShare = v.lang.Percent(float64(t.Total) / float64(v.Mail.Messages))
	if n := len(list) - pageMails; n > 0 {
		t.More = v.t("publish.page.more-combinations", "n", int64(n))
	}
	return t
}

// spfSection says how many have no SPF, or a wrong one.
func (p *page) spfSection(v view) *spfSection {
	known := v.Fact(string(posture.FactSPF)).Known()
	if known == 0 {
		return nil
	}
	out := &spfSection{Answer: v.t("publish.page.spf.answer", "known", known, "both", p.missing+p.wrong, "missing", p.missing, "wrong", p.wrong, "share", float64(p.missing+p.wrong)/float64(known))}
	if p.mails > 0 {
		out.Messages = v.t("publish.page.spf.messages", "messages", v.Wave.Messages, "n", p.mails)
	}
	for _, r := range p.listed {
		out.Rows = append(out.Rows, spfLine{orDash(r.name), r.domain, v.t("publish.spf." + r.state), orDash(r.text[v.lang]), r.record})
	}
	if n := p.missing + p.wrong - int64(len(p.listed)); n > 0 && len(p.listed) > 0 {
		out.More = v.t("publish.page.spf.more", "n", n)
	}
	return out
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// problems are the most frequent problems whose sentence fits all domains
// alike: it names nobody.
func (p *page) problems(v view) []problemRow {
	all := make([]*codeCount, 0, len(p.codes))
	for _, c := range p.codes {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *codeCount) int {
		return cmp.Or(cmp.Compare(b.domains, a.domains), cmp.Compare(a.code, b.code))
	})
	var out []problemRow
	for _, c := range all {
		text := wording{v.lang}.say(c.code, nil)
		if text == "" || v.Measured() == 0 {
			continue
		}
		out = append(out, problemRow{text, v.metric(c.topic), v.grade(c.grade), v.lang.Percent(float64(c.domains) / float64(v.Measured())), c.domains})
		if len(out) == pageProblems {
			break
		}
	}
	return out
}

func (v view) changeSection() *changeSection {
	if v.Change == nil {
		return nil
	}
	out := &changeSection{Title: v.t("publish.page.change", "before", clipped(v.Change.Before.Name, maxShown)), Scope: v.t("publish.change.scope", "both", v.Change.Both), Least: v.leastNote(v.movedFacts())}
	for _, m := range v.moves() {
		row := changeRow{Name: m.name, Before: v.percent(m.before), BeforeOf: v.of(m.before), After: v.percent(m.after), AfterOf: v.of(m.after), Points: "–",
			Chart: moveChart(m.before, m.after), Gained: m.Gained(), Lost: m.Lost(), Unclear: m.Before.Unknown}
		if !m.before.Least {
			row.Points = Points(m.points)
		}
		out.Rows = append(out.Rows, row)
		if out.Answer == "" && slices.Contains([]string{string(posture.FactProtected), string(posture.FactDMARC), string(posture.FactSPF)}, m.Fact) {
			out.Answer = v.t("publish.page.change.answer", "fact", m.name, "before_share", first(m.Before.Value()), "after_share", first(m.After.Value()), "points", Points(m.points), "gained", m.Gained(), "lost", m.Lost())
		}
	}
	if out.Answer == "" {
		out.Answer = v.t("publish.page.change.nothing")
	}
	return out
}

// terms explain the facts that are shown, and the words around them.
func (v view) terms() []term {
	var out []term
	for _, w := range [...]string{"spoofing", "sender-authentication", "smime"} {
		out = append(out, term{v.t("publish.term." + w), v.t("publish.term." + w + ".means")})
	}
	for _, t := range v.topics() {
		for _, i := range t.Facts {
			if m := v.means(i); m != "" {
				out = append(out, term{v.fact(i), m})
			}
		}
	}
	return out
}
