package cli

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/store"
)

func newAdvise(e *Env) *cobra.Command {
	var asJSON bool
	var days int
	var until string
	cmd := &cobra.Command{
		Use:   "advise DOMAIN",
		Short: e.text("cli.advise.short", nil),
		Long:  e.prose("cli.advise.long"),
		Example: "  sekimori advise example.jp\n  sekimori advise example.jp --days 90 --until 2026-10-01 --json\n" +
			"  sekimori advise example.jp --department 観光課\n  sekimori advise example.jp --networks networks.mmdb --senders senders.yaml",
		Args: cobra.ExactArgs(1),
	}
	data := dataFlag(cmd, e)
	names := addDNSFlags(cmd, e)
	known := addSiteFlags(cmd, e)
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	cmd.Flags().IntVar(&days, "days", 30, e.text("cli.flag.days", nil))
	cmd.Flags().StringVar(&until, "until", "", e.text("cli.flag.until", nil))
	of := departmentFlag(cmd, e)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		name, err := domain.Parse(args[0])
		if err != nil {
			return usage(err)
		}
		if days < 1 || days > 3660 {
			return usage(fmt.Errorf("--days %d: want 1 to 3660", days))
		}
		q := advise.Question{Days: days}
		if until != "" {
			if err := q.Until.UnmarshalText([]byte(until)); err != nil {
				return usage(fmt.Errorf("--until: %w", err))
			}
		}
		resolver, err := names.open(e)
		if err != nil {
			return usage(err)
		}
		s, closeSite, err := known.open(e)
		if err != nil {
			return usage(err)
		}
		defer closeSite()
		return e.withStore(cmd.Context(), *data, false, func(st *store.Store) error {
			d, err := department(cmd.Context(), st, *of)
			if err != nil {
				return usage(err)
			}
			q.Department = d.ID
			advisor := s.advisor(st, resolver, names.mark(e), time.Now)
			defer advisor.Close()
			if !e.serving && os.Getenv("GOGC") == "" {
				// A sixth faster on a large domain, for some 30 MB more.
				defer debug.SetGCPercent(debug.SetGCPercent(200))
			}
			a, err := advisor.Answer(cmd.Context(), name, q)
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(e.Out, a)
			} else {
				e.printAdvice(a, name)
				err = e.reported(cmd.Context(), st, item{name: name})
			}
			if err == nil && a.Verdict != advise.Ready {
				return statusError{status: StatusNegative}
			}
			return err
		})
	}
	return cmd
}

// printAdvice writes the answer first, then what it rests on.
func (e *Env) printAdvice(a *advise.Advice, name domain.Name) {
	w, width := e.Out, e.width()
	title := a.Domain
	if u := name.Unicode(); u != a.Domain {
		title = u + " (" + a.Domain + ")"
	}
	if a.Department != "" {
		title = e.text("cli.advise.department", explain.Args{"domain": title, "department": a.Department})
	}
	wrap(w, width, "", title)
	fmt.Fprintln(w, e.text("cli.advise.window", explain.Args{
		"begin": a.Window.Begin.String(), "end": (a.Window.End - 1).String(), "days": int64(a.Window.Days())}))
	fmt.Fprintln(w)
	fmt.Fprintln(w, e.text("cli.verdict."+string(a.Verdict), nil))
	for _, s := range a.Reasons {
		wrap(w, width, "  ", e.Lang.Step(s))
	}
	fmt.Fprintln(w)
	policy := a.Policy
	if policy == "" {
		policy = "–"
	}
	share := "–"
	if a.Messages > 0 {
		share = e.Lang.Percent(float64(a.Aligned) / float64(a.Messages))
	}
	wrap(w, width, "", e.text("cli.advise.totals", explain.Args{"policy": policy, "messages": a.Messages, "aligned": a.Aligned, "aligned_percent": share}))
	if len(a.Sources) > 0 {
		fmt.Fprintln(w)
		e.printSources(a)
	}
	e.printFixes(a.Ladder)
	e.printQuestions(a.Sources)
	if len(a.Policies) > 0 && a.Messages > 0 {
		fmt.Fprintln(w)
		fmt.Fprintln(w, e.text("cli.advise.cost", nil))
		rows := make([][]string, 0, len(a.Policies))
		for _, p := range a.Policies {
			rows = append(rows, []string{"p=" + p.P, e.Lang.Uint(p.LegitimateAtRisk), e.Lang.Percent(p.Share), e.Lang.Percent(p.Upper95),
				e.Lang.Uint(p.IndirectAtRisk), e.Lang.Uint(p.Stopped)})
		}
		table(w, width, []column{{head: e.text("cli.cost.policy", nil)}, {head: e.text("cli.cost.at_risk", nil), right: true}, {head: e.text("cli.cost.percent", nil), right: true},
			{head: e.text("cli.cost.upper", nil), right: true}, {head: e.text("cli.cost.indirect", nil), right: true}, {head: e.text("cli.cost.stopped", nil), right: true}}, rows)
	}
	if a.NextRecord != "" {
		fmt.Fprintln(w)
		fmt.Fprintln(w, e.text("cli.advise.next", explain.Args{"name": "_dmarc." + a.Domain}))
		fmt.Fprintln(w, "  "+a.NextRecord)
	}
	e.printLadder(a.Ladder)
	e.printDoubts(a)
	if len(a.Notes) > 0 {
		fmt.Fprintln(w)
		for _, s := range a.Notes {
			wrap(w, width, "", e.text("cli.advise.note", explain.Args{"text": e.Lang.Step(s)}))
		}
	}
}

func (e *Env) printSources(a *advise.Advice) {
	const most = 40
	rows := make([][]string, 0, min(len(a.Sources), most))
	for i, s := range a.Sources {
		if i == most {
			break
		}
		rows = append(rows, []string{e.text("class."+string(s.Class), nil), e.sureness(s), e.shownName(s, ""), e.Lang.Uint(s.Messages), e.Lang.Uint(s.Failing), e.Lang.Int(int64(max(s.AddressCount, len(s.Addresses))))})
	}
	table(e.Out, e.width(), []column{{head: e.text("cli.sources.class", nil)}, {head: e.text("cli.sources.sure", nil), right: true}, {head: e.text("cli.sources.name", nil), grow: true},
		{head: e.text("cli.sources.messages", nil), right: true}, {head: e.text("cli.sources.failing", nil), right: true}, {head: e.text("cli.sources.addresses", nil), right: true}}, rows)
	if n := len(a.Sources) - most; n > 0 {
		fmt.Fprintln(e.Out, e.text("cli.sources.more", explain.Args{"n": int64(n)}))
	}
}

// printFixes lists the shortest way to the next policy, and who is waited for.
func (e *Env) printFixes(l advise.Ladder) {
	w, width := e.Out, e.width()
	if len(l.Fixes) > 0 {
		fmt.Fprintln(w)
		wrap(w, width, "", e.text("cli.advise.fixes", explain.Args{"n": int64(len(l.Fixes))}))
		for i, f := range l.Fixes {
			wrap(w, width, fmt.Sprintf("  %d. ", i+1), e.Lang.Step(f.What))
		}
	}
	if len(l.Waiting) > 0 {
		fmt.Fprintln(w)
		wrap(w, width, "", e.text("cli.advise.waiting", nil))
		for _, f := range l.Waiting {
			wrap(w, width, "  - ", e.Lang.Step(f.What))
		}
	}
}

// printLadder says how much the reports show, when to look again, and what
// would make us go back.
func (e *Env) printLadder(l advise.Ladder) {
	w, width := e.Out, e.width()
	if l.Rehearse != "" {
		wrap(w, width, "", e.text("cli.advise.rehearse", nil))
		fmt.Fprintln(w, "  "+l.Rehearse)
	}
	var lines []string
	switch c := l.Coverage; {
	case c.Sent > 0:
		lines = append(lines, e.text("cli.advise.coverage", explain.Args{"seen": c.Seen, "sent": c.Sent, "share": c.Share, "since": c.Since.String(), "reporters": int64(c.Reporters)}))
	case c.Reporters > 0:
		lines = append(lines, e.text("cli.advise.coverage-reporters", explain.Args{"reporters": int64(c.Reporters), "share": c.Largest}))
	}
	if l.LookAt != 0 {
		lines = append(lines, e.text("cli.advise.look-at", explain.Args{"day": l.LookAt.String()}))
	}
	switch b := l.StepBack; {
	case b.Tripped:
		lines = append(lines, e.text("cli.advise.step-back-now", explain.Args{"day": b.Day.String(), "failing": b.Failing}))
	case b.Messages > 0:
		lines = append(lines, e.text("cli.advise.step-back", explain.Args{"share": b.Share, "messages": b.Messages, "days": int64(b.Days)}))
	}
	if len(lines) > 0 {
		fmt.Fprintln(w)
	}
	for _, line := range lines {
		wrap(w, width, "", line)
	}
	if l.StepBack.Record != "" && (l.StepBack.Tripped || l.StepBack.Messages > 0) {
		fmt.Fprintln(w, "  "+l.StepBack.Record)
	}
}

// printDoubts says why of each source that somebody has to act on. The pages
// and --json say it of every source.
func (e *Env) printDoubts(a *advise.Advice) {
	for _, s := range a.Sources {
		if s.Class != advise.Broken && s.Class != advise.Unknown {
			continue
		}
		fmt.Fprintln(e.Out)
		fmt.Fprintln(e.Out, e.text("cli.advise.why", explain.Args{"source": e.sourceName(s), "class": e.text("class."+string(s.Class), nil)}))
		grounds := s.For
		if len(grounds) == 0 {
			grounds = s.Reasons
		}
		for _, r := range grounds {
			wrap(e.Out, e.width(), "  - ", e.Lang.Step(r))
		}
		for _, r := range s.Against {
			wrap(e.Out, e.width(), "  - ", e.text("cli.advise.against", explain.Args{"text": e.Lang.Step(r)}))
		}
	}
}

// sourceName words a source's name where it is a code.
func (e *Env) sourceName(s advise.Source) string {
	if code := "source." + s.Name; !strings.Contains(s.Name, ".") && e.Lang.Has(code) {
		return e.text(code, nil)
	}
	return s.Name
}
