package message

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Address is one mailbox of an address list (RFC 5322 §3.4). Everything in it
// was chosen by the sender.
type Address struct {
	// Name is the display name, its quotes taken off and its encoded words
	// decoded; where there is none, the comment that follows the address, as
	// was usual before display names. It is valid UTF-8 without control
	// characters.
	Name string
	// Local and Domain are the two sides of the "@", without quotes, comments
	// and white space. Domain is as written: any case, U-labels or A-labels, a
	// domain literal with its brackets. It is empty where there is no "@":
	// "<>", "<postmaster>", or a name with no address.
	Local, Domain string
}

// String returns the address without the name, its local part quoted where it
// has to be.
func (a Address) String() string {
	if a.Domain == "" && a.Local == "" {
		return ""
	}
	var b strings.Builder
	if isDotAtom(a.Local) {
		b.WriteString(a.Local)
	} else {
		b.WriteByte('"')
		for i := 0; i < len(a.Local); i++ {
			if c := a.Local[i]; c == '"' || c == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(a.Local[i])
		}
		b.WriteByte('"')
	}
	if a.Domain != "" {
		b.WriteByte('@')
		b.WriteString(a.Domain)
	}
	return b.String()
}

// Limits of ParseAddresses.
const (
	maxAddresses = 10_000
	maxComments  = 32 // comments in comments
)

// ParseAddresses reads an address list from the value of a field such as From
// or To, folded or not: mailboxes and groups (RFC 5322 §3.4), comments, quoted
// strings, the obsolete forms with routes and with white space anywhere
// (§4.4), UTF-8 (RFC 6532). A group gives its members. Encoded words (RFC
// 2047) are decoded in display names only, so that none ever becomes an
// address.
//
// It forgives what is harmless: specials in an unquoted display name, even an
// "@" before an address in angle brackets, as in "a@x.example <b@y.example>",
// whose address is b@y.example; ";" for ","; the last ">" or the ";" of a group
// missing at the end; dots at the ends of a local part and two in a row. A list
// that can be read in two ways is an error, and then there are no addresses at
// all: two addresses side by side, anything behind a domain, a control
// character, an open comment or quote.
//
// At most 10,000 addresses and 32 comments in each other are read. Time and
// memory grow with len(value); what needs no change shares its memory.
func ParseAddresses(value string) ([]Address, error) {
	p := addressParser{s: value}
	return p.all()
}

// ParseAddrSpecs is ParseAddresses without the display names, which stay
// empty: decoding them is most of the work, and a verdict looks at none.
func ParseAddrSpecs(value string) ([]Address, error) {
	p := addressParser{s: value, nameless: true}
	return p.all()
}

func (p *addressParser) all() ([]Address, error) {
	if err := p.octets(); err != nil {
		return nil, err
	}
	if err := p.list(); err != nil {
		return nil, err
	}
	return p.out, nil
}

// SplitAddress cuts an envelope address in two, with or without its angle
// brackets and a route (RFC 5321 §4.1.2): at the last "@" that stands in no
// quoted string. The local part's quotes are taken off. Without an "@" it is
// all local part. An address that breaks the grammar is cut at its last "@".
func SplitAddress(addr string) (local, domain string) {
	addr = strings.Trim(addr, " \t\r\n")
	if n := len(addr); n >= 2 && addr[0] == '<' && addr[n-1] == '>' {
		addr = addr[1 : n-1]
	}
	if strings.HasPrefix(addr, "@") {
		// A route is hosts, each with its "@", up to a colon.
		if i := strings.IndexByte(addr, ':'); i > 0 && !strings.ContainsAny(addr[:i], "\"[") {
			addr = addr[i+1:]
		}
	}
	p := addressParser{s: addr}
	if local, domain, err := p.spec(); err == nil && p.i == len(addr) {
		return local, domain
	}
	if i := strings.LastIndexByte(addr, '@'); i >= 0 {
		return addr[:i], addr[i+1:]
	}
	return addr, ""
}

type addressParser struct {
	s        string
	i        int
	high     bool   // s has octets beyond ASCII
	nameless bool   // names are not wanted
	note     string // the comment read last, as it stands in s, without its parentheses
	out      []Address
}

func (p *addressParser) fail(at int, format string, args ...any) error {
	return fmt.Errorf("address list, octet %d: %s", at+1, fmt.Sprintf(format, args...))
}

// octets refuses control characters: programs end a text at them, or skip
// them, each in its own way. Line ends are folding or nothing.
func (p *addressParser) octets() error {
	s := p.s
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 0x80:
			p.high = true
		case c >= ' ' && c != 0x7f || c == '\t':
		case c == '\r' && i+1 < len(s) && s[i+1] == '\n':
		case c == '\n' && (i+1 == len(s) || s[i+1] == ' ' || s[i+1] == '\t'):
		default:
			return p.fail(i, "control character %q", c)
		}
	}
	return nil
}

// peek returns the next octet, 0 at the end.
func (p *addressParser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

// found says what stands at the current place.
func (p *addressParser) found() string {
	if p.i >= len(p.s) {
		return "the end"
	}
	return fmt.Sprintf("%q", p.s[p.i])
}

// list: address *("," address), where elements may be empty (RFC 5322 §4.4).
func (p *addressParser) list() error {
	group := false
	for {
		if err := p.space(); err != nil {
			return err
		}
		switch p.peek() {
		case 0:
			return nil
		case ',':
			p.i++
			continue
		case ';': // the end of a group; elsewhere as some write ","
			p.i++
			group = false
			continue
		}
		opened, err := p.element(group)
		if err != nil {
			return err
		}
		if opened {
			group = true
			continue
		}
		if len(p.out) > maxAddresses {
			return fmt.Errorf("address list of more than %d addresses: %w", maxAddresses, ErrTooLarge)
		}
		if !p.atSeparator() {
			return p.fail(p.i, "%s behind an address, want \",\"", p.found())
		}
	}
}

func (p *addressParser) atSeparator() bool {
	c := p.peek()
	return c == 0 || c == ',' || c == ';'
}

// element reads one mailbox, or the name that opens a group.
func (p *addressParser) element(inGroup bool) (opened bool, err error) {
	p.note = ""
	ph := phrase{start: p.i}
	for {
		switch c := p.peek(); c {
		case 0, ',', ';':
			if ph.at {
				return false, p.bare(ph)
			}
			p.out = append(p.out, Address{Name: p.name(ph)})
			return false, nil
		case ':':
			if ph.at {
				return false, p.bare(ph) // perhaps a domain literal
			}
			// RFC 5322 §3.4: group = display-name ":" [group-list] ";".
			if inGroup {
				return false, p.fail(p.i, "a group inside a group")
			}
			if ph.words == 0 {
				return false, p.fail(p.i, "\":\" without the name of a group")
			}
			p.i++
			return true, nil
		case '<':
			return false, p.angle(ph)
		case '>', ')':
			return false, p.fail(p.i, "%q without its opening", c)
		}
		if err := p.word(&ph); err != nil {
			return false, err
		}
		if err := p.space(); err != nil {
			return false, err
		}
	}
}

// bare goes back to read words with an "@" as an addr-spec without brackets.
func (p *addressParser) bare(ph phrase) error {
	p.i, p.note = ph.start, ""
	local, domain, err := p.spec()
	if err != nil {
		return err
	}
	if !p.atSeparator() || domain == "" {
		return p.fail(p.i, "%s among words with an \"@\" and no angle brackets", p.found())
	}
	p.out = append(p.out, Address{Name: p.clean(p.uncomment()), Local: local, Domain: domain})
	return nil
}

// angle reads "<" [route] addr-spec ">" behind the phrase.
func (p *addressParser) angle(ph phrase) error {
	open := p.i
	p.i++
	if err := p.space(); err != nil {
		return err
	}
	if p.peek() == '@' {
		if err := p.route(); err != nil {
			return err
		}
	}
	var local, domain string
	if c := p.peek(); c != '>' && c != 0 {
		var err error
		if local, domain, err = p.spec(); err != nil {
			return err
		}
	}
	switch p.peek() {
	case '>':
		p.i++
	case 0:
		if domain == "" {
			return p.fail(open, "\"<\" without its \">\"")
		}
	default:
		return p.fail(p.i, "%s in angle brackets, want \">\"", p.found())
	}
	if err := p.space(); err != nil {
		return err
	}
	p.out = append(p.out, Address{Name: p.name(ph), Local: local, Domain: domain})
	return nil
}

// route: RFC 5322 §4.4, obs-route. It is read and ignored, as RFC 5321 §4.1.1.3
// has receivers do.
func (p *addressParser) route() error {
	for {
		if err := p.space(); err != nil {
			return err
		}
		switch p.peek() {
		case ',':
			p.i++
		case '@':
			p.i++
			if _, err := p.domain(); err != nil {
				return err
			}
		case ':':
			p.i++
			return p.space()
		default:
			return p.fail(p.i, "%s in a route, want \",\" or \":\"", p.found())
		}
	}
}

// spec reads local-part ["@" domain] and the white space behind it. What ends
// it is for the caller to judge.
func (p *addressParser) spec() (local, domain string, err error) {
	from := p.i
	// Mostly one run of characters.
	for p.i < len(p.s) && (isAtext(p.s[p.i]) || p.s[p.i] == '.') {
		p.i++
	}
	if local = p.s[from:p.i]; p.peek() != '@' || local == "" {
		p.i = from
		if local, err = p.local(); err != nil {
			return "", "", err
		}
	}
	if p.peek() == '@' {
		p.i++
		if domain, err = p.domain(); err != nil {
			return "", "", err
		}
	}
	if p.high && !utf8.ValidString(local) {
		return "", "", p.fail(from, "a local part that is not UTF-8")
	}
	return local, domain, nil
}

// local reads word *("." word), white space and comments anywhere (RFC 5322
// §4.4, obs-local-part). Dots at the ends and side by side are in real
// addresses, so they may stand.
func (p *addressParser) local() (string, error) {
	var b strings.Builder
	word := false // the last piece was a word: a dot has to follow
	any := false
	for {
		if err := p.space(); err != nil {
			return "", err
		}
		c := p.peek()
		switch {
		case c == '.':
			b.WriteByte('.')
			p.i++
			word = false
		case word || c != '"' && !isAtext(c):
			if !any {
				return "", p.fail(p.i, "%s, want an address", p.found())
			}
			return b.String(), nil
		case c == '"':
			inner, err := p.quoted()
			if err != nil {
				return "", err
			}
			b.WriteString(Unquote(inner))
			word = true
		default:
			at := p.i
			for p.i < len(p.s) && isAtext(p.s[p.i]) {
				p.i++
			}
			b.WriteString(p.s[at:p.i])
			word = true
		}
		any = true
	}
}

// domain reads a domain or a domain literal, and the white space behind it.
func (p *addressParser) domain() (string, error) {
	if err := p.space(); err != nil {
		return "", err
	}
	from := p.i
	if p.peek() == '[' {
		for p.i++; p.i < len(p.s); p.i++ {
			switch c := p.s[p.i]; {
			case c == ']':
				p.i++
				return p.s[from:p.i], p.space()
			case c >= 0x80 || c != ':' && !isDomainOctet(c): // RFC 5321 §4.1.3
				return "", p.fail(p.i, "%q in a domain literal", c)
			}
		}
		return "", p.fail(from, "\"[\" without its \"]\"")
	}
	d, end, pieces := "", 0, 0
	for {
		at := p.i
		for p.i < len(p.s) && isDomainOctet(p.s[p.i]) {
			p.i++
		}
		piece := p.s[at:p.i]
		if pieces > 0 && piece != "" && !strings.HasPrefix(piece, ".") && !strings.HasSuffix(d, ".") {
			p.i = at // a word behind the domain
			break
		}
		if pieces == 0 {
			d = piece
		} else {
			d += piece
		}
		end = p.i
		if pieces++; piece == "" || pieces > 128 {
			break
		}
		// RFC 5322 §4.4, obs-domain: white space around dots.
		if err := p.space(); err != nil {
			return "", err
		}
		if p.i == end {
			break
		}
	}
	d = strings.TrimSuffix(d, ".")
	if d == "" || d[0] == '.' || strings.HasSuffix(d, ".") || strings.Contains(d, "..") {
		return "", p.fail(from, "no domain, or an empty label in it, behind \"@\"")
	}
	if p.high && !utf8.ValidString(d) {
		return "", p.fail(from, "a domain that is not UTF-8")
	}
	return d, nil
}

// space skips white space, folding and comments.
func (p *addressParser) space() error {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\r', '\n':
			p.i++
		case '(':
			if err := p.skipComment(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// skipComment: RFC 5322 §3.2.2.
func (p *addressParser) skipComment() error {
	open, depth := p.i, 0
	for ; p.i < len(p.s); p.i++ {
		switch p.s[p.i] {
		case '\\':
			p.i++
		case '(':
			if depth++; depth > maxComments {
				return fmt.Errorf("address list, octet %d: comments nested deeper than %d: %w", p.i+1, maxComments, ErrTooLarge)
			}
		case ')':
			if depth--; depth == 0 {
				p.note = p.s[open+1 : p.i]
				p.i++
				return nil
			}
		}
	}
	p.i = len(p.s)
	return p.fail(open, "\"(\" without its \")\"")
}

// quoted reads a quoted string (RFC 5322 §3.2.4) and returns its inside.
func (p *addressParser) quoted() (string, error) {
	open := p.i
	for p.i++; p.i < len(p.s); p.i++ {
		switch p.s[p.i] {
		case '\\':
			p.i++
		case '"':
			p.i++
			return p.s[open+1 : p.i-1], nil
		}
	}
	p.i = len(p.s)
	return "", p.fail(open, "a quotation mark without the closing one")
}

// phrase is the words before an angle bracket.
type phrase struct {
	start, end int // in the input; end is behind the last word
	words      int
	at         bool // an "@" stands in an unquoted word
	marked     bool // there is more than words with one space between them
}

// word reads a quoted string, or whatever else a display name is made of.
func (p *addressParser) word(ph *phrase) error {
	if ph.words > 0 && (p.i != ph.end+1 || p.s[ph.end] != ' ') {
		ph.marked = true
	}
	if p.s[p.i] == '"' {
		ph.marked = true
		if _, err := p.quoted(); err != nil {
			return err
		}
	} else {
		from := p.i
	run:
		for ; p.i < len(p.s); p.i++ {
			switch p.s[p.i] {
			case ' ', '\t', '\r', '\n', '"', '(', ')', '<', '>', ',', ';', ':':
				break run
			case '@':
				ph.at = true
			}
		}
		if p.i == from {
			return p.fail(p.i, "%s where an address is due", p.found())
		}
	}
	ph.words++
	ph.end = p.i
	return nil
}
