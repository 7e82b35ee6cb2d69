package survey

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/check"
	"sekimori/internal/store"
	"sekimori/message"
)

// MailStore is what Mailing asks of the store.
type MailStore interface {
	MatchEntry(ctx context.Context, wave int64, domains []string) (map[string]int64, error)
	SurveyRows(ctx context.Context, wave int64, f store.SurveyFilter, p store.Page) ([]store.SurveyRow, int64, error)
	PutMail(ctx context.Context, wave int64, m []store.MailResult) (fresh int64, err error)
}

// Mailing looks at messages that organisations sent: what each is worth as
// evaluated now, as of the time when it arrived, and what the receiving server
// recorded of it then. The results go into the store under a wave, matched to
// the list by the author's address.
//
// A message is the same wherever it is found: read again from the same or from
// another mailbox, it replaces its own result. So a run that was interrupted
// is repeated, and nothing counts twice. Memory is constant in the number of
// messages. A Mailing is for one Run; its fields must not change meanwhile.
type Mailing struct {
	Store   MailStore
	Checker *check.Checker
	// IDs are the names under which the receiving servers write
	// Authentication-Results, and Trust networks whose hops are passed over; see
	// check.Record and check.Derive.
	IDs   []string
	Trust []netip.Prefix
	// Rejected is told of each message that cannot be read; nil is nobody.
	Rejected func(path string, offset int64, err error)
	// Progress is told how far the run has come, a few times a second; nil is
	// nobody.
	Progress func(MailCount)

	Workers int    // 0 means what suits the machine
	TempDir string // "" means the system's
}

// MailCount says what became of the messages of a run.
type MailCount struct {
	Read     int64 `json:"read"`     // messages found, Rejected included
	Fresh    int64 `json:"new"`      // that the wave did not have
	Again    int64 `json:"again"`    // that it had
	Rejected int64 `json:"rejected"` // that could not be read
	// Matched belong to an organisation of the list.
	Matched int64 `json:"matched"`
	// Recorded have results of the receiving server, and Changed of them at
	// least one that is another now.
	Recorded int64 `json:"recorded"`
	Changed  int64 `json:"changed"`
	// Undecided got no answer of the DNS for something; run again later.
	Undecided int64 `json:"undecided"`
}

// Limits of what is kept of a message.
const (
	maxSubject = 200      // octets
	maxMailDoc = 64 << 10 // octets of JSON; a longer answer is kept without its explanations
	mailBatch  = 500      // results that go into the store together
	mailDelay  = 2 * time.Second
)

// Run evaluates every message of the places and puts the results into the
// wave. What was put in before it ends, by an error or by ctx, stays.
func (m *Mailing) Run(ctx context.Context, wave int64, places []check.Place) (MailCount, error) {
	r := mailRun{Mailing: m, ctx: ctx, wave: wave, siblings: map[domain.Name]int64{}}
	batch := check.Batch{Checker: m.Checker, Trust: m.Trust, AtReceived: true, Keep: true, Workers: m.Workers, TempDir: m.TempDir,
		Render: func(c *check.Checked) []byte { return m.render(c) }}
	err := batch.Run(ctx, places, r.take)
	if ferr := r.flush(context.WithoutCancel(ctx)); err == nil {
		err = ferr
	}
	return r.count, err
}

// mailRun is one run.
type mailRun struct {
	*Mailing
	ctx   context.Context
	wave  int64
	count MailCount

	held     []pendingMail
	since    time.Time // of the first of held
	shown    time.Time
	siblings map[domain.Name]int64 // entries by organizational domain, see sibling
}

// pendingMail is a result that waits for its entry.
type pendingMail struct {
	result  store.MailResult
	authors []domain.Name
}

// take notes one outcome.
func (r *mailRun) take(c check.Checked) error {
	r.count.Read++
	if c.Err != nil {
		r.count.Rejected++
		if r.Rejected != nil {
			r.Rejected(c.Path, c.Offset, c.Err)
		}
	} else {
		if len(r.held) == 0 {
			r.since = time.Now()
		}
		r.held = append(r.held, r.mail(&c))
	}
	if len(r.held) >= mailBatch || len(r.held) > 0 && time.Since(r.since) > mailDelay {
		if err := r.flush(r.ctx); err != nil {
			return err
		}
	}
	if r.Progress != nil && time.Since(r.shown) > 200*time.Millisecond {
		r.shown = time.Now()
		r.Progress(r.count)
	}
	return nil
}

// mail makes the result of a message.
func (r *mailRun) mail(c *check.Checked) pendingMail {
	v := &c.Verdict
	rec := check.Record(c.Header, v.From(), r.IDs, r.Trust)
	p := pendingMail{authors: authors(c.Header, v)}
	p.result = store.MailResult{
		Key: mailKey(c), Path: clip(c.Path, 1000), Subject: line(message.DecodeWords(c.Header.Get("Subject")), maxSubject), Arrived: v.Input.Time,
		SMIME: smimeWord(v),
		Now:   store.MailStates{SPF: v.SPFWord(), DKIM: v.DKIMWord(), DMARC: v.DMARCWord()},
		Then:  store.MailStates{SPF: rec.SPF, DKIM: rec.DKIM, DMARC: rec.DMARC},
		Doc:   c.Rendered,
	}
	if len(p.authors) > 0 {
		p.result.From = p.authors[0].String()
	}
	p.result.Selectors = selectors(v, &rec)
	if !rec.IsZero() {
		r.count.Recorded++
		if MailChanged(&p.result) {
			r.count.Changed++
		}
	}
	if MailUndecided(&p.result) {
		r.count.Undecided++
	}
	return p
}

// MailChanged reports whether a message is worth something else now than what
// the receiving server recorded, in the methods that it recorded. Where the DNS
// gives no answer now, that is not known.
func MailChanged(m *store.MailResult) bool {
	differs := func(then, now string) bool {
		return then != "" && now != "unknown" && now != "temperror" && then != now
	}
	return differs(m.Then.SPF, m.Now.SPF) || differs(m.Then.DKIM, m.Now.DKIM) || differs(m.Then.DMARC, m.Now.DMARC)
}

// MailUndecided reports whether the DNS gave no answer for a message.
func MailUndecided(m *store.MailResult) bool {
	return m.Now.SPF == "temperror" || m.Now.DKIM == "temperror" || m.Now.DMARC == "temperror"
}

// selectors are the keys of the signatures that pass now or passed then.
func selectors(v *check.Verdict, rec *check.Recorded) []store.Selector {
	var out []store.Selector
	seen := map[store.Selector]bool{}
	add := func(d domain.Name, selector string) {
		name, err := domain.Parse(selector) // as in the DNS, and no longer than a name
		if s := (store.Selector{Domain: d.String(), Name: name.String()}); err == nil && !d.IsZero() && !seen[s] && len(out) < 20 {
			seen[s] = true
			out = append(out, s)
		}
	}
	for i := range v.DKIM {
		if s := &v.DKIM[i]; s.Status == "pass" {
			add(s.Domain, s.Selector)
		}
	}
	for _, k := range rec.Passed {
		if k.Selector != "" {
			add(k.Domain, k.Selector)
			continue
		}
		// Where the domain signed once, its signature tells which key it was.
		selector, n := "", 0
		for i := range v.DKIM {
			if v.DKIM[i].Domain == k.Domain {
				selector = v.DKIM[i].Selector
				n++
			}
		}
		if n == 1 {
			add(k.Domain, selector)
		}
	}
	return out
}

// flush puts what is held into the store.
func (r *mailRun) flush(ctx context.Context) error {
	if len(r.held) == 0 {
		return nil
	}
	if err := r.match(ctx); err != nil {
		return fmt.Errorf("match messages to the list: %w", err)
	}
	results := make([]store.MailResult, len(r.held))
	for i := range r.held {
		results[i] = r.held[i].result
	}
	fresh, err := r.Store.PutMail(ctx, r.wave, results)
	if err != nil {
		return fmt.Errorf("keep the results of messages: %w", err)
	}
	r.count.Fresh += fresh
	r.count.Again += int64(len(results)) - fresh
	for i := range results {
		if results[i].Entry != 0 {
			r.count.Matched++
		}
	}
	r.held = r.held[:0]
	return nil
}

// stateFields are fields that mailboxes and mail readers add and change; a
// message is the same without them.
var stateFields = [...]string{"Status", "X-Status", "X-UID", "X-UIDL", "X-Keywords", "X-IMAP", "X-IMAPbase", "Content-Length", "Lines",
	"X-Mozilla-Status", "X-Mozilla-Status2", "X-Mozilla-Keys", "X-Account-Key", "X-GM-THRID", "X-Gmail-Labels", "X-Evolution", "X-Evolution-Source"}

// mailKey tells messages apart: by their header without what mailboxes add,
// and their body, both relaxed, so that line ends do not matter.
func mailKey(c *check.Checked) (key [16]byte) {
	h := sha256.New()
	var buf []byte
fields:
	for _, f := range c.Header {
		for _, n := range stateFields {
			if f.Is(n) {
				continue fields
			}
		}
		buf = message.Relaxed.AppendField(buf[:0], f)
		h.Write(buf)
	}
	h.Write(c.Body[:])
	copy(key[:], h.Sum(buf[:0]))
	return key
}

// mailDoc is the whole answer about a message, as it is kept.
type mailDoc struct {
	Path    string         `json:"path"`
	From    string         `json:"from"` // the address
	Subject string         `json:"subject"`
	Now     *check.Verdict `json:"now"`
	Then    recordedDoc    `json:"then"`
}

type recordedDoc struct {
	Host  string         `json:"host"`
	SPF   string         `json:"spf"`
	DKIM  string         `json:"dkim"`
	DMARC string         `json:"dmarc"`
	Steps []explain.Step `json:"steps"`
}

// render makes the whole answer.
func (m *Mailing) render(c *check.Checked) []byte {
	if c.Err != nil {
		return nil
	}
	rec := check.Record(c.Header, c.Verdict.From(), m.IDs, m.Trust)
	d := mailDoc{Path: clip(c.Path, 1000), From: line(firstAddress(c.Header), 320), Subject: line(message.DecodeWords(c.Header.Get("Subject")), maxSubject),
		Now: &c.Verdict, Then: recordedDoc{rec.Host, rec.SPF, rec.DKIM, rec.DMARC, rec.Steps}}
	b, err := json.Marshal(d)
	if err != nil || len(b) > maxMailDoc {
		d.Now, d.Then.Steps = nil, nil
		b, _ = json.Marshal(d)
	}
	return b
}

func firstAddress(h message.Header) string {
	if a, err := message.ParseAddresses(h.Get("From")); err == nil && len(a) > 0 {
		return a[0].String()
	}
	return ""
}

// line makes one line of a text from outside, of at most n octets, without
// control characters.
func line(s string, n int) string {
	return clip(strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\ufffd"), func(r rune) bool {
		return r <= ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029'
	}), " "), n)
}
