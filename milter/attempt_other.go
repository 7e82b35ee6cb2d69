//go:build !unix

package milter

const canAttempt = false

func (in *inflow) tryRead(uintptr) bool { return true }
