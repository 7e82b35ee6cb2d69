package store

import (
	"fmt"
	"net/netip"
	"time"

	"sekimori/report/aggregate"
)

// Day is a UTC calendar day, counted from 1970-01-01.
type Day int32

// DayOf returns the UTC day that holds t.
func DayOf(t time.Time) Day {
	s := t.Unix()
	d := s / 86400
	if s%86400 < 0 {
		d--
	}
	return Day(d)
}

// Time returns the day's first moment, in UTC.
func (d Day) Time() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// String returns the day as 2006-01-02.
func (d Day) String() string { return d.Time().Format(time.DateOnly) }

// MarshalText writes the day as 2006-01-02.
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a day written as 2006-01-02.
func (d *Day) UnmarshalText(b []byte) error {
	t, err := time.Parse(time.DateOnly, string(b))
	if err != nil {
		return fmt.Errorf("day %q: want YYYY-MM-DD", b)
	}
	*d = DayOf(t)
	return nil
}

// Window is a span of whole UTC days; End is exclusive.
type Window struct {
	Begin Day `json:"begin"`
	End   Day `json:"end"`
}

// Days returns the window's length.
func (w Window) Days() int { return int(w.End - w.Begin) }

// Spread tells which UTC days a report's figures belong to: first day and
// number of days (at least 1, at most 366). A report of about a day belongs to
// the day that holds the middle of its period, wherever its reporter's
// midnight lies; a longer one covers a day for each 24 hours begun past the
// first half-day. A record's count c over n days gives day k (from 0)
// c*(k+1)/n - c*k/n messages, so days always add up to the report.
func Spread(begin, end time.Time) (first Day, n int) {
	sec := end.Unix() - begin.Unix()
	n = int((sec + 43200) / 86400)
	n = max(1, min(n, 366))
	half := min(max(sec, 0), 86400) / 2
	return DayOf(begin.Add(time.Duration(half) * time.Second)), n
}

// Outcome is what became of one report that was put into the store.
type Outcome struct {
	Seq       int64 // the report's number in the store, also for a duplicate
	Duplicate bool
	// Resumed is set with Duplicate when the report that is already there
	// came from the same import, file and place in it: an interrupted import
	// meets its own work again.
	Resumed  bool
	Rows     int64
	Messages uint64
}

// Origin is where a report came from: an import, the path of the input and the
// place inside (archive entry, message number), "" for the input itself.
type Origin struct {
	Import int64
	Path   string
	Member string
}

// ReportHead is a stored report without its records.
type ReportHead struct {
	Seq      int64
	Report   aggregate.Report
	FirstDay Day
	Days     int
	Rows     int64
	Messages uint64
	Aligned  uint64
	Origin   Origin
	Stored   time.Time
}

// DomainTotals is one policy domain in a window.
type DomainTotals struct {
	Domain   string
	Messages uint64
	Aligned  uint64
	Reports  int64
	// Policy is what the newest report says was published.
	Policy aggregate.PolicyPublished
	// PolicySince is the first day of the unbroken run of reports, up to the
	// newest, that show the same p.
	PolicySince Day
	Newest      Day // last day covered by a report, over all time
}

// DayTotals is one day of one domain.
type DayTotals struct {
	Day         Day    `json:"day"`
	Messages    uint64 `json:"messages"`
	Aligned     uint64 `json:"aligned"`
	Quarantined uint64 `json:"quarantined"`
	Rejected    uint64 `json:"rejected"`
}

// SourceRow is the messages of one address with one combination of what
// matters for telling sources apart.
type SourceRow struct {
	Addr       netip.Addr
	HeaderFrom string
	// DKIMDomain is the d= of the passing signature that counts: an aligned
	// one if there is one, else the first; "" where none passed.
	DKIMDomain string
	// DKIMFailed is the d= of the first failing signature where none passed.
	DKIMFailed string
	// SPFDomain is the domain that passed SPF, "" where none did.
	SPFDomain string
	// EnvelopeDomain is the domain SPF was checked for, whatever its result.
	EnvelopeDomain string
	DKIMAligned    bool
	SPFAligned     bool
	Disposition    aggregate.Disposition
	Override       string // the first policy override reason's type, "" for none
	Messages       uint64
	Inner          uint64 // of Messages, those in the inner window of Evidence
	FirstDay       Day
	LastDay        Day
	Reporters      int // distinct reporting organisations in this row
}

// Aligned reports whether the row passed DMARC.
func (r SourceRow) Aligned() bool { return r.DKIMAligned || r.SPFAligned }

// Page asks for a part of a long list. A zero Limit means 50; the most is 1000.
type Page struct {
	Offset, Limit int
	Sort          string // a column's name, as the method lists them; "" for its default
	Desc          bool
	Search        string // substring, case-insensitive; "" for all
}

// Quarantined is an input that could not be read and is kept.
type Quarantined struct {
	ID     int64     `json:"id"`
	Import int64     `json:"import"`
	Path   string    `json:"path"`   // of the input, with "!" and the member inside it
	Kept   string    `json:"kept"`   // path of the copy, relative to the data folder
	Size   int64     `json:"size"`   // bytes kept
	Reason string    `json:"reason"` // the error, in English
	At     time.Time `json:"at"`
}
