package store

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"time"

	"sekimori/report/aggregate"
)

// ErrLocked says that another process owns the data folder.
var ErrLocked = errors.New("the data folder is in use by another process")

// ErrNotFound says that nothing has the number or name asked for.
var ErrNotFound = errors.New("not found")

// ErrHeadChanged says that a streamed report's reporter, policy domain or
// period turned out to be others than those its Stream was begun with.
var ErrHeadChanged = errors.New("the report's head changed after its records began")

// ErrClosed says that the store was closed.
var ErrClosed = errors.New("the store is closed")

// Options tune a store. The zero value is right for a server of two cores.
type Options struct {
	// Memory bounds DuckDB's buffers, in bytes; 0 means 224 MiB. The process
	// needs about 150 MiB more.
	Memory int64
	// Threads is the number of DuckDB's threads; 0 means one for each CPU.
	Threads int
}

// Encoding names how raw bytes are compressed.
type Encoding string

const (
	Identity Encoding = "identity" // plain XML
	Gzip     Encoding = "gzip"     // RFC 1952, one or several members
	Zstd     Encoding = "zstd"     // RFC 8878
	Deflate  Encoding = "deflate"  // RFC 1951, as in a zip entry
)

// Raw is one report as it was received, its container (zip, tar, message)
// taken off. Either Bytes or File is set; neither keeps nothing. Bytes must
// not change until Put or Commit returns; of File, Size bytes are read from
// offset 0. Bytes of Identity are compressed by the store.
type Raw struct {
	Encoding Encoding
	Bytes    []byte
	File     io.ReaderAt // an *os.File that collect spooled to
	Size     int64       // of File, in bytes
}

// Incoming is one report on its way in. Rows is nil in a Stream's Commit.
type Incoming struct {
	Report aggregate.Report
	Rows   *Rows
	Raw    Raw
	Origin Origin
}

// Key tells reports apart: the same key again is a duplicate.
type Key struct {
	Reporter string // organisation, or where that is empty the e-mail address
	Domain   string // policy domain
	ReportID string
	Begin    int64 // Unix seconds, as sent
	End      int64
}

// KeyOf returns the report's key. Reporter and domain are compared without
// regard to ASCII case and surrounding space, the report id as it is.
func KeyOf(r aggregate.Report) Key {
	return Key{
		Reporter: fold(r.Metadata.Reporter()),
		Domain:   fold(r.PolicyPublished.Domain),
		ReportID: strings.ToValidUTF8(r.Metadata.ReportID, "\uFFFD"),
		Begin:    seconds(r.Metadata.Begin),
		End:      seconds(r.Metadata.End),
	}
}

// ImportSpec asks for an import.
type ImportSpec struct {
	Paths []string // as given by the user, made absolute
}

// Import is one run over some paths, or several runs of which all but the
// last were interrupted.
type Import struct {
	ID         int64     `json:"id"`
	Paths      []string  `json:"paths"`
	Started    time.Time `json:"started"`
	Finished   time.Time `json:"finished"` // zero while unfinished
	Resumed    bool      `json:"resumed"`  // an unfinished import goes on
	Files      int64     `json:"files"`
	Reports    int64     `json:"reports"`
	Rows       int64     `json:"rows"`
	Messages   uint64    `json:"messages"`
	Duplicates int64     `json:"duplicates"`
	Rejected   int64     `json:"rejected"`
	// FailureReports are those on single messages, and FailureDuplicates those
	// of them that were there already.
	FailureReports    int64 `json:"failure_reports"`
	FailureDuplicates int64 `json:"failure_duplicates"`
}

// Rejected is one input that could not be read.
type Rejected struct {
	Path  string `json:"path"`
	Error string `json:"error"`
	Kept  string `json:"kept"` // the copy, relative to the data folder
}

// FileResult is what one input file gave. Size and ModTime tell whether a
// file met again is the same.
type FileResult struct {
	Path       string
	Size       int64
	ModTime    time.Time
	Reports    int64
	Rows       int64
	Duplicates int64
	Messages   uint64
	Rejected   []Rejected
	// FailureReports are those on single messages that it gave, and
	// FailureDuplicates those that were there already.
	FailureReports    int64
	FailureDuplicates int64
}

// PolicySpan is a run of days over which a domain's reports show one policy.
type PolicySpan struct {
	Policy   aggregate.PolicyPublished
	From     Day   // first day
	To       Day   // last day, inclusive
	Reports  int64 // that show it
	Messages uint64
}

// ClassRow is the class of an address for one domain, and the source it
// belongs to.
type ClassRow struct {
	Class  string // an advise.Class
	Source string // an advise.Source's ID
}

// ClassTotals is one day's messages of one class.
type ClassTotals struct {
	Day      Day
	Class    string // "aligned" for messages that passed; otherwise the class of their address
	Messages uint64
}

// AddressTotals is one address of a source in a window.
type AddressTotals struct {
	Addr      netip.Addr `json:"addr"`
	Messages  uint64     `json:"messages"`
	Failing   uint64     `json:"failing"`
	FirstDay  Day        `json:"first_day"`
	LastDay   Day        `json:"last_day"`
	Reporters int        `json:"reporters"`
}

// ReporterTotals is what one reporting organisation saw of a source.
type ReporterTotals struct {
	Reporter string `json:"reporter"`
	Messages uint64 `json:"messages"`
	Failing  uint64 `json:"failing"`
	Reports  int64  `json:"reports"`
	FirstDay Day    `json:"first_day"`
	LastDay  Day    `json:"last_day"`
}

// AuthTotals counts one authentication result of a source's mail. A message
// with two signatures counts in two of them.
type AuthTotals struct {
	Method   string `json:"method"` // "dkim" or "spf"
	Domain   string `json:"domain"`
	Selector string `json:"selector"` // of DKIM
	Scope    string `json:"scope"`    // of SPF
	Result   string `json:"result"`
	Messages uint64 `json:"messages"`
}

// EnvelopeTotals counts a source's messages by the names they carry.
type EnvelopeTotals struct {
	HeaderFrom   string `json:"header_from"`
	EnvelopeFrom string `json:"envelope_from"`
	Messages     uint64 `json:"messages"`
	Failing      uint64 `json:"failing"`
}

// ReportFilter narrows a list of reports. Zero fields do not.
type ReportFilter struct {
	Domain         string
	Reporter       string // as ReporterTotals shows it
	Window         Window // of the days a report covers; the zero Window is all time
	WithDeviations bool   // only those that depart from their form
}

// RecordRow is one stored record of a report.
type RecordRow struct {
	No     int64 // place in the report, from 0
	Record aggregate.Record
}

// PTRStatus says how a reverse lookup ended.
type PTRStatus string

const (
	PTRFound     PTRStatus = "ok"
	PTRNone      PTRStatus = "none"      // the address has no name
	PTRTemporary PTRStatus = "temporary" // no answer now
)

// PTR is a cached reverse lookup.
type PTR struct {
	Addr    netip.Addr
	Names   []string
	Status  PTRStatus
	Looked  time.Time
	Expires time.Time
	// Confirmed are those of Names that lead back to the address, Denied those
	// that lead elsewhere, and Absent those that lead nowhere; of a name in none
	// of them it is not known. Until CheckAgain they hold; the zero time says that
	// nobody has looked.
	Confirmed, Denied, Absent []string
	CheckAgain                time.Time
}

// CachedAdvice is an answer kept by advise. Question says what was asked, in
// advise's own words (such as "30"); one answer is kept for each domain and
// question.
type CachedAdvice struct {
	Domain   string
	Question string
	Version  int64 // DomainVersion when it was computed
	Computed time.Time
	Summary  []byte // a small document for the overview
	Doc      []byte // the whole answer; nil in what AdviceSummaries returns
}
