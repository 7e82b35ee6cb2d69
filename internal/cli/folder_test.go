package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/internal/collect"
	"sekimori/internal/handoff"
	"sekimori/internal/locale"
)

const reportXML = `<?xml version="1.0"?><feedback><report_metadata><org_name>receiver.example</org_name><email>d@receiver.example</email>
<report_id>%d</report_id><date_range><begin>1788220800</begin><end>1788307199</end></date_range></report_metadata>
<policy_published><domain>city.example</domain><p>none</p></policy_published>
<record><row><source_ip>192.0.2.%d</source_ip><count>5</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>pass</spf></policy_evaluated></row>
<identifiers><header_from>city.example</header_from></identifiers>
<auth_results><spf><domain>city.example</domain><result>pass</result></spf></auth_results></record></feedback>`

func env(dir string, args ...string) (Env, *bytes.Buffer, *bytes.Buffer) {
	var out, errOut bytes.Buffer
	return Env{Args: args, Out: &out, Err: &errOut, Dir: dir, Lang: locale.English, Version: "test"}, &out, &errOut
}

func writeReports(t *testing.T, dir string, n int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.xml", i)), fmt.Appendf(nil, reportXML, i, i%250), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// startServe runs "serve" and returns its address and how to end it.
func startServe(t *testing.T, dir string) (addr string, end func() int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = ln.Addr().String()
	ln.Close()
	ctx, cancel := context.WithCancel(context.Background())
	e, _, errOut := env(dir, "serve", "--listen", addr, "--zone", filepath.Join(dir, "zone"))
	if err := os.WriteFile(filepath.Join(dir, "zone"), []byte("$TTL 60\nmail.city.example. IN A 192.0.2.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	status := make(chan int, 1)
	go func() { status <- Run(ctx, e) }()
	end = sync.OnceValue(func() int { cancel(); return <-status })
	t.Cleanup(func() { end() })
	for deadline := time.Now().Add(20 * time.Second); ; {
		resp, err := http.Get("http://" + addr + "/healthz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return addr, end
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("serve does not answer: %v\n%s", err, errOut.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestServeWorksForOthers is the promise that a user notices nothing: while
// serve runs, import and advise on its folder give what they always give.
func TestServeWorksForOthers(t *testing.T) {
	dir := t.TempDir()
	writeReports(t, filepath.Join(dir, "reports"), 3)
	addr, end := startServe(t, dir)

	e, out, errOut := env(dir, "import", "--json", "reports", "-")
	e.In = strings.NewReader(fmt.Sprintf(reportXML, 99, 9))
	if status := Run(t.Context(), e); status != StatusDone {
		t.Fatalf("import: status %d\n%s", status, errOut)
	}
	var res collect.Result
	if err := json.Unmarshal(out.Bytes(), &res); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if res.Reports != 4 || res.Messages != 20 || res.Rejected == nil {
		t.Errorf("import through serve: %+v, want 4 reports and 20 messages", res)
	}

	e, out, errOut = env(dir, "advise", "city.example", "--json", "--zone", "zone")
	if status := Run(t.Context(), e); status != StatusNegative {
		t.Errorf("advise: status %d, want %d (too little data)\n%s", status, StatusNegative, errOut)
	}
	if !strings.Contains(out.String(), `"messages": 20`) {
		t.Errorf("advise through serve:\n%s", out)
	}

	resp, err := http.Get("http://" + addr + "/domain/city.example?lang=en")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("page of the domain: %s", resp.Status)
	}

	e, _, errOut = env(dir, "serve", "--listen", "127.0.0.1:0")
	if status := Run(t.Context(), e); status != StatusUsage || !strings.Contains(errOut.String(), "already") {
		t.Errorf("a second serve: status %d, %q", status, errOut)
	}
	if status := end(); status != StatusDone {
		t.Errorf("serve ended with status %d", status)
	}

	// the folder is free again
	e, out, errOut = env(dir, "import", "--json", "reports")
	if status := Run(t.Context(), e); status != StatusDone || !strings.Contains(out.String(), `"duplicates": 3`) {
		t.Errorf("after serve: status %d\n%s%s", status, out, errOut)
	}
}

// TestManyImportsAtOnce runs imports of the same reports at the same moment:
// whoever comes first owns the folder, and every report is counted once.
func TestManyImportsAtOnce(t *testing.T) {
	dir := t.TempDir()
	writeReports(t, filepath.Join(dir, "reports"), 40)
	var mu sync.Mutex
	var sum collect.Result
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			e, out, errOut := env(dir, "import", "--json", "reports")
			status := Run(context.Background(), e)
			var res collect.Result
			if err := json.Unmarshal(out.Bytes(), &res); err != nil || status != StatusDone {
				t.Errorf("status %d, %v\n%s%s", status, err, out, errOut)
			}
			mu.Lock()
			defer mu.Unlock()
			sum.Add(res)
		})
	}
	wg.Wait()
	if sum.Reports != 40 || sum.Messages != 200 || sum.Duplicates != 120 {
		t.Errorf("together %+v, want 40 reports, 200 messages, 120 duplicates", sum)
	}
}

// TestDeadOwner finds a folder whose owner was killed: its socket is still
// there, its lock is not.
func TestDeadOwner(t *testing.T) {
	dir := t.TempDir()
	writeReports(t, filepath.Join(dir, "reports"), 1)
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := handoff.Listen(data, func(context.Context, handoff.Job, handoff.Streams) int { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	ln.Close(t.Context())
	e, out, errOut := env(dir, "import", "--json", "reports")
	if status := Run(t.Context(), e); status != StatusDone || !strings.Contains(out.String(), `"reports": 1`) {
		t.Errorf("status %d\n%s%s", status, out, errOut)
	}
}

func TestInterruptedImport(t *testing.T) {
	dir := t.TempDir()
	writeReports(t, filepath.Join(dir, "reports"), 5)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e, _, errOut := env(dir, "import", "reports")
	if status := Run(ctx, e); status != StatusTemporary || !strings.Contains(errOut.String(), "run the same command again") {
		t.Errorf("status %d, %q", status, errOut)
	}
}
