//go:build unix

package milter

import (
	"errors"
	"os"
	"syscall"
)

const canAttempt = true

// tryRead reads from a descriptor that does not block; false asks to be called
// again when there is something.
func (in *inflow) tryRead(fd uintptr) bool {
	if in.buf == nil {
		in.borrow()
	}
	for {
		n, err := syscall.Read(int(fd), in.buf[in.end:])
		switch {
		case err == nil:
			in.n = max(n, 0)
			return true
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			if in.start == in.end {
				in.release()
			}
			return false
		}
		in.err = os.NewSyscallError("read", err)
		return true
	}
}
