package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"sekimori/explain"
	"sekimori/internal/config"
	"sekimori/internal/gateway"
	"sekimori/internal/resolve"
)

// How the gateway collects its garbage, unless GOGC and GOMEMLIMIT say
// otherwise. A message leaves some kilobytes behind while little is live, so that
// collecting seldom saves a sixth of the processor's time; the limit, which is
// no bound, lets it be done more often before memory grows.
const (
	gatewayGarbage = 400      // percent
	gatewayMemory  = 76 << 20 // beside some 48 MiB of the program itself
)

// gatewayDNS suits a gateway: many questions at a time, most of them answered
// from memory.
var gatewayDNS = resolve.Options{Concurrency: 512, Memory: 48 << 20}

func newGateway(e *Env) *cobra.Command {
	var file, http string
	var listen []string
	var check bool
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: e.text("gatewayverb.short", nil),
		Long: strings.Join([]string{e.prose("gatewayverb.long"), e.prose("gatewayverb.long_signals"),
			e.prose("gatewayverb.long_status")}, "\n\n"),
		Example: "  sekimori gateway --listen unix:/run/sekimori/milter.sock\n" +
			"  sekimori gateway --config /etc/sekimori/sekimori.yaml\n" +
			"  sekimori gateway --config sekimori.yaml --check",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown verb %q%s", args[0], suggest(cmd, args[0])), cmd.CommandPath()}
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&listen, "listen", nil, e.text("gatewayverb.flag.listen", nil))
	cmd.Flags().StringVar(&file, "config", "", e.text("gatewayverb.flag.config", nil))
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	cmd.Flags().StringVar(&http, "http", "", e.text("gatewayverb.flag.http", nil))
	cmd.Flags().BoolVar(&check, "check", false, e.text("gatewayverb.flag.check", nil))
	data := dataFlag(cmd, e)
	names := addDNSFlags(cmd, e)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		o := gatekeeping{File: e.path(file), HTTP: http, Dir: e.path(*data)}
		for _, l := range listen {
			address, _, err := config.ParseListen(l)
			if err != nil {
				return usage(fmt.Errorf("--listen %s: %w", quote(l), err))
			}
			o.Listen = append(o.Listen, address)
		}
		if check {
			return e.checkConfig(cmd.Context(), o, names)
		}
		resolver, err := names.openWith(e, gatewayDNS)
		if err != nil {
			return usage(err)
		}
		o.Resolver = resolver
		tidySeldom()
		out := newOutlet(e.Err)
		defer out.Close()
		k, err := e.openGatekeeper(o, out)
		if err != nil {
			return err
		}
		return k.Run(cmd.Context())
	}
	cmd.AddCommand(newGatewayFind(e))
	e.asParent(cmd)
	return cmd
}

func tidySeldom() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gatewayGarbage)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(gatewayMemory)
	}
}

// asParent finishes a verb that has verbs of its own.
func (e *Env) asParent(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		c.InitDefaultHelpFlag()
		c.Flags().Lookup("help").Usage = e.text("cli.flag.help", nil)
		checkArgs(c)
	}
}

// checkConfig says what is wrong with a configuration and its keys, and starts
// nothing.
func (e *Env) checkConfig(ctx context.Context, o gatekeeping, names *dnsFlags) error {
	usage := func(err error) error { return usageError{err, "sekimori gateway"} }
	if o.File == "" {
		return usage(errors.New("--check wants --config FILE"))
	}
	c, err := e.readConfig(o.File)
	if err != nil {
		return err
	}
	resolver, err := names.open(e)
	if err != nil {
		return usage(err)
	}
	signer, findings, err := signing(c)
	if err != nil {
		return err
	}
	if _, err := gateway.New(gateway.Options{Site: c.Gateway.Site, Resolver: resolver}); err != nil {
		return fmt.Errorf("%s: %w", o.File, err)
	}
	for _, w := range c.Warnings {
		fmt.Fprintln(e.Out, w)
	}
	if signer != nil {
		findings = append(findings, signer.Check(ctx, resolver)...)
	}
	for _, f := range findings {
		e.printKeyFinding(f)
	}
	fmt.Fprintln(e.Out, e.text("gatewayverb.config-right", explain.Args{"file": o.File}))
	return nil
}

// printKeyFinding writes what could be better with a key, and the record to
// publish for it.
func (e *Env) printKeyFinding(f explain.Finding) {
	width := e.width()
	wrap(e.Out, width, gradeMark(f.Grade)+" ", e.Lang.Step(f.Step))
	if code := f.Code + ".why"; e.Lang.Has(code) {
		wrap(e.Out, width, "    ", e.text(code, f.Args))
	}
	if p := f.Publish; p != nil {
		wrap(e.Out, width, "    ", e.text("cli.check.publish", explain.Args{"name": p.Name, "type": p.Type}))
		fmt.Fprintln(e.Out, "      "+p.Value)
	}
	fmt.Fprintln(e.Out)
}

// logger writes JSON lines, or text for a person at a terminal.
func (e *Env) logger(out *outlet) *slog.Logger {
	if e.Terminal {
		return slog.New(slog.NewTextHandler(out, nil))
	}
	return slog.New(slog.NewJSONHandler(out, nil))
}

// secondSignal returns a context that ends when the process is told to end for
// the second time: then nothing is waited for any more. The first time is what
// ends ctx. stop gives the signals back.
func secondSignal(ctx context.Context) (at context.Context, stop func()) {
	at, cancel := context.WithCancel(context.WithoutCancel(ctx))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for range 2 {
			select {
			case <-signals:
			case <-at.Done():
				return
			}
		}
		cancel()
	}()
	return at, func() { signal.Stop(signals); cancel() }
}
