//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sekimori/examples/sector"
	"sekimori/internal/nameserver"
)

const (
	surveyDomains  = 10_000
	surveyFew      = 2_000 // for checkdmarc
	surveyMany     = 100_000
	zdnsVersion    = "v2.1.1"
	checkdmarcName = "checkdmarc==6.0.4"
)

// survey measures looking at many domains, with NSD and Unbound on the same
// machine. Unbound's cache is warm for all: each asks for the second time.
func (b *bench) survey(ctx context.Context) error {
	w, err := b.openSector(surveyDomains)
	if errors.Is(err, nameserver.ErrMissing) {
		b.skip("%v", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { w.Close() }() // those of then: more starts others
	run := func(list, name string) (usage, surveyed, error) {
		dir, err := b.data("survey-" + name)
		if err != nil {
			return usage{}, surveyed{}, err
		}
		u, err := timed(ctx, exec.CommandContext(ctx, b.program, "survey", "run", list, "--name", name, "--data", dir, "--resolver", w.Resolver, "--json"))
		var s surveyed
		if err == nil {
			err = json.Unmarshal(u.out, &s)
		}
		if err == nil && s.Measured != s.Domains {
			err = fmt.Errorf("measured %d domains of %d", s.Measured, s.Domains)
		}
		return u, s, err
	}
	if _, _, err := run(w.list, "warm"); err != nil { // fills Unbound's cache
		return err
	}
	zdns, err := b.zdns(ctx)
	if err != nil {
		b.skip("zdns %s: %v", zdnsVersion, err)
	}
	python, err := checkdmarc(ctx)
	if err != nil {
		b.skip("checkdmarc: %v", err)
	}
	const part = "survey, NSD and Unbound on the same cores"
	m := map[string][]float64{}
	var peak float64
	each := 0.0
	for i := range b.rounds {
		u, s, err := run(w.list, fmt.Sprint(i))
		if err != nil {
			return err
		}
		each, peak = float64(s.Questions)/float64(s.Domains), u.peak
		m["ours"] = append(m["ours"], float64(s.Domains)/u.wall)
		m["questions"] = append(m["questions"], float64(s.Questions)/u.wall)
		if zdns != "" {
			rate, err := w.zdns(ctx, zdns)
			if err != nil {
				return err
			}
			m["zdns"] = append(m["zdns"], rate)
		}
		if python != "" {
			rate, err := w.checkdmarc(ctx, python)
			if err != nil {
				return err
			}
			m["checkdmarc"] = append(m["checkdmarc"], rate)
		}
	}
	ours := b.add(part, fmt.Sprintf("sekimori survey run, %d domains, process start to exit", surveyDomains), "domains/s", m["ours"], fmt.Sprintf("%.1f questions a domain", each))
	questions := b.add(part, "  in questions, evaluated and stored", "questions/s", m["questions"], "")
	b.atLeast("survey", ours, 1000, "domains/s")
	b.atLeast("  questions a domain", each, 10, "")
	if m["checkdmarc"] != nil {
		v := b.add(part, fmt.Sprintf("checkdmarc, two processes, %d domains", surveyFew), "domains/s", m["checkdmarc"], "checking only, not the start of Python")
		b.atLeast("  by checkdmarc", ours/v, 6, "times")
	}
	if m["zdns"] != nil {
		v := b.add(part, "zdns, 100 threads, the same names, TXT", "questions/s", m["zdns"], "nothing evaluated, nothing stored")
		b.atLeast("  questions by zdns", questions/v, 0.5, "times")
	}
	if err := w.more(surveyMany); err != nil {
		return err
	}
	u, s, err := run(w.list, "many")
	if err != nil {
		return err
	}
	b.add(part, fmt.Sprintf("peak memory, %d domains", surveyDomains), "MiB", []float64{peak}, "")
	b.add(part, fmt.Sprintf("peak memory, %d domains", surveyMany), "MiB", []float64{u.peak}, fmt.Sprintf("%.0f domains/s, cold", float64(s.Domains)/u.wall))
	// What may fill up are buffers of a set size: the database's 64 MiB, 8 MiB of
	// answers, and the slack of both.
	b.atMost("  growth of memory, ten times the domains", u.peak-peak, 96, "MiB")
	return nil
}

// surveyed is what "survey run --json" says, in part.
type surveyed struct{ Domains, Measured, Questions int }

// servedSector is a made-up sector, served.
type servedSector struct {
	*nameserver.Servers
	dir, list string
	towns     []sector.Town
}

func (b *bench) openSector(n int) (*servedSector, error) {
	dir, err := filepath.Abs(b.path("survey"))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return nil, err
	}
	w := &servedSector{dir: dir}
	return w, w.more(n)
}

// more serves a sector of n domains.
func (w *servedSector) more(n int) error {
	if w.Servers != nil {
		w.Servers.Close()
	}
	w.towns = sector.Some(n)
	w.list = filepath.Join(w.dir, fmt.Sprintf("%d.csv", n))
	zone := filepath.Join(w.dir, "zone")
	write := func(path string, f func(io.Writer, []sector.Town) error) error {
		out, err := os.Create(path)
		if err != nil {
			return err
		}
		return errors.Join(f(out, w.towns), out.Close())
	}
	if err := errors.Join(write(w.list, sector.WriteList), write(zone, sector.WriteZone)); err != nil {
		return err
	}
	var err error
	w.Servers, err = nameserver.Start(nameserver.Options{Dir: w.dir, Zones: map[string]string{"example.": zone}, Patience: time.Minute})
	return err
}

// zdns asks for TXT at five names of each domain, twice, and times the second.
func (w *servedSector) zdns(ctx context.Context, program string) (rate float64, err error) {
	names := filepath.Join(w.dir, "names")
	var text strings.Builder
	n := 0
	for _, t := range w.towns {
		for _, label := range [...]string{"", "_dmarc.", "_mta-sts.", "_smtp._tls.", "default._bimi."} {
			text.WriteString(label + t.Domain + "\n")
			n++
		}
	}
	if err := os.WriteFile(names, []byte(text.String()), 0o644); err != nil {
		return 0, err
	}
	for range 2 {
		cmd := exec.CommandContext(ctx, program, "TXT", "--name-servers", w.Resolver, "--threads", "100", "--input-file", names, "--output-file", filepath.Join(w.dir, "zdns.out"))
		u, err := timed(ctx, cmd)
		if err != nil {
			return 0, err
		}
		rate = float64(n) / u.wall
	}
	out, err := os.ReadFile(filepath.Join(w.dir, "zdns.out"))
	if err != nil {
		return 0, err
	}
	if got := strings.Count(string(out), "\n"); got != n || strings.Count(string(out), `"status":"NOERROR"`)+strings.Count(string(out), `"status":"NXDOMAIN"`) < n*99/100 {
		return 0, fmt.Errorf("zdns answered %d questions of %d", got, n)
	}
	return rate, nil
}

// zdns builds it, as it has no package of its own.
func (b *bench) zdns(ctx context.Context) (string, error) {
	dir, err := b.once("zdns-"+zdnsVersion, func(path string) error {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		for name, text := range map[string]string{
			"go.mod":  "module peer\n\ngo 1.26.0\n",
			"main.go": "package main\n\nimport _ \"github.com/zmap/zdns/v2\"\n\nfunc main() {}\n",
		} {
			if err := os.WriteFile(filepath.Join(path, name), []byte(text), 0o644); err != nil {
				return err
			}
		}
		for _, args := range [][]string{{"get", "github.com/zmap/zdns/v2@" + zdnsVersion}, {"build", "-o", "zdns", "github.com/zmap/zdns/v2"}} {
			cmd := exec.CommandContext(ctx, "go", args...)
			cmd.Dir, cmd.Env = path, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("go %s: %w: %s", args[0], err, lastLine(out))
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return filepath.Abs(filepath.Join(dir, "zdns"))
}

// checkdmarcScript checks the domains of a file with as many processes as
// there are cores, and says how long that took.
const checkdmarcScript = `
import sys, time, concurrent.futures as f, checkdmarc, dns.resolver
host, port, names = sys.argv[1], int(sys.argv[2]), open(sys.argv[3]).read().split()
def check(part):
    r = dns.resolver.Resolver(configure=False)
    r.nameservers, r.port = [host], port
    out = checkdmarc.check_domains(part, resolver=r)
    return sum(1 for x in out if "error" not in x["mx"] and "record" in x["spf"])
if __name__ == "__main__":
    with f.ProcessPoolExecutor(2) as pool:
        list(pool.map(check, [names[:2], names[2:4]]))
        began = time.time()
        good = sum(pool.map(check, [names[i::2] for i in range(2)]))
        print(time.time() - began, good)
`

// checkdmarc checks the first domains of the list. Those with MTA-STS are left
// out, as it would fetch a policy that nobody serves.
func (w *servedSector) checkdmarc(ctx context.Context, python string) (float64, error) {
	var names []string
	spf := 0
	for _, t := range w.towns {
		if !t.MTASTS && len(names) < surveyFew {
			names = append(names, t.Domain)
			if t.SPF != "" {
				spf++
			}
		}
	}
	file := filepath.Join(w.dir, "few")
	if err := os.WriteFile(file, []byte(strings.Join(names, "\n")), 0o644); err != nil {
		return 0, err
	}
	host, port, _ := strings.Cut(w.Resolver, ":")
	u, err := timed(ctx, exec.CommandContext(ctx, python, "-c", checkdmarcScript, host, port, file))
	if err != nil {
		return 0, err
	}
	said := strings.Fields(string(u.out))
	if len(said) != 2 {
		return 0, fmt.Errorf("checkdmarc said %q", u.out)
	}
	took, err := strconv.ParseFloat(said[0], 64)
	if err != nil {
		return 0, err
	}
	if good, _ := strconv.Atoi(said[1]); good < spf*9/10 {
		return 0, fmt.Errorf("checkdmarc found %d SPF records of %d", good, spf)
	}
	return float64(len(names)) / took, nil
}

// checkdmarc returns the Python of bench/.venv-checkdmarc, made where it is
// absent.
func checkdmarc(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	venv, err := filepath.Abs("bench/.venv/checkdmarc")
	if err != nil {
		return "", err
	}
	python := filepath.Join(venv, "bin", "python")
	if exec.CommandContext(ctx, python, "-c", "import checkdmarc").Run() == nil {
		return python, nil
	}
	fmt.Println("installing", checkdmarcName)
	for _, c := range [][]string{{"python3", "-m", "venv", venv}, {python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", checkdmarcName}} {
		if out, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, lastLine(out))
		}
	}
	return python, nil
}
