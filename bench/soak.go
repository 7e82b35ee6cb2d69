//go:build unix

package main

import (
	"context"
	"fmt"
	"path/filepath"

	"sekimori/internal/store/verdict"
)

// soakSteps is into how many parts a soak is cut; memory is looked at after
// each.
const soakSteps = 30

// soak keeps the gateway at half of its load for a long time, and wants no
// growth and no verdict lost.
func (b *bench) soak(ctx context.Context) error {
	if b.soaking == 0 {
		return nil // takes long: only when asked for
	}
	w, err := b.openPost(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	f, err := b.ours(ctx, w)
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			f.stop()
		}
	}()
	sent := int64(0)
	drive := func(n, rate int) (driven, error) {
		r, err := w.drive(ctx, f, w.small, n, rate)
		sent += int64(n)
		return r, err
	}
	if _, err := drive(2000, 0); err != nil {
		return err
	}
	full, err := drive(20_000, 0)
	if err != nil {
		return err
	}
	half := int(20_000 / full.wall / 2)
	each := int(b.soaking.Seconds() / soakSteps * float64(half))
	var memory, p99s []float64
	for i := range soakSteps {
		r, err := drive(each, half)
		if err != nil {
			return err
		}
		memory, p99s = append(memory, memoryOf(f.pids[0], "VmRSS:")), append(p99s, r.p99*1000)
		fmt.Printf("soak %d of %d: %.0f MiB, p99 %.1f ms\n", i+1, soakSteps, memory[i], p99s[i])
	}
	f.stop()
	stopped = true
	kept, err := keptVerdicts(ctx, filepath.Join(b.path("data-gateway"), "gateway"))
	if err != nil {
		return err
	}
	part := fmt.Sprintf("gateway, %s at %d messages/s", b.soaking, half)
	b.add(part, "p99 of the whole session", "ms", p99s, fmt.Sprintf("%d messages", sent))
	early := b.add(part, "memory, second fifth", "MiB", memory[soakSteps/5:2*soakSteps/5], "")
	late := b.add(part, "memory, last fifth", "MiB", memory[4*soakSteps/5:], "")
	b.atMost("growth of memory", late/early, 1.1, "times")
	b.atMost("verdicts lost", float64(sent-kept), 0, "")
	return nil
}

// keptVerdicts counts the messages of all days.
func keptVerdicts(ctx context.Context, dir string) (n int64, err error) {
	r, err := verdict.Read(dir)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	days, err := r.Days(ctx)
	for _, d := range days {
		n += d.Messages
	}
	return n, err
}
