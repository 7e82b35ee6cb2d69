package gateway

import (
	"strings"
	"testing"

	"sekimori/dmarc"
	"sekimori/internal/store/verdict"
	"sekimori/milter"
)

// TestReplies: what a sender is told fits into the protocol, whatever the
// names are.
func TestReplies(t *testing.T) {
	long := strings.Repeat("a23456789.", 24) + "example"
	for name, c := range map[string]struct {
		action  verdict.Action
		because Because
		from    string
		page    string
		want    milter.Response
	}{
		"accepted":      {verdict.Accept, ByPolicy, "bank.example", "https://mx.example/why", milter.Response{Do: milter.Continue}},
		"held":          {verdict.Quarantine, ByPolicy, "bank.example", "https://mx.example/why", milter.Response{Do: milter.Continue}},
		"policy":        {verdict.Refuse, ByPolicy, "bank.example", "https://mx.example/why", milter.Response{Do: milter.Custom, Code: 550, Enhanced: "5.7.26", Text: []string{"Message from bank.example fails DMARC: neither SPF nor DKIM confirms it, and the policy of bank.example is reject", "See https://mx.example/why?c=policy&d=bank.example"}}},
		"U-labels":      {verdict.Refuse, ByRule, "例え.example", "https://mx.example/why?lang=ja", milter.Response{Do: milter.Custom, Code: 550, Enhanced: "5.7.1", Text: []string{"Message refused by a rule of this site", "See https://mx.example/why?lang=ja&c=rule&d=xn--r8jz45g.example"}}},
		"no author":     {verdict.Refuse, ByFrom, "", "https://mx.example/why", milter.Response{Do: milter.Custom, Code: 550, Enhanced: "5.7.1", Text: []string{"From has to name addresses of exactly one domain (RFC 9989 section 5.3.1)", "See https://mx.example/why?c=from"}}},
		"later":         {verdict.TryAgain, ByTrouble, "bank.example", "", milter.Response{Do: milter.Custom, Code: 451, Enhanced: "4.4.3", Text: []string{"The DNS does not tell enough to verify this message from bank.example; please try again later"}}},
		"later, nobody": {verdict.TryAgain, ByTrouble, "", "", milter.Response{Do: milter.Custom, Code: 451, Enhanced: "4.4.3", Text: []string{"The DNS does not tell enough to verify this message; please try again later"}}},
		"long names":    {verdict.Refuse, ByPolicy, long, "https://" + strings.Repeat("x", 140), milter.Response{Do: milter.Custom, Code: 550, Enhanced: "5.7.26", Text: []string{"Message from " + long + " fails DMARC", "See https://" + strings.Repeat("x", 140) + "?c=policy&d=" + long}}},
	} {
		v := judged(t, dmarc.Fail, dmarc.Reject, dmarc.Reject)
		if c.from == "" {
			v.DMARC.From = v.DMARC.Organizational
		} else {
			v.DMARC.From = domainName(t, c.from)
		}
		v.DMARC.PolicyDomain = v.DMARC.From
		d := Decision{Action: c.action, Because: c.because}
		site := Site{ExplainURL: c.page}
		if err := site.Check(); err != nil {
			t.Fatal(name, err)
		}
		got := d.reply(&site, v)
		if got.Do != c.want.Do || got.Code != c.want.Code || got.Enhanced != c.want.Enhanced || strings.Join(got.Text, "\n") != strings.Join(c.want.Text, "\n") {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		for _, line := range got.Text {
			// RFC 5321 §4.5.3.1.5: 512 octets with code and line end.
			if len("550-5.7.26 "+line+"\r\n") > 512 || line != ascii(line, 1000) {
				t.Errorf("%s: %q", name, line)
			}
		}
	}
}
