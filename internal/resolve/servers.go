package resolve

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"
)

// server is a recursive name server; trusted, that its word for DNSSEC counts.
type server struct {
	addr    string
	udp     *net.UDPAddr // nil where addr has the name of a host
	trusted bool
}

func newServer(addr string, trusted bool) server {
	s := server{addr: addr, trusted: trusted}
	if at, err := netip.ParseAddrPort(addr); err == nil {
		s.udp = net.UDPAddrFromAddrPort(at)
	}
	return s
}

// systemServers reads resolv.conf(5).
func systemServers(path string) ([]server, error) {
	c, err := mdns.ClientConfigFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("name servers of this host: %w: name one with --resolver", err)
	}
	trust := trustsAD(path)
	var out []server
	for _, s := range c.Servers {
		addr := net.JoinHostPort(s, c.Port)
		out = append(out, newServer(addr, trust || loopback(addr)))
	}
	if len(out) == 0 {
		out = append(out, newServer("127.0.0.1:53", true)) // resolv.conf(5)
	}
	return out, nil
}

func withPort(s string) (string, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return net.JoinHostPort(a.String(), "53"), nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		if strings.ContainsAny(s, ": /") || s == "" {
			return "", fmt.Errorf("name server %q: want HOST:PORT", s)
		}
		host, port = s, "53"
	}
	if host == "" || port == "" {
		return "", fmt.Errorf("name server %q: want HOST:PORT", s)
	}
	if _, err := net.LookupPort("udp", port); err != nil {
		return "", fmt.Errorf("name server %q: %q is no port", s, port)
	}
	return net.JoinHostPort(host, port), nil
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback() || host == "localhost"
}

// trustsAD reports whether resolv.conf(5) has "options trust-ad".
func trustsAD(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) > 1 && fields[0] == "options" && slices.Contains(fields[1:], "trust-ad") {
			return true
		}
	}
	return false
}
