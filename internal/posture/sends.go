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
	ReasonAddressOnly Reason = "address-only"   // an address, and nothing about mail: it may or may not
	ReasonUnanswered  Reason = "unanswered"     // a failure hid it
)

// sends tells whether the domain sends mail, and what that rests on.
func (in *inspection) sends() (State, Reason) {
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
