package spf

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// mend guesses what the text of a record was meant to be: quotes and white
// space around it, a version that is nearly right, terms with the usual slips.
// What it does not understand it leaves as it is.
func mend(txt string) string {
	s := strings.Map(func(r rune) rune {
		switch r {
		case '\t', '\r', '\n', '\u00a0', '\u3000', '\u200b', '\ufeff':
			return ' '
		case '“', '”', '„', '＂':
			return '"'
		case '、':
			return ','
		case '。':
			return '.'
		}
		if r >= '！' && r <= '～' { // full width, from a Japanese input method
			return r - '！' + '!'
		}
		return r
	}, strings.ToValidUTF8(txt, "?"))
	s = strings.TrimSpace(strings.Trim(strings.TrimSpace(s), `"'`))
	s = mendVersion(s)
	if !IsRecord(s) {
		return txt
	}
	var words []string
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == ';' }) {
		words = append(words, splitAll(w)...)
	}
	out := make([]string, 0, len(words))
	out = append(out, version)
	for i := 1; i < len(words); i++ {
		w := strings.Trim(words[i], `"'`)
		if w == "" || IsRecord(w) { // a second version: two records in one
			continue
		}
		if i+1 < len(words) && joins(w, words[i+1]) {
			i++
			w += strings.Trim(words[i], `"'`)
		}
		out = append(out, mendTerm(w))
	}
	return strings.Join(out, " ")
}

// splitAll cuts off an all that lacks its space: "include:example.com-all".
func splitAll(w string) []string {
	n := len(w) - len("-all")
	if n <= 0 || !foldEqual(w[n+1:], "all") || strings.IndexByte("+-~?", w[n]) < 0 || IsRecord(w) {
		return []string{w}
	}
	return []string{w[:n], w[n:]}
}

// joins reports whether a space stands inside a term: "include: x", "- all".
func joins(w, next string) bool {
	if w == "+" || w == "-" || w == "~" || w == "?" {
		return true
	}
	return (strings.HasSuffix(w, ":") || strings.HasSuffix(w, "=")) && len(w) > 1 && !strings.ContainsAny(next, ":=") && strings.Contains(next, ".")
}

// mendVersion puts "v=spf1 " right at the start of s.
func mendVersion(s string) string {
	if IsRecord(s) {
		return version + s[len(version):]
	}
	low := lower(s)
	for _, wrong := range []string{"v=spf1.0", "v=spf1", "v =spf1", "v= spf1", "v = spf1", "v:spf1", "v-spf1", "vspf1", "=spf1", "spf1", "v=spf 1", "v=spf", "v=sfp1", "txt v=spf1", "spf v=spf1", "spf=v=spf1"} {
		rest, ok := strings.CutPrefix(low, wrong)
		if !ok {
			continue
		}
		tail := s[len(s)-len(rest):]
		trimmed := strings.TrimLeft(tail, " ;,:.\"'")
		switch {
		case trimmed == "":
			return version
		case len(trimmed) < len(tail):
			return version + " " + trimmed
		case strings.HasPrefix(rest, "include") || strings.HasPrefix(rest, "ip4") || strings.HasPrefix(rest, "ip6") ||
			strings.HasPrefix(rest, "mx") || strings.HasPrefix(rest, "a:") || rest[0] == '~' || rest[0] == '-' || rest[0] == '+' || rest[0] == '?':
			return version + " " + tail
		}
	}
	return s
}

// mendTerm guesses what a term was meant to be.
func mendTerm(w string) string {
	good := func(s string) bool {
		t := Term{text: s}
		return s != "" && t.parse() == nil && !strings.Contains(s, "://") && !(t.IsModifier() && isMechanism(t.Name))
	}
	if good(w) {
		return w
	}
	s := strings.TrimRight(w, `;,."'`)
	for _, dash := range []string{"–", "—", "−", "ー", "‐", "－"} {
		if rest, ok := strings.CutPrefix(s, dash); ok {
			s = "-" + rest
		}
	}
	if rest, ok := strings.CutPrefix(s, "～"); ok {
		s = "~" + rest
	}
	if good(s) {
		return s
	}
	q := ""
	if s != "" && strings.IndexByte("+-~?", s[0]) >= 0 {
		q, s = s[:1], s[1:]
	}
	if fixed, ok := mendAddress(s); ok {
		s = fixed
	} else if i := strings.IndexAny(s, ":=;"); i > 0 {
		name, arg := lower(s[:i]), strings.TrimLeft(s[i+1:], ":=")
		switch name {
		case "ipv4", "ip", "ip4", "ipv6", "ip6", "a", "mx", "ip4v", "ip6v":
			if fixed, ok := mendAddress(arg); ok {
				s = fixed
			} else if name[0] == 'i' {
				s = "a:" + arg // a host name where an address belongs
			} else {
				s = name + ":" + arg
			}
		case "include", "exists", "ptr":
			s = name + ":" + bare(arg)
		case "inlcude", "incude", "includes", "inclide", "incldue", "includ", "inculde":
			s = "include:" + arg
		case "redirect", "exp":
			if q == "" {
				s = name + "=" + arg
			} else {
				q, s = "", name+"="+arg
			}
		}
	} else {
		switch lower(s) {
		case "al", "alll", "all.", "all;", "lal":
			s = "all"
		}
	}
	if good(q + s) {
		return q + s
	}
	return w
}

// bare takes a URL, or a host name written like one, down to the name.
func bare(arg string) string {
	if _, rest, ok := strings.Cut(arg, "://"); ok {
		arg = strings.TrimRight(rest, "/")
	}
	return arg
}

func isMechanism(n Name) bool {
	switch n {
	case All, Include, A, MX, PTR, IP4, IP6, Exists, "ip", "ipv4", "ipv6":
		return true
	}
	return false
}

// mendAddress makes ip4 or ip6 of an address, with a prefix length or a mask.
func mendAddress(s string) (string, bool) {
	addr, length, slash := strings.Cut(strings.Trim(s, "[]"), "/")
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" {
		return "", false
	}
	name := "ip4:"
	if a = a.Unmap(); a.Is6() {
		name = "ip6:"
	}
	if !slash || length == "" {
		return name + a.String(), true
	}
	if m, err := netip.ParseAddr(length); err == nil && m.Is4() && a.Is4() {
		b := m.As4()
		ones, bits := net.IPMask(b[:]).Size()
		if bits == 0 {
			return "", false
		}
		return name + a.String() + "/" + strconv.Itoa(ones), true
	}
	n, err := strconv.Atoi(strings.TrimPrefix(length, "/"))
	if err != nil || n < 0 || n > a.BitLen() {
		return "", false
	}
	return name + a.String() + "/" + strconv.Itoa(n), true
}

// improve writes a record anew: what stands twice or is covered once, what no
// client reaches before all, networks without host bits, an all that says
// something at the end. domain is whose record it is.
func improve(r *Record, domain string) string {
	var (
		terms     []*Term
		modifiers []*Term
		all       *Term
		seen      = map[string]bool{}
	)
	for i := range r.Terms {
		t := &r.Terms[i]
		switch {
		case t.IsModifier():
			if !isMechanism(t.Name) && t.Name != "v" {
				modifiers = append(modifiers, t)
			}
			continue
		case t.Name == All:
			if all == nil {
				all = t
			}
			continue
		case t.Name == Include && t.names(domain):
			continue
		}
		if key := lower(t.String()[len(qualifierText(t)):]); !seen[key] {
			seen[key] = true
			terms = append(terms, t)
		}
	}
	b := []byte(version)
	for i, t := range terms {
		if coveredBy(i, terms) != nil {
			continue
		}
		b = append(b, ' ')
		if t.Name != IP4 && t.Name != IP6 {
			b = append(b, t.text...)
			continue
		}
		c := *t
		c.Network = t.Network.Masked()
		if a := c.Network.Addr(); a.Is4In6() && c.Network.Bits() >= 96 {
			c.Name, c.Network = IP4, netip.PrefixFrom(a.Unmap(), c.Network.Bits()-96)
		}
		b = c.append(b)
	}
	for _, t := range modifiers {
		if t.Name == Redirect && all != nil {
			continue
		}
		b = append(append(b, ' '), t.text...)
	}
	switch {
	case all == nil && r.Redirect() == nil:
		b = append(b, " ~all"...)
	case all != nil && (all.Qualifier == Plus || all.Qualifier == Question):
		b = append(b, " ~all"...)
	case all != nil:
		b = append(append(b, ' '), all.text...)
	}
	return string(b)
}

// maxCovered bounds the terms among which covered ones are looked for: the work
// grows with the square.
const maxCovered = 500

// coveredBy returns the network because of which that of terms[i] says
// nothing, nil where there is none: one of the same qualifier that holds it,
// and that a client it is about comes to first, or with nothing else between.
func coveredBy(i int, terms []*Term) *Term {
	t := terms[i]
	if t.Name != IP4 && t.Name != IP6 || len(terms) > maxCovered {
		return nil
	}
	for k, by := range terms {
		if k > i && by.Qualifier != t.Qualifier {
			return nil
		}
		if k != i && by.Name == t.Name && by.Qualifier == t.Qualifier && covers(by.Network, t.Network) {
			return by
		}
	}
	return nil
}

// covers reports whether p holds all of q, and more.
func covers(p, q netip.Prefix) bool {
	return p.Bits() < q.Bits() && p.Addr().BitLen() == q.Addr().BitLen() && p.Masked().Contains(q.Addr())
}
