package check

import (
	"strings"
	"testing"

	"sekimori/domain"
	"sekimori/message"
)

// The fields above the message as receivers of these kinds write them.
const (
	byGmail = `Delivered-To: reader@gmail.com
Received: by 2002:a05:7300:641e:b0:1a2:b3c4:d5e6 with SMTP id c30csp123456; Sun, 1 Nov 2026 09:00:02 -0800 (PST)
X-Received: by 2002:a17:90b:1d8d:b0:2ff:4a8d:74fa with SMTP id pf13; Sun, 1 Nov 2026 09:00:01 -0800 (PST)
ARC-Seal: i=1; a=rsa-sha256; t=1793552401; cv=none; d=google.com; s=arc-20240605; b=AAAA
ARC-Authentication-Results: i=1; mx.google.com; dkim=pass header.i=@city.example header.s=s1 header.b=abcd
Return-Path: <news@city.example>
Received: from mail.city.example (mail.city.example. [192.0.2.10])
        by mx.google.com with ESMTPS id 98e67ed59e1d1 for <reader@gmail.com>; Sun, 01 Nov 2026 09:00:01 -0800 (PST)
Received-SPF: pass (google.com: domain of news@city.example designates 192.0.2.10 as permitted sender) client-ip=192.0.2.10;
Authentication-Results: mx.google.com;
       %GMAIL%
`
	byMicrosoft = `Received: from TYZPR01MB0001.apcprd01.prod.outlook.com (2603:1096:400:1::1) by
 OS3PR01MB0002.jpnprd01.prod.outlook.com with HTTPS; Sun, 1 Nov 2026 17:00:05 +0000
Received: from SI2PR01CA0001.apcprd01.prod.outlook.com (2603:1096:4:1::2) by
 TYZPR01MB0001.apcprd01.prod.outlook.com (2603:1096:400:1::1) with Microsoft SMTP Server; Sun, 1 Nov 2026 17:00:04 +0000
Authentication-Results: %MICROSOFT%
Received-SPF: SoftFail (protection.outlook.com: domain of transitioning city.example discourages use of 192.0.2.10 as permitted sender)
Received: from mail.city.example (192.0.2.10) by
 SG2PEPF000B66CA.mail.protection.outlook.com (10.167.240.1) with Microsoft SMTP Server id 15.20; Sun, 1 Nov 2026 17:00:03 +0000
`
	byPostfix = `Return-Path: <news@city.example>
X-Original-To: reader@receiver.example
Received: from localhost (localhost [127.0.0.1])
	by mx.receiver.example (Postfix) with ESMTP id 4Xk for <reader@receiver.example>; Mon,  2 Nov 2026 02:00:05 +0900 (JST)
Authentication-Results: mx.receiver.example; %DMARC%
Received: from mail.city.example (mail.city.example [192.0.2.10])
	by mx.receiver.example (Postfix) with ESMTPS id 4Xj for <reader@receiver.example>; Mon,  2 Nov 2026 02:00:03 +0900 (JST)
Authentication-Results: mx.receiver.example;
	%DKIM%
Received-SPF: %SPF%
`
	sent = `DKIM-Signature: v=1; a=rsa-sha256; d=city.example; s=s1; h=from; bh=AA==; b=AA==
From: City <news@city.example>
To: reader@receiver.example
Subject: news
`
	unsigned = `From: City <news@city.example>
To: reader@receiver.example
Subject: news
`
)

func TestRecord(t *testing.T) {
	for name, c := range map[string]struct {
		header         string
		ids            []string
		spf, dkim, dma string
		host           string
		ignored        int
	}{
		"gmail below its own Received": {
			header: strings.Replace(byGmail, "%GMAIL%", "dkim=pass header.i=@city.example header.s=s1 header.b=abcd; spf=pass (google.com: domain of news@city.example designates 192.0.2.10 as permitted sender) smtp.mailfrom=news@city.example; dmarc=pass (p=NONE sp=NONE dis=NONE) header.from=city.example", 1) + sent,
			spf:    "pass", dkim: "pass", dma: "pass", host: "mx.google.com",
		},
		"gmail: a best guess is none, no signature is none, no policy is none": {
			header: strings.Replace(byGmail, "%GMAIL%", "spf=pass (google.com: best guess record for domain of news@city.example designates 192.0.2.10 as permitted sender) smtp.mailfrom=news@city.example", 1) + unsigned,
			spf:    "none", dkim: "none", dma: "none", host: "mx.google.com",
		},
		"gmail: a signature of which it says nothing": {
			header: strings.Replace(byGmail, "%GMAIL%", "spf=permerror smtp.mailfrom=news@city.example", 1) + sent,
			spf:    "permerror", dkim: "", dma: "none", host: "mx.google.com",
		},
		"gmail: the sender brings one of its name": {
			header:  strings.Replace(byGmail, "%GMAIL%", "spf=fail smtp.mailfrom=news@city.example; dmarc=fail header.from=city.example", 1) + unsigned + "Authentication-Results: mx.google.com; dkim=pass header.d=city.example\n",
			spf:     "fail",
			dkim:    "none",
			dma:     "fail",
			host:    "mx.google.com",
			ignored: 1,
		},
		"microsoft writes no authserv-id": {
			header: strings.Replace(byMicrosoft, "%MICROSOFT%", "spf=softfail (sender IP is 192.0.2.10)\n smtp.mailfrom=city.example; dkim=none (message not signed)\n header.d=none;dmarc=bestguesspass action=none header.from=city.example;compauth=pass reason=109", 1) + unsigned,
			spf:    "softfail", dkim: "none", dma: "bestguesspass", host: "SG2PEPF000B66CA.mail.protection.outlook.com",
		},
		"microsoft by name": {
			header: strings.Replace(byMicrosoft, "%MICROSOFT%", "spf=pass (sender IP is 192.0.2.10)\n smtp.mailfrom=city.example; dkim=fail (body hash did not verify) header.d=city.example;dmarc=permerror action=none header.from=city.example", 1) + sent,
			ids:    []string{"protection.outlook.com"},
			spf:    "pass", dkim: "fail", dma: "permerror", host: "SG2PEPF000B66CA.mail.protection.outlook.com",
		},
		"microsoft: the sender's without authserv-id": {
			header:  strings.Replace(byMicrosoft, "%MICROSOFT%", "spf=none smtp.mailfrom=city.example; dkim=none header.d=none;dmarc=none action=none header.from=city.example", 1) + "Authentication-Results: spf=pass; dkim=pass header.d=city.example; dmarc=pass\n" + unsigned,
			spf:     "none",
			dkim:    "none",
			dma:     "none",
			host:    "SG2PEPF000B66CA.mail.protection.outlook.com",
			ignored: 1,
		},
		"postfix with milters on both sides of its Received": {
			header: strings.NewReplacer("%DMARC%", "dmarc=pass (p=none dis=none) header.from=city.example", "%DKIM%", "dkim=pass (2048-bit key) header.d=city.example header.s=s1", "%SPF%", "softfail (mx.receiver.example: domain owner discourages) identity=mailfrom; client-ip=192.0.2.10; helo=mail.city.example; envelope-from=news@city.example; receiver=mx.receiver.example").Replace(byPostfix) + sent,
			spf:    "softfail", dkim: "pass", dma: "pass", host: "mx.receiver.example",
		},
		"spf of HELO does not count": {
			header: strings.NewReplacer("%DMARC%", "dmarc=none header.from=city.example", "%DKIM%", "dkim=none", "%SPF%", "pass identity=helo; client-ip=192.0.2.10; helo=mail.city.example; receiver=mx.receiver.example").Replace(byPostfix) + unsigned,
			spf:    "", dkim: "none", dma: "none", host: "mx.receiver.example",
		},
		"what another server says is the sender's": {
			header:  "Received: from mail.city.example (mail.city.example [192.0.2.10]) by mx.receiver.example (Postfix) with ESMTPS id 1; Mon,  2 Nov 2026 02:00:03 +0900\nAuthentication-Results: mail.city.example; spf=pass smtp.mailfrom=city.example; dkim=pass header.d=city.example\nReceived-SPF: pass client-ip=198.51.100.1; receiver=mail.city.example\n" + unsigned,
			ignored: 2,
		},
		"the name that was given, one hop back": {
			header: "Received: from mx.google.com (mail-a.google.com [192.0.2.99]) by mx.receiver.example (Postfix) with ESMTPS id 1; Mon,  2 Nov 2026 02:00:03 +0900\n" +
				strings.Replace(byGmail, "%GMAIL%", "spf=neutral smtp.mailfrom=news@city.example; dmarc=fail header.from=city.example", 1) + unsigned,
			ids: []string{"mx.google.com"},
			spf: "neutral", dkim: "none", dma: "fail", host: "mx.google.com", ignored: 1,
		},
		"a name that nobody has": {
			header:  strings.Replace(byGmail, "%GMAIL%", "spf=pass smtp.mailfrom=news@city.example", 1) + unsigned,
			ids:     []string{"mx.other.example"},
			ignored: 2,
		},
		"the name that was given, on both sides of a hop inside its server": {
			header: "Received: from lists.relay.example (lists.relay.example [192.0.2.99]) by mx.receiver.example (Postfix) with ESMTPS id 1; Mon,  2 Nov 2026 02:00:03 +0900\n" +
				"Received: from localhost (localhost [127.0.0.1]) by lists.relay.example (Postfix) with ESMTP id 3; Mon,  2 Nov 2026 02:00:02 +0900\n" +
				"Authentication-Results: lists.relay.example; dkim=pass header.d=city.example header.s=s1\n" +
				"Received: from mail.city.example (mail.city.example [192.0.2.10]) by lists.relay.example (Postfix) with ESMTPS id 2; Mon,  2 Nov 2026 02:00:01 +0900\n" +
				"Authentication-Results: lists.relay.example; dmarc=pass header.from=city.example\nAuthentication-Results: lists.relay.example; spf=pass smtp.mailfrom=city.example\n" +
				"Received: from x (x [198.51.100.7]) by lists.relay.example with ESMTP id forged; Mon,  2 Nov 2026 02:00:00 +0900\n" +
				"Authentication-Results: lists.relay.example; spf=fail smtp.mailfrom=city.example; dkim=fail; dmarc=fail\n" + sent,
			ids: []string{"lists.relay.example"},
			spf: "pass", dkim: "pass", dma: "pass", host: "lists.relay.example", ignored: 1,
		},
		"no trace: the topmost is believed": {
			header: "Authentication-Results: mx.receiver.example; spf=pass smtp.mailfrom=city.example; dkim=none\nAuthentication-Results: mail.city.example; dmarc=pass\n" +
				unsigned + "Authentication-Results: mx.receiver.example; dmarc=pass\n",
			spf: "pass", dkim: "none", host: "mx.receiver.example", ignored: 2,
		},
		"no trace, the field at the end of the header": {
			header: unsigned + "Authentication-Results: mx.receiver.example; spf=permerror smtp.mailfrom=city.example; dkim=none; dmarc=none\n",
			spf:    "permerror", dkim: "none", dma: "none", host: "mx.receiver.example",
		},
		"no trace, no name": {
			header: "Authentication-Results: spf=pass smtp.mailfrom=city.example; dkim=none; dmarc=bestguesspass action=none header.from=city.example\n" + unsigned,
			spf:    "pass", dkim: "none", dma: "bestguesspass",
		},
		"no trace and another name": {
			header:  "Authentication-Results: mail.city.example; spf=pass smtp.mailfrom=city.example; dkim=none; dmarc=pass\n" + unsigned,
			ids:     []string{"mx.receiver.example"},
			ignored: 1,
		},
		"microsoft below its only Received": {
			header: "Received: from mail.city.example (192.0.2.10) by SG2PEPF000B66CA.mail.protection.outlook.com (10.167.240.1) with Microsoft SMTP Server id 15.20; Sun, 1 Nov 2026 17:00:03 +0000\n" +
				"Authentication-Results: spf=pass (sender IP is 192.0.2.10) smtp.mailfrom=city.example; dkim=none (message not signed) header.d=none;dmarc=bestguesspass action=none header.from=city.example\n" + unsigned,
			spf: "pass", dkim: "none", dma: "bestguesspass", host: "SG2PEPF000B66CA.mail.protection.outlook.com",
		},
		"a nameless field below the Received of another": {
			header:  "Received: from mail.city.example (192.0.2.10) by mx.receiver.example with ESMTP; Sun, 1 Nov 2026 17:00:03 +0000\nAuthentication-Results: spf=pass smtp.mailfrom=city.example; dmarc=pass\n" + unsigned,
			ignored: 1,
		},
		"no trace, but the name": {
			header: "Authentication-Results: mx.receiver.example; spf=pass smtp.mailfrom=city.example; dkim=none; dmarc=temperror\n" + unsigned,
			ids:    []string{"mx.receiver.example"},
			spf:    "pass", dkim: "none", dma: "temperror", host: "mx.receiver.example",
		},
		"the inner server saw its own gateway": {
			header: "Authentication-Results: inner.receiver.example; spf=fail smtp.mailfrom=city.example; dkim=pass header.d=city.example\n" +
				"Received: from mx.receiver.example (mx.receiver.example [10.0.0.5]) by inner.receiver.example (Postfix) with ESMTP id 2; Mon,  2 Nov 2026 02:00:05 +0900\n" +
				"Authentication-Results: mx.receiver.example; spf=pass smtp.mailfrom=city.example; dkim=pass header.d=city.example; dmarc=pass header.from=city.example\n" +
				"Received: from mail.city.example (mail.city.example [192.0.2.10]) by mx.receiver.example (Postfix) with ESMTPS id 1; Mon,  2 Nov 2026 02:00:03 +0900\n" + sent,
			spf: "pass", dkim: "pass", dma: "pass", host: "mx.receiver.example",
		},
		"each method by a host of its own": {
			header: "Authentication-Results: dmarc.cloud.example; dmarc=pass header.from=city.example\nAuthentication-Results: dkim-verifier.cloud.example; dkim=pass header.d=city.example header.s=s1\n" +
				"Authentication-Results: spf.cloud.example; spf=none smtp.mailfrom=news@city.example\nReceived-SPF: none (spf.cloud.example: no record) receiver=spf.cloud.example; client-ip=192.0.2.10\n" +
				"Received: from mail.city.example (mail.city.example [192.0.2.10]) by p00-mta.me.example (Postfix) with ESMTPS id 1; Mon,  2 Nov 2026 02:00:03 +0900\n" + sent,
			spf: "none", dkim: "pass", dma: "pass", host: "spf.cloud.example",
		},
		"of several signatures any that passes": {
			header: strings.Replace(byGmail, "%GMAIL%", "dkim=fail header.i=@city.example header.s=s1; dkim=pass header.i=@service.example header.s=x; spf=temperror smtp.mailfrom=x@y.example; dmarc=fail header.from=city.example", 1) + sent,
			spf:    "temperror", dkim: "pass", dma: "fail", host: "mx.google.com",
		},
		"of several failures the organisation's own": {
			header: strings.Replace(byGmail, "%GMAIL%", "dkim=temperror header.i=@service.example header.s=x; dkim=permerror header.i=@city.example header.s=s1; spf=pass smtp.mailfrom=x@y.example; dmarc=fail header.from=city.example", 1) + sent,
			spf:    "pass", dkim: "permerror", dma: "fail", host: "mx.google.com",
		},
		"a word that is none": {
			header: strings.Replace(byGmail, "%GMAIL%", "spf=\"=cmd()\" smtp.mailfrom=x@y.example; dkim=none; dmarc=averyveryverylongwordthatnobodyknows header.from=city.example", 1) + unsigned,
			spf:    "pass", dkim: "none", dma: "none", host: "mx.google.com",
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, _, err := message.Read(strings.NewReader(strings.ReplaceAll(c.header, "\n", "\r\n")+"\r\n"), 0)
			if err != nil {
				t.Fatal(err)
			}
			from, _ := domain.Parse("city.example")
			got := Record(h, from, c.ids, nil)
			if got.SPF != c.spf || got.DKIM != c.dkim || got.DMARC != c.dma || !strings.EqualFold(got.Host, c.host) || got.Ignored != c.ignored {
				t.Errorf("spf %q dkim %q dmarc %q by %q, %d ignored\nwant spf %q dkim %q dmarc %q by %q, %d", got.SPF, got.DKIM, got.DMARC, got.Host, got.Ignored, c.spf, c.dkim, c.dma, c.host, c.ignored)
			}
			if len(got.Steps) == 0 {
				t.Error("no explanation")
			}
		})
	}
}

func TestRecordedKeys(t *testing.T) {
	h, _, err := message.Read(strings.NewReader(strings.Replace(byGmail, "%GMAIL%", "dkim=pass header.i=@city.example header.s=S1; dkim=fail header.d=other.example header.s=x", 1)+sent+"\n"), 0)
	if err != nil {
		t.Fatal(err)
	}
	from, _ := domain.Parse("city.example")
	got := Record(h, from, nil, nil)
	if len(got.Passed) != 1 || got.Passed[0].Domain != from || got.Passed[0].Selector != "s1" {
		t.Errorf("keys %v", got.Passed)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(strings.Replace(byGmail, "%GMAIL%", "spf=pass smtp.mailfrom=a@b.example", 1)+sent, "")
	f.Add(byMicrosoft+sent, "protection.outlook.com")
	f.Add(byPostfix+unsigned, "mx.receiver.example")
	from, _ := domain.Parse("city.example")
	f.Fuzz(func(t *testing.T, header, id string) {
		h, _, err := message.Read(strings.NewReader(header), 0)
		if err != nil {
			return
		}
		var ids []string
		if id != "" {
			ids = []string{id}
		}
		got := Record(h, from, ids, nil)
		for _, w := range []string{got.SPF, got.DKIM, got.DMARC} {
			if w != "" && !keyword(w) {
				t.Fatalf("word %q", w)
			}
		}
		if len(got.Passed) > maxRecordedKeys || len(got.Steps) == 0 {
			t.Fatalf("%d keys, %d steps", len(got.Passed), len(got.Steps))
		}
	})
}
