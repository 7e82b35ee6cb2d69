package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// departmentsMost and assignmentsMost bound what one organisation can set up.
const (
	departmentsMost = 10_000
	assignmentsMost = 200_000
)

// PutDepartment adds a department (ID 0) or changes one, and returns it. Its
// name is wanted and unique, whatever the case and width of its spaces.
// ErrNotFound says that there is none with the number. Durable when it returns.
func (s *Store) PutDepartment(ctx context.Context, d Department) (Department, error) {
	if err := trim(written{"name", &d.Name, NameMost}, written{"contact", &d.Contact, NameMost}, written{"note", &d.Note, NoteMost}); err != nil {
		return d, err
	}
	d.Name = strings.Join(strings.Fields(d.Name), " ")
	if d.Name == "" {
		return d, errors.New("a department needs a name")
	}
	folded := strings.ToLower(d.Name)
	err := s.saying(ctx, "keep department "+d.Name, func(tx *sql.Tx) ([]string, error) {
		var other, n int64
		err := tx.QueryRowContext(ctx, "SELECT id FROM department WHERE folded = ?", folded).Scan(&other)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		if other != 0 && other != d.ID {
			return nil, fmt.Errorf("there is a department of this name already (number %d)", other)
		}
		if d.ID != 0 {
			var created int64
			if err := tx.QueryRowContext(ctx, "SELECT created FROM department WHERE id = ?", d.ID).Scan(&created); err != nil {
				return nil, none(err, "department", d.ID)
			}
			d.Created = microTime(created)
			_, err := tx.ExecContext(ctx, "UPDATE department SET name = ?, folded = ?, contact = ?, note = ? WHERE id = ?", d.Name, folded, d.Contact, d.Note, d.ID)
			return []string{""}, err
		}
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM department").Scan(&n); err != nil {
			return nil, err
		}
		if n >= departmentsMost {
			return nil, fmt.Errorf("there are %d departments already, which is the most; remove one first", n)
		}
		d.Created = moment(d.Created)
		r, err := tx.ExecContext(ctx, "INSERT INTO department (name, folded, contact, note, created) VALUES (?, ?, ?, ?, ?)", d.Name, folded, d.Contact, d.Note, micros(d.Created))
		if err != nil {
			return nil, err
		}
		d.ID, err = r.LastInsertId()
		return []string{""}, err
	})
	return d, err
}

// none says what was not found.
func none(err error, what string, id int64) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s %d: %w", what, id, ErrNotFound)
	}
	return err
}

// RemoveDepartment removes a department, with what was assigned to it and its
// links; its pieces of work go on without one, which their histories say.
// ErrNotFound says that there is none with the number.
func (s *Store) RemoveDepartment(ctx context.Context, id int64) error {
	return s.saying(ctx, "remove a department", func(tx *sql.Tx) ([]string, error) {
		var name string
		if err := tx.QueryRowContext(ctx, "DELETE FROM department WHERE id = ? RETURNING name", id).Scan(&name); err != nil {
			return nil, none(err, "department", id)
		}
		at := micros(now())
		_, err := tx.ExecContext(ctx, `INSERT INTO work_event (work, at, who, kind, before, after, text)
			SELECT id, ?, '', 'department', ?, '', '' FROM work WHERE department = ?`, at, name, id)
		if err != nil {
			return nil, err
		}
		_, err = tx.ExecContext(ctx, "UPDATE work SET department = 0, changed = max(?, changed + 1) WHERE department = ?", at, id)
		return []string{""}, err
	})
}

// Departments returns all departments in the order of their names.
func (s *Store) Departments(ctx context.Context) ([]Department, error) {
	return rowsOf(ctx, s, "SELECT id, name, contact, note, created FROM department ORDER BY folded", nil, func(r *sql.Rows) (Department, error) {
		var d Department
		var created int64
		err := r.Scan(&d.ID, &d.Name, &d.Contact, &d.Note, &created)
		d.Created = microTime(created)
		return d, err
	})
}

// Assign says what belongs to a department, in place of what was said before;
// Department 0 takes that back. ErrNotFound says that there is no such
// department. Durable when it returns.
func (s *Store) Assign(ctx context.Context, a Assignment) error {
	if err := domainName("domain", &a.Domain); err != nil {
		return err
	}
	a.Subdomain = fold(a.Subdomain)
	if len(a.Subdomain) > 253 {
		return domainName("sub-domain", &a.Subdomain)
	}
	if a.Key != "" {
		if err := sourceKey(a.Domain, a.Key); err != nil {
			return err
		}
	}
	if err := trim(written{"by", &a.By, NameMost}); err != nil {
		return err
	}
	return s.saying(ctx, "assign a part of "+a.Domain, func(tx *sql.Tx) ([]string, error) {
		if a.Department == 0 {
			r, err := tx.ExecContext(ctx, "DELETE FROM assignment WHERE domain = ? AND subdomain = ? AND key = ?", a.Domain, a.Subdomain, a.Key)
			if err != nil {
				return nil, err
			}
			if n, err := r.RowsAffected(); err != nil || n == 0 {
				return nil, err
			}
			return []string{a.Domain}, nil
		}
		var n int64
		if err := tx.QueryRowContext(ctx, "SELECT 1 FROM department WHERE id = ?", a.Department).Scan(&n); err != nil {
			return nil, none(err, "department", a.Department)
		}
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM assignment").Scan(&n); err != nil {
			return nil, err
		}
		if n >= assignmentsMost {
			return nil, fmt.Errorf("%d parts are assigned already, which is the most; assign whole domains instead", n)
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO assignment VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (domain, subdomain, key) DO UPDATE SET
			department = excluded.department, who = excluded.who, at = excluded.at`,
			a.Domain, a.Subdomain, a.Key, a.Department, a.By, micros(moment(a.At)))
		return []string{a.Domain}, err
	})
}

// Assignments returns what belongs to whom of a domain, or of all for "", in
// the order of domains; of each what is less particular first.
func (s *Store) Assignments(ctx context.Context, domain string) ([]Assignment, error) {
	q, args := "SELECT domain, subdomain, key, department, who, at FROM assignment", []any(nil)
	if domain != "" {
		q, args = q+" WHERE domain = ?", []any{fold(domain)}
	}
	return rowsOf(ctx, s, q+" ORDER BY domain, key <> '', subdomain, key", args, func(r *sql.Rows) (Assignment, error) {
		var a Assignment
		var at int64
		err := r.Scan(&a.Domain, &a.Subdomain, &a.Key, &a.Department, &a.By, &at)
		a.At = microTime(at)
		return a, err
	})
}

const shareColumns = "SELECT id, department, hash, created, expires, revoked, who, last_used FROM share"

func scanShare(r interface{ Scan(...any) error }) (Share, error) {
	var h Share
	var hash []byte
	var created, expires, revoked, used int64
	err := r.Scan(&h.ID, &h.Department, &hash, &created, &expires, &revoked, &h.By, &used)
	copy(h.Hash[:], hash)
	h.Created, h.Expires, h.Revoked, h.LastUsed = microTime(created), microTime(expires), microTime(revoked), microTime(used)
	return h, err
}

// sharesMost is how many links a department has at most, those that are over
// included.
const sharesMost = 200

// PutShare adds a link (ID 0), or changes when one expires and was revoked,
// and returns it. Durable when it returns. A department keeps its 200 newest
// links.
func (s *Store) PutShare(ctx context.Context, h Share) (Share, error) {
	if err := trim(written{"by", &h.By, NameMost}); err != nil {
		return h, err
	}
	if h.ID == 0 && (h.Expires.IsZero() || h.Hash == [32]byte{}) {
		return h, errors.New("a link needs the hash of its token and a time at which it expires")
	}
	err := s.change(ctx, "keep a link", func(tx *sql.Tx) error {
		if h.ID != 0 {
			_, err := tx.ExecContext(ctx, "UPDATE share SET expires = ?, revoked = ? WHERE id = ?", micros(h.Expires), micros(h.Revoked), h.ID)
			if err != nil {
				return err
			}
			kept, err := scanShare(tx.QueryRowContext(ctx, shareColumns+" WHERE id = ?", h.ID))
			if err != nil {
				return none(err, "link", h.ID)
			}
			h = kept
			return nil
		}
		var n int64
		if err := tx.QueryRowContext(ctx, "SELECT 1 FROM department WHERE id = ?", h.Department).Scan(&n); err != nil {
			return none(err, "department", h.Department)
		}
		h.Created = moment(h.Created)
		r, err := tx.ExecContext(ctx, "INSERT INTO share (department, hash, created, expires, revoked, who, last_used) VALUES (?, ?, ?, ?, ?, ?, ?)",
			h.Department, h.Hash[:], micros(h.Created), micros(h.Expires), micros(h.Revoked), h.By, micros(h.LastUsed))
		if err != nil {
			return err
		}
		if h.ID, err = r.LastInsertId(); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM share WHERE department = ?1 AND id <=
			(SELECT id FROM share WHERE department = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)`, h.Department, sharesMost)
		return err
	})
	return h, err
}

// Shares returns a department's links, or all for 0, the newest first.
func (s *Store) Shares(ctx context.Context, department int64) ([]Share, error) {
	return rowsOf(ctx, s, shareColumns+" WHERE ?1 = 0 OR department = ?1 ORDER BY id DESC", []any{department}, func(r *sql.Rows) (Share, error) { return scanShare(r) })
}

// ShareByHash returns the link whose token has the hash, good or not, or
// ErrNotFound. Who does not know a token learns nothing from how long this
// takes: what is compared is its hash.
func (s *Store) ShareByHash(ctx context.Context, hash [32]byte) (Share, error) {
	done, err := s.reading()
	if err != nil {
		return Share{}, err
	}
	defer done()
	h, err := scanShare(s.state.QueryRowContext(ctx, shareColumns+" WHERE hash = ?", hash[:]))
	if errors.Is(err, sql.ErrNoRows) {
		return Share{}, fmt.Errorf("link: %w", ErrNotFound)
	}
	return h, err
}

// TouchShare notes that a link was used. A number without a link is ignored.
func (s *Store) TouchShare(ctx context.Context, id int64, at time.Time) error {
	return s.change(ctx, "note the use of a link", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE share SET last_used = max(last_used, ?) WHERE id = ?", micros(at), id)
		return err
	})
}
