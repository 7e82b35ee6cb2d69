package tlsrpt

import (
	"strings"

	"sekimori/explain"
	"sekimori/taglist"
)

// Lint says what is wrong with the record published at _smtp._tls.DOMAIN, and
// what to publish instead. It asks nothing of the DNS. At most 20 findings.
func Lint(txt, domain string) []explain.Finding { return LintAll([]string{txt}, domain) }

// LintAll is Lint for all the TXT records at the name.
func LintAll(txts []string, domain string) []explain.Finding {
	var l linter
	n := 0
	for _, txt := range txts {
		if Begins(txt) {
			n++
		}
	}
	if n > 1 {
		l.add(explain.Error, "tlsrpt.lint.several", explain.Args{"count": int64(n)}, "")
	}
	for _, txt := range txts {
		if !Begins(txt) {
			if n == 0 { // beside a record other texts are ignored
				l.add(explain.Error, "tlsrpt.lint.not-tlsrpt", explain.Args{"text": explain.Clip(txt)}, txt)
				if strings.Contains(strings.ToLower(txt[:min(len(txt), 64)]), "tlsrptv1") { // a slip, not another text
					l.out[len(l.out)-1].Publish = &explain.Publish{Name: Name(domain), Type: "TXT", Value: meant(txt, domain).String()}
				}
			}
			continue
		}
		l.record(txt, domain)
	}
	return l.out
}

type linter struct{ out []explain.Finding }

func (l *linter) add(g explain.Grade, code string, args explain.Args, part string) {
	if len(l.out) < 20 {
		l.out = append(l.out, explain.Finding{Grade: g, Part: explain.Clip(part),
			Step: explain.Step{Code: code, Args: args, Ref: "RFC 8460 §3"}})
	}
}

func (l *linter) record(txt, domain string) {
	start := len(l.out)
	fixed, has := &Record{}, false
	err := taglist.Fields(txt, version, maxRecord, func(f Field, _ int) error {
		part := f.Name + "=" + f.Value
		switch {
		case f.Name == "rua" && has:
			l.add(explain.Error, "tlsrpt.lint.rua-twice", nil, part)
			fixed.RUA = append(fixed.RUA, l.destinations(f.Value)...)
		case f.Name == "rua":
			has = true
			fixed.RUA = append(fixed.RUA, l.destinations(f.Value)...)
		case f.IsExtension():
			fixed.Extensions = append(fixed.Extensions, f)
			l.add(explain.Advice, "tlsrpt.lint.unknown", explain.Args{"name": explain.Clip(f.Name)}, part)
		default:
			l.add(explain.Error, "tlsrpt.lint.syntax", explain.Args{"text": explain.Clip(f.Name)}, f.Name)
		}
		return nil
	})
	if err != nil {
		l.add(explain.Error, "tlsrpt.lint.long", explain.Args{"octets": int64(len(txt))}, "")
		return
	}
	if !has {
		l.add(explain.Error, "tlsrpt.lint.rua-missing", nil, "")
	}
	if len(fixed.RUA) == 0 {
		fixed.RUA = []string{"mailto:tls-reports@" + domain}
	}
	for i := start; i < len(l.out); i++ {
		if l.out[i].Grade == explain.Error {
			l.out[i].Publish = &explain.Publish{Name: Name(domain), Type: "TXT", Value: fixed.String()}
		}
	}
}

// destinations returns the destinations of a rua that can be used, or be
// mended: those of a bare address.
func (l *linter) destinations(value string) []string {
	var good []string
	for _, u := range split(value) {
		w := fault(u)
		switch {
		case w == nil:
			good = append(good, u)
			continue
		case *w == badScheme:
			l.add(explain.Error, "tlsrpt.lint.rua-scheme", explain.Args{"uri": explain.Clip(u)}, u)
		default:
			l.add(explain.Error, "tlsrpt.lint.rua-bad", explain.Args{"uri": explain.Clip(u)}, u)
		}
		if !strings.Contains(u, ":") && fault("mailto:"+u) == nil {
			good = append(good, "mailto:"+u)
		}
	}
	return good
}

// meant is a record to the destinations that a text without the right version
// names, or else to a mailbox of the domain.
func meant(txt, domain string) *Record {
	r := &Record{}
	_, rua, _ := strings.Cut(txt[:min(len(txt), maxRecord)], "rua=")
	rua, _, _ = strings.Cut(rua, ";")
	for _, u := range split(rua) {
		if u = strings.TrimSpace(u); fault(u) == nil {
			r.RUA = append(r.RUA, u)
		}
	}
	if len(r.RUA) == 0 {
		r.RUA = []string{"mailto:tls-reports@" + domain}
	}
	return r
}
