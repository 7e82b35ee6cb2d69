package publish

import (
	"fmt"
	"io"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/locale"
	"sekimori/internal/repair"
	"sekimori/internal/store"
)

// Letter writes a letter to the owner of a system whose mail fails: for a
// reader who has never heard of DMARC, with what to change ready to be copied.
// Text, Mail and HTML always work; PDF is ErrFont in a build without fonts.
// The same facts give the same octets. Facts come from reports and from the
// DNS, so from anyone: they are shortened, and escaped in each format's way.
func Letter(w io.Writer, l repair.Letter, lang locale.Lang, format Format) error {
	c := &correspondence{Letter: l, lang: lang}
	d := c.document()
	switch format {
	case Text:
		return d.writeText(w)
	case Mail:
		return c.writeMail(w, d)
	case HTML:
		return d.writeHTML(w)
	case PDF:
		return d.writePDF(w, pageInfo{lang: lang, title: d.title, author: c.From.Name, made: l.Date.Time()})
	}
	return fmt.Errorf("no such format: %q: want text, mail, pdf or html", format)
}

// correspondence is a letter on its way into words.
type correspondence struct {
	repair.Letter
	lang locale.Lang
}

func (c *correspondence) t(code string, args explain.Args) string { return c.lang.Text(code, args) }

// dayOf writes a day out.
func dayOf(l locale.Lang, d store.Day) string {
	if d == 0 {
		return "–"
	}
	if l == locale.Japanese {
		return d.Time().Format("2006年1月2日")
	}
	return d.Time().Format("2 January 2006")
}

// readable is a domain as its owner writes it.
func readable(name string) string {
	if n, err := domain.Parse(name); err == nil {
		return textOf(n.Unicode())
	}
	return clipped(name, 253)
}

// source is what the letter calls the system.
func (c *correspondence) source() string {
	s := c.Source
	switch {
	case s.Said != "":
		return clipped(s.Said, 80)
	case c.lang == locale.Japanese && s.SenderJA != "":
		return clipped(s.SenderJA, 80)
	case s.Sender != nil && s.Sender.ID != "" && s.Sender.Name != "":
		return clipped(s.Sender.Name, 80)
	}
	return sourceName(c.lang, s.Name)
}

// sourceName words the name of a source where it is a code.
func sourceName(l locale.Lang, name string) string {
	if code := "source." + name; !strings.Contains(name, ".") && l.Has(code) {
		return l.Text(code, nil)
	}
	return clipped(name, 80)
}

// address is whom the letter goes to.
func (c *correspondence) address() string {
	if c.Owner != "" && !strings.Contains(c.Owner, "@") {
		return c.t("letter.to.person", explain.Args{"name": clipped(c.Owner, 80)})
	}
	if c.Department.Name != "" {
		return c.t("letter.to.department", explain.Args{"name": clipped(c.Department.Name, 80)})
	}
	return c.t("letter.to.system", explain.Args{"name": c.source()})
}

// document words the letter.
func (c *correspondence) document() *document {
	name := readable(c.Domain)
	about := explain.Args{"source": c.source(), "domain": name, "by": dayOf(c.lang, c.By)}
	d := &document{lang: c.lang, title: c.t("letter.title", about)}
	d.put(block{kind: blockAside, text: dayOf(c.lang, c.Date)})
	d.put(block{kind: blockParagraph, text: c.address()})
	if from := c.sender(); from != "" {
		d.add(blockAside, from)
	}
	d.add(blockHeading, d.title)
	d.add(blockParagraph, c.t("letter.intro", about))
	ask := "letter.intro.by"
	if c.late() {
		ask = "letter.intro.late"
	}
	d.add(blockStrong, c.t(ask, about))
	c.wrong(d)
	c.why(d, name)
	c.changes(d, name)
	c.proof(d, name)
	c.whom(d)
	c.facts(d)
	d.add(blockFine, c.t("letter.terms", explain.Args{"domain": name}))
	return d
}

// late says that the day asked for is past already: a letter about work that is
// overdue.
func (c *correspondence) late() bool { return c.By < c.Date }

// sender is who writes.
func (c *correspondence) sender() string {
	var lines []string
	for _, s := range []string{c.From.Name, c.From.Address} {
		if s != "" {
			lines = append(lines, clipped(s, 100))
		}
	}
	return strings.Join(lines, "\n")
}

// wrong says what is seen.
func (c *correspondence) wrong(d *document) {
	d.add(blockSection, c.t("letter.section.wrong", nil))
	share := 0.0
	if c.Messages > 0 {
		share = float64(c.Failing) / float64(c.Messages)
	}
	if c.Messages > 0 {
		d.add(blockParagraph, c.t("letter.seen", explain.Args{"begin": dayOf(c.lang, c.Window.Begin), "end": dayOf(c.lang, c.Window.End-1), "days": int64(c.Window.Days()),
			"messages": c.Messages, "failing": c.Failing, "share": share}))
	}
	if len(c.Receivers) > 0 {
		var names []string
		for _, r := range c.Receivers[:min(5, len(c.Receivers))] {
			names = append(names, c.t("letter.receiver", explain.Args{"name": clipped(r.Name, 60), "messages": r.Messages, "failing": r.Failing}))
		}
		code := "letter.receivers"
		if c.ReceiverCount > len(names) {
			code = "letter.receivers.some"
		}
		d.add(blockParagraph, c.t(code, explain.Args{"receivers": names, "all": int64(c.ReceiverCount)}))
	}
	if len(c.Wrong) == 0 {
		return
	}
	d.add(blockParagraph, c.t("letter.wrong", nil))
	for _, s := range c.Wrong {
		d.put(block{kind: blockItem, mark: c.mark(), text: c.step(s)})
	}
}

// mark stands before each point of a list.
func (c *correspondence) mark() string {
	if c.lang == locale.Japanese {
		return "・"
	}
	return "•"
}

// step words a step of the letter, whose texts come from outside.
func (c *correspondence) step(s explain.Step) string { return textOfLines(c.lang.Step(s)) }

// why says what happens if nothing is done.
func (c *correspondence) why(d *document, name string) {
	d.add(blockSection, c.t("letter.section.why", nil))
	args := explain.Args{"domain": name, "source": c.source()}
	d.add(blockParagraph, c.t("letter.why", args))
	code := "letter.why.later"
	switch {
	case c.Policy == "reject":
		code = "letter.why.rejected"
	case c.Policy == "quarantine":
		code = "letter.why.quarantined"
	case c.Next == "quarantine" || c.Next == "reject":
		code = "letter.why." + c.Next
	}
	d.add(blockParagraph, c.t(code, args))
}

// changes says what to do. A change that is another way to do the one before
// it shares its number.
func (c *correspondence) changes(d *document, name string) {
	d.add(blockSection, c.t("letter.section.change", nil))
	var n int64
	for _, ch := range c.Changes {
		if !ch.Instead {
			n++
		}
	}
	lead := "letter.change.one"
	if n > 1 {
		lead = "letter.change.some"
	}
	d.add(blockParagraph, c.t(lead, explain.Args{"n": n}))
	n = 0
	for _, ch := range c.Changes {
		if ch.Instead && n > 0 {
			d.put(block{kind: blockParagraph, text: c.t("letter.change.instead", explain.Args{"what": c.step(ch.What)})})
		} else {
			n++
			d.put(block{kind: blockItem, mark: "(" + strconv.FormatInt(n, 10) + ")", text: c.step(ch.What)})
		}
		for _, s := range slices.Concat(ch.Steps, ch.Hints) {
			d.put(block{kind: blockSubitem, mark: c.mark(), text: c.step(s)})
		}
		c.record(d, ch)
		if ch.Who == "dns" && (ch.Record != "" || ch.Now == "") { // nothing is to be changed where it stands there already
			code := "letter.change.dns"
			if ch.Record == "" || strings.Contains(ch.Record, "<") {
				code = "letter.change.dns.value"
			}
			d.put(block{kind: blockParagraph, depth: 1, text: c.t(code, explain.Args{"domain": name})})
		}
		if ch.URL != "" {
			d.put(block{kind: blockParagraph, depth: 1, text: c.t("letter.change.page", explain.Args{"url": clipped(ch.URL, 300)})})
		}
	}
}

// record shows what a change publishes, beside what is published now.
func (c *correspondence) record(d *document, ch repair.LetterChange) {
	if ch.Record == "" {
		return
	}
	at := explain.Args{"name": clipped(ch.Name, 253), "type": clipped(ch.Type, 10)}
	label := "letter.record"
	if ch.Now != "" {
		d.put(block{kind: blockRecord, depth: 1, mark: c.t("letter.record.now", at), text: clipped(ch.Now, 4096)})
		label = "letter.record.then"
	}
	d.put(block{kind: blockRecord, depth: 1, mark: c.t(label, at), text: clipped(ch.Record, 4096)})
	if strings.Contains(ch.Record, "<") {
		d.put(block{kind: blockParagraph, depth: 1, text: c.t("letter.record.gap", nil)})
	}
}

// proof says how both sides will see that it worked.
func (c *correspondence) proof(d *document, name string) {
	d.add(blockSection, c.t("letter.section.proof", nil))
	point := func(text string) { d.put(block{kind: blockItem, mark: c.mark(), text: text}) }
	from := name
	if len(c.Source.HeaderFrom) > 0 {
		from = clipped(c.Source.HeaderFrom[0], 253)
	}
	point(c.t("letter.proof.yours", nil))
	d.put(block{kind: blockRecord, depth: 1, text: "Authentication-Results: ... dmarc=pass ... header.from=" + from})
	point(c.t("letter.proof.ours", explain.Args{"messages": max(1, c.Proof.Messages), "receivers": int64(max(1, c.Proof.Receivers))}))
	if c.Proof.Days > 1 {
		point(c.t("letter.proof.period", explain.Args{"days": int64(c.Proof.Days)}))
	}
}

// whom says by when, and whom to ask.
func (c *correspondence) whom(d *document) {
	d.add(blockSection, c.t("letter.section.whom", nil))
	by := dayOf(c.lang, c.By)
	if c.late() {
		by = c.t("letter.fact.by.late", explain.Args{"by": by})
	}
	d.put(block{kind: blockFact, mark: c.t("letter.fact.by", nil), text: by})
	var ask []string
	for _, s := range []string{c.From.Name, c.From.Address} {
		if s != "" {
			ask = append(ask, clipped(s, 100))
		}
	}
	if len(ask) == 0 {
		ask = []string{c.t("letter.whom.none", nil)}
	}
	d.put(block{kind: blockFact, mark: c.t("letter.fact.ask", nil), text: strings.Join(ask, "\n")})
	if c.Case.ID != 0 {
		d.put(block{kind: blockFact, mark: c.t("letter.fact.case", nil), text: strconv.FormatInt(c.Case.ID, 10)})
	}
	if c.From.URL != "" && c.Case.ID != 0 {
		d.put(block{kind: blockFact, mark: c.t("letter.fact.page", nil), text: clipped(strings.TrimRight(c.From.URL, "/"), 300) + "/work/" + strconv.FormatInt(c.Case.ID, 10)})
	}
	d.add(blockParagraph, c.t("letter.whom.done", nil))
}

// facts lists by what the system can be recognised.
func (c *correspondence) facts(d *document) {
	s := c.Source
	d.add(blockSection, c.t("letter.section.facts", nil))
	fact := func(code string, values []string, all int) {
		if len(values) == 0 {
			return
		}
		shown := make([]string, 0, len(values))
		for _, v := range values[:min(len(values), 10)] {
			shown = append(shown, clipped(v, 120))
		}
		text := c.lang.List(shown)
		if all > len(shown) {
			text = c.t("letter.fact.more", explain.Args{"list": text, "n": int64(all - len(shown))})
		}
		d.put(block{kind: blockFact, mark: c.t(code, nil), text: text})
	}
	fact("letter.fact.system", []string{c.source()}, 1)
	fact("letter.fact.from", s.HeaderFrom, 0)
	fact("letter.fact.addresses", s.Addresses, s.AddressCount)
	fact("letter.fact.hosts", s.PTR, 0)
	fact("letter.fact.envelope", s.Envelope, 0)
	fact("letter.fact.signed", s.DKIM, 0)
	fact("letter.fact.selectors", s.Selectors, 0)
	if s.Rhythm.Pattern != "" && c.lang.Has("letter.rhythm."+s.Rhythm.Pattern) {
		d.put(block{kind: blockFact, mark: c.t("letter.fact.rhythm", nil), text: c.t("letter.rhythm."+s.Rhythm.Pattern, nil)})
	}
	if s.FirstDay != 0 {
		d.put(block{kind: blockFact, mark: c.t("letter.fact.seen", nil), text: c.t("letter.fact.span", explain.Args{"first": dayOf(c.lang, s.FirstDay), "last": dayOf(c.lang, s.LastDay)})})
	}
	for _, n := range c.Notes {
		d.add(blockFine, c.step(n))
	}
}

// to is the mail address that the letter goes to, or "".
func (c *correspondence) to() string {
	for _, s := range []string{c.Owner, c.Department.Contact} {
		if a, err := mail.ParseAddress(s); err == nil {
			return a.Address
		}
	}
	return ""
}

// dated is the time that a letter bears.
func (c *correspondence) dated() time.Time { return c.Date.Time() }
