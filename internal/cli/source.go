package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/store"
)

func newSource(e *Env) *cobra.Command {
	return e.group(&cobra.Command{
		Use:   "source",
		Short: e.text("workverb.source.short", nil),
		Long:  e.prose("workverb.source.long"),
		Example: "  sekimori source list example.jp --doubtful\n  sekimori source confirm example.jp okuru.example --note newsletter\n" +
			"  sekimori source deny example.jp 3f9a61c0",
	}, newSourceList(e), newSourceSay(e, "confirm"), newSourceSay(e, "deny"), newSourceName(e), newSourceSay(e, "forget"))
}

// sourceWork finds the sources of a domain.
type sourceWork struct {
	e     *Env
	names *dnsFlags
	known *siteFlags
	name  domain.Name
}

// advice is the answer about all of the domain's mail.
func (w *sourceWork) advice(ctx context.Context, st *store.Store, q advise.Question) (*advise.Advice, error) {
	resolver, err := w.names.open(w.e)
	if err != nil {
		return nil, err
	}
	s, closeSite, err := w.known.open(w.e)
	if err != nil {
		return nil, err
	}
	defer closeSite()
	advisor := s.advisor(st, resolver, w.names.mark(w.e), w.e.now)
	defer advisor.Close()
	return advisor.Advise(ctx, w.name, q)
}

// saidSource is a source, and what is known of it by a person.
type saidSource struct {
	advise.Source
	Said   string       // the name that a person gave it
	Saying store.Saying // the last word, or the beginning of the first
	Before bool         // there was one
}

// find returns the source that a word means: its ID, its key, its name or the
// name that a person gave it. A source that has sent nothing lately is found
// by what was said about it.
func (w *sourceWork) find(ctx context.Context, st *store.Store, word string) (*saidSource, error) {
	a, err := w.advice(ctx, st, advise.Question{})
	if err != nil {
		return nil, err
	}
	said, err := st.Sayings(ctx, w.name.String())
	if err != nil {
		return nil, err
	}
	last := map[string]store.Saying{}
	for _, s := range said {
		if _, later := last[s.Key]; !later {
			last[s.Key] = s
		}
	}
	var found []*saidSource
	for _, s := range a.Sources {
		f := &saidSource{Source: s, Saying: s.Saying(a.Domain)}
		if s.Word != nil {
			f.Said = s.Word.Name
			f.Saying.Class, f.Saying.Name, f.Saying.Note, f.Before = string(s.Word.Class), s.Word.Name, s.Word.Note, true
		}
		if before, ok := last[s.Key]; ok {
			f.Said, f.Before = before.Name, true
			f.Saying.Class, f.Saying.Name, f.Saying.Note = before.Class, before.Name, before.Note
		}
		if s.ID == word || s.Key == word {
			return f, nil
		}
		if strings.EqualFold(s.Name, word) || f.Said != "" && strings.EqualFold(f.Said, word) {
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		for _, s := range last {
			if s.Key == word || s.Source == word || s.Name != "" && strings.EqualFold(s.Name, word) {
				found = append(found, &saidSource{Source: advise.Source{ID: s.Source, Key: s.Key, Name: s.Key}, Said: s.Name, Saying: s, Before: true})
			}
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fmt.Errorf("%s has no source %s: \"sekimori source list %s\" lists them with their IDs", a.Domain, quote(word), a.Domain)
	}
	var ids []string
	for _, f := range found {
		ids = append(ids, f.ID)
	}
	slices.Sort(ids)
	return nil, fmt.Errorf("%s has several sources %s: name one by its ID: %s", a.Domain, quote(word), strings.Join(ids, ", "))
}

// shownName is what a source is called: as a person said, or as was found.
func (e *Env) shownName(s advise.Source, said string) string {
	if said != "" {
		return said
	}
	if s.Word != nil && s.Word.Name != "" {
		return s.Word.Name
	}
	return e.sourceName(s)
}

func newSourceList(e *Env) *cobra.Command {
	var asJSON, doubtful bool
	var class string
	var days int
	cmd := &cobra.Command{
		Use:     "list DOMAIN",
		Short:   e.text("workverb.source.list.short", nil),
		Long:    e.prose("workverb.source.list.long"),
		Example: "  sekimori source list example.jp\n  sekimori source list example.jp --doubtful\n  sekimori source list example.jp --class broken --json",
		Args:    cobra.ExactArgs(1),
	}
	data := dataFlag(cmd, e)
	names := addDNSFlags(cmd, e)
	known := addSiteFlags(cmd, e)
	cmd.Flags().StringVar(&class, "class", "", e.text("workverb.source.class", nil))
	_ = cmd.RegisterFlagCompletionFunc("class", words("aligned", "broken", "forwarder", "unknown", "spoof"))
	cmd.Flags().BoolVar(&doubtful, "doubtful", false, e.text("workverb.source.doubtful", nil))
	cmd.Flags().IntVar(&days, "days", 30, e.text("cli.flag.days", nil))
	of := departmentFlag(cmd, e)
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		it := takeDomain(args[0])
		if it.err != nil {
			return usage(it.err)
		}
		if class != "" && !slices.Contains(advise.Classes[:], advise.Class(class)) {
			return usage(fmt.Errorf("--class %s: want aligned, broken, forwarder, unknown or spoof", quote(class)))
		}
		if days < 1 || days > 3660 {
			return usage(fmt.Errorf("--days %d: want 1 to 3660", days))
		}
		w := &sourceWork{e, names, known, it.name}
		return e.withStore(cmd.Context(), *data, false, func(st *store.Store) error {
			d, err := department(cmd.Context(), st, *of)
			if err != nil {
				return usage(err)
			}
			if err := e.reported(cmd.Context(), st, it); err != nil {
				return err
			}
			a, err := w.advice(cmd.Context(), st, advise.Question{Days: days, Department: d.ID})
			if err != nil {
				return err
			}
			list := slices.DeleteFunc(slices.Clone(a.Sources), func(s advise.Source) bool {
				return class != "" && s.Class != advise.Class(class) || doubtful && s.Question == nil
			})
			if asJSON {
				return writeJSON(e.Out, struct {
					Domain     string          `json:"domain"`
					Window     store.Window    `json:"window"`
					Department string          `json:"department,omitempty"`
					Sources    []advise.Source `json:"sources"`
				}{a.Domain, a.Window, a.Department, list})
			}
			e.printSourceList(list)
			return nil
		})
	}
	return cmd
}

// words completes a flag that takes one of them.
func words(list ...string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

func (e *Env) printSourceList(list []advise.Source) {
	if len(list) == 0 {
		fmt.Fprintln(e.Out, e.text("workverb.source.none", nil))
		return
	}
	rows := make([][]string, 0, len(list))
	for _, s := range list {
		rows = append(rows, []string{s.ID, e.text("class."+string(s.Class), nil), e.sureness(s), e.shownName(s, ""), e.Lang.Uint(s.Messages), e.Lang.Uint(s.Failing), s.Department})
	}
	h := func(code string) string { return e.text(code, nil) }
	cols := []column{{head: h("workverb.head.id")}, {head: h("cli.sources.class")}, {head: h("cli.sources.sure"), right: true}, {head: h("cli.sources.name"), grow: true},
		{head: h("cli.sources.messages"), right: true}, {head: h("cli.sources.failing"), right: true}, {head: h("workverb.head.department")}}
	if !slices.ContainsFunc(list, func(s advise.Source) bool { return s.Department != "" }) {
		cols, rows = without(cols, rows, len(cols)-1)
	}
	table(e.Out, e.width(), cols, rows)
	e.printQuestions(list)
}

// sureness is the probability of a source's class, or who said so.
func (e *Env) sureness(s advise.Source) string {
	switch {
	case s.Word != nil && s.Word.Class != "":
		return e.text("cli.sources.said", nil)
	case s.Probability == 0:
		return "–"
	}
	return wholePercent(s.Probability)
}

// wholePercent writes a probability without more digits than it deserves.
func wholePercent(p float64) string {
	switch {
	case p > 0.99 && p < 1:
		return ">99%"
	case p > 0 && p < 0.01:
		return "<1%"
	}
	return fmt.Sprintf("%.0f%%", p*100)
}

// printQuestions asks what would settle doubtful sources.
func (e *Env) printQuestions(list []advise.Source) {
	some := false
	for _, s := range list {
		if s.Question == nil {
			continue
		}
		if !some {
			fmt.Fprintln(e.Out)
			wrap(e.Out, e.width(), "", e.text("cli.advise.questions", nil))
		}
		some = true
		lead := "  " + s.ID + "  "
		if uniseg.StringWidth(lead) > 20 {
			lead = "  - "
		}
		wrap(e.Out, e.width(), lead, e.shownName(s, "")+": "+e.Lang.Step(*s.Question))
	}
}

// newSourceSay makes the verbs that say whose a source is: "confirm", "deny"
// and "forget".
func newSourceSay(e *Env, verb string) *cobra.Command {
	var asJSON bool
	var as, note string
	cmd := &cobra.Command{Use: verb + " DOMAIN SOURCE", Args: cobra.ExactArgs(2)}
	switch verb {
	case "confirm":
		cmd.Short, cmd.Long = e.text("workverb.source.confirm.short", nil), e.prose("workverb.source.confirm.long")
		cmd.Example = "  sekimori source confirm example.jp okuru.example\n  sekimori source confirm example.jp univ.example --as forwarder --by tanaka"
		cmd.Flags().StringVar(&as, "as", "aligned", e.text("workverb.source.as", nil))
		_ = cmd.RegisterFlagCompletionFunc("as", words("aligned", "forwarder"))
	case "deny":
		cmd.Short, cmd.Long = e.text("workverb.source.deny.short", nil), e.prose("workverb.source.deny.long")
		cmd.Example = "  sekimori source deny example.jp 3f9a61c0\n  sekimori source deny example.jp bulk.example --note \"nobody hired them\""
		as = string(advise.Spoof)
	case "forget":
		cmd.Short, cmd.Long = e.text("workverb.source.forget.short", nil), e.prose("workverb.source.forget.long")
		cmd.Example = "  sekimori source forget example.jp okuru.example"
	}
	data := dataFlag(cmd, e)
	names := addDNSFlags(cmd, e)
	known := addSiteFlags(cmd, e)
	cmd.Flags().StringVar(&note, "note", "", e.text("workverb.flag.note", nil))
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	by := byFlag(cmd, e)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		it := takeDomain(args[0])
		if it.err != nil {
			return usage(it.err)
		}
		if verb == "confirm" && as != string(advise.Aligned) && as != string(advise.Forwarder) {
			return usage(fmt.Errorf("--as %s: want aligned (it sends for us) or forwarder (it passes our mail on)", quote(as)))
		}
		w := &sourceWork{e, names, known, it.name}
		return e.withStore(cmd.Context(), *data, false, func(st *store.Store) error {
			return w.say(cmd, st, args[1], asJSON, func(s *saidSource) (string, error) {
				if verb == "forget" {
					if !s.Before {
						return "", errors.New("nothing was said about this source")
					}
					s.Saying.Class, s.Saying.Name, s.Saying.Note = "", "", note
					return "workverb.source.forgotten", nil
				}
				s.Saying.Class = as
				if cmd.Flags().Changed("note") {
					s.Saying.Note = note
				}
				return "workverb.source.said." + as, nil
			}, by())
		})
	}
	return cmd
}

func newSourceName(e *Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "name DOMAIN SOURCE NAME",
		Short:   e.text("workverb.source.name.short", nil),
		Long:    e.prose("workverb.source.name.long"),
		Example: "  sekimori source name example.jp okuru.example 市政だより\n  sekimori source name example.jp okuru.example \"\"",
		Args:    cobra.ExactArgs(3),
	}
	data := dataFlag(cmd, e)
	names := addDNSFlags(cmd, e)
	known := addSiteFlags(cmd, e)
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	by := byFlag(cmd, e)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		it := takeDomain(args[0])
		if it.err != nil {
			return usageError{it.err, cmd.CommandPath()}
		}
		w := &sourceWork{e, names, known, it.name}
		return e.withStore(cmd.Context(), *data, false, func(st *store.Store) error {
			return w.say(cmd, st, args[1], asJSON, func(s *saidSource) (string, error) {
				s.Saying.Name = strings.TrimSpace(args[2])
				if s.Saying.Name == "" {
					return "workverb.source.unnamed", nil
				}
				return "workverb.source.named", nil
			}, by())
		})
	}
	return cmd
}

// say keeps a word about a source, as edit makes it from the one before.
func (w *sourceWork) say(cmd *cobra.Command, st *store.Store, word string, asJSON bool, edit func(*saidSource) (code string, err error), by string) error {
	usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
	e := w.e
	if err := e.reported(cmd.Context(), st, item{name: w.name}); err != nil {
		return err
	}
	s, err := w.find(cmd.Context(), st, word)
	if err != nil {
		return usage(err)
	}
	code, err := edit(s)
	if err != nil {
		return usage(err)
	}
	s.Saying.ID, s.Saying.By, s.Saying.At = 0, by, e.now().UTC()
	kept, err := st.PutSaying(cmd.Context(), s.Saying)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(e.Out, kept)
	}
	wrap(e.Out, e.width(), "", e.text(code, explain.Args{"source": e.sourceName(s.Source), "domain": w.name.Unicode(), "name": kept.Name, "by": by}))
	return nil
}
