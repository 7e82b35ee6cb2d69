package dane

import (
	"sekimori/explain"
)

// Lint says what is wrong with a TLSA record of a mail exchanger, and what to
// publish instead. It asks nothing of the DNS.
func Lint(txt, host string) []explain.Finding { return LintAll([]string{txt}, host) }

// LintAll is Lint for all the records at the name. At most 20 findings.
func LintAll(txts []string, host string) []explain.Finding {
	var out []explain.Finding
	add := func(g explain.Grade, code, ref, part string, args explain.Args, instead *Record) {
		if len(out) == 20 {
			return
		}
		f := explain.Finding{Grade: g, Part: explain.Clip(part), Step: explain.Step{Code: code, Args: args, Ref: ref}}
		if instead != nil && instead.Usable() {
			f.Publish = &explain.Publish{Name: Name(host), Type: "TLSA", Value: instead.String()}
		}
		out = append(out, f)
	}
	usable := 0
	for _, txt := range txts {
		r, err := Parse(txt)
		if err != nil {
			add(explain.Error, "dane.lint.syntax", "RFC 6698 §2.2", txt, explain.Args{"text": explain.Clip(txt)}, nil)
			continue
		}
		if r.Usable() {
			usable++
		}
		if r.Usage == PKIXTA || r.Usage == PKIXEE {
			better := *r
			better.Usage += 2 // the same certificate, without the CAs' word for it
			add(explain.Error, "dane.lint.pkix", "RFC 7672 §3.1.3", txt,
				explain.Args{"usage": int64(r.Usage), "instead": int64(better.Usage)}, &better)
		} else if r.Usage > EE {
			add(explain.Error, "dane.lint.usage", "RFC 6698 §2.1.1", txt, explain.Args{"usage": int64(r.Usage)}, nil)
		}
		if r.Selector > SPKI {
			add(explain.Error, "dane.lint.selector", "RFC 6698 §2.1.2", txt, explain.Args{"selector": int64(r.Selector)}, nil)
		}
		switch want := r.Matching.digest(); {
		case r.Matching > SHA512:
			add(explain.Error, "dane.lint.matching", "RFC 6698 §2.1.3", txt, explain.Args{"matching": int64(r.Matching)}, nil)
		case want != 0 && len(r.Data) != want:
			add(explain.Error, "dane.lint.length", "RFC 6698 §2.1.4", txt,
				explain.Args{"matching": int64(r.Matching), "octets": int64(len(r.Data)), "want": int64(want)}, nil)
		case r.Matching == Full && r.Usable():
			add(explain.Advice, "dane.lint.full", "RFC 7671 §10.1.2", txt, explain.Args{"octets": int64(len(r.Data))}, nil)
		}
		if r.Usable() && r.Usage == EE && r.Selector == Cert {
			add(explain.Advice, "dane.lint.certificate", "RFC 7671 §5.1", txt, nil, nil)
		}
	}
	if usable == 0 && len(txts) > 0 {
		add(explain.Error, "dane.lint.none-usable", "RFC 7672 §2.2", "", explain.Args{"host": explain.Clip(host)}, nil)
	}
	return out
}
