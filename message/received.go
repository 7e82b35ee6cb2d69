package message

import (
	"net/netip"
	"strings"
	"time"
)

// Received is what a Received field (RFC 5321 §4.4) says about one hop. A
// field is only as true as the host that wrote it, and everything that a
// client says of itself (Helo) is hearsay even then. What a field does not say
// is left zero.
type Received struct {
	Helo string     // the name that the client gave in HELO or EHLO
	RDNS string     // the client's name as the receiving host found it in the DNS
	IP   netip.Addr // the client's address, an IPv4-mapped one as IPv4
	By   string     // the host that wrote the field
	With string     // the protocol, such as "ESMTPS", or the words in its place
	ID   string
	// For is the recipient and EnvelopeFrom the reverse-path, without angle
	// brackets; NullFrom tells the null reverse-path from an absent one.
	For, EnvelopeFrom string
	NullFrom          bool
	Time              time.Time
}

// Limits of ParseReceived; what is beyond is not read.
const (
	maxReceived      = 8 << 10 // octets
	maxReceivedWords = 500
)

// ParseReceived reads a Received field's value, folded or not, in the forms in
// which Postfix, Sendmail, Exim, Exchange, Gmail, qmail, Courier and others
// write it. There is no field that cannot be read, only one that says nothing.
// Of a field longer than 8 KiB the rest is not read.
func ParseReceived(value string) Received {
	if len(value) > maxReceived {
		value = value[:maxReceived]
	}
	words, trail, date := receivedWords(value)
	var r Received
	r.Time, _ = ParseDate(date)
	exim := false
	clause := ""
	var from []receivedWord
	for i := 0; i < len(words); i++ {
		w := words[i]
		if w.comment {
			r.envelope(w.text)
			exim = exim || strings.HasPrefix(w.text, "Exim ")
			if clause == "from" {
				from = append(from, w)
			}
			continue
		}
		if clause == "envelope-from" { // Haraka writes it without a comment
			r.reversePath(w.text)
			clause = ""
			continue
		}
		if key := receivedClause(w.text); key != "" {
			// The first of each counts: qmail-scanner writes "by" twice.
			clause = key
			continue
		}
		switch clause {
		case "from":
			from = append(from, w)
		case "by":
			if r.By == "" {
				r.By = strings.TrimSuffix(w.text, ".")
			}
		case "with":
			if r.With != "" {
				r.With += " "
			}
			r.With += w.text
		case "id":
			if r.ID == "" {
				r.ID = strings.Trim(w.text, "<>")
			}
			clause = ""
		case "for":
			if r.For == "" {
				r.For = strings.Trim(w.text, "<>")
			}
			clause = ""
		}
	}
	for _, w := range trail { // Sendmail puts it behind the date
		if w.comment {
			r.envelope(w.text)
		}
	}
	r.client(from, exim)
	return r
}

// receivedClause returns the keyword that begins a clause.
func receivedClause(w string) string {
	switch len(w) {
	case 2:
		if strings.EqualFold(w, "by") {
			return "by"
		}
		if strings.EqualFold(w, "id") {
			return "id"
		}
	case 3:
		if strings.EqualFold(w, "for") {
			return "for"
		}
		if strings.EqualFold(w, "via") {
			return "via"
		}
	case 4:
		if strings.EqualFold(w, "from") {
			return "from"
		}
		if strings.EqualFold(w, "with") {
			return "with"
		}
	case 13:
		if strings.EqualFold(w, "envelope-from") {
			return "envelope-from"
		}
	}
	return ""
}

// receivedWord is a word, or a comment without its parentheses.
type receivedWord struct {
	text    string
	comment bool
}

// receivedWords cuts a field in words and comments; the date follows the last
// semicolon outside comments, and its words are the trail.
func receivedWords(s string) (words, trail []receivedWord, date string) {
	words = make([]receivedWord, 0, 16)
	atDate := 0 // len(words) at the last semicolon
	for i := 0; i < len(s) && len(words) < maxReceivedWords; {
		switch c := s[i]; c {
		case ' ', '\t', '\r', '\n':
			i++
		case ';':
			i++
			date, atDate = s[i:], len(words)
		case '(':
			end, depth := i, 0
		comment:
			for ; end < len(s); end++ {
				switch s[end] {
				case '\\':
					end++
				case '(':
					depth++
				case ')':
					if depth--; depth == 0 {
						break comment
					}
				}
			}
			end = min(end, len(s))
			words = append(words, receivedWord{strings.Trim(s[i+1:end], " \t\r\n"), true})
			i = end + 1
		default:
			from := i
			if c == '<' { // an address may hold anything up to its bracket
				if n := strings.IndexByte(s[i:], '>'); n > 0 && strings.IndexByte(s[i:i+n], '\n') < 0 {
					i += n
				}
			}
			for i < len(s) && strings.IndexByte(" \t\r\n;(", s[i]) < 0 {
				i++
			}
			words = append(words, receivedWord{text: s[from:i]})
		}
	}
	if date == "" {
		return words, nil, ""
	}
	return words[:atDate], words[atDate:], date
}

// envelope reads "envelope-from <a@b>", as Sendmail, Exim and others put in a
// comment.
func (r *Received) envelope(comment string) {
	rest, ok := cutPrefixFold(comment, "envelope-from ")
	if !ok {
		if rest, ok = cutPrefixFold(comment, "envelope-sender "); !ok {
			return
		}
	}
	rest = strings.Trim(rest, " \t\r\n")
	if i := strings.IndexAny(rest, " \t\r\n"); i >= 0 {
		rest = rest[:i]
	}
	r.reversePath(rest)
}

func (r *Received) reversePath(path string) {
	r.NullFrom = path == "<>"
	r.EnvelopeFrom = strings.Trim(path, "<>")
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// client reads what stands between "from" and "by".
//
//	Postfix, Sendmail  helo (rdns [ip])        rdns may be "unknown" or missing,
//	                                           or have an ident before an "@"
//	Exim               rdns ([ip]:port helo=helo), [ip] (helo=helo), rdns ([ip])
//	Exchange           helo (ip)
//	Gmail              helo (rdns. [ip])
//	qmail              rdns (HELO helo) (ident@ip), rdns (ip)
//	others             helo [ip], [ip], ip
func (r *Received) client(from []receivedWord, exim bool) {
	if len(from) == 0 {
		return
	}
	first, said, qmail := "", false, false
	i := 0
	if !from[0].comment {
		first = from[0].text
		i = 1
	}
	for ; i < len(from); i++ {
		text := from[i].text
		if !from[i].comment {
			continue
		}
		if helo, ok := saidHelo(text); ok {
			r.Helo, said, qmail = helo, true, true
			continue
		}
		r.details(text, &said)
	}
	// An address outside comments may be the client's own words: the other
	// counts first.
	for _, w := range from {
		if !w.comment {
			r.address(w.text)
		}
	}
	word := strings.TrimSuffix(first, ".")
	_, isIP := hostAddr(word)
	switch {
	case said && !isIP && (qmail || r.RDNS == ""):
		// The word is what the receiving host knows.
		if !strings.EqualFold(word, "unknown") {
			r.RDNS = word
		}
	case !said:
		r.Helo = word
		if exim && r.RDNS == "" && !isIP {
			// Exim leaves helo= out where it is the name in the DNS.
			r.RDNS = word
		}
	}
}

// saidHelo reads qmail's "HELO name".
func saidHelo(comment string) (string, bool) {
	for _, verb := range [...]string{"HELO ", "EHLO ", "LHLO "} {
		if rest, ok := cutPrefixFold(comment, verb); ok {
			return strings.Trim(rest, " \t\r\n"), true
		}
	}
	return "", false
}

// details reads a comment behind the client's word: names, an address, and
// Exim's helo=.
func (r *Received) details(comment string, said *bool) {
	name := ""
	for n := 0; comment != "" && n < 8; n++ {
		comment = strings.TrimLeft(comment, " \t\r\n")
		end := strings.IndexAny(comment, " \t\r\n(")
		word := comment
		switch {
		case end == 0:
			return // a comment in the comment
		case end > 0:
			word, comment = comment[:end], comment[end:]
		default:
			comment = ""
		}
		if helo, ok := cutPrefixFold(word, "helo="); ok {
			r.Helo, *said = helo, true
			continue
		}
		if i := strings.LastIndexByte(word, '@'); i >= 0 { // an ident (RFC 1413)
			word = word[i+1:]
		}
		if i := strings.IndexByte(word, '['); i > 0 && n == 0 { // "localhost[127.0.0.1]"
			name, word = word[:i], word[i:]
		}
		known := r.IP.IsValid()
		switch {
		case r.address(word):
			if !known && r.RDNS == "" && !strings.EqualFold(name, "unknown") {
				r.RDNS = strings.TrimSuffix(name, ".")
			}
		case n == 0 && isHostName(word):
			name = word
		}
	}
	if strings.IndexByte(name, '.') > 0 && r.RDNS == "" && !r.IP.IsValid() {
		r.RDNS = strings.TrimSuffix(name, ".")
	}
}

// address takes the first address that there is.
func (r *Received) address(word string) bool {
	ip, ok := hostAddr(word)
	if ok && !r.IP.IsValid() {
		r.IP = ip
	}
	return ok
}

// isHostName tells a name from the remarks that stand in its place, such as
// "authenticated" and "using".
func isHostName(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isDomainOctet(s[i]) {
			return false
		}
	}
	return s != ""
}

// hostAddr reads an address with or without brackets, the IPv6 tag of RFC 5321
// §4.1.3, a port and a zone.
func hostAddr(s string) (netip.Addr, bool) {
	if len(s) < 2 || len(s) > 80 {
		return netip.Addr{}, false
	}
	if s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return netip.Addr{}, false
		}
		if rest := s[end+1:]; rest != "" && rest[0] != ':' {
			return netip.Addr{}, false
		}
		s = s[1:end]
	}
	if rest, ok := cutPrefixFold(s, "IPv6:"); ok {
		s = rest
	}
	if i := strings.IndexByte(s, '%'); i >= 0 {
		s = s[:i]
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap(), true
	}
	if strings.Count(s, ":") == 1 { // 192.0.2.1:25
		if a, err := netip.ParseAddr(s[:strings.IndexByte(s, ':')]); err == nil {
			return a.Unmap(), true
		}
	}
	return netip.Addr{}, false
}
