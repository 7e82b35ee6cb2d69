package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrWaveDiffers says that a wave of this name was begun with another list, or
// with the same one read in another way.
var ErrWaveDiffers = errors.New("a wave of this name has another list")

// ErrUnsealed says that a wave's list was not read to its end.
var ErrUnsealed = errors.New("the list was not read to its end; run the survey again with the same list")

// ErrSurveying says that somebody is writing results of the wave.
var ErrSurveying = errors.New("the wave is being surveyed")

const (
	// maxFacts is how many facts a result's bits have room for.
	maxFacts = 128
	// maxAttributes bounds the columns of a list.
	maxAttributes = 1000
)

// surveys is what the store keeps in memory about waves.
type surveys struct {
	mu    sync.Mutex
	of    map[int64]*surveyWave
	codes dictionary // survey_code
	docs  decoders
	marks selectorMark
}

// surveyWave is a wave that somebody asked for. Its memory grows by two bits
// for each entry once results are written, and by nothing else.
type surveyWave struct {
	id         int64
	facts      []string
	attributes []string

	// edit is held by who changes the entries, opens a SurveyWriter or drops
	// the wave; it is taken before the store's writer, and mu after it.
	edit sync.Mutex

	mu      sync.Mutex
	sealed  bool
	loaded  bool      // what follows was read
	highest int64     // number of an entry
	stored  numberSet // entries whose result is in DuckDB
	taken   numberSet // and those whose result was put
	writer  *SurveyWriter
	shapes  []AttributeShape // of a sealed wave, once somebody asked
	version int64            // counts what was written
	kept    map[string]any   // tables of this version
}

const waveColumns = "id, name, list, digest, attributes, facts, started, finished, sealed, entries, domains, duplicates, without, invalid"

// scanWave reads waveColumns; what changes with every result is left out.
func scanWave(row scanner) (w Wave, err error) {
	var attributes, facts string
	err = row.Scan(&w.ID, &w.Name, &w.List, &w.Digest, &attributes, &facts, &w.Started, &w.Finished, &w.Sealed,
		&w.Entries, &w.Domains, &w.Duplicates, &w.Without, &w.Invalid)
	if err != nil {
		return Wave{}, err
	}
	w.Started, w.Finished = sometime(w.Started), sometime(w.Finished)
	return w, errors.Join(json.Unmarshal([]byte(attributes), &w.Attributes), json.Unmarshal([]byte(facts), &w.Facts))
}

// count fills in how many results and messages the wave has.
func (w *Wave) count(ctx context.Context, from asker) error {
	return from.QueryRowContext(ctx, fmt.Sprintf("SELECT count(*), count(*) FILTER (unanswered), coalesce(sum(questions), 0)::BIGINT, (SELECT count(*) FROM survey_mail WHERE wave = %d) FROM survey_result WHERE wave = %[1]d", w.ID)).
		Scan(&w.Measured, &w.Unanswered, &w.Questions, &w.Messages)
}

// sometime is a stored time, of which 1970 means never.
func sometime(t time.Time) time.Time {
	if t.UnixMicro() == 0 {
		return time.Time{}
	}
	return t.UTC()
}

// stamp is a time as DuckDB's TIMESTAMP; the zero time is that of 1970.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return timestamp(t)
}

// StartWave begins a wave, or goes on with the one of this name. That one must
// have the same digest and attributes (ErrWaveDiffers, errors.Is), be it
// finished or not; it keeps its facts, and the caller's results follow them. A
// wave without a list, which has no digest, takes over the list of the spec,
// and a spec without one the wave as it is. It waits while a large report is
// being stored.
func (s *Store) StartWave(ctx context.Context, spec WaveSpec) (wave Wave, resumed bool, err error) {
	switch {
	case strings.TrimSpace(spec.Name) == "" || len(spec.Name) > 200:
		return Wave{}, false, fmt.Errorf("name of a wave %q: want 1 to 200 octets, such as 2026-11", spec.Name)
	case len(spec.Facts) > maxFacts:
		return Wave{}, false, fmt.Errorf("a wave of %d facts: there is room for %d", len(spec.Facts), maxFacts)
	case len(spec.Attributes) > maxAttributes:
		return Wave{}, false, fmt.Errorf("a list of %d attributes: at most %d are kept; leave out columns", len(spec.Attributes), maxAttributes)
	}
	err = s.writing(ctx, "start a wave", func() error {
		old, err := s.wave(ctx, s.conn, spec.Name)
		if err == nil {
			if old.Digest == "" && old.Entries == 0 && spec.Digest != "" {
				wave, err = s.adopt(ctx, old.ID, spec)
				return err
			}
			if spec.Digest != "" && (old.Digest != spec.Digest || !slices.Equal(old.Attributes, spec.Attributes)) {
				return fmt.Errorf("wave %q of %s, read from %s: %w; choose another name", old.Name, old.Started.Format(time.DateOnly), old.List, ErrWaveDiffers)
			}
			wave, resumed = old, true
			return nil
		}
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		_, err = s.conn.ExecContext(ctx, `INSERT INTO survey_wave SELECT nextval('survey_wave_id'), ?, ?, ?, ?, ?, ?, TIMESTAMP '1970-01-01', false, 0, 0, 0, 0, 0`,
			spec.Name, spec.List, spec.Digest, jsonText(nonNilTexts(spec.Attributes)), jsonText(nonNilTexts(spec.Facts)), now())
		if err != nil {
			return err
		}
		wave, err = s.wave(ctx, s.conn, spec.Name)
		return err
	}, func() {
		s.surveys.mu.Lock()
		defer s.surveys.mu.Unlock()
		if !resumed { // what is known about a wave that was adopted is old
			delete(s.surveys.of, wave.ID)
		}
	})
	return wave, resumed, err
}

// adopt gives a wave without a list that of a spec, in the open transaction.
func (s *Store) adopt(ctx context.Context, id int64, spec WaveSpec) (Wave, error) {
	_, err := s.conn.ExecContext(ctx, "UPDATE survey_wave SET list = ?, digest = ?, attributes = ?, facts = ?, sealed = false, finished = TIMESTAMP '1970-01-01' WHERE id = ?",
		spec.List, spec.Digest, jsonText(nonNilTexts(spec.Attributes)), jsonText(nonNilTexts(spec.Facts)), id)
	if err != nil {
		return Wave{}, err
	}
	return s.waveByID(ctx, s.conn, id)
}

func nonNilTexts(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// writing runs f in a transaction of the writer's connection and commits it.
// after follows a commit, before anybody else writes.
func (s *Store) writing(ctx context.Context, doing string, f func() error, after ...func()) error {
	if err := s.acquire(ctx); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	defer func() { <-s.writer }()
	s.yield(ctx)
	err := s.begin(ctx)
	if err == nil {
		if err = f(); err == nil {
			err = s.commit()
		}
		if err != nil {
			s.rollback()
		} else {
			for _, f := range after {
				f()
			}
			// DuckDB syncs its log, not the folder in which it made it anew.
			err = syncDir(s.dir)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, engineError(err))
	}
	return nil
}

// asker is a connection, or the pool of them.
type asker interface {
	QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row
}

// wave reads a wave by name, or the newest for "".
func (s *Store) wave(ctx context.Context, from asker, name string) (Wave, error) {
	w, err := scanWave(from.QueryRowContext(ctx, "SELECT "+waveColumns+" FROM survey_wave WHERE $1 = '' OR name = $1 ORDER BY id DESC LIMIT 1", name))
	if errors.Is(err, sql.ErrNoRows) {
		if name == "" {
			return Wave{}, fmt.Errorf("there is no wave of a survey yet: %w", ErrNotFound)
		}
		return Wave{}, fmt.Errorf("wave %q: %w", name, ErrNotFound)
	}
	if err == nil {
		err = w.count(ctx, from)
	}
	return w, engineError(err)
}

// Wave returns a wave by its name, or the newest for ""; ErrNotFound where
// there is none. Measured lags behind an open SurveyWriter by some seconds.
func (s *Store) Wave(ctx context.Context, name string) (Wave, error) {
	done, err := s.reading()
	if err != nil {
		return Wave{}, err
	}
	defer done()
	return s.wave(ctx, s.duck, name)
}

// Waves lists all waves, the newest first.
func (s *Store) Waves(ctx context.Context) ([]Wave, error) {
	var out []Wave
	err := s.run(ctx, "SELECT "+waveColumns+" FROM survey_wave ORDER BY id DESC", nil, func(r *sql.Rows) error {
		w, err := scanWave(r)
		out = append(out, w)
		return err
	})
	if err != nil {
		return nil, err
	}
	at := map[int64]*Wave{}
	for i := range out {
		at[out[i].ID] = &out[i]
	}
	err = s.run(ctx, `SELECT wave, count(*), count(*) FILTER (unanswered), sum(questions)::BIGINT, 0 FROM survey_result GROUP BY wave
		UNION ALL SELECT wave, 0, 0, 0, count(*) FROM survey_mail GROUP BY wave`, nil, func(r *sql.Rows) error {
		var id, measured, unanswered, questions, messages int64
		if err := r.Scan(&id, &measured, &unanswered, &questions, &messages); err != nil {
			return err
		}
		if w := at[id]; w != nil {
			w.Measured, w.Unanswered, w.Questions, w.Messages = w.Measured+measured, w.Unanswered+unanswered, w.Questions+questions, w.Messages+messages
		}
		return nil
	})
	return out, err
}

// waveByID reads a wave by its number.
func (s *Store) waveByID(ctx context.Context, from asker, id int64) (Wave, error) {
	w, err := scanWave(from.QueryRowContext(ctx, "SELECT "+waveColumns+" FROM survey_wave WHERE id = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		return Wave{}, fmt.Errorf("wave %d: %w", id, ErrNotFound)
	}
	if err == nil {
		err = w.count(ctx, from)
	}
	return w, engineError(err)
}

// surveyed returns what is kept in memory about a wave. The caller is a reader
// or has the writer.
func (s *Store) surveyed(ctx context.Context, id int64) (*surveyWave, error) {
	s.surveys.mu.Lock()
	defer s.surveys.mu.Unlock()
	if w := s.surveys.of[id]; w != nil {
		return w, nil
	}
	var attributes, facts string
	w := &surveyWave{id: id}
	err := s.duck.QueryRowContext(ctx, "SELECT attributes, facts, sealed FROM survey_wave WHERE id = ?", id).Scan(&attributes, &facts, &w.sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("wave %d: %w", id, ErrNotFound)
	}
	if err == nil {
		err = errors.Join(json.Unmarshal([]byte(attributes), &w.attributes), json.Unmarshal([]byte(facts), &w.facts))
	}
	if err != nil {
		return nil, fmt.Errorf("wave %d: %w", id, engineError(err))
	}
	if s.surveys.of == nil {
		s.surveys.of = map[int64]*surveyWave{}
	}
	s.surveys.of[id] = w
	return w, nil
}

// survey is surveyed for one who is no reader yet.
func (s *Store) survey(ctx context.Context, id int64) (*surveyWave, error) {
	done, err := s.reading()
	if err != nil {
		return nil, err
	}
	defer done()
	return s.surveyed(ctx, id)
}

func (w *surveyWave) isSealed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sealed
}

func (w *surveyWave) open() *SurveyWriter {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writer
}

// load reads which entries have results. w.mu is held.
func (w *surveyWave) load(ctx context.Context, s *Store) error {
	if w.loaded {
		return nil
	}
	w.stored, w.taken = nil, nil
	if err := s.duck.QueryRowContext(ctx, "SELECT coalesce(max(no), 0) FROM survey_entry WHERE wave = ?", w.id).Scan(&w.highest); err != nil {
		return engineError(err)
	}
	rows, err := s.duck.QueryContext(ctx, "SELECT no // 64, bit_or(1::UBIGINT << (no % 64)::UBIGINT) FROM survey_result WHERE wave = ? GROUP BY 1", w.id)
	if err != nil {
		return engineError(err)
	}
	defer rows.Close()
	for rows.Next() {
		var at int64
		var word uint64
		if err := rows.Scan(&at, &word); err != nil {
			return err
		}
		w.stored.word(at, word)
		w.taken.word(at, word)
	}
	if err := rows.Err(); err != nil {
		return engineError(err)
	}
	w.loaded = true
	return nil
}

// numberSet is a set of entry numbers.
type numberSet []uint64

func (b *numberSet) word(at int64, w uint64) {
	for int64(len(*b)) <= at {
		*b = append(*b, make([]uint64, max(64, len(*b)/4))...)
	}
	(*b)[at] |= w
}

func (b *numberSet) add(no int64) { b.word(no/64, 1<<(no%64)) }

func (b numberSet) has(no int64) bool {
	return no >= 0 && no/64 < int64(len(b)) && b[no/64]&(1<<(no%64)) != 0
}

// FinishWave says that nothing is left to do, or not now. Results of an open
// SurveyWriter are moved in first.
func (s *Store) FinishWave(ctx context.Context, id int64) (Wave, error) {
	if err := s.settle(ctx, id); err != nil {
		return Wave{}, err
	}
	var wave Wave
	err := s.writing(ctx, "finish a wave", func() error {
		if _, err := s.conn.ExecContext(ctx, "UPDATE survey_wave SET finished = ? WHERE id = ?", now(), id); err != nil {
			return err
		}
		var err error
		wave, err = s.waveByID(ctx, s.conn, id)
		return err
	})
	return wave, err
}

// settle moves what an open SurveyWriter holds into DuckDB.
func (s *Store) settle(ctx context.Context, id int64) error {
	w, err := s.survey(ctx, id)
	if err != nil {
		return err
	}
	if sw := w.open(); sw != nil {
		return sw.settle(ctx)
	}
	return nil
}

// DropWave deletes a wave with its entries, results and messages; ErrSurveying
// while a SurveyWriter of it is open. The room on disk is used again.
func (s *Store) DropWave(ctx context.Context, id int64) error {
	w, err := s.survey(ctx, id)
	if err != nil {
		return err
	}
	w.edit.Lock()
	defer w.edit.Unlock()
	if w.open() != nil {
		return fmt.Errorf("drop wave %d: %w", id, ErrSurveying)
	}
	err = s.writing(ctx, "drop a wave", func() error {
		for _, t := range [...]string{"survey_result", "survey_entry", "survey_mail", "survey_dictionary"} {
			if _, err := s.conn.ExecContext(ctx, fmt.Sprintf("DELETE FROM %s WHERE wave = %d", t, id)); err != nil {
				return err
			}
		}
		_, err := s.conn.ExecContext(ctx, "DELETE FROM survey_wave WHERE id = ?", id)
		return err
	})
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.loaded = false
	w.changed()
	w.mu.Unlock()
	s.surveys.mu.Lock()
	delete(s.surveys.of, id)
	s.surveys.mu.Unlock()
	s.surveys.docs.forget()
	if err := s.removeJournals(id); err != nil {
		return fmt.Errorf("drop wave %d: %w", id, err)
	}
	return nil
}

// closeSurveys closes the SurveyWriters that are open.
func (s *Store) closeSurveys(ctx context.Context) error {
	s.surveys.mu.Lock()
	var open []*SurveyWriter
	for _, w := range s.surveys.of {
		if sw := w.open(); sw != nil {
			open = append(open, sw)
		}
	}
	s.surveys.mu.Unlock()
	var errs []error
	for _, sw := range open {
		errs = append(errs, sw.Close(ctx))
	}
	return errors.Join(errs...)
}
