package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"sekimori/domain"
)

// domain reads a domain name, in letters or as an A-label.
func (r *reader) domain(n *node, into *domain.Name) {
	s, ok := r.text(n, 253*4)
	if !ok {
		return
	}
	name, err := parseDomain(s)
	if err != nil {
		r.problem(n, "%s: %v", quote(s), err)
		return
	}
	*into = name
}

func parseDomain(s string) (domain.Name, error) {
	if strings.Contains(s, "@") {
		return domain.Name{}, errors.New("an address, where a domain belongs: write what stands behind the @")
	}
	if strings.Contains(s, "/") {
		return domain.Name{}, errors.New("want a domain alone, such as example.jp")
	}
	if strings.ContainsAny(s, "*?") {
		return domain.Name{}, errors.New("no wildcards: a domain stands for all below it, too, where that makes sense")
	}
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return domain.Name{}, errors.New("an address, where a domain belongs: rules for addresses have \"network\"")
	}
	return domain.Parse(s)
}

// identifier reads an authserv-id (RFC 8601 §2.5), which here has the form of
// a host's name.
func (r *reader) identifier(n *node, into *string) {
	var name domain.Name
	r.domain(n, &name)
	if name != (domain.Name{}) {
		*into = name.String()
	}
}

// network reads a prefix; an address is a prefix of its own.
func (r *reader) network(n *node, into *netip.Prefix) {
	s, ok := r.text(n, 100)
	if !ok {
		return
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		*into = netip.PrefixFrom(a, a.BitLen())
		return
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		r.problem(n, "%s is no network: write it as 192.0.2.0/24 or 2001:db8::/32", quote(s))
	case p.Addr().Is4In6():
		r.problem(n, "%s: write the IPv4 network itself, without \"::ffff:\"", quote(s))
	case p != p.Masked():
		r.problem(n, "%s has bits beyond its length: did you mean %s, or the address %s?", quote(s), p.Masked(), p.Addr())
	default:
		*into = p
	}
}

// endpoint reads HOST:PORT. Without a port it takes the one given; 0 wants one.
func (r *reader) endpoint(n *node, port int, into *string) {
	s, ok := r.text(n, 300)
	if !ok {
		return
	}
	out, err := parseEndpoint(s, port)
	if err != nil {
		r.problem(n, "%s: %v", quote(s), err)
		return
	}
	*into = out
}

func parseEndpoint(s string, port int) (string, error) {
	if strings.Contains(s, "://") {
		return "", errors.New("a URL: write HOST:PORT")
	}
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		if port == 0 {
			return "", errors.New("want HOST:PORT, such as 127.0.0.1:8026 or [::1]:8026")
		}
		host, p = strings.Trim(s, "[]"), strconv.Itoa(port)
	}
	if v, err := strconv.ParseUint(p, 10, 16); err != nil {
		return "", errors.New("the port must be a number from 0 to 65535")
	} else if v == 0 && port != 0 {
		return "", errors.New("no port to speak to")
	}
	if host == "" && port == 0 {
		return ":" + p, nil // every address of this host
	}
	if _, err := netip.ParseAddr(host); err != nil {
		name, err := domain.Parse(host)
		if err != nil {
			return "", errors.New("the host is neither an address nor a name")
		}
		host = name.String()
	}
	return net.JoinHostPort(host, p), nil
}

// web reads where metrics and health are served.
func (r *reader) web(n *node, into *string) {
	before := *into
	if r.endpoint(n, 0, into); *into != before && reachable(*into) {
		r.warn(n, "%s can be reached from elsewhere, and shows metrics and faults to whoever asks: keep it on loopback, and let a web server pass on /why", *into)
	}
}

// reachable reports whether other hosts could reach HOST:PORT.
func reachable(endpoint string) bool {
	host, _, _ := net.SplitHostPort(endpoint)
	a, err := netip.ParseAddr(host)
	return host != "localhost" && (err != nil || !a.IsLoopback())
}

// milter reads where to listen: unix:PATH or tcp:HOST:PORT, or as Sendmail
// writes them, local:PATH and inet:PORT@HOST.
func (r *reader) milter(n *node) (string, bool) {
	s, ok := r.text(n, 500)
	if !ok {
		return "", false
	}
	out, open, err := ParseListen(s)
	if err != nil {
		r.problem(n, "%s: %v", quote(s), err)
		return "", false
	}
	if open {
		r.warn(n, "%s can be reached from elsewhere, and whoever reaches it can have verdicts written and mail signed: keep it behind a firewall", s)
	}
	return out, true
}

// ParseListen checks where to listen for the mail server, and returns it as
// "unix:PATH" or "tcp:HOST:PORT". It reports whether other hosts could reach it.
func ParseListen(s string) (address string, open bool, err error) {
	kind, rest, found := strings.Cut(s, ":")
	if !found {
		return "", false, errors.New("want unix:PATH or tcp:HOST:PORT")
	}
	switch strings.ToLower(kind) {
	case "unix", "local":
		switch {
		case !filepath.IsAbs(rest):
			return "", false, errors.New("the path of a socket must begin with \"/\"")
		case len(rest) > 107:
			// sockaddr_un has room for 108 octets.
			return "", false, errors.New("the path of a socket may have 107 octets at most")
		}
		return "unix:" + filepath.Clean(rest), false, nil
	case "inet", "inet6":
		port, host, at := strings.Cut(rest, "@")
		if !at {
			host = ""
		}
		rest = net.JoinHostPort(strings.Trim(host, "[]"), port)
	case "tcp", "tcp4", "tcp6":
	default:
		return "", false, errors.New("want unix:PATH or tcp:HOST:PORT")
	}
	rest, err = parseEndpoint(rest, 0)
	if err != nil {
		return "", false, err
	}
	return "tcp:" + rest, reachable(rest), nil
}

// link reads a web address that is put into SMTP replies.
func (r *reader) link(n *node, into *string) {
	s, ok := r.text(n, 200)
	if !ok {
		return
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		r.problem(n, "%s is no web address: write it as https://mx.example.jp/why", quote(s))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		r.problem(n, "%s: the address alone, without a name, \"?\" or \"#\"", quote(s))
	case strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune("\"<>\\", c) }):
		r.problem(n, "%s: mail servers read ASCII only: write the host as an A-label (xn--…), and the rest percent-encoded", quote(s))
	default:
		*into = s
	}
}

// address reads a mail address of the plain form (RFC 5321 §4.1.2, without
// quoted strings and address literals).
func (r *reader) address(n *node, into *string) {
	s, ok := r.text(n, 320)
	if !ok {
		return
	}
	a, err := parseAddress(s)
	if err != nil {
		r.problem(n, "%s: %v", quote(s), err)
		return
	}
	*into = a
}

func parseAddress(s string) (string, error) {
	at := strings.LastIndexByte(s, '@')
	if at <= 0 {
		return "", errors.New("want an address, such as dmarc-reports@example.jp")
	}
	local := s[:at]
	const atext = "!#$%&'*+-/=?^_`{|}~"
	for i, c := range []byte(local) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte(atext, c) >= 0:
		case c == '.' && i > 0 && i < len(local)-1 && local[i-1] != '.':
		default:
			return "", errors.New("want an address alone, such as dmarc-reports@example.jp")
		}
	}
	if len(local) > 64 {
		return "", errors.New("more than 64 octets before the @")
	}
	name, err := domain.Parse(s[at+1:])
	if err != nil {
		return "", err
	}
	return local + "@" + name.String(), nil
}

// file reads a path; a relative one starts in the configuration's folder.
func (r *reader) file(n *node, into *string) {
	s, ok := r.text(n, 4096)
	if !ok {
		return
	}
	if !filepath.IsAbs(s) {
		s = filepath.Join(r.folder, s)
	}
	*into = s
}
