//go:build !linux

package cli

// There is no systemd to tell.
func notify(string) {}
func notifyReload() {}
