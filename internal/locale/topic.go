package locale

import (
	"fmt"
	"slices"

	"sekimori/explain"
	"sekimori/internal/posture"
)

// Topic words the state of one topic of a domain in a line, as "check" and the
// pages of a survey show it.
func (l Lang) Topic(p *posture.Posture, t posture.Name) string {
	topic := p.Topic(t)
	say := func(code string, args explain.Args) string { return l.Text("cli.check."+code, args) }
	switch t {
	case posture.TopicSTARTTLS:
		return l.starttlsLine(p)
	case posture.TopicRPKI:
		return l.rpkiLine(p)
	}
	if t != posture.TopicDNSSEC && t != posture.TopicDKIM && topic.Present == posture.Unknown {
		return l.unknownLine(p)
	}
	switch t {
	case posture.TopicSPF:
		return l.spfLine(p)
	case posture.TopicDMARC:
		return l.dmarcLine(p)
	case posture.TopicDKIM:
		return l.dkimLine(p)
	case posture.TopicMX:
		return l.mxLine(p)
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
		return l.stsLine(p)
	case posture.TopicTLSRPT:
		return say("tls-rpt.present", explain.Args{"rua": p.TLSRPT.RUA})
	case posture.TopicBIMI:
		return l.bimiLine(p)
	}
	with := 0
	for _, h := range p.DANE.Hosts {
		if h.Present == posture.Yes {
			with++
		}
	}
	return say("dane.present", explain.Args{"n": int64(with), "hosts": int64(len(p.DANE.Hosts))})
}

// stsLine says as much as is known of a policy.
func (l Lang) stsLine(p *posture.Posture) string {
	m := &p.MTASTS
	args := explain.Args{"id": m.ID}
	switch {
	case m.Policy == nil:
		return l.Text("cli.check.mta-sts.present", args)
	case m.Policy.Mode == "":
		if args["reason"] = m.Policy.Failure; m.Policy.Failure == "" {
			args["reason"] = "dns" // of the policy's host
		}
		return l.Text("cli.check.mta-sts.unfetched", args)
	}
	args["mode"], args["days"] = string(m.Policy.Mode), m.Policy.MaxAge/86400
	return l.Text("cli.check.mta-sts.policy", args)
}

// bimiLine says as much as is known of a logo and its certificate.
func (l Lang) bimiLine(p *posture.Posture) string {
	b := &p.BIMI
	args := explain.Args{"location": b.Location}
	c := b.Certificate
	switch {
	case b.Declined:
		return l.Text("cli.check.bimi.declined", nil)
	case b.Logo == nil || c == nil:
	case b.Logo.Valid == posture.Unknown:
		if args["reason"] = b.Logo.Failure; b.Logo.Failure == "" {
			args["reason"] = c.Failure
			args["location"] = b.Authority
		}
		return l.Text("cli.check.bimi.unfetched", args)
	case c.Fetched.Fetched == posture.Unknown:
		args["reason"] = c.Failure
		return l.Text("cli.check.bimi.uncertain", args)
	case c.Fetched.Fetched == posture.Yes && c.NotAfter != nil:
		args["kind"], args["subject"], args["date"] = string(c.Kind), c.Subject, c.NotAfter.Format("2006-01-02")
		return l.Text("cli.check.bimi.certified", args)
	}
	return l.Text("cli.check.bimi.present", args)
}

// unknownLine says why a topic is not known.
func (l Lang) unknownLine(p *posture.Posture) string {
	if p.DNSSEC.Status == posture.StatusBogus {
		return l.Text("cli.check.unknown-bogus", nil)
	}
	return l.Text("cli.check.unknown", nil)
}

func (l Lang) spfLine(p *posture.Posture) string {
	s := &p.SPF
	all := s.All
	if all != "" {
		all += "all"
	}
	args := explain.Args{"all": all, "lookups": int64(s.Lookups), "records": int64(len(s.Records))}
	switch {
	case s.Present == posture.No:
		return l.Text("cli.check.absent", nil)
	case s.Valid == posture.No && s.Lookups > 10: // RFC 7208 §4.6.4
		return l.Text("cli.check.spf.lookups", args)
	case s.Valid == posture.No:
		return l.Text("cli.check.invalid", nil)
	case s.Valid == posture.Unknown:
		return l.Text("cli.check.spf.unknown", args)
	case all == "":
		return l.Text("cli.check.spf.open-end", args)
	}
	return l.Text("cli.check.spf.present", args)
}

func (l Lang) dmarcLine(p *posture.Posture) string {
	d := &p.DMARC
	args := explain.Args{"tag": d.PolicyTag, "policy": d.Policy, "domain": d.RecordDomain}
	switch {
	case d.Present == posture.No:
		return l.Text("cli.check.absent", nil)
	case d.Valid == posture.No && d.Policy != "": // RFC 9989 §4.10.1: for the sake of its reports
		return l.Text("cli.check.dmarc.rescued", args)
	case d.Valid == posture.No:
		return l.Text("cli.check.invalid", nil)
	case d.Inherited == posture.Yes && d.Testing:
		return l.Text("cli.check.dmarc.inherited-testing", args)
	case d.Inherited == posture.Yes:
		return l.Text("cli.check.dmarc.inherited", args)
	case d.Testing:
		return l.Text("cli.check.dmarc.testing", args)
	}
	return l.Text("cli.check.dmarc.present", args)
}

func (l Lang) dkimLine(p *posture.Posture) string {
	d := &p.DKIM
	args := explain.Args{"n": int64(d.SelectorsAsked)}
	switch d.Evidence {
	case posture.EvidenceKey:
		var names []string
		for _, k := range d.Keys {
			if !k.Revoked && len(k.Records) > 0 {
				names = append(names, l.keyName(k))
			}
		}
		args["keys"] = names
		return l.Text("cli.check.dkim.keys", args)
	case posture.EvidenceName:
		return l.Text("cli.check.dkim.name", args)
	case posture.EvidenceRevoked:
		return l.Text("cli.check.dkim.revoked", nil)
	}
	switch {
	case d.Domainkey == posture.Unknown || d.SelectorsUnknown > 0 && d.SelectorsUnknown == d.SelectorsAsked:
		return l.unknownLine(p)
	case d.Present == posture.No:
		return l.Text("cli.check.absent", nil)
	case d.Domainkey == posture.No:
		return l.Text("cli.check.dkim.none", args)
	}
	return l.Text("cli.check.dkim.not-found", args)
}

// keyName is a selector with what its key is: "s1 (RSA 2048)".
func (l Lang) keyName(k posture.Key) string {
	switch {
	case k.Valid == posture.No:
		return l.Text("cli.check.dkim.bad", explain.Args{"selector": k.Selector})
	case k.Type == "rsa":
		return fmt.Sprintf("%s (RSA %d)", k.Selector, k.Bits)
	case k.Type != "":
		return fmt.Sprintf("%s (%s)", k.Selector, k.Type)
	}
	return k.Selector
}

func (l Lang) mxLine(p *posture.Posture) string {
	m := &p.MX
	switch {
	case m.Null == posture.Yes:
		return l.Text("cli.check.mx.null", nil)
	case m.Present == posture.Yes:
		var hosts []string
		for _, h := range m.Hosts {
			if h.Host != "" && !slices.Contains(hosts, h.Host) {
				hosts = append(hosts, h.Host)
			}
		}
		const most = 4
		if n := max(m.Count, len(hosts)) - most; len(hosts) > most { // not all are looked at
			return l.Text("cli.check.mx.more", explain.Args{"hosts": hosts[:most], "n": int64(n)})
		}
		return l.List(hosts)
	case m.Implicit == posture.Yes:
		return l.Text("cli.check.mx.implicit", nil)
	}
	return l.Text("cli.check.mx.none", nil)
}
