package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/repair"
	"sekimori/internal/store"
)

func newFix(e *Env) *cobra.Command {
	return e.group(&cobra.Command{
		Use:   "fix",
		Short: e.text("workverb.fix.short", nil),
		Long:  e.prose("workverb.fix.long"),
		Example: "  sekimori fix open example.jp\n  sekimori fix list --overdue\n  sekimori fix set 12 --state contacted --owner tanaka --due 2026-12-20\n" +
			"  sekimori fix letter 12 --format pdf --output letter.pdf",
	}, newFixOpen(e), newFixList(e), newFixShow(e), newFixSet(e), newFixNote(e), newFixLetter(e))
}

// fixWork is what the verbs of the work of fixing share.
type fixWork struct {
	e     *Env
	data  *string
	names *dnsFlags
	known *siteFlags
}

func addFixFlags(cmd *cobra.Command, e *Env) *fixWork {
	return &fixWork{e: e, data: dataFlag(cmd, e), names: addDNSFlags(cmd, e), known: addSiteFlags(cmd, e)}
}

// with runs work with the manager of cases, in the folder.
func (w *fixWork) with(ctx context.Context, f func(*store.Store, *advise.Advisor, *repair.Manager) error) error {
	return w.e.withStore(ctx, *w.data, false, func(st *store.Store) error {
		resolver, err := w.names.open(w.e)
		if err != nil {
			return err
		}
		s, closeSite, err := w.known.open(w.e)
		if err != nil {
			return err
		}
		defer closeSite()
		advisor := s.advisor(st, resolver, w.names.mark(w.e), w.e.now)
		defer advisor.Close()
		return f(st, advisor, s.manager(st, advisor, resolver, w.e.now))
	})
}

// caseNumber reads the number of a case.
func caseNumber(s string) (int64, error) {
	id, err := strconv.ParseInt(strings.TrimPrefix(s, "#"), 10, 64)
	if err != nil || id < 1 {
		return 0, fmt.Errorf("%s is no number of a case: \"sekimori fix list\" lists them", quote(s))
	}
	return id, nil
}

// caseError says what is wrong with a case in the terms of the command line.
func caseError(cmd *cobra.Command, id int64, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return usageError{fmt.Errorf("there is no case %d: \"sekimori fix list\" lists them", id), cmd.CommandPath()}
	case errors.Is(err, repair.ErrNote):
		return usageError{fmt.Errorf("%w: give it with --note", err), cmd.CommandPath()}
	case errors.Is(err, repair.ErrState):
		return usageError{err, cmd.CommandPath()}
	case errors.Is(err, repair.ErrChanged):
		return temporary(err)
	}
	return err
}

func newFixOpen(e *Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "open DOMAIN [SOURCE]",
		Short:   e.text("workverb.fix.open.short", nil),
		Long:    e.prose("workverb.fix.open.long"),
		Example: "  sekimori fix open example.jp\n  sekimori fix open example.jp 3f9a61c0",
		Args:    cobra.RangeArgs(1, 2),
	}
	w := addFixFlags(cmd, e)
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	by := byFlag(cmd, e)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		it := takeDomain(args[0])
		if it.err != nil {
			return usageError{it.err, cmd.CommandPath()}
		}
		return w.with(ctx, func(st *store.Store, advisor *advise.Advisor, m *repair.Manager) error {
			if err := e.reported(ctx, st, it); err != nil {
				return err
			}
			var done repair.Changes
			if len(args) == 2 {
				s, err := (&sourceWork{e, w.names, w.known, it.name}).find(ctx, st, args[1])
				if err != nil {
					return usageError{err, cmd.CommandPath()}
				}
				c, err := m.Open(ctx, it.name, s.ID, by())
				if err != nil {
					return err
				}
				done.Opened = append(done.Opened, c)
			} else {
				a, err := advisor.Advise(ctx, it.name, advise.Question{})
				if err != nil {
					return err
				}
				if done, err = m.Refresh(ctx, a); err != nil {
					return err
				}
			}
			if asJSON {
				return writeJSON(e.Out, done)
			}
			e.printChanges(done)
			return nil
		})
	}
	return cmd
}

// printChanges says what became of cases.
func (e *Env) printChanges(done repair.Changes) {
	some := false
	for _, part := range []struct {
		code  string
		cases []store.Case
	}{{"workverb.fix.opened", done.Opened}, {"workverb.fix.proven", done.Proven}, {"workverb.fix.reopened", done.Reopened}} {
		for _, c := range part.cases {
			some = true
			wrap(e.Out, e.width(), "", e.text(part.code, explain.Args{"id": c.ID, "source": e.caseName(c), "failing": c.Failing, "messages": c.Messages}))
		}
	}
	if !some {
		wrap(e.Out, e.width(), "", e.text("workverb.fix.nothing", nil))
	}
}

// caseName is what the source of a case is called.
func (e *Env) caseName(c store.Case) string { return e.sourceName(advise.Source{Name: c.Name}) }

// stateWords are the states as they are given on the command line.
func stateWords() []string {
	var out []string
	for _, s := range repair.States {
		out = append(out, string(s))
	}
	return out
}

// stateFlag reads a state.
func stateFlag(s string) (store.CaseState, error) {
	if slices.Contains(repair.States[:], store.CaseState(s)) {
		return store.CaseState(s), nil
	}
	return "", fmt.Errorf("--state %s: want one of %s", quote(s), strings.Join(stateWords(), ", "))
}

func newFixList(e *Env) *cobra.Command {
	var asJSON, overdue, all bool
	var states []string
	var owner string
	var limit int
	cmd := &cobra.Command{
		Use:     "list [DOMAIN]",
		Short:   e.text("workverb.fix.list.short", nil),
		Long:    e.prose("workverb.fix.list.long"),
		Example: "  sekimori fix list\n  sekimori fix list example.jp --state waiting-for-proof\n  sekimori fix list --department 観光課 --overdue --json",
		Args:    cobra.MaximumNArgs(1),
	}
	data := dataFlag(cmd, e)
	cmd.Flags().StringSliceVar(&states, "state", nil, e.text("workverb.fix.state-filter", nil))
	_ = cmd.RegisterFlagCompletionFunc("state", words(stateWords()...))
	cmd.Flags().StringVar(&owner, "owner", "", e.text("workverb.fix.owner-filter", nil))
	cmd.Flags().BoolVar(&overdue, "overdue", false, e.text("workverb.fix.overdue", nil))
	cmd.Flags().BoolVar(&all, "all", false, e.text("workverb.fix.all", nil))
	cmd.Flags().IntVar(&limit, "limit", 200, e.text("workverb.fix.limit", nil))
	of := departmentFlag(cmd, e)
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		f := store.CaseFilter{Owner: owner, States: openStates}
		if all {
			f.States = nil
		}
		if len(states) > 0 {
			f.States = nil
			for _, s := range states {
				state, err := stateFlag(s)
				if err != nil {
					return usage(err)
				}
				f.States = append(f.States, state)
			}
		}
		if overdue {
			f.Due = store.DayOf(e.now().UTC())
		}
		if limit < 1 || limit > 100_000 {
			return usage(fmt.Errorf("--limit %d: want 1 to 100000", limit))
		}
		if len(args) == 1 {
			it := takeDomain(args[0])
			if it.err != nil {
				return usage(it.err)
			}
			f.Domain = it.name.String()
		}
		return e.withStore(ctx, *data, false, func(st *store.Store) error {
			d, err := department(ctx, st, *of)
			if err != nil {
				return usage(err)
			}
			f.Department = d.ID
			cases, total, err := st.Cases(ctx, f, store.Page{Limit: limit, Sort: "urgent"})
			if err != nil {
				return err
			}
			if cases == nil {
				cases = []store.Case{}
			}
			if asJSON {
				return writeJSON(e.Out, struct {
					Total int64        `json:"total"`
					Cases []store.Case `json:"cases"`
				}{total, cases})
			}
			names, err := departmentNames(ctx, st)
			if err != nil {
				return err
			}
			e.printCases(cases, total, names)
			return nil
		})
	}
	return cmd
}

// departmentNames are the departments' names by their numbers.
func departmentNames(ctx context.Context, st *store.Store) (map[int64]string, error) {
	all, err := st.Departments(ctx)
	if err != nil {
		return nil, err
	}
	out := map[int64]string{}
	for _, d := range all {
		out[d.ID] = d.Name
	}
	return out, nil
}

func (e *Env) printCases(cases []store.Case, total int64, departments map[int64]string) {
	if len(cases) == 0 {
		fmt.Fprintln(e.Out, e.text("workverb.fix.none", nil))
		return
	}
	today, late := store.DayOf(e.now().UTC()), false
	rows := make([][]string, 0, len(cases))
	for _, c := range cases {
		due := ""
		if c.Due != 0 {
			due = c.Due.String()
			if c.Due < today && c.State != store.CaseDone && c.State != store.CaseAccepted {
				due, late = "! "+due, true
			}
		}
		who := c.Owner
		if who == "" {
			who = departments[c.Department]
		}
		rows = append(rows, []string{"#" + strconv.FormatInt(c.ID, 10), e.text("repair.state."+string(c.State), nil), c.Domain, e.caseName(c), e.Lang.Uint(c.Failing), who, due})
	}
	h := func(code string) string { return e.text(code, nil) }
	cols := []column{{head: h("workverb.head.id"), right: true}, {head: h("workverb.head.state")}, {head: h("workverb.head.domain"), grow: true},
		{head: h("cli.sources.name"), grow: true}, {head: h("cli.sources.failing"), right: true}, {head: h("workverb.head.owner"), grow: true}, {head: h("workverb.head.due")}}
	if !slices.ContainsFunc(cases, func(c store.Case) bool { return c.Domain != cases[0].Domain }) {
		cols, rows = without(cols, rows, 2)
	}
	table(e.Out, e.width(), cols, rows)
	if late {
		fmt.Fprintln(e.Out, e.text("workverb.fix.late", nil))
	}
	if more := total - int64(len(cases)); more > 0 {
		fmt.Fprintln(e.Out, e.text("workverb.fix.more", explain.Args{"n": more}))
	}
}

// caseDocument is a case with its history, for --json.
type caseDocument struct {
	store.Case
	DepartmentName string       `json:"department_name,omitempty"`
	History        []caseMoment `json:"history"`
}

// caseMoment is one line of a case's history.
type caseMoment struct {
	store.CaseEvent
	Said explain.Step `json:"said"`
}

func newFixShow(e *Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show CASE",
		Short:   e.text("workverb.fix.show.short", nil),
		Long:    e.prose("workverb.fix.show.long"),
		Example: "  sekimori fix show 12\n  sekimori fix show 12 --json",
		Args:    cobra.ExactArgs(1),
	}
	data := dataFlag(cmd, e)
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		id, err := caseNumber(args[0])
		if err != nil {
			return usageError{err, cmd.CommandPath()}
		}
		return e.withStore(ctx, *data, false, func(st *store.Store) error {
			c, err := st.Case(ctx, id)
			if err != nil {
				return caseError(cmd, id, err)
			}
			events, err := st.CaseEvents(ctx, id)
			if err != nil {
				return err
			}
			names, err := departmentNames(ctx, st)
			if err != nil {
				return err
			}
			doc := caseDocument{Case: c, DepartmentName: names[c.Department], History: []caseMoment{}}
			for _, ev := range events {
				doc.History = append(doc.History, caseMoment{ev, repair.Said(ev)})
			}
			if asJSON {
				return writeJSON(e.Out, doc)
			}
			e.printCase(doc)
			return nil
		})
	}
	return cmd
}

func (e *Env) printCase(c caseDocument) {
	wrap(e.Out, e.width(), "", e.text("workverb.fix.title", explain.Args{"id": c.ID, "source": e.caseName(c.Case), "domain": c.Domain}))
	fmt.Fprintln(e.Out)
	line := func(code, text string) {
		if text != "" {
			wrap(e.Out, e.width(), "  ", e.text(code, nil)+": "+text)
		}
	}
	line("workverb.fix.line.state", e.text("repair.state."+string(c.State), nil))
	line("workverb.fix.line.owner", c.Owner)
	line("workverb.fix.line.department", c.DepartmentName)
	if c.Due != 0 {
		line("workverb.fix.line.due", c.Due.String())
	}
	line("workverb.fix.line.mail", e.text("workverb.fix.mail", explain.Args{"failing": c.Failing, "messages": c.Messages}))
	switch {
	case c.Fixed != 0 && c.Proof+c.Relapse == 0:
		line("workverb.fix.line.proof", e.text("workverb.fix.proof-awaited", explain.Args{"day": c.Fixed.String()}))
	case c.Fixed != 0:
		line("workverb.fix.line.proof", e.text("workverb.fix.proof", explain.Args{"day": c.Fixed.String(), "passed": c.Proof, "receivers": int64(c.Receivers), "failed": c.Relapse}))
	}
	if c.Reopened > 0 {
		line("workverb.fix.line.reopened", e.Lang.Int(int64(c.Reopened)))
	}
	fmt.Fprintln(e.Out)
	for _, ev := range c.History {
		text := e.Lang.Step(ev.Said)
		if note := repair.Text(ev.CaseEvent); note != "" {
			text = e.text("workverb.fix.said", explain.Args{"text": text, "note": note})
		}
		who := ev.By
		if who == "" {
			who = e.text("workverb.fix.by-itself", nil)
		}
		wrap(e.Out, e.width(), "  "+ev.At.UTC().Format(time.DateOnly)+"  ", who+": "+text)
	}
}
