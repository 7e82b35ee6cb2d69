package differential

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"sekimori/internal/require"
)

// opendmarc is OpenDMARC as a mail filter, with a name server of its own.
type opendmarc struct{ socket, history string }

// suffixes is the public suffix list that OpenDMARC gets: those that the cases
// use, as they are in the real list.
var suffixes = []string{"com", "net", "jp", "co.jp", "go.jp", "lg.jp", "*.kawasaki.jp", "!city.kawasaki.jp", "uk", "co.uk", "io", "github.io"}

func startOpenDMARC(t *testing.T, records map[string][]string) *opendmarc {
	t.Helper()
	path := require.Program(t, "opendmarc", "opendmarc")
	dir, err := os.MkdirTemp("", "dmarc") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o := &opendmarc{socket: filepath.Join(dir, "socket"), history: filepath.Join(dir, "history")}
	for file, text := range map[string]string{
		"suffixes": strings.Join(suffixes, "\n") + "\n",
		"nobody":   "192.0.2.255\n",
		"conf": fmt.Sprintf(`Socket local:%[1]s/socket
AuthservID mx.receiver.example
TrustedAuthservIDs mx.receiver.example
Syslog false
Background false
RejectFailures true
HoldQuarantinedMessages true
RecordAllMessages true
HistoryFile %[1]s/history
PublicSuffixList %[1]s/suffixes
IgnoreHosts %[1]s/nobody
`, dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	namespaced(t, dir, records, path, "-f", "-c", filepath.Join(dir, "conf"))
	return o
}

// dmarcSaid is OpenDMARC's word on one message.
type dmarcSaid struct {
	action
	results string            // its Authentication-Results
	history map[string]string // its record of the message, by keyword
}

// judge hands every message over, several at a time.
func (o *opendmarc) judge(t *testing.T, n int, message func(i int) (from string, fields []string)) []dmarcSaid {
	t.Helper()
	out := make([]dmarcSaid, n)
	var wg sync.WaitGroup
	workers := 2 * runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			m, err := dialMilter(o.socket)
			if err == nil {
				defer m.conn.Close()
				err = m.connect("client.example", "192.0.2.1")
			}
			for i := w; i < n && err == nil; i += workers {
				from, fields := message(i)
				out[i].action, err = m.message(fmt.Sprintf("n%d", i), from, fields)
				for _, f := range out[i].fields {
					if v, ok := strings.CutPrefix(f, "Authentication-Results: "); ok && strings.Contains(v, "dmarc=") {
						out[i].results = v
					}
				}
			}
			if err != nil {
				t.Errorf("opendmarc: %v", err)
			}
		})
	}
	wg.Wait()
	raw, err := os.ReadFile(o.history)
	if err != nil {
		t.Fatal(err)
	}
	current := -1
	for line := range strings.Lines(string(raw)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "job" {
			if _, err := fmt.Sscanf(rest, "n%d", &current); err != nil || current >= n {
				t.Fatalf("opendmarc wrote %q", line)
			}
			out[current].history = map[string]string{}
		}
		if current >= 0 {
			out[current].history[word] = rest
		}
	}
	return out
}
