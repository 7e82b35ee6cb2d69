//go:build unix

package arrival

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/internal/cli"
	"sekimori/internal/locale"
	"sekimori/internal/mailserver"
	"sekimori/internal/nameserver"
	"sekimori/internal/require"
)

// receiver is the name of the receiving host in its fields.
const receiver = "mx.receiver.example"

// world is what the tests of this package share: the program, the DNS, and a
// Postfix with a service for each way in which a gateway may be set up.
type world struct {
	dir     string // short, and open to Postfix
	program string
	dns     *nameserver.Servers
	postfix *mailserver.Server
	far     *mailserver.Server // of other organisations: gets our reports
	gates   map[string]*gate
}

var (
	shared  *world
	trouble error
	begin   sync.Once
)

func TestMain(m *testing.M) {
	if ahead, ok := os.LookupEnv(clockEnv); ok {
		os.Exit(verbAhead(ahead))
	}
	status := m.Run()
	if said := shared.close(); said != "" {
		fmt.Println(said)
		status = max(status, 1)
	}
	os.Exit(status)
}

// here returns the world, which the first test makes.
func here(t *testing.T) *world {
	t.Helper()
	begin.Do(func() {
		shared = &world{gates: map[string]*gate{}}
		trouble = shared.open(require.Root(t))
	})
	if errors.Is(trouble, mailserver.ErrMissing) || errors.Is(trouble, nameserver.ErrMissing) {
		require.Missing(t, trouble.Error())
	}
	if trouble != nil {
		t.Fatal(trouble)
	}
	return shared
}

// settings say how the gateways of the world are set up. Each is a milter of the
// service of Postfix that has its name.
var settings = map[string]string{
	// hold does what is usual where the domain says reject: it quarantines.
	"hold": `
  mode: enforce
  on_bad_from: quarantine
  trusted_ids: [inner.receiver.example]
  networks: [10.9.0.0/16]
` + rules,
	// refuse is as strict as can be.
	"refuse": `
  mode: enforce
  on_reject: refuse
  on_quarantine: mark
  on_trouble: tempfail
  on_bad_from: refuse
  explain_url: https://mx.receiver.example/why
` + rules,
	// plain enforces, and leaves the rest as it is without a word.
	"plain": "  mode: enforce\n",
	// monitor is what holds without a word.
	"monitor": "",
}

// alone are the gateways that a test starts for itself.
var alone = []string{"killed", "drained", "lying-accept", "lying-tempfail", "down-accept", "down-tempfail", "full", "locked", "hostile", "reloaded", "socket", "gone", "reporting"}

const rules = `  rules:
    - {forwarder: alumni.example, reason: forwarded for our graduates}
    - {list: ml.example, reason: a list of ours}
    - {sealer: sealer.example, reason: seals honestly}
    - {network: 198.51.100.128/25, reason: the branch office}
    - {from: banned.example, action: refuse, reason: not any more}
`

func (w *world) open(root string) error {
	var err error
	if w.dir, err = os.MkdirTemp("", "arr"); err != nil {
		return err
	}
	if err := os.Chmod(w.dir, 0o755); err != nil {
		return err
	}
	w.program = filepath.Join(w.dir, "sekimori")
	zones, err := w.zones()
	if err != nil {
		return err
	}
	services := map[string]map[string]string{"bare": nil}
	for _, name := range append(slices.Collect(maps.Keys(settings)), alone...) {
		w.gates[name] = w.newGate(name)
		if name == "refuse" { // one of them over TCP
			if w.gates[name].tcp, err = freePort(); err != nil {
				return err
			}
		}
		services[name] = map[string]string{"smtpd_milters": w.gates[name].milter()}
	}
	// Submission completes headers, as Postfix does for its own people.
	services["submit"] = map[string]string{"smtpd_milters": w.gates["hold"].milter(), "local_header_rewrite_clients": "static:all"}
	for _, bare := range bareLF {
		services["refuse-"+bare] = map[string]string{"smtpd_milters": w.gates["refuse"].milter(), "smtpd_forbid_bare_newline": bare}
	}
	var wg sync.WaitGroup
	errs := make([]error, 3)
	wg.Go(func() {
		build := exec.Command("go", "build", "-o", w.program, "./cmd/sekimori")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			errs[0] = fmt.Errorf("%w: %s", err, out)
		}
	})
	wg.Go(func() {
		dir := filepath.Join(w.dir, "dns")
		if errs[1] = os.Mkdir(dir, 0o755); errs[1] == nil {
			w.dns, errs[1] = nameserver.Start(nameserver.Options{Dir: dir, Zones: zones, Silent: []string{"lame.example."}})
		}
	})
	wg.Go(func() {
		w.gates["far"] = w.newGate("far")
		w.gates["far"].id = "mx.far.example"
		reported := reportedDomains()
		if w.far, errs[2] = mailserver.Start(mailserver.Options{Hostname: "mx.far.example", Domains: reported, Milters: []string{w.gates["far"].milter()}}); errs[2] != nil {
			return
		}
		routes := map[string]string{"nowhere.example": "error:5.1.1 nobody here"}
		for _, d := range reported {
			routes[d] = w.far.Address(mailserver.Main)
		}
		w.postfix, errs[2] = mailserver.Start(mailserver.Options{Hostname: receiver, Domains: []string{"receiver.example"}, Services: services, Routes: routes,
			Set: map[string]string{"non_smtpd_milters": w.gates["hold"].milter(), "internal_mail_filter_classes": "bounce"}})
	})
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	sign, err := signing(w.dir)
	if err != nil {
		return err
	}
	for name, set := range settings {
		sections := []string{}
		if name == "hold" {
			sections = append(sections, sign)
		}
		if err := w.gates[name].configure(set, sections...); err != nil {
			return err
		}
		if _, err := w.gates[name].start(); err != nil {
			return fmt.Errorf("gateway %s: %w", name, err)
		}
	}
	return nil
}

// close ends everything, and returns what no gateway's log may hold.
func (w *world) close() (said string) {
	if w == nil {
		return ""
	}
	for _, g := range w.gates {
		g.kill()
		text, _ := os.ReadFile(filepath.Join(g.dir, "log"))
		for _, word := range []string{"panic", "DATA RACE", "fatal error"} {
			if _, what, found := strings.Cut(string(text), word); found {
				said += fmt.Sprintf("gateway %s: %s%s\n", g.name, word, what[:min(len(what), 4000)])
			}
		}
	}
	for _, s := range []*mailserver.Server{w.postfix, w.far} {
		if s != nil {
			s.Stop()
		}
	}
	if w.dns != nil {
		w.dns.Close()
	}
	if w.dir != "" {
		_ = os.RemoveAll(w.dir)
	}
	return said
}

// run runs a verb of the program and returns its standard output.
func (w *world) run(t *testing.T, args ...string) string {
	t.Helper()
	out, status, said := ran(exec.CommandContext(t.Context(), w.program, args...))
	if status != 0 {
		t.Fatalf("sekimori %s: status %d: %s", strings.Join(args, " "), status, said)
	}
	return out
}

// ran runs a command to its end.
func ran(cmd *exec.Cmd) (out string, status int, said string) {
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return "", -1, err.Error()
	}
	return o.String(), cmd.ProcessState.ExitCode(), e.String()
}

// clockEnv has this test's own program run a verb, with a clock that is ahead.
const clockEnv = "SEKIMORI_TEST_CLOCK_AHEAD"

// ahead is the program as a command, in a process whose clock is ahead.
func ahead(by time.Duration, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), clockEnv+"="+by.String())
	return cmd
}

func verbAhead(by string) int {
	d, err := time.ParseDuration(by)
	if err != nil {
		return -1
	}
	dir, _ := os.Getwd()
	return cli.Run(context.Background(), cli.Env{Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Dir: dir, Lang: locale.English,
		Now: func() time.Time { return time.Now().Add(d) }})
}

func freePort() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
