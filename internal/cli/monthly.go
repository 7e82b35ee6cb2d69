package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/locale"
	"sekimori/internal/publish"
	"sekimori/internal/repair"
	"sekimori/internal/store"
	"sekimori/internal/watch"
	"sekimori/internal/web/api"
)

func newMonthly(e *Env) *cobra.Command {
	var asJSON bool
	var month, format, lang, output string
	cmd := &cobra.Command{
		Use:   "monthly DOMAIN",
		Short: e.text("workverb.monthly.short", nil),
		Long:  e.prose("workverb.monthly.long"),
		Example: "  sekimori monthly example.jp\n  sekimori monthly example.jp --month 2026-10 --format pdf --output 2026-10.pdf\n" +
			"  sekimori monthly example.jp --department 3 --format html --output month.html",
		Args: cobra.ExactArgs(1),
	}
	w := addFixFlags(cmd, e)
	p := addPaperFlags(cmd, e, &format, &lang, &output, "text", "html", "pdf")
	cmd.Flags().StringVar(&month, "month", "", e.text("workverb.monthly.month", nil))
	of := departmentFlag(cmd, e)
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		it := takeDomain(args[0])
		if it.err != nil {
			return usage(it.err)
		}
		if month != "" {
			if _, err := time.Parse("2006-01", month); err != nil {
				return usage(fmt.Errorf("--month %s: want YYYY-MM, such as 2026-10", quote(month)))
			}
		}
		if err := p.check(e); err != nil {
			return usage(err)
		}
		return w.with(ctx, func(st *store.Store, advisor *advise.Advisor, _ *repair.Manager) error {
			if err := e.reported(ctx, st, it); err != nil {
				return err
			}
			d, err := department(ctx, st, *of)
			if err != nil {
				return usage(err)
			}
			watcher, err := watch.New(watch.Config{Store: st, Now: e.now})
			if err != nil {
				return err
			}
			f, err := publish.MonthlySource{Store: st, Timeline: watcher, Advisor: advisor, Now: e.now}.Figures(ctx, it.name, month, d.ID)
			if errors.Is(err, publish.ErrNoMonth) {
				return statusError{StatusNegative, errors.New(e.text("workverb.monthly.none", explain.Args{"domain": it.name.Unicode(), "month": month}))}
			}
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(e.Out, f)
			}
			return p.write(e, func(w io.Writer, l locale.Lang, form publish.Format) error {
				if form == publish.HTML {
					return publish.MonthlyPage(w, f, l)
				}
				return publish.Monthly(w, f, l, form)
			})
		})
	}
	return cmd
}

// monthlyDesk is the monthly report as the pages use it.
type monthlyDesk struct{ source publish.MonthlySource }

// Months implements api.Monthly.
func (d monthlyDesk) Months(ctx context.Context, name string) ([]string, error) {
	return d.source.Months(ctx, name)
}

func (d monthlyDesk) figures(ctx context.Context, m api.Month) (publish.MonthlyFigures, error) {
	name, err := domain.Parse(m.Domain)
	if err != nil {
		return publish.MonthlyFigures{}, err
	}
	f, err := d.source.Figures(ctx, name, m.Month, m.Department)
	if errors.Is(err, publish.ErrNoMonth) {
		err = fmt.Errorf("%w: %w", store.ErrNotFound, err)
	}
	return f, err
}

// Figures implements api.Monthly.
func (d monthlyDesk) Figures(ctx context.Context, m api.Month) (any, error) { return d.figures(ctx, m) }

// Write implements api.Monthly.
func (d monthlyDesk) Write(ctx context.Context, w io.Writer, m api.Month, lang locale.Lang, format publish.Format) error {
	f, err := d.figures(ctx, m)
	if err != nil {
		return err
	}
	return publish.Monthly(w, f, lang, format)
}

// keptAnswers answers about a month from what is kept, if that is still right:
// pages are looked at again and again.
type keptAnswers struct{ a *advise.Advisor }

// Advise implements publish.MonthlyAdvisor.
func (k keptAnswers) Advise(ctx context.Context, name domain.Name, q advise.Question) (*advise.Advice, error) {
	if a, fresh, err := k.a.Cached(ctx, name, q); err == nil && fresh {
		return a, nil
	}
	return k.a.Advise(ctx, name, q)
}

// Usual implements api.Monthly.
func (d monthlyDesk) Usual(ctx context.Context, name string) (string, error) {
	month, err := d.source.Usual(ctx, name)
	if errors.Is(err, publish.ErrNoMonth) {
		err = fmt.Errorf("%w: %w", store.ErrNotFound, err)
	}
	return month, err
}
