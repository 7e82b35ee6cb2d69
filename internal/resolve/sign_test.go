package resolve

import (
	"crypto"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

// sign signs a zone with one key (RFC 4035 §2) and returns it with its keys,
// signatures and the chain of NSEC records, and the DS record to trust. Names
// at or below a delegation are left as they are.
func sign(t *testing.T, apex string, records []string, expires time.Time) (zone, ds string) {
	t.Helper()
	key := &mdns.DNSKEY{
		Hdr:   mdns.RR_Header{Name: apex, Rrtype: mdns.TypeDNSKEY, Class: mdns.ClassINET, Ttl: 300},
		Flags: 257, Protocol: 3, Algorithm: mdns.ECDSAP256SHA256,
	}
	private, err := key.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	all := []mdns.RR{key}
	for _, s := range records {
		r, err := mdns.NewRR(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	cut := map[string]bool{}
	for _, r := range all {
		if h := r.Header(); h.Rrtype == mdns.TypeNS && h.Name != apex {
			cut[h.Name] = true
		}
	}
	sets := map[string]map[uint16][]mdns.RR{}
	var names []string
	for _, r := range all {
		h := r.Header()
		if below := func() bool {
			for c := range cut {
				if h.Name != c && mdns.IsSubDomain(c, h.Name) {
					return true
				}
			}
			return false
		}(); below {
			continue
		}
		if sets[h.Name] == nil {
			sets[h.Name] = map[uint16][]mdns.RR{}
			names = append(names, h.Name)
		}
		sets[h.Name][h.Rrtype] = append(sets[h.Name][h.Rrtype], r)
	}
	sort.Slice(names, func(i, j int) bool { return canonical(names[i]) < canonical(names[j]) })
	for i, n := range names {
		nsec := &mdns.NSEC{
			Hdr:        mdns.RR_Header{Name: n, Rrtype: mdns.TypeNSEC, Class: mdns.ClassINET, Ttl: 60},
			NextDomain: names[(i+1)%len(names)], TypeBitMap: []uint16{mdns.TypeRRSIG, mdns.TypeNSEC},
		}
		for typ := range sets[n] {
			nsec.TypeBitMap = append(nsec.TypeBitMap, typ)
		}
		sort.Slice(nsec.TypeBitMap, func(a, b int) bool { return nsec.TypeBitMap[a] < nsec.TypeBitMap[b] })
		sets[n][mdns.TypeNSEC] = []mdns.RR{nsec}
		all = append(all, nsec)
	}
	for _, n := range names {
		for typ, set := range sets[n] {
			if cut[n] && typ != mdns.TypeDS && typ != mdns.TypeNSEC {
				continue // RFC 4035 §2.2: not authoritative
			}
			sig := &mdns.RRSIG{
				Algorithm: key.Algorithm, KeyTag: key.KeyTag(), SignerName: apex,
				Inception: uint32(expires.Add(-30 * 24 * time.Hour).Unix()), Expiration: uint32(expires.Unix()),
			}
			if err := sig.Sign(private.(crypto.Signer), set); err != nil {
				t.Fatal(err)
			}
			all = append(all, sig)
		}
	}
	var b strings.Builder
	for _, r := range all {
		fmt.Fprintln(&b, r)
	}
	return b.String(), strings.ReplaceAll(key.ToDS(mdns.SHA256).String(), "\t", " ")
}

// canonical orders names (RFC 4034 §6.1): by labels, the last first.
func canonical(name string) string {
	labels := mdns.SplitDomainName(strings.ToLower(name))
	for i, j := 0, len(labels)-1; i < j; i, j = i+1, j-1 {
		labels[i], labels[j] = labels[j], labels[i]
	}
	return strings.Join(labels, "\x00")
}
