package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sekimori/dns"
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/locale"
	"sekimori/internal/repair"
	"sekimori/internal/reporter"
	"sekimori/internal/store"
	"sekimori/internal/watch"
)

// smtpWay hands the mails of the watch to the site's mail server.
type smtpWay struct{ m *reporter.Mailer }

// Send implements watch.Mailer.
func (s smtpWay) Send(ctx context.Context, from string, to []string, message []byte) error {
	err := s.m.Send(ctx, reporter.Mail{From: from, To: to, Size: int64(len(message)), Write: func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(message))
		return err
	}})
	var refused *reporter.MailError
	if errors.As(err, &refused) && refused.Lasting {
		return fmt.Errorf("%w: %w", watch.ErrRefused, err)
	}
	return err
}

// watcher watches domains as the site is configured.
func (s *site) watcher(e *Env, st *store.Store, resolver dns.Resolver, manager *repair.Manager, tell func(watch.Event)) (*watch.Watcher, error) {
	c := watch.Config{Store: st, Resolver: resolver, Now: e.now, Tell: tell, URL: s.config.Alerts.URL,
		Say: func(lang string, step explain.Step) string {
			l, _ := locale.Parse(lang)
			return l.Step(step)
		}}
	alerts := s.config.Alerts
	if alerts.From == "" && len(alerts.Mail) > 0 {
		alerts.From = alerts.Mail[0]
	}
	if alerts.From != "" {
		host := alerts.SMTP
		if host == "" {
			host = s.config.Reports.SMTP
		}
		_, helo, _ := strings.Cut(alerts.From, "@")
		c.Mailer, c.From, c.To = smtpWay{&reporter.Mailer{Address: host, Helo: helo, TLS: s.config.Reports.TLS}}, alerts.From, alerts.Mail
	}
	if alerts.Webhook != "" {
		secret, err := e.secret(alerts.Secret)
		if err != nil {
			return nil, fmt.Errorf("alerts.secret: %w", err)
		}
		c.Webhook = &watch.Webhook{URL: alerts.Webhook, Secret: secret}
	}
	if s.config.Reminders {
		c.Reminders = manager
	}
	return watch.New(c)
}

func newWatch(e *Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "watch [DOMAIN…]",
		Short:   e.text("workverb.watch.short", nil),
		Long:    e.prose("workverb.watch.long"),
		Example: "  sekimori watch\n  sekimori watch example.jp\n  sekimori watch --config /etc/sekimori/sekimori.yaml --json",
		Args:    cobra.ArbitraryArgs,
	}
	w := addFixFlags(cmd, e)
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		items := make([]item, 0, len(args))
		for _, a := range args {
			it := takeDomain(a)
			if it.err != nil {
				return usageError{it.err, cmd.CommandPath()}
			}
			items = append(items, it)
		}
		return e.withStore(ctx, *w.data, false, func(st *store.Store) error {
			resolver, err := w.names.open(e)
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			s, closeSite, err := w.known.open(e)
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			defer closeSite()
			watcher, err := s.watcher(e, st, resolver, s.manager(st, nil, resolver, e.now), nil)
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			reports := []watch.Report{}
			take := func(r watch.Report) error {
				reports = append(reports, r)
				if !asJSON {
					e.printLook(r)
				}
				return nil
			}
			if len(items) == 0 {
				if err := watcher.LookAll(ctx, true, take); err != nil {
					return temporary(err)
				}
			}
			for _, it := range items {
				r, err := watcher.Look(ctx, it.name)
				if err != nil {
					return temporary(err)
				}
				if err := take(r); err != nil {
					return err
				}
			}
			if !e.serving { // serve reminds and delivers by itself
				if s.config.Reminders {
					if err := watcher.Remind(ctx); err != nil {
						return temporary(err)
					}
				}
				if _, err := watcher.Deliver(ctx); err != nil {
					return temporary(err)
				}
			}
			if asJSON {
				if err := writeJSON(e.Out, struct {
					Looks []watch.Report `json:"looks"`
				}{reports}); err != nil {
					return err
				}
			} else if len(reports) == 0 {
				wrap(e.Out, e.width(), "", e.text("workverb.watch.nothing", nil))
			}
			for _, r := range reports {
				if r.Asked > 0 && len(r.Silent) == r.Asked {
					return statusError{status: StatusTemporary}
				}
			}
			return nil
		})
	}
	return cmd
}

// printLook says what one look at a domain found.
func (e *Env) printLook(r watch.Report) {
	code := "workverb.watch.same"
	switch {
	case r.First:
		code = "workverb.watch.first"
	case len(r.Changes) > 0:
		code = "workverb.watch.changed"
	}
	wrap(e.Out, e.width(), "", e.text(code, explain.Args{"domain": r.Domain, "asked": int64(r.Asked), "changes": int64(len(r.Changes))}))
	for _, c := range r.Changes {
		wrap(e.Out, e.width(), "  - ", e.Lang.Step(c.Step))
	}
	for _, s := range r.Silent {
		wrap(e.Out, e.width(), "  ? ", e.Lang.Step(s))
	}
}

func newTimeline(e *Env) *cobra.Command {
	var asJSON bool
	var since string
	cmd := &cobra.Command{
		Use:     "timeline DOMAIN",
		Short:   e.text("workverb.timeline.short", nil),
		Long:    e.prose("workverb.timeline.long"),
		Example: "  sekimori timeline example.jp\n  sekimori timeline example.jp --since 2026-01-01 --json",
		Args:    cobra.ExactArgs(1),
	}
	w := addFixFlags(cmd, e)
	cmd.Flags().StringVar(&since, "since", "", e.text("workverb.timeline.since", nil))
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		it := takeDomain(args[0])
		if it.err != nil {
			return usage(it.err)
		}
		from := e.now().UTC().AddDate(-1, 0, 0)
		if since != "" {
			var d store.Day
			if err := d.UnmarshalText([]byte(since)); err != nil {
				return usage(fmt.Errorf("--since: %w", err))
			}
			from = d.Time()
		}
		return w.with(ctx, func(st *store.Store, advisor *advise.Advisor, _ *repair.Manager) error {
			if err := classed(ctx, st, advisor, it); err != nil {
				return err
			}
			watcher, err := watch.New(watch.Config{Store: st, Now: e.now})
			if err != nil {
				return err
			}
			entries, err := watcher.Timeline(ctx, it.name, from)
			if err != nil {
				return err
			}
			if entries == nil {
				entries = []watch.Entry{}
			}
			if asJSON {
				return writeJSON(e.Out, struct {
					Domain  string        `json:"domain"`
					Since   time.Time     `json:"since"`
					Entries []watch.Entry `json:"entries"`
				}{it.name.String(), from, entries})
			}
			if len(entries) == 0 {
				wrap(e.Out, e.width(), "", e.text("workverb.timeline.none", explain.Args{"domain": it.name.Unicode(), "since": from.Format(time.DateOnly)}))
			}
			for _, en := range entries {
				text := e.Lang.Step(en.Step)
				if en.By != "" {
					text = e.text("workverb.timeline.by", explain.Args{"text": text, "by": en.By})
				}
				wrap(e.Out, e.width(), en.At.UTC().Format(time.DateOnly)+"  ", text)
			}
			return nil
		})
	}
	return cmd
}
