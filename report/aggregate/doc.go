// Package aggregate reads and writes DMARC aggregate reports: what a receiver
// of mail tells the owner of a domain about the mail it got in the domain's
// name. Two forms of them are about, RFC 7489 appendix C with the drafts
// before it, and RFC 9990 (standards track, 2026). One Reader reads both, and
// NewWriter writes either.
//
// # Reading
//
// A Reader goes through one report record by record; memory does not grow with
// the report. It wants XML: what it comes wrapped in (gzip, zip, a message) is
// not its business.
//
//	r := aggregate.NewReader(xml, aggregate.Limits{})
//	var rec aggregate.Record
//	for {
//		err := r.Next(&rec)
//		if err == io.EOF {
//			break
//		}
//		if err != nil {
//			return err // the report is refused as a whole: keep none of it
//		}
//		// use rec; the head is in r.Report()
//	}
//	report, _ := r.Report() // with every deviation
//
// Reporters get much wrong. What has one plausible meaning is read, and noted
// as a Deviation with its place: nothing is put right silently. What is
// ambiguous, cut off, or an attack is refused with a SyntaxError that names
// line and offset: a document that is no XML or no report, document types and
// entities, elements that do not close, counts that are negative, too large or
// no numbers, a head without report id, policy domain or date range, and
// whatever exceeds Limits.
//
// # The scanner
//
// encoding/xml takes more than twenty times as long to read a report
// (BenchmarkEncodingXML beside BenchmarkReader), and large reports have millions
// of records, so the package has a scanner of its own. It knows the tree of elements
// (element.go), expects the element that came next last time, and compares
// bytes in place; only what is not plainly that goes the slow way that knows
// all of XML that a report can have (markup.go, text.go, prolog.go). A test
// holds it against encoding/xml.
package aggregate
