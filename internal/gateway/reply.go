package gateway

import (
	"strings"

	"sekimori/domain"
	"sekimori/internal/check"
	"sekimori/internal/store/verdict"
	"sekimori/milter"
)

// maxReplyLine is how long the words in a line of a reply may be: 512 octets
// with the code and the line's end are allowed (RFC 5321 §4.5.3.1.5).
const maxReplyLine = 450

// reply is the answer to the end of a message. The words of a refusal are
// English and ASCII, as replies have to be (RFC 5321 §4.2); the page that they
// lead to explains them in the reader's language. Of what the sender wrote only
// domain names come into it, as A-labels.
func (d *Decision) reply(site *Site, v *check.Verdict) milter.Response {
	from := v.From()
	r := milter.Response{Do: milter.Custom, Code: 550, Enhanced: "5.7.1"} // RFC 3463 §3.8: message refused
	var text string
	switch {
	case d.Action == verdict.TryAgain:
		// RFC 3463 §3.5: X.4.3 has the DNS as its example. It is not X.7.26, for
		// nothing has failed (RFC 9989 §5.3.6).
		r.Code, r.Enhanced = 451, "4.4.3"
		text = "The DNS does not tell enough to verify this message"
		if !from.IsZero() {
			text += " from " + from.String()
		}
		text += "; please try again later"
	case d.Action != verdict.Refuse:
		return milter.Response{Do: milter.Continue}
	case d.Because == ByPolicy:
		// RFC 7372 §3.3: more than one authentication check failed, contrary to
		// local policy.
		r.Enhanced = "5.7.26"
		text = "Message from " + from.String() + " fails DMARC: neither SPF nor DKIM confirms it, and the policy of " +
			v.DMARC.PolicyDomain.String() + " is " + string(v.DMARC.Policy)
	case d.Because == ByFrom:
		text = "From has to name addresses of exactly one domain (RFC 9989 section 5.3.1)"
	default:
		text = "Message refused by a rule of this site"
	}
	if len(text) > maxReplyLine { // two long names
		text = "Message from " + from.String() + " fails DMARC"
	}
	r.Text = []string{text}
	if page := explainURL(site.ExplainURL, d.Because, from); page != "" {
		r.Text = append(r.Text, "See "+page)
	}
	return r
}

// explainURL is where a reply is explained, by what decided (c) and the author's
// domain (d); empty where the site has no page,
// or the address would not fit into a line.
func explainURL(page string, why Because, from domain.Name) string {
	if page == "" {
		return ""
	}
	sep := "?"
	if strings.Contains(page, "?") {
		sep = "&"
	}
	page += sep + "c=" + string(why)
	if !from.IsZero() {
		page += "&d=" + from.String() // letters, digits, "-", "_" and "."
	}
	if len(page) > maxReplyLine {
		return ""
	}
	return page
}

// ascii makes a text fit for a line of a protocol: printable ASCII, of at most
// most octets.
func ascii(s string, most int) string {
	b := make([]byte, 0, min(len(s), most))
	for i := 0; i < len(s) && len(b) < most; i++ {
		c := s[i]
		if c < ' ' || c >= 0x7f {
			c = '?'
		}
		b = append(b, c)
	}
	return string(b)
}
