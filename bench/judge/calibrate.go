package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"sekimori/internal/advise"
	"sekimori/internal/worlds"
)

// sample is what was weighed of one source, and what it is in truth.
type sample struct {
	path     string
	features []float64
	truth    int // index into fitted
}

// fitted are the classes of a curve, in the order of package advise.
var fitted = [...]string{worlds.Aligned, worlds.Broken, worlds.Forwarder, worlds.Spoof}

// samples pairs what was weighed with the truth, by most of a source's addresses.
func samples(a *advise.Advice, t *worlds.Truth) []sample {
	truth := map[string]int{}
	for _, s := range t.Sources {
		for _, ip := range s.IPs {
			truth[ip] = slices.Index(fitted[:], s.Class)
		}
	}
	var out []sample
	for i := range a.Sources {
		s := &a.Sources[i]
		var n [len(fitted)]int
		for _, ip := range s.Addresses {
			if c, ok := truth[ip]; ok && c >= 0 {
				n[c]++
			}
		}
		most := 0
		for c := range n {
			if n[c] > n[most] {
				most = c
			}
		}
		if path, features := s.Weighed(); n[most] > 0 && path != "" {
			out = append(out, sample{path, features, most})
		}
	}
	return out
}

// fit prints constants for package advise, fitted to what the rounds showed:
// for each way of deciding a multinomial logistic regression, held near zero
// so that few sources do not promise too much.
func fit(w io.Writer, rounds []*round) {
	by := map[string][]sample{}
	for _, r := range rounds {
		for _, s := range r.samples {
			by[s.path] = append(by[s.path], s)
		}
	}
	paths := make([]string, 0, len(by))
	for p := range by {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	fmt.Fprintf(w, "\nconstants fitted to %d rounds, for internal/advise/probability.go\n", len(rounds))
	for _, p := range paths {
		k := regress(by[p])
		var rows []string
		for _, row := range k {
			var cells []string
			for _, x := range row {
				cells = append(cells, strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", x), "0"), "."))
			}
			rows = append(rows, "{"+strings.Join(cells, ", ")+"}")
		}
		var n [len(fitted)]int
		for _, s := range by[p] {
			n[s.truth]++
		}
		fmt.Fprintf(w, "\t// %d sources: %v\n\t%s: {\n\t\t%s,\n\t},\n", len(by[p]), n, p, strings.Join(rows, ", "))
	}
}

// pull is how strongly constants are held near zero: as if so many sources had
// spoken for it.
const pull = 1.0

// regress fits one row of constants for each class by gradient descent with
// momentum. It is deterministic.
func regress(list []sample) [][]float64 {
	if len(list) == 0 {
		return nil
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(x, y sample) int {
		return cmp.Or(cmp.Compare(x.truth, y.truth), slices.Compare(x.features, y.features))
	})
	width := len(list[0].features)
	// Features of like size go down together.
	size := make([]float64, width)
	for _, s := range list {
		for j, x := range s.features {
			size[j] = max(size[j], math.Abs(x))
		}
	}
	k, speed := make([][]float64, len(fitted)), make([][]float64, len(fitted))
	for c := range k {
		k[c], speed[c] = make([]float64, width), make([]float64, width)
	}
	grad, p := make([]float64, width*len(fitted)), make([]float64, len(fitted))
	n := float64(len(list))
	for range 1500 {
		clear(grad)
		for _, s := range list {
			odds(k, s.features, size, p)
			for c := range k {
				d := p[c]
				if c == s.truth {
					d--
				}
				for j, x := range s.features {
					grad[c*width+j] += d * x / max(size[j], 1e-9)
				}
			}
		}
		for c := range k {
			for j := range k[c] {
				speed[c][j] = 0.9*speed[c][j] - 0.5*(grad[c*width+j]+pull*k[c][j]*0.05)/n
				k[c][j] += speed[c][j]
			}
		}
	}
	for c := range k {
		for j := range k[c] {
			k[c][j] /= max(size[j], 1e-9)
		}
	}
	return k
}

// odds fills p with the probabilities of the classes.
func odds(k [][]float64, features, size, p []float64) {
	most := math.Inf(-1)
	for c := range k {
		p[c] = 0
		for j, x := range features {
			p[c] += k[c][j] * x / max(size[j], 1e-9)
		}
		most = max(most, p[c])
	}
	sum := 0.0
	for c := range p {
		p[c] = math.Exp(p[c] - most)
		sum += p[c]
	}
	for c := range p {
		p[c] /= sum
	}
}
