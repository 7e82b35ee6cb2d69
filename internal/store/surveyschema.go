package store

// surveySchema is what the DuckDB file gained for surveys. As in duckSchema,
// no value is ever NULL; what is no number is NaN, and a time that never was is
// that of 1970.
//
// survey_wave.attributes and facts are JSON lists of names. An entry's texts
// and numbers stand in lists, in the order of the wave's attributes, so that
// waves of any shape share one table: taking one text out of a list costs a
// tenth of a microsecond a row.
//
// A result's states are two sets of bits, fact k being bit k%64 of word k/64:
// what is in neither set is unknown. Counting bits of 35 facts over a million
// rows takes 0.1 s; a column for each fact would take half of that, and a new
// schema for each new fact. survey_result and survey_mail compress doc with
// dictionary codec, 0 being none.
//
// dkim_selector holds the selectors seen passing, as far as report
// selector_mark.seq and of all messages; the same pair may stand in several
// rows.
const surveySchema = `
CREATE SEQUENCE survey_wave_id;
CREATE SEQUENCE survey_dictionary_id;
CREATE TABLE survey_wave (
	id BIGINT NOT NULL, name VARCHAR NOT NULL, list VARCHAR NOT NULL, digest VARCHAR NOT NULL,
	attributes VARCHAR NOT NULL, facts VARCHAR NOT NULL,
	started TIMESTAMP NOT NULL, finished TIMESTAMP NOT NULL, sealed BOOLEAN NOT NULL,
	entries BIGINT NOT NULL, domains BIGINT NOT NULL, duplicates BIGINT NOT NULL,
	without BIGINT NOT NULL, invalid BIGINT NOT NULL
);
CREATE TABLE survey_entry (
	wave BIGINT NOT NULL, no BIGINT NOT NULL, line BIGINT NOT NULL, of BIGINT NOT NULL,
	domain VARCHAR NOT NULL, name VARCHAR NOT NULL, input VARCHAR NOT NULL,
	problem VARCHAR NOT NULL, detail VARCHAR NOT NULL,
	aliases VARCHAR[] NOT NULL, selectors VARCHAR[] NOT NULL,
	attributes VARCHAR[] NOT NULL, numbers DOUBLE[] NOT NULL
);
CREATE TABLE survey_result (
	wave BIGINT NOT NULL, no BIGINT NOT NULL,
	yes0 UBIGINT NOT NULL, no0 UBIGINT NOT NULL, yes1 UBIGINT NOT NULL, no1 UBIGINT NOT NULL,
	unanswered BOOLEAN NOT NULL, retry BOOLEAN NOT NULL,
	questions BIGINT NOT NULL, attempts BIGINT NOT NULL, measured TIMESTAMP NOT NULL, took BIGINT NOT NULL,
	codes UINTEGER[] NOT NULL, codec UINTEGER NOT NULL, doc BLOB NOT NULL
);
CREATE TABLE survey_code (id UINTEGER NOT NULL, name VARCHAR NOT NULL);
CREATE TABLE survey_dictionary (
	id UINTEGER NOT NULL, wave BIGINT NOT NULL, kind VARCHAR NOT NULL, bytes BLOB NOT NULL
);
CREATE TABLE survey_mail (
	wave BIGINT NOT NULL, no BIGINT NOT NULL, high UBIGINT NOT NULL, low UBIGINT NOT NULL,
	entry BIGINT NOT NULL, arrived TIMESTAMP NOT NULL,
	path VARCHAR NOT NULL, sender VARCHAR NOT NULL, subject VARCHAR NOT NULL, smime VARCHAR NOT NULL,
	spf VARCHAR NOT NULL, dkim VARCHAR NOT NULL, dmarc VARCHAR NOT NULL,
	spf_then VARCHAR NOT NULL, dkim_then VARCHAR NOT NULL, dmarc_then VARCHAR NOT NULL,
	selectors VARCHAR NOT NULL,
	codec UINTEGER NOT NULL, doc BLOB NOT NULL
);
CREATE TABLE dkim_selector (domain VARCHAR NOT NULL, selector VARCHAR NOT NULL, n UBIGINT NOT NULL);
CREATE TABLE selector_mark (seq BIGINT NOT NULL);
INSERT INTO selector_mark VALUES (0);
`

// The columns of table survey_entry, in its order.
const (
	entWave = iota
	entNo
	entLine
	entOf
	entTexts
	entLists   = entTexts + 5
	entNumbers = entLists + 3
)

// The columns of table survey_result, in its order.
const (
	resWave = iota
	resNo
	resMasks
	resUnanswered = iota + 3 // four words of bits
	resRetry
	resQuestions
	resAttempts
	resAt
	resTook
	resCodes
	resCodec
	resDoc
)

// The columns of table survey_mail, in its order.
const (
	mailWave = iota
	mailNo
	mailHigh
	mailLow
	mailEntry
	mailArrived
	mailTexts
	mailCodec = mailTexts + 11
	mailDoc   = mailCodec + 1
)
