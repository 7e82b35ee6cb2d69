package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sekimori/internal/collect"
)

// mostFiles bounds the files of one upload.
const mostFiles = 1000

// uploadInput reaches through to the request, whose body is read as it
// comes instead of being held.
type uploadInput struct {
	Name string `query:"name" maxLength:"255" doc:"Name of the file, where the body is the file itself."`

	r *http.Request
	w http.ResponseWriter
}

// Resolve is called before the operation.
func (in *uploadInput) Resolve(ctx huma.Context) []error {
	in.r, in.w = humago.Unwrap(ctx)
	return nil
}

func (s *server) uploadOperation(a huma.API) {
	binary := &huma.Schema{Type: huma.TypeString, Format: "binary"}
	huma.Register(a, huma.Operation{
		OperationID: "import-reports", Method: http.MethodPost, Path: "/reports", Tags: []string{"intake"},
		Summary: "Import reports",
		Description: "The body is one file (XML, gzip, zip, zstd, tar, a message, an mbox: told by content, not by name or media type), or a form " +
			"(multipart/form-data) with any number of files. The answer comes when what it counts is durable. What cannot be read is kept in quarantine and listed as rejected.",
		Errors: []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusRequestTimeout},
	}, func(ctx context.Context, in *uploadInput) (*answer[collect.Result], error) {
		res, err := s.receive(ctx, in)
		if err != nil {
			return nil, s.failUpload(ctx, err)
		}
		return reply(res), nil
	})
	// Described only now, so that huma leaves the body alone.
	a.OpenAPI().Paths["/reports"].Post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/octet-stream": {Schema: binary},
		"multipart/form-data": {Schema: &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
			"file": {Type: huma.TypeArray, Items: binary}}}},
	}}
}

// receive imports the body of an upload.
func (s *server) receive(ctx context.Context, in *uploadInput) (collect.Result, error) {
	body := http.MaxBytesReader(in.w, s.patientBody(in.w, in.r.Body), s.MaxUpload)
	mediaType, params, _ := mime.ParseMediaType(in.r.Header.Get("Content-Type"))
	if mediaType != "multipart/form-data" {
		return s.Importer.ImportReader(ctx, uploadName(in.Name), body)
	}
	if params["boundary"] == "" {
		return collect.Result{}, huma.Error400BadRequest("multipart/form-data without a boundary")
	}
	in.r.Body = body
	form, err := in.r.MultipartReader()
	if err != nil {
		return collect.Result{}, huma.Error400BadRequest(err.Error())
	}
	var sum collect.Result
	for n := 0; ; {
		part, err := form.NextPart()
		if err == io.EOF {
			if n == 0 {
				return sum, huma.Error400BadRequest("no file in the form: send each as a part with a file name")
			}
			return sum, nil
		}
		if err != nil {
			return sum, badForm{err}
		}
		if part.FileName() == "" {
			continue
		}
		if n++; n > mostFiles {
			return sum, huma.NewError(http.StatusRequestEntityTooLarge, fmt.Sprintf("more than %d files in one upload: send them as a zip or in several uploads", mostFiles))
		}
		res, err := s.Importer.ImportReader(ctx, uploadName(part.FileName()), part)
		if err != nil {
			return sum, err
		}
		sum.Add(res)
	}
}

// badForm is a form that cannot be taken apart.
type badForm struct{ error }

func (b badForm) Unwrap() error { return b.error }

// failUpload words what can go wrong with a body.
func (s *server) failUpload(ctx context.Context, err error) error {
	var large *http.MaxBytesError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &large):
		return huma.NewError(http.StatusRequestEntityTooLarge,
			fmt.Sprintf("the upload is larger than %d bytes: import it on the command line (sekimori import PATH)", large.Limit))
	case errors.As(err, &timeout) && timeout.Timeout():
		return huma.NewError(http.StatusRequestTimeout, "nothing came for too long")
	case errors.As(err, new(badForm)):
		return huma.Error400BadRequest("the form is broken: " + err.Error())
	case errors.Is(err, io.ErrUnexpectedEOF):
		return huma.Error400BadRequest("the upload ended too early")
	}
	return s.fail(ctx, err)
}

// uploadName makes a sent file name harmless: its last element, without
// control characters.
func uploadName(s string) string {
	s = path.Base(strings.ReplaceAll(s, `\`, "/"))
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if s == "" || s == "." || s == "/" || s == ".." {
		return "upload"
	}
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[len(s)-200:], "")
	}
	return s
}

// patientBody reads body, and gives up when nothing comes for s.Patience.
func (s *server) patientBody(w http.ResponseWriter, body io.ReadCloser) io.ReadCloser {
	return &patientReader{ReadCloser: body, rc: http.NewResponseController(w), patience: s.Patience}
}

type patientReader struct {
	io.ReadCloser
	rc       *http.ResponseController
	patience time.Duration
}

func (r *patientReader) Read(p []byte) (int, error) {
	_ = r.rc.SetReadDeadline(time.Now().Add(r.patience)) // not supported by a recorder in tests
	return r.ReadCloser.Read(p)
}

// patient writes to w, and gives up when nothing is taken for s.Patience.
func (s *server) patient(w http.ResponseWriter) *patientWriter {
	return &patientWriter{w: w, rc: http.NewResponseController(w), patience: s.Patience}
}

type patientWriter struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	patience time.Duration
}

func (p *patientWriter) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(time.Now().Add(p.patience))
	return p.w.Write(b)
}

// Close sends what is still held back and lifts the deadline, which would
// otherwise meet the next request on the same connection.
func (p *patientWriter) Close() error {
	err := p.rc.Flush()
	_ = p.rc.SetWriteDeadline(time.Time{})
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// cutOff ends a download that failed midway, so that the client sees that it
// is not whole.
func (s *server) cutOff(r *http.Request, err error) {
	if r.Context().Err() == nil {
		s.Logger.ErrorContext(r.Context(), "download", "path", r.URL.Path, "error", err)
	}
	panic(http.ErrAbortHandler)
}
