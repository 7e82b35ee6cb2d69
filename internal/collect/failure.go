package collect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"sekimori/authres"
	"sekimori/domain"
	"sekimori/internal/store"
	"sekimori/message"
	"sekimori/report/failure"
)

// Sightings keeps failure reports: what receivers tell about single messages.
type Sightings interface {
	PutSightings(ctx context.Context, in []store.Sighting) ([]store.SightingOutcome, error)
}

// failureHead is how much of a message is kept until it is known whether it is
// a failure report. The report's own part comes before the message that failed
// (RFC 6591 §3.1), so that what is cut off is the latter.
const failureHead = 512 << 10

// headKeeper keeps the beginning of what is read through it.
type headKeeper struct {
	r   io.Reader
	buf []byte
}

func (h *headKeeper) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.buf = append(h.buf, p[:min(n, failureHead-len(h.buf))]...)
	return n, err
}

// errNoFailureReport says that a message is none.
var errNoFailureReport = errors.New("no failure report")

// failureReport reads a message without an aggregate report as a failure report.
// The error says why there is nothing to learn from one.
func failureReport(head []byte, limits message.Limits) (failure.Report, error) {
	rep, err := failure.Parse(bytes.NewReader(head), failure.Limits{Message: limits})
	if err != nil {
		return rep, errNoFailureReport // also where it was cut before its own part
	}
	switch {
	case rep.FeedbackType != "" && rep.FeedbackType != "auth-failure":
		return rep, fmt.Errorf("a complaint about one message (RFC 5965, Feedback-Type %q), not a DMARC report", clip(rep.FeedbackType, 40))
	case !rep.SourceIP.IsValid():
		return rep, errors.New("a failure report on one message (RFC 9991) that does not say which host delivered it (Source-IP): nothing can be learnt from it")
	case failureAuthor(&rep) == "":
		return rep, errors.New("a failure report on one message (RFC 9991) that does not say which domain the message was in the name of")
	}
	return rep, nil
}

// failureAuthor is the domain of the author of the message that failed: that of
// its From where the header is there, else the one reported (RFC 9991 §4).
func failureAuthor(rep *failure.Report) string {
	if rep.Header != nil {
		if list, err := message.ParseAddrSpecs(rep.Header.Get("From")); err == nil && len(list) > 0 {
			if n := hostName(list[0].Domain); n != "" {
				return n
			}
		}
	}
	for _, d := range rep.ReportedDomains {
		if n := hostName(d); n != "" {
			return n
		}
	}
	return ""
}

// hostName is a domain name as it is kept; "" for what is none.
func hostName(s string) string {
	n, err := domain.Parse(strings.TrimSuffix(strings.TrimSpace(s), "."))
	if err != nil || !strings.Contains(n.String(), ".") {
		return ""
	}
	return n.String()
}

// maxIncidents bounds what one report may claim to be about.
const maxIncidents = 1_000_000

// sighting takes of a failure report what is evidence about a host. People stay
// out of it: neither local-parts nor subjects, recipients or texts are taken,
// not even as keyed hashes (RFC 6590), since nothing here needs them.
func sighting(rep *failure.Report, now time.Time) store.Sighting {
	g := store.Sighting{By: store.ByFailureReports, Author: failureAuthor(rep), Addr: rep.SourceIP, Messages: min(rep.Incidents, maxIncidents),
		Failure: string(rep.AuthFailure), Delivery: string(rep.Delivery), DKIMDomain: hostName(rep.DKIMDomain), Selector: rep.DKIMSelector}
	g.Arrived = plausible(now, rep.Arrived, rep.Mail.Date)
	g.Day = store.DayOf(now)
	if !g.Arrived.IsZero() {
		g.Day = store.DayOf(g.Arrived)
	}
	_, envelope := message.SplitAddress(rep.MailFrom)
	g.Envelope = hostName(envelope)
	g.Reporter = failureReporter(rep)
	told := ""
	for _, v := range rep.AuthenticationResults {
		if word := results(&g, v); told == "" {
			told = word
		}
	}
	// A domain may ask for reports on mail that passed, too (fo=1, RFC 9989 §4.8).
	if told != "pass" && !(rep.AlignmentTold && len(rep.Unaligned) < 2) {
		g.Failing = g.Messages
	}
	g.Hash = failureHash(rep, &g)
	return g
}

// plausible returns the first of times that can be right: neither to come nor
// years ago.
func plausible(now time.Time, times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() && t.Before(now.AddDate(0, 0, 2)) && t.After(now.AddDate(-10, 0, 0)) {
			return t.UTC().Truncate(time.Second)
		}
	}
	return time.Time{}
}

// failureReporter is the domain of who tells it: of the mail server that is
// named (RFC 6591 §3.2.3 "dns; mx.example.com"), else of the report's author.
func failureReporter(rep *failure.Report) string {
	mta := rep.ReportingMTA
	if _, name, ok := strings.Cut(mta, ";"); ok {
		mta = name
	}
	if n, err := domain.Parse(strings.TrimSpace(mta)); err == nil && strings.Contains(n.String(), ".") {
		return n.Organizational().String()
	}
	if list, err := message.ParseAddrSpecs(rep.Mail.From); err == nil && len(list) > 0 {
		if n, err := domain.Parse(list[0].Domain); err == nil {
			return n.Organizational().String()
		}
	}
	return ""
}

// results takes what one Authentication-Results value says of SPF and DKIM, as
// far as the report's own fields do not, and returns DMARC's word.
func results(g *store.Sighting, value string) (dmarc string) {
	value = strings.TrimSpace(value)
	if len(value) > 8<<10 {
		return ""
	}
	ar, err := authres.Parse(value)
	if err != nil {
		return ""
	}
	for _, r := range ar.Results {
		switch r.Method {
		case "dmarc":
			dmarc = r.Value
		case "spf":
			if g.SPF != "" {
				continue
			}
			g.SPF = r.Value
			if from, ok := r.Get("smtp", "mailfrom"); ok {
				if _, d := message.SplitAddress(from); d != "" {
					from = d
				}
				g.SPFDomain = hostName(from)
			} else if helo, ok := r.Get("smtp", "helo"); ok {
				g.SPFDomain = hostName(helo)
			}
		case "dkim":
			d, _ := r.Get("header", "d")
			if d == "" {
				i, _ := r.Get("header", "i")
				_, d = message.SplitAddress(i)
			}
			d = hostName(d)
			// The report is about the signature that it names, if it names one; of
			// several an aligned one counts.
			same := g.DKIMDomain == "" || g.DKIMDomain == d || !related(g.DKIMDomain, g.Author) && related(d, g.Author)
			if g.DKIM != "" && !(related(d, g.Author) && !related(g.DKIMDomain, g.Author)) || !same {
				continue
			}
			g.DKIM = r.Value
			if d != "" {
				if g.DKIMDomain != d {
					g.Selector = ""
				}
				g.DKIMDomain = d
			}
			if s, ok := r.Get("header", "s"); ok && g.Selector == "" {
				g.Selector = s
			}
		}
	}
	return dmarc
}

// related reports whether two names have one organisation.
func related(a, b string) bool {
	x, err := domain.Parse(a)
	if err != nil {
		return false
	}
	y, err := domain.Parse(b)
	return err == nil && x.Organizational() == y.Organizational()
}

// failureHash tells failure reports apart: one that comes again, or to a second
// address, is the same.
func failureHash(rep *failure.Report, g *store.Sighting) [32]byte {
	h := sha256.New()
	id := ""
	if rep.Header != nil {
		id = strings.TrimSpace(rep.Header.Get("Message-ID"))
	}
	if id == "" || rep.Arrived.IsZero() {
		id += "\n" + rep.Mail.ID
	}
	var n [8]byte
	for _, s := range []string{g.Author, g.Addr.String(), g.Reporter, g.Failure, g.DKIMDomain, g.Selector, id} {
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	for _, v := range []int64{g.Arrived.Unix(), int64(g.Messages)} {
		binary.BigEndian.PutUint64(n[:], uint64(v))
		h.Write(n[:])
	}
	return [32]byte(h.Sum(nil))
}

// failure is visitor's: it hands what a failure report tells to the store. What
// it counts is durable.
func (t *task) failure(ctx context.Context, member string, rep *failure.Report) error {
	if t.run.im.Sightings == nil {
		return errors.New("a failure report on one message (RFC 9991), not an aggregate report")
	}
	g := sighting(rep, t.run.im.now())
	g.Origin = store.Origin{Import: t.run.id, Path: t.res.Path, Member: member}
	t.pending.Add(1)
	err := t.run.group.add(ctx, waiting{sighting: &g, task: t})
	if err != nil {
		t.finish()
	}
	return err
}

// sighted counts a failure report that is durable now.
func (t *task) sighted(o store.SightingOutcome) {
	t.mu.Lock()
	if o.New || o.Resumed {
		t.res.FailureReports++
	} else {
		t.res.FailureDuplicates++
	}
	t.mu.Unlock()
	t.run.failures.Add(1)
	t.finish()
}

// commitSightings keeps the failure reports of a batch.
func (g *group) commitSightings(ctx context.Context, batch []waiting) error {
	in := make([]store.Sighting, len(batch))
	for i, w := range batch {
		in[i] = *w.sighting
	}
	out, err := g.run.im.Sightings.PutSightings(ctx, in)
	if err != nil {
		return err
	}
	for i, w := range batch {
		w.task.sighted(out[i])
	}
	return nil
}
