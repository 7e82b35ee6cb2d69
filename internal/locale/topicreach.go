package locale

import (
	"slices"

	"sekimori/explain"
	"sekimori/internal/posture"
	"sekimori/rpki"
)

// starttlsLine says how many MX hosts encrypt, and how.
func (l Lang) starttlsLine(p *posture.Posture) string {
	x := p.STARTTLS
	if x == nil {
		return l.unknownLine(p)
	}
	var with, unknown int64
	reason := "dns"
	versions := []string{}
	for _, h := range x.Hosts {
		switch h.Encrypts {
		case posture.Yes:
			with++
			if !slices.Contains(versions, h.Version) {
				versions = append(versions, h.Version)
			}
		case posture.Unknown:
			unknown++
			reason = h.Failure
		}
	}
	slices.Sort(versions)
	args := explain.Args{"n": int64(len(x.Hosts)), "with": with, "unknown": unknown, "versions": versions, "reason": reason}
	switch {
	case len(x.Hosts) == 0 && x.Present == posture.No:
		return l.Text("cli.check.starttls.no-host", nil)
	case len(x.Hosts) == 0:
		return l.unknownLine(p)
	case int(unknown) == len(x.Hosts):
		return l.Text("cli.check.starttls.unknown", args)
	case unknown > 0:
		return l.Text("cli.check.starttls.some", args)
	case with == 0:
		return l.Text("cli.check.starttls.none", nil)
	}
	return l.Text("cli.check.starttls.hosts", args)
}

// rpkiLine says how many of the networks are validly announced.
func (l Lang) rpkiLine(p *posture.Posture) string {
	x := p.RPKI
	if x == nil {
		return l.unknownLine(p)
	}
	valid := 0
	for _, n := range x.Networks {
		if n.State == rpki.Valid {
			valid++
		}
	}
	args := explain.Args{"n": int64(len(x.Networks)), "valid": int64(valid)}
	switch {
	case len(x.Networks) == 0:
		return l.Text("cli.check.rpki.unknown", nil)
	case x.Valid == posture.Unknown:
		return l.Text("cli.check.rpki.some", args)
	}
	return l.Text("cli.check.rpki.networks", args)
}
