package reporter

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/gzip"

	"sekimori/dmarc"
	"sekimori/internal/store/outbox"
	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
)

// writeReport streams one report as XML: memory does not grow with its rows.
// It returns how many rows and messages there were.
func (o *Options) writeReport(ctx context.Context, w io.Writer, day string, p verdict.PolicyTotals, rec *dmarc.Record) (rows, messages int64, err error) {
	head, err := o.head(day, p.Policy, rec)
	if err != nil {
		return 0, 0, err
	}
	aw, err := aggregate.NewWriter(w, o.Form, head)
	if err != nil {
		return 0, 0, err
	}
	var out aggregate.Record
	err = o.Days.Rows(ctx, day, p.ID, func(in *aggregate.Record) error {
		fit(o.Form, in, &out)
		rows++
		messages += int64(out.Count)
		return aw.WriteRecord(&out)
	})
	if err != nil {
		return 0, 0, err
	}
	return rows, messages, aw.Close()
}

// freeze writes a report's file, durably: what is under its name is whole. A
// file that is there already was never entered in the outbox, so never sent,
// and is replaced.
func (o *Options) freeze(ctx context.Context, box *outbox.Box, r *outbox.Report, p verdict.PolicyTotals, rec *dmarc.Record) (err error) {
	r.File = filepath.Join(r.Day, r.ReportID+".xml.gz")
	path := box.Path(r.File)
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("report on %s: %w", r.Domain, err)
	}
	f, err := os.CreateTemp(dir, "making-*")
	if err != nil {
		return fmt.Errorf("report on %s: %w", r.Domain, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("report on %s: %w", r.Domain, err)
		}
	}()
	sum := sha256.New()
	count := &counter{w: io.MultiWriter(f, sum)}
	buf := bufio.NewWriterSize(count, 64<<10)
	// No time and no name in its head: the same rows make the same file.
	zip, err := gzip.NewWriterLevel(buf, gzip.DefaultCompression)
	if err != nil {
		return err
	}
	if r.Rows, r.Messages, err = o.writeReport(ctx, zip, r.Day, p, rec); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	r.Size, r.Sum = count.n, hex.EncodeToString(sum.Sum(nil))
	if err := syncFolder(dir); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(dir)) // the day's folder may be new
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
