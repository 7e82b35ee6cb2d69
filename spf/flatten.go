package spf

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sekimori/dns"
	"sekimori/explain"
)

// Flattened is advice: records that allow the same networks with fewer
// questions, as of now.
type Flattened struct {
	// Records are to be published together, the domain's own first; nil where
	// nothing would be gained.
	Records []explain.Publish
	// Lookups counts the terms that ask the DNS: before, and with Records.
	Before, Lookups int
	// Networks are those that the includes were resolved to, without overlap.
	Networks []netip.Prefix
	// Domains are those whose networks were copied: when they change theirs,
	// the copy is wrong.
	Domains []string
	// Findings say what to know before publishing.
	Findings []explain.Finding
}

// Flatten advises records in which what a domain's SPF record includes is
// resolved to networks (ip4, ip6), merged where they adjoin, and cut into
// records of at most 450 octets, _spf1 and so on below the domain. An include
// is kept where a copy would not mean the same: it holds macros, exists, ptr,
// or a qualifier that does not pass.
//
// It asks at most 150 questions. The error is that of a record that cannot be
// had, or cannot be read; ErrNoRecord where there is none.
func Flatten(ctx context.Context, r dns.Resolver, domain string) (Flattened, error) {
	w := newWalk(ctx, r, domain)
	texts, err := w.ask(w.domain, dns.TXT)
	if err != nil {
		return Flattened{}, err
	}
	txt, n := pick(texts)
	switch {
	case n == 0:
		return Flattened{}, fmt.Errorf("%s: %w", w.domain, ErrNoRecord)
	case n > 1:
		return Flattened{}, fmt.Errorf("%s: %w", w.domain, ErrMultipleRecords)
	}
	record, bad := parse(txt)
	if bad != nil {
		return Flattened{}, bad
	}
	root := Node{Domain: w.domain, Record: txt}
	w.follow(&root, record, []string{w.domain})
	f := flattener{w: w, out: Flattened{Before: root.Lookups}}
	f.record(record, &root)
	f.write()
	if w.truncated {
		f.add(explain.Warning, "spf.inspect.truncated", "", explain.Args{"n": int64(w.asked)}, "")
	}
	f.out.Findings = byGrade(f.out.Findings)
	return f.out, nil
}

type flattener struct {
	w     *walk
	out   Flattened
	kept  []string // terms that stay, as text
	below int      // what those that are includes ask below themselves
	end   string   // the all, or a redirect that stays
	exp   string
}

func (f *flattener) add(g explain.Grade, code, part string, args explain.Args, ref string) {
	f.out.Findings = append(f.out.Findings, explain.Finding{Grade: g, Part: clip(part), Step: explain.Step{Code: code, Args: args, Ref: ref}})
}

// record takes the terms of the domain's own record apart.
func (f *flattener) record(r *Record, n *Node) {
	// Where a directive does not pass, its place among the others counts, and
	// networks cannot be moved over it.
	movable := true
	for i := range r.Terms {
		if t := &r.Terms[i]; !t.IsModifier() && t.Name != All && t.Qualifier != Plus {
			movable = false
		}
	}
	if !movable {
		f.add(explain.Warning, "spf.flatten.order", "", nil, "RFC 7208 §4.6.2")
	}
	for i := range r.Terms {
		t := &r.Terms[i]
		switch {
		case t.Name == Exp && t.IsModifier():
			f.exp = t.text
		case t.Name == Redirect && t.IsModifier():
			if r.All() == nil {
				f.redirect(t, n, movable)
			}
		case t.IsModifier():
			f.kept = append(f.kept, t.text)
		case t.Name == All:
			f.end = t.text
			return
		case (t.Name == IP4 || t.Name == IP6) && movable:
			f.out.Networks = append(f.out.Networks, t.Network.Masked())
		case t.Name == Include && movable:
			f.include(t, n)
		default:
			f.kept = append(f.kept, t.text)
			if next := find(n, t.text); next != nil && t.Name == Include {
				f.below += next.Lookups
			}
		}
	}
}

// include copies the networks of what a term leads to, or keeps the term.
func (f *flattener) include(t *Term, n *Node) {
	next := find(n, t.text)
	nets, domains, why := f.w.networks(next, 0)
	if why != "" {
		f.kept = append(f.kept, t.text)
		if next != nil {
			f.below += next.Lookups
		}
		f.add(explain.Warning, "spf.flatten.kept", t.text, explain.Args{"because": clip(why)}, "RFC 7208 §5.2")
		return
	}
	f.out.Networks = append(f.out.Networks, nets...)
	for _, d := range domains {
		if !slices.Contains(f.out.Domains, d) {
			f.out.Domains = append(f.out.Domains, d)
		}
	}
}

// redirect puts the record that a redirect leads to in its place.
func (f *flattener) redirect(t *Term, n *Node, movable bool) {
	next := find(n, t.text)
	var r *Record
	if next != nil && next.Err == nil {
		r, _ = parse(next.Record)
	}
	if next != nil {
		f.below += next.Lookups
	}
	if r == nil || r.All() == nil || !movable {
		f.end = t.text
		return
	}
	nets, domains, why := f.w.networks(next, 0)
	if why != "" {
		f.end = t.text
		f.add(explain.Warning, "spf.flatten.kept", t.text, explain.Args{"because": clip(why)}, "RFC 7208 §6.1")
		return
	}
	f.below -= next.Lookups
	f.out.Networks = append(f.out.Networks, nets...)
	f.out.Domains = append(f.out.Domains, domains...)
	f.end = r.All().text
}

func find(n *Node, term string) *Node {
	for i := range n.Nodes {
		if n.Nodes[i].Term == term {
			return &n.Nodes[i]
		}
	}
	return nil
}

// networks returns what a record lets pass, and the domains it comes from; or
// the term because of which a copy would not mean the same.
func (w *walk) networks(n *Node, depth int) (nets []netip.Prefix, domains []string, why string) {
	if n == nil || n.Err != nil || n.Domain == "" || depth > 20 {
		if n == nil {
			return nil, nil, "?"
		}
		return nil, nil, n.Term
	}
	r, err := Parse(n.Record)
	if err != nil {
		return nil, nil, n.Term
	}
	domains = []string{n.Domain}
	for i := range r.Terms {
		t := &r.Terms[i]
		switch {
		case t.IsModifier() && t.Name != Redirect, t.IsModifier() && r.All() != nil:
			continue
		case t.Name == All:
			if t.Qualifier == Plus {
				return nil, nil, t.text
			}
			return nets, domains, ""
		case !t.IsModifier() && t.Qualifier != Plus:
			return nil, nil, t.text
		case t.Name == IP4 || t.Name == IP6:
			nets = append(nets, t.Network.Masked())
		case t.Name == A || t.Name == MX:
			addrs, known := w.hosts[[2]string{n.Domain, t.text}]
			if !known {
				return nil, nil, t.text
			}
			for _, a := range addrs {
				bits := t.Bits4.or(32)
				if a.Is6() {
					bits = t.Bits6.or(128)
				}
				nets = append(nets, netip.PrefixFrom(a, bits).Masked())
			}
		case t.Name == Include || t.Name == Redirect:
			more, from, why := w.networks(find(n, t.text), depth+1)
			if why != "" {
				return nil, nil, why
			}
			nets = append(nets, more...)
			domains = append(domains, from...)
		default: // ptr, exists
			return nil, nil, t.text
		}
	}
	return nets, domains, ""
}

// write makes the records.
func (f *flattener) write() {
	f.out.Networks = aggregate(f.out.Networks)
	terms := make([]string, len(f.out.Networks))
	for i, p := range f.out.Networks {
		t := Term{Name: IP4, Qualifier: Plus, Network: p}
		if p.Addr().Is6() {
			t.Name = IP6
		}
		terms[i] = t.String()
	}
	tail := f.exp
	if f.end != "" {
		tail = strings.TrimSpace(tail + " " + f.end)
	}
	own := func(middle []string) string {
		all := append([]string{version}, middle...) // networks first: they need no question
		all = append(all, f.kept...)
		return strings.TrimSpace(strings.Join(all, " ") + " " + tail)
	}
	publish := func(name, value string) {
		f.out.Records = append(f.out.Records, explain.Publish{Name: name, Type: "TXT", Value: value})
	}
	if one := own(terms); len(one) <= maxUDP {
		publish(f.w.domain, one)
	} else {
		var parts, includes []string
		for len(terms) > 0 {
			name := "_spf" + strconv.Itoa(len(parts)+1) + "." + f.w.domain
			line := version
			for len(terms) > 0 && len(line)+1+len(terms[0]) <= maxUDP-len(" -all") {
				line += " " + terms[0]
				terms = terms[1:]
			}
			parts = append(parts, line+" -all")
			includes = append(includes, "include:"+name)
		}
		publish(f.w.domain, own(includes))
		for i, line := range parts {
			publish(strings.TrimPrefix(includes[i], "include:"), line)
		}
	}
	own0, err := Parse(f.out.Records[0].Value)
	if err == nil {
		for i := range own0.Terms {
			if own0.Terms[i].queries() {
				f.out.Lookups++
			}
		}
	}
	f.out.Lookups += f.below
	f.judge()
}

// judge says what to know before publishing.
func (f *flattener) judge() {
	o := &f.out
	if o.Lookups >= o.Before {
		o.Records, o.Networks, o.Domains = nil, nil, nil
		f.add(explain.Advice, "spf.flatten.no-gain", "", explain.Args{"n": int64(o.Before)}, "RFC 7208 §4.6.4")
		return
	}
	if o.Lookups > 10 {
		f.add(explain.Error, "spf.flatten.still-over", "", explain.Args{"n": int64(o.Lookups), "limit": int64(10)}, "RFC 7208 §4.6.4")
	}
	var foreign []string
	for _, d := range o.Domains {
		if !under(d, f.w.domain) {
			foreign = append(foreign, d)
		}
	}
	if foreign != nil {
		f.add(explain.Warning, "spf.flatten.third-party", "", explain.Args{"domains": clipAll(foreign)}, "")
	}
}

// aggregate returns the same addresses in as few networks as there can be, IPv4
// first, in order.
func aggregate(all []netip.Prefix) []netip.Prefix {
	nets := slices.Clone(all)
	for i := range nets {
		nets[i] = nets[i].Masked()
	}
	slices.SortFunc(nets, func(a, b netip.Prefix) int {
		if c := a.Addr().BitLen() - b.Addr().BitLen(); c != 0 {
			return c
		}
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	out := nets[:0]
	for _, p := range nets {
		if n := len(out); n > 0 && out[n-1].Bits() <= p.Bits() && out[n-1].Contains(p.Addr()) {
			continue
		}
		out = append(out, p)
		// Two halves make a whole, which may be half of another.
		for n := len(out); n > 1; n = len(out) {
			a, b := out[n-2], out[n-1]
			if a.Bits() != b.Bits() || a.Bits() == 0 || a.Addr().BitLen() != b.Addr().BitLen() {
				break
			}
			whole := netip.PrefixFrom(a.Addr(), a.Bits()-1)
			if whole.Masked() != whole || !whole.Contains(b.Addr()) {
				break
			}
			out = append(out[:n-2], whole)
		}
	}
	return out
}
