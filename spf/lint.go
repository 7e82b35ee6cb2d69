package spf

import (
	"net/netip"
	"slices"
	"strings"

	"sekimori/explain"
)

// Lint looks at the text of a record without asking the DNS: what makes it
// unreadable, what has no effect or an effect that nobody can want, and what
// would be better. domain is where the record is, or will be, published.
//
// Findings that can be put right carry the record to publish instead; it is
// one record, with everything put right that can be. A record that says "no
// mail from here" (v=spf1 -all) has no findings.
func Lint(txt, domain string) []explain.Finding {
	l := newLinter(txt, domain)
	l.lint()
	if len(txt) > maxString {
		// RFC 7208 §3.3: one string holds 255 octets
		l.add(explain.Advice, "spf.lint.long-string", "", explain.Args{"n": int64(len(txt)), "limit": int64(maxString)}, "RFC 7208 §3.3")
	}
	return l.findings()
}

const (
	maxString = 255 // octets of one character-string (RFC 1035 §3.3)
	maxUDP    = 450 // octets of an answer's text that fit anywhere (RFC 7208 §3.4)
)

// linter looks at one record.
type linter struct {
	txt    string
	domain string
	found  []explain.Finding
	mended []bool // by finding: better puts it right

	better string // the record to publish instead; "" where there is none
	terms  []Term // those of the record, where all can be read
}

func newLinter(txt, domain string) *linter {
	return &linter{txt: txt, domain: strings.TrimSuffix(lower(domain), ".")}
}

// add notes a finding that the better record does not put right.
func (l *linter) add(g explain.Grade, code, part string, args explain.Args, ref string) {
	l.found = append(l.found, explain.Finding{Grade: g, Part: clip(part), Step: explain.Step{Code: code, Args: args, Ref: ref}})
	l.mended = append(l.mended, false)
}

// mend notes a finding that the better record puts right.
func (l *linter) mend(g explain.Grade, code, part string, args explain.Args, ref string) {
	l.add(g, code, part, args, ref)
	l.mended[len(l.mended)-1] = true
}

// maxFindings bounds the findings about one record.
const maxFindings = 50

// findings returns what was found, errors first.
func (l *linter) findings() []explain.Finding {
	var p *explain.Publish
	if l.better != "" && l.better != l.txt && l.domain != "" {
		p = &explain.Publish{Name: l.domain, Type: "TXT", Value: l.better}
	}
	for i := range l.found {
		if l.mended[i] && l.found[i].Publish == nil {
			l.found[i].Publish = p
		}
	}
	return byGrade(l.found)
}

func byGrade(all []explain.Finding) []explain.Finding {
	rank := func(f explain.Finding) int {
		return slices.Index([]explain.Grade{explain.Error, explain.Warning, explain.Advice}, f.Grade)
	}
	slices.SortStableFunc(all, func(a, b explain.Finding) int { return rank(a) - rank(b) })
	return all[:min(len(all), maxFindings)]
}

func (l *linter) lint() {
	if !IsRecord(l.txt) {
		l.lintVersion()
		return
	}
	if l.txt[:len(version)] != version {
		l.mend(explain.Advice, "spf.lint.version-case", l.txt[:len(version)], nil, "RFC 7208 §4.5")
	}
	readable := l.lintSyntax()
	mended := mend(l.txt)
	r, err := Parse(mended)
	if err != nil {
		return // what is to be published cannot be guessed
	}
	if readable {
		l.lintTerms()
	}
	l.better = improve(r, l.domain)
}

// lintVersion is for text that receivers do not take for an SPF record.
func (l *linter) lintVersion() {
	mended := mend(l.txt)
	if !IsRecord(mended) {
		if strings.HasPrefix(lower(strings.TrimSpace(l.txt)), "spf2.0") {
			l.add(explain.Advice, "spf.lint.sender-id", l.txt, nil, "RFC 7208 §3.1")
			return
		}
		l.add(explain.Error, "spf.lint.no-record", l.txt, nil, "RFC 7208 §4.5")
		return
	}
	if r, err := Parse(mended); err == nil {
		l.better = improve(r, l.domain)
	}
	head := l.txt[:min(len(l.txt), 12)]
	l.mend(explain.Error, "spf.lint.version", head, explain.Args{"text": clip(head)}, "RFC 7208 §4.5")
}

// looksLikeSPF reports whether a TXT record that is none seems to be meant as
// an SPF record.
func looksLikeSPF(txt string) bool {
	s := lower(txt[:min(len(txt), 64)])
	return !IsRecord(txt) && !strings.HasPrefix(s, "spf2.0") && IsRecord(mend(txt)) && strings.Contains(s, "spf1")
}

// lintSyntax reads every term and notes each fault; it reports whether there
// was none. One fault makes the record worth nothing (RFC 7208 §4.6).
func (l *linter) lintSyntax() bool {
	terms, faults := ParseTerms(l.txt)
	for _, err := range faults[:min(len(faults), maxFindings)] {
		l.mend(explain.Error, string(err.Cause), err.Term, explain.Args{"term": clip(err.Term), "octet": int64(err.Offset + 1)}, "RFC 7208 §4.6")
	}
	l.terms = terms
	return len(faults) == 0
}

// lintTerms looks at what the terms say.
func (l *linter) lintTerms() {
	all, redirect := -1, -1
	var modifierExp *Term
	fails := false
	lookups := 0
	seen := map[string]bool{}
	for i := range l.terms {
		t := &l.terms[i]
		if t.IsModifier() {
			switch t.Name {
			case Redirect:
				redirect = i
			case Exp:
				modifierExp = t
			}
			if !l.lintSpace(t) {
				l.lintModifier(t)
			}
			continue
		}
		if all >= 0 {
			if t.Name == All {
				l.mend(explain.Warning, "spf.lint.second-all", t.text, nil, "RFC 7208 §5.1")
			} else {
				l.mend(explain.Warning, "spf.lint.after-all", t.text, nil, "RFC 7208 §5.1")
			}
			continue
		}
		if t.queries() {
			lookups++
		}
		fails = fails || t.Qualifier == Minus
		if key := lower(t.String()[len(qualifierText(t)):]); seen[key] {
			l.mend(explain.Advice, "spf.lint.duplicate", t.text, nil, "RFC 7208 §4.6.2")
			continue
		} else {
			seen[key] = true
		}
		if t.Name == All {
			all = i
		}
		if !l.lintSpace(t) {
			l.lintDirective(t)
		}
	}
	l.lintCovered()
	l.lintEnd(all, redirect)
	if modifierExp != nil && !fails && redirect < 0 {
		l.add(explain.Advice, "spf.lint.idle-exp", modifierExp.text, nil, "RFC 7208 §6.2")
	}
	if redirect >= 0 && all < 0 {
		lookups++
	}
	if lookups > 10 {
		l.add(explain.Error, "spf.lint.lookups", "", explain.Args{"n": int64(lookups), "limit": int64(10)}, "RFC 7208 §4.6.4")
	}
	if len(l.txt) > maxUDP {
		l.add(explain.Advice, "spf.lint.long-record", "", explain.Args{"n": int64(len(l.txt)), "limit": int64(maxUDP)}, "RFC 7208 §3.4")
	}
}

// qualifierText is the qualifier as String writes it.
func qualifierText(t *Term) string {
	if t.Qualifier == Plus {
		return ""
	}
	return string(t.Qualifier)
}

// names reports whether the term's target is a domain, without macros.
func (t *Term) names(domain string) bool {
	return domain != "" && t.Value.pieces == nil && lower(strings.TrimSuffix(t.Value.text, ".")) == domain
}

// lintEnd looks at what becomes of clients that nothing matches.
func (l *linter) lintEnd(all, redirect int) {
	switch {
	case all < 0 && redirect < 0:
		grade := explain.Warning
		if strings.HasPrefix(l.domain, "_") {
			grade = explain.Advice // a record to be included, for which it does not matter
		}
		l.mend(grade, "spf.lint.no-all", "", nil, "RFC 7208 §4.7")
		return
	case all < 0:
		return
	}
	switch t := &l.terms[all]; t.Qualifier {
	case Plus:
		l.mend(explain.Error, "spf.lint.plus-all", t.text, nil, "RFC 7208 §5.1")
	case Question:
		l.mend(explain.Warning, "spf.lint.neutral-all", t.text, nil, "RFC 7208 §8.2")
	}
	if redirect >= 0 {
		l.mend(explain.Warning, "spf.lint.idle-redirect", l.terms[redirect].text, nil, "RFC 7208 §6.1")
	}
}

// lintDirective looks at one mechanism.
func (l *linter) lintDirective(t *Term) {
	switch t.Name {
	case PTR: // RFC 7208 §5.5: SHOULD NOT be published
		l.add(explain.Warning, "spf.lint.ptr", t.text, nil, "RFC 7208 §5.5")
	case IP4, IP6:
		if t.Network.Masked() != t.Network {
			l.mend(explain.Advice, "spf.lint.host-bits", t.text, explain.Args{"network": t.Network.Masked().String()}, "RFC 7208 §5.6")
		}
		if t.Network.Addr().Is4In6() {
			l.mend(explain.Warning, "spf.lint.mapped", t.text, nil, "RFC 7208 §5")
		} else if private(t.Network) {
			l.add(explain.Advice, "spf.lint.private", t.text, nil, "")
		}
		if t.Qualifier == Plus {
			l.lintWidth(t, t.Network.Bits(), t.Name == IP4)
		}
	case A, MX:
		if t.Qualifier == Plus && t.Bits4.Given {
			l.lintWidth(t, int(t.Bits4.Bits), true)
		}
		if t.Qualifier == Plus && t.Bits6.Given {
			l.lintWidth(t, int(t.Bits6.Bits), false)
		}
	case Exists:
		if len(t.Value.pieces) == 0 {
			l.add(explain.Advice, "spf.lint.constant-exists", t.text, nil, "RFC 7208 §5.7")
		}
	case Include:
		if t.names(l.domain) {
			l.mend(explain.Error, "spf.lint.includes-itself", t.text, nil, "RFC 7208 §5.2")
		}
	}
	l.lintMacros(t)
}

// lintWidth notes networks that hold far more than one's own hosts.
func (l *linter) lintWidth(t *Term, bits int, v4 bool) {
	grade := explain.Grade("")
	switch {
	case v4 && bits < 8, !v4 && bits < 20:
		grade = explain.Error
	case v4 && bits < 16, !v4 && bits < 32:
		grade = explain.Warning
	default:
		return
	}
	l.add(grade, "spf.lint.wide", t.text, explain.Args{"bits": int64(bits)}, "RFC 7208 §11.4")
}

// lintSpace notes a domain that an all without its space has grown into. No
// top-level domain ends so, but the grammar has room for one.
func (l *linter) lintSpace(t *Term) bool {
	v := t.Value.text
	if n := len(v) - len("-all"); n <= 0 || !foldEqual(v[n:], "-all") {
		return false
	}
	l.mend(explain.Error, "spf.lint.missing-space", t.text, nil, "RFC 7208 §4.6.1")
	return true
}

// lintMacros notes macros that work against their owner.
func (l *linter) lintMacros(t *Term) {
	if t.Value.uses("p") { // RFC 7208 §7.3: SHOULD NOT be used
		l.add(explain.Warning, "spf.lint.macro-p", t.text, nil, "RFC 7208 §7.3")
	}
	if t.Value.uses("sl") {
		l.add(explain.Advice, "spf.lint.macro-local", t.text, nil, "RFC 7208 §11.6")
	}
}

// lintModifier looks at one modifier.
func (l *linter) lintModifier(t *Term) {
	switch t.Name {
	case Redirect:
		if t.names(l.domain) {
			l.add(explain.Error, "spf.lint.redirects-to-itself", t.text, nil, "RFC 7208 §6.1")
		}
		l.lintMacros(t)
	case Exp:
	case "ra", "rp", "rr": // RFC 6652 §3
	case "v":
		l.mend(explain.Error, "spf.lint.version-again", t.text, nil, "RFC 7208 §6")
	case All, Include, A, MX, PTR, IP4, IP6, Exists, "ip", "ipv4", "ipv6":
		// "include=x" reads as a modifier that nobody knows, and is ignored.
		l.mend(explain.Error, "spf.lint.mechanism-equals", t.text, explain.Args{"instead": clip(mendTerm(t.text))}, "RFC 7208 §4.6.1")
	default:
		l.add(explain.Advice, "spf.lint.unknown-modifier", t.text, explain.Args{"name": clip(string(t.Name))}, "RFC 7208 §6")
	}
}

// lintCovered notes networks that lie in another one.
func (l *linter) lintCovered() {
	var terms []*Term
	for i := range l.terms {
		t := &l.terms[i]
		if t.IsModifier() {
			continue
		}
		if t.Name == All {
			break
		}
		terms = append(terms, t)
	}
	for i, t := range terms {
		if by := coveredBy(i, terms); by != nil {
			l.mend(explain.Advice, "spf.lint.covered", t.text, explain.Args{"by": clip(by.text)}, "RFC 7208 §5.6")
		}
	}
}

// private reports whether no mail on the Internet comes from a network.
func private(p netip.Prefix) bool {
	a := p.Masked().Addr()
	return p.Bits() >= 8 && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified())
}
