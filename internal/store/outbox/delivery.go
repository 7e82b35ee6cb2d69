package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sekimori/explain"
)

// State says how far a delivery is.
type State string

const (
	Unverified State = "unverified" // the DNS did not tell yet whether the destination wants it
	Waiting    State = "waiting"    // to be sent
	Sent       State = "sent"       // the MTA has taken it
	Refused    State = "refused"    // the MTA refused it for good
	GivenUp    State = "given-up"   // tried for days
	Dropped    State = "dropped"    // never to be sent: Reason
)

// Open reports whether a delivery is still tried.
func (s State) Open() bool { return s == Unverified || s == Waiting }

// Delivery is a report on its way to one destination.
type Delivery struct {
	ID      int64
	URI     string // of the record, that led here
	Address string // the mailbox; of an unverified delivery, the URI
	Host    string // its domain, as an A-label
	State   State
	// Reason says why it may be sent there, or may not.
	Reason   explain.Step
	Attempts int64
	First    time.Time // attempt; zero before
	Next     time.Time // attempt, not before
	Ended    time.Time // when it was sent or given up; zero while it is open
	Error    string    // of the last attempt
}

const maxError = 1000 // octets that are kept of an error

func addDeliveries(ctx context.Context, tx *sql.Tx, report int64, ds []Delivery) error {
	for _, d := range ds {
		reason, err := json.Marshal(d.Reason)
		if err != nil {
			return err
		}
		// Two URIs may lead to one mailbox, which gets one report.
		_, err = tx.ExecContext(ctx, `INSERT INTO delivery
			(report, uri, address, host, state, reason, attempts, first, next, ended, error)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (report, address) DO NOTHING`,
			report, d.URI, d.Address, d.Host, string(d.State), string(reason),
			d.Attempts, milli(d.First), milli(d.Next), milli(d.Ended), clip(d.Error))
		if err != nil {
			return err
		}
	}
	return nil
}

// Due is a delivery together with its report.
type Due struct {
	Report Report
	Delivery
}

// Due returns open deliveries whose time has come, with IDs above after, by ID,
// at most limit. One whose time is further away than horizon is due too: the
// clock has been set back since. A zero now finds all that are open.
func (b *Box) Due(ctx context.Context, now time.Time, horizon time.Duration, after int64, limit int) ([]Due, error) {
	rows, err := b.db.QueryContext(ctx, `SELECT `+reportColumns+`, `+deliveryColumns+`
		FROM delivery d JOIN report r ON r.id = d.report
		WHERE d.state IN ('unverified', 'waiting') AND d.id > ?1 AND (?2 = 0 OR d.next <= ?2 OR d.next > ?3)
		ORDER BY d.id LIMIT ?4`, after, milli(now), milli(now)+horizon.Milliseconds(), limit)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	defer rows.Close()
	var out []Due
	for rows.Next() {
		var due Due
		var made int64
		var d deliveryRow
		if err := rows.Scan(append(due.Report.fields(&made), d.fields()...)...); err != nil {
			return nil, fmt.Errorf("outbox: %w", err)
		}
		due.Report.Made = timeOf(made)
		due.Delivery = d.delivery()
		out = append(out, due)
	}
	return out, rows.Err()
}

// Done marks a delivery as sent.
func (b *Box) Done(ctx context.Context, id int64, at time.Time) error {
	return b.change(ctx, "mark a delivery as sent", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE delivery SET state = 'sent', attempts = attempts + 1,
			first = CASE first WHEN 0 THEN ?2 ELSE first END, ended = ?2, error = '' WHERE id = ?1`, id, milli(at))
		return err
	})
}

// Later notes that an attempt failed, and when the next one is.
func (b *Box) Later(ctx context.Context, id int64, at, next time.Time, why string) error {
	return b.change(ctx, "put a delivery off", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE delivery SET attempts = attempts + 1,
			first = CASE first WHEN 0 THEN ?2 ELSE first END, next = ?3, error = ?4 WHERE id = ?1`, id, milli(at), milli(next), clip(why))
		return err
	})
}

// End ends a delivery that was not sent: Refused or GivenUp after an attempt,
// or Dropped.
func (b *Box) End(ctx context.Context, id int64, s State, reason explain.Step, at time.Time, why string) error {
	return b.change(ctx, "end a delivery", func(tx *sql.Tx) error {
		j, err := json.Marshal(reason)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE delivery SET state = ?2, reason = ?3, ended = ?4, error = ?5,
			attempts = attempts + (?2 <> 'dropped'), first = CASE WHEN first = 0 AND ?2 <> 'dropped' THEN ?4 ELSE first END
			WHERE id = ?1`, id, string(s), string(j), milli(at), clip(why))
		return err
	})
}

// Resolve replaces an unverified delivery by those that it turned out to be.
func (b *Box) Resolve(ctx context.Context, id int64, ds []Delivery) error {
	return b.change(ctx, "enter a destination", func(tx *sql.Tx) error {
		var report int64
		if err := tx.QueryRowContext(ctx, "DELETE FROM delivery WHERE id = ? AND state = 'unverified' RETURNING report", id).Scan(&report); err != nil {
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			return err
		}
		return addDeliveries(ctx, tx, report, ds)
	})
}

// ToHost counts a day's reports that go, or went, to a host.
func (b *Box) ToHost(ctx context.Context, day, host string) (n int, err error) {
	err = b.db.QueryRowContext(ctx, `SELECT count(*) FROM delivery d JOIN report r ON r.id = d.report
		WHERE d.host = ? AND r.day = ? AND d.state <> 'dropped'`, host, day).Scan(&n)
	return n, err
}

// Counts returns how many deliveries there are in each state.
func (b *Box) Counts(ctx context.Context) (map[State]int64, error) {
	rows, err := b.db.QueryContext(ctx, "SELECT state, count(*) FROM delivery GROUP BY state")
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	defer rows.Close()
	out := map[State]int64{}
	for rows.Next() {
		var s string
		var n int64
		if err := rows.Scan(&s, &n); err != nil {
			return nil, fmt.Errorf("outbox: %w", err)
		}
		out[State(s)] = n
	}
	return out, rows.Err()
}

const deliveryColumns = `d.id, d.uri, d.address, d.host, d.state, d.reason, d.attempts, d.first, d.next, d.ended, d.error`

// deliveryRow is a row that may be absent (LEFT JOIN).
type deliveryRow struct {
	id, attempts, first, next, ended        sql.NullInt64
	uri, address, host, state, reason, fail sql.NullString
}

func (r *deliveryRow) fields() []any {
	return []any{&r.id, &r.uri, &r.address, &r.host, &r.state, &r.reason, &r.attempts, &r.first, &r.next, &r.ended, &r.fail}
}

func (r *deliveryRow) delivery() Delivery {
	d := Delivery{ID: r.id.Int64, URI: r.uri.String, Address: r.address.String, Host: r.host.String, State: State(r.state.String),
		Attempts: r.attempts.Int64, First: timeOf(r.first.Int64), Next: timeOf(r.next.Int64), Ended: timeOf(r.ended.Int64), Error: r.fail.String}
	// A reason that cannot be read is shown as none.
	_ = json.Unmarshal([]byte(r.reason.String), &d.Reason)
	for k, v := range d.Reason.Args {
		if f, ok := v.(float64); ok {
			d.Reason.Args[k] = int64(f) // they count; JSON does not tell the two apart
		}
	}
	return d
}

// clip keeps an error short and printable: it may be an MTA's own words.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, s)
	if len(s) > maxError {
		s = strings.ToValidUTF8(s[:maxError], "") + "…"
	}
	return s
}
