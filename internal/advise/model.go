package advise

import (
	"sekimori/explain"
	"sekimori/internal/store"
)

// Class is the first answer about a source.
type Class string

const (
	Aligned   Class = "aligned"   // ours, and it passes
	Broken    Class = "broken"    // ours, or a vendor's for us, and it fails
	Forwarder Class = "forwarder" // indirect mail: passed on by somebody else
	Spoof     Class = "spoof"     // not ours, and using our name
	Unknown   Class = "unknown"   // not enough to tell
)

// Classes lists every class in the order in which pages and legends show them.
var Classes = [...]Class{Aligned, Broken, Forwarder, Unknown, Spoof}

// Verdict answers "may this domain move to the next policy?".
type Verdict string

const (
	Ready            Verdict = "ready"
	NotReady         Verdict = "not-ready"
	InsufficientData Verdict = "insufficient-data"
)

// Advice is what is known about one domain in a window, and what to do next.
// Its JSON form is the public interface of "sekimori advise --json".
type Advice struct {
	Domain     string         `json:"domain"`
	Window     store.Window   `json:"window"`
	Policy     string         `json:"policy"` // p in force: "none", "quarantine", "reject", or "" when no report says
	Messages   uint64         `json:"messages"`
	Aligned    uint64         `json:"aligned"`
	Sources    []Source       `json:"sources"` // at most 307: of each class the 60 with the most failing messages, the others as one line
	Policies   []PolicyCost   `json:"policies"`
	Verdict    Verdict        `json:"verdict"`
	NextRecord string         `json:"next_record"`     // the TXT record to publish next at _dmarc.Domain
	Reasons    []explain.Step `json:"reasons"`         // why this verdict
	Notes      []explain.Step `json:"notes,omitempty"` // what could not be looked up, what was left out
	Daily      []ClassDay     `json:"daily"`
}

// Source is everything one service sent in the domain's name: one line however
// many addresses it has.
type Source struct {
	ID        string   `json:"id"`   // stable for the same evidence; safe in a URL
	Name      string   `json:"name"` // a domain name for a person to recognise, or a code such as "unnamed-networks" that the locale words
	Class     Class    `json:"class"`
	Messages  uint64   `json:"messages"`
	Failing   uint64   `json:"failing"`
	Addresses []string `json:"addresses"` // the busiest first; a kept answer lists at most 20
	// AddressCount is how many addresses there are.
	AddressCount int            `json:"address_count"`
	HeaderFrom   []string       `json:"header_from"`
	Reasons      []explain.Step `json:"reasons"`
	DKIM         []string       `json:"dkim"`      // domains that signed and passed
	SPF          []string       `json:"spf"`       // domains that passed SPF
	PTR          []string       `json:"ptr"`       // host names, at most 10
	Reporters    int            `json:"reporters"` // the most reporters that saw one kind of its mail
	FirstDay     store.Day      `json:"first_day"`
	LastDay      store.Day      `json:"last_day"`
}

// PolicyCost is what a policy would have cost in the window.
type PolicyCost struct {
	P                string  `json:"p"`
	LegitimateAtRisk uint64  `json:"legitimate_at_risk"` // messages of broken sources that fail
	Share            float64 `json:"share"`              // of legitimate messages; 0 where there are none
	Upper95          float64 `json:"upper95"`            // 95 % upper bound of Share; 0, which says nothing, where Legitimate is 0
	IndirectAtRisk   uint64  `json:"indirect_at_risk"`   // failing messages of forwarders, counted apart
	Stopped          uint64  `json:"stopped"`            // spoofed messages it would have stopped
	Uncertain        uint64  `json:"uncertain"`          // failing messages of unknown sources
	// RemainderAtRisk is failing messages of aligned sources: the few that
	// break on the way from any sender. They are not in LegitimateAtRisk.
	RemainderAtRisk uint64 `json:"remainder_at_risk"`
	// Legitimate is the denominator of Share: all messages of aligned and
	// broken sources and of forwarders.
	Legitimate uint64 `json:"legitimate"`
	// InForce is set for the policy that is published already: its figures
	// say what it costs now.
	InForce bool `json:"in_force,omitempty"`
}

// ClassDay is one day's messages by class of their source. A message that
// passed DMARC counts as aligned whatever its source's class, and so do the few
// failing ones of an aligned source.
type ClassDay struct {
	Day       store.Day `json:"day"`
	Aligned   uint64    `json:"aligned"`
	Broken    uint64    `json:"broken"`
	Forwarder uint64    `json:"forwarder"`
	Unknown   uint64    `json:"unknown"`
	Spoof     uint64    `json:"spoof"`
}
