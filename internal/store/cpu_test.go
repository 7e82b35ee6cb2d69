package store

import (
	"syscall"
	"time"
)

func cpuTime() (user, sys time.Duration, rss int64) {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano()), time.Duration(u.Stime.Nano()), u.Maxrss >> 10
}
