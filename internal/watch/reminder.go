package watch

import (
	"context"
	"slices"
	"strings"
	"time"

	"sekimori/explain"
	"sekimori/internal/repair"
	"sekimori/internal/store"
)

// Reminders gives the work that people are to be reminded of, and notes that
// they were; *repair.Manager has it.
type Reminders interface {
	Due(ctx context.Context, now time.Time) ([]repair.Reminder, error)
	Reminded(ctx context.Context, sent []repair.Reminder, at time.Time) error
}

// maxReminded is how many pieces of work one reminder lists.
const maxReminded = 50

// Remind enters one mail for each recipient with all that is due, once a UTC
// day. What has no address of its own goes to the site's. Without a Mailer, or
// anybody to write to, nothing is entered and nothing noted.
func (w *Watcher) Remind(ctx context.Context) error {
	if w.c.Reminders == nil || w.c.Mailer == nil {
		return nil
	}
	now := w.c.Now().UTC()
	today := store.DayOf(now).String()
	const key = "watch/reminded"
	done, _, err := w.c.Store.Setting(ctx, key)
	if err != nil || done >= today {
		return err
	}
	list, err := w.c.Reminders.Due(ctx, now)
	if err != nil {
		return err
	}
	byTo := map[string][]repair.Reminder{}
	var sent []repair.Reminder
	for _, r := range list {
		to := []string{strings.ToLower(r.To)}
		if address(r.To) != nil { // a contact may be anything that somebody typed
			to = w.c.To
		}
		for _, a := range to {
			byTo[a] = append(byTo[a], r)
		}
		if len(to) > 0 {
			sent = append(sent, r)
		}
	}
	var alerts []store.Alert
	for to, list := range byTo {
		a, err := alert(digest(list, today, now), byMail, to)
		if err != nil {
			return err
		}
		alerts = append(alerts, a)
	}
	if err := w.enter(ctx, alerts); err != nil {
		return err
	}
	if len(sent) > 0 {
		if err := w.c.Reminders.Reminded(ctx, sent, now); err != nil {
			return err
		}
	}
	return w.c.Store.SetSetting(ctx, key, today)
}

// digest is one recipient's reminder, the longest overdue first.
func digest(list []repair.Reminder, today string, now time.Time) Notice {
	slices.SortStableFunc(list, func(a, b repair.Reminder) int { return int(a.Case.Due) - int(b.Case.Due) })
	n := Notice{Event: "reminder/" + today, Kind: "reminder", At: now, Path: "/work",
		Step: explain.Step{Code: "watch.reminder", Args: explain.Args{"count": int64(len(list))}}}
	for _, r := range list[:min(len(list), maxReminded)] {
		s := explain.Step{Code: "watch.reminder-due", Args: explain.Args{"domain": r.Case.Domain, "source": explain.Clip(r.Case.Name),
			"due": r.Case.Due.String(), "days": int64(r.Days), "failing": int64(min(r.Case.Failing, 1<<62))}}
		switch r.Kind {
		case repair.Overdue:
			s.Code = "watch.reminder-overdue"
		case repair.NoMail:
			s.Code = "watch.reminder-no-mail"
		}
		n.More = append(n.More, s)
	}
	if len(list) > maxReminded {
		n.More = append(n.More, explain.Step{Code: "watch.reminder-more", Args: explain.Args{"count": int64(len(list) - maxReminded)}})
	}
	return n
}
