package worlds

import (
	"fmt"
	"slices"
	"strings"
)

// Answer is what was said about a world.
type Answer struct {
	Verdict    string
	AtRisk     uint64
	Legitimate uint64
	Sources    []Said
	Fixes      []int // indices of the sources that are to be fixed first
}

// Said is what was said about one source.
type Said struct {
	Name        string
	Class       string
	Probability float64 // of Class; 0 where none was given
	Messages    uint64
	Failing     uint64
	Addresses   []string
	Evidence    []string // codes
}

// Judgement counts answers against the truth.
type Judgement struct {
	Messages map[[2]string]uint64 // truth and said → failing messages
	Sources  map[[2]string]int    // truth and said → sources with failing messages, by the class of most addresses

	Broken, Found, Lost   int // broken sources with failing messages; found; with an address called spoof
	Spoofed, SpoofOurs    uint64
	Indirect, IndirectOK  uint64
	Worlds, Verdicts      int      // answers, and those with the right verdict
	FalseReady            int      // ready although a broken source is at risk or due
	Sure                  []Stated // each source with failing messages, for the calibration
	Missed                []Miss
	Lists, Enough, Least  int // lists of fixes; those that would make the world ready; those as short as can be
	MessagesOff, Measured int // worlds in which the count of messages at risk is off by more than a tenth; those where it could be compared
}

// Stated is a probability that was stated, and whether the class was right.
type Stated struct {
	Said, Truth string
	Probability float64
	Right       bool
	Failing     uint64
}

// Miss is a source or a verdict that was judged wrongly.
type Miss struct {
	World, Source, Shape string
	Truth                string
	Said                 map[string]int // class → addresses
	Failing              uint64         // in the last 30 days
	Evidence             []string       // codes, of one wrong answer
	Text                 string
}

func (m Miss) String() string {
	if m.Text != "" {
		return m.World + ": " + m.Text
	}
	var said []string
	for _, c := range Classes {
		if n := m.Said[c]; n > 0 {
			said = append(said, fmt.Sprintf("%s %d", c, n))
		}
	}
	return fmt.Sprintf("%s: %s is %s; said of its addresses: %s; %d failing; %s", m.World, m.Source, m.Truth, strings.Join(said, ", "), m.Failing, strings.Join(m.Evidence, " "))
}

// Judge counts one answer against the truth. Where a source has several
// addresses of different classes, its messages are shared out equally.
func Judge(t *Truth, a Answer) *Judgement {
	j := &Judgement{Messages: map[[2]string]uint64{}, Sources: map[[2]string]int{}, Worlds: 1}
	said := map[string]*Said{}
	for i := range a.Sources {
		for _, ip := range a.Sources[i].Addresses {
			said[ip] = &a.Sources[i]
		}
	}
	world := t.Domain
	if t.Seed != 0 {
		world = fmt.Sprintf("%d (%s)", t.Seed, t.Domain)
	}
	names := make([]string, 0, len(t.Sources))
	for name := range t.Sources {
		names = append(names, name)
	}
	slices.Sort(names)
	var open uint64 // failing messages that nobody can tell the class of, and of which that was said
	for _, name := range names {
		s := t.Sources[name]
		classes, seen := map[string]int{}, 0
		stated := map[*Said]int{}
		for _, ip := range s.IPs {
			if c := said[ip]; c != nil {
				classes[c.Class]++
				stated[c]++
				seen++
			}
		}
		right := func(c string) bool { return c == s.Class || slices.Contains(s.Also, c) }
		j.count(s, classes, seen, right)
		if seen == 0 {
			if s.Class == Broken && s.Failing30 > 0 {
				j.Missed = append(j.Missed, Miss{World: world, Source: name, Shape: s.Shape, Truth: s.Class, Failing: s.Failing30, Said: classes})
			}
			continue
		}
		if s.Failing30 > 0 {
			for c, n := range stated {
				if c.Probability > 0 && c.Class != Unknown && n*10 >= seen {
					j.Sure = append(j.Sure, Stated{c.Class, s.Class, c.Probability, right(c.Class), s.Failing30 * uint64(n) / uint64(seen)})
				}
			}
		}
		if slices.Contains(s.Also, Unknown) && classes[Unknown] > 0 {
			open += s.Failing30
		}
		wrong := 0
		for c, n := range classes {
			if !right(c) {
				wrong += n
			}
		}
		if wrong > 0 {
			m := Miss{World: world, Source: name, Shape: s.Shape, Truth: s.Class, Said: classes, Failing: s.Failing30}
			most := 0
			for c, n := range stated {
				if !right(c.Class) && (n > most || n == most && len(c.Evidence) > len(m.Evidence)) {
					m.Evidence, most = c.Evidence, n
				}
			}
			j.Missed = append(j.Missed, m)
		}
	}
	slices.SortFunc(j.Sure, func(x, y Stated) int { return strings.Compare(x.key(), y.key()) })
	j.verdict(world, t, a, open)
	j.fixes(world, t, a)
	return j
}

func (s Stated) key() string {
	return fmt.Sprintf("%s %s %.9f %d", s.Truth, s.Said, s.Probability, s.Failing)
}

// count adds a source to the counts of messages and sources.
func (j *Judgement) count(s *Source, classes map[string]int, seen int, right func(string) bool) {
	if s.Failing30 == 0 {
		return
	}
	share := func(n int) uint64 {
		if seen == 0 {
			return 0
		}
		return s.Failing30 * uint64(n) / uint64(seen)
	}
	most, good := Unknown, 0
	for _, c := range Classes {
		n := classes[c]
		if n == 0 {
			continue
		}
		to := c
		if right(c) {
			good += n
			to = s.Class // what nobody can tell is not held against the answer
		}
		j.Messages[[2]string{s.Class, to}] += share(n)
		if classes[most] < n || classes[most] == 0 {
			most = c
		}
	}
	if right(most) {
		most = s.Class
	}
	j.Sources[[2]string{s.Class, most}]++
	switch s.Class {
	case Broken:
		j.Broken++
		if good*2 > seen {
			j.Found++
		}
		if classes[Spoof] > 0 && !right(Spoof) {
			j.Lost++
		}
	case Spoof:
		j.Spoofed += s.Failing30
		ours := 0
		for _, c := range []string{Broken, Aligned} {
			if !right(c) {
				ours += classes[c]
			}
		}
		j.SpoofOurs += share(ours)
	case Forwarder:
		j.Indirect += s.Failing30
		j.IndirectOK += share(good)
	}
}

// verdict judges the answer as a whole. To wait is right, too, while a source
// is open that nobody can tell the class of without asking.
func (j *Judgement) verdict(world string, t *Truth, a Answer, open uint64) {
	ready := a.Verdict == "ready"
	early := a.Verdict == "insufficient-data" && t.Legitimate == 0 // of a domain that sends nothing, nobody may have reported for long
	if ready == t.Ready || early || t.Ready && open > 0 && !within1000(open, t.Legitimate) {
		j.Verdicts = 1
	} else {
		j.Missed = append(j.Missed, Miss{World: world, Text: fmt.Sprintf("verdict %s, at risk %d of %d, %v due; said %d of %d", a.Verdict, t.AtRisk, t.Legitimate, t.Due, a.AtRisk, a.Legitimate)})
	}
	if ready && !t.Ready && (t.AtRisk > 0 || len(t.Due) > 0) {
		j.FalseReady = 1
	}
	if t.Legitimate > 0 {
		j.Measured = 1
		if d := max(a.AtRisk, t.AtRisk) - min(a.AtRisk, t.AtRisk); d*10 > max(a.AtRisk, t.AtRisk) {
			j.MessagesOff = 1
		}
	}
}

// fixes judges the list of what to fix: whether the messages at risk that are
// left would be few enough, and whether fewer fixes would have done.
func (j *Judgement) fixes(world string, t *Truth, a Answer) {
	if t.AtRisk == 0 || t.Ready || a.Verdict == "ready" {
		return
	}
	fixed, seen := map[string]bool{}, map[string]bool{}
	for i := range a.Sources {
		for _, ip := range a.Sources[i].Addresses {
			seen[ip] = true
			fixed[ip] = fixed[ip] || slices.Contains(a.Fixes, i)
		}
	}
	var all []uint64
	left := t.AtRisk
	for _, s := range t.Sources {
		if s.Class != Broken || s.Failing30 == 0 {
			continue
		}
		all = append(all, s.Failing30)
		n, of := 0, 0
		for _, ip := range s.IPs {
			if seen[ip] {
				of++
			}
			if fixed[ip] {
				n++
			}
		}
		if n*2 > of {
			left -= s.Failing30
		}
	}
	j.Lists++
	enough := func(left uint64) bool { return left == 0 || within1000(left, t.Legitimate) }
	if enough(left) {
		j.Enough++
	}
	slices.Sort(all)
	least, rest := 0, t.AtRisk
	for i := len(all) - 1; i >= 0 && !enough(rest); i-- {
		rest -= all[i]
		least++
	}
	if enough(left) && len(a.Fixes) <= least {
		j.Least++
		return
	}
	var list []string
	for _, i := range a.Fixes {
		list = append(list, fmt.Sprintf("%s (%s, %d)", a.Sources[i].Name, a.Sources[i].Class, a.Sources[i].Failing))
	}
	j.Missed = append(j.Missed, Miss{World: world, Text: fmt.Sprintf("fixes %s leave %d of %d at risk; %d would do", strings.Join(list, ", "), left, t.Legitimate, least)})
}

// Add sums another judgement to j.
func (j *Judgement) Add(o *Judgement) {
	if j.Messages == nil {
		j.Messages, j.Sources = map[[2]string]uint64{}, map[[2]string]int{}
	}
	for k, v := range o.Messages {
		j.Messages[k] += v
	}
	for k, v := range o.Sources {
		j.Sources[k] += v
	}
	j.Broken += o.Broken
	j.Found += o.Found
	j.Lost += o.Lost
	j.Spoofed += o.Spoofed
	j.SpoofOurs += o.SpoofOurs
	j.Indirect += o.Indirect
	j.IndirectOK += o.IndirectOK
	j.Worlds += o.Worlds
	j.Verdicts += o.Verdicts
	j.FalseReady += o.FalseReady
	j.Lists += o.Lists
	j.Enough += o.Enough
	j.Least += o.Least
	j.MessagesOff += o.MessagesOff
	j.Measured += o.Measured
	j.Sure = append(j.Sure, o.Sure...)
	j.Missed = append(j.Missed, o.Missed...)
}

// String prints the counts in at most 80 columns.
func (j *Judgement) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "failing messages: truth down, answer across\n%-10s", "")
	for _, c := range Classes {
		fmt.Fprintf(&b, "%11s", c)
	}
	for _, r := range Classes {
		if r == Unknown {
			continue
		}
		fmt.Fprintf(&b, "\n%-10s", r)
		for _, c := range Classes {
			fmt.Fprintf(&b, "%11d", j.Messages[[2]string{r, c}])
		}
	}
	b.WriteString("\nsources with failing messages\n")
	for i, r := range Classes {
		if r == Unknown {
			continue
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%-10s", r)
		for _, c := range Classes {
			fmt.Fprintf(&b, "%11d", j.Sources[[2]string{r, c}])
		}
	}
	return b.String()
}
