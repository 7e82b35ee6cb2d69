// Package publish writes a survey's tables and charts: summary.json for
// programs, results.csv and report.xlsx for people who go on counting, and
// report.html for everybody else, a single file that can be printed, sent and
// put on a web server as it is.
//
// Everything that is shown comes from strangers: names of organisations, cells
// of lists, subjects of messages. In HTML it is escaped; in spreadsheets a cell
// that a program would take for a formula gets an apostrophe before it;
// characters that turn the direction of writing, and control characters, are
// replaced.
//
// Numbers are never shown without what they are parts of: a share has its
// denominator, the domains of which the fact is known, its 95 % interval and
// the number of domains of which it is unknown.
package publish
