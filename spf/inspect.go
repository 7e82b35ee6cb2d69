package spf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"sekimori/dns"
	"sekimori/explain"
)

// Inspection is what a domain publishes for SPF, and what follows from it for
// every client: the records are read, not evaluated.
type Inspection struct {
	Domain string
	// Records are the TXT records that are SPF records; RFC 7208 allows one.
	Records []string
	// Record is the one record; nil where there is none, several, or one that
	// cannot be read.
	Record *Record
	// Err is why there is no Record: a *SyntaxError, ErrMultipleRecords, or the
	// resolver's error. It is nil where the domain has no SPF record.
	Err error
	// Temporary says that Err may go away by itself.
	Temporary bool
	// Lookups and Void count the terms that ask the DNS where none matches,
	// and those with an empty answer, through includes and redirects. Terms
	// whose target only a message can tell count as lookups, never as void.
	Lookups int
	Void    int
	// Includes are the records that this one leads to.
	Includes []Node
	// All is the qualifier of the all that ends the record, or the one that it
	// redirects to; empty where there is none.
	All Qualifier
	// Asked counts the questions; Truncated says that there were more to ask.
	Asked     int
	Truncated bool
	// Findings are those of Lint and those of what the record leads to.
	Findings []explain.Finding
}

// Node is a record that another one leads to.
type Node struct {
	Term      string // "include:…" or "redirect=…", as published
	Domain    string // empty where only a message could tell
	Record    string // empty where there is none
	Lookups   int    // of the record and what is below it
	Void      int
	Err       error // as in Inspection, ErrNoRecord, or ErrLoop
	Temporary bool
	Nodes     []Node
}

// ErrLoop is the error of a record that leads to itself.
var ErrLoop = errors.New("the record leads back to itself")

// maxQuestions bounds what Inspect and Flatten each ask.
const maxQuestions = 150

// Inspect reads a domain's SPF record and all that it leads to, for what is
// wrong with it whatever the client. It asks at most 150 questions, one after
// the other. What cannot be answered for now is Temporary, and a finding says
// that the picture is not complete.
func Inspect(ctx context.Context, r dns.Resolver, domain string) Inspection {
	w := newWalk(ctx, r, domain)
	in := Inspection{Domain: w.domain}
	texts, err := w.ask(w.domain, dns.TXT)
	if err != nil {
		in.Err, in.Temporary, in.Asked = err, true, w.asked
		w.add(explain.Warning, "spf.inspect.no-answer", "", explain.Args{"name": clip(w.domain), "type": "TXT", "error": clip(err.Error())}, "RFC 7208 §4.4")
		in.Findings = w.findings()
		return in
	}
	size := 0
	for _, s := range texts {
		size += len(s)
		if IsRecord(s) {
			in.Records = append(in.Records, s)
		} else if looksLikeSPF(s) {
			l := newLinter(s, w.domain)
			l.lint()
			w.found = append(w.found, l.findings()...)
		}
	}
	switch len(in.Records) {
	case 0:
		if len(w.found) == 0 {
			w.none()
		}
	case 1:
		w.root(&in)
	default:
		in.Err = fmt.Errorf("%s: %w", w.domain, ErrMultipleRecords)
		w.several(in.Records)
	}
	if size > maxUDP && len(in.Records) > 0 && size != len(in.Records[0]) {
		w.add(explain.Advice, "spf.inspect.large-answer", "", explain.Args{"n": int64(size), "limit": int64(maxUDP)}, "RFC 7208 §3.4")
	}
	in.Asked, in.Truncated = w.asked, w.truncated
	if w.truncated {
		w.add(explain.Warning, "spf.inspect.truncated", "", explain.Args{"n": int64(w.asked)}, "")
	}
	in.Findings = w.findings()
	return in
}

// root looks at the domain's one record.
func (w *walk) root(in *Inspection) {
	txt := in.Records[0]
	l := newLinter(txt, w.domain)
	l.lint()
	record, err := Parse(txt)
	if err != nil {
		in.Err = err
		w.found = append(w.found, l.findings()...)
		return
	}
	in.Record = record
	n := Node{Domain: w.domain, Record: txt}
	w.follow(&n, record, []string{w.domain})
	in.Includes, in.Lookups, in.Void = n.Nodes, n.Lookups, n.Void
	in.All = w.all(record, &n, 0)
	w.without(l)
	for _, f := range l.findings() {
		if f.Code != "spf.lint.lookups" { // said below, with what includes add
			w.found = append(w.found, f)
		}
	}
	switch {
	case n.Lookups > 10:
		w.add(explain.Error, "spf.inspect.lookups", "", explain.Args{"n": int64(n.Lookups), "limit": int64(10)}, "RFC 7208 §4.6.4")
	case n.Lookups >= 9:
		w.add(explain.Advice, "spf.inspect.near-limit", "", explain.Args{"n": int64(n.Lookups), "limit": int64(10)}, "RFC 7208 §4.6.4")
	}
	if n.Void > 2 {
		w.add(explain.Error, "spf.inspect.voids", "", explain.Args{"n": int64(n.Void), "limit": int64(2)}, "RFC 7208 §4.6.4")
	}
	if t := record.Explanation(); t != nil {
		w.explanation(t)
	}
}

// without takes the terms that lead nowhere out of the record to publish, and
// says so with the findings about them.
func (w *walk) without(l *linter) {
	r, err := Parse(l.better)
	if len(w.drop) == 0 || w.domain == "" || err != nil {
		return
	}
	var rest Record
	for _, t := range r.Terms {
		if !w.drop[t.text] {
			rest.Terms = append(rest.Terms, t)
		}
	}
	l.better = improve(&rest, w.domain)
	for i := range w.found {
		if w.drop[w.found[i].Part] {
			w.found[i].Publish = &explain.Publish{Name: w.domain, Type: "TXT", Value: l.better}
		}
	}
}

// leadsNowhere notes a term for without.
func (w *walk) leadsNowhere(t *Term, path []string) {
	if len(path) == 1 && t.Name != Redirect {
		w.drop[t.text] = true
	}
}

// all returns the qualifier at the end of a record, through its redirect.
func (w *walk) all(r *Record, n *Node, depth int) Qualifier {
	if t := r.All(); t != nil {
		return t.Qualifier
	}
	t := r.Redirect()
	if t == nil || len(n.Nodes) == 0 || depth > 10 {
		return ""
	}
	last := &n.Nodes[len(n.Nodes)-1]
	if next, err := Parse(last.Record); err == nil && last.Term == t.text {
		return w.all(next, last, depth+1)
	}
	return ""
}

// none says what to publish where there is nothing.
func (w *walk) none() {
	value := "v=spf1 mx ~all"
	mx, err := w.ask(w.domain, dns.MX)
	if err == nil && !receives(mx) {
		value = "v=spf1 -all" // RFC 7208 §10.1.2: no mail goes out where none comes in
	}
	w.add(explain.Error, "spf.inspect.none", "", nil, "RFC 7208 §4.5")
	if err == nil && w.domain != "" {
		w.found[len(w.found)-1].Publish = &explain.Publish{Name: w.domain, Type: "TXT", Value: value}
	}
}

// receives reports whether MX records lead anywhere (RFC 7505).
func receives(mx []string) bool {
	for _, h := range exchangers(mx) {
		if h != "" {
			return true
		}
	}
	return false
}

// several says what to publish instead of several records: one with the terms
// of all, and the mildest end.
func (w *walk) several(records []string) {
	w.add(explain.Error, "spf.inspect.multiple", "", explain.Args{"n": int64(len(records)), "records": clipAll(records)}, "RFC 7208 §4.5")
	merged := Record{}
	end := ""
	for _, s := range records {
		r, err := Parse(mend(s))
		if err != nil {
			return
		}
		for _, t := range r.Terms {
			if t.IsModifier() {
				return // whose redirect or exp should hold cannot be guessed
			}
			if t.Name != All {
				merged.Terms = append(merged.Terms, t)
				continue
			}
			switch {
			case end != "" && end != "-all" || t.Qualifier != Minus:
				end = "~all"
			default:
				end = "-all"
			}
			break
		}
	}
	if end == "" {
		end = "~all"
	}
	merged.Terms = append(merged.Terms, Term{Name: All, Qualifier: Qualifier(end[:1]), text: end})
	w.found[len(w.found)-1].Publish = &explain.Publish{Name: w.domain, Type: "TXT", Value: improve(&merged, w.domain)}
}

// explanation looks at what exp points to.
func (w *walk) explanation(t *Term) {
	name := strings.TrimSuffix(t.Value.text, ".")
	if t.Value.pieces != nil || !queryable(name) {
		return
	}
	texts, err := w.ask(name, dns.TXT)
	if err != nil {
		return
	}
	bad := len(texts) != 1
	if !bad {
		_, err := ParseExplanation(texts[0])
		bad = err != nil
	}
	if bad {
		w.add(explain.Advice, "spf.inspect.bad-explanation", t.text, explain.Args{"name": clip(name)}, "RFC 7208 §6.2")
	}
}

// walk reads records and what they lead to, asking each question once.
type walk struct {
	ctx       context.Context
	r         dns.Resolver
	domain    string
	asked     int
	truncated bool
	answers   map[question]reply

	found []explain.Finding
	seen  map[string]bool
	drop  map[string]bool // terms of the domain's own record that lead nowhere

	// What Flatten wants: the addresses of each a and mx, by its record's
	// domain and text, where all are known.
	hosts map[[2]string][]netip.Addr
}

type question struct {
	name string
	kind dns.Type
}

type reply struct {
	records []string
	err     error
}

func newWalk(ctx context.Context, r dns.Resolver, name string) *walk {
	d, ok := initialDomain(name)
	if !ok {
		d = lower(strings.TrimSuffix(name, "."))
	}
	return &walk{ctx: ctx, r: r, domain: d, answers: map[question]reply{}, seen: map[string]bool{}, drop: map[string]bool{}, hosts: map[[2]string][]netip.Addr{}}
}

// ask asks a question. Absence is no error: there are no records.
func (w *walk) ask(name string, kind dns.Type) ([]string, error) {
	q := question{lower(name), kind}
	if a, ok := w.answers[q]; ok {
		return a.records, a.err
	}
	if w.asked >= maxQuestions {
		w.truncated = true
		return nil, fmt.Errorf("%s %s: not asked: %w", clip(name), kind, dns.ErrTemporary)
	}
	w.asked++
	a, err := w.r.Lookup(w.ctx, name, kind)
	if err != nil && dns.Absent(err) {
		err = nil
		a.Records = nil
	}
	w.answers[q] = reply{a.Records, err}
	return a.Records, err
}

// add notes a finding about the domain's record.
func (w *walk) add(g explain.Grade, code, part string, args explain.Args, ref string) {
	w.found = append(w.found, explain.Finding{Grade: g, Part: clip(part), Step: explain.Step{Code: code, Args: args, Ref: ref}})
}

// once notes a finding unless the same was noted before.
func (w *walk) once(g explain.Grade, code, part string, args explain.Args, ref string) {
	key := code + " " + part
	if !w.seen[key] && len(w.found) < maxFindings-10 { // the rest is for what is said of the whole
		w.seen[key] = true
		w.add(g, code, part, args, ref)
	}
}

func (w *walk) findings() []explain.Finding { return byGrade(w.found) }

// follow reads what the terms of a record lead to. path is the domains on the
// way to it, itself the last.
func (w *walk) follow(n *Node, r *Record, path []string) {
	for i := range r.Terms {
		t := &r.Terms[i]
		if t.IsModifier() {
			continue
		}
		if t.Name == All {
			if len(path) > 1 && t.Qualifier == Plus {
				w.once(explain.Error, "spf.inspect.include-all", path[1], explain.Args{"domain": clip(n.Domain), "term": clip(t.text)}, "RFC 7208 §5.1")
			}
			return // nothing after it is reached (RFC 7208 §5.1)
		}
		if !t.queries() {
			continue
		}
		n.Lookups++
		if t.Name == Include {
			w.enter(n, t, path)
			continue
		}
		name, known := n.Domain, t.Value.pieces == nil
		if known && !t.Value.IsZero() {
			name = strings.TrimSuffix(t.Value.text, ".")
		}
		if !known {
			continue
		}
		if !queryable(name) {
			w.leadsNowhere(t, path)
			w.once(explain.Warning, "spf.inspect.bad-name", t.text, explain.Args{"domain": clip(n.Domain)}, "RFC 7208 §4.8")
			continue
		}
		if w.target(n, t, name) {
			n.Void++
			w.leadsNowhere(t, path)
			w.once(explain.Warning, "spf.inspect.void", t.text, explain.Args{"name": clip(name), "domain": clip(n.Domain)}, "RFC 7208 §4.6.4")
		}
	}
	if t := r.Redirect(); t != nil {
		n.Lookups++
		w.enter(n, t, path)
	}
}

// enter reads the record that an include or a redirect leads to.
func (w *walk) enter(n *Node, t *Term, path []string) {
	next := Node{Term: t.text}
	defer func() {
		n.Nodes = append(n.Nodes, next)
		n.Lookups += next.Lookups
		n.Void += next.Void
	}()
	if t.Value.pieces != nil {
		w.once(explain.Advice, "spf.inspect.macro-include", t.text, explain.Args{"domain": clip(n.Domain)}, "RFC 7208 §7")
		return
	}
	name := lower(strings.TrimSuffix(t.Value.text, "."))
	next.Domain = name
	for _, p := range path {
		if p == name {
			next.Err = ErrLoop
			w.leadsNowhere(t, path)
			w.once(explain.Error, "spf.inspect.loop", t.text, explain.Args{"path": clipAll(append(path[:len(path):len(path)], name))}, "RFC 7208 §4.6.4")
			return
		}
	}
	if !queryable(name) || len(path) > 20 {
		next.Err = ErrNoRecord
		w.leadsNowhere(t, path)
		w.once(explain.Error, "spf.inspect.no-target", t.text, explain.Args{"name": clip(name), "domain": clip(n.Domain)}, "RFC 7208 §5.2")
		return
	}
	texts, err := w.ask(name, dns.TXT)
	if err != nil {
		next.Err, next.Temporary = err, true
		w.once(explain.Warning, "spf.inspect.no-answer", t.text, explain.Args{"name": clip(name), "type": "TXT", "error": clip(err.Error())}, "RFC 7208 §4.4")
		return
	}
	txt, count := pick(texts)
	switch {
	case count == 0:
		next.Err = ErrNoRecord
		w.leadsNowhere(t, path)
		w.once(explain.Error, "spf.inspect.no-target", t.text, explain.Args{"name": clip(name), "domain": clip(n.Domain)}, "RFC 7208 §5.2")
		return
	case count > 1:
		next.Err = fmt.Errorf("%s: %w", clip(name), ErrMultipleRecords)
		w.once(explain.Error, "spf.inspect.target-multiple", t.text, explain.Args{"name": clip(name), "n": int64(count)}, "RFC 7208 §4.5")
		return
	}
	next.Record = txt
	r, bad := parse(txt)
	if bad != nil {
		next.Err = bad
		w.once(explain.Error, "spf.inspect.target-syntax", t.text, explain.Args{"name": clip(name), "term": clip(bad.Term)}, "RFC 7208 §4.6")
		return
	}
	if key := "entered " + name; w.seen[key] && t.Name == Include {
		w.once(explain.Advice, "spf.inspect.twice", t.text, explain.Args{"name": clip(name)}, "RFC 7208 §4.6.4")
	} else {
		w.seen[key] = true
	}
	w.follow(&next, r, append(path[:len(path):len(path)], name))
}

// target asks for what an a, mx, exists or ptr of a record needs; it reports
// whether there is nothing.
func (w *walk) target(n *Node, t *Term, name string) (void bool) {
	switch t.Name {
	case A:
		addrs, err := w.addresses(name)
		if err != nil {
			return false
		}
		w.keep(n, t, addrs)
		return len(addrs) == 0
	case Exists:
		records, err := w.ask(name, dns.A)
		return err == nil && len(records) == 0
	case MX:
		records, err := w.ask(name, dns.MX)
		if err != nil {
			return false
		}
		hosts := exchangers(records)
		if len(hosts) > 10 {
			w.once(explain.Error, "spf.inspect.many-mx", t.text, explain.Args{"name": clip(name), "n": int64(len(hosts)), "limit": int64(10)}, "RFC 7208 §4.6.4")
		}
		var all []netip.Addr
		known := len(hosts) <= 10
		for _, h := range hosts[:min(len(hosts), 10)] {
			if queryable(h) {
				addrs, err := w.addresses(h)
				all = append(all, addrs...)
				known = known && err == nil
			}
		}
		if known {
			w.keep(n, t, all)
		}
		return len(hosts) == 0
	}
	return false // ptr depends on the client
}

func (w *walk) keep(n *Node, t *Term, addrs []netip.Addr) {
	w.hosts[[2]string{n.Domain, t.text}] = addrs
}

// addresses asks for both kinds of addresses of a name.
func (w *walk) addresses(name string) ([]netip.Addr, error) {
	var all []netip.Addr
	var first error
	for _, kind := range [...]dns.Type{dns.A, dns.AAAA} {
		records, err := w.ask(name, kind)
		if err != nil && first == nil {
			first = err
			w.once(explain.Warning, "spf.inspect.no-answer", name, explain.Args{"name": clip(name), "type": string(kind), "error": clip(err.Error())}, "RFC 7208 §5")
		}
		for _, s := range records {
			if a, err := netip.ParseAddr(s); err == nil {
				all = append(all, a.Unmap())
			}
		}
	}
	return all, first
}
