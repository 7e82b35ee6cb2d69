package failure

import (
	"encoding/base64"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"sekimori/message"
)

// field takes one field of the feedback part (RFC 5965 §3, RFC 6591 §3, RFC
// 9991 §4).
func (p *parser) field(f message.Field) {
	out := &p.out
	name, raw := strings.ToLower(f.Name()), f.Value()
	v := p.value(raw)
	switch name {
	case "feedback-type":
		p.once(&out.FeedbackType, token(v))
	case "version":
		p.once(&out.Version, uncomment(v))
	case "user-agent":
		p.once(&out.UserAgent, v)
	case "auth-failure":
		p.once((*string)(&out.AuthFailure), token(v))
	case "delivery-result":
		p.once((*string)(&out.Delivery), token(v))
	case "identity-alignment":
		p.alignment(v)
	case "authentication-results":
		p.several(&out.AuthenticationResults, v)
	case "reported-domain":
		p.several(&out.ReportedDomains, strings.ToLower(strings.TrimSuffix(uncomment(v), ".")))
	case "source-ip":
		if ip, ok := address(uncomment(v)); !ok {
			p.deviates(BadValue)
		} else if out.SourceIP.IsValid() {
			p.deviates(Repeated)
		} else {
			out.SourceIP = ip
		}
	case "source-port":
		if n, err := strconv.ParseUint(uncomment(v), 10, 16); err != nil {
			p.deviates(BadValue)
		} else {
			out.SourcePort = uint16(n)
		}
	case "arrival-date", "received-date": // RFC 5965 §3.2: the latter is the older name
		if t, ok := message.ParseDate(v); !ok {
			p.deviates(BadValue)
		} else if out.Arrived.IsZero() {
			out.Arrived = t
		}
	case "original-mail-from":
		if out.MailFrom != "" || out.NullFrom {
			p.deviates(Repeated)
			return
		}
		out.MailFrom = bare(v)
		out.NullFrom = out.MailFrom == ""
	case "original-rcpt-to":
		p.several(&out.Rcpt, bare(v))
	case "original-envelope-id":
		p.once(&out.EnvelopeID, v)
	case "reporting-mta":
		p.once(&out.ReportingMTA, v)
	case "incidents":
		// Longer numbers are refused rather than believed.
		if n, err := strconv.ParseUint(uncomment(v), 10, 63); err != nil || n == 0 {
			p.deviates(BadValue)
		} else if out.Incidents != 0 {
			p.deviates(Repeated)
		} else {
			out.Incidents = n
		}
	case "dkim-domain":
		p.once(&out.DKIMDomain, strings.ToLower(uncomment(v)))
	case "dkim-identity":
		p.once(&out.DKIMIdentity, uncomment(v))
	case "dkim-selector":
		p.once(&out.DKIMSelector, uncomment(v))
	case "dkim-selector-dns":
		p.once(&out.DKIMSelectorDNS, unquote(v))
	case "dkim-canonicalized-header":
		p.canonical(&out.CanonicalHeader, raw)
	case "dkim-canonicalized-body":
		p.canonical(&out.CanonicalBody, raw)
	case "spf-dns":
		p.spf(v)
	default:
		if len(out.Extra) >= p.limits.Fields {
			p.deviates(Cut)
			return
		}
		out.Extra = append(out.Extra, Extra{Name: clean(f.Name()), Value: v})
	}
}

// value makes text from outside fit to be kept.
func (p *parser) value(s string) string {
	s = clean(s)
	if len(s) <= p.limits.Value {
		return s
	}
	p.deviates(Cut)
	n := p.limits.Value
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// once sets a field that comes once.
func (p *parser) once(dst *string, v string) {
	switch {
	case *dst == "":
		*dst = v
	case v != "" && v != *dst:
		p.deviates(Repeated)
	}
}

func (p *parser) several(dst *[]string, v string) {
	if v == "" {
		return
	}
	if len(*dst) >= p.limits.Fields {
		p.deviates(Cut)
		return
	}
	*dst = append(*dst, v)
}

// alignment reads Identity-Alignment.
func (p *parser) alignment(v string) {
	out := &p.out
	if out.AlignmentTold {
		p.deviates(Repeated)
		return
	}
	out.AlignmentTold = true
	for _, m := range strings.Split(strings.ToLower(uncomment(v)), ",") {
		switch m := Method(strings.TrimSpace(m)); m {
		case MethodDKIM, MethodSPF:
			if !slices.Contains(out.Unaligned, m) {
				out.Unaligned = append(out.Unaligned, m)
			}
		case "none":
		default:
			p.deviates(BadValue)
		}
	}
}

// canonical reads base64.
func (p *parser) canonical(dst *[]byte, v string) {
	v = strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, v)
	if most := base64.StdEncoding.EncodedLen(8 * p.limits.Value); len(v) > most {
		v = v[:most]
		p.deviates(Cut)
	}
	b, err := base64.StdEncoding.DecodeString(v)
	if err != nil || *dst != nil {
		p.deviates(BadValue)
		return
	}
	*dst = b
}

// spf reads SPF-DNS: "txt : example.org : "v=spf1 -all"" (RFC 6591 §3.2.5).
func (p *parser) spf(v string) {
	kind, rest, ok := strings.Cut(v, ":")
	name, text, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 {
		p.deviates(BadValue)
		return
	}
	if len(p.out.SPFDNS) >= p.limits.Fields {
		p.deviates(Cut)
		return
	}
	p.out.SPFDNS = append(p.out.SPFDNS, SPFRecord{
		Type: strings.ToLower(strings.TrimSpace(kind)), Domain: strings.ToLower(strings.TrimSpace(name)), Text: unquote(strings.TrimSpace(text)),
	})
}

// token is a value that is one word, without comments and in lower case.
func token(v string) string {
	word, _, _ := strings.Cut(uncomment(v), " ")
	return strings.ToLower(strings.TrimRight(word, ";,"))
}

// uncomment takes the comments out of a value (RFC 5322 §3.2.2).
func uncomment(v string) string {
	if !strings.Contains(v, "(") {
		return strings.TrimSpace(v)
	}
	var b strings.Builder
	depth := 0
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case c == '\\' && depth > 0:
			i++
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth == 0:
			b.WriteByte(c)
		}
	}
	return strings.TrimSpace(b.String())
}

// unquote takes the quotes off a quoted string; other values stay.
func unquote(v string) string {
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		return message.Unquote(v[1 : len(v)-1])
	}
	return v
}

// bare is an address of an envelope without its angle brackets.
func bare(v string) string {
	v = strings.TrimSpace(v)
	if i := strings.IndexByte(v, '<'); i >= 0 {
		if j := strings.LastIndexByte(v, '>'); j > i {
			return strings.TrimSpace(v[i+1 : j])
		}
	}
	return v
}

// address reads an address of a host: also "[192.0.2.1]" and "[IPv6:2001:db8::1]".
func address(v string) (netip.Addr, bool) {
	v = strings.Trim(strings.TrimSpace(v), "[]")
	if len(v) > 5 && strings.EqualFold(v[:5], "IPv6:") {
		v = v[5:]
	}
	ip, err := netip.ParseAddr(v)
	return ip.Unmap().WithZone(""), err == nil
}

// clean takes control characters and what is no UTF-8 out of a value.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\r' || r == '\n':
			return ' '
		case unicode.IsControl(r):
			return '\uFFFD'
		}
		return r
	}, s))
}

// cleanText is clean for a text of several lines, which end in LF.
func cleanText(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r':
			return '\n'
		case unicode.IsControl(r):
			return '\uFFFD'
		}
		return r
	}, s)
}
