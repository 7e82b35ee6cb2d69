package aggregate

import (
	"net/netip"
	"time"
)

// Form is the document that a report follows.
type Form string

const (
	RFC7489 Form = "rfc7489" // RFC 7489 appendix C, and the drafts before it
	RFC9990 Form = "rfc9990" // RFC 9990 appendix A
)

// Report is what a report says once, for all of its records. It is a plain
// value: copying it is safe, its slices are not changed after it was returned.
type Report struct {
	Form            Form
	Version         string
	Metadata        Metadata
	PolicyPublished PolicyPublished
	// Deviations lists where the report departs from its form and was read
	// all the same, in the order met. At most Limits.Deviations are kept;
	// further ones of the same code at the same element are counted in Times.
	Deviations []Deviation
}

// Metadata is report_metadata (RFC 9990 §3.1.1.2; RFC 7489 appendix C).
type Metadata struct {
	OrgName          string
	Email            string
	ExtraContactInfo string
	ReportID         string
	Begin, End       time.Time // UTC; date_range as sent
	Errors           []string
	Generator        string // RFC 9990 only
}

// Reporter names who sent the report: the organisation, or where that is
// empty the e-mail address.
func (m Metadata) Reporter() string {
	if m.OrgName != "" {
		return m.OrgName
	}
	return m.Email
}

// PolicyPublished is the DMARC record as the receiver saw it. The fields hold
// the tokens of the record, lower-cased; an absent one is "".
type PolicyPublished struct {
	Domain          string
	ADKIM, ASPF     string // "r" or "s"
	P, SP, NP       string // "none", "quarantine" or "reject"
	PCT             string // RFC 7489 only
	FO              string
	Testing         string // RFC 9990: "y" or "n"
	DiscoveryMethod string // RFC 9990: "psl" or "treewalk"
}

// Disposition is what the receiver did with the messages of a record.
type Disposition string

const (
	DispositionNone       Disposition = "none"
	DispositionPass       Disposition = "pass" // RFC 9990: passed under an enforcing policy
	DispositionQuarantine Disposition = "quarantine"
	DispositionReject     Disposition = "reject"
)

// Record is one row of a report: the messages that one address sent with one
// combination of identifiers and results.
type Record struct {
	SourceIP     netip.Addr // IPv4-mapped addresses are unmapped
	Count        uint64     // messages
	Disposition  Disposition
	DKIM, SPF    bool // policy_evaluated: an aligned pass
	Reasons      []Reason
	HeaderFrom   string
	EnvelopeFrom string
	EnvelopeTo   string
	// DKIMResults and SPFResults are auth_results.
	DKIMResults []DKIMResult
	SPFResults  []SPFResult
}

// Reason says why the receiver departed from the published policy.
type Reason struct{ Type, Comment string }

// DKIMResult is the outcome of one signature. Result is a token of RFC 8601,
// lower-cased.
type DKIMResult struct{ Domain, Selector, Result, HumanResult string }

// SPFResult is the outcome of one SPF check. Scope is "mfrom", "helo" or "".
type SPFResult struct{ Domain, Scope, Result, HumanResult string }

// Deviation is a departure from the form that was tolerated. Code is a stable
// name (see the DeviationCode constants); the sentence for it is in the locale.
type Deviation struct {
	Code DeviationCode `json:"code"`
	// Element is where: a path such as "record/row/source_ip", always one of
	// the form's own elements; "" for the document as a whole.
	Element string `json:"element"`
	Line    int    `json:"line"`   // where first met, from 1
	Offset  int64  `json:"offset"` // in bytes of the XML as UTF-8, from 0
	Detail  string `json:"detail"` // the value or the foreign name first met, at most 200 bytes; may be ""
	Times   int64  `json:"times"`  // how often, at least 1
	// Messages counts what was left out with it (SkippedRow), else 0.
	Messages uint64 `json:"messages,omitempty"`
}

// DeviationCode names a kind of deviation.
type DeviationCode string
