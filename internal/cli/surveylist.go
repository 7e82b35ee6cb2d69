package cli

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sekimori/explain"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// listFlags say how a list of organisations is to be read.
type listFlags struct {
	columns        []string
	sheet, charset string
}

func addListFlags(cmd *cobra.Command, e *Env) *listFlags {
	f := &listFlags{}
	cmd.Flags().StringArrayVar(&f.columns, "column", nil, e.text("cli.survey.flag.column", nil))
	cmd.Flags().StringVar(&f.sheet, "sheet", "", e.text("cli.survey.flag.sheet", nil))
	cmd.Flags().StringVar(&f.charset, "charset", "", e.text("cli.survey.flag.charset", nil))
	return f
}

// reading reads the values of --column.
func (f *listFlags) reading() (survey.Reading, error) {
	o := survey.Reading{Columns: map[survey.Role][]string{}}
	for _, c := range f.columns {
		role, header, ok := strings.Cut(c, "=")
		if !ok || strings.TrimSpace(header) == "" {
			return o, fmt.Errorf("--column %q: want ROLE=HEADER, such as domain=サイト or url=3", c)
		}
		r := survey.Role(strings.ToLower(strings.TrimSpace(role)))
		o.Columns[r] = append(o.Columns[r], strings.TrimSpace(header))
	}
	return o, nil
}

// list is an opened list of organisations.
type list struct {
	*survey.List
	name      string // as given
	path      string // absolute
	form      survey.Form
	charset   string
	delimiter rune
	sheet     string
	digest    string

	file  *os.File
	book  *workbook
	spool string // the folder of a copy of the standard input
}

// open opens a list, finds out how it is to be understood, and digests it.
func (f *listFlags) open(e *Env, name string) (l *list, err error) {
	o, err := f.reading()
	if err != nil {
		return nil, err
	}
	l = &list{name: name}
	defer func(opened *list) {
		if err != nil {
			opened.close()
		}
	}(l)
	if l.spool, err = os.MkdirTemp("", "sekimori-list-"); err != nil {
		return nil, err
	}
	if name == "-" {
		if l.file, err = os.Create(filepath.Join(l.spool, "list")); err != nil {
			return nil, err
		}
		if _, err = io.Copy(l.file, e.In); err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		// Whoever has the data folder may have to read it once more.
		e.In = io.NewSectionReader(l.file, 0, math.MaxInt64)
	} else {
		l.path = e.path(name)
		if l.file, err = os.Open(l.path); err != nil {
			return nil, fmt.Errorf("%s: %w", name, unwrapPath(err))
		}
	}
	if err = l.understand(f, o); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

func (l *list) understand(f *listFlags, o survey.Reading) error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a file; want a list in CSV, TSV or XLSX, or - for the standard input")
	}
	head := make([]byte, 512)
	n, err := l.file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if l.form, err = survey.FormOf(head[:n]); err != nil {
		return err
	}
	if l.form == survey.FormXLSX {
		if f.charset != "" {
			return errors.New("--charset is for text; this is a spreadsheet")
		}
		if l.book, err = openWorkbook(l.file, l.spool); err != nil {
			return err
		}
		if l.List, l.sheet, err = l.book.list(f.sheet, o); err != nil {
			return err
		}
	} else {
		if f.sheet != "" {
			return errors.New("--sheet is for spreadsheets; this is text")
		}
		text, err := survey.OpenText(l.file, info.Size(), f.charset)
		if err != nil {
			return err
		}
		l.charset, l.delimiter = text.Charset, text.Delimiter
		if l.List, err = survey.NewList(text.Rows, o); err != nil {
			return err
		}
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(l.file, 0, info.Size())); err != nil {
		return err
	}
	h.Write([]byte(l.sheet + "\x00" + l.charset))
	l.digest = l.Digest(h.Sum(nil))
	return nil
}

func (l *list) close() {
	if l.book != nil {
		_ = l.book.close()
	}
	if l.file != nil {
		_ = l.file.Close()
	}
	if l.spool != "" {
		_ = os.RemoveAll(l.spool)
	}
}

// oddRow is a row with something wrong, for people.
type oddRow struct {
	Line  int64  `json:"line"`
	Code  string `json:"code"`
	Text  string `json:"text"`
	Input string `json:"input,omitempty"`
}

// oddRows gathers the first rows with something wrong.
type oddRows struct {
	env   *Env
	first []oddRow
	total int64
}

const mostOddRows = 20

func (o *oddRows) add(x *store.Entry) {
	if x.Problem == "" {
		return
	}
	if o.total++; len(o.first) < mostOddRows {
		o.first = append(o.first, oddRow{x.Line, x.Problem, o.env.text(x.Problem, explain.Args{"detail": explain.Clip(x.Detail), "input": explain.Clip(x.Input)}), explain.Clip(x.Input)})
	}
}

// print tells about odd rows.
func (o *oddRows) print(w io.Writer) {
	if o.total == 0 {
		return
	}
	fmt.Fprintln(w, o.env.text("cli.survey.odd", explain.Args{"n": o.total}))
	for _, r := range o.first {
		wrap(w, o.env.width(), "  "+o.env.text("cli.survey.line", explain.Args{"line": r.Line})+" ", r.Text)
	}
	if more := o.total - int64(len(o.first)); more > 0 {
		fmt.Fprintln(w, "  "+o.env.text("cli.survey.more", explain.Args{"n": more}))
	}
}

// understood is how a list was understood: what --dry-run says.
type understood struct {
	List       string          `json:"list"`
	Form       survey.Form     `json:"form"`
	Charset    string          `json:"charset,omitempty"`
	Delimiter  string          `json:"delimiter,omitempty"`
	Sheet      string          `json:"sheet,omitempty"`
	Header     int64           `json:"header"` // its line; 0 where there is none
	Columns    []survey.Column `json:"columns"`
	Rows       int64           `json:"rows"`
	Domains    int64           `json:"domains"`
	Duplicates int64           `json:"duplicates"`
	Without    int64           `json:"without_domain"`
	Invalid    int64           `json:"invalid"`
	Problems   int64           `json:"problem_rows"`
	First      []oddRow        `json:"problems"`
}

// dryRun reads the whole list and says how it was understood; nothing is asked
// and nothing kept.
func (e *Env) dryRun(l *list, asJSON bool) error {
	u := understood{List: l.name, Form: l.form, Charset: l.charset, Sheet: l.sheet, Header: l.Header, Columns: l.Columns, First: []oddRow{}}
	if l.form == survey.FormText {
		u.Delimiter = string(l.delimiter)
	}
	odd := oddRows{env: e, first: u.First}
	seed := maphash.MakeSeed()
	seen := map[uint64]bool{}
	var examples []store.Entry
	n, err := l.Each(func(x store.Entry) error {
		odd.add(&x)
		if x.Domain == "" {
			return nil
		}
		if h := maphash.String(seed, x.Domain); seen[h] {
			u.Duplicates++
		} else {
			seen[h] = true
		}
		if len(examples) < 3 {
			examples = append(examples, x)
		}
		return nil
	})
	if err != nil {
		return temporary(fmt.Errorf("%s: %w", l.name, err))
	}
	u.Rows, u.Domains, u.Without, u.Invalid, u.Problems, u.First = n.Rows, int64(len(seen)), n.Without, n.Invalid, odd.total, odd.first
	if asJSON {
		err = writeJSON(e.Out, u)
	} else {
		e.printUnderstood(&u, examples, &odd)
	}
	if err == nil && u.Invalid > 0 {
		return statusError{status: StatusNegative}
	}
	return err
}

func (e *Env) printUnderstood(u *understood, examples []store.Entry, odd *oddRows) {
	w := e.Out
	fmt.Fprintln(w, explain.Clip(u.List))
	form := e.text("cli.survey.form.xlsx", explain.Args{"sheet": explain.Clip(u.Sheet)})
	if u.Form == survey.FormText {
		delimiter := u.Delimiter
		if delimiter == "\t" {
			delimiter = e.text("cli.survey.form.tab", nil)
		}
		form = e.text("cli.survey.form.text", explain.Args{"charset": u.Charset, "delimiter": delimiter})
	}
	wrap(w, e.width(), "", form)
	if u.Header > 0 {
		wrap(w, e.width(), "", e.text("cli.survey.header", explain.Args{"line": u.Header}))
	} else {
		wrap(w, e.width(), "", e.text("cli.survey.no_header", nil))
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, c := range u.Columns {
		use := e.text("cli.survey.use.attribute", explain.Args{"name": explain.Clip(c.Name)})
		if c.Role != "" {
			use = e.text("cli.survey.use."+string(c.Role), nil)
		}
		rows = append(rows, []string{strconv.Itoa(c.Number), explain.Clip(c.Header), use})
	}
	head := func(c string) string { return e.text("cli.survey.column."+c, nil) }
	table(w, e.width(), []column{{head: head("number"), right: true}, {head: head("header")}, {head: head("use"), grow: true}}, rows)
	fmt.Fprintln(w)
	wrap(w, e.width(), "", e.text("cli.survey.counts", explain.Args{"rows": u.Rows, "domains": u.Domains, "duplicates": u.Duplicates, "without": u.Without, "invalid": u.Invalid}))
	if len(examples) > 0 {
		fmt.Fprintln(w, e.text("cli.survey.examples", nil))
		for _, x := range examples {
			line := explain.Clip(x.Input) + " → " + x.Domain
			if x.Name != "" {
				line = explain.Clip(x.Name) + ": " + line
			}
			wrap(w, e.width(), "  ", line)
		}
	}
	odd.print(w)
}
