package mtasts

import (
	"strings"
	"time"

	"sekimori/explain"
)

const policyRef = "RFC 8461 §3.2"

// LintPolicy says what is wrong with a policy or could be better; hosts are
// the domain's MX hosts, none where they are not known. At most 40 findings.
func LintPolicy(text string, hosts []string) []explain.Finding {
	var out []explain.Finding
	add := func(g explain.Grade, code string, args explain.Args, ref, part string) {
		if len(out) < 40 {
			out = append(out, explain.Finding{Grade: g, Part: explain.Clip(part), Step: explain.Step{Code: code, Args: args, Ref: ref}})
		}
	}
	seen := map[string]bool{}
	p := Policy{}
	err := lines(text, func(f Field, line int) error {
		part := f.Name + ": " + f.Value
		if seen[f.Name] && f.Name != "mx" {
			add(explain.Warning, "mtasts.policy.twice", explain.Args{"field": explain.Clip(f.Name)}, policyRef, part)
			return nil
		}
		seen[f.Name] = true
		value := explain.Args{"value": explain.Clip(f.Value)}
		switch f.Name {
		case "version":
			if f.Value != "STSv1" {
				add(explain.Error, "mtasts.policy.version", value, policyRef, part)
			}
		case "mode":
			p.Mode = Mode(f.Value)
			switch p.Mode {
			case Enforce:
			case Testing:
				add(explain.Advice, "mtasts.policy.testing", nil, "RFC 8461 §5", part)
			case None:
				add(explain.Advice, "mtasts.policy.none", nil, "RFC 8461 §8.3", part)
			default:
				add(explain.Error, "mtasts.policy.mode", value, policyRef, part)
			}
		case "max_age":
			n, ok := age(f.Value)
			switch {
			case !ok:
				add(explain.Error, "mtasts.policy.max-age", value, policyRef, part)
			case n > int64(MaxAge/time.Second):
				add(explain.Warning, "mtasts.policy.max-age-long", explain.Args{"seconds": n}, policyRef, part)
			case n < 86400:
				// RFC 8461 §10.2: a short time is what an attacker waits for.
				add(explain.Warning, "mtasts.policy.max-age-short", explain.Args{"seconds": n}, "RFC 8461 §10.2", part)
			}
		case "mx":
			mx := strings.ToLower(f.Value)
			if !isPattern(mx) {
				add(explain.Error, "mtasts.policy.mx", value, "RFC 8461 §4.1", part)
				return nil
			}
			p.MX = append(p.MX, mx)
		default:
			if isPolicyExtension(f) {
				add(explain.Advice, "mtasts.policy.unknown", explain.Args{"field": explain.Clip(f.Name)}, policyRef, part)
			} else {
				add(explain.Error, "mtasts.policy.syntax", explain.Args{"line": int64(line), "text": explain.Clip(f.Name)}, policyRef, f.Name)
			}
		}
		return nil
	})
	if err != nil {
		add(explain.Error, "mtasts.policy.long", explain.Args{"octets": int64(len(text))}, "RFC 8461 §3.3", "")
		return out
	}
	need := []string{"version", "mode", "max_age", "mx"}
	if p.Mode == None {
		need = need[:3]
	}
	for _, name := range need {
		if !seen[name] {
			add(explain.Error, "mtasts.policy.missing", explain.Args{"field": name}, policyRef, "")
		}
	}
	for _, h := range hosts {
		host := explain.Args{"host": explain.Clip(h)}
		switch {
		case len(p.MX) == 0 || p.Allows(h):
		case p.Mode == Testing: // RFC 8461 §5: delivered, and reported
			add(explain.Warning, "mtasts.policy.host-absent-testing", host, "RFC 8461 §4.1", h)
		case p.Mode != None:
			add(explain.Error, "mtasts.policy.host-absent", host, "RFC 8461 §4.1", h)
		}
	}
	return out
}
