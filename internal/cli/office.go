package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/internal/advise"
	"sekimori/internal/inventory"
	"sekimori/internal/publish"
	"sekimori/internal/repair"
	"sekimori/internal/store"
	"sekimori/internal/watch"
	"sekimori/internal/web/api"
)

// office carries the work of fixing on while "serve" runs.
type office struct {
	e       *Env
	manager *repair.Manager
	watcher *watch.Watcher
	names   *inventory.Asker
	list    inventory.Config
	done    map[string]string // what the work of a domain was last brought up to
}

// newOffice sets the work up as the site is configured; what cannot work is a
// mistake in the configuration.
func (e *Env) newOffice(st *store.Store, advisor *advise.Advisor, resolver dns.Resolver, log *slog.Logger) (*office, error) {
	o := &office{e: e, manager: e.site.manager(st, advisor, resolver, e.now), list: inventory.Config{Store: st, Resolver: resolver, Now: e.now, Memory: &inventory.Memory{}}, done: map[string]string{}}
	var err error
	if o.watcher, err = e.site.watcher(e, st, resolver, o.manager, func(ev watch.Event) { tellOf(log, ev) }); err != nil {
		return nil, err
	}
	o.names = inventory.NewAsker(o.list)
	return o, nil
}

// tellOf logs what the watch did.
func tellOf(log *slog.Logger, ev watch.Event) {
	switch ev.Kind {
	case watch.Looked:
		if ev.Changes > 0 || ev.Silent > 0 {
			log.Info("looked at what a domain publishes", "domain", ev.Domain, "changes", ev.Changes, "unanswered", ev.Silent)
		}
	case watch.Delivered:
		log.Info("alert delivered", "domain", ev.Domain, "alert", ev.Alert)
	case watch.Delayed:
		log.Warn("alert is tried again later", "domain", ev.Domain, "alert", ev.Alert, "error", ev.Err)
	case watch.GivenUp:
		log.Error("alert could not be delivered", "domain", ev.Domain, "alert", ev.Alert, "error", ev.Err)
	default:
		log.Error("watch", "domain", ev.Domain, "error", ev.Err)
	}
}

// follow brings the cases of every domain up to its new answer, and gives the
// alarm where a step should be taken back. A domain that has not changed since
// costs nothing.
func (o *office) follow(ctx context.Context, st *store.Store, a *advise.Advisor) error {
	names, err := st.DomainNames(ctx)
	if err != nil {
		return err
	}
	today := store.DayOf(o.e.now().UTC())
	var errs []error
	for _, n := range names {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		version := fmt.Sprintf("%d %d %d", st.DomainVersion(n), st.DomainStateVersion(n), today)
		if o.done[n] == version {
			continue
		}
		name, err := domain.Parse(n)
		if err != nil {
			continue // a report may name anything
		}
		if err := o.domain(ctx, a, name, version); err != nil && len(errs) < 10 {
			errs = append(errs, fmt.Errorf("%s: %w", n, err))
		}
	}
	return errors.Join(errs...)
}

func (o *office) domain(ctx context.Context, a *advise.Advisor, name domain.Name, version string) error {
	answer, fresh, err := a.Cached(ctx, name, advise.Question{})
	if err != nil {
		return err
	}
	changes, err := o.manager.Refresh(ctx, answer)
	if err != nil {
		return err
	}
	if err := o.watcher.Reopened(ctx, changes.Reopened); err != nil {
		return err
	}
	if err := o.watcher.Trigger(ctx, answer); err != nil {
		return err
	}
	if fresh && answer.Pending == 0 {
		o.done[name.String()] = version
	}
	return nil
}

// work is what pages and API show of it.
func (o *office) work(st *store.Store, a *advise.Advisor) *api.Work {
	month := monthlyDesk{publish.MonthlySource{Store: st, Timeline: o.watcher, Advisor: keptAnswers{a}, Now: o.e.now}}
	return &api.Work{Store: st, Repair: o.manager, Letter: publish.Letter, Timeline: o.watcher, Inventory: api.NewInventory(o.list, st, o.names), Monthly: month, Now: o.e.now}
}
