package inventory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sekimori/dmarc"
	"sekimori/dns"
	"sekimori/domain"
	"sekimori/internal/store"
)

const (
	// giveUpAfter is how many names in a row may get no answer before the
	// resolver is taken to be out of reach.
	giveUpAfter = 48
	// factBatch is how many answers are kept at a time, so that what was learnt
	// is not lost when the work is stopped.
	factBatch = 400
	maxText   = 2048 // octets of a record that are kept
	maxHosts  = 10   // MX records of a name that are kept
)

// fact is what the DNS said of a name.
type fact struct {
	Exists  bool     `json:"exists,omitempty"`
	Absent  bool     `json:"absent,omitempty"` // NXDOMAIN; neither: it did not say
	SPF     []string `json:"spf,omitempty"`
	MX      []string `json:"mx,omitempty"`      // hosts, the preferred first
	NullMX  bool     `json:"null_mx,omitempty"` // RFC 7505
	Address bool     `json:"address,omitempty"` // asked for where there is no MX
	DMARC   []string `json:"dmarc,omitempty"`
	Alias   bool     `json:"alias,omitempty"`
	// Silent are the types that were asked for in vain.
	Silent []string `json:"silent,omitempty"`
	// Of the domain itself: the organizational domain above its sub-domains
	// (RFC 9989 §4.10.2) and that one's records.
	Organizational string   `json:"organizational,omitempty"`
	OrgDMARC       []string `json:"org_dmarc,omitempty"`
}

// known reports whether the DNS said what matters: whether the name exists.
func (f *fact) known() bool { return f.Exists || f.Absent }

// Asked is how far asking came.
type Asked struct {
	Names    int64 `json:"names"`  // that were asked about
	Silent   int64 `json:"silent"` // of them: no answer
	Left     int64 `json:"left"`   // that are still to be asked about
	NoAnswer bool  `json:"no_answer"`
}

// ErrOffline says that there is no resolver to ask.
var ErrOffline = errors.New("nothing can be asked: there is no resolver")

// Ask asks the DNS about every known name of which the last answer is missing
// or too old: whether it exists, its MX, SPF and DMARC records. One to five
// questions a name, one to begin with; Concurrency names at a time; at most
// MaxNames names a call. Answers are kept as they come, so a call that was
// stopped goes on where it was. Names of forged mail alone are not asked about:
// anybody can make them up.
//
// A resolver that answers nothing, 48 names in a row, ends it with NoAnswer. The
// error is the store's, ErrOffline, or that of ctx; running out of Budget is none.
func Ask(ctx context.Context, c Config, name domain.Name) (Asked, error) {
	c = c.withDefaults()
	if c.Resolver == nil {
		return Asked{}, ErrOffline
	}
	if name.IsZero() {
		return Asked{}, errors.New("inventory: no domain given")
	}
	w, err := window(ctx, c, name)
	if err != nil {
		return Asked{}, err
	}
	stale := c.Now().Add(-c.MaxAge)
	total := int64(0)
	if c.Tell != nil {
		// Who looks on wants to know how much there is. The reports are read once.
		if c.Memory == nil {
			c.Memory = &Memory{}
		}
		_, err := merged(ctx, c, name, w, func(i *item) error {
			if i.stale(stale) {
				total++
			}
			return nil
		})
		if err != nil {
			return Asked{}, fmt.Errorf("inventory of %s: %w", name, err)
		}
	}
	a := &asking{c: c, root: name, total: total, queue: make(chan string), done: make(chan store.NameFact, factBatch)}
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	if c.Budget > 0 {
		work, cancel = context.WithTimeout(ctx, c.Budget)
		defer cancel()
	}
	var wg sync.WaitGroup
	for range c.Concurrency {
		wg.Go(func() {
			for n := range a.queue {
				a.name(work, n)
			}
		})
	}
	kept := make(chan error, 1)
	go func() { kept <- a.keep(context.WithoutCancel(ctx), cancel) }()
	var given, left int64
	stopped := false
	_, err = merged(ctx, c, name, w, func(i *item) error {
		if !i.stale(stale) {
			return nil
		}
		if stopped || given >= int64(c.MaxNames) {
			left++
			return nil
		}
		select {
		case a.queue <- i.name:
			given++
		case <-work.Done():
			stopped = true
			left++
		}
		return nil
	})
	close(a.queue)
	wg.Wait()
	close(a.done)
	if e := <-kept; err == nil {
		err = e
	}
	out := Asked{Names: a.asked.Load(), Silent: a.silent.Load(), Left: left + a.cut.Load(), NoAnswer: a.gone.Load()}
	if err != nil {
		return out, fmt.Errorf("inventory of %s: %w", name, err)
	}
	return out, ctx.Err()
}

// stale reports whether the name is to be asked about.
func (i *item) stale(before time.Time) bool {
	return !i.forged() && (!i.known || i.fact.Looked.Before(before))
}

type asking struct {
	c     Config
	root  domain.Name
	total int64 // names to ask about, where somebody looks on
	queue chan string
	done  chan store.NameFact

	asked, silent, cut atomic.Int64
	inRow              atomic.Int64
	gone               atomic.Bool
}

// keep writes answers down, some hundred at a time. stop ends the work where
// they cannot be.
func (a *asking) keep(ctx context.Context, stop func()) error {
	var batch []store.NameFact
	var failure error
	flush := func() {
		if len(batch) > 0 && failure == nil {
			if failure = a.c.Store.PutNameFacts(ctx, batch); failure != nil {
				stop()
			}
			if a.c.Tell != nil {
				n := a.asked.Load()
				a.c.Tell(Asked{Names: n, Silent: a.silent.Load(), Left: max(0, a.total-n)})
			}
		}
		batch = batch[:0]
	}
	for f := range a.done {
		if batch = append(batch, f); len(batch) == factBatch {
			flush()
		}
	}
	flush()
	return failure
}

// name asks about one name.
func (a *asking) name(ctx context.Context, name string) {
	if ctx.Err() != nil || a.gone.Load() {
		a.cut.Add(1)
		return
	}
	q := questions{ctx: ctx, r: a.c.Resolver}
	f := q.about(name)
	if name == a.root.String() {
		q.organization(a.root)
	}
	if ctx.Err() != nil {
		a.cut.Add(1) // what it did not learn was cut off, not refused
		return
	}
	a.asked.Add(1)
	if !f.known() {
		a.silent.Add(1)
		if a.inRow.Add(1) >= giveUpAfter {
			a.gone.Store(true)
		}
		return
	}
	a.inRow.Store(0)
	doc, err := json.Marshal(f)
	if err != nil {
		return // it consists of strings and booleans
	}
	a.done <- store.NameFact{Domain: a.root.String(), Name: name, Looked: a.c.Now().UTC(), Doc: doc}
}

// questions are those about one name.
type questions struct {
	ctx context.Context
	r   dns.Resolver
	f   fact
}

// ask puts one question. Silence is noted.
func (q *questions) ask(name string, t dns.Type) (dns.Answer, error) {
	a, err := q.r.Lookup(q.ctx, name, t)
	if err != nil && !dns.Absent(err) {
		q.f.Silent = append(q.f.Silent, string(t))
	}
	return a, err
}

// about asks as little as tells what a name does. No such name (RFC 8020 §2)
// ends it: there is nothing below it either.
func (q *questions) about(name string) *fact {
	f := &q.f
	a, err := q.ask(name, dns.TXT)
	f.Alias = a.Name != ""
	switch {
	case errors.Is(err, dns.ErrNameNotFound) && !f.Alias:
		f.Absent = true
		return f
	case err == nil:
		f.SPF = versioned(a.Records, "v=spf1")
	case !dns.Absent(err):
		// Another type may be answered.
		if _, err := q.ask(name, dns.A); err != nil && !dns.Absent(err) {
			return f
		} else if errors.Is(err, dns.ErrNameNotFound) {
			f.Absent = true
			return f
		}
	}
	f.Exists = true
	q.mail(name)
	if a, err = q.ask("_dmarc."+name, dns.TXT); err == nil {
		f.DMARC = versioned(a.Records, "v=dmarc1")
	}
	return f
}

// mail asks where mail to the name goes. Without MX records it goes to its
// addresses (RFC 5321 §5.1).
func (q *questions) mail(name string) {
	f := &q.f
	a, err := q.ask(name, dns.MX)
	if err == nil {
		for _, mx := range a.Records {
			_, host, _ := strings.Cut(mx, " ")
			host = strings.ToLower(strings.TrimSuffix(host, "."))
			if host == "" { // RFC 7505 §3: "0 ." alone
				f.NullMX = true
			} else if len(f.MX) < maxHosts && len(host) <= 253 {
				f.MX = append(f.MX, host)
			}
		}
		return
	}
	if !dns.Absent(err) {
		return
	}
	for _, t := range []dns.Type{dns.A, dns.AAAA} {
		if _, err := q.ask(name, t); err == nil {
			f.Address = true
			return
		}
	}
}

// organization asks whose policy the sub-domains inherit: that of the
// organizational domain, which may be above this one (RFC 9989 §4.10.2).
func (q *questions) organization(root domain.Name) {
	v := dmarc.Verifier{Resolver: q.r}
	org, err := v.Discover(q.ctx, root).Organizational(q.ctx, root)
	if err != nil {
		return
	}
	q.f.Organizational = org.String()
	if a, err := q.ask("_dmarc."+org.String(), dns.TXT); err == nil {
		q.f.OrgDMARC = versioned(a.Records, "v=dmarc1")
	}
}

// versioned are the records that begin with a version, clipped, at most three.
func versioned(records []string, version string) []string {
	var out []string
	for _, s := range records {
		if len(s) >= len(version) && strings.EqualFold(s[:len(version)], version) && len(out) < 3 {
			if len(s) > maxText {
				s = s[:maxText]
			}
			out = append(out, strings.ToValidUTF8(s, "\uFFFD"))
		}
	}
	return out
}
