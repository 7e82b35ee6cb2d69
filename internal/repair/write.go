package repair

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"sekimori/explain"
	"sekimori/internal/advise"
	"sekimori/internal/store"
)

// Letter returns the facts of a letter about a case. It tells of the source as
// it was when it last failed. Where the Manager has a resolver, the records are
// those of today; what cannot be looked up is said in Notes. Cost: some scans of
// the domain's records, and the look-ups of an SPF record, bounded to some
// seconds.
func (m *Manager) Letter(ctx context.Context, id int64) (Letter, error) {
	c, err := m.c.Store.Case(ctx, id)
	if err != nil {
		return Letter{}, err
	}
	f := readFacts(c.Facts)
	today := store.DayOf(m.c.Now())
	l := Letter{
		Case: c, Owner: c.Owner, From: m.c.Contact, Domain: c.Domain,
		Window: f.Window, Messages: f.Source.Messages, Failing: f.Source.Failing,
		ReceiverCount: f.Source.Reporters, Policy: f.Policy, Next: f.Next,
		Due: c.Due, By: cmp.Or(c.Due, today+dueDays), Date: today,
		Proof: Proof{Messages: f.needed(), Receivers: proofReceivers, Since: c.Fixed},
	}
	if f.Source.Rhythm.Days > 1 {
		l.Proof.Days = f.period()
	}
	if c.Department != 0 {
		all, err := m.departments(ctx)
		if err != nil {
			return Letter{}, err
		}
		l.Department = all[c.Department]
	}
	if l.Owner == "" {
		l.Owner = l.Department.Contact
	}
	auth, err := m.evidence(ctx, &l, f)
	if err != nil {
		return Letter{}, err
	}
	if err := m.said(ctx, &f.Source, c); err != nil {
		return Letter{}, err
	}
	d := diagnose(c.Domain, &f.Source, auth)
	p := plan{m: m, ctx: ctx, d: &d, source: &f.Source}
	if s := f.Source.Sender; s != nil && s.ID != "" {
		if p.sender, _ = m.c.Catalogue.Sender(s.ID); p.sender.NameJA != "" && d.service == s.Name {
			d.serviceJA = p.sender.NameJA
		}
	}
	if err := p.addresses(c, f); err != nil {
		return Letter{}, err
	}
	p.write()
	l.Source = letterSource(&f.Source, c, &d, p.sender.NameJA)
	l.Wrong, l.Changes, l.Notes = d.wrong(&f.Source), p.out, p.notes
	if !d.results {
		l.Notes = append(l.Notes, explain.Step{Code: "repair.note-no-results"})
	}
	return l, nil
}

// evidence reads who saw the source fail, and with what results.
func (m *Manager) evidence(ctx context.Context, l *Letter, f facts) ([]store.AuthTotals, error) {
	if f.Window.Days() <= 0 {
		return nil, nil
	}
	filter := f.filter(&l.Case, []string{f.Source.ID})
	reporters, err := m.c.Store.MailReporters(ctx, l.Domain, f.Window, filter)
	if err != nil {
		return nil, err
	}
	l.ReceiverCount = max(len(reporters), min(l.ReceiverCount, 1))
	slices.SortStableFunc(reporters, func(a, b store.ReporterTotals) int { return cmp.Compare(b.Failing, a.Failing) })
	for _, r := range reporters {
		if r.Failing > 0 && len(l.Receivers) < 5 {
			l.Receivers = append(l.Receivers, LetterReceiver{Name: explain.Clip(r.Reporter), Messages: r.Messages, Failing: r.Failing})
		}
	}
	if len(reporters) == 1 {
		l.Proof.Receivers = 1
	}
	return m.c.Store.MailAuth(ctx, l.Domain, f.Window, filter)
}

// said takes over the latest word about the source, which may be newer than
// the last look at it.
func (m *Manager) said(ctx context.Context, s *advise.Source, c store.Case) error {
	all, err := m.c.Store.Sayings(ctx, c.Domain)
	if err != nil {
		return err
	}
	for _, w := range all { // the latest of each key first
		if w.Key == c.Key || w.Key == s.Key {
			s.Word = &advise.Word{Class: advise.Class(w.Class), Name: w.Name, Note: w.Note, By: w.By, At: w.At}
			return nil
		}
	}
	return nil
}

// addresses reads which addresses fail, the busiest first.
func (p *plan) addresses(c store.Case, f facts) error {
	if f.Window.Days() > 0 {
		list, err := p.m.c.Store.MailAddresses(p.ctx, c.Domain, f.Window, f.filter(&c, []string{f.Source.ID}), addressesListed+1)
		if err != nil {
			return err
		}
		for _, a := range list {
			if a.Addr.IsValid() {
				p.addrs = append(p.addrs, a.Addr)
			}
		}
	}
	p.all = len(p.addrs) <= addressesListed
	if len(p.addrs) == 0 {
		for _, s := range f.Source.Addresses {
			if a, err := netip.ParseAddr(s); err == nil {
				p.addrs = append(p.addrs, a)
			}
		}
		p.all = f.complete() && len(p.addrs) <= addressesListed
	}
	return nil
}

// letterSource is a source as a letter shows it.
func letterSource(s *advise.Source, c store.Case, d *diagnosis, ja string) LetterSource {
	few := func(list []string, n int) []string {
		out := make([]string, 0, min(len(list), n))
		for _, v := range list[:min(len(list), n)] {
			out = append(out, explain.Clip(v))
		}
		return out
	}
	out := LetterSource{
		ID: c.Source, Key: c.Key, Name: explain.Clip(c.Name), Kind: d.kind, Sender: s.Sender, SenderJA: ja,
		Addresses: few(s.Addresses, 10), AddressCount: s.AddressCount,
		PTR: few(s.PTR, 5), HeaderFrom: few(s.HeaderFrom, 5), Envelope: few(s.Envelope, 5), Selectors: few(s.Selectors, 5), DKIM: few(s.DKIM, 5), SPF: few(s.SPF, 5),
		FirstDay: s.FirstDay, LastDay: max(s.LastDay, c.LastDay), Rhythm: s.Rhythm,
	}
	if s.Word != nil {
		out.Said = s.Word.Name
	}
	return out
}
