package spf

import (
	"context"

	"sekimori/dns"
	"sekimori/explain"
)

// Inspection is what a domain publishes for SPF, and what follows from it for
// every client: the records are read, not evaluated.
type Inspection struct {
	Domain string
	// Records are the TXT records that are SPF records; RFC 7208 allows one.
	Records []string
	// Record is the one record; nil where there is none, several, or one that
	// cannot be parsed.
	Record *Record
	// Err is why a record could not be had or parsed.
	Err error
	// Temporary says that Err may go away by itself.
	Temporary bool
	// Lookups and Void count the terms that ask the DNS if none matches, and
	// those whose answer is empty, includes and redirects with them.
	Lookups int
	Void    int
	// Includes are the records that this one leads to.
	Includes []Node
	// All is the qualifier of the all that is reached, through redirects too;
	// empty where there is none.
	All      Qualifier
	Findings []explain.Finding
}

// Node is one record that another leads to.
type Node struct {
	Term      string // "include:…" or "redirect=…", as published
	Domain    string // empty where only a message could say
	Record    string // empty where there is none
	Lookups   int    // of the record itself and what is below it
	Err       error
	Temporary bool
	Nodes     []Node
}

// Inspect reads a domain's SPF record and all that it leads to.
func Inspect(ctx context.Context, r dns.Resolver, domain string) Inspection {
	in := Inspection{Domain: domain}
	a, err := r.Lookup(ctx, domain, dns.TXT)
	if err != nil && !dns.Absent(err) {
		in.Err, in.Temporary = err, true
		return in
	}
	for _, s := range a.Records {
		if IsRecord(s) {
			in.Records = append(in.Records, s)
		}
	}
	if len(in.Records) == 1 {
		in.Record, in.Err = Parse(in.Records[0])
	}
	return in
}
