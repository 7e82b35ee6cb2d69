package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"sekimori/internal/worlds"
)

// outcome is the run as a document.
type outcome struct {
	Worlds   int        `json:"worlds"`
	Seeds    [2]uint64  `json:"seeds,omitempty"` // first and last
	Reports  int        `json:"reports"`
	Records  int        `json:"records"`
	Archives int        `json:"imported_from_archives"`
	Ready    int        `json:"ready"` // worlds that are
	Rounds   []roundDoc `json:"rounds"`
	Bars     []bar      `json:"bars"`
	Seconds  float64    `json:"seconds"`
}

type roundDoc struct {
	Offline   bool                         `json:"offline"`
	Messages  map[string]map[string]uint64 `json:"messages"` // truth → said → failing messages
	Sources   map[string]map[string]int    `json:"sources"`
	Error     float64                      `json:"calibration_error"`
	Lists     [3]int                       `json:"fix_lists"` // all; those that suffice; those as short as can be
	MedianMS  float64                      `json:"median_ms"`
	LongestMS float64                      `json:"longest_ms"`
	Missed    []worlds.Miss                `json:"missed"`
}

// bar is a promise and whether it is kept.
type bar struct {
	Name    string  `json:"name"`
	Offline bool    `json:"offline,omitempty"`
	Want    string  `json:"want"`
	Got     float64 `json:"got"`
	Of      float64 `json:"of,omitempty"`
	Text    string  `json:"text"`
	Met     bool    `json:"met"`
}

func share(name, want string, got, of float64, met func(float64) bool) bar {
	b := bar{Name: name, Want: want, Got: got, Of: of, Met: true, Text: "none to find"}
	if of > 0 {
		b.Met = met(got / of)
		b.Text = fmt.Sprintf("%.1f %%  %.0f of %.0f", 100*got/of, got, of)
	}
	return b
}

func least(p float64) func(float64) bool { return func(x float64) bool { return x >= p } }
func most(p float64) func(float64) bool  { return func(x float64) bool { return x <= p } }

func none(name string, n int) bar {
	return bar{Name: name, Want: "none", Got: float64(n), Text: fmt.Sprint(n), Met: n == 0}
}

// bars holds one round against the promises.
func (r *round) bars() []bar {
	t := &r.total
	found, harm := 0.90, 0.05
	if r.offline {
		found = 0.80
	}
	out := []bar{share("broken sources found", fmt.Sprintf("≥ %.0f %%", 100*found), float64(t.Found), float64(t.Broken), least(found))}
	if !r.offline {
		out = append(out,
			none("broken called spoof", t.Lost),
			share("spoofed messages called ours", "≤ 5 %", float64(t.SpoofOurs), float64(t.Spoofed), most(harm)),
			share("forwarders' failing messages right", "≥ 80 %", float64(t.IndirectOK), float64(t.Indirect), least(0.80)),
			share("verdicts right", "≥ 95 %", float64(t.Verdicts), float64(t.Worlds), least(0.95)))
	}
	out = append(out, none("ready while broken mail is at risk", t.FalseReady))
	for i := range out {
		out[i].Offline = r.offline
	}
	return out
}

// calibration returns the expected calibration error of the stated
// probabilities, and the table it comes from: ten bins, each source counted
// once.
func calibration(list []worlds.Stated) (float64, []bin) {
	bins := make([]bin, 10)
	for _, s := range list {
		b := &bins[min(9, int(s.Probability*10))]
		b.n++
		b.stated += s.Probability
		if s.Right {
			b.right++
		}
	}
	sum, n := 0.0, 0
	for _, b := range bins {
		sum += math.Abs(b.stated - float64(b.right))
		n += b.n
	}
	return sum / max(1, float64(n)), bins
}

type bin struct {
	n, right int
	stated   float64
}

func (j *judging) outcome(rounds []*round, took time.Duration) *outcome {
	o := &outcome{Worlds: len(j.cases), Reports: j.reports, Records: j.records, Archives: j.archives, Seconds: math.Round(took.Seconds()*10) / 10}
	if j.options.dir == "" {
		o.Seeds = [2]uint64{j.seed, j.seed + uint64(len(j.cases)) - 1}
	}
	for _, w := range j.cases {
		if w.truth.Ready {
			o.Ready++
		}
	}
	for _, r := range rounds {
		d := roundDoc{Offline: r.offline, Messages: map[string]map[string]uint64{}, Sources: map[string]map[string]int{}, Missed: r.total.Missed}
		d.Error, _ = calibration(r.total.Sure)
		d.Lists = [3]int{r.total.Lists, r.total.Enough, r.total.Least}
		d.MedianMS, d.LongestMS = ms(r.took[len(r.took)/2]), ms(r.took[len(r.took)-1])
		for _, x := range worlds.Classes {
			for _, y := range worlds.Classes {
				if d.Messages[x] == nil {
					d.Messages[x], d.Sources[x] = map[string]uint64{}, map[string]int{}
				}
				d.Messages[x][y], d.Sources[x][y] = r.total.Messages[[2]string{x, y}], r.total.Sources[[2]string{x, y}]
			}
		}
		o.Rounds = append(o.Rounds, d)
		o.Bars = append(o.Bars, r.bars()...)
	}
	return o
}

func ms(d time.Duration) float64 { return math.Round(d.Seconds()*1e4) / 10 }

// print writes the outcome in at most 80 columns.
func (o *outcome) print(w io.Writer, j *judging, rounds []*round) {
	n := max(1, time.Duration(len(j.cases)))
	fmt.Fprintf(w, "%d worlds", o.Worlds)
	if o.Seeds[1] > 0 {
		fmt.Fprintf(w, ", seeds %d to %d", o.Seeds[0], o.Seeds[1])
	}
	fmt.Fprintf(w, ", %d of them ready\n%d reports, %d records, %d worlds imported from archives\n", o.Ready, o.Reports, o.Records, o.Archives)
	fmt.Fprintf(w, "made in %v a world, stored in %v\n", (j.making / n).Round(time.Millisecond), (j.storing / n).Round(time.Millisecond))
	for i, r := range rounds {
		title := "With the DNS"
		if r.offline {
			title = "Without the DNS"
		}
		d := &o.Rounds[i]
		fmt.Fprintf(w, "\n%s: an answer in %.0f ms (median), %.0f ms (longest)\n%s\n", title, d.MedianMS, d.LongestMS, r.total.String())
		fmt.Fprintf(w, "calibration error %.3f; messages at risk off by a tenth in %d of %d worlds\n", d.Error, r.total.MessagesOff, r.total.Measured)
		fmt.Fprintf(w, "lists of fixes that suffice %d of %d, as short as can be %d\n", r.total.Enough, r.total.Lists, r.total.Least)
		if j.calibrate {
			printCalibration(w, r)
		}
		if j.options.shapes {
			printShapes(w, r)
		}
		if j.missed {
			for _, m := range r.total.Missed {
				fmt.Fprintln(w, m)
			}
		}
	}
	if j.calibrate {
		fit(w, rounds)
	}
	fmt.Fprintf(w, "\n%-44s%-9s%s\n", "", "bar", "")
	for _, b := range o.Bars {
		met := "met"
		if !b.Met {
			met = "MISSED"
		}
		name := b.Name
		if b.Offline {
			name += " (no DNS)"
		}
		fmt.Fprintf(w, "%-44s%-8s%s%*s\n", clip(name, 43), b.Want, b.Text, max(1, 28-len([]rune(b.Text))), met)
	}
	fmt.Fprintf(w, "%.0f s in all\n", o.Seconds)
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

func printCalibration(w io.Writer, r *round) {
	_, bins := calibration(r.total.Sure)
	fmt.Fprintf(w, "%-16s%8s%10s%10s\n", "stated", "sources", "mean", "right")
	for i, b := range bins {
		if b.n > 0 {
			fmt.Fprintf(w, "%3d to %3d %%    %8d%9.1f%%%9.1f%%\n", 10*i, 10*i+10, b.n, 100*b.stated/float64(b.n), 100*float64(b.right)/float64(b.n))
		}
	}
}

func printShapes(w io.Writer, r *round) {
	names := make([]string, 0, len(r.shapes))
	for n := range r.shapes {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		t := r.shapes[n]
		fmt.Fprintf(w, "%-36s %4d of %4d\n", n, t.right, t.all)
	}
}
