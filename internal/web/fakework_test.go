package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/inventory"
	"sekimori/internal/locale"
	"sekimori/internal/publish"
	"sekimori/internal/repair"
	"sekimori/internal/store"
	"sekimori/internal/watch"
	"sekimori/internal/web/api"
)

// bench is a made-up store of the work, kept in memory, and everything else
// that the pages of the work ask. Its texts are as hostile as any.
type bench struct {
	mu          sync.Mutex
	err         error
	departments []store.Department
	assigned    []store.Assignment
	shares      []store.Share
	cases       []store.Case
	events      map[int64][]store.CaseEvent
	sayings     []store.Saying
	sent        []string // letters that were taken
	loaded      []string // files of names
	asked       int
	touched     int
	now         time.Time
}

func newBench(cases int) *bench {
	b := &bench{events: map[int64][]store.CaseEvent{}, now: newest.Time().Add(9 * time.Hour)}
	for i, name := range []string{"観光課", "市民課", "教育委員会 " + hostile} {
		b.departments = append(b.departments, store.Department{ID: int64(i + 1), Name: name, Contact: fmt.Sprintf("ka%d@kakuu.example", i+1), Created: b.now})
	}
	b.assigned = []store.Assignment{
		{Department: 1, Domain: "kakuu.example", Key: "org:anketo-cloud.example", By: "田中", At: b.now},
		{Department: 2, Domain: "kakuu.example", Subdomain: "bosai.kakuu.example", By: hostile, At: b.now},
		{Department: 2, Domain: "kakuu-kenkyu.example", By: "田中", At: b.now},
	}
	for i := range cases {
		c := store.Case{ID: int64(i + 1), Domain: "kakuu.example", Key: fmt.Sprintf("org:vendor%03d.example", i), Source: fmt.Sprintf("spoof-%d", i%70), Name: fmt.Sprintf("vendor%03d.example", i),
			State: repair.States[i%len(repair.States)], Owner: []string{"", "佐藤", "sato@vendor.example", hostile}[i%4], Department: int64(i % 4), Opened: b.now.AddDate(0, 0, -40), Changed: b.now.AddDate(0, 0, -i%30),
			Failing: uint64(9000 / (i + 1)), Messages: uint64(12000 / (i + 1)), Proof: uint64(i % 30), Receivers: i % 5, LastDay: newest - 1, Reopened: i % 3 / 2}
		if i%3 != 0 {
			c.Due = newest + store.Day(i%20) - 6
		}
		if c.State == store.CaseWaiting || c.State == store.CaseDone {
			c.Fixed = newest - 10
		}
		switch i {
		case 0:
			c.Key, c.Source, c.Name, c.Department = "org:anketo-cloud.example", "broken-1", "anketo-cloud.example", 1
		case 1:
			c.Name, c.Key = hostile, "org:"+hostile
		case 2:
			c.Name = "unnamed-networks"
		}
		b.cases = append(b.cases, c)
		b.events[c.ID] = []store.CaseEvent{
			{ID: 1, Case: c.ID, At: c.Opened, Kind: "opened", To: "found", Text: `{"code":"repair.event-opened","args":{"failing":9,"messages":10,"days":30}}`},
			{ID: 2, Case: c.ID, At: c.Opened, By: "鈴木", Kind: "note", Text: "市民課との話: 内緒"},
			{ID: 3, Case: c.ID, At: c.Opened, By: "鈴木", Kind: "department", From: "市民課", To: "観光課"},
			{ID: 4, Case: c.ID, At: c.Changed, By: hostile, Kind: "note", Text: "一行目\n" + hostile},
			{ID: 5, Case: c.ID, At: c.Changed, By: "田中", Kind: "state", From: "found", To: "contacted"},
			{ID: 6, Case: c.ID, At: c.Changed, Kind: "reminder", From: "overdue", To: "ka1@kakuu.example"},
		}
	}
	b.sayings = []store.Saying{
		{ID: 3, Domain: "kakuu.example", Key: "org:fwd1.u-kasumi.example", Class: "forwarder", Name: "卒業生の転送 " + hostile, Note: hostile, By: "田中", At: b.now},
		{ID: 1, Domain: "kakuu.example", Key: "org:fwd1.u-kasumi.example", Class: "unknown", By: "鈴木", At: b.now.AddDate(0, -1, 0)},
	}
	return b
}

func (b *bench) PutSaying(ctx context.Context, s store.Saying) (store.Saying, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.ID = int64(len(b.sayings) + 10)
	b.sayings = append([]store.Saying{s}, b.sayings...)
	return s, b.err
}

func (b *bench) Sayings(ctx context.Context, domain string) ([]store.Saying, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.sayings), func(s store.Saying) bool { return s.Domain != domain }), b.err
}

func (b *bench) PutDepartment(ctx context.Context, d store.Department) (store.Department, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d.ID == 0 {
		d.ID = int64(len(b.departments) + 1)
		b.departments = append(b.departments, d)
		return d, b.err
	}
	b.departments[d.ID-1] = d
	return d, b.err
}

func (b *bench) RemoveDepartment(ctx context.Context, id int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.departments = slices.DeleteFunc(b.departments, func(d store.Department) bool { return d.ID == id })
	b.shares = slices.DeleteFunc(b.shares, func(s store.Share) bool { return s.Department == id })
	return b.err
}

func (b *bench) Departments(ctx context.Context) ([]store.Department, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.departments), b.err
}

func (b *bench) Assign(ctx context.Context, a store.Assignment) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.assigned = slices.DeleteFunc(b.assigned, func(o store.Assignment) bool {
		return o.Domain == a.Domain && o.Subdomain == a.Subdomain && o.Key == a.Key
	})
	if a.Department != 0 {
		b.assigned = append(b.assigned, a)
	}
	return b.err
}

func (b *bench) Assignments(ctx context.Context, domain string) ([]store.Assignment, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.assigned), func(a store.Assignment) bool { return domain != "" && a.Domain != domain }), b.err
}

func (b *bench) PutShare(ctx context.Context, s store.Share) (store.Share, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.ID == 0 {
		s.ID = int64(len(b.shares) + 1)
		b.shares = append(b.shares, s)
		return s, b.err
	}
	b.shares[s.ID-1] = s
	return s, b.err
}

func (b *bench) Shares(ctx context.Context, department int64) ([]store.Share, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.shares), func(s store.Share) bool { return department != 0 && s.Department != department }), b.err
}

func (b *bench) ShareByHash(ctx context.Context, hash [32]byte) (store.Share, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.shares {
		if s.Hash == hash {
			return s, b.err
		}
	}
	return store.Share{}, cmp.Or(b.err, store.ErrNotFound)
}

func (b *bench) TouchShare(ctx context.Context, id int64, at time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.touched++
	b.shares[id-1].LastUsed = at
	return b.err
}

func (b *bench) Cases(ctx context.Context, f store.CaseFilter, p store.Page) ([]store.Case, int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []store.Case
	for _, c := range b.cases {
		closed := slices.Contains(closedStates[:], c.State)
		if f.Domain != "" && c.Domain != f.Domain || f.Department != 0 && c.Department != f.Department || f.Key != "" && c.Key != f.Key || f.Owner != "" && !strings.EqualFold(c.Owner, f.Owner) ||
			len(f.States) > 0 && !slices.Contains(f.States, c.State) || f.Due != 0 && (c.Due == 0 || c.Due >= f.Due || closed) || !strings.Contains(c.Name+c.Owner+c.Domain, p.Search) {
			continue
		}
		out = append(out, c)
	}
	from := min(p.Offset, len(out))
	return out[from:min(from+p.Limit, len(out))], int64(len(out)), b.err
}

func (b *bench) Case(ctx context.Context, id int64) (store.Case, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if id < 1 || id > int64(len(b.cases)) {
		return store.Case{}, cmp.Or(b.err, store.ErrNotFound)
	}
	return b.cases[id-1], b.err
}

func (b *bench) CaseEvents(ctx context.Context, id int64) ([]store.CaseEvent, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events[id]), b.err
}

func (b *bench) CaseOwners(ctx context.Context) ([]string, error) {
	return []string{"佐藤", hostile}, b.err
}

func (b *bench) Set(ctx context.Context, id int64, c repair.Change) (store.Case, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := &b.cases[id-1]
	if !c.Seen.IsZero() && !c.Seen.Equal(one.Changed) {
		return *one, repair.ErrChanged
	}
	if c.State != nil {
		if *c.State == store.CaseAccepted && (c.Note == nil || *c.Note == "") {
			return *one, repair.ErrNote
		}
		if !slices.Contains(repair.Next(one.State), *c.State) {
			return *one, repair.ErrState
		}
		one.State = *c.State
	}
	if c.Owner != nil {
		one.Owner = *c.Owner
	}
	if c.Department != nil {
		one.Department = *c.Department
	}
	if c.Due != nil {
		one.Due = *c.Due
	}
	one.Changed = one.Changed.Add(time.Second)
	if c.Note != nil && *c.Note != "" {
		b.events[id] = append(b.events[id], store.CaseEvent{Case: id, At: one.Changed, By: c.By, Kind: "note", Text: *c.Note})
	}
	return *one, b.err
}

func (b *bench) Letter(ctx context.Context, id int64) (repair.Letter, error) {
	c, err := b.Case(ctx, id)
	return repair.Letter{Case: c, Domain: c.Domain, Source: repair.LetterSource{Name: c.Name, ID: c.Source, Key: c.Key}, Failing: c.Failing, Messages: c.Messages, Date: newest, By: newest + 30}, err
}

func (b *bench) Sent(ctx context.Context, id int64, how, by string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, fmt.Sprint(id, " ", how, " ", by))
	return b.err
}

func (b *bench) Reassign(ctx context.Context, domain string) error { return b.err }

func (b *bench) Timeline(ctx context.Context, name domain.Name, since time.Time) ([]watch.Entry, error) {
	var out []watch.Entry
	for i := range 140 {
		k := timelineKinds[i%len(timelineKinds)].kind
		e := watch.Entry{Domain: name.String(), At: b.now.AddDate(0, 0, -3*i), Kind: k, Step: explain.Step{Code: "webwork.kind-of." + k}}
		switch k {
		case "dns":
			e.Name, e.Before, e.After = "_dmarc."+name.String(), "v=DMARC1; p=none", hostile+"\nv=DMARC1; p=quarantine; rua=mailto:"+strings.Repeat("long.", 60)+"example"
		case "wave":
			e.Until = e.At.AddDate(0, 0, 9)
		case "fixed", "reopened", "found":
			e.Case, e.Source, e.By = 1, "broken-1", hostile
		}
		out = append(out, e)
	}
	if name.String() == "new.example" {
		out = nil
	}
	return out, b.err
}

func (b *bench) Take(ctx context.Context, name domain.Name, q inventory.Query) (*inventory.Inventory, error) {
	inv := &inventory.Inventory{Domain: name.String(), At: b.now, Days: 400, Until: newest, Counts: map[inventory.State]int64{"sends": 12, "receives": 5, "silent": 90, "absent": 11, "unknown": 3},
		Total: 121, Matching: 121, Advised: 101, Records: 250, Unasked: 3, Forged: 70, ForgedMessages: 912, Notes: []explain.Step{},
		None: &inventory.NoneClock{Since: newest - 402, Days: 402, Overdue: true, From: "reports"}}
	if q.Search == "nothing" {
		inv.Matching = 0
		return inv, b.err
	}
	for i := range min(q.Limit, 50) {
		n := inventory.Name{Name: fmt.Sprintf("host%03d.%s", q.Offset+i, name), Origins: []string{"certificates", "reports", "zone", "list"}[:1+i%4], State: inventory.States[i%5], Messages: uint64(i), Policy: "none", PolicyOf: name.String(), PolicyTag: "sp"}
		if n.State == inventory.Silent {
			n.Advice = []inventory.Record{{Name: n.Name, Type: "TXT", Value: "v=spf1 -all", Why: explain.Step{Code: "webwork.names.silent"}},
				{Name: "_dmarc." + n.Name, Type: "TXT", Value: "v=DMARC1; p=reject", Why: explain.Step{Code: "webwork.names.silent"}}, {Name: n.Name, Type: "MX", Value: "0 .", Why: explain.Step{Code: "webwork.names.silent"}}}
		}
		if i == 7 {
			n.Name = hostile + "." + name.String()
		}
		inv.Names = append(inv.Names, n)
	}
	return inv, b.err
}

func (b *bench) Load(ctx context.Context, name domain.Name, file string, r io.Reader) (inventory.Summary, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return inventory.Summary{}, err
	}
	b.loaded = append(b.loaded, file)
	if strings.Contains(string(text), "bad") {
		return inventory.Summary{}, &inventory.ReadError{File: file, Line: 3, Err: errors.New(hostile)}
	}
	return inventory.Summary{File: file, Form: inventory.FormText, Names: 12, Added: 3, Outside: 2, OutsideSample: []string{hostile}, Invalid: 1}, b.err
}

func (b *bench) Ask(name domain.Name) { b.asked++ }

func (b *bench) Months(ctx context.Context, domain string) ([]string, error) {
	return []string{"2026-09", "2026-08", "2026-07"}, b.err
}

func (b *bench) Usual(ctx context.Context, domain string) (string, error) { return "2026-08", b.err }

func (b *bench) Figures(ctx context.Context, m api.Month) (any, error) {
	return map[string]any{"domain": m.Domain, "month": m.Month, "department": m.Department}, b.err
}

func (b *bench) Write(ctx context.Context, w io.Writer, m api.Month, lang locale.Lang, format publish.Format) error {
	if b.err != nil {
		return b.err
	}
	if format == publish.PDF {
		_, err := io.WriteString(w, "%PDF-1.4")
		return err
	}
	_, err := fmt.Fprintf(w, `<article class="monthly"><h2>%s %s %d</h2></article>`, m.Domain, m.Month, m.Department)
	return err
}

// work is everything a dashboard with the work of fixing shows.
func (b *bench) work() *api.Work {
	return &api.Work{Store: b, Repair: b, Letter: publish.Letter, Timeline: b, Inventory: b, Monthly: b, Now: func() time.Time { return b.now }}
}

// departmentOf tells whose the made-up sources are.
func departmentOfSource(id string) string {
	switch id {
	case "broken-1":
		return "観光課"
	case "fwd-1", "unnamed":
		return "市民課"
	}
	return ""
}

// ladderOfWorld is a way to the next step with everything on it.
func ladderOfWorld(name string) advise.Ladder {
	fix := func(id, title string, n uint64, bound float64) advise.Fix {
		return advise.Fix{Source: id, Key: "org:" + title, Name: title, AtRisk: n, Upper95: bound, What: explain.Step{Code: "web.class.do.broken"}}
	}
	return advise.Ladder{Now: "none", Next: "quarantine", Fixes: []advise.Fix{fix("broken-1", "anketo-cloud.example", 9120, 0.004), fix("hostile", hostile, 400, 0.0007)}, Waiting: []advise.Fix{fix("gone", "nenji-soufu.example", 0, 0)},
		Coverage: advise.Coverage{Reporters: 7, Sent: 260000, Seen: 181234, Share: 0.697, Largest: 0.51},
		Scopes: []advise.ScopeCost{{Scope: "np", Stopped: 812, Verdict: advise.Ready, Record: "np=reject"}, {Scope: "sp", Exists: true, Legitimate: 9000, AtRisk: 12, Stopped: 30, Upper95: 0.002, Verdict: advise.NotReady, Record: "sp=quarantine"},
			{Scope: "xn--fiqs8s." + name, Exists: true, Legitimate: 30, Verdict: advise.InsufficientData, Record: "v=DMARC1; p=quarantine; rua=mailto:dmarc-reports@" + name}},
		Rehearse: "v=DMARC1; p=quarantine; t=y; rua=mailto:dmarc-reports@" + name, LookAt: newest + 14,
		StepBack: advise.StepBack{Share: 0.01, Messages: 20, Days: 14, Record: "v=DMARC1; p=none; rua=mailto:dmarc-reports@" + name, Tripped: strings.Contains(name, "kenkyu"), Day: newest - 1, Failing: 431},
		Reasons:  []explain.Step{{Code: "webwork.coverage.lead"}}}
}
