package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// digest sums the names and contents of all files below dir.
func digest(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintf(h, "%s %d\n", rel, len(data))
		h.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func TestDeterministic(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	first, err := generate(a)
	if err != nil {
		t.Fatal(err)
	}
	second, err := generate(b)
	if err != nil {
		t.Fatal(err)
	}
	if first != second || digest(t, a) != digest(t, b) {
		t.Errorf("two runs differ: %+v, %+v", first, second)
	}
	before := digest(t, a)
	if _, err := generate(a); err != nil {
		t.Fatalf("a second run into the same folder: %v", err)
	}
	if digest(t, a) != before {
		t.Error("a second run into the same folder changed it")
	}
}

func TestKeepsOtherPeoplesFolders(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine.txt")
	if err := os.WriteFile(mine, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := generate(dir); err == nil {
		t.Error("wrote into a folder that holds other files")
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error(err)
	}
}
