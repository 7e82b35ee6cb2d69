package sources

import (
	_ "embed"
	"slices"
	"strings"

	"sekimori/explain"
)

// SenderKind says what sort of service a sender is.
type SenderKind string

const (
	Delivery  SenderKind = "delivery"  // sends mail for others: newsletters, transactions
	SaaS      SenderKind = "saas"      // does something else and sends mail about it
	ISP       SenderKind = "isp"       // an access provider's mail servers and lines
	Hoster    SenderKind = "hoster"    // rents servers and web space, to anybody
	MailboxOf SenderKind = "mailbox"   // keeps people's mailboxes
	Passes    SenderKind = "forwarder" // passes mail on
	ListsOf   SenderKind = "list"      // runs mailing lists
	Security  SenderKind = "security"  // a gateway that mail goes through on its way out
)

var senderKinds = []SenderKind{Delivery, SaaS, ISP, Hoster, MailboxOf, Passes, ListsOf, Security}

// Confirmation says how an entry of the catalogue was confirmed.
type Confirmation string

const (
	Documentation Confirmation = "documentation" // a page of the vendor says it
	DNSKnowledge  Confirmation = "dns-knowledge" // its names in the DNS and in mail are widely known
	BySite        Confirmation = "site"          // an operator of this site wrote it
)

// Sender is a mail service or provider of the catalogue.
//
// PTR, SPF and DKIM are domains: of host names, of envelope-from and SPF
// includes, and of signatures. Each stands for itself and every name below it.
type Sender struct {
	ID      string
	Name    string // in English
	NameJA  string // in Japanese
	Kind    SenderKind
	PTR     []string
	SPF     []string
	DKIM    []string
	Include string // what to add to one's own SPF record; "" for nothing
	// Selectors are those that customers' own keys are published under, where
	// they are the same for all.
	Selectors []string
	// DKIMHow is how it comes to sign as the customer: a code of room "setup",
	// "" for not known.
	DKIMHow string
	// Setup is what the customer has to change, in order: codes of room "setup".
	Setup []string
	URL   string // of the vendor's page about it; "" for none
	By    Confirmation
}

// Steps returns Setup, and DKIMHow where Setup says nothing of DKIM, as steps with
// their arguments: {name} is the
// vendor (the locale chooses by language between name and name_ja), {domain} the
// customer's domain, {include}, {selectors} and {url} as in the catalogue.
func (s Sender) Steps(domain string) []explain.Step {
	codes := slices.Clone(s.Setup)
	if s.DKIMHow != "" && !slices.ContainsFunc(codes, func(c string) bool { return c == "setup.domain-assistant" || strings.HasPrefix(c, "setup.dkim-") }) {
		codes = append(codes, s.DKIMHow)
	}
	args := explain.Args{"name": s.Name, "name_ja": s.NameJA, "domain": domain, "include": s.Include,
		"selectors": strings.Join(s.Selectors, ", "), "url": s.URL}
	out := make([]explain.Step, 0, len(codes))
	for _, c := range codes {
		out = append(out, explain.Step{Code: c, Args: args})
	}
	return out
}

// Identity is what mail of one source carries: names as they stand in reports
// and in the DNS, in any case, with or without the root's dot.
type Identity struct {
	PTR  []string // host names; forward-confirmed ones, where that is known
	SPF  []string // envelope-from domains
	DKIM []string // domains of signatures
}

// Catalogue is a set of senders that can be looked up by name. It does not
// change; it is safe for concurrent use. A nil Catalogue is empty.
type Catalogue struct {
	senders        []Sender
	byID           map[string]int
	ptr, spf, dkim map[string]int // pattern → index in senders
	selectors      map[string]int // those that tell a sender; -1 where several have it
	labels         int            // of the longest pattern
}

//go:embed catalogue.yaml
var catalogueText []byte

// DefaultCatalogue parses the catalogue that comes with the program, which takes
// some milliseconds: callers keep it.
func DefaultCatalogue() *Catalogue {
	c, err := ParseCatalogue("catalogue.yaml", catalogueText)
	if err != nil {
		return newCatalogue(nil) // a test holds the file to its form
	}
	return c
}

// newCatalogue indexes senders. Of two that have the same pattern the later one
// gets it.
func newCatalogue(senders []Sender) *Catalogue {
	c := &Catalogue{senders: senders, byID: make(map[string]int, len(senders)), selectors: map[string]int{},
		ptr: map[string]int{}, spf: map[string]int{}, dkim: map[string]int{}}
	for i, s := range senders {
		c.byID[s.ID] = i
		for _, set := range [...]struct {
			m        map[string]int
			patterns []string
		}{{c.ptr, s.PTR}, {c.spf, s.SPF}, {c.dkim, s.DKIM}} {
			for _, p := range set.patterns {
				set.m[p] = i
				c.labels = max(c.labels, 1+strings.Count(p, "."))
			}
		}
		for _, sel := range s.Selectors {
			if _, taken := c.selectors[sel]; taken || !telling(sel) {
				c.selectors[sel] = -1
			} else {
				c.selectors[sel] = i
			}
		}
	}
	return c
}

// Senders returns all senders, in the order of the file.
func (c *Catalogue) Senders() []Sender {
	if c == nil {
		return nil
	}
	return slices.Clone(c.senders)
}

// Sender returns the sender with an id.
func (c *Catalogue) Sender(id string) (Sender, bool) {
	if c == nil {
		return Sender{}, false
	}
	i, ok := c.byID[id]
	if !ok {
		return Sender{}, false
	}
	return c.senders[i], true
}

// With returns a catalogue of both: a sender of other takes the place of the one
// with the same id, and its patterns go before those of others. Neither c nor
// other changes.
func (c *Catalogue) With(other *Catalogue) *Catalogue {
	if c == nil {
		return other
	}
	if other == nil {
		return c
	}
	var all []Sender
	for _, s := range c.senders {
		if _, replaced := other.byID[s.ID]; !replaced {
			all = append(all, s)
		}
	}
	return newCatalogue(append(all, other.senders...))
}

// Match returns the sender that an identity is of. A host name counts before an
// envelope domain, and that before a signature, which survives forwarding; a
// hoster or an access provider, behind which anybody may be, counts only where
// nothing says more.
func (c *Catalogue) Match(id Identity) (Sender, bool) {
	if c == nil || len(c.senders) == 0 {
		return Sender{}, false
	}
	hoster, isp := -1, -1
	specific := func(m map[string]int, names []string) int {
		for _, n := range names {
			i, ok := find(m, n, c.labels)
			if !ok {
				continue
			}
			switch c.senders[i].Kind {
			case Hoster:
				if hoster < 0 {
					hoster = i
				}
			case ISP:
				if isp < 0 {
					isp = i
				}
			default:
				return i
			}
		}
		return -1
	}
	for _, i := range [...]int{specific(c.ptr, id.PTR), specific(c.spf, id.SPF), isp, specific(c.dkim, id.DKIM)} {
		if i >= 0 {
			return c.senders[i], true
		}
	}
	for _, i := range [...]int{isp, hoster} {
		if i >= 0 {
			return c.senders[i], true
		}
	}
	return Sender{}, false
}

// MatchPTR returns the sender that a host name is of, MatchSPF that of an
// envelope-from domain or an SPF include, and MatchDKIM that of a signature.
func (c *Catalogue) MatchPTR(host string) (Sender, bool) {
	if c == nil {
		return Sender{}, false
	}
	return c.at(find(c.ptr, host, c.labels))
}

// MatchSPF returns the sender that an envelope-from domain or an SPF include is of.
func (c *Catalogue) MatchSPF(name string) (Sender, bool) {
	if c == nil {
		return Sender{}, false
	}
	return c.at(find(c.spf, name, c.labels))
}

// MatchDKIM returns the sender that signs with a domain.
func (c *Catalogue) MatchDKIM(name string) (Sender, bool) {
	if c == nil {
		return Sender{}, false
	}
	return c.at(find(c.dkim, name, c.labels))
}

// MatchSelector returns the sender whose customers publish their own keys under
// a selector. Selectors that anybody may think of tell nothing.
func (c *Catalogue) MatchSelector(selector string) (Sender, bool) {
	if c == nil {
		return Sender{}, false
	}
	i, ok := c.selectors[strings.ToLower(selector)]
	return c.at(i, ok && i >= 0)
}

// telling reports whether a selector is more than what comes to anybody's mind.
func telling(selector string) bool {
	word := strings.TrimRight(selector, "0123456789")
	switch word {
	case "default", "mail", "key", "selector", "sig", "api", "dkim":
		return false
	}
	return len(word) >= 4
}

func (c *Catalogue) at(i int, ok bool) (Sender, bool) {
	if !ok {
		return Sender{}, false
	}
	return c.senders[i], true
}

// find looks a name and the names above it up, the longest first, of at most
// labels labels: whoever writes a long name does not make it slow.
func find(m map[string]int, name string, labels int) (int, bool) {
	name = strings.TrimSuffix(name, ".")
	// Where to begin: at the last labels labels.
	start := len(name)
	for n := 0; n < labels && start >= 0; n++ {
		start = strings.LastIndexByte(name[:start], '.')
	}
	name = name[start+1:]
	if strings.ContainsFunc(name, func(r rune) bool { return 'A' <= r && r <= 'Z' }) {
		name = strings.ToLower(name)
	}
	for name != "" {
		if i, ok := m[name]; ok {
			return i, true
		}
		dot := strings.IndexByte(name, '.')
		if dot < 0 {
			break
		}
		name = name[dot+1:]
	}
	return 0, false
}
