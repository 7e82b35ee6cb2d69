package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/locale"
	"sekimori/internal/publish"
	"sekimori/internal/repair"
	"sekimori/internal/store"
)

// maxNote bounds a note, in octets.
const maxNote = 16 << 10

func newFixSet(e *Env) *cobra.Command {
	var asJSON bool
	var state, owner, due, fixed, note string
	cmd := &cobra.Command{
		Use:   "set CASE",
		Short: e.text("workverb.fix.set.short", nil),
		Long:  e.prose("workverb.fix.set.long"),
		Example: "  sekimori fix set 12 --state contacted --owner tanaka --due 2026-12-20\n  sekimori fix set 12 --state waiting-for-proof --fixed 2026-11-25\n" +
			"  sekimori fix set 12 --state accepted --note \"ends in March\"",
		Args: cobra.ExactArgs(1),
	}
	w := addFixFlags(cmd, e)
	cmd.Flags().StringVar(&state, "state", "", e.text("workverb.fix.state", nil))
	_ = cmd.RegisterFlagCompletionFunc("state", words(stateWords()...))
	cmd.Flags().StringVar(&owner, "owner", "", e.text("workverb.fix.owner", nil))
	cmd.Flags().StringVar(&due, "due", "", e.text("workverb.fix.due", nil))
	cmd.Flags().StringVar(&fixed, "fixed", "", e.text("workverb.fix.fixed", nil))
	cmd.Flags().StringVar(&note, "note", "", e.text("workverb.flag.note", nil))
	of := cmd.Flags().String("department", "", e.text("workverb.fix.department", nil))
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	by := byFlag(cmd, e)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		id, err := caseNumber(args[0])
		if err != nil {
			return usage(err)
		}
		ch := repair.Change{By: by()}
		given := cmd.Flags().Changed
		if given("state") {
			s, err := stateFlag(state)
			if err != nil {
				return usage(err)
			}
			ch.State = &s
		}
		if given("owner") {
			ch.Owner = &owner
		}
		day := func(flag, value string) (*store.Day, error) {
			var d store.Day
			if value == "" || value == "none" {
				return &d, nil
			}
			if err := d.UnmarshalText([]byte(value)); err != nil {
				return nil, fmt.Errorf("--%s: %w", flag, err)
			}
			return &d, nil
		}
		if given("due") {
			if ch.Due, err = day("due", due); err != nil {
				return usage(err)
			}
		}
		if given("fixed") {
			if ch.Fixed, err = day("fixed", fixed); err != nil {
				return usage(err)
			}
			if ch.State == nil {
				s := store.CaseWaiting
				ch.State = &s
			}
		}
		if given("note") {
			ch.Note = &note
		}
		if ch.State == nil && ch.Owner == nil && ch.Due == nil && ch.Note == nil && !given("department") {
			return usage(errors.New("nothing to change: give --state, --owner, --department, --due, --fixed or --note"))
		}
		return w.with(ctx, func(st *store.Store, _ *advise.Advisor, m *repair.Manager) error {
			if given("department") {
				var d store.Department
				if *of != "none" {
					if d, err = department(ctx, st, *of); err != nil {
						return usage(err)
					}
				}
				ch.Department = &d.ID
			}
			c, err := m.Set(ctx, id, ch)
			if err != nil {
				return caseError(cmd, id, err)
			}
			if asJSON {
				return writeJSON(e.Out, c)
			}
			wrap(e.Out, e.width(), "", e.text("workverb.fix.set.done", explain.Args{"id": c.ID, "source": e.caseName(c), "state": string(c.State)}))
			return nil
		})
	}
	return cmd
}

func newFixNote(e *Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "note CASE TEXT",
		Short:   e.text("workverb.fix.note.short", nil),
		Long:    e.prose("workverb.fix.note.long"),
		Example: "  sekimori fix note 12 \"called Mr Sato; DKIM will be on next week\"\n  sekimori fix note 12 - < minutes.txt",
		Args:    cobra.ExactArgs(2),
	}
	w := addFixFlags(cmd, e)
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	by := byFlag(cmd, e)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		id, err := caseNumber(args[0])
		if err != nil {
			return usage(err)
		}
		return w.with(ctx, func(_ *store.Store, _ *advise.Advisor, m *repair.Manager) error {
			text := args[1]
			if text == "-" {
				b, err := io.ReadAll(io.LimitReader(e.In, maxNote+1))
				if err != nil {
					return fmt.Errorf("read the note: %w", err)
				}
				text = string(b)
			}
			text = strings.TrimSpace(text)
			if text == "" || len(text) > maxNote {
				return usage(fmt.Errorf("a note has 1 to %d octets, not %d", maxNote, len(text)))
			}
			c, err := m.Set(ctx, id, repair.Change{Note: &text, By: by()})
			if err != nil {
				return caseError(cmd, id, err)
			}
			if asJSON {
				return writeJSON(e.Out, c)
			}
			wrap(e.Out, e.width(), "", e.text("workverb.fix.noted", explain.Args{"id": c.ID, "source": e.caseName(c)}))
			return nil
		})
	}
	return cmd
}

func newFixLetter(e *Env) *cobra.Command {
	var asJSON, sent bool
	var format, lang, output string
	cmd := &cobra.Command{
		Use:   "letter CASE",
		Short: e.text("workverb.fix.letter.short", nil),
		Long:  e.prose("workverb.fix.letter.long"),
		Example: "  sekimori fix letter 12\n  sekimori fix letter 12 --lang ja --format pdf --output letter.pdf\n" +
			"  sekimori fix letter 12 --format mail --output letter.eml --sent",
		Args: cobra.ExactArgs(1),
	}
	w := addFixFlags(cmd, e)
	p := addPaperFlags(cmd, e, &format, &lang, &output, "text", "mail", "pdf", "html")
	cmd.Flags().BoolVar(&sent, "sent", false, e.text("workverb.fix.sent", nil))
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("workverb.fix.letter.json", nil))
	by := byFlag(cmd, e)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		id, err := caseNumber(args[0])
		if err != nil {
			return usage(err)
		}
		if err := p.check(e); err != nil {
			return usage(err)
		}
		return w.with(ctx, func(_ *store.Store, _ *advise.Advisor, m *repair.Manager) error {
			l, err := m.Letter(ctx, id)
			if err != nil {
				return caseError(cmd, id, err)
			}
			if asJSON {
				if err := writeJSON(e.Out, l); err != nil {
					return err
				}
			} else if err := p.write(e, func(w io.Writer, l2 locale.Lang, f publish.Format) error { return publish.Letter(w, l, l2, f) }); err != nil {
				return err
			}
			if sent {
				return caseError(cmd, id, m.Sent(ctx, id, format+", "+string(p.language(e)), by()))
			}
			return nil
		})
	}
	return cmd
}

// paper is --format, --lang and --output.
type paper struct {
	format, lang, output *string
	formats              []string
}

func addPaperFlags(cmd *cobra.Command, e *Env, format, lang, output *string, formats ...string) *paper {
	cmd.Flags().StringVar(format, "format", formats[0], e.text("workverb.flag.format", explain.Args{"formats": formats}))
	_ = cmd.RegisterFlagCompletionFunc("format", words(formats...))
	cmd.Flags().StringVar(lang, "lang", "", e.text("workverb.flag.lang", nil))
	_ = cmd.RegisterFlagCompletionFunc("lang", words("ja", "en"))
	cmd.Flags().StringVar(output, "output", "", e.text("workverb.flag.output", nil))
	_ = cmd.MarkFlagFilename("output")
	return &paper{format, lang, output, formats}
}

// check finds what is wrong with the flags.
func (p *paper) check(e *Env) error {
	known := false
	for _, f := range p.formats {
		known = known || f == *p.format
	}
	if !known {
		return fmt.Errorf("--format %s: want one of %s", quote(*p.format), strings.Join(p.formats, ", "))
	}
	if *p.lang != "" {
		if _, ok := locale.Parse(*p.lang); !ok {
			return fmt.Errorf("--lang %s: want ja or en", quote(*p.lang))
		}
	}
	if *p.format == "pdf" && *p.output == "" {
		return errors.New("a PDF is no text: name a file with --output, or \"-\" for the standard output")
	}
	return nil
}

// language is the one asked for, else that of the command.
func (p *paper) language(e *Env) locale.Lang {
	if l, ok := locale.Parse(*p.lang); ok {
		return l
	}
	return e.Lang
}

// write writes the paper to where the flags say. A file appears whole or not
// at all.
func (p *paper) write(e *Env, f func(io.Writer, locale.Lang, publish.Format) error) error {
	var b bytes.Buffer
	if err := f(&b, p.language(e), publish.Format(*p.format)); err != nil {
		return err
	}
	if *p.output == "" || *p.output == "-" {
		_, err := e.Out.Write(b.Bytes())
		return err
	}
	if err := writeWhole(e.path(*p.output), b.Bytes()); err != nil {
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = p.Err
		}
		return fmt.Errorf("--output %s: %w", quote(*p.output), err)
	}
	return nil
}

// writeWhole writes a file by way of another beside it.
func writeWhole(path string, b []byte) error {
	if i, err := os.Stat(path); err == nil && i.IsDir() {
		return errors.New("this is a folder: name a file in it")
	}
	next := path + ".next"
	if err := os.WriteFile(next, b, 0o666); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		os.Remove(next)
		return err
	}
	return nil
}
