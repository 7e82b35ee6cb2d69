package check

import (
	"net/netip"
	"strings"
	"time"

	"sekimori/authres"
	"sekimori/explain"
	"sekimori/message"
	"sekimori/spf"
)

// Input is what is known of a message beside the message itself. The zero
// Input knows nothing: SPF then cannot be evaluated, and the verdict says so.
type Input struct {
	IP       netip.Addr // the client's address; the zero Addr is unknown
	Helo     string     // the name in its HELO or EHLO; empty is unknown
	MailFrom string     // the reverse-path without <>; see NullSender
	// NullSender says that the reverse-path was given and is empty, as in
	// notifications (RFC 5321 §4.5.5). An empty MailFrom alone is unknown.
	NullSender bool
	Rcpt       []string // the recipients' addresses; no evaluator needs them
	// Time is as of when keys and signatures are judged: when the message
	// arrived. Zero means now.
	Time time.Time
	// Origin says where the values come from that nobody gave, as codes.
	Origin []explain.Step
}

// sender reports whether the reverse-path is known.
func (in *Input) sender() bool { return in.MailFrom != "" || in.NullSender }

// maxTrace is how many fields from the top are looked at for connection data.
const maxTrace = 200

// Derive completes given with what the message's trace fields say of how it
// reached the host that stored it. What was given stays.
//
// Fields are read from the top, the newest first. A Received field that tells
// of a hop inside the receiving organisation is passed over: one without a
// client address that took the message from the host itself or from a local
// program, or over LMTP or MAPI; one with a client address that is
// loopback, private (RFC 1918, 4193), link-local, shared (RFC 6598), that of a
// host inside Microsoft 365, or in a network of trust. The first that is left is the border: its client is the
// address, its "from" name the HELO. A field that names a client and hides its
// address ends the search, because everything below the border may have been
// written by the sender.
//
// Return-Path, Received-SPF and Authentication-Results tell the reverse-path,
// in this order, where they stand above the border. Below it, before the next
// Received, they count only when they name the same client address or, for
// Authentication-Results, the border's own host. Without any Received, a
// Received-SPF at the top is enough.
//
// Origin tells for each value what it was taken from.
func Derive(h message.Header, given Input, trust []netip.Prefix) Input {
	t := trace{trust: trust}
	t.read(h)
	return t.complete(given)
}

// Arrived returns the date of the topmost Received field; the zero Time where
// there is none that can be read.
func Arrived(h message.Header) time.Time {
	for _, f := range h {
		if f.Is("Received") {
			return message.ParseReceived(f.Value()).Time
		}
	}
	return time.Time{}
}

// trace is what the trace fields say.
type trace struct {
	trust   []netip.Prefix
	border  message.Received
	found   bool // border is set
	hidden  bool // the border names no address
	skipped int  // Received fields passed over

	returnPath string // with <>; "" where there is none
	claims     []claim
}

// claim is what a Received-SPF or Authentication-Results field says.
type claim struct {
	field    string // its name
	host     string // authserv-id or receiver
	ip       netip.Addr
	helo     string
	mailFrom string
}

func (t *trace) read(h message.Header) {
	for i, f := range h {
		if i == maxTrace {
			break
		}
		switch {
		case f.Is("Received"):
			if t.found || t.hidden {
				return
			}
			r := message.ParseReceived(f.Value())
			switch {
			case t.internal(r):
				t.skipped++
			case r.IP.IsValid():
				t.border, t.found = r, true
			default:
				t.border, t.hidden = r, true
			}
		case f.Is("Return-Path"):
			if v := f.Value(); t.returnPath == "" && strings.HasPrefix(v, "<") && strings.HasSuffix(v, ">") && !t.found && !t.hidden {
				t.returnPath = v
			}
		case f.Is("Received-SPF"):
			if c, ok := fromReceivedSPF(f.Value()); ok {
				t.claim(c)
			}
		case f.Is("Authentication-Results"):
			if c, ok := fromAuthenticationResults(f.Value()); ok {
				t.claim(c)
			}
		}
	}
}

// claim keeps a claim that may be believed.
func (t *trace) claim(c claim) {
	if t.hidden {
		return
	}
	if t.found {
		same := c.ip.IsValid() && c.ip.Unmap() == t.border.IP.Unmap()
		own := c.field == "Authentication-Results" && c.host != "" && strings.EqualFold(c.host, t.border.By)
		if !same && !own || c.ip.IsValid() && !same {
			return
		}
	}
	t.claims = append(t.claims, c)
}

// internal tells a hop inside the receiving organisation.
func (t *trace) internal(r message.Received) bool {
	if !r.IP.IsValid() {
		// Over SMTP the name is the client's own claim.
		with := strings.ToUpper(r.With)
		return r.Helo == "" || strings.HasPrefix(with, "LMTP") || strings.HasPrefix(with, "MAPI") || with == "LOCAL" ||
			!strings.Contains(with, "SMTP") && (strings.EqualFold(r.Helo, r.By) || strings.EqualFold(r.Helo, "localhost"))
	}
	ip := r.IP.Unmap().WithZone("")
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || shared.Contains(ip) || microsoft(r, ip) {
		return true
	}
	for _, p := range t.trust {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// microsoft tells a hop inside Microsoft 365, whose hosts speak to each other
// over public addresses. No client from outside reaches the hosts that write
// such a field: the border has names under mail.protection.outlook.com.
func microsoft(r message.Received, ip netip.Addr) bool {
	return microsoft365.Contains(ip) && within(r.By, "prod.outlook.com", "outlook.office365.com") &&
		within(r.Helo, "prod.outlook.com", "prod.protection.outlook.com")
}

var microsoft365 = netip.MustParsePrefix("2603:1000::/24")

// within reports whether a host is below one of the domains.
func within(host string, domains ...string) bool {
	for _, d := range domains {
		if n := len(host) - len(d); n > 1 && host[n-1] == '.' && strings.EqualFold(host[n:], d) {
			return true
		}
	}
	return false
}

var shared = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598 §7

// complete fills the gaps of given.
func (t *trace) complete(in Input) Input {
	if in.IP.IsValid() {
		// What is written of one client does not hold for another.
		if t.found && t.border.IP.Unmap().WithZone("") != in.IP.Unmap().WithZone("") {
			t.found, t.claims = false, nil
		}
	} else {
		switch c := t.topClaim(); {
		case t.found:
			in.IP = t.border.IP.Unmap().WithZone("")
			from := explain.Step{Code: "check.ip-from-top-received", Args: explain.Args{"ip": in.IP.String(), "by": clip(t.border.By)}}
			if t.skipped > 0 {
				from.Code, from.Args["skipped"] = "check.ip-from-received", int64(t.skipped)
			}
			in.Origin = append(in.Origin, from)
		case c != nil:
			in.IP = c.ip.Unmap().WithZone("")
			in.Origin = append(in.Origin, explain.Step{Code: "check.ip-from-field", Args: explain.Args{"ip": in.IP.String(), "field": c.field}})
		default:
			in.Origin = append(in.Origin, explain.Step{Code: "check.ip-unknown"})
		}
	}
	if in.Helo == "" {
		if t.found && t.border.Helo != "" {
			in.Helo = t.border.Helo
			in.Origin = append(in.Origin, explain.Step{Code: "check.helo-from-received", Args: explain.Args{"helo": clip(in.Helo)}})
		} else {
			for _, c := range t.claims {
				if c.helo != "" {
					in.Helo = c.helo
					in.Origin = append(in.Origin, explain.Step{Code: "check.helo-from-field", Args: explain.Args{"helo": clip(in.Helo), "field": c.field}})
					break
				}
			}
		}
	}
	if !in.sender() {
		t.sender(&in)
	}
	return in
}

// topClaim returns the first claim that names an address; it stands above
// every Received field that is left.
func (t *trace) topClaim() *claim {
	for i := range t.claims {
		if t.claims[i].ip.IsValid() {
			return &t.claims[i]
		}
	}
	return nil
}

func (t *trace) sender(in *Input) {
	set := func(addr, field string) {
		in.MailFrom, in.NullSender = addr, addr == ""
		in.Origin = append(in.Origin, explain.Step{Code: "check.mail-from-field", Args: explain.Args{"mail_from": clip("<" + addr + ">"), "field": field}})
	}
	if t.returnPath != "" {
		set(t.returnPath[1:len(t.returnPath)-1], "Return-Path")
		return
	}
	for _, c := range t.claims {
		if c.mailFrom != "" {
			set(c.mailFrom, c.field)
			return
		}
	}
	if t.found && (t.border.EnvelopeFrom != "" || t.border.NullFrom) {
		set(t.border.EnvelopeFrom, "Received")
		return
	}
	in.Origin = append(in.Origin, explain.Step{Code: "check.mail-from-unknown"})
}

func fromReceivedSPF(value string) (claim, bool) {
	r, err := spf.ParseReceivedSPF(value)
	c := claim{field: "Received-SPF", host: r.Receiver, ip: r.ClientIP, helo: r.Helo}
	// RFC 7208 §9.1: of the HELO identity the reverse-path may be anything.
	if r.Identity != spf.Helo {
		c.mailFrom = senderOf(r.EnvelopeFrom)
	}
	return c, err == nil && (c.ip.IsValid() || c.helo != "" || c.mailFrom != "")
}

// fromAuthenticationResults reads what RFC 8601 §2.7.2 and §2.7.3 record of
// the client: spf's smtp.mailfrom and smtp.helo, iprev's policy.iprev, and the
// smtp.remote-ip of ARC (RFC 8617 §6).
func fromAuthenticationResults(value string) (claim, bool) {
	r, err := authres.Parse(value)
	if err != nil {
		return claim{}, false
	}
	c := claim{field: "Authentication-Results", host: r.AuthServID}
	for _, m := range r.Results {
		for _, p := range m.Props {
			switch {
			case m.Method == "spf" && p.Type == "smtp" && strings.EqualFold(p.Name, "mailfrom"):
				if c.mailFrom == "" {
					c.mailFrom = senderOf(p.Value)
				}
			case m.Method == "spf" && p.Type == "smtp" && strings.EqualFold(p.Name, "helo"):
				c.helo = p.Value
			case m.Method == "iprev" && p.Type == "policy" && strings.EqualFold(p.Name, "iprev"),
				p.Type == "smtp" && (strings.EqualFold(p.Name, "remote-ip") || strings.EqualFold(p.Name, "client-ip")):
				if ip, err := netip.ParseAddr(p.Value); err == nil {
					c.ip = ip
				}
			}
		}
	}
	return c, c.ip.IsValid() || c.helo != "" || c.mailFrom != ""
}

// senderOf makes an address of what smtp.mailfrom holds: it may be a domain
// alone (RFC 8601 §2.7.2).
func senderOf(s string) string {
	s = strings.Trim(s, "<>")
	if s != "" && !strings.Contains(s, "@") {
		return "postmaster@" + s
	}
	return s
}

// clip prepares a value from outside for an explanation: at most 200 octets,
// no control characters.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	clean := true
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] >= 0x7f {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' || bidi(r) {
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// bidi tells characters that turn the direction of the text around them.
func bidi(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' || r == '\u200e' || r == '\u200f' || r == '\u061c'
}
