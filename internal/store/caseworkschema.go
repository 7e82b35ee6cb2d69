package store

// caseworkSchema is the SQLite file's tables of what people said and what is
// done about broken sources. Times are Unix microseconds, 0 for the zero time;
// days are counted from 1970-01-01; counts of messages are the 64 bits of an
// unsigned number.
//
// said numbers the changes of what answers depend on, for each domain; the
// domain "" is all of them (departments).
const caseworkSchema = `
CREATE TABLE said (domain TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE saying (
	id INTEGER PRIMARY KEY AUTOINCREMENT, domain TEXT NOT NULL, key TEXT NOT NULL, source TEXT NOT NULL,
	class TEXT NOT NULL, name TEXT NOT NULL, note TEXT NOT NULL, who TEXT NOT NULL, at INTEGER NOT NULL,
	networks TEXT NOT NULL, identities TEXT NOT NULL
);
CREATE INDEX saying_key ON saying (domain, key, id);
CREATE TABLE department (
	id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, folded TEXT NOT NULL UNIQUE,
	contact TEXT NOT NULL, note TEXT NOT NULL, created INTEGER NOT NULL
);
CREATE TABLE assignment (
	domain TEXT NOT NULL, subdomain TEXT NOT NULL, key TEXT NOT NULL,
	department INTEGER NOT NULL REFERENCES department (id) ON DELETE CASCADE,
	who TEXT NOT NULL, at INTEGER NOT NULL,
	PRIMARY KEY (domain, subdomain, key)
) WITHOUT ROWID;
CREATE INDEX assignment_department ON assignment (department);
CREATE TABLE share (
	id INTEGER PRIMARY KEY AUTOINCREMENT, department INTEGER NOT NULL REFERENCES department (id) ON DELETE CASCADE,
	hash BLOB NOT NULL UNIQUE, created INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER NOT NULL,
	who TEXT NOT NULL, last_used INTEGER NOT NULL
);
CREATE INDEX share_department ON share (department);
CREATE TABLE work (
	id INTEGER PRIMARY KEY AUTOINCREMENT, domain TEXT NOT NULL, key TEXT NOT NULL, source TEXT NOT NULL, name TEXT NOT NULL,
	state TEXT NOT NULL, owner TEXT NOT NULL, department INTEGER NOT NULL, due INTEGER NOT NULL,
	opened INTEGER NOT NULL, changed INTEGER NOT NULL, fixed INTEGER NOT NULL, reminded INTEGER NOT NULL, reopened INTEGER NOT NULL,
	failing INTEGER NOT NULL, messages INTEGER NOT NULL, proof INTEGER NOT NULL, receivers INTEGER NOT NULL,
	relapse INTEGER NOT NULL, last_day INTEGER NOT NULL,
	networks TEXT NOT NULL, identities TEXT NOT NULL, facts BLOB NOT NULL
);
CREATE UNIQUE INDEX work_key ON work (domain, key);
CREATE INDEX work_state ON work (state, domain);
CREATE INDEX work_department ON work (department);
CREATE TABLE work_event (
	id INTEGER PRIMARY KEY AUTOINCREMENT, work INTEGER NOT NULL REFERENCES work (id) ON DELETE CASCADE,
	at INTEGER NOT NULL, who TEXT NOT NULL, kind TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX work_event_work ON work_event (work, id);
CREATE TABLE observation (
	id INTEGER PRIMARY KEY AUTOINCREMENT, domain TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
	value TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL
);
CREATE INDEX observation_name ON observation (domain, kind, name, id);
CREATE INDEX observation_since ON observation (domain, since);
CREATE TABLE happening (
	id INTEGER PRIMARY KEY AUTOINCREMENT, domain TEXT NOT NULL, at INTEGER NOT NULL,
	kind TEXT NOT NULL, key TEXT NOT NULL, step BLOB NOT NULL
);
CREATE UNIQUE INDEX happening_key ON happening (domain, kind, key);
CREATE INDEX happening_at ON happening (domain, at);
CREATE TABLE known_name (
	domain TEXT NOT NULL, name TEXT NOT NULL, origin TEXT NOT NULL, source TEXT NOT NULL,
	first INTEGER NOT NULL, last INTEGER NOT NULL,
	PRIMARY KEY (domain, name, origin)
) WITHOUT ROWID;
`

// workFactsSchema takes what is remembered of cases' sources out of the table
// that lists read, and lets boards find what is urgent without sorting.
const workFactsSchema = `
CREATE TABLE work_facts (work INTEGER PRIMARY KEY REFERENCES work (id) ON DELETE CASCADE, doc BLOB NOT NULL);
INSERT INTO work_facts SELECT id, facts FROM work WHERE length(facts) > 0;
ALTER TABLE work DROP COLUMN facts;
CREATE INDEX work_urgent ON work (state, iif(due = 0, 9999999, due), -failing, id);
CREATE INDEX work_changed ON work (state, changed, id);
`
