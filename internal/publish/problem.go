package publish

import (
	"slices"
	"strings"

	"sekimori/explain"
	"sekimori/internal/locale"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// mostProblems is how many problems of one code are listed. All are counted.
const mostProblems = 10_000

// Problem is one line of the list of problems: of a domain, of a message, or
// of a line of the list that could not be used.
type Problem struct {
	Kind   string `json:"kind"` // "domain", "message", "input"
	Domain string `json:"domain"`
	Name   string `json:"name"`
	Line   int64  `json:"line"` // of the list; 0 where none belongs to it
	Metric string `json:"metric"`
	Code   string `json:"code"`
	Grade  string `json:"grade"` // an explain.Grade, or "unknown"
	Text   string `json:"text"`
}

// Codes of what this package itself has to say. The others are those of
// posture and of survey.
const (
	codeDuplicate  = "publish.input.duplicate"
	codeNameless   = "publish.input.without-domain"
	codeInvalid    = "publish.input.invalid"
	codeUnanswered = "publish.domain.unanswered"
	codePending    = "publish.domain.pending"
)

// gradeUnknown is the grade of what could not be found out.
const gradeUnknown = "unknown"

// wording makes a problem's text.
type wording struct{ lang locale.Lang }

// say returns the sentence of a code, or nothing where the language has none or
// an argument is missing.
func (w wording) say(code string, args explain.Args) string {
	if !w.lang.Has(code) {
		return ""
	}
	if s := w.lang.Text(code, args); !strings.Contains(s, "⟦") {
		return s
	}
	return ""
}

// entry returns what is wrong with an entry of the list.
func (w wording) entry(r *record) []Problem {
	base := Problem{Domain: textOf(r.Domain), Name: clipped(r.Name, maxShown), Line: r.Line}
	var out []Problem
	input := func(code, grade string, args explain.Args) {
		p := base
		p.Kind, p.Metric, p.Code, p.Grade, p.Text = "input", "list", code, grade, w.say(code, args)
		out = append(out, p)
	}
	args := explain.Args{"detail": explain.Clip(r.Detail), "input": explain.Clip(r.Input), "domain": explain.Clip(r.Domain)}
	grade := string(explain.Warning)
	if r.status == invalid {
		grade = string(explain.Error)
	}
	switch {
	case r.Problem != "":
		input(r.Problem, grade, args)
	case r.status == nameless:
		input(codeNameless, string(explain.Warning), args)
	case r.status == invalid:
		input(codeInvalid, grade, args)
	}
	switch r.status {
	case duplicate:
		args["of"] = r.Of
		input(codeDuplicate, string(explain.Advice), args)
		return out
	case nameless, invalid:
		return out
	case unanswered, pending:
		p := base
		p.Kind, p.Metric, p.Code, p.Grade = "domain", "exists", codeUnanswered, gradeUnknown
		if r.status == pending {
			p.Code = codePending
		}
		p.Text = w.say(p.Code, args)
		return append(out, p)
	}
	for _, c := range r.Result.Codes {
		p := base
		p.Kind, p.Metric, p.Code, p.Grade = "domain", c.Topic, c.Code, c.Grade
		at := slices.IndexFunc(r.Findings, func(f finding) bool { return f.Code == c.Code && f.Topic == c.Topic })
		if at >= 0 {
			p.Text = w.say(c.Code, r.Findings[at].Args)
			r.Findings = slices.Delete(r.Findings, at, at+1) // the next of the same code is another
		} else {
			p.Text = w.say(c.Code, nil)
		}
		out = append(out, p)
	}
	return out
}

// message returns what is wrong with a message. Organisation is the entry that
// it belongs to; nil where none does.
func (w wording) message(m *store.MailResult, organisation *owner) []Problem {
	base := Problem{Kind: "message", Domain: domainOf(m.From)}
	if organisation != nil {
		base.Domain, base.Name, base.Line = organisation.domain, organisation.name, organisation.line
	}
	var out []Problem
	for _, c := range survey.MailProblems(m) {
		p := base
		p.Metric, p.Code, p.Grade = c.Topic, c.Code, c.Grade
		p.Text = w.say(c.Code, explain.Args{"from": explain.Clip(m.From)})
		out = append(out, p)
	}
	return out
}

// owner is the organisation that messages belong to.
type owner struct {
	domain, name string
	line         int64
}

// domainOf is the domain of an address, as far as it has one.
func domainOf(address string) string {
	return clipped(strings.ToLower(strings.TrimSuffix(address[strings.LastIndexByte(address, '@')+1:], ">")), maxShown)
}

// recorded is what the receiving server recorded of a message; where it
// recorded nothing of a method, what the message is worth as evaluated now.
func recorded(m *store.MailResult) store.MailStates {
	out := m.Then
	if out.SPF == "" {
		out.SPF = m.Now.SPF
	}
	if out.DKIM == "" {
		out.DKIM = m.Now.DKIM
	}
	if out.DMARC == "" {
		out.DMARC = m.Now.DMARC
	}
	return out
}
