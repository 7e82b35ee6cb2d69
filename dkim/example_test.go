package dkim_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"
	"time"

	"sekimori/dkim"
	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/message"
)

// The signatures of RFC 6376 appendix A.2 and RFC 8463 appendix A.3, by the
// keys that are published there.
func Example() {
	zone, err := dnstest.Parse(strings.NewReader(`
brisbane._domainkey.example.com. IN TXT ( "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQ"
  "KBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v"
  "/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB" )
brisbane._domainkey.football.example.com. IN TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
test._domainkey.football.example.com. IN TXT ( "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQ"
  "KBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC"
  "/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB" )
`), "zone")
	if err != nil {
		panic(err)
	}
	v := &dkim.Verifier{Resolver: zone}
	for _, text := range []string{rfc6376, rfc8463} {
		header, body, err := message.Read(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")), 0)
		if err != nil {
			panic(err)
		}
		results, err := v.Verify(context.Background(), header, body)
		if err != nil {
			panic(err)
		}
		for _, r := range results {
			fmt.Println(r.Status, r.Domain, r.Algorithm, r.KeyBits, r.Reason.Code)
		}
	}
	// Output:
	// pass example.com rsa-sha256 1024 dkim.pass
	// pass football.example.com ed25519-sha256 256 dkim.pass
	// pass football.example.com rsa-sha256 1024 dkim.pass
}

func ExampleSign() {
	d, err := domain.Parse("example.jp")
	if err != nil {
		panic(err)
	}
	s := &dkim.Signer{
		Domain: d, Selector: "2026a",
		Key: ed25519.NewKeyFromSeed([]byte("an example of thirty-two octets.")),
		Now: func() time.Time { return time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC) },
	}
	header, body, err := message.Read(strings.NewReader("From: a@example.jp\r\nSubject: Hello\r\n\r\nHello.\r\n"), 0)
	if err != nil {
		panic(err)
	}
	fields, err := dkim.Sign(header, body, s)
	if err != nil {
		panic(err)
	}
	fmt.Print(strings.ReplaceAll(fields[0], "\r\n", "\n"))
	key, err := dkim.NewKey(s.Key.Public())
	if err != nil {
		panic(err)
	}
	fmt.Println(dkim.KeyName(s.Selector, d.String()), key)
	// Output:
	// DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.jp;
	//  s=2026a; t=1795219200; h=From:From:To:Cc:Subject:Subject:Date:Message-ID:
	//  Reply-To:In-Reply-To:References:MIME-Version:Content-Type:
	//  Content-Transfer-Encoding; bh=yZQq1c8wjBl0fZ4Wc/oraMCAG1mZJv5v/hlvyFy+t6A=;
	//  b=uG+C2ZQKJ97K/8ehuPvu6y0ibSaJp4sfTRQHjUGTqX7tiV4U59Dqu2H4V8GEtzA3A1dDL4PlhA
	//  /2YaTCT/WcCA==
	// 2026a._domainkey.example.jp v=DKIM1; k=ed25519; p=/K17KjDbunylZzcA43e31w4RWfmy9bbVXExMiC/vbos=
}

const rfc6376 = `DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
        4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
        KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
        4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
`

const rfc8463 = `DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
`
