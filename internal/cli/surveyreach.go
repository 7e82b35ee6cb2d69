package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sekimori/explain"
	"sekimori/internal/posture"
	"sekimori/internal/probe"
	"sekimori/rpki"
)

// reachFlags are what a survey looks at beyond the DNS and HTTPS: routes, and
// the mail servers themselves.
type reachFlags struct {
	starttls           bool
	helo, vrps, routes string
}

// mailTimeout is for one domain where its mail hosts are spoken to.
const mailTimeout = 75 * time.Second

func addReachFlags(cmd *cobra.Command, e *Env) *reachFlags {
	f := &reachFlags{}
	cmd.Flags().BoolVar(&f.starttls, "starttls", false, e.text("cli.survey.flag.starttls", nil))
	cmd.Flags().StringVar(&f.helo, "helo", "", e.text("cli.survey.flag.helo", nil))
	cmd.Flags().StringVar(&f.vrps, "vrps", "", e.text("cli.survey.flag.vrps", nil))
	cmd.Flags().StringVar(&f.routes, "routes", "", e.text("cli.survey.flag.routes", nil))
	_ = cmd.MarkFlagFilename("routes")
	cmd.MarkFlagsRequiredTogether("vrps", "routes")
	return f
}

// open fills in what options need. A full table takes up to a minute to read.
func (f *reachFlags) open(ctx context.Context, e *Env, o *posture.Options, usage func(error) error) error {
	if f.helo != "" && !f.starttls {
		return usage(errors.New("--helo is for --starttls"))
	}
	if f.starttls {
		o.SMTP, o.Timeout = &probe.SMTP{Helo: f.helo}, mailTimeout
	}
	if f.vrps == "" {
		return nil
	}
	fault := func(flag string, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, os.ErrNotExist), !strings.HasPrefix(f.vrps, "rtr://"), flag == "--routes":
			return usage(fmt.Errorf("%s: %w", flag, err))
		}
		return temporary(fmt.Errorf("%s: %w", flag, err))
	}
	source := f.vrps
	if !strings.Contains(source, "://") {
		source = e.path(source)
	}
	vrps, made, err := probe.LoadVRPs(ctx, source)
	if err != nil {
		return fault("--vrps", err)
	}
	routes, seen, err := probe.LoadRoutes(ctx, e.path(f.routes), 0)
	if err != nil {
		return fault("--routes", err)
	}
	o.Routes = rpki.Table{VRPs: vrps, Routes: routes}
	wrap(e.Err, e.width(), "", e.text("cli.survey.reach", explain.Args{"vrps": int64(vrps.Len()), "routes": int64(routes.Len()), "skipped": int64(made.Skipped + seen.Skipped)}))
	const day = 24 * time.Hour
	if apart := made.Time.Sub(seen.Time).Abs(); !made.Time.IsZero() && !seen.Time.IsZero() && apart > day {
		wrap(e.Err, e.width(), "", e.text("cli.survey.reach_apart", explain.Args{"days": int64(apart / day)}))
	}
	return nil
}

// looks is what a survey looks at, as part of what makes it the same one.
func looks(o *posture.Options) string {
	s := ""
	for _, x := range []struct {
		on   bool
		name string
	}{{o.Fetch != nil, "https"}, {o.SMTP != nil, "starttls"}, {o.Routes != nil, "rpki"}} {
		if x.on {
			s += "+" + x.name
		}
	}
	return s
}
