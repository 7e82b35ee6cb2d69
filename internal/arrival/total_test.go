//go:build unix

package arrival

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// messagesTotal are the gateway's own figures.
var messagesTotal = regexp.MustCompile(`(?m)^sekimori_gateway_messages_total\{([^}]*)\} (\d+)$`)

// TestBooks closes the books of the gateways that all tests before it shared:
// what each says it decided is what lies in its day files.
func TestBooks(t *testing.T) {
	w := here(t)
	for gate := range settings {
		if got, text := w.bring(t, gate, compose("last", atBank).from(bankMail, atBank)); got != delivered {
			t.Errorf("%s: %s", got, text)
		}
		g := w.gates[gate]
		var said, have int64
		for until := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			said, have = 0, 0
			for _, line := range messagesTotal.FindAllStringSubmatch(g.metrics(t), -1) {
				if n, _ := strconv.ParseInt(line[2], 10, 64); !strings.Contains(line[1], `action="tempfail"`) && !strings.Contains(line[1], `dmarc="own"`) {
					said += n
				}
			}
			for _, n := range g.counted(t, false) {
				have += n
			}
			if said == have || time.Now().After(until) {
				break
			}
		}
		t.Logf("%s: %d messages", gate, said)
		if said != have || said == 0 {
			t.Errorf("%s: decided %d, counted %d:\n%s", gate, said, have, messagesTotal.FindAllString(g.metrics(t), -1))
		}
	}
}
