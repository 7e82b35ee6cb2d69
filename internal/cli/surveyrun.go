package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sekimori/explain"
	"sekimori/internal/posture"
	"sekimori/internal/publish"
	"sekimori/internal/resolve"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// maxWaveName bounds the name of a survey, in octets: it becomes part of a
// folder's.
const maxWaveName = 100

// runFlags say how a survey is run.
type runFlags struct {
	name, out    string
	concurrency  int
	rate         float64
	retries      int
	dryRun, json bool
	named        bool // --name was given
}

func newSurveyRun(e *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run LIST",
		Short: e.text("cli.survey.run.short", nil),
		Long: strings.Join([]string{e.prose("cli.survey.run.long"), e.prose("cli.survey.run.long_columns"), e.prose("cli.survey.run.long_waves"),
			e.prose("cli.survey.run.long_status")}, "\n\n"),
		Example: "  sekimori survey run municipalities.csv --out report\n  sekimori survey run banks.xlsx --column url=公式サイト --name 2026-11\n" +
			"  sekimori survey run list.csv --dry-run\n  cut -f2 all.tsv | sekimori survey run - --json > summary.json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%d lists given: want one, a file or - for the standard input", len(args))
			}
			return nil
		},
	}
	var f runFlags
	data := dataFlag(cmd, e)
	names := addDNSFlags(cmd, e)
	fetch := addFetchFlags(cmd, e)
	reach := addReachFlags(cmd, e)
	lists := addListFlags(cmd, e)
	flags := cmd.Flags()
	flags.StringVar(&f.name, "name", "", e.text("cli.survey.flag.name", nil))
	flags.StringVar(&f.out, "out", "", e.text("cli.survey.flag.out", nil))
	flags.IntVar(&f.concurrency, "concurrency", survey.DefaultDomains, e.text("cli.survey.flag.concurrency", nil))
	flags.Float64Var(&f.rate, "authority-rate", survey.DefaultAuthorityRate, e.text("cli.survey.flag.authority_rate", nil))
	flags.IntVar(&f.retries, "retries", survey.DefaultRetries, e.text("cli.survey.flag.retries", nil))
	flags.BoolVar(&f.dryRun, "dry-run", false, e.text("cli.survey.flag.dry_run", nil))
	flags.BoolVar(&f.json, "json", false, e.text("cli.survey.flag.json", nil))
	_ = cmd.MarkFlagDirname("out")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		if err := f.check(); err != nil {
			return usage(err)
		}
		l, err := lists.open(e, args[0])
		if err != nil {
			return usage(err)
		}
		defer l.close()
		if f.dryRun {
			return e.dryRun(l, f.json)
		}
		run := &survey.Runner{Domains: f.concurrency, Retries: f.retries, Options: posture.Options{Frugal: true, Now: time.Now}}
		if run.Resolver, err = names.openWith(e, surveyResolver(f.concurrency)); err != nil {
			return usage(err)
		}
		if names.zone == "" {
			run.AuthorityRate = f.rate
		}
		if err := fetch.open(cmd, names, run.Resolver, &run.Options); err != nil {
			return usage(err)
		}
		return e.withStoreOf(cmd.Context(), *data, true, store.Options{Memory: surveyDatabase}, func(st *store.Store) error {
			if e.shared == nil { // the process is there for this alone
				defer debug.SetGCPercent(debug.SetGCPercent(surveyGC))
			}
			// Routes are many: only who runs the survey reads them.
			if err := reach.open(cmd.Context(), e, &run.Options, usage); err != nil {
				return err
			}
			l.digest += looks(&run.Options)
			return e.survey(cmd.Context(), st, l, run, &f, usage)
		})
	}
	return cmd
}

// check refuses values that make no sense.
func (f *runFlags) check() error {
	if f.named = f.name != ""; !f.named {
		f.name = time.Now().Format("2006-01")
	}
	if err := checkWaveName(f.name); err != nil {
		return err
	}
	const mostDomains = 10000
	switch {
	case f.concurrency < 1 || f.concurrency > mostDomains:
		return fmt.Errorf("--concurrency %d: want 1 to %d domains at a time", f.concurrency, mostDomains)
	case f.rate < 0:
		return fmt.Errorf("--authority-rate %g: want questions a second, or 0 for no limit", f.rate)
	case f.retries < 0 || f.retries > 10:
		return fmt.Errorf("--retries %d: want 0 to 10", f.retries)
	}
	return nil
}

// checkWaveName refuses names that cannot be part of a folder's.
func checkWaveName(name string) error {
	if name == "" || len(name) > maxWaveName || strings.ContainsAny(name, "/\\\x00\r\n\t") || strings.TrimSpace(name) != name || strings.HasPrefix(name, ".") {
		return fmt.Errorf("--name %q: want a short name such as 2026-11, without slashes and not beginning with a dot", explain.Clip(name))
	}
	return nil
}

// Memory of a survey does not depend on how many domains it has.
const (
	// surveyDatabase is what DuckDB may have, in octets. It fills its share with
	// what it wrote, which nobody reads before the end.
	surveyDatabase = 64 << 20
	// surveyAnswers is for answers that are kept, in octets: those of some
	// thousand domains. What many domains have in common is asked for all the
	// time, and stays; the rest is asked for once.
	surveyAnswers = 8 << 20
	// surveyGC lets garbage grow to twice of what is in use before it is
	// collected: little is in use for long, and much is garbage.
	surveyGC = 200
)

// surveyResolver sizes the resolver for so many domains at a time: those that
// do not answer keep their questions on the way for seconds.
func surveyResolver(domains int) resolve.Options {
	return resolve.Options{Concurrency: min(max(64, 8*domains), 4096), Memory: surveyAnswers}
}

// survey runs a survey in an opened data folder.
func (e *Env) survey(ctx context.Context, st *store.Store, l *list, run *survey.Runner, f *runFlags, usage func(error) error) error {
	source := l.name
	if l.path != "" {
		source = filepath.Base(l.path) // where it lies is nobody's business in what is published
	}
	wave, resumed, err := st.StartWave(ctx, store.WaveSpec{Name: f.name, List: source, Digest: l.digest, Attributes: l.Attributes(), Facts: survey.Metrics()})
	if errors.Is(err, store.ErrWaveDiffers) {
		return usage(fmt.Errorf("the survey %s was begun with another list, with this one read in another way, or to look at other things (--https, --starttls, --vrps): give this one a name of its own (--name)", f.name))
	}
	if err != nil {
		return temporary(err)
	}
	if !wave.Sealed {
		if wave, err = e.enter(ctx, st, wave, l, resumed); err != nil {
			return err
		}
	}
	if wave.Domains == 0 {
		if !resumed {
			e.forget(ctx, st, wave)
		}
		return usage(fmt.Errorf("%s: no row names a domain", l.name))
	}
	switch {
	case !wave.Finished.IsZero():
		wrap(e.Err, e.width(), "", e.text("cli.survey.again", explain.Args{"name": wave.Name}))
	case wave.Measured > 0:
		wrap(e.Err, e.width(), "", e.text("cli.survey.resumed", explain.Args{"name": wave.Name, "done": wave.Measured, "total": wave.Domains}))
	}
	run.Store = survey.Keep(st)
	drawn := false
	if e.Terminal {
		run.Progress = func(p survey.Progress) {
			fmt.Fprint(e.Err, "\r\x1b[K"+cut(e.surveyProgress(p), e.width()-1))
			drawn = true
		}
	}
	began, before := time.Now(), wave.Measured
	wave, err = run.Run(ctx, wave)
	if drawn {
		fmt.Fprint(e.Err, "\r\x1b[K")
	}
	if err != nil {
		if ctx.Err() != nil {
			return e.surveyStopped(ctx, st, wave.Name)
		}
		return temporary(err)
	}
	if x, ok := run.Options.SMTP.(interface{ Blocked() bool }); ok && x.Blocked() {
		wrap(e.Err, e.width(), "", e.text("cli.survey.blocked", nil))
	}
	if n, s := wave.Measured-before, time.Since(began).Seconds(); s > 1 && n > 0 && !f.json {
		fmt.Fprintln(e.Out, e.text("cli.survey.rate", explain.Args{"n": n, "seconds": s, "rate": int64(float64(n) / s)}))
	}
	if err := e.surveyed(ctx, st, wave, f); err != nil {
		return err
	}
	switch {
	case wave.Measured == wave.Unanswered:
		return statusError{status: StatusTemporary}
	case wave.Invalid > 0:
		return statusError{status: StatusNegative}
	}
	return nil
}

// surveyStopped says how a survey goes on that was interrupted.
func (e *Env) surveyStopped(ctx context.Context, st *store.Store, name string) error {
	wave, err := st.Wave(context.WithoutCancel(ctx), name)
	if err != nil {
		return ctx.Err()
	}
	return temporary(errors.New(e.text("cli.survey.interrupted", explain.Args{"name": wave.Name, "done": wave.Measured, "total": wave.Domains})))
}

// enter reads the list into the store.
func (e *Env) enter(ctx context.Context, st *store.Store, wave store.Wave, l *list, resumed bool) (store.Wave, error) {
	const batch = 2000
	odd := oddRows{env: e}
	entries := make([]store.Entry, 0, batch)
	flush := func() error {
		err := st.AddEntries(ctx, wave.ID, entries)
		entries = entries[:0]
		return err
	}
	_, err := l.Each(func(x store.Entry) error {
		odd.add(&x)
		if entries = append(entries, x); len(entries) == batch {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err == nil {
		wave, err = st.SealEntries(ctx, wave.ID)
	}
	switch {
	case err == nil:
		odd.print(e.Err)
		return wave, nil
	case ctx.Err() != nil:
		return wave, ctx.Err()
	case !resumed:
		e.forget(ctx, st, wave)
	}
	return wave, temporary(fmt.Errorf("%s: %w", l.name, err))
}

// forget drops a wave whose list turned out to be of no use, unless it has
// messages already.
func (e *Env) forget(ctx context.Context, st *store.Store, wave store.Wave) {
	if wave.Messages == 0 {
		_ = st.DropWave(context.WithoutCancel(ctx), wave.ID)
	}
}

// surveyed publishes a survey that ran, and says what it found.
func (e *Env) surveyed(ctx context.Context, st *store.Store, wave store.Wave, f *runFlags) error {
	o := e.publication(false)
	var files []publish.File
	var s *survey.Summary
	var err error
	if f.out != "" {
		files, s, err = publish.Write(ctx, st, wave, e.path(f.out), o)
	}
	switch {
	case err != nil:
	case f.json:
		_, err = publish.WriteSummary(ctx, e.Out, st, wave, o)
	default:
		if s == nil {
			s, err = survey.Summarize(ctx, st, wave, o.Tabulation)
		}
		if err == nil {
			e.printSurvey(s, files)
			fmt.Fprintln(e.Out)
			e.nextSteps(wave, f)
		}
	}
	return err
}

// nextSteps says what may be done with a survey.
func (e *Env) nextSteps(wave store.Wave, f *runFlags) {
	name := ""
	if f.named {
		name = " --name " + wave.Name
	}
	code := "cli.survey.next"
	if f.out != "" {
		code = "cli.survey.next_published"
	}
	wrap(e.Out, e.width(), "", e.text(code, explain.Args{"name": name}))
}

// surveyProgress is one line about a run under way.
func (e *Env) surveyProgress(p survey.Progress) string {
	args := explain.Args{"done": p.Done, "total": p.Total, "unknown": p.Unanswered, "rate": int64(p.Rate + 0.5), "n": int64(p.Retry), "left": clock(p.Left)}
	switch {
	case p.Waiting:
		return e.text("cli.survey.progress.waiting", args)
	case p.Retry > 0:
		return e.text("cli.survey.progress.retry", args)
	case p.Left > 0:
		return e.text("cli.survey.progress.left", args)
	}
	return e.text("cli.survey.progress", args)
}

// clock writes a duration as h:mm:ss.
func clock(d time.Duration) string {
	const most = 1000 * time.Hour
	s := int64(min(d, most) / time.Second)
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
