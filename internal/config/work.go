package config

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

const (
	maxNetworkFiles = 20
	maxRecipients   = 50
)

// Advise is the section "advise": what the site knows about senders.
type Advise struct {
	Senders  string   // file of further senders, beside the catalogue's; "" for none
	Networks []string // .mmdb files and tables of prefixes; the first that knows an address counts
}

// Alerts is the section "alerts": who is told when something goes wrong, and
// how.
type Alerts struct {
	Mail    []string // addresses; none: no mail
	From    string   // address that alerts and reminders come from; "" is the first of Mail
	Webhook string   // URL that alerts are posted to; "" for none
	Secret  string   // file whose first line signs what is posted; "" for no signature
	SMTP    string   // HOST:PORT; "" is that of the reports
	URL     string   // how links to the dashboard begin, without a final slash; "" for no links
}

// Letters is the section "letters": who letters to the owners of systems are
// from, and whom they name to ask back.
type Letters struct {
	Name    string // of a person or an office; "" is the reports' organization
	Address string // of mail; "" is the first of the alerts
}

// advise reads the section of that name.
func (r *reader) advise(n *node, o *Advise) {
	r.mapping(n, n.path, section{
		"senders": func(n *node) { r.file(n, &o.Senders) },
		"networks": func(n *node) {
			r.list(n, maxNetworkFiles, func(n *node) {
				var file string
				if r.file(n, &file); file != "" {
					o.Networks = append(o.Networks, file)
				}
			})
		},
	})
}

// alerts reads the section of that name.
func (r *reader) alerts(n *node, o *Alerts) {
	var secretAt, mailAt *node
	r.mapping(n, n.path, section{
		"mail": func(n *node) {
			mailAt = n
			r.list(n, maxRecipients, func(n *node) {
				var a string
				if r.address(n, &a); a != "" {
					o.Mail = append(o.Mail, a)
				}
			})
		},
		"from":    func(n *node) { r.address(n, &o.From) },
		"webhook": func(n *node) { r.webhook(n, &o.Webhook) },
		"secret":  func(n *node) { secretAt = n; r.file(n, &o.Secret) },
		"smtp":    func(n *node) { r.endpoint(n, 25, &o.SMTP) },
		"url":     func(n *node) { r.dashboard(n, &o.URL) },
	})
	if o.Secret != "" && o.Webhook == "" && !r.wrong(n.path+".webhook") {
		r.warn(secretAt, "nothing is signed with it, as there is no webhook")
	}
	if len(o.Mail) > 0 && o.From == "" && !r.wrong(n.path+".from") {
		r.warn(mailAt, "alerts will come from %s itself: give %s.from an address of this host", o.Mail[0], n.path)
	}
}

// letters reads the section of that name.
func (r *reader) letters(n *node, o *Letters) {
	r.mapping(n, n.path, section{
		"name": func(n *node) {
			if s, ok := r.text(n, 200); ok {
				o.Name = s
			}
		},
		"address": func(n *node) { r.address(n, &o.Address) },
	})
}

// webhook reads where alerts are posted to. They tell of weaknesses, so that
// they go over TLS or do not leave the host.
func (r *reader) webhook(n *node, into *string) {
	s, ok := r.text(n, 2000)
	if !ok {
		return
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		r.problem(n, "%s is no web address: write it as https://hooks.example.jp/…", quote(s))
	case u.User != nil || u.Fragment != "":
		r.problem(n, "%s: the address alone, without a password before the host or \"#\"", quote(s))
	case u.Scheme == "http" && !loopback(u.Host):
		r.problem(n, "%s is not encrypted: write https://…, or an address of this host", quote(s))
	default:
		*into = s
	}
}

// loopback reports whether a URL's host is this one.
func loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && a.IsLoopback()
}

// dashboard reads how links to the dashboard begin.
func (r *reader) dashboard(n *node, into *string) {
	s, ok := r.text(n, 300)
	if !ok {
		return
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		r.problem(n, "%s is no web address: write it as https://sekimori.example.jp", quote(s))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		r.problem(n, "%s: the address alone, without a name, \"?\" or \"#\"", quote(s))
	default:
		*into = strings.TrimRight(s, "/")
	}
}
