package config

import (
	"io/fs"
	"net/netip"
	"strconv"
	"strings"

	"sekimori/internal/gateway"
	"sekimori/internal/store/verdict"
)

// How many entries lists may have.
const (
	maxListen   = 16
	maxNetworks = 1000
	maxRules    = 10_000
)

// gateway reads the section of that name.
func (r *reader) gateway(n *node, c *Gateway) {
	site := &c.Site
	r.mapping(n, n.path, section{
		"listen": func(n *node) {
			c.Listen = nil
			r.list(n, maxListen, func(n *node) {
				if s, ok := r.milter(n); ok {
					c.Listen = append(c.Listen, s)
				}
			})
		},
		"socket": func(n *node) {
			r.mapping(n, n.path, section{
				"mode":  func(n *node) { r.mode(n, &c.Socket.Mode) },
				"owner": func(n *node) { r.account(n, &c.Socket.Owner) },
				"group": func(n *node) { r.account(n, &c.Socket.Group) },
			})
		},
		"http":        func(n *node) { r.web(n, &c.HTTP) },
		"authserv_id": func(n *node) { r.identifier(n, &site.AuthServID) },
		"trusted_ids": func(n *node) {
			r.list(n, maxNetworks, func(n *node) {
				var id string
				if r.identifier(n, &id); id != "" {
					site.TrustedIDs = append(site.TrustedIDs, id)
				}
			})
		},
		"mode": func(n *node) {
			if i := r.word(n, "monitor", "enforce"); i >= 0 {
				site.Mode = [...]gateway.Mode{gateway.Monitor, gateway.Enforce}[i]
			}
		},
		"on_reject":     func(n *node) { r.action(n, &site.OnReject, verdict.Quarantine, verdict.Refuse, verdict.Mark) },
		"on_quarantine": func(n *node) { r.action(n, &site.OnQuarantine, verdict.Quarantine, verdict.Mark) },
		"on_trouble":    func(n *node) { r.action(n, &site.OnTrouble, verdict.Accept, verdict.TryAgain) },
		"on_bad_from": func(n *node) {
			r.action(n, &site.OnBadFrom, verdict.Accept, verdict.Mark, verdict.Quarantine, verdict.Refuse)
		},
		"explain_url": func(n *node) { r.link(n, &site.ExplainURL) },
		"networks": func(n *node) {
			r.list(n, maxNetworks, func(n *node) {
				var p netip.Prefix
				switch r.network(n, &p); {
				case !p.IsValid():
				case p.Bits() == 0:
					r.problem(n, "%s is everybody: then no mail would be verified, and everybody's be signed", p)
				default:
					site.Networks = append(site.Networks, p)
				}
			})
		},
		"bimi": func(n *node) {
			on := true
			r.flag(n, &on)
			site.WithoutBIMI = !on
		},
		"keep": func(n *node) {
			r.mapping(n, n.path, section{
				// A day's reports are made after its end, and may be asked for again.
				"days":     func(n *node) { r.number(n, 2, 3650, &c.Keep) },
				"subjects": func(n *node) { r.flag(n, &site.Subjects) },
			})
		},
		"rules": func(n *node) {
			r.list(n, maxRules, func(n *node) { r.rule(n, site) })
		},
	})
}

// action reads one of a few actions.
func (r *reader) action(n *node, into *verdict.Action, allowed ...verdict.Action) {
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	if i := r.word(n, words...); i >= 0 {
		*into = allowed[i]
	}
}

// rule reads an entry of gateway.rules.
func (r *reader) rule(n *node, site *gateway.Site) {
	var rule gateway.Rule
	before := len(r.problems)
	r.mapping(n, n.path, section{
		"network":   func(n *node) { r.network(n, &rule.Network) },
		"forwarder": func(n *node) { r.domain(n, &rule.Forwarder) },
		"list":      func(n *node) { r.domain(n, &rule.List) },
		"sealer":    func(n *node) { r.domain(n, &rule.Sealer) },
		"from":      func(n *node) { r.domain(n, &rule.From) },
		"mail_from": func(n *node) { r.domain(n, &rule.MailFrom) },
		"action": func(n *node) {
			r.action(n, &rule.Action, verdict.Accept, verdict.Mark, verdict.Quarantine, verdict.Refuse)
		},
		"reason": func(n *node) {
			if s, ok := r.text(n, 200); ok {
				rule.Reason = s
			}
		},
	})
	bare := rule
	bare.Action, bare.Reason = "", ""
	if len(r.problems) == before && bare == (gateway.Rule{}) {
		r.problem(n, "a rule without a condition: add network, forwarder, list, sealer, from or mail_from")
		return
	}
	site.Rules = append(site.Rules, rule)
}

// mode reads permission bits, in octal as chmod takes them.
func (r *reader) mode(n *node, into *fs.FileMode) {
	s, ok := r.text(n, 20)
	if !ok {
		return
	}
	v, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), 8, 32)
	switch {
	case err != nil || v > 0o777:
		r.problem(n, "%s are no permissions: write them as \"0660\"", quote(s))
	case v&0o600 != 0o600:
		r.problem(n, "%s: the owner must be able to read and write", quote(s))
	default:
		if v&0o007 != 0 {
			r.warn(n, "%s lets everybody on this host use the socket, have verdicts written and mail signed", s)
		}
		*into = fs.FileMode(v)
	}
}

// account reads the name or number of a user or a group.
func (r *reader) account(n *node, into *string) {
	s, ok := r.text(n, 64)
	if !ok {
		return
	}
	if strings.ContainsAny(s, " :/\\,") {
		r.problem(n, "%s is no name of a user or a group", quote(s))
		return
	}
	*into = s
}
