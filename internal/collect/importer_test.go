package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"sekimori/internal/store"
)

// TestTree imports a folder of everything.
func TestTree(t *testing.T) {
	dir := t.TempDir()
	n := 0
	next := func() []byte { n++; return reportXML(fmt.Sprint(n), 1) }
	writeFile(t, dir, "a.xml", next())
	writeFile(t, dir, "deep/er/b.xml.gz", gz(next()))
	writeFile(t, dir, "deep/c.zip", zipped(item{"c.xml", next()}, item{"d.xml", next()}))
	writeFile(t, dir, "old.mbox", mboxed(mail("text/xml", "x.xml", next()), mail("text/xml", "x.xml", next())))
	// A maildir with a Maildir++ folder, and what Dovecot keeps in it.
	md := "Maildir/"
	for _, sub := range []string{"cur", "new", "tmp", ".Reports/cur", ".Reports/new", ".Reports/tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, md, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, dir, md+"cur/1790000000.M1P1.host:2,S", mail("application/gzip", "x.gz", gz(next())))
	writeFile(t, dir, md+"new/1790000001.M1P1.host", mail("application/zip", "x.zip", zipped(item{"x.xml", next()})))
	writeFile(t, dir, md+"tmp/1790000002.M1P1.host", []byte("half a mess"))
	writeFile(t, dir, md+".Reports/cur/1790000003.M1P1.host:2,", mail("text/xml", "x.xml", next()))
	for _, name := range []string{"dovecot-uidlist", "dovecot.index.cache", "dovecot.list.index", "maildirfolder", "subscriptions", "maildirsize"} {
		writeFile(t, dir, md+name, []byte("not for us"))
	}
	writeFile(t, dir, ".hidden", []byte("not for us"))
	writeFile(t, dir, ".git/config", []byte("not for us"))
	writeFile(t, dir, "README.txt", []byte("hello"))

	f := newFake()
	res, err := f.importer(t).Import(context.Background(), []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("files 8 reports %d rows %d messages %d duplicates 0 rejected 1", n, n, n); summary(res) != want {
		t.Errorf("got %s, want %s: %+v", summary(res), want, res.Rejected)
	}
	if r := res.Rejected[0]; r.Path != filepath.Join(dir, "README.txt") {
		t.Errorf("rejected %+v", r)
	}
}

// TestPathsAsGiven: a result names paths as the caller did.
func TestPathsAsGiven(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "in/bad.zip", zipped(item{"../x.xml", []byte("<feedback")}))
	t.Chdir(dir)
	for given, want := range map[string]string{
		"in": "in/bad.zip!../x.xml", "./in/": "in/bad.zip!../x.xml", ".": "in/bad.zip!../x.xml",
		"in/bad.zip": "in/bad.zip!../x.xml", filepath.Join(dir, "in"): filepath.Join(dir, "in/bad.zip!") + "../x.xml",
	} {
		res, err := newFake().importer(t).Import(context.Background(), []string{given})
		if err != nil || len(res.Rejected) != 1 || filepath.ToSlash(res.Rejected[0].Path) != filepath.ToSlash(want) && !strings.HasSuffix(res.Rejected[0].Path, "bad.zip!../x.xml") {
			t.Errorf("%s: %+v, %v", given, res, err)
			continue
		}
		if got := res.Rejected[0].Path; got != want {
			t.Errorf("%s: got %s, want %s", given, got, want)
		}
	}
}

func TestArguments(t *testing.T) {
	dir := t.TempDir()
	a := writeFile(t, dir, "d/a.xml", reportXML("1", 1))
	writeFile(t, dir, "d/e/b.xml", reportXML("2", 1))
	writeFile(t, dir, "d-b/c.xml", reportXML("3", 1))
	d := filepath.Join(dir, "d")
	for name, paths := range map[string][]string{
		"twice": {d, filepath.Join(dir, "d-b"), d}, "file within": {a, d, filepath.Join(dir, "d-b", "c.xml"), filepath.Join(dir, "d-b")},
		"folder within": {filepath.Join(d, "e"), dir, a},
	} {
		res, err := newFake().importer(t).Import(context.Background(), paths)
		if err != nil || summary(res) != "files 3 reports 3 rows 3 messages 3 duplicates 0 rejected 0" {
			t.Errorf("%s: %s, %v", name, summary(res), err)
		}
	}
	f := newFake()
	for _, paths := range [][]string{nil, {filepath.Join(dir, "none")}, {a, filepath.Join(dir, "none")}} {
		res, err := f.importer(t).Import(context.Background(), paths)
		if err == nil || errors.Is(err, ErrAborted) || len(f.imports) != 0 || res.Rejected == nil {
			t.Errorf("%v: %v", paths, err)
		}
	}
	if _, err := f.importer(t).Import(context.Background(), []string{filepath.Join(dir, "none")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestSymlinks(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	writeFile(t, dir, "a.xml", reportXML("1", 1))
	out := writeFile(t, other, "b.xml", reportXML("2", 1))
	hid := writeFile(t, dir, ".hidden/c.xml", reportXML("3", 1))
	for name, target := range map[string]string{
		"to-a.xml": "a.xml", "to-b.xml": out, "again-to-b.xml": out, "loop": dir, "to-folder": other, "self": "self", "to-hidden.xml": hid,
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Skip(err)
		}
	}
	res, err := newFake().importer(t).Import(context.Background(), []string{dir})
	if err != nil || summary(res) != "files 3 reports 3 rows 3 messages 3 duplicates 0 rejected 1" {
		t.Fatalf("%s, %v: %+v", summary(res), err, res.Rejected)
	}
	if r := res.Rejected[0]; !strings.HasSuffix(r.Path, "self") || r.Kept != "" {
		t.Errorf("rejected %+v", r)
	}
	// A link that is an argument is followed, to a folder too.
	res, err = newFake().importer(t).Import(context.Background(), []string{filepath.Join(dir, "to-folder")})
	if err != nil || res.Reports != 1 {
		t.Errorf("%s, %v", summary(res), err)
	}
}

func TestUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	dir := t.TempDir()
	p := writeFile(t, dir, "a.xml", reportXML("1", 1))
	writeFile(t, dir, "b.xml", reportXML("2", 1))
	os.Chmod(p, 0)
	res, err := newFake().importer(t).Import(context.Background(), []string{dir})
	if err != nil || summary(res) != "files 2 reports 1 rows 1 messages 1 duplicates 0 rejected 1" || res.Rejected[0].Kept != "" {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestJSON(t *testing.T) {
	b, err := json.Marshal(emptyResult())
	if err != nil || string(b) != `{"files":0,"reports":0,"rows":0,"messages":0,"duplicates":0,"rejected":[],"failure_reports":0,"failure_duplicates":0}` {
		t.Errorf("%s, %v", b, err)
	}
	b, _ = json.Marshal(Rejected{"a", "b", "c"})
	if string(b) != `{"path":"a","error":"b","kept":"c"}` {
		t.Errorf("%s", b)
	}
}

// TestQuarantineOnce: the same bad input again is kept once.
func TestQuarantineOnce(t *testing.T) {
	f := newFake()
	im := f.importer(t)
	for range 3 {
		res := importFile(t, im, "bad.txt", []byte("hello"))
		if len(res.Rejected) != 1 || res.Rejected[0].Kept == "" {
			t.Fatalf("%+v", res)
		}
	}
	names, _ := os.ReadDir(filepath.Join(im.DataDir, "quarantine"))
	if len(names) != 2 {
		t.Errorf("%v", names)
	}
	var side sidecar
	b, err := os.ReadFile(filepath.Join(im.DataDir, "quarantine", names[1].Name()))
	if err != nil || json.Unmarshal(b, &side) != nil || side.Error == "" || side.Size != 5 || len(side.SHA256) != 64 || side.At.IsZero() || !filepath.IsAbs(side.Path) {
		t.Errorf("%s, %v", b, err)
	}
}

// TestDataFolder: the data folder is no input, but what is in quarantine can
// be tried once more, and is not kept twice then.
func TestDataFolder(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "in/a.xml", reportXML("1", 1))
	writeFile(t, dir, "in/bad.txt", []byte("hello"))
	f := newFake()
	im := f.importer(t)
	im.DataDir = filepath.Join(dir, "data")
	if err := os.Mkdir(im.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		res, err := im.Import(context.Background(), []string{dir})
		if err != nil || res.Files != 2 || len(res.Rejected) != 1 {
			t.Errorf("%+v, %v", res, err)
		}
	}
	if _, err := im.Import(context.Background(), []string{im.DataDir}); err == nil || !strings.Contains(err.Error(), "is the data folder itself") {
		t.Errorf("got %v", err)
	}
	quarantine := filepath.Join(im.DataDir, "quarantine")
	writeFile(t, quarantine, "readable-now.xml", reportXML("2", 1))
	before, _ := os.ReadDir(quarantine)
	res, err := im.Import(context.Background(), []string{quarantine})
	after, _ := os.ReadDir(quarantine)
	if err != nil || res.Files != 2 || res.Reports != 1 || len(res.Rejected) != 1 || len(after) != len(before) {
		t.Errorf("%+v, %v; %d files before, %d after", res, err, len(before), len(after))
	}
	if _, err := os.Stat(res.Rejected[0].Kept); err != nil {
		t.Error(err)
	}
}

func TestImportReader(t *testing.T) {
	f := newFake()
	im := f.importer(t)
	res, err := im.ImportReader(context.Background(), "upload.tar", iotest.HalfReader(bytes.NewReader(tarred(item{"a.xml", reportXML("1", 2)}, item{"b.xml", reportXML("2", 5000)}, item{"c", []byte("x")}))))
	if err != nil || summary(res) != "files 1 reports 2 rows 5002 messages 5002 duplicates 0 rejected 1" || res.Rejected[0].Path != "upload.tar!c" {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := im.ImportReader(context.Background(), "-", iotest.ErrReader(errors.New("hung up"))); err == nil || !strings.Contains(err.Error(), "read -: hung up") {
		t.Errorf("got %v", err)
	}
	im.Limits.Upload = 10
	if _, err := im.ImportReader(context.Background(), "-", strings.NewReader("more than ten bytes")); !errors.Is(err, ErrLimit) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(tmpDir(im.DataDir)); len(left) != 0 && runtime.GOOS == "linux" {
		t.Errorf("left in tmp: %v", left)
	}
}

// TestStoreFails: a store that cannot write ends the import, and the inputs
// are not to blame.
func TestStoreFails(t *testing.T) {
	dir := t.TempDir()
	for i := range 50 {
		writeFile(t, dir, fmt.Sprintf("%02d.xml", i), reportXML(fmt.Sprint(i), 1))
	}
	writeFile(t, dir, "large.xml", reportXML("large", 20_000))
	for name, set := range map[string]func(*fakeStore){
		"put":    func(f *fakeStore) { f.putErr = errDisk },
		"append": func(f *fakeStore) { f.appendErr = errDisk },
		"done":   func(f *fakeStore) { f.doneErr = errDisk },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			set(f)
			im := f.importer(t)
			res, err := im.Import(context.Background(), []string{dir})
			if !errors.Is(err, ErrAborted) || !errors.Is(err, errDisk) {
				t.Errorf("got %v", err)
			}
			if len(res.Rejected) != 0 || len(f.kept) != 0 {
				t.Errorf("rejected %+v", res.Rejected)
			}
			if name == "put" && res.Reports > 1 {
				t.Errorf("counts %d reports that are not stored", res.Reports)
			}
			// Once there is room again, the import goes on.
			f.putErr, f.appendErr, f.doneErr = nil, nil, nil
			res, err = im.Import(context.Background(), []string{dir})
			if err != nil || summary(res) != "files 51 reports 51 rows 20050 messages 20050 duplicates 0 rejected 0" {
				t.Errorf("%s, %v", summary(res), err)
			}
		})
	}
	t.Run("tmp", func(t *testing.T) {
		f := newFake()
		im := f.importer(t)
		im.Limits.Memory = 1 // everything is spooled
		if err := os.WriteFile(tmpDir(im.DataDir), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		p := writeFile(t, t.TempDir(), "a.gz", gz(reportXML("1", 1)))
		if res, err := im.Import(context.Background(), []string{p}); !errors.Is(err, ErrAborted) || len(f.kept) != 0 {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

// mixed fills a folder with reports, duplicates, archives and rubbish.
func mixed(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 60 {
		writeFile(t, dir, fmt.Sprintf("a/%02d.xml.gz", i), gz(reportXML(fmt.Sprint(i), 1+i%7)))
	}
	for i := range 10 {
		writeFile(t, dir, fmt.Sprintf("b/%02d.xml", i), reportXML(fmt.Sprint(i), 1+i%7)) // again
		writeFile(t, dir, fmt.Sprintf("b/bad%02d.xml", i), []byte(fmt.Sprintf("<feedback>%d", i)))
	}
	var items []item
	for i := range 40 {
		items = append(items, item{fmt.Sprintf("%d.xml", i), reportXML(fmt.Sprintf("tar%d", i), 2)})
	}
	items = append(items, item{"bad.txt", []byte("hello")})
	writeFile(t, dir, "c.tar.gz", gz(tarred(items...)))
	writeFile(t, dir, "d.zip", zipped(items...)) // the same reports: duplicates
	writeFile(t, dir, "large.xml.gz", gz(reportXML("large", 9000)))
	writeFile(t, dir, "large-again.zip", zipped(item{"large.xml", reportXML("large", 9000)}))
	return dir
}

// TestResume interrupts an import at random places and runs it again until it
// is through: the last Result is that of an undisturbed import.
func TestResume(t *testing.T) {
	dir := mixed(t)
	want := ""
	normal := func(im *Importer, r Result) string {
		// Which of two copies is the duplicate depends on who came first; the
		// sums do not.
		for i := range r.Rejected {
			r.Rejected[i].Kept = strings.TrimPrefix(r.Rejected[i].Kept, im.DataDir)
		}
		return asJSON(t, r)
	}
	{
		f := newFake()
		im := f.importer(t)
		res, err := im.Import(context.Background(), []string{dir})
		if err != nil {
			t.Fatal(err)
		}
		if summary(res) != "files 84 reports 101 rows 9314 messages 9314 duplicates 51 rejected 12" {
			t.Errorf("undisturbed: %s", summary(res))
		}
		want = normal(im, res)
	}
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewSource(seed))
	for round := range 12 {
		f := newFake()
		f.forgetful = round%3 == 2 // a crash loses what FileDone noted
		im := f.importer(t)
		im.Workers = 1 + round%4
		runs := 0
		for {
			ctx, cancel := context.WithCancel(context.Background())
			if runs < 3 {
				after := time.Duration(rnd.Intn(40_000)) * time.Microsecond
				go func() { time.Sleep(after); cancel() }()
			}
			res, err := im.Import(ctx, []string{dir})
			cancel()
			runs++
			if err == nil {
				if got := normal(im, res); got != want {
					t.Errorf("round %d after %d runs: got %s\nwant %s", round, runs, got, want)
				}
				break
			}
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if len(f.writer) != 0 {
				t.Fatal("the writer is still held")
			}
		}
		if f.rows != 9314 {
			t.Errorf("%d rows stored", f.rows)
		}
	}
}

// TestResumeChanged: a file that was replaced since is read again.
func TestResumeChanged(t *testing.T) {
	dir := t.TempDir()
	p := writeFile(t, dir, "a.xml", reportXML("1", 1))
	f := newFake()
	im := f.importer(t)
	ctx, cancel := context.WithCancel(context.Background())
	writeFile(t, dir, "b.xml", reportXML("2", 1))
	im.Ledger = cancelAfter{f, 1, cancel}
	if _, err := im.Import(ctx, []string{dir}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	im.Ledger = f
	writeFile(t, dir, "a.xml", reportXML("3", 5))
	later := time.Now().Add(time.Hour)
	os.Chtimes(p, later, later)
	res, err := im.Import(context.Background(), []string{dir})
	if err != nil || summary(res) != "files 2 reports 2 rows 6 messages 6 duplicates 0 rejected 0" {
		t.Errorf("%s, %v", summary(res), err)
	}
}

// cancelAfter cancels after so many files.
type cancelAfter struct {
	Ledger
	n      int
	cancel context.CancelFunc
}

func (c cancelAfter) FileDone(ctx context.Context, id int64, r store.FileResult) error {
	err := c.Ledger.FileDone(ctx, id, r)
	c.cancel()
	return err
}

// TestCancelStopsPromptly: a cancelled import ends within moments, also in the
// middle of a large file.
func TestCancelStopsPromptly(t *testing.T) {
	p := bomb(t, reportHead("1"), "<!-- comment --> \n", 4<<30)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	f := newFake()
	_, err := f.importer(t).Import(ctx, []string{p})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 15*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	if len(f.kept) != 0 {
		t.Errorf("kept %+v", f.kept)
	}
}

func TestProgress(t *testing.T) {
	dir := mixed(t)
	f := newFake()
	im := f.importer(t)
	var mu sync.Mutex
	var calls []Progress
	im.Progress = func(p Progress) { mu.Lock(); calls = append(calls, p); mu.Unlock() }
	f.onPut = func(int) { time.Sleep(150 * time.Millisecond) }
	res, err := im.Import(context.Background(), []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) < 2 {
		t.Fatalf("%d calls", len(calls))
	}
	for i, p := range calls {
		if p.Done != (i == len(calls)-1) || p.Files > p.FilesTotal || p.Bytes > p.BytesTotal {
			t.Errorf("call %d: %+v", i, p)
		}
		if i > 0 && (p.Files < calls[i-1].Files || p.Bytes < calls[i-1].Bytes || p.Reports < calls[i-1].Reports) {
			t.Errorf("call %d goes back: %+v", i, p)
		}
	}
	last := calls[len(calls)-1]
	if last.Counting || last.Files != res.Files || last.FilesTotal != res.Files || last.Bytes != last.BytesTotal || last.Reports != res.Reports ||
		last.Rows != res.Rows || last.Duplicates != res.Duplicates || last.Rejected != int64(len(res.Rejected)) {
		t.Errorf("last %+v, result %s", last, summary(res))
	}
}

// TestConcurrentImports: two imports of the same folder at the same time count
// each report once.
func TestConcurrentImports(t *testing.T) {
	dir := mixed(t)
	other := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, other); err != nil {
		t.Skip(err)
	}
	f := newFake()
	im := f.importer(t)
	var wait sync.WaitGroup
	var results [2]Result
	for i, p := range []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")} {
		wait.Add(1)
		go func() {
			defer wait.Done()
			var err error
			if results[i], err = im.Import(context.Background(), []string{p}); err != nil {
				t.Error(err)
			}
		}()
	}
	wait.Wait()
	if n := results[0].Reports + results[1].Reports; n != 60 || results[0].Duplicates+results[1].Duplicates != 10 {
		t.Errorf("%s; %s", summary(results[0]), summary(results[1]))
	}
}

// TestManyFiles: a large folder is walked without holding its list.
func TestWalkBatches(t *testing.T) {
	dir := t.TempDir()
	for i := range 3000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots, err := resolve([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	w := &walker{roots: roots, file: func(found) error { n++; return nil }, broken: func(_ root, p string, err error) error { t.Error(p, err); return nil }}
	if err := w.walk(context.Background()); err != nil || n != 3000 {
		t.Errorf("%d files, %v", n, err)
	}
}

// TestFIFO: a pipe as the argument is read like an upload.
func TestStream(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() { io.Copy(w, bytes.NewReader(gz(reportXML("1", 3)))); w.Close() }()
	p := fmt.Sprintf("/dev/fd/%d", r.Fd())
	if _, err := os.Stat(p); err != nil {
		t.Skip(err)
	}
	res, err := newFake().importer(t).Import(context.Background(), []string{p})
	if err != nil || res.Reports != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}
