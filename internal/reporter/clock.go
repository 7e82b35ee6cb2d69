package reporter

import "time"

const (
	// maxJump is how far the wall clock may go in another direction than the
	// clock that nobody sets, before it is doubted.
	maxJump = time.Hour
	// trustAfter is how long a clock that jumped must hold before it is believed.
	trustAfter = 10 * time.Minute
)

// steadyClock doubts the wall clock after a jump: what is done once a day, and
// cannot be undone, waits until the new time has held for a while. The first
// time seen is believed. A machine that slept looks like a jump, and waits too.
// It is for one goroutine.
type steadyClock struct {
	started  bool
	offset   time.Time     // wall time at elapsed 0, as believed
	doubted  time.Time     // the same, as it is since the jump; zero while all is well
	doubtful time.Duration // when that was first seen, by the clock that nobody sets
}

// steady reports whether the wall clock may be believed.
func (c *steadyClock) steady(wall time.Time, elapsed time.Duration) bool {
	wall = wall.Round(0) // its monotonic reading would hide every jump
	offset := wall.Add(-elapsed)
	if !c.started {
		c.started, c.offset = true, offset
		return true
	}
	if near(offset, c.offset, maxJump) {
		c.offset, c.doubted = offset, time.Time{}
		return true
	}
	if c.doubted.IsZero() || !near(offset, c.doubted, time.Minute) {
		c.doubted, c.doubtful = offset, elapsed
		return false
	}
	if elapsed-c.doubtful < trustAfter {
		return false
	}
	c.offset, c.doubted = offset, time.Time{}
	return true
}

func near(a, b time.Time, d time.Duration) bool { return a.Sub(b).Abs() <= d }
