package dkim

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"sekimori/message"
)

// TestAllocations bounds what one signature costs in allocations, a step's
// arguments included.
func TestAllocations(t *testing.T) {
	msg, zone := benchMessage(t, 10<<10, rsa2048())
	h, _, err := message.Read(strings.NewReader(msg), 0)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(msg, "\r\n\r\n")
	raw := []byte(text)
	v := &Verifier{Resolver: zone, Now: at(testTime)}
	got := testing.AllocsPerRun(200, func() {
		var d message.Digests
		n := v.Begin(context.Background(), h, &d)
		d.Write(raw)
		d.Close()
		if res := n.Finish(context.Background()); res[0].Status != Pass {
			t.Fatal(res[0].Reason)
		}
	})
	const most = 56
	if got > most {
		t.Errorf("%.0f allocations for a signature, at most %d are wanted", got, most)
	}
	t.Logf("%.0f allocations", got)
}

// TestManyFields: what a hostile header costs grows with its size only.
func TestManyFields(t *testing.T) {
	cost := func(fields int) time.Duration {
		var b strings.Builder
		for i := range fields {
			fmt.Fprintf(&b, "X-%d: y\r\n", i%(fields/2))
		}
		sig := "DKIM-Signature: v=1; a=ed25519-sha256; d=example.jp; s=ed; bh=" + strings.Repeat("A", 43) + "=; b=AAAA; h=from" +
			strings.Repeat(":x-1:x-2:nobody", 170) + "\r\n"
		msg := strings.Repeat(sig, 10) + b.String() + "From: a\r\n\r\n"
		h, _, err := message.Read(strings.NewReader(msg), 0)
		if err != nil {
			t.Fatal(err)
		}
		v := &Verifier{Resolver: records{"ed._domainkey.example.jp": {record(edKey())}}, Now: at(testTime)}
		best := time.Hour
		for range 5 {
			start := time.Now()
			var d message.Digests
			n := v.Begin(context.Background(), h, &d)
			d.Close()
			if res := n.Finish(context.Background()); len(res) != 10 || res[0].Status != Fail {
				t.Fatal(codes(res))
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	small, large := cost(2000), cost(60000)
	if large > 120*small {
		t.Errorf("30 times the fields take %v instead of %v", large, small)
	}
}
