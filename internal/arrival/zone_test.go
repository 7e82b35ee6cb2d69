//go:build unix

package arrival

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"sekimori/dkim"
)

// Addresses of the clients. What is published for a domain lies in zones.
const (
	bankMail  = "192.0.2.10"
	cityMail  = "192.0.2.20"
	alumni    = "192.0.2.50" // forwards for graduates
	stranger  = "192.0.2.51" // forwards for anybody
	listMail  = "192.0.2.60"
	sealMail  = "192.0.2.70"
	elsewhere = "198.51.100.9"
	branch    = "198.51.100.200"
	own       = "10.9.0.7"
	mallory   = "203.0.113.66"
)

// keys are those of everybody: who signs what is a matter of the domain.
var keys = sync.OnceValue(func() map[string]crypto.Signer {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	_, e, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return map[string]crypto.Signer{"r": r, "e": e}
})

// owners are the domains under "example": how they publish DMARC ("" is not at
// all) and which addresses may send for them.
var owners = []struct {
	name, dmarc string
	spf         string
	signs       bool
}{
	{"bank", "v=DMARC1; p=reject; rua=mailto:dmarc@bank.example", "ip4:" + bankMail + " ip6:2001:db8:10::/48 -all", true},
	{"mail.bank", "", "ip4:" + bankMail + " -all", false},
	{"city", "v=DMARC1; p=quarantine; rua=mailto:dmarc@city.example", "ip4:" + cityMail + " -all", true},
	{"shop", "v=DMARC1; p=none; rua=mailto:dmarc@shop.example", "ip4:" + bankMail + " -all", true},
	// Their own mail is not protected yet, names below them are.
	{"corp", "v=DMARC1; p=none; sp=reject; rua=mailto:dmarc@corp.example", "ip4:" + bankMail + " -all", true},
	{"www.corp", "", "-all", false},
	{"gov", "v=DMARC1; p=none; sp=none; np=reject; rua=mailto:dmarc@gov.example", "ip4:" + bankMail + " -all", true},
	{"www.gov", "", "-all", false},
	{"strict", "v=DMARC1; p=reject; aspf=s; adkim=s", "ip4:" + bankMail + " -all", true},
	{"mail.strict", "", "ip4:" + bankMail + " -all", true},
	{"trial", "v=DMARC1; p=reject; t=y", "ip4:" + bankMail + " -all", false},
	{"silent", "", "", false},
	{"soft", "", "ip4:" + bankMail + " ~all", false},
	{"alumni", "", "ip4:" + alumni + " -all", true},
	{"forward", "", "ip4:" + stranger + " -all", true},
	{"ml", "v=DMARC1; p=none", "ip4:" + listMail + " -all", true},
	{"otherlist", "v=DMARC1; p=none", "ip4:" + listMail + " -all", true},
	{"sealer", "", "ip4:" + sealMail + " -all", true},
	{"badsealer", "", "ip4:" + sealMail + " -all", true},
	// Mallory does everything right, as himself.
	{"mallory", "v=DMARC1; p=reject", "ip4:" + mallory + " -all", true},
	{"bank-example", "v=DMARC1; p=reject", "ip4:" + mallory + " -all", true},
	{"xn--bnk-ela", "v=DMARC1; p=reject", "ip4:" + mallory + " -all", true},                                        // bánk
	{"xn--fsqu00a", "v=DMARC1; p=reject; rua=mailto:dmarc@xn--fsqu00a.example", "ip4:" + bankMail + " -all", true}, // 例子
	{"banned", "v=DMARC1; p=none", "ip4:" + bankMail + " -all", true},
	{"receiver", "v=DMARC1; p=reject; rua=mailto:dmarc@receiver.example", "ip4:" + own + " -all", true},
	{"broken", "v=DMARC1; p=reject; rua=mailto:dmarc@broken.example", "include:spf.lame.example -all", false},
	{"loop", "v=DMARC1; p=reject", "include:loop.example -all", false},
}

// ordinary is how many domains there are beside them, d0 and so on, that ask
// for reports.
const ordinary = 40

// reportedDomains are those that reports may go to.
func reportedDomains() []string {
	all := []string{"bank.example", "city.example", "shop.example", "corp.example", "gov.example", "xn--fsqu00a.example", "collector.example", "both.example"}
	for i := range ordinary {
		all = append(all, fmt.Sprintf("d%d.example", i))
	}
	return all
}

// zones writes the zone files.
func (w *world) zones() (map[string]string, error) {
	published := map[string]string{}
	for name, key := range keys() {
		k, err := dkim.NewKey(key.Public())
		if err != nil {
			return nil, err
		}
		published[name] = quoted(k.String())
	}
	text := "$ORIGIN example.\n$TTL 300\n@ SOA ns.example. root.example. 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\nmx.receiver A 127.0.0.1\n"
	for _, o := range owners {
		text += fmt.Sprintf("%s A 192.0.2.1\n%[1]s MX 10 mx.receiver\n", o.name)
		if o.spf != "" {
			text += fmt.Sprintf("%s TXT \"v=spf1 %s\"\n", o.name, o.spf)
		}
		if o.dmarc != "" {
			text += fmt.Sprintf("_dmarc.%s TXT %s\n", o.name, quoted(o.dmarc))
		}
		if o.signs {
			for selector, record := range published {
				text += fmt.Sprintf("%s._domainkey.%s TXT %s\n", selector, o.name, record)
			}
		}
	}
	for i := range ordinary {
		text += fmt.Sprintf("d%[1]d TXT \"v=spf1 ip4:%[2]s -all\"\n_dmarc.d%[1]d TXT \"v=DMARC1; p=quarantine; rua=mailto:dmarc@d%[1]d.example\"\nd%[1]d A 192.0.2.1\n", i, bankMail)
	}
	// Reports to others go only where they agree (RFC 9990 §4).
	text += "agreed TXT \"v=spf1 ip4:" + bankMail + " -all\"\n_dmarc.agreed TXT \"v=DMARC1; p=none; rua=mailto:agreed@collector.example\"\n" +
		"agreed.example._report._dmarc.collector TXT \"v=DMARC1\"\n" +
		"unasked TXT \"v=spf1 ip4:" + bankMail + " -all\"\n_dmarc.unasked TXT \"v=DMARC1; p=none; rua=mailto:unasked@collector.example\"\n" +
		"both TXT \"v=spf1 ip4:" + bankMail + " -all\"\n_dmarc.both TXT \"v=DMARC1; p=none; rua=mailto:a@both.example,mailto:b@both.example\"\n"
	path := filepath.Join(w.dir, "example.zone")
	return map[string]string{"example.": path}, os.WriteFile(path, []byte(text), 0o644)
}

// quoted is a text as a TXT record has it, in strings of 255 octets at most.
func quoted(text string) string {
	var parts []string
	for len(text) > 200 {
		parts = append(parts, `"`+text[:200]+`"`)
		text = text[200:]
	}
	return strings.Join(append(parts, `"`+text+`"`), " ")
}
