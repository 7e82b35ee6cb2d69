// Command generate writes the example that "make run" shows: one month of
// DMARC aggregate reports about an imaginary Japanese ministry, and the zone
// file that goes with them. ../README.md tells the story.
//
//	go run ./examples/generate -out examples/month
//
// writes examples/month/reports (what receivers sent, in all the shapes that
// receivers use), examples/month/zone (every name a reader of the reports would
// look up), examples/month/messages (one message of each kind), and
// examples/month/survey (a list of imaginary municipalities and the zone that
// serves them). The output is the same on every run and every machine. All names end in .example and all addresses are reserved ones (RFC 5737, RFC
// 3849, RFC 2544, RFC 6598): nobody real is accused of anything.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"sekimori/examples/sector"
)

func main() {
	out := flag.String("out", "examples/month", "folder to write to; an earlier output there is replaced")
	quiet := flag.Bool("q", false, "print nothing")
	flag.Parse()
	total, err := generate(*out)
	if err != nil {
		fmt.Fprintf(os.Stderr, "generate: %v\n", err)
		os.Exit(1)
	}
	if !*quiet {
		fmt.Printf("%s: %d files, %d reports, %d rows, %d messages\n", *out, total.files, total.reports, total.rows, total.messages)
	}
}

// totals is what was written. Reports, rows and messages are those that a
// reader accepts, each report once.
type totals struct {
	files, reports, rows int
	messages             uint64
}

// marker is the file that tells an earlier output, which may be replaced,
// from a folder of somebody's own.
const marker = ".generated"

// generate writes the whole example into dir.
func generate(dir string) (totals, error) {
	if err := clear(dir); err != nil {
		return totals{}, err
	}
	w := newMinistry()
	o := &output{dir: filepath.Join(dir, "reports")}
	for i := range receivers {
		if err := o.receiver(&receivers[i], w); err != nil {
			return totals{}, fmt.Errorf("reports of %s: %w", receivers[i].org, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "zone"), w.zone(), 0o644); err != nil {
		return totals{}, err
	}
	if err := writeLetters(filepath.Join(dir, "messages")); err != nil {
		return totals{}, err
	}
	if err := writeSurvey(filepath.Join(dir, "survey")); err != nil {
		return totals{}, err
	}
	return o.totals, nil
}

// clear makes dir an empty folder, if it is new or an earlier output.
func clear(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(dir, marker)); err != nil {
			return fmt.Errorf("%s is not empty and was not written by this program: name a new folder", dir)
		}
		for _, name := range []string{"reports", "zone", "messages", "survey"} {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "reports"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, marker), []byte("written by examples/generate; replaced at its next run\n"), 0o644)
}

// writeSurvey writes the list of municipalities and their zone.
func writeSurvey(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	towns := sector.Towns()
	for name, write := range map[string]func(io.Writer, []sector.Town) error{"municipalities.csv": sector.WriteList, "zone": sector.WriteZone} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := errors.Join(write(f, towns), f.Close()); err != nil {
			return err
		}
	}
	return nil
}
