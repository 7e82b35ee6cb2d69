// Package gateway stands at the barrier: it verifies mail as it arrives, does
// with it what the domain's owner and the site want done, keeps the verdict,
// and signs what leaves.
package gateway

import (
	"net/netip"

	"sekimori/domain"
	"sekimori/internal/store/verdict"
)

// Mode says how far the gateway goes.
type Mode string

const (
	// Monitor adds header fields and keeps verdicts, and treats no message
	// differently: the default.
	Monitor Mode = "monitor"
	// Enforce does what the policies say.
	Enforce Mode = "enforce"
)

// Site is what the operator decides. The zero Site is usable: it monitors.
type Site struct {
	// AuthServID is the authserv-id of the fields added (RFC 8601 §2.5); where
	// it is empty, the name that the MTA gives itself (macro j), else the host's.
	AuthServID string
	// TrustedIDs are further authserv-ids that consumers inside believe, so
	// that fields bearing them are taken out of arriving mail.
	TrustedIDs []string
	Mode       Mode // Monitor unless set

	// OnReject is what becomes of mail that fails under p=reject: Quarantine
	// unless set (RFC 9989 §7.4), or Refuse or Mark.
	OnReject verdict.Action
	// OnQuarantine is what becomes of mail that fails under p=quarantine:
	// Quarantine (held by the MTA) unless set, or Mark.
	OnQuarantine verdict.Action
	// OnTrouble is what becomes of mail of which the DNS did not tell enough:
	// Accept unless set, or TryAgain.
	OnTrouble verdict.Action
	// OnBadFrom is what becomes of mail without one author's domain to judge
	// (RFC 9989 §5.3.1), where no domain in it has a policy that decides: Accept
	// unless set, or Mark, Quarantine, Refuse. A From that cannot be read, and
	// mentions a domain whose policy the message fails, is treated as OnQuarantine
	// says at least.
	OnBadFrom verdict.Action

	// ExplainURL is the address of a page that explains a refusal; replies name
	// it with "?" and a query. Empty leaves it out.
	ExplainURL string

	// Networks are our own: mail from there, as from authenticated users, is not
	// verified but signed.
	Networks []netip.Prefix
	// Rules are tried in order, after the evaluation; the first that matches
	// decides.
	Rules []Rule
	// WithoutBIMI leaves BIMI alone, except that foreign fields are taken out.
	WithoutBIMI bool
	// Subjects keeps the Subject of messages with their verdicts.
	Subjects bool
	// ReportFrom is the address that our own aggregate reports come from. What
	// comes from there with a null reverse-path and a valid signature of its
	// domain is in no report itself.
	ReportFrom string
}

// Rule is an exception, or a decision of the site's own. All conditions that
// are set must hold; a Rule without any is invalid.
type Rule struct {
	// Network is where the client is.
	Network netip.Prefix
	// Forwarder is a domain that passes mail on for people here: SPF or DKIM
	// has authenticated it, or a name below it.
	Forwarder domain.Name
	// List is a mailing list: the domain of List-Id, or of List-Post where there
	// is none, together with a DKIM signature or an SPF pass of the same
	// organizational domain.
	List domain.Name
	// Sealer is the domain of the newest ARC seal of a valid chain, of which the
	// oldest results that count say that DMARC passed for this author. Results
	// count as far down as all seals above them are of a Sealer of some rule.
	Sealer domain.Name
	// From is the Author Domain, and all below it.
	From domain.Name
	// MailFrom is the domain of the envelope-from, and all below it.
	MailFrom domain.Name

	Action verdict.Action // Accept unless set
	Reason string         // the operator's words; shown, and put into reports
}
