package dmarc_test

import (
	"context"
	"fmt"
	"strings"

	"sekimori/dmarc"
	"sekimori/dns/dnstest"
	"sekimori/domain"
)

func Example() {
	zone, err := dnstest.Parse(strings.NewReader(`
_dmarc.example.jp. TXT "v=DMARC1; p=quarantine; sp=reject; rua=mailto:dmarc@example.jp"
news.example.jp.   MX  10 mail.example.jp.
`), "zone")
	if err != nil {
		panic(err)
	}
	author, _ := domain.Parse("news.example.jp")
	signer, _ := domain.Parse("bulk.example.net")

	ctx := context.Background()
	v := &dmarc.Verifier{Resolver: zone}
	d := v.Discover(ctx, author) // while SPF and DKIM are at work
	r := v.Evaluate(ctx, d, []dmarc.Identifier{{Method: "dkim", Domain: signer}})

	fmt.Println(r.Status, r.Policy, "by", r.PolicyTag, "of", r.PolicyDomain)
	for _, s := range r.Steps {
		fmt.Println("-", s.Code, s.Ref)
	}
	// Output:
	// fail reject by sp of example.jp
	// - dmarc.record-inherited RFC 9989 §4.10.1
	// - dmarc.policy-subdomain RFC 9989 §4.10.1
	// - dmarc.unaligned RFC 9989 §4.10.2
	// - dmarc.fail RFC 9989 §5.3.5
	// - dmarc.do-reject RFC 9989 §7.4
}

func ExampleLint() {
	for _, f := range dmarc.Lint("v=DMARC1 p=none; rua=dmarc@example.jp", "example.jp") {
		fmt.Println(f.Grade, f.Code)
		if f.Publish != nil {
			fmt.Println(" ", f.Publish.Name, f.Publish.Value)
		}
	}
	// Output:
	// error dmarc.lint.version-semicolon
	//   _dmarc.example.jp v=DMARC1; p=none; rua=mailto:dmarc@example.jp
	// error dmarc.lint.uri-mailto
	//   _dmarc.example.jp v=DMARC1; p=none; rua=mailto:dmarc@example.jp
	// error dmarc.lint.rua-invalid
	//   _dmarc.example.jp v=DMARC1; p=none; rua=mailto:dmarc@example.jp
	// advice dmarc.lint.p-none
	// advice dmarc.lint.np
	//   _dmarc.example.jp v=DMARC1; p=none; np=reject; rua=mailto:dmarc@example.jp
}
