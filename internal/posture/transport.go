package posture

import (
	"context"
	"slices"
	"strings"

	"sekimori/dns"
	"sekimori/explain"
	"sekimori/mtasts"
	"sekimori/tlsrpt"
)

// MTASTS is the announcement that mail to the domain must be encrypted (RFC
// 8461). The policy itself is fetched by HTTPS, which is not done here: Valid
// is about the record and about the policy's host having an address.
type MTASTS struct {
	Topic
	Records []string `json:"records"`
	ID      string   `json:"id"`
	// PolicyHost tells whether mta-sts.DOMAIN has an address.
	PolicyHost State `json:"policy_host"`
}

func (m *MTASTS) init() { m.Records, m.PolicyHost = []string{}, Unknown }

// TLSRPT is where failures of encryption are reported (RFC 8460).
type TLSRPT struct {
	Topic
	Records []string `json:"records"`
	RUA     []string `json:"rua"`
}

func (t *TLSRPT) init() { t.Records, t.RUA = []string{}, []string{} }

// meant tells whether a text begins with the version, or was meant to: others
// at the name come from a wildcard and say nothing.
func meant(txt, version string) bool {
	head := strings.ToLower(strings.ReplaceAll(txt[:min(len(txt), 64)], " ", ""))
	return strings.HasPrefix(head, "v="+strings.ToLower(version))
}

// record sums up what a linked TXT record is: its texts, whether it is there
// and whether it is one that counts.
func (in *inspection) record(t Name, records, other []string, version string, valid, temporary bool, found []explain.Finding) []string {
	topic := in.topic(t)
	for _, o := range other {
		if meant(o, version) {
			records = append(records[:len(records):len(records)], o)
		}
	}
	switch {
	case temporary:
		topic.Present, topic.Valid = Unknown, Unknown
		return []string{}
	case len(records) == 0:
		topic.Present, topic.Valid = No, No
		return []string{}
	}
	topic.Present, topic.Valid = Yes, state(valid)
	in.find(t, found...)
	return texts(records)
}

func (in *inspection) inspectMTASTS(ctx context.Context) {
	m, b := &in.MTASTS, in.a.budget(budgetMTASTS)
	m.init()
	f := mtasts.Lookup(ctx, b, in.name.String())
	m.Records = in.record(TopicMTASTS, f.Records, f.Other, "STSv1", f.Record != nil, f.Temporary, f.Findings)
	if m.Present != Yes {
		m.PolicyHost = m.Present
		return
	}
	if f.Record != nil {
		m.ID = f.Record.ID
	}
	host := "mta-sts." + in.name.String()
	_, err := b.Lookup(ctx, host, dns.A)
	if dns.Absent(err) {
		_, err = b.Lookup(ctx, host, dns.AAAA)
	}
	m.PolicyHost = present(err)
	switch {
	case m.PolicyHost == Unknown && m.Valid == Yes:
		m.Valid = Unknown
	case m.PolicyHost == No:
		m.Valid = No
		in.find(TopicMTASTS, explain.Finding{Grade: explain.Error, Step: explain.Step{
			Code: "posture.mta-sts-host-missing", Args: explain.Args{"host": host}, Ref: "RFC 8461 §3.3"}})
	}
}

func (in *inspection) inspectTLSRPT(ctx context.Context) {
	t, b := &in.TLSRPT, in.a.budget(budgetTLSRPT)
	t.init()
	f := tlsrpt.Lookup(ctx, b, in.name.String())
	t.Records = in.record(TopicTLSRPT, f.Records, f.Other, "TLSRPTv1", f.Record != nil, f.Temporary, f.Findings)
	if f.Record != nil {
		for _, u := range f.Record.RUA[:min(len(f.Record.RUA), maxListed)] {
			t.RUA = append(t.RUA, explain.Clip(u))
		}
	}
}

// judgeTransport is for domains that receive mail.
func (in *inspection) judgeTransport() {
	if in.MX.Present != Yes || in.MX.Null == Yes {
		return
	}
	name := in.name.String()
	if in.MTASTS.Present == No {
		args := in.args()
		args["hosts"] = in.hosts()
		in.find(TopicMTASTS, explain.Finding{Grade: explain.Advice, Step: explain.Step{Code: "posture.mta-sts-missing", Args: args, Ref: "RFC 8461 §3"},
			Publish: in.publish(mtasts.Name(name), "TXT", (&mtasts.Record{ID: "1"}).String())})
	}
	if in.TLSRPT.Present == No {
		in.find(TopicTLSRPT, explain.Finding{Grade: explain.Advice, Step: explain.Step{Code: "posture.tls-rpt-missing", Args: in.args(), Ref: "RFC 8460 §3"},
			Publish: in.publish(tlsrpt.Name(name), "TXT", (&tlsrpt.Record{RUA: []string{"mailto:tls-reports@" + name}}).String())})
	}
}

// hosts are the names of the MX hosts, each once.
func (in *inspection) hosts() []string {
	out := []string{}
	for _, h := range in.MX.Hosts {
		if n := explain.Clip(h.Host); n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}
