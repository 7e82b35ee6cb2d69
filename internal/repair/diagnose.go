package repair

import (
	"slices"
	"strings"

	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/sources"
	"sekimori/internal/store"
)

// diagnosis is what is wrong with the mail of a source, as its receivers'
// results tell. Alignment is RFC 9989 §4.4: SPF or DKIM must pass for the
// author's domain, or one of the same organisation in relaxed mode.
type diagnosis struct {
	domain string // policy domain
	ours   string // its organisational domain
	author string // the author domain with the most messages
	kind   Kind
	// service is what the vendor is called, in English and in Japanese.
	service, serviceJA string

	spfOurs     string   // envelope domain of ours for which SPF did not pass
	spfResult   string   // then
	spfForeign  []string // envelope domains of others
	spfStrict   []string // of ours, which passed and do not count: strict mode
	dkimFails   []string // selectors of signatures in our name that do not verify
	dkimDomain  string   // of them
	dkimForeign []string // other domains whose signatures verify
	dkimStrict  []string // of ours, which verify and do not count: strict mode
	results     bool     // receivers gave results
}

// little is the share of failing messages below which a result is left out: one
// in so many. Mail that is passed on by others is in every source.
const little = 50

// diagnose reads what receivers' results say about failing messages.
func diagnose(domain string, s *advise.Source, auth []store.AuthTotals) diagnosis {
	d := diagnosis{domain: domain, ours: sources.Organization(domain), author: domain}
	if len(s.HeaderFrom) > 0 && sources.Organization(s.HeaderFrom[0]) == d.ours {
		d.author = s.HeaderFrom[0]
	}
	var most uint64
	for _, a := range auth {
		most = max(most, a.Messages)
	}
	note := func(list *[]string, v string) {
		if v != "" && !slices.Contains(*list, v) && len(*list) < 5 {
			*list = append(*list, explain.Clip(v))
		}
	}
	for _, a := range auth {
		name := strings.ToLower(strings.TrimSuffix(a.Domain, "."))
		if name == "" || a.Messages*little < most {
			continue
		}
		result, ours := strings.ToLower(a.Result), sources.Organization(name) == d.ours
		switch {
		case a.Method == "spf" && strings.EqualFold(a.Scope, "helo"): // RFC 9989 §3.2.4: it never counts
		case a.Method == "spf" && ours && result == "pass":
			note(&d.spfStrict, name)
		case a.Method == "spf" && ours && d.spfOurs == "" && result != "temperror":
			d.spfOurs, d.spfResult = name, result
		case a.Method == "spf" && !ours:
			note(&d.spfForeign, name)
		case a.Method == "dkim" && result == "none":
		case a.Method == "dkim" && ours && result == "pass":
			note(&d.dkimStrict, name)
		case a.Method == "dkim" && ours && result != "temperror":
			if d.dkimDomain == "" {
				d.dkimDomain = name
			}
			if name == d.dkimDomain {
				note(&d.dkimFails, a.Selector)
			}
		case a.Method == "dkim" && !ours && result == "pass":
			note(&d.dkimForeign, name)
		}
		d.results = true
	}
	if !d.results { // what the source alone tells
		for _, name := range s.DKIM {
			if sources.Organization(name) != d.ours {
				note(&d.dkimForeign, name)
			}
		}
		for _, name := range s.Envelope {
			if sources.Organization(name) != d.ours {
				note(&d.spfForeign, name)
			} else if d.spfOurs == "" && !slices.Contains(s.SPF, name) {
				d.spfOurs = name
			}
		}
	}
	d.kind = kindOf(s, &d)
	d.service = s.Name
	switch {
	case s.Word != nil && s.Word.Name != "":
		d.service = s.Word.Name
	case s.Sender != nil && s.Sender.ID != "":
		d.service = s.Sender.Name
	case len(d.dkimForeign) > 0:
		d.service = sources.Organization(d.dkimForeign[0])
	case len(d.spfForeign) > 0:
		d.service = sources.Organization(d.spfForeign[0])
	}
	d.service = explain.Clip(d.service)
	d.serviceJA = d.service
	return d
}

// deviceWords are first parts of host names of things that are no servers.
var deviceWords = []string{"printer", "print", "prn", "mfp", "copier", "copy", "scan", "scanner", "fax", "nas", "ups", "camera", "cam",
	"sensor", "router", "switch", "monitor", "ipmi", "idrac", "ilo", "plc"}

// deviceDaily is how many messages a day a device sends at the most.
const deviceDaily = 100

// kindOf tells what sort of system a source is.
func kindOf(s *advise.Source, d *diagnosis) Kind {
	rented := false
	if s.Sender != nil && s.Sender.ID != "" {
		switch sources.SenderKind(s.Sender.Kind) {
		case sources.Hoster, sources.ISP:
			rented = true // anybody may be behind it
		default:
			return Vendor
		}
	}
	own := strings.HasPrefix(s.Key, "own")
	host, owner := "", ""
	if len(s.PTR) > 0 {
		host, owner = s.PTR[0], sources.Organization(s.PTR[0])
		own = own || owner == d.ours
	}
	label, _, _ := strings.Cut(host, ".")
	label = strings.TrimRight(strings.ToLower(label), "0123456789-")
	signs := len(s.DKIM)+len(s.Selectors)+len(d.dkimFails) > 0
	days := max(1, int(s.LastDay-s.FirstDay)+1)
	switch {
	case own && !signs && slices.Contains(deviceWords, label):
		return Device
	case own, rented && len(d.dkimForeign) == 0:
		return Server
	case len(d.dkimForeign) > 0:
		return Vendor
	case len(d.spfForeign) > 0 && (owner == "" || slices.ContainsFunc(d.spfForeign, func(n string) bool { return sources.Organization(n) == owner })):
		return Vendor
	case host == "" && s.AddressCount == 1 && !signs && s.Messages < uint64(deviceDaily*days) && d.spfOurs == "":
		return Device
	case owner != "" && !rented:
		return Vendor
	}
	return Server
}

// wrong says what is wrong: of SPF, of DKIM, and which names are meant.
func (d *diagnosis) wrong(s *advise.Source) []explain.Step {
	var out []explain.Step
	add := func(code string, args explain.Args) { out = append(out, explain.Step{Code: code, Args: args}) }
	addrs := s.Addresses[:min(len(s.Addresses), 5)]
	var under []string
	for _, n := range s.HeaderFrom {
		if n != d.domain && len(under) < 5 {
			under = append(under, explain.Clip(n))
		}
	}
	if len(under) > 0 {
		add("repair.wrong-subdomain", explain.Args{"names": under, "domain": d.domain})
	}
	switch {
	case d.spfOurs != "" && d.spfResult == "none":
		add("repair.wrong-spf-no-record", explain.Args{"domain": d.spfOurs})
	case d.spfOurs != "" && d.spfResult == "permerror":
		add("repair.wrong-spf-broken", explain.Args{"domain": d.spfOurs})
	case d.spfOurs != "" && len(addrs) > 0:
		add("repair.wrong-spf-not-listed", explain.Args{"domain": d.spfOurs, "addresses": addrs})
	case d.spfOurs != "":
		add("repair.wrong-spf-fails", explain.Args{"domain": d.spfOurs})
	case len(d.spfForeign) > 0:
		add("repair.wrong-spf-other-domain", explain.Args{"domains": d.spfForeign, "domain": d.author})
	case len(d.spfStrict) > 0:
		add("repair.wrong-spf-strict", explain.Args{"domains": d.spfStrict, "domain": d.author})
	default:
		add("repair.wrong-spf-missing", explain.Args{"domain": d.author})
	}
	switch {
	case len(d.dkimFails) > 0:
		add("repair.wrong-dkim-fails", explain.Args{"selectors": d.dkimFails, "domain": d.dkimDomain})
	case d.dkimDomain != "":
		add("repair.wrong-dkim-fails-unnamed", explain.Args{"domain": d.dkimDomain})
	case len(d.dkimForeign) > 0:
		add("repair.wrong-dkim-other-domain", explain.Args{"domains": d.dkimForeign, "domain": d.author})
	case len(d.dkimStrict) > 0:
		add("repair.wrong-dkim-strict", explain.Args{"domains": d.dkimStrict, "domain": d.author})
	default:
		add("repair.wrong-dkim-missing", explain.Args{"domain": d.author})
	}
	return out
}
