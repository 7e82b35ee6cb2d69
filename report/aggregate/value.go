package aggregate

import (
	"bytes"
	"errors"
	"hash/maphash"
	"math"
	"net/netip"
	"strings"

	"sekimori/domain"
)

// words keeps strings that came before, so that a value which comes in every
// record is one string. It holds at most 2×wordSlots strings of at most
// wordBytes, and few of them while the report may still be a small one; a
// value that is not there is allocated anew.
type words struct {
	seed   maphash.Seed
	seen   []word
	latest [elementCount]word // the value that came last in each element
}

// word is a text as it came and the value that it stands for.
type word struct {
	raw, value string
	note       DeviationCode // "" for none
}

const (
	wordSlots  = 1 << 9
	firstSlots = 1 << 5
	largeAt    = 1 << 6 // records that make a report a large one
	wordBytes  = 256
)

func newWords() words {
	return words{seed: maphash.MakeSeed(), seen: make([]word, 2*firstSlots)}
}

// grow is for a large report.
func (w *words) grow() {
	if len(w.seen) < 2*wordSlots {
		w.seen = make([]word, 2*wordSlots)
	}
}

// slot returns the place of b among the texts, or among the domains.
func (w *words) slot(b []byte, domains bool) *word {
	half := len(w.seen) / 2
	i := int(maphash.Bytes(w.seed, b) % uint64(half))
	if domains {
		i += half
	}
	return &w.seen[i]
}

// text returns b as a string.
func (w *words) text(k *element, b []byte) string {
	if l := &w.latest[k.id]; string(b) == l.raw {
		return l.value
	}
	if len(b) > wordBytes {
		return string(b)
	}
	s := w.slot(b, false)
	if string(b) != s.raw {
		raw := string(b)
		*s = word{raw: raw, value: raw}
	}
	w.latest[k.id] = *s
	return s.value
}

// domain returns the domain in b in canonical form.
func (r *Reader) domain(k *element, b []byte) string {
	w := &r.words
	l := &w.latest[k.id]
	if string(b) != l.raw {
		if len(b) > wordBytes {
			v := readDomain(string(b))
			if v.note != "" {
				r.s.noteValue(v.note, k.path, b)
			}
			return v.value
		}
		s := w.slot(b, true)
		if string(b) != s.raw {
			*s = readDomain(string(b))
		}
		*l = *s
	}
	if l.note != "" {
		r.s.note(l.note, k.path, l.raw)
	}
	return l.value
}

// readDomain puts a domain into canonical form as far as it is one. What is no
// domain is kept in lower case, since a report also shows what forgers sent.
func readDomain(raw string) word {
	w := word{raw: raw}
	s := raw
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		w.note = AddressForDomain
		s = strings.TrimSuffix(s[i+1:], ">")
	}
	if n, err := domain.Parse(s); err == nil {
		w.value = n.String()
		// Do not keep a second copy of what is the same.
		if w.value == raw {
			w.value = raw
		}
		return w
	}
	w.value = strings.TrimSuffix(strings.ToLower(s), ".")
	return w
}

// address reads source_ip: an IPv4 or IPv6 address (RFC 3986 §3.2.2), without
// a zone. An IPv4-mapped address becomes the IPv4 address.
func address(b []byte) (netip.Addr, bool) {
	if a, ok := address4(b); ok {
		return a, true
	}
	if len(b) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(string(b))
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// address4 reads a dotted quad without leading zeros, without allocating.
func address4(b []byte) (netip.Addr, bool) {
	if len(b) < len("0.0.0.0") || len(b) > len("255.255.255.255") {
		return netip.Addr{}, false
	}
	var a [4]byte
	n, digits, part := 0, 0, 0
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			if digits > 0 && n == 0 {
				return netip.Addr{}, false
			}
			n = n*10 + int(c-'0')
			if n > 255 {
				return netip.Addr{}, false
			}
			digits++
		case c == '.' && digits > 0 && part < 3:
			a[part] = byte(n)
			part++
			n, digits = 0, 0
		default:
			return netip.Addr{}, false
		}
	}
	if part != 3 || digits == 0 {
		return netip.Addr{}, false
	}
	a[3] = byte(n)
	return netip.AddrFrom4(a), true
}

var (
	errNotNumber = errors.New("want a whole number of messages")
	errNegative  = errors.New("is negative")
	errTooLarge  = errors.New("is larger than any number of messages")
)

// count reads a number of messages.
func count(b []byte) (uint64, error) {
	if len(b) > 1 && b[0] == '-' {
		if _, err := count(b[1:]); err == nil || err == errTooLarge {
			return 0, errNegative
		}
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, errNotNumber
		}
		if n > (math.MaxUint64-9)/10 {
			n = math.MaxUint64
			continue
		}
		n = n*10 + uint64(c-'0')
	}
	if n > math.MaxInt64 {
		return 0, errTooLarge
	}
	return n, nil
}

// lower returns b in lower case and notes that it was not.
func (r *Reader) lower(k *element, b []byte) string {
	l := bytes.ToLower(b)
	if !bytes.Equal(l, b) {
		r.s.noteValue(MixedCase, k.path, b)
	}
	return string(l)
}

// disposition reads policy_evaluated/disposition.
func (r *Reader) disposition(k *element, b []byte) Disposition {
	switch string(b) {
	case "none":
		return DispositionNone
	case "reject":
		return DispositionReject
	case "quarantine":
		return DispositionQuarantine
	}
	switch v := r.lower(k, b); Disposition(v) {
	case DispositionNone, DispositionReject, DispositionQuarantine:
		return Disposition(v)
	case DispositionPass:
		if r.report.Form != RFC9990 {
			r.s.note(OtherForm, k.path, v)
		}
		return DispositionPass
	}
	r.s.noteValue(UnknownValue, k.path, b)
	return DispositionNone
}

// aligned reads policy_evaluated/dkim and spf: is it a pass?
func (r *Reader) aligned(k *element, b []byte) bool {
	switch string(b) {
	case "pass":
		return true
	case "fail":
		return false
	}
	switch r.lower(k, b) {
	case "pass":
		return true
	case "fail":
	default:
		r.s.noteValue(UnknownValue, k.path, b)
	}
	return false
}

// reasonType reads a policy override's type.
func (r *Reader) reasonType(k *element, b []byte) string {
	v := r.words.text(k, b)
	if !r.isReason(k, v) {
		if v = r.lower(k, b); !r.isReason(k, v) {
			r.s.noteValue(UnknownValue, k.path, b)
			return "other"
		}
	}
	return v
}

// isReason tells whether v is a type of override, or none.
func (r *Reader) isReason(k *element, v string) bool {
	switch v {
	case "", "local_policy", "mailing_list", "other", "trusted_forwarder":
	case "forwarded", "sampled_out": // RFC 7489 appendix C
		if r.report.Form == RFC9990 {
			r.s.note(OtherForm, k.path, v)
		}
	case "policy_test_mode": // RFC 9990 appendix A
		if r.report.Form != RFC9990 {
			r.s.note(OtherForm, k.path, v)
		}
	default:
		return false
	}
	return true
}

// dkimToken reads the result of a signature (RFC 8601 §2.7.1).
func (r *Reader) dkimToken(k *element, b []byte) string {
	if v := token(string(b)); v != "" && v != "softfail" {
		return v
	}
	switch v := r.lower(k, b); v {
	case "none", "pass", "fail", "policy", "neutral", "temperror", "permerror":
		return v
	case "hardfail":
		r.s.note(NonstandardValue, k.path, v)
		return "fail"
	}
	r.s.noteValue(UnknownValue, k.path, b)
	return "none"
}

// spfToken reads the result of an SPF check (RFC 8601 §2.7.2).
func (r *Reader) spfToken(k *element, b []byte) string {
	v := token(string(b))
	if v == "" {
		v = r.lower(k, b)
	}
	switch v {
	case "none", "pass", "fail", "softfail", "neutral", "temperror", "permerror":
		return v
	case "policy":
		if r.report.Form != RFC9990 {
			r.s.note(OtherForm, k.path, v)
		}
		return v
	case "hardfail": // RFC 8601 §2.7.2: formerly
		r.s.note(NonstandardValue, k.path, v)
		return "fail"
	case "unknown": // RFC 7489 appendix C
		r.s.note(NonstandardValue, k.path, v)
		return "temperror"
	case "error": // RFC 7489 appendix C
		r.s.note(NonstandardValue, k.path, v)
		return "permerror"
	}
	r.s.noteValue(UnknownValue, k.path, b)
	return "none"
}

// token returns a result that is written as registered, "" for any other.
func token(s string) string {
	switch s {
	case "pass":
		return "pass"
	case "fail":
		return "fail"
	case "none":
		return "none"
	case "softfail":
		return "softfail"
	case "neutral":
		return "neutral"
	case "policy":
		return "policy"
	case "temperror":
		return "temperror"
	case "permerror":
		return "permerror"
	}
	return ""
}

// scope reads the identity that SPF checked.
func (r *Reader) scope(k *element, b []byte) string {
	switch string(b) {
	case "mfrom":
		return "mfrom"
	case "helo":
		if r.report.Form == RFC9990 {
			r.s.note(OtherForm, k.path, "helo")
		}
		return "helo"
	}
	switch v := r.lower(k, b); v {
	case "mfrom":
		return "mfrom"
	case "helo", "ehlo":
		r.s.note(NonstandardValue, k.path, v)
		return "helo"
	case "mailfrom", "mail_from", "mail-from", "mail from":
		r.s.note(NonstandardValue, k.path, v)
		return "mfrom"
	}
	r.s.noteValue(UnknownValue, k.path, b)
	return ""
}
