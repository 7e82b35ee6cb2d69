package web

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/explain"
	"sekimori/internal/store/outbox"
	"sekimori/internal/store/verdict"
	"sekimori/internal/web/api"
	"sekimori/report/aggregate"
)

// gateway is a made-up gateway: messages of seven days up to now, the newest
// last, of every kind there is.
type gatewayWorld struct {
	*world  // its err is this one's
	entries []verdict.Entry
}

// mailed makes n messages that arrived in the seven days before now, most of
// them in the last hours, the oldest first.
func mailed(now time.Time, n int, enforce bool) []verdict.Entry {
	rnd := rand.New(rand.NewPCG(3, 5))
	people := []string{"yamada.hanako", "suzuki.taro", "soumu-ka", "kouhou", "nozei", "kosodate-shien", "jouhou-seisaku", "bosai"}
	senders := []string{"info@denki-gas.example", "news@shimbun-asa.example", "no-reply@ginkou-tokai.example", "tanaka@kensetsu-kk.example", "seminar@kyoukai.example", "support@softhouse.example", "yoyaku@hotel-umi.example"}
	var out []verdict.Entry
	ages := make([]time.Duration, n)
	for i := range ages {
		ages[i] = time.Duration(rnd.Float64() * float64([]time.Duration{65 * time.Minute, 24 * time.Hour, 7 * 24 * time.Hour}[i%3]))
	}
	slices.Sort(ages)
	slices.Reverse(ages)
	for i, age := range ages {
		at := now.Add(-age).Truncate(time.Millisecond)
		if h := at.In(time.FixedZone("", 9*3600)).Hour(); (h < 7 || h > 20) && age > 3*time.Hour && rnd.IntN(4) > 0 {
			continue
		}
		e := verdict.Entry{ID: uint64(len(out) + 1), Time: at, Took: time.Duration(500+rnd.IntN(2500)) * time.Microsecond, QueueID: fmt.Sprintf("4C%08XzR%d", rnd.Uint32(), i%7), Size: int64(2000 + rnd.IntN(90_000)),
			Action: verdict.Accept, Asked: verdict.Accept, SPF: "pass", DKIM: "pass", DMARC: "pass", ARC: "none", Rcpt: []string{people[rnd.IntN(len(people))] + "@city.kakuu.example"}}
		if rnd.IntN(50) == 0 {
			e.Took *= 40
		}
		e.From = senders[rnd.IntN(len(senders))]
		domain := e.From[strings.IndexByte(e.From, '@')+1:]
		e.Client = netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + rnd.IntN(9))})
		e.Helo, e.MailFrom = "mx."+domain, "bounce@"+domain
		e.MessageID = fmt.Sprintf("%d.%x@%s", at.Unix(), rnd.Uint32(), domain)
		e.Policy = verdict.Policy{Domain: domain, Text: "v=DMARC1; p=reject; rua=mailto:dmarc@" + domain, Method: "treewalk"}
		e.Record = aggregate.Record{SourceIP: e.Client, Count: 1, Disposition: aggregate.DispositionPass, DKIM: true, SPF: true, HeaderFrom: domain, EnvelopeFrom: domain,
			DKIMResults: []aggregate.DKIMResult{{Domain: domain, Selector: "s2026", Result: "pass"}}, SPFResults: []aggregate.SPFResult{{Domain: domain, Scope: "mfrom", Result: "pass"}}}
		kind := rnd.IntN(40)
		if i >= n-8 { // one of each kind is on the first page
			kind = n - i
		}
		switch kind {
		case 1, 9, 10: // spoofed, p=reject
			spoof(&e, rnd, "ginkou-tokai.example", "reject", verdict.Quarantine, enforce)
		case 2, 11: // p=quarantine, marked
			spoof(&e, rnd, "takuhai.example", "quarantine", verdict.Mark, enforce)
		case 3: // refused by a rule
			spoof(&e, rnd, "xn--fiqs8s.example", "reject", verdict.Refuse, enforce)
			e.Action, e.Asked = verdict.Refuse, verdict.Refuse
			if !enforce {
				e.Action = verdict.Accept
			}
		case 4, 12: // p=none
			spoof(&e, rnd, "shouten.example", "none", verdict.Accept, enforce)
		case 5, 13, 14, 15: // no policy
			e.DMARC, e.Policy, e.DKIM = "none", verdict.Policy{}, "none"
			e.Record.DKIM, e.Record.DKIMResults, e.Record.Disposition = false, nil, aggregate.DispositionNone
			e.Why = []explain.Step{{Code: "dmarc.no-record", Args: explain.Args{"domain": domain}, Ref: "RFC 9989 §4.10.1"}}
		case 6: // the DNS was silent
			e.DMARC, e.SPF, e.Action, e.Asked = "temperror", "temperror", verdict.TryAgain, verdict.TryAgain
			e.Record.DKIM, e.Record.SPF = false, false
			e.Why = []explain.Step{{Code: "dmarc.dns-failed", Args: explain.Args{"name": "_dmarc." + domain}, Ref: "RFC 9989 §5.3.6"}}
		case 7: // a notification to many
			e.MailFrom, e.From, e.Subject = "", "mailer-daemon@"+domain, "配送できませんでした (Undelivered Mail Returned to Sender)"
			e.Rcpt = []string{"yamada.hanako@city.kakuu.example", "suzuki.taro@city.kakuu.example", "kouhou@city.kakuu.example"}
		case 8: // our own
			e.DMARC, e.SPF, e.DKIM, e.ARC, e.Policy, e.From = "", "", "", "", verdict.Policy{}, "kouhou@city.kakuu.example"
			e.Record = aggregate.Record{}
		}
		out = append(out, e)
	}
	return out
}

// spoof makes a message that fails of one that passes.
func spoof(e *verdict.Entry, rnd *rand.Rand, domain, p string, asked verdict.Action, enforce bool) {
	e.From, e.MailFrom = "support@"+domain, fmt.Sprintf("x%d@botnet%d.example", rnd.IntN(9999), rnd.IntN(30))
	e.Client = netip.AddrFrom4([4]byte{198, 51, 100, byte(rnd.IntN(40))})
	if rnd.IntN(4) == 0 {
		e.Client = netip.MustParseAddr(fmt.Sprintf("2001:db8:1234:5678:9abc:def0:%x:%x", rnd.IntN(3), rnd.IntN(3)))
	}
	e.Helo, e.MessageID = "vps"+fmt.Sprint(rnd.IntN(99))+".rental-server.example", fmt.Sprintf("%x@%s", rnd.Uint64(), domain)
	e.SPF, e.DKIM, e.DMARC, e.Asked, e.Action = "softfail", "none", "fail", asked, verdict.Accept
	if enforce {
		e.Action = asked
	}
	from := e.MailFrom[strings.IndexByte(e.MailFrom, '@')+1:]
	e.Policy = verdict.Policy{Domain: domain, Text: "v=DMARC1; p=" + p + "; rua=mailto:dmarc@" + domain, Method: "treewalk"}
	e.Record = aggregate.Record{SourceIP: e.Client, Count: 1, Disposition: aggregate.DispositionNone, HeaderFrom: domain, EnvelopeFrom: from,
		Reasons:    []aggregate.Reason{{Type: "local_policy", Comment: "monitoring"}},
		SPFResults: []aggregate.SPFResult{{Domain: from, Scope: "mfrom", Result: "softfail"}}}
	e.Why = []explain.Step{
		{Code: "dmarc.record-own", Args: explain.Args{"domain": domain, "record": e.Policy.Text}, Ref: "RFC 9989 §4.10"},
		{Code: "dmarc.fail", Args: explain.Args{"from": domain, "domain": domain, "policy": p}, Ref: "RFC 9989 §5.3.5", Children: []explain.Step{
			{Code: "dmarc.nothing-passed", Ref: "RFC 9989 §4.4"}}},
		{Code: "dmarc.do-" + p, Ref: "RFC 9989 §7.4"},
	}
}

// attack puts what nobody should take for markup into every text of a message.
func attack(e *verdict.Entry) {
	e.QueueID, e.MessageID, e.Subject, e.Helo, e.MailFrom, e.From = hostile, hostile, hostile, hostile, hostile+"@example.jp", hostile+"@example.jp"
	e.Rcpt = []string{hostile, hostile}
	e.Policy = verdict.Policy{Domain: "evil.example", Text: "v=DMARC1; p=reject; " + hostile, Method: "treewalk"}
	e.Record.HeaderFrom, e.Record.Reasons = hostile, []aggregate.Reason{{Type: "local_policy", Comment: hostile}}
	e.Record.SPFResults = []aggregate.SPFResult{{Domain: hostile, Scope: "mfrom", Result: hostile}}
	e.Record.DKIMResults = []aggregate.DKIMResult{{Domain: hostile, Selector: hostile, Result: "fail"}}
	e.Action, e.Asked, e.DMARC = verdict.Quarantine, verdict.Refuse, "fail"
	e.Rule = explain.Step{Code: "dmarc.no-record", Args: explain.Args{"domain": hostile}}
}

func (g *gatewayWorld) Find(ctx context.Context, q verdict.Query) ([]verdict.Entry, bool, error) {
	if g.err != nil {
		return nil, false, g.err
	}
	limit := cmp.Or(q.Limit, 50)
	var out []verdict.Entry
	for _, e := range slices.Backward(g.entries) {
		switch {
		case q.Before > 0 && e.ID >= q.Before, q.Action != "" && e.Action != q.Action, q.DMARC != "" && e.DMARC != q.DMARC,
			!q.Since.IsZero() && e.Time.Before(q.Since), !q.Until.IsZero() && !e.Time.Before(q.Until), q.MessageID != "" && e.MessageID != q.MessageID,
			q.Sender != "" && !strings.Contains(e.From+" "+e.MailFrom, q.Sender), q.Address != "" && !strings.Contains(strings.Join(e.Rcpt, " ")+" "+e.Client.String(), q.Address),
			q.Text != "" && !strings.Contains(e.From+" "+e.MailFrom+" "+e.MessageID+" "+e.QueueID+" "+strings.Join(e.Rcpt, " ")+" "+e.Client.String(), q.Text):
			continue
		}
		if len(out) == limit {
			return out, true, nil
		}
		out = append(out, e)
	}
	return out, false, nil
}

func (g *gatewayWorld) Entry(ctx context.Context, id uint64) (verdict.Entry, error) {
	for _, e := range g.entries {
		if e.ID == id {
			return e, g.err
		}
	}
	return verdict.Entry{}, cmp.Or(g.err, verdict.ErrUnknown)
}

func (g *gatewayWorld) Live(ctx context.Context, since, until time.Time, step time.Duration) (verdict.Live, error) {
	l := verdict.Live{Since: since, Until: until, Step: step, Latency: verdict.Latency{Bounds: []time.Duration{time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 100 * time.Millisecond}, Counts: make([]int64, 5)}}
	for t := since; t.Before(until); t = t.Add(step) {
		l.Buckets = append(l.Buckets, verdict.Bucket{Start: t})
	}
	spoofed, sources, senders, names := map[string]int64{}, map[string]map[netip.Addr]bool{}, map[netip.Addr]verdict.Sender{}, map[netip.Addr]map[string]bool{}
	for _, e := range g.entries {
		if e.Time.Before(since) || !e.Time.Before(until) {
			continue
		}
		for _, b := range []*verdict.Bucket{&l.Total, &l.Buckets[e.Time.Sub(since)/step]} {
			count(b, &e)
		}
		i, _ := slices.BinarySearch(l.Latency.Bounds, e.Took)
		l.Latency.Counts[i]++
		if e.DMARC != "fail" {
			continue
		}
		d := e.Record.HeaderFrom
		if sources[d] == nil {
			sources[d] = map[netip.Addr]bool{}
		}
		if names[e.Client] == nil {
			names[e.Client] = map[string]bool{}
		}
		spoofed[d]++
		sources[d][e.Client], names[e.Client][d] = true, true
		s := senders[e.Client]
		senders[e.Client] = verdict.Sender{Client: e.Client, Messages: s.Messages + 1, Failing: s.Failing + 1, Domains: int64(len(names[e.Client]))}
	}
	for d, n := range spoofed {
		l.Spoofed = append(l.Spoofed, verdict.Spoofed{Domain: d, Messages: n, Sources: int64(len(sources[d]))})
	}
	for _, s := range senders {
		l.Senders = append(l.Senders, s)
	}
	slices.SortFunc(l.Spoofed, func(a, b verdict.Spoofed) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Domain, b.Domain))
	})
	slices.SortFunc(l.Senders, func(a, b verdict.Sender) int {
		return cmp.Or(cmp.Compare(b.Failing, a.Failing), a.Client.Compare(b.Client))
	})
	return l, g.err
}

func count(b *verdict.Bucket, e *verdict.Entry) {
	*map[verdict.Action]*int64{verdict.Accept: &b.Accept, verdict.Mark: &b.Mark, verdict.Quarantine: &b.Quarantine, verdict.Refuse: &b.Refuse, verdict.TryAgain: &b.TryAgain}[e.Action]++
	switch e.DMARC {
	case "pass":
		b.Pass++
	case "fail":
		b.Fail++
	case "temperror", "permerror":
		b.Trouble++
	default:
		b.NoPolicy++
	}
}

// gate is a gateway over made-up messages, the newest of them hostile, with
// the status given.
func gate(t testing.TB, w *world, enforce bool, st *verdict.Status) *api.Gateway {
	t.Helper()
	now := time.Now()
	g := &gatewayWorld{world: w, entries: mailed(now, 400, enforce)}
	e := g.entries[len(g.entries)-1]
	e.ID = 1_000_000
	attack(&e)
	g.entries = append(g.entries, e)
	dir := t.TempDir()
	if st != nil {
		if err := verdict.WriteStatus(dir, *st); err != nil {
			t.Fatal(err)
		}
	}
	out := api.NewGateway(g, dir, func() time.Time { return now })
	out.Outbox = g
	return out
}

// enforcing is the status of a gateway that runs.
func enforcing() *verdict.Status {
	now := time.Now()
	return &verdict.Status{At: now, Started: now.Add(-50 * time.Hour), PID: 4711, Mode: "enforce", Listen: []string{"unix:/run/sekimori/milter.sock"}, Keep: 30, Reports: true, Sessions: 12, Unmoved: 3}
}

// reportsMade are made-up reports to domain owners, of every state.
func (g *gatewayWorld) reportsMade() []outbox.Entry {
	var out []outbox.Entry
	at := time.Date(2026, 11, 22, 1, 5, 0, 0, time.UTC)
	for i := range 120 {
		name := []string{"denki-gas.example", "shimbun-asa.example", "ginkou-tokai.example", "xn--fiqs8s.example", "kyoukai.example"}[i%5]
		e := outbox.Entry{Report: outbox.Report{ID: int64(i + 1), Day: at.AddDate(0, 0, -i/5).Format(time.DateOnly), Domain: name, ReportID: fmt.Sprintf("2026-%d/%s", i, name), Form: "rfc9990", File: "x.xml.gz", Filename: "mx.kakuu.example!" + name + "!1!2.xml.gz", Messages: int64(900 - i), Rows: int64(40 - i%9), Size: 2400, Made: at.AddDate(0, 0, -i/5)}}
		d := outbox.Delivery{ID: int64(i + 1), URI: "mailto:dmarc@" + name, Address: "dmarc@" + name, Host: name, State: outbox.Sent, Attempts: 1, First: e.Made, Ended: e.Made.Add(time.Minute)}
		switch i {
		case 0:
			d.State, d.Next, d.Attempts, d.Ended, d.Error = outbox.Waiting, e.Made.Add(4*time.Hour), 3, time.Time{}, "dial tcp 127.0.0.1:25: connect: connection refused"
		case 1:
			d.State, d.Ended, d.Attempts = outbox.Unverified, time.Time{}, 0
		case 2:
			d.State, d.Error = outbox.Refused, "550 5.7.1 "+hostile
			e.Deliveries = append(e.Deliveries, outbox.Delivery{ID: 900, URI: "mailto:a@b.example", Address: "a@b.example", Host: "b.example", State: outbox.Sent, Attempts: 2, Ended: e.Made})
		case 3:
			e.File, d.State, d.Attempts, d.Reason = "", outbox.Dropped, 0, explain.Step{Code: "dmarc.external-refused", Args: explain.Args{"uri": "mailto:" + hostile, "domain": name, "name": name + "._report._dmarc.other.example"}}
		case 4:
			d.State, d.Attempts, d.Error = outbox.GivenUp, 25, "421 4.3.2 try again later"
		}
		e.Deliveries = append(e.Deliveries, d)
		out = append(out, e)
	}
	return out
}

func (g *gatewayWorld) Reports(ctx context.Context, f outbox.Filter) ([]outbox.Entry, int64, error) {
	found := slices.DeleteFunc(g.reportsMade(), func(e outbox.Entry) bool {
		return f.Day != "" && e.Day != f.Day || f.Domain != "" && e.Domain != f.Domain || f.Text != "" && !strings.Contains(e.Domain+" "+e.Deliveries[0].Address, f.Text) ||
			!slices.ContainsFunc(e.Deliveries, func(d outbox.Delivery) bool {
				return (f.State == "" || d.State == f.State) && (!f.Open || d.State.Open())
			})
	})
	total := int64(len(found))
	found = found[min(f.Offset, len(found)):]
	return found[:min(f.Limit, len(found))], total, g.err
}

func (g *gatewayWorld) Report(ctx context.Context, id string) (outbox.Entry, error) {
	for _, e := range g.reportsMade() {
		if e.ReportID == id {
			return e, g.err
		}
	}
	return outbox.Entry{}, cmp.Or(g.err, outbox.ErrUnknown)
}

func (g *gatewayWorld) Open(ctx context.Context, id string) (io.ReadCloser, string, error) {
	e, err := g.Report(ctx, id)
	if err != nil || e.File == "" {
		return nil, "", cmp.Or(err, outbox.ErrUnknown)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, "<?xml version=\"1.0\"?><feedback>"+hostile+"</feedback>")
	return io.NopCloser(&b), e.Filename, z.Close()
}

// keptGate is a gateway over made-up messages in day files, and made-up
// reports.
func keptGate(t testing.TB) *api.Gateway {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "gateway")
	log, err := verdict.Open(dir, verdict.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	for _, e := range mailed(time.Now(), 5000, true) {
		e.Print = [16]byte{byte(e.ID), byte(e.ID >> 8)}
		r, err := log.Append(&e)
		if err != nil {
			t.Fatal(err)
		}
		r.Confirm()
	}
	if err := log.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := verdict.WriteStatus(dir, *enforcing()); err != nil {
		t.Fatal(err)
	}
	kept, err := verdict.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	now := time.Now()
	g := api.NewGateway(kept, dir, func() time.Time { return now }) // the status stays fresh
	g.Outbox = &gatewayWorld{world: &world{}}
	return g
}
