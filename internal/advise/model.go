package advise

import (
	"time"

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
	Ladder     Ladder         `json:"ladder"`
	Pending    int            `json:"pending"`              // addresses whose names are still being looked up in the background
	Department string         `json:"department,omitempty"` // that the answer was narrowed to
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

	// Key is what the source was recognised by, such as "org:okuru.example";
	// a word said about it and a piece of work on it keep to the key.
	Key string `json:"key"`
	// Probability is that of Class, from 0 to 1; Probabilities those of all.
	Probability   float64        `json:"probability"`
	Probabilities Probabilities  `json:"probabilities"`
	For           []explain.Step `json:"for"`                // evidence for Class, the strongest first
	Against       []explain.Step `json:"against"`            // evidence against it
	Question      *explain.Step  `json:"question,omitempty"` // what a person would have to say to settle it
	Word          *Word          `json:"word,omitempty"`     // what a person has said; Class follows it
	Sender        *Sender        `json:"sender,omitempty"`   // what the catalogue or a network table knows about it
	Rhythm        Rhythm         `json:"rhythm"`
	Department    string         `json:"department,omitempty"` // whose it is
	Selectors     []string       `json:"selectors"`            // of our own signatures, whether they passed or not
	Envelope      []string       `json:"envelope"`             // envelope-from domains, passed or not
	OtherDomains  int            `json:"other_domains"`        // further policy domains of ours that its addresses use
	Seen          []Seen         `json:"seen,omitempty"`       // failure reports and the gateway's own verdicts about its addresses

	path       path // how it was decided, and by which figures: see Weighed
	features   [4]float64
	identities []string // that a word about it is kept with; nil in an answer that was kept
}

// Probabilities is how sure the classes of a source are; they add up to 1.
type Probabilities struct {
	Aligned   float64 `json:"aligned"`
	Broken    float64 `json:"broken"`
	Forwarder float64 `json:"forwarder"`
	Spoof     float64 `json:"spoof"`
	Unknown   float64 `json:"unknown"` // what would be left open even if the most likely class were taken
}

// Word is what a person said about a source. It overrides the evidence, now and
// in the months to come, for whatever is recognised as the same source.
type Word struct {
	Class Class     `json:"class,omitempty"` // "" leaves it to the evidence
	Name  string    `json:"name,omitempty"`  // what people call it
	Note  string    `json:"note,omitempty"`
	By    string    `json:"by"`
	At    time.Time `json:"at"`

	key string // of the source it was said of
}

// Sender is a mail service, provider or network that is known by name.
type Sender struct {
	ID      string `json:"id,omitempty"` // of the catalogue; "" for a network alone
	Name    string `json:"name"`
	NameJA  string `json:"name_ja,omitempty"`
	Kind    string `json:"kind"`              // a sources.SenderKind: "delivery", "saas", "isp", "hoster", "forwarder", "list", "security", "mailbox", "network"
	Network string `json:"network,omitempty"` // organisation of the network that the addresses are in
	Country string `json:"country,omitempty"` // ISO 3166-1 alpha-2
}

// Rhythm is how a source's messages lie in time.
type Rhythm struct {
	Pattern string `json:"pattern"` // "daily", "business-days", "weekly", "monthly", "quarterly", "yearly", "burst", "irregular", or "" for not known
	Days    int    `json:"days"`    // period in days; 0 for none
	Active  int    `json:"active"`  // days with messages
}

// Seen is what another eye than the aggregate reports saw.
type Seen struct {
	By       string    `json:"by"` // "failure-reports" or "gateway"
	Messages uint64    `json:"messages"`
	Failing  uint64    `json:"failing"`
	Last     store.Day `json:"last"`
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
	// Sources and Receivers say where LegitimateAtRisk comes from and where it
	// would be lost, the most first; at most 20 each.
	Sources   []RiskShare `json:"sources"`
	Receivers []RiskShare `json:"receivers"`
}

// RiskShare is a part of the messages at risk.
type RiskShare struct {
	ID       string `json:"id,omitempty"` // of a source
	Name     string `json:"name"`         // of the source, or the reporting organisation
	AtRisk   uint64 `json:"at_risk"`
	Messages uint64 `json:"messages"` // legitimate ones
}

// Ladder is the way from p=none to p=reject for one domain.
type Ladder struct {
	Now      string         `json:"now"`      // p in force
	Next     string         `json:"next"`     // the step that is asked about: "quarantine", "reject", or "" at the top
	Fixes    []Fix          `json:"fixes"`    // the shortest list that makes the domain ready
	Waiting  []Fix          `json:"waiting"`  // periodic senders that have not shown up since their last fix
	Coverage Coverage       `json:"coverage"` // how much of our mail the reports tell of
	Scopes   []ScopeCost    `json:"scopes"`   // sp, np and each sub-domain with mail, at most 100
	Rehearse string         `json:"rehearse"` // the record with t=y that rehearses the next step (RFC 9989 §4.7); "" where there is none
	LookAt   store.Day      `json:"look_at"`  // when to look again
	StepBack StepBack       `json:"step_back"`
	Reasons  []explain.Step `json:"reasons"` // of LookAt, Coverage and the scopes
}

// Fix is one thing to do before the next step.
type Fix struct {
	Source  string       `json:"source"` // ID
	Key     string       `json:"key"`
	Name    string       `json:"name"`
	AtRisk  uint64       `json:"at_risk"`
	Upper95 float64      `json:"upper95"` // bound of the share at risk once this and the fixes before it are done
	What    explain.Step `json:"what"`    // what is wrong and what to change
}

// Coverage is how much of our mail the reporters see. What our own mail server
// signed and sent is the denominator where it did; else the share is not known,
// and Reporters and the shares among them are all that is said.
type Coverage struct {
	Reporters int `json:"reporters"`
	// Sent counts copies, one for each recipient elsewhere, of what our own mail
	// server signed from Since on; 0 for not known. Seen counts what reports tell
	// of with these signatures, at most Sent.
	Sent    uint64    `json:"sent"`
	Seen    uint64    `json:"seen"`
	Since   store.Day `json:"since,omitzero"`
	Share   float64   `json:"share"`   // Seen / Sent; 0 where Sent is 0
	Largest float64   `json:"largest"` // share of the busiest reporter among all reported legitimate messages
}

// ScopeCost is what a policy for one part of the domain would cost.
type ScopeCost struct {
	Scope      string  `json:"scope"` // "sp", "np", or the name of a sub-domain
	Exists     bool    `json:"exists"`
	Legitimate uint64  `json:"legitimate"`
	AtRisk     uint64  `json:"at_risk"`
	Indirect   uint64  `json:"indirect"`
	Stopped    uint64  `json:"stopped"`
	Upper95    float64 `json:"upper95"`
	Verdict    Verdict `json:"verdict"`
	Record     string  `json:"record"` // what to publish for it: a tag, such as "np=reject", or a record of its own
}

// StepBack is what would make us go a step back, once the next one is taken.
type StepBack struct {
	Share    float64   `json:"share"`    // of legitimate messages failing on one day
	Messages uint64    `json:"messages"` // and at least so many
	Days     int       `json:"days"`     // within so many days
	Record   string    `json:"record"`   // to publish then
	Tripped  bool      `json:"tripped"`  // it is so now
	Day      store.Day `json:"day"`      // of Tripped
	Failing  uint64    `json:"failing"`  // then
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
