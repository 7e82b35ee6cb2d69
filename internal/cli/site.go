package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sekimori/dns"
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/config"
	"sekimori/internal/repair"
	"sekimori/internal/sources"
	"sekimori/internal/store"
	"sekimori/internal/store/verdict"
)

// site is what an installation knows beside its reports.
type site struct {
	config    config.Config
	catalogue *sources.Catalogue
	networks  *sources.Networks // nil for none
	with      string            // the files of these two, as marks of them
}

// fileMark tells a file that was changed from the one it was.
func fileMark(path string) string {
	i, err := os.Stat(path)
	if err != nil {
		return path // who opens it says what is wrong
	}
	return fmt.Sprintf("%s %d %d\n", path, i.Size(), i.ModTime().UnixNano())
}

// siteFlags are --config, --senders and --networks.
type siteFlags struct {
	config, senders string
	networks        []string
}

func addSiteFlags(cmd *cobra.Command, e *Env) *siteFlags {
	f := addConfigFlag(cmd, e)
	addKnowledgeFlags(cmd, e, f)
	return f
}

// addConfigFlag adds --config.
func addConfigFlag(cmd *cobra.Command, e *Env) *siteFlags {
	f := &siteFlags{}
	cmd.Flags().StringVar(&f.config, "config", "", e.text("workverb.flag.config", nil))
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	return f
}

// addKnowledgeFlags adds --senders and --networks.
func addKnowledgeFlags(cmd *cobra.Command, e *Env, f *siteFlags) {
	cmd.Flags().StringVar(&f.senders, "senders", "", e.text("workverb.flag.senders", nil))
	_ = cmd.MarkFlagFilename("senders", "yaml", "yml")
	cmd.Flags().StringArrayVar(&f.networks, "networks", nil, e.text("workverb.flag.networks", nil))
	_ = cmd.MarkFlagFilename("networks", "mmdb", "csv", "txt")
}

// open reads what the flags name. Without any it is what the process that owns
// the data folder was configured with. close must be called in the end.
func (f *siteFlags) open(e *Env) (s *site, close func(), err error) {
	if f.config == "" && f.senders == "" && len(f.networks) == 0 && e.site != nil {
		return e.site, func() {}, nil
	}
	c, err := e.readConfig(f.config)
	if err != nil {
		return nil, nil, err
	}
	if f.senders != "" {
		c.Advise.Senders = e.path(f.senders)
	}
	if len(f.networks) > 0 {
		c.Advise.Networks = nil
		for _, n := range f.networks {
			c.Advise.Networks = append(c.Advise.Networks, e.path(n))
		}
	}
	return openSite(c)
}

// openSite opens the files that a configuration names.
func openSite(c config.Config) (*site, func(), error) {
	s := &site{config: c, catalogue: sources.DefaultCatalogue()}
	if name := c.Advise.Senders; name != "" {
		s.with += fileMark(name)
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, fmt.Errorf("list of senders: %w", err)
		}
		own, err := sources.ParseCatalogue(name, text)
		if err != nil {
			return nil, nil, err
		}
		s.catalogue = s.catalogue.With(own)
	}
	if len(c.Advise.Networks) == 0 {
		return s, func() {}, nil
	}
	for _, name := range c.Advise.Networks {
		s.with += fileMark(name)
	}
	n, err := sources.OpenNetworks(c.Advise.Networks...)
	if err != nil {
		return nil, nil, fmt.Errorf("table of networks: %w", err)
	}
	s.networks = n
	return s, func() { n.Close() }, nil
}

// advisor answers with everything that the site knows; with names the resolver
// where it is not the system's.
func (s *site) advisor(st *store.Store, resolver dns.Resolver, with string, now func() time.Time) *advise.Advisor {
	c := advise.Config{Store: st, Resolver: resolver, Now: now, Cases: st, Catalogue: s.catalogue, Networks: s.networks, With: s.with + with}
	// Without a readable gateway, failure reports are all the other eyes there are.
	if verdicts, err := verdict.Read(filepath.Join(st.Dir(), "gateway")); err == nil {
		c.Sightings, c.Sent = sources.Sightings(st, verdicts), sources.SentBy(verdicts, st)
	}
	return advise.New(c)
}

// classed makes sure that the store has the classes of a domain's sources as of
// its newest reports: it is the advice that tells them apart.
func classed(ctx context.Context, st *store.Store, advisor *advise.Advisor, it item) error {
	if st.DomainVersion(it.name.String()) == 0 {
		return nil // no reports
	}
	_, err := advisor.Answer(ctx, it.name, advise.Question{})
	return err
}

// reported ends a verb that says something about a domain's reports where there
// are none about it, and names those that there are: a name is easily mistyped.
func (e *Env) reported(ctx context.Context, st *store.Store, it item) error {
	if st.DomainVersion(it.name.String()) != 0 {
		return nil
	}
	text := e.text("workverb.no-reports", explain.Args{"domain": it.name.Unicode()})
	names, err := st.DomainNames(ctx)
	if err != nil {
		return err
	}
	const most = 5
	if n := len(names); n > 0 {
		if n > most {
			names = append(names[:most], "…")
		}
		text += " " + e.text("workverb.no-reports.others", explain.Args{"domains": strings.Join(names, ", ")})
	}
	return statusError{StatusNegative, errors.New(text)}
}

// contact is who letters are from.
func (s *site) contact() repair.Contact {
	c := repair.Contact{Name: s.config.Letters.Name, Address: s.config.Letters.Address, URL: s.config.Alerts.URL}
	if c.Name == "" {
		c.Name = s.config.Reports.Organization
	}
	if c.Address == "" && len(s.config.Alerts.Mail) > 0 {
		c.Address = s.config.Alerts.Mail[0]
	}
	return c
}

// manager carries the work of fixing on.
func (s *site) manager(st *store.Store, advisor repair.Advisor, resolver dns.Resolver, now func() time.Time) *repair.Manager {
	return repair.New(repair.Config{Store: st, Advisor: advisor, Resolver: resolver, Catalogue: s.catalogue, Contact: s.contact(), Now: now})
}

// person is who is kept as having done something, unless --by says otherwise:
// the system's user, and behind sudo the one who called it.
func (e *Env) person() string {
	if e.User != "" {
		return e.User
	}
	if os.Getuid() == 0 {
		if name := os.Getenv("SUDO_USER"); name != "" {
			return name
		}
	}
	u, err := user.Current()
	if err != nil {
		return "?"
	}
	return u.Username
}

// byFlag adds --by.
func byFlag(cmd *cobra.Command, e *Env) func() string {
	by := cmd.Flags().String("by", "", e.text("workverb.flag.by", nil))
	return func() string {
		if s := strings.TrimSpace(*by); s != "" {
			return s
		}
		return e.person()
	}
}

// group is a verb that has verbs below it.
func (e *Env) group(cmd *cobra.Command, verbs ...*cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError{fmt.Errorf("unknown verb %q%s", args[0], suggest(cmd, args[0])), cmd.CommandPath()}
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(verbs...)
	e.asParent(cmd)
	return cmd
}
