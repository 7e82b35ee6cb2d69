package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU time in /proc (USER_HZ, 100 on Linux).
const clockTick = 10 * time.Millisecond

// processes are those whose cost is measured: the ones named and their
// descendants, as of the beginning.
type processes []int

// processTree finds the descendants of processes. It needs /proc.
func processTree(roots []int) (processes, error) {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		if pid, fields := procStat(path); len(fields) > 1 {
			parent, _ := strconv.Atoi(fields[1])
			children[parent] = append(children[parent], pid)
		}
	}
	seen := map[int]bool{}
	var all processes
	var walk func(int)
	walk = func(pid int) {
		if seen[pid] {
			return
		}
		seen[pid] = true
		all = append(all, pid)
		for _, c := range children[pid] {
			walk(c)
		}
	}
	for _, pid := range roots {
		if _, fields := procStat(fmt.Sprintf("/proc/%d/stat", pid)); len(fields) == 0 {
			return nil, fmt.Errorf("no process %d, or no /proc to read of it", pid)
		}
		walk(pid)
	}
	return all, nil
}

// procStat returns the fields behind the program's name: state, parent, …
func procStat(path string) (pid int, fields []string) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, nil
	}
	s := string(b)
	pid, _ = strconv.Atoi(strings.Fields(s + " ")[0])
	_, rest, ok := strings.Cut(s[strings.LastIndexByte(s, ')')+1:], " ")
	if !ok {
		return 0, nil
	}
	return pid, strings.Fields(rest)
}

// cpu is the processes' time so far.
func (p processes) cpu() time.Duration {
	var ticks int64
	for _, pid := range p {
		_, f := procStat(fmt.Sprintf("/proc/%d/stat", pid))
		if len(f) < 13 {
			continue
		}
		user, _ := strconv.ParseInt(f[11], 10, 64)
		system, _ := strconv.ParseInt(f[12], 10, 64)
		ticks += user + system
	}
	return time.Duration(ticks) * clockTick
}

// memory is the most that the processes held, in octets (VmHWM).
func (p processes) memory() int64 {
	var kib int64
	for _, pid := range p {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				n, _ := strconv.ParseInt(strings.Fields(rest + " 0")[0], 10, 64)
				kib += n
			}
		}
	}
	return kib << 10
}
