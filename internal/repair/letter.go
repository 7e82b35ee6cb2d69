package repair

import (
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/store"
)

// Kind says what sort of system a letter is about, and so what can be changed.
type Kind string

const (
	Vendor Kind = "vendor" // a service that sends for us
	Server Kind = "server" // a mail server or application of our own
	Device Kind = "device" // a printer, a scanner, a monitor: it can relay, and little else
)

// Letter is the facts of a letter to the owner of a system: codes and figures,
// no prose. All texts that come from reports are to be escaped where they are
// shown.
type Letter struct {
	Case       store.Case
	Department store.Department // the zero value for none
	Owner      string           // whom to write to: the case's owner, else the department's contact; "" for not known
	From       Contact          // who asks
	Domain     string           // policy domain, as A-labels
	Source     LetterSource
	Window     store.Window // that Messages and Failing are of
	Messages   uint64
	Failing    uint64
	Receivers  []LetterReceiver // where it fails, the most first; at most 5
	// ReceiverCount is how many receivers reported the source.
	ReceiverCount int
	Policy        string         // p in force; "" for not known
	Next          string         // the step that waits for this: "quarantine", "reject" or ""
	Wrong         []explain.Step // what is wrong; at least one
	Changes       []LetterChange // what to change, in order; at least one
	Notes         []explain.Step // what could not be looked up
	Proof         Proof          // what will count as proof
	Due           store.Day      // of the case; 0 for none
	By            store.Day      // the day that the letter asks for: Due, or 30 days from Date on
	Date          store.Day      // today
}

// LetterSource is the system that a letter is about. Lists have at most 5
// entries, Addresses 10.
type LetterSource struct {
	ID, Key      string
	Name         string         // as advise.Source.Name: may be a code
	Said         string         // the name that a person gave it
	Kind         Kind           //
	Sender       *advise.Sender // of the catalogue; nil for none
	SenderJA     string         // its Japanese name
	Addresses    []string
	AddressCount int
	PTR          []string
	HeaderFrom   []string // author domains
	Envelope     []string // envelope domains
	Selectors    []string // of signatures in our name
	DKIM         []string // domains whose signature passed
	SPF          []string // domains that passed SPF
	FirstDay     store.Day
	LastDay      store.Day
	Rhythm       advise.Rhythm
}

// LetterReceiver is a receiver that reported the source.
type LetterReceiver struct {
	Name              string
	Messages, Failing uint64
}

// LetterChange is one thing to do. Record, where there is one, is to be copied
// as it is; a part in <angle brackets> is what the service shows.
type LetterChange struct {
	What   explain.Step
	Steps  []explain.Step // where in this service's settings; codes of the room "setup"
	Hints  []explain.Step // what to mind
	Name   string         // of the record
	Type   string         // "TXT", "CNAME"
	Record string
	Now    string // what stands there today; "" for nothing, or not known
	URL    string // the service's own page about it
	// Who does it: "owner" for the letter's reader, "dns" for whoever keeps our
	// DNS, which is us.
	Who string
	// Instead says that this is another way to do what came before.
	Instead bool
}

// Proof is what will count as proof that a source is fixed.
type Proof struct {
	Messages  uint64    // that pass
	Receivers int       // at so many receivers
	Days      int       // one usual period of a periodic sender; 0 for others
	Since     store.Day // from this day on; 0 for not yet said to be fixed
}

// Contact is who asks for the change, and whom to ask back.
type Contact struct {
	Name    string // of a person or an office
	Address string // of mail
	URL     string // of the dashboard
}
