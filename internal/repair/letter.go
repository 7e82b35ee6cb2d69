package repair

import (
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/store"
)

// Letter is what a letter to the owner of a system says, in codes and figures:
// what is wrong, what to change, what will count as proof, and by when. The
// sentences are the locale's.
type Letter struct {
	Case       store.Case
	Department store.Department // the zero value for none
	Owner      string           // whom it goes to: the case's owner, else the department's contact
	From       Contact          // who asks, and whom to ask back
	Domain     string           // policy domain, as an A-label
	Source     LetterSource
	// Window is that of Messages and Failing.
	Window            store.Window
	Messages, Failing uint64
	Receivers         []LetterReceiver // where it fails, the most first; at most 5
	ReceiverCount     int
	Policy            string         // p in force; "" for none known
	Next              string         // the step that waits for this: "quarantine", "reject", or ""
	Wrong             []explain.Step // what is wrong: codes "letter.wrong.*"
	Changes           []Change       // what to change, in order; at least one
	Proof             Proof
	By                store.Day // the day that the letter asks for: the case's, else 30 days from Date
	Date              store.Day // of the letter
}

// Contact is somebody to turn to. Every part may be "".
type Contact struct{ Name, Address, URL string }

// LetterSource is the system that the letter is about.
type LetterSource struct {
	ID, Key, Name string         // as in advise.Source; Name may be a code
	Said          string         // the name that a person gave it
	Sender        *advise.Sender // the catalogue's; nil for none
	SenderJA      string         // its Japanese name
	Own           bool           // a server of ours rather than a service's
	Addresses     []string       // at most 10
	AddressCount  int
	PTR           []string // host names; this and the following at most 5 each
	HeaderFrom    []string
	Envelope      []string
	Selectors     []string
	DKIM, SPF     []string // domains that passed
	FirstDay      store.Day
	LastDay       store.Day
	Rhythm        advise.Rhythm
}

// LetterReceiver is an organisation that reported the source's mail.
type LetterReceiver struct {
	Name              string
	Messages, Failing uint64
}

// Change is one thing to do. Record, where there is one, is to be copied as it
// is.
type Change struct {
	What   explain.Step   // a code "letter.change.*"
	Steps  []explain.Step // where in this service's settings: codes "setup.*"
	Name   string         // where the record goes, such as city.example.jp
	Type   string         // "TXT" or "CNAME"
	Record string         // may hold a placeholder in <>
	Now    string         // what stands there today; "" for nothing, or not known
	URL    string         // the service's own page
	Who    string         // "owner" of the system, or "dns": whoever keeps the domain's zone
}

// Proof is what will have to be seen in the reports.
type Proof struct {
	Messages  uint64 // that pass
	Receivers int    // at so many
	Days      int    // one usual period of a periodic sender; 0 for none
}
