package web

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sekimori/explain"
	"sekimori/internal/posture"
	"sekimori/internal/profile"
	"sekimori/internal/store"
)

// organisationView is the page of one organisation.
type organisationView struct {
	*waveHead
	Row             store.SurveyRow
	Org, Ascii      string
	DomainName      string
	Attributes      []pairOf
	Aliases         []string
	Status, Problem string // why there is nothing to show, or what was odd in the list
	StatusURL       string
	At              moment
	Tone, Mark      string
	Answer, Sends   string
	Topics          []topicLine
	Records         []recordSet
	Problems        []problemGroup
	Profiles        []profileView
	Mails           []mailLine
	MailTotal       int64
	LetterURL       string
	Questions       int64
	Facts           []factState
}

type pairOf struct{ Name, Value string }

// topicLine is what was found of one topic.
type topicLine struct{ Topic, Mark, Level, Text string }

// recordSet is the records published at one name.
type recordSet struct {
	Name    string
	Records []string
}

// problemGroup is the findings of one grade.
type problemGroup struct {
	Grade, Mark string
	Lines       []problemLine
}

// problemLine is one finding with what to publish.
type problemLine struct {
	Topic, Text, Why string
	Publish          *explain.Publish
	ID               string // of the record's box
	Above            bool   // the record stands further up
}

// profileView is a profile and how the organisation stands against it.
type profileView struct {
	ID, Name, Source, Note, URL string
	State                       string // "yes", "no", "unknown" or "none"
	Items                       []itemView
	Held, Judged                int
}

type itemView struct {
	Level, State  string // State: "yes", "no", "open" (may be done), "unknown", "none" (not for such a domain) or "hidden" (cannot be seen)
	Text, Why, Do string
	Ref, Since    string
	Show          bool // what to do is worth saying
}

// factState is a fact in the table of all facts.
type factState struct{ Label, Means, State string }

// mostOwnMails is how many messages the page of an organisation shows.
const mostOwnMails = 50

// entry finds the organisation that the address names, and what was found.
func (s *server) entry(r *http.Request, h *waveHead) (store.SurveyRow, *posture.Posture, error) {
	no, err := strconv.ParseInt(r.PathValue("no"), 10, 64)
	if err != nil || no < 1 {
		return store.SurveyRow{}, nil, errNotFound
	}
	row, err := s.Store.SurveyRow(r.Context(), h.ID, no)
	if err != nil || len(row.Result.Doc) == 0 {
		return row, nil, err
	}
	p := new(posture.Posture)
	if err := json.Unmarshal(row.Result.Doc, p); err != nil {
		s.Logger.Error("result cannot be read", "wave", h.Name, "no", no, "err", err)
		return row, nil, nil
	}
	return row, p, nil
}

func (s *server) organisation(w http.ResponseWriter, r *http.Request, p *page) error {
	h, err := s.wave(r, p, "list")
	if err != nil {
		return err
	}
	row, found, err := s.entry(r, h)
	if err != nil {
		return err
	}
	v := &organisationView{waveHead: h, Row: row, Aliases: row.Aliases, At: p.at(row.Result.At), LetterURL: h.organisationURL(row.No) + "/letter", Questions: row.Result.Questions}
	v.DomainName, v.Ascii = namesOf(row.Domain)
	v.Org = cmp.Or(row.Name, v.DomainName, row.Input, "–")
	for i, name := range h.Attributes {
		if i < len(row.Attributes) && row.Attributes[i] != "" {
			v.Attributes = append(v.Attributes, pairOf{name, row.Attributes[i]})
		}
	}
	v.status(p, h, &row)
	v.Tone, v.Mark = "", "unknown"
	if found != nil {
		v.found(p, found)
		for i := range profile.All() {
			v.Profiles = append(v.Profiles, profileViewOf(p, &profile.All()[i], factsAt(&h.Wave, &row)))
		}
		for _, f := range h.Facts {
			v.Facts = append(v.Facts, factState{factLabel(p.Lang, f), factMeans(p.Lang, f), stateAt(&h.Wave, &row, f).String()})
		}
	}
	mails, total, err := s.Store.Mails(r.Context(), h.ID, row.No, store.Page{Limit: mostOwnMails})
	if err != nil {
		return err
	}
	v.MailTotal = total
	for i := range mails {
		v.Mails = append(v.Mails, mailLineOf(p, &mails[i]))
	}
	h.under(p, crumb{p.text("web.survey.list.title"), h.URL + "/list"}, crumb{v.Org, ""})
	p.template, p.Data = "surveydomain", v
	return nil
}

// status says what became of the entry where that is not plain.
func (v *organisationView) status(p *page, h *waveHead, row *store.SurveyRow) {
	code, n := statusOf(row)
	if code != "" {
		v.Status = p.text(code, "n", n)
	}
	if row.Of != 0 {
		v.StatusURL = h.organisationURL(row.Of)
	}
	v.Problem = inputProblem(p, row)
}

// found shows what was found out about a domain.
func (v *organisationView) found(p *page, found *posture.Posture) {
	v.Tone, v.Mark = levelTone(found.Verdict.Level), levelMark(found.Verdict.Level)
	verdict := found.Verdict.Step
	if found.Unicode != "" {
		verdict.Args = explain.Args{"domain": found.Unicode}
	}
	v.Answer = p.Lang.Step(verdict)
	v.Sends = p.text("cli.check.sends." + string(found.SendsMailReason))
	for _, t := range found.Looked() {
		topic := found.Topic(t)
		if topic.Level == "" {
			continue // not looked at by the program that found it
		}
		v.Topics = append(v.Topics, topicLine{topicName(p.Lang, string(t)), levelMark(topic.Level), p.text("web.survey.level." + string(topic.Level)), p.Lang.Topic(found, t)})
	}
	v.Records = recordsOf(found)
	v.Problems = problemsOf(p, found, false)
}

// recordsOf lists what is published, as it stands there.
func recordsOf(f *posture.Posture) []recordSet {
	name := f.Domain.String()
	sets := []recordSet{{name, f.SPF.Records}, {"_dmarc." + f.DMARC.RecordDomain, f.DMARC.Records}}
	for _, k := range f.DKIM.Keys {
		sets = append(sets, recordSet{k.Selector + "._domainkey." + name, k.Records})
	}
	sets = append(sets, recordSet{"_mta-sts." + name, f.MTASTS.Records}, recordSet{"_smtp._tls." + name, f.TLSRPT.Records},
		recordSet{"default._bimi." + f.BIMI.RecordDomain, f.BIMI.Records})
	var out []recordSet
	for _, s := range sets {
		if len(s.Records) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// problemsOf words the findings by grade, in their order. A record that several
// findings ask for is shown once. A letter goes to people who do not have this
// program: what tells of its commands is said otherwise there.
func problemsOf(p *page, f *posture.Posture, letter bool) []problemGroup {
	shown := map[explain.Publish]bool{}
	var out []problemGroup
	for _, g := range []explain.Grade{explain.Error, explain.Warning, explain.Advice} {
		group := problemGroup{Grade: string(g), Mark: gradeMark(string(g))}
		for i := range f.Findings {
			found := &f.Findings[i]
			if found.Grade != g {
				continue
			}
			line := problemLine{Topic: topicName(p.Lang, string(found.Topic)), Text: p.Lang.Step(found.Step), Publish: found.Publish}
			switch {
			case found.Name != "":
				line.Topic += " (" + found.Name + ")"
			case found.Topic == posture.TopicDomain || strings.HasPrefix(line.Text, line.Topic+" "): // or it would begin with the same word twice
				line.Topic = ""
			}
			if code := found.Code + ".why"; p.Lang.Has(code) {
				line.Why = p.Lang.Text(code, found.Args)
			}
			if code := "web.survey.why." + found.Code; letter && p.Lang.Has(code) {
				line.Why = p.Lang.Text(code, found.Args)
			}
			if found.Publish != nil {
				line.Above = shown[*found.Publish]
				shown[*found.Publish] = true
				line.ID = "record-" + string(g) + strconv.Itoa(i)
			}
			group.Lines = append(group.Lines, line)
		}
		if len(group.Lines) > 0 {
			out = append(out, group)
		}
	}
	return out
}

// profileViewOf words a profile's report. What to do is said where an item
// does not hold, or may not.
func profileViewOf(p *page, pr *profile.Profile, of profile.Facts) profileView {
	r := profile.Judge(pr, of)
	code := "profile." + pr.ID
	v := profileView{ID: pr.ID, Name: p.text(code), Source: p.text(code + ".source"), Note: p.text(code + ".note"), URL: pr.URL, State: string(r.State)}
	if r.NotApplicable {
		v.State = "none"
	}
	for _, f := range r.Items {
		item := code + "." + f.ID
		it := itemView{Level: string(f.Level), State: string(f.State), Text: p.text(item), Why: p.text(item + ".why"), Do: p.text(item + ".do"), Ref: f.Ref}
		if t, err := time.Parse(time.DateOnly, f.Since); err == nil {
			it.Since = dayOf(p.Lang, store.DayOf(t))
		}
		switch {
		case f.NotApplicable:
			it.State = "none"
		case f.NotMeasurable:
			it.State = "hidden"
		default:
			v.Judged++
			if f.State == posture.Yes {
				v.Held++
			}
			if f.State == posture.No && f.Level != profile.Must {
				it.State = "open" // nothing is amiss: it is yet to be done
			}
		}
		it.Show = it.State == "no" || it.State == "open" || it.State == "unknown" || it.State == "hidden"
		v.Items = append(v.Items, it)
	}
	return v
}

// levelTone is the colour of a level.
func levelTone(l posture.Level) string {
	switch l {
	case posture.LevelOK:
		return "good"
	case posture.LevelWarning, posture.LevelAdvice:
		return "warn"
	case posture.LevelError:
		return "bad"
	}
	return ""
}

// levelMark is the sign of a level.
func levelMark(l posture.Level) string {
	switch l {
	case posture.LevelOK:
		return "good"
	case posture.LevelAdvice:
		return "hint"
	case posture.LevelWarning:
		return "warn"
	case posture.LevelError:
		return "bad"
	case posture.LevelAbsent:
		return "absent"
	}
	return "unknown"
}

// letterView is the advice letter to an organisation.
type letterView struct {
	*waveHead
	No              int64
	Org, DomainName string
	Ascii           string
	Named           bool // the list has a name
	Sender, Contact string
	Today, Opening  string
	Answer, Sends   string
	Topics          []topicLine
	Steps, Hints    []problemLine
	Profile         *profileView
	Fine, Unseen    bool // nothing to change; nothing could be seen
	Back            string
}

// mostHints is how many improvements a letter names beside what is wrong.
const mostHints = 4

func (s *server) letter(w http.ResponseWriter, r *http.Request, p *page) error {
	h, err := s.wave(r, p, "list")
	if err != nil {
		return err
	}
	row, found, err := s.entry(r, h)
	if err != nil {
		return err
	}
	if found == nil {
		return errNotFound
	}
	v := &letterView{waveHead: h, No: row.No, Named: row.Name != "", Back: h.organisationURL(row.No), Sender: p.query.Get("sender"), Contact: p.query.Get("contact")}
	v.DomainName, v.Ascii = namesOf(row.Domain)
	v.Org = cmp.Or(row.Name, v.DomainName)
	v.Opening = p.text("web.survey.letter.opening", "day", dayOf(p.Lang, store.DayOf(localDay(row.Result.At, p.zone))), "domain", shownDomain(v.DomainName, v.Ascii))
	v.Today = dayOf(p.Lang, store.DayOf(time.Now().In(p.zone)))
	page := organisationView{}
	page.found(p, found)
	v.Answer, v.Sends, v.Topics = page.Answer, page.Sends, page.Topics
	for _, g := range problemsOf(p, found, true) {
		if g.Grade == string(explain.Advice) {
			v.Hints = g.Lines[:min(len(g.Lines), mostHints)]
			continue
		}
		v.Steps = append(v.Steps, g.Lines...)
	}
	v.Unseen = found.Unanswered()
	v.Fine = !v.Unseen && len(v.Steps) == 0
	gov := profileViewOf(p, &profile.All()[0], factsAt(&h.Wave, &row))
	v.Profile = &gov
	h.under(p, crumb{p.text("web.survey.list.title"), h.URL + "/list"}, crumb{v.Org, v.Back}, crumb{p.text("web.survey.letter.title"), ""})
	p.template, p.Data = "surveyletter", v
	return nil
}

// localDay moves a time so that its UTC day is the day in the zone.
func localDay(t time.Time, z *time.Location) time.Time {
	_, offset := t.In(z).Zone()
	return t.Add(time.Duration(offset) * time.Second)
}

// Lines splits a contact that was typed over several lines.
func (v *letterView) Lines() []string {
	return strings.Split(strings.ReplaceAll(v.Contact, "\r\n", "\n"), "\n")
}

// itemMark is the sign of an item's state.
func itemMark(state string) string {
	switch state {
	case "yes":
		return "good"
	case "no":
		return "bad"
	case "open", "none":
		return "no"
	}
	return "unknown"
}

// shownDomain writes a domain in both forms where they differ.
func shownDomain(name, ascii string) string {
	if ascii == "" {
		return name
	}
	return name + " (" + ascii + ")"
}

// inputProblem says what was odd about a row of the list; "" for nothing.
func inputProblem(p *page, row *store.SurveyRow) string {
	if row.Problem != "" && p.Lang.Has(row.Problem) {
		return p.text(row.Problem, "detail", row.Detail, "input", row.Input)
	}
	return row.Problem
}
