package posture

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sekimori/dns"
	"sekimori/explain"
)

// MaxHosts is how many MX hosts are looked at, the preferred ones first.
const MaxHosts = 10

// maxListed bounds the lists in a Posture.
const maxListed = 20

// MX is where the domain receives mail. Valid: mail can be delivered, or a
// null MX says in proper form that there is none.
type MX struct {
	Topic
	// Null: the domain says that it accepts no mail (RFC 7505).
	Null State `json:"null_mx"`
	// Implicit: there is no MX record, and mail goes to the domain's own
	// address (RFC 5321 §5.1).
	Implicit State `json:"implicit"`
	// Count is how many MX records there are; Hosts lists the first MaxHosts.
	Count int    `json:"count"`
	Hosts []Host `json:"hosts"`
}

func (m *MX) init() { m.Hosts = []Host{} }

// Host is one MX host.
type Host struct {
	Preference uint16 `json:"preference"`
	Host       string `json:"host"`
	// Resolves tells whether the host has an address.
	Resolves  State    `json:"resolves"`
	Addresses []string `json:"addresses"`
	Alias     string   `json:"alias,omitempty"` // the host is an alias (CNAME) of this name

	secure bool // its addresses are
	whole  bool // its addresses are known, of both families
}

// parseMX reads "10 mx.example.com."; the host is without the final dot, and
// empty for the root.
func parseMX(s string) (Host, bool) {
	pref, host, ok := strings.Cut(s, " ")
	p, err := strconv.ParseUint(pref, 10, 16)
	if !ok || err != nil {
		return Host{}, false
	}
	return Host{Preference: uint16(p), Host: strings.ToLower(strings.TrimSuffix(host, "."))}, true
}

func (in *inspection) inspectMX(ctx context.Context, f first) {
	m, b, name := &in.MX, in.a.budget(budgetMX), in.name.String()
	m.init()
	m.Present, m.Valid = present(f.mxErr), Unknown
	m.Null, m.Implicit = No, No
	switch m.Present {
	case Unknown:
		m.Null, m.Implicit = Unknown, Unknown
		return
	case No:
		m.Valid = No
		in.implicitMX(ctx, b)
		return
	}
	var hosts []Host
	for _, s := range f.mx.Records {
		if h, ok := parseMX(s); ok {
			hosts = append(hosts, h)
		}
	}
	m.Count = len(f.mx.Records)
	slices.SortStableFunc(hosts, func(a, b Host) int {
		if a.Preference != b.Preference {
			return int(a.Preference) - int(b.Preference)
		}
		return strings.Compare(a.Host, b.Host)
	})
	isNull := func(h Host) bool { return h.Host == "" }
	if slices.ContainsFunc(hosts, isNull) {
		in.nullMX(hosts)
		if m.Null == Yes {
			return
		}
		hosts = slices.DeleteFunc(hosts, isNull)
	}
	if len(hosts) > MaxHosts {
		hosts = hosts[:MaxHosts]
	}
	tasks := make([]func(), 0, len(hosts)+1)
	tasks = append(tasks, func() {})
	for i := range hosts {
		tasks = append(tasks, func() { in.host(ctx, b, &hosts[i]) })
	}
	together(tasks)
	m.Hosts = append(m.Hosts, hosts...)
	m.Valid = No
	for i := range hosts {
		switch hosts[i].Resolves {
		case Yes:
			m.Valid = Yes
		case Unknown:
			if m.Valid == No {
				m.Valid = Unknown
			}
		}
		in.judgeHost(&hosts[i])
	}
	if m.Valid == No && len(hosts) > 0 {
		in.find(TopicMX, explain.Finding{Grade: explain.Error,
			Step: explain.Step{Code: "posture.mx-undeliverable", Args: explain.Args{"domain": name}, Ref: "RFC 5321 §5.1"}})
	}
}

// nullMX judges records of which one names the root.
func (in *inspection) nullMX(hosts []Host) {
	m, name := &in.MX, in.name.String()
	publish := &explain.Publish{Name: name, Type: "MX", Value: "0 ."}
	if len(hosts) > 1 {
		// RFC 7505 §3: a domain that advertises a null MX has no other.
		in.find(TopicMX, explain.Finding{Grade: explain.Error, Part: "0 .",
			Step: explain.Step{Code: "posture.mx-null-beside-others", Args: explain.Args{"domain": name}, Ref: "RFC 7505 §3"}})
		return
	}
	m.Null, m.Valid = Yes, Yes
	if hosts[0].Preference != 0 {
		// RFC 7505 §3 writes it with preference 0.
		in.find(TopicMX, explain.Finding{Grade: explain.Advice, Publish: publish,
			Step: explain.Step{Code: "posture.mx-null-preference", Args: explain.Args{"preference": int64(hosts[0].Preference)}, Ref: "RFC 7505 §3"}})
	}
}

// implicitMX looks at where mail goes without MX records: to the address of
// the domain itself (RFC 5321 §5.1).
func (in *inspection) implicitMX(ctx context.Context, b *budget) {
	h := Host{Host: in.name.String()}
	in.host(ctx, b, &h)
	in.MX.Implicit = h.Resolves
	switch h.Resolves {
	case Yes:
		in.MX.Valid = Yes
	case Unknown:
		in.MX.Valid = Unknown
	}
}

// host asks for the addresses of a host.
func (in *inspection) host(ctx context.Context, b *budget, h *Host) {
	h.Resolves, h.Addresses = Unknown, []string{}
	if _, err := netip.ParseAddr(strings.Trim(h.Host, "[]")); err == nil {
		h.Resolves, h.whole = No, true // a name is wanted there (RFC 1035 §3.3.9)
		return
	}
	var v4, v6 dns.Answer
	var err4, err6 error
	together([]func(){
		func() { v4, err4 = b.Lookup(ctx, h.Host, dns.A) },
		func() { v6, err6 = b.Lookup(ctx, h.Host, dns.AAAA) },
	})
	h.whole = present(err4) != Unknown && present(err6) != Unknown
	h.Addresses = append(append(h.Addresses, v4.Records...), v6.Records...)
	if len(h.Addresses) > maxListed {
		h.Addresses = h.Addresses[:maxListed]
	}
	h.Alias = explain.Clip(strings.TrimSuffix(v4.Name+v6.Name[:0], "."))
	if h.Alias == "" {
		h.Alias = explain.Clip(strings.TrimSuffix(v6.Name, "."))
	}
	switch {
	case err4 == nil || err6 == nil:
		h.Resolves = Yes
		// RFC 7672 §2.2.2: each record set that is there has to be secure.
		h.secure = (err4 != nil || v4.Security == dns.Secure) && (err6 != nil || v6.Security == dns.Secure)
	case dns.Absent(err4) && dns.Absent(err6):
		h.Resolves = No
	}
}

// judgeHost says what is wrong with one MX host.
func (in *inspection) judgeHost(h *Host) {
	args := explain.Args{"host": explain.Clip(h.Host)}
	find := func(g explain.Grade, code, ref string) {
		in.find(TopicMX, explain.Finding{Grade: g, Part: explain.Clip(h.Host), Step: explain.Step{Code: code, Args: args, Ref: ref}})
	}
	if _, err := netip.ParseAddr(strings.Trim(h.Host, "[]")); err == nil {
		find(explain.Error, "posture.mx-address", "RFC 1035 §3.3.9")
		return
	}
	if h.Resolves == No {
		find(explain.Error, "posture.mx-host-missing", "RFC 5321 §5.1")
		return
	}
	if h.Alias != "" {
		args["target"] = h.Alias
		find(explain.Warning, "posture.mx-alias", "RFC 2181 §10.3")
	}
	for _, a := range h.Addresses {
		ip, err := netip.ParseAddr(a)
		if err == nil && (ip.IsPrivate() || ip.IsLoopback() || ip.IsUnspecified() || ip.IsLinkLocalUnicast()) {
			args["address"] = a
			find(explain.Error, "posture.mx-private", "RFC 6890")
			return
		}
	}
}

// clean bounds a text from outside and replaces control characters, so that it
// can be shown.
func clean(s string, most int) string {
	cut := len(s) > most
	if cut {
		s = s[:most]
	}
	s = strings.Map(func(r rune) rune {
		// The C0 and C1 controls, and the marks that turn text around.
		if r < 0x20 || 0x7f <= r && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if cut {
		s += "…"
	}
	return s
}

// maxRecord and maxRecords bound the record texts in a Posture.
const (
	maxRecord  = 4096
	maxRecords = 10
)

// texts are records as a Posture holds them.
func texts(records []string) []string {
	out := make([]string, 0, min(len(records), maxRecords))
	for _, r := range records {
		if len(out) == maxRecords {
			break
		}
		out = append(out, clean(r, maxRecord))
	}
	return out
}
