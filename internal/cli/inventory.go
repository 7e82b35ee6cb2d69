package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"sekimori/explain"
	"sekimori/internal/inventory"
	"sekimori/internal/store"
)

func newInventory(e *Env) *cobra.Command {
	var asJSON, offline, advised bool
	var certificates, zones, lists []string
	var state string
	var limit int
	cmd := &cobra.Command{
		Use:   "inventory DOMAIN",
		Short: e.text("workverb.inventory.short", nil),
		Long:  e.prose("workverb.inventory.long"),
		Example: "  sekimori inventory example.jp\n  sekimori inventory example.jp --certificates crt.json --zone-file zone.txt\n" +
			"  sekimori inventory example.jp --state silent --json",
		Args: cobra.ExactArgs(1),
	}
	data := dataFlag(cmd, e)
	names := addDNSFlags(cmd, e)
	known := addSiteFlags(cmd, e)
	cmd.Flags().StringArrayVar(&certificates, "certificates", nil, e.text("workverb.inventory.certificates", nil))
	_ = cmd.MarkFlagFilename("certificates", "json", "csv", "txt")
	cmd.Flags().StringArrayVar(&zones, "zone-file", nil, e.text("workverb.inventory.zone-file", nil))
	_ = cmd.MarkFlagFilename("zone-file")
	cmd.Flags().StringArrayVar(&lists, "list", nil, e.text("workverb.inventory.list", nil))
	_ = cmd.MarkFlagFilename("list", "csv", "txt")
	cmd.Flags().StringVar(&state, "state", "", e.text("workverb.inventory.state", nil))
	_ = cmd.RegisterFlagCompletionFunc("state", words("sends", "receives", "silent", "absent", "unknown"))
	cmd.Flags().BoolVar(&advised, "records", false, e.text("workverb.inventory.records", nil))
	cmd.Flags().BoolVar(&offline, "offline", false, e.text("workverb.inventory.offline", nil))
	cmd.Flags().IntVar(&limit, "limit", 100, e.text("workverb.inventory.limit", nil))
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		it := takeDomain(args[0])
		if it.err != nil {
			return usage(it.err)
		}
		q := inventory.Query{State: inventory.State(state), Advice: advised, Limit: limit}
		if state != "" && !slices.Contains(inventory.States[:], q.State) {
			return usage(fmt.Errorf("--state %s: want sends, receives, silent, absent or unknown", quote(state)))
		}
		if limit < 0 {
			return usage(fmt.Errorf("--limit %d: want 0 (all) or more", limit))
		}
		if limit == 0 || asJSON && !cmd.Flags().Changed("limit") {
			q.Limit = -1
		}
		c := inventory.Config{Now: e.now}
		if !offline {
			resolver, err := names.open(e)
			if err != nil {
				return usage(err)
			}
			c.Resolver = resolver
		}
		s, closeSite, err := known.open(e)
		if err != nil {
			return usage(err)
		}
		defer closeSite()
		return e.withStore(ctx, *data, len(certificates)+len(zones)+len(lists) > 0, func(st *store.Store) error {
			c.Store = st
			read := []inventory.Summary{}
			for _, files := range [][]string{certificates, zones, lists} {
				for _, name := range files {
					s, err := e.loadNames(ctx, st, it, name)
					if err != nil {
						return usage(err)
					}
					read = append(read, s)
				}
			}
			if c.Resolver != nil {
				if err := e.askNames(ctx, c, it); err != nil {
					return temporary(err)
				}
				// Without the DNS sources are told apart less well: they stay as they are.
				advisor := s.advisor(st, c.Resolver, names.mark(e), e.now)
				defer advisor.Close()
				if err := classed(ctx, st, advisor, it); err != nil {
					return err
				}
			}
			inv, err := inventory.Take(ctx, c, it.name, q)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(e.Out, struct {
					*inventory.Inventory
					Read []inventory.Summary `json:"read"`
				}{inv, read})
			}
			e.printInventory(inv, it.name.Unicode(), read)
			return nil
		})
	}
	return cmd
}

// loadNames reads one file of names; "-" is the standard input.
func (e *Env) loadNames(ctx context.Context, st *store.Store, it item, name string) (inventory.Summary, error) {
	if name == "-" {
		return inventory.Load(ctx, st, it.name, "-", e.In, e.now())
	}
	f, err := os.Open(e.path(name))
	if err != nil {
		return inventory.Summary{}, fmt.Errorf("names: %w", err)
	}
	defer f.Close()
	if i, err := f.Stat(); err == nil && i.IsDir() {
		return inventory.Summary{}, fmt.Errorf("names: %s is a folder: give the path of a file", name)
	}
	return inventory.Load(ctx, st, it.name, name, f, e.now())
}

// askNames asks the DNS about what is not known yet, and says how far it is
// where a person looks on.
func (e *Env) askNames(ctx context.Context, c inventory.Config, it item) error {
	last := time.Time{}
	if e.Terminal {
		c.Tell = func(a inventory.Asked) {
			if now := time.Now(); now.Sub(last) > 200*time.Millisecond {
				last = now
				fmt.Fprintf(e.Err, "\r%s\x1b[K", e.text("workverb.inventory.asking", explain.Args{"names": a.Names, "left": a.Left}))
			}
		}
	}
	a, err := inventory.Ask(ctx, c, it.name)
	if !last.IsZero() {
		fmt.Fprint(e.Err, "\r\x1b[K")
	}
	if err != nil && !errors.Is(err, inventory.ErrOffline) {
		return err
	}
	if a.NoAnswer {
		wrap(e.Err, e.width(), "", e.text("workverb.inventory.no-answer", nil))
	}
	return nil
}

func (e *Env) printInventory(inv *inventory.Inventory, name string, read []inventory.Summary) {
	w, width := e.Out, e.width()
	for _, s := range read {
		wrap(w, width, "", e.text("workverb.inventory.read", explain.Args{"file": s.File, "names": s.Names, "added": s.Added, "outside": s.Outside, "invalid": s.Invalid}))
	}
	if len(read) > 0 {
		fmt.Fprintln(w)
	}
	wrap(w, width, "", e.text("workverb.inventory.title", explain.Args{"domain": name, "names": inv.Total}))
	for _, s := range inventory.States {
		if n := inv.Counts[s]; n > 0 {
			fmt.Fprintf(w, "  %s\n", e.text("workverb.inventory.count", explain.Args{"state": string(s), "n": n}))
		}
	}
	if n := inv.None; n != nil {
		code := "workverb.inventory.none-clock"
		if n.Overdue {
			code = "workverb.inventory.none-overdue"
		}
		wrap(w, width, "", e.text(code, explain.Args{"since": n.Since.String(), "days": int64(n.Days), "left": int64(n.Left)}))
	}
	if len(inv.Names) > 0 {
		fmt.Fprintln(w)
		rows := make([][]string, 0, len(inv.Names))
		for _, n := range inv.Names {
			records := "–"
			if len(n.Advice) > 0 {
				records = e.Lang.Int(int64(len(n.Advice)))
			}
			rows = append(rows, []string{e.text("workverb.inventory.state."+string(n.State), nil), n.Name, e.Lang.Uint(n.Messages), e.Lang.Uint(n.Failing), n.Policy, records})
		}
		h := func(code string) string { return e.text(code, nil) }
		cols := []column{{head: h("workverb.head.state")}, {head: h("workverb.head.name"), grow: true}, {head: h("cli.sources.messages"), right: true},
			{head: h("cli.sources.failing"), right: true}, {head: h("workverb.head.policy")}, {head: h("workverb.head.records"), right: true}}
		if !slices.ContainsFunc(inv.Names, func(n inventory.Name) bool { return len(n.Advice) > 0 }) {
			cols, rows = without(cols, rows, len(cols)-1)
		}
		table(w, width, cols, rows)
		if more := inv.Matching - int64(len(inv.Names)); more > 0 {
			fmt.Fprintln(w, e.text("workverb.inventory.more", explain.Args{"n": more}))
		}
	}
	e.printClosing(inv)
	for _, n := range inv.Notes {
		fmt.Fprintln(w)
		wrap(w, width, "", e.text("cli.advise.note", explain.Args{"text": e.Lang.Step(n)}))
	}
}

// printClosing shows what closes the silent names: one record for all of them
// where that will do, and the first few of those of their own.
func (e *Env) printClosing(inv *inventory.Inventory) {
	w, width := e.Out, e.width()
	if p := inv.Parent; p != nil {
		fmt.Fprintln(w)
		wrap(w, width, "", e.Lang.Step(p.Record.Why))
		for _, r := range p.Reasons {
			wrap(w, width, "  - ", e.Lang.Step(r))
		}
		if p.Now != nil {
			wrap(w, width, "  ", e.Lang.Step(p.Now.Why))
			e.printZoneLine(*p.Now)
		}
		e.printZoneLine(p.Record)
	}
	const most = 3
	shown := 0
	for _, n := range inv.Names {
		if len(n.Advice) == 0 {
			continue
		}
		if shown++; shown > most {
			fmt.Fprintln(w)
			wrap(w, width, "", e.text("workverb.inventory.records-more", explain.Args{"n": inv.Advised}))
			return
		}
		fmt.Fprintln(w)
		wrap(w, width, "", e.Lang.Step(n.Advice[0].Why))
		for _, r := range n.Advice {
			e.printZoneLine(r)
		}
	}
}

func (e *Env) printZoneLine(r inventory.Record) {
	value := r.Value
	if r.Type == "TXT" {
		value = `"` + value + `"`
	}
	fmt.Fprintf(e.Out, "  %s. IN %s %s\n", r.Name, r.Type, value)
}
