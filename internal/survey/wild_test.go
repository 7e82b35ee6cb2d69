package survey

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/internal/nameserver"
)

// wild is a recursive name server on loopback that knows a zone and misbehaves:
// in parts of a thousand, it drops questions, fails, cuts answers short, blows
// them up, or sends what cannot be read. Names that begin with "loop" lead in
// circles.
type wild struct {
	zone                                   *dnstest.Zone
	drop, fail, truncate, oversize, broken int
	addr                                   string

	mu    sync.Mutex
	dice  *rand.Rand
	asked map[string]int // questions by the last two labels of the name
	total atomic.Int64
}

func serveWild(t testing.TB, w *wild) *wild {
	t.Helper()
	w.dice, w.asked = rand.New(rand.NewPCG(4, 2026)), map[string]int{}
	pc, ln, err := nameserver.Listen()
	if err != nil {
		t.Fatal(err)
	}
	w.addr = pc.LocalAddr().String()
	udp, tcp := &mdns.Server{PacketConn: pc, Handler: w}, &mdns.Server{Listener: ln, Handler: w}
	go func() { _ = udp.ActivateAndServe() }()
	go func() { _ = tcp.ActivateAndServe() }()
	t.Cleanup(func() {
		_ = udp.Shutdown()
		_ = tcp.Shutdown()
	})
	return w
}

func (w *wild) roll(parts int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dice.IntN(1000) < parts
}

// ServeDNS is that of the library.
func (w *wild) ServeDNS(rw mdns.ResponseWriter, q *mdns.Msg) {
	question := q.Question[0]
	name := strings.ToLower(strings.TrimSuffix(question.Name, "."))
	labels := strings.Split(name, ".")
	w.total.Add(1)
	w.mu.Lock()
	w.asked[strings.Join(labels[max(0, len(labels)-2):], ".")]++
	w.mu.Unlock()
	_, udp := rw.RemoteAddr().(*net.UDPAddr)
	if w.roll(w.drop) {
		if !udp {
			rw.Close()
		}
		return
	}
	m := new(mdns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	m.Compress = true
	switch {
	case w.roll(w.fail):
		m.Rcode = mdns.RcodeServerFailure
		_ = rw.WriteMsg(m)
		return
	case w.roll(w.broken):
		b, _ := m.Pack()
		_, _ = rw.Write(b[:len(b)-1])
		return
	}
	if strings.HasPrefix(name, "loop") {
		other := "loopa." + name
		if strings.HasPrefix(name, "loopa.") {
			other = strings.TrimPrefix(name, "loopa.")
		}
		m.Answer = append(m.Answer, &mdns.CNAME{Hdr: mdns.RR_Header{Name: question.Name, Rrtype: mdns.TypeCNAME, Class: mdns.ClassINET, Ttl: 60}, Target: other + "."})
		_ = rw.WriteMsg(m)
		return
	}
	kind := dns.Type(mdns.TypeToString[question.Qtype])
	a, err := w.zone.Lookup(context.Background(), name, kind)
	switch {
	case errors.Is(err, dns.ErrNameNotFound):
		m.Rcode = mdns.RcodeNameError
	case errors.Is(err, dns.ErrTemporary):
		m.Rcode = mdns.RcodeServerFailure
	}
	header := mdns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: mdns.ClassINET, Ttl: 60}
	for _, r := range a.Records {
		if kind == dns.TXT {
			x := &mdns.TXT{Hdr: header}
			for len(r) > 255 {
				x.Txt, r = append(x.Txt, r[:255]), r[255:]
			}
			x.Txt = append(x.Txt, r)
			m.Answer = append(m.Answer, x)
			continue
		}
		if x, err := mdns.NewRR(fmt.Sprintf("%s 60 IN %s %s", question.Name, kind, r)); err == nil && x != nil {
			m.Answer = append(m.Answer, x)
		}
	}
	if len(m.Answer) == 0 {
		m.Ns = []mdns.RR{&mdns.SOA{Hdr: mdns.RR_Header{Name: "example.", Rrtype: mdns.TypeSOA, Class: mdns.ClassINET, Ttl: 60}, Ns: "ns.example.", Mbox: "root.example.", Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: 60}}
	}
	if w.roll(w.oversize) { // records of a type that nobody asked for, as many as there is room for
		for range 200 {
			m.Extra = append(m.Extra, &mdns.TXT{Hdr: mdns.RR_Header{Name: "filler.example.", Rrtype: mdns.TypeTXT, Class: mdns.ClassINET, Ttl: 60}, Txt: []string{strings.Repeat("x", 250)}})
		}
	}
	if udp {
		if m.Len() > 1232 || w.roll(w.truncate) {
			m.Answer, m.Ns, m.Extra, m.Truncated = nil, nil, nil, true
		}
	}
	_ = rw.WriteMsg(m)
}

// worst is the largest number of questions for one domain.
func (w *wild) worst() (domain string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for d, k := range w.asked {
		if k > n && strings.Count(d, ".") == 1 {
			domain, n = d, k
		}
	}
	return domain, n
}

// wildZone makes up n domains of many kinds, named d0.example and so on.
func wildZone(t testing.TB, n int) *dnstest.Zone {
	t.Helper()
	var b strings.Builder
	b.WriteString("$TTL 60\nexample. IN SOA ns root 1 60 60 60 60\nexample. IN NS ns.example.\nns.example. IN A 127.0.0.1\n" +
		"spf.service.example. IN TXT \"v=spf1 ip4:192.0.2.0/24 -all\"\nmx.service.example. IN A 192.0.2.9\n")
	for i := range n {
		d := fmt.Sprintf("d%d.example.", i)
		if i%11 != 10 {
			fmt.Fprintf(&b, "%s IN MX 10 mx.service.example.\n%[1]s IN A 192.0.2.8\n", d)
		}
		if i%3 != 2 {
			fmt.Fprintf(&b, "%s IN TXT \"v=spf1 mx include:spf.service.example %call\"\n", d, "-~?"[i%3])
		}
		if i%5 < 2 {
			fmt.Fprintf(&b, "_dmarc.%s IN TXT \"v=DMARC1; p=%s; rua=mailto:d@%s\"\n", d, []string{"none", "quarantine", "reject"}[i%3], strings.TrimSuffix(d, "."))
		}
		if i%4 == 0 {
			fmt.Fprintf(&b, "s1._domainkey.%s IN TXT \"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"\n", d)
		}
		if i%6 == 0 {
			fmt.Fprintf(&b, "_mta-sts.%s IN TXT \"v=STSv1; id=1\"\nmta-sts.%[1]s IN A 192.0.2.7\n_smtp._tls.%[1]s IN TXT \"v=TLSRPTv1; rua=mailto:t@example.com\"\n", d)
		}
		if i%7 == 0 {
			fmt.Fprintf(&b, "default._bimi.%s IN TXT \"v=BIMI1; l=https://logo.example/l.svg\"\n", d)
		}
		if i%13 == 0 {
			for k := range 500 {
				fmt.Fprintf(&b, "%s IN TXT \"filler %d %s\"\n", d, k, strings.Repeat("y", 60))
			}
		}
	}
	z, err := dnstest.Parse(strings.NewReader(b.String()), "zone")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// pause is how long to wait for a server of one's own.
const pause = 60 * time.Millisecond
