package posture

import (
	"context"
	"slices"
	"strings"
	"sync"

	"sekimori/dkim"
	"sekimori/dns"
	"sekimori/explain"
)

// Evidence is what DKIM.Present rests on.
type Evidence string

const (
	EvidenceKey     Evidence = "key"     // a key was found
	EvidenceName    Evidence = "name"    // _domainkey exists and is empty, so there are names below it
	EvidenceRevoked Evidence = "revoked" // only revoked keys were found
	EvidenceNone    Evidence = "none"
)

// DKIM is what can be seen of the domain's keys. The DNS does not list
// selectors, so that none was found proves nothing: Present is then unknown.
// It is "no" only where the domain exists as little as its keys, or sends no
// mail and revokes every selector by a wildcard.
type DKIM struct {
	Topic
	Evidence Evidence `json:"evidence"`
	// Domainkey tells whether the name _domainkey.DOMAIN exists.
	Domainkey State `json:"domainkey"`
	// Wildcard: every selector has a record, whether anybody uses it or not.
	// What wildcards say is not among the keys but for one, of selector "*".
	Wildcard State `json:"wildcard"`
	// SelectorsAsked counts the selectors asked, and SelectorsUnknown those of
	// them that gave no answer.
	SelectorsAsked   int   `json:"selectors_asked"`
	SelectorsUnknown int   `json:"selectors_unknown"`
	Keys             []Key `json:"keys"`
}

func (d *DKIM) init() { d.Keys, d.Evidence = []Key{}, EvidenceNone }

// Origin is where a selector was taken from.
type Origin string

const (
	Given     Origin = "given"
	WellKnown Origin = "well-known"
	Wildcard  Origin = "wildcard"
)

// Key is the key record, or records, of one selector.
type Key struct {
	Selector string `json:"selector"`
	Origin   Origin `json:"origin"`
	// Valid: a receiver can verify signatures with it. A revoked key is not.
	Valid   State    `json:"valid"`
	Revoked bool     `json:"revoked"`
	Testing bool     `json:"testing"`
	Type    string   `json:"type"`            // "rsa", "ed25519"; empty where it cannot be read
	Bits    int      `json:"bits"`            // its length; 0 where it cannot be read
	Alias   string   `json:"alias,omitempty"` // the name is an alias (CNAME) of this one
	Records []string `json:"records"`

	found []explain.Finding
}

// batch is how many selectors are asked at a time. A frugal inspection asks the
// first frugalSelectors of the well-known ones, frugalBatch at a time, until a
// key is found.
const (
	batch           = 12
	frugalSelectors = 12
	frugalBatch     = 4
)

func (in *inspection) inspectDKIM(ctx context.Context) {
	d, b := &in.DKIM, in.a.budget(budgetDKIM)
	d.init()
	base := "_domainkey." + in.name.String()
	a, err := b.Lookup(ctx, base, dns.TXT)
	switch {
	case answered(a, err):
		d.Domainkey = Yes
	case denied(a, err):
		d.Domainkey = No
	default:
		d.Domainkey = Unknown
	}
	d.Wildcard = No
	var wild []string
	hollow := false // every name below exists without a record: _domainkey proves nothing
	if d.Domainkey != No {
		a, err := b.Lookup(ctx, noSelector+"."+base, dns.TXT)
		switch {
		case err == nil:
			d.Wildcard, wild, hollow = Yes, a.Records, true
			slices.Sort(wild)
			k := readKey("*", Wildcard, a, base)
			if k.Valid != No || k.Revoked {
				d.Keys = append(d.Keys, k)
			}
		case answered(a, err):
			hollow = true // a wildcard of another type, or denial as in RFC 9824
		case !dns.Absent(err):
			d.Wildcard, hollow = Unknown, true
		}
	}
	in.ask(ctx, b, base, in.given(), Given, wild, hollow)
	list, at := wellKnown[:], batch
	if in.o.Frugal {
		list, at = list[:frugalSelectors], frugalBatch
		if d.Domainkey == No {
			list = nil
		}
	}
	for len(list) > 0 && !(in.o.Frugal && in.enoughKeys()) {
		n := min(at, len(list))
		in.ask(ctx, b, base, list[:n], WellKnown, wild, hollow)
		list = list[n:]
	}
	live, revoked, valid := false, false, No
	for i := range d.Keys {
		k := &d.Keys[i]
		live, revoked = live || !k.Revoked && len(k.Records) > 0, revoked || k.Revoked
		if k.Valid == Yes {
			valid = Yes
		}
		in.findAt(TopicDKIM, k.Selector+"."+base, k.found...)
	}
	switch {
	case live:
		d.Present, d.Valid, d.Evidence = Yes, valid, EvidenceKey
	case revoked:
		d.Present, d.Valid, d.Evidence = Unknown, Unknown, EvidenceRevoked
	case d.Domainkey == Yes && !hollow:
		d.Present, d.Valid, d.Evidence = Yes, Unknown, EvidenceName
	default:
		d.Present, d.Valid = Unknown, Unknown
	}
}

// given are the selectors of Options, each once, in lower case.
func (in *inspection) given() []string {
	var out []string
	for _, s := range in.o.Selectors {
		s = strings.ToLower(strings.Trim(strings.TrimSpace(s), "."))
		if s == "" || len(out) == MaxSelectors || slices.Contains(out, s) {
			continue
		}
		out = append(out, s)
	}
	return out
}

// enoughKeys: a key that works was found.
func (in *inspection) enoughKeys() bool {
	return slices.ContainsFunc(in.DKIM.Keys, func(k Key) bool { return k.Valid == Yes })
}

// ask asks for the keys of selectors, and keeps what no wildcard made up.
func (in *inspection) ask(ctx context.Context, b *budget, base string, selectors []string, from Origin, wild []string, hollow bool) {
	d := &in.DKIM
	answers := make([]dns.Answer, len(selectors))
	errs := make([]error, len(selectors))
	var wg sync.WaitGroup
	slots := make(chan struct{}, batch)
	asked := func(s string) bool {
		return from == WellKnown && slices.Contains(in.given(), s)
	}
	for i, s := range selectors {
		if asked(s) {
			errs[i] = dns.ErrNoData
			continue
		}
		d.SelectorsAsked++
		slots <- struct{}{}
		wg.Go(func() {
			answers[i], errs[i] = b.Lookup(ctx, s+"."+base, dns.TXT)
			<-slots
		})
	}
	wg.Wait()
	for i, s := range selectors {
		if from == Given {
			in.missed(s, base, answers[i], errs[i], hollow)
		}
		switch {
		case errs[i] == nil:
			if wild != nil {
				same := slices.Clone(answers[i].Records)
				slices.Sort(same)
				if slices.Equal(same, wild) {
					continue
				}
			}
			if k := readKey(s, from, answers[i], base); from == Given || k.Type != "" || k.Revoked || looksLikeKey(k.Records) {
				d.Keys = append(d.Keys, k)
			}
		case !dns.Absent(errs[i]):
			d.SelectorsUnknown++
		case answers[i].Name != "" && !hollow:
			// An alias of nothing: a service that was left, or not finished.
			to := explain.Clip(strings.TrimSuffix(answers[i].Name, "."))
			d.Keys = append(d.Keys, Key{Selector: s, Origin: from, Valid: No, Alias: to, Records: []string{}, found: []explain.Finding{{
				Grade: explain.Warning, Part: to,
				Step: explain.Step{Code: "posture.dkim-dangling", Args: explain.Args{"target": to}, Ref: "RFC 6376 §3.6.2.1"},
			}}})
		}
	}
}

// missed says that a selector known to be in use has no key: mail signed with
// it fails. Of many domains, as in a survey, each has its own selectors.
func (in *inspection) missed(selector, base string, a dns.Answer, err error, hollow bool) {
	if in.o.Frugal || err == nil || dns.Absent(err) && a.Name != "" && !hollow { // an alias of nothing is a finding of its own
		return
	}
	args := explain.Args{"selector": explain.Clip(selector)}
	if dns.Absent(err) {
		in.findAt(TopicDKIM, selector+"."+base, explain.Finding{Grade: explain.Warning,
			Step: explain.Step{Code: "posture.dkim-selector-missing", Args: args, Ref: "RFC 6376 §3.6.2.1"}})
		return
	}
	in.findAt(TopicDKIM, selector+"."+base, explain.Finding{Grade: explain.Advice,
		Step: explain.Step{Code: "posture.dkim-selector-unknown", Args: args}})
}

// looksLikeKey tells a broken key record from a text that has strayed there.
func looksLikeKey(records []string) bool {
	return slices.ContainsFunc(records, func(r string) bool {
		r = strings.ToLower(r)
		return strings.Contains(r, "v=dkim1") || strings.Contains(r, "p=m")
	})
}

// readKey reads the records of a selector. Where there are several, receivers
// may try any of them (RFC 6376 §3.6.2.2); the best one counts.
func readKey(selector string, from Origin, a dns.Answer, base string) Key {
	k := Key{Selector: selector, Origin: from, Valid: No, Records: texts(a.Records), Alias: explain.Clip(strings.TrimSuffix(a.Name, "."))}
	name := selector + "." + base
	for i, txt := range a.Records {
		if i == maxRecords {
			break
		}
		r := oneKey(txt)
		if i == 0 || r.Valid == Yes && k.Valid != Yes || r.Revoked && k.Type == "" && !k.Revoked {
			k.Valid, k.Revoked, k.Testing, k.Type, k.Bits = r.Valid, r.Revoked, r.Testing, r.Type, r.Bits
		}
	}
	if !k.Revoked || from == Given {
		k.found = dkim.LintKeys(a.Records, name)
	}
	return k
}

// oneKey reads one record.
func oneKey(txt string) Key {
	parsed, err := dkim.ParseKey(txt)
	if err != nil {
		return Key{Valid: No}
	}
	k := Key{Valid: No, Revoked: parsed.Revoked(), Testing: parsed.Testing(), Type: string(parsed.Type), Bits: parsed.Bits()}
	alg := dkim.RSASHA256
	if parsed.Type == dkim.Ed25519 {
		alg = dkim.Ed25519SHA256
	}
	if parsed.Usable(alg, dkim.Limits{}) == nil {
		k.Valid = Yes
	}
	return k
}
