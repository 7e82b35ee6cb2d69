package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/dns/dnstest"
)

func bankResolver(t testing.TB) dns.Resolver {
	t.Helper()
	z, err := dnstest.Parse(strings.NewReader(publicKeys(t, bankZone)), "zone")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func bankBatch(t testing.TB) *Batch {
	return &Batch{Checker: &Checker{Resolver: bankResolver(t), AuthServID: "mx.receiver.example"}, TempDir: t.TempDir()}
}

const bankTrace = "Return-Path: <bounce@bank.example>\r\n" +
	"Received: from mx.bank.example (mx.bank.example [192.0.2.10]) by mx.receiver.example (Postfix) with ESMTPS id 1; Sat, 21 Nov 2026 09:29:00 +0000\r\n"

// damaged is a message changed on its way over a host that may not send it.
func damaged(s string) string {
	return strings.NewReplacer("of November", "of December", "[192.0.2.10]", "[203.0.113.5]").Replace(s)
}

// unix gives text the line ends of an mbox file.
func unix(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

func run(t testing.TB, b *Batch, places ...Place) []Checked {
	t.Helper()
	var all []Checked
	if err := b.Run(context.Background(), places, func(c Checked) error {
		all = append(all, c)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func lines(all []Checked) string {
	var b strings.Builder
	for _, c := range all {
		if c.Err != nil {
			fmt.Fprintf(&b, "%s %d error %v\n", c.Path, c.Offset, c.Err)
		} else {
			fmt.Fprintf(&b, "%s %d %s\n", c.Path, c.Offset, c.Verdict.Outcome())
		}
	}
	return b.String()
}

func write(t testing.TB, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestBatchPlaces finds messages in files, mailboxes, maildirs and folders, in
// order, and says what it cannot read.
func TestBatchPlaces(t *testing.T) {
	good := bankTrace + signed(t, crlfs(bankDraft), bankKey)
	bad := damaged(good)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "folder", "b.eml"), good)
	write(t, filepath.Join(dir, "folder", "a.eml"), bad)
	write(t, filepath.Join(dir, "folder", "c", "deep.eml"), good)
	write(t, filepath.Join(dir, "folder", ".hidden"), "no mail")
	write(t, filepath.Join(dir, "folder", "notes.txt"), "no mail at all\n")
	write(t, filepath.Join(dir, "folder", "z.eml.gz"), "\x1f\x8b\x08 compressed")
	write(t, filepath.Join(dir, "folder", "empty"), "\n")
	write(t, filepath.Join(dir, "md", "new", "1"), good)
	write(t, filepath.Join(dir, "md", "cur", "2:2,S"), good)
	write(t, filepath.Join(dir, "md", "tmp", "3"), good)
	write(t, filepath.Join(dir, "md", "dovecot-uidlist"), "3 V1")
	write(t, filepath.Join(dir, "md", ".Sent", "cur", "4"), bad)
	if err := os.MkdirAll(filepath.Join(dir, "md", ".Sent", "new"), 0o755); err != nil {
		t.Fatal(err)
	}
	box := separator + unix(good) + "\n" + separator + unix(bad) + "\n" + separator + "nothing of a message\n: here\n\n" + separator + unix(good) + "\n"
	write(t, filepath.Join(dir, "box"), box)
	place := func(n string) Place { return Place{Name: n, File: filepath.Join(dir, n)} }
	got := lines(run(t, bankBatch(t), place("folder"), place("md"), place("box"), place("absent"), Place{Name: "-", In: strings.NewReader(good)}))
	second := int64(len(separator) + len(unix(good)) + 1 + len(separator))
	fourth := int64(len(box) - len(unix(good)) - 1)
	want := `folder/a.eml 0 failed
folder/b.eml 0 confirmed
folder/c/deep.eml 0 confirmed
folder/empty 0 error not a message: it is empty
folder/notes.txt 0 error not a message: it does not begin with header fields such as From, Date or Received
folder/z.eml.gz 0 error not a message: gzip-compressed data: unpack it first
md/.Sent/cur/4 0 failed
md/cur/2:2,S 0 confirmed
md/new/1 0 confirmed
box#1 ` + strconv.Itoa(len(separator)) + ` confirmed
box#2 ` + strconv.FormatInt(second, 10) + ` failed
box#3 ` + strconv.FormatInt(fourth, 10) + ` confirmed
absent 0 error no such file or directory
- 0 confirmed
`
	// What has no header behind its separator is text of the message before.
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestBatchQuoting: a line that begins with "From " is signed as it was sent.
// A mailbox quotes it (mboxrd, mboxo); some quote nothing (mboxcl2), and then
// a ">From " is the sender's own.
func TestBatchQuoting(t *testing.T) {
	sent := signed(t, crlfs(bankDraft+"From now on it is better.\n>From your letter:\n"), bankKey)
	for _, c := range []struct {
		name string
		box  string
		want Outcome
	}{
		{"mboxrd", strings.NewReplacer("\nFrom now", "\n>From now", "\n>From your", "\n>>From your").Replace(unix(sent)), Confirmed},
		{"mboxcl2", unix(sent), Confirmed},
		// It quotes the one and leaves the other: neither reading is what was sent.
		{"mboxo with both", strings.Replace(unix(sent), "\nFrom now", "\n>From now", 1), Failed},
	} {
		all := run(t, bankBatch(t), Place{Name: "box", In: strings.NewReader(separator + c.box + "\n")})
		if len(all) != 1 || all[0].Verdict.Outcome() != c.want {
			t.Errorf("%s: %s", c.name, lines(all))
		}
	}
}

// generated is a mailbox of n messages, made while it is read; every tenth is
// changed after it was signed.
func generated(t testing.TB, n, size int) io.Reader {
	t.Helper()
	draft := bankDraft + strings.Repeat("All work and no play makes a dull message, and so on to the end.\n", size/65)
	good := []byte(separator + unix(bankTrace+signed(t, crlfs(draft), bankKey)) + "\n")
	bad := []byte(damaged(string(good)))
	return &repeated{n: n, of: [2][]byte{good, bad}}
}

type repeated struct {
	i, n int
	of   [2][]byte
	cur  []byte
}

func (r *repeated) Read(p []byte) (int, error) {
	if len(r.cur) == 0 {
		if r.i == r.n {
			return 0, io.EOF
		}
		r.cur = r.of[0]
		if r.i%10 == 9 {
			r.cur = r.of[1]
		}
		r.i++
	}
	n := copy(p, r.cur)
	r.cur = r.cur[n:]
	return n, nil
}

// TestBatchMailbox checks a mailbox of 20,000 messages: the order is kept and
// the heap does not grow with their number.
func TestBatchMailbox(t *testing.T) {
	n := 20_000
	if testing.Short() {
		n = 2_000
	}
	b := bankBatch(t)
	var peak, at uint64
	i := 0
	began := time.Now()
	err := b.Run(context.Background(), []Place{{Name: "box", In: generated(t, n, 2000)}}, func(c Checked) error {
		i++
		want := Confirmed
		if i%10 == 0 {
			want = Failed
		}
		if c.Path != "box#"+strconv.Itoa(i) || c.Err != nil || c.Verdict.Outcome() != want {
			return fmt.Errorf("outcome %d: %s %v %s", i, c.Path, c.Err, c.Verdict.Outcome())
		}
		if i%(n/20) == 0 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			if i == n/20 {
				at = m.HeapAlloc
			}
			peak = max(peak, m.HeapAlloc)
		}
		return nil
	})
	if err != nil || i != n {
		t.Fatalf("%d outcomes, %v", i, err)
	}
	t.Logf("%d messages, %.0f a second; heap in use %d KiB at first, at most %d KiB", n, float64(n)/time.Since(began).Seconds(), at>>10, peak>>10)
	if peak > at+4<<20 {
		t.Errorf("the heap grew from %d to %d octets", at, peak)
	}
}

// TestBatchLarge: a message of many megabytes goes through a file.
func TestBatchLarge(t *testing.T) {
	draft := bankDraft + strings.Repeat("All work and no play makes a dull message, and so on to the end.\n", 300_000)
	all := run(t, bankBatch(t), Place{Name: "box", In: strings.NewReader(separator + unix(bankTrace+signed(t, crlfs(draft), bankKey)) + "\n")})
	if len(all) != 1 || all[0].Verdict.Outcome() != Confirmed {
		t.Error(lines(all))
	}
}

// TestBatchBroken: an input that ends in an error gives what was before it.
func TestBatchBroken(t *testing.T) {
	good := unix(bankTrace + signed(t, crlfs(bankDraft), bankKey))
	box := separator + good + "\n" + separator + good
	broken := errors.New("disk is gone")
	all := run(t, bankBatch(t), Place{Name: "box", In: io.MultiReader(strings.NewReader(box), errorReader{broken})})
	want := fmt.Sprintf("box#1 %d confirmed\nbox %d error disk is gone\n", len(separator), len(box))
	if got := lines(all); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

type errorReader struct{ err error }

func (e errorReader) Read([]byte) (int, error) { return 0, e.err }

// TestBatchStops: an error of the receiver and an end of the context end the
// run, with nothing left behind.
func TestBatchStops(t *testing.T) {
	dir := t.TempDir()
	b := bankBatch(t)
	b.TempDir = dir
	full := errors.New("no space left")
	n := 0
	before := runtime.NumGoroutine()
	err := b.Run(context.Background(), []Place{{Name: "box", In: generated(t, 5000, 2000)}}, func(Checked) error {
		if n++; n == 3 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) || n != 3 {
		t.Errorf("%v after %d", err, n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n = 0
	err = b.Run(ctx, []Place{{Name: "box", In: generated(t, 5000, 2000)}}, func(Checked) error {
		if n++; n == 3 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || n > 3 {
		t.Errorf("%v after %d", err, n)
	}
	time.Sleep(20 * time.Millisecond)
	if after := runtime.NumGoroutine(); after > before+2 {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}

// TestCheckedJSON: path comes first.
func TestCheckedJSON(t *testing.T) {
	all := run(t, bankBatch(t), Place{Name: "a<b>.eml", In: strings.NewReader(bankTrace + signed(t, crlfs(bankDraft), bankKey))},
		Place{Name: "x", In: strings.NewReader("no mail")}, Place{Name: "y", In: strings.NewReader("PK\x03\x04…")})
	for i, want := range []string{`{"path":"a\u003cb\u003e.eml","spf":{"result":"pass","domain":"bank.example","identity":"mailfrom","explanation":""},"dkim":[{"result":"pass","domain":"bank.example","selector":"s1","algorithm":"rsa-sha256","aligned":true,"reason":"pass"}],"arc":{"result":"none"`,
		`{"path":"x","spf":{"result":"none","domain":"","identity":"mailfrom","explanation":""},"dkim":[],"arc":{"result":"none"`,
		`{"path":"y","error":"not a message: a zip archive: unpack it first","offset":0}`} {
		got, err := json.Marshal(all[i])
		if err != nil || !bytes.HasPrefix(got, []byte(want)) {
			t.Errorf("%v %s\nwant %s…", err, got, want)
		}
	}
}
