package message

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func field(t testing.TB, raw string) Field {
	t.Helper()
	f, ok := ParseField(raw)
	if !ok {
		t.Fatalf("%q is no field", raw)
	}
	return f
}

func TestAppendField(t *testing.T) {
	for _, c := range []struct{ raw, simple, relaxed string }{
		// RFC 6376 §3.4.5
		{"A: X\r\n", "A: X\r\n", "a:X\r\n"},
		{"B : Y\t\r\n\tZ  \r\n", "B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"},

		{"Subject:\r\n", "Subject:\r\n", "subject:\r\n"},
		{"Subject:", "Subject:\r\n", "subject:\r\n"},
		{"Subject: \r\n \r\n", "Subject: \r\n \r\n", "subject:\r\n"},
		{"SubJect: a\n b\n", "SubJect: a\r\n b\r\n", "subject:a b\r\n"},
		{"Subject: a\n b", "Subject: a\r\n b\r\n", "subject:a b\r\n"},
		{"Subject: a\rb\r\n", "Subject: a\rb\r\n", "subject:a\rb\r\n"},
		{"Subject: a\x00 \x01b\r", "Subject: a\x00 \x01b\r\n", "subject:a\x00 \x01b\r\n"},
		{"X: 日本  語\r\n", "X: 日本  語\r\n", "x:日本 語\r\n"},
		{"X:  one-long-word-and-another   word of-it  \r\n", "X:  one-long-word-and-another   word of-it  \r\n", "x:one-long-word-and-another word of-it\r\n"},
	} {
		f := field(t, c.raw)
		if got := string(Simple.AppendField(nil, f)); got != c.simple {
			t.Errorf("simple %q: %q, want %q", c.raw, got, c.simple)
		}
		if got := string(Relaxed.AppendField([]byte("before "), f)); got != "before "+c.relaxed {
			t.Errorf("relaxed %q: %q, want %q", c.raw, got, c.relaxed)
		}
	}
}

// naiveRelaxed is the relaxed form octet by octet.
func naiveRelaxed(name, value string) string {
	out := []byte(strings.ToLower(name) + ":")
	space, any := false, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; c {
		case ' ', '\t':
			space = true
		case '\n':
		case '\r':
			if i+1 == len(value) || value[i+1] == '\n' {
				continue
			}
			fallthrough
		default:
			if space && any {
				out = append(out, ' ')
			}
			space, any = false, true
			out = append(out, c)
		}
	}
	return string(out) + "\r\n"
}

func TestAppendFieldRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	words := []string{" ", "\t", "\r\n ", "a", "bc", "a-word", "quite-a-long-word", "\r", "\x00", "日本語", ";", "b="}
	for range 20000 {
		var b strings.Builder
		for range r.IntN(20) {
			b.WriteString(words[r.IntN(len(words))])
		}
		value := b.String()
		f := field(t, "Name:"+value+"\r\n")
		if got, want := string(Relaxed.AppendField(nil, f)), naiveRelaxed("Name", value+"\r\n"); got != want {
			t.Fatalf("relaxed %q: %q, want %q", value, got, want)
		}
		from := r.IntN(len(value) + 1)
		to := from + r.IntN(len(value)+1-from)
		cut := field(t, "Name:"+value[:from]+value[to:]+"\r\n")
		// Not through a CRLF: nobody cuts there.
		if strings.HasSuffix(value[:from], "\r") || strings.HasPrefix(value[to:], "\n") {
			continue
		}
		for _, c := range []Canonicalization{Simple, Relaxed} {
			if got, want := string(c.AppendFieldCut(nil, f, from, to)), string(c.AppendField(nil, cut)); got != want {
				t.Fatalf("%s %q without %q: %q, want %q", c, value, value[from:to], got, want)
			}
		}
	}
}
