package sources

import (
	"context"
	"time"

	"sekimori/domain"
	"sekimori/internal/store"
	"sekimori/internal/store/verdict"
)

// Sent is what is known of a domain's own mail by other means than reports.
type Sent struct {
	Copies   uint64    // that our own mail server signed and sent, one for each recipient elsewhere
	Reported uint64    // messages with one of these signatures that reports tell of
	Since    store.Day // from which day on both are counted
}

// Signing gives what reports say of signed mail; *store.Store has it.
type Signing interface {
	// DomainVersion is 0 for a domain that no report is about.
	DomainVersion(domain string) int64
	Signed(ctx context.Context, domain string, w store.Window, by []store.Signature) (uint64, error)
}

// Tally gives what a gateway signed and let go; *verdict.Reader has it.
type Tally interface {
	Sent(begin, end string) (list []verdict.Sent, since string, err error)
}

// SentBy returns what tells of a domain and a window how much mail the site's
// own gateway sent, and how much of that is in reports. Mail from a name below
// the domain belongs to it unless reports are about that name, or one between.
// Where the gateway signed nothing, or its count cannot be read, nothing is known
// and no records are read.
func SentBy(gateway Tally, reports Signing) func(ctx context.Context, domain string, w store.Window) (Sent, error) {
	return func(ctx context.Context, name string, w store.Window) (Sent, error) {
		n, err := domain.Parse(name)
		if err != nil {
			return Sent{}, nil
		}
		list, since, err := gateway.Sent(w.Begin.String(), w.End.String())
		if err != nil || len(list) == 0 {
			return Sent{}, nil
		}
		t, err := time.Parse(time.DateOnly, since)
		if err != nil {
			return Sent{}, nil
		}
		s := Sent{Since: max(w.Begin, store.DayOf(t))}
		seen := map[store.Signature]bool{}
		var by []store.Signature
		for _, x := range list {
			if x.Day < s.Since.String() || !answers(n, x.From, reports) {
				continue
			}
			if s.Copies += x.Copies; s.Copies < x.Copies {
				s.Copies = ^uint64(0)
			}
			for _, g := range x.By {
				if g := store.Signature(g); !seen[g] {
					seen[g] = true
					by = append(by, g)
				}
			}
		}
		if s.Copies == 0 {
			return Sent{}, nil
		}
		s.Reported, err = reports.Signed(ctx, name, store.Window{Begin: s.Since, End: w.End}, by)
		return s, err
	}
}

// answers reports whether reports about a domain are those about an author's
// mail.
func answers(of domain.Name, author string, reports Signing) bool {
	n, err := domain.Parse(author)
	for ; err == nil && !n.IsZero(); n = n.Parent() {
		if n == of {
			return true
		}
		if reports.DomainVersion(n.String()) != 0 {
			return false
		}
	}
	return false
}
