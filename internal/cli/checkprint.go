package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/posture"
)

// mark is a level as one column that needs no colour.
func mark(l posture.Level) string {
	switch l {
	case posture.LevelOK:
		return "✓"
	case posture.LevelAdvice:
		return "›"
	case posture.LevelWarning:
		return "!"
	case posture.LevelError:
		return "✗"
	case posture.LevelUnknown:
		return "?"
	}
	return "-"
}

func gradeMark(g explain.Grade) string { return mark(posture.Level(g)) }

// shownDomain writes a domain in both forms where they differ.
func shownDomain(n domain.Name) string {
	if u := n.Unicode(); u != n.String() {
		return u + " (" + n.String() + ")"
	}
	return n.String()
}

// printPosture writes the answer first, then a line for each topic, then what
// to change, the worst first.
func (e *Env) printPosture(w io.Writer, p *posture.Posture, input string) {
	width := e.width()
	title := shownDomain(p.Domain)
	if input != "" {
		title = e.text("cli.check.taken", explain.Args{"domain": title, "input": input})
	}
	fmt.Fprintln(w, title)
	verdict := p.Verdict.Step
	if p.Unicode != "" {
		verdict.Args = explain.Args{"domain": p.Unicode} // the title has both forms
	}
	wrap(w, width, mark(p.Verdict.Level)+" ", e.Lang.Step(verdict))
	wrap(w, width, "  ", e.text("cli.check.sends."+string(p.SendsMailReason), nil))
	fmt.Fprintln(w)
	for _, t := range posture.Topics {
		head := e.text("cli.check.topic."+string(t), nil)
		lead := "  " + mark(p.Topic(t).Level) + " " + head + strings.Repeat(" ", max(1, 9-len(head)))
		wrap(w, width, lead, e.topicLine(p, t))
	}
	shown := said{map[explain.Publish]bool{}, map[string]bool{}}
	for _, g := range []explain.Grade{explain.Error, explain.Warning, explain.Advice} {
		n := p.Count(g)
		if n == 0 {
			continue
		}
		fmt.Fprintln(w)
		fmt.Fprintln(w, e.text("cli.check.grade."+string(g), explain.Args{"n": int64(n)}))
		for _, f := range p.Findings {
			if f.Grade == g {
				e.printFinding(w, f, shown)
			}
		}
	}
	e.printRecords(w, p)
	if p.Unanswered() && p.DNSSEC.Status != posture.StatusBogus {
		fmt.Fprintln(w)
		wrap(w, width, "", e.text("cli.check.again", nil))
	}
}

// printRecords lists what is published now, a record a line, cut to the line.
func (e *Env) printRecords(w io.Writer, p *posture.Posture) {
	name := p.Domain.String()
	type set struct {
		name    string
		records []string
	}
	sets := []set{{name, p.SPF.Records}, {"_dmarc." + p.DMARC.RecordDomain, p.DMARC.Records}}
	for _, k := range p.DKIM.Keys {
		sets = append(sets, set{k.Selector + "._domainkey." + name, k.Records})
	}
	sets = append(sets, set{"_mta-sts." + name, p.MTASTS.Records}, set{"_smtp._tls." + name, p.TLSRPT.Records},
		set{"default._bimi." + p.BIMI.RecordDomain, p.BIMI.Records})
	said := false
	for _, s := range sets {
		for i, r := range s.records {
			if !said {
				said = true
				fmt.Fprintf(w, "\n%s\n\n", e.text("cli.check.records", nil))
			}
			if i == 0 {
				fmt.Fprintln(w, "  "+s.name)
			}
			fmt.Fprintln(w, "    "+cut(r, max(e.width()-4, 20)))
		}
	}
}

// said is what need not be written again.
type said struct {
	records map[explain.Publish]bool
	whys    map[string]bool
}

// printFinding writes what is wrong, why it matters and what to publish. A
// reason, or a record, that several findings have is written once.
func (e *Env) printFinding(w io.Writer, f posture.Finding, shown said) {
	width := e.width()
	fmt.Fprintln(w)
	topic := e.text("cli.check.topic."+string(f.Topic), nil)
	text := e.Lang.Step(f.Step)
	switch {
	case f.Name != "":
		text = e.text("cli.check.finding", explain.Args{"topic": topic + " (" + f.Name + ")", "text": text})
	case !strings.HasPrefix(text, topic+" "): // or it would begin with the same word twice
		text = e.text("cli.check.finding", explain.Args{"topic": topic, "text": text})
	}
	wrap(w, width, gradeMark(f.Grade)+" ", text)
	if code := f.Code + ".why"; e.Lang.Has(code) {
		if why := e.text(code, f.Args); !shown.whys[why] {
			shown.whys[why] = true
			wrap(w, width, "    ", why)
		}
	}
	switch p := f.Publish; {
	case p == nil:
	case shown.records[*p]:
		wrap(w, width, "    ", e.text("cli.check.published-above", nil))
	default:
		shown.records[*p] = true
		wrap(w, width, "    ", e.text("cli.check.publish", explain.Args{"name": p.Name, "type": p.Type}))
		fmt.Fprintln(w, "      "+p.Value)
	}
}

// topicLine words the state of one topic.
func (e *Env) topicLine(p *posture.Posture, t posture.Name) string {
	topic := p.Topic(t)
	say := func(code string, args explain.Args) string { return e.text("cli.check."+code, args) }
	if t != posture.TopicDNSSEC && t != posture.TopicDKIM && topic.Present == posture.Unknown {
		return e.unknownLine(p)
	}
	switch t {
	case posture.TopicSPF:
		return e.spfLine(p)
	case posture.TopicDMARC:
		return e.dmarcLine(p)
	case posture.TopicDKIM:
		return e.dkimLine(p)
	case posture.TopicMX:
		return e.mxLine(p)
	case posture.TopicDNSSEC:
		return say("dnssec."+string(p.DNSSEC.Status), nil)
	}
	if topic.Present == posture.No {
		return say("absent", nil)
	}
	if topic.Valid == posture.No && t != posture.TopicDANE {
		return say("invalid", nil)
	}
	switch t {
	case posture.TopicMTASTS:
		return say("mta-sts.present", explain.Args{"id": p.MTASTS.ID})
	case posture.TopicTLSRPT:
		return say("tls-rpt.present", explain.Args{"rua": p.TLSRPT.RUA})
	case posture.TopicBIMI:
		if p.BIMI.Declined {
			return say("bimi.declined", nil)
		}
		return say("bimi.present", explain.Args{"location": p.BIMI.Location})
	}
	with := 0
	for _, h := range p.DANE.Hosts {
		if h.Present == posture.Yes {
			with++
		}
	}
	return say("dane.present", explain.Args{"n": int64(with), "hosts": int64(len(p.DANE.Hosts))})
}

// unknownLine says why a topic is not known.
func (e *Env) unknownLine(p *posture.Posture) string {
	if p.DNSSEC.Status == posture.StatusBogus {
		return e.text("cli.check.unknown-bogus", nil)
	}
	return e.text("cli.check.unknown", nil)
}

func (e *Env) spfLine(p *posture.Posture) string {
	s := &p.SPF
	all := s.All
	if all != "" {
		all += "all"
	}
	args := explain.Args{"all": all, "lookups": int64(s.Lookups), "records": int64(len(s.Records))}
	switch {
	case s.Present == posture.No:
		return e.text("cli.check.absent", nil)
	case s.Valid == posture.No && s.Lookups > 10: // RFC 7208 §4.6.4
		return e.text("cli.check.spf.lookups", args)
	case s.Valid == posture.No:
		return e.text("cli.check.invalid", nil)
	case s.Valid == posture.Unknown:
		return e.text("cli.check.spf.unknown", args)
	case all == "":
		return e.text("cli.check.spf.open-end", args)
	}
	return e.text("cli.check.spf.present", args)
}

func (e *Env) dmarcLine(p *posture.Posture) string {
	d := &p.DMARC
	args := explain.Args{"tag": d.PolicyTag, "policy": d.Policy, "domain": d.RecordDomain}
	switch {
	case d.Present == posture.No:
		return e.text("cli.check.absent", nil)
	case d.Valid == posture.No && d.Policy != "": // RFC 9989 §4.10.1: for the sake of its reports
		return e.text("cli.check.dmarc.rescued", args)
	case d.Valid == posture.No:
		return e.text("cli.check.invalid", nil)
	case d.Inherited == posture.Yes && d.Testing:
		return e.text("cli.check.dmarc.inherited-testing", args)
	case d.Inherited == posture.Yes:
		return e.text("cli.check.dmarc.inherited", args)
	case d.Testing:
		return e.text("cli.check.dmarc.testing", args)
	}
	return e.text("cli.check.dmarc.present", args)
}

func (e *Env) dkimLine(p *posture.Posture) string {
	d := &p.DKIM
	args := explain.Args{"n": int64(d.SelectorsAsked)}
	switch d.Evidence {
	case posture.EvidenceKey:
		var names []string
		for _, k := range d.Keys {
			if !k.Revoked && len(k.Records) > 0 {
				names = append(names, e.keyName(k))
			}
		}
		args["keys"] = names
		return e.text("cli.check.dkim.keys", args)
	case posture.EvidenceName:
		return e.text("cli.check.dkim.name", args)
	case posture.EvidenceRevoked:
		return e.text("cli.check.dkim.revoked", nil)
	}
	switch {
	case d.Domainkey == posture.Unknown || d.SelectorsUnknown > 0 && d.SelectorsUnknown == d.SelectorsAsked:
		return e.unknownLine(p)
	case d.Present == posture.No:
		return e.text("cli.check.absent", nil)
	case d.Domainkey == posture.No:
		return e.text("cli.check.dkim.none", args)
	}
	return e.text("cli.check.dkim.not-found", args)
}

// keyName is a selector with what its key is: "s1 (RSA 2048)".
func (e *Env) keyName(k posture.Key) string {
	switch {
	case k.Valid == posture.No:
		return e.text("cli.check.dkim.bad", explain.Args{"selector": k.Selector})
	case k.Type == "rsa":
		return fmt.Sprintf("%s (RSA %d)", k.Selector, k.Bits)
	case k.Type != "":
		return fmt.Sprintf("%s (%s)", k.Selector, k.Type)
	}
	return k.Selector
}

func (e *Env) mxLine(p *posture.Posture) string {
	m := &p.MX
	switch {
	case m.Null == posture.Yes:
		return e.text("cli.check.mx.null", nil)
	case m.Present == posture.Yes:
		var hosts []string
		for _, h := range m.Hosts {
			if h.Host != "" && !slices.Contains(hosts, h.Host) {
				hosts = append(hosts, h.Host)
			}
		}
		const most = 4
		if n := max(m.Count, len(hosts)) - most; len(hosts) > most { // not all are looked at
			return e.text("cli.check.mx.more", explain.Args{"hosts": hosts[:most], "n": int64(n)})
		}
		return e.Lang.List(hosts)
	case m.Implicit == posture.Yes:
		return e.text("cli.check.mx.implicit", nil)
	}
	return e.text("cli.check.mx.none", nil)
}
