package cli

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// stuck is a log that takes nothing until it is let.
type stuck struct {
	mu  sync.Mutex
	b   bytes.Buffer
	let chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.let
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// TestOutlet: nobody waits for a log that hangs; what it cannot hold is counted,
// and lines come whole and in order.
func TestOutlet(t *testing.T) {
	s := &stuck{let: make(chan struct{})}
	o := newOutlet(s)
	line := strings.Repeat("x", 999) + "\n"
	began := time.Now()
	for range 3000 {
		if n, err := o.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("3,000 lines took %v", took)
	}
	close(s.let)
	o.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.b.String()
	kept := strings.Count(got, line)
	if kept < 1000 || kept >= 3000 {
		t.Errorf("%d lines kept", kept)
	}
	// They are counted in one line, or in two where the writer began late.
	dropped := 0
	for _, after := range strings.Split(got, `"msg":"log lines dropped","lines":`)[1:] {
		n := 0
		if _, err := fmt.Sscanf(after, "%d}", &n); err != nil {
			t.Fatal(err)
		}
		dropped += n
	}
	if dropped != 3000-kept {
		t.Errorf("%d lines counted as dropped, want %d", dropped, 3000-kept)
	}

	var many bytes.Buffer
	o = newOutlet(&many)
	var want strings.Builder
	for i := range 10_000 {
		l := fmt.Sprintln(i)
		want.WriteString(l)
		o.Write([]byte(l))
	}
	o.Close()
	if many.String() != want.String() {
		t.Error("lines are missing, or not in order")
	}
	o.Write([]byte("late\n")) // after its end nothing happens

	hanging := newOutlet(&stuck{let: make(chan struct{})})
	hanging.Write([]byte("a\n"))
	began = time.Now()
	hanging.Close()
	if took := time.Since(began); took > 2*outletGrace {
		t.Errorf("the end took %v", took)
	}
}

func TestPolicyWords(t *testing.T) {
	for record, want := range map[string]string{
		"": "",
		"v=DMARC1; p=reject; rua=mailto:a@b.example":      "p=reject",
		"v=DMARC1;P = none ; sp=reject;np=quarantine;t=y": "p=none sp=reject np=quarantine t=y",
		"v=DMARC1; p=" + strings.Repeat("r", 500):         "p=" + strings.Repeat("r", 20),
	} {
		if got := policyWords(record); got != want {
			t.Errorf("%q: %q, want %q", record, got, want)
		}
	}
}

func TestSeldom(t *testing.T) {
	var s seldom
	n := 0
	for range 1000 {
		if s.now(time.Hour) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d of 1,000 within an hour", n)
	}
}
