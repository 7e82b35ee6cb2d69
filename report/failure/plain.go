package failure

import (
	"bytes"
	"strings"

	"sekimori/message"
)

// plain reads a report that is text alone, as Exim and cPanel write them: lines
// "Name: value", then a copy of the header below a line that says so. It
// reports whether there is one.
func (p *parser) plain() bool {
	kind, params := message.ParseParams(p.top.Get("Content-Type"))
	if t := params["report-type"]; strings.EqualFold(kind, "multipart/report") && t != "" && !strings.EqualFold(t, "feedback-report") {
		return false // another kind of report, such as a delivery status
	}
	if !p.hasText {
		return false
	}
	out := &p.out
	text := p.text
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		text = rest
		l := strings.TrimSpace(string(line))
		if strings.HasPrefix(l, "---") && strings.Contains(strings.ToLower(l), "header") {
			break
		}
		name, value, ok := strings.Cut(l, ":")
		if !ok {
			continue
		}
		value = p.value(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "sender domain":
			p.several(&out.ReportedDomains, strings.ToLower(value))
		case "sender ip address":
			out.SourceIP, _ = address(value)
		case "received date":
			out.Arrived, _ = message.ParseDate(value)
		case "spf alignment":
			p.aligned(MethodSPF, value)
		case "dkim alignment":
			p.aligned(MethodDKIM, value)
		}
	}
	// Two of them do not come by chance.
	if len(out.ReportedDomains) == 0 || !out.SourceIP.IsValid() {
		*out = Report{}
		return false
	}
	p.mail(p.top)
	out.FeedbackType, out.AuthFailure = "auth-failure", DMARC
	p.deviates(NoFeedback)
	if h, _, err := message.Read(bytes.NewReader(text), 2*p.limits.Text); err == nil && len(h) > 0 {
		p.original = h
		for _, f := range h.All("Authentication-Results") {
			p.several(&out.AuthenticationResults, p.value(f.Value()))
		}
	}
	return true
}

func (p *parser) aligned(m Method, value string) {
	p.out.AlignmentTold = true
	if strings.EqualFold(value, "no") {
		p.out.Unaligned = append(p.out.Unaligned, m)
	}
}
