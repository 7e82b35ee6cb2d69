package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"blitiri.com.ar/go/spf"
	"github.com/emersion/go-msgauth/authres"
	"github.com/emersion/go-msgauth/dkim"
	"github.com/emersion/go-msgauth/dmarc"
	mdns "github.com/miekg/dns"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/internal/nameserver"
)

// peer does the work as one does it in Go without this program: go-msgauth for
// DKIM, DMARC and the field, blitiri.com.ar/go/spf for SPF, and a cache over the
// standard library's resolver.
type peer struct{ dns *answers }

func newPeer(server string) *peer {
	return &peer{&answers{resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, server)
	}}}}
}

func (p *peer) check(l letter) error {
	signatures, err := dkim.VerifyWithOptions(bytes.NewReader(l.text), &dkim.VerifyOptions{LookupTXT: p.dns.txt, MaxVerifications: 5})
	if err != nil {
		return err
	}
	result, _ := spf.CheckHostWithSender(net.ParseIP(l.ip), l.helo, l.from, spf.WithResolver(p.dns))
	policy, err := dmarc.LookupWithOptions(l.domain, &dmarc.LookupOptions{LookupTXT: p.dns.txt})
	if err != nil {
		return err
	}
	aligned := false
	for _, s := range signatures {
		aligned = aligned || s.Err == nil && s.Domain == l.domain
	}
	if !aligned || string(result) != l.spf || policy.Policy != dmarc.PolicyReject {
		return fmt.Errorf("wrong verdict: %v, spf %s, want %s", signatures, result, l.spf)
	}
	field := authres.Format("mx.receiver.example", []authres.Result{
		&authres.DKIMResult{Value: authres.ResultPass, Domain: signatures[0].Domain, Identifier: signatures[0].Identifier},
		&authres.SPFResult{Value: authres.ResultValue(result), From: l.from},
		&authres.DMARCResult{Value: authres.ResultPass, From: l.domain},
	})
	if len(field) < 50 {
		return errors.New("no field")
	}
	return nil
}

// opendkim measures OpenDKIM's verification of the same messages in its test
// mode: from files, with the keys from a table, no DNS, no SPF and no DMARC.
func (b *bench) opendkim(ctx context.Context, dir string) error {
	program, err := exec.LookPath("opendkim")
	if err != nil {
		b.skip("opendkim (apt-get install opendkim)")
		return nil
	}
	const n = 1000
	ls, err := letters(filepath.Join(dir, "5000.mbox"), n)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "opendkim")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	zone, err := dnstest.Open(filepath.Join(dir, "zone"))
	if err != nil {
		return err
	}
	var keys strings.Builder
	for i := range mailDomains {
		name := fmt.Sprintf("2026a._domainkey.city%d.example", i)
		a, err := zone.Lookup(ctx, name, dns.TXT)
		if err != nil {
			return err
		}
		keys.WriteString(name + " " + a.Records[0] + "\n")
	}
	files := make([]string, n)
	for i, l := range ls {
		files[i] = strconv.Itoa(i)
		if err := os.WriteFile(filepath.Join(work, files[i]), l.text, 0o600); err != nil {
			return err
		}
	}
	conf := fmt.Sprintf("Mode v\nSyslog no\nAuthservID mx.receiver.example\nTestPublicKeys %[1]s/keys\nTemporaryDirectory %[1]s\n", work)
	for name, text := range map[string]string{"keys": keys.String(), "conf": conf} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	var rates []float64
	for range b.rounds {
		cmd := exec.CommandContext(ctx, program, "-x", filepath.Join(work, "conf"), "-t", strings.Join(files, ","))
		cmd.Dir = work
		u, err := timed(ctx, cmd)
		if err != nil {
			return err
		}
		if passes := bytes.Count(u.out, []byte("succeeded\n")); passes != n {
			return fmt.Errorf("opendkim verified %d messages of %d", passes, n)
		}
		rates = append(rates, n/u.cpu)
	}
	b.add("verify", "10 KB, opendkim's test mode, DKIM alone", "msg/s", rates, "CPU time, process start to exit")
	return nil
}

// answers keeps what the resolver said, for ever.
type answers struct {
	resolver *net.Resolver
	kept     sync.Map // "TXT name" → kept
}

type kept struct {
	value any
	err   error
}

func recall[T any](a *answers, key string, ask func() (T, error)) (T, error) {
	if k, ok := a.kept.Load(key); ok {
		return k.(kept).value.(T), k.(kept).err
	}
	v, err := ask()
	a.kept.Store(key, kept{v, err})
	return v, err
}

func (a *answers) txt(name string) ([]string, error) { return a.LookupTXT(context.Background(), name) }

func (a *answers) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return recall(a, "TXT "+name, func() ([]string, error) { return a.resolver.LookupTXT(ctx, name) })
}

func (a *answers) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	return recall(a, "MX "+name, func() ([]*net.MX, error) { return a.resolver.LookupMX(ctx, name) })
}

func (a *answers) LookupIPAddr(ctx context.Context, name string) ([]net.IPAddr, error) {
	return recall(a, "IP "+name, func() ([]net.IPAddr, error) { return a.resolver.LookupIPAddr(ctx, name) })
}

func (a *answers) LookupAddr(ctx context.Context, name string) ([]string, error) {
	return recall(a, "PTR "+name, func() ([]string, error) { return a.resolver.LookupAddr(ctx, name) })
}

// nameServer answers from a zone file, on a loopback address.
type nameServer struct {
	address string
	servers []*mdns.Server
}

func serveZone(path string) (*nameServer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	records := map[string][]mdns.RR{}
	names := map[string]bool{}
	parser := mdns.NewZoneParser(f, ".", path)
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		h := rr.Header()
		key := strings.ToLower(h.Name) + mdns.TypeToString[h.Rrtype]
		records[key] = append(records[key], rr)
		names[strings.ToLower(h.Name)] = true
	}
	if err := parser.Err(); err != nil {
		return nil, err
	}
	handler := mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		m := new(mdns.Msg).SetReply(q)
		m.RecursionAvailable = true
		name := strings.ToLower(q.Question[0].Name)
		m.Answer = records[name+mdns.TypeToString[q.Question[0].Qtype]]
		if !names[name] {
			m.Rcode = mdns.RcodeNameError
		}
		if q.IsEdns0() != nil {
			m.SetEdns0(1232, false)
		}
		_ = w.WriteMsg(m)
	})
	udp, tcp, err := nameserver.Listen()
	if err != nil {
		return nil, err
	}
	s := &nameServer{address: udp.LocalAddr().String(), servers: []*mdns.Server{{PacketConn: udp, Handler: handler}, {Listener: tcp, Handler: handler}}}
	for _, each := range s.servers {
		go func() { _ = each.ActivateAndServe() }()
	}
	return s, nil
}

func (s *nameServer) close() {
	for _, each := range s.servers {
		_ = each.Shutdown()
	}
}
