package message

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"sekimori/internal/require"
)

func TestParseReceived(t *testing.T) {
	at := time.Date(2026, 4, 29, 14, 34, 45, 0, time.UTC)
	ip := netip.MustParseAddr
	for _, c := range []struct {
		name, in string
		want     Received
	}{
		{"postfix", "from mail.example.jp (mx1.example.jp [192.0.2.45])\r\n\tby mx.example.net (Postfix) with ESMTPS id 4ABCDEF\r\n\tfor <hanako@example.net>; Wed, 29 Apr 2026 23:34:45 +0900 (JST)",
			Received{Helo: "mail.example.jp", RDNS: "mx1.example.jp", IP: ip("192.0.2.45"), By: "mx.example.net", With: "ESMTPS", ID: "4ABCDEF", For: "hanako@example.net"}},
		{"postfix, no name, TLS, IPv6", "from mail.example.jp (unknown [IPv6:2001:db8::1])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\r\n\t key-exchange X25519 server-signature RSA-PSS (2048 bits))\r\n\t(No client certificate requested)\r\n\tby mx.example.net (Postfix) with ESMTPS id 4ABC; Wed, 29 Apr 2026 14:34:45 +0000 (UTC)",
			Received{Helo: "mail.example.jp", IP: ip("2001:db8::1"), By: "mx.example.net", With: "ESMTPS", ID: "4ABC"}},
		{"postfix, submission", "from [10.0.0.5] (host5.example.jp [192.0.2.5])\r\n\t(Authenticated sender: hanako)\r\n\tby mx.example.net (Postfix) with ESMTPSA id 4ABC; Wed, 29 Apr 2026 14:34:45 GMT",
			Received{Helo: "[10.0.0.5]", RDNS: "host5.example.jp", IP: ip("192.0.2.5"), By: "mx.example.net", With: "ESMTPSA", ID: "4ABC"}},
		{"postfix, local", "by mail.example.jp (Postfix, from userid 1000) id 63FD; Wed, 29 Apr 2026 23:34:45 +0900 (JST)",
			Received{By: "mail.example.jp", ID: "63FD"}},
		{"short name", "from mailgw (gw [192.0.2.98]) by mail.example.jp (Postfix) with ESMTP id 0; 29 Apr 2026 14:34:45 +0000",
			Received{Helo: "mailgw", RDNS: "gw", IP: ip("192.0.2.98"), By: "mail.example.jp", With: "ESMTP", ID: "0"}},
		{"network in a comment", "from a.example (a.example [192.0.2.6] (AS64496 EXAMPLE, JP)) by b.example with ESMTPS id 1; 29 Apr 2026 14:34:45 +0000",
			Received{Helo: "a.example", RDNS: "a.example", IP: ip("192.0.2.6"), By: "b.example", With: "ESMTPS", ID: "1"}},
		{"sendmail", "from mail.example.jp (mail@p7.example.jp [192.0.2.7] (may be forged))\r\n\tby smtp.example.net (8.17.1/8.17.1) with ESMTPS id 43TEYjXX\r\n\t(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256 verify=NO)\r\n\tfor <hanako@example.net>; Wed, 29 Apr 2026 10:34:45 -0400\r\n\t(envelope-from taro@example.jp)",
			Received{Helo: "mail.example.jp", RDNS: "p7.example.jp", IP: ip("192.0.2.7"), By: "smtp.example.net", With: "ESMTPS", ID: "43TEYjXX", For: "hanako@example.net", EnvelopeFrom: "taro@example.jp"}},
		{"sendmail, no name", "from nyanko ([192.0.2.13]) by mx.example.net (8.13.4/8.13.4) with SMTP id 0; Wed, 29 Apr 2026 14:34:45 +0000",
			Received{Helo: "nyanko", IP: ip("192.0.2.13"), By: "mx.example.net", With: "SMTP", ID: "0"}},
		{"exim", "from mta.example.org ([192.0.2.2]:2400)\r\n\tby mx.example.net with esmtps  (TLS1.3) tls TLS_AES_256_GCM_SHA384\r\n\t(Exim 4.97)\r\n\t(envelope-from <bounce+x=y@example.org>)\r\n\tid 1u9abc-0000xR-2E\r\n\tfor hanako@example.net; Wed, 29 Apr 2026 23:34:45 +0900",
			Received{Helo: "mta.example.org", RDNS: "mta.example.org", IP: ip("192.0.2.2"), By: "mx.example.net", With: "esmtps tls TLS_AES_256_GCM_SHA384", ID: "1u9abc-0000xR-2E", For: "hanako@example.net", EnvelopeFrom: "bounce+x=y@example.org"}},
		{"exim, another HELO", "from p3.example.org ([192.0.2.3] helo=mta.example.org) by mx.example.net with esmtp (Exim 4.97) (envelope-from <>) id 1; Wed, 29 Apr 2026 14:34:45 +0000",
			Received{Helo: "mta.example.org", RDNS: "p3.example.org", IP: ip("192.0.2.3"), By: "mx.example.net", With: "esmtp", ID: "1", NullFrom: true}},
		{"exim, no name", "from [192.0.2.3] (port=2400 helo=mta.example.org) by mx.example.net with esmtp (Exim 4.97) id 1; Wed, 29 Apr 2026 14:34:45 +0000",
			Received{Helo: "mta.example.org", IP: ip("192.0.2.3"), By: "mx.example.net", With: "esmtp", ID: "1"}},
		{"exchange", "from PROD01.example.onmicrosoft.test (2001:db8:201:1::37) by PROD02.example.onmicrosoft.test\r\n (2001:db8:e400:a40f::24) with Microsoft SMTP Server (version=TLS1_3,\r\n cipher=TLS_AES_256_GCM_SHA384) id 15.20.9587.17 via Frontend Transport;\r\n Wed, 29 Apr 2026 14:34:45 +0000",
			Received{Helo: "PROD01.example.onmicrosoft.test", IP: ip("2001:db8:201:1::37"), By: "PROD02.example.onmicrosoft.test", With: "Microsoft SMTP Server", ID: "15.20.9587.17"}},
		{"exchange, with a zone", "from ex1.example.jp ([fe80::1%22]) by ex2.example.jp ([fe80::2%22]) with Microsoft SMTP Server id 14.02; Wed, 29 Apr 2026 14:34:45 +0000",
			Received{Helo: "ex1.example.jp", IP: ip("fe80::1"), By: "ex2.example.jp", With: "Microsoft SMTP Server", ID: "14.02"}},
		{"gmail", "from mail.example.jp (mail.example.jp. [192.0.2.222])\r\n        by mx.google.example with ESMTPS id h2si601605pju.2.2026.04.29.07.34.41\r\n        for <hanako@example.net>\r\n        (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);\r\n        Wed, 29 Apr 2026 07:34:45 -0700 (PDT)",
			Received{Helo: "mail.example.jp", RDNS: "mail.example.jp", IP: ip("192.0.2.222"), By: "mx.google.example", With: "ESMTPS", ID: "h2si601605pju.2.2026.04.29.07.34.41", For: "hanako@example.net"}},
		{"gmail, inside", "by 2001:db8:902:9a94:: with SMTP id w20mr5721806plp.6;        Wed, 29 Apr 2026 07:34:45 -0700 (PDT)",
			Received{By: "2001:db8:902:9a94::", With: "SMTP", ID: "w20mr5721806plp.6"}},
		{"qmail", "from unknown (HELO mail4.example.jp) (192.0.2.123)\n  by 0 with SMTP; 29 Apr 2026 14:34:45 -0000",
			Received{Helo: "mail4.example.jp", IP: ip("192.0.2.123"), By: "0", With: "SMTP"}},
		{"qmail, with its name and ident", "from p9.example.jp (HELO mail4.example.jp) (taro@192.0.2.123) by mx.example.net with ESMTPS; 29 Apr 2026 14:34:45 -0000",
			Received{Helo: "mail4.example.jp", RDNS: "p9.example.jp", IP: ip("192.0.2.123"), By: "mx.example.net", With: "ESMTPS"}},
		{"qmail, local", "(qmail 10000 invoked by uid 89); 29 Apr 2026 14:34:45 -0000", Received{}},
		{"courier", "from mail.example.jp (mail.example.jp [::ffff:192.0.2.8])\n  (TLS: TLSv1.3,256bits)\n  by mx.example.net with ESMTPS id 00000000000A; Wed, 29 Apr 2026 23:34:45 +0900",
			Received{Helo: "mail.example.jp", RDNS: "mail.example.jp", IP: ip("192.0.2.8"), By: "mx.example.net", With: "ESMTPS", ID: "00000000000A"}},
		{"yahoo", "from 127.0.0.1  (EHLO out.example.jp) (192.0.2.9)  by mta34.example.com with SMTPS; Wed, 29 Apr 2026 14:34:45 +0000",
			Received{Helo: "out.example.jp", IP: ip("192.0.2.9"), By: "mta34.example.com", With: "SMTPS"}},
		{"haraka", "from mail.example.jp ([192.0.2.10])\r\n\tby mx.example.net (Haraka/3.0.3) with ESMTPS id AB.1\r\n\tenvelope-from <taro@example.jp>\r\n\t(cipher=TLS); Wed, 29 Apr 2026 14:34:45 +0000",
			Received{Helo: "mail.example.jp", IP: ip("192.0.2.10"), By: "mx.example.net", With: "ESMTPS", ID: "AB.1", EnvelopeFrom: "taro@example.jp"}},
		{"address without a comment", "from mf1.example.com [192.0.2.4] by mx90.example.com (SMTPD-10.00) id 1; Wed, 29 Apr 2026 14:34:45 +0000",
			Received{Helo: "mf1.example.com", IP: ip("192.0.2.4"), By: "mx90.example.com", ID: "1"}},
		{"ecelerity", "from [192.0.2.222] ([192.0.2.222:222] helo=mta-2.example.org) by example.org (envelope-from <taro@example.org>) (ecelerity 4) with ESMTPS id 22/00; Wed, 29 Apr 2026 14:34:45 +0000",
			Received{Helo: "mta-2.example.org", IP: ip("192.0.2.222"), By: "example.org", With: "ESMTPS", ID: "22/00", EnvelopeFrom: "taro@example.org"}},
		{"amavis", "from mail.example.jp ([127.0.0.1]) by localhost (mail.example.jp [127.0.0.2]) (amavisd-new, port 10024) with ESMTP id ee+x for <hanako@example.net>; Wed, 29 Apr 2026 14:34:45 +0000",
			Received{Helo: "mail.example.jp", IP: ip("127.0.0.1"), By: "localhost", With: "ESMTP", ID: "ee+x", For: "hanako@example.net"}},
		{"the client's own address does not count", "from [198.51.100.1] (unknown [192.0.2.1]) by mx.example.net (Postfix) with SMTP id 1; 29 Apr 2026 14:34:45 +0000",
			Received{Helo: "[198.51.100.1]", IP: ip("192.0.2.1"), By: "mx.example.net", With: "SMTP", ID: "1"}},
		{"semicolon in an address and in a comment", "from a.example (a.example [192.0.2.1]) (x; y) by b.example with SMTP id 1 for <\"a;b c\"@example.net>; 29 Apr 2026 14:34:45 +0000",
			Received{Helo: "a.example", RDNS: "a.example", IP: ip("192.0.2.1"), By: "b.example", With: "SMTP", ID: "1", For: `"a;b c"@example.net`}},
	} {
		got := ParseReceived(c.in)
		if !got.Time.Equal(at) {
			t.Errorf("%s: time %v, want %v", c.name, got.Time, at)
		}
		got.Time = time.Time{}
		if got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, c.want)
		}
	}
	for _, in := range []string{"", ";", "(", "((((", "from", "by", "for ; ", "from ;from", "\\", strings.Repeat("(x", 9000)} {
		if got := ParseReceived(in); got != (Received{}) {
			t.Errorf("ParseReceived(%.20q) = %+v, want nothing", in, got)
		}
	}
}

func TestParseDate(t *testing.T) {
	for in, want := range map[string]string{
		"Wed, 29 Apr 2026 23:34:45 +0900 (JST)":        "2026-04-29T23:34:45+09:00",
		" Wed,29 Apr 2026\r\n 23:34:45 +0900":          "2026-04-29T23:34:45+09:00",
		"29 Apr 2026 23:34 -0130":                      "2026-04-29T23:34:00-01:30",
		"Thu, 13\r\n Feb\r\n 1969\r\n 23:32 -0330 (x)": "1969-02-13T23:32:00-03:30",
		"21 Nov 97 09:55:06 GMT":                       "1997-11-21T09:55:06Z",
		"21 Nov 26 09:55:06 EST":                       "2026-11-21T09:55:06-05:00",
		"21 Nov 126 09:55:06 PDT":                      "2026-11-21T09:55:06-07:00",
		"Fri, 21 Nov 1997 09(comment):   55  :  06":    "",
		"Fri, 1 May 2026 9:5:6 UT":                     "2026-05-01T09:05:06Z",
		"Friday, 1 May 2026 09:05:06 JST":              "2026-05-01T09:05:06+09:00",
		"Apr 29 2026 23:34:45 +0000":                   "2026-04-29T23:34:45Z",
		"Sat, 31 Dec 2016 23:59:60 +0000":              "2017-01-01T00:00:00Z",
		"29 Apr 2026 23:34:45 x":                       "2026-04-29T23:34:45Z",
		"29 Apr 2026 23:34:45":                         "2026-04-29T23:34:45Z",
		"29 Apr 2026 23:34:45 +0000 and more":          "2026-04-29T23:34:45Z",
		"30 Feb 2026 00:00:00 +0000":                   "",
		"29 Apr 2026":                                  "",
		"29 Apr 2026 l8:14:23 +1000":                   "",
		"29 Apr 2026 24:00:00 +0000":                   "",
		"0 Apr 2026 00:00:00 +0000":                    "",
		"29 Foo 2026 00:00:00 +0000":                   "",
		"2026-04-29T23:34:45Z":                         "",
		"":                                             "",
		"(((":                                          "",
	} {
		got, ok := ParseDate(in)
		text := ""
		if ok {
			text = got.Format(time.RFC3339)
		}
		if text != want {
			t.Errorf("ParseDate(%q) = %s, want %s", in, text, want)
		}
	}
}

// TestReceivedInData: nearly every real field gives a host, a time and, where
// it names a client, its address or name.
func TestReceivedInData(t *testing.T) {
	fields, times, clients, from := 0, 0, 0, 0
	for _, dir := range []string{"mail-japanese", "auth-authentication-milter", "arf-sisimai", "dkim-mail-dkim-corpus"} {
		for _, f := range files(t, require.Data(t, dir)) {
			in, err := os.Open(f)
			if err != nil {
				t.Fatal(err)
			}
			h, _, err := Read(in, 0)
			in.Close()
			if err != nil {
				continue
			}
			for _, field := range h.All("Received") {
				r := ParseReceived(field.RawValue())
				fields++
				if !r.Time.IsZero() {
					times++
				}
				if strings.HasPrefix(field.Value(), "from ") {
					from++
					if r.Helo != "" || r.RDNS != "" || r.IP.IsValid() {
						clients++
					} else {
						t.Errorf("no client: %q", field.Value())
					}
				}
			}
		}
	}
	if fields < 200 || times < fields*97/100 || clients < from {
		t.Errorf("%d fields, %d times, %d clients of %d", fields, times, clients, from)
	}
}

func FuzzReceived(f *testing.F) {
	for _, s := range []string{
		"from a.example (b.example [192.0.2.1]) by c.example with ESMTP id 1 for <d@e.example>; Wed, 29 Apr 2026 23:34:45 +0900 (JST)",
		"from unknown (HELO x) (y@192.0.2.1) by 0 with SMTP; 29 Apr 2026 14:34:45 -0000",
		"from [192.0.2.3] (port=2400 helo=x) by y (envelope-from <>) id 1; 1 Jan 26 0:0 EST",
		"from (localhost[127.0.0.1]) by x (((;", "by 2001:db8:: via HTTP",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := ParseReceived(s)
		if r.IP.Is4In6() || r.IP.Zone() != "" {
			t.Fatalf("%q: address %v", s, r.IP)
		}
		for _, v := range []string{r.Helo, r.RDNS, r.By, r.With, r.ID, r.For, r.EnvelopeFrom} {
			if len(v) > len(s) {
				t.Fatalf("%q gives the longer %q", s, v)
			}
		}
		ParseDate(s)
	})
}
