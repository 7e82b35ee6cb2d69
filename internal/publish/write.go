package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"sekimori/internal/locale"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// Names of the files.
const (
	SummaryFile  = "summary.json"
	ResultsFile  = "results.csv"
	WorkbookFile = "report.xlsx"
	PageFile     = "report.html"
)

// Reader hands out a wave's rows and messages, in order, one at a time.
type Reader interface {
	EachSurveyRow(ctx context.Context, wave int64, f func(*store.SurveyRow) error) error
	EachMail(ctx context.Context, wave int64, f func(*store.MailResult) error) error
}

// Store is what is asked for a publication.
type Store interface {
	survey.TableStore
	Reader
}

// Options say what to publish, and how.
type Options struct {
	survey.Tabulation
	// Lang is the language of the sentences in summary.json and in report.xlsx,
	// and the one that report.html opens in.
	Lang locale.Lang
	// Names lets report.html name organisations: those whose SPF is missing or
	// wrong. Without it report.html holds counts alone.
	Names bool
	// Version is that of the program; Now its clock.
	Version string
	Now     func() time.Time
}

// File is a file that was written.
type File struct {
	Path string
	Size int64
}

// Write publishes a wave into a folder, which it makes where there is none.
// Each file is written beside its place and put there when all of them are
// whole; a failure leaves what was there before. Memory does not depend on the
// number of domains: the larger sheets of the workbook wait in temporary
// files.
func Write(ctx context.Context, st Store, wave store.Wave, dir string, o Options) (_ []File, _ *survey.Summary, err error) {
	s, err := survey.Summarize(ctx, st, wave, o.Tabulation)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, nil, fmt.Errorf("folder for the report: %w", err)
	}
	var set fileSet
	defer func() { err = errors.Join(err, set.discard()) }()
	p := &publication{ctx: ctx, st: st, summary: s, o: o}
	if err := p.write(dir, &set); err != nil {
		return nil, nil, err
	}
	files, err := set.place()
	return files, s, err
}

// WriteSummary writes summary.json alone.
func WriteSummary(ctx context.Context, w io.Writer, st Store, wave store.Wave, o Options) (*survey.Summary, error) {
	s, err := survey.Summarize(ctx, st, wave, o.Tabulation)
	if err != nil {
		return nil, err
	}
	p := &publication{ctx: ctx, st: st, summary: s, o: o}
	return s, p.json(w)
}

// publication is a Write on its way.
type publication struct {
	ctx     context.Context
	st      Store
	summary *survey.Summary
	o       Options
}

// sink takes the records of a publication as they come by.
type sink interface {
	entry(r *record, problems []Problem) error
	message(m *store.MailResult, of *owner, problems []Problem) error
}

// write fills all files in one pass over the rows.
func (p *publication) write(dir string, set *fileSet) (err error) {
	numbers, err := set.create(dir, SummaryFile)
	if err != nil {
		return err
	}
	rows, err := set.create(dir, ResultsFile)
	if err != nil {
		return err
	}
	sheets, err := set.create(dir, WorkbookFile)
	if err != nil {
		return err
	}
	html, err := set.create(dir, PageFile)
	if err != nil {
		return err
	}
	e := newEmitter(numbers)
	list := p.begin(e)
	results, err := newResultsCSV(rows, p.summary.Wave)
	if err != nil {
		return err
	}
	book, err := newWorkbook(view{p.summary, p.o.Lang}, p.o.Version, dir)
	defer func() { err = errors.Join(err, book.close()) }()
	if err != nil {
		return fmt.Errorf("%s: %w", WorkbookFile, err)
	}
	web := newPage(p.summary.Wave, p.o.Names)
	if err := p.each(list, results, book, web); err != nil {
		return err
	}
	if err := list.finish(); err != nil {
		return err
	}
	if err := results.flush(); err != nil {
		return err
	}
	if err := book.finish(sheets); err != nil {
		return err
	}
	return web.write(html, view{p.summary, p.o.Lang}, p.o.Version)
}

// json writes summary.json.
func (p *publication) json(w io.Writer) error {
	list := p.begin(newEmitter(w))
	if err := p.each(list); err != nil {
		return err
	}
	return list.finish()
}

// each hands every entry of the list and every message to the sinks.
func (p *publication) each(sinks ...sink) error {
	words := wording{p.o.Lang}
	owners := map[int64]*owner{}
	if p.summary.Wave.Messages > 0 {
		err := p.st.EachMail(p.ctx, p.summary.Wave.ID, func(m *store.MailResult) error {
			if m.Entry != 0 && owners[m.Entry] == nil {
				owners[m.Entry] = &owner{}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the messages: %w", err)
		}
	}
	var r record
	err := p.st.EachSurveyRow(p.ctx, p.summary.Wave.ID, func(row *store.SurveyRow) error {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		r.set(row)
		if of := owners[row.No]; of != nil {
			*of = owner{textOf(row.Domain), clipped(row.Name, maxShown), row.Line}
		}
		problems := words.entry(&r)
		for _, s := range sinks {
			if err := s.entry(&r, problems); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the results: %w", err)
	}
	if p.summary.Wave.Messages == 0 {
		return nil
	}
	err = p.st.EachMail(p.ctx, p.summary.Wave.ID, func(m *store.MailResult) error {
		of := owners[m.Entry]
		problems := words.message(m, of)
		for _, s := range sinks {
			if err := s.message(m, of, problems); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the messages: %w", err)
	}
	return nil
}

// problemList is the end of summary.json.
type problemList struct {
	e      *emitter
	counts map[string]int64
}

// begin writes summary.json up to its list of problems.
func (p *publication) begin(e *emitter) *problemList {
	e.document()
	e.numbers(p.summary)
	e.list("problems")
	return &problemList{e, map[string]int64{}}
}

func (l *problemList) entry(_ *record, problems []Problem) error { return l.add(problems) }

func (l *problemList) message(_ *store.MailResult, _ *owner, problems []Problem) error {
	return l.add(problems)
}

func (l *problemList) add(problems []Problem) error {
	for _, p := range problems {
		if l.counts[p.Code]++; l.counts[p.Code] <= mostProblems {
			l.e.element(p)
		}
	}
	return l.e.err
}

func (l *problemList) finish() error {
	l.e.end()
	l.e.member("problem_counts", l.counts)
	l.e.end()
	return l.e.flush()
}

func (c *resultsCSV) entry(r *record, _ []Problem) error { return c.write(r) }

func (c *resultsCSV) message(*store.MailResult, *owner, []Problem) error { return nil }

// fileSet are files that are put into place together.
type fileSet struct {
	files []*os.File
	paths []string
}

// create begins a file; what is written waits in a temporary file beside it.
func (s *fileSet) create(dir, name string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "."+name+".*")
	if err != nil {
		return nil, err
	}
	s.files, s.paths = append(s.files, f), append(s.paths, filepath.Join(dir, name))
	return f, nil
}

// place puts the files where they belong.
func (s *fileSet) place() ([]File, error) {
	out := make([]File, 0, len(s.files))
	for i, f := range s.files {
		info, err := f.Stat()
		if err == nil {
			err = f.Chmod(0o644)
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.paths[i], err)
		}
		out = append(out, File{s.paths[i], info.Size()})
	}
	for i, f := range s.files {
		if err := os.Rename(f.Name(), s.paths[i]); err != nil {
			return nil, err
		}
	}
	s.files = nil
	return out, nil
}

// discard removes what was not put into place.
func (s *fileSet) discard() error {
	var errs []error
	for _, f := range s.files {
		f.Close()
		if err := os.Remove(f.Name()); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	s.files = nil
	return errors.Join(errs...)
}
