package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"sekimori/explain"
	"sekimori/internal/collect"
	"sekimori/internal/store"
)

func newImport(e *Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "import PATH…",
		Short:   e.text("cli.import.short", nil),
		Long:    e.prose("cli.import.long"),
		Example: "  sekimori import reports/\n  sekimori import google.com!example.jp!1790640000!1790726399.zip\n  sekimori import /var/mail/dmarc.mbox ~/Maildir --json\n  gunzip -c big.xml.gz | sekimori import -",
		Args:    cobra.MinimumNArgs(1),
	}
	data := dataFlag(cmd, e)
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		paths := make([]string, 0, len(args))
		stdin := false
		for _, a := range args {
			if a == "-" {
				stdin = true
				continue
			}
			p := e.path(a)
			if _, err := os.Lstat(p); err != nil {
				return usageError{fmt.Errorf("%s: %w", a, unwrapPath(err)), cmd.CommandPath()}
			}
			paths = append(paths, p)
		}
		ctx := cmd.Context()
		return e.withStore(ctx, *data, true, func(st *store.Store) error {
			im := collect.New(st)
			im.Background = e.serving
			bar := e.startProgress()
			im.Progress = bar.update
			began := time.Now()
			var res collect.Result
			var err error
			if len(paths) > 0 {
				res, err = im.Import(ctx, paths)
			}
			if stdin && err == nil {
				var r collect.Result
				r, err = im.ImportReader(ctx, "-", e.In)
				res.Add(r)
			}
			bar.finish()
			for i := range res.Rejected {
				res.Rejected[i].Path = e.shown(res.Rejected[i].Path, args)
				res.Rejected[i].Kept = e.shown(res.Rejected[i].Kept, []string{filepath.Clean(*data)})
			}
			if err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return temporary(err)
			}
			if asJSON {
				err = writeJSON(e.Out, res)
			} else {
				err = e.printImport(res, time.Since(began))
			}
			if err == nil && res.HasRejected() {
				return statusError{status: StatusNegative}
			}
			return err
		})
	}
	return cmd
}

// unwrapPath drops the path from a file error that names it once already.
func unwrapPath(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// shown writes an absolute path again as the user gave it.
func (e *Env) shown(p string, args []string) string {
	for _, a := range args {
		abs := filepath.Clean(e.path(a))
		if p == abs {
			return a
		}
		if rest, ok := strings.CutPrefix(p, abs); ok && (strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, "!")) {
			return strings.TrimRight(a, "/") + rest
		}
	}
	return p
}

func (e *Env) printImport(r collect.Result, took time.Duration) error {
	fmt.Fprintln(e.Out, e.text("cli.import.done", explain.Args{"reports": r.Reports, "rows": r.Rows, "messages": r.Messages, "files": r.Files}))
	if s := took.Seconds(); s > 1 && r.Rows > 0 {
		fmt.Fprintln(e.Out, e.text("cli.import.rate", explain.Args{"seconds": s, "rate": int64(float64(r.Rows) / s)}))
	}
	if r.Duplicates > 0 {
		fmt.Fprintln(e.Out, e.text("cli.import.duplicates", explain.Args{"n": r.Duplicates}))
	}
	if len(r.Rejected) == 0 {
		return nil
	}
	fmt.Fprintln(e.Out, e.text("cli.import.rejected", explain.Args{"n": int64(len(r.Rejected))}))
	const most = 20
	for i, x := range r.Rejected {
		if i == most {
			fmt.Fprintln(e.Out, e.text("cli.import.more", explain.Args{"n": int64(len(r.Rejected) - most)}))
			break
		}
		wrap(e.Out, e.Width, "  ", x.Path)
		wrap(e.Out, e.Width, "      ", x.Error)
		if x.Kept != "" {
			wrap(e.Out, e.Width, "      ", e.text("cli.import.kept", explain.Args{"path": x.Kept}))
		}
	}
	return nil
}

// progress shows a bar on a terminal and nothing elsewhere.
type progress struct {
	env  *Env
	bar  *progressbar.ProgressBar
	last int64
}

func (e *Env) startProgress() *progress {
	if !e.Terminal {
		return &progress{}
	}
	return &progress{env: e, bar: progressbar.NewOptions64(1,
		progressbar.OptionSetWriter(e.Err),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionShowTotalBytes(false),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionSetWidth(max(8, min(e.width()-72, 30))),
		progressbar.OptionClearOnFinish(),
	)}
}

func (e *Env) width() int {
	if e.Width > 0 {
		return e.Width
	}
	return lineWidth
}

func (p *progress) update(u collect.Progress) {
	if p.bar == nil {
		return
	}
	if u.BytesTotal > 0 && u.BytesTotal != p.last {
		p.bar.ChangeMax64(u.BytesTotal)
		p.last = u.BytesTotal
	}
	p.bar.Describe(p.env.text("cli.import.progress", explain.Args{"files": u.Files, "total": u.FilesTotal, "rows": u.Rows}))
	_ = p.bar.Set64(min(u.Bytes, max(p.last, 1)))
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
