package gateway

import (
	"context"
	"crypto"
	"slices"
	"sync"

	"sekimori/dkim"
	"sekimori/dns"
	"sekimori/explain"
)

// finding is one about a key.
func (k *signingKey) finding(grade explain.Grade, code, ref string) explain.Finding {
	return explain.Finding{Grade: grade, Step: explain.Step{Code: code, Ref: ref, Args: explain.Args{
		"domain": k.signer.Domain.String(), "selector": k.signer.Selector, "name": k.name, "file": explain.Clip(k.file), "bits": int64(k.bits),
	}}}
}

func (k *signingKey) ed25519() bool {
	a, _ := dkim.AlgorithmOf(k.signer.Key)
	return a == dkim.Ed25519SHA256
}

// advice is about the keys themselves.
func (s *Signer) advice() []explain.Finding {
	var out []explain.Finding
	for _, k := range s.keys {
		switch {
		case k.ed25519():
			// RFC 8463 §3 leaves verifiers without it; they take the signature for none.
			if !slices.ContainsFunc(s.byDomain[k.signer.Domain], func(o *signingKey) bool { return !o.ed25519() }) {
				out = append(out, k.finding(explain.Warning, "departure.key-alone", "RFC 8463 §3"))
			}
		case k.bits < 2048:
			out = append(out, k.finding(explain.Warning, "departure.key-short", "RFC 8301 §3.2"))
		case k.bits > 4096:
			// Verifiers need handle 1024 to 4096 bits only.
			out = append(out, k.finding(explain.Warning, "departure.key-long", "RFC 8301 §3.2"))
		}
	}
	return out
}

// Check asks the DNS whether the public half of each key is published, and says
// what is wrong; where something has to be published, Publish is the record. No
// finding says that all is well. It asks one question for each key, all at
// once, and ends with ctx.
func (s *Signer) Check(ctx context.Context, r dns.Resolver) []explain.Finding {
	if s == nil {
		return nil
	}
	found := make([][]explain.Finding, len(s.keys))
	var wg sync.WaitGroup
	for i, k := range s.keys {
		wg.Go(func() { found[i] = k.check(ctx, r) })
	}
	wg.Wait()
	return slices.Concat(found...)
}

func (k *signingKey) check(ctx context.Context, r dns.Resolver) []explain.Finding {
	say := func(grade explain.Grade, code, ref string) []explain.Finding {
		f := k.finding(grade, code, ref)
		f.Publish = &explain.Publish{Name: k.name, Type: "TXT", Value: k.record}
		return []explain.Finding{f}
	}
	answer, err := r.Lookup(ctx, k.name, dns.TXT)
	switch {
	case err != nil && !dns.Absent(err):
		// Not to be told is not to be absent.
		f := k.finding(explain.Advice, "departure.record-unknown", "")
		f.Args["error"] = explain.ClipFolded(err.Error())
		return []explain.Finding{f}
	case err != nil || len(answer.Records) == 0:
		return say(explain.Error, "departure.record-missing", "RFC 6376 §3.6.2")
	case len(answer.Records) > 1:
		// RFC 6376 §3.6.2.2: the result is undefined.
		return say(explain.Error, "departure.record-several", "RFC 6376 §3.6.2.2")
	}
	f := say(explain.Error, "departure.record-unusable", "RFC 6376 §3.6.1")
	f[0].Part = explain.ClipFolded(answer.Records[0])
	there, err := dkim.ParseKey(answer.Records[0])
	if err != nil {
		f[0].Args["error"] = explain.ClipFolded(err.Error())
		return f
	}
	if there.Revoked() {
		f[0].Code = "departure.record-revoked"
		return f
	}
	if public, ok := there.Public.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(k.signer.Key.Public()) {
		f[0].Code = "departure.record-differs"
		return f
	}
	a, _ := dkim.AlgorithmOf(k.signer.Key)
	if err := there.Usable(a, dkim.Limits{MaxRSABits: 16384}); err != nil {
		f[0].Args["error"] = explain.ClipFolded(err.Error())
		return f
	}
	if there.Testing() {
		// RFC 6376 §3.6.1: verifiers must treat the mail as unsigned where the
		// signature fails.
		f[0].Grade, f[0].Code = explain.Warning, "departure.record-testing"
		return f
	}
	return nil
}
