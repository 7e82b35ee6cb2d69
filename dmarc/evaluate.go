package dmarc

import (
	"context"
	"strings"

	"sekimori/domain"
	"sekimori/explain"
)

// Evaluate says what DMARC makes of a message: whether an identifier that
// passed is aligned with the Author Domain (RFC 9989 §4.10.2, §5.3.5), and what
// the owner wants done if none is (§5.3.6). Identifiers that did not pass are
// not given, except with Temporary set.
//
// Equal names need no question. Others are asked for only if they lie within
// the Author Domain's organizational domain, as nothing else can be aligned.
func (v *Verifier) Evaluate(ctx context.Context, d *Discovery, passed []Identifier) Result {
	if d.each != nil {
		return v.evaluateEach(ctx, d, passed)
	}
	r := Result{
		Status: d.status, From: d.Author, Method: d.Method, Disposition: None,
		Record: d.Record, PolicyDomain: d.Domain, Policy: d.Policy, PolicyTag: d.Tag,
		Reason: d.reason, Err: d.Err,
	}
	r.Steps = append(make([]explain.Step, 0, len(d.steps)+len(passed)+3), d.steps...)
	if d.status != "" {
		if d.status == NoRecord {
			// §4.10.2: it does not depend on whether a policy applies. Mostly
			// the whole walk was done, and nothing more is asked.
			r.Organizational, _ = d.Organizational(ctx, d.Author)
		}
		r.PolicyDomain = domain.Name{}
		return r
	}
	r.Testing = d.Record.Testing && d.Method == TreeWalk
	v.align(ctx, d, passed, &r)
	v.conclude(d, &r)
	return r
}

// align compares each identifier with the Author Domain.
func (v *Verifier) align(ctx context.Context, d *Discovery, passed []Identifier, r *Result) {
	if len(passed) == 0 {
		r.step("dmarc.nothing-passed", nil, "RFC 9989 §5.3.5")
	}
	r.Alignments = make([]Alignment, len(passed))
	relaxed := false // an identifier's organizational domain matters
	same := len(passed) > 0
	for i, id := range passed {
		a := &r.Alignments[i]
		a.Identifier = id
		a.Strict = d.Record.ADKIM == Strict
		if id.Method == "spf" {
			a.Strict = d.Record.ASPF == Strict
		}
		a.Aligned = id.Domain == d.Author
		if !a.Aligned {
			same = false
			relaxed = relaxed || !a.Strict && related(id.Domain, d.Author)
		}
	}
	// §4.10.2: all names equal, and a record published there.
	if same && !d.inherited {
		r.Organizational = d.Author
	} else {
		org, err := d.Organizational(ctx, d.Author)
		r.Organizational = org
		if err != nil && relaxed {
			r.step("dmarc.organizational-failed", explain.Args{"domain": d.Author.String()}, "RFC 9989 §5.3.6")
			r.Err = err
		}
		if relaxed {
			v.alignRelaxed(ctx, d, r, err)
		}
	}
	for i := range r.Alignments {
		r.explain(&r.Alignments[i])
	}
}

// alignRelaxed finds the organizational domains of the identifiers that can be
// aligned. An organizational domain is a name itself or one above it, so that
// an identifier outside of the Author Domain's cannot have the same.
func (v *Verifier) alignRelaxed(ctx context.Context, d *Discovery, r *Result, failed error) {
	var asked []domain.Name
	most := v.Limits.withDefaults().Identifiers
	over := false
	for i := range r.Alignments {
		a := &r.Alignments[i]
		if a.Aligned {
			a.Organizational = r.Organizational
			continue
		}
		if a.Strict || !related(a.Domain, d.Author) {
			continue
		}
		if failed != nil {
			a.Err = failed
			continue
		}
		if !a.Domain.IsSubdomainOf(r.Organizational) {
			continue
		}
		known := false
		for _, n := range asked {
			known = known || n == a.Domain
		}
		if !known {
			if len(asked) >= most {
				over = true
				continue
			}
			asked = append(asked, a.Domain)
		}
		a.Organizational, a.Err = d.Organizational(ctx, a.Domain)
		a.Aligned = a.Err == nil && a.Organizational == r.Organizational
	}
	if over {
		r.step("dmarc.identifiers-over", explain.Args{"limit": int64(most)}, "RFC 9989 §11.5")
	}
}

// related reports whether two names share their last label; those that do not
// share an organizational domain never.
func related(a, b domain.Name) bool {
	x, y := a.String(), b.String()
	x, y = x[strings.LastIndexByte(x, '.')+1:], y[strings.LastIndexByte(y, '.')+1:]
	return x == y && x != ""
}

func (r *Result) step(code string, args explain.Args, ref string) {
	r.Steps = append(r.Steps, explain.Step{Code: code, Args: args, Ref: ref})
}

// explain says why an identifier is aligned, or why not.
func (r *Result) explain(a *Alignment) {
	args := explain.Args{"method": a.Method, "domain": a.Domain.String()}
	const ref = "RFC 9989 §4.10.2"
	switch {
	case a.Temporary:
		r.step("dmarc.identifier-temporary", args, "RFC 9989 §5.3.6")
	case a.Domain == r.From:
		r.step("dmarc.aligned-same", args, ref)
	case a.Aligned:
		args["organizational"] = a.Organizational.String()
		r.step("dmarc.aligned-relaxed", args, ref)
	case a.Err != nil:
		r.step("dmarc.alignment-failed", args, "RFC 9989 §5.3.6")
	case a.Strict:
		args["from"] = r.From.String()
		r.step("dmarc.unaligned-strict", args, ref)
	case !a.Organizational.IsZero():
		args["organizational"], args["from"] = a.Organizational.String(), r.Organizational.String()
		r.step("dmarc.unaligned-organizational", args, ref)
	default:
		args["from"] = r.From.String()
		r.step("dmarc.unaligned", args, ref)
	}
}

// conclude decides pass, fail or temperror, and what follows.
func (v *Verifier) conclude(d *Discovery, r *Result) {
	doubt := false // one that might have passed, aligned
	var by [2]bool
	for i := range r.Alignments {
		a := &r.Alignments[i]
		switch {
		case a.Err != nil:
			doubt = true
		case a.Aligned && a.Temporary:
			doubt = true
		case a.Aligned && a.Method == "spf":
			by[0] = true
		case a.Aligned:
			by[1] = true
		}
	}
	var shown []string
	switch {
	case by[0] && by[1]:
		r.AlignedBy, shown = []string{"spf", "dkim"}, []string{"SPF", "DKIM"}
	case by[0]:
		r.AlignedBy, shown = []string{"spf"}, []string{"SPF"}
	case by[1]:
		r.AlignedBy, shown = []string{"dkim"}, []string{"DKIM"}
	}
	switch {
	case r.AlignedBy != nil:
		// §5.3.5: one is enough.
		r.Status, r.Err = Pass, nil
		r.Reason = explain.Step{Code: "dmarc.pass", Args: explain.Args{"methods": shown}, Ref: "RFC 9989 §5.3.5"}
		r.Steps = append(r.Steps, r.Reason)
		return
	case doubt:
		// §5.3.6: neither pass nor fail; the policy is not applied.
		r.Status = TempError
		r.Reason = explain.Step{Code: "dmarc.undecided", Ref: "RFC 9989 §5.3.6"}
		r.Steps = append(r.Steps, r.Reason)
		return
	}
	r.Status, r.Err = Fail, nil
	r.Reason = explain.Step{
		Code: "dmarc.fail", Ref: "RFC 9989 §5.3.5",
		Args: explain.Args{"from": r.From.String(), "policy": string(r.Policy), "domain": r.PolicyDomain.String()},
	}
	r.Steps = append(r.Steps, r.Reason)
	r.Disposition = r.Policy
	v.soften(d, r)
	switch r.Disposition {
	case Reject:
		// §7.4, §8: not only because of the policy.
		r.step("dmarc.do-reject", nil, "RFC 9989 §7.4")
	case Quarantine:
		r.step("dmarc.do-quarantine", nil, "RFC 9989 §4.7")
	default:
		r.step("dmarc.do-none", nil, "RFC 9989 §5.4")
	}
}

// soften applies t=y (RFC 9989 §4.7) or pct (RFC 7489 §6.6.4).
func (v *Verifier) soften(d *Discovery, r *Result) {
	if r.Policy.Level() == 0 {
		return // §4.7: no effect on none
	}
	if r.Testing {
		r.Disposition = r.Policy.below()
		r.step("dmarc.testing", explain.Args{"policy": string(r.Policy), "disposition": string(r.Disposition)}, "RFC 9989 §4.7")
		return
	}
	pct := r.Record.Pct
	if d.Method != PSL || pct >= 100 {
		return
	}
	in := pct > 0
	if v.Sample != nil {
		in = v.Sample(pct)
	}
	if in {
		r.step("dmarc.sampled-in", explain.Args{"percent": int64(pct)}, "RFC 7489 §6.6.4")
		return
	}
	r.SampledOut, r.Disposition = true, r.Policy.below()
	r.step("dmarc.sampled-out", explain.Args{"percent": int64(pct), "disposition": string(r.Disposition)}, "RFC 7489 §6.6.4")
}

// evaluateEach takes the strictest policy among the Author Domains that fail
// (RFC 9989 §11.5). Where none fails, a doubt outweighs the absence of a
// policy, and that a pass: a domain nobody vouches for gains nothing from one
// beside it. The steps are children, one for each domain.
func (v *Verifier) evaluateEach(ctx context.Context, d *Discovery, passed []Identifier) Result {
	var worst Result
	var each []explain.Step
	for i, one := range d.each {
		r := v.Evaluate(ctx, one, passed)
		each = append(each, explain.Step{
			Code: "dmarc.from-each", Ref: "RFC 9989 §11.5", Children: r.Steps,
			Args: explain.Args{"domain": r.From.String(), "status": string(r.Status)},
		})
		if i == 0 || severity(r) > severity(worst) {
			worst = r
		}
	}
	worst.Steps = append(append(make([]explain.Step, 0, len(d.steps)+len(each)+1), d.steps...), each...)
	if d.over {
		over := explain.Step{Code: "dmarc.from-over", Args: explain.Args{"limit": int64(len(d.each))}, Ref: "RFC 9989 §11.5"}
		worst.Steps = append(worst.Steps, over)
		if worst.Status != Fail {
			// The evaluation is incomplete.
			worst.Status, worst.Reason, worst.Disposition, worst.AlignedBy = PermError, over, None, nil
		}
	}
	return worst
}

func severity(r Result) int {
	switch r.Status {
	case Fail:
		return 10 + 4*r.Disposition.Level() + r.Policy.Level()
	case TempError:
		return 3
	case PermError:
		return 2
	case NoRecord:
		return 1
	}
	return 0
}
