// Package config reads the site's configuration: one YAML file into typed
// values, with errors that name the file and the line.
package config
