package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/internal/advise"
	"sekimori/internal/collect"
	"sekimori/internal/store"
	"sekimori/internal/worlds"
)

// judging is one run.
type judging struct {
	options
	store *store.Store
	dir   string // temporary
	cases []*world

	mu               sync.Mutex
	making, storing  time.Duration
	records, reports int
	archives         int
	waiting          []*store.Incoming // for the store
	pending          int               // their records
}

// world is a world once its reports are in the store.
type world struct {
	name  string
	truth worlds.Truth
	zone  *dnstest.Zone
}

// round is the answers about all worlds, with the DNS or without.
type round struct {
	offline bool
	total   worlds.Judgement
	shapes  map[string]*tally
	took    []time.Duration
	samples []sample
}

// tally is how often a shape was judged rightly.
type tally struct{ right, all int }

// gather makes or reads the worlds and puts their reports into the store.
func (j *judging) gather(ctx context.Context) error {
	var list []func() (*worlds.World, string, error)
	if j.options.dir != "" {
		dirs, err := os.ReadDir(j.options.dir)
		if err != nil {
			return err
		}
		for _, d := range dirs {
			path := filepath.Join(j.options.dir, d.Name())
			if _, err := os.Stat(filepath.Join(path, "truth.json")); err != nil {
				continue
			}
			list = append(list, func() (*worlds.World, string, error) {
				w, err := worlds.Open(path)
				return w, path, err
			})
		}
	} else {
		for i := range j.worlds {
			seed := j.seed + uint64(i)
			list = append(list, func() (*worlds.World, string, error) { return worlds.Make(seed), "", nil })
		}
	}
	j.cases = make([]*world, len(list))
	err := parallel(ctx, len(list), func(ctx context.Context, i int) error {
		begin := time.Now()
		w, path, err := list[i]()
		if err != nil {
			return err
		}
		z, err := w.Resolver()
		if err != nil {
			return err
		}
		made := time.Since(begin)
		begin = time.Now()
		if path != "" || i%10 == 0 || j.options.archives {
			if path == "" {
				path = filepath.Join(j.dir, fmt.Sprint(w.Truth.Seed))
				if err := w.Write(path); err != nil {
					return err
				}
			}
			err = j.collect(ctx, filepath.Join(path, "reports.tar.gz"))
		} else {
			err = j.put(ctx, w)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", w.Truth.Domain, err)
		}
		name := fmt.Sprint(w.Truth.Seed)
		if j.options.dir != "" {
			name = filepath.Base(path)
		}
		j.cases[i] = &world{name, w.Truth, z}
		j.mu.Lock()
		defer j.mu.Unlock()
		j.making += made
		j.storing += time.Since(begin)
		for r := range w.Reports() {
			j.reports++
			j.records += len(r.Records)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return j.flush(ctx)
}

// collect imports an archive, as a user does.
func (j *judging) collect(ctx context.Context, path string) error {
	r, err := collect.New(j.store).Import(ctx, []string{path})
	if err != nil {
		return err
	}
	if n := len(r.Rejected); n > 0 {
		return fmt.Errorf("%d inputs rejected, the first %+v", n, r.Rejected[0])
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.archives++
	return nil
}

// put hands the reports to the store, those of several worlds together.
func (j *judging) put(ctx context.Context, w *worlds.World) error {
	var list []*store.Incoming
	records := 0
	for r := range w.Reports() {
		in := &store.Incoming{Report: r.Report, Rows: &store.Rows{}}
		for k := range r.Records {
			in.Rows.Add(&r.Records[k])
		}
		records += len(r.Records)
		list = append(list, in)
	}
	j.mu.Lock()
	j.waiting = append(j.waiting, list...)
	j.pending += records
	full := j.pending >= 60_000
	j.mu.Unlock()
	if full {
		return j.flush(ctx)
	}
	return nil
}

// flush stores what waits.
func (j *judging) flush(ctx context.Context) error {
	j.mu.Lock()
	list := j.waiting
	j.waiting, j.pending = nil, 0
	j.mu.Unlock()
	_, err := j.store.Put(ctx, list)
	return err
}

// ask has every world answered and judges the answers.
func (j *judging) ask(ctx context.Context, offline bool) (*round, error) {
	out := &round{offline: offline, shapes: map[string]*tally{}}
	parts := make([]*worlds.Judgement, len(j.cases))
	took := make([]time.Duration, len(j.cases))
	weighed := make([][]sample, len(j.cases))
	err := parallel(ctx, len(j.cases), func(ctx context.Context, i int) error {
		w := j.cases[i]
		var resolver dns.Resolver
		if !offline {
			resolver = w.zone
		}
		adv := advise.New(advise.Config{Store: j.store, Resolver: resolver})
		defer adv.Close()
		name, err := domain.Parse(w.truth.Domain)
		if err != nil {
			return err
		}
		begin := time.Now()
		a, err := adv.Advise(ctx, name, advise.Question{})
		if err != nil {
			return err
		}
		took[i] = time.Since(begin)
		parts[i] = worlds.Judge(&w.truth, said(a))
		weighed[i] = samples(a, &w.truth)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, p := range parts {
		wrong := map[string]worlds.Miss{}
		for _, m := range p.Missed {
			wrong[m.Source] = m
		}
		for name, s := range j.cases[i].truth.Sources {
			if s.Failing30 == 0 {
				continue
			}
			t := out.shapes[s.Shape]
			if t == nil {
				t = &tally{}
				out.shapes[s.Shape] = t
			}
			t.all++
			good, all := 0, 0
			for c, n := range wrong[name].Said {
				if all += n; c == s.Class || slices.Contains(s.Also, c) {
					good += n
				}
			}
			if wrong[name].Source == "" || good*10 > all*9 {
				t.right++
			}
		}
		out.total.Add(p)
		out.samples = append(out.samples, weighed[i]...)
	}
	out.took = took
	slices.Sort(out.took)
	return out, nil
}

// said takes from an answer what is judged.
func said(a *advise.Advice) worlds.Answer {
	out := worlds.Answer{Verdict: string(a.Verdict)}
	if len(a.Policies) > 0 {
		out.AtRisk, out.Legitimate = a.Policies[0].LegitimateAtRisk, a.Policies[0].Legitimate
	}
	for i := range a.Sources {
		s := &a.Sources[i]
		x := worlds.Said{Name: s.Name, Class: string(s.Class), Probability: s.Probability, Messages: s.Messages, Failing: s.Failing, Addresses: s.Addresses}
		for _, r := range s.Reasons {
			x.Evidence = append(x.Evidence, strings.TrimPrefix(r.Code, "why."))
		}
		out.Sources = append(out.Sources, x)
		if slices.ContainsFunc(a.Ladder.Fixes, func(f advise.Fix) bool { return f.Source == s.ID }) {
			out.Fixes = append(out.Fixes, i)
		}
	}
	return out
}

// parallel calls f for 0 to n-1, several at a time, and returns the first error.
func parallel(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range cores() {
		wg.Go(func() {
			for i := range next {
				if ctx.Err() != nil {
					continue
				}
				if err := f(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}
