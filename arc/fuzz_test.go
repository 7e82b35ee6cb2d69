package arc

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"sekimori/message"
)

func FuzzVerify(f *testing.F) {
	z := zone(f)
	for _, s := range []string{chained(f, 1, "rsa"), chained(f, 3, "ed25519"), mail,
		"ARC-Seal: i=1; cv=fail\r\n\r\n", "ARC-Authentication-Results: i=(x) 2 ; y\r\nARC-Seal: i=2;h=\r\n\r\nx"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, body, err := message.Read(strings.NewReader(s), 0)
		if err != nil {
			return
		}
		c := &counter{Resolver: z}
		r, err := verifier(c).Verify(context.Background(), h, body)
		if err != nil {
			t.Fatal(err)
		}
		if r.Sets > 50 || len(r.Chain) > r.Sets || c.n.Load() > 2*int64(r.Sets) {
			t.Fatalf("%d sets, %d of them read, %d questions", r.Sets, len(r.Chain), c.n.Load())
		}
		if len(r.Steps) == 0 || r.Steps[len(r.Steps)-1].Code != r.Reason.Code || (r.Status == Fail) != (r.Err != nil) {
			t.Fatalf("not explained: %+v", r)
		}
		// What can be sealed can be verified: a chain goes on or ends.
		seal := sealer(t, 40, "ed25519")
		set, err := seal.Seal(h, strings.NewReader(""), r.Status, "x; none")
		if err != nil {
			return
		}
		after, _, err := message.Read(strings.NewReader(strings.Join(set, "")), 0)
		if err != nil || len(after) != 3 {
			t.Fatalf("%q", set)
		}
		again, err := verifier(z).Verify(context.Background(), append(after, h...), strings.NewReader(""))
		if err != nil || r.Status != Fail && again.Status != Pass || r.Status == Fail && again.Status != Fail {
			t.Fatalf("%s, and sealed %s: %+v", r.Status, again.Status, again.Reason)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	v := verifier(zone(b))
	for _, n := range []int{0, 1, 3} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h, body := split(b, chained(b, n, "rsa"))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(context.Background(), h, strings.NewReader(body)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
