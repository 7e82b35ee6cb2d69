package failure_test

import (
	"fmt"
	"strings"

	"sekimori/message"
	"sekimori/report/failure"
)

func ExampleParse() {
	mail := strings.NewReader(`From: noreply-dmarc@receiver.example
To: dmarc@example.jp
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b

A message in your name failed.
--b
Content-Type: message/feedback-report

Feedback-Type: auth-failure
Version: 1
User-Agent: Receiver/1.0
Auth-Failure: dmarc
Identity-Alignment: dkim, spf
Authentication-Results: receiver.example; dmarc=fail header.from=example.jp
Source-IP: 192.0.2.1
Reported-Domain: example.jp
Incidents: 12
--b
Content-Type: text/rfc822-headers

From: shop@example.jp
--b--
`)
	r, err := failure.Parse(mail, failure.Limits{})
	if err != nil {
		panic(err)
	}
	fmt.Println(r.AuthFailure, r.ReportedDomains, "from", r.SourceIP, "×", r.Incidents)
	fmt.Println("not aligned:", r.Unaligned)
	fmt.Println("the message was from", r.Header.Get("From"))
	// Output:
	// dmarc [example.jp] from 192.0.2.1 × 12
	// not aligned: [dkim spf]
	// the message was from shop@example.jp
}

func ExampleRedactor() {
	r := failure.Redactor{Key: []byte("the secret of the site, 32 octets")}
	h, _, _ := message.Read(strings.NewReader("From: 山田 <taro@example.jp>\r\nX-Account: taro\r\nReceived: from mail.example.jp for <hanako@city.example>; now\r\n\r\n"), 0)
	for _, f := range r.Header(h) {
		fmt.Printf("%s: %s\n", f.Name(), f.Value())
	}
	fmt.Println(r.Address("taro@example.jp"))
	// Output:
	// From: 2Az1zk9Sl6zPcR8U@example.jp
	// Received: from mail.example.jp for <_7IuLS4yi_NkeY6U@city.example>; now
	// 2Az1zk9Sl6zPcR8U@example.jp
}
