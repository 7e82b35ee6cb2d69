package bimi

import (
	"sekimori/explain"
	"sekimori/taglist"
)

// Lint says what is wrong with the record published at SELECTOR._bimi.DOMAIN
// or could be better. It asks nothing of the DNS and fetches nothing. At most
// 20 findings.
func Lint(txt, selector, domain string) []explain.Finding {
	return LintAll([]string{txt}, selector, domain)
}

// LintAll is Lint for all the TXT records at the name.
func LintAll(txts []string, selector, domain string) []explain.Finding {
	var l linter
	n := 0
	for _, txt := range txts {
		if Begins(txt) {
			n++
		}
	}
	if n > 1 {
		l.add(explain.Error, "bimi.lint.several", explain.Args{"count": int64(n)}, "draft-14 §7.2", "")
	}
	for _, txt := range txts {
		if Begins(txt) {
			l.record(txt, Name(selector, domain))
		} else if n == 0 {
			l.add(explain.Error, "bimi.lint.not-bimi", explain.Args{"text": explain.Clip(txt)}, ref, txt)
		}
	}
	return l.out
}

const ref = "draft-14 §4.3"

type linter struct{ out []explain.Finding }

func (l *linter) add(g explain.Grade, code string, args explain.Args, ref, part string) {
	if len(l.out) < 20 {
		l.out = append(l.out, explain.Finding{Grade: g, Part: explain.Clip(part), Step: explain.Step{Code: code, Args: args, Ref: ref}})
	}
}

func (l *linter) record(txt, name string) {
	if len(txt) > maxRecord {
		l.add(explain.Error, "bimi.lint.long", explain.Args{"octets": int64(len(txt))}, ref, "")
		return
	}
	start := len(l.out)
	list, faults := taglist.Parse(txt)
	for _, f := range faults {
		if f.Kind == taglist.Duplicate {
			l.add(explain.Error, "bimi.lint.twice", explain.Args{"text": explain.Clip(f.Text)}, ref, f.Text)
		} else {
			l.add(explain.Error, "bimi.lint.syntax", explain.Args{"text": explain.Clip(f.Text)}, ref, f.Text)
		}
	}
	fixed := &Record{Avatar: Brand}
	has := map[string]bool{}
	whole := true // what was found wrong can be put right without its owner
	for _, t := range list {
		if has[t.Name] {
			continue
		}
		has[t.Name] = true
		part := t.Name + "=" + t.Value
		args := explain.Args{"tag": t.Name, "value": explain.Clip(t.Value)}
		switch t.Name {
		case "v":
		case "l", "a":
			switch {
			case t.Value != "" && !isHTTPS(t.Value):
				l.add(explain.Error, "bimi.lint.uri", args, ref, part)
				whole = false
			case t.Name == "a":
				fixed.Authority = t.Value
			case t.Value != "" && !isSVG(t.Value):
				l.add(explain.Error, "bimi.lint.svg", args, ref, part)
				whole = false
			default:
				fixed.Location = t.Value
			}
		case "avp":
			if fixed.Avatar = Avatar(t.Value); fixed.Avatar != Brand && fixed.Avatar != Personal {
				l.add(explain.Error, "bimi.lint.avp", args, ref, part)
				fixed.Avatar = Brand
			}
		case "lps":
			list, bad := prefixes(t.Value)
			if fixed.Local, fixed.Prefixes = bad == "", list; bad != "" {
				l.add(explain.Error, "bimi.lint.lps", args, ref, part)
			}
		default:
			l.add(explain.Advice, "bimi.lint.unknown", explain.Args{"tag": explain.Clip(t.Name)}, ref, part)
		}
	}
	if !has["l"] {
		l.add(explain.Error, "bimi.lint.no-location", nil, ref, "")
		whole = false
	}
	if fixed.Location != "" && fixed.Authority == "" && whole {
		l.add(explain.Advice, "bimi.lint.no-certificate", nil, ref, "")
	}
	for i := start; i < len(l.out) && whole; i++ {
		if l.out[i].Grade == explain.Error {
			l.out[i].Publish = &explain.Publish{Name: name, Type: "TXT", Value: fixed.String()}
		}
	}
}
