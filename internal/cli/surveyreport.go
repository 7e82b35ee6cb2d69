package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sekimori/explain"
	"sekimori/internal/posture"
	"sekimori/internal/publish"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

func newSurveyReport(e *Env) *cobra.Command {
	var asJSON, names bool
	var name, out, compare string
	var bands []string
	cmd := &cobra.Command{
		Use:   "report",
		Short: e.text("cli.surveyreport.short", nil),
		Long:  strings.Join([]string{e.prose("cli.surveyreport.long"), e.prose("cli.surveyreport.long_files"), e.prose("cli.surveyreport.long_status")}, "\n\n"),
		Example: "  sekimori survey report\n  sekimori survey report --name 2026-11 --out report --compare 2025-11\n" +
			"  sekimori survey report --band 人口=10000,50000,100000,500000\n  sekimori survey report --json > summary.json",
		Args: cobra.NoArgs,
	}
	data := dataFlag(cmd, e)
	cmd.Flags().StringVar(&name, "name", "", e.text("cli.surveyreport.name", nil))
	cmd.Flags().StringVar(&out, "out", "", e.text("cli.surveyreport.out", nil))
	cmd.Flags().StringVar(&compare, "compare", "", e.text("cli.surveyreport.compare", nil))
	cmd.Flags().StringArrayVar(&bands, "band", nil, e.text("cli.surveyreport.band", nil))
	cmd.Flags().BoolVar(&names, "names", false, e.text("cli.surveyreport.names", nil))
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.surveyreport.json", nil))
	_ = cmd.MarkFlagDirname("out")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		o := e.publication(names)
		var err error
		if o.Bands, err = readBands(bands); err != nil {
			return usage(err)
		}
		ctx := cmd.Context()
		return e.withStore(ctx, *data, false, func(st *store.Store) error {
			wave, err := waveOf(ctx, st, "--name", name)
			if err != nil {
				return usage(err)
			}
			if compare != "" {
				before, err := waveOf(ctx, st, "--compare", compare)
				if err != nil {
					return usage(err)
				}
				if before.ID == wave.ID {
					return usage(fmt.Errorf("--compare %s: that is the survey itself; name an earlier one", compare))
				}
				o.Against = &before
			}
			return e.report(ctx, st, wave, out, asJSON, o, usage)
		})
	}
	return cmd
}

// report publishes a wave. With asJSON and no folder named, nothing is written
// but summary.json on the standard output.
func (e *Env) report(ctx context.Context, st *store.Store, wave store.Wave, out string, asJSON bool, o publish.Options, usage func(error) error) error {
	var files []publish.File
	var s *survey.Summary
	var err error
	if !asJSON || out != "" {
		dir := out
		if dir == "" {
			dir = "survey-" + wave.Name
		}
		files, s, err = publish.Write(ctx, st, wave, e.path(dir), o)
	}
	if err == nil && asJSON {
		_, err = publish.WriteSummary(ctx, e.Out, st, wave, o)
	}
	switch {
	case errors.Is(err, survey.ErrNoAttribute):
		return usage(fmt.Errorf("--band: %w; it has %s", err, strings.Join(wave.Attributes, ", ")))
	case err != nil:
		return err
	}
	if !asJSON {
		e.printSurvey(s, files)
	}
	if s != nil && s.Wave.Domains > 0 && s.Measured() == 0 {
		return statusError{status: StatusTemporary}
	}
	return nil
}

// publication is how surveys are published from the command line.
func (e *Env) publication(names bool) publish.Options {
	return publish.Options{Lang: e.Lang, Names: names, Version: e.Version, Now: time.Now}
}

// readBands reads the values of --band.
func readBands(flags []string) (map[string][]float64, error) {
	out := map[string][]float64{}
	for _, b := range flags {
		attribute, bounds, err := survey.ParseBands(b)
		if err != nil {
			return nil, fmt.Errorf("--band: %w", err)
		}
		if _, twice := out[attribute]; twice {
			return nil, fmt.Errorf("--band: %q is given twice", attribute)
		}
		out[attribute] = bounds
	}
	return out, nil
}

// waveOf finds a wave by its name; the newest one for "".
func waveOf(ctx context.Context, st *store.Store, flag, name string) (store.Wave, error) {
	wave, err := st.Wave(ctx, name)
	if !errors.Is(err, store.ErrNotFound) {
		return wave, err
	}
	all, err := st.Waves(ctx)
	if err != nil {
		return wave, err
	}
	if len(all) == 0 {
		return wave, errors.New("no survey in this data folder yet: run one first (sekimori survey run LIST), or name the folder with --data")
	}
	known := make([]string, 0, len(all))
	for _, w := range all {
		known = append(known, w.Name)
	}
	return wave, fmt.Errorf("%s %s: no such survey; there are %s", flag, name, strings.Join(known, ", "))
}

// reported are the facts of the short table; what there is in the wave of them.
var reported = [...]posture.Fact{
	posture.FactSPF, posture.FactSPFValid, posture.FactDMARC, posture.FactDMARCEnforced, posture.FactSPFDMARC, posture.FactDKIM, posture.FactProtected,
	posture.FactMTASTS, posture.FactTLSRPT, posture.FactDANE, posture.FactBIMI, posture.FactDNSSEC, posture.FactRPKI, posture.FactSTARTTLS,
}

// printSurvey writes a survey's main figures, and where the rest of them is.
func (e *Env) printSurvey(s *survey.Summary, files []publish.File) {
	w, width, wave := e.Out, e.width(), s.Wave
	fmt.Fprintln(w, e.text("cli.surveyreport.title", explain.Args{"name": wave.Name}))
	wrap(w, width, "", e.text("cli.surveyreport.counts", explain.Args{"entries": wave.Entries, "domains": wave.Domains, "measured": s.Measured(), "unanswered": wave.Unanswered}))
	if left := wave.Domains - wave.Measured; left > 0 {
		wrap(w, width, "", e.text("cli.surveyreport.unfinished", explain.Args{"left": left}))
	}
	if wave.Duplicates+wave.Without+wave.Invalid > 0 {
		wrap(w, width, "", e.text("cli.surveyreport.odd", explain.Args{"duplicates": wave.Duplicates, "without": wave.Without, "invalid": wave.Invalid}))
	}
	if wave.Domains > 0 {
		fmt.Fprintln(w)
		e.printShares(s)
	}
	if s.Mail.Messages > 0 {
		fmt.Fprintln(w)
		e.printMailTable(s)
	}
	if s.Change != nil {
		fmt.Fprintln(w)
		e.printChange(s.Change)
	}
	if len(files) > 0 {
		fmt.Fprintln(w)
		fmt.Fprintln(w, e.text("cli.surveyreport.files", nil))
		for _, f := range files {
			p := f.Path
			if rel, err := filepath.Rel(e.path("."), p); err == nil && !strings.HasPrefix(rel, "..") {
				p = rel
			}
			fmt.Fprintln(w, "  "+p)
		}
	}
}

// printShares writes the shares of the whole list. A fact that was not looked
// at, and is unknown everywhere, has no line.
func (e *Env) printShares(s *survey.Summary) {
	var rows [][]string
	var least []string
	for _, f := range reported {
		share := survey.FigureOf(string(f), s.Fact(string(f)))
		if share.Known() == 0 && (share.Unknown == 0 || s.Measured() > 0) {
			continue
		}
		name := e.text("publish.fact."+string(f), nil)
		of, percent, interval := e.Lang.Int(share.Yes)+" / "+e.Lang.Int(share.Of()), "–", "–"
		if v, ok := share.Value(); ok {
			percent = e.Lang.Percent(v)
			if share.Least {
				percent, of = e.text("publish.least", explain.Args{"share": v}), e.text("publish.least.of", explain.Args{"yes": share.Yes, "all": share.Of()})
				least = append(least, name)
			}
		}
		if low, high, ok := share.Interval(); ok {
			interval = e.Lang.Percent(low) + " – " + e.Lang.Percent(high)
		}
		rows = append(rows, []string{name, of, percent, interval, e.Lang.Int(share.Unknown)})
	}
	table(e.Out, e.width(), []column{{head: e.text("cli.surveyreport.fact", nil), grow: true}, {head: e.text("cli.surveyreport.of", nil), right: true},
		{head: e.text("cli.surveyreport.share", nil), right: true}, {head: e.text("cli.surveyreport.interval", nil), right: true}, {head: e.text("cli.surveyreport.unknown", nil), right: true}}, rows)
	e.printLeast(least)
}

// printLeast says which of the facts in a table are lower bounds, if some are.
func (e *Env) printLeast(facts []string) {
	if len(facts) > 0 {
		wrap(e.Out, e.width(), "", e.text("publish.least.note", explain.Args{"facts": facts}))
	}
}

// printMailTable writes what protects the messages.
func (e *Env) printMailTable(s *survey.Summary) {
	const most = 12
	code := "cli.surveyreport.mail"
	if !s.Mail.Matched {
		code = "cli.surveyreport.mail_unmatched"
	}
	wrap(e.Out, e.width(), "", e.text(code, explain.Args{"messages": s.Mail.Messages}))
	rows := make([][]string, 0, most)
	for i, c := range s.Mail.Then {
		if i == most {
			break
		}
		rows = append(rows, []string{c.SMIME, c.SPF, c.DKIM, c.DMARC, e.Lang.Int(c.Count), e.Lang.Percent(float64(c.Count) / float64(s.Mail.Messages))})
	}
	table(e.Out, e.width(), []column{{head: "S/MIME"}, {head: "SPF"}, {head: "DKIM"}, {head: "DMARC"}, {head: e.text("cli.surveyreport.messages", nil), right: true},
		{head: e.text("cli.surveyreport.share", nil), right: true}}, rows)
	if n := len(s.Mail.Then) - most; n > 0 {
		fmt.Fprintln(e.Out, e.text("cli.surveyreport.more", explain.Args{"n": int64(n)}))
	}
}

// printChange writes what became of the main facts since another wave.
func (e *Env) printChange(c *survey.Comparison) {
	wrap(e.Out, e.width(), "", e.text("cli.surveyreport.change", explain.Args{"before": c.Before.Name, "both": c.Both}))
	var rows [][]string
	var least []string
	for i := range c.Facts {
		f := &c.Facts[i]
		before, after := f.Figures()
		x, ok := before.Value()
		y, known := after.Value()
		if !ok || !known || !isReported(f.Fact) || before.Least && before.Yes+after.Yes == 0 {
			continue
		}
		name, change := e.text("publish.fact."+f.Fact, nil), "–"
		if before.Least {
			least = append(least, name)
			name = e.text("publish.least.name", explain.Args{"fact": name})
		} else if points, ok := f.Points(); ok {
			change = publish.Points(points)
		}
		rows = append(rows, []string{name, e.Lang.Percent(x), e.Lang.Percent(y), change, e.Lang.Int(f.Gained()), e.Lang.Int(f.Lost())})
	}
	table(e.Out, e.width(), []column{{head: e.text("cli.surveyreport.fact", nil), grow: true}, {head: e.text("cli.surveyreport.before", nil), right: true}, {head: e.text("cli.surveyreport.after", nil), right: true},
		{head: e.text("cli.surveyreport.points", nil), right: true}, {head: e.text("cli.surveyreport.gained", nil), right: true}, {head: e.text("cli.surveyreport.lost", nil), right: true}}, rows)
	e.printLeast(least)
}

func isReported(fact string) bool {
	for _, f := range reported {
		if string(f) == fact {
			return true
		}
	}
	return false
}
