// Package collect brings DMARC reports in: it walks files, folders,
// maildirs, mboxes, archives and messages, opens what it finds by what it is,
// not by how it is called, and hands each report to the store.
//
// Everything it reads was written by somebody else. What it inflates, nests,
// lists and holds in memory is bounded by Limits. What cannot be read is kept
// in DATA/quarantine with its reason, and the rest goes on.
package collect

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"sekimori/internal/store"
	"sekimori/message"
	"sekimori/report/aggregate"
)

// Limits bound what one input file may cost. A field that is zero or negative
// means its default.
type Limits struct {
	// Depth is how many containers may be in each other: compression, archive,
	// mailbox and message each count as one. Default 6.
	Depth int
	// Inflated is how many bytes may come out of decompressors for one input
	// file, all layers and entries together. Default 8 GiB.
	Inflated int64
	// Entry is how many bytes one entry of an archive, one message or one
	// compressed stream may have. Default 8 GiB.
	Entry int64
	// Entries is how many entries and messages one input file may hold, nested
	// ones included. Default 1,000,000.
	Entries int64
	// Memory is how many bytes of one nested archive, message or report as
	// received are held in memory; more goes to DATA/tmp. Default 8 MiB.
	Memory int64
	// Keep is the largest input that is copied to the quarantine; of a larger
	// one only the reason is kept. Default 1 GiB.
	Keep int64
	// Upload is how many bytes ImportReader takes. Default 8 GiB.
	Upload int64
	// Rejected is how many rejected inputs a Result lists; further ones are
	// counted in a last element. Default 100,000.
	Rejected int
	// Parts is how many rejected parts of one input file are kept and listed
	// one by one; further ones are kept as the whole file and listed as one.
	// Default 1,000.
	Parts int
	// Message bounds the walk through one message.
	Message message.Limits
	// Report bounds one report.
	Report aggregate.Limits
}

func (l Limits) withDefaults() Limits {
	def := func(p *int64, v int64) {
		if *p <= 0 {
			*p = v
		}
	}
	if l.Depth <= 0 {
		l.Depth = 6
	}
	if l.Rejected <= 0 {
		l.Rejected = 100_000
	}
	if l.Parts <= 0 {
		l.Parts = 1000
	}
	def(&l.Inflated, 8<<30)
	def(&l.Entry, 8<<30)
	def(&l.Entries, 1_000_000)
	def(&l.Memory, 8<<20)
	def(&l.Keep, 1<<30)
	def(&l.Upload, 8<<30)
	return l
}

// Sink is where reports go. FromStore makes one of the store.
type Sink interface {
	// Put stores small reports in one durable group commit.
	Put(ctx context.Context, in []*store.Incoming) ([]store.Outcome, error)
	// Begin starts one large report and holds the writer until its end. The
	// head says where its rows are filed.
	Begin(ctx context.Context, head aggregate.Report) (Stream, error)
	// Seen tells whether a report with this key is stored.
	Seen(ctx context.Context, k store.Key) (store.Outcome, bool, error)
}

// Stream is one large report on its way into a Sink.
type Stream interface {
	Append(rows *store.Rows) error
	Commit(ctx context.Context, in store.Incoming) (store.Outcome, error)
	Abort() error
}

// Ledger remembers which files of an import are dealt with, so that an
// interrupted import goes on where it stopped.
type Ledger interface {
	StartImport(ctx context.Context, spec store.ImportSpec) (store.Import, error)
	FileDoneResult(ctx context.Context, importID int64, f store.FileResult) (store.FileResult, bool, error)
	FileDone(ctx context.Context, importID int64, r store.FileResult) error
	EndImport(ctx context.Context, importID int64, whole bool) error
}

// Quarantine lists what could not be read.
type Quarantine interface {
	AddQuarantined(ctx context.Context, q store.Quarantined) (store.Quarantined, error)
}

// Importer imports reports. Its fields are not changed once it is in use;
// several goroutines may import at the same time.
type Importer struct {
	Sink       Sink
	Ledger     Ledger
	Quarantine Quarantine
	// Sightings keeps failure reports; nil sets them aside as what cannot be read.
	Sightings Sightings
	// DataDir is the data folder; tmp/ and quarantine/ in it are used.
	DataDir string
	Limits  Limits
	// Workers is how many files and entries are read at once; 0 means one for
	// each CPU that Go uses.
	Workers int
	// Background lets others in the process go first where the processors are
	// scarce: for imports beside a dashboard.
	Background bool
	// Progress is called about ten times a second and at the end, never
	// concurrently for one import. It may be nil.
	Progress func(Progress)
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// New returns an Importer into the store with default limits.
func New(s *store.Store) *Importer {
	st := FromStore(s)
	return &Importer{Sink: st, Ledger: st, Quarantine: st, Sightings: st, DataDir: s.Dir()}
}

func (im *Importer) workers() int {
	if im.Workers > 0 {
		return im.Workers
	}
	return runtime.GOMAXPROCS(0)
}

func (im *Importer) now() time.Time {
	if im.Now != nil {
		return im.Now()
	}
	return time.Now()
}

// Progress is how far an import has come.
type Progress struct {
	Files      int64 // dealt with, including those that an earlier run dealt with
	FilesTotal int64 // found so far
	Bytes      int64 // of files read
	BytesTotal int64 // of files found so far
	Counting   bool  // the totals still grow
	Reports    int64 // committed
	Rows       int64 // committed
	Duplicates int64
	Rejected   int64
	Failures   int64  // failure reports committed, duplicates included
	Path       string // a file being read
	Done       bool   // the last call
}

// Result is what an import did. As JSON it is the document of
// "sekimori import --json".
type Result struct {
	Files      int64      `json:"files"`      // input files; a message of a maildir is one, an mbox or a zip is one
	Reports    int64      `json:"reports"`    // accepted
	Rows       int64      `json:"rows"`       // of the accepted reports
	Messages   uint64     `json:"messages"`   // of the accepted reports
	Duplicates int64      `json:"duplicates"` // reports that were there already
	Rejected   []Rejected `json:"rejected"`   // sorted by path; never nil in a Result returned
	// FailureReports are those on single messages, and FailureDuplicates those of
	// them that were there already. They are in none of the figures above.
	FailureReports    int64 `json:"failure_reports"`
	FailureDuplicates int64 `json:"failure_duplicates"`
}

// Rejected is an input, or a part of one, that could not be read.
type Rejected struct {
	Path  string `json:"path"`  // as given, with "!" and the place inside it
	Error string `json:"error"` // what is wrong
	Kept  string `json:"kept"`  // path of the copy; "" where there is none
}

// HasRejected reports whether something was rejected.
func (r Result) HasRejected() bool { return len(r.Rejected) > 0 }

// ErrAborted is in the error of an import that the store or the data folder
// stopped: not the inputs are at fault. The same import run again goes on.
var ErrAborted = errors.New("import stopped")

// fatalError is a failure that ends the import: of the store, of the data
// folder, or a cancelled context.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }

func fatal(err error) error {
	if err == nil {
		return nil
	}
	var f *fatalError
	if errors.As(err, &f) {
		return err
	}
	return &fatalError{err}
}

func fatalf(format string, args ...any) error { return &fatalError{fmt.Errorf(format, args...)} }

func isFatal(err error) bool {
	var f *fatalError
	return errors.As(err, &f)
}
