package verdict

import (
	"context"
	"errors"
	"time"
)

// Errors of a Log and of CloseDay.
var (
	// ErrLocked: another process, or another Log of this one, writes into the
	// folder. The error says which.
	ErrLocked = errors.New("the verdict log is in use")
	// ErrClosed: the Log was closed.
	ErrClosed = errors.New("the verdict log is closed")
)

// Options say how a Log keeps verdicts. The zero Options are usable.
type Options struct {
	// Keep is for how many days the verdicts of a day are kept, that day
	// included. Default 30.
	Keep int
	// Backlog is how many entries wait in memory while the journal cannot be
	// written, at most; further ones are lost, and counted. Default 100,000.
	Backlog int
	// BacklogBytes bounds the backlog's memory. Default 64 MiB.
	BacklogBytes int64
	// Segment is the size of a file of the journal. Default 16 MiB.
	Segment int64
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Log is where a gateway keeps its verdicts. One Log at a time writes into a
// folder. Its methods may be called from any goroutine.
type Log struct{}

// Stats is how a Log does.
type Stats struct {
	// Waiting counts entries that are in memory only, because the journal
	// cannot be written.
	Waiting int64
	// Unmoved counts entries in the journal that are not in a day file yet.
	Unmoved int64
	// Appended counts entries since Open; Lost those that were dropped since the
	// backlog was full.
	Appended, Lost int64
	// Fault is what is wrong with the journal now, Moving what is wrong with
	// the day files; nil where all is well.
	Fault, Moving error
	// Damaged are the day files that were set aside since Open, by their new
	// names.
	Damaged []string
	// Torn counts octets at the ends of journal files that were not whole when
	// the folder was opened: what was being written when the machine lost power.
	Torn int64
}

// Open opens the folder for writing, and makes it where there is none.
func Open(dir string, o Options) (*Log, error) { return &Log{}, nil }

// Receipt is for saying what became of the answer about a message.
type Receipt struct {
	log *Log
	id  uint64
}

// Append keeps an entry and gives it its ID.
func (l *Log) Append(e *Entry) (Receipt, error) { return Receipt{}, nil }

// Confirm says that the MTA has got the answer.
func (r Receipt) Confirm() {}

// Cancel says that the MTA has not got the answer, and will send the message
// again.
func (r Receipt) Cancel() {}

// Flush returns once everything appended so far is in the day files.
func (l *Log) Flush(ctx context.Context) error { return nil }

// Close ends the Log.
func (l *Log) Close() error { return nil }

// Stats says how the Log does.
func (l *Log) Stats() Stats { return Stats{} }

// Expire deletes the files of days that are older than Options.Keep.
func (l *Log) Expire(ctx context.Context) (files int, err error) { return 0, nil }
