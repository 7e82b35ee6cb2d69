package advise

import (
	"math"
	"slices"

	"sekimori/explain"
)

// curve turns the scores of a group into odds of the four classes that a
// source can have: for each class a constant, and what a point of the score
// for "ours", a point of the forwarding score and the logarithm of the share
// that fails add. Aligned has none of its own where everything fails.
type curve [4][4]float64

// The classes of a curve, in its order.
var curved = [...]Class{Aligned, Broken, Forwarder, Spoof}

// curves were fitted by logistic regression to the sources of generated worlds
// (package worlds), with the DNS and without, for each way of deciding. What is
// stated is held against what is true there by a test.
var curves = map[path]curve{
	byRest:     {{-0.70, 0, 0, -0.01}, {-0.70, 0, 0, -0.01}, {1.53, 0, 0, -1.24}, {-0.13, 0, 0, 1.25}},
	byPassing:  {{1.17, 0, 0, -1.35}, {0.31, 0, 0, 1.08}, {-0.74, 0, 0, 0.13}, {-0.74, 0, 0, 0.13}},
	bySigned:   {{0.11, 0, -0.48, -1.98}, {0.09, 0, -0.29, 1.68}, {0.70, 0, 1.34, 0.32}, {-0.90, 0, -0.57, -0.02}},
	byForward:  {{-0.06, 0, -0.29, -1.49}, {0.44, 0, -0.30, 1.27}, {-0.10, 0, 1.37, 0.19}, {-0.28, 0, -0.78, 0.03}},
	byIdentity: {{-0.40, 0.01, 0, -0.54}, {0.43, 0.84, 0, 0.59}, {-0.40, 0.01, 0, -0.54}, {0.37, -0.86, 0, 0.50}},
	byAddress:  {{-0.52, 0.06, 0, -0.92}, {0.18, 0.47, 0, 0.31}, {-0.02, -0.23, 0, -0.18}, {0.36, -0.30, 0, 0.79}},
}

// surest bounds what evidence alone is said to be worth: the world has shapes
// that no generated one has. Only a person's word is certain.
const surest = 0.99

// features are what a curve is given.
func (g *group) features() [4]float64 {
	c := g.window
	if c.messages == 0 {
		c = g.all
	}
	// Half a message each way: nothing is never quite nothing.
	share := (float64(c.failing) + 0.5) / (float64(c.messages) + 1)
	return [4]float64{1, clamp(g.score, 8), clamp(g.reach, 8), clamp(math.Log(share/0.05), 5)}
}

// Weighed returns what the source's probabilities were worked out from: the way
// of deciding, by the name it has in this package ("" where a person decided,
// and for kept answers), and the figures that its curve is given. It is for
// fitting curves to sources of which the truth is known.
func (s *Source) Weighed() (way string, features []float64) {
	names := [...]string{byRest: "byRest", byPassing: "byPassing", bySigned: "bySigned", byForward: "byForward", byIdentity: "byIdentity", byAddress: "byAddress", byWord: ""}
	if s.features[0] == 0 || int(s.path) >= len(names) {
		return "", nil
	}
	return names[s.path], s.features[:]
}

func clamp(x, limit float64) float64 { return math.Max(-limit, math.Min(limit, x)) }

// odds returns how likely the four classes are; they add up to 1.
func (k curve) odds(f [4]float64) [4]float64 {
	var out [4]float64
	most := math.Inf(-1)
	for i := range out {
		for j := range f {
			out[i] += k[i][j] * f[j]
		}
		most = math.Max(most, out[i])
	}
	sum := 0.0
	for i := range out {
		out[i] = math.Exp(out[i] - most)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// probabilities says how sure the classes of a group are. Of a decided one,
// what its class leaves is shared out among the others, half of it to Unknown:
// other evidence than we have might show it to be anything. Of an undecided
// one, half stays with Unknown at least, and more where two classes are as
// likely as each other.
func (g *group) probabilities() Probabilities {
	if g.path == byWord {
		return certain(g.class)
	}
	odds := curves[g.path].odds(g.features())
	at := slices.Index(curved[:], g.class)
	var open float64
	if at < 0 {
		open = 0.5 + 0.4*(1-slices.Max(odds[:]))
		for i := range odds {
			odds[i] *= 1 - open
		}
	} else {
		// A class that was decided is the most likely one.
		p := math.Min(math.Max(odds[at], 0.5), surest)
		rest := 1 - odds[at]
		for i := range odds {
			if i != at && rest > 0 {
				odds[i] *= (1 - p) / rest / 2
			}
		}
		odds[at] = p
		open = (1 - p) / 2
	}
	return Probabilities{Aligned: odds[0], Broken: odds[1], Forwarder: odds[2], Spoof: odds[3], Unknown: open}
}

// certain is what is said of a class that needs no evidence.
func certain(c Class) Probabilities {
	var p Probabilities
	switch c {
	case Aligned:
		p.Aligned = 1
	case Broken:
		p.Broken = 1
	case Forwarder:
		p.Forwarder = 1
	case Spoof:
		p.Spoof = 1
	default:
		p.Unknown = 1
	}
	return p
}

// Of returns the probability of a class.
func (p Probabilities) Of(c Class) float64 {
	switch c {
	case Aligned:
		return p.Aligned
	case Broken:
		return p.Broken
	case Forwarder:
		return p.Forwarder
	case Spoof:
		return p.Spoof
	}
	return p.Unknown
}

// reasons parts the evidence into what speaks for the class and what speaks
// against it, each the strongest first. Of an unknown source, it is for and
// against its being ours.
func (g *group) reasons() (in, out []explain.Step) {
	in, out = []explain.Step{}, []explain.Step{}
	items := slices.Clone(g.items)
	sign := 1.0
	if g.class == Spoof && g.sense != Spoof {
		sign = -1
	}
	slices.SortStableFunc(items, func(a, b weighed) int {
		switch x, y := math.Abs(a.points), math.Abs(b.points); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	for _, i := range items {
		switch p := sign * i.points; {
		case p > 0:
			in = append(in, i.step)
		case p < 0:
			out = append(out, i.step)
		case g.sense == Forwarder, g.class == Spoof:
			in = append(in, i.step)
		default:
			out = append(out, i.step)
		}
	}
	if len(g.items) == 0 { // a line of many, or a rule without weighing
		in = append(in, g.steps...)
	}
	return in, out
}
