package reporter

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sekimori/dmarc"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/store/outbox"
	"sekimori/message"
)

// Destination is where a report goes, or why not there.
type Destination struct {
	URI      string // of the record
	Address  string // the mailbox; empty where the URI leads to none
	Host     string
	External bool // of another organization than the policy
	Allowed  bool
	Unknown  bool // the DNS did not tell: it is asked again
	Reason   explain.Step
}

// destinations says where the reports on a policy go: every valid URI of rua
// (RFC 9989 §4.6), external ones with their host's consent (RFC 9990 §4), less
// what the site has opted out.
func (o *Options) destinations(ctx context.Context, policy domain.Name, rec *dmarc.Record) []Destination {
	v := dmarc.Verifier{Resolver: o.Resolver}
	var out []Destination
	for _, d := range v.Destinations(ctx, policy, rec, "rua") {
		out = append(out, o.resolved(policy, d)...)
	}
	return out
}

// resolved is what one URI comes to.
func (o *Options) resolved(policy domain.Name, d dmarc.Destination) []Destination {
	base := Destination{URI: d.URI.Text, Host: d.URI.Host.String(), Address: d.URI.Address, External: d.External, Reason: d.Reason}
	switch {
	case o.out.wants(policy, ""):
		base.Reason = explain.Step{Code: "reporter.policy-domain-opted-out", Args: explain.Args{"domain": policy.String()}}
		return []Destination{base}
	case d.Err != nil:
		base.Unknown = true
		return []Destination{base}
	case !d.Allowed:
		return []Destination{base}
	}
	var all []Destination
	for _, u := range d.To {
		one := base
		one.Host = u.Host.String()
		address, ok := mailbox(u)
		switch {
		case !ok:
			one.Address = u.Address
			one.Reason = explain.Step{Code: "reporter.address-unusable", Args: explain.Args{"uri": explain.Clip(u.Text)}, Ref: "RFC 5321 §4.1.2"}
		case o.out.wants(policy, address):
			one.Address = address
			one.Reason = explain.Step{Code: "reporter.destination-opted-out", Args: explain.Args{"address": explain.Clip(address)}}
		default:
			one.Address, one.Allowed = address, true
		}
		all = append(all, one)
	}
	return all
}

// mailbox is a URI's address as it stands in an envelope: its domain in
// A-labels, its local part quoted where it has to be. What cannot stand there
// without an extension is refused, and so is what could end a line: the record
// is its owner's, the destination somebody else.
func mailbox(u dmarc.URI) (string, bool) {
	local, _ := message.SplitAddress(u.Address)
	if local == "" || len(local) > 64 || u.Host.IsZero() {
		return "", false
	}
	for i := range len(local) {
		if local[i] <= ' ' || local[i] >= 0x7f {
			return "", false
		}
	}
	return message.Address{Local: local, Domain: u.Host.String()}.String(), true
}

// optOut is who wants no reports.
type optOut struct {
	domains   map[domain.Name]bool
	addresses map[string]bool
}

// newOptOut reads a list of domains and addresses.
func newOptOut(list []string) (*optOut, error) {
	out := &optOut{map[domain.Name]bool{}, map[string]bool{}}
	for _, s := range list {
		s = strings.TrimPrefix(strings.TrimSpace(s), "@")
		local, host := message.SplitAddress(s)
		isAddress := strings.Contains(s, "@")
		if !isAddress {
			host = s
		}
		n, err := domain.Parse(host)
		if err != nil || isAddress && local == "" {
			return nil, fmt.Errorf("reports: opt-out %q: want a domain or an address", s)
		}
		if isAddress {
			out.addresses[foldAddress(s)] = true
		} else {
			out.domains[n] = true
		}
	}
	return out, nil
}

// wants reports whether reports on a policy domain, or to an address, are not
// wanted. An empty address asks for the policy domain alone.
func (o *optOut) wants(policy domain.Name, address string) bool {
	if address == "" {
		return o.below(policy)
	}
	_, d := message.SplitAddress(address)
	host, _ := domain.Parse(d)
	return o.addresses[foldAddress(address)] || o.below(policy) || o.below(host)
}

// below reports whether a name, or one above it, is on the list.
func (o *optOut) below(n domain.Name) bool {
	for ; !n.IsZero(); n = n.Parent() {
		if o.domains[n] {
			return true
		}
	}
	return false
}

func foldAddress(s string) string {
	local, d := message.SplitAddress(strings.TrimSpace(s))
	if n, err := domain.Parse(d); err == nil {
		d = n.String()
	}
	return strings.ToLower(local) + "@" + d
}

// deliveries are the entries of the outbox for destinations. sent says how many
// of the day's reports go to a host already.
func (o *Options) deliveries(ds []Destination, sent func(host string) (int, error), at time.Time) ([]outbox.Delivery, error) {
	var out []outbox.Delivery
	mine := map[string]int{}
	seen := map[string]bool{}
	for _, d := range ds {
		e := outbox.Delivery{URI: d.URI, Address: d.Address, Host: d.Host, Reason: d.Reason}
		switch {
		case d.Unknown:
			e.Address, e.State = d.URI, outbox.Unverified
		case !d.Allowed:
			e.State, e.Ended = outbox.Dropped, at
			if e.Address == "" {
				e.Address = d.URI
			}
		default:
			if seen[d.Address] {
				continue
			}
			seen[d.Address] = true
			n, err := sent(d.Host)
			if err != nil {
				return nil, err
			}
			if n+mine[d.Host] >= o.PerDestination {
				e.State, e.Ended = outbox.Dropped, at
				e.Reason = o.tooMany(d.Host)
				break
			}
			mine[d.Host]++
			e.State = outbox.Waiting
		}
		out = append(out, e)
	}
	return out, nil
}
