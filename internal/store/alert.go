package store

import (
	"context"
	"database/sql"
	"time"
)

// watchSchema is the tables of the watch: alerts on their way, and what the DNS
// said of known names.
const watchSchema = `
CREATE TABLE alert (
	id TEXT PRIMARY KEY, event TEXT NOT NULL, domain TEXT NOT NULL, kind TEXT NOT NULL,
	channel TEXT NOT NULL, recipient TEXT NOT NULL, made INTEGER NOT NULL, body BLOB NOT NULL,
	tries INTEGER NOT NULL DEFAULT 0, next INTEGER NOT NULL, ended INTEGER NOT NULL DEFAULT 0,
	outcome TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX alert_due ON alert (next) WHERE outcome = '';
CREATE INDEX alert_ended ON alert (ended) WHERE outcome <> '';
CREATE TABLE name_fact (
	domain TEXT NOT NULL, name TEXT NOT NULL, looked INTEGER NOT NULL, doc BLOB NOT NULL,
	PRIMARY KEY (domain, name)
) WITHOUT ROWID;
`

// AlertOutcome says what became of an alert.
type AlertOutcome string

const (
	AlertWaiting AlertOutcome = ""         // not delivered yet
	AlertSent    AlertOutcome = "sent"     // taken by the other side
	AlertGivenUp AlertOutcome = "given-up" // never delivered
)

// keptAlerts is how long a delivered alert is remembered, so that its event is
// not told of twice.
const keptAlerts = 2 * 366 * 24 * time.Hour

// Alert is one message about an event, on its way to one recipient. It is
// delivered at least once; ID tells the recipient of a second time.
type Alert struct {
	ID        string       `json:"id"`    // of the event, channel and recipient
	Event     string       `json:"event"` // the same for all recipients
	Domain    string       `json:"domain"`
	Kind      string       `json:"kind"`
	Channel   string       `json:"channel"`   // "mail" or "webhook"
	Recipient string       `json:"recipient"` // an address; "" for the webhook
	Made      time.Time    `json:"made"`
	Body      []byte       `json:"-"` // the maker's own document
	Tries     int          `json:"tries"`
	Next      time.Time    `json:"next"`  // attempt
	Ended     time.Time    `json:"ended"` // zero while waiting
	Outcome   AlertOutcome `json:"outcome"`
	Error     string       `json:"error"` // of the last attempt
}

// AlertAttempt is what came of one attempt to deliver an alert.
type AlertAttempt struct {
	ID      string
	At      time.Time
	Outcome AlertOutcome
	Next    time.Time // while it is waiting
	Error   string
}

// AlertCounts counts alerts by what became of them.
type AlertCounts struct {
	Waiting int64 `json:"waiting"`
	Sent    int64 `json:"sent"`
	GivenUp int64 `json:"given_up"`
}

// maxAlertError is how much of an error is kept, in octets.
const maxAlertError = 500

// PutAlerts enters alerts, all of them in one transaction, and returns how many
// were new: an ID that was entered before changes nothing. Alerts that ended
// two years ago are forgotten.
func (s *Store) PutAlerts(ctx context.Context, alerts []Alert) (added int, err error) {
	err = s.change(ctx, "enter alerts", func(tx *sql.Tx) error {
		added = 0
		var latest time.Time
		for _, a := range alerts {
			next := a.Next
			if next.IsZero() {
				next = a.Made
			}
			r, err := tx.ExecContext(ctx, "INSERT INTO alert (id, event, domain, kind, channel, recipient, made, body, next) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
				a.ID, a.Event, a.Domain, a.Kind, a.Channel, a.Recipient, a.Made.Unix(), a.Body, next.Unix())
			if err != nil {
				return err
			}
			n, err := r.RowsAffected()
			if err != nil {
				return err
			}
			added += int(n)
			if a.Made.After(latest) {
				latest = a.Made
			}
		}
		if added == 0 {
			return nil
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM alert WHERE outcome <> '' AND ended < ?", latest.Add(-keptAlerts).Unix())
		return err
	})
	return added, err
}

const alertColumns = "id, event, domain, kind, channel, recipient, made, body, tries, next, ended, outcome, error"

// DueAlerts returns alerts whose next attempt is due, the longest due first, at
// most limit.
func (s *Store) DueAlerts(ctx context.Context, now time.Time, limit int) ([]Alert, error) {
	return s.alerts(ctx, "SELECT "+alertColumns+" FROM alert WHERE outcome = '' AND next <= ? ORDER BY next, id LIMIT ?", now.Unix(), limit)
}

// Alerts returns the newest alerts about a domain, all domains for "", at most
// limit.
func (s *Store) Alerts(ctx context.Context, domain string, limit int) ([]Alert, error) {
	return s.alerts(ctx, "SELECT "+alertColumns+" FROM alert WHERE ? IN ('', domain) ORDER BY made DESC, id LIMIT ?", domain, limit)
}

func (s *Store) alerts(ctx context.Context, q string, args ...any) ([]Alert, error) {
	done, err := s.reading()
	if err != nil {
		return nil, err
	}
	defer done()
	rows, err := s.state.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Alert
	for rows.Next() {
		var a Alert
		var made, next, ended int64
		if err := rows.Scan(&a.ID, &a.Event, &a.Domain, &a.Kind, &a.Channel, &a.Recipient, &made, &a.Body, &a.Tries, &next, &ended, &a.Outcome, &a.Error); err != nil {
			return nil, err
		}
		a.Made, a.Next = time.Unix(made, 0).UTC(), time.Unix(next, 0).UTC()
		if ended != 0 {
			a.Ended = time.Unix(ended, 0).UTC()
		}
		out = append(out, a)
	}
	return out, rows.Err()
}

// AlertTried keeps what came of an attempt.
func (s *Store) AlertTried(ctx context.Context, t AlertAttempt) error {
	return s.change(ctx, "keep an alert's attempt", func(tx *sql.Tx) error {
		var ended int64
		if t.Outcome != AlertWaiting {
			ended = t.At.Unix()
		}
		text := t.Error
		if len(text) > maxAlertError {
			text = text[:maxAlertError]
		}
		_, err := tx.ExecContext(ctx, "UPDATE alert SET tries = tries + 1, next = ?, ended = ?, outcome = ?, error = ? WHERE id = ? AND outcome = ''",
			t.Next.Unix(), ended, string(t.Outcome), text, t.ID)
		return err
	})
}

// AlertCounts counts all alerts that are remembered.
func (s *Store) AlertCounts(ctx context.Context) (AlertCounts, error) {
	done, err := s.reading()
	if err != nil {
		return AlertCounts{}, err
	}
	defer done()
	var c AlertCounts
	err = s.state.QueryRowContext(ctx, "SELECT count(*) FILTER (WHERE outcome = ''), count(*) FILTER (WHERE outcome = 'sent'), count(*) FILTER (WHERE outcome = 'given-up') FROM alert").
		Scan(&c.Waiting, &c.Sent, &c.GivenUp)
	return c, err
}
