package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sekimori/dkim"
	"sekimori/domain"
	"sekimori/message"
)

// letter is one message as a receiver stored it, for "sekimori verify".
type letter struct {
	file              string
	from, name        string // of the author
	to, subject, text string
	envelope          string // reverse-path
	helo, ip          string // of the host that handed the message over
	day, hour         int    // of September 2026, Japanese time
	selector, domain  string // of the signature; empty for none
	forward           *hop   // through which the message came on
	footer            string // added on the way
}

// hop is a host that passed a letter on.
type hop struct{ envelope, helo, ip, from string }

// letters are one message of each kind that the reports tell about.
var letters = []letter{
	{file: "genuine.eml", from: "koho@news.kakuu.example", name: "架空省 広報課", to: "tanaka@uketori.example", subject: "架空省メールマガジン 9月号",
		text: "架空省の9月の取り組みをお届けします。\n\n・防災の日の訓練について\n・国勢調査へのご協力のお願い\n\n配信の停止は、このメールへの返信でお知らせください。\n",
		day:  3, hour: 10, envelope: "bounce-4821@bounce.haishin-benri.example", helo: "out4.haishin-benri.example", ip: "198.51.100.13", selector: "hb1", domain: "news.kakuu.example"},
	{file: "payslip.eml", from: "jinji@kakuu.example", name: "架空省 人事課", to: "tanaka@uketori.example", subject: "給与明細（9月分）のお知らせ",
		text: "9月分の給与明細を掲載しました。次のページからご覧ください。\n\nhttps://kyuyo-meisai.example/kakuu/\n",
		day:  16, hour: 9, envelope: "notice@kyuyo-meisai.example", helo: "notice1.kyuyo-meisai.example", ip: "203.0.113.140"},
	{file: "spoofed.eml", from: "info@kakuu-kenkyu.example", name: "架空研究所 給付金窓口", to: "tanaka@uketori.example", subject: "【重要】給付金のお受け取り手続き",
		text: "給付金のお受け取りには、本日中の手続きが必要です。\n\nhttps://kyufu-madoguchi.example/login\n",
		day:  21, hour: 3, envelope: "info@kakuu-kenkyu.example", helo: "vps-412.kari-server.example", ip: "198.19.253.79"},
	{file: "forwarded.eml", from: "soudan@kakuu.example", name: "架空省 相談窓口", to: "suzuki@u-kasumi.example", subject: "ご相談への回答",
		text: "お問い合わせの件につきまして、次のとおり回答いたします。\n\n手続きは10月1日から受け付けます。\n",
		day:  8, hour: 14, envelope: "soudan@kakuu.example", helo: "mx1.kakuu.example", ip: "192.0.2.11", selector: "k2026a", domain: mainDomain,
		forward: &hop{envelope: "soudan@kakuu.example", helo: "fwd1.u-kasumi.example", ip: "198.51.100.130", from: "mx.u-kasumi.example"}},
	{file: "altered.eml", from: "kikaku@kakuu.example", name: "架空省 企画課", to: "kenkyukai@kenkyukai.example", subject: "[kenkyukai 512] 次回の研究会",
		text: "次回の研究会は10月5日15時からです。\n資料は前日までにお送りします。\n",
		day:  10, hour: 11, envelope: "kikaku@kakuu.example", helo: "mx2.kakuu.example", ip: "192.0.2.12", selector: "k2026a", domain: mainDomain,
		forward: &hop{envelope: "kenkyukai-bounces@lists.kenkyukai.example", helo: "lists.kenkyukai.example", ip: "198.51.100.200", from: "lists.kenkyukai.example"},
		footer:  "-- \n研究会メーリングリスト\n"},
}

// privateKey is the half of an Ed25519 key that signs for a name of the zone.
// It is worked out from the name, so it keeps no secret.
func privateKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// write is the message: sent, signed, passed on, received.
func (l *letter) write() ([]byte, error) {
	date := time.Date(2026, time.September, l.day, l.hour, 12, 5, 0, time.FixedZone("", 9*60*60))
	id := sha256.Sum256([]byte(l.file))
	fields := []string{
		"From: " + mime.BEncoding.Encode("utf-8", l.name) + " <" + l.from + ">\r\n",
		"To: <" + l.to + ">\r\n",
		"Subject: " + mime.BEncoding.Encode("utf-8", l.subject) + "\r\n",
		"Date: " + date.Format(time.RFC1123Z) + "\r\n",
		fmt.Sprintf("Message-ID: <%x@%s>\r\n", id[:8], l.from[strings.IndexByte(l.from, '@')+1:]),
		"MIME-Version: 1.0\r\n", "Content-Type: text/plain; charset=utf-8\r\n", "Content-Transfer-Encoding: base64\r\n",
	}
	body := base64Lines(l.text)
	if l.selector != "" {
		d, err := domain.Parse(l.domain)
		if err != nil {
			return nil, err
		}
		var h message.Header
		for _, raw := range fields {
			f, ok := message.ParseField(raw)
			if !ok {
				return nil, fmt.Errorf("%s: %q is no field", l.file, raw)
			}
			h = append(h, f)
		}
		signer := &dkim.Signer{Domain: d, Selector: l.selector, Key: privateKey(l.selector + "._domainkey." + l.domain),
			HeaderCanon: message.Relaxed, BodyCanon: message.Relaxed, Now: func() time.Time { return date }}
		signed, err := dkim.Sign(h, strings.NewReader(body), signer)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.file, err)
		}
		fields = append(signed, fields...)
	}
	received := func(helo, ip, by, to string, at time.Time) string {
		return fmt.Sprintf("Received: from %s (%s [%s])\r\n\tby %s (Postfix) with ESMTPS id %X\r\n\tfor <%s>; %s\r\n", helo, helo, ip, by, id[8:13], to, at.Format(time.RFC1123Z))
	}
	by, to, envelope := "mx.uketori.example", "tanaka@uketori.example", l.envelope
	if l.forward == nil {
		fields = append([]string{received(l.helo, l.ip, by, to, date.Add(2*time.Second))}, fields...)
	} else {
		envelope = l.forward.envelope
		fields = append([]string{
			received(l.forward.helo, l.forward.ip, by, to, date.Add(9*time.Second)),
			received(l.helo, l.ip, l.forward.from, l.to, date.Add(2*time.Second)),
		}, fields...)
	}
	fields = append([]string{"Return-Path: <" + envelope + ">\r\n"}, fields...)
	if l.footer != "" {
		body = base64Lines(l.text + l.footer)
	}
	return []byte(strings.Join(fields, "") + "\r\n" + body), nil
}

func base64Lines(text string) string {
	s := base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(text, "\n", "\r\n")))
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + "\r\n")
		s = s[76:]
	}
	return b.String() + s + "\r\n"
}

// writeLetters writes them below dir.
func writeLetters(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i := range letters {
		data, err := letters[i].write()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, letters[i].file), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
