// Package failure reads and writes DMARC failure reports (RFC 9991, on RFC 6591
// and RFC 5965): what a receiver tells the owner of a domain about a single
// message, or about several that failed alike.
//
// A report is a message of its own. Parse reads one as it comes, with what real
// reporters get wrong; Write writes one by the book:
//
//	multipart/report; report-type=feedback-report
//	  text/plain                  for people
//	  message/feedback-report     the fields of Report
//	  text/rfc822-headers         the header of the message that failed
//
// Reports tell strangers about people's mail. What is written should have gone
// through a Redactor, which leaves domains, addresses of hosts and results of
// verification as they are and takes the people out.
package failure

import (
	"net/netip"
	"time"

	"sekimori/message"
)

// Kind says what failed: the Auth-Failure field (RFC 6591 §3.3, RFC 9991 §4).
type Kind string

const (
	// DMARC: some or all mechanisms gave no aligned identifier.
	DMARC     Kind = "dmarc"
	BodyHash  Kind = "bodyhash"  // DKIM: the body was changed
	Revoked   Kind = "revoked"   // DKIM: the key was withdrawn
	Signature Kind = "signature" // DKIM: header or key do not fit
	SPF       Kind = "spf"       // SPF gave no pass
	ADSP      Kind = "adsp"      // historic
)

// Delivery says what became of the message: the Delivery-Result field (RFC 6591
// §3.2.2).
type Delivery string

const (
	Delivered Delivery = "delivered"
	Spam      Delivery = "spam"   // delivered or held as suspicious
	Policy    Delivery = "policy" // not delivered, by the receiver's policy
	Reject    Delivery = "reject" // refused
	Other     Delivery = "other"
)

// Method is a mechanism in Identity-Alignment (RFC 9991 §4).
type Method string

const (
	MethodDKIM Method = "dkim"
	MethodSPF  Method = "spf"
)

// SPFRecord is a record that SPF was evaluated by: the SPF-DNS field (RFC 6591
// §3.2.5).
type SPFRecord struct {
	Type   string // "txt", or "spf" of the time before RFC 7208
	Domain string
	Text   string // as published
}

// Report is what a failure report says. Texts are as they stand in the report,
// without control characters. The zero Report says nothing.
type Report struct {
	Mail Mail // the message that the report is

	// FeedbackType is "auth-failure" of a DMARC failure report; others are read
	// too: "abuse", "not-spam" (RFC 5965 §3.1).
	FeedbackType string
	Version      string // "1"
	UserAgent    string
	AuthFailure  Kind // empty where it is not said
	// Unaligned are the mechanisms that gave no aligned identifier
	// (Identity-Alignment); AlignmentTold says that the field is there, so that
	// none in it means none.
	Unaligned     []Method
	AlignmentTold bool
	// AuthenticationResults are the values of these fields (RFC 8601).
	AuthenticationResults []string
	ReportedDomains       []string

	SourceIP   netip.Addr
	SourcePort uint16 // 0 where it is not known (RFC 6692)
	// Arrived is when the message arrived (Arrival-Date, Received-Date); zero
	// where it is not said.
	Arrived time.Time
	// MailFrom is the reverse-path without <>; NullFrom tells the null one from
	// an unknown one.
	MailFrom   string
	NullFrom   bool
	Rcpt       []string // Original-Rcpt-To, without <>
	EnvelopeID string   // Original-Envelope-Id
	// Delivery is the token of Delivery-Result in lower case, also one that RFC
	// 6591 does not have.
	Delivery     Delivery
	ReportingMTA string
	// Incidents is how many messages the report is about: 1 where it is not said.
	Incidents uint64

	DKIMDomain, DKIMIdentity, DKIMSelector string
	DKIMSelectorDNS                        string // the key record
	// CanonicalHeader and CanonicalBody are the signed octets as the verifier
	// saw them, decoded.
	CanonicalHeader, CanonicalBody []byte
	SPFDNS                         []SPFRecord

	// Extra are the fields that have no place above.
	Extra []Extra

	// Header is that of the message which failed; nil where there is none.
	Header message.Header
	// Whole says that the message came whole, and not its header alone. Its
	// body is never kept.
	Whole bool

	// Deviations are the ways in which the report departs from its form.
	Deviations []Deviation
}

// Mail is the message around a report.
type Mail struct {
	From, To, Subject string
	Date              time.Time
	ID                string // Message-ID, without <>
	// Text is the part for people, without trailing white space. It is read up
	// to Limits.Text.
	Text string
}

// Extra is a field of the feedback part that Report has no place for.
type Extra struct{ Name, Value string }

// Deviation names a way in which a report departs from RFC 9991 and was read
// all the same.
type Deviation string

const (
	// NotMultipart: the message is no multipart/report of this report-type.
	NotMultipart Deviation = "not-multipart-report"
	// NoFeedback: there is no message/feedback-report part; what is known was
	// taken from the text, as Exim's and cPanel's reports need.
	NoFeedback Deviation = "no-feedback-part"
	// Encoded: the feedback part has a transfer encoding (RFC 5965 §2: 7bit).
	Encoded Deviation = "encoded-feedback-part"
	// OtherMediaType: the feedback part has another media type and was known by
	// its content.
	OtherMediaType Deviation = "feedback-part-of-other-type"
	NoFeedbackType Deviation = "no-feedback-type"
	NoVersion      Deviation = "no-version"
	NoUserAgent    Deviation = "no-user-agent"
	NoAuthFailure  Deviation = "no-auth-failure"
	NoAlignment    Deviation = "no-identity-alignment"
	NoResults      Deviation = "no-authentication-results"
	NoDomain       Deviation = "no-reported-domain"
	// NoOriginal: neither the message that failed nor its header is there.
	NoOriginal Deviation = "no-original"
	// BadValue: a field's value could not be read and was left out.
	BadValue Deviation = "bad-value"
	// Repeated: a field that comes once came again; the first holds.
	Repeated Deviation = "repeated-field"
	// Cut: something was longer than the limits and was cut.
	Cut Deviation = "cut"
)
