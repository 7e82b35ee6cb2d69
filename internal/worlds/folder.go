package worlds

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"sekimori/report/aggregate"
)

// Bounds of a world that is read.
const (
	maxTruth   = 64 << 20
	maxReport  = 64 << 20 // of one report, unpacked
	maxReports = 200_000
)

// Write writes the world into a folder, which it makes: reports.tar.gz with
// one gzipped file for each report, zone and truth.json.
func (w *World) Write(dir string) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	truth, err := json.MarshalIndent(w.Truth, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "truth.json"), append(truth, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "zone"), []byte(w.Zone), 0o644); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "reports.tar.gz"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return w.archive(f)
}

// archive writes reports.tar.gz.
func (w *World) archive(out io.Writer) error {
	outer, err := gzip.NewWriterLevel(out, gzip.NoCompression) // what is in it is packed already
	if err != nil {
		return err
	}
	t := tar.NewWriter(outer)
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "reports/", Mode: 0o755, ModTime: w.Truth.End, Format: tar.FormatPAX}); err != nil {
		return err
	}
	var buf bytes.Buffer
	inner, err := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
	if err != nil {
		return err
	}
	seen := map[string]int{}
	for i := range w.reports {
		r := &w.reports[i]
		buf.Reset()
		inner.Reset(&buf)
		x, err := aggregate.NewWriter(inner, r.Form, r.Report)
		if err != nil {
			return err
		}
		for k := range r.Records {
			if err := x.WriteRecord(&r.Records[k]); err != nil {
				return err
			}
		}
		if err := errors.Join(x.Close(), inner.Close()); err != nil {
			return err
		}
		name := aggregate.Filename(r.Report)
		if seen[name]++; seen[name] > 1 { // sent twice
			name = fmt.Sprintf("%d-%s", seen[name], name)
		}
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "reports/" + name, Mode: 0o644, Size: int64(buf.Len()), ModTime: r.Metadata.End.UTC(), Format: tar.FormatPAX}); err != nil {
			return err
		}
		if _, err := t.Write(buf.Bytes()); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), outer.Close())
}

// Open reads a world from a folder as Write makes it, also one that another
// generator made. Reports that cannot be read are an error: a world holds none.
func Open(dir string) (*World, error) {
	w := &World{}
	raw, err := read(filepath.Join(dir, "truth.json"), maxTruth)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &w.Truth); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "truth.json"), err)
	}
	if raw, err = read(filepath.Join(dir, "zone"), maxTruth); err != nil {
		return nil, err
	}
	w.Zone = string(raw)
	f, err := os.Open(filepath.Join(dir, "reports.tar.gz"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := w.unpack(f); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return w, nil
}

func read(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", path, limit)
	}
	return raw, err
}

func (w *World) unpack(in io.Reader) error {
	outer, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	t := tar.NewReader(outer)
	var inner gzip.Reader
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if len(w.reports) >= maxReports {
			return fmt.Errorf("more than %d reports", maxReports)
		}
		if err := inner.Reset(t); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		rep, err := readReport(io.LimitReader(&inner, maxReport))
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		w.reports = append(w.reports, rep)
	}
}

func readReport(in io.Reader) (Report, error) {
	r := aggregate.NewReader(in, aggregate.Limits{})
	var out Report
	for {
		var rec aggregate.Record
		err := r.Next(&rec)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return out, err
		}
		// The reader uses the lists again.
		rec.Reasons, rec.DKIMResults, rec.SPFResults = slices.Clone(rec.Reasons), slices.Clone(rec.DKIMResults), slices.Clone(rec.SPFResults)
		out.Records = append(out.Records, rec)
	}
	head, ok := r.Report()
	if !ok {
		return out, errors.New("the report has no head")
	}
	out.Report = head
	return out, nil
}
