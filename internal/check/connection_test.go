package check

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"sekimori/message"
)

func header(t testing.TB, text string) message.Header {
	t.Helper()
	h, _, err := message.Read(strings.NewReader(text+"\n"), 0)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestDerive(t *testing.T) {
	const border = "Received: from mx.bank.example (mx.bank.example [192.0.2.10]) by mx.receiver.example (Postfix) with ESMTPS id 1; Sat, 21 Nov 2026 09:29:00 +0000\n"
	const exchange = "Received: from AM0PR04MB1.eurprd04.prod.outlook.example (2603:10a6:208:1::1) by AS8PR04MB2.eurprd04.prod.outlook.example with HTTPS; Sat, 21 Nov 2026 09:29:03 +0000\n" +
		"Received: from mx.bank.example (192.0.2.10) by AM1FFO11.mail.protection.outlook.example (10.152.0.1) with Microsoft SMTP Server (version=TLS1_2) id 15.20 via Frontend Transport; Sat, 21 Nov 2026 09:29:00 +0000\n" +
		"Received-SPF: Pass (protection.outlook.example: domain of bank.example designates 192.0.2.10 as permitted sender) receiver=protection.outlook.example; client-ip=192.0.2.10; envelope-from=a@bank.example; helo=mx.bank.example; pr=C\n"
	for _, c := range []struct {
		name, header string
		given        Input
		trust        string
		ip, helo     string
		from         string // "?" is unknown
		said         string // codes of Origin
	}{
		{"nothing", "From: a@b.example\n", Input{}, "", "", "", "?", "ip-unknown mail-from-unknown"},
		{"everything given", border, Input{IP: netip.MustParseAddr("198.51.100.1"), Helo: "h", MailFrom: "a@b"}, "", "198.51.100.1", "h", "a@b", ""},
		{"postfix", "Return-Path: <bounce@bank.example>\n" + border, Input{}, "", "192.0.2.10", "mx.bank.example", "bounce@bank.example", "ip-from-top-received helo-from-received mail-from-field"},
		{"null sender", "Return-Path: <>\n" + border, Input{}, "", "192.0.2.10", "mx.bank.example", "", "ip-from-top-received helo-from-received mail-from-field"},
		{"no return-path", border, Input{}, "", "192.0.2.10", "mx.bank.example", "?", "ip-from-top-received helo-from-received mail-from-unknown"},
		{"return-path below the border", border + "Return-Path: <forged@bank.example>\n", Input{}, "", "192.0.2.10", "mx.bank.example", "?", "ip-from-top-received helo-from-received mail-from-unknown"},
		{"return-path not an address", "Return-Path: what\n" + border, Input{}, "", "192.0.2.10", "mx.bank.example", "?", "ip-from-top-received helo-from-received mail-from-unknown"},
		{"exim's envelope-from", "Received: from mx.bank.example ([192.0.2.10]) by mx.receiver.example with esmtps (Exim 4.96) (envelope-from <a@bank.example>) id 1; Sat, 21 Nov 2026 09:29:00 +0000\n",
			Input{}, "", "192.0.2.10", "mx.bank.example", "a@bank.example", "ip-from-top-received helo-from-received mail-from-field"},
		{"private and loopback hops", "Received: from localhost (localhost [127.0.0.1]) by mx.receiver.example; Sat, 21 Nov 2026 09:29:01 +0000\n" +
			"Received: from a (a [10.0.0.1]) by b; x\nReceived: from a (a [IPv6:fd00::1]) by b; x\nReceived: from a (a [100.64.0.1]) by b; x\nReceived: from a (a [169.254.0.1]) by b; x\nReceived: from a (a [IPv6:fe80::1]) by b; x\n" + border,
			Input{}, "", "192.0.2.10", "mx.bank.example", "?", "ip-from-received helo-from-received mail-from-unknown"},
		{"a hidden address ends the search", "Received: from mx.somewhere.example by mx.receiver.example with ESMTP; Sat, 21 Nov 2026 09:29:01 +0000\n" + border, Input{}, "", "", "", "?", "ip-unknown mail-from-unknown"},
		{"a client that gives the host's own name", "Received: from mx.receiver.example by mx.receiver.example with ESMTP; Sat, 21 Nov 2026 09:29:01 +0000\n" + border, Input{}, "", "", "", "?", "ip-unknown mail-from-unknown"},
		{"the host itself", "Received: from mx.receiver.example by mx.receiver.example; Sat, 21 Nov 2026 09:29:01 +0000\n" + border, Input{}, "", "192.0.2.10", "mx.bank.example", "?", "ip-from-received helo-from-received mail-from-unknown"},
		{"local submission", "Received: by mx.receiver.example (Postfix, from userid 1000) id 1; Sat, 21 Nov 2026 09:29:01 +0000\n" + border, Input{}, "", "192.0.2.10", "mx.bank.example", "?", "ip-from-received helo-from-received mail-from-unknown"},
		{"trusted network", "Received: from f (f [203.0.113.9]) by mx.receiver.example; x\n" + border, Input{}, "203.0.113.0/24", "192.0.2.10", "mx.bank.example", "?", "ip-from-received helo-from-received mail-from-unknown"},
		{"received-spf on top", "Received-SPF: pass client-ip=192.0.2.10; envelope-from=a@bank.example; helo=mx.bank.example; identity=mailfrom\nFrom: a@bank.example\n",
			Input{}, "", "192.0.2.10", "mx.bank.example", "a@bank.example", "ip-from-field helo-from-field mail-from-field"},
		{"received-spf of another client below", border + "Received-SPF: pass client-ip=198.51.100.1; envelope-from=a@mallory.example\n", Input{}, "", "192.0.2.10", "mx.bank.example", "?", "ip-from-top-received helo-from-received mail-from-unknown"},
		{"authentication-results of the border host", border + "Authentication-Results: mx.receiver.example; spf=pass smtp.mailfrom=bank.example\n", Input{}, "", "192.0.2.10", "mx.bank.example", "postmaster@bank.example", "ip-from-top-received helo-from-received mail-from-field"},
		{"authentication-results of another host below", border + "Authentication-Results: mx.other.example; spf=pass smtp.mailfrom=bank.example\n", Input{}, "", "192.0.2.10", "mx.bank.example", "?", "ip-from-top-received helo-from-received mail-from-unknown"},
		{"the second hop says nothing", border + "Received: from x (x [198.51.100.1]) by y; x\nReceived-SPF: pass client-ip=192.0.2.10; envelope-from=a@mallory.example\n", Input{}, "", "192.0.2.10", "mx.bank.example", "?", "ip-from-top-received helo-from-received mail-from-unknown"},
		{"another address given", "Return-Path: <bounce@bank.example>\n" + border, Input{IP: netip.MustParseAddr("198.51.100.1")}, "", "198.51.100.1", "", "bounce@bank.example", "mail-from-field"},
		{"the same address given", border, Input{IP: netip.MustParseAddr("192.0.2.10"), MailFrom: "a@b"}, "", "192.0.2.10", "mx.bank.example", "a@b", "helo-from-received"},
		{"gmail", "Delivered-To: x@gmail.example\nReceived: by 2002:a05:6a10:1234:b0:1:2:3 with SMTP id abc; Sat, 21 Nov 2026 01:29:01 -0800 (PST)\nX-Received: by 2002:a05:6a10:1::1 with SMTP id abc; Sat, 21 Nov 2026 01:29:01 -0800 (PST)\n" +
			"Return-Path: <a@bank.example>\nReceived: from mx.bank.example (mx.bank.example. [192.0.2.10])\n        by mx.google.example with ESMTPS id x-20si1\n        for <x@gmail.example>\n        (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);\n        Sat, 21 Nov 2026 01:29:00 -0800 (PST)\n" +
			"Received-SPF: pass (google.example: domain of a@bank.example designates 192.0.2.10 as permitted sender) client-ip=192.0.2.10;\n",
			Input{}, "", "192.0.2.10", "mx.bank.example", "a@bank.example", "ip-from-received helo-from-received mail-from-field"},
		{"microsoft 365", strings.Replace(strings.ReplaceAll(exchange, "outlook.example", "outlook.com"), "\nReceived: from mx", "\nReceived: from AM1FFO11.eop-eur04.prod.protection.outlook.com (2603:10a6:208:1::2) by AM0PR04MB1.outlook.office365.com (2603:10a6:208:1::1) with Microsoft SMTP Server id 15.20 via Frontend Transport; Sat, 21 Nov 2026 09:29:01 +0000\nReceived: from mx", 1),
			Input{}, "", "192.0.2.10", "mx.bank.example", "a@bank.example", "ip-from-received helo-from-received mail-from-field"},
		{"a client that says it is inside microsoft 365", "Received: from X.prod.outlook.com (2603:1030::1) by AM1FFO11.mail.protection.outlook.com (10.152.0.1) with Microsoft SMTP Server; Sat, 21 Nov 2026 09:29:01 +0000\n" + border,
			Input{}, "", "2603:1030::1", "X.prod.outlook.com", "?", "ip-from-top-received helo-from-received mail-from-unknown"},
		{"a client of that network elsewhere", "Received: from X.prod.outlook.com (X [IPv6:2603:1030::1]) by mx.receiver.example (Postfix) with ESMTPS; Sat, 21 Nov 2026 09:29:01 +0000\n" + border,
			Input{}, "", "2603:1030::1", "X.prod.outlook.com", "?", "ip-from-top-received helo-from-received mail-from-unknown"},
		// Elsewhere hosts may speak over public addresses too. Without
		// --trust the envelope sender is unknown, and SPF is left alone.
		{"exchange online", exchange, Input{}, "", "2603:10a6:208:1::1", "AM0PR04MB1.eurprd04.prod.outlook.example", "?", "ip-from-top-received helo-from-received mail-from-unknown"},
		{"exchange online, trusted", exchange, Input{}, "2603:1000::/24", "192.0.2.10", "mx.bank.example", "a@bank.example", "ip-from-received helo-from-received mail-from-field"},
	} {
		var trust []netip.Prefix
		if c.trust != "" {
			trust = append(trust, netip.MustParsePrefix(c.trust))
		}
		got := Derive(header(t, c.header), c.given, trust)
		ip, from := "", got.MailFrom
		if got.IP.IsValid() {
			ip = got.IP.String()
		}
		if !got.sender() {
			from = "?"
		}
		var said []string
		for _, s := range got.Origin {
			said = append(said, strings.TrimPrefix(s.Code, "check."))
		}
		if ip != c.ip || got.Helo != c.helo || from != c.from || strings.Join(said, " ") != c.said {
			t.Errorf("%s: %s %q <%s> %q, want %s %q <%s> %q", c.name, ip, got.Helo, from, said, c.ip, c.helo, c.from, c.said)
		}
	}
}

func TestArrived(t *testing.T) {
	h := header(t, "Subject: x\nReceived: from a by b; Sat, 21 Nov 2026 18:29:00 +0900\nReceived: from c by a; Sat, 21 Nov 2026 01:00:00 +0000\n")
	if got, want := Arrived(h), time.Date(2026, 11, 21, 9, 29, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := Arrived(header(t, "Subject: x\n")); !got.IsZero() {
		t.Errorf("%v", got)
	}
}

func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                    "plain",
		"a\x00b\r\nc\x1b[31m":      "a\ufffdb\ufffd\ufffdc\ufffd[31m",
		"日本":                       "日本",
		"x\u202etxt.exe":           "x\ufffdtxt.exe",
		"bad\xff":                  "bad\ufffd",
		strings.Repeat("あ", 100):   strings.Repeat("あ", 66) + "…",
		strings.Repeat("a", 10000): strings.Repeat("a", 200) + "…",
	} {
		if got := clip(in); got != want {
			t.Errorf("%.50q: %q, want %q", in, got, want)
		}
	}
}
