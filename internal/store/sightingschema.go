package store

// sightingSchema is what the SQLite file gained for evidence beside the
// aggregate reports. ptr.confirmed and denied hold names of ptr.names, one a
// line; in the latter those that lead nowhere begin with "!". checked is when they are to be looked up again, 0 for never looked up.
//
// sighting has a row for each failure report. hash tells reports apart; origin
// is a hash of where one came from, so that an interrupted import knows its own
// work; org is the organisational domain of author, by which rows are found.
// addr has 4 or 16 octets; day counts from 1970-01-01.
const sightingSchema = `
ALTER TABLE ptr ADD COLUMN confirmed TEXT NOT NULL DEFAULT '';
ALTER TABLE ptr ADD COLUMN denied TEXT NOT NULL DEFAULT '';
ALTER TABLE ptr ADD COLUMN checked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE import ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE import ADD COLUMN failures_again INTEGER NOT NULL DEFAULT 0;
ALTER TABLE import_file ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE import_file ADD COLUMN failures_again INTEGER NOT NULL DEFAULT 0;
CREATE TABLE sighting (
	hash BLOB PRIMARY KEY, origin INTEGER NOT NULL,
	org TEXT NOT NULL, author TEXT NOT NULL, day INTEGER NOT NULL, arrived INTEGER NOT NULL, addr BLOB NOT NULL,
	messages INTEGER NOT NULL, failing INTEGER NOT NULL,
	failure TEXT NOT NULL, delivery TEXT NOT NULL, envelope TEXT NOT NULL,
	dkim_domain TEXT NOT NULL, selector TEXT NOT NULL, dkim TEXT NOT NULL,
	spf_domain TEXT NOT NULL, spf TEXT NOT NULL, reporter TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sighting_org ON sighting (org, day);
CREATE INDEX sighting_day ON sighting (day);
`
