package dane

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"sekimori/dns"
	"sekimori/explain"
)

// State is what a sender that does DANE makes of a mail exchanger (RFC 7672
// §2.1, §2.2).
type State string

const (
	Authenticated State = "authenticated" // TLS, and the certificate must match
	Encrypted     State = "encrypted"     // TLS required; no record can be used to authenticate
	Opportunistic State = "opportunistic" // as without DANE
	Deferred      State = "deferred"      // not delivered to for now: the DNS gives no answer that can be trusted
	Unreachable   State = "unreachable"   // the host has no address
	Unclear       State = "unclear"       // the resolver does not say whether the answers are secure
)

// maxHosts is how many mail exchangers are looked at.
const maxHosts = 20

// Found is what DANE means for mail to a domain.
type Found struct {
	Domain string
	// MX is the security of the MX records, or of their absence.
	MX dns.Security
	// Hosts are the mail exchangers in the order of preference, at most 20;
	// without MX records the domain itself (RFC 5321 §5.1).
	Hosts []Host
	// Err is why there are no hosts; Temporary, that nothing is known.
	Err       error
	Temporary bool
	Steps     []explain.Step
}

// Host is one mail exchanger.
type Host struct {
	Name string
	// Base is the name whose TLSA records count, the host's own or the end of
	// its aliases; empty where none was asked for.
	Base    string
	Address dns.Security // of the address records
	TLSA    dns.Security // of the TLSA records, or of their absence
	Texts   []string     // the TLSA records, at most 100
	Records []Record     // those that can be read
	State   State
	Steps   []explain.Step
}

// Protected reports whether every mail exchanger can be authenticated.
func (f *Found) Protected() bool {
	for _, h := range f.Hosts {
		if h.State != Authenticated {
			return false
		}
	}
	return len(f.Hosts) > 0
}

// Lookup asks for a domain's MX records, their hosts' addresses and TLSA
// records: at most 101 questions, hosts at the same time.
func Lookup(ctx context.Context, r dns.Resolver, domain string) Found {
	domain = strings.TrimSuffix(domain, ".")
	f := Found{Domain: domain}
	a, err := r.Lookup(ctx, domain, dns.MX)
	f.MX = a.Security
	args := explain.Args{"domain": explain.Clip(domain), "security": word(a.Security)}
	step := func(code string) {
		f.Steps = append(f.Steps, explain.Step{Code: code, Args: args, Ref: "RFC 7672 §2.2.1"})
	}
	var names []string
	switch {
	case err == nil:
		names = hosts(a.Records)
		if len(names) == 0 { // RFC 7505
			f.Err = dns.ErrNoData
			step("dane.mx-null")
			return f
		}
		step("dane.mx")
	case dns.Absent(err):
		names = []string{domain}
		step("dane.mx-absent")
	default:
		f.Err, f.Temporary = err, true
		step("dane.mx-temporary")
		return f
	}
	f.Hosts = make([]Host, len(names))
	var wg sync.WaitGroup
	for i, n := range names {
		wg.Go(func() { f.Hosts[i] = LookupHost(ctx, r, n, f.MX) })
	}
	wg.Wait()
	for _, h := range f.Hosts {
		f.Steps = append(f.Steps, explain.Step{Code: "dane.host", Ref: "RFC 7672 §2.2", Children: h.Steps,
			Args: explain.Args{"host": explain.Clip(h.Name), "state": string(h.State)}})
	}
	return f
}

// hosts returns the hosts of MX records by preference; none for "0 .".
func hosts(records []string) []string {
	type mx struct {
		preference int
		host       string
	}
	var all []mx
	for _, txt := range records {
		p, host, _ := strings.Cut(txt, " ")
		n, err := strconv.Atoi(p)
		if host = strings.TrimSuffix(host, "."); err != nil || host == "" {
			continue
		}
		all = append(all, mx{n, host})
	}
	slices.SortStableFunc(all, func(a, b mx) int { return a.preference - b.preference })
	out := make([]string, 0, min(len(all), maxHosts))
	for _, x := range all[:min(len(all), maxHosts)] {
		out = append(out, x.host)
	}
	return out
}

// LookupHost asks for a mail exchanger's addresses and TLSA records, at most
// five questions; mx is the security of the MX records that name it.
func LookupHost(ctx context.Context, r dns.Resolver, host string, mx dns.Security) Host {
	h := Host{Name: strings.TrimSuffix(host, ".")}
	if mx == dns.Insecure || mx == dns.Bogus {
		// RFC 7672 §2.2.1: what an attacker could have replaced cannot be
		// authenticated by what it names.
		h.say("dane.mx-insecure", "RFC 7672 §2.2.1", nil)
		h.State = Opportunistic
		if mx == dns.Bogus {
			h.State = Deferred
		}
		return h
	}
	bases := h.addresses(ctx, r)
	if bases == nil {
		return h
	}
	h.tlsa(ctx, r, bases)
	if (h.State == Authenticated || h.State == Encrypted) && mx != dns.Secure {
		h.State = Unclear
	}
	return h
}

func (h *Host) say(code, ref string, args explain.Args) {
	if args == nil {
		args = explain.Args{}
	}
	args["host"] = explain.Clip(h.Name)
	h.Steps = append(h.Steps, explain.Step{Code: code, Args: args, Ref: ref})
}

// addresses asks for the addresses and returns the names at which TLSA records
// may be, in order (RFC 7672 §2.2.2); none where there is nothing to ask for.
func (h *Host) addresses(ctx context.Context, r dns.Resolver) []string {
	var answers [2]dns.Answer
	var errs [2]error
	var wg sync.WaitGroup
	for i, t := range [...]dns.Type{dns.A, dns.AAAA} {
		wg.Go(func() { answers[i], errs[i] = r.Lookup(ctx, h.Name, t) })
	}
	wg.Wait()
	found, end := 0, ""
	for i, err := range errs {
		switch {
		case err == nil:
			found++
			end = answers[i].Name
		case !dns.Absent(err):
			h.Address = answers[i].Security
			h.State = Deferred // RFC 7672 §2.1.1
			h.say("dane.address-temporary", "RFC 7672 §2.2.2", nil)
			return nil
		}
	}
	if found == 0 {
		h.State = Unreachable
		h.say("dane.address-absent", "RFC 7672 §2.2.2", nil)
		return nil
	}
	// The host is only as secure as the less secure of its two answers.
	h.Address = answers[0].Security
	if b := answers[1].Security; h.Address == dns.Secure || b == dns.Insecure {
		h.Address = b
	}
	h.say("dane.address", "RFC 7672 §2.2.2", explain.Args{"security": word(h.Address)})
	switch {
	case h.Address == dns.Secure && end != "" && end != strings.ToLower(h.Name):
		h.say("dane.alias", "RFC 7672 §2.2.2", explain.Args{"name": explain.Clip(end)})
		return []string{end, h.Name}
	case h.Address != dns.Insecure:
		return []string{h.Name}
	case end != "":
		// The alias itself may be secure although what it leads to is not:
		// then the host's own TLSA records count.
		if a, err := r.Lookup(ctx, h.Name, dns.CNAME); err == nil && a.Security == dns.Secure {
			h.say("dane.alias-secure", "RFC 7672 §2.2.2", explain.Args{"name": explain.Clip(end)})
			h.Address = dns.Secure
			return []string{h.Name}
		}
	}
	h.State = Opportunistic
	return nil
}

// tlsa asks for the TLSA records of the first base that has any.
func (h *Host) tlsa(ctx context.Context, r dns.Resolver, bases []string) {
	const ref = "RFC 7672 §2.2.3"
	for _, base := range bases {
		name := Name(base)
		a, err := r.Lookup(ctx, name, dns.TLSA)
		args := explain.Args{"name": explain.Clip(name), "security": word(a.Security)}
		h.Base, h.TLSA = base, a.Security
		if err != nil && !dns.Absent(err) {
			// RFC 7672 §2.1.1: an attacker who suppresses the answer gains
			// nothing.
			h.State = Deferred
			h.say("dane.tlsa-temporary", "RFC 7672 §2.1.1", args)
			return
		}
		if err != nil {
			h.State = Opportunistic
			h.say("dane.tlsa-absent", ref, args)
			continue
		}
		usable := 0
		h.Texts = a.Records[:min(len(a.Records), 100)]
		for _, txt := range h.Texts {
			if rec, err := Parse(txt); err == nil {
				h.Records = append(h.Records, *rec)
				if rec.Usable() {
					usable++
				}
			}
		}
		args["count"], args["usable"] = int64(len(a.Records)), int64(usable)
		h.say("dane.tlsa", ref, args)
		switch {
		case a.Security == dns.Insecure:
			h.State = Opportunistic
		case a.Security != dns.Secure || h.Address != dns.Secure:
			h.State = Unclear
		case usable == 0: // RFC 7672 §2.2
			h.State = Encrypted
		default:
			h.State = Authenticated
		}
		return
	}
}

// word is a security for a sentence.
func word(s dns.Security) string {
	if s == dns.Unknown {
		return "unknown"
	}
	return string(s)
}
