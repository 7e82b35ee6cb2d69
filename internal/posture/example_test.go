package posture_test

import (
	"context"
	"fmt"
	"strings"

	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/internal/posture"
)

func Example() {
	zone, err := dnstest.Parse(strings.NewReader(`$TTL 3600
example.jp.        IN MX  10 mx.example.jp.
mx.example.jp.     IN A   192.0.2.1
example.jp.        IN TXT "v=spf1 mx -all"
_dmarc.example.jp. IN TXT "v=DMARC1; p=none; rua=mailto:dmarc@example.jp"
`), "zone")
	if err != nil {
		panic(err)
	}
	name, err := domain.Parse("example.jp")
	if err != nil {
		panic(err)
	}
	p := posture.Inspect(context.Background(), zone, name, posture.Options{})
	fmt.Println(p.Verdict.Code, p.Verdict.Protected)
	for _, f := range p.Findings {
		if f.Code == "posture.dmarc-none" {
			fmt.Println(f.Publish.Name, f.Publish.Value)
		}
	}
	// Output:
	// posture.verdict-watched no
	// _dmarc.example.jp v=DMARC1; p=quarantine; np=reject; rua=mailto:dmarc@example.jp
}
