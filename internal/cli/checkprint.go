package cli

import (
	"fmt"
	"io"
	"strings"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/posture"
)

// mark is a level as one column that needs no colour.
func mark(l posture.Level) string {
	switch l {
	case posture.LevelOK:
		return "✓"
	case posture.LevelAdvice:
		return "›"
	case posture.LevelWarning:
		return "!"
	case posture.LevelError:
		return "✗"
	case posture.LevelUnknown:
		return "?"
	}
	return "-"
}

func gradeMark(g explain.Grade) string { return mark(posture.Level(g)) }

// shownDomain writes a domain in both forms where they differ.
func shownDomain(n domain.Name) string {
	if u := n.Unicode(); u != n.String() {
		return u + " (" + n.String() + ")"
	}
	return n.String()
}

// printPosture writes the answer first, then a line for each topic, then what
// to change, the worst first.
func (e *Env) printPosture(w io.Writer, p *posture.Posture, input string) {
	width := e.width()
	title := shownDomain(p.Domain)
	if input != "" {
		title = e.text("cli.check.taken", explain.Args{"domain": title, "input": input})
	}
	fmt.Fprintln(w, title)
	verdict := p.Verdict.Step
	if p.Unicode != "" {
		verdict.Args = explain.Args{"domain": p.Unicode} // the title has both forms
	}
	wrap(w, width, mark(p.Verdict.Level)+" ", e.Lang.Step(verdict))
	wrap(w, width, "  ", e.text("cli.check.sends."+string(p.SendsMailReason), nil))
	fmt.Fprintln(w)
	for _, t := range posture.Topics {
		head := e.text("cli.check.topic."+string(t), nil)
		lead := "  " + mark(p.Topic(t).Level) + " " + head + strings.Repeat(" ", max(1, 9-len(head)))
		wrap(w, width, lead, e.Lang.Topic(p, t))
	}
	shown := said{map[explain.Publish]bool{}, map[string]bool{}}
	for _, g := range []explain.Grade{explain.Error, explain.Warning, explain.Advice} {
		n := p.Count(g)
		if n == 0 {
			continue
		}
		fmt.Fprintln(w)
		fmt.Fprintln(w, e.text("cli.check.grade."+string(g), explain.Args{"n": int64(n)}))
		for _, f := range p.Findings {
			if f.Grade == g {
				e.printFinding(w, f, shown)
			}
		}
	}
	e.printRecords(w, p)
	if p.Unanswered() && p.DNSSEC.Status != posture.StatusBogus {
		fmt.Fprintln(w)
		wrap(w, width, "", e.text("cli.check.again", nil))
	}
}

// printRecords lists what is published now, a record a line, cut to the line.
func (e *Env) printRecords(w io.Writer, p *posture.Posture) {
	name := p.Domain.String()
	type set struct {
		name    string
		records []string
	}
	sets := []set{{name, p.SPF.Records}, {"_dmarc." + p.DMARC.RecordDomain, p.DMARC.Records}}
	for _, k := range p.DKIM.Keys {
		sets = append(sets, set{k.Selector + "._domainkey." + name, k.Records})
	}
	sets = append(sets, set{"_mta-sts." + name, p.MTASTS.Records}, set{"_smtp._tls." + name, p.TLSRPT.Records},
		set{"default._bimi." + p.BIMI.RecordDomain, p.BIMI.Records})
	said := false
	for _, s := range sets {
		for i, r := range s.records {
			if !said {
				said = true
				fmt.Fprintf(w, "\n%s\n\n", e.text("cli.check.records", nil))
			}
			if i == 0 {
				fmt.Fprintln(w, "  "+s.name)
			}
			fmt.Fprintln(w, "    "+cut(r, max(e.width()-4, 20)))
		}
	}
}

// said is what need not be written again.
type said struct {
	records map[explain.Publish]bool
	whys    map[string]bool
}

// printFinding writes what is wrong, why it matters and what to publish. A
// reason, or a record, that several findings have is written once.
func (e *Env) printFinding(w io.Writer, f posture.Finding, shown said) {
	width := e.width()
	fmt.Fprintln(w)
	topic := e.text("cli.check.topic."+string(f.Topic), nil)
	text := e.Lang.Step(f.Step)
	switch {
	case f.Name != "":
		text = e.text("cli.check.finding", explain.Args{"topic": topic + " (" + f.Name + ")", "text": text})
	case !strings.HasPrefix(text, topic+" "): // or it would begin with the same word twice
		text = e.text("cli.check.finding", explain.Args{"topic": topic, "text": text})
	}
	wrap(w, width, gradeMark(f.Grade)+" ", text)
	if code := f.Code + ".why"; e.Lang.Has(code) {
		if why := e.text(code, f.Args); !shown.whys[why] {
			shown.whys[why] = true
			wrap(w, width, "    ", why)
		}
	}
	switch p := f.Publish; {
	case p == nil:
	case shown.records[*p]:
		wrap(w, width, "    ", e.text("cli.check.published-above", nil))
	default:
		shown.records[*p] = true
		wrap(w, width, "    ", e.text("cli.check.publish", explain.Args{"name": p.Name, "type": p.Type}))
		fmt.Fprintln(w, "      "+p.Value)
	}
}
