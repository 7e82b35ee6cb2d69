package posture

import (
	"context"
	"slices"
	"strings"
	"time"

	"sekimori/dns"
	"sekimori/explain"
	"sekimori/mtasts"
	"sekimori/tlsrpt"
)

// MTASTS is the announcement that mail to the domain must be encrypted (RFC
// 8461). Valid is about the record, about the policy's host having an address,
// and about the policy where it was looked at.
type MTASTS struct {
	Topic
	Records []string `json:"records"`
	ID      string   `json:"id"`
	// PolicyHost tells whether mta-sts.DOMAIN has an address.
	PolicyHost State `json:"policy_host"`
	// Policy is nil where Options have no Fetch.
	Policy *STSPolicy `json:"policy,omitempty"`

	text string // of the policy
}

// STSPolicy is the policy that MTA-STS has senders fetch.
type STSPolicy struct {
	Fetched
	Valid  State       `json:"valid"`
	Mode   mtasts.Mode `json:"mode"`    // empty where it could not be read
	MX     []string    `json:"mx"`      // at most 20
	MaxAge int64       `json:"max_age"` // seconds
	// Covers tells whether every MX host of the domain is one of the policy's;
	// unknown where that does not matter, as the mode is none or there is no
	// host.
	Covers State `json:"covers"`
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
	in.awaitPolicy()
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
	if m.Policy != nil {
		in.inspectPolicy(ctx)
	}
}

// awaitPolicy makes room for the policy where it is to be looked at: as long
// as nothing more is known, it is there or not as the record is.
func (in *inspection) awaitPolicy() {
	if m := &in.MTASTS; in.o.Fetch != nil {
		m.Policy = &STSPolicy{Fetched: Fetched{Fetched: m.Present}, Valid: m.Present, MX: []string{}, Covers: Unknown}
	}
}

// inspectPolicy fetches the policy of a domain that has a record. The policy's
// host is fixed, and so is what is asked of it: a server without a certificate
// for that name does not even learn of the request, wherever it is.
func (in *inspection) inspectPolicy(ctx context.Context) {
	m, p := &in.MTASTS, in.MTASTS.Policy
	p.URL = mtasts.PolicyURL(in.name.String())
	p.Fetched.Fetched, p.Valid = Unknown, Unknown
	switch {
	case m.Valid == No && m.PolicyHost == Yes: // a sender that finds no valid record does not fetch
		p.Valid = No
		return
	case m.PolicyHost != Yes:
		p.Fetched.Fetched, p.Valid = m.PolicyHost, m.PolicyHost
		return
	}
	body, mediaType := in.fetch(ctx, &p.Fetched, p.URL, mtasts.MaxPolicy, false)
	if p.Valid = p.Fetched.Fetched; p.Valid != Yes {
		if m.Valid = p.Valid; m.Valid == No {
			in.find(TopicMTASTS, p.unfetched("posture.mta-sts-unfetched", "posture.mta-sts-unfetched-detail", "RFC 8461 §3.3"))
		}
		return
	}
	m.text = string(body)
	policy, err := mtasts.ParsePolicy(m.text)
	if err != nil {
		p.Valid, m.Valid = No, No
		return // judgePolicy says why
	}
	p.Mode, p.MaxAge = policy.Mode, int64(policy.MaxAge/time.Second)
	for _, mx := range policy.MX[:min(len(policy.MX), maxListed)] {
		p.MX = append(p.MX, explain.Clip(mx))
	}
	if mediaType != "text/plain" {
		// RFC 8461 §3.2: senders SHOULD see to that; not all do.
		in.findAt(TopicMTASTS, p.URL, explain.Finding{Grade: explain.Warning, Step: explain.Step{
			Code: "posture.mta-sts-media-type", Args: explain.Args{"type": explain.Clip(mediaType)}, Ref: "RFC 8461 §3.2"}})
	}
}

// judgePolicy needs the MX hosts.
func (in *inspection) judgePolicy() {
	m, p := &in.MTASTS, in.MTASTS.Policy
	if p == nil || p.Fetched.Fetched != Yes {
		return
	}
	var hosts []string
	switch {
	case in.MX.Present == Yes && in.MX.Null != Yes:
		hosts = in.hosts()
	case in.MX.Implicit == Yes: // RFC 5321 §5.1
		hosts = []string{in.name.String()}
	}
	in.findAt(TopicMTASTS, p.URL, mtasts.LintPolicy(m.text, hosts)...)
	policy, err := mtasts.ParsePolicy(m.text)
	m.text = ""
	if err != nil || policy.Mode == mtasts.None || len(hosts) == 0 {
		return
	}
	p.Covers = Yes
	for _, h := range hosts {
		if !policy.Allows(h) {
			p.Covers = No
		}
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

// judgeTransport is, but for a policy, for domains that receive mail.
func (in *inspection) judgeTransport() {
	in.judgePolicy()
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
