package milter

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
)

// maxArgs bounds the parameters of one envelope command. SMTP lines hold far
// fewer (RFC 5321 §4.5.3.1.4: 512 octets, extensions add to that).
const maxArgs = 256

// readString reads data that is one string. Its NUL may lack: Postfix sends
// it, other peers do not always.
func readString(data []byte, limit int, what string) (string, error) {
	s, rest := cut(data)
	if len(rest) > 0 {
		return "", breach("sends %s with %d octets behind its end", what, len(rest))
	}
	if len(s) > limit {
		return "", breach("sends %s of %d octets; at most %d are taken", what, len(s), limit)
	}
	return string(s), nil
}

// readArgs reads the strings of MAIL and RCPT, the address first.
func readArgs(data []byte, limit int, what string) ([]string, error) {
	if len(data) > limit {
		return nil, breach("sends %s of %d octets; at most %d are taken", what, len(data), limit)
	}
	if len(data) == 0 || data[len(data)-1] != 0 {
		return nil, breach("sends %s without an end", what)
	}
	n := bytes.Count(data, []byte{0})
	if n > maxArgs {
		return nil, breach("sends %s with %d parameters", what, n-1)
	}
	args := make([]string, n)
	text := string(data)
	for i := range args {
		args[i], text, _ = strings.Cut(text, "\x00")
	}
	return args, nil
}

// readField reads a name and a value, each ended by NUL, as one string's
// parts.
func readField(data []byte) (name, value string, err error) {
	i := bytes.IndexByte(data, 0)
	if i < 0 || data[len(data)-1] != 0 || i == len(data)-1 {
		return "", "", breach("sends a header field without an end")
	}
	if i == 0 {
		return "", "", breach("sends a header field without a name")
	}
	if j := bytes.IndexByte(data[i+1:], 0); j != len(data)-i-2 {
		return "", "", breach("sends a header field with a NUL within")
	}
	text := string(data[:len(data)-1])
	return text[:i], text[i+1:], nil
}

// readConnect reads the client: its name, the family, the port in network
// order, and the address. Postfix and Sendmail send a port for sockets of the
// machine, too (0); others leave it out.
func readConnect(data []byte, limit int) (Event, error) {
	if len(data) > limit {
		return Event{}, breach("sends connect of %d octets; at most %d are taken", len(data), limit)
	}
	i := bytes.IndexByte(data, 0)
	if i < 0 || i+1 >= len(data) {
		return Event{}, breach("sends connect without a family")
	}
	ev := Event{Kind: Connect, Host: string(data[:i]), Family: data[i+1]}
	rest := data[i+2:]
	switch ev.Family {
	case 'U': // SMFIA_UNKNOWN
		return ev, nil
	case 'L': // SMFIA_UNIX
		if len(rest) >= 2 && rest[0] == 0 {
			rest = rest[2:]
		}
		path, _ := cut(rest)
		ev.Path = string(path)
		return ev, nil
	case '4', '6': // SMFIA_INET, SMFIA_INET6
	default:
		return Event{}, breach("connects from the unknown family %q", ev.Family)
	}
	if len(rest) < 2 {
		return Event{}, breach("sends connect without a port")
	}
	port := binary.BigEndian.Uint16(rest)
	text, _ := cut(rest[2:])
	// Sendmail writes IPv6 addresses as in SMTP (RFC 5321 §4.1.3), tag and all.
	if len(text) > 5 && strings.EqualFold(string(text[:5]), "IPv6:") {
		text = text[5:]
	}
	addr, err := netip.ParseAddr(string(text))
	if err != nil {
		return ev, nil // not worth anybody's mail
	}
	ev.Addr = netip.AddrPortFrom(addr.WithZone("").Unmap(), port)
	return ev, nil
}
