package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/posture"
)

// checksAtOnce is how many domains are looked at at a time.
const checksAtOnce = 32

// maxListLine bounds a line of a list of domains, in octets.
const maxListLine = 4096

func newCheck(e *Env) *cobra.Command {
	var asJSON bool
	var selectors []string
	cmd := &cobra.Command{
		Use:   "check DOMAIN…",
		Short: e.text("cli.check.short", nil),
		Long: strings.Join([]string{e.prose("cli.check.long"), e.prose("cli.check.long_many"),
			e.prose("cli.check.long_status")}, "\n\n"),
		Example: "  sekimori check example.jp\n  sekimori check example.jp example.com --selector 2026a\n" +
			"  sekimori check user@example.jp --json\n  sekimori check - --json < domains.txt > posture.jsonl",
		Args: cobra.MinimumNArgs(1),
	}
	names := addDNSFlags(cmd, e)
	cmd.Flags().StringSliceVar(&selectors, "selector", nil, e.text("cli.check.selector", nil))
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.check.json", nil))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		if len(selectors) > posture.MaxSelectors {
			return usage(fmt.Errorf("--selector: %d selectors, at most %d are asked", len(selectors), posture.MaxSelectors))
		}
		for _, s := range selectors {
			if _, err := domain.Parse(s); err != nil {
				return usage(fmt.Errorf("--selector %q: want the name before \"._domainkey\", as s= of a signature has it", s))
			}
		}
		single := len(args) == 1 && args[0] != "-"
		if single {
			if it := takeDomain(args[0]); it.err != nil {
				return usage(it.err)
			}
		}
		resolver, err := names.open(e)
		if err != nil {
			return usage(err)
		}
		ctx, cancel := context.WithCancel(cmd.Context())
		defer cancel()
		o := posture.Options{Selectors: selectors, Now: time.Now}
		c := checking{env: e, asJSON: asJSON, single: single}
		queue := make(chan *job, checksAtOnce)
		go func() {
			defer close(queue)
			e.domains(args, func(it item) bool {
				j := &job{item: it, done: make(chan struct{})}
				select {
				case queue <- j:
				case <-ctx.Done():
					return false
				}
				go func() {
					defer close(j.done)
					if j.err == nil {
						j.posture = posture.Inspect(ctx, resolver, j.name, o)
					}
				}()
				return true
			})
		}()
		for j := range queue {
			<-j.done
			if err := cmd.Context().Err(); err != nil {
				c.progress(true)
				return err
			}
			if err := c.write(j); err != nil {
				return temporary(err)
			}
		}
		c.progress(true)
		return c.status()
	}
	return cmd
}

// item is one domain to look at, or why there is none.
type item struct {
	input string // as given
	name  domain.Name
	err   error
}

type job struct {
	item
	posture posture.Posture
	done    chan struct{}
}

// domains yields the domains of the command line, and for "-" those of the
// standard input, until yield says no.
func (e *Env) domains(args []string, yield func(item) bool) {
	for _, a := range args {
		if a != "-" {
			if !yield(takeDomain(a)) {
				return
			}
			continue
		}
		if !readDomains(e.In, yield) {
			return
		}
	}
}

// readDomains reads a list: a domain or an address a line; "#" begins a
// comment. A line of more than maxListLine octets is an error of that line.
func readDomains(r io.Reader, yield func(item) bool) bool {
	br := bufio.NewReaderSize(r, maxListLine)
	for n := 1; ; n++ {
		line, err := br.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		text := string(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = br.ReadSlice('\n')
		}
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		text, _, _ = strings.Cut(text, "#")
		text = strings.TrimSpace(text)
		switch {
		case long && text != "":
			if !yield(item{input: text[:min(len(text), 60)] + "…", err: fmt.Errorf("line %d: longer than %d octets", n, maxListLine)}) {
				return false
			}
		case text != "":
			it := takeDomain(text)
			if it.err != nil {
				it.err = fmt.Errorf("line %d: %w", n, it.err)
			}
			if !yield(it) {
				return false
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return yield(item{input: "-", err: fmt.Errorf("standard input, line %d: %w", n, err)})
			}
			return true
		}
	}
}

// takeDomain reads a domain, or takes it out of a mail address.
func takeDomain(s string) item {
	it := item{input: s}
	text := strings.TrimSpace(s)
	if strings.Contains(text, "://") {
		it.err = fmt.Errorf("%s is a URL: give the domain alone, such as example.jp", quote(s))
		return it
	}
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		text = text[i+1:]
	}
	if _, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		it.err = fmt.Errorf("%s is an address: give a domain, such as example.jp", quote(s))
		return it
	}
	it.name, it.err = domain.Parse(text)
	return it
}

func quote(s string) string {
	if len(s) > 80 {
		return fmt.Sprintf("%q…", s[:80])
	}
	return fmt.Sprintf("%q", s)
}

// checking writes the results of a run, in order.
type checking struct {
	env                      *Env
	asJSON, single           bool
	written                  int
	errors, invalid, unknown int
	shown                    time.Time // progress
	drawn                    bool
}

// progress shows how far a run has come whose results go elsewhere.
func (c *checking) progress(done bool) {
	e := c.env
	switch {
	case !e.Terminal || !c.asJSON || c.single:
	case done && c.drawn:
		fmt.Fprint(e.Err, "\r\x1b[K")
		c.drawn = false
	case !done && time.Since(c.shown) > 200*time.Millisecond:
		fmt.Fprint(e.Err, "\r\x1b[K"+e.text("cli.check.progress", explain.Args{"n": int64(c.written)}))
		c.shown, c.drawn = time.Now(), true
	}
}

func (c *checking) write(j *job) error {
	e := c.env
	if j.err != nil {
		c.invalid++
		c.progress(true)
		e.complain(j.err)
		if c.asJSON {
			return c.line(struct {
				Input string `json:"input"`
				Error string `json:"error"`
			}{j.input, j.err.Error()})
		}
		return nil
	}
	p := &j.posture
	if p.Count(explain.Error) > 0 {
		c.errors++
	}
	if p.Unanswered() {
		c.unknown++
	}
	// What was taken is said where it is not what was given.
	input := ""
	if strings.Contains(j.input, "@") {
		input = j.input
	}
	if c.asJSON {
		out := struct {
			*posture.Posture
			Input string `json:"input,omitempty"`
		}{p, input}
		if c.single {
			return writeJSON(e.Out, out)
		}
		c.written++
		c.progress(false)
		return c.line(out)
	}
	w := bufio.NewWriter(e.Out)
	if c.written > 0 {
		fmt.Fprintf(w, "\n%s\n\n", strings.Repeat("-", min(e.width(), lineWidth)))
	}
	c.written++
	e.printPosture(w, p, input)
	return w.Flush()
}

func (c *checking) line(v any) error {
	enc := json.NewEncoder(c.env.Out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func (c *checking) status() error {
	switch {
	case c.errors > 0 || c.invalid > 0:
		return statusError{status: StatusNegative}
	case c.unknown > 0:
		return statusError{status: StatusTemporary}
	}
	return nil
}

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
		title += " " + e.text("cli.check.taken", explain.Args{"input": input})
	}
	fmt.Fprintln(w, title)
	wrap(w, width, mark(p.Verdict.Level)+" ", e.Lang.Step(p.Verdict.Step))
	wrap(w, width, "  ", e.text("cli.check.sends."+string(p.SendsMailReason), nil))
	fmt.Fprintln(w)
	for _, t := range posture.Topics {
		head := e.text("cli.check.topic."+string(t), nil)
		lead := "  " + mark(p.Topic(t).Level) + " " + head + strings.Repeat(" ", max(1, 9-len(head)))
		wrap(w, width, lead, e.topicLine(p, t))
	}
	shown := map[explain.Publish]bool{}
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
	if p.Unanswered() {
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

// printFinding writes what is wrong, why it matters and what to publish. A
// record that several findings lead to is written once.
func (e *Env) printFinding(w io.Writer, f posture.Finding, shown map[explain.Publish]bool) {
	width := e.width()
	fmt.Fprintln(w)
	topic := e.text("cli.check.topic."+string(f.Topic), nil)
	if f.Name != "" {
		topic += " (" + f.Name + ")"
	}
	wrap(w, width, gradeMark(f.Grade)+" ", e.text("cli.check.finding", explain.Args{"topic": topic, "text": e.Lang.Step(f.Step)}))
	if why := f.Code + ".why"; e.Lang.Has(why) {
		wrap(w, width, "    ", e.text(why, f.Args))
	}
	switch p := f.Publish; {
	case p == nil:
	case shown[*p]:
		wrap(w, width, "    ", e.text("cli.check.published-above", nil))
	default:
		shown[*p] = true
		wrap(w, width, "    ", e.text("cli.check.publish", explain.Args{"name": p.Name, "type": p.Type}))
		fmt.Fprintln(w, "      "+p.Value)
	}
}

// topicLine words the state of one topic.
func (e *Env) topicLine(p *posture.Posture, t posture.Name) string {
	topic := p.Topic(t)
	say := func(code string, args explain.Args) string { return e.text("cli.check."+code, args) }
	if t != posture.TopicDNSSEC && t != posture.TopicDKIM && topic.Present == posture.Unknown {
		return say("unknown", nil)
	}
	switch t {
	case posture.TopicSPF:
		return e.spfLine(p)
	case posture.TopicDMARC:
		return e.dmarcLine(p)
	case posture.TopicDKIM:
		return e.dkimLine(p)
	case posture.TopicMX:
		return e.mxLine(p)
	case posture.TopicDNSSEC:
		return say("dnssec."+string(p.DNSSEC.Status), nil)
	}
	if topic.Present == posture.No {
		return say("absent", nil)
	}
	if topic.Valid == posture.No && t != posture.TopicDANE {
		return say("invalid", nil)
	}
	switch t {
	case posture.TopicMTASTS:
		return say("mta-sts.present", explain.Args{"id": p.MTASTS.ID})
	case posture.TopicTLSRPT:
		return say("tls-rpt.present", explain.Args{"rua": p.TLSRPT.RUA})
	case posture.TopicBIMI:
		if p.BIMI.Declined {
			return say("bimi.declined", nil)
		}
		return say("bimi.present", explain.Args{"location": p.BIMI.Location})
	}
	with := 0
	for _, h := range p.DANE.Hosts {
		if h.Present == posture.Yes {
			with++
		}
	}
	return say("dane.present", explain.Args{"n": int64(with), "hosts": int64(len(p.DANE.Hosts))})
}

func (e *Env) spfLine(p *posture.Posture) string {
	s := &p.SPF
	all := s.All
	if all != "" {
		all += "all"
	}
	args := explain.Args{"all": all, "lookups": int64(s.Lookups), "records": int64(len(s.Records))}
	switch {
	case s.Present == posture.No:
		return e.text("cli.check.absent", nil)
	case s.Valid == posture.No:
		return e.text("cli.check.invalid", nil)
	case s.Valid == posture.Unknown:
		return e.text("cli.check.spf.unknown", args)
	case all == "":
		return e.text("cli.check.spf.open-end", args)
	}
	return e.text("cli.check.spf.present", args)
}

func (e *Env) dmarcLine(p *posture.Posture) string {
	d := &p.DMARC
	args := explain.Args{"tag": d.PolicyTag, "policy": d.Policy, "domain": d.RecordDomain}
	switch {
	case d.Present == posture.No:
		return e.text("cli.check.absent", nil)
	case d.Valid == posture.No:
		return e.text("cli.check.invalid", nil)
	case d.Inherited == posture.Yes && d.Testing:
		return e.text("cli.check.dmarc.inherited-testing", args)
	case d.Inherited == posture.Yes:
		return e.text("cli.check.dmarc.inherited", args)
	case d.Testing:
		return e.text("cli.check.dmarc.testing", args)
	}
	return e.text("cli.check.dmarc.present", args)
}

func (e *Env) dkimLine(p *posture.Posture) string {
	d := &p.DKIM
	args := explain.Args{"n": int64(d.SelectorsAsked)}
	switch d.Evidence {
	case posture.EvidenceKey:
		var names []string
		for _, k := range d.Keys {
			if !k.Revoked && len(k.Records) > 0 {
				names = append(names, e.keyName(k))
			}
		}
		args["keys"] = names
		return e.text("cli.check.dkim.keys", args)
	case posture.EvidenceName:
		return e.text("cli.check.dkim.name", args)
	case posture.EvidenceRevoked:
		return e.text("cli.check.dkim.revoked", nil)
	}
	switch {
	case d.Domainkey == posture.Unknown || d.SelectorsUnknown > 0 && d.SelectorsUnknown == d.SelectorsAsked:
		return e.text("cli.check.unknown", nil)
	case d.Present == posture.No:
		return e.text("cli.check.absent", nil)
	case d.Domainkey == posture.No:
		return e.text("cli.check.dkim.none", args)
	}
	return e.text("cli.check.dkim.not-found", args)
}

// keyName is a selector with what its key is: "s1 (RSA 2048)".
func (e *Env) keyName(k posture.Key) string {
	switch {
	case k.Valid == posture.No:
		return k.Selector + " " + e.text("cli.check.dkim.bad", nil)
	case k.Type == "rsa":
		return fmt.Sprintf("%s (RSA %d)", k.Selector, k.Bits)
	case k.Type != "":
		return fmt.Sprintf("%s (%s)", k.Selector, k.Type)
	}
	return k.Selector
}

func (e *Env) mxLine(p *posture.Posture) string {
	m := &p.MX
	switch {
	case m.Null == posture.Yes:
		return e.text("cli.check.mx.null", nil)
	case m.Present == posture.Yes:
		var hosts []string
		for _, h := range m.Hosts {
			if h.Host != "" && !slices.Contains(hosts, h.Host) {
				hosts = append(hosts, h.Host)
			}
		}
		const most = 4
		if n := len(hosts) - most; n > 0 {
			return e.text("cli.check.mx.more", explain.Args{"hosts": hosts[:most], "n": int64(n)})
		}
		return e.Lang.List(hosts)
	case m.Implicit == posture.Yes:
		return e.text("cli.check.mx.implicit", nil)
	}
	return e.text("cli.check.mx.none", nil)
}
