// Package worlds makes organisations that do not exist: what they send, who
// sends for them, who passes their mail on and who abuses their name, as a
// dozen receivers would report it, with the DNS that goes with it and the
// truth about every address. Advice is judged on such worlds.
//
// A world follows from its seed alone: the same seed gives the same world on
// every machine. Its parts are named shapes (shape.go), such as
// "broken/vendor-monthly" or "spoof/botnet"; Make draws them, and Compose takes
// them by name. How hard a world is (how much of it has names, how much noise
// there is) is drawn as well.
//
// A world can be written to and read from a folder (folder.go) with the three
// files reports.tar.gz, zone and truth.json. Judge (judge.go) counts an answer
// against the truth.
package worlds

import (
	"iter"
	"strings"
	"time"

	"sekimori/dns/dnstest"
	"sekimori/report/aggregate"
)

// Classes of a source, as truth.json spells them.
const (
	Aligned   = "aligned"   // ours, and it passes
	Broken    = "broken"    // ours, or a vendor's for us, and it fails
	Forwarder = "forwarder" // passed on by somebody else
	Spoof     = "spoof"     // not ours, and using our name
	Unknown   = "unknown"   // only said in answers, never the truth
)

// Classes lists the classes in the order of tables.
var Classes = [...]string{Aligned, Broken, Forwarder, Unknown, Spoof}

// World is an organisation with its reports.
type World struct {
	Truth Truth
	// Zone is the DNS as a master file: reverse names, SPF, DMARC and keys.
	Zone    string
	reports []Report
}

// Report is one report of one receiver.
type Report struct {
	aggregate.Report
	Records []aggregate.Record
}

// Reports yields the reports in the order of their days. Some come twice, as
// real ones do. The records are not to be changed.
func (w *World) Reports() iter.Seq[Report] {
	return func(yield func(Report) bool) {
		for _, r := range w.reports {
			if !yield(r) {
				return
			}
		}
	}
}

// Resolver returns the zone as a Resolver.
func (w *World) Resolver() (*dnstest.Zone, error) {
	return dnstest.Parse(strings.NewReader(w.Zone), "zone of "+w.Truth.Domain)
}

// Truth is what a world says about itself. Its JSON form is truth.json; Kind,
// Shape, Also and Due are absent from worlds that others made.
type Truth struct {
	Seed    uint64             `json:"seed"`
	Domain  string             `json:"domain"`
	Kind    string             `json:"kind,omitempty"` // of organisation
	Policy  string             `json:"policy"`         // p in force at the end
	Days    int                `json:"days"`
	Begin   time.Time          `json:"begin"`
	End     time.Time          `json:"end"` // exclusive
	Sources map[string]*Source `json:"sources"`
	// Legitimate counts the messages of aligned, broken and forwarding sources
	// in the 30 days before the end of the newest report, AtRisk the failing
	// ones of broken sources among them.
	Legitimate uint64 `json:"legitimate_last30"`
	AtRisk     uint64 `json:"broken_at_risk_last30"`
	// Due names the broken periodic sources that are not among those 30 days
	// and will send again.
	Due []string `json:"due,omitempty"`
	// Ready is set when the 95 % upper bound of AtRisk is at most 0.1 % of
	// Legitimate and nothing is due; or when the domain sends nothing at all.
	Ready bool `json:"ready"`
}

// Source is the truth about one sender.
type Source struct {
	Class string `json:"cls"`
	// Also lists classes that would be no fault either, because reports and
	// the DNS cannot tell.
	Also       []string `json:"also,omitempty"`
	Shape      string   `json:"shape,omitempty"`
	IPs        []string `json:"ips"`
	HeaderFrom string   `json:"header_from"`
	Messages   uint64   `json:"messages"`
	Failing    uint64   `json:"failing"`
	Failing30  uint64   `json:"failing_last30"`
	Messages30 uint64   `json:"messages_last30"`
}
