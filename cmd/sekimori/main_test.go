package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sekimori": func() { os.Exit(run()) }, "mta": mta, "hangup": hangup, "fill-journal": fillJournal})
}

// TestScripts runs the manuals in testdata/script: each is a use of the
// program, with what it answers.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("LANG", "C")
			e.Setenv("SEKIMORI_DATA", "")
			return nil
		},
	})
}
