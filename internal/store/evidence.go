package store

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strings"

	"sekimori/domain"
	"sekimori/report/aggregate"
)

// dispositions are the values of the table's enum, in its order.
var dispositions = [...]aggregate.Disposition{
	"",
	aggregate.DispositionNone,
	aggregate.DispositionPass,
	aggregate.DispositionQuarantine,
	aggregate.DispositionReject,
}

// dispositionNumber returns the place in dispositions; an unknown one is "".
func dispositionNumber(d aggregate.Disposition) uint8 {
	switch d {
	case aggregate.DispositionNone:
		return 1
	case aggregate.DispositionPass:
		return 2
	case aggregate.DispositionQuarantine:
		return 3
	case aggregate.DispositionReject:
		return 4
	}
	return 0
}

// number is an address as an IPv6 number, in halves: network and host.
type number struct{ net, host uint64 }

// addrNumber returns an address as an IPv6 number, IPv4 as ::ffff:a.b.c.d. The
// zero Addr is number 0, which is also ::; nobody sends mail from there.
func addrNumber(a netip.Addr) number {
	if !a.IsValid() {
		return number{}
	}
	b := a.As16()
	return number{net: binary.BigEndian.Uint64(b[:8]), host: binary.BigEndian.Uint64(b[8:])}
}

// numberAddr is the reverse of addrNumber.
func numberAddr(n number) netip.Addr {
	if n == (number{}) {
		return netip.Addr{}
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], n.net)
	binary.BigEndian.PutUint64(b[8:], n.host)
	return netip.AddrFrom16(b).Unmap()
}

// share returns day k's part of c messages over n days: c*(k+1)/n - c*k/n.
func share(c uint64, k, n int) uint64 {
	return mulDiv(c, uint64(k+1), uint64(n)) - mulDiv(c, uint64(k), uint64(n))
}

func mulDiv(c, k, n uint64) uint64 {
	hi, lo := bits.Mul64(c, k)
	q, _ := bits.Div64(hi, lo, n) // k <= n, so the quotient fits
	return q
}

// evidence is what of a record's results matters for telling sources apart.
type evidence struct {
	headerFrom                                          string
	authDKIM, failedDKIM, authSPF, spfChecked, override string
}

// organizations caches the organizational domains of names. The zero value is
// ready; not for concurrent use.
type organizations struct{ of map[string]string }

// maxOrganizations bounds the cache. A report has few domains; one that has
// many pays for looking them up again.
const maxOrganizations = 4096

func (o *organizations) get(name string) string {
	if org, ok := o.of[name]; ok {
		return org
	}
	if o.of == nil || len(o.of) >= maxOrganizations {
		o.of = make(map[string]string, 64)
	}
	org := name // where it is no domain name, only itself is like it
	if n, err := domain.Parse(name); err == nil {
		org = n.Organizational().String()
	}
	o.of[name] = org
	return org
}

// related reports whether two lower-case names are aligned in relaxed mode.
func (o *organizations) related(a, b string) bool {
	if a == b {
		return true
	}
	if a == "" || b == "" {
		return false
	}
	return o.get(a) == o.get(b)
}

// evidence picks the results that count. Of several passing ones, one related
// to the author's domain comes before others, and then the first.
func (o *organizations) evidence(rec *aggregate.Record) evidence {
	e := evidence{headerFrom: strings.ToLower(rec.HeaderFrom)}
	passed := false
	for i := range rec.DKIMResults {
		d := &rec.DKIMResults[i]
		if d.Result != "pass" || d.Domain == "" {
			continue
		}
		name := strings.ToLower(d.Domain)
		if !passed {
			passed, e.authDKIM = true, name
		}
		if o.related(name, e.headerFrom) {
			e.authDKIM = name
			break
		}
	}
	if !passed {
		for i := range rec.DKIMResults {
			d := &rec.DKIMResults[i]
			if d.Domain != "" && d.Result != "" && d.Result != "none" {
				e.failedDKIM = strings.ToLower(d.Domain)
				break
			}
		}
	}

	related := false
	passed = false
	helo := true // what spfChecked has is only a HELO name
	for i := range rec.SPFResults {
		s := &rec.SPFResults[i]
		if s.Domain == "" {
			continue
		}
		name := strings.ToLower(s.Domain)
		// RFC 9989 §3.2.4: only MAIL FROM counts; HELO stands in for nothing else.
		mfrom := s.Scope != "helo"
		if e.spfChecked == "" || helo && mfrom {
			e.spfChecked, helo = name, !mfrom
		}
		if s.Result != "pass" || !mfrom {
			continue
		}
		if !passed || !related && o.related(name, e.headerFrom) {
			passed, e.authSPF = true, name
			related = o.related(name, e.headerFrom)
		}
	}
	if e.authSPF != "" {
		e.spfChecked = e.authSPF
	}
	if e.spfChecked == "" {
		e.spfChecked = strings.ToLower(rec.EnvelopeFrom[strings.LastIndexByte(rec.EnvelopeFrom, '@')+1:])
	}
	if len(rec.Reasons) > 0 {
		e.override = strings.ToLower(rec.Reasons[0].Type)
	}
	return e
}
