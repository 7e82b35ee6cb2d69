package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed style/*.css style/icon.svg templates/*.html
var own embed.FS

// built is the front end as Vite left it; only a placeholder without a build.
//
//go:embed all:ui/dist
var built embed.FS

// asset is one file under /assets/, with its packed forms where there are any.
type asset struct {
	kind          string // media type
	plain, gz, br []byte
	tag           string // ETag
}

// assets is every file of the front end. Names carry a hash of the content, so
// that a browser may keep them for good.
type assets struct {
	files  map[string]asset  // by name under /assets/
	names  map[string]string // "style.css" → its path with the hash
	script string            // path of the page's script, "" without a build
}

// loadAssets reads the embedded front end.
func loadAssets() (*assets, error) {
	a := &assets{files: map[string]asset{}, names: map[string]string{}}
	dist, err := fs.Sub(built, "ui/dist")
	if err != nil {
		return nil, err
	}
	if err := a.loadBuild(dist); err != nil {
		return nil, err
	}
	if _, ok := a.names["style.css"]; !ok {
		sheets, err := fs.Glob(own, "style/*.css")
		if err != nil {
			return nil, err
		}
		var all bytes.Buffer
		for _, name := range sheets { // in the order of their names: 1-base.css first
			b, err := own.ReadFile(name)
			if err != nil {
				return nil, err
			}
			all.Write(b)
		}
		a.add("style.css", all.Bytes())
	}
	icon, err := own.ReadFile("style/icon.svg")
	if err != nil {
		return nil, err
	}
	a.add("icon.svg", icon)
	if _, ok := a.names["licenses.txt"]; !ok {
		a.add("licenses.txt", []byte("This program was built without its front end: no third-party script is part of the pages.\n"))
	}
	return a, nil
}

// loadBuild reads Vite's manifest and the files it names. An absent manifest
// is no error: the front end was not built.
func (a *assets) loadBuild(dist fs.FS) error {
	raw, err := fs.ReadFile(dist, ".vite/manifest.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var manifest map[string]struct {
		File    string   `json:"file"`
		CSS     []string `json:"css"`
		IsEntry bool     `json:"isEntry"`
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return fmt.Errorf("ui/dist/.vite/manifest.json: %w", err)
	}
	err = fs.WalkDir(dist, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".gz") || strings.HasSuffix(name, ".br") {
			return err
		}
		b, err := fs.ReadFile(dist, name)
		if err != nil {
			return err
		}
		f := asset{kind: kindOf(name), plain: b, tag: tagOf(b)}
		f.gz, _ = fs.ReadFile(dist, name+".gz")
		f.br, _ = fs.ReadFile(dist, name+".br")
		a.files[name] = f
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range manifest {
		if !m.IsEntry {
			continue
		}
		if strings.HasSuffix(m.File, ".js") {
			a.script = "/assets/" + m.File
		}
		if strings.HasSuffix(m.File, ".css") {
			a.names["style.css"] = "/assets/" + m.File
		}
		for _, css := range m.CSS {
			a.names["style.css"] = "/assets/" + css
		}
	}
	if _, ok := a.files["licenses.txt"]; ok {
		a.names["licenses.txt"] = "/assets/licenses.txt"
	}
	return nil
}

// add takes in a file of our own, under a name with its hash.
func (a *assets) add(name string, b []byte) {
	tag := tagOf(b)
	ext := path.Ext(name)
	hashed := strings.TrimSuffix(name, ext) + "-" + strings.Trim(tag, `"`)[:10] + ext
	a.files[hashed] = asset{kind: kindOf(name), plain: b, tag: tag}
	a.names[name] = "/assets/" + hashed
}

// path returns where a file is, by its plain name.
func (a *assets) path(name string) string { return a.names[name] }

func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	f, ok := a.files[name]
	if !ok {
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("ETag", f.tag)
	if name == "licenses.txt" {
		h.Set("Cache-Control", "no-cache")
	} else {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if strings.Contains(r.Header.Get("If-None-Match"), f.tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.plain
	switch {
	case f.br != nil && accepts(r, "br"):
		h.Set("Content-Encoding", "br")
		body = f.br
	case f.gz != nil && accepts(r, "gzip"):
		h.Set("Content-Encoding", "gzip")
		body = f.gz
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	w.Write(body)
}

func tagOf(b []byte) string {
	sum := sha256.Sum256(b)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}

func kindOf(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".json":
		return "application/json"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}
