package collect

import (
	"runtime"
	"syscall"
)

// background makes the goroutine run on a thread of its own that gives way to
// others where the processors are scarce (nice 10). It lasts until the
// goroutine ends; the thread then ends with it.
func background() {
	runtime.LockOSThread()
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 10) // 0 is the calling thread; a refusal costs nothing but speed
}
