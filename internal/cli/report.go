package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sekimori/domain"
	"sekimori/internal/reporter"
	"sekimori/report/aggregate"
)

func newReport(e *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "report",
		Short:   e.text("reportverb.short", nil),
		Long:    e.prose("reportverb.long"),
		Example: "  sekimori report preview example.jp\n  sekimori report list --open\n  sekimori report send --config sekimori.yaml",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown verb %q%s", args[0], suggest(cmd, args[0])), cmd.CommandPath()}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newReportPreview(e), newReportList(e), newReportSend(e))
	e.asParent(cmd)
	return cmd
}

// reportFlags are those of the verbs that make reports.
type reportFlags struct {
	config, form string
	data         *string
	names        *dnsFlags
}

func addReportFlags(cmd *cobra.Command, e *Env) *reportFlags {
	f := &reportFlags{}
	cmd.Flags().StringVar(&f.config, "config", "", e.text("reportverb.flag.config", nil))
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	cmd.Flags().StringVar(&f.form, "form", "", e.text("reportverb.flag.form", nil))
	f.data = dataFlag(cmd, e)
	f.names = addDNSFlags(cmd, e)
	return f
}

// gatewayFolder is the gateway's part of a data folder.
func (e *Env) gatewayFolder(data string) string { return filepath.Join(e.path(data), "gateway") }

// options are those of the reporter that the configuration asks for.
func (f *reportFlags) options(e *Env) (reporter.Options, error) {
	c, err := e.readConfig(f.config)
	if err != nil {
		return reporter.Options{}, err
	}
	o := c.Reporting()
	switch f.form {
	case "":
	case string(aggregate.RFC9990), string(aggregate.RFC7489):
		o.Form = aggregate.Form(f.form)
	default:
		return o, fmt.Errorf("--form %s: want rfc9990 or rfc7489", quote(f.form))
	}
	signer, _, err := signing(c)
	if err != nil {
		return o, err
	}
	if signer != nil {
		o.Sign = signer.Sign
	}
	if o.Resolver, err = f.names.open(e); err != nil {
		return o, err
	}
	o.Dir, o.Now, o.Letter, o.Generator = e.gatewayFolder(*f.data), e.Now, reportLetter, "Sekimori "+e.Version
	return o, nil
}

// now is the clock of the reports.
func (e *Env) now() time.Time {
	if e.Now != nil {
		return e.Now()
	}
	return time.Now()
}

// dayFlag reads the value of --day; otherwise is for none.
func dayFlag(value, otherwise string) (string, error) {
	if value == "" {
		return otherwise, nil
	}
	t, err := time.Parse(time.DateOnly, value)
	if err != nil {
		return "", fmt.Errorf("--day %s: want a day (UTC) like 2026-11-22", quote(value))
	}
	return t.Format(time.DateOnly), nil
}

func newReportPreview(e *Env) *cobra.Command {
	var asJSON bool
	var day, id string
	cmd := &cobra.Command{
		Use:   "preview DOMAIN",
		Short: e.text("reportverb.preview.short", nil),
		Long:  strings.Join([]string{e.prose("reportverb.preview.long"), e.prose("reportverb.preview.long_status")}, "\n\n"),
		Example: "  sekimori report preview example.jp\n  sekimori report preview example.jp --day 2026-11-21 > report.xml\n" +
			"  sekimori report preview example.jp --form rfc7489 --json",
		Args: cobra.ExactArgs(1),
	}
	f := addReportFlags(cmd, e)
	cmd.Flags().StringVar(&day, "day", "", e.text("reportverb.preview.day", nil))
	cmd.Flags().StringVar(&id, "id", "", e.text("reportverb.preview.id", nil))
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("reportverb.flag.json", nil))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		it := takeDomain(args[0])
		if it.err != nil {
			return usage(it.err)
		}
		today := e.now().UTC().Format(time.DateOnly)
		day, err := dayFlag(day, today)
		if err != nil {
			return usage(err)
		}
		o, err := f.options(e)
		if err != nil {
			return usage(err)
		}
		madeUp := o.Email == ""
		if madeUp {
			o.Email = "dmarc-reports@" + hostDomain()
		}
		o.Send = false
		r, err := reporter.New(o)
		if err != nil {
			return usage(err)
		}
		defer r.Close()
		all, err := r.Plan(cmd.Context(), it.name, day)
		if errors.Is(err, reporter.ErrNothing) {
			return e.nothingKnown(it.name, day)
		}
		if err != nil {
			return err
		}
		chosen := 0
		for i := range all {
			if id != "" && all[i].ReportID == id {
				chosen = i
			}
		}
		if id != "" && all[chosen].ReportID != id {
			return usage(fmt.Errorf("--id %s: no such report; there is %s", quote(id), all[0].ReportID))
		}
		v := preview{env: e, plan: &all[chosen], all: all, today: day == today, madeUp: madeUp, email: o.Email}
		if asJSON {
			return v.json(cmd.Context())
		}
		if err := all[chosen].Write(cmd.Context(), e.Out); err != nil {
			return temporary(err)
		}
		v.print()
		return nil
	}
	return cmd
}

// nothingKnown says that no mail of that day was judged by a domain's policy.
func (e *Env) nothingKnown(name domain.Name, day string) error {
	return statusError{StatusNegative, errors.New(e.text("reportverb.preview.nothing", map[string]any{"domain": name.String(), "day": day}))}
}

// hostDomain is this host's name, where it is one.
func hostDomain() string {
	host, _ := os.Hostname()
	if n, err := domain.Parse(host); err == nil {
		return n.String()
	}
	return "gateway.invalid" // RFC 2606 §2
}
