package store

import (
	"context"
	"database/sql"
	"fmt"
)

// duckMigrations bring the DuckDB file from version i to i+1. They are never
// changed, only added to.
var duckMigrations = [...]string{duckSchema, surveySchema}

// stateMigrations do the same for the SQLite file.
var stateMigrations = [...]string{stateSchema, sightingSchema, caseworkSchema, watchSchema, workFactsSchema}

func migrateDuck(ctx context.Context, db *sql.DB) error {
	if _, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"); err != nil {
		return err
	}
	var v int
	if err := db.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM schema_version").Scan(&v); err != nil {
		return err
	}
	if v > len(duckMigrations) {
		return fmt.Errorf("written by a newer version of this program (schema %d, this one knows %d); use that version", v, len(duckMigrations))
	}
	for ; v < len(duckMigrations); v++ {
		// One string is one transaction.
		if _, err := db.ExecContext(ctx, fmt.Sprintf("BEGIN; %s; INSERT INTO schema_version VALUES (%d); COMMIT", duckMigrations[v], v+1)); err != nil {
			return fmt.Errorf("migrate to schema %d: %w", v+1, err)
		}
	}
	return nil
}

func migrateState(ctx context.Context, db *sql.DB) error {
	var v int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&v); err != nil {
		return err
	}
	if v > len(stateMigrations) {
		return fmt.Errorf("written by a newer version of this program (schema %d, this one knows %d); use that version", v, len(stateMigrations))
	}
	for ; v < len(stateMigrations); v++ {
		err := transaction(ctx, db, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, fmt.Sprintf("%s; PRAGMA user_version = %d", stateMigrations[v], v+1))
			return err
		})
		if err != nil {
			return fmt.Errorf("migrate to schema %d: %w", v+1, err)
		}
	}
	return nil
}

// transaction runs f in a SQLite transaction that writes.
func transaction(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		tx.Rollback()
		return err
	}
	return tx.Commit()
}
