package outbox

import (
	"context"
	"database/sql"
	"fmt"
)

// schema is the tables. Times are milliseconds since 1970, 0 for never.
//
// A delivery that is unverified has the URI of the record as its address.
const schema = `
CREATE TABLE day (
	day TEXT PRIMARY KEY, state TEXT NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE report (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	day TEXT NOT NULL, policy TEXT NOT NULL, domain TEXT NOT NULL,
	report_id TEXT NOT NULL, form TEXT NOT NULL, file TEXT NOT NULL, filename TEXT NOT NULL,
	messages INTEGER NOT NULL, rows INTEGER NOT NULL, size INTEGER NOT NULL, sum TEXT NOT NULL,
	made INTEGER NOT NULL,
	UNIQUE (day, policy)
);
CREATE TABLE delivery (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	report INTEGER NOT NULL REFERENCES report (id) ON DELETE CASCADE,
	uri TEXT NOT NULL, address TEXT NOT NULL, host TEXT NOT NULL,
	state TEXT NOT NULL, reason TEXT NOT NULL,
	attempts INTEGER NOT NULL, first INTEGER NOT NULL, next INTEGER NOT NULL,
	ended INTEGER NOT NULL, error TEXT NOT NULL,
	UNIQUE (report, address)
);
CREATE INDEX delivery_open ON delivery (id) WHERE state IN ('unverified', 'waiting');
CREATE INDEX delivery_host ON delivery (host, report);
`

const version = 1

// migrate makes the tables. A file of a later version is refused, not guessed
// at.
func (b *Box) migrate(ctx context.Context) error {
	var have int
	if err := b.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	if have == version {
		return nil
	}
	return b.change(ctx, "make its tables", func(tx *sql.Tx) error {
		// Another process may have been first.
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil || have == version {
			return err
		}
		if have > version {
			return fmt.Errorf("the file is of version %d, and this program knows %d: use the newer program", have, version)
		}
		_, err := tx.ExecContext(ctx, schema+fmt.Sprintf("PRAGMA user_version = %d", version))
		return err
	})
}
