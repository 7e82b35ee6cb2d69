package inventory

import (
	"context"
	"sync"

	"sekimori/domain"
)

// Asker asks about domains in the background, one after the other, while pages
// show what is known already. It is safe for concurrent use.
type Asker struct {
	c    Config
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup
	turn chan struct{}

	mu    sync.Mutex
	state map[string]Progress
}

// Progress is how far the asking about one domain is.
type Progress struct {
	Running bool  `json:"running"` // or waiting for its turn
	Asked   Asked `json:"asked"`   // of this run, or of the last one
	Err     error `json:"-"`       // that ended the last run
}

// maxWaiting is how many domains an Asker takes on at a time.
const maxWaiting = 100

// NewAsker returns an Asker. Close ends its work.
func NewAsker(c Config) *Asker {
	ctx, stop := context.WithCancel(context.Background())
	return &Asker{c: c.withDefaults(), ctx: ctx, stop: stop, turn: make(chan struct{}, 1), state: map[string]Progress{}}
}

// Start begins to ask about a domain's names and returns at once. It reports
// false where that is under way already, there is no resolver, or too many
// domains wait.
func (a *Asker) Start(name domain.Name) bool {
	if a.c.Resolver == nil || name.IsZero() || a.ctx.Err() != nil {
		return false
	}
	key := name.String()
	a.mu.Lock()
	defer a.mu.Unlock()
	running := 0
	for _, p := range a.state {
		if p.Running {
			running++
		}
	}
	if a.state[key].Running || running >= maxWaiting {
		return false
	}
	if len(a.state) > 10*maxWaiting { // those that ended are only of interest for a while
		for k, p := range a.state {
			if !p.Running {
				delete(a.state, k)
			}
		}
	}
	a.state[key] = Progress{Running: true}
	a.wg.Go(func() { a.run(name) })
	return true
}

func (a *Asker) run(name domain.Name) {
	key := name.String()
	note := func(p Progress) {
		a.mu.Lock()
		a.state[key] = p
		a.mu.Unlock()
	}
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-a.ctx.Done():
		note(Progress{Err: a.ctx.Err()})
		return
	}
	c := a.c
	c.Tell = func(k Asked) { note(Progress{Running: true, Asked: k}) }
	k, err := Ask(a.ctx, c, name)
	note(Progress{Asked: k, Err: err})
}

// Progress returns how far the asking about a domain is; the zero Progress
// where it was not begun.
func (a *Asker) Progress(name domain.Name) Progress {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state[name.String()]
}

// Close stops and waits; what was learnt is kept.
func (a *Asker) Close() error {
	a.stop()
	a.wg.Wait()
	return nil
}
