package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// peers are the other programs, "" where one is not there.
type peers struct {
	xmllint, dmarcCat string
	python            string // of a virtual environment that has parsedmarc
	version           string // of parsedmarc
}

// parsedmarcVersion is the release that is measured.
const parsedmarcVersion = "11.1.0"

// findPeers looks for the other programs, and installs parsedmarc into
// bench/.venv if that is possible.
func (b *bench) findPeers(ctx context.Context) peers {
	var p peers
	var err error
	if p.xmllint, err = exec.LookPath("xmllint"); err != nil {
		b.skip("xmllint (apt-get install libxml2-utils)")
	}
	if p.dmarcCat, err = exec.LookPath("dmarc-cat"); err != nil {
		b.skip("dmarc-cat (apt-get install dmarc-cat)")
	}
	if p.python, p.version, err = parsedmarc(ctx); err != nil {
		b.skip("parsedmarc: %v", err)
	}
	return p
}

// parsedmarc returns the Python of bench/.venv, made where it is absent, and
// parsedmarc's version in it.
func parsedmarc(ctx context.Context) (python, version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	venv, err := filepath.Abs("bench/.venv")
	if err != nil {
		return "", "", err
	}
	python = filepath.Join(venv, "bin", "python")
	ask := func() (string, error) {
		out, err := exec.CommandContext(ctx, python, "-c", "import parsedmarc; print(parsedmarc.__version__)").Output()
		return strings.TrimSpace(string(out)), err
	}
	if version, err = ask(); err == nil {
		return python, version, nil
	}
	fmt.Println("installing parsedmarc", parsedmarcVersion, "into bench/.venv")
	for _, c := range [][]string{
		{"python3", "-m", "venv", venv},
		{python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "parsedmarc==" + parsedmarcVersion},
	} {
		if out, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput(); err != nil {
			return "", "", fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, lastLine(out))
		}
	}
	if version, err = ask(); err != nil {
		return "", "", fmt.Errorf("installed, but does not start: %w", err)
	}
	return python, version, nil
}

func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

// parsedmarcScript parses files without asking the network, and says how long
// the parsing alone took: the start of Python and the reading of its tables do
// not count. Its limit of 100 MiB a report is lifted: the large one has 141 MB.
const parsedmarcScript = `
import json, sys, time, parsedmarc
parsedmarc.MAX_DECOMPRESSED_REPORT_SIZE = 1 << 30
began, rows = time.time(), 0
for name in sys.argv[1:]:
    with open(name, "rb") as f:
        rows += len(parsedmarc.parse_aggregate_report_file(f.read(), offline=True, always_use_local_files=True)["records"])
print(json.dumps({"seconds": time.time() - began, "rows": rows}))
`

// parsedmarcRun is one run of parsedmarc.
type parsedmarcRun struct {
	Seconds float64 `json:"seconds"`
	Rows    int     `json:"rows"`
	peak    float64
}

func (p peers) parsedmarc(ctx context.Context, files ...string) (parsedmarcRun, error) {
	var r parsedmarcRun
	u, err := timed(ctx, exec.Command(p.python, append([]string{"-c", parsedmarcScript}, files...)...))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal([]byte(lastLine(u.out)), &r); err != nil {
		return r, fmt.Errorf("parsedmarc answered %q: %w", lastLine(u.out), err)
	}
	r.peak = u.peak
	return r, nil
}

// firstFiles returns the first n files of a folder, in order.
func firstFiles(dir string, n int) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries[:min(n, len(entries))] {
		out = append(out, filepath.Join(dir, e.Name()))
	}
	return out, nil
}
