// Package advise reads what receivers reported about a domain and says who
// sends in its name, what would be lost under a stricter policy, and what to
// publish next.
//
// The way of an answer: the stored rows are summed up by address (evidence.go);
// host names and our own SPF record are looked up within a time budget (package
// sources); addresses become groups, one for each service (group.go), which are
// looked up in the catalogue and in what was watched (known.go); the days on
// which a group was active give its rhythm (rhythm.go), and many that are one
// are found (crowd.go); evidence for and against is weighed (classify.go), a
// person's word goes before it (word.go), and how sure the answer is follows
// from both (probability.go); the failing messages of each class are priced
// (cost.go). Up to 400 days before the window are read as evidence, so
// that a monthly sender is known for one; only the window is counted.
//
// Addresses come from reports, reports from anyone: memory is bounded by
// Config.MaxAddresses, the look-ups by Config.PTRBudget.
package advise

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"sync"
	"time"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/internal/sources"
	"sekimori/internal/store"
)

// Config is what an Advisor works with.
type Config struct {
	Store    Store
	Resolver dns.Resolver // nil: no look-ups; host names already in the store are used
	Now      func() time.Time
	// PTRBudget is the most time that one answer spends on look-ups; zero
	// means 2 s, negative none at all.
	PTRBudget time.Duration
	// MaxAddresses is how many addresses are looked at one by one, at most
	// 20,000 of them without any authentication; those with the fewest messages
	// are one line. Each takes about half a kilobyte. Zero means 60,000.
	MaxAddresses int
	// Days are the windows that Refresh keeps answers for; none means 30. The
	// first is the one by whose answer addresses are classed in the store.
	Days []int
	// Catalogue knows senders by name, and Networks who runs the network of an
	// address; nil: nothing is known.
	Catalogue *sources.Catalogue
	Networks  *sources.Networks
	// Sightings gives failure reports and the gateway's verdicts; nil: the
	// Store's, where it has any.
	Sightings Sightings
	// Inspect is told, for each source of an answer, how its class was come by
	// and what its probabilities were worked out from; nil: nobody is.
	Inspect func(id, path string, features []float64)
	// Words is what people said about sources, and Departments whose these are;
	// nil: the Store, where it has them.
	Words       Words
	Departments Departments
	// Cases says from which day on each broken source is said to be fixed, by
	// Source.Key; nil: nothing is known to be fixed.
	Cases Cases
	// With names whatever else answers are worked out with, as it is now: a list of
	// senders, a table of networks, a zone file. An answer kept with another is stale.
	With string
	// Sent says how much of a domain's mail is known to have been sent in a window
	// by other means than reports, and how much of that is in reports; nil, or no
	// copies, means not known. It is asked about whole domains only.
	Sent func(ctx context.Context, domain string, w store.Window) (sources.Sent, error)
}

// Cases is the work of fixing, as far as an answer needs it.
type Cases interface {
	Fixed(ctx context.Context, domain string) (map[string]store.Day, error)
}

// Question is what is asked about a domain.
type Question struct {
	Days  int       // length of the window in whole UTC days; 0 means 30, at most 3660
	Until store.Day // exclusive end; 0 means the end of the newest report
	// Department narrows the answer to the sources of a department
	// (store.Department.ID), after they have been told apart by all of the
	// domain's mail; 0 means all of them. An unknown one is store.ErrNotFound.
	Department int64
}

const (
	defaultDays = 30
	maxDays     = 3660
	// history is how many days before the window's end are read as evidence.
	history = 400
)

// Store is what an Advisor reads and keeps.
type Store interface {
	Rows
	Cache
	sources.Cache
}

// Rows is the stored reports; *store.Store has it.
type Rows interface {
	Domains(ctx context.Context, w store.Window) ([]store.DomainTotals, error)
	DomainNames(ctx context.Context) ([]string, error)
	DomainDaily(ctx context.Context, domain string, w store.Window) ([]store.DayTotals, error)
	PolicyHistory(ctx context.Context, domain string) ([]store.PolicySpan, error)
	Newest(ctx context.Context, domain string) (store.Day, bool, error)
	Evidence(ctx context.Context, domain string, w, inner store.Window, f func(store.SourceRow) error) error
	DomainVersion(domain string) int64
}

// Historian gives the activity of groups of addresses by day, in no order; of
// holds the number of each address's group. A Store that has it lets rhythm
// count as evidence.
type Historian interface {
	GroupDays(ctx context.Context, domain string, w store.Window, addrs []netip.Addr, of []int,
		f func(group int, day store.Day, messages, failing uint64) error) error
}

// Cache is where answers are kept; *store.Store has it.
type Cache interface {
	Advice(ctx context.Context, domain, question string) (store.CachedAdvice, bool, error)
	PutAdvice(ctx context.Context, a store.CachedAdvice) error
	AdviceSummaries(ctx context.Context, question string) ([]store.CachedAdvice, error)
	SetClasses(ctx context.Context, domain string, rows iter.Seq2[netip.Addr, store.ClassRow]) error
	Counts
}

// Advisor answers questions about domains. It is safe for concurrent use.
type Advisor struct {
	c    Config
	stop context.CancelFunc
	ctx  context.Context // of work in the background
	wg   sync.WaitGroup
	// working holds the questions being worked on, so that one asked twice
	// is worked out once.
	mu      sync.Mutex
	working map[string]*work
	turn    chan struct{} // one answer at a time is worked out: it takes memory
	// naming says from when on names of a domain's addresses may be looked up
	// in the background, again or for the first time; asking lets one at a time.
	naming map[string]time.Time
	asking chan struct{}
}

// New returns an Advisor. Close ends what it does in the background.
func New(c Config) *Advisor {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.MaxAddresses <= 0 {
		c.MaxAddresses = 60_000
	}
	if c.Words == nil {
		c.Words, _ = c.Store.(Words)
	}
	if st, ok := c.Store.(interface {
		Sightings(ctx context.Context, domain string, w store.Window, f func(store.Sighting) error) error
	}); ok && c.Sightings == nil {
		c.Sightings = st.Sightings
	}
	if c.Departments == nil {
		c.Departments, _ = c.Store.(Departments)
	}
	if len(c.Days) == 0 {
		c.Days = []int{defaultDays}
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Advisor{c: c, ctx: ctx, stop: stop, working: map[string]*work{}, turn: make(chan struct{}, 1),
		naming: map[string]time.Time{}, asking: make(chan struct{}, 1)}
}

// Close stops background work and waits for it.
func (a *Advisor) Close() error {
	a.stop()
	a.wg.Wait()
	return nil
}

// Advise works the answer out from the stored rows. A domain without reports
// in the window gets the verdict insufficient-data, not an error.
func (a *Advisor) Advise(ctx context.Context, name domain.Name, q Question) (*Advice, error) {
	if name.IsZero() {
		return nil, fmt.Errorf("advise: no domain given")
	}
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r, err := a.work(ctx, name, q)
	if err != nil {
		return nil, fmt.Errorf("advise %s: %w", name, err)
	}
	return r.advice, nil
}

// result is an answer with what is kept of it elsewhere.
type result struct {
	advice  *Advice
	newest  bool      // the window ends with the newest report
	since   store.Day // first day of the policy in force
	version int64
	state   int64        // of what people said and decided
	pending []netip.Addr // addresses whose names are still to be looked up
	asked   bool         // the DNS was there to be asked
}

// work works an answer out.
func (a *Advisor) work(ctx context.Context, name domain.Name, q Question) (*result, error) {
	r := &result{version: a.c.Store.DomainVersion(name.String()), state: a.state(name.String())}
	w, newest, err := a.window(ctx, name.String(), q)
	if err != nil {
		return nil, err
	}
	r.newest = newest
	n := &analysis{a: a, ctx: ctx, name: name, window: w, newest: newest}
	if n.department, err = a.department(ctx, q.Department); err != nil {
		return nil, err
	}
	if r.advice, err = n.run(); err != nil {
		return nil, err
	}
	r.since, r.pending, r.asked = n.policy.seen.since, n.pending, n.asked
	r.advice.Pending = n.open
	return r, nil
}

// window returns the days that a question is about, and whether they end with
// the newest report.
func (a *Advisor) window(ctx context.Context, name string, q Question) (store.Window, bool, error) {
	days := q.Days
	if days <= 0 {
		days = defaultDays
	}
	days = min(days, maxDays)
	newest, ok, err := a.c.Store.Newest(ctx, name)
	if err != nil {
		return store.Window{}, false, err
	}
	if !ok {
		newest = store.DayOf(a.c.Now())
	}
	end := q.Until
	if end == 0 {
		end = newest
	}
	return store.Window{Begin: end - store.Day(days), End: end}, end == newest, nil
}
