// Package dmarc asks whether a message is really from the domain in its From
// field (RFC 9989): it finds the policy record that applies to that domain,
// compares the domains that SPF and DKIM have authenticated with it, and says
// what the owner of the domain wants done with a message that fails.
//
// The evaluation has two halves, so that the first can run while SPF and DKIM
// still work: Verifier.Discover finds the record and Verifier.Evaluate joins it
// with what passed. The package itself authenticates nothing: it is handed
// identifiers.
//
// RFC 9989 finds the organizational domain by walking the DNS tree (§4.10);
// Options.Method switches to RFC 7489 and the public suffix list.
package dmarc

import (
	"sekimori/dns"
	"sekimori/domain"
	"sekimori/explain"
)

// Policy is a Domain Owner Assessment Policy (RFC 9989 §4.7, tag p).
type Policy string

const (
	None       Policy = "none"
	Quarantine Policy = "quarantine"
	Reject     Policy = "reject"
)

// Level orders policies: 0 none, 1 quarantine, 2 reject. Anything else is 0.
func (p Policy) Level() int {
	switch p {
	case Quarantine:
		return 1
	case Reject:
		return 2
	}
	return 0
}

// below is the policy one level down, where t=y puts it (RFC 9989 §4.7) and
// where pct put the messages left out of the sample (RFC 7489 §6.6.4).
func (p Policy) below() Policy {
	if p == Reject {
		return Quarantine
	}
	return None
}

// Status is a result of DMARC as in Authentication-Results (RFC 9989 §9.2).
// There is none called "none" beside the policy: that is NoRecord.
type Status string

const (
	NoRecord  Status = "none" // no policy record applies
	Pass      Status = "pass"
	Fail      Status = "fail"
	TempError Status = "temperror"
	PermError Status = "permerror"
)

// Method is how organizational domains are found, by the token that aggregate
// reports have for it (RFC 9990 §3.1.1.5, discovery_method).
type Method string

const (
	TreeWalk Method = "treewalk" // RFC 9989 §4.10
	PSL      Method = "psl"      // RFC 7489 §3.2, with that RFC's other rules
)

// Duplicates says what to make of a tag that stands in a record twice. RFC
// 9989 does not say. It takes the syntax of DKIM's tag-lists, where a repeated
// name makes the whole list invalid (RFC 6376 §3.2); but it also has syntax
// errors after the version ignored (§4.8).
type Duplicates string

const (
	// FirstTag keeps the first and ignores the repetition (§4.8): the default.
	// A slip of the pen then does not strip a domain of its protection.
	FirstTag Duplicates = "first"
	// LastTag keeps the last, as much software does that fills in a table.
	LastTag Duplicates = "last"
	// InvalidRecord ignores the whole record (RFC 6376 §3.2).
	InvalidRecord Duplicates = "invalid"
)

// MissingPolicy says what to make of a record without p. RFC 9989 §4.7 has it
// treated as p=none; §4.10.1 only where the record names an address for
// aggregate reports, and otherwise applies no DMARC.
type MissingPolicy string

const (
	// NeedsReports follows §4.10.1: the default. A record without p and without
	// a valid rua asks for nothing.
	NeedsReports MissingPolicy = "needs-rua"
	// AsNone follows §4.7: without p, p=none in any case.
	AsNone MissingPolicy = "none"
)

// Options are the choices that the RFCs leave, or dispute. The zero Options
// are the defaults.
type Options struct {
	Method        Method        // TreeWalk unless set
	Duplicates    Duplicates    // FirstTag unless set
	MissingPolicy MissingPolicy // NeedsReports unless set
	// EachAuthor evaluates each domain of a From field that has several, and
	// takes the strictest policy among those that fail (RFC 9989 §11.5).
	// Unless set, such a message is a PermError (§5.3.1).
	EachAuthor bool
	// Sequential asks the names of a tree walk one after the other, in the
	// order of §4.10, and none after a record that ends it. Unless set, the
	// names above the first are asked at once: the same answers sooner, of
	// which some may not be needed.
	Sequential bool
}

// Limits bound what one message can make the package ask. Zero fields have the
// defaults named. At most 8 questions are asked for each walk (RFC 9989
// §4.10) and one for the existence of the Author Domain, so that one Author
// Domain costs at most 9 + 8 × Identifiers.
type Limits struct {
	// Identifiers is for how many domains, apart from the Author Domain, the
	// organizational domain is looked up: 12. Others count as not aligned.
	Identifiers int
	// Authors is for how many Author Domains EachAuthor evaluates: 4.
	Authors int
	// Destinations is how many addresses of one tag are considered for reports: 10.
	Destinations int
}

func (l Limits) withDefaults() Limits {
	if l.Identifiers <= 0 {
		l.Identifiers = 12
	}
	if l.Authors <= 0 {
		l.Authors = 4
	}
	if l.Destinations <= 0 {
		l.Destinations = 10
	}
	return l
}

// Verifier evaluates messages. It is safe for concurrent use.
type Verifier struct {
	Resolver dns.Resolver
	Options  Options
	Limits   Limits
	// Sample says whether a message is among the percent of messages (0 to 100)
	// that a policy is to be applied to: pct of RFC 7489 §6.6.4, for Method PSL
	// only. Where it is nil every message is, except with pct=0: then the same
	// message always gives the same result.
	Sample func(percent int) bool
}

// Identifier is a domain that a mechanism has authenticated, or would have.
type Identifier struct {
	// Method is "spf" or "dkim". SPF counts with the identity of MAIL FROM
	// only (RFC 9989 §4.4.2); of a null reverse-path that is postmaster at the
	// HELO name (RFC 7208 §2.4).
	Method string
	Domain domain.Name // of MAIL FROM, or d= of the signature
	// Selector is s= of the signature; it is only shown.
	Selector string
	// Temporary says that the mechanism could not be evaluated for now: it did
	// not pass, and might have.
	Temporary bool
}

// Alignment is what became of one Identifier.
type Alignment struct {
	Identifier
	// Organizational is the identifier's organizational domain, where it was
	// needed and found.
	Organizational domain.Name
	Strict         bool // the record asks for equal names
	Aligned        bool
	Err            error // the DNS did not tell
}

// Result is what DMARC says about a message.
type Result struct {
	Status Status
	From   domain.Name // the Author Domain evaluated; zero where there is none
	// Organizational is the Author Domain's organizational domain. Where a
	// record stands at the Author Domain and everything that passed bears its
	// name, it is that name, and no walk is done (RFC 9989 §4.10.2).
	Organizational domain.Name
	// Policy is what the owner wants done with a message that fails, by the tag
	// that applies: also on a pass, empty without a record. It is what is
	// published; see Applied for what t=y makes of it.
	Policy       Policy
	PolicyDomain domain.Name // where the record was found
	PolicyTag    string      // "p", "sp" or "np"
	// Disposition is what the policy asks to do with this very message: None
	// unless it failed; lowered by t=y or, for Method PSL, pct. A receiver must
	// not refuse a message only because this says Reject (RFC 9989 §7.4).
	Disposition Policy
	// AlignedBy holds "spf" and "dkim", in this order, as far as they passed
	// with an aligned domain.
	AlignedBy  []string
	Alignments []Alignment // of every identifier given, in its order
	Method     Method
	Record     *Record
	Testing    bool           // t=y
	SampledOut bool           // Method PSL: pct left this message out of the sample
	Reason     explain.Step   // the sentence that decides
	Steps      []explain.Step // all of them
	Err        error          // cause of a TempError
}

// Applied is the policy after its options: Policy, or one level below under t=y
// (RFC 9989 §4.7). It is what policy.dmarc tells in Authentication-Results (RFC
// 9989 §9.1), whether the message passed or failed; empty without a record.
func (r *Result) Applied() Policy {
	if r.Testing && r.Policy != "" {
		return r.Policy.below()
	}
	return r.Policy
}
