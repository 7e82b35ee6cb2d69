// Package cli is the command line: one file for each verb. Every verb runs on
// an Env instead of on the process's globals, so that a process that owns a
// data folder can run the verbs of others (see package handoff).
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/explain"
	"sekimori/internal/locale"
	"sekimori/internal/resolve"
	"sekimori/internal/store"
)

// Exit statuses, the same for every verb.
const (
	StatusDone      = 0 // done, or the verdict is positive
	StatusNegative  = 1 // a negative verdict, or some input was rejected
	StatusUsage     = 2 // usage or configuration error
	StatusTemporary = 3 // try again later
)

// Env is the world of one command.
type Env struct {
	Args     []string // without the program's name
	In       io.Reader
	Out, Err io.Writer
	Dir      string // where relative paths start
	Lang     locale.Lang
	Terminal bool // Err is a terminal: progress may be shown
	Width    int  // columns of the terminal; 0 is unknown
	Version  string
	Now      func() time.Time // the clock of gateway, reports and the work of fixing; nil is time.Now
	User     string           // who is kept as having done something; "" is the system's user

	shared  *store.Store // set in a job that was handed to the owner of its data folder
	serving bool         // the owner of the folder is "serve"
	site    *site        // what "serve" was configured with, for the jobs that it does for others
}

// LangOf returns the language that the environment asks for: Japanese where
// LC_ALL, LC_MESSAGES or LANG (the first that is set) begins with "ja".
func LangOf(getenv func(string) string) locale.Lang {
	for _, k := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := getenv(k); v != "" {
			if l, ok := locale.Parse(v); ok {
				return l
			}
			return locale.English
		}
	}
	return locale.English
}

// Run runs the command and returns its exit status.
func Run(ctx context.Context, e Env) int {
	root := newRoot(&e)
	root.SetArgs(e.Args)
	root.SetIn(e.In)
	root.SetOut(e.Out)
	root.SetErr(e.Err)
	err := root.ExecuteContext(ctx)
	var st statusError
	switch {
	case err == nil:
		return StatusDone
	case errors.As(err, &st):
		if st.err != nil {
			e.complain(st.err)
		}
		return st.status
	case errors.Is(err, context.Canceled):
		e.complain(errors.New(e.text("cli.interrupted", nil)))
		return StatusTemporary
	}
	e.complain(err)
	var u usageError
	if errors.As(err, &u) {
		fmt.Fprintln(e.Err, e.text("cli.see_help", explain.Args{"command": u.command}))
	}
	return StatusUsage
}

func (e *Env) complain(err error) { fmt.Fprintf(e.Err, "sekimori: %v\n", err) }

func (e *Env) text(code string, args explain.Args) string { return e.Lang.Text(code, args) }

// path makes a path of the command line absolute.
func (e *Env) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(e.Dir, p)
}

// statusError ends a command with a status; err, if any, is printed.
type statusError struct {
	status int
	err    error
}

func (s statusError) Error() string {
	if s.err == nil {
		return fmt.Sprintf("exit status %d", s.status)
	}
	return s.err.Error()
}

func (s statusError) Unwrap() error { return s.err }

func temporary(err error) error { return statusError{StatusTemporary, err} }

// usageError is a mistake on the command line.
type usageError struct {
	err     error
	command string
}

func (u usageError) Error() string { return u.err.Error() }
func (u usageError) Unwrap() error { return u.err }

func newRoot(e *Env) *cobra.Command {
	root := &cobra.Command{
		Use:           "sekimori",
		Short:         e.text("cli.root.short", nil),
		Long:          e.prose("cli.root.long"),
		Version:       e.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown verb %q%s", args[0], suggest(cmd, args[0])), "sekimori"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("sekimori {{.Version}}\n")
	root.SetUsageFunc(usage(e))
	root.SetHelpTemplate("{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}\n\n{{end}}{{.UsageString}}")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{flagError(err), cmd.CommandPath()} })
	root.AddCommand(newImport(e), newAdvise(e), newServe(e), newVerify(e), newCheck(e), newSurvey(e), newReport(e), newGateway(e), newBenchMilter(e),
		newSource(e), newDepartment(e), newFix(e), newTimeline(e), newWatch(e), newInventory(e), newMonthly(e))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.InitDefaultVersionFlag()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help", "completion":
			c.Short = e.text("cli."+c.Name()+".short", nil)
		}
		c.InitDefaultHelpFlag()
		if f := c.Flags().Lookup("help"); f != nil {
			f.Usage = e.text("cli.flag.help", nil)
		}
		checkArgs(c)
	}
	root.InitDefaultHelpFlag()
	root.Flags().Lookup("help").Usage = e.text("cli.flag.help", nil)
	if f := root.Flags().Lookup("version"); f != nil {
		f.Usage = e.text("cli.flag.version", nil)
	}
	return root
}

func suggest(cmd *cobra.Command, word string) string {
	cmd.SuggestionsMinimumDistance = 2
	if s := cmd.SuggestionsFor(word); len(s) > 0 {
		return fmt.Sprintf("; did you mean %q?", s[0])
	}
	return ""
}

// dataFlag adds --data.
func dataFlag(cmd *cobra.Command, e *Env) *string {
	def := os.Getenv("SEKIMORI_DATA")
	if def == "" {
		def = "./data"
	}
	p := cmd.Flags().String("data", def, e.text("cli.flag.data", nil))
	_ = cmd.MarkFlagDirname("data")
	return p
}

// dnsFlags are --resolver and --zone.
type dnsFlags struct{ resolver, zone string }

func addDNSFlags(cmd *cobra.Command, e *Env) *dnsFlags {
	f := &dnsFlags{}
	cmd.Flags().StringVar(&f.resolver, "resolver", "", e.text("cli.flag.resolver", nil))
	cmd.Flags().StringVar(&f.zone, "zone", "", e.text("cli.flag.zone", nil))
	_ = cmd.MarkFlagFilename("zone")
	cmd.MarkFlagsMutuallyExclusive("resolver", "zone")
	return f
}

// mark tells the resolver from others and a changed zone file from the one it was.
func (f *dnsFlags) mark(e *Env) string {
	if f.zone != "" {
		return fileMark(e.path(f.zone))
	}
	return f.resolver
}

// open returns the resolver that the flags ask for.
func (f *dnsFlags) open(e *Env) (dns.Resolver, error) { return f.openWith(e, resolve.Options{}) }

// openWith returns it with options of its own, where it asks the network.
func (f *dnsFlags) openWith(e *Env, o resolve.Options) (dns.Resolver, error) {
	if f.zone != "" {
		z, err := dnstest.Open(e.path(f.zone))
		if err != nil {
			return nil, fmt.Errorf("--zone: %w", err)
		}
		return z, nil
	}
	if f.resolver != "" {
		o.Servers = []string{f.resolver}
	}
	r, err := resolve.New(o)
	if err != nil {
		if f.resolver != "" {
			return nil, fmt.Errorf("--resolver: %w", err)
		}
		return nil, err
	}
	return r, nil
}
