package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// maxSelectors is how many selectors of a domain Selectors gives.
	maxSelectors = 20
	// gatherEvery is how often reports that came in are looked through.
	gatherEvery = time.Minute
)

// selectorMark says when selectors were gathered from reports.
type selectorMark struct {
	sync.Mutex // held by who gathers
	at         time.Time
}

// Selectors gives the DKIM selectors that were seen passing for each of the
// domains, in aggregate reports and in the messages of surveys: at most 20, the
// most used first. Names are compared without regard to case. The first call
// after an import gathers them from its reports (seconds for ten million
// records); the others read a small table.
func (s *Store) Selectors(ctx context.Context, domains []string) (map[string][]string, error) {
	if err := s.gatherSelectors(ctx); err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for len(domains) > 0 {
		part := domains[:min(len(domains), 1000)]
		domains = domains[len(part):]
		var args []any
		var marks strings.Builder
		named := map[string][]string{} // by folded name, as asked for
		for _, d := range part {
			f := fold(d)
			if named[f] == nil {
				args = append(args, f)
				fmt.Fprintf(&marks, ", $%d", len(args))
			}
			named[f] = append(named[f], d)
		}
		err := s.run(ctx, `SELECT domain, selector FROM (SELECT domain, selector, sum(n) AS n FROM dkim_selector WHERE domain IN (`+marks.String()[2:]+`) GROUP BY ALL)
			QUALIFY row_number() OVER (PARTITION BY domain ORDER BY n DESC, selector) <= `+fmt.Sprint(maxSelectors)+` ORDER BY domain, n DESC, selector`, args, func(r *sql.Rows) error {
			var d, sel string
			if err := r.Scan(&d, &sel); err != nil {
				return err
			}
			for _, name := range named[d] {
				out[name] = append(out[name], sel)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// gatherSelectors looks through the reports that came in since it last did.
func (s *Store) gatherSelectors(ctx context.Context) error {
	m := &s.surveys.marks
	m.Lock()
	defer m.Unlock()
	if time.Since(m.at) < gatherEvery {
		return nil
	}
	done, err := s.reading()
	if err != nil {
		return err
	}
	var seq int64
	err = s.duck.QueryRowContext(ctx, "SELECT seq FROM selector_mark").Scan(&seq)
	done()
	if err != nil {
		return engineError(err)
	}
	newest := s.DataVersion()
	if newest == seq {
		m.at = time.Now()
		return nil
	}
	err = s.writing(ctx, "gather selectors", func() error {
		if newest < seq { // the file is an older copy
			seq = 0
			if _, err := s.conn.ExecContext(ctx, "DELETE FROM dkim_selector"); err != nil {
				return err
			}
		}
		_, err := s.conn.ExecContext(ctx, `INSERT INTO dkim_selector
			SELECT lower(d.domain), lower(d.selector), least(sum(n), 9223372036854775807)::UBIGINT
			FROM (SELECT n, unnest(dkim) AS d FROM record WHERE seq > $1 AND seq <= $2 AND auth_dkim <> '')
			WHERE d.result = 'pass' AND d.domain <> '' AND d.selector <> '' AND length(d.selector) <= 253 GROUP BY 1, 2`, seq, newest)
		if err != nil {
			return err
		}
		_, err = s.conn.ExecContext(ctx, "UPDATE selector_mark SET seq = ?", newest)
		return err
	})
	if err == nil {
		m.at = time.Now()
	}
	return err
}

// noteSelectors adds the selectors of messages in the open transaction.
func (s *Store) noteSelectors(ctx context.Context, m []MailResult) error {
	type pair struct{ domain, selector string }
	seen := map[pair]bool{}
	for i := range m {
		for _, x := range m[i].Selectors {
			p := pair{fold(x.Domain), fold(x.Name)}
			if p.domain == "" || p.selector == "" || len(p.selector) > 253 || len(p.domain) > 253 || seen[p] {
				continue
			}
			seen[p] = true
			_, err := s.conn.ExecContext(ctx, `INSERT INTO dkim_selector SELECT $1::VARCHAR, $2::VARCHAR, 1
				WHERE NOT EXISTS (FROM dkim_selector WHERE domain = $1 AND selector = $2)`, p.domain, p.selector)
			if err != nil {
				return err
			}
		}
	}
	return nil
}
