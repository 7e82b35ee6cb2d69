package posture

import (
	"slices"
	"strings"

	"sekimori/dmarc"
	"sekimori/explain"
)

// drop takes findings back that another yardstick makes pointless.
func (in *inspection) drop(t Name, codes ...string) {
	list := in.findings[t]
	*list = slices.DeleteFunc(*list, func(f Finding) bool { return slices.Contains(codes, f.Code) })
}

// corrected is the domain's own record as the linter would have it.
func (in *inspection) corrected() *dmarc.Record {
	for _, f := range *in.findings[TopicDMARC] {
		if f.Publish == nil || f.Publish.Name != "_dmarc."+in.name.String() || !strings.HasPrefix(f.Code, "dmarc.") ||
			f.Code == "dmarc.lint.np" || f.Code == "dmarc.lint.testing" { // these go beyond correcting
			continue
		}
		if r, err := dmarc.Parse(f.Publish.Value); err == nil {
			return r
		}
	}
	return in.DMARC.record
}

// unite has findings that can be seen to at once lead to one record: that of
// the finding with this code, which holds what the others ask for.
func (in *inspection) unite(code string) {
	list := *in.findings[TopicDMARC]
	i := slices.IndexFunc(list, func(f Finding) bool { return f.Code == code && f.Publish != nil })
	if i < 0 {
		return
	}
	now := in.corrected().String()
	for j := range list {
		if p := list[j].Publish; p != nil && p.Name == list[i].Publish.Name && p.Value == now {
			list[j].Publish = list[i].Publish
		}
	}
}

// soften keeps a correction from doing more than correct. A policy that a slip
// kept out of force has refused no mail yet: with the slip put right it would
// from one day to the next, the domain's own mail included where that fails.
func (in *inspection) soften(say func(explain.Grade, string, string, string)) {
	d := &in.DMARC
	if in.SendsMail == No || in.Exists == No || d.Present != Yes || d.Inherited == Yes {
		return
	}
	r := in.corrected()
	if r == nil {
		return
	}
	p, sp, _ := r.Effective()
	if d.Policy != "" && d.Policy != string(dmarc.None) || r.Testing || p.Level() == 0 && sp.Level() == 0 {
		return
	}
	was := r.String()
	now := r.With("p", "none").Without("sp").String()
	for _, f := range *in.findings[TopicDMARC] {
		if f.Publish != nil && f.Publish.Value == was {
			f.Publish.Value = now // shared by the findings that it mends
		}
	}
	d.meant = string(p)
	say(explain.Warning, "posture.dmarc-not-in-force", "RFC 9989 §4.10.1", now)
}

// judgeDMARC needs to know whether the domain sends mail.
func (in *inspection) judgeDMARC() {
	d, name := &in.DMARC, in.name.String()
	say := func(g explain.Grade, code, ref, record string) {
		args := in.args()
		args["policy"], args["domain_above"] = d.Policy, d.RecordDomain
		if code == "posture.dmarc-not-in-force" {
			args["policy"] = d.meant
		}
		f := explain.Finding{Grade: g, Step: explain.Step{Code: code, Args: args, Ref: ref}}
		if record != "" {
			f.Publish = in.publish("_dmarc."+name, "TXT", record)
		}
		in.find(TopicDMARC, f)
	}
	if in.SendsMail == No {
		// Reports would only say what is known, and np falls to p.
		in.drop(TopicDMARC, "dmarc.lint.rua-missing", "dmarc.lint.np", "dmarc.lint.p-none", "dmarc.lint.testing")
	}
	if d.Testing && d.Inherited == No {
		for i, f := range *in.findings[TopicDMARC] {
			if f.Code == "dmarc.lint.testing" {
				(*in.findings[TopicDMARC])[i].Publish = in.publish("_dmarc."+name, "TXT", in.corrected().Without("t", "pct").String())
			}
		}
	}
	if d.Inherited == Yes && d.PolicyTag != "p" {
		in.drop(TopicDMARC, "dmarc.lint.p-none") // of the domain above, and nothing to this one
	}
	in.soften(say)
	failed := slices.ContainsFunc(*in.findings[TopicDMARC], func(f Finding) bool { return f.Grade == explain.Error })
	switch {
	case d.Present == Unknown, in.Exists == No:
	case d.Present == No && in.SendsMail == No:
		say(explain.Error, "posture.dmarc-missing-silent", "RFC 9989 §4.10.1", "v=DMARC1; p=reject")
	case d.Present == No:
		say(explain.Error, "posture.dmarc-missing", "RFC 9989 §4.10.1", "v=DMARC1; p=none; rua=mailto:dmarc-reports@"+name)
	case d.Policy == "" && failed: // that is the reason
		in.drop(TopicDMARC, "dmarc.lint.np", "dmarc.lint.p-none")
	case d.Policy == "":
		say(explain.Error, "posture.dmarc-unusable", "RFC 9989 §4.10.1", "")
	case in.SendsMail == No && (d.Policy != "reject" || d.Testing):
		record := "v=DMARC1; p=reject"
		if d.Inherited == No {
			// sp stays: names below may well send.
			record = in.corrected().With("p", "reject").Without("np", "t").String()
		}
		say(explain.Warning, "posture.dmarc-silent-weak", "RFC 9989 §4.7", record)
	case d.Policy == "none" && d.Inherited == No:
		in.drop(TopicDMARC, "dmarc.lint.p-none")
		next := in.corrected().With("p", "quarantine")
		if slices.ContainsFunc(*in.findings[TopicDMARC], func(f Finding) bool { return f.Code == "dmarc.lint.np" }) {
			next = next.With("np", "reject") // that step comes before this one
		}
		say(explain.Warning, "posture.dmarc-none", "RFC 9989 §4.7", next.String())
	case d.Policy == "none":
		in.drop(TopicDMARC, "dmarc.lint.p-none")
		say(explain.Warning, "posture.dmarc-none-inherited", "RFC 9989 §4.7", "")
	}
	in.unite("posture.dmarc-silent-weak")
	in.unite("dmarc.lint.np")
}
