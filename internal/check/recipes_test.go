package check

import (
	"strings"
	"time"
)

// Names of the scenarios: bank.example is who is forged, mallory.example who
// forges, list.example a mailing list, receiver.example the host that asks.

const bankZone = `
bank.example.                  TXT "v=spf1 ip4:192.0.2.0/24 -all"
bank.example.                  MX  10 mx.bank.example.
_dmarc.bank.example.           TXT "v=DMARC1; p=reject; sp=quarantine; np=reject; rua=mailto:dmarc@bank.example"
s1._domainkey.bank.example.    TXT RSA
s2._domainkey.bank.example.    TXT ED25519
news.bank.example.             A   192.0.2.80
mx.bank.example.               A   192.0.2.10
mx.bank.example.               TXT "v=spf1 a -all"
`

const malloryZone = `
mallory.example.               TXT "v=spf1 ip4:198.51.100.0/24 -all"
_dmarc.mallory.example.        TXT "v=DMARC1; p=reject"
s1._domainkey.mallory.example. TXT RSA
mx.mallory.example.            A   198.51.100.66
`

const bankDraft = `From: "Example Bank" <info@bank.example>
To: Hanako <hanako@receiver.example>
Subject: Your statement
Date: Sat, 21 Nov 2026 08:30:00 +0000
Message-ID: <1@bank.example>

Your statement of November is ready.

  With best regards
`

func from(s string) *string { return &s }

const listZone = `
list.example.                  TXT "v=spf1 ip4:203.0.113.0/24 -all"
s1._domainkey.list.example.    TXT RSA
lists.list.example.            A   203.0.113.7
`

const listFound = "lists.list.example; spf=pass smtp.mailfrom=bank.example; dkim=pass header.d=bank.example; dmarc=pass header.from=bank.example"

// listed is what a mailing list makes of a message.
var listed = replace("Subject: Your", "List-Id: <members.list.example>\r\nSubject: [members] Your")

var (
	listConn    = connectionFile{IP: "203.0.113.7", Helo: "lists.list.example", MailFrom: from("members-bounces@list.example")}
	bankConn    = connectionFile{IP: "192.0.2.10", Helo: "mx.bank.example", MailFrom: from("bounce@bank.example")}
	malloryConn = connectionFile{IP: "198.51.100.66", Helo: "mx.mallory.example", MailFrom: from("x@mallory.example")}
	bankKey     = signing{domain: "bank.example", selector: "s1", key: "rsa"}
)

func replace(old, new string) func(string) string {
	return func(s string) string {
		if !strings.Contains(s, old) {
			panic("nothing to replace: " + old)
		}
		return strings.Replace(s, old, new, 1)
	}
}

func recipes() []recipe {
	return []recipe{
		{
			name: "legitimate", why: "An ordinary message: SPF and DKIM pass, both aligned with the From field.",
			zone: bankZone, conn: bankConn, draft: bankDraft, sign: []signing{bankKey},
		},
		{
			name: "two-algorithms", why: "Signed with RSA and Ed25519 (RFC 8463): both are told, one would do.",
			zone: bankZone, conn: bankConn, draft: bankDraft, sign: []signing{bankKey, {domain: "bank.example", selector: "s2", key: "ed25519"}},
		},
		{
			name: "forged-from", why: "A forger with a domain of his own passes SPF and DKIM for that domain. The From field names another: DMARC fails, and the owner of that name asks to refuse.",
			zone: bankZone + malloryZone, conn: malloryConn, draft: bankDraft, sign: []signing{{domain: "mallory.example", selector: "s1", key: "rsa"}},
		},
		{
			name: "forged-plain", why: "A forger who uses the name in the envelope too: SPF fails, with nothing signed.",
			zone: bankZone, conn: connectionFile{IP: "198.51.100.66", Helo: "mx.bank.example", MailFrom: from("info@bank.example")}, draft: bankDraft,
		},
		{
			name: "forged-subdomain", why: "From is a subdomain that exists and has no record: sp of the organizational domain applies (RFC 9989 §4.10.1).",
			zone: bankZone + malloryZone, conn: malloryConn, draft: strings.Replace(bankDraft, "info@bank.example", "info@news.bank.example", 1),
		},
		{
			name: "forged-nonexistent-subdomain", why: "From is a subdomain that does not exist: np applies (RFC 9989 §4.10.1).",
			zone: bankZone + malloryZone, conn: malloryConn, draft: strings.Replace(bankDraft, "info@bank.example", "info@secure-login.bank.example", 1),
		},
		{
			name: "lookalike", why: "A domain that looks like another and passes everything for itself. Authentication says whose it is, not whether to trust it; without a DMARC policy not even that is confirmed.",
			zone:  "bank-online.example. TXT \"v=spf1 ip4:198.51.100.0/24 -all\"\ns1._domainkey.bank-online.example. TXT RSA\nmx.bank-online.example. A 198.51.100.9\n",
			conn:  connectionFile{IP: "198.51.100.9", Helo: "mx.bank-online.example", MailFrom: from("info@bank-online.example")},
			draft: strings.ReplaceAll(bankDraft, "bank.example", "bank-online.example"), sign: []signing{{domain: "bank-online.example", selector: "s1", key: "rsa"}},
		},
		{
			name: "forwarded", why: "A forwarder passed the message on unchanged: SPF fails at the second hop, the signature holds, DMARC passes.",
			zone: bankZone + "fwd.example. A 203.0.113.5\n", conn: connectionFile{IP: "203.0.113.5", Helo: "fwd.example", MailFrom: from("bounce@bank.example")},
			draft: bankDraft, sign: []signing{bankKey},
		},
		{
			name: "mailing-list", why: "A mailing list changed the subject and signed with its own name: everything passes for the list, nothing for the author. DMARC fails, which is why a receiver must not refuse for p=reject alone (RFC 9989 §7.4).",
			zone: bankZone + listZone, conn: listConn, draft: bankDraft,
			sign: []signing{bankKey}, edit: listed,
			resign: []signing{{domain: "list.example", selector: "s1", key: "rsa"}},
		},
		{
			name: "mailing-list-sealed", why: "The list sealed what it had found when the message reached it (ARC): the chain is valid, but nobody here trusts the list, so it counts for nothing.",
			zone: bankZone + listZone, conn: listConn, draft: bankDraft, sign: []signing{bankKey}, edit: listed,
			resign: []signing{{domain: "list.example", selector: "s1", key: "rsa"}}, seal: "list.example", found: listFound,
		},
		{
			name: "mailing-list-trusted", why: "As before, with the list among the trusted sealers: that is told, for local policy. DMARC fails all the same (RFC 8617 §7.2.1).",
			zone: bankZone + listZone, conn: connectionFile{IP: listConn.IP, Helo: listConn.Helo, MailFrom: listConn.MailFrom, Sealers: []string{"list.example"}},
			draft: bankDraft, sign: []signing{bankKey}, edit: listed,
			resign: []signing{{domain: "list.example", selector: "s1", key: "rsa"}}, seal: "list.example", found: listFound,
		},
		{
			name: "chain-broken", why: "The message was changed after it was sealed: the chain fails, as if there were none.",
			zone: bankZone + listZone, conn: connectionFile{IP: listConn.IP, Helo: listConn.Helo, MailFrom: listConn.MailFrom, Sealers: []string{"list.example"}},
			draft: bankDraft, sign: []signing{bankKey}, edit: listed, seal: "list.example", found: listFound, broken: true,
		},
		{
			name: "two-from-fields", why: "Two From fields: a reader shows the one, a filter checks the other. DMARC cannot be applied (RFC 9989 §5.3.1), which is no pass.",
			zone: bankZone + malloryZone, conn: malloryConn, draft: "From: x@mallory.example\n" + bankDraft, sign: []signing{{domain: "mallory.example", selector: "s1", key: "rsa"}},
		},
		{
			name: "two-from-domains", why: "One From field with addresses in two domains.",
			zone: bankZone + malloryZone, conn: malloryConn, draft: strings.Replace(bankDraft, "<info@bank.example>", "<info@bank.example>, x@mallory.example", 1),
		},
		{
			name: "no-from", why: "No From field at all.",
			zone: bankZone, conn: bankConn, draft: strings.Join(strings.Split(bankDraft, "\n")[1:], "\n"),
		},
		{
			name: "group-from", why: "From is an empty group: it names no domain.",
			zone: bankZone, conn: bankConn, draft: strings.Replace(bankDraft, `"Example Bank" <info@bank.example>`, "undisclosed-senders:;", 1),
		},
		{
			name: "idn", why: "An internationalised domain, in U-labels in From and in A-labels in the DNS and in d=, is one domain (RFC 9989 §5.3.1, RFC 8616).",
			zone:  "xn--wgv71a.example. TXT \"v=spf1 ip4:192.0.2.0/24 -all\"\n_dmarc.xn--wgv71a.example. TXT \"v=DMARC1; p=reject\"\ns1._domainkey.xn--wgv71a.example. TXT RSA\n",
			conn:  connectionFile{IP: "192.0.2.10", Helo: "mx.xn--wgv71a.example", MailFrom: from("info@日本.example")},
			draft: strings.Replace(bankDraft, "info@bank.example", "案内@日本.example", 1), sign: []signing{{domain: "xn--wgv71a.example", selector: "s1", key: "rsa"}},
		},
		{
			name: "bounce", why: "A notification: the reverse-path is empty, SPF looks at postmaster of the HELO name (RFC 7208 §2.4), and that counts for DMARC.",
			zone: bankZone, conn: connectionFile{IP: "192.0.2.10", Helo: "mx.bank.example", MailFrom: from("")}, draft: bankDraft,
		},
		{
			name: "no-connection-data", why: "A message as its writer saved it, without a Received field: SPF is not evaluated, and that is said; the signature is enough.",
			zone: bankZone, draft: bankDraft, sign: []signing{bankKey},
		},
		{
			name: "no-connection-data-changed", why: "As before, but the message was changed after it was signed: it fails, with the remark that SPF could not be checked.",
			zone: bankZone, draft: bankDraft, sign: []signing{bankKey}, edit: replace("November", "December"),
		},
		{
			name: "dns-down", why: "The DNS does not answer for the key: neither pass nor fail (RFC 9989 §5.3.6).",
			zone: strings.ReplaceAll(bankZone, "s1._domainkey.bank.example.    TXT RSA", `s1._domainkey.bank.example. TYPE65280 \# 0`),
			conn: connectionFile{IP: "203.0.113.5", Helo: "fwd.example", MailFrom: from("x@fwd.example")}, draft: bankDraft, sign: []signing{bankKey},
		},
		{
			name: "spf-too-many-lookups", why: "A record that asks more than ten questions is a permerror (RFC 7208 §4.6.4); DKIM still carries DMARC.",
			zone: strings.ReplaceAll(bankZone, "v=spf1 ip4:192.0.2.0/24 -all", "v=spf1 a:a.example a:b.example a:c.example a:d.example a:e.example a:f.example a:g.example a:h.example a:i.example a:j.example a:k.example -all") +
				"a.example. A 203.0.113.1\nb.example. A 203.0.113.1\nc.example. A 203.0.113.1\nd.example. A 203.0.113.1\ne.example. A 203.0.113.1\nf.example. A 203.0.113.1\ng.example. A 203.0.113.1\nh.example. A 203.0.113.1\ni.example. A 203.0.113.1\nj.example. A 203.0.113.1\nk.example. A 203.0.113.1\n",
			conn: bankConn, draft: bankDraft, sign: []signing{bankKey},
		},
		{
			name: "expired", why: "The signature was valid for a day, and the message is judged two days later.",
			zone: bankZone, conn: connectionFile{IP: "203.0.113.5", Helo: "fwd.example", MailFrom: from("x@fwd.example"), Time: "2026-11-23T09:00:00Z"},
			draft: bankDraft, sign: []signing{{domain: "bank.example", selector: "s1", key: "rsa", expires: 24 * time.Hour}},
		},
		{
			name: "expired-as-of-received", why: "The same signature, judged as of the topmost Received field, when it was valid.",
			zone:  bankZone,
			conn:  connectionFile{Time: "received"},
			trace: "Return-Path: <x@fwd.example>\nReceived: from fwd.example (fwd.example [203.0.113.5]) by mx.receiver.example with ESMTPS;\n\tSat, 21 Nov 2026 18:29:00 +0900\n",
			draft: bankDraft, sign: []signing{{domain: "bank.example", selector: "s1", key: "rsa", expires: 24 * time.Hour}},
		},
		{
			name: "test-mode", why: "t=y: reject is treated as quarantine (RFC 9989 §4.7).",
			zone: strings.ReplaceAll(bankZone, "p=reject; sp=quarantine; np=reject;", "p=reject; t=y;") + malloryZone, conn: malloryConn, draft: bankDraft,
		},
		{
			name: "strict", why: "adkim=s and aspf=s: a signature and an envelope of a subdomain do not count.",
			zone: strings.ReplaceAll(bankZone, "p=reject; sp=quarantine; np=reject;", "p=quarantine; adkim=s; aspf=s;") +
				"s1._domainkey.news.bank.example. TXT RSA\nnews.bank.example. TXT \"v=spf1 ip4:192.0.2.0/24 -all\"\n",
			conn: connectionFile{IP: "192.0.2.10", Helo: "mx.bank.example", MailFrom: from("x@news.bank.example")}, draft: bankDraft,
			sign: []signing{{domain: "news.bank.example", selector: "s1", key: "rsa"}},
		},
		{
			name: "relaxed", why: "As strict, with the default alignment: the subdomain's signature and envelope count.",
			zone: bankZone + "s1._domainkey.news.bank.example. TXT RSA\nnews.bank.example. TXT \"v=spf1 ip4:192.0.2.0/24 -all\"\n",
			conn: connectionFile{IP: "192.0.2.10", Helo: "mx.bank.example", MailFrom: from("x@news.bank.example")}, draft: bankDraft,
			sign: []signing{{domain: "news.bank.example", selector: "s1", key: "rsa"}},
		},
		{
			name: "no-policy-spf-fails", why: "No DMARC policy, SPF says no, nothing is signed: a negative verdict all the same. The owner's explanation (exp) is told.",
			zone: "plain.example. TXT \"v=spf1 ip4:192.0.2.0/24 -all exp=why.plain.example\"\nwhy.plain.example. TXT \"%{i} does not send our mail\"\n",
			conn: connectionFile{IP: "198.51.100.66", Helo: "mx.mallory.example", MailFrom: from("info@plain.example")}, draft: strings.ReplaceAll(bankDraft, "bank.example", "plain.example"),
		},
		{
			name: "nothing-published", why: "A domain that publishes nothing: there is nothing to confirm the message by, and nothing against it.",
			zone: "plain.example. MX 10 mx.plain.example.\nmx.plain.example. A 192.0.2.10\n",
			conn: connectionFile{IP: "192.0.2.10", Helo: "mx.plain.example", MailFrom: from("info@plain.example")}, draft: strings.ReplaceAll(bankDraft, "bank.example", "plain.example"),
		},
		{
			name: "revoked-key", why: "The key was revoked: p= is empty (RFC 6376 §3.6.1). SPF carries DMARC.",
			zone: strings.ReplaceAll(bankZone, "s1._domainkey.bank.example.    TXT RSA", `s1._domainkey.bank.example. TXT "v=DKIM1; p="`),
			conn: bankConn, draft: bankDraft, sign: []signing{bankKey},
		},
		{
			name: "trace-inside-hops", why: "The topmost Received fields tell of hops inside: LMTP, the host itself, a private address. The border is the first public one; the envelope sender is from Return-Path above it.",
			zone: bankZone, draft: bankDraft, sign: []signing{bankKey},
			trace: "Return-Path: <bounce@bank.example>\n" +
				"Received: from mail.receiver.example ([unix socket]) by mail.receiver.example (Cyrus) with LMTPA; Sat, 21 Nov 2026 09:29:03 +0000\n" +
				"Received: from filter.receiver.example (filter.receiver.example [10.1.2.3]) by mail.receiver.example with ESMTP; Sat, 21 Nov 2026 09:29:02 +0000\n" +
				"Received: from mx.bank.example (mx.bank.example [192.0.2.10]) by mx.receiver.example (Postfix) with ESMTPS id 1; Sat, 21 Nov 2026 09:29:00 +0000\n",
		},
		{
			name: "trace-forged-below", why: "The sender wrote trace fields of his own that would make SPF pass. They stand below the border and do not fit it, so they count for nothing; the forged Authentication-Results neither.",
			zone: bankZone + malloryZone, draft: bankDraft,
			trace: "Received: from mx.mallory.example (mx.mallory.example [198.51.100.66]) by mx.receiver.example with ESMTP; Sat, 21 Nov 2026 09:29:00 +0000\n" +
				"Received-SPF: pass client-ip=192.0.2.10; envelope-from=info@bank.example; helo=mx.bank.example;\n" +
				"Authentication-Results: mx.somewhere.example; spf=pass smtp.mailfrom=bank.example; dmarc=pass header.from=bank.example\n" +
				"Return-Path: <info@bank.example>\n" +
				"Received: from mx.bank.example (mx.bank.example [192.0.2.10]) by mx.receiver.example with ESMTPS; Sat, 21 Nov 2026 09:28:00 +0000\n",
		},
		{
			name: "trace-received-spf", why: "The receiving host wrote its Received-SPF below its Received, as Gmail does: it names the same address, so its envelope sender is taken.",
			zone: bankZone, draft: bankDraft,
			trace: "Received: from mx.bank.example (mx.bank.example. [192.0.2.10]) by mx.receiver.example with ESMTPS id a1 for <hanako@receiver.example>; Sat, 21 Nov 2026 01:29:00 -0800 (PST)\n" +
				"Received-SPF: pass (receiver.example: domain of bounce@bank.example designates 192.0.2.10 as permitted sender) client-ip=192.0.2.10; envelope-from=\"bounce@bank.example\"; helo=mx.bank.example;\n",
		},
		{
			name: "trace-trusted-network", why: "The organisation's own filter has a public address; --trust says so, and the hop before it is the border.",
			zone: bankZone, conn: connectionFile{Trust: []string{"203.0.113.0/24"}}, draft: bankDraft,
			trace: "Return-Path: <bounce@bank.example>\n" +
				"Received: from filter.receiver.example (filter.receiver.example [203.0.113.20]) by mail.receiver.example with ESMTPS; Sat, 21 Nov 2026 09:29:02 +0000\n" +
				"Received: from mx.bank.example (mx.bank.example [192.0.2.10]) by filter.receiver.example with ESMTPS; Sat, 21 Nov 2026 09:29:00 +0000\n",
		},
		{
			name: "best-guess", why: "Another host's \"best guess\" and bestguesspass are no results (they are in no RFC) and change nothing here.",
			zone: "plain.example. MX 10 mx.plain.example.\nmx.plain.example. A 192.0.2.10\n", draft: strings.ReplaceAll(bankDraft, "bank.example", "plain.example"),
			trace: "Received: from mx.plain.example (mx.plain.example [192.0.2.10]) by mx.receiver.example with ESMTPS; Sat, 21 Nov 2026 09:29:00 +0000\n" +
				"Authentication-Results: mx.receiver.example; spf=pass (best guess record for domain of info@plain.example) smtp.mailfrom=info@plain.example; dmarc=bestguesspass action=none header.from=plain.example\n",
		},
	}
}
