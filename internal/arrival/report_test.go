//go:build unix

package arrival

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sekimori/internal/mailserver"
	"sekimori/internal/require"
	"sekimori/message"
	"sekimori/report/aggregate"
)

// TestReports has mail of many domains arrive, the day end, and the reports go
// to another organisation's server: by a sender that is killed fifty times, and
// that finds no server at first. They come there with the same figures, each
// message in one report.
func TestReports(t *testing.T) {
	t.Parallel()
	w := here(t)
	g, far := w.gates["reporting"], w.gates["far"]
	sign, err := signing(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	reports := func(server string) string {
		return "reports:\n  send: true\n  organization: Receiver of Example\n  email: dmarc-reports@receiver.example\n  smtp: " + server + "\n"
	}
	if err := g.configure("  mode: enforce\n  on_reject: refuse\n", sign, reports(w.postfix.Address("bare"))); err != nil {
		t.Fatal(err)
	}
	if err := far.configure("  mode: enforce\n"); err != nil {
		t.Fatal(err)
	}
	for _, g := range []*gate{g, far} {
		if _, err := g.start(); err != nil {
			t.Fatal(err)
		}
		defer g.kill()
	}
	want := w.dayOfMail(t)
	g.awaitCounts(t, want, 10*time.Second)
	if t.Failed() {
		return
	}
	for _, d := range []string{"silent.example", "unasked.example"} { // nobody asks, or nobody agreed
		delete(want, d)
	}
	// What the owner of a domain would get, seen before.
	if xml := w.run(t, "report", "preview", "bank.example", "--config", filepath.Join(g.dir, "sekimori.yaml"), "--data", g.data(), "--resolver", w.dns.Resolver); !strings.Contains(xml, "<feedback") || !strings.Contains(xml, "<domain>bank.example</domain>") {
		t.Errorf("preview: %s", xml)
	}

	// The older form is one that others read as well.
	older := filepath.Join(g.dir, "receiver.example!bank.example!1!2.xml") // dmarc-cat reads the name, too
	if err := os.WriteFile(older, []byte(w.run(t, "report", "preview", "bank.example", "--form", "rfc7489", "--config", filepath.Join(g.dir, "sekimori.yaml"), "--data", g.data(), "--resolver", w.dns.Resolver)), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := dmarcCat(t, older); n != want["bank.example"] {
		t.Errorf("dmarc-cat reads %d messages in the older form, want %d", n, want["bank.example"])
	}

	config := filepath.Join(g.dir, "sekimori.yaml")
	closed, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(g.dir, "gone.yaml")
	if err := os.WriteFile(gone, []byte(sign+reports(closed)), 0o644); err != nil {
		t.Fatal(err)
	}
	send := func(config string) *exec.Cmd {
		return ahead(25*time.Hour, "report", "send", "--config", config, "--data", g.data(), "--resolver", w.dns.Resolver, "--json")
	}
	// Today is not over, and the server is away.
	if out, status, said := ran(exec.Command(w.program, "report", "send", "--config", config, "--data", g.data(), "--resolver", w.dns.Resolver, "--day", time.Now().UTC().Format(time.DateOnly))); status != 2 && status != 1 && status != 3 {
		t.Errorf("a day that is not over: status %d: %s %s", status, out, said)
	}
	if out, status, said := ran(send(gone)); status != 3 {
		t.Errorf("without a mail server: status %d: %s %s", status, out, said)
	}
	// Killed at random moments.
	const kills = 50
	random := rand.New(rand.NewPCG(3, uint64(time.Now().UnixNano())))
	ended := 0
	for range kills {
		cmd := send(config)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(20_000+random.IntN(100_000)) * time.Microsecond)
		_ = cmd.Process.Kill()
		if cmd.Wait() == nil {
			ended++
		}
	}
	said, err := w.far.Delivered()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("after %d kills (%d came too late) %d report mails have arrived", kills, ended, len(said))
	// Status 3 is to try again: a busy machine's Postfix may need a moment.
	for until := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		out, status, said := ran(send(config))
		if status == 0 {
			break
		}
		if status != 3 || time.Now().After(until) {
			t.Fatalf("status %d: %s %s", status, out, said)
		}
		t.Logf("to be tried again: %s %s", out, said)
	}
	if out, status, said := ran(send(config)); status != 0 {
		t.Fatalf("nothing to do: status %d: %s %s", status, out, said)
	}
	mails := w.awaitReports(t, len(want))
	w.judgeReports(t, mails, want)

	// Read by ourselves.
	data := filepath.Join(g.dir, "imported")
	var imported struct {
		Reports, Messages, Duplicates int64
		Rejected                      []any
	}
	out, status, complaint := ran(exec.Command(w.program, "import", "--data", data, "--json", w.far.Inbox()))
	if err := json.Unmarshal([]byte(out), &imported); err != nil || status != 0 {
		t.Fatalf("import: status %d, %v: %s %s", status, err, out, complaint)
	}
	var sum int64
	for _, n := range want {
		sum += n
	}
	if imported.Messages != sum || imported.Reports != int64(len(want)) || len(imported.Rejected) > 0 {
		t.Errorf("import: %+v, want %d messages in %d reports", imported, sum, len(want))
	}
	t.Logf("%d messages in %d reports, %d of them sent again", imported.Messages, imported.Reports, imported.Duplicates)
	// The gateway was there all the time, and counts on.
	g.awaitCount(t, "bank.example", want["bank.example"], time.Second)
}

// dayOfMail brings mail of many domains to the gateway "reporting" and returns
// how many of each it has to count: those accepted, held and refused.
func (w *world) dayOfMail(t *testing.T) map[string]int64 {
	t.Helper()
	want := map[string]int64{}
	c, err := mailserver.Dial(w.postfix.Address("reporting"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Introduce(mailserver.Letter{Client: addr(bankMail), Helo: "mail.bank.example"}); err != nil {
		t.Fatal(err)
	}
	bring := func(l mailserver.Letter, from string, codes ...int) {
		t.Helper()
		r, err := c.Mail(l)
		if err != nil || !slices.Contains(codes, r.Code) {
			t.Fatalf("%s: %s, %v", from, r, err)
		}
		want[from]++
	}
	for i := range ordinary {
		from := fmt.Sprintf("d%d.example", i)
		for n := range 1 + i%3 {
			bring(compose(fmt.Sprintf("day-%s-%d", from, n), "a@"+from).from(bankMail, "a@"+from), from, 250)
		}
	}
	for _, from := range []string{"bank.example", "city.example", "shop.example", "xn--fsqu00a.example", "silent.example", "agreed.example", "unasked.example", "both.example"} {
		for n := range 3 {
			bring(compose(fmt.Sprintf("day-%s-%d", from, n), "a@"+from).from(bankMail, "a@"+from), from, 250)
		}
	}
	c.Close()
	if c, err = mailserver.Dial(w.postfix.Address("reporting")); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Introduce(mailserver.Letter{Client: addr(mallory), Helo: "mallory.example"}); err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		bring(compose(fmt.Sprintf("day-forged-%d", n), atBank).from(mallory, forged), "bank.example", 550)
		bring(compose(fmt.Sprintf("day-forged-city-%d", n), "a@city.example").from(mallory, forged), "city.example", 250)
		bring(compose(fmt.Sprintf("day-forged-shop-%d", n), "a@shop.example").signed("mallory.example", "r", "e").from(mallory, forged), "shop.example", 250)
	}
	return want
}

// reportMail is a report as it arrived.
type reportMail struct {
	text, attached []byte
	name, id       string
	domain         string
	messages       int64
}

// awaitReports waits until no more report mails are on their way.
func (w *world) awaitReports(t *testing.T, least int) []reportMail {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		waiting, err := w.postfix.Waiting()
		if err != nil {
			t.Fatal(err)
		}
		more, err := w.far.Waiting()
		if err != nil {
			t.Fatal(err)
		}
		if len(waiting)+len(more) == 0 {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("still waiting: %v %v: %s", waiting, more, w.postfix.Log())
		}
	}
	if held, err := w.far.Held(); err != nil || len(held) > 0 {
		t.Errorf("held: %v, %v", held, err)
	}
	all, err := w.far.Delivered()
	if err != nil {
		t.Fatal(err)
	}
	var mails []reportMail
	for _, text := range all {
		m := reportMail{text: mailserver.Undelivered(text)}
		err := message.Walk(bytes.NewReader(text), message.Limits{}, func(p *message.Part) error {
			if strings.HasSuffix(p.Filename, ".gz") {
				m.name = p.Filename
				var err error
				m.attached, err = io.ReadAll(p.Body)
				return err
			}
			return nil
		})
		if err != nil || m.attached == nil {
			t.Fatalf("%v: %s", err, text[:min(len(text), 3000)])
		}
		mails = append(mails, m)
	}
	if len(mails) < least {
		t.Errorf("%d mails, want %d at least", len(mails), least)
	}
	return mails
}

// judgeReports looks at every report mail: that it passes DMARC where it
// arrives, that one sent again is the same, and what other programs read in it.
func (w *world) judgeReports(t *testing.T, mails []reportMail, want map[string]int64) {
	t.Helper()
	dir := t.TempDir()
	have, byOther := map[string]int64{}, map[string]int64{}
	seen := map[string][]byte{}
	for i := range mails {
		m := &mails[i]
		h, _, err := header(m.text)
		if err != nil {
			t.Fatal(err)
		}
		field := ""
		if f := h.All("Authentication-Results"); len(f) > 0 {
			field = f[0].Value()
		}
		if !strings.Contains(field, "mx.far.example") || !strings.Contains(field, "dmarc=pass header.from=receiver.example") || strings.Contains(field, "dkim=fail") {
			t.Errorf("a report mail arrives with %q", field)
		}
		z, err := gzip.NewReader(bytes.NewReader(m.attached))
		if err != nil {
			t.Fatal(err)
		}
		xml, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		r := aggregate.NewReader(bytes.NewReader(xml), aggregate.Limits{})
		var rec aggregate.Record
		for err = r.Next(&rec); err == nil; err = r.Next(&rec) {
			m.messages += int64(rec.Count)
		}
		head, _ := r.Report()
		if err != io.EOF || len(head.Deviations) > 0 {
			t.Errorf("%s: %v %v", m.name, err, head.Deviations)
		}
		m.id, m.domain = head.Metadata.ReportID, head.PolicyPublished.Domain
		if s := strings.TrimSpace(h.Get("Subject")); !strings.Contains(s, "Report Domain: "+m.domain) || !strings.Contains(s, m.id) {
			t.Errorf("subject %q", s)
		}
		if again, ok := seen[m.name]; ok {
			if !bytes.Equal(again, m.attached) {
				t.Errorf("%s was sent again and is another", m.name)
			}
			continue
		}
		seen[m.name] = m.attached
		have[m.domain] += m.messages
		path := filepath.Join(dir, m.name)
		if err := os.WriteFile(path, m.attached, 0o600); err != nil {
			t.Fatal(err)
		}
		byOther[m.domain] += dmarcCat(t, path)
	}
	for name, got := range map[string]map[string]int64{"the reports": have, "dmarc-cat": byOther} {
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

var catRow = regexp.MustCompile(`(?m)^\d+\.\d+\.\d+\.\d+ +(\d+) `)

// dmarcCat is how many messages dmarc-cat reads in a report.
func dmarcCat(t *testing.T, path string) int64 {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), require.Program(t, "dmarc-cat", "dmarc-cat"), "-N", path).CombinedOutput()
	if err != nil {
		t.Fatalf("dmarc-cat: %v: %s", err, out)
	}
	var sum int64
	for _, found := range catRow.FindAllSubmatch(out, -1) {
		n, _ := strconv.ParseInt(string(found[1]), 10, 64)
		sum += n
	}
	return sum
}
