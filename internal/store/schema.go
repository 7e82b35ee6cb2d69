package store

// duckSchema is the DuckDB file's tables. No value is ever NULL: what is
// absent is ” or 0. Days are UTC. net and host are the halves of an IPv6
// number (addrNumber): a single UHUGEINT takes thirty times as long to scan.
//
// record.first and record.days say over which days a record's count is spread.
// Its columns auth_dkim to override are derived from the results (see
// evidence), so that telling sources apart reads no lists.
//
// report_day is what every report adds to every one of its days, spread record
// by record, so that totals over it equal totals over record; nth is the day's
// place in the report, from 0. It is what pages that show many domains read.
const duckSchema = `
CREATE TYPE disposition AS ENUM ('', 'none', 'pass', 'quarantine', 'reject');
CREATE TABLE policy_domain (id UINTEGER NOT NULL, name VARCHAR NOT NULL);
CREATE TABLE reporter (id UINTEGER NOT NULL, name VARCHAR NOT NULL);
CREATE TABLE report (
	seq BIGINT NOT NULL, dom UINTEGER NOT NULL, org UINTEGER NOT NULL,
	first DATE NOT NULL, days USMALLINT NOT NULL,
	rows BIGINT NOT NULL, messages UBIGINT NOT NULL, aligned UBIGINT NOT NULL,
	begun TIMESTAMP NOT NULL, ended TIMESTAMP NOT NULL, stored TIMESTAMP NOT NULL,
	import BIGINT NOT NULL, pack UINTEGER NOT NULL, pos BIGINT NOT NULL, size BIGINT NOT NULL,
	form VARCHAR NOT NULL, version VARCHAR NOT NULL,
	org_name VARCHAR NOT NULL, email VARCHAR NOT NULL, contact VARCHAR NOT NULL,
	report_id VARCHAR NOT NULL, generator VARCHAR NOT NULL,
	domain VARCHAR NOT NULL, adkim VARCHAR NOT NULL, aspf VARCHAR NOT NULL,
	p VARCHAR NOT NULL, sp VARCHAR NOT NULL, np VARCHAR NOT NULL, pct VARCHAR NOT NULL,
	fo VARCHAR NOT NULL, testing VARCHAR NOT NULL, discovery VARCHAR NOT NULL,
	path VARCHAR NOT NULL, member VARCHAR NOT NULL, encoding VARCHAR NOT NULL,
	errors VARCHAR[] NOT NULL,
	deviations STRUCT(code VARCHAR, element VARCHAR, detail VARCHAR, line BIGINT, place BIGINT, times BIGINT, messages UBIGINT)[] NOT NULL
);
CREATE TABLE record (
	seq BIGINT NOT NULL, dom UINTEGER NOT NULL, org UINTEGER NOT NULL,
	first DATE NOT NULL, days USMALLINT NOT NULL,
	net UBIGINT NOT NULL, host UBIGINT NOT NULL, n UBIGINT NOT NULL, disposition disposition NOT NULL,
	dkim_aligned BOOLEAN NOT NULL, spf_aligned BOOLEAN NOT NULL,
	header_from VARCHAR NOT NULL, envelope_from VARCHAR NOT NULL, envelope_to VARCHAR NOT NULL,
	auth_dkim VARCHAR NOT NULL, failed_dkim VARCHAR NOT NULL,
	auth_spf VARCHAR NOT NULL, spf_checked VARCHAR NOT NULL, override VARCHAR NOT NULL,
	dkim STRUCT(domain VARCHAR, selector VARCHAR, result VARCHAR, human VARCHAR)[] NOT NULL,
	spf STRUCT(domain VARCHAR, scope VARCHAR, result VARCHAR, human VARCHAR)[] NOT NULL,
	reasons STRUCT(kind VARCHAR, comment VARCHAR)[] NOT NULL
);
CREATE TABLE report_day (
	seq BIGINT NOT NULL, dom UINTEGER NOT NULL, day DATE NOT NULL, nth USMALLINT NOT NULL, p VARCHAR NOT NULL,
	messages UBIGINT NOT NULL, aligned UBIGINT NOT NULL,
	quarantined UBIGINT NOT NULL, rejected UBIGINT NOT NULL
);
CREATE TABLE source_class (
	dom UINTEGER NOT NULL, net UBIGINT NOT NULL, host UBIGINT NOT NULL, class VARCHAR NOT NULL, source VARCHAR NOT NULL
);
`

// stateSchema is the SQLite file's tables. Times are Unix seconds; counts of
// messages are the 64 bits of an unsigned number.
//
// accepted has a row for each report in the DuckDB file, which decides: repair
// makes the two agree. origin is a hash of where the report came from.
const stateSchema = `
CREATE TABLE accepted (
	seq INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, origin INTEGER NOT NULL,
	rows INTEGER NOT NULL, messages INTEGER NOT NULL,
	again INTEGER NOT NULL DEFAULT 0, again_at INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE import (
	id INTEGER PRIMARY KEY AUTOINCREMENT, paths TEXT NOT NULL,
	started INTEGER NOT NULL, finished INTEGER NOT NULL DEFAULT 0,
	files INTEGER NOT NULL DEFAULT 0, reports INTEGER NOT NULL DEFAULT 0, rows INTEGER NOT NULL DEFAULT 0,
	messages INTEGER NOT NULL DEFAULT 0, duplicates INTEGER NOT NULL DEFAULT 0, rejected INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX import_unfinished ON import (paths) WHERE finished = 0;
CREATE TABLE import_file (
	import INTEGER NOT NULL REFERENCES import (id) ON DELETE CASCADE,
	path TEXT NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,
	reports INTEGER NOT NULL, rows INTEGER NOT NULL, duplicates INTEGER NOT NULL,
	messages INTEGER NOT NULL, rejected TEXT NOT NULL,
	PRIMARY KEY (import, path)
) WITHOUT ROWID;
CREATE TABLE quarantine (
	id INTEGER PRIMARY KEY AUTOINCREMENT, import INTEGER NOT NULL, path TEXT NOT NULL,
	kept TEXT NOT NULL, size INTEGER NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL
);
CREATE UNIQUE INDEX quarantine_input ON quarantine (import, path, kept);
CREATE TABLE ptr (
	addr BLOB PRIMARY KEY, names TEXT NOT NULL, status TEXT NOT NULL,
	looked INTEGER NOT NULL, expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE advice (
	domain TEXT NOT NULL, question TEXT NOT NULL, version INTEGER NOT NULL,
	computed INTEGER NOT NULL, summary BLOB NOT NULL, doc BLOB NOT NULL,
	PRIMARY KEY (domain, question)
);
CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
`
