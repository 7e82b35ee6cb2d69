package cli

import (
	"sekimori/explain"
	"sekimori/internal/config"
	"sekimori/internal/gateway"
)

// readConfig reads the site's configuration; without a file it is the default.
func (e *Env) readConfig(file string) (config.Config, error) {
	if file == "" {
		return config.Default(), nil
	}
	return config.Read(e.path(file))
}

// signing loads the keys of a configuration. The signer is nil where it names
// none. The findings are about keys that work and could be better.
func signing(c config.Config) (*gateway.Signer, []explain.Finding, error) {
	if len(c.Sign) == 0 {
		return nil, nil, nil
	}
	return gateway.LoadKeys(c.Sign)
}
