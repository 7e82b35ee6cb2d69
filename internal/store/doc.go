// Package store keeps reports and what is known about them. All SQL lives
// here; nothing above this package knows which engines it talks to.
//
// # The data folder
//
//	reports.duckdb   reports and their records, in columns (DuckDB)
//	state.sqlite     accepted keys, imports, quarantine list, failure reports, caches, settings (SQLite)
//	raw/0001.pack    reports as they were received, one after the other
//	quarantine/      inputs that could not be read; package collect puts them there
//	survey/1.journal results of a survey that are not in DuckDB yet
//	tmp/             spooled uploads and DuckDB's spill files; may be emptied while nobody runs
//	lock             locked by the process that has the folder (ErrLocked)
//
// The folder has mode 0700. A copy of it, taken while no process has it, is a
// backup.
//
// # A report is stored wholly or not at all
//
// There is one writer at a time. A batch of small reports (Put) or one large
// report (Begin, Append, Commit) takes these steps:
//
//  1. Keys (KeyOf) that SQLite knows are duplicates: counted, not stored.
//  2. The bytes as received go to the end of a pack, which is synced.
//  3. Records, heads and days go into one DuckDB transaction. Its COMMIT,
//     which syncs the log, and for large transactions the file first, is the
//     moment from which the report is stored.
//  4. The keys go into SQLite.
//
// A crash before 3 leaves bytes in a pack to which nothing points. A crash
// between 3 and 4 is mended when the folder is opened next (or, after a mere
// error, by the next writer): keys of reports beyond the newest that SQLite
// knows are inserted. An interrupted import that meets its own reports again
// gets Outcomes with Resumed.
//
// Reports are numbered in the order of their commits, from 1. DataVersion and
// DomainVersion are the newest numbers.
//
// # Surveys
//
// A wave (StartWave) is a list of organisations (AddEntries, SealEntries) and
// what was found out about them (Surveying, Put). All of it is in DuckDB: one
// row for an entry of the list, one for a result, one for a message. Each step
// is one transaction, and each may be done again after a crash: entries that
// are there are skipped, a result replaces the one before, a message the one
// with its key.
//
// A result is safe when Put returns, though DuckDB gets it with some thousand
// others: Put appends it to the wave's journal, from which Open and Surveying
// move in what a process that was killed left. The journal is synced once a
// second, so that a machine that fails may forget the results of a second; they
// are then pending again.
//
// States of facts are bits, so that tables of any facts, by any attribute, are
// one scan; answers as documents are compressed with a dictionary made of the
// wave's first ones (a million take half a gigabyte). Nothing is kept in memory
// for each entry but two bits.
//
// # Days
//
// All times are UTC. A report of several days is kept as sent, and its counts
// are spread over its days (Spread) in every question about a Window, so that
// days add up to windows and windows to reports, exactly. Sums beyond 64 bits
// stay at the largest number.
//
// # Speed
//
// Records are written in DuckDB's own layout: Rows is filled by whoever
// parses, column by column, and the writer copies columns into data chunks
// (see appender). Commits leave their rows in DuckDB's log; at 64 MiB of log, and
// on Close, DuckDB moves them to the file, which takes about a second.
//
// Questions about all domains read report_day, a narrow row for each report
// and day; questions about a domain scan that domain's records in the window.
// While a page's question is being answered, imports hold back (Sources, which
// advice reads in the background, does not count as one). BenchmarkQueries
// measures all of them on ten million records, BenchmarkSurvey those about
// surveys on a million domains, and BenchmarkSurveyPut the taking of results.
//
// A reader never asks for a second connection while it has one: there are
// twelve, and readers that wait for each other's would wait for ever.
package store
