package arc_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"strings"

	"sekimori/arc"
	"sekimori/dkim"
	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/message"
)

// A list seals what it forwards, and a receiver that trusts the list reads what
// the list found.
func Example() {
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	record, _ := dkim.NewKey(public)
	zone, err := dnstest.Parse(strings.NewReader(`a._domainkey.list.example. TXT "`+record.String()+`"`), "zone")
	if err != nil {
		fmt.Println(err)
		return
	}
	list, _ := domain.Parse("list.example")
	h, body, _ := message.Read(strings.NewReader("From: hanako@example.jp\r\nSubject: hello\r\n\r\nHello.\r\n"), 0)

	s := &arc.Sealer{Domain: list, Selector: "a", Key: private}
	set, err := s.Seal(h, body, arc.None, "list.example; dmarc=pass header.from=example.jp")
	if err != nil {
		fmt.Println(err)
		return
	}

	text := strings.Join(set, "") + "From: hanako@example.jp\r\nSubject: hello\r\n\r\nHello.\r\n"
	h, body, _ = message.Read(strings.NewReader(text), 0)
	v := &arc.Verifier{Resolver: zone}
	result, err := v.Verify(context.Background(), h, body)
	if err != nil {
		fmt.Println(err)
		return
	}
	trust := result.Trust(func(d domain.Name) bool { return d == list })
	fmt.Println(result.Status, trust.Instance, trust.Results)
	// Output:
	// pass 1 list.example; dmarc=pass header.from=example.jp
}
