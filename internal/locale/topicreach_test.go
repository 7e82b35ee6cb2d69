package locale

import (
	"strings"
	"testing"

	"sekimori/internal/posture"
	"sekimori/rpki"
)

func TestReachLines(t *testing.T) {
	host := func(s posture.State, version, failure string) posture.STARTTLSHost {
		return posture.STARTTLSHost{Encrypts: s, Version: version, Failure: failure}
	}
	tls := func(s posture.State, hosts ...posture.STARTTLSHost) *posture.STARTTLS {
		return &posture.STARTTLS{Topic: posture.Topic{Present: s}, Hosts: hosts}
	}
	nets := func(valid posture.State, states ...rpki.State) *posture.RPKI {
		x := &posture.RPKI{Topic: posture.Topic{Valid: valid}}
		for _, s := range states {
			x.Networks = append(x.Networks, posture.Network{State: s})
		}
		return x
	}
	for _, c := range []struct {
		p     posture.Posture
		topic posture.Name
		want  string
	}{
		{posture.Posture{STARTTLS: tls(posture.Yes, host(posture.Yes, "TLS 1.3", ""), host(posture.Yes, "TLS 1.2", ""))}, posture.TopicSTARTTLS, "2 of 2 MX hosts encrypt (TLS 1.2, TLS 1.3)"},
		{posture.Posture{STARTTLS: tls(posture.No, host(posture.Yes, "TLS 1.3", ""), host(posture.No, "", "tls"))}, posture.TopicSTARTTLS, "1 of 2 MX hosts encrypt (TLS 1.3)"},
		{posture.Posture{STARTTLS: tls(posture.No, host(posture.No, "", "tls"))}, posture.TopicSTARTTLS, "no MX host encrypts"},
		{posture.Posture{STARTTLS: tls(posture.Unknown, host(posture.Unknown, "", "smtp-blocked"))}, posture.TopicSTARTTLS, "not known: no mail server could be reached"},
		{posture.Posture{STARTTLS: tls(posture.Unknown, host(posture.Unknown, "", "timeout"), host(posture.Yes, "TLS 1.3", ""))}, posture.TopicSTARTTLS, "1 of 2 MX hosts encrypt, 1 not known"},
		{posture.Posture{STARTTLS: tls(posture.No)}, posture.TopicSTARTTLS, "no MX host to call"},
		{posture.Posture{STARTTLS: tls(posture.Unknown)}, posture.TopicSTARTTLS, "not known"},
		{posture.Posture{}, posture.TopicSTARTTLS, "not known"},
		{posture.Posture{RPKI: nets(posture.Yes, rpki.Valid, rpki.Valid)}, posture.TopicRPKI, "2 of 2 networks validly announced"},
		{posture.Posture{RPKI: nets(posture.No, rpki.Valid, rpki.NotFound, rpki.Invalid)}, posture.TopicRPKI, "1 of 3 networks validly announced"},
		{posture.Posture{RPKI: nets(posture.Unknown, rpki.Valid)}, posture.TopicRPKI, "1 of 1 network validly announced; there are others"},
		{posture.Posture{RPKI: nets(posture.Unknown)}, posture.TopicRPKI, "not known"},
		{posture.Posture{}, posture.TopicRPKI, "not known"},
	} {
		if got := English.Topic(&c.p, c.topic); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
		if got := Japanese.Topic(&c.p, c.topic); strings.Contains(got, "⟦") || got == "" {
			t.Errorf("%q", got)
		}
	}
}
