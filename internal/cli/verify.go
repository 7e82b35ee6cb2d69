package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sekimori/dmarc"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/check"
)

// verifyFlags are the flags of "verify".
type verifyFlags struct {
	ip, helo, mailFrom, when, authServID, roots string
	rcpt, trust, sealers                        []string
	asJSON                                      bool
}

func newVerify(e *Env) *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify MESSAGE…",
		Short: e.text("cli.verify.short", nil),
		Long: strings.Join([]string{e.prose("cli.verify.long"), e.prose("cli.verify.long_connection"),
			e.prose("cli.verify.long_many"), e.prose("cli.verify.long_status")}, "\n\n"),
		Example: "  sekimori verify message.eml\n  sekimori verify message.eml --ip 192.0.2.10 --mail-from info@example.jp\n" +
			"  sekimori verify --time received --json ~/Maildir archive.mbox\n  cat message.eml | sekimori verify -",
		Args: cobra.MinimumNArgs(1),
	}
	names := addDNSFlags(cmd, e)
	fl := cmd.Flags()
	fl.StringVar(&f.ip, "ip", "", e.text("cli.verify.flag_ip", nil))
	fl.StringVar(&f.helo, "helo", "", e.text("cli.verify.flag_helo", nil))
	fl.StringVar(&f.mailFrom, "mail-from", "", e.text("cli.verify.flag_mail_from", nil))
	fl.StringArrayVar(&f.rcpt, "rcpt", nil, e.text("cli.verify.flag_rcpt", nil))
	fl.StringVar(&f.when, "time", "", e.text("cli.verify.flag_time", nil))
	fl.StringArrayVar(&f.trust, "trust", nil, e.text("cli.verify.flag_trust", nil))
	fl.StringArrayVar(&f.sealers, "sealer", nil, e.text("cli.verify.flag_sealer", nil))
	fl.StringVar(&f.roots, "roots", "", e.text("cli.verify.flag_roots", nil))
	fl.StringVar(&f.authServID, "authserv-id", "localhost", e.text("cli.verify.flag_authserv_id", nil))
	fl.BoolVar(&f.asJSON, "json", false, e.text("cli.verify.flag_json", nil))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		batch, err := f.batch(fl.Changed("mail-from"))
		if err != nil {
			return usage(err)
		}
		signatures, err := e.smimeVerifier(f.roots)
		if err != nil {
			return usage(err)
		}
		places := make([]check.Place, len(args))
		many, stdin := len(args) > 1, false
		for i, a := range args {
			if a == "-" {
				if stdin {
					return usage(errors.New("- stands for the standard input and can be given once"))
				}
				places[i], stdin = check.Place{Name: a, In: e.In}, true
				continue
			}
			p := check.Place{Name: a, File: e.path(a)}
			if _, err := os.Stat(p.File); err != nil {
				return usage(fmt.Errorf("%s: %w", a, unwrapPath(err)))
			}
			places[i] = p
			many = many || p.Many()
		}
		resolver, err := names.open(e)
		if err != nil {
			return usage(err)
		}
		batch.Checker = &check.Checker{Resolver: resolver, AuthServID: f.authServID, Helo: !many || f.asJSON, Sequential: many, Diagnose: !many, SMIME: signatures,
			// A forger must not get away with a second author (RFC 9989 §11.5).
			DMARC: dmarc.Options{EachAuthor: true}}
		if f.asJSON {
			batch.Render = jsonLine
		}
		for _, s := range f.sealers {
			name, err := domain.Parse(s)
			if err != nil {
				return usage(fmt.Errorf("--sealer: %w", err))
			}
			batch.Checker.Sealers = append(batch.Checker.Sealers, name)
		}
		out := newVerdicts(e, f.asJSON, many)
		if err := batch.Run(cmd.Context(), places, out.add); err != nil {
			out.progress(true)
			if errors.Is(err, context.Canceled) {
				return temporary(errors.New(e.text("cli.verify.interrupted", nil)))
			}
			return err
		}
		return out.finish()
	}
	return cmd
}

// batch reads the flags that say how to check.
func (f *verifyFlags) batch(senderGiven bool) (*check.Batch, error) {
	b := &check.Batch{Given: check.Input{Helo: f.helo, Rcpt: f.rcpt}}
	if f.ip != "" {
		ip, err := netip.ParseAddr(strings.Trim(f.ip, "[]"))
		if err != nil {
			return nil, fmt.Errorf("--ip %s: want an address such as 192.0.2.1 or 2001:db8::1", f.ip)
		}
		b.Given.IP = ip.Unmap().WithZone("")
	}
	if senderGiven {
		b.Given.MailFrom = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(f.mailFrom), "<"), ">")
		b.Given.NullSender = b.Given.MailFrom == ""
	}
	var err error
	if b.Trust, err = parseNetworks("--trust", f.trust); err != nil {
		return nil, err
	}
	switch f.when {
	case "":
	case "received":
		b.AtReceived = true
	default:
		// RFC 3339 §5.6: "t" and "z" may be in lower case.
		t, err := time.Parse(time.RFC3339, strings.ToUpper(f.when))
		if err != nil {
			return nil, fmt.Errorf("--time %s: want \"received\" or a date such as 2026-11-21T09:30:00Z", f.when)
		}
		b.Given.Time = t
	}
	return b, nil
}

// parseNetworks reads the values of a flag that names networks or addresses.
func parseNetworks(flag string, values []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, v := range values {
		p, err := netip.ParsePrefix(v)
		if err != nil {
			var ip netip.Addr
			if ip, err = netip.ParseAddr(v); err != nil {
				return nil, fmt.Errorf("%s %s: want a network such as 192.0.2.0/24 or an address", flag, v)
			}
			p = netip.PrefixFrom(ip, ip.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// verdicts takes the outcomes one by one and says them.
type verdicts struct {
	env    *Env
	asJSON bool
	many   bool // several messages by the nature of the input
	held   *check.Checked
	n      int64 // outcomes in all

	counts   map[check.Outcome]int64
	rejected int64
	shown    time.Time // of the progress line
	drawn    bool
}

func newVerdicts(e *Env, asJSON, many bool) *verdicts {
	return &verdicts{env: e, asJSON: asJSON, many: many, counts: map[check.Outcome]int64{}}
}

func (v *verdicts) add(c check.Checked) error {
	v.n++
	if c.Err != nil {
		v.rejected++
	} else {
		v.counts[c.Verdict.Outcome()]++
	}
	defer v.progress(false)
	if v.asJSON && v.many {
		return v.line(&c)
	}
	// Until there is a second message, the only one may be told at length.
	if v.n == 1 && (!v.many || !v.asJSON) {
		v.held = &c
		return nil
	}
	v.many = true
	if h := v.held; h != nil {
		v.held = nil
		if err := v.tell(h, true); err != nil {
			return err
		}
	}
	return v.tell(&c, false)
}

func (v *verdicts) tell(c *check.Checked, first bool) error {
	if v.asJSON {
		return v.line(c)
	}
	v.progress(true)
	if first {
		v.env.verdictHead()
	}
	v.env.verdictRow(c)
	return nil
}

// line writes one compact object.
func (v *verdicts) line(c *check.Checked) error {
	_, err := v.env.Out.Write(c.Rendered)
	return err
}

// jsonLine is the outcome as one line of JSON.
func jsonLine(c *check.Checked) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(c); err != nil { // cannot happen: a verdict is strings and numbers
		return nil
	}
	return b.Bytes()
}

// finish says what is left to say, and returns the status.
func (v *verdicts) finish() error {
	v.progress(true)
	e := v.env
	if c := v.held; c != nil {
		switch {
		case c.Err != nil:
			if v.asJSON {
				if err := writeJSON(e.Out, c); err != nil {
					return err
				}
			}
			e.complain(fmt.Errorf("%s: offset %d: %w", c.Path, c.Offset, c.Err))
		case v.asJSON:
			if err := writeJSON(e.Out, c.Verdict); err != nil {
				return err
			}
		default:
			e.printVerdict(&c.Verdict)
		}
	} else if !v.asJSON {
		e.printCounts(v)
	}
	switch {
	case v.rejected > 0 || v.counts[check.Failed] > 0:
		return statusError{status: StatusNegative}
	case v.counts[check.Undecided] > 0:
		return statusError{status: StatusTemporary}
	}
	return nil
}

// progress shows on a terminal how far the work has come, in one line that
// anything else takes the place of.
func (v *verdicts) progress(clear bool) {
	e := v.env
	switch {
	case !e.Terminal:
	case clear && v.drawn:
		fmt.Fprint(e.Err, "\r\x1b[K")
		v.drawn = false
	case !clear && v.many && time.Since(v.shown) > 200*time.Millisecond:
		fmt.Fprint(e.Err, "\r\x1b[K"+e.text("cli.verify.progress", explain.Args{"messages": v.n}))
		v.shown, v.drawn = time.Now(), true
	}
}
