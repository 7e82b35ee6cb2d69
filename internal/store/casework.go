package store

import (
	"errors"
	"net/netip"
	"time"
)

// ErrConflict says that somebody else changed the same thing in the meantime:
// read it again, and decide anew.
var ErrConflict = errors.New("somebody else has changed this in the meantime; look at it again")

// Saying is what a person said about a source of a domain. The latest counts;
// earlier ones are kept as its history.
type Saying struct {
	ID     int64     `json:"id"`
	Domain string    `json:"domain"`
	Key    string    `json:"key"`    // advise.Source.Key at the time
	Source string    `json:"source"` // advise.Source.ID at the time
	Class  string    `json:"class"`  // an advise.Class; "" takes an earlier word back
	Name   string    `json:"name"`   // what people call it; "" leaves the name found
	Note   string    `json:"note"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	// Networks and Identities are what the source was recognised by when the
	// word was said: its addresses' networks (/24, /48; at most 64) and the
	// organisations that its mail authenticated as or its host names are of.
	Networks   []netip.Prefix `json:"networks"`
	Identities []string       `json:"identities"`
}

// Department is a part of the organisation that owns mail systems.
type Department struct {
	ID      int64     `json:"id"`
	Name    string    `json:"name"`    // unique, whatever the case
	Contact string    `json:"contact"` // an address; "" for not known
	Note    string    `json:"note"`
	Created time.Time `json:"created"`
}

// Assignment says that something belongs to a department. What is more
// particular wins: a source before a sub-domain before a domain.
type Assignment struct {
	Department int64     `json:"department"`
	Domain     string    `json:"domain"`    // policy domain
	Subdomain  string    `json:"subdomain"` // author domain below it; "" for all
	Key        string    `json:"key"`       // of a source; "" for all
	By         string    `json:"by"`
	At         time.Time `json:"at"`
}

// Share is a link that shows a department its own part, and nothing else.
type Share struct {
	ID         int64     `json:"id"`
	Department int64     `json:"department"`
	Hash       [32]byte  `json:"-"` // SHA-256 of the token; the token itself is shown once
	Created    time.Time `json:"created"`
	Expires    time.Time `json:"expires"`
	Revoked    time.Time `json:"revoked"` // zero while it is good
	By         string    `json:"by"`
	LastUsed   time.Time `json:"last_used"`
}

// CaseState is how far a piece of work is.
type CaseState string

const (
	CaseFound     CaseState = "found"
	CaseContacted CaseState = "contacted"
	CaseRepair    CaseState = "in-repair"
	CaseWaiting   CaseState = "waiting-for-proof"
	CaseDone      CaseState = "done"
	CaseAccepted  CaseState = "accepted" // as it is: nothing will be done
)

// Case is one broken source as a piece of work.
type Case struct {
	ID         int64     `json:"id"`
	Domain     string    `json:"domain"`
	Key        string    `json:"key"`    // advise.Source.Key
	Source     string    `json:"source"` // advise.Source.ID
	Name       string    `json:"name"`
	State      CaseState `json:"state"`
	Owner      string    `json:"owner"`      // a person, or an address
	Department int64     `json:"department"` // 0 for none
	Due        Day       `json:"due"`        // 0 for none
	Opened     time.Time `json:"opened"`
	Changed    time.Time `json:"changed"`
	Fixed      Day       `json:"fixed"`    // the day from which on it is said to be fixed; 0 for not yet
	Reminded   time.Time `json:"reminded"` // the last reminder
	Reopened   int       `json:"reopened"` // how often
	// Figures of the last look: failing and all messages in the last 30 days,
	// and since Fixed what passed, at how many receivers.
	Failing   uint64 `json:"failing"`
	Messages  uint64 `json:"messages"`
	Proof     uint64 `json:"proof"`
	Receivers int    `json:"receivers"`
	Relapse   uint64 `json:"relapse"`  // failing messages since Fixed
	LastDay   Day    `json:"last_day"` // of its mail
	// Networks and Identities are what the source was recognised by at the
	// last look, as in a Saying.
	Networks   []netip.Prefix `json:"networks"`
	Identities []string       `json:"identities"`
	// Facts is what the program remembers about the source, a document of its
	// own; Case returns it, Cases leaves it out.
	Facts []byte `json:"-"`
}

// CaseEvent is one line of a case's history.
type CaseEvent struct {
	ID   int64     `json:"id"`
	Case int64     `json:"case"`
	At   time.Time `json:"at"`
	By   string    `json:"by"`   // "" for the program itself
	Kind string    `json:"kind"` // "opened", "state", "owner", "department", "due", "note", "letter", "reminder", "proof", "reopened"
	From string    `json:"from"`
	To   string    `json:"to"`
	Text string    `json:"text"`
}

// CaseFilter narrows a list of cases. Zero fields do not.
type CaseFilter struct {
	Domain     string
	Key        string // of the source
	Department int64
	States     []CaseState
	Due        Day    // due before this day, and not done
	Owner      string // whatever the case
}

// Observation is what one name of the DNS published over a span of time.
type Observation struct {
	Domain string    `json:"domain"` // that it belongs to
	Name   string    `json:"name"`   // that was asked for, such as _dmarc.example.jp
	Kind   string    `json:"kind"`   // "dmarc", "spf", "dkim", "mx", "ns", "mta-sts", "tls-rpt", "bimi"
	Value  string    `json:"value"`  // the records, sorted, one a line; "" for none there
	From   time.Time `json:"from"`   // first seen so
	To     time.Time `json:"to"`     // last seen so
}

// ObservedChange is what a name published before, and what it does now. Before
// is zero where the name had never been looked at.
type ObservedChange struct {
	Before Observation `json:"before"`
	After  Observation `json:"after"`
}

// Happening is one entry of a domain's timeline.
type Happening struct {
	ID     int64     `json:"id"`
	Domain string    `json:"domain"`
	At     time.Time `json:"at"`
	Kind   string    `json:"kind"` // "dns", "policy", "fixed", "reopened", "wave", "step-back", "all-clear", "word", "alert-failed"
	Key    string    `json:"key"`  // makes it unique for a domain and kind: seen again it changes nothing
	Step   []byte    `json:"step"` // an explain.Step as JSON: what happened
}

// KnownName is a sub-domain that somebody told of.
type KnownName struct {
	Domain string    `json:"domain"` // organisational domain
	Name   string    `json:"name"`
	Origin string    `json:"origin"` // "certificates", "zone", "list"
	From   string    `json:"from"`   // the file
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}
