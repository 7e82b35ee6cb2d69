package gateway

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"sekimori/authres"
	"sekimori/dkim"
	"sekimori/dmarc"
	"sekimori/internal/check"
	"sekimori/internal/store/verdict"
	"sekimori/message"
	"sekimori/milter"
	"sekimori/spf"
)

// added is a field to put on top of a message.
type added struct{ name, value string }

// outcome is all that is done with a message.
type outcome struct {
	decision Decision
	removals []removal
	fields   []added // the topmost first
	held     string  // what the MTA is told about a message that it is to hold
	reply    milter.Response
	entry    *verdict.Entry
	keep     bool                // the entry goes into the log
	signed   []verdict.Signature // put on own mail
}

// end is the end of a message: its verdict is reached, kept, and then answered.
func (n *session) end(ctx context.Context) error {
	a := n.message
	if a == nil {
		return nil // nothing began: nothing is changed
	}
	if !a.headed {
		n.endOfHeader()
	}
	began := time.Now()
	a.received = n.g.now()
	if a.failed {
		return n.unverified(a, began)
	}
	if a.own != foreign {
		if err := n.answer(a, n.depart(a), began); err != nil {
			return err
		}
		a.free()
		return nil
	}
	n.verify(a)
	o := n.judge(a, &a.verdict)
	if err := n.answer(a, o, began); err != nil {
		return err
	}
	n.tell(ctx, a, o)
	a.free()
	return nil
}

// judge decides about a message that was verified.
func (n *session) judge(a *arrival, v *check.Verdict) *outcome {
	site := &a.rules.site
	var p parts
	p.read(a.header, site.Subjects, len(site.Rules) > 0)
	f := Facts{Client: a.in.IP, List: p.list, BadFrom: a.fromLost || badFrom(v), TooLong: a.over, CannotHold: !n.c.Has(milter.ActQuarantine)}
	f.Claims = f.BadFrom && n.claims(a, v)
	if len(site.Rules) > 0 {
		f.MailFrom = domainOf(a.in.MailFrom)
	}
	o := &outcome{decision: Decide(site, v, f), keep: true}
	d := &o.decision
	o.reply = d.reply(site, v)
	if d.Action != verdict.Refuse && d.Action != verdict.TryAgain {
		results := v.Results()
		logo := n.indicator(a, v, &p, d, results)
		o.fields = append(make([]added, 0, 4), added{foreignFields[authResField], a.results(results)})
		o.fields = append(o.fields, logo...)
		if d.Action == verdict.Mark {
			o.fields = append(o.fields, added{markerName, markerValue})
		}
		o.removals = a.removals(d.Action == verdict.Mark)
		if d.Action == verdict.Quarantine {
			o.held = d.quarantineReason(v)
		}
	}
	o.entry = a.entry(&p, v, d, n.c.Macro("i"))
	o.keep = !a.ownReport(o.entry, v)
	return o
}

// ownReport tells mail of our own reporting, come back through the site's MTA:
// a report about reports would go out every day for ever. Its signature is
// ours, so that nobody else can be meant.
func (a *arrival) ownReport(e *verdict.Entry, v *check.Verdict) bool {
	from := a.rules.site.ReportFrom
	if from == "" || e.From != from || !a.in.NullSender || v.DMARC.Status != dmarc.Pass {
		return false
	}
	for i := range v.DKIM {
		if rank(&v.DKIM[i], v.From()) == 0 {
			return true
		}
	}
	return false
}

// results writes the Authentication-Results field's value.
func (a *arrival) results(r *authres.Results) string {
	a.scratch = r.AppendField(a.scratch[:0])
	return unfolded(a.scratch)
}

// depart signs a message of our own. It is not verified, and no verdict of it
// is kept.
func (n *session) depart(a *arrival) *outcome {
	o := &outcome{decision: Decision{Action: verdict.Accept, Asked: verdict.Accept}, reply: milter.Response{Do: milter.Continue}}
	if a.own == signedIn {
		r := authres.Results{AuthServID: a.id, Results: []authres.Result{{Method: "auth", Value: "pass",
			Props: []authres.Prop{{Type: "smtp", Name: "auth", Value: a.user}}}}} // RFC 8601 §2.7.4
		o.fields = append(o.fields, added{foreignFields[authResField], a.results(&r)})
	}
	if a.leaving != nil {
		a.digests.Close()
		fields, err := a.leaving.Finish()
		a.unsigned = err != nil
		for _, s := range fields {
			if f, ok := message.ParseField(s); ok {
				o.fields = append(o.fields, added{f.Name(), unfolded([]byte(s))})
				if s, _ := dkim.ParseSignature(f.RawValue()); s != nil {
					o.signed = append(o.signed, verdict.Signature{Domain: s.Domain.String(), Selector: strings.ToLower(s.Selector)})
				}
			}
		}
	}
	o.removals = a.removals(false)
	var p parts
	p.read(a.header, a.rules.site.Subjects, false)
	o.entry = a.entry(&p, nil, &o.decision, n.c.Macro("i"))
	switch {
	case a.unsigned:
		o.entry.DKIM = WordUnsigned
		n.g.counts.unsigned.Add(1)
	case len(o.signed) > 0:
		o.entry.DKIM = WordSigned
		n.g.counts.signed.Add(1)
	}
	return o
}

// answer keeps the verdict, and then tells the MTA.
func (n *session) answer(a *arrival, o *outcome, began time.Time) error {
	o.entry.Took = time.Since(began)
	if n.g.options.Log != nil && o.keep {
		r, err := n.g.options.Log.Append(o.entry)
		if err == nil {
			n.receipt, n.unsure = r, true
		} else {
			// Mail flows on whatever becomes of our books.
			n.g.counts.unlogged.Add(1)
		}
	}
	if err := n.send(o); err != nil {
		n.cancel() // the MTA never got it, and comes again
		return err
	}
	n.message = nil
	a.stop()
	n.g.counts.answered(a, o, time.Since(began))
	n.count(a, o)
	if n.g.options.Done != nil {
		n.g.options.Done(o.entry)
	}
	return nil
}

// count tells of own mail that left with signatures.
func (n *session) count(a *arrival, o *outcome) {
	from := domainOf(o.entry.From)
	if n.g.options.Sent == nil || len(o.signed) == 0 || from.IsZero() || !n.c.Has(milter.ActAddHeader) {
		return
	}
	s := verdict.Sent{From: from.String(), By: o.signed}
	home := from.Organizational()
	for _, r := range a.in.Rcpt {
		if to := domainOf(r); !to.IsZero() && to.Organizational() != home {
			s.Copies++
		}
	}
	if s.Copies > 0 {
		n.g.options.Sent(a.received, s)
	}
}

// send says what to change, and answers.
//
// What cannot be said in the protocol's form is left out: our way of writing
// must not cost anybody's mail.
func (n *session) send(o *outcome) error {
	if n.c.Has(milter.ActChangeHeader) {
		for _, r := range o.removals {
			if err := said(n.c.DeleteHeader(r.index, foreignFields[r.field])); err != nil {
				return err
			}
		}
	}
	if n.c.Has(milter.ActAddHeader) {
		for i := len(o.fields) - 1; i >= 0; i-- {
			if err := said(n.c.InsertHeader(0, o.fields[i].name, o.fields[i].value)); err != nil {
				return err
			}
		}
	}
	if o.held != "" {
		err := n.c.Quarantine(o.held)
		if errors.Is(err, milter.ErrForm) {
			err = n.c.Quarantine("DMARC")
		}
		if err != nil {
			return err
		}
	}
	err := n.c.Reply(o.reply)
	if errors.Is(err, milter.ErrForm) {
		plain := milter.Continue
		switch o.decision.Action {
		case verdict.Refuse:
			plain = milter.Reject
		case verdict.TryAgain:
			plain = milter.TempFail
		}
		err = n.c.Reply(milter.Response{Do: plain})
	}
	return err
}

// said leaves errors of the connection.
func said(err error) error {
	if errors.Is(err, milter.ErrForm) {
		return nil
	}
	return err
}

// tell hands a message on for which failure reports are wanted.
func (n *session) tell(ctx context.Context, a *arrival, o *outcome) {
	if n.g.options.Failure == nil || !o.keep || o.decision.Action == verdict.TryAgain || !wantsFailure(&a.verdict) {
		return
	}
	v := a.verdict // a's is used again
	c := FailureCase{Entry: o.entry, Verdict: &v, Header: append(message.Header(nil), a.header...), Port: n.port,
		AuthenticationResults: v.AuthenticationResults(), Delivery: "delivered"}
	switch o.decision.Action { // RFC 6591 §3.2.2
	case verdict.Mark:
		c.Delivery = "spam"
	case verdict.Quarantine:
		c.Delivery = "policy"
	case verdict.Refuse:
		c.Delivery = "reject"
	}
	n.g.options.Failure(ctx, c)
}

// fault is called in the place of whatever panicked. Before the end of the
// message nothing is said; at its end it is taken unverified, for a fault of
// ours must not cost anybody's mail.
func (n *session) fault(ctx context.Context, ev milter.Event, cause any) (err error) {
	n.g.counts.panics.Add(1)
	if n.g.options.Fault != nil {
		n.g.options.Fault(fmt.Errorf("gateway: a fault of the program at a message's %v: %v\n%s", ev.Kind, cause, debug.Stack()))
	}
	if n.message == nil {
		return nil
	}
	n.message.failed = true
	if ev.Kind != milter.EndOfMessage {
		return nil
	}
	defer func() {
		if recover() != nil {
			n.drop()
			err = n.c.Reply(milter.Response{Do: milter.Continue})
		}
	}()
	n.cancel()
	return n.unverified(n.message, time.Now())
}

// cancel takes back a verdict whose answer was not given.
func (n *session) cancel() {
	if n.unsure {
		n.receipt.Cancel()
		n.unsure = false
	}
}

// unverified takes a message without a verdict.
func (n *session) unverified(a *arrival, began time.Time) error {
	v := check.Verdict{Input: a.in, NoSPF: true, AuthServID: a.id}
	v.DMARC.Status = dmarc.TempError
	r := authres.Results{AuthServID: a.id, Results: []authres.Result{{Method: "dmarc", Value: string(dmarc.TempError)}}}
	o := &outcome{keep: true, removals: a.removals(false), reply: milter.Response{Do: milter.Continue},
		fields:   []added{{foreignFields[authResField], a.results(&r)}},
		decision: Decision{Action: verdict.Accept, Asked: verdict.Accept, Disposition: "none"}}
	if a.own != foreign {
		o.keep, o.fields = false, nil
	}
	var p parts
	p.read(a.header, a.rules.site.Subjects, false)
	o.entry = a.entry(&p, &v, &o.decision, n.c.Macro("i"))
	return n.answer(a, o, began)
}

// wantsFailure tells whether the owner of the policy asks for a failure report
// about a message (RFC 9989 §4.7, fo; RFC 9991 §2).
func wantsFailure(v *check.Verdict) bool {
	r := v.DMARC.Record
	if r == nil || len(r.RUF) == 0 || v.DMARC.Status != dmarc.Fail && v.DMARC.Status != dmarc.Pass {
		return false
	}
	aligned := len(v.DMARC.AlignedBy)
	switch {
	case aligned == 0: // "0", the default, and "1"
		return true
	case r.FO.Any && aligned < 2:
		return true
	case r.FO.SPF && !v.NoSPF && (v.SPF.Status == spf.Fail || v.SPF.Status == spf.SoftFail || v.SPF.Status == spf.PermError):
		return true
	}
	if r.FO.DKIM {
		for i := range v.DKIM {
			switch v.DKIM[i].Status {
			case dkim.Fail, dkim.PermError, dkim.Policy:
				return true
			}
		}
	}
	return false
}
