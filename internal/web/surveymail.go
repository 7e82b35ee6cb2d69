package web

import (
	"net/http"

	"sekimori/internal/locale"
	"sekimori/internal/store"
)

// mailView is the messages of a wave: what protects them.
type mailView struct {
	*waveHead
	Then, Now  []comboLine
	Matched    bool
	Counted    int64
	Unmatched  bool // the list shows messages of no organisation
	List       *listing
	Combos     *listing // downloads
	Rows       []mailLine
	ToggleURL  string
	Everything bool // there are messages at all
}

// comboTable is a table of combinations below the heading with the id.
type comboTable struct {
	ID    string
	Lines []comboLine
}

type comboLine struct {
	SMIME, SPF, DKIM, DMARC string
	Count                   int64
	Share                   string
	Width                   int
}

// mailLine is one message.
type mailLine struct {
	store.MailResult
	At    moment
	URL   string // of the organisation; "" where there is none
	Then  []methodWord
	Now   []methodWord
	Sign  methodWord
	Other bool // then and now differ
}

// methodWord is the result of a method in the words of RFC 8601.
type methodWord struct{ Method, Word string }

func mailLineOf(p *page, m *store.MailResult) mailLine {
	words := func(s store.MailStates) []methodWord {
		if s == (store.MailStates{}) {
			return nil
		}
		return []methodWord{{"SPF", s.SPF}, {"DKIM", s.DKIM}, {"DMARC", s.DMARC}}
	}
	l := mailLine{MailResult: *m, At: p.at(m.Arrived), Then: words(m.Then), Now: words(m.Now), Sign: methodWord{"S/MIME", m.SMIME}}
	l.Other = l.Then != nil && m.Then != m.Now
	return l
}

func comboLines(l locale.Lang, cs []store.Combination) ([]comboLine, int64) {
	var all int64
	for _, c := range cs {
		all += c.Count
	}
	var out []comboLine
	for _, c := range cs {
		line := comboLine{c.SMIME, c.SPF, c.DKIM, c.DMARC, c.Count, shareOf(l, uint64(max(0, c.Count)), uint64(all)), 0}
		if all > 0 {
			line.Width = int(c.Count * 100 / all)
		}
		out = append(out, line)
	}
	return out, all
}

func (s *server) surveyMail(w http.ResponseWriter, r *http.Request, p *page) error {
	ctx := r.Context()
	h, err := s.wave(r, p, "mail")
	if err != nil {
		return err
	}
	sum, err := s.sums.of(ctx, s.Store, h.Wave)
	if err != nil {
		return err
	}
	v := &mailView{waveHead: h, Matched: sum.Mail.Matched, Unmatched: p.query.Get("unmatched") == "1"}
	v.Then, v.Counted = comboLines(p.Lang, sum.Mail.Then)
	v.Now, _ = comboLines(p.Lang, sum.Mail.Now)
	v.Everything = h.Messages > 0 || v.Counted > 0
	v.Combos = downloads("web.survey.mail.combos", "survey-combinations", "wave", h.Name, "lang", string(p.Lang))
	v.List = p.list("web.survey.mail.list", []string{"no", "arrived", "from"}, "arrived").ordered("arrived", "from").
		exports("survey-mail", "wave", h.Name, "lang", string(p.Lang))
	v.List.Fragment, v.List.SearchLabel = "messages", "web.survey.mail.search"
	entry := int64(0)
	v.ToggleURL = p.with("unmatched", "1", "page", "") + "#messages"
	if v.Unmatched {
		entry = -1
		v.ToggleURL = p.with("unmatched", "", "page", "") + "#messages"
	}
	page := v.List.page()
	if page.Sort == "no" {
		page.Sort = ""
	}
	mails, total, err := s.Store.Mails(ctx, h.ID, entry, page)
	if err != nil {
		return err
	}
	v.List.Total = total
	for i := range mails {
		line := mailLineOf(p, &mails[i])
		if line.Entry > 0 {
			line.URL = h.organisationURL(line.Entry)
		}
		v.Rows = append(v.Rows, line)
	}
	h.under(p, crumb{p.text("web.survey.mail.title"), ""})
	p.template, p.Data = "surveymail", v
	return nil
}
