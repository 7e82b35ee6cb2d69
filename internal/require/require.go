// Package require is for tests that need something of the machine: the public
// test data beside the checkout, another program. What is absent skips the
// test with a message; with SEKIMORI_REQUIRE=all, as in continuous
// integration, it fails the test.
package require

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// All reports whether everything is required.
func All() bool { return os.Getenv("SEKIMORI_REQUIRE") == "all" }

// Missing ends the test: what is not there, and how to get it.
func Missing(t testing.TB, what string) {
	t.Helper()
	if All() {
		t.Fatalf("required and absent: %s", what)
	}
	t.Skipf("absent: %s", what)
}

// Root returns the module's folder.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = up
	}
}

// Data returns a path of the public test data, ../shared/data beside the
// checkout. It is read in place and never copied into the project.
func Data(t testing.TB, elem ...string) string {
	t.Helper()
	p := filepath.Join(append([]string{Root(t), "..", "shared", "data"}, elem...)...)
	if _, err := os.Stat(p); err != nil {
		Missing(t, "the test data ../shared/data/"+filepath.Join(elem...))
	}
	return p
}

// Program returns the path of a program; pkg is the Debian package it is in.
func Program(t testing.TB, name, pkg string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	if err != nil {
		Missing(t, name+" (Debian: "+pkg+")")
	}
	return p
}
