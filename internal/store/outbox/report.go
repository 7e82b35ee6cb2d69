package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Report is one report, made once.
type Report struct {
	ID       int64  // of the entry
	Day      string // "2026-11-22", UTC
	Policy   string // tells the policy from others of the day: domain, text and how it was found
	Domain   string // the policy domain
	ReportID string
	Form     string
	// File is the name of the frozen report in Folder; empty where no destination
	// was left, so that it was not written.
	File     string
	Filename string // that it is sent under
	Messages int64
	Rows     int64
	Size     int64  // of the file, octets
	Sum      string // SHA-256 of the file, in hex
	Made     time.Time
}

// DayState says what was decided about a day.
type DayState string

const (
	DayMade DayState = "made" // all its reports are entered
	DayOff  DayState = "off"  // it passed while reports were turned off
)

// MarkDay notes what became of a day. What was made stays made.
func (b *Box) MarkDay(ctx context.Context, day string, s DayState, at time.Time) error {
	return b.change(ctx, "mark the day "+day, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO day VALUES (?, ?, ?) ON CONFLICT (day) DO UPDATE
			SET state = excluded.state, at = excluded.at WHERE day.state <> 'made'`, day, string(s), milli(at))
		return err
	})
}

// DayState returns what was decided about a day; empty where nothing was.
func (b *Box) DayState(ctx context.Context, day string) (DayState, error) {
	var s string
	err := b.db.QueryRowContext(ctx, "SELECT state FROM day WHERE day = ?", day).Scan(&s)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return DayState(s), err
}

// Add enters a report with all of its deliveries; it is durable when Add
// returns. ErrExists says that the day has one on this policy. The report's
// file must be durable before.
func (b *Box) Add(ctx context.Context, r Report, ds []Delivery) (id int64, err error) {
	err = b.change(ctx, "enter a report on "+r.Domain, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM report WHERE day = ? AND policy = ?", r.Day, r.Policy).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return ErrExists
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO report
			(day, policy, domain, report_id, form, file, filename, messages, rows, size, sum, made)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			r.Day, r.Policy, r.Domain, r.ReportID, r.Form, r.File, r.Filename, r.Messages, r.Rows, r.Size, r.Sum, milli(r.Made))
		if err != nil {
			return err
		}
		if id, err = res.LastInsertId(); err != nil {
			return err
		}
		return addDeliveries(ctx, tx, id, ds)
	})
	return id, err
}

const reportColumns = `r.id, r.day, r.policy, r.domain, r.report_id, r.form, r.file, r.filename, r.messages, r.rows, r.size, r.sum, r.made`

func (r *Report) fields(made *int64) []any {
	return []any{&r.ID, &r.Day, &r.Policy, &r.Domain, &r.ReportID, &r.Form, &r.File, &r.Filename, &r.Messages, &r.Rows, &r.Size, &r.Sum, made}
}

// Report returns the report of a day on a policy, and whether there is one.
func (b *Box) Report(ctx context.Context, day, policy string) (Report, bool, error) {
	var r Report
	var made int64
	err := b.db.QueryRowContext(ctx, "SELECT "+reportColumns+" FROM report r WHERE day = ? AND policy = ?", day, policy).Scan(r.fields(&made)...)
	if errors.Is(err, sql.ErrNoRows) {
		return Report{}, false, nil
	}
	r.Made = timeOf(made)
	return r, err == nil, err
}

// Entry is a report with what became of its deliveries.
type Entry struct {
	Report
	Deliveries []Delivery
}

// Filter says which entries are looked for; all that is set must hold.
type Filter struct {
	Day    string
	Domain string
	// State asks for reports with a delivery in that state, Open for those with
	// one that is still tried.
	State State
	Open  bool
	// Text asks for those with this in the policy domain, the report id or a
	// destination.
	Text          string
	Limit, Offset int // default 1,000 and 0
}

// where is the filter's condition on a report r.
func (f *Filter) where() (string, []any) {
	cond, args := []string{"1"}, []any(nil)
	add := func(c string, a ...any) { cond, args = append(cond, c), append(args, a...) }
	if f.Day != "" {
		add("r.day = ?", f.Day)
	}
	if f.Domain != "" {
		add("r.domain = ?", f.Domain)
	}
	if f.State != "" {
		add("r.id IN (SELECT report FROM delivery WHERE state = ?)", string(f.State))
	}
	if f.Open {
		add("r.id IN (SELECT report FROM delivery WHERE state IN ('unverified', 'waiting'))")
	}
	if t := strings.ToLower(f.Text); t != "" {
		add("(instr(r.domain, ?) OR instr(r.report_id, ?) OR r.id IN (SELECT report FROM delivery WHERE instr(lower(address), ?)))", t, t, t)
	}
	return strings.Join(cond, " AND "), args
}

// Count returns how many entries there are, without Limit and Offset.
func (b *Box) Count(ctx context.Context, f Filter) (n int64, err error) {
	cond, args := f.where()
	if err = b.db.QueryRowContext(ctx, "SELECT count(*) FROM report r WHERE "+cond, args...).Scan(&n); err != nil {
		err = fmt.Errorf("outbox: %w", err)
	}
	return n, err
}

// List returns entries, the newest day first, within a day by domain.
func (b *Box) List(ctx context.Context, f Filter) ([]Entry, error) {
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	cond, args := f.where()
	return b.entries(ctx, `(SELECT * FROM report r WHERE `+cond+` ORDER BY r.day DESC, r.domain, r.id LIMIT ? OFFSET ?)`,
		append(args, f.Limit, max(f.Offset, 0))...)
}

// entries reads the reports of a subquery, with their deliveries.
func (b *Box) entries(ctx context.Context, from string, args ...any) ([]Entry, error) {
	rows, err := b.db.QueryContext(ctx, `SELECT `+reportColumns+`, `+deliveryColumns+` FROM `+from+` r
		LEFT JOIN delivery d ON d.report = r.id ORDER BY r.day DESC, r.domain, r.id, d.id`, args...)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	defer rows.Close()
	var out []Entry
	for rows.Next() {
		var e Entry
		var made int64
		var d deliveryRow
		if err := rows.Scan(append(e.fields(&made), d.fields()...)...); err != nil {
			return nil, fmt.Errorf("outbox: %w", err)
		}
		e.Made = timeOf(made)
		if n := len(out); n == 0 || out[n-1].ID != e.ID {
			out = append(out, e)
		}
		if d.id.Valid {
			last := &out[len(out)-1]
			last.Deliveries = append(last.Deliveries, d.delivery())
		}
	}
	return out, rows.Err()
}

// Expire deletes reports made before a time, files first, and files that
// belong to no report and are as old. Marks of days stay.
func (b *Box) Expire(ctx context.Context, before time.Time) (reports int, err error) {
	rows, err := b.db.QueryContext(ctx, "SELECT id, file FROM report WHERE made < ? LIMIT 100000", milli(before))
	if err != nil {
		return 0, fmt.Errorf("outbox: %w", err)
	}
	var ids []int64
	var files []string
	for rows.Next() {
		var id int64
		var file string
		if err := rows.Scan(&id, &file); err != nil {
			rows.Close()
			return 0, fmt.Errorf("outbox: %w", err)
		}
		ids, files = append(ids, id), append(files, file)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return 0, fmt.Errorf("outbox: %w", err)
	}
	for _, f := range files {
		if f == "" {
			continue
		}
		if err := os.Remove(b.Path(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("outbox: %w", err)
		}
	}
	if len(ids) > 0 {
		err = b.change(ctx, "delete old reports", func(tx *sql.Tx) error {
			for _, id := range ids {
				if _, err := tx.ExecContext(ctx, "DELETE FROM report WHERE id = ?", id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return len(ids), b.sweep(before)
}

// sweep deletes files that a crash left without an entry, and folders that are
// empty.
func (b *Box) sweep(before time.Time) error {
	days, err := os.ReadDir(filepath.Join(b.dir, Folder))
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	for _, d := range days {
		path := filepath.Join(b.dir, Folder, d.Name())
		files, err := os.ReadDir(path)
		if err != nil {
			continue // no folder: not ours
		}
		left := len(files)
		for _, f := range files {
			if info, err := f.Info(); err == nil && info.ModTime().Before(before) && os.Remove(filepath.Join(path, f.Name())) == nil {
				left--
			}
		}
		if left == 0 && d.Name() < before.UTC().Format(time.DateOnly) {
			_ = os.Remove(path)
		}
	}
	return nil
}

func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
