package mtasts

import (
	"strings"

	"sekimori/explain"
	"sekimori/taglist"
)

const recordRef = "RFC 8461 §3.1"

// Lint says what is wrong with the record published at _mta-sts.DOMAIN, and
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
		l.add(explain.Error, "mtasts.lint.several", explain.Args{"count": int64(n)}, "")
	}
	for _, txt := range txts {
		if !Begins(txt) {
			if n == 0 { // beside a record other texts are ignored
				l.add(explain.Error, "mtasts.lint.not-sts", explain.Args{"text": explain.Clip(txt)}, txt)
				if strings.Contains(strings.ToLower(txt[:min(len(txt), 64)]), "stsv1") { // a slip, not another text
					l.out[len(l.out)-1].Publish = &explain.Publish{Name: Name(domain), Type: "TXT", Value: (&Record{ID: idOf(txt)}).String()}
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
			Step: explain.Step{Code: code, Args: args, Ref: recordRef}})
	}
}

func (l *linter) record(txt, domain string) {
	start := len(l.out)
	fixed, has := &Record{}, false
	err := taglist.Fields(txt, version, maxRecord, func(f Field, _ int) error {
		part := f.Name + "=" + f.Value
		switch {
		case f.Name == "id" && has:
			l.add(explain.Error, "mtasts.lint.id-twice", nil, part)
		case f.Name == "id":
			has = true
			if isID(f.Value) {
				fixed.ID = f.Value
			} else {
				l.add(explain.Error, "mtasts.lint.id-bad", explain.Args{"id": explain.Clip(f.Value)}, part)
			}
		case f.IsExtension():
			fixed.Extensions = append(fixed.Extensions, f)
			l.add(explain.Advice, "mtasts.lint.unknown", explain.Args{"name": explain.Clip(f.Name)}, part)
		default:
			l.add(explain.Error, "mtasts.lint.syntax", explain.Args{"text": explain.Clip(f.Name)}, f.Name)
		}
		return nil
	})
	if err != nil {
		l.add(explain.Error, "mtasts.lint.long", explain.Args{"octets": int64(len(txt))}, "")
		return
	}
	if !has {
		l.add(explain.Error, "mtasts.lint.id-missing", nil, "")
	}
	if fixed.ID == "" {
		fixed.ID = idOf(txt)
	}
	for i := start; i < len(l.out); i++ {
		if l.out[i].Grade == explain.Error {
			l.out[i].Publish = &explain.Publish{Name: Name(domain), Type: "TXT", Value: fixed.String()}
		}
	}
}

// idOf makes an id of what letters and digits there are.
func idOf(txt string) string {
	_, rest, _ := strings.Cut(txt, "id=")
	b := make([]byte, 0, 32)
	for i := 0; i < len(rest) && rest[i] != ';' && len(b) < 32; i++ {
		if alnum(rest[i]) {
			b = append(b, rest[i])
		}
	}
	if len(b) == 0 {
		return "1"
	}
	return string(b)
}
