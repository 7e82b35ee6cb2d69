package dmarc

import (
	"strings"

	"sekimori/domain"
	"sekimori/explain"
)

// Lint says what is wrong with the record published at _dmarc.NAME, or could be
// better, in the order of importance: errors, warnings, advice; and what to
// publish instead. It asks nothing of the DNS; where that would have to tell,
// as with the consent of another domain to receive reports, it says so. Which
// domains belong together it takes from the public suffix list. There are at
// most 100 findings.
func Lint(txt, name string) []explain.Finding { return LintAll([]string{txt}, name) }

// LintAll is Lint for all the TXT records at _dmarc.NAME: there should be one.
// None at all is no finding of this package's. At most 20 records are read.
func LintAll(txts []string, name string) []explain.Finding {
	l := &linter{name: strings.TrimSuffix(name, ".")}
	if n, err := domain.Parse(name); err == nil {
		l.domain, l.name = n, n.String()
	}
	txts = txts[:min(len(txts), 20)]
	valid := 0
	for _, t := range txts {
		if begins(t) {
			valid++
		}
	}
	if valid > 1 {
		l.add(explain.Error, "dmarc.lint.several", explain.Args{"count": int64(valid)}, "RFC 9989 §4.10", "")
	}
	for _, t := range txts {
		switch {
		case valid > 0 && !begins(t):
			// It does no harm beside the record, but betrays a wildcard.
			l.add(explain.Warning, "dmarc.lint.other-text", explain.Args{"text": explain.ClipFolded(t)}, "RFC 9989 §4.10", explain.ClipFolded(t))
		case valid < 2:
			l.record(t)
		}
	}
	if kept := mildest(txts); valid > 1 && kept != "" {
		if fixed := l.record(kept); fixed != nil {
			l.out[0].Publish = l.publish(fixed)
		}
	}
	return l.sorted()
}

// mildest is the one of several records to keep: that which stops the least
// mail, as none has stopped any so far. Where reports go is taken from another
// one if it does not say.
func mildest(txts []string) string {
	var best *Record
	text, rua := "", ""
	level := func(r *Record) int {
		p, sp, _ := r.Effective()
		return 3*p.Level() + sp.Level()
	}
	for _, t := range txts {
		if !begins(t) {
			continue
		}
		r, err := Parse(t)
		if err != nil {
			continue
		}
		if v, ok := r.Get("rua"); ok && rua == "" && len(r.RUA) > 0 {
			rua = v
		}
		if best == nil || level(r) < level(best) {
			best, text = r, t
		}
	}
	if best != nil && !best.Has("rua") && rua != "" {
		return best.With("rua", rua).String()
	}
	return text
}

type linter struct {
	domain domain.Name // zero where the name is none
	name   string
	out    []explain.Finding
}

// maxFindings is how many findings a hostile record can cause.
const maxFindings = 100

func (l *linter) add(g explain.Grade, code string, args explain.Args, ref, part string) {
	if len(l.out) >= maxFindings {
		l.out = l.out[:maxFindings-1] // the last place is for the latest
	}
	l.out = append(l.out, explain.Finding{
		Grade: g, Step: explain.Step{Code: code, Args: args, Ref: ref}, Part: part,
	})
}

// sorted puts errors first; within a grade the order of finding stays.
func (l *linter) sorted() []explain.Finding {
	var out []explain.Finding
	for _, g := range [...]explain.Grade{explain.Error, explain.Warning, explain.Advice} {
		for _, f := range l.out {
			if f.Grade == g {
				out = append(out, f)
			}
		}
	}
	return out
}

// record checks one text. The findings from here on share one corrected record,
// which it returns; nil where there is none.
func (l *linter) record(txt string) *Record {
	from := len(l.out)
	mended := l.mend(txt)
	r, err := Parse(mended)
	if err != nil {
		if len(txt) > maxRecord {
			l.add(explain.Error, "dmarc.lint.long", explain.Args{"octets": int64(len(txt))}, "RFC 9989 §4.7", "")
			return nil
		}
		l.add(explain.Error, "dmarc.lint.not-dmarc", explain.Args{"text": explain.ClipFolded(txt)}, "RFC 9989 §4.7", explain.ClipFolded(txt))
		if l.domain.IsZero() {
			return nil
		}
		l.out[len(l.out)-1].Publish = l.publish(New(None).With("rua", l.mailbox()))
		return nil
	}
	fixed := l.policies(r, l.tags(r))
	fixed = l.destinations(r, fixed, "rua")
	if r.PSD != IsPSD { // policies has spoken of that
		fixed = l.destinations(r, fixed, "ruf")
	}
	if !fixed.Has("ruf") && r.Has("fo") {
		l.add(explain.Advice, "dmarc.lint.fo-unused", nil, "RFC 9989 §4.7", "")
		fixed = fixed.Without("fo")
	}
	l.advice(fixed)
	if mended == txt && len(r.Faults) == 0 && fixed.String() == r.String() {
		return fixed // nothing but white space differs
	}
	if n := len(fixed.String()); n > 255 {
		l.add(explain.Advice, "dmarc.lint.split", explain.Args{"octets": int64(n)}, "RFC 1035 §3.3.14", "")
	}
	if _, err := Parse(fixed.String()); err != nil {
		return nil // encoding what is not ASCII made it too long to be a record
	}
	p := l.publish(fixed)
	for i := from; i < len(l.out); i++ {
		if l.out[i].Publish == nil && corrected(l.out[i].Code) {
			l.out[i].Publish = p
		}
	}
	return fixed
}

// corrected reports whether the corrected record does away with a finding. The
// others are for their owner to decide.
func corrected(code string) bool {
	switch strings.TrimPrefix(code, "dmarc.lint.") {
	case "several", "long", "split", "unknown", "sp-weaker", "sp-unused", "testing", "psd",
		"uri-scheme", "uri-external", "uri-many", "p-none", "np", "ruf":
		return false
	}
	return true
}

func (l *linter) publish(r *Record) *explain.Publish {
	return &explain.Publish{Name: "_dmarc." + l.name, Type: "TXT", Value: r.String()}
}

// mailbox is where reports could go if the record does not say.
func (l *linter) mailbox() string { return "mailto:dmarc-reports@" + l.name }

// tags checks the pieces of the record, and returns it without those that are
// ignored anyway.
func (l *linter) tags(r *Record) *Record {
	const ref = "RFC 9989 §4.8"
	for _, f := range r.Faults {
		part := explain.ClipFolded(f.Text)
		switch f.Kind {
		case Stray:
			l.add(explain.Warning, "dmarc.lint.stray", explain.Args{"text": part}, ref, part)
		case Empty:
			l.add(explain.Advice, "dmarc.lint.empty", nil, ref, "")
		case BadName:
			l.add(explain.Warning, "dmarc.lint.bad-name", explain.Args{"text": part}, ref, part)
		case Duplicate:
			l.add(explain.Error, "dmarc.lint.duplicate", explain.Args{"tag": explain.ClipFolded(f.Tag)}, "RFC 6376 §3.2", part)
		case BadValue:
			l.badValue(f)
		}
	}
	fixed := r
	for i, t := range r.Tags {
		switch n := lower(t.Name); {
		case n != t.Name && rank(n) < len(order):
			l.add(explain.Advice, "dmarc.lint.case", explain.Args{"tag": explain.ClipFolded(t.Name)}, "RFC 6376 §3.2", explain.ClipFolded(t.Name+"="+t.Value))
		case n == "pct":
			if l.pct(r) {
				// App. A.6: t=y is what pct=0 said. pct stays for receivers that
				// know it and not t: without it they would stop more mail at once.
				fixed = fixed.With("t", "y")
			} else {
				fixed = fixed.Without(n)
			}
		case n == "rf" || n == "ri":
			l.add(explain.Advice, "dmarc.lint.historic", explain.Args{"tag": n}, "RFC 9989 §9.3", explain.ClipFolded(t.Name+"="+t.Value))
			fixed = fixed.Without(n)
		case rank(n) == len(order) && !r.repeats(i):
			l.add(explain.Warning, "dmarc.lint.unknown", explain.Args{"tag": explain.ClipFolded(t.Name)}, "RFC 9989 §4.7", explain.ClipFolded(t.Name+"="+t.Value))
		}
	}
	if len(r.Tags) > 2 && r.P != "" && !equalFold(r.Tags[1].Name, "p") {
		l.add(explain.Advice, "dmarc.lint.p-second", nil, "RFC 7489 §6.3", "")
	}
	// In customary form: known tags once, in lower case, p second.
	return l.plain(fixed)
}

// repeats reports whether a tag of the same name stands before the i-th.
func (r *Record) repeats(i int) bool {
	at := before(r.Tags, r.Tags[i].Name)
	return at >= 0 && at < i
}

// plain writes a record anew: known tags in lower case, once, p second. Unknown
// tags stay, at the end.
func (l *linter) plain(r *Record) *Record {
	out := remade(r.Tags[:1]).With("v", "DMARC1")
	for i, t := range r.Tags {
		if i == 0 || i > 100 || r.repeats(i) {
			continue
		}
		n, v := t.Name, t.Value
		if rank(n) < len(order) {
			n = lower(n)
			v = valueMeant(n, v)
		}
		out = out.With(n, v)
	}
	return out
}

// valueMeant returns the value of a tag as it should read, "" where the default
// has to do.
func valueMeant(tag, v string) string {
	first := byte(0)
	if v != "" {
		first = v[0] | 0x20
	}
	switch tag {
	case "adkim", "aspf":
		if first == 'r' || first == 's' {
			return string(first)
		}
		return ""
	case "psd":
		if first == 'y' || first == 'n' || first == 'u' {
			return string(first)
		}
		return ""
	case "t":
		if first == 'y' || first == 'n' {
			return string(first)
		}
		return ""
	case "fo":
		if _, ok := failureOptions(v); !ok {
			return ""
		}
	}
	return v
}

func (l *linter) badValue(f Fault) {
	const ref = "RFC 9989 §4.8"
	args := explain.Args{"tag": explain.ClipFolded(f.Tag), "value": explain.ClipFolded(f.Text)}
	switch f.Tag {
	case "p", "sp", "np": // policies says it
	case "adkim", "aspf":
		args["default"] = "r"
		l.add(explain.Warning, "dmarc.lint.value", args, ref, explain.ClipFolded(f.Tag+"="+f.Text))
	case "psd":
		args["default"] = "u"
		l.add(explain.Warning, "dmarc.lint.value", args, ref, explain.ClipFolded(f.Tag+"="+f.Text))
	case "t":
		args["default"] = "n"
		l.add(explain.Warning, "dmarc.lint.value", args, ref, explain.ClipFolded(f.Tag+"="+f.Text))
	case "fo":
		args["default"] = "0"
		l.add(explain.Warning, "dmarc.lint.value", args, ref, explain.ClipFolded(f.Tag+"="+f.Text))
	case "pct":
	default:
		l.add(explain.Warning, "dmarc.lint.octet", explain.Args{"tag": explain.ClipFolded(f.Tag)}, ref, explain.ClipFolded(f.Text))
	}
}

// pct: historic; what it asked for is no longer done (RFC 9989 §9.3, App. A.6).
// It reports whether the record held mail back by pct, as t=y does.
func (l *linter) pct(r *Record) bool {
	v, _ := r.Get("pct")
	args := explain.Args{"percent": int64(r.Pct)}
	switch {
	case r.Pct == 100 || r.P.Level() == 0 && r.SP.Level() == 0:
		l.add(explain.Advice, "dmarc.lint.historic", explain.Args{"tag": "pct"}, "RFC 9989 §9.3", explain.ClipFolded("pct="+v))
		return false
	case r.Testing: // each receiver obeys the one that it knows
	case r.Pct == 0:
		l.add(explain.Warning, "dmarc.lint.pct-zero", args, "RFC 9989 App. A.6", explain.ClipFolded("pct="+v))
	default:
		l.add(explain.Warning, "dmarc.lint.pct", args, "RFC 9989 App. A.6", explain.ClipFolded("pct="+v))
	}
	return true
}

// policies checks p, sp and np, and t and psd, which change what they mean.
func (l *linter) policies(r, fixed *Record) *Record {
	for _, tag := range [...]string{"p", "sp", "np"} {
		v, has := r.Get(tag)
		if !has {
			continue
		}
		if _, ok := policy(v); !ok {
			// §4.10.1: one bad policy, and the record counts as p=none or not at all.
			l.add(explain.Error, "dmarc.lint.policy-value", explain.Args{"tag": tag, "value": written(v)}, "RFC 9989 §4.10.1", explain.ClipFolded(tag+"="+v))
			fixed = fixed.With(tag, string(meant(v)))
		}
	}
	if !r.Has("p") {
		code := "dmarc.lint.p-missing"
		if len(r.RUA) > 0 {
			code = "dmarc.lint.p-missing-rua"
		}
		l.add(explain.Error, code, nil, "RFC 9989 §4.10.1", "")
		fixed = fixed.With("p", "none")
	}
	p, sp, np := fixed.Effective()
	if r.SP != "" && sp.Level() < p.Level() {
		l.add(explain.Warning, "dmarc.lint.sp-weaker", explain.Args{"p": string(p), "sp": string(sp)}, "RFC 9989 §4.7", "sp="+string(sp))
	}
	if r.NP != "" && np.Level() < max(p.Level(), sp.Level()) {
		l.add(explain.Warning, "dmarc.lint.np-weaker", explain.Args{"np": string(np)}, "RFC 9989 §4.7", "np="+string(np))
		fixed = fixed.With("np", "reject")
	}
	if !l.domain.IsZero() && l.domain.Organizational() != l.domain && r.PSD == Undecided && (r.Has("sp") || r.Has("np")) {
		l.add(explain.Advice, "dmarc.lint.sp-unused", explain.Args{"organizational": l.domain.Organizational().String()}, "RFC 9989 §4.7", "")
	}
	switch {
	case fixed.Testing && p.Level()+sp.Level()+np.Level() == 0:
		l.add(explain.Advice, "dmarc.lint.testing-none", nil, "RFC 9989 §4.7", "t=y")
		fixed = fixed.Without("t")
	case r.Testing:
		l.add(explain.Advice, "dmarc.lint.testing", explain.Args{"policy": string(p), "disposition": string(p.below())}, "RFC 9989 §4.7", "t=y")
	}
	if r.PSD == IsPSD {
		if !l.domain.IsZero() && !l.domain.IsPublicSuffix() && l.domain.Labels() > 1 {
			l.add(explain.Warning, "dmarc.lint.psd", nil, "RFC 9989 §4.7", "psd=y")
		}
		if r.Has("ruf") {
			// §10.2: "MUST NOT include the ruf tag".
			l.add(explain.Error, "dmarc.lint.psd-ruf", nil, "RFC 9989 §10.2", "")
			fixed = fixed.Without("ruf", "fo")
		}
	}
	return fixed
}

// written is a value as a sentence can hold it.
func written(v string) string {
	if v == "" {
		return `""`
	}
	return explain.ClipFolded(v)
}

// meant guesses the policy behind a misspelt one; none where it cannot.
func meant(v string) Policy {
	v = lower(strings.Trim(v, " \t-_.,:'\"`*<>()[]"))
	switch {
	case strings.HasPrefix(v, "rej"):
		return Reject
	case strings.HasPrefix(v, "quar"), strings.HasPrefix(v, "qar"), strings.HasPrefix(v, "qua"):
		return Quarantine
	}
	return None
}

// destinations checks rua or ruf.
func (l *linter) destinations(r, fixed *Record, tag string) *Record {
	v, has := r.Get(tag)
	if !has {
		if tag == "rua" {
			l.add(explain.Warning, "dmarc.lint.rua-missing", nil, "RFC 9989 §4.7", "")
			fixed = fixed.With("rua", l.mailbox())
		}
		return fixed
	}
	uris, kept := r.RUA, []string(nil)
	if tag == "ruf" {
		uris = r.RUF
	}
	for _, f := range r.Faults {
		if f.Kind == BadURI && f.Tag == tag {
			kept = l.badURI(f, kept)
		}
	}
	good := make([]string, 0, len(uris)+len(kept))
	for _, u := range uris {
		good = append(good, u.Text)
		if u.Size != "" {
			l.add(explain.Advice, "dmarc.lint.uri-size", explain.Args{"size": u.Size}, "RFC 9989 §4.8", explain.ClipFolded(u.String()))
		}
		switch {
		case u.Scheme != "mailto":
			l.add(explain.Warning, "dmarc.lint.uri-scheme", explain.Args{"scheme": explain.ClipFolded(u.Scheme)}, "RFC 9989 §4.7", explain.ClipFolded(u.Text))
		case !l.domain.IsZero() && u.Host.Organizational() != l.domain.Organizational():
			name := l.name + "._report._dmarc." + u.Host.String()
			l.add(explain.Advice, "dmarc.lint.uri-external", explain.Args{"host": u.Host.String(), "name": name}, "RFC 9990 §4", explain.ClipFolded(u.Text))
			l.out[len(l.out)-1].Publish = &explain.Publish{Name: name, Type: "TXT", Value: "v=DMARC1"}
		}
	}
	good = append(good, kept...)
	switch {
	case len(uris) == 0 && tag == "rua":
		l.add(explain.Error, "dmarc.lint.rua-invalid", explain.Args{"value": explain.ClipFolded(v)}, "RFC 9989 §4.7", explain.ClipFolded(tag+"="+v))
	case len(uris) > 2:
		l.add(explain.Advice, "dmarc.lint.uri-many", explain.Args{"tag": tag, "count": int64(len(uris))}, "RFC 7489 §6.3", "")
	}
	if len(good) == 0 && tag == "rua" {
		good = []string{l.mailbox()}
	}
	if len(good) == 0 {
		return fixed.Without(tag)
	}
	return fixed.With(tag, strings.Join(good, ","))
}

// badURI says what is wrong with one destination, and adds what was meant.
func (l *linter) badURI(f Fault, kept []string) []string {
	const ref = "RFC 9989 §4.8"
	text := explain.ClipFolded(f.Text)
	if f.Text == "" {
		l.add(explain.Advice, "dmarc.lint.uri-empty", explain.Args{"tag": f.Tag}, ref, "")
		return kept
	}
	_, err := ParseURI(f.Text)
	switch {
	case err == errBang:
		l.add(explain.Error, "dmarc.lint.uri-bang", explain.Args{"uri": text}, ref, text)
	case err == errNoScheme && strings.Count(f.Text, "@") == 1:
		l.add(explain.Error, "dmarc.lint.uri-mailto", explain.Args{"uri": text}, ref, text)
	default:
		l.add(explain.Error, "dmarc.lint.uri", explain.Args{"uri": text}, ref, text)
	}
	for _, try := range [...]string{
		strings.Replace(f.Text, "mailto://", "mailto:", 1),
		strings.ReplaceAll(f.Text, "!", "%21"),
		"mailto:" + strings.TrimLeft(f.Text, ":/"),
		strings.Map(func(r rune) rune { // white space and brackets that slipped in
			if strings.ContainsRune(" \t<>\"'", r) {
				return -1
			}
			return r
		}, f.Text),
	} {
		if u, err := ParseURI(try); err == nil && u.Scheme == "mailto" {
			return append(kept, u.Text)
		}
	}
	return kept
}

// advice is for records that work.
func (l *linter) advice(r *Record) {
	p, _, np := r.Effective()
	if p == None {
		l.add(explain.Advice, "dmarc.lint.p-none", nil, "RFC 9989 §5.1.7", "p=none")
	}
	isOrg := l.domain.IsZero() || r.PSD != Undecided || l.domain.Organizational() == l.domain
	if np != Reject && !r.Has("np") && isOrg {
		l.add(explain.Advice, "dmarc.lint.np", nil, "RFC 9989 §4.7", "")
		next := r.With("np", "reject")
		if _, err := Parse(next.String()); err == nil {
			l.out[len(l.out)-1].Publish = l.publish(next)
		}
	}
	if r.Has("ruf") {
		l.add(explain.Advice, "dmarc.lint.ruf", nil, "RFC 9991 §7", "")
	}
}
