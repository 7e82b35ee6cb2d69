package collect

import (
	"archive/zip"
	"bytes"
	"io"
)

// zipWriter makes archives that the plain helper does not.
type zipWriter struct{ w *zip.Writer }

func newZipWriter(o *bytes.Buffer) zipWriter { return zipWriter{zip.NewWriter(o)} }

func (z zipWriter) stored(name string, b []byte) {
	f, _ := z.w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	f.Write(b)
}

func (z zipWriter) deflated(name string, write func(io.Writer)) {
	f, _ := z.w.Create(name)
	write(f)
}

func (z zipWriter) close() { z.w.Close() }
