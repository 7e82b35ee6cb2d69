package web

import (
	"io"
	"net/http"
	"time"
)

// patience is how long a client may send or take nothing in the middle of an
// upload or a download before the connection is given up.
const patience = 30 * time.Second

// patientReader reads a request's body as long as something comes. Where the
// connection has no deadlines (tests) it reads as it is.
type patientReader struct {
	io.ReadCloser
	c *http.ResponseController
}

func (p patientReader) Read(b []byte) (int, error) {
	_ = p.c.SetReadDeadline(time.Now().Add(patience))
	return p.ReadCloser.Read(b)
}

// patientWriter writes an answer as long as something is taken.
type patientWriter struct {
	io.Writer
	c *http.ResponseController
}

func (p patientWriter) Write(b []byte) (int, error) {
	_ = p.c.SetWriteDeadline(time.Now().Add(patience))
	return p.Writer.Write(b)
}
