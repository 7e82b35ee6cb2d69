package posture_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/locale"
	"sekimori/internal/posture"
	"sekimori/internal/probe"
	"sekimori/rpki"
)

// someMailers encrypt or do not, by the last octet of their first address.
type someMailers struct{}

func (someMailers) STARTTLS(_ context.Context, host string, addrs []netip.Addr) (*tls.ConnectionState, error, error) {
	s := &tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{{}}}
	why := func(w probe.Why) error { return &probe.Error{Why: w, About: host, Err: errors.New("so")} }
	switch n := addrs[0].AsSlice(); n[len(n)-1] % 8 {
	case 0:
		return nil, nil, why(probe.WhyNotOffered)
	case 1:
		return nil, nil, why(probe.WhyTimeout)
	case 2:
		return nil, nil, why(probe.WhyInjected)
	case 3:
		return nil, nil, why(probe.WhyNoTLS)
	case 4:
		return s, why(probe.WhyExpired), nil
	case 5:
		s.Version = tls.VersionTLS10
	}
	return s, nil, nil
}

// someRoutes are announced in every state, by the last octet but one.
type someRoutes struct{}

func (someRoutes) Origins(a netip.Addr) []rpki.Origin {
	n := a.AsSlice()
	p, _ := a.Prefix(24)
	o := rpki.Origin{Prefix: p, ASN: 64496, State: rpki.Valid}
	switch n[len(n)-2] % 8 {
	case 0:
		return nil
	case 1:
		o.State = rpki.NotFound
	case 2:
		o.State = rpki.Invalid
	case 3:
		o.State, o.Length = rpki.Invalid, true
	case 4:
		return []rpki.Origin{o, {Prefix: p, State: rpki.Invalid}}
	}
	return []rpki.Origin{o}
}

// FuzzInspect answers questions with what the fuzzer makes up: lines "HEAD
// TYPE DATA", where HEAD is how the name begins, "*" for any; DATA "!" is a
// failure, and without a line there is no such name.
func FuzzInspect(f *testing.F) {
	f.Add("x MX 10 mx.x.example.\nmx A 192.0.2.1\nx TXT v=spf1 mx include:y.example -all\n_dmarc TXT v=DMARC1; p=reject; rua=mailto:a@b.example\n_25 TLSA 3 1 1 00")
	f.Add("x MX 0 .\nx TXT v=spf1 -all\n_dmarc TXT v=DMARC1;p=none;t=y\n* TXT v=DKIM1; p=\n_mta-sts TXT v=STSv1; id=1;\ndefault._bimi TXT v=BIMI1; l=; a=")
	f.Add("* TXT !\n* MX !\nx TXT v=spf1 redirect=x.example")
	f.Add("x MX 10 mx.x.example.\nx MX 20 b.x.example.\nmx A 192.0.2.1\nmx A 192.0.3.2\nb A 192.0.1.3\nx NS ns.x.example.\nns A 192.0.4.1\nns AAAA 2001:db8::304")
	x, err := domain.Parse("x.example")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1<<14 {
			return
		}
		type line struct{ head, typ, data string }
		var lines []line
		for _, l := range strings.Split(s, "\n") {
			head, rest, _ := strings.Cut(l, " ")
			typ, data, ok := strings.Cut(rest, " ")
			if ok {
				lines = append(lines, line{head, typ, data})
			}
		}
		lookup := func(_ context.Context, name string, typ dns.Type) (dns.Answer, error) {
			var a dns.Answer
			for _, l := range lines {
				if l.typ != string(typ) || l.head != "*" && !strings.HasPrefix(name, l.head) {
					continue
				}
				if l.data == "!" {
					return dns.Answer{}, dns.ErrTemporary
				}
				a.Records = append(a.Records, l.data)
			}
			if a.Records == nil {
				return a, dns.ErrNameNotFound
			}
			return a, nil
		}
		for _, frugal := range []bool{false, true} {
			c, check := posture.Counted(lookup)
			o := posture.Options{Frugal: frugal}
			if frugal {
				o.SMTP, o.Routes = someMailers{}, someRoutes{}
			}
			p := posture.Inspect(t.Context(), c, x, o)
			check(t, &p)
			if _, err := json.Marshal(p); err != nil {
				t.Error(err)
			}
			states := []posture.State{p.Exists, p.SendsMail, p.Verdict.Protected, p.DMARC.Enforced, p.DMARC.Inherited, p.DKIM.Domainkey, p.DKIM.Wildcard,
				p.MX.Null, p.MX.Implicit, p.MTASTS.PolicyHost, p.BIMI.Eligible}
			for _, n := range p.Looked() {
				topic := p.Topic(n)
				states = append(states, topic.Present, topic.Valid)
				if topic.Valid == posture.Yes && topic.Present != posture.Yes && n != posture.TopicMX {
					t.Errorf("%s is %s and valid", n, topic.Present)
				}
				if !slices.Contains([]posture.Level{posture.LevelOK, posture.LevelAdvice, posture.LevelWarning, posture.LevelError, posture.LevelUnknown, posture.LevelAbsent}, topic.Level) {
					t.Errorf("%s has the level %q", n, topic.Level)
				}
			}
			for i, s := range states {
				if s != posture.Yes && s != posture.No && s != posture.Unknown {
					t.Errorf("state %d is %q", i, s)
				}
			}
			for _, f := range p.Findings {
				for _, l := range locale.Langs {
					if text := l.Step(f.Step) + l.Text(f.Code+".why", f.Args); strings.Contains(text, "⟦") {
						t.Errorf("%s: %s", l, text)
					}
				}
				if f.Grade != explain.Error && f.Grade != explain.Warning && f.Grade != explain.Advice {
					t.Errorf("%s has the grade %q", f.Code, f.Grade)
				}
			}
		}
	})
}
