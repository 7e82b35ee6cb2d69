package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// root is one path of an import.
type root struct {
	given string // as the caller wrote it
	abs   string // absolute, symbolic links resolved
	info  fs.FileInfo
}

// show returns path, or a path with "!" and a member behind it, as the caller
// would write it.
func (r root) show(path string) string {
	rest, ok := strings.CutPrefix(path, r.abs)
	switch {
	case !ok:
		return path
	case rest == "" || rest[0] == '!':
		return r.given + rest
	case strings.HasSuffix(r.abs, string(filepath.Separator)):
		return path
	case rest[0] != filepath.Separator:
		return path
	case filepath.Clean(r.given) == ".":
		return rest[1:]
	}
	return filepath.Clean(r.given) + rest
}

func withSeparator(dir string) string {
	if strings.HasSuffix(dir, string(filepath.Separator)) {
		return dir
	}
	return dir + string(filepath.Separator)
}

// within reports whether path is r or lies below it.
func (r root) within(path string) bool {
	return path == r.abs || r.info.IsDir() && strings.HasPrefix(path, withSeparator(r.abs))
}

// resolve makes roots of the paths of an import, in their order. A path that
// lies within another is left out, so that no file is met twice.
func resolve(paths []string) ([]root, error) {
	if len(paths) == 0 {
		return nil, errors.New("no path to import: name a file or a folder")
	}
	all := make([]root, 0, len(paths))
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, err
		}
		abs, err := filepath.Abs(p)
		if err == nil && (info.IsDir() || info.Mode().IsRegular()) {
			abs, err = filepath.EvalSymlinks(abs)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, root{given: p, abs: abs, info: info})
	}
	// Sorted element by element, what lies within a folder follows it.
	order := make([]int, len(all))
	key := make([]string, len(all))
	for i := range order {
		order[i] = i
		key[i] = strings.ReplaceAll(all[i].abs, string(filepath.Separator), "\x00")
	}
	sort.SliceStable(order, func(i, j int) bool { return key[order[i]] < key[order[j]] })
	drop := make([]bool, len(all))
	var open []int // folders around the current path
	for _, i := range order {
		for len(open) > 0 && !strings.HasPrefix(all[i].abs, withSeparator(all[open[len(open)-1]].abs)) && all[open[len(open)-1]].abs != all[i].abs {
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			drop[i] = true
			continue
		}
		open = append(open, i)
	}
	roots := all[:0]
	for i, r := range all {
		if !drop[i] {
			roots = append(roots, r)
		}
	}
	return roots, nil
}

// dataFolder is the data folder's path, absolute and resolved; "" where there
// is none yet.
type dataFolder struct{ dir string }

func newDataFolder(dir string) dataFolder {
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return dataFolder{}
	}
	return dataFolder{abs}
}

func (d dataFolder) quarantine() string {
	if d.dir == "" {
		return ""
	}
	return filepath.Join(d.dir, "quarantine")
}

// kept returns the name, relative to the data folder, of a file that is in the
// quarantine already.
func (d dataFolder) kept(path string) (string, bool) {
	if d.dir == "" || filepath.Dir(path) != d.quarantine() {
		return "", false
	}
	return "quarantine/" + filepath.Base(path), true
}

// found is one input file.
type found struct {
	root root
	path string // absolute
	info fs.FileInfo
}

// walker goes through the roots, a folder at a time and a part of a folder at
// a time: it never holds the list of a large folder.
type walker struct {
	roots []root
	// file is called for each file, broken for what cannot be walked.
	file   func(found) error
	broken func(root root, path string, err error) error
	data   dataFolder      // which is no input
	links  map[string]bool // targets of symbolic links that were followed
}

const (
	walkDepth = 100  // folders in each other
	walkBatch = 1024 // names of a folder held at a time
)

func (w *walker) walk(ctx context.Context) error {
	w.links = map[string]bool{}
	for _, r := range w.roots {
		var err error
		if r.info.IsDir() {
			err = w.folder(ctx, r, r.abs, 0)
		} else {
			err = w.file(found{r, r.abs, r.info})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) folder(ctx context.Context, r root, dir string, depth int) error {
	if depth > walkDepth {
		return w.broken(r, dir, fmt.Errorf("folders nested deeper than %d: %w", walkDepth, ErrLimit))
	}
	d, err := os.Open(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since it was listed
		}
		return w.broken(r, dir, err)
	}
	defer d.Close()
	maildir := isFolder(filepath.Join(dir, "cur")) && isFolder(filepath.Join(dir, "new"))
	for {
		list, err := d.ReadDir(walkBatch)
		sort.Slice(list, func(i, j int) bool { return list[i].Name() < list[j].Name() })
		for _, e := range list {
			if err := ctx.Err(); err != nil {
				return fatal(err)
			}
			if err := w.item(ctx, r, dir, e, maildir, depth); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return w.broken(r, dir, err)
		}
	}
}

func (w *walker) item(ctx context.Context, r root, dir string, e fs.DirEntry, maildir bool, depth int) error {
	path := filepath.Join(dir, e.Name())
	switch {
	case e.IsDir():
		if path == w.data.dir { // the walk began above it
			return nil
		}
		if maildir && e.Name() == "tmp" { // messages being delivered
			return nil
		}
		// Maildir++ keeps its sub-folders in names with a dot.
		if strings.HasPrefix(e.Name(), ".") && !(maildir && isFolder(filepath.Join(path, "cur"))) {
			return nil
		}
		return w.folder(ctx, r, path, depth+1)
	case strings.HasPrefix(e.Name(), ".") || isControlFile(e.Name()):
		return nil
	case e.Type()&fs.ModeSymlink != 0:
		return w.link(r, path)
	case !e.Type().IsRegular() || dir == w.data.quarantine() && isSidecar(path):
		return nil
	}
	info, err := e.Info()
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return w.broken(r, path, err)
	}
	return w.file(found{r, path, info})
}

// link follows a symbolic link to a file, unless the file is met anyway. Links
// to folders are not followed, so there are no loops.
func (w *walker) link(r root, path string) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return w.broken(r, path, err)
	}
	info, err := os.Stat(target)
	if err != nil {
		return w.broken(r, path, err)
	}
	if !info.Mode().IsRegular() || w.links[target] {
		return nil
	}
	for _, o := range w.roots {
		if o.within(target) && !hidden(o, target) {
			return nil
		}
	}
	w.links[target] = true
	return w.file(found{r, path, info})
}

// hidden reports whether the walk passes by path, below the root, because of
// a name with a dot.
func hidden(r root, path string) bool {
	rest := strings.TrimPrefix(path, r.abs)
	for _, name := range strings.Split(rest, string(filepath.Separator)) {
		if strings.HasPrefix(name, ".") || isControlFile(name) {
			return true
		}
	}
	return false
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// isSidecar tells the reason beside a copy in the quarantine.
func isSidecar(path string) bool {
	copy, ok := strings.CutSuffix(path, sidecarSuffix)
	if !ok {
		return false
	}
	_, err := os.Lstat(copy)
	return err == nil
}

// isControlFile tells the files that Dovecot and Courier keep in a maildir.
func isControlFile(name string) bool {
	switch name {
	case "maildirfolder", "maildirsize", "subscriptions", "courierimapsubscribed", "courierimapuiddb", "courierimapkeywords", "courierimapacl":
		return true
	}
	return strings.HasPrefix(name, "dovecot-") || strings.HasPrefix(name, "dovecot.")
}
