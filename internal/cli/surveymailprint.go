package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"sekimori/explain"
	"sekimori/internal/publish"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

const (
	shownRejects = 20   // messages that could not be read, told one by one
	keptRejects  = 1000 // with --json
	shownRows    = 20   // combinations
)

// mailOutput takes what "survey mail" finds, and says it.
type mailOutput struct {
	env     *Env
	wave    store.Wave
	count   survey.MailCount
	rejects []mailReject
	most    int // rejects that are kept
	table   survey.MailTable
	files   []publish.File
	drawn   bool
}

// mailReject is a message that could not be read.
type mailReject struct {
	Path   string `json:"path"`
	Offset int64  `json:"offset"`
	Error  string `json:"error"`
}

func (o *mailOutput) reject(path string, offset int64, err error) {
	if len(o.rejects) < o.most {
		o.rejects = append(o.rejects, mailReject{strings.ToValidUTF8(path, "\ufffd"), offset, err.Error()})
	}
}

// progress shows on a terminal how far the work has come.
func (o *mailOutput) progress(c survey.MailCount) {
	if !o.env.Terminal {
		return
	}
	line := o.env.text("cli.surveymail.progress", explain.Args{"messages": c.Read, "matched": c.Matched, "rejected": c.Rejected})
	fmt.Fprint(o.env.Err, "\r\x1b[K"+cut(line, o.env.width()-1))
	o.drawn = true
}

func (o *mailOutput) clear() {
	if o.drawn {
		fmt.Fprint(o.env.Err, "\r\x1b[K")
		o.drawn = false
	}
}

// tabulate counts what the wave has now, earlier runs included.
func (o *mailOutput) tabulate(ctx context.Context, st *store.Store) error {
	wave, err := st.Wave(ctx, o.wave.Name)
	if err != nil {
		return err
	}
	o.wave = wave
	o.table, err = survey.Combine(ctx, st, wave.ID)
	return err
}

// mailDocument is what --json prints.
type mailDocument struct {
	Name string `json:"name"` // of the wave
	survey.MailCount
	Rejects []mailReject `json:"rejects"` // at most 1,000
	// Counted messages are in the combinations: those that belong to
	// organisations of the list or, where Listed is false, all.
	Counted         int64             `json:"counted"`
	Listed          bool              `json:"listed"`
	Combinations    []mailCombination `json:"combinations"`
	CombinationsNow []mailCombination `json:"combinations_now"`
	Files           []string          `json:"files"`
}

type mailCombination struct {
	SMIME string  `json:"smime"`
	SPF   string  `json:"spf"`
	DKIM  string  `json:"dkim"`
	DMARC string  `json:"dmarc"`
	Count int64   `json:"count"`
	Share float64 `json:"share"`
}

func combinations(in []store.Combination, total int64) []mailCombination {
	out := make([]mailCombination, len(in))
	for i, c := range in {
		out[i] = mailCombination{c.SMIME, c.SPF, c.DKIM, c.DMARC, c.Count, float64(c.Count) / float64(max(total, 1))}
	}
	return out
}

// finish says the outcome.
func (o *mailOutput) finish(asJSON bool) error {
	if asJSON {
		d := mailDocument{Name: o.wave.Name, MailCount: o.count, Rejects: o.rejects, Counted: o.table.Messages, Listed: o.table.Matched && o.table.Messages > 0,
			Combinations: combinations(o.table.Then, o.table.Messages), CombinationsNow: combinations(o.table.Now, o.table.Messages), Files: o.paths()}
		if d.Rejects == nil {
			d.Rejects = []mailReject{}
		}
		if err := writeJSON(o.env.Out, d); err != nil {
			return err
		}
	} else {
		o.print()
	}
	if o.count.Rejected > 0 {
		return statusError{status: StatusNegative}
	}
	return nil
}

func (o *mailOutput) paths() []string {
	out := make([]string, 0, len(o.files))
	for _, f := range o.files {
		p := f.Path
		if rel, err := filepath.Rel(o.env.path("."), p); err == nil && !strings.HasPrefix(rel, "..") {
			p = rel
		}
		out = append(out, p)
	}
	return out
}

func (o *mailOutput) print() {
	e, c := o.env, &o.count
	say := func(code string, args explain.Args) { wrap(e.Out, e.width(), "", e.text(code, args)) }
	if c.Read == 0 {
		say("cli.surveymail.nothing", nil)
	} else {
		say("cli.surveymail.done", explain.Args{"messages": c.Read, "new": c.Fresh, "again": c.Again, "name": o.wave.Name})
	}
	if n := c.Read - c.Rejected; n > 0 && o.wave.Domains > 0 {
		say("cli.surveymail.matched", explain.Args{"matched": c.Matched, "unmatched": n - c.Matched})
	}
	if c.Rejected > 0 {
		say("cli.surveymail.rejected", explain.Args{"n": c.Rejected})
		for _, r := range o.rejects {
			wrap(e.Out, e.width(), "  ", e.text("cli.verify.rejected", explain.Args{"path": r.Path, "offset": r.Offset, "reason": r.Error}))
		}
		if n := c.Rejected - int64(len(o.rejects)); n > 0 {
			say("cli.surveymail.more_rejected", explain.Args{"n": n})
		}
	}
	if o.table.Messages > 0 {
		o.printTable()
	}
	if c.Recorded > 0 && c.Changed > 0 {
		fmt.Fprintln(e.Out)
		say("cli.surveymail.changed", explain.Args{"n": c.Changed, "recorded": c.Recorded})
	}
	if n := c.Fresh + c.Again - c.Recorded; n > 0 {
		fmt.Fprintln(e.Out)
		say("cli.surveymail.unrecorded", explain.Args{"n": n})
	}
	if c.Undecided > 0 {
		fmt.Fprintln(e.Out)
		say("cli.surveymail.undecided", explain.Args{"n": c.Undecided})
	}
	fmt.Fprintln(e.Out)
	if len(o.files) == 0 {
		say("cli.surveymail.next", explain.Args{"name": o.wave.Name})
		return
	}
	fmt.Fprintln(e.Out, e.text("cli.surveymail.files", nil))
	for _, p := range o.paths() {
		fmt.Fprintln(e.Out, "  "+p)
	}
}

// printTable writes what protects the messages of the wave.
func (o *mailOutput) printTable() {
	e := o.env
	fmt.Fprintln(e.Out)
	switch {
	case o.table.Matched:
		wrap(e.Out, e.width(), "", e.text("cli.surveymail.table", explain.Args{"messages": o.table.Messages}))
	case o.wave.Domains == 0:
		wrap(e.Out, e.width(), "", e.text("cli.surveymail.table_no_list", explain.Args{"messages": o.table.Messages}))
	default:
		wrap(e.Out, e.width(), "", e.text("cli.surveymail.table_unmatched", explain.Args{"messages": o.table.Messages}))
	}
	fmt.Fprintln(e.Out)
	rows := make([][]string, 0, shownRows)
	rest, unknown := int64(0), false
	for i, c := range o.table.Then {
		if i >= shownRows {
			rest += c.Count
			continue
		}
		unknown = unknown || c.SPF == "unknown"
		rows = append(rows, []string{c.SMIME, c.SPF, c.DKIM, c.DMARC, e.Lang.Int(c.Count), e.Lang.Percent(float64(c.Count) / float64(o.table.Messages))})
	}
	table(e.Out, e.width(), []column{{head: "S/MIME"}, {head: "SPF"}, {head: "DKIM"}, {head: "DMARC"},
		{head: e.text("cli.surveymail.col_messages", nil), right: true}, {head: e.text("cli.surveymail.col_share", nil), right: true}}, rows)
	if rest > 0 {
		fmt.Fprintln(e.Out, e.text("cli.surveymail.more_rows", explain.Args{"n": int64(len(o.table.Then) - shownRows), "messages": rest}))
	}
	if unknown {
		fmt.Fprintln(e.Out)
		wrap(e.Out, e.width(), "", e.text("cli.surveymail.unknown", nil))
	}
}
