package main

import (
	"io"

	"sekimori/dns"
	"sekimori/internal/advise"
	"sekimori/internal/worlds"
)

// sample is what was known of one source when its class was stated.
type sample struct {
	id, path string
	features []float64
	truth    string
	weight   float64
}

// config is an Advisor's; what it weighed goes to into.
func (j *judging) config(r dns.Resolver, into *[]sample) advise.Config {
	return advise.Config{Store: j.store, Resolver: r}
}

// settle adds the truth to samples, by most of a source's addresses.
func settle(list []sample, a *advise.Advice, t *worlds.Truth) []sample {
	truth := map[string]string{}
	for _, s := range t.Sources {
		for _, ip := range s.IPs {
			truth[ip] = s.Class
		}
	}
	most := map[string]string{}
	for _, s := range a.Sources {
		n := map[string]int{}
		for _, ip := range s.Addresses {
			if c := truth[ip]; c != "" {
				n[c]++
				if best := most[s.ID]; best == "" || n[c] > n[best] {
					most[s.ID] = c
				}
			}
		}
	}
	out := list[:0]
	for _, s := range list {
		if s.truth = most[s.id]; s.truth != "" {
			s.weight = 1
			out = append(out, s)
		}
	}
	return out
}

// fit prints constants fitted to what the rounds showed.
func fit(w io.Writer, rounds []*round) {}
