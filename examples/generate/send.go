package main

import (
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sekimori/report/aggregate"
)

// reportKey names one report: its receiver, the policy domain and the number
// of its period.
type reportKey struct {
	receiver int
	policy   string
	period   int
}

// rowKey names a row: messages of one flow with one outcome from one address.
type rowKey struct {
	flow, outcome int
	addr          netip.Addr
}

// send lets the month happen: each message picks its receiver, its address and
// its fate.
func (m *ministry) send() {
	var share []float64
	sum := 0.0
	for _, r := range receivers {
		sum += r.share
		share = append(share, sum)
	}
	for day := range monthDays {
		for i := range m.flows {
			f := &m.flows[i]
			v := f.volume(day)
			for range int(v*(0.9+0.2*m.rand.Float64()) + m.rand.Float64()) {
				r, _ := slices.BinarySearch(share, m.rand.Float64()*sum)
				m.count(reportKey{r, f.policy, day / receivers[r].period()}, rowKey{i, m.fate(f), m.origin(f)})
			}
		}
	}
}

func (m *ministry) count(k reportKey, row rowKey) {
	rows := m.tally[k]
	if rows == nil {
		rows = map[rowKey]uint64{}
		m.tally[k] = rows
	}
	rows[row]++
}

func (m *ministry) fate(f *flow) int {
	x := m.rand.Float64()
	for i := range f.outcomes {
		if x -= f.outcomes[i].weight; x < 0 {
			return i
		}
	}
	return 0
}

func (m *ministry) origin(f *flow) netip.Addr {
	i := m.rand.IntN(len(f.addrs))
	if len(f.addrs) <= 12 { // servers share the work unevenly, bots do not
		i = min(i, m.rand.IntN(len(f.addrs)))
	}
	return f.addrs[i]
}

// records returns the rows of a report as its receiver r writes them, the
// largest first.
func (m *ministry) records(k reportKey, r *receiver) []aggregate.Record {
	rows := m.tally[k]
	keys := make([]rowKey, 0, len(rows))
	for row := range rows {
		keys = append(keys, row)
	}
	slices.SortFunc(keys, func(a, b rowKey) int {
		return cmp.Or(cmp.Compare(rows[b], rows[a]), a.addr.Compare(b.addr), cmp.Compare(a.flow, b.flow), cmp.Compare(a.outcome, b.outcome))
	})
	published := policyOn(k.policy, k.period*r.period())
	out := make([]aggregate.Record, 0, len(keys))
	for _, row := range keys {
		f := &m.flows[row.flow]
		o := &f.outcomes[row.outcome]
		rec := aggregate.Record{SourceIP: row.addr, Count: rows[row], HeaderFrom: f.headerFrom,
			SPF: o.spf == "pass" && aligned(f.envelope, f.headerFrom), Disposition: aggregate.DispositionNone}
		for _, d := range o.dkim {
			rec.DKIM = rec.DKIM || d.Result == "pass" && aligned(d.Domain, f.headerFrom)
			if d.Selector == "" || !r.selector {
				d.Selector = cond(r.form == aggregate.RFC9990, d.Selector, "")
			}
			rec.DKIMResults = append(rec.DKIMResults, d)
		}
		if r.envelopeFrom {
			rec.EnvelopeFrom = f.envelope
		}
		if r.envelopeTo {
			rec.EnvelopeTo = r.org
		}
		rec.SPFResults = []aggregate.SPFResult{{Domain: f.envelope, Scope: "mfrom", Result: o.spf}}
		switch {
		case rec.DKIM || rec.SPF:
			if r.form == aggregate.RFC9990 && published.P != "none" {
				rec.Disposition = aggregate.DispositionPass
			}
		case o.override != "" && r.knowsForwarders:
			typ, comment := o.override, ""
			if r.form == aggregate.RFC9990 && typ == "forwarded" {
				typ, comment = "trusted_forwarder", "known forwarder"
			}
			rec.Reasons = []aggregate.Reason{{Type: typ, Comment: comment}}
		case published.P == "quarantine":
			rec.Disposition = aggregate.DispositionQuarantine
		}
		out = append(out, rec)
	}
	return out
}

// aligned is relaxed alignment; every organizational domain here is the last
// two labels.
func aligned(a, b string) bool { return organization(a) == organization(b) }

func organization(s string) string {
	l := strings.Split(s, ".")
	return strings.Join(l[max(0, len(l)-2):], ".")
}

// key publishes the Ed25519 key (RFC 8463) that privateKey signs with.
func (m *ministry) key(name string) {
	public := privateKey(name).Public().(ed25519.PublicKey)
	m.record(name, "v=DKIM1; k=ed25519; p="+base64.StdEncoding.EncodeToString(public))
}

// zone writes the names that a reader of the reports looks up, as a master
// file (RFC 1035 §5).
func (m *ministry) zone() []byte {
	var b strings.Builder
	b.WriteString("; The names behind the example reports. Written by examples/generate.\n$TTL 3600\n")
	for _, t := range m.txt {
		fmt.Fprintf(&b, "%s. IN TXT %q\n", t.name, t.text)
	}
	for _, d := range []string{mainDomain, instituteDom} {
		host := cond(d == mainDomain, "mx1.", "smtp1.") + d
		fmt.Fprintf(&b, "%s. IN MX 10 %s.\n", d, host)
	}
	fmt.Fprintf(&b, "%s. IN MX 0 .\n", parkedDomain) // RFC 7505
	for _, p := range m.ptr {
		fmt.Fprintf(&b, "%s IN PTR %s.\n", reverse(p.addr), p.name)
		fmt.Fprintf(&b, "%s. IN %s %s\n", p.name, cond(p.addr.Is4(), "A", "AAAA"), p.addr)
	}
	return []byte(b.String())
}

// reverse returns the name under in-addr.arpa or ip6.arpa, with its dot.
func reverse(a netip.Addr) string {
	raw := a.AsSlice()
	slices.Reverse(raw)
	var b strings.Builder
	for _, x := range raw {
		if a.Is4() {
			fmt.Fprintf(&b, "%d.", x)
		} else {
			fmt.Fprintf(&b, "%x.%x.", x&15, x>>4)
		}
	}
	return b.String() + cond(a.Is4(), "in-addr.arpa.", "ip6.arpa.")
}
