package differential

import (
	"crypto"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// dkimCase is a signed message with what is odd about it.
type dkimCase struct {
	n    int
	odd  []string // what was made odd: "tag:x past", "key:revoked", "mail:body bit"
	text string
	keys map[string]string // key records by name
	// canonicalizations of the signature
	headCanon, bodyCanon string

	ours, theirs verdict
}

func (c dkimCase) has(odd ...string) bool {
	return slices.ContainsFunc(odd, func(o string) bool { return slices.Contains(c.odd, o) })
}

// about reports whether something odd begins so.
func (c dkimCase) about(prefix string) bool {
	return slices.ContainsFunc(c.odd, func(o string) bool { return strings.HasPrefix(o, prefix) })
}

func (c dkimCase) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "case %d: %s\nours: %s\ntheirs: %s\n", c.n, strings.Join(c.odd, ", "), c.ours, c.theirs)
	for name, rec := range c.keys {
		fmt.Fprintf(&b, "%s TXT %q\n", name, rec)
	}
	fmt.Fprintf(&b, "%q", c.text)
	return b.String()
}

// oddCase makes case n: a message, a signature, a key record, and then what
// happens on the way; most things are as they should be in most cases.
func oddCase(n int, now int64) dkimCase {
	r := random("dkim", n)
	c := dkimCase{n: n, keys: map[string]string{}}
	odd := func(what string) { c.odd = append(c.odd, what) }
	domain := fmt.Sprintf("d%d.example", n%7)
	m := someMail(r, domain, n)
	s, selector := oddSeal(r, m, domain, n, now, odd)
	field := s.sign(m)
	c.headCanon, c.bodyCanon = s.headCanon, s.bodyCanon
	if record, ok := oddRecord(r, s.key, odd); ok {
		c.keys[selector+"._domainkey."+domain] = record
	}
	m.fields = append([]string{field}, m.fields...)
	if chance(r, 60) {
		for range 1 + r.IntN(2)*r.IntN(2) {
			o := oddMail[r.IntN(len(oddMail))]
			m = o.do(r, m)
			odd("mail:" + o.name)
		}
	}
	c.text = m.String()
	return c
}

// oddSeal makes a signature.
func oddSeal(r *rand.Rand, m mail, domain string, n int, now int64, odd func(string)) (seal, string) {
	s := seal{hash: crypto.SHA256, limit: -1}
	algorithm := "rsa-sha256"
	s.key = keys()["rsa1024"]
	switch k := r.IntN(100); {
	case k < 8:
		algorithm, s.key = "ed25519-sha256", keys()["ed25519"]
	case k < 10:
		algorithm, s.hash = "rsa-sha1", crypto.SHA1
		odd("tag:a sha1")
	case k < 11:
		algorithm = pick(r, "rsa-sha512", "RSA-SHA256", "dsa-sha256", "rsa", "")
		odd("tag:a " + algorithm)
	case k < 14:
		s.key = keys()["rsa2048"]
	case k < 15:
		s.key = keys()["rsa768"]
		odd("tag:short key")
	case k < 16:
		s.key = keys()["rsa512"]
		odd("tag:short key")
	}
	s.headCanon, s.bodyCanon = pick(r, "simple", "relaxed"), pick(r, "simple", "relaxed")
	canon := s.headCanon + "/" + s.bodyCanon
	switch r.IntN(40) {
	case 0:
		canon, s.bodyCanon = s.headCanon, "simple"
	case 1:
		canon = pick(r, "nofws", "relaxed/nofws", "Relaxed/Relaxed", "relaxed/", "/relaxed", "relaxed/simple/simple")
		odd("tag:c " + canon)
	}
	names := []string{"from"}
	for _, f := range m.fields {
		if name := fieldName(f); chance(r, 70) && !strings.EqualFold(name, "from") {
			names = append(names, name)
		}
	}
	for range r.IntN(3) {
		names = append(names, pick(r, "from", "subject", "x-not-there", "Date", "reply-to"))
	}
	if chance(r, 50) {
		slices.Reverse(names)
	}
	h := strings.Join(names, ":")
	switch r.IntN(60) {
	case 0:
		names = slices.DeleteFunc(names, func(n string) bool { return strings.EqualFold(n, "from") })
		h = strings.Join(names, ":")
		odd("tag:h without from")
	case 1:
		h = strings.Join(names, pick(r, " : ", ":\r\n\t", "  :", ": "))
	case 2:
		h = pick(r, h+":", ":"+h, strings.Replace(h, ":", "::", 1))
		odd("tag:h empty name")
	case 3:
		names = append(names, "DKIM-Signature")
		h = strings.Join(names, ":")
		odd("tag:h of itself")
	case 4:
		h = strings.ToUpper(h)
	case 5:
		h = strings.Replace(h, ":", pick(r, ",", " ", ": x y:"), 1)
		odd("tag:h syntax")
	}
	s.names = names
	selector := fmt.Sprintf("%s-%d", s.key.name, n)
	d, sel := domain, selector
	if chance(r, 4) {
		d, sel = strings.ToUpper(domain), strings.ToUpper(selector)
	}
	tags := []string{"v=1", "a=" + algorithm, "c=" + canon, "d=" + d, "s=" + sel}
	switch r.IntN(40) {
	case 0:
		tags[0] = pick(r, "v=2", "v=", "v=1.0", "v=0.5", "v=01", "v=1 1")
		odd("tag:" + tags[0])
	case 1:
		tags[2], s.headCanon, s.bodyCanon = "", "simple", "simple"
	case 2:
		i := pick(r, 0, 1, 3, 4)
		odd("tag:missing " + tags[i][:1])
		tags[i] = ""
	case 3:
		i := pick(r, 3, 4)
		tags[i] = tags[i][:2]
		odd("tag:empty " + tags[i][:1])
	case 4:
		tags[3] = pick(r, "d="+domain+".", "d=example", "d=."+domain, "d=a_b."+domain, "d="+domain+"\r\n ", "d=日本.example", "d=x y")
		odd("tag:d " + tags[3][2:])
	}
	switch r.IntN(24) {
	case 0:
		tags = append(tags, "i="+pick(r, "@", "taro@", "taro@sub.", "=74aro@", "\"a b\"@", "a=3Db@")+d)
	case 1:
		i := pick(r, "taro@other.example", "@example", "taro", "@x"+domain, "@", "")
		tags = append(tags, "i="+i)
		odd("tag:i " + i)
	}
	switch r.IntN(30) {
	case 0, 1:
		tags = append(tags, fmt.Sprintf("t=%d", now-int64(r.IntN(86400))))
	case 2, 3:
		tags = append(tags, fmt.Sprintf("t=%d", now-5000), fmt.Sprintf("x=%d", now+5000))
	case 4:
		tags = append(tags, fmt.Sprintf("t=%d", now-50000), fmt.Sprintf("x=%d", now-5000))
		odd("tag:x past")
	case 5:
		tags = append(tags, fmt.Sprintf("t=%d", now+50000))
		odd("tag:t future")
	case 6:
		tags = append(tags, fmt.Sprintf("t=%d", now-100), fmt.Sprintf("x=%d", now-100-int64(r.IntN(2))))
		odd("tag:x not after t")
	case 7:
		tags = append(tags, pick(r, "t=", "t=-1", "t=1e3", "t=now", "t=12 34"))
		odd("tag:t syntax")
	case 8:
		tags = append(tags, pick(r, "x=", "x=-1", "x=later", "x=99 99", "x=0x7fffffff"))
		odd("tag:x syntax")
	case 9:
		tags = append(tags, pick(r, "x=99999999999", "x=999999999999", "x=18446744073709551615", "x=99999999999999999999"))
		odd("tag:x huge")
	}
	body := canonBody(s.bodyCanon, m.body)
	switch r.IntN(20) {
	case 0:
		s.limit = len(body)
		tags = append(tags, "l="+strconv.Itoa(s.limit))
		odd("tag:l all")
	case 1:
		s.limit = r.IntN(len(body) + 1)
		tags = append(tags, "l="+strconv.Itoa(s.limit))
		odd("tag:l part")
	case 2:
		s.limit = len(body) + 1 + r.IntN(9)
		tags = append(tags, "l="+strconv.Itoa(s.limit))
		odd("tag:l too long")
	case 3:
		tags = append(tags, pick(r, "l=", "l=-1", "l=all", "l=1 2", "l=99999999999999999999999"))
		odd("tag:l syntax")
	}
	switch r.IntN(40) {
	case 0:
		tags = append(tags, pick(r, "q=dns/txt", "q=dns/txt:other", "q=other:dns/txt"))
	case 1:
		q := pick(r, "dns", "http", "dns/cert", "", "dns/txt/x")
		tags = append(tags, "q="+q)
		odd("tag:q " + q)
	case 2:
		tags = append(tags, pick(r, "z=From:taro=40d.example|Subject:x", "n=note", "zz9=value", "x-tag=1"))
		if last := tags[len(tags)-1]; strings.HasPrefix(last, "x-tag") {
			odd("tag:name with hyphen")
		}
	case 3:
		t := pick(r, "v=1", "d="+domain, "s=other", "a=rsa-sha256", "x=1", "n=a; n=b")
		tags = append(tags, t)
		odd("tag:twice " + t[:1])
	case 4:
		t := pick(r, "=value", "tag", "9=x", "_u=x", "é=x", "n=é", "n=a\x01b")
		tags = append(tags, t)
		odd("tag:syntax " + t)
	}
	tags = append(tags, "h="+h, "bh=%bh")
	switch r.IntN(50) {
	case 0:
		tags[len(tags)-1] = "bh=" + base64.StdEncoding.EncodeToString(make([]byte, 32))
		odd("tag:bh wrong")
	case 1:
		tags[len(tags)-1] = pick(r, "bh=", "bh=%bh=", "bh=a", "bh=?%bh", "")
		odd("tag:bh syntax " + tags[len(tags)-1])
	}
	tags = slices.DeleteFunc(tags, func(t string) bool { return t == "" })
	if chance(r, 20) {
		r.Shuffle(len(tags), func(i, j int) { tags[i], tags[j] = tags[j], tags[i] })
	}
	b := "b=%b"
	if chance(r, 3) {
		b = pick(r, "b=", "b=?%b", "b=%b=", "b=a%b")
		odd("tag:b syntax " + b)
	}
	if chance(r, 10) {
		tags = slices.Insert(tags, r.IntN(len(tags)+1), b)
	} else {
		tags = append(tags, b)
	}
	sep := pick(r, "; ", "; ", ";\r\n\t", ";", " ; ", " ;\r\n ")
	s.field = pick(r, "DKIM-Signature: ", "DKIM-Signature: ", "DKIM-Signature: ", "dkim-signature: ", "DKIM-SIGNATURE: ") + strings.Join(tags, sep)
	if chance(r, 20) {
		s.field += ";"
	}
	if chance(r, 3) {
		s.field = strings.Replace(s.field, "a=", "a"+pick(r, " ", "\r\n\t")+"="+pick(r, " ", "\r\n "), 1)
	}
	width := pick(r, 0, 64, 70, 20)
	fold := pick(r, "\r\n\t ", "\r\n ", " ", "\t")
	s.foldBase64 = func(v string) string {
		if width == 0 {
			return v
		}
		var parts []string
		for p := range slices.Chunk([]byte(v), width) {
			parts = append(parts, string(p))
		}
		return strings.Join(parts, fold)
	}
	return s, selector
}

// oddRecord makes the key record; ok is false where there is none.
func oddRecord(r *rand.Rand, k *key, odd func(string)) (record string, ok bool) {
	p := "p=" + k.public()
	plain := "v=DKIM1; k=" + k.kind() + "; " + p
	if chance(r, 72) {
		return plain, true
	}
	if k.rsa != nil && chance(r, 10) {
		return p, true // all the rest has defaults
	}
	if chance(r, 15) {
		good := pick(r, "v=DKIM1;k="+k.kind()+";"+p+";", "v=DKIM1; h=sha256; k="+k.kind()+"; "+p, "v=DKIM1; s=email; k="+k.kind()+"; "+p,
			"v=DKIM1; s=*; t=y; k="+k.kind()+"; "+p, "k="+k.kind()+"; n=a note; "+p, "v=DKIM1 ; h=sha1:sha256 ; k="+k.kind()+" ; "+p)
		return good, true
	}
	names := []string{"absent", "revoked", "bad base64", "wrong key", "h sha1", "h unknown", "k unknown", "k missing", "s other", "t s", "version", "version last",
		"not a key", "no p", "twice p", "broken tags", "space in p", "other kind", "g other", "pkcs1", "empty", "upper"}
	what := pick(r, names...)
	odd("key:" + what)
	switch what {
	case "absent":
		return "", false
	case "revoked":
		return "v=DKIM1; k=" + k.kind() + "; p=", true
	case "bad base64":
		return plain[:len(plain)-9] + pick(r, "!", "", "=", "A") + plain[len(plain)-4:], true
	case "wrong key":
		other := keys()["other1024"]
		if k.rsa == nil {
			other = keys()["other25519"]
		}
		return "v=DKIM1; k=" + k.kind() + "; p=" + other.public(), true
	case "h sha1":
		return "v=DKIM1; h=sha1; k=" + k.kind() + "; " + p, true
	case "h unknown":
		return "v=DKIM1; h=sha512" + pick(r, "", ":sha256", ":sha3") + "; k=" + k.kind() + "; " + p, true
	case "k unknown":
		return "v=DKIM1; k=" + pick(r, "dsa", "rsa2", "") + "; " + p, true
	case "k missing":
		return "v=DKIM1; " + p, true
	case "s other":
		return "v=DKIM1; s=" + pick(r, "tls", "tls:email", "", "web:*") + "; k=" + k.kind() + "; " + p, true
	case "t s":
		return "v=DKIM1; t=" + pick(r, "s", "y:s", "s:y", "x:s") + "; k=" + k.kind() + "; " + p, true
	case "version":
		return pick(r, "v=DKIM2", "v=dkim1", "v=", "v=DKIM1 x") + "; k=" + k.kind() + "; " + p, true
	case "version last":
		return "k=" + k.kind() + "; " + p + "; v=DKIM1", true
	case "not a key":
		return pick(r, "v=spf1 -all", "hello", "p", "v=DMARC1; p=none"), true
	case "no p":
		return "v=DKIM1; k=" + k.kind(), true
	case "twice p":
		return plain + "; p=" + keys()["other1024"].public(), true
	case "broken tags":
		return pick(r, "v=DKIM1; ; ", "v=DKIM1; k; ", "v=DKIM1; =x; ", "v=DKIM1; x y=z; ") + "k=" + k.kind() + "; " + p, true
	case "space in p":
		return plain[:len(plain)-20] + pick(r, " ", "  ", "\t") + plain[len(plain)-20:], true
	case "other kind":
		return "v=DKIM1; k=" + map[string]string{"rsa": "ed25519", "ed25519": "rsa"}[k.kind()] + "; " + p, true
	case "g other":
		return "v=DKIM1; g=" + pick(r, "*", "", "nobody", "taro") + "; k=" + k.kind() + "; " + p, true
	case "pkcs1":
		if k.rsa != nil {
			return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(pkcs1(k)), true
		}
		return plain, true
	case "empty":
		return pick(r, ";", "  ;"), true
	default: // upper
		return strings.Replace(plain, "k="+k.kind(), "k="+strings.ToUpper(k.kind()), 1), true
	}
}

// oddMail is what may happen to a message on its way.
var oddMail = []struct {
	name string
	do   func(r *rand.Rand, m mail) mail
}{
	{"body bit", func(r *rand.Rand, m mail) mail { m.body = flip(r, m.body); return m }},
	{"body octet gone", func(r *rand.Rand, m mail) mail {
		if i := len(m.body); i > 0 {
			i = r.IntN(i)
			m.body = m.body[:i] + m.body[i+1:]
		}
		return m
	}},
	{"body appended", func(r *rand.Rand, m mail) mail {
		m.body += pick(r, "more\r\n", "\r\nfooter", "-- \r\nlist\r\n", "x")
		return m
	}},
	{"body empty lines", func(r *rand.Rand, m mail) mail { m.body += strings.Repeat("\r\n", 1+r.IntN(3)); return m }},
	{"body white space", func(r *rand.Rand, m mail) mail { m.body = respace(r, m.body); return m }},
	{"body bare line ends", func(r *rand.Rand, m mail) mail {
		m.body = strings.Replace(m.body, "\r\n", pick(r, "\n", "\r"), 1+r.IntN(2))
		return m
	}},
	{"body end", func(r *rand.Rand, m mail) mail { m.body = strings.TrimRight(m.body, "\r\n"); return m }},
	{"field added", func(r *rand.Rand, m mail) mail {
		f := pick(r, "Received: from x by y; date\r\n", "X-Spam: no\r\n", "Subject: another\r\n", "From: <other@evil.example>\r\n", "Reply-To: x@y.example\r\n", "Comments: \r\n")
		i := pick(r, 0, len(m.fields), r.IntN(len(m.fields)+1))
		m.fields = slices.Insert(slices.Clone(m.fields), i, f)
		return m
	}},
	{"field gone", func(r *rand.Rand, m mail) mail {
		if len(m.fields) > 2 {
			i := 1 + r.IntN(len(m.fields)-1)
			m.fields = slices.Delete(slices.Clone(m.fields), i, i+1)
		}
		return m
	}},
	{"fields in other order", func(r *rand.Rand, m mail) mail {
		m.fields = slices.Clone(m.fields)
		r.Shuffle(len(m.fields), func(i, j int) { m.fields[i], m.fields[j] = m.fields[j], m.fields[i] })
		return m
	}},
	{"field refolded", func(r *rand.Rand, m mail) mail {
		return m.change(r, func(name, value string) string {
			if i := strings.LastIndex(value, " "); i > 0 {
				return name + ":" + value[:i] + "\r\n" + pick(r, " ", "\t", "  ") + value[i+1:]
			}
			return name + ":" + value
		})
	}},
	{"field white space", func(r *rand.Rand, m mail) mail {
		return m.change(r, func(name, value string) string { return name + ":" + respace(r, value) })
	}},
	{"field leading space", func(r *rand.Rand, m mail) mail {
		return m.change(r, func(name, value string) string {
			return name + ":" + pick(r, "", "  ", "\t", "\r\n ") + strings.TrimLeft(value, " ")
		})
	}},
	{"field name case", func(r *rand.Rand, m mail) mail {
		return m.change(r, func(name, value string) string {
			return pick(r, strings.ToUpper(name), strings.ToLower(name)) + ":" + value
		})
	}},
	{"space before colon", func(r *rand.Rand, m mail) mail {
		return m.change(r, func(name, value string) string { return name + pick(r, " ", "\t") + ":" + value })
	}},
	{"field bit", func(r *rand.Rand, m mail) mail {
		return m.change(r, func(name, value string) string { return name + ":" + flip(r, value) })
	}},
	{"signature bit", func(r *rand.Rand, m mail) mail {
		i := m.index("DKIM-Signature")
		m.fields = slices.Clone(m.fields)
		m.fields[i] = m.fields[i][:16] + flip(r, m.fields[i][16:len(m.fields[i])-2]) + "\r\n"
		return m
	}},
	{"signature twice", func(r *rand.Rand, m mail) mail {
		i := m.index("DKIM-Signature")
		m.fields = slices.Insert(slices.Clone(m.fields), i, m.fields[i])
		return m
	}},
}

// change replaces one field of the message, not the signature.
func (m mail) change(r *rand.Rand, f func(name, value string) string) mail {
	m.fields = slices.Clone(m.fields)
	i := r.IntN(len(m.fields))
	if strings.EqualFold(fieldName(m.fields[i]), "DKIM-Signature") {
		i = len(m.fields) - 1
	}
	name, value, _ := strings.Cut(strings.TrimSuffix(m.fields[i], "\r\n"), ":")
	m.fields[i] = f(name, value) + "\r\n"
	return m
}

// flip changes one bit; no NUL comes of it: OpenDKIM's test mode cannot read
// one.
func flip(r *rand.Rand, s string) string {
	if s == "" {
		return s
	}
	b := []byte(s)
	i := r.IntN(len(b))
	c := b[i] ^ 1<<r.IntN(8)
	if c != 0 {
		b[i] = c
	}
	return string(b)
}

// respace changes white space inside lines.
func respace(r *rand.Rand, s string) string {
	switch r.IntN(5) {
	case 0:
		return strings.Replace(s, " ", "  ", 1+r.IntN(3))
	case 1:
		return strings.Replace(s, " ", "\t", 1)
	case 2:
		return strings.Replace(s, " ", "", 1)
	case 3:
		return strings.Replace(s, "\r\n", pick(r, " ", "\t", "  ")+"\r\n", 1+r.IntN(2))
	default:
		i := r.IntN(len(s) + 1)
		return s[:i] + " " + s[i:]
	}
}
