package cli

import (
	"context"
	"fmt"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/repair"
	"sekimori/internal/store"
	"sekimori/internal/web/access"
)

func newDepartment(e *Env) *cobra.Command {
	return e.group(&cobra.Command{
		Use:   "department",
		Short: e.text("workverb.department.short", nil),
		Long:  e.prose("workverb.department.long"),
		Example: "  sekimori department add 観光課 --contact kanko@example.jp\n  sekimori department assign 観光課 example.jp --source okuru.example\n" +
			"  sekimori department share 観光課 --days 30",
	}, newDepartmentList(e), newDepartmentAdd(e), newDepartmentRemove(e), newDepartmentAssign(e), newDepartmentShare(e), newDepartmentRevoke(e))
}

// department finds a department by its name, whatever the case, or by its
// number. The zero Department is for "".
func department(ctx context.Context, st *store.Store, name string) (store.Department, error) {
	if name == "" {
		return store.Department{}, nil
	}
	all, err := st.Departments(ctx)
	if err != nil {
		return store.Department{}, err
	}
	var names []string
	for _, d := range all {
		if strings.EqualFold(d.Name, name) || strconv.FormatInt(d.ID, 10) == name {
			return d, nil
		}
		names = append(names, quote(d.Name))
	}
	if len(names) == 0 {
		return store.Department{}, fmt.Errorf("no department %s: there is none yet; add one with \"sekimori department add NAME\"", quote(name))
	}
	if len(names) > 20 {
		names = append(names[:20], "…")
	}
	return store.Department{}, fmt.Errorf("no department %s: there is %s", quote(name), strings.Join(names, ", "))
}

// departmentFlag adds --department.
func departmentFlag(cmd *cobra.Command, e *Env) *string {
	return cmd.Flags().String("department", "", e.text("workverb.flag.department", nil))
}

// departmentLine is a department in the list of them.
type departmentLine struct {
	store.Department
	Assigned []store.Assignment `json:"assigned"`
	Cases    int64              `json:"open_cases"`
	Shares   []store.Share      `json:"shares"`
}

// openStates are those of work that is not done.
var openStates = []store.CaseState{store.CaseFound, store.CaseContacted, store.CaseRepair, store.CaseWaiting}

func newDepartmentList(e *Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   e.text("workverb.department.list.short", nil),
		Long:    e.prose("workverb.department.list.long"),
		Example: "  sekimori department list\n  sekimori department list --json",
		Args:    cobra.NoArgs,
	}
	data := dataFlag(cmd, e)
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		return e.withStore(ctx, *data, false, func(st *store.Store) error {
			lines, err := departmentLines(ctx, st)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(e.Out, struct {
					Departments []departmentLine `json:"departments"`
				}{lines})
			}
			e.printDepartments(lines)
			return nil
		})
	}
	return cmd
}

func departmentLines(ctx context.Context, st *store.Store) ([]departmentLine, error) {
	all, err := st.Departments(ctx)
	if err != nil {
		return nil, err
	}
	assigned, err := st.Assignments(ctx, "")
	if err != nil {
		return nil, err
	}
	lines := []departmentLine{}
	for _, d := range all {
		l := departmentLine{Department: d, Assigned: []store.Assignment{}}
		for _, a := range assigned {
			if a.Department == d.ID {
				l.Assigned = append(l.Assigned, a)
			}
		}
		if _, l.Cases, err = st.Cases(ctx, store.CaseFilter{Department: d.ID, States: openStates}, store.Page{Limit: 1}); err != nil {
			return nil, err
		}
		if l.Shares, err = st.Shares(ctx, d.ID); err != nil {
			return nil, err
		}
		if l.Shares == nil {
			l.Shares = []store.Share{}
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func (e *Env) printDepartments(lines []departmentLine) {
	if len(lines) == 0 {
		wrap(e.Out, e.width(), "", e.text("workverb.department.none", nil))
		return
	}
	rows := make([][]string, 0, len(lines))
	now := e.now()
	for _, l := range lines {
		good := 0
		for _, s := range l.Shares {
			if s.Revoked.IsZero() && s.Expires.After(now) {
				good++
			}
		}
		rows = append(rows, []string{strconv.FormatInt(l.ID, 10), l.Name, l.Contact, e.Lang.Int(int64(len(l.Assigned))), e.Lang.Int(l.Cases), e.Lang.Int(int64(good))})
	}
	h := func(code string) string { return e.text(code, nil) }
	table(e.Out, e.width(), []column{{head: h("workverb.head.id"), right: true}, {head: h("workverb.head.department"), grow: true}, {head: h("workverb.head.contact"), grow: true},
		{head: h("workverb.head.assigned"), right: true}, {head: h("workverb.head.open"), right: true}, {head: h("workverb.head.links"), right: true}}, rows)
}

func newDepartmentAdd(e *Env) *cobra.Command {
	var asJSON bool
	var contact, note string
	cmd := &cobra.Command{
		Use:     "add NAME",
		Short:   e.text("workverb.department.add.short", nil),
		Long:    e.prose("workverb.department.add.long"),
		Example: "  sekimori department add 観光課 --contact kanko@example.jp\n  sekimori department add Tourism --note \"newsletters\"",
		Args:    cobra.ExactArgs(1),
	}
	data := dataFlag(cmd, e)
	cmd.Flags().StringVar(&contact, "contact", "", e.text("workverb.department.contact", nil))
	cmd.Flags().StringVar(&note, "note", "", e.text("workverb.flag.note", nil))
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		name := strings.TrimSpace(args[0])
		if name == "" {
			return usage(fmt.Errorf("a department needs a name"))
		}
		if contact != "" {
			a, err := mail.ParseAddress(contact)
			if err != nil {
				return usage(fmt.Errorf("--contact %s: want a mail address, such as kanko@example.jp", quote(contact)))
			}
			contact = a.Address
		}
		return e.withStore(cmd.Context(), *data, true, func(st *store.Store) error {
			d := store.Department{Name: name, Contact: contact, Note: note}
			code := "workverb.department.added"
			all, err := st.Departments(cmd.Context())
			if err != nil {
				return err
			}
			if i := slices.IndexFunc(all, func(d store.Department) bool { return strings.EqualFold(d.Name, name) }); i >= 0 {
				code = "workverb.department.changed"
				d = all[i]
				d.Name = name
				if cmd.Flags().Changed("contact") {
					d.Contact = contact
				}
				if cmd.Flags().Changed("note") {
					d.Note = note
				}
			}
			if d, err = st.PutDepartment(cmd.Context(), d); err != nil {
				return err
			}
			if asJSON {
				return writeJSON(e.Out, d)
			}
			wrap(e.Out, e.width(), "", e.text(code, explain.Args{"name": d.Name}))
			return nil
		})
	}
	return cmd
}

func newDepartmentRemove(e *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "remove NAME",
		Short:   e.text("workverb.department.remove.short", nil),
		Long:    e.prose("workverb.department.remove.long"),
		Example: "  sekimori department remove 観光課",
		Args:    cobra.ExactArgs(1),
	}
	data := dataFlag(cmd, e)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return e.withStore(cmd.Context(), *data, false, func(st *store.Store) error {
			d, err := department(cmd.Context(), st, args[0])
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			if err := st.RemoveDepartment(cmd.Context(), d.ID); err != nil {
				return err
			}
			wrap(e.Out, e.width(), "", e.text("workverb.department.removed", explain.Args{"name": d.Name}))
			return nil
		})
	}
	return cmd
}

func newDepartmentAssign(e *Env) *cobra.Command {
	var subdomain, source string
	var remove bool
	cmd := &cobra.Command{
		Use:   "assign NAME DOMAIN",
		Short: e.text("workverb.department.assign.short", nil),
		Long:  e.prose("workverb.department.assign.long"),
		Example: "  sekimori department assign 観光課 example.jp --subdomain event.example.jp\n  sekimori department assign 観光課 example.jp --source okuru.example\n" +
			"  sekimori department assign 観光課 example.jp --remove",
		Args: cobra.ExactArgs(2),
	}
	data := dataFlag(cmd, e)
	names := addDNSFlags(cmd, e)
	known := addSiteFlags(cmd, e)
	cmd.Flags().StringVar(&subdomain, "subdomain", "", e.text("workverb.department.subdomain", nil))
	cmd.Flags().StringVar(&source, "source", "", e.text("workverb.department.source", nil))
	cmd.MarkFlagsMutuallyExclusive("subdomain", "source")
	cmd.Flags().BoolVar(&remove, "remove", false, e.text("workverb.department.unassign", nil))
	by := byFlag(cmd, e)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		it := takeDomain(args[1])
		if it.err != nil {
			return usage(it.err)
		}
		a := store.Assignment{Domain: it.name.String(), By: by(), At: e.now().UTC()}
		if subdomain != "" {
			sub, err := domain.Parse(subdomain)
			if err != nil {
				return usage(fmt.Errorf("--subdomain: %w", err))
			}
			if a.Subdomain = sub.String(); !strings.HasSuffix(a.Subdomain, "."+a.Domain) {
				return usage(fmt.Errorf("--subdomain: %s is not below %s", a.Subdomain, a.Domain))
			}
		}
		w := &sourceWork{e: e, names: names, known: known, name: it.name}
		return e.withStore(cmd.Context(), *data, false, func(st *store.Store) error {
			d, err := department(cmd.Context(), st, args[0])
			if err != nil {
				return usage(err)
			}
			what := readableName(it.name)
			if subdomain != "" {
				what = a.Subdomain
			}
			if source != "" {
				if err := e.reported(cmd.Context(), st, it); err != nil {
					return err
				}
				s, err := w.find(cmd.Context(), st, source)
				if err != nil {
					return usage(err)
				}
				a.Key, what = s.Key, e.shownName(s.Source, s.Said)
			}
			code := "workverb.department.unassigned"
			if !remove {
				a.Department, code = d.ID, "workverb.department.assigned"
			}
			if err := st.Assign(cmd.Context(), a); err != nil {
				return err
			}
			if err := repair.New(repair.Config{Store: st, Now: e.now}).Reassign(cmd.Context(), a.Domain); err != nil {
				return err
			}
			wrap(e.Out, e.width(), "", e.text(code, explain.Args{"what": what, "name": d.Name}))
			return nil
		})
	}
	return cmd
}

// readableName is a domain as people write it.
func readableName(n domain.Name) string { return n.Unicode() }

func newDepartmentShare(e *Env) *cobra.Command {
	var asJSON bool
	var days int
	cmd := &cobra.Command{
		Use:     "share NAME",
		Short:   e.text("workverb.department.share.short", nil),
		Long:    e.prose("workverb.department.share.long"),
		Example: "  sekimori department share 観光課\n  sekimori department share 観光課 --days 7 --config /etc/sekimori/sekimori.yaml",
		Args:    cobra.ExactArgs(1),
	}
	data := dataFlag(cmd, e)
	known := addConfigFlag(cmd, e)
	cmd.Flags().IntVar(&days, "days", 30, e.text("workverb.department.days", nil))
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	by := byFlag(cmd, e)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		if days < 1 || days > 366 {
			return usage(fmt.Errorf("--days %d: want 1 to 366", days))
		}
		return e.withStore(cmd.Context(), *data, false, func(st *store.Store) error {
			s, closeSite, err := known.open(e)
			if err != nil {
				return usage(err)
			}
			defer closeSite()
			d, err := department(cmd.Context(), st, args[0])
			if err != nil {
				return usage(err)
			}
			token, hash := access.NewToken()
			now := e.now().UTC()
			share, err := st.PutShare(cmd.Context(), store.Share{Department: d.ID, Hash: hash, Created: now, Expires: now.AddDate(0, 0, days), By: by()})
			if err != nil {
				return err
			}
			link := s.config.Alerts.URL + "/d/" + token
			if asJSON {
				return writeJSON(e.Out, struct {
					store.Share
					Link string `json:"link"`
				}{share, link})
			}
			fmt.Fprintln(e.Out, link)
			wrap(e.Err, e.width(), "", e.text("workverb.department.shared", explain.Args{"name": d.Name, "until": share.Expires.Format(time.DateOnly), "id": share.ID}))
			if s.config.Alerts.URL == "" {
				wrap(e.Err, e.width(), "", e.text("workverb.department.no-url", nil))
			}
			return nil
		})
	}
	return cmd
}

func newDepartmentRevoke(e *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "revoke NAME [LINK]",
		Short:   e.text("workverb.department.revoke.short", nil),
		Long:    e.prose("workverb.department.revoke.long"),
		Example: "  sekimori department revoke 観光課\n  sekimori department revoke 観光課 3",
		Args:    cobra.RangeArgs(1, 2),
	}
	data := dataFlag(cmd, e)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		return e.withStore(ctx, *data, false, func(st *store.Store) error {
			d, err := department(ctx, st, args[0])
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			all, err := st.Shares(ctx, d.ID)
			if err != nil {
				return err
			}
			n, now := 0, e.now().UTC()
			for _, s := range all {
				if !s.Revoked.IsZero() || len(args) == 2 && strconv.FormatInt(s.ID, 10) != args[1] {
					continue
				}
				s.Revoked = now
				if _, err := st.PutShare(ctx, s); err != nil {
					return err
				}
				n++
			}
			if n == 0 && len(args) == 2 {
				return usageError{fmt.Errorf("%s has no link %s that is good: \"sekimori department list --json\" lists them with their numbers", quote(d.Name), quote(args[1])), cmd.CommandPath()}
			}
			wrap(e.Out, e.width(), "", e.text("workverb.department.revoked", explain.Args{"name": d.Name, "n": int64(n)}))
			return nil
		})
	}
	return cmd
}
