package config

import (
	"fmt"
	"net/url"
	"strings"

	"sekimori/domain"
	"sekimori/internal/gateway"
	"sekimori/internal/reporter"
	"sekimori/report/aggregate"
)

const (
	maxKeys   = 10_000
	maxOptOut = 100_000
)

// sign reads the section of that name.
func (r *reader) sign(n *node, keys *[]gateway.Key) {
	first := map[string]int{}
	r.list(n, maxKeys, func(n *node) {
		var k gateway.Key
		before := len(r.problems)
		r.mapping(n, n.path, section{
			"domain":   func(n *node) { r.domain(n, &k.Domain) },
			"selector": func(n *node) { r.selector(n, &k.Selector) },
			"key":      func(n *node) { r.file(n, &k.File) },
		})
		if len(r.problems) > before {
			return
		}
		var missing []string
		if k.Domain == (domain.Name{}) {
			missing = append(missing, "domain")
		}
		if k.Selector == "" {
			missing = append(missing, "selector")
		}
		if k.File == "" {
			missing = append(missing, "key")
		}
		if missing != nil {
			r.problem(n, "this entry lacks %s: each has domain, selector and key", strings.Join(missing, " and "))
			return
		}
		name := k.Selector + "._domainkey." + k.Domain.String()
		if line := first[name]; line != 0 {
			r.problem(n, "%s is there twice: it stands in line %d already", name, line)
			return
		}
		first[name] = n.Line
		*keys = append(*keys, k)
	})
}

// selector reads the name before "._domainkey" (RFC 6376 §3.1).
func (r *reader) selector(n *node, into *string) {
	s, ok := r.text(n, 200)
	if !ok {
		return
	}
	if at := strings.Index(strings.ToLower(s), "._domainkey"); at > 0 {
		r.problem(n, "%s is the name of the whole record: write %s alone", quote(s), quote(s[:at]))
		return
	}
	name, err := domain.Parse(s)
	if err != nil {
		r.problem(n, "%s is no selector: want letters, digits and hyphens, such as s2026", quote(s))
		return
	}
	*into = name.String()
}

// reports reads the section of that name.
func (r *reader) reports(n *node, c *Config) {
	o := &c.Reports
	var sendAt *node
	r.mapping(n, n.path, section{
		"send": func(n *node) { sendAt = n; r.flag(n, &o.Send) },
		"organization": func(n *node) {
			if s, ok := r.text(n, 200); ok {
				o.Organization = s
			}
		},
		"email":   func(n *node) { r.emailAt = n; r.address(n, &o.Email) },
		"contact": func(n *node) { r.contact(n, &o.Contact) },
		"smtp":    func(n *node) { r.endpoint(n, 25, &o.SMTP) },
		"tls": func(n *node) {
			ways := [...]reporter.TLS{reporter.Opportunistic, reporter.Require, reporter.Plain}
			if i := r.word(n, string(ways[0]), string(ways[1]), string(ways[2])); i >= 0 {
				o.TLS = ways[i]
			}
		},
		"form": func(n *node) {
			if i := r.word(n, "rfc9990", "rfc7489"); i >= 0 {
				o.Form = [...]aggregate.Form{aggregate.RFC9990, aggregate.RFC7489}[i]
			}
		},
		"opt_out": func(n *node) {
			r.list(n, maxOptOut, func(n *node) { r.optOut(n, &o.OptOut) })
		},
		"per_destination": func(n *node) { r.number(n, 1, 1_000_000, &o.PerDestination) },
		"failure": func(n *node) {
			var failureAt *node
			r.mapping(n, n.path, section{
				"send":     func(n *node) { failureAt = n; r.flag(n, &o.Failure.Send) },
				"per_hour": func(n *node) { r.number(n, 1, 10_000, &o.Failure.PerHour) },
			})
			if o.Failure.Send {
				sendAt = failureAt
			}
		},
	})
	if !o.Send && !o.Failure.Send {
		return
	}
	c.Gateway.Site.ReportFrom = o.Email
	// RFC 9990 §3.1.1.2: org_name and email are required in every report.
	for _, m := range [...]struct{ key, value string }{{"organization", o.Organization}, {"email", o.Email}} {
		if m.value == "" && !r.wrong(n.path+"."+m.key) {
			r.problem(sendAt, "reports name their sender: add %s.%s", n.path, m.key)
		}
	}
}

// unsigned warns of reports that would not be signed.
func (r *reader) unsigned(c *Config) {
	if o := &c.Reports; (o.Send || o.Failure.Send) && r.emailAt != nil && o.Email != "" {
		_, host, _ := strings.Cut(o.Email, "@")
		if !signed(c.Sign, host) {
			r.warn(r.emailAt, "no key under \"sign\" is for %s: receivers may refuse reports that are not signed by their sender's domain", host)
		}
	}
}

// wrong reports whether something is wrong with a key already.
func (r *reader) wrong(path string) bool {
	for _, p := range r.problems {
		if strings.HasPrefix(p.Text, path+": ") {
			return true
		}
	}
	return false
}

// signed reports whether mail from a host is signed.
func signed(keys []gateway.Key, host string) bool {
	for _, k := range keys {
		if d := k.Domain.String(); host == d || strings.HasSuffix(host, "."+d) {
			return true
		}
	}
	return false
}

// contact reads where a reader of reports may turn to: an address or a page.
func (r *reader) contact(n *node, into *string) {
	s, ok := r.text(n, 300)
	if !ok {
		return
	}
	if _, err := parseAddress(s); err == nil {
		*into = s
		return
	}
	if u, err := url.Parse(s); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" {
		*into = s
		return
	}
	r.problem(n, "%s is neither a mail address nor a web address (https://…)", quote(s))
}

// optOut reads a destination that wants no reports: a domain or an address.
func (r *reader) optOut(n *node, into *[]string) {
	s, ok := r.text(n, 320)
	if !ok {
		return
	}
	var out string
	var err error
	if strings.Contains(strings.TrimPrefix(s, "@"), "@") {
		out, err = parseAddress(strings.TrimPrefix(s, "mailto:"))
	} else {
		var name domain.Name
		name, err = parseDomain(strings.TrimPrefix(s, "@"))
		out = name.String()
	}
	if err != nil {
		r.problem(n, "%s: %v", quote(s), fmt.Errorf("want a domain or an address: %w", err))
		return
	}
	*into = append(*into, out)
}
