package posture

import (
	"slices"

	"sekimori/explain"
)

// judge draws the conclusions that need every topic, sorts the findings and
// sums the topics up.
func (in *inspection) judge() {
	p := &in.Posture
	p.SendsMail, p.SendsMailReason = in.sends()
	if p.Exists == No {
		in.find(TopicDomain, explain.Finding{Grade: explain.Error,
			Step: explain.Step{Code: "posture.no-such-domain", Args: explain.Args{"domain": in.name.String()}, Ref: "RFC 8020 §2"}})
	} else if in.shared() {
		// What is published here holds for every organisation below.
		in.find(TopicDomain, explain.Finding{Grade: explain.Advice,
			Step: explain.Step{Code: "posture.public-suffix", Args: in.args(), Ref: "RFC 9989 §3.2.14"}})
	} else {
		in.judgeSPF()
		in.judgeDKIM()
		in.judgeMX()
		in.judgeTransport()
		in.judgeSTARTTLS()
		in.judgeBIMI()
	}
	if !in.shared() {
		in.judgeDMARC()
	}

	p.Findings = []Finding{}
	looked := p.Looked()
	for _, t := range append([]Name{TopicDomain}, looked...) {
		p.Findings = append(p.Findings, *in.findings[t]...)
	}
	p.Findings = distinct(p.Findings)
	slices.SortStableFunc(p.Findings, func(a, b Finding) int { return weight(b.Grade) - weight(a.Grade) })
	for _, t := range looked {
		p.topic(t).Level = in.level(t)
	}
	p.Verdict = in.verdict()
}

// shared reports whether the domain is one below which organisations register
// theirs, such as co.jp, and sends no mail itself.
func (in *inspection) shared() bool {
	return in.Exists != No && in.SendsMail != Yes && in.MX.Present != Yes && in.SPF.Present != Yes && in.name.IsPublicSuffix()
}

// maxFindings bounds the findings of one domain.
const maxFindings = 100

// distinct drops repetitions: the same said of the same piece.
func distinct(fs []Finding) []Finding {
	out := fs[:0]
	for _, f := range fs {
		if len(out) == maxFindings {
			break
		}
		again := slices.ContainsFunc(out, func(o Finding) bool {
			return o.Topic == f.Topic && o.Name == f.Name && o.Code == f.Code && o.Part == f.Part && sameArgs(o.Args, f.Args)
		})
		if !again {
			out = append(out, f)
		}
	}
	return out
}

func sameArgs(a, b explain.Args) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		w, ok := b[k]
		if !ok {
			return false
		}
		if s, isList := v.([]string); isList {
			if t, isList := w.([]string); !isList || !slices.Equal(s, t) {
				return false
			}
			continue
		}
		if _, isList := w.([]string); isList || v != w {
			return false
		}
	}
	return true
}

func weight(g explain.Grade) int {
	switch g {
	case explain.Error:
		return 3
	case explain.Warning:
		return 2
	}
	return 1
}

// level sums a topic up: what is wrong first, then what is not known.
func (in *inspection) level(t Name) Level {
	worst := 0
	for _, f := range *in.findings[t] {
		worst = max(worst, weight(f.Grade))
	}
	topic := in.topic(t)
	switch {
	case worst == 3:
		return LevelError
	case worst == 2:
		return LevelWarning
	case topic.Present == No && t == TopicMX && in.SendsMail == No && in.Exists != No:
		return LevelOK // nothing to deliver to, and nothing owed
	case topic.Present == No:
		return LevelAbsent
	case topic.Present == Unknown || topic.Valid == Unknown:
		return LevelUnknown
	case topic.Valid == No:
		return LevelError // said by no finding, and of no use all the same
	case worst == 1:
		return LevelAdvice
	}
	return LevelOK
}

// verdict is the answer to: can anyone send mail in this name?
func (in *inspection) verdict() Verdict {
	p := &in.Posture
	v := Verdict{Protected: p.DMARC.Enforced}
	say := func(l Level, code string) Verdict {
		v.Level, v.Step = l, explain.Step{Code: code, Args: explain.Args{"domain": in.name.String()}}
		return v
	}
	silent := p.SendsMail == No
	switch {
	case p.Exists == No && p.DMARC.Enforced == Yes:
		return say(LevelWarning, "posture.verdict-no-such-domain-protected")
	case p.Exists == No:
		return say(LevelError, "posture.verdict-no-such-domain")
	case p.Unanswered() && p.DNSSEC.Status == StatusBogus:
		return say(LevelError, "posture.verdict-bogus")
	case p.Unanswered():
		return say(LevelUnknown, "posture.verdict-unanswered")
	case in.shared():
		return say(LevelAdvice, "posture.verdict-public-suffix")
	case p.DMARC.Present == Unknown || p.DMARC.Enforced == Unknown:
		return say(LevelUnknown, "posture.verdict-unknown")
	case p.SPF.everybody && p.SPF.Valid != No && p.DMARC.Enforced == Yes:
		v.Protected = No // everybody passes SPF, and so DMARC
		return say(LevelError, "posture.verdict-plus-all")
	case p.DMARC.Enforced == Yes && p.SendsMail == Yes && p.SPF.Valid == No && p.DKIM.Valid != Yes:
		return say(LevelWarning, "posture.verdict-own-at-risk")
	case p.DMARC.Enforced == Yes && silent:
		return say(LevelOK, "posture.verdict-silent")
	case p.DMARC.Enforced == Yes && p.DMARC.Policy == "reject":
		return say(LevelOK, "posture.verdict-refused")
	case p.DMARC.Enforced == Yes:
		return say(LevelOK, "posture.verdict-set-aside")
	case p.DMARC.Testing && p.DMARC.Policy != "" && p.DMARC.Policy != "none":
		return say(LevelWarning, "posture.verdict-testing")
	case silent && p.SPF.denies:
		return say(LevelError, "posture.verdict-silent-from")
	case silent:
		return say(LevelError, "posture.verdict-silent-open")
	case p.DMARC.Policy != "":
		return say(LevelWarning, "posture.verdict-watched")
	case p.SPF.Valid == Yes && (p.SPF.All == "-" || p.SPF.All == "~"):
		return say(LevelError, "posture.verdict-from-open")
	}
	return say(LevelError, "posture.verdict-open")
}

func (in *inspection) publish(name, typ, value string) *explain.Publish {
	return &explain.Publish{Name: name, Type: typ, Value: value}
}

func (in *inspection) args() explain.Args { return explain.Args{"domain": in.name.String()} }

func (in *inspection) judgeSPF() {
	p, name := &in.Posture, in.name.String()
	say := func(g explain.Grade, code, ref, record string) {
		f := explain.Finding{Grade: g, Step: explain.Step{Code: code, Args: in.args(), Ref: ref}}
		if record != "" {
			f.Publish = in.publish(name, "TXT", record)
		}
		in.find(TopicSPF, f)
	}
	switch {
	case p.SPF.Present != No:
		if p.SPF.Valid == Yes && p.SendsMail == No && !p.SPF.denies {
			say(explain.Warning, "posture.spf-silent-open", "RFC 7208 §10.1.2", "v=spf1 -all")
		}
		in.costs()
	case slices.ContainsFunc(*in.findings[TopicSPF], func(f Finding) bool { return f.Code == "spf.lint.version" }):
		// There is a text that was meant as the record; with it put right there is one.
	case p.SendsMail == No:
		say(explain.Warning, "posture.spf-missing-silent", "RFC 7208 §10.1.2", "v=spf1 -all")
	case p.SendsMail == Unknown && p.DMARC.Enforced == Yes: // forged mail is stopped without it
		say(explain.Warning, "posture.spf-missing-unclear", "RFC 7208 §10.1.2", "v=spf1 -all")
	case p.SendsMail == Unknown:
		say(explain.Error, "posture.spf-missing-unclear", "RFC 7208 §10.1.2", "v=spf1 -all")
	default:
		say(explain.Error, "posture.spf-missing", "RFC 7208 §3", in.firstSPF())
	}
}

// costs says which terms use up the DNS lookups, the dearest first, so that it
// can be seen where to save.
func (in *inspection) costs() {
	if in.SPF.Lookups < maxLookups-1 || len(in.SPF.costs) == 0 {
		return
	}
	args := in.args()
	args["terms"] = in.SPF.costs
	in.find(TopicSPF, explain.Finding{Grade: explain.Advice, Step: explain.Step{Code: "posture.spf-lookup-costs", Args: args, Ref: "RFC 7208 §4.6.4"}})
	if f := in.SPF.flat; f != nil {
		args := in.args()
		args["before"], args["after"], args["copied"] = int64(f.Before), int64(f.Lookups), f.Domains
		for i := range f.Records {
			code := "posture.spf-flattened"
			if i > 0 {
				code = "posture.spf-flattened-more"
				args = in.args()
				args["name"] = f.Records[i].Name
			}
			in.find(TopicSPF, explain.Finding{Grade: explain.Advice, Publish: &f.Records[i],
				Step: explain.Step{Code: code, Args: args, Ref: "RFC 7208 §4.6.4"}})
		}
	}
}

// senders are the includes that the large mail services ask their customers to
// publish, by the end of their MX hosts' names.
var senders = [...]struct{ mx, include string }{
	{".google.com", "_spf.google.com"}, {".googlemail.com", "_spf.google.com"},
	{".mail.protection.outlook.com", "spf.protection.outlook.com"}, {".mx.microsoft", "spf.protection.outlook.com"},
	{".xserver.jp", "spf.sender.xserver.jp"}, {".messagingengine.com", "spf.messagingengine.com"},
	{".protonmail.ch", "_spf.protonmail.ch"}, {".mail.icloud.com", "icloud.com"},
}

// firstSPF is a record to begin with: who receives the domain's mail most
// likely sends it too. It ends in ~all, as nobody knows yet who else sends.
func (in *inspection) firstSPF() string {
	for _, h := range in.MX.Hosts {
		for _, s := range senders {
			if len(h.Host) > len(s.mx) && h.Host[len(h.Host)-len(s.mx):] == s.mx {
				return "v=spf1 include:" + s.include + " ~all"
			}
		}
	}
	return "v=spf1 mx ~all"
}

func (in *inspection) judgeDKIM() {
	d := &in.DKIM
	say := func(g explain.Grade, code, ref string) {
		args := in.args()
		args["selectors"] = int64(d.SelectorsAsked)
		in.find(TopicDKIM, explain.Finding{Grade: g, Step: explain.Step{Code: code, Args: args, Ref: ref}})
	}
	switch {
	case in.SendsMail == No && d.Evidence == EvidenceRevoked && d.Wildcard == Yes:
		d.Present, d.Valid = No, No // revoked on purpose, for every selector
	case in.SendsMail == No:
		if d.Evidence == EvidenceNone && d.Domainkey == No {
			d.Present, d.Valid = No, No
		}
	case d.Present == Yes && d.Evidence == EvidenceKey && d.Valid == No:
		say(explain.Error, "posture.dkim-unusable", "RFC 6376 §3.6.1")
	case d.Evidence == EvidenceNone && d.Domainkey == No && d.SelectorsUnknown == 0 && in.SendsMail == Unknown:
		say(explain.Advice, "posture.dkim-missing-unclear", "RFC 6376 §3.6.2.1")
	case d.Evidence == EvidenceNone && d.Domainkey == No && d.SelectorsUnknown == 0:
		say(explain.Warning, "posture.dkim-missing", "RFC 6376 §3.6.2.1")
	case d.Evidence == EvidenceNone && d.Domainkey == Yes && d.SelectorsUnknown == 0:
		say(explain.Advice, "posture.dkim-not-found", "RFC 6376 §3.6.2.1")
	case d.Evidence == EvidenceRevoked:
		say(explain.Warning, "posture.dkim-revoked", "RFC 6376 §3.6.1")
	}
	if slices.ContainsFunc(d.Keys, func(k Key) bool { return k.Valid == Yes && k.Type == "rsa" }) {
		in.drop(TopicDKIM, "dkim.key-ed25519") // there is an RSA key beside it
	}
	if d.Wildcard == Yes && d.Evidence == EvidenceKey {
		for _, k := range d.Keys {
			if k.Selector == "*" && !k.Revoked {
				say(explain.Advice, "posture.dkim-wildcard", "RFC 6376 §3.6.2.1")
			}
		}
	}
}

func (in *inspection) judgeMX() {
	m := &in.MX
	say := func(g explain.Grade, code, ref, record string) {
		f := explain.Finding{Grade: g, Step: explain.Step{Code: code, Args: in.args(), Ref: ref}}
		if record != "" {
			f.Publish = in.publish(in.name.String(), "MX", record)
		}
		in.find(TopicMX, f)
	}
	switch {
	case in.SendsMail == Yes && m.Null == Yes:
		say(explain.Warning, "posture.mx-null-but-sends", "RFC 7505 §4.2", "")
	case in.SendsMail == Yes && m.Present == No && m.Implicit == No:
		say(explain.Warning, "posture.mx-missing", "RFC 5321 §5.1", "")
	case in.SendsMail == Yes && m.Implicit == Yes:
		say(explain.Advice, "posture.mx-implicit", "RFC 5321 §5.1", "10 "+in.name.String()+".")
	case in.SendsMail == No && m.Present == No && m.Implicit == Yes:
		// Mail to the web server's address waits in queues for days.
		say(explain.Advice, "posture.mx-null-wanted", "RFC 7505 §1", "0 .")
	}
}
