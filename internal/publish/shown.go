package publish

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"sekimori/explain"
	"sekimori/internal/locale"
	"sekimori/internal/posture"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// topics are the facts in the order in which people read them. Facts of a
// later version that stand in none come behind them.
var topics = [...]struct {
	name  string // publish.topic.NAME
	facts []posture.Fact
}{
	{"answer", []posture.Fact{posture.FactProtected}},
	{"spf", []posture.Fact{posture.FactSPF, posture.FactSPFValid, posture.FactSPFClosed}},
	{"dmarc", []posture.Fact{posture.FactDMARC, posture.FactDMARCOwn, posture.FactDMARCValid, posture.FactDMARCQuarantine, posture.FactDMARCReject, posture.FactDMARCEnforced, posture.FactDMARCReports, posture.FactSPFDMARC}},
	{"dkim", []posture.Fact{posture.FactDKIM, posture.FactDKIMValid}},
	{"transport", []posture.Fact{posture.FactMTASTS, posture.FactMTASTSValid, posture.FactMTASTSEnforce, posture.FactTLSRPT, posture.FactDANE, posture.FactDANEValid, posture.FactSTARTTLS}},
	{"bimi", []posture.Fact{posture.FactBIMI, posture.FactBIMILogo, posture.FactBIMICertificate}},
	{"dns", []posture.Fact{posture.FactDNSSEC, posture.FactRPKI}},
	{"kind", []posture.Fact{posture.FactExists, posture.FactSendsMail, posture.FactMX, posture.FactNullMX, posture.FactSPFNobody}},
}

// profilePrefix begins the facts that are requirements of somebody's, taken
// together.
const profilePrefix = "profile_"

// headlines are the facts that the tables by attribute show; the whole is in
// summary.json.
var headlines = [...]posture.Fact{posture.FactSPF, posture.FactSPFValid, posture.FactDMARC, posture.FactDMARCEnforced, posture.FactSPFDMARC, posture.FactDKIM, posture.FactProtected}

// view is a summary as one language shows it.
type view struct {
	*survey.Summary
	lang locale.Lang
}

// topic is a group of facts that are shown together.
type topic struct {
	Name  string
	Facts []int // their numbers in the wave
}

// topics are the groups of facts of which something is known somewhere; what
// was not looked at has no line in any table.
func (v view) topics() []topic {
	var out []topic
	seen := map[int]bool{}
	add := func(name string, at []int) {
		t := topic{Name: name}
		for _, i := range at {
			if seen[i] = true; v.known(i) {
				t.Facts = append(t.Facts, i)
			}
		}
		if len(t.Facts) > 0 {
			out = append(out, t)
		}
	}
	for _, t := range topics {
		var at []int
		for _, f := range t.facts {
			if i := slices.Index(v.Wave.Facts, string(f)); i >= 0 {
				at = append(at, i)
			}
		}
		add(t.name, at)
	}
	var profiles, rest []int
	for i, f := range v.Wave.Facts {
		switch {
		case seen[i]:
		case strings.HasPrefix(f, profilePrefix):
			profiles = append(profiles, i)
		default:
			rest = append(rest, i)
		}
	}
	add("profiles", profiles)
	add("others", rest)
	return out
}

// shown are the facts of all topics.
func (v view) shown() []int {
	var out []int
	for _, t := range v.topics() {
		out = append(out, t.Facts...)
	}
	return out
}

// known tells whether anything is known of a fact.
func (v view) known(fact int) bool {
	return v.All().Facts[fact].Known() > 0
}

// headlines are the numbers of the facts that tables by attribute show.
func (v view) headlines() []int {
	var out []int
	for _, f := range headlines {
		if i := slices.Index(v.Wave.Facts, string(f)); i >= 0 && v.known(i) {
			out = append(out, i)
		}
	}
	return out
}

// unseen are the names of the facts of which nothing is known.
func (v view) unseen() []string {
	var out []string
	for i := range v.Wave.Facts {
		if !v.known(i) {
			out = append(out, v.fact(i))
		}
	}
	return out
}

// t is the sentence of a code; args are name and value in turn.
func (v view) t(code string, args ...any) string {
	m := make(explain.Args, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		m[args[i].(string)] = args[i+1]
	}
	return v.lang.Text(code, m)
}

// fact is the name of the wave's fact number i.
func (v view) fact(i int) string {
	f := v.Wave.Facts[i]
	if code := "publish.fact." + f; v.lang.Has(code) {
		return v.t(code)
	}
	return f
}

// means is what the wave's fact number i says.
func (v view) means(i int) string {
	if code := "publish.means." + v.Wave.Facts[i]; v.lang.Has(code) {
		return v.t(code)
	}
	return ""
}

// value names a row of a table.
func (v view) value(r survey.Row) string {
	switch {
	case r.Band != nil:
		low, above := r.Band.From()
		high, below := r.Band.To()
		switch {
		case !above:
			return v.t("publish.band.below", "high", v.bound(high))
		case !below:
			return v.t("publish.band.above", "low", v.bound(low))
		}
		return v.t("publish.band.between", "low", v.bound(low), "high", v.bound(high))
	case r.Value == "":
		return v.t("publish.value.none")
	}
	return clipped(r.Value, maxShown)
}

// bound writes the bound of a band. Japanese counts in steps of ten thousand:
// 10000000 is 1,000万.
func (v view) bound(f float64) string {
	unit := ""
	if v.lang == locale.Japanese {
		for _, u := range [...]struct {
			name string
			of   float64
		}{{"兆", 1e12}, {"億", 1e8}, {"万", 1e4}} {
			if n := f / u.of; n == float64(int64(n)) && n != 0 {
				f, unit = n, u.name
				break
			}
		}
	}
	if f == float64(int64(f)) {
		return v.lang.Int(int64(f)) + unit
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// named is the name of the wave's fact number i over figures that do not say
// themselves that they are lower bounds.
func (v view) named(i int) string {
	if survey.LowerBound(v.Wave.Facts[i]) {
		return v.t("publish.least.name", "fact", v.fact(i))
	}
	return v.fact(i)
}

// figure is a row's share of the wave's fact number i.
func (v view) figure(r survey.Row, i int) survey.Figure {
	return survey.FigureOf(v.Wave.Facts[i], r.Facts[i])
}

// leastNote says which of the facts are shown as lower bounds, and why; nothing
// where none is.
func (v view) leastNote(facts []int) string {
	var names []string
	for _, i := range facts {
		if survey.LowerBound(v.Wave.Facts[i]) {
			names = append(names, v.fact(i))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return v.t("publish.least.note", "facts", names)
}

// percent writes the share of a fact; a dash where nothing is known.
func (v view) percent(f survey.Figure) string {
	if x, ok := f.Value(); ok {
		return v.lang.Percent(x)
	}
	return "–"
}

// atLeast is percent, which says of a lower bound that it is one.
func (v view) atLeast(f survey.Figure) string {
	if x, ok := f.Value(); ok && f.Least {
		return v.t("publish.least", "share", x)
	}
	return v.percent(f)
}

// of writes a share's numbers, "923 / 1,026".
func (v view) of(f survey.Figure) string {
	return v.lang.Int(f.Yes) + " / " + v.lang.Int(f.Of())
}

// ofAll is of, which says of a lower bound that it counts all domains.
func (v view) ofAll(f survey.Figure) string {
	if f.Least {
		return v.t("publish.least.of", "yes", f.Yes, "all", f.Of())
	}
	return v.of(f)
}

// interval writes a share's interval, "88.0–91.7%"; a dash for none.
func (v view) interval(s interface {
	Interval() (low, high float64, ok bool)
}) string {
	low, high, ok := s.Interval()
	if !ok {
		return "–"
	}
	return strings.TrimSuffix(v.lang.Percent(low), "%") + "–" + v.lang.Percent(high)
}

// day writes out the day of a time, in Japan's time.
func (v view) day(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	t = t.In(japan)
	if v.lang == locale.Japanese {
		return t.Format("2006年1月2日")
	}
	return t.Format("2 January 2006")
}

// japan is where the organisations are. The program's own zone would make
// reports depend on the machine they are written on.
var japan = time.FixedZone("JST", 9*60*60)

// period is the time in which the wave was measured.
func (v view) period() string {
	from, to := v.day(v.Wave.Started), v.day(v.Wave.Finished)
	if v.Wave.Finished.IsZero() || from == to {
		return from
	}
	return v.t("publish.period", "from", from, "to", to)
}

// word writes a result of a message: "–" where there is none.
func word(s string) string {
	if s == "" {
		return "–"
	}
	return clipped(s, 40)
}

// stateText is a state as a table shows it.
func (v view) stateText(s string) string {
	switch s {
	case "":
		return ""
	case "yes", "no":
		return v.t("publish.state." + s)
	}
	return v.t("publish.state.unknown")
}

// policies splits the domains by what their DMARC record asks for, with what is
// unknown: the strictest first.
func (v view) policies(facts []survey.Share) (reject, quarantine, none, absent, unknown int64, ok bool) {
	at := func(f posture.Fact) (survey.Share, bool) {
		i := slices.Index(v.Wave.Facts, string(f))
		if i < 0 || i >= len(facts) {
			return survey.Share{}, false
		}
		return facts[i], true
	}
	d, ok1 := at(posture.FactDMARC)
	r, ok2 := at(posture.FactDMARCReject)
	q, ok3 := at(posture.FactDMARCQuarantine)
	if !ok1 || !ok2 || !ok3 {
		return 0, 0, 0, 0, 0, false
	}
	return r.Yes, q.Yes, max(0, d.Yes-r.Yes-q.Yes), d.No, d.Unknown, true
}

// notes are the sentences on how the survey was made and how to read it.
func (v view) notes(version string) []string {
	w := v.Wave
	out := []string{
		v.t("publish.note.list", "list", clipped(w.List, maxShown), "entries", w.Entries, "domains", w.Domains, "duplicates", w.Duplicates, "without", w.Without, "invalid", w.Invalid),
		v.t("publish.note.asked", "period", v.period()),
		v.t("publish.note.unknown", "measured", v.Measured(), "unanswered", w.Unanswered),
	}
	if v.Fact(string(posture.FactSTARTTLS)).Known() > 0 {
		out = append(out, v.t("publish.note.starttls"))
	}
	if left := w.Domains - w.Measured; left > 0 {
		out = append(out, v.t("publish.note.unfinished", "left", left))
	}
	out = append(out, v.t("publish.note.kinds"), v.t("publish.note.dkim"), v.t("publish.note.interval"))
	if slices.ContainsFunc(w.Facts, func(f string) bool { return strings.HasPrefix(f, profilePrefix) }) {
		out = append(out, v.t("publish.note.profiles"))
	}
	if names := v.unseen(); len(names) > 0 && v.Measured() > 0 {
		out = append(out, v.t("publish.note.unseen", "facts", names))
	}
	if len(v.Untabulated) > 0 {
		var names []string
		for _, a := range v.Untabulated {
			names = append(names, clipped(a.Name, maxShown))
		}
		out = append(out, v.t("publish.note.untabulated", "attributes", names))
	}
	if v.Mail.Messages > 0 {
		out = append(out, v.t("publish.note.mail"))
	}
	return append(out, v.t("publish.note.program", "version", version))
}

// state is the state of a row's fact.
func state(r *store.SurveyRow, wave store.Wave, fact posture.Fact) store.State {
	if i := slices.Index(wave.Facts, string(fact)); i >= 0 && i < len(r.Result.States) {
		return r.Result.States[i]
	}
	return store.Unknown
}

// answer is the survey in a sentence: how many protect their mail.
func (v view) answer() string {
	s := v.Fact(string(posture.FactProtected))
	share, ok := s.Value()
	switch {
	case v.Wave.Domains == 0:
		return v.t("publish.answer.empty")
	case !ok:
		return v.t("publish.answer.unknown", "domains", v.Wave.Domains)
	}
	return v.t("publish.answer.protected", "yes", s.Yes, "known", s.Known(), "share", share, "interval", v.interval(s))
}
