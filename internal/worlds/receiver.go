package worlds

import (
	"fmt"
	"time"

	"sekimori/report/aggregate"
)

// receiver is one reporting organisation with its habits.
type receiver struct {
	name, email string
	share       float64
	form        aggregate.Form
	noFailed    bool          // leaves out signatures that did not verify
	noEnvelope  bool          // has no envelope_from
	spfOnly     bool          // says nothing of signatures
	arc         bool          // trusts ARC and says so
	lists       bool          // says "mailing_list" or "forwarded"
	shift       time.Duration // when its day begins, before midnight UTC
	span        int           // days of one report
	twice       float64       // share of reports that come twice
	gone        func(day int) bool
}

// everyone lists the receivers with about their share in Japan.
var everyone = [...]struct {
	name, domain string
	share        float64
}{
	{"google.com", "google.com", .31}, {"Yahoo", "yahoo.example", .11}, {"Yahoo Japan", "yahoo.example.jp", .09},
	{"Enterprise Outlook", "microsoft.example", .10}, {"Outlook.com", "microsoft.example", .07},
	{"docomo.ne.jp", "docomo.ne.jp", .08}, {"au.com", "au.com", .06}, {"softbank.jp", "softbank.jp", .04},
	{"Mimecast.org", "mimecast.example", .03}, {"nifty.com", "nifty.com", .03}, {"FastMail Pty Ltd", "fastmail.example", .02},
	{"GMX", "gmx.example", .02}, {"iij.ad.jp", "iij.ad.jp", .03}, {"mail.ru", "mailru.example", .01},
	{"Comcast", "comcast.example", .01}, {"seznam.cz a.s.", "seznam.example", .01}, {"rakuten.co.jp", "rakuten.co.jp", .02},
}

// meet chooses the receivers of a world and their habits.
func (b *builder) meet() {
	n := 4 + b.r.IntN(len(everyone)-4)
	for i, e := range everyone {
		if i > 0 && len(b.receivers) >= n || i > 1 && b.chance(0.25) {
			continue
		}
		r := receiver{
			name: e.name, email: "noreply-dmarc@" + e.domain, share: e.share * (0.4 + 1.2*b.r.Float64()),
			form: aggregate.RFC7489, span: 1,
			noFailed: b.chance(0.2), noEnvelope: b.chance(0.3), spfOnly: i > 0 && b.chance(0.08),
			arc: b.chance(0.25), lists: b.chance(0.3), gone: func(int) bool { return false },
		}
		if b.chance(0.25) {
			r.form = aggregate.RFC9990
		}
		if b.chance(0.25) {
			r.shift = 9 * time.Hour // midnight in Japan
		}
		if i > 2 && b.chance(0.08) {
			r.span = pick(b, 2, 7)
		}
		if b.chance(0.2) {
			r.twice = 0.1
		}
		switch {
		case i == 0:
		case b.chance(0.12): // an outage
			from, length := b.r.IntN(b.days), 3+b.r.IntN(20)
			r.gone = func(d int) bool { return d >= from && d < from+length }
		case b.chance(0.08): // began later
			from := b.r.IntN(b.days / 2)
			r.gone = func(d int) bool { return d < from }
		case b.chance(0.08): // now and then none
			p := 0.05 + 0.2*b.r.Float64()
			lost := map[int]bool{}
			for d := range b.days {
				lost[d] = b.chance(p)
			}
			r.gone = func(d int) bool { return lost[d] }
		}
		b.receivers = append(b.receivers, r)
	}
	sum := 0.0
	for _, r := range b.receivers {
		sum += r.share
	}
	for i := range b.receivers {
		b.receivers[i].share /= sum
	}
	b.cells = make([][]row, b.days*len(b.receivers))
}

// receiver throws who gets a message.
func (b *builder) receiver() int {
	p := b.r.Float64()
	for i := range b.receivers {
		if p -= b.receivers[i].share; p < 0 {
			return i
		}
	}
	return 0
}

// write turns a kind of mail into a record as this receiver words it.
func (b *builder) write(r *receiver, k *mail, day int, policy string, out *aggregate.Record) {
	out.HeaderFrom = k.from
	out.DKIM, out.SPF = b.outcome(k, policy)
	out.Disposition = aggregate.DispositionNone
	enforced := b.policy(day, k.from)
	if policy != b.domain {
		enforced = "none"
	}
	if !out.DKIM && !out.SPF {
		out.Disposition = enforced
	} else if r.form == aggregate.RFC9990 && enforced != "none" {
		out.Disposition = aggregate.DispositionPass
	}
	if !r.noEnvelope {
		out.EnvelopeFrom = k.envelope
	}
	for _, s := range k.sigs {
		if s.domain == "" || r.spfOnly || r.noFailed && s.result != "pass" {
			continue
		}
		d := aggregate.DKIMResult{Domain: s.domain, Selector: s.selector, Result: s.result}
		if d.Selector == "" {
			d.Selector = "s1"
		}
		out.DKIMResults = append(out.DKIMResults, d)
	}
	result := k.spf
	if b.longSPF && k.envelope == b.domain && (result == "fail" || result == "softfail") {
		result = "permerror" // nobody gets to the end of such a record (RFC 7208 §4.6.4)
	}
	out.SPFResults = []aggregate.SPFResult{{Domain: k.envelope, Scope: "mfrom", Result: result}}
	why := k.override
	switch {
	case why == "arc":
		if !r.arc || out.DKIM || out.SPF {
			return
		}
		out.Disposition = aggregate.DispositionNone
		out.Reasons = []aggregate.Reason{{Type: "local_policy", Comment: "arc=pass"}}
	case why != "" && r.lists && !out.DKIM && !out.SPF:
		if r.form == aggregate.RFC9990 && why == "forwarded" {
			why = "trusted_forwarder" // RFC 9990 has no "forwarded"
		}
		out.Disposition = aggregate.DispositionNone
		out.Reasons = []aggregate.Reason{{Type: why}}
	}
}

// id is a report's identifier: as receivers make them, in several styles.
func (r *receiver) id(domain string, begin time.Time, i int) string {
	switch i % 3 {
	case 0:
		return fmt.Sprintf("%d.%d", begin.Unix(), (begin.Unix()*2654435761+int64(i)*977)%1_000_000_007)
	case 1:
		return fmt.Sprintf("%s-%s-%d", domain, begin.Format("20060102"), i)
	}
	return fmt.Sprintf("%019d", (begin.Unix()*6364136223846793005+int64(i))&(1<<60-1))
}
