package store

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/netip"
)

var errStub = errors.New("store: not built yet")

// Domains returns each domain with reports in the window.
func (s *Store) Domains(ctx context.Context, w Window) ([]DomainTotals, error) { return nil, errStub }

// DomainNames lists all policy domains, in alphabetical order.
func (s *Store) DomainNames(ctx context.Context) ([]string, error) { return nil, errStub }

// Newest returns the end (exclusive) of the newest report of a domain, or of
// all domains for "".
func (s *Store) Newest(ctx context.Context, domain string) (Day, bool, error) {
	return 0, false, errStub
}

// PolicyHistory returns the policies a domain's reports show, oldest first.
func (s *Store) PolicyHistory(ctx context.Context, domain string) ([]PolicySpan, error) {
	return nil, errStub
}

// DomainDaily returns each day of the window that has messages.
func (s *Store) DomainDaily(ctx context.Context, domain string, w Window) ([]DayTotals, error) {
	return nil, errStub
}

// Sources calls f with the domain's messages by address and evidence. The
// addresses with the most messages, limit of them (0: 100,000), come as they
// are; those beyond are folded into rows whose Addr is the zero Addr.
func (s *Store) Sources(ctx context.Context, domain string, w Window, limit int, f func(SourceRow) error) error {
	return errStub
}

// SetClasses replaces the domain's classes of addresses, all at once. The
// zero Addr gives the class of every address that is not listed ("unknown" otherwise).
func (s *Store) SetClasses(ctx context.Context, domain string, rows iter.Seq2[netip.Addr, ClassRow]) error {
	return errStub
}

// ClassDaily returns messages by day and class.
func (s *Store) ClassDaily(ctx context.Context, domain string, w Window) ([]ClassTotals, error) {
	return nil, errStub
}

// SourceAddresses pages through a source's addresses, with how many there
// are. Page.Sort: "messages" (default, descending), "failing", "addr",
// "first_day", "last_day", "reporters".
func (s *Store) SourceAddresses(ctx context.Context, domain, source string, w Window, p Page) ([]AddressTotals, int64, error) {
	return nil, 0, errStub
}

// SourceDaily returns a source's days.
func (s *Store) SourceDaily(ctx context.Context, domain, source string, w Window) ([]DayTotals, error) {
	return nil, errStub
}

// SourceReporters returns who reported a source, the most messages first, at most 1,000.
func (s *Store) SourceReporters(ctx context.Context, domain, source string, w Window) ([]ReporterTotals, error) {
	return nil, errStub
}

// SourceAuth returns a source's DKIM and SPF results, the most messages first, at most 1,000.
func (s *Store) SourceAuth(ctx context.Context, domain, source string, w Window) ([]AuthTotals, error) {
	return nil, errStub
}

// SourceEnvelopes returns the names a source's mail carries, the most messages first, at most 1,000.
func (s *Store) SourceEnvelopes(ctx context.Context, domain, source string, w Window) ([]EnvelopeTotals, error) {
	return nil, errStub
}

// Reports pages through reports, newest first. Page.Sort: "begin" (default),
// "reporter", "domain", "rows", "messages", "deviations", "seq"; Page.Search
// looks in reporter, domain and report id.
func (s *Store) Reports(ctx context.Context, f ReportFilter, p Page) ([]ReportHead, int64, error) {
	return nil, 0, errStub
}

// Report returns one report's head; ErrNotFound where there is none.
func (s *Store) Report(ctx context.Context, seq int64) (ReportHead, error) {
	return ReportHead{}, errStub
}

// Records pages through a report's records, in their order in the report.
// Page.Sort: "no" (default), "messages", "addr", "header_from".
func (s *Store) Records(ctx context.Context, seq int64, p Page) ([]RecordRow, int64, error) {
	return nil, 0, errStub
}

// Raw opens a report's XML, decompressed, with a file name (RFC 9990 §3.5.1)
// ending in .xml. ErrNotFound where the report or its bytes are not kept.
func (s *Store) Raw(ctx context.Context, seq int64) (io.ReadCloser, string, error) {
	return nil, "", errStub
}
