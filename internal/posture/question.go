package posture

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"sekimori/dns"
)

// What each topic may ask, in different questions. A question that another
// topic asked too counts for both, so that no topic's result depends on which
// was first; it is put to the Resolver once.
const (
	budgetFirst  = 2  // MX and TXT of the domain
	budgetSPF    = 80 // includes and redirects, and the names that they look up
	budgetDMARC  = 64 // the walk, and the walks of external destinations
	budgetDKIM   = 2 + MaxSelectors + maxWellKnown
	budgetMX     = 2 + 2*MaxHosts // addresses of the domain and of its MX hosts
	budgetMTASTS = 3
	budgetTLSRPT = 1
	budgetBIMI   = 2
	budgetDNSSEC = 3
	budgetDANE   = 2 * MaxHosts
	budgetRPKI   = 1 + 2*maxServers // name servers and their addresses
)

// MaxQuestions, 296, bounds the different questions that Inspect puts to its
// Resolver for one domain. A domain with a usual setup takes about 75, and a
// frugal inspection of it 12 to 35. What a Resolver asks on its own account, such as
// the links of a chain of aliases, is not counted.
const MaxQuestions = budgetFirst + budgetSPF + budgetDMARC + budgetDKIM + budgetMX +
	budgetMTASTS + budgetTLSRPT + budgetBIMI + budgetDNSSEC + budgetDANE + budgetRPKI

var errBudget = fmt.Errorf("%w: this domain has had its share of questions", dns.ErrTemporary)

// question is one question; the name is in lower case without the final dot.
type question struct {
	name string
	typ  dns.Type
}

// asker puts each question to the Resolver once and remembers the reply,
// failures too, as long as one domain is looked at.
type asker struct {
	// ctx is the context of the whole inspection: a reply is shared, so it
	// must not end with the topic that happened to ask first.
	ctx     context.Context
	r       dns.Resolver
	mu      sync.Mutex
	replies map[question]*reply
}

type reply struct {
	done   chan struct{}
	answer dns.Answer
	err    error
}

func newAsker(ctx context.Context, r dns.Resolver) *asker {
	return &asker{ctx: ctx, r: r, replies: make(map[question]*reply, 32)}
}

func (a *asker) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.replies)
}

func (a *asker) lookup(ctx context.Context, q question) (dns.Answer, error) {
	a.mu.Lock()
	rep := a.replies[q]
	if rep == nil {
		rep = &reply{done: make(chan struct{})}
		a.replies[q] = rep
		a.mu.Unlock()
		rep.answer, rep.err = a.r.Lookup(a.ctx, q.name, q.typ)
		close(rep.done)
		return rep.answer, rep.err
	}
	a.mu.Unlock()
	select {
	case <-rep.done:
		return rep.answer, rep.err
	case <-ctx.Done():
		return dns.Answer{}, fmt.Errorf("%s %s: %w: %w", q.name, q.typ, dns.ErrTemporary, ctx.Err())
	}
}

// budget returns a Resolver of at most n different questions; further ones
// fail as temporary, so that they never count as absence.
func (a *asker) budget(n int) *budget {
	return &budget{a: a, left: n, seen: make(map[question]bool, min(n, 8))}
}

type budget struct {
	a    *asker
	mu   sync.Mutex
	left int
	seen map[question]bool
}

// Lookup is that of dns.Resolver.
func (b *budget) Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error) {
	q := question{strings.ToLower(strings.TrimSuffix(name, ".")), t}
	if q.name == "" {
		q.name = "." // the root
	}
	b.mu.Lock()
	if !b.seen[q] {
		if b.left == 0 {
			b.mu.Unlock()
			return dns.Answer{}, fmt.Errorf("%s %s: %w", q.name, t, errBudget)
		}
		b.left--
		b.seen[q] = true
	}
	b.mu.Unlock()
	return b.a.lookup(ctx, q)
}

// answered: the name exists, with or without records of the type. An alias is
// there wherever it points (RFC 8020 §2, RFC 2308 §2.1).
func answered(a dns.Answer, err error) bool {
	return err == nil || errors.Is(err, dns.ErrNoData) || errors.Is(err, dns.ErrNameNotFound) && a.Name != ""
}

// denied: there is no such name.
func denied(a dns.Answer, err error) bool {
	return errors.Is(err, dns.ErrNameNotFound) && a.Name == ""
}

// present is the state of records after a question.
func present(err error) State {
	switch {
	case err == nil:
		return Yes
	case dns.Absent(err):
		return No
	}
	return Unknown
}
