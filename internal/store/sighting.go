package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"

	"sekimori/domain"
)

// Who saw what a Sighting tells of.
const (
	ByFailureReports = "failure-reports" // receivers that report on single messages (RFC 9991)
	ByGateway        = "gateway"         // the gateway of this site
)

// Sighting is what another eye than the aggregate reports saw of one address
// that used a domain: a failure report, or a day of the gateway's own verdicts.
// It tells of hosts and domains, never of people: local-parts, subjects and the
// text of messages are not in it.
type Sighting struct {
	By       string     `json:"by"`     // ByFailureReports or ByGateway
	Author   string     `json:"author"` // the author's domain (RFC 5322 From), lower case
	Addr     netip.Addr `json:"addr"`   // of the host that delivered
	Day      Day        `json:"day"`
	Arrived  time.Time  `json:"arrived"`  // of a failure report; zero where it is not said
	Messages uint64     `json:"messages"` // that it tells of
	Failing  uint64     `json:"failing"`  // of them, those that did not pass DMARC

	Failure  string `json:"failure,omitempty"`  // a failure.Kind; "" where it is not said
	Delivery string `json:"delivery,omitempty"` // a failure.Delivery; "" where it is not said
	Envelope string `json:"envelope,omitempty"` // domain of the envelope-from
	// DKIMDomain, Selector and DKIM are a signature's domain, its selector and
	// the result's word (RFC 8601 §2.7.1): of an aligned one if there is one.
	DKIMDomain string `json:"dkim_domain,omitempty"`
	Selector   string `json:"selector,omitempty"`
	DKIM       string `json:"dkim,omitempty"`
	SPFDomain  string `json:"spf_domain,omitempty"` // that SPF was checked for
	SPF        string `json:"spf,omitempty"`        // its result's word
	Reporter   string `json:"reporter,omitempty"`   // domain of the receiver that tells it

	Hash   [32]byte `json:"-"` // tells failure reports apart: the same again is a duplicate
	Origin Origin   `json:"-"` // where it came from; not given back
}

// maxSightings bounds the failure reports that are kept; beyond it those of the
// oldest days go.
const maxSightings = 1_000_000

// SightingOutcome is what became of a sighting: New, or there already. Resumed
// is set with a duplicate when it came from the same import, file and place.
type SightingOutcome struct{ New, Resumed bool }

// PutSightings keeps failure reports, all of them in one durable transaction,
// and says for each what became of it. Texts are cut to 255 octets. Some
// 1,000,000 are kept, at most 5 % more.
func (s *Store) PutSightings(ctx context.Context, in []Sighting) ([]SightingOutcome, error) {
	out := make([]SightingOutcome, len(in))
	err := s.change(ctx, "keep failure reports", func(tx *sql.Tx) error {
		st, err := tx.PrepareContext(ctx, `INSERT INTO sighting VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (hash) DO NOTHING`)
		if err != nil {
			return err
		}
		defer st.Close()
		for i, g := range in {
			origin := g.Origin.sum()
			var arrived int64
			if !g.Arrived.IsZero() {
				arrived = g.Arrived.Unix()
			}
			r, err := st.ExecContext(ctx, g.Hash[:], origin, organization(g.Author), name(g.Author), int64(g.Day), arrived, g.Addr.Unmap().WithZone("").AsSlice(),
				int64(g.Messages), int64(g.Failing), clipped(g.Failure), clipped(g.Delivery), name(g.Envelope),
				name(g.DKIMDomain), clipped(g.Selector), clipped(g.DKIM), name(g.SPFDomain), clipped(g.SPF), name(g.Reporter))
			if err != nil {
				return err
			}
			if n, err := r.RowsAffected(); err != nil {
				return err
			} else if n > 0 {
				out[i].New = true
				continue
			}
			var first int64
			if err := tx.QueryRowContext(ctx, "SELECT origin FROM sighting WHERE hash = ?", g.Hash[:]).Scan(&first); err != nil {
				return err
			}
			out[i].Resumed = first == origin
		}
		// Counting reads the whole table: once in a while will do.
		if n := s.sightings.Add(int64(len(in))); n > int64(len(in)) && n < maxSightings/20 {
			return nil
		}
		s.sightings.Store(1)
		var n int64
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sighting").Scan(&n); err != nil || n <= maxSightings {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM sighting WHERE hash IN (SELECT hash FROM sighting ORDER BY day LIMIT ?)", n-maxSightings+maxSightings/20)
		return err
	})
	return out, err
}

// Sightings calls f for each failure report about a domain, or a name below it,
// whose message arrived in the window, by day. An error of f ends it. Rows are
// streamed: memory does not grow with them.
func (s *Store) Sightings(ctx context.Context, domain string, w Window, f func(Sighting) error) error {
	done, err := s.reading()
	if err != nil {
		return err
	}
	defer done()
	domain = fold(domain)
	rows, err := s.state.QueryContext(ctx, `SELECT author, day, arrived, addr, messages, failing, failure, delivery, envelope,
			dkim_domain, selector, dkim, spf_domain, spf, reporter
		FROM sighting WHERE org = ?1 AND day >= ?2 AND day < ?3 AND (author = ?4 OR substr(author, -length(?5)) = ?5) ORDER BY day`,
		organization(domain), int64(w.Begin), int64(w.End), domain, "."+domain)
	if err != nil {
		return fmt.Errorf("read failure reports: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		g := Sighting{By: ByFailureReports}
		var addr []byte
		var day, arrived, messages, failing int64
		if err := rows.Scan(&g.Author, &day, &arrived, &addr, &messages, &failing, &g.Failure, &g.Delivery, &g.Envelope,
			&g.DKIMDomain, &g.Selector, &g.DKIM, &g.SPFDomain, &g.SPF, &g.Reporter); err != nil {
			return fmt.Errorf("read failure reports: %w", err)
		}
		g.Addr, _ = netip.AddrFromSlice(addr)
		g.Day, g.Messages, g.Failing = Day(day), uint64(messages), uint64(failing)
		if arrived != 0 {
			g.Arrived = time.Unix(arrived, 0).UTC()
		}
		if err := f(g); err != nil {
			return err
		}
	}
	return rows.Err()
}

// organization is the domain by which a name's sightings are found.
func organization(s string) string {
	if n, err := domain.Parse(s); err == nil {
		return n.Organizational().String()
	}
	return name(s)
}

// name is a domain name as it is kept.
func name(s string) string { return clipped(fold(s)) }

// clipped cuts a text of a report to what a column is meant for.
func clipped(s string) string {
	const most = 255
	if len(s) <= most {
		return s
	}
	end := most
	for end > 0 && s[end]&0xC0 == 0x80 { // not inside a character
		end--
	}
	return s[:end]
}
