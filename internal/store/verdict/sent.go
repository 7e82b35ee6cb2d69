package verdict

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Signature names DKIM signatures by their d= and s=, in lower case.
type Signature struct {
	Domain   string `json:"domain"`
	Selector string `json:"selector"`
}

// Sent is own mail of one UTC day, from one Author Domain, that bore the same
// signatures of ours when it left.
type Sent struct {
	Day    string      `json:"-"`
	From   string      `json:"from"` // an A-label in lower case
	By     []Signature `json:"by"`
	Copies uint64      `json:"copies"` // one for each recipient
}

// key tells apart what is counted apart within a day.
func (s *Sent) key() string {
	var b strings.Builder
	b.WriteString(s.From)
	for _, g := range s.By {
		b.WriteString(" " + g.Domain + "/" + g.Selector)
	}
	return b.String()
}

const (
	sentName = "sent.json"
	// sentEvery is how much counting a crash may lose.
	sentEvery = time.Minute
	// sentMost is how many Author Domains are counted apart in a day: people who
	// sign in may write any name below a domain of ours.
	sentMost = 1000
)

// sentFile is the file.
type sentFile struct {
	// Since is the first day that was counted from its beginning.
	Since string            `json:"since"`
	Days  map[string][]Sent `json:"days"`
}

// tally counts own mail. It is safe for concurrent use.
type tally struct {
	dir    string
	saving sync.Mutex // one write at a time

	mu     sync.Mutex
	since  string
	days   map[string]map[string]*Sent
	dirty  bool
	timer  *time.Timer // runs while there is something to write
	closed bool
}

// openTally goes on from what the folder has. A file that cannot be read is set
// aside under the name that is returned.
func openTally(dir string) (t *tally, damaged string, err error) {
	t = &tally{dir: dir, days: map[string]map[string]*Sent{}}
	f, err := readSent(dir)
	var bad *json.SyntaxError
	var odd *json.UnmarshalTypeError
	switch {
	case errors.As(err, &bad) || errors.As(err, &odd):
		damaged = filepath.Join(dir, sentName+".damaged")
		err = os.Rename(filepath.Join(dir, sentName), damaged)
		return t, damaged, err
	case err != nil:
		return nil, "", err
	}
	t.since = f.Since
	for day, list := range f.Days {
		t.days[day] = make(map[string]*Sent, len(list))
		for _, s := range list {
			t.days[day][s.key()] = &s
		}
	}
	return t, "", nil
}

// readSent reads the file; one that is not there is empty.
func readSent(dir string) (sentFile, error) {
	var f sentFile
	b, err := os.ReadFile(filepath.Join(dir, sentName))
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		return sentFile{}, fmt.Errorf("count of own mail: %s: %w", sentName, err)
	}
	return f, nil
}

// CountSent counts own mail that left signed, by the day of a moment; s.Day is
// not looked at. It is quick, and keeps nothing of the message. What was counted
// in the last minute is lost in a crash.
func (l *Log) CountSent(at time.Time, s Sent) { l.sent.add(at, s) }

func (t *tally) add(at time.Time, s Sent) {
	day := dayOf(at)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since == "" {
		t.since, _ = nextDay(day) // of this one a part is over
	}
	of := t.days[day]
	if of == nil {
		of = map[string]*Sent{}
		t.days[day] = of
	}
	key := s.key()
	if of[key] == nil && len(of) >= sentMost && len(s.By) > 0 {
		s.From = s.By[0].Domain
		key = s.key()
	}
	if c := of[key]; c != nil {
		c.Copies += s.Copies
	} else {
		s.By = slices.Clone(s.By)
		of[key] = &s
	}
	t.dirty = true
	t.schedule()
}

// schedule has the count written within a minute, with mu held.
func (t *tally) schedule() {
	if t.timer == nil && !t.closed {
		t.timer = time.AfterFunc(sentEvery, func() {
			t.mu.Lock()
			t.timer = nil
			t.mu.Unlock()
			if t.save() != nil {
				t.mu.Lock()
				t.schedule() // a full disk shows elsewhere
				t.mu.Unlock()
			}
		})
	}
}

// save writes what was counted, if anything was since the last time.
func (t *tally) save() error {
	t.saving.Lock()
	defer t.saving.Unlock()
	t.mu.Lock()
	if !t.dirty {
		t.mu.Unlock()
		return nil
	}
	f := sentFile{Since: t.since, Days: map[string][]Sent{}}
	for day, of := range t.days {
		for _, key := range slices.Sorted(maps.Keys(of)) {
			f.Days[day] = append(f.Days[day], *of[key])
		}
	}
	t.dirty = false
	t.mu.Unlock()
	if err := replace(t.dir, sentName, f, true); err != nil {
		t.mu.Lock()
		t.dirty = true
		t.mu.Unlock()
		return fmt.Errorf("count of own mail: %w", err)
	}
	return nil
}

// expire forgets the days before the oldest that is kept.
func (t *tally) expire(oldest string) error {
	t.mu.Lock()
	for day := range t.days {
		if day < oldest {
			delete(t.days, day)
			t.dirty = true
		}
	}
	if t.since != "" {
		t.since = max(t.since, oldest)
	}
	t.mu.Unlock()
	return t.save()
}

// close writes what was counted; nothing is written afterwards.
func (t *tally) close() error {
	t.mu.Lock()
	t.closed = true
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	t.mu.Unlock()
	return t.save()
}

// Sent returns the own mail that left signed on the days from begin up to end,
// end left out, by days and authors, and the first day that was counted as a
// whole: "" where nothing was ever counted. What a gateway that runs counted in
// the last minute is missing.
func (r *Reader) Sent(begin, end string) (list []Sent, since string, err error) {
	f, err := readSent(r.dir)
	if err != nil {
		return nil, "", err
	}
	for day, of := range f.Days {
		if day < begin || day >= end {
			continue
		}
		for _, s := range of {
			s.Day = day
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b Sent) int {
		return cmp.Or(strings.Compare(a.Day, b.Day), strings.Compare(a.key(), b.key()))
	})
	return list, f.Since, nil
}
