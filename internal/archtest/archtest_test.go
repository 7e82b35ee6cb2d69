// Package archtest holds the house to its plan: every package has a layer and
// imports only from layers below it, and a protocol never imports another.
package archtest

import (
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sekimori/internal/require"
)

const module = "sekimori"

// layers gives each package its floor. A package absent from the list fails
// the test: a new room is entered here first.
var layers = map[string]int{
	"internal/require": -1, "internal/nameserver": -1, "internal/mailserver": -1, // for tests only

	"domain": 0, "message": 0, "taglist": 0, "explain": 0, "dns": 0, "dns/rr": 0, "dns/dnstest": 0,

	"report/aggregate": 1, "report/failure": 1, "milter": 1, "spf": 1, "dkim": 1, "arc": 1, "dmarc": 1, "authres": 1,
	"bimi": 1, "mtasts": 1, "tlsrpt": 1, "dane": 1, "rpki": 1, "smime": 1,

	"internal/resolve": 2, "internal/store": 2, "internal/store/verdict": 2, "internal/store/outbox": 2, "internal/check": 2, "internal/posture": 2, "internal/probe": 2,
	"internal/worlds": 2,

	"internal/collect": 3, "internal/sources": 3, "internal/advise": 3, "internal/profile": 3, "internal/survey": 3, "internal/gateway": 3, "internal/reporter": 3,
	"internal/repair": 3, "internal/watch": 3, "internal/inventory": 3,

	"internal/locale": 4, "internal/publish": 4, "internal/config": 4, "internal/arrival": 4, "internal/web/access": 4, "internal/web/gate": 4, "internal/web/api": 4, "internal/web": 4,
	"internal/handoff": 4, "internal/cli": 4, "internal/archtest": 4, "internal/differential": 4,

	"examples/sector": 0,

	"cmd/sekimori": 5, "examples/generate": 5, "bench": 5, "bench/judge": 5,
}

// beside lists the imports inside one layer that are allowed: a part and the
// whole it belongs to.
var beside = map[string][]string{
	"dns/rr":      {"dns"},
	"dns/dnstest": {"dns", "dns/rr"},
	// ARC signs and verifies as DKIM does, by reference (RFC 8617 §4.1.2).
	"arc":                 {"dkim"},
	"internal/advise":     {"internal/sources"},
	"internal/repair":     {"internal/advise", "internal/sources"},
	"internal/inventory":  {"internal/advise", "internal/sources"},
	"internal/watch":      {"internal/advise", "internal/sources", "internal/repair"},
	"internal/survey":     {"internal/profile"},
	"internal/publish":    {"internal/locale"},
	"internal/web":        {"internal/web/api", "internal/web/access", "internal/locale", "internal/publish"},
	"internal/web/api":    {"internal/locale", "internal/publish"},
	"internal/web/access": {"internal/locale"},
	"internal/web/gate":   {"internal/locale"},
	"internal/cli":        {"internal/web", "internal/web/api", "internal/web/access", "internal/web/gate", "internal/handoff", "internal/locale", "internal/publish", "internal/config"},
}

// heavy are packages whose linking takes long; only the floors named may
// depend on them, so that protocol tests stay quick.
var heavy = map[string]int{
	"github.com/duckdb/duckdb-go/v2": 2,
	"modernc.org/sqlite":             2,
	"github.com/xuri/excelize/v2":    4,
}

func TestLayers(t *testing.T) {
	root := require.Root(t)
	found := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "dist") {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); path != root && err == nil {
			return filepath.SkipDir // another module, such as a peer that a benchmark built
		}
		pkg, err := build.ImportDir(path, 0)
		if _, none := err.(*build.NoGoError); none {
			return nil
		}
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		rel = filepath.ToSlash(rel)
		found[rel] = true
		own, listed := layers[rel]
		if !listed {
			t.Errorf("package %s has no layer: enter it in internal/archtest", rel)
			return nil
		}
		for _, imp := range pkg.Imports {
			for mod, least := range heavy {
				if (imp == mod || strings.HasPrefix(imp, mod+"/")) && own < least {
					t.Errorf("%s (layer %d) imports %s, which layer %d and above may", rel, own, imp, least)
				}
			}
			if rel != "internal/store" && !strings.HasPrefix(rel, "internal/store/") && (imp == "database/sql" || strings.HasPrefix(imp, "github.com/duckdb/") || strings.HasPrefix(imp, "modernc.org/")) {
				t.Errorf("%s imports %s: SQL lives in internal/store", rel, imp)
			}
			dep, ours := strings.CutPrefix(imp, module+"/")
			if !ours {
				continue
			}
			depLayer, listed := layers[dep]
			if !listed {
				t.Errorf("%s imports %s, which has no layer", rel, dep)
				continue
			}
			if depLayer > own || depLayer == own && !slices.Contains(beside[rel], dep) {
				t.Errorf("%s (layer %d) imports %s (layer %d)", rel, own, dep, depLayer)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !found["report/aggregate"] {
		t.Error("the walk found no report/aggregate: the test looks in the wrong place")
	}
}

// TestRoomNames keeps the names of rooms nouns of the field.
func TestRoomNames(t *testing.T) {
	for pkg := range layers {
		for _, bad := range []string{"util", "common", "types", "helpers", "misc", module} {
			if filepath.Base(pkg) == bad && pkg != "cmd/sekimori" {
				t.Errorf("package %s: %q says nothing about what it holds", pkg, bad)
			}
		}
	}
}
