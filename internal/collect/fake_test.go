package collect

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// fakeStore is a Sink, a Ledger and a Quarantine in memory.
type fakeStore struct {
	mu      sync.Mutex
	writer  chan struct{}
	reports map[store.Key]*fakeReport
	imports []*fakeImport
	kept    []store.Quarantined
	puts    int

	putErr    error       // of every Put
	appendErr error       // of every Append
	doneErr   error       // of every FileDone
	onPut     func(n int) // called after each Put with how many there were
	forgetful bool        // FileDone notes nothing: a crash before it is durable
	begun     int         // streams
	rows      int64       // stored
}

type fakeReport struct {
	seq      int64
	in       store.Incoming
	rows     int64
	messages uint64
	xml      []byte // of Raw, inflated
}

type fakeImport struct {
	store.Import
	files map[string]store.FileResult
}

func newFake() *fakeStore {
	return &fakeStore{reports: map[store.Key]*fakeReport{}, writer: make(chan struct{}, 1)}
}

// importer returns an Importer into the fake.
func (f *fakeStore) importer(t testing.TB) *Importer {
	t.Helper()
	return &Importer{Sink: f, Ledger: f, Quarantine: f, DataDir: t.TempDir(), Workers: 3}
}

func (f *fakeStore) Put(ctx context.Context, in []*store.Incoming) ([]store.Outcome, error) {
	f.writer <- struct{}{}
	defer func() { <-f.writer }()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.putErr != nil {
		return nil, f.putErr
	}
	out := make([]store.Outcome, len(in))
	for i, n := range in {
		o, err := f.put(*n, int64(n.Rows.Len()), n.Rows.Messages())
		if err != nil {
			return nil, err
		}
		out[i] = o
	}
	f.puts++
	if f.onPut != nil {
		f.onPut(f.puts)
	}
	return out, nil
}

func (f *fakeStore) put(in store.Incoming, rows int64, messages uint64) (store.Outcome, error) {
	k := store.KeyOf(in.Report)
	if r, ok := f.reports[k]; ok {
		return store.Outcome{Seq: r.seq, Duplicate: true, Resumed: r.in.Origin == in.Origin, Rows: r.rows, Messages: r.messages}, nil
	}
	src, err := inflate(in.Raw)
	if err != nil {
		return store.Outcome{}, err
	}
	xml, err := io.ReadAll(src)
	if err != nil {
		return store.Outcome{}, fmt.Errorf("the report as received does not inflate: %w", err)
	}
	r := &fakeReport{seq: int64(len(f.reports) + 1), in: in, rows: rows, messages: messages, xml: xml}
	r.in.Rows = nil
	f.reports[k] = r
	f.rows += rows
	return store.Outcome{Seq: r.seq, Rows: rows, Messages: messages}, nil
}

func (f *fakeStore) Seen(_ context.Context, k store.Key) (store.Outcome, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.reports[k]
	if !ok {
		return store.Outcome{}, false, nil
	}
	return store.Outcome{Seq: r.seq, Duplicate: true, Rows: r.rows, Messages: r.messages}, true, nil
}

type fakeStream struct {
	f        *fakeStore
	head     aggregate.Report
	rows     int64
	messages uint64
	over     bool
}

func (f *fakeStore) Begin(ctx context.Context, head aggregate.Report) (Stream, error) {
	select {
	case f.writer <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun++
	return &fakeStream{f: f, head: head}, nil
}

func (s *fakeStream) Append(rows *store.Rows) error {
	if s.f.appendErr != nil {
		return s.f.appendErr
	}
	s.rows += int64(rows.Len())
	s.messages += rows.Messages()
	return nil
}

func (s *fakeStream) Commit(_ context.Context, in store.Incoming) (store.Outcome, error) {
	s.over = true
	defer func() { <-s.f.writer }()
	if in.Report.PolicyPublished.Domain != s.head.PolicyPublished.Domain {
		return store.Outcome{}, store.ErrHeadChanged
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return s.f.put(in, s.rows, s.messages)
}

func (s *fakeStream) Abort() error {
	if !s.over {
		s.over = true
		<-s.f.writer
	}
	return nil
}

func (f *fakeStore) StartImport(_ context.Context, spec store.ImportSpec) (store.Import, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, im := range f.imports {
		if im.Finished.IsZero() && fmt.Sprint(im.Paths) == fmt.Sprint(spec.Paths) {
			im.Resumed = true
			return im.Import, nil
		}
	}
	im := &fakeImport{Import: store.Import{ID: int64(len(f.imports) + 1), Paths: spec.Paths}, files: map[string]store.FileResult{}}
	f.imports = append(f.imports, im)
	return im.Import, nil
}

func (f *fakeStore) FileDone(_ context.Context, id int64, r store.FileResult) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.doneErr == nil && !f.forgetful {
		f.imports[id-1].files[r.Path] = r
	}
	return f.doneErr
}

func (f *fakeStore) FileDoneResult(_ context.Context, id int64, r store.FileResult) (store.FileResult, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, ok := f.imports[id-1].files[r.Path]
	return d, ok && d.Size == r.Size && d.ModTime.Equal(r.ModTime), nil
}

func (f *fakeStore) EndImport(_ context.Context, id int64, whole bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !whole {
		return nil
	}
	f.imports[id-1].Finished = f.imports[id-1].Finished.AddDate(1, 0, 0)
	return nil
}

func (f *fakeStore) AddQuarantined(_ context.Context, q store.Quarantined) (store.Quarantined, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = append(f.kept, q)
	return q, nil
}

// members lists where the stored reports came from, sorted.
func (f *fakeStore) members() []string {
	var out []string
	for _, r := range f.reports {
		out = append(out, r.in.Origin.Member)
	}
	sort.Strings(out)
	return out
}

// reportXML writes a report with so many rows of one message each. Reports
// with different ids are different.
func reportXML(id string, rows int) []byte {
	var b bytes.Buffer
	b.WriteString(reportHead(id))
	for i := range rows {
		fmt.Fprintf(&b, `<record><row><source_ip>192.0.%d.%d</source_ip><count>1</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>`+
			`<identifiers><envelope_from>a.example</envelope_from><header_from>example.com</header_from></identifiers>`+
			`<auth_results><dkim><domain>example.com</domain><selector>s</selector><result>pass</result></dkim><spf><domain>a.example</domain><scope>mfrom</scope><result>pass</result></spf></auth_results></record>`+"\n", i>>8&255, i&255)
	}
	b.WriteString("</feedback>\n")
	return b.Bytes()
}

func reportHead(id string) string {
	return `<?xml version="1.0"?><feedback><version>1.0</version><report_metadata><org_name>org.example</org_name><email>d@org.example</email>` +
		`<report_id>` + id + `</report_id><date_range><begin>1790000000</begin><end>1790086399</end></date_range></report_metadata>` +
		reportPolicy + "\n"
}

const reportPolicy = `<policy_published><domain>example.com</domain><adkim>r</adkim><aspf>r</aspf><p>none</p><sp>none</sp><pct>100</pct><fo>0</fo></policy_published>`

func gz(b []byte) []byte {
	var o bytes.Buffer
	w := gzip.NewWriter(&o)
	w.Write(b)
	w.Close()
	return o.Bytes()
}

func zst(b []byte) []byte {
	e, _ := zstd.NewWriter(nil)
	return e.EncodeAll(b, nil)
}

// item is a file of an archive.
type item struct {
	name string
	b    []byte
}

func zipped(items ...item) []byte {
	var o bytes.Buffer
	w := zip.NewWriter(&o)
	for _, it := range items {
		f, _ := w.Create(it.name)
		f.Write(it.b)
	}
	w.Close()
	return o.Bytes()
}

func tarred(items ...item) []byte {
	var o bytes.Buffer
	w := tar.NewWriter(&o)
	for _, it := range items {
		typ := byte(tar.TypeReg)
		if strings.HasSuffix(it.name, "/") {
			typ = tar.TypeDir
		}
		w.WriteHeader(&tar.Header{Name: it.name, Size: int64(len(it.b)), Mode: 0o644, Typeflag: typ})
		w.Write(it.b)
	}
	w.Close()
	return o.Bytes()
}

// mail attaches b under a media type.
func mail(mediaType, name string, b []byte) []byte {
	return []byte("Received: from a by b\nSubject: Report Domain: example.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=sep\n\n" +
		"This is a report.\n--sep\nContent-Type: text/plain\n\nHello, <b>world</b>\n--sep\nContent-Type: " + mediaType + "; name=\"" + name + "\"\n" +
		"Content-Transfer-Encoding: base64\nContent-Disposition: attachment\n\n" + wrapped(b) + "\n--sep--\n")
}

func wrapped(b []byte) string {
	s := base64.StdEncoding.EncodeToString(b)
	var o strings.Builder
	for len(s) > 76 {
		o.WriteString(s[:76] + "\n")
		s = s[76:]
	}
	return o.String() + s
}

func mboxed(mails ...[]byte) []byte {
	var o bytes.Buffer
	for _, m := range mails {
		o.WriteString("From a@b.example Thu Jan  1 00:00:00 2026\n")
		for _, line := range bytes.SplitAfter(m, []byte("\n")) {
			if bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
				o.WriteByte('>')
			}
			o.Write(line)
		}
		o.WriteString("\n")
	}
	return o.Bytes()
}

// writeFile puts a file under dir and returns its path.
func writeFile(t testing.TB, dir, name string, b []byte) string {
	t.Helper()
	p := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// importFile imports one file with these bytes.
func importFile(t testing.TB, im *Importer, name string, b []byte) Result {
	t.Helper()
	res, err := im.Import(context.Background(), []string{writeFile(t, t.TempDir(), name, b)})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// summary is a Result in short.
func summary(r Result) string {
	return fmt.Sprintf("files %d reports %d rows %d messages %d duplicates %d rejected %d", r.Files, r.Reports, r.Rows, r.Messages, r.Duplicates, len(r.Rejected))
}

// asJSON compares Results.
func asJSON(t testing.TB, r Result) string {
	t.Helper()
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var errDisk = errors.New("no space left on device")
