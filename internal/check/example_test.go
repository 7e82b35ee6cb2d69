package check_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"sekimori/dns/dnstest"
	"sekimori/internal/check"
)

func ExampleChecker() {
	zone, err := dnstest.Parse(strings.NewReader(`
bank.example.         TXT "v=spf1 ip4:192.0.2.0/24 -all"
_dmarc.bank.example.  TXT "v=DMARC1; p=reject"
`), "zone")
	if err != nil {
		panic(err)
	}
	c := &check.Checker{Resolver: zone, AuthServID: "mx.receiver.example"}
	in := check.Input{IP: netip.MustParseAddr("192.0.2.10"), Helo: "mx.bank.example", MailFrom: "info@bank.example"}
	v, err := c.Check(context.Background(), in, strings.NewReader("From: info@bank.example\r\n\r\nHello\r\n"))
	if err != nil {
		panic(err)
	}
	fmt.Println(v.Outcome())
	fmt.Println(v.AuthenticationResults())
	// Output:
	// confirmed
	// mx.receiver.example; spf=pass smtp.mailfrom=bank.example smtp.helo=mx.bank.example; dkim=none; dmarc=pass header.from=bank.example policy.dmarc=reject
}
