package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sekimori/dmarc"
	"sekimori/explain"
	"sekimori/internal/check"
	"sekimori/internal/publish"
	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// surveyMailFlags are the flags of "survey mail".
type surveyMailFlags struct {
	name, out, passwordFile, imapRoots, roots string
	mailboxes, ids, trust                     []string
	asJSON                                    bool
}

func newSurveyMail(e *Env) *cobra.Command {
	var f surveyMailFlags
	cmd := &cobra.Command{
		Use:   "mail PLACE…",
		Short: e.text("cli.surveymail.short", nil),
		Long: strings.Join([]string{e.prose("cli.surveymail.long"), e.prose("cli.surveymail.long_match"), e.prose("cli.surveymail.long_recorded"),
			e.prose("cli.surveymail.long_words"), e.prose("cli.surveymail.long_again"), e.prose("cli.surveymail.long_status")}, "\n\n"),
		Example: "  sekimori survey mail newsletters.mbox\n  sekimori survey mail ~/Maildir --out report --authserv-id mx.example.jp\n" +
			"  sekimori survey mail --imap imaps://me@example.jp/INBOX --password-file pw",
	}
	names := addDNSFlags(cmd, e)
	data := dataFlag(cmd, e)
	fl := cmd.Flags()
	fl.StringVar(&f.name, "name", "", e.text("cli.surveymail.flag_name", nil))
	fl.StringVar(&f.out, "out", "", e.text("cli.surveymail.flag_out", nil))
	fl.StringArrayVar(&f.mailboxes, "imap", nil, e.text("cli.surveymail.flag_imap", nil))
	fl.StringVar(&f.passwordFile, "password-file", "", e.text("cli.surveymail.flag_password_file", nil))
	fl.StringVar(&f.imapRoots, "imap-roots", "", e.text("cli.surveymail.flag_imap_roots", nil))
	fl.StringVar(&f.roots, "roots", "", e.text("cli.surveymail.flag_roots", nil))
	fl.StringArrayVar(&f.ids, "authserv-id", nil, e.text("cli.surveymail.flag_authserv_id", nil))
	fl.StringArrayVar(&f.trust, "trust", nil, e.text("cli.verify.flag_trust", nil))
	fl.BoolVar(&f.asJSON, "json", false, e.text("cli.surveymail.flag_json", nil))
	_ = cmd.MarkFlagDirname("out")
	_ = cmd.MarkFlagFilename("password-file")
	_ = cmd.MarkFlagFilename("imap-roots")
	_ = cmd.MarkFlagFilename("roots")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		if f.name != "" {
			if err := checkWaveName(f.name); err != nil {
				return usage(err)
			}
		}
		places, mailboxes, err := f.places(e, args)
		if err != nil {
			return usage(err)
		}
		trust, err := parseNetworks("--trust", f.trust)
		if err != nil {
			return usage(err)
		}
		checker, err := f.checker(e, names)
		if err != nil {
			return usage(err)
		}
		ctx := cmd.Context()
		return e.withStore(ctx, *data, true, func(st *store.Store) error {
			wave, err := mailWave(ctx, st, f.name)
			if err != nil {
				return err
			}
			if err := knowMail(ctx, st, wave, mailboxes); err != nil {
				return err
			}
			out := mailOutput{env: e, wave: wave, most: shownRejects}
			if f.asJSON {
				out.most = keptRejects
			}
			m := survey.Mailing{Store: st, Checker: checker, IDs: f.ids, Trust: trust, Rejected: out.reject, Progress: out.progress}
			out.count, err = m.Run(ctx, wave.ID, places)
			out.clear()
			if err != nil {
				if ctx.Err() != nil {
					return temporary(errors.New(e.text("cli.surveymail.interrupted", explain.Args{"n": out.count.Fresh + out.count.Again})))
				}
				return temporary(fmt.Errorf("%w; %s", err, e.text("cli.surveymail.resume", explain.Args{"n": out.count.Fresh + out.count.Again})))
			}
			if err := out.tabulate(ctx, st); err != nil {
				return err
			}
			if f.out != "" {
				if out.files, _, err = publish.Write(ctx, st, out.wave, e.path(f.out), e.publication(false)); err != nil {
					return err
				}
			}
			return out.finish(f.asJSON)
		})
	}
	return cmd
}

// places reads what is to be looked at.
func (f *surveyMailFlags) places(e *Env, args []string) ([]check.Place, []*survey.Mailbox, error) {
	if len(args)+len(f.mailboxes) == 0 {
		return nil, nil, errors.New("which messages? Name a mailbox file, a maildir or a folder of messages, or a mailbox on a server with --imap")
	}
	var places []check.Place
	stdin := false
	for _, a := range args {
		if a == "-" {
			if stdin {
				return nil, nil, errors.New("- stands for the standard input and can be given once")
			}
			places, stdin = append(places, check.Place{Name: a, In: e.In}), true
			continue
		}
		p := check.Place{Name: a, File: e.path(a)}
		if _, err := os.Stat(p.File); err != nil {
			if strings.HasPrefix(a, "imap:") || strings.HasPrefix(a, "imaps:") {
				return nil, nil, fmt.Errorf("%s: a mailbox on a server is named with --imap", a)
			}
			return nil, nil, fmt.Errorf("%s: %w", a, unwrapPath(err))
		}
		places = append(places, p)
	}
	if len(f.mailboxes) == 0 {
		return places, nil, nil
	}
	if f.passwordFile == "" {
		return nil, nil, errors.New("--imap needs --password-file: a file with the password in its first line")
	}
	password, err := readPassword(e.path(f.passwordFile))
	if err != nil {
		return nil, nil, fmt.Errorf("--password-file %s: %w", f.passwordFile, unwrapPath(err))
	}
	roots, err := e.certificates("--imap-roots", f.imapRoots)
	if err != nil {
		return nil, nil, err
	}
	var mailboxes []*survey.Mailbox
	for _, s := range f.mailboxes {
		u, err := survey.ParseMailbox(s)
		if err != nil {
			return nil, nil, fmt.Errorf("--imap: %w", err)
		}
		b := &survey.Mailbox{URL: u, Password: password, Roots: roots}
		mailboxes = append(mailboxes, b)
		places = append(places, b.Place())
	}
	return places, mailboxes, nil
}

// readPassword reads the first line of a file.
func readPassword(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(string(b), "\n")
	first = strings.TrimSuffix(first, "\r")
	if first == "" || len(first) > 1024 {
		return "", errors.New("want the password in the first line")
	}
	return first, nil
}

// checker makes what evaluates the messages.
func (f *surveyMailFlags) checker(e *Env, names *dnsFlags) (*check.Checker, error) {
	resolver, err := names.open(e)
	if err != nil {
		return nil, err
	}
	signatures, err := e.smimeVerifier(f.roots)
	if err != nil {
		return nil, err
	}
	return &check.Checker{Resolver: resolver, SMIME: signatures, Sequential: true, DMARC: dmarc.Options{EachAuthor: true}}, nil
}

// mailWave finds the wave of that name, or the newest, or begins one without a
// list: it may come later.
func mailWave(ctx context.Context, st *store.Store, name string) (store.Wave, error) {
	wave, err := st.Wave(ctx, name)
	if !errors.Is(err, store.ErrNotFound) {
		return wave, err
	}
	if name == "" {
		name = time.Now().Format("2006-01")
	}
	wave, _, err = st.StartWave(ctx, store.WaveSpec{Name: name})
	return wave, err
}

// knowMail tells the mailboxes which of their messages the wave has already. A
// message that is not settled is fetched again: one for which the DNS gave no
// answer, and one that belongs to nobody while there is a list.
func knowMail(ctx context.Context, st *store.Store, wave store.Wave, mailboxes []*survey.Mailbox) error {
	if len(mailboxes) == 0 {
		return nil
	}
	known := survey.MailboxKnown{}
	err := st.EachMail(ctx, wave.ID, func(m *store.MailResult) error {
		if !survey.MailUndecided(m) && (m.Entry != 0 || wave.Domains == 0) {
			known.KnownMail(m.Path)
		}
		return nil
	})
	for _, b := range mailboxes {
		b.Known = known
	}
	return err
}
