package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// mailKey is a message's key as two numbers.
type mailKey struct{ high, low uint64 }

func keyOfMail(k [16]byte) mailKey {
	return mailKey{binary.BigEndian.Uint64(k[:8]), binary.BigEndian.Uint64(k[8:])}
}

// PutMail keeps messages of a wave, all of them or, with an error, none. One
// with the key of a message that is there takes its place. fresh counts the
// others. Selectors go to what method Selectors gives. Batches of some hundred
// are best.
func (s *Store) PutMail(ctx context.Context, wave int64, m []MailResult) (fresh int64, err error) {
	if len(m) == 0 {
		return 0, nil
	}
	if _, err := s.survey(ctx, wave); err != nil {
		return 0, err
	}
	last := make(map[mailKey]int, len(m))
	for i := range m {
		if len(m[i].Doc) > maxDoc {
			return 0, fmt.Errorf("message %s: its document has %d octets, at most %d can be kept", m[i].Path, len(m[i].Doc), maxDoc)
		}
		last[keyOfMail(m[i].Key)] = i
	}
	err = s.writing(ctx, "store messages of a survey", func() error {
		old, next, err := s.takeOut(ctx, wave, last)
		if err != nil {
			return err
		}
		fresh = int64(len(last) - len(old))
		enc, err := s.mailEncoder(ctx, wave, m)
		if err != nil {
			return err
		}
		if err := s.appendMail(wave, m, last, old, next, enc); err != nil {
			return err
		}
		return s.noteSelectors(ctx, m)
	})
	if err != nil {
		fresh = 0
	}
	return fresh, err
}

// takeOut deletes the messages of these keys and returns their numbers, and the
// number after the last.
func (s *Store) takeOut(ctx context.Context, wave int64, keys map[mailKey]int) (old map[mailKey]int64, next int64, err error) {
	old = map[mailKey]int64{}
	if err := s.conn.QueryRowContext(ctx, "SELECT coalesce(max(no), 0) + 1 FROM survey_mail WHERE wave = ?", wave).Scan(&next); err != nil {
		return nil, 0, err
	}
	var list strings.Builder
	for k := range keys {
		fmt.Fprintf(&list, ", %d::UBIGINT", k.low)
	}
	rows, err := s.conn.QueryContext(ctx, fmt.Sprintf("SELECT high, low, no FROM survey_mail WHERE wave = %d AND low IN (%s)", wave, list.String()[2:]))
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	var gone []string
	for rows.Next() {
		var k mailKey
		var no int64
		if err := rows.Scan(&k.high, &k.low, &no); err != nil {
			return nil, 0, err
		}
		if _, ok := keys[k]; ok {
			old[k] = no
			gone = append(gone, fmt.Sprint(no))
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, 0, err
	}
	if len(gone) > 0 {
		_, err = s.conn.ExecContext(ctx, fmt.Sprintf("DELETE FROM survey_mail WHERE wave = %d AND no IN (%s)", wave, strings.Join(gone, ", ")))
	}
	return old, next, err
}

// mailEncoder returns the encoder of a wave's messages, making its dictionary
// of these if it has none yet and they are many.
func (s *Store) mailEncoder(ctx context.Context, wave int64, m []MailResult) (*encoder, error) {
	enc, err := s.dictionary(ctx, s.conn, wave, "mail")
	if err != nil || enc.codec > 0 || len(m) < 32 {
		return enc, err
	}
	var b sample
	for i := range m {
		b.add(m[i].Doc)
	}
	if len(b.bytes) < dictionaryLeast {
		return enc, nil
	}
	return s.addDictionary(ctx, wave, "mail", b.bytes)
}

// appendMail adds to table survey_mail in the open transaction.
func (s *Store) appendMail(wave int64, m []MailResult, last map[mailKey]int, old map[mailKey]int64, next int64, enc *encoder) error {
	a, err := newAppender(s.native, "survey_mail")
	if err != nil {
		return err
	}
	defer a.close()
	for i := range m {
		x := &m[i]
		k := keyOfMail(x.Key)
		if last[k] != i {
			continue
		}
		no, ok := old[k]
		if !ok {
			no = next
			next++
		}
		if _, err := a.room(); err != nil {
			return err
		}
		fill(a, mailWave, 1, wave)
		fill(a, mailNo, 1, no)
		fill(a, mailHigh, 1, k.high)
		fill(a, mailLow, 1, k.low)
		fill(a, mailEntry, 1, x.Entry)
		fill(a, mailArrived, 1, stamp(x.Arrived))
		var arena []byte
		texts := [mailCodec - mailTexts]string{x.Path, x.From, x.Subject, x.SMIME,
			x.Now.SPF, x.Now.DKIM, x.Now.DMARC, x.Then.SPF, x.Then.DKIM, x.Then.DMARC, ""}
		if len(x.Selectors) > 0 {
			texts[len(texts)-1] = jsonText(x.Selectors)
		}
		var laid [len(texts)]text
		for k, t := range texts {
			laid[k] = layText(t, &arena)
		}
		doc := lay(enc.pack(x.Doc, nil), &arena)
		base := a.pin(arena)
		for k := range laid {
			putText(a, mailTexts+k, laid[k], base)
		}
		fill(a, mailCodec, 1, enc.codec)
		putText(a, mailDoc, doc, base)
		a.at++
	}
	return a.finish()
}

const mailColumns = "high, low, entry, arrived, path, sender, subject, smime, spf, dkim, dmarc, spf_then, dkim_then, dmarc_then, selectors"

// scanMail reads mailColumns and what more is asked for.
func scanMail(row scanner, more ...any) (m MailResult, err error) {
	var k mailKey
	var selectors string
	err = row.Scan(append([]any{&k.high, &k.low, &m.Entry, &m.Arrived, &m.Path, &m.From, &m.Subject, &m.SMIME,
		&m.Now.SPF, &m.Now.DKIM, &m.Now.DMARC, &m.Then.SPF, &m.Then.DKIM, &m.Then.DMARC, &selectors}, more...)...)
	if err != nil {
		return MailResult{}, err
	}
	binary.BigEndian.PutUint64(m.Key[:8], k.high)
	binary.BigEndian.PutUint64(m.Key[8:], k.low)
	m.Arrived = sometime(m.Arrived)
	if selectors != "" {
		err = json.Unmarshal([]byte(selectors), &m.Selectors)
	}
	return m, err
}

// mailSort are the columns by which Mails sorts.
var mailSort = map[string]string{"": "arrived", "arrived": "arrived", "from": "sender", "subject": "subject", "smime": "smime", "spf": "spf", "dkim": "dkim", "dmarc": "dmarc", "no": "no"}

// Mails lists messages with their documents, and how many there are: those of
// an entry, for 0 all, for -1 those that belong to none. Page.Sort: "arrived"
// (default, the newest first), "from", "subject", "smime", "spf", "dkim",
// "dmarc", "no" (as they came). Page.Search looks in
// author, subject and path.
func (s *Store) Mails(ctx context.Context, wave, entry int64, p Page) ([]MailResult, int64, error) {
	if _, err := s.survey(ctx, wave); err != nil {
		return nil, 0, err
	}
	order, err := p.order(mailSort, "no")
	if err != nil {
		return nil, 0, err
	}
	where := fmt.Sprintf(" FROM survey_mail WHERE wave = %d", wave)
	switch {
	case entry > 0:
		where += fmt.Sprintf(" AND entry = %d", entry)
	case entry < 0:
		where += " AND entry = 0"
	}
	var args []any
	if t := strings.TrimSpace(p.Search); t != "" {
		where += " AND (contains(lower(sender), lower($1)) OR contains(lower(subject), lower($1)) OR contains(lower(path), lower($1)))"
		args = append(args, strings.ToValidUTF8(t, "\uFFFD"))
	}
	var total int64
	if err := s.query(ctx, "SELECT count(*)"+where, args, func(r *sql.Rows) error { return r.Scan(&total) }); err != nil {
		return nil, 0, err
	}
	limit, offset := p.bounds()
	var out []MailResult
	var codecs []uint32
	err = s.query(ctx, fmt.Sprintf("SELECT %s, codec, doc%s%s LIMIT %d OFFSET %d", mailColumns, where, order, limit, offset), args, func(r *sql.Rows) error {
		var codec uint32
		var doc []byte
		m, err := scanMail(r, &codec, &doc)
		m.Doc = doc
		out, codecs = append(out, m), append(codecs, codec)
		return err
	})
	for i := 0; err == nil && i < len(out); i++ { // only now: it may ask for a dictionary
		out[i].Doc, err = s.unpack(ctx, codecs[i], out[i].Doc)
	}
	if err != nil {
		return nil, 0, err
	}
	return out, total, nil
}

// mailWindow is how many messages EachMail reads at a time.
const mailWindow = 8192

// EachMail calls f for every message, without its document, in the order in
// which they first came. Memory does not grow with their number.
func (s *Store) EachMail(ctx context.Context, wave int64, f func(*MailResult) error) error {
	if _, err := s.survey(ctx, wave); err != nil {
		return err
	}
	for last := int64(0); ; {
		var page []MailResult
		err := s.run(ctx, fmt.Sprintf("SELECT %s, no FROM survey_mail WHERE wave = %d AND no > %d ORDER BY no LIMIT %d", mailColumns, wave, last, mailWindow), nil, func(r *sql.Rows) error {
			m, err := scanMail(r, &last)
			page = append(page, m)
			return err
		})
		if err != nil {
			return err
		}
		for i := range page {
			if err := f(&page[i]); err != nil {
				return err
			}
		}
		if len(page) < mailWindow {
			return nil
		}
	}
}

// Combinations counts messages by what protects them, the most frequent first.
// By BasisThen, a method of which the receiving server recorded nothing counts
// as it is evaluated now. matchedOnly leaves out messages of no entry.
func (s *Store) Combinations(ctx context.Context, wave int64, b Basis, matchedOnly bool) ([]Combination, error) {
	columns := "spf, dkim, dmarc"
	switch b {
	case BasisNow:
	case BasisThen:
		columns = "if(spf_then = '', spf, spf_then), if(dkim_then = '', dkim, dkim_then), if(dmarc_then = '', dmarc, dmarc_then)"
	default:
		return nil, fmt.Errorf("basis %q: want %q or %q", b, BasisThen, BasisNow)
	}
	var out []Combination
	err := s.query(ctx, "SELECT smime, "+columns+", count(*) FROM survey_mail WHERE wave = $1 AND ($2 OR entry <> 0) GROUP BY ALL ORDER BY 5 DESC, 1, 2, 3, 4", []any{wave, !matchedOnly}, func(r *sql.Rows) error {
		var c Combination
		err := r.Scan(&c.SMIME, &c.SPF, &c.DKIM, &c.DMARC, &c.Count)
		out = append(out, c)
		return err
	})
	return out, err
}
