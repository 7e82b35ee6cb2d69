package cli

import (
	"github.com/spf13/cobra"

	"sekimori/dns"
	"sekimori/internal/posture"
	"sekimori/internal/probe"
)

// fetchFlags is --https: whether what records point to is fetched.
type fetchFlags struct{ https bool }

func addFetchFlags(cmd *cobra.Command, e *Env) *fetchFlags {
	f := &fetchFlags{}
	cmd.Flags().BoolVar(&f.https, "https", true, e.text("cli.flag.https", nil))
	return f
}

// open fills in what options need for fetching. Beside a zone file it is off
// unless asked for: the addresses in one are fictional.
func (f *fetchFlags) open(cmd *cobra.Command, names *dnsFlags, r dns.Resolver, o *posture.Options) error {
	if !f.https || names.zone != "" && !cmd.Flags().Changed("https") {
		return nil
	}
	o.Fetch = &probe.HTTPS{Resolver: r}
	return nil
}
