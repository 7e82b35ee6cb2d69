package gateway

import (
	"slices"
	"strings"

	"sekimori/dkim"
	"sekimori/dmarc"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/check"
	"sekimori/internal/store/verdict"
	"sekimori/message"
	"sekimori/report/aggregate"
)

// parts are what the gateway looks at in a header beside what the evaluators do.
// Absent fields are empty; of repeated ones the first counts.
type parts struct {
	from      string // the whole value
	messageID string
	subject   string
	list      domain.Name
	selectors int    // BIMI-Selector fields
	selector  string // the value of the first

	parsed  bool
	authors []message.Address // none where From cannot be read
}

// read goes through the header once.
func (p *parts) read(h message.Header, withSubject, withList bool) {
	list := false
	for i := range h {
		f := &h[i]
		raw := f.Raw()
		switch raw[0] | 0x20 {
		case 'f':
			if p.from == "" && f.Is("From") {
				p.from = f.RawValue()
			}
		case 'm':
			if p.messageID == "" && f.Is("Message-ID") {
				p.messageID = clip(strings.Trim(f.Value(), "<> \t"), maxMessageID)
			}
		case 's':
			if withSubject && p.subject == "" && f.Is("Subject") {
				p.subject = explain.ClipFolded(message.DecodeWords(f.Value()))
			}
		case 'l':
			list = list || withList && (f.Is("List-Id") || f.Is("List-Post"))
		case 'b':
			if f.Is("BIMI-Selector") {
				if p.selectors++; p.selectors == 1 {
					p.selector = f.Value()
				}
			}
		}
	}
	if list {
		p.list = listDomain(h)
	}
}

// addresses are those of From, without names.
func (p *parts) addresses() []message.Address {
	if !p.parsed {
		p.authors, _ = message.ParseAddrSpecs(p.from)
		p.parsed = true
	}
	return p.authors
}

// badFrom tells whether there was not exactly one author's domain: DMARC says
// so first of all.
func badFrom(v *check.Verdict) bool {
	return v.DMARC.From.IsZero() || len(v.DMARC.Steps) > 0 && strings.HasPrefix(v.DMARC.Steps[0].Code, "dmarc.from-")
}

// entry is the message as it is kept.
func (a *arrival) entry(p *parts, v *check.Verdict, d *Decision, queueID string) *verdict.Entry {
	e := &verdict.Entry{
		Time: a.received, QueueID: clip(queueID, 100), MessageID: p.messageID, Subject: p.subject,
		Client: a.in.IP, Helo: a.in.Helo, MailFrom: clip(a.in.MailFrom, maxAddress), Rcpt: a.in.Rcpt, Size: a.size,
		Action: d.Action, Asked: d.Asked, Rule: d.Rule,
		Print: a.sum(),
	}
	if from := p.addresses(); len(from) > 0 {
		e.From = clip(from[0].String(), maxAddress)
	} else {
		e.From = clip(strings.Trim(p.from, " \t\r\n"), maxAddress) // as it stands there
	}
	if a.own != foreign {
		return e
	}
	e.SPF, e.DKIM, e.DMARC, e.ARC = v.SPFWord(), v.DKIMWord(), v.DMARCWord(), string(v.ARC.Status)
	if r := v.DMARC.Record; r != nil && !v.DMARC.PolicyDomain.IsZero() {
		e.Policy = verdict.Policy{Domain: v.DMARC.PolicyDomain.String(), Text: r.Text, Method: string(v.DMARC.Method)}
	}
	e.Record = record(v, d)
	switch s := v.DMARC.Status; {
	case a.failed:
		e.Why = []explain.Step{{Code: "gateway.unverified", Args: explain.Args{}}}
	case s == dmarc.Fail, s == dmarc.TempError, s == dmarc.PermError, d.Asked != verdict.Accept, d.Rule.Code != "":
		e.Why = append(d.steps(v), v.Steps()...)
	}
	return e
}

// maxRecorded is how many signatures a row has (RFC 9990 §3.1.3).
const maxRecorded = 100

// record is the message as a row of an aggregate report (RFC 9990 §3.1.1.6 to
// §3.1.1.12). It names domains and no mailbox; recipients are left out.
func record(v *check.Verdict, d *Decision) aggregate.Record {
	r := aggregate.Record{
		SourceIP: v.Input.IP, Count: 1, Disposition: d.Disposition, Reasons: d.Reasons,
		DKIM: slices.Contains(v.DMARC.AlignedBy, "dkim"), SPF: slices.Contains(v.DMARC.AlignedBy, "spf"),
		HeaderFrom: v.From().String(),
	}
	if !v.NoSPF {
		// The identity of a null reverse-path is postmaster at the HELO name (RFC
		// 7208 §2.4): that of MAIL FROM still.
		r.SPFResults = []aggregate.SPFResult{{Domain: shortName(v.SPF.Domain), Scope: "mfrom", Result: string(v.SPF.Status)}}
	}
	if from := domainOf(v.Input.MailFrom); !from.IsZero() {
		r.EnvelopeFrom = from.String()
	}
	if len(v.DKIM) > 0 {
		r.DKIMResults = signatures(v)
	}
	return r
}

// signatures lists what became of the signatures, the most telling first (RFC
// 9990 §3.1.3): passed with the author's very domain, passed and aligned,
// passed, others. What is no signature of a domain is left out.
func signatures(v *check.Verdict) []aggregate.DKIMResult {
	out := make([]aggregate.DKIMResult, 0, len(v.DKIM))
	for class := 0; class < 4; class++ {
		for i := range v.DKIM {
			s := &v.DKIM[i]
			if s.Domain.IsZero() || s.Selector == "" || rank(s, v.From()) != class || len(out) == maxRecorded {
				continue
			}
			x := aggregate.DKIMResult{Domain: s.Domain.String(), Selector: clip(s.Selector, 255), Result: string(s.Status)}
			if s.Status != dkim.Pass {
				x.HumanResult = s.ReasonCode()
			}
			out = append(out, x)
		}
	}
	return out
}

func rank(s *check.Signature, from domain.Name) int {
	switch {
	case s.Status != dkim.Pass:
		return 3
	case s.Domain == from:
		return 0
	case s.Aligned:
		return 1
	}
	return 2
}

// shortName keeps names out of rows that cannot be ones.
func shortName(s string) string {
	if n, err := domain.Parse(s); err == nil {
		return n.String()
	}
	return clip(s, 255)
}
