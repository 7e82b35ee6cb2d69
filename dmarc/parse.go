package dmarc

import (
	"slices"
	"strings"

	"sekimori/taglist"
)

// maxRecord is how long a record may be, in octets. Real ones have some
// hundred; what one costs in memory is bounded by this.
const maxRecord = 8192

// Parse reads a policy record, the strings of the TXT record joined (RFC 9989
// §4.5). Only what does not begin with v=DMARC1 is refused, with a Fault as
// error; what is wrong after that is ignored, or replaced by the default
// (§4.8), and noted in Faults, up to a hundred. Of repeated tags the first counts.
//
// Names of tags and keywords may be in any case, the version may not; white
// space may stand around names, "=", values and semicolons, and before the
// whole. The text may be 8,192 octets long at most; memory is bounded by 200 times
// its length.
func Parse(txt string) (*Record, error) { return parse(txt, FirstTag) }

func parse(txt string, dup Duplicates) (*Record, error) {
	if len(txt) > maxRecord {
		return nil, Fault{Kind: TooLong}
	}
	if !begins(txt) {
		return nil, Fault{Kind: NotDMARC, Text: txt}
	}
	tags, faults := taglist.Parse(txt)
	r := &Record{
		ADKIM: Relaxed, ASPF: Relaxed, PSD: Undecided, Pct: 100,
		Tags: tags, Text: txt,
	}
	var repeated *Fault
	for _, f := range faults {
		switch f.Kind {
		case taglist.NoEquals:
			r.fault(Stray, "", f.Text, f.Offset)
		case taglist.Empty:
			r.fault(Empty, "", "", f.Offset)
		case taglist.BadName:
			r.fault(BadName, "", f.Text, f.Offset)
		case taglist.BadValue:
			name, _, _ := strings.Cut(f.Text, "=")
			r.fault(BadValue, lower(strings.TrimRight(name, " \t\r\n")), f.Text, f.Offset)
		}
	}
	// RFC 9989 §4.7: v is the first tag; begins has seen to it.
	for i := 1; i < len(tags); i++ {
		t := &tags[i]
		if again := before(tags[:i], t.Name); again >= 0 {
			f := Fault{Duplicate, lower(t.Name), t.Name + "=" + t.Value, t.Offset}
			r.fault(f.Kind, f.Tag, f.Text, f.Offset)
			if repeated == nil {
				repeated = &f
			}
			if dup != LastTag || again == 0 {
				continue
			}
		}
		r.read(t)
	}
	if len(r.Faults) > 1 {
		slices.SortStableFunc(r.Faults, func(a, b Fault) int { return a.Offset - b.Offset })
	}
	if repeated != nil && dup == InvalidRecord {
		// RFC 6376 §3.2: a list with a name twice is invalid as a whole.
		return nil, *repeated
	}
	return r, nil
}

// before returns the index of the first tag of a name, or -1. A record of many
// tags is hostile; then the search ends after the first hundred.
func before(tags taglist.List, name string) int {
	for i := range tags[:min(len(tags), 100)] {
		if equalFold(tags[i].Name, name) {
			return i
		}
	}
	return -1
}

// maxFaults is how many faults of a record are kept.
const maxFaults = 100

func (r *Record) fault(k FaultKind, tag, text string, offset int) {
	if len(r.Faults) >= maxFaults {
		return
	}
	r.Faults = append(r.Faults, Fault{k, tag, text, offset})
}

// begins reports whether a text is a record of this version: it begins with a
// tag v whose value is DMARC1, in capitals (RFC 9989 §4.7, §4.8).
func begins(s string) bool {
	i := skip(s, 0)
	if i >= len(s) || s[i]|0x20 != 'v' {
		return false
	}
	if i = skip(s, i+1); i >= len(s) || s[i] != '=' {
		return false
	}
	i = skip(s, i+1)
	if !strings.HasPrefix(s[i:], "DMARC1") {
		return false
	}
	i = skip(s, i+len("DMARC1"))
	return i == len(s) || s[i] == ';'
}

// skip passes over white space.
func skip(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n') {
		i++
	}
	return i
}

// read takes a tag in, instead of one of its name that was read before. RFC 9989 §4.8: a value that the tag does not have is
// discarded in favour of the default; a tag that is not known is ignored.
func (r *Record) read(t *taglist.Tag) {
	ok := true
	switch v := t.Value; lower(t.Name) {
	case "p":
		r.P, ok = policy(v)
	case "sp":
		r.SP, ok = policy(v)
	case "np":
		r.NP, ok = policy(v)
	case "adkim":
		r.ADKIM, ok = mode(v)
	case "aspf":
		r.ASPF, ok = mode(v)
	case "psd":
		switch {
		case equalFold(v, "y"):
			r.PSD = IsPSD
		case equalFold(v, "n"):
			r.PSD = IsOrg
		default:
			r.PSD, ok = Undecided, equalFold(v, "u")
		}
	case "t":
		r.Testing = equalFold(v, "y")
		ok = r.Testing || equalFold(v, "n")
	case "fo":
		r.FO, ok = failureOptions(v)
	case "rua":
		r.RUA = r.uris("rua", t)
	case "ruf":
		r.RUF = r.uris("ruf", t)
	case "pct":
		r.Pct, ok = percent(v)
	}
	if !ok {
		r.fault(BadValue, lower(t.Name), t.Value, t.Offset)
	}
}

func policy(v string) (Policy, bool) {
	switch {
	case equalFold(v, "none"):
		return None, true
	case equalFold(v, "quarantine"):
		return Quarantine, true
	case equalFold(v, "reject"):
		return Reject, true
	}
	return "", false
}

func mode(v string) (Mode, bool) {
	if equalFold(v, "s") {
		return Strict, true
	}
	return Relaxed, equalFold(v, "r")
}

// failureOptions reads dmarc-fo (RFC 9989 §4.8): 0 or 1, d, s, each at most
// once, in any order.
func failureOptions(v string) (FailureOptions, bool) {
	var f FailureOptions
	zero, rest, more := false, v, true
	for more {
		var item string
		item, rest, more = strings.Cut(rest, ":")
		var seen bool
		switch item = strings.Trim(item, " \t"); {
		case item == "0":
			seen, zero = zero, true
		case item == "1":
			seen, f.Any = f.Any, true
		case equalFold(item, "d"):
			seen, f.DKIM = f.DKIM, true
		case equalFold(item, "s"):
			seen, f.SPF = f.SPF, true
		default:
			return FailureOptions{}, false
		}
		if seen || zero && f.Any {
			return FailureOptions{}, false
		}
	}
	return f, true
}

// percent reads pct (RFC 7489 §6.4): 1 to 3 digits, at most 100.
func percent(v string) (int, bool) {
	if v == "" || len(v) > 3 {
		return 100, false
	}
	n := 0
	for i := 0; i < len(v); i++ {
		if v[i] < '0' || v[i] > '9' {
			return 100, false
		}
		n = 10*n + int(v[i]-'0')
	}
	if n > 100 {
		return 100, false
	}
	return n, true
}

// uris reads dmarc-urilist.
func (r *Record) uris(name string, t *taglist.Tag) []URI {
	out := make([]URI, 0, min(strings.Count(t.Value, ",")+1, 16))
	// The value's place: after the name, "=" and the white space around it.
	at := t.Offset + strings.IndexByte(r.Text[t.Offset:], '=') + 1
	at = skip(r.Text, at)
	rest, more := t.Value, true
	for more {
		var item string
		item, rest, more = strings.Cut(rest, ",")
		if u, err := ParseURI(item); err == nil {
			out = append(out, u)
		} else {
			r.fault(BadURI, name, strings.TrimSpace(item), at+skip(item, 0))
		}
		at += len(item) + 1
	}
	return out
}

// equalFold compares ASCII without regard to case.
func equalFold(a, b string) bool {
	if len(a) != len(b) || a == b {
		return len(a) == len(b)
	}
	for i := 0; i < len(a); i++ {
		c := a[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		d := b[i]
		if 'A' <= d && d <= 'Z' {
			d |= 0x20
		}
		if c != d {
			return false
		}
	}
	return true
}

// lower returns a name in lower case; names mostly are.
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] < 'a' || 'z' < s[i] {
			return strings.ToLower(s)
		}
	}
	return s
}
