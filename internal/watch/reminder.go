package watch

import (
	"context"

	"sekimori/explain"
	"sekimori/internal/store"
)

// Reminder is one piece of work that somebody is to be reminded of.
type Reminder struct {
	Case    store.Case
	To      string // an address; "" for the site's own
	Overdue bool
}

// Reminders gives the work that is due now and notes that people were reminded
// of it.
type Reminders interface {
	Due(ctx context.Context) ([]Reminder, error)
	Reminded(ctx context.Context, cases []int64) error
}

// Remind enters one mail for each recipient with all that is due, once a day.
func (w *Watcher) Remind(ctx context.Context) error {
	if w.c.Reminders == nil {
		return nil
	}
	now := w.c.Now().UTC()
	today := store.DayOf(now).String()
	const key = "watch/reminded"
	done, _, err := w.c.Store.Setting(ctx, key)
	if err != nil || done >= today {
		return err
	}
	list, err := w.c.Reminders.Due(ctx)
	if err != nil {
		return err
	}
	byTo := map[string][]Reminder{}
	var ids []int64
	for _, r := range list {
		to := []string{r.To}
		if address(r.To) != nil { // a contact may be anything that somebody typed
			to = w.c.To
		}
		for _, a := range to {
			byTo[a] = append(byTo[a], r)
		}
		ids = append(ids, r.Case.ID)
	}
	var alerts []store.Alert
	for to, list := range byTo {
		n := Notice{Event: "reminder/" + today, Kind: "reminder", At: now, Path: "/work",
			Step: explain.Step{Code: "watch.reminder", Args: explain.Args{"count": int64(len(list))}}}
		const most = 50
		for _, r := range list[:min(len(list), most)] {
			s := explain.Step{Code: "watch.reminder-due", Args: explain.Args{"domain": r.Case.Domain, "source": explain.Clip(r.Case.Name),
				"due": r.Case.Due.String(), "failing": r.Case.Failing}}
			if r.Overdue {
				s.Code = "watch.reminder-overdue"
			}
			n.More = append(n.More, s)
		}
		if len(list) > most {
			n.More = append(n.More, explain.Step{Code: "watch.reminder-more", Args: explain.Args{"count": int64(len(list) - most)}})
		}
		a, err := alert(n, byMail, to)
		if err != nil {
			return err
		}
		alerts = append(alerts, a)
	}
	if err := w.enter(ctx, alerts); err != nil {
		return err
	}
	if len(ids) > 0 {
		if err := w.c.Reminders.Reminded(ctx, ids); err != nil {
			return err
		}
	}
	return w.c.Store.SetSetting(ctx, key, today)
}
