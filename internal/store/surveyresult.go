package store

import (
	"context"
	"fmt"
	"strings"
)

// storeResults puts a batch into DuckDB in one transaction, together with what
// also does. Of several results for an entry the last one stays.
func (s *Store) storeResults(ctx context.Context, w *surveyWave, batch []packed, also func() error) error {
	last := make(map[int64]int, len(batch))
	for i := range batch {
		last[batch[i].no] = i
	}
	codes := additions{to: &s.surveys.codes}
	return s.writing(ctx, "store results of a survey", func() error {
		if err := s.deleteResults(ctx, w, last); err != nil {
			return err
		}
		if err := s.appendResults(w.id, batch, last, &codes); err != nil {
			return err
		}
		if err := codes.write(s, "survey_code"); err != nil {
			return err
		}
		if also != nil {
			return also()
		}
		return nil
	}, func() {
		codes.commit()
		w.mu.Lock()
		defer w.mu.Unlock()
		for no := range last {
			w.stored.add(no)
			w.taken.add(no)
		}
		w.changed()
	})
}

// deleteResults deletes those results that are about to be replaced.
func (s *Store) deleteResults(ctx context.Context, w *surveyWave, last map[int64]int) error {
	var again []int64
	w.mu.Lock()
	for no := range last {
		if w.stored.has(no) {
			again = append(again, no)
		}
	}
	w.mu.Unlock()
	for len(again) > 0 {
		part := again[:min(len(again), 1000)]
		again = again[len(part):]
		var list strings.Builder
		for _, no := range part {
			fmt.Fprintf(&list, ", %d", no)
		}
		if _, err := s.conn.ExecContext(ctx, fmt.Sprintf("DELETE FROM survey_result WHERE wave = %d AND no IN (%s)", w.id, list.String()[2:])); err != nil {
			return err
		}
	}
	return nil
}

// appendResults adds to table survey_result in the open transaction.
func (s *Store) appendResults(wave int64, batch []packed, last map[int64]int, codes *additions) error {
	a, err := newAppender(s.native, "survey_result")
	if err != nil {
		return err
	}
	defer a.close()
	for i := range batch {
		p := &batch[i]
		if last[p.no] != i {
			continue
		}
		if _, err := a.room(); err != nil {
			return err
		}
		fill(a, resWave, 1, wave)
		fill(a, resNo, 1, p.no)
		for k := range p.yes {
			fill(a, resMasks+2*k, 1, p.yes[k])
			fill(a, resMasks+2*k+1, 1, p.not[k])
		}
		fill(a, resUnanswered, 1, p.unanswered)
		fill(a, resRetry, 1, p.retry)
		fill(a, resQuestions, 1, p.questions)
		fill(a, resAttempts, 1, p.attempts)
		fill(a, resAt, 1, p.at)
		fill(a, resTook, 1, p.took)
		at := a.cols[resCodes].size
		putList(a, resCodes, &list{end: []uint32{uint32(len(p.codes))}}, 0, 1, 0)
		for k := range p.codes {
			kid[uint32](a, resCodes, 0)[at+k] = codes.id(p.codes[k].key())
		}
		fill(a, resCodec, 1, p.codec)
		if len(p.doc) <= inlineText {
			putText(a, resDoc, lay(p.doc, nil), 0)
		} else {
			t := text{n: uint32(len(p.doc))}
			copy(t.head[:], p.doc)
			putText(a, resDoc, t, a.pin(p.doc))
		}
		a.at++
	}
	return a.finish()
}

// key is a problem as table survey_code names it.
func (c Code) key() string { return c.Topic + "|" + c.Grade + "|" + c.Code }

// codeOf is the reverse of key.
func codeOf(key string) Code {
	topic, rest, _ := strings.Cut(key, "|")
	grade, code, _ := strings.Cut(rest, "|")
	return Code{Topic: topic, Grade: grade, Code: code}
}
