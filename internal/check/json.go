package check

import (
	"encoding/json"
	"strings"
	"time"

	"sekimori/explain"
)

// document is the JSON form of a Verdict. Its fields are a public interface:
// more may follow, none goes.
type document struct {
	SPF                   spfDocument    `json:"spf"`
	DKIM                  []dkimDocument `json:"dkim"`
	ARC                   arcDocument    `json:"arc"`
	DMARC                 dmarcDocument  `json:"dmarc"`
	AuthenticationResults string         `json:"authentication_results"`
	Steps                 []explain.Step `json:"steps"`

	Verdict    Outcome            `json:"verdict"`
	Connection connectionDocument `json:"connection"`
	SMIME      *smimeDocument     `json:"smime,omitempty"`
}

type spfDocument struct {
	Result      string `json:"result"`
	Domain      string `json:"domain"`
	Identity    string `json:"identity"`
	Explanation string `json:"explanation"` // the domain owner's words, or ""
}

type dkimDocument struct {
	Result    string `json:"result"`
	Domain    string `json:"domain"`
	Selector  string `json:"selector"`
	Algorithm string `json:"algorithm"`
	Aligned   bool   `json:"aligned"`
	Reason    string `json:"reason"` // see Signature.ReasonCode
}

type arcDocument struct {
	Result  string   `json:"result"`
	Sealers []string `json:"sealers"` // newest first
	Trusted bool     `json:"trusted"`
}

type dmarcDocument struct {
	Result               string   `json:"result"`
	From                 string   `json:"from"`
	OrganizationalDomain string   `json:"organizational_domain"`
	Policy               string   `json:"policy"`
	PolicyDomain         string   `json:"policy_domain"`
	Disposition          string   `json:"disposition"`
	AlignedBy            []string `json:"aligned_by"`
	DiscoveryMethod      string   `json:"discovery_method"`
	Reason               string   `json:"reason"`
}

type connectionDocument struct {
	IP       string     `json:"ip"`        // "" is unknown
	Helo     string     `json:"helo"`      // "" is unknown
	MailFrom *string    `json:"mail_from"` // null is unknown, "" is the null reverse-path
	Rcpt     []string   `json:"rcpt"`
	Time     *time.Time `json:"time"` // as of when it was judged; null is now
}

// ReasonCode returns why the signature came out so, as one token such as
// "body-hash-differs". The sentence of the code "dkim." + token words it, unless
// a caller that verified nothing gave a code of its own.
func (s *Signature) ReasonCode() string {
	return s.Reason.Code[strings.IndexByte(s.Reason.Code, '.')+1:]
}

func (v *Verdict) document() document {
	d := document{
		SPF: spfDocument{
			Result:   string(v.SPF.Status),
			Domain:   text(v.SPF.Domain),
			Identity: string(v.SPF.Identity), Explanation: text(v.SPF.Explanation),
		},
		DKIM: make([]dkimDocument, len(v.DKIM)),
		ARC:  arcDocument{Result: string(v.ARC.Status), Sealers: []string{}, Trusted: v.Trust.Instance > 0},
		DMARC: dmarcDocument{
			Result:               string(v.DMARC.Status),
			From:                 v.DMARC.From.String(),
			OrganizationalDomain: v.DMARC.Organizational.String(),
			Policy:               string(v.DMARC.Policy),
			PolicyDomain:         v.DMARC.PolicyDomain.String(),
			Disposition:          string(v.DMARC.Disposition),
			AlignedBy:            v.DMARC.AlignedBy,
			DiscoveryMethod:      string(v.DMARC.Method),
			Reason:               strings.TrimPrefix(v.DMARC.Reason.Code, "dmarc."),
		},
		AuthenticationResults: v.AuthenticationResults(),
		Steps:                 v.Steps(),
		Verdict:               v.Outcome(),
		Connection:            connectionDocument{Helo: text(v.Input.Helo), Rcpt: v.Input.Rcpt},
		SMIME:                 newSMIMEDocument(v.SMIME),
	}
	for i := range v.DKIM {
		s := &v.DKIM[i]
		d.DKIM[i] = dkimDocument{Result: string(s.Status), Domain: s.Domain.String(), Selector: text(s.Selector),
			Algorithm: string(s.Algorithm), Aligned: s.Aligned, Reason: s.ReasonCode()}
	}
	for _, s := range v.ARC.Sealers() {
		d.ARC.Sealers = append(d.ARC.Sealers, s.String())
	}
	if d.DMARC.AlignedBy == nil {
		d.DMARC.AlignedBy = []string{}
	}
	if d.Connection.Rcpt == nil {
		d.Connection.Rcpt = []string{}
	}
	if v.Input.IP.IsValid() {
		d.Connection.IP = v.Input.IP.String()
	}
	if v.Input.sender() {
		from := text(v.Input.MailFrom)
		d.Connection.MailFrom = &from
	}
	if t := v.Input.Time; !t.IsZero() {
		d.Connection.Time = &t
	}
	return d
}

// text makes a value from outside valid UTF-8.
func text(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

// MarshalJSON writes the verdict as "sekimori verify --json" does.
func (v Verdict) MarshalJSON() ([]byte, error) { return json.Marshal(v.document()) }

// MarshalJSON writes the path first, then the verdict; for a message that
// could not be read the path, the reason and where it was.
func (c Checked) MarshalJSON() ([]byte, error) {
	if c.Err != nil {
		return json.Marshal(struct {
			Path   string `json:"path"`
			Error  string `json:"error"`
			Offset int64  `json:"offset"`
		}{text(c.Path), c.Err.Error(), c.Offset})
	}
	return json.Marshal(struct {
		Path string `json:"path"`
		document
	}{text(c.Path), c.Verdict.document()})
}
