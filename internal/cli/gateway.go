package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func newGateway(e *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: e.text("gatewayverb.short", nil),
		Long:  e.prose("gatewayverb.long"),
		Args:  cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return errors.New("gateway: not wired yet")
	}
	return cmd
}
