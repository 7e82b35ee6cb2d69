package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"sekimori/report/aggregate"
)

const (
	bigRows      = 200_000
	smallReports = 5000
	smallRows    = 5
	peerSmall    = 2000 // of the small reports, for parsedmarc
	giantBytes   = 1 << 30
)

func (b *bench) bigReport() (string, error) {
	// dmarc-cat insists on a name as of RFC 7489 §7.2.1.1.
	return b.once(fmt.Sprintf("receiver0.example!d0.example!%d!%d.xml.gz", monthBegin, monthBegin+86399), func(path string) error { return large(path, bigRows, "big") })
}

func (b *bench) smallReports() (string, error) {
	return b.once("small", func(path string) error { return small(path, smallReports, smallRows) })
}

// parse measures the report reader alone, on one core, from memory.
func (b *bench) parse(ctx context.Context) error {
	path, err := b.bigReport()
	if err != nil {
		return err
	}
	doc, err := inflated(path)
	if err != nil {
		return err
	}
	var speeds, rates []float64
	for range max(b.rounds, 3) {
		rows := 0
		before := cpuSeconds()
		r := aggregate.NewReader(bytes.NewReader(doc), aggregate.Limits{})
		var rec aggregate.Record
		for err = r.Next(&rec); err == nil; err = r.Next(&rec) {
			rows++
		}
		if err != io.EOF || rows != bigRows {
			return fmt.Errorf("read %d rows of %d: %w", rows, bigRows, err)
		}
		cpu := cpuSeconds() - before
		speeds = append(speeds, float64(len(doc))/1e6/cpu)
		rates = append(rates, float64(rows)/cpu)
	}
	got := b.add("parsing alone", "report/aggregate, XML in memory", "MB/s/core", speeds, fmt.Sprintf("%.0f MB", float64(len(doc))/1e6))
	b.add("parsing alone", "the same in rows", "rows/s", rates, "")
	b.atLeast("parsing alone", got, 200, "MB/s/core")
	return nil
}

func inflated(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// cpuSeconds is what this process has used of all cores.
func cpuSeconds() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// imported is what "import --json" says.
type imported struct {
	Files, Reports, Rows int64
	Messages             uint64
	Duplicates           int64
	Rejected             []json.RawMessage
}

// importInto imports path into a new data folder and checks the counts.
func (b *bench) importInto(ctx context.Context, name, path string, reports, rows int64) (usage, error) {
	dir, err := b.data(name)
	if err != nil {
		return usage{}, err
	}
	defer os.RemoveAll(dir)
	u, err := timed(ctx, exec.Command(b.program, "import", "--json", "--data", dir, path))
	if err != nil {
		return u, err
	}
	var got imported
	if err := json.Unmarshal(u.out, &got); err != nil {
		return u, fmt.Errorf("import --json answered %.200q: %w", u.out, err)
	}
	if got.Reports != reports || rows >= 0 && got.Rows != rows || len(got.Rejected) > 0 {
		return u, fmt.Errorf("imported %+v, want %d reports, %d rows", got, reports, rows)
	}
	return u, nil
}

// imports measures the import of one large and of many small reports, end to
// end, beside the others: in each round everything once.
func (b *bench) imports(ctx context.Context) error {
	big, err := b.bigReport()
	if err != nil {
		return err
	}
	few, err := b.smallReports()
	if err != nil {
		return err
	}
	p := b.findPeers(ctx)
	sample, err := firstFiles(few, peerSmall)
	if err != nil {
		return err
	}
	m := map[string][]float64{}
	note := func(key string, v float64) { m[key] = append(m[key], v) }
	for round := range b.rounds {
		fmt.Printf("round %d of %d, load %s\n", round+1, b.rounds, loadAverage())
		u, err := b.importInto(ctx, "big", big, 1, bigRows)
		if err != nil {
			return err
		}
		note("big", bigRows/u.wall)
		note("big cpu", u.cpu)
		note("big peak", u.peak)
		if p.xmllint != "" {
			u, err := timed(ctx, exec.Command("sh", "-c", `gunzip -c "$1" | xmllint --stream --noout -`, "sh", big))
			if err != nil {
				return err
			}
			note("xmllint", bigRows/u.wall)
		}
		if p.dmarcCat != "" {
			u, err := timed(ctx, exec.Command(p.dmarcCat, "-N", big))
			if err != nil {
				return err
			}
			note("dmarc-cat", bigRows/u.wall)
			note("dmarc-cat peak", u.peak)
		}
		// Where the machine is so busy that it takes minutes, once must do.
		if p.python != "" && (round == 0 || bigRows/m["parsedmarc"][0] < 90) {
			r, err := p.parsedmarc(ctx, big)
			if err != nil {
				return err
			}
			if r.Rows != bigRows {
				return fmt.Errorf("parsedmarc read %d rows of %d", r.Rows, bigRows)
			}
			note("parsedmarc", bigRows/r.Seconds)
			note("parsedmarc peak", r.peak)
		}
		u, err = b.importInto(ctx, "small", few, smallReports, smallReports*smallRows)
		if err != nil {
			return err
		}
		note("small", smallReports/u.wall)
		note("small cpu", u.cpu)
		note("small peak", u.peak)
		if p.python != "" {
			r, err := p.parsedmarc(ctx, sample...)
			if err != nil {
				return err
			}
			note("parsedmarc small", float64(len(sample))/r.Seconds)
		}
	}
	b.importFigures(m, p)
	return nil
}

func (b *bench) importFigures(m map[string][]float64, p peers) {
	part := fmt.Sprintf("one report of %s rows", human(bigRows))
	ours := b.add(part, "sekimori import, to the end into the store", "rows/s", m["big"], "")
	b.add(part, "  CPU", "s", m["big cpu"], "")
	b.add(part, "  peak memory", "MiB", m["big peak"], "")
	b.atLeast("import of a large report", ours, 100_000, "rows/s")
	if m["parsedmarc"] != nil {
		v := b.add(part, "parsedmarc "+p.version+", parsing only, offline", "rows/s", m["parsedmarc"], "")
		b.add(part, "  peak memory", "MiB", m["parsedmarc peak"], "")
		b.atLeast("  as many times parsedmarc", ours/v, 15, "times")
	}
	if m["dmarc-cat"] != nil {
		v := b.add(part, "dmarc-cat -N, printing only", "rows/s", m["dmarc-cat"], "")
		b.add(part, "  peak memory", "MiB", m["dmarc-cat peak"], "")
		b.atLeast("  as many times dmarc-cat", ours/v, 3, "times")
	}
	if m["xmllint"] != nil {
		v := b.add(part, "gunzip | xmllint --stream, reading only", "rows/s", m["xmllint"], "")
		b.aim("  as many times gunzip and xmllint", ours/v, 1, "times")
	}
	part = fmt.Sprintf("%s reports of %d rows", human(smallReports), smallRows)
	ours = b.add(part, "sekimori import, to the end into the store", "reports/s", m["small"], "")
	b.add(part, "  CPU", "s", m["small cpu"], "")
	b.add(part, "  peak memory", "MiB", m["small peak"], "")
	b.atLeast("import of small reports", ours, 3000, "reports/s")
	if m["parsedmarc small"] != nil {
		v := b.add(part, fmt.Sprintf("parsedmarc, parsing only, the first %d", peerSmall), "reports/s", m["parsedmarc small"], "")
		b.add(part, "  sekimori by parsedmarc", "times", []float64{ours / v}, "")
	}
}

// memory measures the peak of importing a report of 1 GiB, and of one half as
// large: it must not grow with the report.
func (b *bench) memory(ctx context.Context) error {
	doc, err := b.bigReport()
	if err != nil {
		return err
	}
	whole, err := inflated(doc)
	if err != nil {
		return err
	}
	perRow := float64(len(whole)) / bigRows
	whole = nil
	rows := int(giantBytes/perRow) + 1
	half, err := b.once("half.xml.gz", func(path string) error { return large(path, rows/2, "half") })
	if err != nil {
		return err
	}
	giant, err := b.once("giant.xml.gz", func(path string) error { return large(path, rows, "giant") })
	if err != nil {
		return err
	}
	h, err := b.importInto(ctx, "half", half, 1, int64(rows/2))
	if err != nil {
		return err
	}
	g, err := b.importInto(ctx, "giant", giant, 1, int64(rows))
	if err != nil {
		return err
	}
	part := "a report of 1 GiB"
	note := fmt.Sprintf("%s rows, %.1f s", human(float64(rows)), g.wall)
	b.add(part, "peak memory, half of it", "MiB", []float64{h.peak}, "")
	peak := b.add(part, "peak memory", "MiB", []float64{g.peak}, note)
	b.add(part, "rate", "rows/s", []float64{float64(rows) / g.wall}, "")
	b.atMost("peak memory of a 1 GiB report", peak, 512, "MiB")
	b.atMost("  growth from half of it", peak/h.peak, 1.25, "times")
	if g.peak == 0 {
		return errors.New("the peak memory could not be read from /proc")
	}
	return nil
}
