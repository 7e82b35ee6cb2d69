package differential

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/dkim"
	"sekimori/dns"
	"sekimori/domain"
	"sekimori/message"
)

// texts are TXT records by name.
type texts map[string][]string

func (z texts) Lookup(_ context.Context, name string, t dns.Type) (dns.Answer, error) {
	records, ok := z[strings.ToLower(name)]
	switch {
	case !ok:
		return dns.Answer{}, dns.ErrNameNotFound
	case records[0] == servfail:
		return dns.Answer{}, dns.ErrTemporary
	case t != dns.TXT:
		return dns.Answer{}, dns.ErrNoData
	}
	return dns.Answer{Records: records, TTL: time.Hour}, nil
}

// ourDKIM verifies with this program. A signature that leaves a part of the
// body unsigned counts as OpenDKIM counts it; by default it would not pass.
func ourDKIM(text string, records map[string]string, now time.Time) verdict {
	z := texts{}
	for name, rec := range records {
		z[strings.ToLower(name)] = []string{rec}
	}
	v := &dkim.Verifier{Resolver: z, AcceptUnsigned: true, Now: func() time.Time { return now }}
	h, body, err := message.Read(strings.NewReader(text), 0)
	if err != nil {
		return verdict{"invalid", err.Error()}
	}
	results, err := v.Verify(context.Background(), h, body)
	if err != nil {
		return verdict{"invalid", err.Error()}
	}
	if len(results) == 0 {
		return verdict{"none", ""}
	}
	// One that passes, or the first: so does OpenDKIM choose.
	res := results[max(0, slices.IndexFunc(results, func(r dkim.Result) bool { return r.Status == dkim.Pass }))]
	detail := res.Reason.Code
	switch res.Status {
	case dkim.Pass:
		return verdict{"pass", ""}
	case dkim.Fail:
		return verdict{"fail", detail}
	case dkim.TempError:
		return verdict{"temporary", detail}
	}
	if res.Err != nil {
		detail += ": " + res.Err.Error()
	}
	return verdict{"invalid", detail}
}

// TestOpenDKIMVerifies: OpenDKIM verifies what we sign, and so do we.
func TestOpenDKIMVerifies(t *testing.T) {
	o := needOpenDKIM(t)
	n := amount()
	cs := make([]dkimCase, n)
	now := time.Now()
	each(n, func(i int) {
		c, err := ourSigned(i, now)
		if err != nil {
			t.Errorf("case %d: %v", i, err)
		}
		cs[i] = c
	})
	verifyAll(t, o, cs, now)
	tb := newTable[dkimCase](nil)
	for _, c := range cs {
		tb.judge(t, c, c.ours, c.ours.class == "pass" && c.theirs.class == "pass", c.describe)
	}
	tb.report(t, "OpenDKIM verifies what we sign")
}

// ourSigned is a message that we signed, in every way that we sign.
func ourSigned(n int, now time.Time) (dkimCase, error) {
	r := random("ours", n)
	name := fmt.Sprintf("d%d.example", n%7)
	m := someMail(r, name, n)
	k := keys()[pick(r, "rsa1024", "rsa1024", "rsa1024", "rsa2048", "ed25519", "ed25519")]
	d, err := domain.Parse(name)
	if err != nil {
		return dkimCase{}, err
	}
	s := &dkim.Signer{Domain: d, Selector: "s" + k.name, Key: k.signer(), Now: func() time.Time { return now },
		HeaderCanon: pick(r, message.Simple, message.Relaxed, ""), BodyCanon: pick(r, message.Simple, message.Relaxed, "")}
	if chance(r, 30) {
		s.Headers = []string{"From"}
		for _, f := range m.fields {
			if chance(r, 50) {
				s.Headers = append(s.Headers, fieldName(f))
			}
		}
		for range r.IntN(3) {
			s.Headers = append(s.Headers, pick(r, "From", "Subject", "X-Absent"))
		}
	}
	if chance(r, 30) {
		s.Expires = time.Duration(1+r.IntN(100)) * time.Hour
	}
	if chance(r, 30) {
		s.Identity = pick(r, "@", "taro@", "taro@sub.", "a b=;@") + name
	}
	h, body, err := message.Read(strings.NewReader(m.String()), 0)
	if err != nil {
		return dkimCase{}, err
	}
	fields, err := dkim.Sign(h, body, s)
	if err != nil {
		return dkimCase{}, err
	}
	if len(h) != len(m.fields) {
		return dkimCase{}, fmt.Errorf("%d fields were read of %d", len(h), len(m.fields))
	}
	return dkimCase{n: n, text: strings.Join(fields, "") + m.String(), keys: map[string]string{
		s.Selector + "._domainkey." + name: "v=DKIM1; k=" + k.kind() + "; p=" + k.public()}}, nil
}

func verifyAll(t *testing.T, o *opendkim, cs []dkimCase, now time.Time) {
	t.Helper()
	letters := make([]letter, len(cs))
	for i, c := range cs {
		letters[i] = letter{text: c.text, records: c.keys}
	}
	for i, v := range o.verify(t, letters) {
		cs[i].theirs = v
	}
	each(len(cs), func(i int) { cs[i].ours = ourDKIM(cs[i].text, cs[i].keys, now) })
}

// TestWeVerifyOpenDKIM: we verify what OpenDKIM signs.
func TestWeVerifyOpenDKIM(t *testing.T) {
	o := needOpenDKIM(t)
	const group = 250
	n := amount()
	cs := make([]dkimCase, n)
	errs := make([]error, (n+group-1)/group)
	each(len(errs), func(g int) {
		errs[g] = theirSigned(t, o, g, cs[g*group:min((g+1)*group, n)], g*group)
	})
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	verifyAll(t, o, cs, time.Now())
	tb := newTable([]rule[dkimCase]{{"ed25519 with simple header", "RFC 6376 §3.7",
		"they sign another field than they add: neither we nor they verify it", func(c dkimCase) bool {
			return neither(c) && strings.Contains(c.text, "a=ed25519-sha256; c=simple/")
		}}})
	for _, c := range cs {
		tb.judge(t, c, c.ours, c.ours.class == "pass" && c.theirs.class == "pass", c.describe)
	}
	tb.report(t, "we verify what OpenDKIM signs")
}

// theirSigned fills cs with messages that OpenDKIM signed, under one
// configuration.
func theirSigned(t *testing.T, o *opendkim, g int, cs []dkimCase, first int) error {
	r := random("theirs", g)
	const name = "signer.example"
	k := keys()[pick(r, "rsa1024", "rsa1024", "rsa1024", "rsa1024", "rsa2048", "ed25519")]
	config := "Canonicalization " + pick(r, "simple", "relaxed") + "/" + pick(r, "simple", "relaxed") + "\n"
	if k.rsa == nil {
		config += "SignatureAlgorithm ed25519-sha256\n"
	}
	if chance(r, 30) {
		config += "OversignHeaders From,Subject,Reply-To\n"
	}
	if chance(r, 30) {
		config += "SignatureTTL 86400\n"
	}
	if chance(r, 20) {
		config += "SignHeaders *,+Received,+x-campaign\nOmitHeaders Comments\n"
	}
	if chance(r, 20) {
		config += "Diagnostics yes\n" // z=
	}
	if chance(r, 20) {
		config += "MaximumSignedBytes 100\n" // l=
	}
	mails := make([]mail, len(cs))
	texts := make([]string, len(cs))
	for i := range cs {
		mails[i] = plainSpaces(someMail(random("theirs mail", first+i), name, first+i))
		texts[i] = mails[i].String()
	}
	fields, err := o.sign(t, signing{key: k, domain: name, config: config}, texts, fmt.Sprintf("s%d", g))
	if err != nil {
		return fmt.Errorf("%w, configured: %s", err, config)
	}
	for i := range cs {
		if !strings.HasPrefix(fields[i], "DKIM-Signature: ") {
			return fmt.Errorf("case %d is not signed: %q %q", first+i, fields[i], texts[i])
		}
		cs[i] = dkimCase{n: first + i, odd: []string{config}, text: fields[i] + transported(texts[i]), keys: map[string]string{
			k.name + "._domainkey." + name: "v=DKIM1; k=" + k.kind() + "; p=" + k.public()}}
	}
	return nil
}

// plainSpaces leaves one space after each colon: OpenDKIM's test mode takes
// all white space there for one space.
func plainSpaces(m mail) mail {
	for i, f := range m.fields {
		name, value, _ := strings.Cut(f, ":")
		m.fields[i] = name + ": " + strings.TrimLeft(value, " \t")
	}
	return m
}

// TestOddSignatures: signatures, keys and messages of every oddity; both
// programs verify.
func TestOddSignatures(t *testing.T) {
	o := needOpenDKIM(t)
	now := time.Now()
	cs := make([]dkimCase, amount())
	each(len(cs), func(i int) { cs[i] = oddCase(i, now.Unix()) })
	verifyAll(t, o, cs, now)
	tb := newTable(dkimRules)
	for _, c := range cs {
		tb.judge(t, c, c.ours, c.ours.class == c.theirs.class, c.describe)
	}
	tb.report(t, "both verify odd signatures")
}
