package differential

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// mail is a generated message: complete header fields, and a body.
type mail struct {
	fields []string
	body   string
}

func (m mail) String() string { return strings.Join(m.fields, "") + "\r\n" + m.body }

// index returns a field's place, the last of its name, or -1.
func (m mail) index(name string) int {
	for i := len(m.fields) - 1; i >= 0; i-- {
		if strings.EqualFold(fieldName(m.fields[i]), name) {
			return i
		}
	}
	return -1
}

func fieldName(f string) string {
	name, _, _ := strings.Cut(f, ":")
	return strings.TrimRight(name, " \t")
}

var words = strings.Fields("order invoice meeting budget notice delivery 請求書 会議 お知らせ report schedule tax" +
	" 確認 contract update account weekly 資料 reply station section number café Zürich")

func phrase(r *rand.Rand, n int) string {
	var w []string
	for range n {
		w = append(w, pick(r, words...))
	}
	return strings.Join(w, pick(r, " ", " ", " ", "  ", " \t"))
}

// someMail makes a message from domain: what stands in ordinary mail, and the
// odd white space that canonicalization is about.
func someMail(r *rand.Rand, domain string, n int) mail {
	var m mail
	add := func(name, value string) {
		m.fields = append(m.fields, name+": "+value+"\r\n")
	}
	date := fmt.Sprintf("%s, %d Nov 2026 %02d:%02d:%02d +0900", pick(r, "Mon", "Tue", "Fri"), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60))
	for range r.IntN(3) {
		add("Received", fmt.Sprintf("from out%d.%s (out.%s [192.0.2.%d])\r\n\tby mx.receiver.example with ESMTPS id %08x;\r\n\t%s", r.IntN(9), domain, domain, r.IntN(255), r.Uint32(), date))
	}
	add("Date", date)
	add("From", pick(r, "", `"Taro Yamada" `, "=?UTF-8?B?5bGx55Sw?= ", "Tax office\r\n ")+"<taro@"+domain+">")
	add("To", pick(r, "hanako@receiver.example", "A <a@receiver.example>,\r\n\tB <b@receiver.example>", "undisclosed-recipients:;"))
	if chance(r, 90) {
		add("Subject", pick(r, phrase(r, 1+r.IntN(8)), phrase(r, 3)+"\r\n "+phrase(r, 4), phrase(r, 2)+" \t", "", "=?ISO-2022-JP?B?GyRCOzNFRBsoQg==?="))
	}
	if chance(r, 90) {
		add("Message-ID", fmt.Sprintf("<%d.%08x@%s>", n, r.Uint32(), domain))
	}
	if chance(r, 50) {
		add("MIME-Version", "1.0")
		add("Content-Type", pick(r, "text/plain; charset=utf-8", "text/plain;\r\n\tcharset=\"iso-2022-jp\"", "multipart/mixed; boundary=\"=_b\""))
	}
	for range r.IntN(3) {
		add(pick(r, "X-Mailer", "Reply-To", "List-Unsubscribe", "Cc", "x-campaign", "References"), phrase(r, 1+r.IntN(3)))
	}
	if chance(r, 20) {
		r.Shuffle(len(m.fields), func(i, j int) { m.fields[i], m.fields[j] = m.fields[j], m.fields[i] })
	}
	m.body = someBody(r)
	return m
}

func someBody(r *rand.Rand) string {
	switch r.IntN(20) {
	case 0:
		return ""
	case 1:
		return "\r\n"
	case 2:
		return strings.Repeat("\r\n", r.IntN(5))
	case 3:
		return pick(r, " ", "\t \r\n", " \r\n \r\n", "x", "\r\n\r\n x")
	}
	var b strings.Builder
	for range 1 + r.IntN(12) {
		switch r.IntN(8) {
		case 0:
			b.WriteString("\r\n")
		case 1:
			b.WriteString(pick(r, " ", "\t", " \t ") + phrase(r, 3) + "\r\n")
		case 2:
			b.WriteString(phrase(r, 3) + pick(r, " ", "\t", "  \t") + "\r\n")
		case 3:
			b.WriteString(pick(r, " \r\n", "\t\r\n", ".\r\n", "From here\r\n", "--=_b\r\n"))
		default:
			b.WriteString(phrase(r, 1+r.IntN(10)) + "\r\n")
		}
	}
	switch r.IntN(6) {
	case 0:
		b.WriteString(strings.Repeat("\r\n", r.IntN(4)))
	case 1:
		b.WriteString("no end of line")
	case 2:
		b.WriteString(pick(r, " ", "\t"))
	}
	return b.String()
}
