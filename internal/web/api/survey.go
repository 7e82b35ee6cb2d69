package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sekimori/internal/locale"
	"sekimori/internal/posture"
	"sekimori/internal/profile"
	"sekimori/internal/publish"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// SurveyStore is what is known of surveys.
type SurveyStore interface {
	WaveStore
	SurveyRowStore
	publish.Store
	Mails(ctx context.Context, wave, entry int64, p store.Page) ([]store.MailResult, int64, error)
}

// WaveStore finds the waves of surveys.
type WaveStore interface {
	Waves(ctx context.Context) ([]store.Wave, error)
	Wave(ctx context.Context, name string) (store.Wave, error)
}

// SurveyRowStore is the organisations of a wave.
type SurveyRowStore interface {
	SurveyRows(ctx context.Context, wave int64, f store.SurveyFilter, p store.Page) ([]store.SurveyRow, int64, error)
	SurveyRow(ctx context.Context, wave, no int64) (store.SurveyRow, error)
	SurveyCodes(ctx context.Context, wave int64) ([]store.CodeTotal, error)
	ChangedRows(ctx context.Context, before, after int64, fact string, from, to store.State, p store.Page) ([]store.ChangedRow, int64, error)
}

// waveAnswer is a wave.
type waveAnswer struct {
	Name       string     `json:"name"`
	List       string     `json:"list" doc:"Where the list of organisations came from."`
	Started    time.Time  `json:"started"`
	Finished   *time.Time `json:"finished" doc:"null while there is something left to do."`
	Attributes []string   `json:"attributes" doc:"The list's columns that domains are tabulated by."`
	Facts      []string   `json:"facts" doc:"What is told of each domain."`
	Entries    int64      `json:"entries" doc:"Rows of the list."`
	Domains    int64      `json:"domains" doc:"Domains to be measured."`
	Measured   int64      `json:"measured" doc:"Domains that gave an answer."`
	Unanswered int64      `json:"unanswered" doc:"Domains of which nothing could be learnt."`
	Duplicates int64      `json:"duplicates"`
	Without    int64      `json:"without_domain"`
	Invalid    int64      `json:"invalid"`
	Messages   int64      `json:"messages" doc:"Messages that were added to the survey."`
}

func waveOf(w store.Wave) waveAnswer {
	a := waveAnswer{Name: w.Name, List: w.List, Started: w.Started.UTC(), Attributes: notNil(w.Attributes), Facts: notNil(w.Facts), Entries: w.Entries, Domains: w.Domains,
		Measured: max(0, w.Measured-w.Unanswered), Unanswered: w.Unanswered, Duplicates: w.Duplicates, Without: w.Without, Invalid: w.Invalid, Messages: w.Messages}
	if !w.Finished.IsZero() {
		t := w.Finished.UTC()
		a.Finished = &t
	}
	return a
}

type waveList struct {
	Surveys []waveAnswer `json:"surveys"`
}

// SurveyRow is a domain of a survey.
type SurveyRow struct {
	No         int64             `json:"no" doc:"Place in the list, from 1."`
	Line       int64             `json:"line"`
	Name       string            `json:"name"`
	Domain     string            `json:"domain"`
	Aliases    []string          `json:"aliases"`
	Attributes map[string]string `json:"attributes"`
	Facts      map[string]string `json:"facts" doc:"yes, no or unknown."`
	Problems   []surveyProblem   `json:"problems"`
	Unanswered bool              `json:"unanswered"`
	MeasuredAt *time.Time        `json:"measured_at" doc:"null while the domain waits."`
}

type surveyProblem struct {
	Topic string `json:"topic"`
	Grade string `json:"grade" enum:"error,warning,advice"`
	Code  string `json:"code"`
}

type surveyRows struct {
	Total int64       `json:"total"`
	Rows  []SurveyRow `json:"rows"`
}

func rowOf(w *store.Wave, r *store.SurveyRow) SurveyRow {
	out := SurveyRow{No: r.No, Line: r.Line, Name: r.Name, Domain: r.Domain, Aliases: notNil(r.Aliases), Attributes: map[string]string{}, Facts: map[string]string{},
		Problems: []surveyProblem{}, Unanswered: r.Result.Unanswered}
	for i, a := range w.Attributes {
		if i < len(r.Attributes) {
			out.Attributes[a] = r.Attributes[i]
		}
	}
	for i, f := range w.Facts {
		out.Facts[f] = "unknown"
		if i < len(r.Result.States) {
			out.Facts[f] = r.Result.States[i].String()
		}
	}
	for _, c := range r.Result.Codes {
		out.Problems = append(out.Problems, surveyProblem{c.Topic, c.Grade, c.Code})
	}
	if r.Result.No != 0 {
		t := r.Result.At.UTC()
		out.MeasuredAt = &t
	}
	return out
}

// surveyEntry is a domain with all that was found out.
type surveyEntry struct {
	SurveyRow
	Posture  json.RawMessage  `json:"posture" doc:"What \"check --json\" prints; null where there is no result."`
	Profiles []profile.Report `json:"profiles"`
	Messages []surveyMail     `json:"messages" doc:"The first hundred."`
}

// surveyMail is a message of a survey.
type surveyMail struct {
	No      int64      `json:"no" doc:"The organisation's; 0 where none is known."`
	From    string     `json:"from"`
	Subject string     `json:"subject"`
	Arrived *time.Time `json:"arrived"`
	SMIME   string     `json:"smime"`
	Then    mailStates `json:"then" doc:"What the receiving server recorded."`
	Now     mailStates `json:"now" doc:"As evaluated now."`
}

type mailStates struct {
	SPF   string `json:"spf"`
	DKIM  string `json:"dkim"`
	DMARC string `json:"dmarc"`
}

func mailOf(m *store.MailResult) surveyMail {
	out := surveyMail{No: m.Entry, From: m.From, Subject: m.Subject, SMIME: m.SMIME, Then: mailStates(m.Then), Now: mailStates(m.Now)}
	if !m.Arrived.IsZero() {
		t := m.Arrived.UTC()
		out.Arrived = &t
	}
	return out
}

type surveyMails struct {
	Total    int64        `json:"total"`
	Messages []surveyMail `json:"messages"`
}

// factChange is what became of a fact between two waves.
type factChange struct {
	Fact   string                      `json:"fact"`
	Before factTally                   `json:"before"`
	After  factTally                   `json:"after"`
	Moves  map[string]map[string]int64 `json:"moves" doc:"Domains by their state before, then after."`
}

type factTally struct {
	Yes     int64    `json:"yes"`
	No      int64    `json:"no"`
	Unknown int64    `json:"unknown"`
	Share   *float64 `json:"share" doc:"yes / (yes + no); null where nothing is known."`
	Low95   *float64 `json:"low95"`
	High95  *float64 `json:"high95"`
}

func tallyOf(s survey.Share) factTally { return factTally(publish.ShareOf(s)) }

type comparison struct {
	Before string       `json:"before"`
	After  string       `json:"after"`
	Both   int64        `json:"both" doc:"Domains that are in both."`
	Facts  []factChange `json:"facts"`
}

// WaveName is the survey that an operation is asked about.
type WaveName struct {
	Wave string `path:"wave" maxLength:"200" example:"2026-11" doc:"The survey's name."`
}

// RowFilter narrows the domains of a survey.
type RowFilter struct {
	Attribute string `query:"attribute" maxLength:"2000" doc:"A column of the list: only domains whose value there is that of \"value\"."`
	Value     string `query:"value" maxLength:"2000"`
	Fact      string `query:"fact" maxLength:"100" doc:"Only domains with this fact in the state of \"state\"."`
	State     string `query:"state" enum:"yes,no,unknown" default:"yes"`
	Code      string `query:"code" maxLength:"200" doc:"Only domains with this problem."`
}

func (f RowFilter) filter(w *store.Wave, search string) (store.SurveyFilter, error) {
	q := store.SurveyFilter{Attribute: f.Attribute, Value: f.Value, Fact: f.Fact, Code: f.Code, Search: search}
	q.State = map[string]store.State{"yes": store.Yes, "no": store.No}[f.State]
	if f.Attribute != "" && !slices.Contains(w.Attributes, f.Attribute) {
		return q, huma.Error400BadRequest("attribute: the list has no such column")
	}
	if f.Fact != "" && !slices.Contains(w.Facts, f.Fact) {
		return q, huma.Error400BadRequest("fact: the survey has no such fact")
	}
	return q, nil
}

func (s *server) surveyOperations(a huma.API) {
	huma.Register(a, get("list-surveys", "/surveys", "surveys", "The surveys, newest first"),
		func(ctx context.Context, _ *struct{}) (*answer[waveList], error) {
			waves, err := s.Store.Waves(ctx)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			out := waveList{Surveys: []waveAnswer{}}
			for _, w := range waves {
				out.Surveys = append(out.Surveys, waveOf(w))
			}
			return reply(out), nil
		})

	huma.Register(a, get("get-survey", "/surveys/{wave}", "surveys", "A survey and how far it has come"),
		func(ctx context.Context, in *struct{ WaveName }) (*answer[waveAnswer], error) {
			w, err := s.Store.Wave(ctx, in.Wave)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return reply(waveOf(w)), nil
		})

	op := get("get-survey-summary", "/surveys/{wave}/summary", "surveys", "A survey's tables: the same document as summary.json of \"survey report\"")
	op.Responses = file("application/json")
	huma.Register(a, op, func(ctx context.Context, in *struct {
		WaveName
		Lang string `query:"lang" enum:"ja,en" default:"en" doc:"Language of the problems' sentences."`
	}) (*huma.StreamResponse, error) {
		w, err := s.Store.Wave(ctx, in.Wave)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		l, _ := locale.Parse(in.Lang)
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			from, to := io.Pipe()
			go func() {
				defer func() {
					if v := recover(); v != nil { // outside of the request nothing else catches it
						to.CloseWithError(fmt.Errorf("summary of %q: %v", w.Name, v))
					}
				}()
				_, err := publish.WriteSummary(ctx, to, s.Store, w, publish.Options{Lang: l, Version: s.Version, Now: time.Now})
				to.CloseWithError(err)
			}()
			s.download(from, "summary.json", "application/json").Body(hc)
		}}, nil
	})

	huma.Register(a, get("list-survey-rows", "/surveys/{wave}/rows", "surveys", "A survey's domains"),
		func(ctx context.Context, in *struct {
			WaveName
			RowFilter
			Page
			Sort string `query:"sort" enum:"no,name,domain,problems" default:"no"`
		}) (*answer[surveyRows], error) {
			w, err := s.Store.Wave(ctx, in.Wave)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			f, err := in.filter(&w, in.Search)
			if err != nil {
				return nil, err
			}
			page := in.sorted(in.Sort)
			page.Search = ""
			rows, total, err := s.Store.SurveyRows(ctx, w.ID, f, page)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			out := surveyRows{Total: total, Rows: []SurveyRow{}}
			for i := range rows {
				out.Rows = append(out.Rows, rowOf(&w, &rows[i]))
			}
			return reply(out), nil
		})

	huma.Register(a, get("get-survey-row", "/surveys/{wave}/rows/{no}", "surveys", "One organisation: its posture, the profiles it holds, its messages"),
		func(ctx context.Context, in *struct {
			WaveName
			No int64 `path:"no" minimum:"1"`
		}) (*answer[surveyEntry], error) {
			w, err := s.Store.Wave(ctx, in.Wave)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			row, err := s.Store.SurveyRow(ctx, w.ID, in.No)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			mails, _, err := s.Store.Mails(ctx, w.ID, in.No, store.Page{Limit: 100})
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			out := surveyEntry{SurveyRow: rowOf(&w, &row), Posture: json.RawMessage("null"), Profiles: []profile.Report{}, Messages: []surveyMail{}}
			if len(row.Result.Doc) > 0 {
				out.Posture = row.Result.Doc
				facts := func(f posture.Fact) posture.State { return posture.State(out.Facts[string(f)]) }
				for i := range profile.All() {
					out.Profiles = append(out.Profiles, profile.Judge(&profile.All()[i], facts))
				}
			}
			for i := range mails {
				out.Messages = append(out.Messages, mailOf(&mails[i]))
			}
			return reply(out), nil
		})

	huma.Register(a, get("list-survey-messages", "/surveys/{wave}/messages", "surveys", "A survey's messages and how they were authenticated"),
		func(ctx context.Context, in *struct {
			WaveName
			Page
			No int64 `query:"no" minimum:"-1" default:"0" doc:"Of one organisation; 0 of all; -1 of none that is known."`
		}) (*answer[surveyMails], error) {
			w, err := s.Store.Wave(ctx, in.Wave)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			mails, total, err := s.Store.Mails(ctx, w.ID, in.No, in.sorted(""))
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			out := surveyMails{Total: total, Messages: []surveyMail{}}
			for i := range mails {
				out.Messages = append(out.Messages, mailOf(&mails[i]))
			}
			return reply(out), nil
		})

	huma.Register(a, get("compare-surveys", "/surveys/{wave}/compare/{other}", "surveys", "What became of each fact since another survey"),
		func(ctx context.Context, in *struct {
			WaveName
			Other string `path:"other" maxLength:"200" doc:"The earlier survey's name."`
		}) (*answer[comparison], error) {
			after, err := s.Store.Wave(ctx, in.Wave)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			before, err := s.Store.Wave(ctx, in.Other)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			c, err := survey.Compare(ctx, s.Store, before, after, "", "")
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return reply(comparisonOf(c, after.Name)), nil
		})
}

func comparisonOf(c *survey.Comparison, after string) comparison {
	out := comparison{Before: c.Before.Name, After: after, Both: c.Both, Facts: []factChange{}}
	for i := range c.Facts {
		f := &c.Facts[i]
		ch := factChange{Fact: f.Fact, Before: tallyOf(f.Before), After: tallyOf(f.After), Moves: map[string]map[string]int64{}}
		for from := range f.Moves {
			ch.Moves[store.State(from).String()] = map[string]int64{}
			for to, n := range f.Moves[from] {
				ch.Moves[store.State(from).String()][store.State(to).String()] = n
			}
		}
		out.Facts = append(out.Facts, ch)
	}
	return out
}
