package watch

import (
	"slices"
	"strconv"
	"strings"

	"sekimori/dmarc"
	"sekimori/explain"
	"sekimori/internal/store"
)

// change is two spans of what one name published, one after the other.
type change struct {
	before, after store.Observation
}

func sortObservations(o []store.Observation) {
	slices.SortFunc(o, func(a, b store.Observation) int {
		return strings.Compare(a.Kind+" "+a.Name, b.Kind+" "+b.Name)
	})
}

// changes pairs spans, the newest first, with those that they followed. A first
// sight is no change: nobody knows what was there before.
func changes(seen []store.Observation) []change {
	type key struct{ name, kind string }
	latest := map[key]store.Observation{}
	var out []change
	for i := len(seen) - 1; i >= 0; i-- {
		o := seen[i]
		k := key{o.Name, o.Kind}
		if b, ok := latest[k]; ok && b.Value != o.Value {
			out = append(out, change{b, o})
		}
		latest[k] = o
	}
	slices.Reverse(out)
	return out
}

// key is the same whenever the change is met.
func (c change) key() string {
	return c.after.Kind + "/" + c.after.Name + "/" + strconv.FormatInt(c.after.From.Unix(), 10)
}

func (c change) entry() Entry {
	return Entry{Domain: c.after.Domain, At: c.after.From, Kind: "dns", Step: c.step(),
		Name: c.after.Name, Before: c.before.Value, After: c.after.Value}
}

// records tells the records before and after, for an alert.
func (c change) records() []explain.Step {
	return []explain.Step{
		{Code: "watch.was", Args: explain.Args{"records": shown(c.before.Value)}},
		{Code: "watch.is", Args: explain.Args{"records": shown(c.after.Value)}},
	}
}

// shown is records as an argument: clipped, "-" for none.
func shown(value string) []string {
	if value == "" {
		return []string{"-"}
	}
	var out []string
	for s := range strings.SplitSeq(value, "\n") {
		out = append(out, explain.Clip(s))
	}
	return out
}

// step says what changed.
func (c change) step() explain.Step {
	from, to := lines(c.before.Value), lines(c.after.Value)
	args := explain.Args{"name": c.after.Name, "from": explain.Clip(strings.Join(from, " / ")), "to": explain.Clip(strings.Join(to, " / "))}
	code := ""
	switch c.after.Kind {
	case "dmarc":
		code = c.dmarc(from, to, args)
	case "spf":
		code = c.spf(from, to, args)
	default:
		code = plainCode(c.after.Kind, len(from) > 0, len(to) > 0)
		if c.after.Kind == "mx" || c.after.Kind == "ns" {
			args["added"], args["removed"] = differences(from, to)
		}
	}
	return explain.Step{Code: code, Args: args, Ref: clause(c.after.Kind)}
}

// dmarc compares what two records ask for.
func (c change) dmarc(from, to []string, args explain.Args) string {
	switch {
	case len(to) == 0:
		return "watch.dmarc-removed"
	case len(to) > 1:
		return "watch.dmarc-several" // RFC 9989 §4.10: none counts
	case len(from) == 0:
		return "watch.dmarc-appeared"
	}
	p, sp, np := asked(from)
	q, sq, nq := asked(to)
	args["before"], args["after"] = string(p), string(q)
	switch {
	case q.Level() < p.Level():
		return "watch.dmarc-weaker"
	case q.Level() > p.Level():
		return "watch.dmarc-stricter"
	case sq.Level() < sp.Level() || nq.Level() < np.Level():
		return "watch.dmarc-below-weaker"
	}
	return "watch.dmarc-changed"
}

// asked is the policies in force of records at one name.
func asked(records []string) (p, sp, np dmarc.Policy) {
	if len(records) != 1 {
		return dmarc.None, dmarc.None, dmarc.None
	}
	r, err := dmarc.Parse(records[0])
	if err != nil {
		return dmarc.None, dmarc.None, dmarc.None
	}
	if p, sp, np = r.Effective(); r.Testing { // RFC 9989 §4.7: one step less
		return below(p), below(sp), below(np)
	}
	return p, sp, np
}

func below(p dmarc.Policy) dmarc.Policy {
	if p == dmarc.Reject {
		return dmarc.Quarantine
	}
	return dmarc.None
}

// spf compares terms: where they stand matters less than which there are.
func (c change) spf(from, to []string, args explain.Args) string {
	switch {
	case len(to) == 0:
		return "watch.spf-removed"
	case len(to) > 1:
		return "watch.spf-several" // RFC 7208 §4.5: a permanent error
	case len(from) != 1:
		return "watch.spf-appeared"
	}
	added, removed := differences(strings.Fields(strings.ToLower(from[0])), strings.Fields(strings.ToLower(to[0])))
	args["added"], args["removed"] = added, removed
	switch {
	case len(added) == 0 && len(removed) == 0:
		return "watch.spf-reordered"
	case len(removed) == 0:
		return "watch.spf-added"
	case len(added) == 0:
		return "watch.spf-taken"
	}
	return "watch.spf-changed"
}

// differences are what only the second list holds, and what only the first
// does, at most 20 each.
func differences(from, to []string) (added, removed []string) {
	only := func(a, b []string) []string {
		out := []string{}
		for _, s := range a {
			if !slices.Contains(b, s) {
				if len(out) == 20 {
					return append(out, "…")
				}
				out = append(out, explain.Clip(s))
			}
		}
		return out
	}
	return only(to, from), only(from, to)
}

func lines(value string) []string {
	if value == "" {
		return nil
	}
	return strings.Split(value, "\n")
}

// plainCode says what happened to records of a kind that are not looked into.
func plainCode(kind string, was, is bool) string {
	codes := [3]string{"watch.other-appeared", "watch.other-removed", "watch.other-changed"}
	switch kind {
	case "mx":
		codes = [3]string{"watch.mx-appeared", "watch.mx-removed", "watch.mx-changed"}
	case "ns":
		codes = [3]string{"watch.ns-appeared", "watch.ns-removed", "watch.ns-changed"}
	case "mta-sts":
		codes = [3]string{"watch.mta-sts-appeared", "watch.mta-sts-removed", "watch.mta-sts-changed"}
	case "tls-rpt":
		codes = [3]string{"watch.tls-rpt-appeared", "watch.tls-rpt-removed", "watch.tls-rpt-changed"}
	case "bimi":
		codes = [3]string{"watch.bimi-appeared", "watch.bimi-removed", "watch.bimi-changed"}
	case "dkim":
		codes = [3]string{"watch.dkim-appeared", "watch.dkim-removed", "watch.dkim-changed"}
	}
	switch {
	case !was:
		return codes[0]
	case !is:
		return codes[1]
	}
	return codes[2]
}

func clause(kind string) string {
	switch kind {
	case "dmarc":
		return "RFC 9989 §4.10"
	case "spf":
		return "RFC 7208 §4.5"
	case "mta-sts":
		return "RFC 8461 §3.1"
	case "tls-rpt":
		return "RFC 8460 §3"
	case "dkim":
		return "RFC 6376 §3.6"
	case "mx":
		return "RFC 5321 §5.1"
	}
	return ""
}

// grave tells the changes that somebody should hear of at once: they leave the
// domain with less protection, or give it to somebody else.
func grave(code string) bool {
	switch code {
	case "watch.dmarc-removed", "watch.dmarc-several", "watch.dmarc-weaker", "watch.dmarc-below-weaker",
		"watch.spf-removed", "watch.spf-several", "watch.ns-changed", "watch.mx-removed":
		return true
	}
	return false
}
