package failure

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"sekimori/message"
)

// Redactor takes people out of what is reported about their mail (RFC 6590): a
// local-part becomes a keyed hash of itself, so that one who gets several
// reports sees that they are about the same mailbox, and not which; names of
// people, the subject, and every field that a report can do without go away.
// Domains, addresses of hosts, and results of verification stay: they are what
// the report is for.
//
// It is safe for concurrent use. The zero Redactor is safe too: without a key
// every local-part becomes the same word.
type Redactor struct {
	// Key is the site's secret, 32 random octets, and the same for as long as
	// reports are to be comparable.
	Key []byte
	// Fields and Octets bound what is left of a header: 100 fields, 32 KiB.
	Fields, Octets int
}

// words is how many characters a redacted word has: 96 bits of the hash.
const words = 16

// maxValue bounds one value of what is left.
const maxValue = 8 << 10

// Word returns what stands for a word: 16 characters, which may stand in a
// local-part unquoted. The same word gives the same.
func (r *Redactor) Word(s string) string {
	if len(r.Key) == 0 {
		return "redacted"
	}
	mac := hmac.New(sha256.New, r.Key)
	mac.Write([]byte(s))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))[:words]
}

// Address redacts an address: its local-part, or all of it where it has no
// domain. What is empty stays empty.
func (r *Redactor) Address(addr string) string {
	local, domain := message.SplitAddress(addr)
	switch {
	case local == "" && domain == "":
		return ""
	case domain == "":
		return r.Word(local)
	}
	return r.Word(local) + "@" + scrub(domain)
}

// Text redacts every address in a text, such as the value of a field, and the
// accounts after "smtp.auth=". Links of the web are made unusable, and what is
// not printable ASCII becomes "?".
func (r *Redactor) Text(s string) string { return r.text(s) }

// kept are the fields of a header that stay, and how.
var kept = map[string]func(*Redactor, message.Field) string{
	// Who and where.
	"from": (*Redactor).addresses, "sender": (*Redactor).addresses, "reply-to": (*Redactor).addresses,
	"to": (*Redactor).addresses, "cc": (*Redactor).addresses, "return-path": (*Redactor).addresses,
	"resent-from": (*Redactor).addresses, "resent-sender": (*Redactor).addresses, "resent-to": (*Redactor).addresses, "resent-cc": (*Redactor).addresses,
	"subject": (*Redactor).subject,
	// The way it took, and what was verified on it.
	"received": (*Redactor).received, "received-spf": (*Redactor).trace, "authentication-results": (*Redactor).results,
	"arc-authentication-results": (*Redactor).results, "arc-message-signature": (*Redactor).signature, "arc-seal": (*Redactor).signature,
	"dkim-signature": (*Redactor).signature, "list-id": (*Redactor).trace,
	// What it is.
	"date": (*Redactor).plain, "message-id": (*Redactor).plain, "mime-version": (*Redactor).plain, "resent-date": (*Redactor).plain,
	"content-type": (*Redactor).contentType, "content-transfer-encoding": (*Redactor).plain, "content-language": (*Redactor).plain,
	"auto-submitted": (*Redactor).plain, "precedence": (*Redactor).plain, "user-agent": (*Redactor).plain, "x-mailer": (*Redactor).plain,
	"bimi-selector": (*Redactor).plain, "feedback-id": (*Redactor).plain,
}

// Header returns what of a header may go into a report: new fields, unfolded,
// that share no memory with h. Fields that are not known to be safe are left
// out.
func (r *Redactor) Header(h message.Header) message.Header {
	fields, octets := r.Fields, r.Octets
	if fields <= 0 {
		fields = 100
	}
	if octets <= 0 {
		octets = 32 << 10
	}
	var out message.Header
	for _, f := range h {
		redact, ok := kept[strings.ToLower(f.Name())]
		if !ok {
			continue
		}
		if len(f.RawValue()) > 2*maxValue {
			continue // so long a field is no evidence; and what it costs is bounded
		}
		value := strings.Join(strings.Fields(redact(r, f)), " ")
		if value == "" {
			continue
		}
		if len(value) > maxValue {
			value = value[:maxValue]
		}
		raw := f.Name() + ": " + value + "\r\n"
		if octets -= len(raw); len(out) >= fields || octets < 0 {
			break
		}
		if field, ok := message.ParseField(raw); ok {
			out = append(out, field)
		}
	}
	return out
}

// addresses keeps the mailboxes without the names of people; of more than
// twenty the first.
func (r *Redactor) addresses(f message.Field) string {
	list, err := message.ParseAddrSpecs(f.RawValue())
	if err != nil {
		return r.addressesIn(f.Value())
	}
	var b strings.Builder
	for i, a := range list[:min(len(list), 20)] {
		if i > 0 {
			b.WriteString(", ")
		}
		switch {
		case a.Local == "" && a.Domain == "":
			b.WriteString("<>")
		case a.Domain == "":
			b.WriteString(r.Word(a.Local))
		default:
			b.WriteString(r.Word(a.Local) + "@" + scrub(a.Domain))
		}
	}
	return b.String()
}

// addressesIn keeps what looks like an address in a list that cannot be read.
func (r *Redactor) addressesIn(s string) string {
	found := strings.FieldsFunc(r.text(s), func(c rune) bool { return strings.ContainsRune(" \t,;:<>()\"", c) })
	out := found[:0]
	for _, w := range found {
		if strings.Contains(w, "@") && len(out) < 20 {
			out = append(out, w)
		}
	}
	return strings.Join(out, ", ")
}

// subject keeps whether two messages have the same one.
func (r *Redactor) subject(f message.Field) string { return "[" + r.Word(f.Value()) + "]" }

// contentType keeps the type, without names of files.
func (r *Redactor) contentType(f message.Field) string {
	kind, params := message.ParseParams(f.Value())
	out := r.text(kind)
	for _, name := range [...]string{"charset", "boundary", "format", "protocol", "micalg", "report-type"} {
		if v := params[name]; v != "" {
			out += "; " + name + "=\"" + strings.NewReplacer(`\`, "", `"`, "").Replace(r.text(v)) + "\""
		}
	}
	return out
}

func (r *Redactor) plain(f message.Field) string {
	if f.Is("Message-ID") {
		// It names the message to its owner, and no mailbox.
		return scrub(defang(f.Value()))
	}
	return r.text(f.Value())
}

// signature drops z=, a copy of the header as it was (RFC 6376 §3.5).
func (r *Redactor) signature(f message.Field) string {
	tags := strings.Split(f.Value(), ";")
	out := tags[:0]
	for _, t := range tags {
		if name, _, _ := strings.Cut(strings.TrimSpace(t), "="); strings.TrimSpace(name) != "z" {
			out = append(out, t)
		}
	}
	return r.text(strings.Join(out, ";"))
}

// trace keeps what hosts wrote, without those who signed in to them.
func (r *Redactor) trace(f message.Field) string {
	return r.text(dropComments(f.Value()))
}

// received also takes out a recipient who is named without a domain.
func (r *Redactor) received(f message.Field) string {
	s := f.Value()
	if to := message.ParseReceived(s).For; to != "" && !strings.Contains(to, "@") {
		w := r.Word(to)
		s = strings.NewReplacer("for <"+to+">", "for <"+w+">", "for "+to, "for "+w).Replace(s)
	}
	return r.text(dropComments(s))
}

// results also takes out what tells of somebody's signing in: the method auth
// (RFC 8601 §2.7.4).
func (r *Redactor) results(f message.Field) string {
	parts := strings.Split(f.Value(), ";")
	out := parts[:0]
	for _, p := range parts {
		if m := strings.ToLower(strings.TrimSpace(p)); !strings.HasPrefix(m, "auth=") && !strings.HasPrefix(m, "auth ") && !strings.HasPrefix(m, "auth/") {
			out = append(out, p)
		}
	}
	return r.text(dropComments(strings.Join(out, ";")))
}

// dropComments takes out the comments that tell of somebody's signing in, such
// as "(Authenticated sender: taro)". One that does not end goes to the end.
func dropComments(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	var b strings.Builder
	depth, start := 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '(':
			if depth == 0 {
				b.WriteString(s[start:i])
				start = i
			}
			depth++
		case c == ')' && depth > 0:
			if depth--; depth == 0 {
				if comment := s[start : i+1]; !strings.Contains(strings.ToLower(comment), "auth") {
					b.WriteString(comment)
				}
				start = i + 1
			}
		}
	}
	if rest := s[min(start, len(s)):]; depth == 0 || !strings.Contains(strings.ToLower(rest), "auth") {
		b.WriteString(rest)
	}
	return b.String()
}

// properties are what stands before an address and its "=" in trace fields.
var properties = map[string]bool{
	"smtp.mailfrom": true, "smtp.mail": true, "smtp.from": true, "smtp.helo": true, "smtp.auth": true, "smtp.rcptto": true,
	"header.i": true, "header.from": true, "header.sender": true, "header.d": true, "body.smime-identifier": true,
	"envelope-from": true, "x-sender": true, "mailfrom": true, "mfrom": true, "from": true, "i": true, "helo": true, "for": true, "identity": true,
}

func (r *Redactor) text(s string) string {
	s = scrub(defang(s))
	var b strings.Builder
	done := 0
	for at := 0; at < len(s); at++ {
		if s[at] != '@' {
			continue
		}
		lo := localStart(s, done, at)
		local := s[lo:at]
		if name, rest, ok := strings.Cut(local, "="); ok && properties[strings.ToLower(name)] {
			lo, local = lo+len(name)+1, rest
		}
		if local == "" {
			continue // "@example.com", the identity of a domain as such
		}
		b.WriteString(s[done:lo])
		b.WriteString(r.Word(strings.Trim(local, `"`)))
		done = at
	}
	b.WriteString(s[done:])
	return r.accounts(b.String())
}

// accounts redacts what stands after smtp.auth=, which need not be an address.
func (r *Redactor) accounts(s string) string {
	const mark = "smtp.auth="
	lower := strings.ToLower(s) // of ASCII: as long as s
	var b strings.Builder
	for {
		i := strings.Index(lower, mark)
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		i += len(mark)
		b.WriteString(s[:i])
		s, lower = s[i:], lower[i:]
		end := strings.IndexAny(s, " \t;@")
		if strings.HasPrefix(s, `"`) {
			if end = strings.IndexByte(s[1:], '"'); end >= 0 {
				end += 2
			}
		}
		if end < 0 {
			end = len(s)
		}
		if end < len(s) && s[end] == '@' {
			continue // an address, which was done
		}
		b.WriteString(r.Word(strings.Trim(s[:end], `"`)))
		s, lower = s[end:], lower[end:]
	}
}

// localStart returns where the local-part before the "@" at an index begins,
// at least at from: an unquoted one with everything that is not a delimiter, or
// a quoted string.
func localStart(s string, from, at int) int {
	if at > from && s[at-1] == '"' {
		for i := at - 2; i >= from; i-- {
			if s[i] == '"' && (i == 0 || s[i-1] != '\\') {
				return i
			}
		}
		return from
	}
	i := at
	for i > from && !strings.ContainsRune(" \t<>()[],;:\"", rune(s[i-1])) {
		i--
	}
	return i
}

// defang makes links of the web that nobody follows by mistake (RFC 9991 §7.3).
func defang(s string) string {
	lower := strings.ToLower(s)
	if len(lower) != len(s) || !strings.Contains(lower, "http") {
		return s
	}
	b := []byte(s)
	for i := 0; ; {
		j := strings.Index(lower[i:], "http")
		if j < 0 {
			return string(b)
		}
		i += j
		if rest := lower[i+4:]; strings.HasPrefix(rest, "://") || strings.HasPrefix(rest, "s://") {
			copy(b[i:], "hxxp")
		}
		i += 4
	}
}

// scrub leaves printable ASCII: everything else becomes "?".
func scrub(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				switch {
				case b[j] == '\t' || b[j] == '\r' || b[j] == '\n':
					b[j] = ' '
				case b[j] < ' ' || b[j] > '~':
					b[j] = '?'
				}
			}
			return string(b)
		}
	}
	return s
}
