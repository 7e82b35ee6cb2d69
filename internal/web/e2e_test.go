package web

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// browse drives the pages of a running server in Chromium; see ui/e2e/run.mjs.
// SEKIMORI_SCREENSHOTS names a folder for pictures.
func browse(t *testing.T, url, shots string) {
	t.Helper()
	missing := ""
	chromium := os.Getenv("CHROMIUM")
	if chromium == "" {
		chromium = "/usr/bin/chromium"
	}
	if _, err := os.Stat(chromium); err != nil {
		missing = chromium + " is not installed"
	} else if _, err := exec.LookPath("node"); err != nil {
		missing = "node is not installed"
	} else if _, err := os.Stat("ui/node_modules/playwright-core"); err != nil {
		missing = "ui/node_modules is missing: run npm ci in internal/web/ui"
	} else if _, err := os.Stat("ui/dist/.vite/manifest.json"); err != nil {
		missing = "the front end is not built: run npm run build in internal/web/ui"
	}
	if missing != "" {
		if os.Getenv("SEKIMORI_REQUIRE") == "all" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "e2e/run.mjs", url)
	cmd.Dir = "ui"
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium)
	if dir := os.Getenv("SEKIMORI_SCREENSHOTS"); dir != "" {
		cmd.Env = append(cmd.Env, "SEKIMORI_SCREENSHOTS="+filepath.Join(dir, shots))
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

// TestBrowserHostile drives the pages over a world whose every text is an
// attempt to break out of them.
func TestBrowserHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("drives a browser for a minute")
	}
	srv := httptest.NewServer(site(t, newWorld(t.TempDir())))
	defer srv.Close()
	browse(t, srv.URL, "hostile")
}
