package bimi

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/explain"
)

// ErrSeveral is the error of more than one record: no logo (draft-14 §7.2).
var ErrSeveral = errors.New("several BIMI records: publish one")

// Input says whose record to find.
type Input struct {
	Author         domain.Name // of the From field
	Organizational domain.Name // of the author domain; zero for none
	Selector       string      // empty for "default"
	Local          string      // the local-part of From, for lps; empty for none
}

// Found is the record that applies.
type Found struct {
	// Domain and Selector say where it stands: empty where there is none.
	Domain   domain.Name
	Selector string
	// Records are the records of BIMI at the last name that was asked for.
	Records []string
	// Record is the one that counts; nil where there is none, more than one,
	// or one with a fault: Err then says why.
	Record *Record
	// Declined: the domain wants no logo.
	Declined  bool
	Err       error
	Temporary bool // a question failed: not the same as absence
	Steps     []explain.Step
	Findings  []explain.Finding
}

// Lookup finds the record (draft-14 §7.2): that of the author domain, then,
// where that has none, that of the organizational domain, for the same
// selector; a selector of the message's own never falls back to "default". A
// record with lps may lead to another of the same domain. Three questions at
// most.
func Lookup(ctx context.Context, r dns.Resolver, in Input) Found {
	selector := strings.ToLower(in.Selector)
	if selector == "" {
		selector = "default"
	}
	var f Found
	for i, d := range [...]domain.Name{in.Author, in.Organizational} {
		if d.IsZero() || i == 1 && d == in.Author {
			continue
		}
		f = ask(ctx, r, f, d, selector)
		if f.Temporary || f.Record != nil || !dns.Absent(f.Err) {
			break
		}
	}
	if f.Record == nil || in.Local == "" {
		return f
	}
	other, ok := f.Record.Selector(in.Local)
	if !ok || other == selector {
		return f
	}
	g := ask(ctx, r, Found{Steps: f.Steps}, f.Domain, other)
	if g.Record != nil {
		g.Steps = append(g.Steps, explain.Step{Code: "bimi.local", Ref: "draft-14 §7.2",
			Args: explain.Args{"local": explain.Clip(in.Local), "selector": other, "name": explain.Clip(Name(other, g.Domain.String()))}})
		return g
	}
	f.Steps = g.Steps
	return f // what has no record of its own keeps the first
}

// ask asks for one name.
func ask(ctx context.Context, r dns.Resolver, f Found, d domain.Name, selector string) Found {
	name := Name(selector, d.String())
	a, err := r.Lookup(ctx, name, dns.TXT)
	f = Found{Steps: f.Steps, Err: err, Temporary: err != nil && !dns.Absent(err)}
	step := func(code string, args explain.Args) {
		args["name"] = explain.Clip(name)
		f.Steps = append(f.Steps, explain.Step{Code: code, Args: args, Ref: "draft-14 §7.2"})
	}
	for _, txt := range a.Records[:min(len(a.Records), 20)] {
		if Begins(txt) {
			f.Records = append(f.Records, txt)
		}
	}
	if err != nil {
		if f.Temporary {
			step("bimi.temporary", explain.Args{})
		} else {
			step("bimi.none", explain.Args{})
		}
		return f
	}
	switch len(f.Records) {
	case 0:
		f.Err = fmt.Errorf("%s: %w of BIMI", name, dns.ErrNoData)
		step("bimi.none", explain.Args{})
		return f
	case 1:
		f.Record, f.Err = Parse(f.Records[0])
	default:
		f.Err = ErrSeveral
	}
	f.Findings = LintAll(f.Records, selector, d.String())
	switch {
	case f.Err == ErrSeveral:
		step("bimi.several", explain.Args{"count": int64(len(f.Records))})
	case f.Err != nil:
		step("bimi.fault", explain.Args{"record": explain.Clip(f.Records[0])})
	default:
		f.Domain, f.Selector, f.Declined = d, selector, f.Record.Declined()
		if f.Declined {
			step("bimi.declined", explain.Args{})
		} else {
			step("bimi.found", explain.Args{"location": explain.Clip(f.Record.Location)})
		}
	}
	return f
}
