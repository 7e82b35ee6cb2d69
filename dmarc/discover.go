package dmarc

import (
	"context"
	"errors"
	"fmt"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/message"
)

// Discovery is the policy that applies to an Author Domain, and what was learnt
// in finding it. It is made by Verifier.Discover and safe for concurrent use.
type Discovery struct {
	Author domain.Name
	// Record is the policy record that applies, found at Domain; nil where
	// none does.
	Record *Record
	Domain domain.Name
	// Policy is what the record says for the Author Domain, Tag by which tag:
	// "p", "sp" or "np".
	Policy Policy
	Tag    string
	// Rescued says that the record's policies are invalid, and that it counts
	// as p=none because it asks for reports (RFC 9989 §4.10.1).
	Rescued bool
	Method  Method
	Err     error // the DNS did not tell

	status Status       // set where there is nothing to evaluate
	reason explain.Step // with status
	steps  []explain.Step
	// inherited: the record is not the Author Domain's own.
	inherited bool
	tree      tree
	each      []*Discovery // several Author Domains, with EachAuthor
	over      bool         // more of them than the limit
}

// Discover finds the policy that applies to an Author Domain (RFC 9989 §4.10.1;
// for Method PSL, RFC 7489 §6.6.3). It asks at most 8 names, and one more where
// the policy depends on whether the Author Domain exists.
func (v *Verifier) Discover(ctx context.Context, author domain.Name) *Discovery {
	d := &Discovery{Author: author, Method: v.method(), steps: make([]explain.Step, 0, 4)}
	d.tree.resolver, d.tree.dup, d.tree.sequential = v.Resolver, v.Options.Duplicates, v.Options.Sequential
	if author.IsZero() {
		return d.end(PermError, explain.Step{Code: "dmarc.from-no-domain", Ref: "RFC 9989 §5.3.1"})
	}
	d.tree.first = ask(ctx, v.Resolver, author, v.Options.Duplicates)
	if d.Method == PSL {
		return d.byList(ctx, v)
	}
	return d.byWalk(ctx, v)
}

// DiscoverFrom is Discover for a message, of which the From fields are read
// (see FromDomains).
func (v *Verifier) DiscoverFrom(ctx context.Context, h message.Header) *Discovery {
	names, problem := FromDomains(h)
	if problem == nil {
		return v.Discover(ctx, names[0])
	}
	if !v.Options.EachAuthor || len(names) == 0 {
		d := &Discovery{Method: v.method()}
		return d.end(PermError, *problem)
	}
	// RFC 9989 §11.5: each domain, up to a limit.
	d := &Discovery{Method: v.method(), steps: []explain.Step{*problem}}
	most := v.Limits.withDefaults().Authors
	d.over = len(names) > most
	for _, n := range names[:min(len(names), most)] {
		d.each = append(d.each, v.Discover(ctx, n))
	}
	return d
}

func (v *Verifier) method() Method {
	if v.Options.Method == PSL {
		return PSL
	}
	return TreeWalk
}

// end leaves nothing to evaluate.
func (d *Discovery) end(s Status, why explain.Step) *Discovery {
	d.status, d.reason = s, why
	d.steps = append(d.steps, why)
	return d
}

func (d *Discovery) step(code string, args explain.Args, ref string) {
	d.steps = append(d.steps, explain.Step{Code: code, Args: args, Ref: ref})
}

// dnsFailed: RFC 9989 §5.3.6 and §4.10.1: neither pass nor fail, and never
// "no record".
func (d *Discovery) dnsFailed(name domain.Name, err error) *Discovery {
	d.Err = fmt.Errorf("dmarc record of %s: %w", name, err)
	return d.end(TempError, explain.Step{
		Code: "dmarc.dns-failed", Args: explain.Args{"name": "_dmarc." + name.String()}, Ref: "RFC 9989 §5.3.6",
	})
}

// said notes what is to be said of a name without a usable set of records.
func (d *Discovery) said(n *node) {
	if n.count > 1 {
		d.step("dmarc.records-several", explain.Args{"domain": n.name.String(), "count": int64(n.count)}, "RFC 9989 §4.10")
	}
	if n.bad != nil {
		d.step("dmarc.record-invalid", explain.Args{"domain": n.name.String(), "error": explain.ClipFolded(n.bad.Error())}, "RFC 6376 §3.2")
	}
}

func (d *Discovery) byWalk(ctx context.Context, v *Verifier) *Discovery {
	n := &d.tree.first
	if n.err != nil {
		return d.dnsFailed(d.Author, n.err)
	}
	// §4.10.1: the Author Domain's own record comes first.
	if n.record != nil {
		return d.found(ctx, v, n)
	}
	met, err := d.tree.walk(ctx, d.Author)
	for _, n := range met {
		d.said(n)
	}
	if err != nil {
		// The names before the one that failed are in met.
		var buf [maxQueries]domain.Name
		return d.dnsFailed(targets(d.Author, &buf)[len(met)], err)
	}
	// §4.10.1: then that of the Organizational Domain, then that of the PSD.
	// A record between the two is not used.
	org, psd := organizational(d.Author, met)
	for _, n := range met {
		if n.name == org && n.record != nil {
			return d.found(ctx, v, n)
		}
	}
	if psd != nil {
		return d.found(ctx, v, psd)
	}
	return d.end(NoRecord, explain.Step{
		Code: "dmarc.no-record", Args: explain.Args{"domain": d.Author.String()}, Ref: "RFC 9989 §4.10.1",
	})
}

// byList: RFC 7489 §6.6.3. Several records end the search there, and only the
// Organizational Domain of the list is asked beside the Author Domain.
func (d *Discovery) byList(ctx context.Context, v *Verifier) *Discovery {
	n := &d.tree.first
	if org := d.Author.Organizational(); n.err == nil && n.count == 0 && org != d.Author {
		n = d.tree.at(ctx, org)
	}
	switch {
	case n.err != nil:
		return d.dnsFailed(n.name, n.err)
	case n.count > 1:
		return d.end(NoRecord, explain.Step{
			Code: "dmarc.records-several-end", Ref: "RFC 7489 §6.6.3",
			Args: explain.Args{"domain": n.name.String(), "count": int64(n.count)},
		})
	case n.record == nil:
		d.said(n)
		return d.end(NoRecord, explain.Step{
			Code: "dmarc.no-record", Args: explain.Args{"domain": d.Author.String()}, Ref: "RFC 7489 §6.6.3",
		})
	}
	return d.found(ctx, v, n)
}

// clause is where the policy that applies is chosen.
func (d *Discovery) clause() string {
	if d.Method == PSL {
		return "RFC 7489 §6.6.3"
	}
	return "RFC 9989 §4.10.1"
}

// found takes the policy from the record that applies.
func (d *Discovery) found(ctx context.Context, v *Verifier, n *node) *Discovery {
	r := n.record
	d.inherited = n.name != d.Author
	args := explain.Args{"domain": n.name.String(), "record": explain.ClipFolded(r.Text)}
	switch {
	case !d.inherited:
		d.step("dmarc.record-own", args, d.clause())
	case r.PSD == IsPSD && d.Method == TreeWalk:
		args["author"] = d.Author.String()
		d.step("dmarc.record-psd", args, d.clause())
	default:
		args["author"] = d.Author.String()
		d.step("dmarc.record-inherited", args, d.clause())
	}
	for _, f := range r.Faults {
		if f.Kind == Duplicate {
			d.step("dmarc.tag-repeated", explain.Args{"tag": explain.ClipFolded(f.Tag), "kept": string(v.duplicates())}, "RFC 9989 §4.8")
			break
		}
	}
	valid, missing := d.policiesValid(r)
	if !valid {
		switch {
		case missing && v.Options.MissingPolicy == AsNone:
			// §4.7: as if it included p=none; sp and np, valid, stay.
			d.step("dmarc.policy-missing", nil, "RFC 9989 §4.7")
		case len(r.RUA) > 0:
			// §4.10.1: as if a record containing p=none was retrieved.
			d.step("dmarc.policy-rescued", nil, d.clause())
			d.Record, d.Domain, d.Policy, d.Tag, d.Rescued = r, n.name, None, "p", true
			return d
		default:
			d.Domain = n.name
			return d.end(NoRecord, explain.Step{
				Code: "dmarc.policy-unusable", Args: explain.Args{"domain": n.name.String()}, Ref: d.clause(),
			})
		}
	}
	d.Record, d.Domain = r, n.name
	return d.choose(ctx)
}

func (v *Verifier) duplicates() Duplicates {
	if v.Options.Duplicates == LastTag {
		return LastTag
	}
	return FirstTag
}

// policiesValid checks p, sp and np (§4.10.1). RFC 7489 §6.6.3 knows no np.
func (d *Discovery) policiesValid(r *Record) (valid, missing bool) {
	if r.P == "" {
		missing = !r.Has("p")
	}
	rest := (r.SP != "" || !r.Has("sp")) && (d.Method == PSL || r.NP != "" || !r.Has("np"))
	return r.P != "" && rest, missing && rest
}

// choose takes p, sp or np (§4.10.1; §4.7 for the fallbacks).
func (d *Discovery) choose(ctx context.Context) *Discovery {
	r := d.Record
	p, sp, np := r.Effective()
	d.Policy, d.Tag = p, "p"
	if !d.inherited {
		return d.chosen()
	}
	if r.SP != "" {
		d.Policy, d.Tag = sp, "sp"
	}
	if r.NP == "" || d.Method == PSL {
		return d.chosen()
	}
	switch exists, err := d.exists(ctx); {
	case err != nil && np == sp:
		// It makes no difference.
	case err != nil:
		d.Record, d.Policy, d.Tag = nil, "", ""
		d.Err = fmt.Errorf("whether %s exists: %w", d.Author, err)
		return d.end(TempError, explain.Step{
			Code: "dmarc.dns-failed", Args: explain.Args{"name": d.Author.String()}, Ref: "RFC 9989 §5.3.6",
		})
	case exists:
		d.step("dmarc.author-exists", explain.Args{"domain": d.Author.String()}, "RFC 9989 §3.2.13")
	default:
		d.Policy, d.Tag = np, "np"
		d.step("dmarc.author-missing", explain.Args{"domain": d.Author.String()}, "RFC 9989 §3.2.13")
	}
	return d.chosen()
}

func (d *Discovery) chosen() *Discovery {
	args := explain.Args{"policy": string(d.Policy), "tag": d.Tag}
	if d.inherited {
		d.step("dmarc.policy-subdomain", args, d.clause())
	} else {
		d.step("dmarc.policy-own", args, d.clause())
	}
	return d
}

// exists asks whether the Author Domain exists: only NXDOMAIN says that it does
// not (RFC 9989 §3.2.13, App. A.4). Whatever else was answered for the name
// _dmarc below it shows that it does (RFC 8020 §2); if that name does not exist,
// the Author Domain itself is asked, for its TXT records, which SPF mostly has
// asked for already. A server that signs its denials as it goes (RFC 9824 §3)
// answers for missing names as for empty ones: they count as existing, unless
// the resolver tells them apart.
func (d *Discovery) exists(ctx context.Context) (bool, error) {
	if !d.tree.first.absent {
		return true, nil
	}
	a, err := d.tree.resolver.Lookup(ctx, d.Author.String(), dns.TXT)
	if err == nil || a.Name != "" { // an alias is there, wherever it points
		return true, nil
	}
	if dns.Absent(err) {
		return !errors.Is(err, dns.ErrNameNotFound), nil
	}
	return false, err
}

// Organizational returns the organizational domain of a name (RFC 9989
// §4.10.2; for Method PSL, RFC 7489 §3.2). What was asked before for the same
// Discovery is not asked again.
func (d *Discovery) Organizational(ctx context.Context, name domain.Name) (domain.Name, error) {
	if d.Method == PSL {
		return name.Organizational(), nil
	}
	if name.IsZero() {
		return name, nil
	}
	met, err := d.tree.walk(ctx, name)
	if err != nil {
		return domain.Name{}, fmt.Errorf("organizational domain of %s: %w", name, err)
	}
	org, _ := organizational(name, met)
	return org, nil
}
