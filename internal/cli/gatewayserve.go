package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"sekimori/dns"
	"sekimori/internal/config"
)

// besideGateway runs serve together with the gateway that the configuration or
// the command line wants, if they want one. Where one of the two ends, so does
// the other. Mail is answered before the data folder is open, which may take a
// while.
func (e *Env) besideGateway(ctx context.Context, file string, listen []string, data string, resolver dns.Resolver, serve func(context.Context, []prometheus.Collector) error) error {
	o := gatekeeping{File: e.path(file), Dir: e.path(data), Resolver: resolver}
	for _, l := range listen {
		address, _, err := config.ParseListen(l)
		if err != nil {
			return usageError{fmt.Errorf("--gateway %s: %w", quote(l), err), "sekimori serve"}
		}
		o.Listen = append(o.Listen, address)
	}
	wanted := len(o.Listen) > 0
	if o.File != "" && !wanted {
		c, err := e.readConfig(o.File)
		if err != nil {
			return err
		}
		wanted = len(c.Gateway.Listen) > 0
	}
	if !wanted {
		return serve(ctx, nil)
	}
	out := newOutlet(e.Err)
	defer out.Close()
	k, err := e.openGatekeeper(o, out)
	if err != nil {
		return err
	}
	both, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		ended <- k.Run(both)
	}()
	err = serve(both, []prometheus.Collector{k.meters()})
	cancel()
	gone := <-ended
	if gone != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return gone
	}
	return err
}
