package inventory

import (
	"slices"
	"strings"

	"sekimori/dmarc"
	"sekimori/explain"
	"sekimori/spf"
)

// maxFirst is how many names Parent.First lists.
const maxFirst = 20

// noMail is the SPF record of a name that sends no mail (RFC 7208 §10.1.2).
const noMail = "v=spf1 -all"

// advise writes the records that close a name that sends nothing. Nothing is
// advised where that is not sure: mail of unknown sources may be wanted.
func (v *view) advise(n *Name, f *fact) {
	note := func(code string, args explain.Args) { n.Notes = append(n.Notes, explain.Step{Code: code, Args: args}) }
	if n.State != Sends && n.Doubtful > 0 {
		note("inventory.look-first", explain.Args{"messages": int64(min(n.Doubtful, 1<<62))})
	}
	root := n.Name == v.root.String()
	if n.State != Silent && n.State != Receives || root && n.Messages == 0 {
		return // of a domain that no report is about nobody knows whether it sends
	}
	add := func(name, kind, value, code, ref string) {
		n.Advice = append(n.Advice, Record{Name: name, Type: kind, Value: value, Why: explain.Step{Code: code, Args: explain.Args{"name": n.Name}, Ref: ref}})
	}
	if f.Alias {
		// RFC 1034 §3.6.2: beside an alias stands no other record.
		note("inventory.alias", explain.Args{"name": n.Name})
	}
	closed := len(f.SPF) == 1 && allowsNobody(f.SPF[0])
	if !closed && !f.Alias && !slices.Contains(f.Silent, "TXT") {
		add(n.Name, "TXT", noMail, "inventory.why-spf", "RFC 7208 §10.1.2")
		if len(f.SPF) > 0 {
			note("inventory.spf-allows", explain.Args{"record": explain.Clip(f.SPF[0])})
		}
	}
	switch {
	case n.Policy == string(dmarc.Reject):
	case root: // whose record decides for the names below it, too
		v.parked = n.Doubtful == 0
	case !slices.Contains(f.Silent, "TXT") && (v.rules != nil || len(f.DMARC) > 0 || v.from.known()):
		add("_dmarc."+n.Name, "TXT", v.reject(f), "inventory.why-dmarc", "RFC 9989 §4.7")
	}
	if n.State == Silent && !f.Alias && !f.NullMX && f.Address {
		add(n.Name, "MX", "0 .", "inventory.why-null-mx", "RFC 7505 §3")
	}
}

// reject is a record with p=reject that keeps the addresses for reports: its
// own, or those of the record that was inherited so far.
func (v *view) reject(f *fact) string {
	if own := single(f.DMARC); own != nil {
		return own.With("p", string(dmarc.Reject)).Without("t", "pct").String()
	}
	r := dmarc.New(dmarc.Reject)
	if v.rules != nil {
		for _, tag := range []string{"rua", "ruf"} {
			if value, ok := v.rules.Get(tag); ok {
				r = r.With(tag, value)
			}
		}
	}
	return r.String()
}

// allowsNobody reports whether an SPF record is "-all" and nothing else that
// could pass.
func allowsNobody(txt string) bool {
	r, err := spf.Parse(txt)
	if err != nil {
		return false
	}
	all := r.All()
	for i := range r.Terms {
		if t := &r.Terms[i]; !t.IsModifier() && t.Name != spf.All {
			return false
		}
	}
	return all != nil && all.Qualifier == spf.Minus
}

// count sums up what one record of the domain would do for a name.
func (v *view) count(n *Name) {
	if n.Name == v.root.String() || n.PolicyTag == "p" && n.PolicyOf == n.Name {
		return // its own record decides
	}
	switch n.State {
	case Absent, Silent, Receives:
		if n.Policy != string(dmarc.Reject) && n.Doubtful == 0 {
			v.covers++
		}
	case Sends:
		// As for the domain: a thousandth, beside what breaks on the way.
		if n.Aligned == 0 || n.Broken+n.Doubtful > n.Messages/1000 {
			v.firstCount++
			if len(v.first) < maxFirst {
				v.first = append(v.first, n.Name)
			}
		}
	}
}

// parent is the one record that closes all names without a record of their own:
// np for those that do not exist, sp for those that do, and p for the domain
// where it sends nothing itself (RFC 9989 §4.7). It is nil where nothing is left
// to close, where the domain's own record is not known, and where sub-domains
// inherit from a domain above.
func (v *view) parent() *Parent {
	if !v.from.known() || v.above() || v.covers == 0 && !v.parked || slices.Contains(v.from.Silent, "TXT") {
		return nil
	}
	r := v.own
	p := &Parent{Covers: v.covers, First: v.first, FirstCount: v.firstCount, Reasons: []explain.Step{}}
	if p.First == nil {
		p.First = []string{}
	}
	say := func(code string, args explain.Args) {
		p.Reasons = append(p.Reasons, explain.Step{Code: code, Args: args, Ref: "RFC 9989 §4.7"})
	}
	if r == nil {
		r = dmarc.New(dmarc.None)
		say("inventory.parent-none-yet", nil)
	}
	main, _, _ := r.Effective()
	if v.parked {
		say("inventory.parent-parked", explain.Args{"name": v.root.String()})
	}
	if v.covers > 0 {
		say("inventory.parent-covers", explain.Args{"count": v.covers})
	}
	// What p says already need not be said again.
	if v.parked {
		r = r.With("p", string(dmarc.Reject)).Without("sp", "np", "t", "pct")
	} else if main == dmarc.Reject {
		r = r.Without("sp", "np")
	} else {
		r = r.With("sp", string(dmarc.Reject)).With("np", string(dmarc.Reject))
	}
	p.Record = Record{Name: "_dmarc." + v.root.String(), Type: "TXT", Value: r.String(), Why: explain.Step{Code: "inventory.why-parent", Ref: "RFC 9989 §4.7"}}
	if _, _, np := r.Effective(); v.firstCount > 0 && v.own != nil && (v.parked || nonexistent(v.own) != dmarc.Reject) && np == dmarc.Reject {
		now := v.own.With("np", string(dmarc.Reject))
		if v.parked {
			_, sub, _ := v.own.Effective()
			now = now.With("p", string(dmarc.Reject)).With("sp", string(sub))
		}
		p.Now = &Record{Name: p.Record.Name, Type: "TXT", Value: now.String(), Why: explain.Step{Code: "inventory.why-np", Ref: "RFC 9989 §4.7"}}
	}
	if v.firstCount > 0 {
		say("inventory.parent-first", explain.Args{"count": v.firstCount, "names": strings.Join(v.first, ", ")})
	}
	return p
}

// nonexistent is what a record asks for names that do not exist.
func nonexistent(r *dmarc.Record) dmarc.Policy {
	_, _, np := r.Effective()
	return np
}
