// Package mailserver runs Postfix on loopback, for tests and benchmarks that
// want a real mail server.
package mailserver
