package cli

import (
	"crypto/x509"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"sekimori/dns"
	"sekimori/internal/posture"
	"sekimori/internal/probe"
)

// fetchFlags are --https, whether what records point to is fetched, and
// --bimi-roots.
type fetchFlags struct {
	env   *Env
	https bool
	roots string
}

func addFetchFlags(cmd *cobra.Command, e *Env) *fetchFlags {
	f := &fetchFlags{env: e}
	cmd.Flags().BoolVar(&f.https, "https", true, e.text("cli.flag.https", nil))
	cmd.Flags().StringVar(&f.roots, "bimi-roots", "", e.text("cli.flag.bimi_roots", nil))
	_ = cmd.MarkFlagFilename("bimi-roots", "pem", "crt")
	return f
}

// open fills in what options need for fetching. Beside a zone file it is off
// unless asked for: the addresses in one are fictional.
func (f *fetchFlags) open(cmd *cobra.Command, names *dnsFlags, r dns.Resolver, o *posture.Options) error {
	if f.roots != "" {
		pem, err := os.ReadFile(f.env.path(f.roots))
		if err != nil {
			return fmt.Errorf("--bimi-roots: %w", err)
		}
		o.BIMIRoots = x509.NewCertPool()
		if !o.BIMIRoots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--bimi-roots: %s: no certificate in it: want PEM", f.roots)
		}
	}
	if f.https && (names.zone == "" || cmd.Flags().Changed("https")) {
		o.Fetch = &probe.HTTPS{Resolver: r}
	}
	return nil
}
