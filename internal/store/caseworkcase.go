package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	factsMost  = 64 << 10 // octets of Case.Facts
	eventsMost = 5000     // entries of a case's history that anybody adds; what the program adds is few
)

// withFacts and withoutFacts are what caseColumns takes: facts are a hundred
// times as large as what a list shows.
const (
	withFacts    = "(SELECT doc FROM work_facts WHERE work_facts.work = work.id)"
	withoutFacts = "NULL"
)

// caseColumns selects cases, in the order of scanCase.
func caseColumns(facts string) string {
	return `SELECT id, domain, key, source, name, state, owner, department, due, opened, changed, fixed, reminded, reopened,
		failing, messages, proof, receivers, relapse, last_day, networks, identities, ` + facts + ` FROM work`
}

func scanCase(r interface{ Scan(...any) error }, more ...any) (Case, error) {
	var c Case
	var opened, changed, reminded, failing, messages, proof, relapse int64
	var networks, identities string
	err := r.Scan(append([]any{&c.ID, &c.Domain, &c.Key, &c.Source, &c.Name, &c.State, &c.Owner, &c.Department, &c.Due, &opened, &changed, &c.Fixed, &reminded, &c.Reopened,
		&failing, &messages, &proof, &c.Receivers, &relapse, &c.LastDay, &networks, &identities, &c.Facts}, more...)...)
	if err != nil {
		return c, err
	}
	c.Opened, c.Changed, c.Reminded = microTime(opened), microTime(changed), microTime(reminded)
	c.Failing, c.Messages, c.Proof, c.Relapse = uint64(failing), uint64(messages), uint64(proof), uint64(relapse)
	if err := textList(networks, &c.Networks); err != nil {
		return c, err
	}
	return c, textList(identities, &c.Identities)
}

// PutCase adds a case (ID 0) or changes one, with the lines of its history
// that say so, all in one durable transaction, and returns it as it is now.
//
// There is one case for each domain and key: adding another returns the first
// as it is, unchanged and without the events. Of a case that is there, Changed
// must be as it was read; ErrConflict (errors.Is) says that somebody else has
// changed it since, and nothing was kept. The new Changed is the last event's
// time, or now, and always later than the one before.
//
// Name and Owner have at most 200 characters, an event's Text 4,000. Events
// without At get Changed.
func (s *Store) PutCase(ctx context.Context, c Case, events ...CaseEvent) (Case, error) {
	if err := checkCase(&c); err != nil {
		return c, err
	}
	networks, identities, err := recognised(c.Networks, c.Identities)
	if err != nil {
		return c, err
	}
	at := now()
	for i := range events {
		if err := trimEvent(&events[i]); err != nil {
			return c, err
		}
		if e := &events[i]; !e.At.IsZero() {
			at = moment(e.At)
		}
	}
	was := c
	err = s.saying(ctx, "keep a case of "+c.Domain, func(tx *sql.Tx) ([]string, error) {
		c = was
		if c.ID == 0 {
			first, err := scanCase(tx.QueryRowContext(ctx, caseColumns(withFacts)+" WHERE domain = ? AND key = ?", c.Domain, c.Key))
			if !errors.Is(err, sql.ErrNoRows) {
				c = first
				return nil, err
			}
			if c.Changed = at; c.Opened.IsZero() {
				c.Opened = at
			}
			c.Opened = moment(c.Opened)
			r, err := tx.ExecContext(ctx, `INSERT INTO work (domain, key, source, name, state, owner, department, due, opened, changed, fixed, reminded, reopened,
				failing, messages, proof, receivers, relapse, last_day, networks, identities) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				c.Domain, c.Key, c.Source, c.Name, string(c.State), c.Owner, c.Department, c.Due, micros(c.Opened), micros(c.Changed), c.Fixed, micros(c.Reminded), c.Reopened,
				int64(c.Failing), int64(c.Messages), int64(c.Proof), c.Receivers, int64(c.Relapse), c.LastDay, networks, identities)
			if err != nil {
				return nil, err
			}
			if c.ID, err = r.LastInsertId(); err != nil {
				return nil, err
			}
			if err := putFacts(ctx, tx, c.ID, c.Facts); err != nil {
				return nil, err
			}
			if err := addEvents(ctx, tx, c, events); err != nil || c.Fixed == 0 {
				return nil, err
			}
			return []string{c.Domain}, nil
		}
		kept, err := scanCase(tx.QueryRowContext(ctx, caseColumns(withFacts)+" WHERE id = ?", c.ID))
		if err != nil {
			return nil, none(err, "case", c.ID)
		}
		if !kept.Changed.Equal(c.Changed) {
			return nil, fmt.Errorf("case %d: %w", c.ID, ErrConflict)
		}
		c.Domain, c.Opened, c.Changed = kept.Domain, kept.Opened, at
		if !at.After(kept.Changed) {
			c.Changed = kept.Changed.Add(time.Microsecond)
		}
		_, err = tx.ExecContext(ctx, `UPDATE work SET key = ?, source = ?, name = ?, state = ?, owner = ?, department = ?, due = ?, changed = ?, fixed = ?, reminded = ?, reopened = ?,
			failing = ?, messages = ?, proof = ?, receivers = ?, relapse = ?, last_day = ?, networks = ?, identities = ? WHERE id = ?`,
			c.Key, c.Source, c.Name, string(c.State), c.Owner, c.Department, c.Due, micros(c.Changed), c.Fixed, micros(c.Reminded), c.Reopened,
			int64(c.Failing), int64(c.Messages), int64(c.Proof), c.Receivers, int64(c.Relapse), c.LastDay, networks, identities, c.ID)
		if err != nil {
			return nil, err
		}
		if err := putFacts(ctx, tx, c.ID, c.Facts); err != nil {
			return nil, err
		}
		if err := addEvents(ctx, tx, c, events); err != nil || c.Fixed == kept.Fixed && (c.Fixed == 0 || c.Key == kept.Key) {
			return nil, err
		}
		return []string{c.Domain}, nil
	})
	return c, err
}

// putFacts keeps a case's facts; nil leaves those that are there.
func putFacts(ctx context.Context, tx *sql.Tx, id int64, facts []byte) error {
	if facts == nil {
		return nil
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO work_facts VALUES (?, ?) ON CONFLICT (work) DO UPDATE SET doc = excluded.doc", id, facts)
	return err
}

func checkCase(c *Case) error {
	if err := domainName("domain", &c.Domain); err != nil {
		return err
	}
	if err := sourceKey(c.Domain, c.Key); err != nil {
		return err
	}
	if len(c.Facts) > factsMost {
		return fmt.Errorf("a case of %s: %d octets of facts: at most %d are kept", c.Domain, len(c.Facts), factsMost)
	}
	switch c.State {
	case CaseFound, CaseContacted, CaseRepair, CaseWaiting, CaseDone, CaseAccepted:
	default:
		return fmt.Errorf("state %.60q: want found, contacted, in-repair, waiting-for-proof, done or accepted", c.State)
	}
	if c.Due < 0 || c.Due > maxDay || c.Fixed < 0 || c.Fixed > maxDay {
		return fmt.Errorf("a case of %s: a day out of range", c.Domain)
	}
	return trim(written{"source", &c.Source, NameMost}, written{"name", &c.Name, 255}, written{"owner", &c.Owner, NameMost})
}

func trimEvent(e *CaseEvent) error {
	return trim(written{"by", &e.By, NameMost}, written{"kind", &e.Kind, NameMost}, written{"from", &e.From, pathMost}, written{"to", &e.To, pathMost}, written{"note", &e.Text, NoteMost})
}

func addEvents(ctx context.Context, tx *sql.Tx, c Case, events []CaseEvent) error {
	if len(events) == 0 {
		return nil
	}
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM work_event WHERE work = ?", c.ID).Scan(&n); err != nil {
		return err
	}
	for _, e := range events {
		if n++; n > eventsMost && e.By != "" {
			return fmt.Errorf("case %d has %d lines of history, which is the most; write into the last note's place of yours instead", c.ID, eventsMost)
		}
		if e.At.IsZero() {
			e.At = c.Changed
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO work_event (work, at, who, kind, before, after, text) VALUES (?, ?, ?, ?, ?, ?, ?)",
			c.ID, micros(e.At), e.By, e.Kind, e.From, e.To, e.Text)
		if err != nil {
			return err
		}
	}
	return nil
}

// PutCaseFigures keeps the figures of the last look at cases, by their
// numbers: Source, Name, Failing, Messages, Proof, Receivers, Relapse, LastDay,
// Networks, Identities, and Facts unless nil. It does not change Changed, so
// that nobody who is filling in a form is disturbed. Unknown numbers are
// skipped. All of it is one durable transaction.
func (s *Store) PutCaseFigures(ctx context.Context, cases []Case) error {
	if len(cases) == 0 {
		return nil
	}
	return s.change(ctx, "keep figures of cases", func(tx *sql.Tx) error {
		st, err := tx.PrepareContext(ctx, `UPDATE work SET source = ?, name = ?, failing = ?, messages = ?, proof = ?, receivers = ?, relapse = ?, last_day = ?,
			networks = ?, identities = ? WHERE id = ?`)
		if err != nil {
			return err
		}
		defer st.Close()
		for _, c := range cases {
			c.State = CaseFound // it is not kept
			if err := checkCase(&c); err != nil {
				return err
			}
			networks, identities, err := recognised(c.Networks, c.Identities)
			if err != nil {
				return err
			}
			r, err := st.ExecContext(ctx, c.Source, c.Name, int64(c.Failing), int64(c.Messages), int64(c.Proof), c.Receivers, int64(c.Relapse), c.LastDay, networks, identities, c.ID)
			if err != nil {
				return err
			}
			n, err := r.RowsAffected()
			if err == nil && n > 0 {
				err = putFacts(ctx, tx, c.ID, c.Facts)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

var caseSort = map[string]string{
	"": "changed", "changed": "changed", "id": "id", "domain": "domain", "name": "name", "state": "state", "owner": "owner",
	"due": "iif(due = 0, 9999999, due)", "urgent": "iif(due = 0, 9999999, due), -failing", "opened": "opened", "failing": "failing", "messages": "messages",
}

// Cases pages through cases, with how many there are, without their Facts.
// Page.Sort: "changed" (default, the last first), "id", "domain", "name",
// "state", "owner", "due" (those without come last), "urgent" (as "due", and
// then those with the most failing messages), "opened", "failing", "messages".
// Page.Search looks into name, key, owner and domain.
func (s *Store) Cases(ctx context.Context, f CaseFilter, p Page) ([]Case, int64, error) {
	order, err := p.order(caseSort, "id")
	if err != nil {
		return nil, 0, err
	}
	limit, offset := p.bounds()
	var and []string
	var args []any
	where := func(cond string, arg ...any) { and, args = append(and, cond), append(args, arg...) }
	if f.Domain != "" {
		where("domain = ?", fold(f.Domain))
	}
	if f.Key != "" {
		where("key = ?", f.Key)
	}
	if f.Department != 0 {
		where("department = ?", f.Department)
	}
	if f.Owner != "" {
		where("lower(owner) = lower(?)", strings.TrimSpace(f.Owner))
	}
	if len(f.States) > 0 {
		states := slices.Compact(slices.Sorted(slices.Values(f.States)))
		if len(states) > 16 {
			return nil, 0, errors.New("cases: too many states asked for")
		}
		all := make([]any, len(states))
		for i, s := range states {
			all[i] = string(s)
		}
		where("state IN (?"+strings.Repeat(", ?", len(states)-1)+")", all...)
	}
	if f.Due != 0 {
		where("due > 0 AND due < ? AND state NOT IN ('done', 'accepted')", f.Due)
	}
	if p.Search != "" {
		like := "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(p.Search) + "%"
		where(`(name LIKE ? ESCAPE '\' OR key LIKE ? ESCAPE '\' OR owner LIKE ? ESCAPE '\' OR domain LIKE ? ESCAPE '\')`, like, like, like, like)
	}
	cond := ""
	if len(and) > 0 {
		cond = " WHERE " + strings.Join(and, " AND ")
	}
	done, err := s.reading()
	if err != nil {
		return nil, 0, err
	}
	defer done()
	var total int64
	if err := s.state.QueryRowContext(ctx, "SELECT count(*) FROM work"+cond, args...).Scan(&total); err != nil {
		return nil, 0, err
	}
	out, err := rowsOf(ctx, s, caseColumns(withoutFacts)+cond+order+fmt.Sprintf(" LIMIT %d OFFSET %d", limit, offset), args,
		func(r *sql.Rows) (Case, error) { return scanCase(r) })
	return out, total, err
}

// Case returns the case with a number, or ErrNotFound.
func (s *Store) Case(ctx context.Context, id int64) (Case, error) {
	done, err := s.reading()
	if err != nil {
		return Case{}, err
	}
	defer done()
	c, err := scanCase(s.state.QueryRowContext(ctx, caseColumns(withFacts)+" WHERE id = ?", id))
	return c, none(err, "case", id)
}

// DomainCases returns a domain's cases in the order in which they were opened,
// with their Facts. The most is 10,000.
func (s *Store) DomainCases(ctx context.Context, domain string) ([]Case, error) {
	return rowsOf(ctx, s, caseColumns(withFacts)+" WHERE domain = ? ORDER BY id LIMIT 10000", []any{fold(domain)}, func(r *sql.Rows) (Case, error) { return scanCase(r) })
}

// CaseEvents returns a case's history, the oldest line first.
func (s *Store) CaseEvents(ctx context.Context, id int64) ([]CaseEvent, error) {
	return rowsOf(ctx, s, "SELECT id, work, at, who, kind, before, after, text FROM work_event WHERE work = ? ORDER BY id", []any{id}, func(r *sql.Rows) (CaseEvent, error) {
		var e CaseEvent
		var at int64
		err := r.Scan(&e.ID, &e.Case, &at, &e.By, &e.Kind, &e.From, &e.To, &e.Text)
		e.At = microTime(at)
		return e, err
	})
}

// Fixed returns the days from which on a domain's sources are said to be
// fixed, by their keys: what the ladder waits for.
func (s *Store) Fixed(ctx context.Context, domain string) (map[string]Day, error) {
	out := map[string]Day{}
	err := s.each(ctx, "SELECT key, fixed FROM work WHERE domain = ? AND fixed > 0", []any{fold(domain)}, func(r *sql.Rows) error {
		var key string
		var day Day
		err := r.Scan(&key, &day)
		out[key] = day
		return err
	})
	return out, err
}

// NoteCase adds lines to a case's history, and notes a reminder where its time
// is given, without changing Changed: nobody who is filling in a form is
// disturbed. ErrNotFound says that there is no such case.
func (s *Store) NoteCase(ctx context.Context, id int64, reminded time.Time, events ...CaseEvent) error {
	for i := range events {
		if err := trimEvent(&events[i]); err != nil {
			return err
		}
	}
	return s.change(ctx, "note about a case", func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "UPDATE work SET reminded = max(reminded, ?) WHERE id = ?", micros(reminded), id)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, none(sql.ErrNoRows, "case", id))
		}
		return addEvents(ctx, tx, Case{ID: id, Changed: now()}, events)
	})
}

// ownersMost is how many owners CaseOwners lists.
const ownersMost = 200

// CaseOwners returns who has cases, in alphabetical order, at most 200.
func (s *Store) CaseOwners(ctx context.Context) ([]string, error) {
	return rowsOf(ctx, s, "SELECT owner FROM work WHERE owner <> '' GROUP BY lower(owner) ORDER BY lower(owner) LIMIT ?", []any{ownersMost}, func(r *sql.Rows) (string, error) {
		var owner string
		err := r.Scan(&owner)
		return owner, err
	})
}
