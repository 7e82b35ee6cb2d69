package posture

// Reason says what SendsMail rests on.
type Reason string

const (
	ReasonNoSuchName  Reason = "no-such-name"   // the domain does not exist
	ReasonSPFDenies   Reason = "spf-denies-all" // SPF authorises nobody
	ReasonNullMX      Reason = "null-mx"        // it accepts no mail, and SPF authorises nobody in particular
	ReasonNoMailHost  Reason = "no-mail-host"   // neither MX nor address, and no SPF record
	ReasonSPF         Reason = "spf"            // SPF authorises somebody
	ReasonMX          Reason = "mx"             // it receives mail
	ReasonKey         Reason = "dkim-key"       // it looks as if it sent none, but publishes a DKIM key: it may sign mail all the same
	ReasonAddressOnly Reason = "address-only"   // an address, and nothing about mail: it may or may not
	ReasonBogus       Reason = "bogus"          // its DNSSEC signatures do not hold, and hid it
	ReasonUnanswered  Reason = "unanswered"     // a failure hid it
)

// sends tells whether the domain sends mail, and what that rests on. Who
// publishes a DKIM key may send through a service with a return address of its
// own: SPF then authorises nobody, and DMARC passes by DKIM all the same. To
// take such a domain for a silent one would cost it its mail.
func (in *inspection) sends() (State, Reason) {
	s, why := in.sendsBut()
	if why == ReasonUnanswered && in.DNSSEC.Status == StatusBogus {
		why = ReasonBogus
	}
	if s == No && why != ReasonNoSuchName && in.hasKey() {
		return Unknown, ReasonKey
	}
	return s, why
}

// hasKey reports whether there is a DKIM key that works, or a name where there
// is one of a selector not known.
func (in *inspection) hasKey() bool {
	d := &in.DKIM
	return d.Evidence == EvidenceKey && d.Valid == Yes || d.Evidence == EvidenceName
}

// sendsBut is sends without a look at DKIM.
func (in *inspection) sendsBut() (State, Reason) {
	p := &in.Posture
	if p.Exists == No {
		return No, ReasonNoSuchName
	}
	switch p.SPF.Present {
	case Unknown:
		return Unknown, ReasonUnanswered
	case Yes:
		if p.SPF.denies {
			return No, ReasonSPFDenies // RFC 7208 §10.1.2
		}
		if p.SPF.authorises {
			return Yes, ReasonSPF
		}
	}
	if p.MX.Present == Unknown {
		return Unknown, ReasonUnanswered
	}
	if p.MX.Null == Yes {
		return No, ReasonNullMX // RFC 7505 §4.2: bounces could not be returned
	}
	if p.MX.Present == Yes {
		return Yes, ReasonMX
	}
	switch p.MX.Implicit {
	case No:
		return No, ReasonNoMailHost
	case Yes:
		return Unknown, ReasonAddressOnly
	}
	return Unknown, ReasonUnanswered
}
