//go:build !linux

package collect

// background does nothing where a thread has no priority of its own.
func background() {}
