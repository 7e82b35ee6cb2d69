// Package verdict keeps what became of each message that came through the
// gateway: until its aggregate report is made, and for as long as somebody may
// ask "why was this mail quarantined?".
//
// # Where it is
//
// A Log writes, one for a folder:
//
//	journal/      what was appended last, in files of 16 MiB; see segment.go
//	DAY.sqlite    the entries of a UTC day; see daySchema
//	DAY.closed    the day is closed, should its file be damaged
//	DAY.sqlite.damaged   a file that could not be read, and in .txt why
//	lock          held by the Log; it names the process
//	days.lock     held while a day's file is made or removed
//
// Append writes to the journal with one write(2), before the MTA gets its
// answer; four times a second a mover carries the journal into the day files.
// Readers, in any process, read these. A day goes by deleting its file.
//
// # What is lost when
//
// A process that is killed loses nothing that Append has returned for. A loss
// of power takes the messages of the last second at most: the journal is synced
// once a second; the day files are not, for each transaction, and need not be,
// as what they lose is still in the journal (move.go says why this cannot
// count a message twice).
//
// # What counts
//
// Each message counts in the report of one day. One that was answered with a
// temporary refusal does not count, nor one whose answer did not reach the MTA
// (Receipt.Cancel). Where nobody knows whether it did, since the connection or
// the process ended (Receipt.Leave, or no word at all before a restart), the
// message counts unless the same message (Entry.Print) comes again within
// five days; then one of the two does: the newer one, but for a day that is
// closed already. A closed day never changes.
package verdict

import (
	"net/netip"
	"time"

	"sekimori/explain"
	"sekimori/report/aggregate"
)

// Action is what was done with a message.
type Action string

const (
	Accept     Action = "accept"     // passed on
	Mark       Action = "mark"       // passed on, marked as suspicious
	Quarantine Action = "quarantine" // held by the MTA
	Refuse     Action = "refuse"     // refused for good (5xx)
	TryAgain   Action = "tempfail"   // refused for now (4xx); no report counts it
)

// Policy is the DMARC record that applied to a message. It is comparable; the
// zero Policy is none.
type Policy struct {
	Domain string // where the record was found, as an A-label
	Text   string // the record as published
	Method string // how it was found: "treewalk" or "psl"
}

// Entry is one message. Texts are clipped by whoever makes it: addresses to
// 320 octets, the message id to 256, the HELO name to 255.
type Entry struct {
	// ID is given by Log.Append. It rises with every message of a data folder.
	ID   uint64
	Time time.Time     // when its end arrived
	Took time.Duration // from then to the answer

	QueueID   string // the MTA's
	MessageID string // without <>
	Subject   string // kept only where the site wants it
	Client    netip.Addr
	Helo      string
	MailFrom  string // the reverse-path without <>; empty for notifications
	From      string // the author's address; the first where there are several
	Rcpt      []string
	Size      int64 // octets of header and body

	Action Action
	// Asked is what would have been done without monitoring mode; Action where
	// there is no difference.
	Asked Action
	// Rule says which rule of the site decided, as a code; the zero Step where
	// none did.
	Rule explain.Step

	SPF, DKIM, DMARC, ARC string // in one word each

	Policy Policy
	// Record is the message as a row of an aggregate report; its Count does not
	// matter. It is filled in without a policy as well.
	Record aggregate.Record
	// Why explains the verdict; kept for messages that did not simply pass.
	Why []explain.Step

	// Answer says whether the MTA has got the answer, and Counted whether the
	// day's report counts the message. A Reader fills them in; Append does not
	// look at them.
	Answer  Answer
	Counted bool

	// Print tells a message that is sent again from others: a hash over client,
	// envelope, header and body as they arrived. A Reader leaves it out; the zero
	// Print is that of no other message.
	Print [16]byte
}

// Answer says what became of the answer about a message.
type Answer string

const (
	Received    Answer = "received"     // the MTA has got it
	NotReceived Answer = "not-received" // the MTA has not; it tries again
	Unsure      Answer = "unsure"       // not known, or not known yet
	Repeated    Answer = "repeated"     // was unsure, and the same message came again
)
