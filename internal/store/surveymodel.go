package store

import (
	"time"
)

// State is the answer to a yes-or-no question that may have none, as survey
// results keep it.
type State uint8

const (
	Unknown State = iota
	Yes
	No
)

// String returns "yes", "no" or "unknown".
func (s State) String() string {
	switch s {
	case Yes:
		return "yes"
	case No:
		return "no"
	}
	return "unknown"
}

// WaveSpec is what a wave begins with.
type WaveSpec struct {
	Name       string   // unique among the waves, such as "2026-11"
	List       string   // where the list came from
	Digest     string   // of the list's octets and how it was read: tells whether it is the same
	Attributes []string // the names of the attributes, in the order of the list
	Facts      []string // the names of the facts, in the order of their results
}

// Wave is one run of a survey over a list of organisations.
type Wave struct {
	ID int64
	WaveSpec
	Started  time.Time
	Finished time.Time // zero while there is something left to do
	// Sealed: the list was read to its end.
	Sealed bool
	// Entries counts the list's rows: Domains of them have a domain of their
	// own, which is to be measured; Duplicates name one that stands further up,
	// Without name none, and Invalid could not be understood.
	Entries, Domains, Duplicates, Without, Invalid int64
	// Measured counts the domains that have a result, and Unanswered those of
	// them of which nothing could be learnt.
	Measured, Unanswered int64
	// Questions counts what was put to the resolver for the results.
	Questions int64
	Messages  int64 // that "survey mail" put in
}

// Entry is a row of the list.
type Entry struct {
	No     int64  // from 1, in the order of the list
	Line   int64  // in the file, or the row of the sheet
	Input  string // the cell that the domain was taken from, as it stands there
	Domain string // in A-labels; empty where there is none
	Name   string // of the organisation; may be empty
	// Aliases are the other domains that the row names; mail from them is the
	// organisation's as well.
	Aliases    []string
	Selectors  []string // of DKIM, given in the list
	Attributes []string // one for each of the wave's
	Problem    string   // a code, where the row could not be used or only in part
	Detail     string   // what the problem is about
	Of         int64    // the number of the entry with the same domain further up; 0 for none
	Earlier    Earlier  // only set by Retryable
}

// Earlier is the result so far of an entry that is to be looked at again.
type Earlier struct {
	Known      int64 // states that are not unknown
	Questions  int64
	Attempts   int64
	Unanswered bool
}

// Result is what was found out about a domain.
type Result struct {
	No         int64
	States     []State // one for each of the wave's facts
	Codes      []Code  // the problems, the worst first
	Doc        []byte  // the whole answer, JSON; the store compresses it
	Unanswered bool    // nothing could be learnt
	Retry      bool    // a further attempt may settle what is unknown
	Questions  int64   // put to the resolver
	Attempts   int64   // this one included
	At         time.Time
	Took       time.Duration
}

// Code is a problem of a domain.
type Code struct {
	Topic string // "spf"
	Grade string // an explain.Grade
	Code  string // of the finding
}

// SurveyRow is an entry with its result; Result.No is 0 where there is none
// yet. Doc is only set where one row was asked for.
type SurveyRow struct {
	Entry
	Result Result
}

// Tally counts domains by the state of a fact.
type Tally struct {
	Yes, No, Unknown int64
}

// Group is the domains with one value of an attribute.
type Group struct {
	Value   string
	Domains int64
	// First and Last are the lowest and the highest number of its entries.
	First, Last int64
	Facts       []Tally // in the order of the wave's facts
}

// AttributeShape says what an attribute's values are like.
type AttributeShape struct {
	Name     string
	Filled   int64 // domains that have a value
	Distinct int64
	Numeric  int64 // values that are numbers, by ParseNumber
	// Quantiles are the values at 0, 10 %, … 100 % of the numbers.
	Quantiles []float64
}

// SurveyFilter narrows a list of survey rows. Zero fields do not.
type SurveyFilter struct {
	Attribute, Value string  // of the first the second; both, or neither
	Low, High        float64 // with Attribute and Band: numbers from Low up to, but without, High
	Band             bool
	Rest             bool   // with Attribute: what is no number
	Odd              bool   // the list's rows that are not measured, instead of those that are
	Fact             string // in State
	State            State
	Code             string // with this problem
	Search           string // substring of domain or name
}

// MailResult is one message of an organisation.
type MailResult struct {
	Key     [16]byte // tells messages apart: the same again is not counted again
	Path    string
	Entry   int64 // the organisation's entry; 0 where no address matched
	From    string
	Subject string
	Arrived time.Time // zero where not known
	SMIME   string
	// Now is how the message is evaluated now, and Then what the receiving
	// server recorded; Then is zero where it recorded nothing.
	Now, Then MailStates
	// Selectors are the keys of the DKIM signatures that pass now or passed then.
	Selectors []Selector
	Doc       []byte // the whole answer, JSON; the store compresses it
}

// Selector names a DKIM key: it stands at Name._domainkey.Domain.
type Selector struct {
	Domain, Name string
}

// MailStates are the results of a message by method, in the words of RFC 8601;
// a word that no standard knows, such as "bestguesspass", stays as it was.
type MailStates struct {
	SPF, DKIM, DMARC string
}

// Basis says which of a message's results a table counts.
type Basis string

const (
	BasisThen Basis = "then" // what the receiving server recorded; without that, as evaluated now
	BasisNow  Basis = "now"  // as evaluated now
)

// Combination counts messages by what protects them.
type Combination struct {
	SMIME string `json:"smime"`
	MailStates
	Count int64
}

// Change counts the domains of two waves by a fact's states in both.
type Change struct {
	Fact     string
	From, To State
	Domains  int64
}
