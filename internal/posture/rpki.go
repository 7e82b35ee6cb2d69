package posture

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"sekimori/dns"
	"sekimori/explain"
	"sekimori/rpki"
)

// Routes tells in which announcements an address lies; none where it is not
// announced. It is safe for concurrent use. A rpki.Table is one.
type Routes interface {
	Origins(a netip.Addr) []rpki.Origin
}

// Bounds of what is looked at of the routes.
const (
	maxServers  = 8  // name servers
	maxNetworks = 40 // prefixes
	maxNetNames = 10 // hosts and addresses of a prefix
)

// RPKI is whether the networks that the domain's MX hosts and name servers are
// in are announced by whom their holders authorised (RFC 6811). Whoever
// announces them otherwise gets the mail, or the questions for the domain's
// records.
//
// Present: some network has an authorisation (ROA). Valid: all addresses are in
// networks that are validly announced; no where one is certainly not; unknown
// where an address is not known or not announced in the table.
type RPKI struct {
	Topic
	// Networks are those announced prefixes, at most 40.
	Networks []Network `json:"networks"`
	// Unannounced are addresses that are in none, at most 20.
	Unannounced []string `json:"unannounced"`
}

// Network is an announced prefix and what of the domain is in it.
type Network struct {
	Prefix string `json:"prefix"`
	// State is the worst of the origins', Best the best of them: a prefix may
	// be announced by several.
	State   rpki.State      `json:"state"`
	Best    rpki.State      `json:"best"`
	Origins []NetworkOrigin `json:"origins"`
	// MX and NS are the hosts in it, Addresses theirs; at most 10 of each.
	MX        []string `json:"mx"`
	NS        []string `json:"ns"`
	Addresses []string `json:"addresses"`
}

// NetworkOrigin is who announces a prefix.
type NetworkOrigin struct {
	ASN   rpki.ASN   `json:"asn"` // 0 where it is a set of systems
	State rpki.State `json:"state"`
	// Length: the origin is authorised for the network, but not for a prefix as
	// long as this one.
	Length bool `json:"length,omitempty"`
	Peers  int  `json:"peers,omitempty"`
}

// server is a host and those of its addresses that are known.
type server struct {
	name      string
	addresses []string
	whole     bool // these are all
}

// nameServers asks for the name servers of the organizational domain, in whose
// zone the domain's records are or are delegated from.
func (in *inspection) nameServers(ctx context.Context) {
	b := in.a.budget(budgetRPKI)
	org := in.name.Organizational()
	if org.IsZero() {
		org = in.name
	}
	a, err := b.Lookup(ctx, org.String(), dns.NS)
	in.nsKnown = present(err)
	hosts := make([]server, 0, maxServers)
	for _, r := range a.Records[:min(len(a.Records), maxServers)] {
		hosts = append(hosts, server{name: strings.ToLower(strings.TrimSuffix(r, "."))})
	}
	if len(hosts) == 0 {
		return
	}
	tasks := make([]func(), len(hosts))
	for i := range hosts {
		tasks[i] = func() {
			h := Host{Host: hosts[i].name}
			in.host(ctx, b, &h)
			hosts[i].addresses, hosts[i].whole = h.Addresses, h.whole
		}
	}
	together(tasks)
	in.servers = hosts
}

// inspectRPKI follows inspectMX and nameServers, and asks nothing.
func (in *inspection) inspectRPKI() {
	x := newRPKI(Unknown)
	in.RPKI = x
	type role struct {
		server
		mx bool
	}
	var all []role
	for _, h := range in.MX.Hosts {
		all = append(all, role{server{h.Host, h.Addresses, h.whole}, true})
	}
	for _, s := range in.servers {
		all = append(all, role{s, false})
	}
	whole := Yes
	if in.MX.Present == Unknown || in.nsKnown != Yes { // every domain has name servers: that there are none is no answer
		whole = Unknown
	}
	for _, h := range all {
		if !h.whole {
			whole = Unknown
		}
		for _, text := range h.addresses {
			a, err := netip.ParseAddr(text)
			if err != nil {
				continue
			}
			origins := in.o.Routes.Origins(a)
			if len(origins) == 0 {
				whole = Unknown
				x.Unannounced = listed(x.Unannounced, a.String(), maxListed)
				continue
			}
			n := x.network(origins)
			if n == nil {
				continue
			}
			if h.mx {
				n.MX = listed(n.MX, explain.Clip(h.name), maxNetNames)
			} else {
				n.NS = listed(n.NS, explain.Clip(h.name), maxNetNames)
			}
			n.Addresses = listed(n.Addresses, a.String(), maxNetNames)
		}
	}
	x.sum(whole)
	in.judgeRPKI()
}

func newRPKI(s State) *RPKI {
	return &RPKI{Topic: Topic{Present: s, Valid: s}, Networks: []Network{}, Unannounced: []string{}}
}

// listed adds what is not in a list yet, if there is room.
func listed(list []string, s string, most int) []string {
	if len(list) >= most || slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// network returns the one of an announcement; nil where there is no room.
func (x *RPKI) network(origins []rpki.Origin) *Network {
	prefix := origins[0].Prefix.String()
	if i := slices.IndexFunc(x.Networks, func(n Network) bool { return n.Prefix == prefix }); i >= 0 {
		return &x.Networks[i]
	}
	if len(x.Networks) == maxNetworks {
		return nil
	}
	n := Network{Prefix: prefix, State: rpki.Valid, Best: rpki.Invalid, Origins: []NetworkOrigin{}, MX: []string{}, NS: []string{}, Addresses: []string{}}
	for _, o := range origins {
		if len(n.Origins) < maxNetNames {
			n.Origins = append(n.Origins, NetworkOrigin{o.ASN, o.State, o.Length, o.Peers})
		}
		if order(o.State) > order(n.State) {
			n.State = o.State
		}
		if order(o.State) < order(n.Best) {
			n.Best = o.State
		}
	}
	x.Networks = append(x.Networks, n)
	return &x.Networks[len(x.Networks)-1]
}

// order puts the best first.
func order(s rpki.State) int {
	switch s {
	case rpki.Valid:
		return 0
	case rpki.NotFound:
		return 1
	}
	return 2
}

// sum draws Present and Valid from the networks; whole tells whether they are
// all there are.
func (x *RPKI) sum(whole State) {
	if len(x.Networks) == 0 {
		return // nothing is known
	}
	x.Present, x.Valid = No, whole
	for _, n := range x.Networks {
		if n.State != rpki.NotFound || n.Best != rpki.NotFound {
			x.Present = Yes
		}
		if n.State != rpki.Valid {
			x.Valid = No
		}
	}
	if x.Present == No && whole != Yes {
		x.Present = Unknown
	}
}

// judgeRPKI says whose networks are announced by others than their holders
// authorised, or by nobody knows whom.
func (in *inspection) judgeRPKI() {
	var without []string
	for _, n := range in.RPKI.Networks {
		if n.State == rpki.NotFound {
			without = append(without, n.Prefix)
		}
		if n.State != rpki.Invalid {
			continue
		}
		hosts := append(slices.Clone(n.MX), n.NS...)
		for _, o := range n.Origins {
			if o.State != rpki.Invalid {
				continue
			}
			code := "posture.rpki-invalid"
			switch {
			case o.Length:
				code = "posture.rpki-invalid-length"
			case o.ASN == 0:
				code = "posture.rpki-invalid-set"
			}
			args := explain.Args{"domain": in.name.String(), "prefix": n.Prefix, "origin": o.ASN.String(), "hosts": hosts}
			grade := explain.Error
			if n.Best == rpki.Valid {
				grade = explain.Warning // it is validly announced too
			}
			in.find(TopicRPKI, explain.Finding{Grade: grade, Step: explain.Step{Code: code, Args: args, Ref: "RFC 6811 §2"}, Part: n.Prefix})
		}
	}
	if len(without) > 0 {
		args := in.args()
		args["prefixes"] = without[:min(len(without), maxNetNames)]
		grade := explain.Advice
		if in.RPKI.Present == Yes {
			grade = explain.Warning // the way around what is protected
		}
		in.find(TopicRPKI, explain.Finding{Grade: grade, Step: explain.Step{Code: "posture.rpki-not-found", Args: args, Ref: "RFC 6811 §2"}})
	}
}
