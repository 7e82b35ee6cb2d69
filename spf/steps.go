package spf

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"sekimori/dns"
	"sekimori/explain"
)

// Steps are what readers of a verdict see: one with the verdict, below it one
// for each record read, and below that one for each term looked at, with the
// records that it led to.

// maxArg bounds a value from outside in a step.
const maxArg = 200

// clip makes a value from outside fit to be shown: at most 200 octets, with "?"
// for each octet or character that cannot be printed.
func clip(s string) string {
	if len(s) <= maxArg && printable(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if b.Len()+utf8.RuneLen(r) > maxArg || i > 4*maxArg {
			b.WriteString("…")
			break
		}
		// No format characters either, which turn the direction of text.
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// printable reports whether s is printable ASCII.
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// clipASCII is clip for header fields: what is not ASCII is "?" too.
func clipASCII(s string) string {
	if len(s) <= maxArg && printable(s) {
		return s
	}
	b := []byte(s[:min(len(s), maxArg)])
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}

// clipAll clips a list, and keeps at most ten of it.
func clipAll(all []string) []string {
	const most = 10
	if len(all) > most {
		all = append(append(make([]string, 0, most+1), all[:most]...), "…")
	}
	for i, s := range all {
		if c := clip(s); c != s {
			all = append([]string(nil), all...)
			all[i] = c
		}
	}
	return all
}

// verdict is the step of the whole evaluation.
func (e *evaluation) verdict(res *Result, children ...explain.Step) explain.Step {
	s := explain.Step{Children: children}
	args := explain.Args{"ip": e.ipArg, "domain": clip(res.Domain)}
	switch res.Status {
	case Pass:
		s.Code, s.Ref = "spf.pass", "RFC 7208 §8.3"
	case Fail:
		s.Code, s.Ref = "spf.fail", "RFC 7208 §8.4"
	case SoftFail:
		s.Code, s.Ref = "spf.softfail", "RFC 7208 §8.5"
	case Neutral:
		s.Code, s.Ref = "spf.neutral", "RFC 7208 §8.2"
	case None:
		s.Code, s.Ref = "spf.none", "RFC 7208 §8.1"
	case TempError:
		s.Code, s.Ref = "spf.temperror", "RFC 7208 §8.6"
	case PermError:
		s.Code, s.Ref = "spf.permerror", "RFC 7208 §8.7"
	}
	if res.Mechanism != "" {
		args["mechanism"] = clip(res.Mechanism)
	}
	args["lookups"] = int64(res.Lookups)
	s.Args = args
	return s
}

func stepNoAddress() explain.Step {
	return explain.Step{Code: "spf.no-address"}
}

func stepBadDomain(name string) explain.Step {
	return explain.Step{Code: "spf.bad-domain", Args: explain.Args{"domain": clip(name)}, Ref: "RFC 7208 §4.3"}
}

func stepNoAnswer(name string, t dns.Type, err error) explain.Step {
	return explain.Step{Code: "spf.no-answer", Ref: "RFC 7208 §4.4",
		Args: explain.Args{"name": clip(name), "type": string(t), "error": clip(err.Error())}}
}

func stepNoRecord(name string) explain.Step {
	return explain.Step{Code: "spf.no-record", Args: explain.Args{"domain": clip(name)}, Ref: "RFC 7208 §4.5"}
}

func stepMultiple(name string, n int) explain.Step {
	return explain.Step{Code: "spf.multiple-records", Args: explain.Args{"domain": clip(name), "n": int64(n)}, Ref: "RFC 7208 §4.5"}
}

func stepRecord(name, txt string, children []explain.Step) explain.Step {
	return explain.Step{Code: "spf.record", Args: explain.Args{"domain": clip(name), "record": clip(txt)}, Ref: "RFC 7208 §4.5", Children: children}
}

func stepSyntax(err *SyntaxError) explain.Step {
	return explain.Step{Code: string(err.Cause), Ref: "RFC 7208 §4.6",
		Args: explain.Args{"term": clip(err.Term), "octet": int64(err.Offset + 1)}}
}

// stepNoTarget is an include or a redirect to what cannot have a record.
func stepNoTarget(t *Term, to string) explain.Step {
	ref := "RFC 7208 §5.2"
	if t.IsModifier() {
		ref = "RFC 7208 §6.1"
	}
	return explain.Step{Code: "spf.include-failed", Args: explain.Args{"term": clip(t.Text()), "result": "permerror"},
		Ref: ref, Children: []explain.Step{stepBadDomain(to)}}
}

func stepDefault() explain.Step {
	return explain.Step{Code: "spf.default", Ref: "RFC 7208 §4.7"}
}

func stepRedirect(t *Term, o outcome) explain.Step {
	return explain.Step{Code: "spf.redirect", Args: explain.Args{"term": clip(t.Text()), "record": clip(o.record), "result": o.status.arg()},
		Ref: "RFC 7208 §6.1", Children: o.steps}
}

func stepAll(t *Term) explain.Step {
	return explain.Step{Code: "spf.match.all", Args: explain.Args{"term": clip(t.Text())}, Ref: "RFC 7208 §5.1"}
}

// stepNetwork is the ip4 or ip6 that holds the client.
func (e *evaluation) stepNetwork(t *Term) explain.Step {
	return explain.Step{Code: "spf.match.network", Args: explain.Args{"term": clip(t.Text()), "ip": e.ipArg}, Ref: "RFC 7208 §5.6"}
}

// stepNoNetwork is for ip4 and ip6 in a row that do not hold the client.
func (e *evaluation) stepNoNetwork(terms []Term) explain.Step {
	const most = 10
	all := make([]string, 0, min(len(terms), most+1))
	for i := range terms {
		if terms[i].IsModifier() {
			continue
		}
		if len(all) == most {
			all = append(all, "…")
			break
		}
		all = append(all, clip(terms[i].Text()))
	}
	return explain.Step{Code: "spf.miss.network", Args: explain.Args{"terms": all, "ip": e.ipArg}, Ref: "RFC 7208 §5.6"}
}

// stepHost is a match through a host.
func (e *evaluation) stepHost(code string, t *Term, name, address string) explain.Step {
	return explain.Step{Code: code, Args: explain.Args{"term": clip(t.Text()), "name": clip(name), "address": clip(address), "ip": e.ipArg},
		Ref: clause(t)}
}

func (e *evaluation) stepAddresses(code string, t *Term, name string, records []string) explain.Step {
	return explain.Step{Code: code, Args: explain.Args{"term": clip(t.Text()), "name": clip(name), "addresses": clipAll(records), "ip": e.ipArg},
		Ref: clause(t)}
}

func (e *evaluation) stepHosts(code string, t *Term, name string, hosts []string) explain.Step {
	return explain.Step{Code: code, Args: explain.Args{"term": clip(t.Text()), "name": clip(name), "hosts": clipAll(hosts), "ip": e.ipArg},
		Ref: clause(t)}
}

// stepVoid is a question without records.
func (e *evaluation) stepVoid(t *Term, name string, kind dns.Type) explain.Step {
	return explain.Step{Code: "spf.miss.void", Args: explain.Args{"term": clip(t.Text()), "name": clip(name), "type": string(kind)}, Ref: clause(t)}
}

func (e *evaluation) stepFailed(t *Term, name string, kind dns.Type, err error) explain.Step {
	return explain.Step{Code: "spf.term-failed", Ref: "RFC 7208 §5",
		Args: explain.Args{"term": clip(t.Text()), "name": clip(name), "type": string(kind), "error": clip(err.Error())}}
}

// stepBadTarget is a target-name that the DNS cannot hold.
func (e *evaluation) stepBadTarget(t *Term) explain.Step {
	return explain.Step{Code: "spf.miss.bad-name", Args: explain.Args{"term": clip(t.Text())}, Ref: "RFC 7208 §4.8"}
}

func (e *evaluation) stepLimit(code string, t *Term, limit int, children ...explain.Step) explain.Step {
	return explain.Step{Code: code, Args: explain.Args{"term": clip(t.Text()), "limit": int64(limit)}, Ref: "RFC 7208 §4.6.4", Children: children}
}

// stepInclude holds the record that an include led to, and its terms below.
func (e *evaluation) stepInclude(t *Term, o outcome) explain.Step {
	s := explain.Step{Ref: "RFC 7208 §5.2", Children: o.steps,
		Args: explain.Args{"term": clip(t.Text()), "record": clip(o.record), "result": o.status.arg()}}
	switch o.status {
	case Pass:
		s.Code = "spf.match.include"
	case Fail, SoftFail, Neutral:
		s.Code = "spf.miss.include"
	default:
		s.Code = "spf.include-failed"
	}
	return s
}

// arg is the status as argument, without an allocation.
func (s Status) arg() any {
	switch s {
	case Pass:
		return "pass"
	case Fail:
		return "fail"
	case SoftFail:
		return "softfail"
	case Neutral:
		return "neutral"
	}
	return string(s)
}

func stepNoExplanation(t *Term, target string) explain.Step {
	return explain.Step{Code: "spf.explanation-unusable", Args: explain.Args{"term": clip(t.Text()), "name": clip(target)}, Ref: "RFC 7208 §6.2"}
}

func stepExplanation(t *Term, target, text string) explain.Step {
	return explain.Step{Code: "spf.explanation", Args: explain.Args{"term": clip(t.Text()), "name": clip(target), "text": clip(text)}, Ref: "RFC 7208 §6.2"}
}

// clause is where the RFC defines a mechanism.
func clause(t *Term) string {
	switch t.Name {
	case Include:
		return "RFC 7208 §5.2"
	case A:
		return "RFC 7208 §5.3"
	case MX:
		return "RFC 7208 §5.4"
	case PTR:
		return "RFC 7208 §5.5"
	case Exists:
		return "RFC 7208 §5.7"
	}
	return "RFC 7208 §5"
}
