package web

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"path"
	"strconv"
	"strings"

	"sekimori/internal/collect"
	"sekimori/internal/store"
)

// quarantineView is the list of what could not be read.
type quarantineView struct {
	List *listing
	Rows []keptLine
}

type keptLine struct {
	store.Quarantined
	When moment
}

func (s *server) quarantine(w http.ResponseWriter, r *http.Request, p *page) error {
	v := &quarantineView{}
	v.List = p.list("web.quarantine.list", []string{"at", "path", "size"}, "at", "size").exports("quarantine", "lang", string(p.Lang)).ordered("at", "path", "size")
	v.List.Fragment, v.List.SearchLabel = "list", "web.search.quarantine"
	kept, total, err := s.Store.ListQuarantined(r.Context(), v.List.page())
	if err != nil {
		return err
	}
	v.List.Total = total
	for _, q := range kept {
		v.Rows = append(v.Rows, keptLine{q, p.at(q.At)})
	}
	p.template, p.Nav, p.IsTop, p.Data = "quarantine", "quarantine", true, v
	p.Title = p.text("web.quarantine.title")
	return nil
}

// quarantineFile sends a kept input as it came. It may be anything, so it is
// a download of no type.
func (s *server) quarantineFile(w http.ResponseWriter, r *http.Request, p *page) error {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return errNotFound
	}
	f, q, err := s.Store.OpenQuarantined(r.Context(), id)
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	name := path.Base(strings.ReplaceAll(q.Path, "!", "/"))
	send(w, s, f, "attachment", name)
	p.template = ""
	return nil
}

// uploadView is the upload page, and after an upload what became of it.
type uploadView struct {
	Limit   int64
	Problem string
	Result  *uploadResult
	List    *listing
	Imports []importLine
}

type uploadResult struct {
	collect.Result
	RejectedCount int
	Tone, Says    string
}

type importLine struct {
	store.Import
	Paths []string
	More  int
	Began moment
	Done  bool
}

func (s *server) uploadForm(w http.ResponseWriter, r *http.Request, p *page) error {
	return s.uploadPage(r, p, &uploadView{})
}

func (s *server) uploadPage(r *http.Request, p *page, v *uploadView) error {
	v.Limit = s.MaxUpload
	v.List = p.list("web.imports.title", []string{""}).exports("imports", "lang", string(p.Lang))
	v.List.Fragment, v.List.Path = "imports", "/upload"
	imports, total, err := s.Store.Imports(r.Context(), v.List.page())
	if err != nil {
		return err
	}
	v.List.Total = total
	for _, i := range imports {
		line := importLine{Import: i, Paths: i.Paths, Began: p.at(i.Started), Done: !i.Finished.IsZero()}
		if n := len(line.Paths); n > 3 {
			line.Paths, line.More = line.Paths[:3], n-3
		}
		v.Imports = append(v.Imports, line)
	}
	p.template, p.Nav, p.IsTop, p.Data = "upload", "upload", true, v
	p.Title = p.text("web.upload.title")
	return nil
}

// mostFiles is how many files one upload may hold.
const mostFiles = 1000

// upload takes files in, one after the other as they arrive, and says what
// became of them. Nothing is held in memory as a whole.
func (s *server) upload(w http.ResponseWriter, r *http.Request, p *page) error {
	v := &uploadView{Result: &uploadResult{}}
	files, err := s.files(w, r, mostFiles, func(part *multipart.Part) error {
		one, err := s.take(r, part)
		if err == nil {
			v.Result.Add(one)
		}
		return err
	})
	if err != nil {
		return err
	}
	if files > mostFiles {
		v.Problem = p.text("web.upload.too-many", "n", mostFiles)
	}
	if files == 0 {
		v.Result, v.Problem = nil, p.text("web.upload.nothing")
		p.status = http.StatusBadRequest
		return s.uploadPage(r, p, v)
	}
	res := v.Result
	res.RejectedCount = len(res.Rejected)
	switch {
	case res.RejectedCount > 0 && res.Reports > 0:
		res.Tone, res.Says = "warn", p.text("web.upload.says.some", "n", res.Reports, "rejected", res.RejectedCount)
	case res.RejectedCount > 0:
		res.Tone, res.Says = "bad", p.text("web.upload.says.rejected", "rejected", res.RejectedCount)
	case res.Reports > 0:
		res.Tone, res.Says = "good", p.text("web.upload.says.accepted", "n", res.Reports)
	case res.FailureReports > 0:
		res.Tone, res.Says = "good", p.text("web.upload.says.failures", "n", res.FailureReports)
	case res.Duplicates+res.FailureDuplicates > 0:
		res.Tone, res.Says = "good", p.text("web.upload.says.duplicates", "n", res.Duplicates+res.FailureDuplicates)
	default:
		res.Tone, res.Says = "warn", p.text("web.upload.says.nothing")
	}
	s.meters.uploads.WithLabelValues("accepted").Add(float64(res.Reports))
	s.meters.uploads.WithLabelValues("duplicate").Add(float64(res.Duplicates))
	s.meters.uploads.WithLabelValues("rejected").Add(float64(res.RejectedCount))
	return s.uploadPage(r, p, v)
}

// files calls take with each file of an upload as it arrives, at most so many,
// and counts them; a larger number says that there were more.
func (s *server) files(w http.ResponseWriter, r *http.Request, most int, take func(*multipart.Part) error) (n int, err error) {
	r.Body = http.MaxBytesReader(w, patientReader{r.Body, http.NewResponseController(w)}, s.MaxUpload)
	parts, err := r.MultipartReader()
	if err != nil {
		return 0, errBadQuery
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, s.uploadFault(err)
		}
		if part.FormName() != "file" || part.FileName() == "" {
			part.Close()
			continue
		}
		if n++; n > most {
			return n, nil
		}
		if err := take(part); err != nil {
			return n, s.uploadFault(err)
		}
	}
}

func (s *server) take(r *http.Request, part *multipart.Part) (collect.Result, error) {
	defer part.Close()
	return s.Importer.ImportReader(r.Context(), clip(part.FileName(), 255), part)
}

// uploadFault tells a broken upload from an error of ours.
func (s *server) uploadFault(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, multipart.ErrMessageTooLarge) {
		return errBadQuery
	}
	return err
}
