package posture

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"slices"
	"time"

	"sekimori/dane"
	"sekimori/dns"
	"sekimori/explain"
	"sekimori/mtasts"
)

// Mailer sees what a mail exchanger offers to those who deliver mail to it: its
// TLS session, and in untrusted why the certificate does not hold for the
// host's name under the roots that everybody trusts. It is safe for concurrent
// use.
//
// Errors have the methods that Fetcher's have. The reasons are those of
// internal/probe.
type Mailer interface {
	STARTTLS(ctx context.Context, host string, addresses []netip.Addr) (session *tls.ConnectionState, untrusted, err error)
}

// STARTTLS is whether the MX hosts take mail encrypted (RFC 3207). Present: all
// do; Valid: and each shows a certificate by which a sender can tell it, by DANE
// or under the roots that everybody trusts.
//
// Most senders encrypt without looking at the certificate; those that do DANE or
// MTA-STS do look.
type STARTTLS struct {
	Topic
	Hosts []STARTTLSHost `json:"hosts"`
}

// STARTTLSHost is one MX host.
type STARTTLSHost struct {
	Host string `json:"host"`
	// Offered tells whether it says that it encrypts, Encrypts whether it does.
	Offered  State `json:"offered"`
	Encrypts State `json:"encrypts"`
	// Failure is why Encrypts is not yes, FailureDetail what that is about.
	Failure       string `json:"failure,omitempty"`
	FailureDetail string `json:"failure_detail,omitempty"`
	Version       string `json:"version"` // "TLS 1.3"; empty without a session
	Cipher        string `json:"cipher"`
	// Certificate tells whether the certificate holds for the host's name, as
	// MTA-STS wants it (RFC 8461 §4.2), CertificateReason why not.
	Certificate       State      `json:"certificate"`
	CertificateReason string     `json:"certificate_reason,omitempty"`
	CertificateDetail string     `json:"certificate_detail,omitempty"`
	NotAfter          *time.Time `json:"not_after,omitempty"`
	// DANE tells whether the certificate is one of the TLSA records'; unknown
	// where no secure and usable ones are known.
	DANE State `json:"dane"`

	version uint16
	proven  State // by the certificate or by DANE
}

func newSTARTTLS(s State) *STARTTLS {
	return &STARTTLS{Topic: Topic{Present: s, Valid: s}, Hosts: []STARTTLSHost{}}
}

// Again reports whether another attempt may know more: some host did not
// answer, or asks to come back later.
func (x *STARTTLS) Again() bool {
	return slices.ContainsFunc(x.Hosts, func(h STARTTLSHost) bool {
		switch h.Failure {
		case "dns", "timeout", "broken", "smtp-later":
			return h.Encrypts == Unknown
		}
		return false
	})
}

// inspectSTARTTLS follows inspectMX, whose hosts it calls, and inspectDANE,
// whose records it holds the certificates against.
func (in *inspection) inspectSTARTTLS(ctx context.Context, f first) {
	x := newSTARTTLS(Unknown)
	in.STARTTLS = x
	switch {
	case in.MX.Present == Unknown:
		return
	case in.MX.Null == Yes || in.MX.Present == No:
		// What is at the domain's own address is mostly no mail exchanger.
		x.Present, x.Valid = No, No
		return
	}
	names := []string{}
	if in.certain(f.mx.Security) == dns.Secure {
		names = append(names, in.name.String()) // RFC 7672 §3.2.2
	}
	var hosts []*Host
	for i := range in.MX.Hosts {
		h := &in.MX.Hosts[i]
		if h.Resolves != No && !slices.ContainsFunc(hosts, func(o *Host) bool { return o.Host == h.Host }) {
			hosts = append(hosts, h)
		}
	}
	if len(hosts) == 0 {
		x.Present, x.Valid = No, No
		return
	}
	x.Hosts = make([]STARTTLSHost, len(hosts))
	tasks := make([]func(), len(hosts))
	for i, h := range hosts {
		tasks[i] = func() { x.Hosts[i] = in.call(ctx, h, names) }
	}
	together(tasks)
	x.Present, x.Valid = Yes, Yes
	for _, h := range x.Hosts {
		x.Present = And(x.Present, h.Encrypts)
		x.Valid = And(x.Valid, h.Encrypts, h.proven)
	}
	in.mismatches()
}

// call sees what one host offers.
func (in *inspection) call(ctx context.Context, h *Host, names []string) STARTTLSHost {
	x := STARTTLSHost{Host: explain.Clip(h.Host), Offered: Unknown, Encrypts: Unknown, Certificate: Unknown, DANE: Unknown, proven: Unknown}
	var addrs []netip.Addr
	for _, s := range h.Addresses {
		if a, err := netip.ParseAddr(s); err == nil {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		x.Failure = "dns"
		return x
	}
	session, untrusted, err := in.o.SMTP.STARTTLS(ctx, h.Host, addrs)
	if err != nil || session == nil || len(session.PeerCertificates) == 0 {
		x.Failure, x.FailureDetail = reasonOf(err)
		switch x.Failure {
		case "starttls-not-offered":
			x.Offered, x.Encrypts = No, No
		case "starttls-refused", "starttls-injected", "starttls-no-tls":
			x.Offered, x.Encrypts = Yes, No
		case "starttls-handshake":
			x.Offered = Yes
		}
		return x
	}
	x.Offered, x.Encrypts = Yes, Yes
	x.version, x.Version, x.Cipher = session.Version, tls.VersionName(session.Version), tls.CipherSuiteName(session.CipherSuite)
	x.Certificate = Yes
	if untrusted != nil {
		x.Certificate = No
		if x.CertificateReason, x.CertificateDetail = reasonOf(untrusted); x.CertificateReason == "broken" {
			x.Certificate = Unknown // there are no roots to hold it against
		}
	}
	end := session.PeerCertificates[0].NotAfter.UTC()
	x.NotAfter = &end
	x.proven = x.Certificate
	i := slices.IndexFunc(in.DANE.Hosts, func(d DANEHost) bool { return d.Host == h.Host })
	records := in.DANE.Present // whether there are some that could vouch for it
	if i >= 0 {
		records = And(in.DANE.Hosts[i].Present, in.DANE.Hosts[i].Usable, in.DANE.Hosts[i].Secure)
	}
	switch {
	case i >= 0 && records == Yes && len(names) > 0:
		now := time.Now()
		if in.o.Now != nil {
			now = in.o.Now()
		}
		p := dane.Presented{Chain: session.PeerCertificates, Names: append([]string{h.Host}, names...), Now: now}
		x.DANE = state(dane.Authenticates(in.DANE.Hosts[i].usable, p))
		x.proven = Or(x.Certificate, x.DANE)
	case records == Unknown:
		x.proven = Or(x.Certificate, Unknown)
	}
	return x
}

// reasonOf is why something did not come about.
func reasonOf(err error) (reason, detail string) {
	var why interface {
		Reason() string
		Detail() string
	}
	if errors.As(err, &why) {
		return why.Reason(), explain.Clip(why.Detail())
	}
	return "broken", ""
}

// mismatches tells of hosts whose certificate is none of the TLSA records':
// senders that do DANE deliver nothing to them.
func (in *inspection) mismatches() {
	for _, h := range in.STARTTLS.Hosts {
		if h.DANE != No {
			continue
		}
		in.DANE.Valid = No
		in.findAt(TopicDANE, dane.Name(h.Host), explain.Finding{Grade: explain.Error, Part: h.Host,
			Step: explain.Step{Code: "posture.dane-mismatch", Args: explain.Args{"host": h.Host}, Ref: "RFC 7672 §2.2"}})
	}
}

// judgeSTARTTLS needs the MTA-STS policy.
func (in *inspection) judgeSTARTTLS() {
	if in.STARTTLS == nil {
		return
	}
	mode := mtasts.None
	if p := in.MTASTS.Policy; p != nil && p.Mode != "" {
		mode = p.Mode
	}
	for _, h := range in.STARTTLS.Hosts {
		say := func(g explain.Grade, code, ref string, more explain.Args) {
			args := explain.Args{"host": h.Host}
			for k, v := range more {
				args[k] = v
			}
			in.find(TopicSTARTTLS, explain.Finding{Grade: g, Part: h.Host, Step: explain.Step{Code: code, Args: args, Ref: ref}})
		}
		switch {
		case h.Offered == No:
			say(explain.Error, "posture.starttls-missing", "RFC 3207 §4", nil)
		case h.Failure == "starttls-injected":
			say(explain.Error, "posture.starttls-injected", "RFC 3207 §6", nil)
		case h.Encrypts == No:
			say(explain.Error, "posture.starttls-broken", "RFC 3207 §4", explain.Args{"reason": h.Failure})
		}
		if h.version != 0 && h.version < tls.VersionTLS12 {
			say(explain.Warning, "posture.starttls-old", "RFC 8996 §4", explain.Args{"version": h.Version})
		}
		if h.Certificate != No {
			continue
		}
		reason := explain.Args{"reason": h.CertificateReason}
		switch {
		case mode == mtasts.Enforce:
			say(explain.Error, "posture.starttls-mta-sts", "RFC 8461 §4.2", reason)
		case mode == mtasts.Testing:
			say(explain.Warning, "posture.starttls-mta-sts", "RFC 8461 §4.2", reason)
		case h.DANE == Yes: // the TLSA records vouch for it
		default:
			say(explain.Warning, "posture.starttls-certificate", "RFC 7435 §3", reason)
		}
	}
}
