package sources

import (
	"net/netip"
	"strconv"
	"strings"

	"sekimori/domain"
)

// Kind says what a host name tells about its host.
type Kind string

const (
	Nameless Kind = ""         // there is no name
	Named    Kind = "named"    // a name that somebody chose, such as mail.example.jp
	Numbered Kind = "numbered" // the address spelled out, or "vps", "static": a rented server or line
	Consumer Kind = "consumer" // a name that a provider hands to any subscriber
)

// consumerWords are words of names that providers give to homes and phones.
var consumerWords = map[string]bool{
	"adsl": true, "bb": true, "broadband": true, "cable": true, "catv": true, "cpe": true, "cust": true,
	"customer": true, "customers": true, "client": true, "clients": true, "dhcp": true, "dial": true, "dialin": true,
	"dialup": true, "docsis": true, "dsl": true, "dyn": true, "dynamic": true, "dynamicip": true, "fiber": true,
	"fibre": true, "fttb": true, "ftth": true, "gprs": true, "gpon": true, "home": true, "hsd": true, "hsdpa": true,
	"internetdsl": true, "ipoe": true, "kabel": true, "lte": true, "mobile": true, "mobil": true, "modem": true,
	"nat": true, "pool": true, "pools": true, "ppp": true, "pppoe": true, "res": true, "residential": true,
	"subscriber": true, "subs": true, "umts": true, "user": true, "users": true, "vdsl": true, "wifi": true,
	"wimax": true, "wireless": true, "wlan": true, "xdsl": true, "dynip": true, "flets": true, "flet": true,
	"tokynt": true, "osaknt": true, "nurotky": true,
	"unassigned": true, "unallocated": true, "unknown": true, "cgn": true, "cgnat": true, "4g": true, "5g": true,
}

// hostingWords are words of names that hosters give to any rented server.
var hostingWords = map[string]bool{
	"cloud": true, "colo": true, "compute": true, "dedicated": true, "dedi": true, "ec2": true, "host": true,
	"hosted": true, "hosting": true, "ip": true, "ipv4": true, "ipv6": true, "ks": true, "kvm": true,
	"rdns": true, "rev": true, "reverse": true, "server": true, "srv": true, "static": true, "vm": true, "vmi": true,
	"vps": true, "instances": true, "instance": true, "node": true,
}

// KindOf tells what sort of name a host has. It looks at the labels below the
// organizational domain: most octets of the address spelled out (in order or
// reversed, decimal or hexadecimal), and the words that providers use.
func KindOf(host string, addr netip.Addr) Kind {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" {
		return Nameless
	}
	local := strings.TrimSuffix(strings.TrimSuffix(host, Organization(host)), ".")
	if local == "" {
		// The organization's own name, or below a suffix that a hoster has on
		// the list (its customers' machines count as organizations there).
		local, _, _ = strings.Cut(host, ".")
	}
	words, numbers := tokens(local)
	consumer, hosting := false, false
	for _, w := range words {
		consumer = consumer || consumerWords[w]
		hosting = hosting || hostingWords[w]
	}
	spelled := spellsAddress(local, numbers, addr)
	switch {
	case consumer && (spelled || len(numbers) > 0):
		return Consumer
	case spelled:
		return Numbered
	case hosting && len(numbers) > 0:
		return Numbered
	}
	return Named
}

// tokens splits labels into words and numbers: "cpe-203-0x.dyn12" gives the
// words cpe, x, dyn and the numbers 203, 0, 12.
func tokens(s string) (words, numbers []string) {
	start, kind := 0, 0 // kind: 1 letters, 2 digits
	end := func(i int) {
		switch kind {
		case 1:
			words = append(words, s[start:i])
		case 2:
			numbers = append(numbers, s[start:i])
		}
		start, kind = i, 0
	}
	for i := 0; i < len(s); i++ {
		k := 0
		switch c := s[i]; {
		case 'a' <= c && c <= 'z':
			k = 1
		case '0' <= c && c <= '9':
			k = 2
		}
		if k != kind {
			end(i)
			start, kind = i, k
		}
	}
	end(len(s))
	// Words of letters and digits that mean something together.
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == '.' || r == '-' || r == '_' }) {
		if part == "4g" || part == "5g" || part == "ec2" {
			words = append(words, part)
		}
	}
	return words, numbers
}

// spellsAddress reports whether a name holds the address: at least three of
// the four octets as separate numbers in order or reversed, or all of them run
// together in decimal or hexadecimal. For IPv6: four groups in a row, or the
// last 8 hexadecimal digits together.
func spellsAddress(local string, numbers []string, addr netip.Addr) bool {
	if !addr.IsValid() {
		return false
	}
	addr = addr.Unmap()
	joined := strings.Map(func(r rune) rune {
		if r == '-' || r == '.' || r == '_' {
			return -1
		}
		return r
	}, local)
	if addr.Is4() {
		b := addr.As4()
		if octetsInRow(numbers, b[:]) || octetsInRow(numbers, []byte{b[3], b[2], b[1], b[0]}) {
			return true
		}
		var dec, hex strings.Builder
		for _, o := range b {
			s := strconv.Itoa(int(o))
			dec.WriteString("000"[len(s):] + s)
			hex.WriteByte("0123456789abcdef"[o>>4])
			hex.WriteByte("0123456789abcdef"[o&15])
		}
		return strings.Contains(joined, dec.String()) || strings.Contains(joined, hex.String())
	}
	const digits = "0123456789abcdef"
	var hex strings.Builder
	for _, o := range addr.As16() {
		hex.WriteByte(digits[o>>4])
		hex.WriteByte(digits[o&15])
	}
	h := hex.String()
	// An interface identifier may be chosen (::25); eight digits in a row
	// from it, or from the network, are not chance.
	for i := 0; i+12 <= len(h); i += 4 {
		if part := h[i : i+12]; strings.Count(part, "0") < 9 && strings.Contains(joined, part) {
			return true
		}
	}
	groups := strings.Split(addr.StringExpanded(), ":")
	run := 0
	for _, t := range strings.FieldsFunc(local, func(r rune) bool { return r == '-' || r == '.' || r == ':' }) {
		if run < len(groups) && strings.TrimLeft(t, "0") == strings.TrimLeft(groups[run], "0") {
			if run++; run >= 4 {
				return true
			}
			continue
		}
		run = 0
		if strings.TrimLeft(t, "0") == strings.TrimLeft(groups[0], "0") {
			run = 1
		}
	}
	return false
}

// octetsInRow reports whether three octets in a row stand as consecutive numbers.
func octetsInRow(numbers []string, octets []byte) bool {
	for from := 0; from+3 <= len(octets); from++ {
		for i := 0; i+3 <= len(numbers); i++ {
			if same(numbers[i], octets[from]) && same(numbers[i+1], octets[from+1]) && same(numbers[i+2], octets[from+2]) {
				return true
			}
		}
	}
	return false
}

func same(number string, octet byte) bool {
	n, err := strconv.Atoi(number)
	return err == nil && len(number) <= 3 && n == int(octet)
}

// Organization returns the organizational domain of a host or domain name as
// it stands in reports, lower-cased; the name itself where it is no domain
// name, "" for "".
func Organization(name string) string {
	n, err := domain.Parse(name)
	if err != nil {
		return strings.ToLower(strings.TrimSuffix(strings.TrimSpace(name), "."))
	}
	return n.Organizational().String()
}

// forwardingWords are words of hosts that pass on other people's mail.
var forwardingWords = map[string]bool{
	"fw": true, "fwd": true, "forward": true, "forwarder": true, "forwarding": true, "srs": true, "alias": true,
	"aliases": true, "redirect": true,
}

// listWords are words of hosts that run mailing lists.
var listWords = map[string]bool{
	"list": true, "lists": true, "listserv": true, "mailman": true, "mailinglist": true, "ml": true, "mls": true,
	"groups": true, "sympa": true, "majordomo": true, "googlegroups": true,
}

// Forwards reports whether a host's or a domain's name says that it passes
// mail on, and Lists whether it says that it runs mailing lists.
func Forwards(name string) bool { return anyWord(name, forwardingWords) }

// Lists reports whether a name says that its host runs mailing lists.
func Lists(name string) bool { return anyWord(name, listWords) }

func anyWord(name string, set map[string]bool) bool {
	words, _ := tokens(strings.ToLower(name))
	for _, w := range words {
		if set[w] {
			return true
		}
	}
	return false
}

// throwawayWords are words of domains that are registered to deceive.
var throwawayWords = map[string]bool{
	"account": true, "accounts": true, "alert": true, "auth": true, "confirm": true, "login": true, "prize": true,
	"secure": true, "security": true, "signin": true, "support": true, "update": true, "verify": true, "verification": true, "win": true,
	"winner": true,
}

// Throwaway reports whether a domain's name looks like one of a series that
// was registered for a few days: a word and a number, or a word of phishing.
// Many honest names look so too; it counts for little alone.
func Throwaway(name string) bool {
	label, _, _ := strings.Cut(Organization(name), ".")
	digits := len(label) - len(strings.TrimRight(label, "0123456789"))
	return digits >= 2 && digits < len(label) || anyWord(label, throwawayWords)
}

// Academic reports whether a name lies where universities and access
// providers have theirs: there mailboxes forward.
func Academic(name string) bool {
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(name, ".")), ".")
	n := len(labels)
	if n < 2 {
		return false
	}
	if labels[n-1] == "edu" || labels[n-2] == "edu" && len(labels[n-1]) == 2 {
		return true
	}
	if len(labels[n-1]) != 2 {
		return false
	}
	switch labels[n-2] {
	case "ac", "ad", "ne", "ed":
		return n > 2
	}
	return false
}
