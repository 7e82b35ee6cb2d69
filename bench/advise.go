package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
)

// Bars of the advise part.
const (
	coldBar = 3.0   // s, from the start of the process to its end
	warmBar = 300.0 // ms, the page and the API
	peakBar = 512.0 // MiB
)

// The domain of the advise part: one with b.rows rows over so many days, from
// so many addresses.
const (
	adviseDomain    = "big.example"
	adviseDays      = 120
	adviseReceivers = 24
	adviseAddresses = 200_000
)

// advise asks for advice about one domain with b.rows rows from 200,000
// addresses: a process of its own that finds no answer kept, with the names of
// no address known; then a kept answer, by command and from the running
// dashboard.
func (b *bench) advise(ctx context.Context) error {
	part := fmt.Sprintf("advice about one domain with %s rows, %s addresses", human(float64(b.rows)), human(adviseAddresses))
	dir, err := b.once(fmt.Sprintf("data-advise-%d", b.rows), func(path string) error {
		src, err := b.once(fmt.Sprintf("advise-%d", b.rows), func(path string) error { return adviseWorld(path, b.rows) })
		if err != nil {
			return err
		}
		if _, err = timed(ctx, exec.Command(b.program, "import", "--json", "--data", path, src)); err != nil {
			return err
		}
		return copyFile(filepath.Join(path, "state.imported"), filepath.Join(path, "state.sqlite"))
	})
	if err != nil {
		return err
	}
	zone := b.path("zone") // no names: nothing is asked of the network
	if err := os.WriteFile(zone, []byte("$TTL 3600\nlocalhost. IN A 127.0.0.1\n"), 0o644); err != nil {
		return err
	}
	ask := func(args ...string) (usage, error) {
		args = append([]string{"advise", adviseDomain, "--json", "--data", dir, "--zone", zone}, args...)
		var out bytes.Buffer // with tens of thousands of addresses it is large
		cmd := exec.Command(b.program, args...)
		cmd.Stdout = &out
		u, err := timed(ctx, cmd, 0, 1)
		u.out = out.Bytes()
		return u, err
	}
	// Small state is as after the import: no answer kept, no name looked up.
	state, saved := filepath.Join(dir, "state.sqlite"), filepath.Join(dir, "state.imported")
	var cold, spent, again, peak, warm []float64
	for i := range b.rounds + 1 {
		err := errors.Join(os.RemoveAll(state+"-wal"), os.RemoveAll(state+"-shm"), copyFile(state, saved))
		if err != nil {
			return err
		}
		u, err := ask()
		if err != nil {
			return err
		}
		var got struct {
			Messages uint64
			Sources  []struct {
				AddressCount int `json:"address_count"`
			}
		}
		if err := json.Unmarshal(u.out, &got); err != nil {
			return err
		}
		addresses := 0
		for _, s := range got.Sources {
			addresses += s.AddressCount
		}
		if got.Messages == 0 || addresses < adviseAddresses/3 {
			return fmt.Errorf("the answer is about %d messages and %d addresses", got.Messages, addresses)
		}
		peak = append(peak, u.peak)
		if i > 0 { // the first reads the file from the disk
			cold, spent = append(cold, u.wall), append(spent, u.cpu)
		}
		if u, err = ask(); err != nil {
			return err
		}
		again = append(again, 1000*u.wall)
	}
	b.add(part, "cold: the process, from its start to its end", "s", cold, "page cache warm, no answer kept, no host name known")
	b.add(part, "cold: processor time", "s", spent, "")
	b.add(part, "cold: peak memory", "MiB", peak, "")
	b.add(part, "the same question again, another process", "ms", again, "")

	s, err := b.serve(dir)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := s.settled(ctx); err != nil {
		return err
	}
	worst := 0.0
	for _, path := range []string{"/domain/" + adviseDomain, "/api/v1/domains/" + adviseDomain + "/advice"} {
		warm = warm[:0]
		for range samples {
			d, err := s.get(ctx, path, nil)
			if err != nil {
				return err
			}
			warm = append(warm, float64(d.Microseconds())/1000)
		}
		b.add(part, "warm: "+path, "ms p95", []float64{percentile(warm, 95)}, "median "+human(median(warm)))
		worst = max(worst, percentile(warm, 95))
	}
	b.atMost("advice about a large domain, cold", median(cold), coldBar, "s")
	b.atMost("advice about a large domain, asked again", median(again), warmBar, "ms")
	b.atMost("advice about a large domain, warm", worst, warmBar, "ms p95")
	b.atMost("advice about a large domain, peak memory", maxOf(peak), peakBar, "MiB")
	return nil
}

// copyFile copies a small file.
func copyFile(to, from string) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, raw, 0o600)
}

func maxOf(v []float64) float64 {
	most := 0.0
	for _, x := range v {
		most = max(most, x)
	}
	return most
}

// adviseWorld makes a folder of zips, one a day, with about so many rows about
// one domain.
func adviseWorld(dir string, rows int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	s := newSheet(4711)
	perReport := rows / adviseDays / adviseReceivers
	for day := range adviseDays {
		err := zipped(filepath.Join(dir, fmt.Sprintf("day-%03d.zip", day)), func(z *zip.Writer) error {
			for r := range adviseReceivers {
				h := head7489{receiver: fmt.Sprintf("receiver%d.example", r), domain: adviseDomain, id: fmt.Sprintf("a-%d-%d", day, r),
					day: day - adviseDays, rows: perReport, draw: adviseRow}
				if err := s.entry(z, h, "a"); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// adviseRow draws a row: own servers and vendors that pass, vendors that do
// not, 400 organisations that forward, rented servers with an identity of
// their own, and for the most part a botnet.
func adviseRow(r *rand.Rand) row {
	v := row{dkim: "pass", spf: "pass"}
	switch k := r.IntN(40); {
	case k < 6:
		v.addr, v.author = address(0, 0, r.IntN(24)), subdomain(r)
	case k < 10:
		n := r.IntN(4) // vendors with large pools
		v.addr, v.spfDomain, v.author = address(n, 1, r.IntN(200)), fmt.Sprintf("bounce.vendor%d.example", n), subdomain(r)
	case k < 12:
		n := r.IntN(6)
		v.addr, v.dkimDomain, v.spfDomain = address(n, 2, r.IntN(12)), fmt.Sprintf("survey%d.example", n), fmt.Sprintf("mail.survey%d.example", n)
	case k < 16:
		v.addr, v.spf = address(100+r.IntN(400), 3, r.IntN(20)), "fail"
		if r.IntN(20) == 0 {
			v.dkim, v.forwarded = "fail", true
		}
	case k < 17:
		n := r.IntN(300) // rented, with an identity of its own
		v.addr, v.dkimDomain, v.spfDomain = address(1000+n, 3, r.IntN(3)), fmt.Sprintf("rented%d.example", n), fmt.Sprintf("rented%d.example", n)
	default:
		v.addr, v.dkim, v.spf = scattered(7, r.IntN(adviseAddresses-10_000)), "", "fail"
	}
	return v
}

// subdomain draws the author domain of mail of ours.
func subdomain(r *rand.Rand) string {
	if k := r.IntN(40); k < 12 {
		return fmt.Sprintf("part%d.%s", k, adviseDomain)
	}
	return ""
}
