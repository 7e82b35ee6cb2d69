package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
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
	fetch := addFetchFlags(cmd, e)
	cmd.Flags().StringSliceVar(&selectors, "selector", nil, e.text("cli.check.selector", nil))
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.check.json", nil))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		if len(selectors) > posture.MaxSelectors {
			return usage(fmt.Errorf("--selector: %d selectors, at most %d are asked", len(selectors), posture.MaxSelectors))
		}
		for i, s := range selectors {
			// Who copies the whole name of the record means its selector.
			if at := strings.Index(strings.ToLower(s), "._domainkey"); at > 0 {
				s = s[:at]
				selectors[i] = s
			}
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
		if err := fetch.open(cmd, names, resolver, &o); err != nil {
			return usage(err)
		}
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
	text = strings.ReplaceAll(text, "＠", "@")
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		text = text[i+1:]
	}
	if _, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		it.err = fmt.Errorf("%s is an address: give a domain, such as example.jp", quote(s))
		return it
	}
	it.name, it.err = domain.Parse(text)
	if of := owner(it.name.String()); it.err == nil && of != "" {
		it.name, it.err = domain.Name{}, fmt.Errorf("%s is the name of a record: give the domain, %s", quote(s), of)
	}
	return it
}

// owner is the domain whose record stands at a name, where the name says that
// it is that of a record; "" elsewhere.
func owner(name string) string {
	for _, label := range [...]string{"_domainkey.", "_dmarc.", "_mta-sts.", "_smtp._tls.", "_bimi."} {
		if i := strings.Index(name, label); i == 0 || i > 0 && name[i-1] == '.' {
			return name[i+len(label):]
		}
	}
	return ""
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
	if strings.ContainsAny(j.input, "@＠") {
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
