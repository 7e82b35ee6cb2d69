// Package config reads the site's configuration: one YAML file into typed
// values, with errors that name the file, the line and the column.
//
// No file is needed: Default is what holds without one, and a file says only
// what differs. Parse tells everything that is wrong with a file at once. It
// looks at the text alone: whether a key can be read or an address be listened
// at is found by whoever uses it.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"sekimori/internal/gateway"
	"sekimori/internal/reporter"
	"sekimori/report/aggregate"
)

// maxFile bounds a configuration, in octets.
const maxFile = 1 << 20

// Config is the whole file.
type Config struct {
	Gateway Gateway
	Sign    []gateway.Key // files are resolved against the configuration's folder
	Reports Reports
	Advise  Advise
	Alerts  Alerts
	Letters Letters
	// Reminders has people reminded by mail of what is due, or was.
	Reminders bool
	// Warnings are what can be right but seldom is.
	Warnings []Problem
}

// Gateway is the section "gateway".
type Gateway struct {
	Listen []string // each as "unix:PATH" or "tcp:HOST:PORT"
	Socket Socket
	HTTP   string // HOST:PORT of metrics, health and the page that explains; "" is none
	Site   gateway.Site
	Keep   int // days that verdicts are kept
}

// Socket says who may use the unix sockets.
type Socket struct {
	Mode         fs.FileMode // permission bits
	Owner, Group string      // names or numbers; "" leaves the process's own
}

// Reports is the section "reports": what domain owners are told.
type Reports struct {
	Send           bool
	Organization   string
	Email          string
	Contact        string
	SMTP           string // HOST:PORT
	TLS            reporter.TLS
	Form           aggregate.Form
	OptOut         []string
	PerDestination int // reports a day to one destination, at most
	Failure        Failure
}

// Failure is reports.failure.
type Failure struct {
	Send    bool
	PerHour int // failure reports an hour, at most
}

// Default is the configuration without a file. It watches, and treats no
// message differently.
func Default() Config {
	return Config{
		Gateway: Gateway{Socket: Socket{Mode: 0o660}, Keep: 30},
		Reports: Reports{SMTP: "127.0.0.1:25", TLS: reporter.Opportunistic, Form: aggregate.RFC9990, PerDestination: 100, Failure: Failure{PerHour: 10}},
	}
}

// Reporting is what the reporter takes of the configuration.
func (c Config) Reporting() reporter.Options {
	o := c.Reports
	return reporter.Options{Send: o.Send, Organization: o.Organization, Email: o.Email, Contact: o.Contact, Form: o.Form,
		OptOut: o.OptOut, PerDestination: o.PerDestination, SMTP: o.SMTP, TLS: o.TLS}
}

// Read reads the configuration in a file. Its error is an Errors where the
// file was read.
func Read(file string) (Config, error) {
	f, err := os.Open(file)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return Default(), fmt.Errorf("%s: no such file: give the path of a configuration, or none at all", file)
		}
		return Default(), err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return Default(), fmt.Errorf("%s is a folder: give the path of a configuration", file)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Default(), fmt.Errorf("%s: %w", file, err)
	}
	return Parse(file, text)
}

// Parse reads a configuration. The name stands in errors and warnings, and
// relative paths start in its folder. Its error is an Errors.
func Parse(name string, text []byte) (Config, error) {
	r := &reader{name: name, folder: filepath.Dir(name)}
	return r.config(text)
}

func (r *reader) config(text []byte) (Config, error) {
	c := Default()
	var remindersAt *node
	if root := r.document(text); root != nil {
		r.mapping(root, "", section{
			"gateway":   func(n *node) { r.gateway(n, &c.Gateway) },
			"sign":      func(n *node) { r.sign(n, &c.Sign) },
			"reports":   func(n *node) { r.reports(n, &c) },
			"advise":    func(n *node) { r.advise(n, &c.Advise) },
			"alerts":    func(n *node) { r.alerts(n, &c.Alerts) },
			"letters":   func(n *node) { r.letters(n, &c.Letters) },
			"reminders": func(n *node) { remindersAt = n; r.flag(n, &c.Reminders) },
		})
		r.unsigned(&c)
		if c.Reminders && c.Alerts.From == "" && len(c.Alerts.Mail) == 0 && !r.wrong("alerts.from") && !r.wrong("alerts.mail") {
			r.problem(remindersAt, "reminders are mails: add alerts.from, the address that they come from")
		}
	}
	c.Warnings = r.warnings
	return c, r.err()
}
