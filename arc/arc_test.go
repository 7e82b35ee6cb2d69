package arc

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekimori/dkim"
	"sekimori/dns"
	"sekimori/domain"
	"sekimori/message"
)

var (
	at   = time.Date(2026, 4, 29, 14, 34, 45, 0, time.UTC)
	keys = sync.OnceValue(func() map[string]crypto.Signer {
		r, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			panic(err)
		}
		_, e, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		return map[string]crypto.Signer{"rsa": r, "ed25519": e}
	})
)

const mail = "DKIM-Signature: v=1; a=rsa-sha256; d=example.jp; s=x; h=from; bh=; b=\r\n" +
	"From: Hanako <hanako@example.jp>\r\nTo: list@lists.example\r\nSubject:  on   the way \r\n" +
	"Date: Wed, 29 Apr 2026 23:34:45 +0900\r\nReceived: from a\r\nReceived: from b\r\n" +
	"\r\nA line.  \r\n\r\nAnother.\r\n\r\n"

func name(t testing.TB, s string) domain.Name {
	t.Helper()
	n, err := domain.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// zone publishes the keys of the domains a.example, b.example, …
func zone(t testing.TB) records {
	t.Helper()
	z := records{}
	for kind, key := range keys() {
		k, err := dkim.NewKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < 60; i++ {
			z[fmt.Sprintf("%s._domainkey.d%d.example", kind, i)] = k.String()
		}
	}
	return z
}

func sealer(t testing.TB, i int, kind string) *Sealer {
	return &Sealer{Domain: name(t, fmt.Sprintf("d%d.example", i)), Selector: kind, Key: keys()[kind], Now: func() time.Time { return at }}
}

func verifier(r dns.Resolver) *Verifier {
	return &Verifier{Resolver: r, Now: func() time.Time { return at }}
}

func verify(t testing.TB, v *Verifier, text string) Result {
	t.Helper()
	h, body := split(t, text)
	r, err := v.Verify(context.Background(), h, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sealed adds a set on top.
func sealed(t testing.TB, s *Sealer, text string, cv Status) string {
	t.Helper()
	h, body := split(t, text)
	set, err := s.Seal(h, strings.NewReader(body), cv, s.Domain.String()+`; spf=fail (not (here)) smtp.mailfrom=a@b.example; dkim=pass header.d=example.jp header.b="a;b c/d"; arc=`+string(cv))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range set {
		for _, line := range strings.Split(strings.TrimSuffix(f, "\r\n"), "\r\n") {
			if len(line) > 78 {
				t.Errorf("a line of %d: %s", len(line), line)
			}
		}
	}
	return strings.Join(set, "") + text
}

// chained seals n times, with the kinds of keys in turn.
func chained(t testing.TB, n int, kinds ...string) string {
	t.Helper()
	text, cv := mail, None
	for i := 0; i < n; i++ {
		text = sealed(t, sealer(t, i, kinds[i%len(kinds)]), text, cv)
		cv = Pass
	}
	return text
}

func TestRoundTrip(t *testing.T) {
	v := verifier(zone(t))
	for _, kinds := range [][]string{{"rsa"}, {"ed25519"}, {"rsa", "ed25519"}} {
		for _, n := range []int{1, 2, 3, 7} {
			got := verify(t, v, chained(t, n, kinds...))
			if got.Status != Pass || got.Sets != n || got.OldestPass != 0 || len(got.Chain) != n {
				t.Fatalf("%d sets, %v: %s, %d sets, oldest %d: %v", n, kinds, got.Status, got.Sets, got.OldestPass, got.Steps)
			}
			for i, d := range got.Sealers() {
				if want := fmt.Sprintf("d%d.example", n-1-i); d.String() != want {
					t.Errorf("sealer %d is %s, want %s", i, d, want)
				}
			}
			if want := `d` + fmt.Sprint(n-1) + `.example; spf=fail`; !strings.HasPrefix(got.Newest(), want) {
				t.Errorf("newest results %q", got.Newest())
			}
		}
	}
}

func TestFifty(t *testing.T) {
	v := verifier(zone(t))
	text := chained(t, 50, "ed25519")
	got := verify(t, v, text)
	if got.Status != Pass || got.Sets != 50 {
		t.Fatalf("fifty sets: %s %d (%v)", got.Status, got.Sets, got.Reason)
	}
	h, _ := split(t, text)
	if _, err := sealer(t, 50, "rsa").Begin(h, new(message.Digests)); !errors.Is(err, ErrFull) {
		t.Errorf("a fifty-first set: %v, want ErrFull", err)
	}
	for _, field := range partNames {
		got = verify(t, v, field+": i=51; a=rsa-sha256; cv=fail\r\n"+text)
		if got.Status != Fail {
			t.Errorf("a %s field too many: %s", field, got.Status)
		}
	}
	v.Limits.Sets = 49
	if got := verify(t, v, text); got.Status != Fail || got.Reason.Code != "arc.too-many-sets" {
		t.Errorf("with a limit of 49: %s (%v)", got.Status, got.Reason)
	}
}

func TestCanonicalizations(t *testing.T) {
	v := verifier(zone(t))
	all := []message.Canonicalization{"", message.Simple, message.Relaxed}
	for _, hc := range all {
		for _, bc := range all {
			for _, kind := range []string{"rsa", "ed25519"} {
				s := sealer(t, 1, kind)
				s.HeaderCanon, s.BodyCanon = hc, bc
				text := sealed(t, s, mail, None)
				if got := verify(t, v, text); got.Status != Pass {
					t.Errorf("%s/%s %s: %s (%v)", hc, bc, kind, got.Status, got.Reason)
				}
				relaxed := strings.Replace(text, "Subject:  on   the way ", "subject : on the\r\n way", 1)
				if got := verify(t, v, relaxed); (got.Status == Pass) != (hc != message.Simple) {
					t.Errorf("%s/%s %s, a header changed in white space: %s", hc, bc, kind, got.Status)
				}
				relaxed = strings.Replace(text, "A line.  ", "A line.", 1)
				if got := verify(t, v, relaxed); (got.Status == Pass) != (bc != message.Simple) {
					t.Errorf("%s/%s %s, a body changed in white space: %s", hc, bc, kind, got.Status)
				}
			}
		}
	}
}

// TestMutations changes a chain of three in every way that has a name.
func TestMutations(t *testing.T) {
	v := verifier(zone(t))
	text := chained(t, 3, "rsa")
	h, body := split(t, text)
	// field returns one field of a set.
	field := func(p part, n int) string {
		for _, f := range h {
			got, ok := partOf(f)
			if ok && got == p && (strings.Contains(f.Value(), fmt.Sprintf(" i=%d;", n)) || strings.HasPrefix(f.Value(), fmt.Sprintf("i=%d;", n))) {
				return f.Raw()
			}
		}
		t.Fatalf("no %s of set %d", partNames[p], n)
		return ""
	}
	replace := func(from, to string) func() string {
		return func() string {
			if !strings.Contains(text, from) {
				t.Fatalf("no %q", from)
			}
			return strings.Replace(text, from, to, 1)
		}
	}
	in := func(p part, n int, from, to string) func() string {
		f := field(p, n)
		if !strings.Contains(f, from) {
			t.Fatalf("no %q in %q", from, f)
		}
		return replace(f, strings.Replace(f, from, to, 1))
	}
	for _, c := range []struct {
		name string
		text func() string
		want string
	}{
		{"untouched", func() string { return text }, "arc.pass"},
		{"unsigned field added", func() string { return "X-Spam: no\r\n" + text }, "arc.pass"},
		{"results field added", func() string { return "Authentication-Results: x; none\r\n" + text }, "arc.pass"},
		{"order of fields", func() string { return field(results, 3) + strings.Replace(text, field(results, 3), "", 1) }, "arc.pass"},
		{"body", replace("Another.", "Another!"), "arc.body-differs"},
		{"body with more", func() string { return text + "footer\r\n" }, "arc.body-differs"},
		{"subject", replace("on   the way", "off the way"), "arc.signature-wrong"},
		{"second From", replace("From: Hanako", "From: x@evil.example\r\nFrom: Hanako"), "arc.signature-wrong"},
		{"DKIM-Signature gone", replace("DKIM-Signature: ", "X: "), "arc.signature-wrong"},
		{"newest results", in(results, 3, "spf=fail", "spf=pass"), "arc.seal-wrong"},
		{"oldest results", in(results, 1, "spf=fail", "spf=pass"), "arc.seal-wrong"},
		{"old signature", in(signature, 1, "t=1", "t=2"), "arc.seal-wrong"},
		{"old seal", in(seal, 1, "t=1", "t=2"), "arc.seal-wrong"},
		{"newest seal", in(seal, 3, "t=1", "t=2"), "arc.seal-wrong"},
		{"newest seal of another domain", in(seal, 3, "d=d2.example", "d=d1.example"), "arc.seal-wrong"},
		{"newest signature", in(signature, 3, "t=1", "t=2"), "arc.signature-wrong"},
		{"results gone", replace(field(results, 2), ""), "arc.field-missing"},
		{"signature gone", replace(field(signature, 1), ""), "arc.field-missing"},
		{"seal gone", replace(field(seal, 3), ""), "arc.field-missing"},
		{"newest set gone", func() string {
			return strings.NewReplacer(field(results, 3), "", field(signature, 3), "", field(seal, 3), "").Replace(text)
		}, "arc.pass"},
		{"middle set gone", func() string {
			return strings.NewReplacer(field(results, 2), "", field(signature, 2), "", field(seal, 2), "").Replace(text)
		}, "arc.set-missing"},
		{"oldest set gone", func() string {
			return strings.NewReplacer(field(results, 1), "", field(signature, 1), "", field(seal, 1), "").Replace(text)
		}, "arc.set-missing"},
		{"results twice", func() string { return field(results, 2) + text }, "arc.field-repeated"},
		{"seal twice", func() string { return text[:0] + field(seal, 2) + text }, "arc.field-repeated"},
		{"status of the first", in(seal, 1, "cv=none", "cv=pass"), "arc.status-wrong"},
		{"status of the second", in(seal, 2, "cv=pass", "cv=none"), "arc.status-wrong"},
		{"status in capitals", in(seal, 2, "cv=pass", "cv=PASS"), "arc.status-wrong"},
		{"no status", in(seal, 2, " cv=pass;", ""), "arc.status-wrong"},
		{"old seal marked failed", in(seal, 2, "cv=pass", "cv=fail"), "arc.status-wrong"},
		{"newest seal marked failed", in(seal, 3, "cv=pass", "cv=fail"), "arc.marked-failed"},
		{"marked failed, and broken besides", func() string {
			return strings.Replace(in(seal, 3, "cv=pass", "cv=fail")(), field(results, 1), "", 1)
		}, "arc.marked-failed"},
		{"instance 0", in(seal, 3, "i=3", "i=0"), "arc.instance-invalid"},
		{"instance with a comment", in(seal, 3, "i=3", "i=(x (y)) 3 (z)"), "arc.seal-wrong"},
		{"instance in letters", in(results, 3, "i=3", "i=x"), "arc.instance-invalid"},
		{"instance tag in capitals", in(results, 3, "i=3", "I=3"), "arc.instance-invalid"},
		{"instance with an open comment", in(results, 3, "i=3", "i=3 (x"), "arc.instance-invalid"},
		{"instance not first", in(results, 3, "i=3; d2.example", "d2.example; i=3"), "arc.instance-invalid"},
		{"seal with h=", in(seal, 3, "cv=pass", "cv=pass; h=from"), "arc.seal-with-fields"},
		{"seal with c=", in(seal, 3, "cv=pass", "cv=pass; c=none"), "arc.seal-wrong"},
		{"seal with SHA-1", in(seal, 3, "a=rsa-sha256", "a=rsa-sha1"), "arc.seal-malformed"},
		{"seal without selector", in(seal, 3, " s=rsa;", ""), "arc.seal-malformed"},
		{"seal with a tag twice", in(seal, 3, "cv=pass", "cv=pass; cv=pass"), "arc.seal-malformed"},
		{"seal with t=x", in(seal, 3, "t=1", "t=x1"), "arc.seal-malformed"},
		{"old seal malformed", in(seal, 1, "t=1", "t=x1"), "arc.seal-malformed"},
		{"signature with v=", in(signature, 3, " c=", " v=7; c="), "arc.signature-wrong"},
		{"signature without bh=", in(signature, 3, "bh=", "xbh="), "arc.signature-malformed"},
		{"signature covers a seal", in(signature, 3, "h=From", "h=ARC-Seal:From"), "arc.signature-covers-seal"},
		{"signature covers the results", in(signature, 3, "h=From", "h=Authentication-Results:From"), "arc.signature-wrong"},
		{"signature of an unknown key", in(signature, 3, "s=rsa", "s=none"), "arc.key-absent"},
		{"seal of an unknown key", in(seal, 3, "s=rsa", "s=none"), "arc.key-absent"},
		{"key of another type", in(signature, 3, "s=rsa", "s=ed25519"), "arc.key-unusable"},
		{"signature that expires before it is made", in(signature, 3, " c=", " x=1777000000; c="), "arc.signature-malformed"},
		{"signature about to expire", in(signature, 3, " c=", " x=1777473286; c="), "arc.signature-wrong"},
		{"signature of a part of the body", func() string {
			part := sha256.Sum256([]byte("A line.\r\n"))
			f := field(signature, 3)
			bh := f[strings.Index(f, "bh="):]
			bh = bh[:strings.Index(bh, ";")]
			return strings.Replace(text, f, strings.Replace(f, bh, "l=9; bh="+base64.StdEncoding.EncodeToString(part[:]), 1), 1)
		}, "arc.body-partly-unsigned"},
		{"body length too long", in(signature, 3, " c=", " l=999; c="), "arc.body-differs"},
		{"body length zero", in(signature, 3, " c=", " l=0; c="), "arc.body-differs"},
	} {
		got := verify(t, v, c.text())
		if got.Reason.Code != c.want || (got.Status == Pass) != (c.want == "arc.pass") {
			t.Errorf("%s: %s, %s %v, want %s", c.name, got.Status, got.Reason.Code, got.Reason.Args, c.want)
		}
		if got.Status == Fail && got.Err == nil {
			t.Errorf("%s: a failure without an error", c.name)
		}
	}
	late := verifier(zone(t))
	late.Now = func() time.Time { return at.Add(time.Minute) }
	if got := verify(t, late, in(signature, 3, " c=", " x=1777473286; c=")()); got.Reason.Code != "arc.signature-expired" {
		t.Errorf("signature expired: %v", got.Reason)
	}
	// The same whatever pieces the body comes in.
	for _, size := range []int{1, 2, 3, 7} {
		var d message.Digests
		n := v.Begin(context.Background(), h, &d)
		for rest := body; rest != ""; {
			k := min(size, len(rest))
			io.WriteString(&d, rest[:k])
			rest = rest[k:]
		}
		d.Close()
		if got := n.Finish(context.Background()); got.Status != Pass {
			t.Errorf("in pieces of %d: %s (%v)", size, got.Status, got.Reason)
		}
	}
}

// TestOldestPass: a list that changes the message between two seals.
func TestOldestPass(t *testing.T) {
	v := verifier(zone(t))
	first := sealed(t, sealer(t, 0, "rsa"), mail, None)
	for _, c := range []struct {
		name, from, to string
	}{
		{"body", "Another.", "Another.\r\n-- \r\nthe list"},
		{"subject", "Subject:  on", "Subject: [list] on"},
	} {
		second := sealed(t, sealer(t, 1, "rsa"), strings.Replace(first, c.from, c.to, 1), Pass)
		third := sealed(t, sealer(t, 2, "ed25519"), second, Pass)
		for i, text := range []string{second, third} {
			got := verify(t, v, text)
			if got.Status != Pass || got.OldestPass != 2 || got.Sets != i+2 {
				t.Errorf("%s: %s, oldest pass %d (%v), want 2", c.name, got.Status, got.OldestPass, got.Reason)
			}
			if !slices.Contains(codes(got), "arc.changed-before") {
				t.Errorf("%s: %v", c.name, codes(got))
			}
		}
	}
	// A key that is gone breaks the chain; that of a signature alone would not.
	z := zone(t)
	text := sealed(t, sealer(t, 1, "rsa"), first, Pass)
	delete(z, "rsa._domainkey.d0.example")
	got := verify(t, verifier(z), text)
	if got.Status != Fail || got.Reason.Code != "arc.key-absent" || !slices.Contains(codes(got), "arc.older-unknown") {
		t.Errorf("the first seal's key is gone: %s %v", got.Status, codes(got))
	}
}

func codes(r Result) []string {
	var out []string
	for _, s := range r.Steps {
		out = append(out, s.Code)
	}
	return out
}

// TestTemporary: RFC 8617 §5.2.1 has every failure be permanent; it is still
// said that this one may not be.
func TestTemporary(t *testing.T) {
	text := chained(t, 2, "rsa")
	for _, d := range []string{"d0", "d1"} {
		z := zone(t)
		z["rsa._domainkey."+d+".example"] = "temporary"
		got := verify(t, verifier(z), text)
		if got.Status != Fail || !got.Temporary || !errors.Is(got.Err, dns.ErrTemporary) || got.Reason.Code != "arc.key-temporary" {
			t.Errorf("%s does not answer: %s, %v (%v)", d, got.Status, got.Err, got.Reason)
		}
	}
	z := zone(t)
	z["rsa._domainkey.d1.example"] = "v=DKIM1; p="
	if got := verify(t, verifier(z), text); got.Temporary || got.Reason.Code != "arc.key-unusable" || len(got.Reason.Children) != 1 {
		t.Errorf("a revoked key: %+v", got.Reason)
	}
	z["rsa._domainkey.d1.example"] = "v=DKIM1; k=new; p=xx"
	if got := verify(t, verifier(z), text); got.Temporary || got.Reason.Code != "arc.key-unusable" {
		t.Errorf("a record that is no key: %+v", got.Reason)
	}

	// A resolver that never answers: the context ends the wait.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	h, body := split(t, text)
	got, err := verifier(stuck{}).Verify(ctx, h, strings.NewReader(body))
	if err != nil || got.Status != Fail || !got.Temporary {
		t.Errorf("no answer: %+v, %v", got.Reason, err)
	}
}

type stuck struct{}

func (stuck) Lookup(ctx context.Context, _ string, _ dns.Type) (dns.Answer, error) {
	<-ctx.Done()
	return dns.Answer{}, fmt.Errorf("%w: %w", dns.ErrTemporary, ctx.Err())
}

// counter counts questions.
type counter struct {
	dns.Resolver
	n atomic.Int64
}

func (c *counter) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	c.n.Add(1)
	return c.Resolver.Lookup(ctx, name, t)
}

// TestQuestions: a forged chain asks for two keys, a real one for each key once.
func TestQuestions(t *testing.T) {
	text := chained(t, 20, "rsa", "ed25519")
	c := &counter{Resolver: zone(t)}
	if got := verify(t, verifier(c), text); got.Status != Pass || c.n.Load() != 20 {
		t.Errorf("%s with %d questions, want 20", got.Status, c.n.Load())
	}
	c = &counter{Resolver: zone(t)}
	if got := verify(t, verifier(c), strings.Replace(text, "Another", "Other", 1)); got.Status != Fail || c.n.Load() > 2 {
		t.Errorf("%s with %d questions, want 2 at most", got.Status, c.n.Load())
	}
	c = &counter{Resolver: zone(t)}
	if got := verify(t, verifier(c), mail); got.Status != None || c.n.Load() != 0 {
		t.Errorf("%s with %d questions, want none", got.Status, c.n.Load())
	}
}

func TestSealFailed(t *testing.T) {
	v := verifier(zone(t))
	broken := strings.Replace(chained(t, 2, "rsa"), "Another.", "Other.", 1)
	text := sealed(t, sealer(t, 5, "rsa"), broken, Fail)
	got := verify(t, v, text)
	if got.Status != Fail || got.Reason.Code != "arc.marked-failed" || got.Sets != 3 {
		t.Fatalf("a chain sealed as failed: %+v", got.Reason)
	}
	// RFC 8617 §5.1.2: the seal covers its own set as if it were the only one.
	h, _ := split(t, text)
	sets, _, _ := collect(h, maxSets)
	newest := sets[2]
	digest := sealDigests([]set{newest})[0]
	if err := newestKey(t).Verify(newest.seal.Algorithm, digest[:], newest.seal.Value); err != nil {
		t.Errorf("the seal covers something else: %v", err)
	}
	if _, err := sealer(t, 6, "rsa").Begin(h, new(message.Digests)); !errors.Is(err, ErrFailed) {
		t.Errorf("sealing a chain marked as failed: %v, want ErrFailed", err)
	}
	// Fields without a readable instance: the set is the first, and failed.
	text = sealed(t, sealer(t, 5, "rsa"), "ARC-Seal: i=x\r\n"+mail, Fail)
	if got := verify(t, v, text); got.Status != Fail || got.Sets != 1 {
		t.Errorf("a chain without instances: %+v", got)
	}
}

func newestKey(t *testing.T) *dkim.Key {
	t.Helper()
	k, err := dkim.NewKey(keys()["rsa"].Public())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealRefuses(t *testing.T) {
	weak := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 511), E: 65537}}
	for _, c := range []struct {
		name  string
		wrong func(*Sealer)
		cv    Status
		text  string
		res   string
		msg   string
	}{
		{"no key", func(s *Sealer) { s.Key = nil }, None, mail, "a; none", "neither RSA nor Ed25519"},
		{"weak key", func(s *Sealer) { s.Key = weak }, None, mail, "a; none", "at least 1024"},
		{"no selector", func(s *Sealer) { s.Selector = "" }, None, mail, "a; none", "selector"},
		{"no domain", func(s *Sealer) { s.Domain = domain.Name{} }, None, mail, "a; none", "selector"},
		{"canonicalization", func(s *Sealer) { s.BodyCanon = "nofws" }, None, mail, "a; none", "nofws"},
		{"no From", func(s *Sealer) { s.Headers = []string{"To"} }, None, mail, "a; none", "From is not"},
		{"results signed", func(s *Sealer) { s.Headers = []string{"From", "authentication-results"} }, None, mail, "a; none", "must not be signed"},
		{"seal signed", func(s *Sealer) { s.Headers = []string{"From", "ARC-seal"} }, None, mail, "a; none", "must not be signed"},
		{"no name", func(s *Sealer) { s.Headers = []string{"From", "a b"} }, None, mail, "a; none", "no name of a field"},
		{"pass without a chain", nil, Pass, mail, "a; none", `"pass", but the message has 0 sets`},
		{"fail without a chain", nil, Fail, mail, "a; none", `"fail", but`},
		{"none with a chain", nil, None, chained(t, 1, "rsa"), "a; none", `"none", but the message has 1 sets`},
		{"pass with a broken chain", nil, Pass, "ARC-Seal: i=1; cv=none\r\n" + mail, "a; none", "broken"},
		{"unknown status", nil, "ok", mail, "a; none", "unknown"},
		{"no results", nil, None, mail, " \r\n ", "no results"},
		{"control characters", nil, None, mail, "a; spf=pass\x00", "control character"},
	} {
		s := sealer(t, 1, "rsa")
		if c.wrong != nil {
			c.wrong(s)
		}
		h, body := split(t, c.text)
		set, err := s.Seal(h, strings.NewReader(body), c.cv, c.res)
		if err == nil || !strings.Contains(err.Error(), c.msg) {
			t.Errorf("%s: %q, %v, want an error with %q", c.name, set, err, c.msg)
		}
	}
	// Line ends in the results are unfolded, whatever follows them.
	h, body := split(t, mail)
	set, err := sealer(t, 1, "rsa").Seal(h, strings.NewReader(body), None, "a; spf=pass\r\nX-Evil: yes")
	if err != nil || strings.Count(set[2], "\n") != strings.Count(set[2], "\n ")+1 {
		t.Errorf("%q, %v", set, err)
	}
}

func TestTrust(t *testing.T) {
	v := verifier(zone(t))
	three := chained(t, 3, "rsa")
	trust := func(domains ...string) func(domain.Name) bool {
		return func(n domain.Name) bool { return slices.Contains(domains, n.String()) }
	}
	noFrom := sealer(t, 0, "rsa")
	text := sealed(t, noFrom, mail, None)
	for _, c := range []struct {
		name     string
		text     string
		trusted  []string
		instance int
		code     string
	}{
		{"no chain", mail, []string{"d0.example"}, 0, "arc.trust-no-chain"},
		{"broken", strings.Replace(three, "Another", "Other", 1), []string{"d0.example", "d1.example", "d2.example"}, 0, "arc.trust-failed"},
		{"all", three, []string{"d0.example", "d1.example", "d2.example"}, 1, "arc.trusted"},
		{"the newest", three, []string{"d2.example"}, 3, "arc.trusted"},
		{"the newest and the oldest", three, []string{"d2.example", "d0.example"}, 3, "arc.trusted"},
		{"not the newest", three, []string{"d1.example", "d0.example"}, 0, "arc.trust-unknown-sealer"},
		{"one", text, []string{"d0.example"}, 1, "arc.trusted"},
	} {
		r := verify(t, v, c.text)
		got := r.Trust(trust(c.trusted...))
		if got.Instance != c.instance || got.Step.Code != c.code || (got.Instance > 0) != (got.Results != "") {
			t.Errorf("%s: %+v, want instance %d, %s", c.name, got, c.instance, c.code)
		}
	}
	if got := (Result{Status: Pass, Chain: []Set{{Instance: 1}}}).Trust(func(domain.Name) bool { return true }); got.Step.Code != "arc.trust-from-unsigned" {
		t.Errorf("From unsigned: %+v", got)
	}
	want := "arc=pass as[3].d=d2.example as[3].s=rsa as[2].d=d1.example as[2].s=rsa as[1].d=d0.example as[1].s=rsa remote-ip[1]=192.0.2.1"
	if got := verify(t, v, three).Comment("192.0.2.1"); got != want {
		t.Errorf("Comment = %s, want %s", got, want)
	}
}
