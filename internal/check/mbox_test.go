package check

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// cutAll cuts a mailbox into messages.
func cutAll(t testing.TB, r io.Reader) (messages []string, offsets []int64, quoted []bool, err error) {
	t.Helper()
	m := mailbox{br: bufio.NewReaderSize(r, readBuffer)}
	for {
		sp := newSpool("")
		p, err := m.next(sp)
		if err != nil {
			sp.free()
			if err == io.EOF {
				err = nil
			}
			return messages, offsets, quoted, err
		}
		if p.err != nil {
			t.Fatal(p.err)
		}
		b, rerr := io.ReadAll(sp.reader())
		if rerr != nil {
			t.Fatal(rerr)
		}
		messages, offsets, quoted = append(messages, string(b)), append(offsets, p.offset), append(quoted, p.quoted)
		sp.free()
	}
}

const separator = "From info@bank.example Sat Nov 21 09:30:00 2026\n"

func TestMailbox(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
		quoted   []bool
	}{
		{"one", separator + "From: a\n\nbody\n\n", []string{"From: a\n\nbody\n"}, []bool{false}},
		{"two", separator + "A: 1\n\nx\n\n" + separator + "B: 2\n\ny\n", []string{"A: 1\n\nx\n", "B: 2\n\ny\n"}, []bool{false, false}},
		{"crlf", strings.ReplaceAll(separator+"A: 1\n\nx\n\n"+separator+"B: 2\n\ny\n\n", "\n", "\r\n"), []string{"A: 1\r\n\r\nx\r\n", "B: 2\r\n\r\ny\r\n"}, []bool{false, false}},
		{"no last line end", separator + "A: 1\n\nx", []string{"A: 1\n\nx"}, []bool{false}},
		{"empty lines stay", separator + "A: 1\n\nx\n\n\n\n" + separator + "B: 2\n\n", []string{"A: 1\n\nx\n\n\n", "B: 2\n"}, []bool{false, false}},
		{"text that begins with From", separator + "A: 1\n\nx\n\nFrom here on it is text\nFrom me Sat Nov 21 09:30:00 2026\nend\n", []string{"A: 1\n\nx\n\nFrom here on it is text\nFrom me Sat Nov 21 09:30:00 2026\nend\n"}, []bool{false}},
		{"no header behind it", separator + "A: 1\n\nx\n\n" + separator + "this is no field\n", []string{"A: 1\n\nx\n\n" + separator + "this is no field\n"}, []bool{false}},
		{"quoted", separator + "A: 1\n\n>From x\n>>From y\n> From z\n", []string{"A: 1\n\n>From x\n>>From y\n> From z\n"}, []bool{true}},
		{"separators of other programs",
			"From - Thu Jan 01 00:00:00 2015\nA: 1\n\n\nFrom user at example.com  Thu Jan  1 00:00:00 2015\nB: 2\n\n\nFrom a@b Thu Jan 1 00:00 +0000 2015\nC: 3\n\n",
			[]string{"A: 1\n\n", "B: 2\n\n", "C: 3\n"}, []bool{false, false, false}},
		{"dates of other programs",
			"From a@b Thu, 1 Jan 2015 00:00:00 +0000\nA: 1\n\n\nFrom a@b 2015-01-01T00:00:00Z\nB: 2\n\n\nFrom a@b Thu, 01 Jan 2015 00:00\nC: 3\n\n",
			[]string{"A: 1\n\n", "B: 2\n\n", "C: 3\n"}, []bool{false, false, false}},
		{"a field that begins with From", separator + "A: 1\n\nx\n\nFrom : Sat Nov 21 09:30:00 2026\nB: 2\n",
			[]string{"A: 1\n\nx\n\nFrom : Sat Nov 21 09:30:00 2026\nB: 2\n"}, []bool{false}},
		{"long line", separator + "A: 1\n\n" + strings.Repeat("x", 3*readBuffer) + "\n\n" + separator + "B: 2\n\n", []string{"A: 1\n\n" + strings.Repeat("x", 3*readBuffer) + "\n", "B: 2\n"}, []bool{false, false}},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in)), iotest.DataErrReader(strings.NewReader(c.in))} {
			got, offsets, quoted, err := cutAll(t, r)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if len(got) != len(c.want) {
				t.Errorf("%s: %d messages, want %d: %q", c.name, len(got), len(c.want), got)
				continue
			}
			for i := range got {
				if got[i] != c.want[i] || quoted[i] != c.quoted[i] {
					t.Errorf("%s: message %d is %.200q quoted %v, want %.200q %v", c.name, i+1, got[i], quoted[i], c.want[i], c.quoted[i])
				}
				if !strings.HasPrefix(c.in[offsets[i]:], got[i]) {
					t.Errorf("%s: message %d is not at %d", c.name, i+1, offsets[i])
				}
			}
		}
	}
}

func TestMailboxRefused(t *testing.T) {
	for _, in := range []string{"", "A: 1\n\nx\n", "From here on\nA: 1\n", "From : a@b Sat Nov 21 09:30:00 2026\nA: 1\n", "From a@b Sat,\nA: 1\n", "From a 2015-01-01\nA: 1\n", "\n" + separator + "A: 1\n\n"} {
		if got, _, _, err := cutAll(t, strings.NewReader(in)); len(got) > 0 {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func TestUnquoter(t *testing.T) {
	in := "A: >From x\n\n>From a\n>>From b\n> From c\n>Fromage\nFrom d\n>From " + strings.Repeat("e", 40<<10) + "\n>From f"
	want := "A: >From x\n\nFrom a\n>From b\n> From c\n>Fromage\nFrom d\nFrom " + strings.Repeat("e", 40<<10) + "\nFrom f"
	for _, r := range []io.Reader{newUnquoter(strings.NewReader(in)), newUnquoter(iotest.OneByteReader(strings.NewReader(in))), iotest.OneByteReader(newUnquoter(strings.NewReader(in)))} {
		got, err := io.ReadAll(r)
		if err != nil || string(got) != want {
			t.Errorf("%v, %.200q", err, got)
		}
	}
}

// TestSpool keeps short messages in memory and long ones in a file, and gives
// the same back.
func TestSpool(t *testing.T) {
	for _, size := range []int{0, 1, inMemory, inMemory + 1, 3*inMemory + 7} {
		sp := newSpool(t.TempDir())
		want := bytes.Repeat([]byte("0123456789abcdef\n"), size/17+1)[:size]
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 1000)
			if _, err := sp.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if (sp.f != nil) != (size > inMemory) {
			t.Errorf("%d octets: in a file: %v", size, sp.f != nil)
		}
		for range 2 {
			if got, err := io.ReadAll(sp.reader()); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d octets: %d came back, %v", size, len(got), err)
			}
		}
		sp.free()
	}
}

// FuzzMbox: cutting loses nothing and does not depend on how the input comes.
func FuzzMbox(f *testing.F) {
	f.Add([]byte(separator + "A: 1\n\nx\n\n" + separator + "B: 2\n\n>From y\n"))
	f.Add([]byte(strings.ReplaceAll(separator+"A: 1\n\nx\n\n"+separator+"B: 2\n\n", "\n", "\r\n")))
	f.Add([]byte(separator + "\n\n\n" + separator))
	f.Add([]byte(separator + separator + "A: 1"))
	f.Add([]byte("From a Thu Jan 01 00:00:00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, offsets, _, err := cutAll(t, bytes.NewReader(in))
		slow, slowOffsets, _, slowErr := cutAll(t, iotest.OneByteReader(bytes.NewReader(in)))
		if len(got) != len(slow) || (err == nil) != (slowErr == nil) {
			t.Fatalf("%d messages, %v; octet by octet %d, %v", len(got), err, len(slow), slowErr)
		}
		end := int64(0)
		for i := range got {
			if got[i] != slow[i] || offsets[i] != slowOffsets[i] {
				t.Fatalf("message %d: %q at %d; octet by octet %q at %d", i, got[i], offsets[i], slow[i], slowOffsets[i])
			}
			// Between two messages stand an empty line and a separator only.
			between := in[end:offsets[i]]
			if trimmed := bytes.TrimLeft(between, "\r\n"); len(between)-len(trimmed) > 2 || !isFromLine(trimmed) && len(trimmed) > 0 {
				t.Fatalf("between messages: %q", between)
			}
			if !bytes.HasPrefix(in[offsets[i]:], []byte(got[i])) {
				t.Fatalf("message %d is not at its offset", i)
			}
			end = offsets[i] + int64(len(got[i]))
		}
		if err == nil && len(got) > 0 && len(in)-int(end) > 2 {
			t.Fatalf("left over: %q", in[end:])
		}
		for _, m := range got {
			a, _ := io.ReadAll(newUnquoter(strings.NewReader(m)))
			b, _ := io.ReadAll(newUnquoter(iotest.OneByteReader(strings.NewReader(m))))
			if !bytes.Equal(a, b) || len(a) > len(m) {
				t.Fatalf("unquoted %q and %q", a, b)
			}
		}
	})
}
