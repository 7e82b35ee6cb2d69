package survey

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sekimori/dns"
	"sekimori/domain"
)

// DefaultAuthorityRate is how many questions a second the name servers of one
// operator may get.
const DefaultAuthorityRate = 500

// Bounds of politeness.
const (
	slowest        = 0.05            // of the rate, however much fails
	maxAuthorities = 1 << 15         // that are remembered
	maxPlaces      = 1 << 14         // domains whose authority is remembered
	climb          = 3               // labels above a domain where its name servers are looked for
	patience       = 3 * time.Second // for each question where they are
	// brokenAfter is how many failures, and no answer, a domain's own servers
	// have before nothing more is asked of them.
	brokenAfter = 2
)

var errBroken = errors.New("its name servers did not answer before")

// authority is the operator of some name servers: a bucket of questions that
// fills with time. The zero rate is no limit.
type authority struct {
	key  string
	most float64 // questions a second

	mu     sync.Mutex
	rate   float64 // now
	tokens float64
	at     time.Time // of the tokens
	halved time.Time
}

func newAuthority(key string, most float64) *authority {
	return &authority{key: key, most: most, rate: most, tokens: most / 10, at: time.Now()}
}

// wait takes a token, or returns when ctx ended.
func (a *authority) wait(ctx context.Context) error {
	if a == nil || a.most <= 0 {
		return nil
	}
	a.mu.Lock()
	now := time.Now()
	// A tenth of a second's questions may come at once.
	a.tokens = min(a.tokens+now.Sub(a.at).Seconds()*a.rate, a.most/10)
	a.at = now
	a.tokens-- // whoever comes later stands behind
	short := -a.tokens
	delay := time.Duration(short / a.rate * float64(time.Second))
	a.mu.Unlock()
	if short <= 0 {
		return nil
	}
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note slows down where a question failed, and takes heart again where one was
// answered.
func (a *authority) note(failed bool) {
	if a == nil || a.most <= 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch now := time.Now(); {
	case !failed:
		a.rate = min(a.rate+a.most/200, a.most)
	case now.Sub(a.halved) > 2*time.Second:
		a.halved = now
		a.rate = max(a.rate/2, a.most*slowest)
	}
}

// share is how many domains of the authority may be looked at at a time, of so
// many in all: as many as can put their questions in good time.
func (a *authority) share(domains int) int {
	if a == nil || a.most <= 0 {
		return domains
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	const questions, seconds = 15, 5
	return max(1, min(domains/4, int(a.rate*seconds/questions)))
}

// idle reports whether an authority is as one newly made would be.
func (a *authority) idle() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rate == a.most && time.Since(a.at) > time.Second
}

// cacher is a Resolver that can say what it knows already.
type cacher interface {
	Cached(name string, t dns.Type) (dns.Answer, error, bool)
}

// manners keeps a survey from burdening anybody's name servers: questions that
// the resolver cannot answer by itself are counted against the operator of the
// servers that have the answer. What the resolver asks on its way there, such
// as those of the top-level domain, is not counted. It is safe for concurrent
// use.
type manners struct {
	r    dns.Resolver
	know cacher // nil where the resolver does not say
	rate float64

	mu          sync.Mutex
	authorities map[string]*authority
	places      map[domain.Name]*authority
}

func newManners(r dns.Resolver, rate float64) *manners {
	m := &manners{r: r, rate: rate, authorities: map[string]*authority{}, places: map[domain.Name]*authority{}}
	m.know, _ = r.(cacher)
	return m
}

// of returns the authority of a domain; nil where there is no limit. It asks
// for the name servers of the organizational domain, and where that has none of
// its own, of those above.
func (m *manners) of(ctx context.Context, org domain.Name) *authority {
	if m.rate <= 0 || org.IsZero() {
		return nil
	}
	m.mu.Lock()
	a, ok := m.places[org]
	m.mu.Unlock()
	if ok {
		return a
	}
	key, exempt := m.find(ctx, org)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !exempt {
		if a = m.authorities[key]; a == nil {
			if len(m.authorities) >= maxAuthorities {
				for k, x := range m.authorities {
					if x.idle() {
						delete(m.authorities, k)
					}
				}
			}
			a = newAuthority(key, m.rate)
			m.authorities[key] = a
		}
	}
	if len(m.places) >= maxPlaces {
		clear(m.places)
	}
	m.places[org] = a
	return a
}

// find names the operator of a domain's name servers by where these are named.
// Those on this machine need no protection.
func (m *manners) find(ctx context.Context, org domain.Name) (key string, exempt bool) {
	at := org
	for range climb {
		a, err := m.ask(ctx, at.String(), dns.NS)
		if err == nil && len(a.Records) > 0 {
			return operator(a.Records), m.local(ctx, a.Records)
		}
		if !dns.Absent(err) {
			break // not known: the domain stands for itself
		}
		if at = at.Parent(); at.IsZero() {
			break
		}
	}
	return org.String(), false
}

// ask asks, but does not wait long: whoever does not say where its servers are
// stands for itself.
func (m *manners) ask(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return m.r.Lookup(ctx, name, t)
}

// operator is one word for the operator of name servers: the first of the
// domains that they are named in, without digits, for large operators spread a
// customer's servers over several.
func operator(hosts []string) string {
	var orgs []string
	for _, h := range hosts {
		n, err := domain.Parse(h)
		if err != nil {
			continue
		}
		orgs = append(orgs, strings.Map(func(r rune) rune {
			if '0' <= r && r <= '9' || r == '-' {
				return -1
			}
			return r
		}, n.Organizational().String()))
	}
	if len(orgs) == 0 {
		return strings.Join(hosts, " ")
	}
	return slices.Min(orgs)
}

func (m *manners) local(ctx context.Context, hosts []string) bool {
	a, err := m.ask(ctx, slices.Min(hosts), dns.A)
	if err != nil {
		return false
	}
	for _, s := range a.Records {
		if ip, err := netip.ParseAddr(s); err != nil || !ip.IsLoopback() {
			return false
		}
	}
	return len(a.Records) > 0
}

// visit is the Resolver of one look at a domain. It stands in line for each
// question, remembers whether one failed, and gives up on name servers that
// answer nothing.
type visit struct {
	m    *manners
	name domain.Name // the organizational domain
	own  *authority

	answered atomic.Int64 // by the domain's own servers
	failed   atomic.Int64
	hidden   atomic.Int64 // questions of any kind that a later attempt may get answered
	asked    atomic.Int64
}

// Lookup is that of dns.Resolver.
func (v *visit) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	v.asked.Add(1)
	if v.m.know != nil {
		if a, err, ok := v.m.know.Cached(name, t); ok {
			v.count(name, a, err)
			return a, err
		}
	}
	own := v.below(name)
	if own && v.failed.Load() >= brokenAfter && v.answered.Load() == 0 {
		v.hidden.Add(1)
		return dns.Answer{}, &dns.Failure{Name: name, Type: t, Err: errors.Join(dns.ErrTemporary, errBroken)}
	}
	at := v.own
	if !own {
		at = nil
		if n, err := domain.Parse(name); err == nil && v.m.rate > 0 {
			at = v.m.of(ctx, n.Organizational())
		}
	}
	if err := at.wait(ctx); err != nil {
		v.hidden.Add(1)
		return dns.Answer{}, &dns.Failure{Name: name, Type: t, Err: errors.Join(dns.ErrTemporary, err)}
	}
	a, err := v.m.r.Lookup(ctx, name, t)
	v.count(name, a, err)
	at.note(hides(err) && ctx.Err() == nil)
	return a, err
}

func (v *visit) count(name string, a dns.Answer, err error) {
	switch failed := hides(err); {
	case failed:
		// What validation, by the server's word, refuses once it refuses again;
		// and the root, asked for to see whether the resolver validates, is
		// nothing of the domain's.
		if !slices.ContainsFunc(a.Extended, dns.ExtendedError.Bogus) && strings.Trim(name, ".") != "" {
			v.hidden.Add(1)
		}
		if v.below(name) {
			v.failed.Add(1)
		}
	case v.below(name):
		v.answered.Add(1)
	}
}

// below reports whether the domain's own servers have the answer, as far as can
// be told by the name.
func (v *visit) below(name string) bool {
	name = strings.TrimSuffix(name, ".")
	of := v.name.String()
	return len(name) >= len(of) && strings.EqualFold(name[len(name)-len(of):], of) &&
		(len(name) == len(of) || name[len(name)-len(of)-1] == '.')
}

// hides reports whether a question failed so that nothing is known.
func hides(err error) bool { return err != nil && !dns.Absent(err) }
