package watch

import (
	"context"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"sekimori/bimi"
	"sekimori/dns"
	"sekimori/mtasts"
	"sekimori/spf"
	"sekimori/tlsrpt"
)

// Bounds of one look. They hold whatever a zone publishes.
const (
	maxIncludes  = 40   // SPF records below the domain's own
	maxDepth     = 10   // of includes; more than 10 look-ups fail anyway (RFC 7208 §4.6.4)
	maxHosts     = 20   // that SPF records name by "a"
	maxSelectors = 20   // of DKIM
	maxRecords   = 20   // of one name and type
	maxRecord    = 2048 // octets of one
	asking       = 8    // questions at a time
)

// maxQuestions bounds the questions of one look.
const maxQuestions = 6 + 1 + maxIncludes + 2*maxHosts + maxSelectors

// record is what one name publishes of a kind: sorted, one a line.
type record struct {
	name, kind, value string
}

// question is one without an answer.
type question struct {
	name string
	typ  dns.Type
}

// zone is a look on its way.
type zone struct {
	ctx   context.Context
	r     dns.Resolver
	turns chan struct{}
	wg    sync.WaitGroup

	mu       sync.Mutex
	asked    int
	found    []record
	silent   []question
	included map[string]bool
	hosts    map[string]bool
}

// lookAt asks for everything that a domain publishes for mail, at most
// maxQuestions questions, asking of them at a time. What was not answered is in
// silent, and nowhere else.
func lookAt(ctx context.Context, r dns.Resolver, domain string, selectors []string) *zone {
	z := &zone{ctx: ctx, r: r, turns: make(chan struct{}, asking), included: map[string]bool{domain: true}, hosts: map[string]bool{}}
	z.texts("_dmarc."+domain, "dmarc", func(s string) bool { return begins(s, "v=dmarc") })
	z.spf(domain, 0)
	z.ask(domain, dns.MX, "mx", folded)
	z.ask(domain, dns.NS, "ns", folded)
	z.texts(mtasts.Name(domain), "mta-sts", mtasts.Begins)
	z.texts(tlsrpt.Name(domain), "tls-rpt", tlsrpt.Begins)
	z.texts(bimi.Name("default", domain), "bimi", bimi.Begins)
	for _, s := range selectors[:min(len(selectors), maxSelectors)] {
		// What a key record begins with may be left out (RFC 6376 §3.6.1); the
		// key may not.
		z.texts(strings.ToLower(s)+"._domainkey."+domain, "dkim", func(s string) bool { return begins(s, "v=dkim1") || strings.Contains(s, "p=") })
	}
	z.wg.Wait()
	slices.SortFunc(z.silent, func(a, b question) int { return strings.Compare(a.name+string(a.typ), b.name+string(b.typ)) })
	return z
}

func begins(s, prefix string) bool {
	s = strings.TrimLeft(s, " \t")
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func folded(records []string) []string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = strings.ToLower(r)
	}
	return out
}

// texts asks for TXT records and keeps those that are meant. Others at the name
// belong to a wildcard.
func (z *zone) texts(name, kind string, meant func(string) bool) {
	z.ask(name, dns.TXT, kind, func(records []string) []string {
		return slices.DeleteFunc(slices.Clone(records), func(s string) bool { return !meant(s) })
	})
}

// spf asks for a name's SPF record and, below it, for those that it names.
func (z *zone) spf(name string, depth int) {
	z.ask(name, dns.TXT, "spf", func(records []string) []string {
		records = slices.DeleteFunc(slices.Clone(records), func(s string) bool { return !begins(s, "v=spf1") })
		if len(records) == 1 && depth < maxDepth {
			includes, hosts := spfNames(records[0], name)
			for _, n := range includes {
				z.include(n, depth+1)
			}
			for _, n := range hosts {
				z.host(n)
			}
		}
		return records
	})
}

// include follows one include or redirect. It is counted before it is asked for.
func (z *zone) include(name string, depth int) {
	z.mu.Lock()
	known := z.included[name] || len(z.included) > maxIncludes
	if !known {
		z.included[name] = true
	}
	z.mu.Unlock()
	if !known {
		z.spf(name, depth)
	}
}

// host asks for the addresses of a host that an SPF record names: they are what
// the record allows (RFC 7208 §5.3).
func (z *zone) host(name string) {
	z.mu.Lock()
	known := z.hosts[name] || len(z.hosts) >= maxHosts
	if !known {
		z.hosts[name] = true
	}
	z.mu.Unlock()
	if !known {
		z.ask(name, dns.A, "a", folded)
		z.ask(name, dns.AAAA, "aaaa", folded)
	}
}

// spfNames returns the names whose records an SPF record takes in (RFC 7208
// §5.2, §6.1), and those whose addresses it allows, in lower case. Names that
// only a message can complete are left out (§7).
func spfNames(txt, name string) (includes, hosts []string) {
	terms, _ := spf.ParseTerms(txt) // a record at fault still leads somewhere
	for i := range terms {
		t := &terms[i]
		n := strings.ToLower(strings.TrimSuffix(t.Value.String(), "."))
		if len(n) > 253 || strings.Contains(n, "%") {
			continue
		}
		switch {
		case n != "" && (t.Name == spf.Include || t.Name == spf.Redirect) && !slices.Contains(includes, n):
			includes = append(includes, n)
		case t.Name == spf.A && t.Qualifier == spf.Plus:
			if n == "" {
				n = name
			}
			if !slices.Contains(hosts, n) {
				hosts = append(hosts, n)
			}
		}
	}
	return includes, hosts
}

// ask puts one question in the background. pick chooses and words the records.
func (z *zone) ask(name string, t dns.Type, kind string, pick func([]string) []string) {
	z.wg.Go(func() {
		z.turns <- struct{}{}
		a, err := z.r.Lookup(z.ctx, name, t)
		<-z.turns
		if err != nil && !dns.Absent(err) {
			z.mu.Lock()
			z.asked++
			z.silent = append(z.silent, question{name, t})
			z.mu.Unlock()
			return
		}
		var records []string
		if err == nil {
			records = pick(a.Records)
		}
		value := joined(records)
		z.mu.Lock()
		defer z.mu.Unlock()
		z.asked++
		z.found = append(z.found, record{name, kind, value})
	})
}

// joined sorts records and makes one text of them, a record a line. What is too
// long is cut, what is no text is replaced.
func joined(records []string) string {
	out := make([]string, 0, min(len(records), maxRecords))
	for _, r := range records {
		out = append(out, clean(r))
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return strings.Join(out[:min(len(out), maxRecords)], "\n")
}

func clean(s string) string {
	if len(s) > maxRecord {
		s = s[:maxRecord] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || 0x7f <= r && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
