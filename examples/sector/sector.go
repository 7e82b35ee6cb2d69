// Package sector makes up a sector to survey: 1,741 municipalities of an
// imaginary country, whose mail is protected as a published survey of real
// ones found it, and the zone that serves their records. The same on every
// run; nobody real is in it.
package sector

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
)

// The figures of the published survey: of 1,741 municipalities it knew the
// sending domain of 1,026, of which 923 had SPF (90.0 %), 146 DMARC (14.2 %)
// and 144 both (14.0 %).
const (
	Municipalities = 1741
	Senders        = 1026
	SPF            = 923
	DMARC          = 146
	Both           = 144
	// Silent are those beside the 1,026 whose name servers do not answer: two in
	// a hundred of those asked.
	Silent = 21
)

// Town is one of them.
type Town struct {
	Name       string
	Prefecture string
	Kind       string // 市, 町 or 村
	Population int
	Domain     string // empty where nobody knows from where it sends
	Silent     bool   // its name servers do not answer
	SPF        string // the record; empty for none
	DMARC      string
	Key        bool // a DKIM key, at the selector "s1"
	MTASTS     bool
}

var prefectures = [...]string{"青葉県", "朝凪県", "霞県", "小春県", "雫県", "白樺県", "鈴蘭県", "瀬音県", "空木県", "玉響県", "千鳥県", "月見県", "灯県", "渚県", "錦県",
	"野分県", "花筏県", "陽炎県", "穂波県", "松風県", "水面県", "紅葉県", "八雲県", "夕凪県", "若草県"}

var firsts = [...]string{"上", "下", "東", "西", "南", "北", "中", "新", "古", "大", "小", "高", "深", "広", "長", "清", "美", "豊", "光", "緑"}

var lasts = [...]string{"浜", "川", "山", "野", "原", "崎", "島", "沢", "谷", "田", "里", "森", "泉", "岡", "津", "浦", "坂", "橋", "池", "宮"}

// Towns returns them, in the order of a list.
func Towns() []Town { return some(Municipalities, Senders, SPF, DMARC, Both, Silent) }

// Some returns n towns that all have a domain that answers, protected in the
// same proportions: for benchmarks.
func Some(n int) []Town {
	part := func(of int) int { return int(int64(n) * int64(of) / Senders) }
	return some(n, n, part(SPF), part(DMARC), part(Both), 0)
}

func some(n, senders, spf, dmarc, both, silent int) []Town {
	r := rand.New(rand.NewPCG(2026, 11))
	towns := make([]Town, n)
	for i := range towns {
		t := &towns[i]
		t.Kind, t.Population = "市", int(30_000*(1+r.ExpFloat64()*3))
		switch k := r.IntN(100); {
		case k < 11:
			t.Kind, t.Population = "村", 300+r.IntN(6_000)
		case k < 54:
			t.Kind, t.Population = "町", 2_000+r.IntN(40_000)
		}
		t.Prefecture = prefectures[(i*len(prefectures))/n]
		t.Name = fmt.Sprintf("%s%s%s", firsts[i%len(firsts)], lasts[i/len(firsts)%len(lasts)], t.Kind)
		if block := i / (len(firsts) * len(lasts)); block > 0 {
			t.Name = fmt.Sprintf("%s%s%s%s", firsts[(i/7+block)%len(firsts)], firsts[i%len(firsts)], lasts[i/len(firsts)%len(lasts)], t.Kind)
		}
	}
	// Who sends, who is silent, who has what: drawn without regard to the rest.
	order := r.Perm(n)
	for j, i := range order[:senders+silent] {
		t := &towns[i]
		t.Domain = fmt.Sprintf("%s-m%04d.example", map[string]string{"市": "city", "町": "town", "村": "vill"}[t.Kind], i+1)
		if t.Silent = j >= senders; t.Silent {
			continue
		}
		t.Key = r.IntN(100) < 22
		t.MTASTS = r.IntN(200) == 0
		if j < spf {
			t.SPF = records[r.IntN(len(records))]
		}
		// The first `both` have SPF too, the rest of DMARC stands where there is none.
		if j < both || j >= spf && j < spf+dmarc-both {
			t.DMARC = policies[r.IntN(len(policies))] + "; rua=mailto:dmarc@" + t.Domain
		}
	}
	return towns
}

var records = [...]string{
	"v=spf1 include:spf.haishin-benri.example ~all", "v=spf1 include:spf.haishin-benri.example ~all", "v=spf1 include:spf.haishin-benri.example -all",
	"v=spf1 mx include:spf.lg-cloud.example ~all", "v=spf1 mx include:spf.lg-cloud.example -all", "v=spf1 ip4:192.0.2.0/24 include:spf.lg-cloud.example ~all",
	"v=spf1 mx ~all", "v=spf1 a mx -all", "v=spf1 ip4:198.51.100.7 ~all", "v=spf1 ip4:198.51.100.7 ?all",
	"v=spf1 ip4:198.51.100.300 -all", // permerror: not an address
}

var policies = [...]string{"v=DMARC1; p=none", "v=DMARC1; p=none", "v=DMARC1; p=none", "v=DMARC1; p=none", "v=DMARC1; p=none", "v=DMARC1; p=quarantine", "v=DMARC1; p=reject"}

// key is the public half of an RSA key of 2,048 bits that nobody has.
const key = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEApQUEeb3KlxF4ZrRmZpkKLzce8NyJ2XvkBFVrHph55+gfY9VthVsmtlOGzbMciCr+LWMA99rdgL0CVXWTrLVx9rvfTbSpMEKwOfJ3Z6EnZAaeZb0TSwvk113ANrKfDaogbShZzmlvx7mXgdHBIWJ/Y7d8utYEVSFF/86MkI/WSQ1jTgLQSCpxxbS7vgftxdZTc4ml9E+zHXaxzB1pq1vTD5zgHUKTi0MoeHu6u6V8RFaoSn5q9K7PuXOxOy5Elb1ztIZ8biXSr2Mkivyq32aAMhlurM6YYErMcahll3DdfnrFBMW3qGnMS7jBMnnqOHRmUqxfIzsGuSyzJ17fQfZwEwIDAQAB"

// WriteList writes the list of towns as a survey takes it: CSV, in UTF-8.
func WriteList(w io.Writer, towns []Town) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "団体名,都道府県,種別,人口,送信ドメイン")
	for _, t := range towns {
		fmt.Fprintf(b, "%s,%s,%s,%d,%s\n", t.Name, t.Prefecture, t.Kind, t.Population, t.Domain)
	}
	return b.Flush()
}

// WriteZone writes the zone "example." with their records and those of the
// services that they use. Of silent towns there is only the record by which
// package dnstest knows that it is not to answer.
func WriteZone(w io.Writer, towns []Town) error {
	b := bufio.NewWriter(w)
	fmt.Fprint(b, `$ORIGIN example.
$TTL 3600
@ SOA ns root 1 3600 600 86400 3600
@ NS ns
ns A 127.0.0.1
lg-cloud A 192.0.2.1
spf.lg-cloud TXT "v=spf1 ip4:192.0.2.0/25 ip6:2001:db8::/48 include:spf2.lg-cloud.example -all"
spf2.lg-cloud TXT "v=spf1 ip4:192.0.2.128/25 -all"
haishin-benri A 198.51.100.1
spf.haishin-benri TXT "v=spf1 ip4:198.51.100.0/24 -all"
`)
	hosts := [...]string{"mx1.lg-cloud.example.", "mx2.lg-cloud.example.", "mx1.haishin-benri.example."}
	for i, h := range hosts {
		fmt.Fprintf(b, "%s A 192.0.2.%d\n%[1]s AAAA 2001:db8::%[2]d\n", h, i+10)
	}
	for i, t := range towns {
		if t.Domain == "" {
			continue
		}
		d := t.Domain + "."
		if t.Silent {
			fmt.Fprintf(b, "%s TYPE65280 \\# 0\n_dmarc.%[1]s TYPE65280 \\# 0\n", d)
			continue
		}
		fmt.Fprintf(b, "%s A 203.0.113.%d\nwww.%[1]s A 203.0.113.%[2]d\n", d, i%250+1)
		if i%3 == 0 { // its own mail host
			fmt.Fprintf(b, "%s MX 10 mail.%[1]s\nmail.%[1]s A 203.0.113.%d\n", d, i%250+1)
		} else {
			fmt.Fprintf(b, "%s MX 10 %s\n", d, hosts[i%len(hosts)])
		}
		if t.SPF != "" {
			fmt.Fprintf(b, "%s TXT %q\n", d, t.SPF)
		}
		fmt.Fprintf(b, "%s TXT %q\n", d, fmt.Sprintf("site-verification=%08x", i*2654435761))
		if t.DMARC != "" {
			fmt.Fprintf(b, "_dmarc.%s TXT %q\n", d, t.DMARC)
		}
		if t.Key {
			fmt.Fprintf(b, "s1._domainkey.%s TXT \"v=DKIM1; k=rsa; p=%s\" %q\n", d, key[:200], key[200:])
		}
		if t.MTASTS {
			fmt.Fprintf(b, "_mta-sts.%s TXT \"v=STSv1; id=20261101\"\n_smtp._tls.%[1]s TXT \"v=TLSRPTv1; rua=mailto:tls@%s\"\n", d, t.Domain)
		}
	}
	return b.Flush()
}

// SilentNames are the domains whose servers are not to answer.
func SilentNames(towns []Town) []string {
	var names []string
	for _, t := range towns {
		if t.Silent {
			names = append(names, strings.TrimSuffix(t.Domain, ".")+".")
		}
	}
	return names
}
