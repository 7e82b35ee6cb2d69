package collect

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sekimori/message"
	"sekimori/report/failure"
)

// heapPeak runs f and returns by how much the heap in use grew at most.
func heapPeak(f func()) uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	base := m.HeapAlloc
	var peak atomic.Uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				if m.HeapAlloc > base && m.HeapAlloc-base > peak.Load() {
					peak.Store(m.HeapAlloc - base)
				}
			}
		}
	}()
	f()
	close(stop)
	<-done
	return peak.Load()
}

type repeat struct{ b []byte }

func (r repeat) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], r.b)
	}
	return n, nil
}

// bomb writes a gzip file of head and then size bytes of fill, as members of
// 16 MiB that are the same bytes again and again.
func bomb(t testing.TB, head, fill string, size int64) string {
	t.Helper()
	const member = 16 << 20
	block := gz(bytes.Repeat([]byte(fill), member/len(fill)))
	p := filepath.Join(t.TempDir(), "bomb.xml.gz")
	f, err := os.Create(p)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if head != "" {
		f.Write(gz([]byte(head)))
	}
	for ; size > 0; size -= member {
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestBombs(t *testing.T) {
	const size = 4 << 30
	mib := int64(1 << 20)
	for _, tt := range []struct {
		name, head, fill string
		size             int64
		limits           Limits
		want             string
	}{
		{"zeros", "", "\x00", size, Limits{}, "an unknown kind of file"},
		{"spaces", "<feedback>", " ", 64 * mib, Limits{Inflated: 20 * mib}, "inflates to more than 20971520 bytes altogether"},
		{"entry of spaces", "<feedback>", " ", 64 * mib, Limits{Entry: 20 * mib}, "gzip inflates to more than 20971520 bytes"},
		{"one element", reportHead("1") + "<record><row><source_ip>", "1", size, Limits{}, "offset"},
		{"one name", "<feedback", "x", size, Limits{}, "offset"},
		{"depth", "<feedback>", "<a>", size, Limits{}, "offset"},
		{"comment", "<feedback><!--", "x", size, Limits{}, "offset"},
		{"tar of nothing", string(tarred(item{"a", []byte("x")})[:1024]), string(tarred(item{"b", nil})[:512]), 16 * mib, Limits{Entries: 1000, Parts: 50}, "more than 1000 entries"},
		{"header of a message", "From: a@b\nX: ", "x", 256 * mib, Limits{}, "header section of more than"},
		{"message of many parts", "From: a@b\nContent-Type: multipart/mixed; boundary=x\n\n", "--x\n\n", 64 * mib, Limits{}, "more than 1000 parts"},
		{"mbox of many messages", "", "From a@b Thu Jan 1 00:00:00 2026\nFrom: a@b\n\nhi\n\n", 16 * mib, Limits{Entries: 20_000, Parts: 50}, "and 19950 more parts"},
		{"mbox of one message", "From a@b Thu Jan 1 00:00:00 2026\nFrom: a@b\n\n", "some text\n", 64 * mib, Limits{Entry: 20 * mib}, "more than 20971520 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := bomb(t, tt.head, tt.fill, tt.size)
			f := newFake()
			im := f.importer(t)
			im.Limits = tt.limits
			var res Result
			var err error
			peak := heapPeak(func() { res, err = im.Import(context.Background(), []string{p}) })
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, r := range res.Rejected {
				found = found || strings.Contains(r.Error, tt.want)
			}
			if !found {
				t.Errorf("got %s, want %q; first %+v", summary(res), tt.want, res.Rejected[:min(1, len(res.Rejected))])
			}
			if peak > 96<<20 {
				t.Errorf("the heap grew by %d MiB", peak>>20)
			}
		})
	}
}

// TestNestedZips: sixteen zips of sixteen zips of … end at the limits.
func TestNestedZips(t *testing.T) {
	b := reportXML("1", 1)
	for range 8 {
		var items []item
		for i := range 16 {
			items = append(items, item{fmt.Sprintf("%d.zip", i), b})
		}
		b = zipped(items...)
	}
	f := newFake()
	im := f.importer(t)
	im.Limits.Entries, im.Limits.Parts = 5000, 50
	start := time.Now()
	res := importFile(t, im, "42.zip", b)
	if res.Reports != 0 || !res.HasRejected() {
		t.Errorf("got %s", summary(res))
	}
	t.Logf("%s in %v", summary(res), time.Since(start))
	found := false
	for _, r := range res.Rejected {
		found = found || strings.Contains(r.Error, "more than 6 containers") || strings.Contains(r.Error, "more than 5000 entries")
	}
	if !found {
		t.Errorf("no limit was met: %+v", res.Rejected[:min(3, len(res.Rejected))])
	}
}

// TestOverlappingZip: entries that all name the same large deflated bytes
// count each time.
func TestOverlappingZip(t *testing.T) {
	var o bytes.Buffer
	z := newZipWriter(&o)
	z.deflated("a.xml", func(w io.Writer) {
		io.WriteString(w, "<feedback>")
		io.Copy(w, io.LimitReader(repeat{bytes.Repeat([]byte(" "), 4096)}, 20<<20))
	})
	z.close()
	b := o.Bytes()
	dir := bytes.Index(b, []byte("PK\x01\x02"))
	end := bytes.Index(b, []byte("PK\x05\x06"))
	const n = 200
	out := append([]byte(nil), b[:dir]...)
	for range n {
		out = append(out, b[dir:end]...)
	}
	tail := append([]byte(nil), b[end:]...)
	binary.LittleEndian.PutUint16(tail[8:], n)
	binary.LittleEndian.PutUint16(tail[10:], n)
	binary.LittleEndian.PutUint32(tail[12:], uint32(n*(end-dir)))
	out = append(out, tail...)
	f := newFake()
	im := f.importer(t)
	im.Limits.Inflated = 200 << 20
	res := importFile(t, im, "a.zip", out)
	if !res.HasRejected() || res.Reports != 0 {
		t.Errorf("%s", summary(res))
	}
}

// TestZipDirectory: a directory of millions of entries is not read into memory.
func TestZipDirectory(t *testing.T) {
	one := zipped(item{"a", []byte("x")})
	dir := bytes.Index(one, []byte("PK\x01\x02"))
	end := bytes.Index(one, []byte("PK\x05\x06"))
	n := 64 << 20 / (end - dir)
	var b bytes.Buffer
	b.Write(one[:dir])
	b.Write(bytes.Repeat(one[dir:end], n))
	tail := append([]byte(nil), one[end:]...)
	binary.LittleEndian.PutUint16(tail[8:], uint16(n))
	binary.LittleEndian.PutUint16(tail[10:], uint16(n))
	binary.LittleEndian.PutUint32(tail[12:], uint32(n*(end-dir)))
	b.Write(tail)
	f := newFake()
	res := importFile(t, f.importer(t), "a.zip", b.Bytes())
	if len(res.Rejected) != 1 || !strings.Contains(res.Rejected[0].Error, "a directory of more than") {
		t.Errorf("got %+v", res)
	}
}

// TestEmptyMembers: a file of nothing but empty gzip members ends.
func TestEmptyMembers(t *testing.T) {
	f := newFake()
	res := importFile(t, f.importer(t), "a.gz", bytes.Repeat(gz(nil), 100_000))
	if len(res.Rejected) != 1 || !strings.Contains(res.Rejected[0].Error, "nothing in it") {
		t.Errorf("got %+v", res)
	}
}

func TestXMLBomb(t *testing.T) {
	xml := `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]><feedback>&lol2;</feedback>`
	f := newFake()
	res := importFile(t, f.importer(t), "a.xml", []byte(xml))
	if len(res.Rejected) != 1 || !strings.Contains(res.Rejected[0].Error, "line 1") {
		t.Errorf("got %+v", res)
	}
}

// TestKeptParts: parts that inflate to far more than their file are not all
// kept by themselves.
func TestKeptParts(t *testing.T) {
	var o bytes.Buffer
	z := newZipWriter(&o)
	for i := range 30 {
		z.deflated(fmt.Sprintf("%d.bin", i), func(w io.Writer) {
			io.Copy(w, io.LimitReader(repeat{bytes.Repeat([]byte{byte(i + 1)}, 4096)}, 4<<20))
		})
	}
	z.close()
	f := newFake()
	im := f.importer(t)
	res := importFile(t, im, "a.zip", o.Bytes())
	var size int64
	files, _ := os.ReadDir(filepath.Join(im.DataDir, "quarantine"))
	for _, e := range files {
		info, _ := e.Info()
		size += info.Size()
	}
	if len(res.Rejected) != 30 || size > keptParts+int64(o.Len())+30*1000 || size < keptParts/2 {
		t.Errorf("%d rejected, %d bytes kept", len(res.Rejected), size)
	}
	for _, r := range res.Rejected {
		if r.Kept == "" {
			t.Errorf("%s is not kept", r.Path)
		}
	}
}

// TestKeepLimit: an input that is too large to keep is noted without a copy.
func TestKeepLimit(t *testing.T) {
	f := newFake()
	im := f.importer(t)
	im.Limits.Keep = 10
	res := importFile(t, im, "a.txt", []byte("more than ten bytes"))
	if len(res.Rejected) != 1 || res.Rejected[0].Kept != "" || len(f.kept) != 1 {
		t.Errorf("got %+v", res)
	}
}

func TestSafeName(t *testing.T) {
	for in, want := range map[string]string{
		"../../etc/passwd":      "passwd",
		`C:\reports\a b.xml`:    "a_b.xml",
		"":                      "input",
		"...":                   "input",
		".hidden":               "hidden",
		"a!b!1!2.xml.gz":        "a!b!1!2.xml.gz",
		"報告\u202e\x00\n.xml":    "報告___.xml",
		"a.zip!x/../../.bashrc": "bashrc",
		"-rf":                   "rf",
		"m\xff.xml":             "m_.xml",
	} {
		if got := safeName(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := safeName(strings.Repeat("長い", 500) + ".xml"); len(got) > 100 || !strings.HasSuffix(got, ".xml") {
		t.Errorf("long name: %q", got)
	}
}

// smallLimits are what the fuzz targets run with.
var smallLimits = Limits{Depth: 4, Inflated: 1 << 20, Entry: 256 << 10, Entries: 200, Memory: 64 << 10, Keep: 1 << 20, Upload: 1 << 20,
	Message: message.Limits{Header: 8 << 10, Parts: 50, Depth: 5}}

func FuzzSniff(f *testing.F) {
	for _, s := range []string{"", "<feedback", "\x1f\x8b", "PK\x03\x04", "From a@b Thu 00:00:00\nA: b", "Subject: x\n", "{\"a\":1}", "\xff\xfe<\x00", "H4sIAAAA"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k := Sniff(b)
		if k == "" || (k == Empty) != (len(bytes.Trim(bytes.TrimPrefix(b[:min(len(b), SniffLen)], []byte("\xef\xbb\xbf")), " \t\r\n")) == 0) {
			t.Fatalf("%q", k)
		}
		if k == Unknown && describe(b[:min(len(b), SniffLen)]) == nil || k == JSON && describeJSON(b) == nil {
			t.Fatal("no description")
		}
	})
}

// collector is a visitor that parses and forgets.
type collector struct {
	t        testing.TB
	run      *run
	reports  int
	rejected int
}

func (c *collector) report(ctx context.Context, d *document) error {
	p := c.run.parser()
	defer c.run.free(p)
	p.in.Reset(d.r)
	if _, err := p.skim(ctx); err != nil {
		return err
	}
	if d.raw != nil {
		raw, free, err := d.raw.take()
		if err != nil {
			return err
		}
		defer free()
		src, err := inflate(raw)
		if err != nil {
			c.t.Fatalf("what was kept cannot be inflated: %v", err)
		}
		if _, err := io.Copy(io.Discard, src); err != nil {
			c.t.Fatalf("what was kept cannot be inflated: %v", err)
		}
	}
	c.reports++
	return nil
}

func (c *collector) failure(_ context.Context, _ string, rep *failure.Report) error {
	g := sighting(rep, time.Unix(1.8e9, 0))
	if g.Author == "" || !g.Addr.IsValid() || g.Failing > g.Messages {
		c.t.Fatalf("a sighting of nothing: %+v", g)
	}
	c.reports++
	return nil
}

func (c *collector) reject(_ context.Context, member string, reason error, keep func(io.Writer) error) error {
	if reason == nil || reason.Error() == "" {
		c.t.Fatal("a rejection without a reason")
	}
	if keep != nil {
		keep(io.Discard)
	}
	c.rejected++
	return nil
}

func (c *collector) abort(err error) { c.t.Fatal(err) }

func (c *collector) spawn(job func()) { job() }

func FuzzContainer(f *testing.F) {
	xml := reportXML("1", 2)
	f.Add(xml)
	f.Add(gz(xml))
	f.Add(zst(xml))
	f.Add(zipped(item{"a.xml", xml}, item{"b.txt", []byte("x")}))
	f.Add(tarred(item{"a.xml", xml}))
	f.Add(gz(tarred(item{"a.xml.gz", gz(xml)})))
	f.Add(mail("application/gzip", "a.gz", gz(xml)))
	f.Add(mboxed(mail("application/zip", "a.zip", zipped(item{"a.xml", xml})), []byte("Subject: x\n\nhi\n")))
	f.Add([]byte(wrapped(gz(xml))))
	f.Add(failureReportText("1", "192.0.2.7"))
	f.Add([]byte("BZh91AY&SY\x00\x00"))
	f.Add([]byte("From a@b.example Thu Jan  1 00:00")) // found by fuzzing: neither a report nor an error
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		limits := smallLimits.withDefaults()
		r := &run{limits: limits}
		r.opener = &opener{limits: limits, pools: &pools{}, scratch: scratch{dir: dir, memory: limits.Memory}}
		c := &collector{t: t, run: r}
		o := *r.opener
		o.visit, o.budget = c, newBudget(limits)
		_, err := o.open(context.Background(), &entry{r: bytes.NewReader(b), at: bytes.NewReader(b), size: int64(len(b))})
		if err == nil && c.reports == 0 && c.rejected == 0 {
			t.Fatal("neither a report nor an error")
		}
	})
}
