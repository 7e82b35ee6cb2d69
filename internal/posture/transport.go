package posture

import (
	"context"
	"strings"

	"sekimori/dns"
	"sekimori/explain"
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

// versioned are the records that begin with a version, or were meant to.
func versioned(all []string, version string) []string {
	var out []string
	for _, s := range all {
		head := strings.ToLower(strings.ReplaceAll(s[:min(len(s), 64)], " ", ""))
		if strings.HasPrefix(head, "v="+strings.ToLower(version)) {
			out = append(out, s)
		}
	}
	return out
}

func (in *inspection) inspectMTASTS(ctx context.Context) {
	m, b := &in.MTASTS, in.a.budget(budgetMTASTS)
	m.init()
	host := "mta-sts." + in.name.String()
	a, err := b.Lookup(ctx, "_mta-sts."+in.name.String(), dns.TXT)
	records := versioned(a.Records, "STSv1")
	m.Present, m.Valid = present(err), Unknown
	if m.Present == Unknown {
		return
	}
	m.Records = texts(records)
	if m.Present = state(len(records) > 0); m.Present == No {
		m.Valid, m.PolicyHost = No, No
		return
	}
	_, err4 := b.Lookup(ctx, host, dns.A)
	m.PolicyHost = present(err4)
	if m.PolicyHost != Yes {
		if _, err6 := b.Lookup(ctx, host, dns.AAAA); err6 == nil {
			m.PolicyHost = Yes
		} else if !dns.Absent(err6) {
			m.PolicyHost = Unknown
		}
	}
	if m.PolicyHost == No {
		in.find(TopicMTASTS, explain.Finding{Grade: explain.Error, Step: explain.Step{
			Code: "posture.mta-sts-host-missing", Args: explain.Args{"host": host}, Ref: "RFC 8461 §3.3"}})
	}
}

func (in *inspection) inspectTLSRPT(ctx context.Context) {
	t, b := &in.TLSRPT, in.a.budget(budgetTLSRPT)
	t.init()
	a, err := b.Lookup(ctx, "_smtp._tls."+in.name.String(), dns.TXT)
	records := versioned(a.Records, "TLSRPTv1")
	t.Present, t.Valid = present(err), Unknown
	if t.Present == Unknown {
		return
	}
	t.Records = texts(records)
	t.Present = state(len(records) > 0)
	t.Valid = t.Present
}

// judgeTransport is for domains that receive mail.
func (in *inspection) judgeTransport() {
	if in.MX.Present != Yes || in.MX.Null == Yes {
		return
	}
	name := in.name.String()
	if in.MTASTS.Present == No {
		in.find(TopicMTASTS, explain.Finding{Grade: explain.Advice, Step: explain.Step{Code: "posture.mta-sts-missing", Args: in.args(), Ref: "RFC 8461 §3"},
			Publish: in.publish("_mta-sts."+name, "TXT", "v=STSv1; id=1;")})
	}
	if in.TLSRPT.Present == No {
		in.find(TopicTLSRPT, explain.Finding{Grade: explain.Advice, Step: explain.Step{Code: "posture.tls-rpt-missing", Args: in.args(), Ref: "RFC 8460 §3"},
			Publish: in.publish("_smtp._tls."+name, "TXT", "v=TLSRPTv1; rua=mailto:tls-reports@"+name)})
	}
}
