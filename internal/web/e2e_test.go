package web

import (
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/internal/advise"
	"sekimori/internal/collect"
	"sekimori/internal/inventory"
	"sekimori/internal/locale"
	"sekimori/internal/publish"
	"sekimori/internal/repair"
	"sekimori/internal/require"
	"sekimori/internal/store"
	"sekimori/internal/watch"
	"sekimori/internal/web/api"
)

// needBrowser skips a test where the browser or what drives it is missing.
func needBrowser(t *testing.T) (chromium string) {
	t.Helper()
	missing := ""
	if chromium = os.Getenv("CHROMIUM"); chromium == "" {
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
		require.Missing(t, missing)
	}
	return chromium
}

// browse drives the pages of a running server in Chromium; see ui/e2e/run.mjs.
// SEKIMORI_SCREENSHOTS names a folder for pictures. Every combination of language,
// theme and width is seen where every is set and all is required; else two.
func browse(t *testing.T, url, shots string, every bool) {
	t.Helper()
	chromium := needBrowser(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "e2e/run.mjs", url)
	cmd.Dir = "ui"
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium)
	if every && require.All() {
		cmd.Env = append(cmd.Env, "EVERY=1")
	}
	if dir := os.Getenv("SEKIMORI_SCREENSHOTS"); dir != "" {
		cmd.Env = append(cmd.Env, "SEKIMORI_SCREENSHOTS="+filepath.Join(dir, shots))
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

// TestBrowser drives the pages of a real store that holds the month of
// examples.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("drives a browser for a minute")
	}
	needBrowser(t)
	ctx := t.Context()
	month := filepath.Join(t.TempDir(), "month")
	if out, err := exec.CommandContext(ctx, "go", "run", "sekimori/examples/generate", "-out", month).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	st, err := store.Open(ctx, filepath.Join(t.TempDir(), "data"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	importer := collect.New(st)
	if res, err := importer.Import(ctx, []string{filepath.Join(month, "reports")}); err != nil || res.Reports == 0 {
		t.Fatalf("import: %+v, %v", res, err)
	}
	zone, err := dnstest.Open(filepath.Join(month, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	advisor := advise.New(advise.Config{Store: st, Resolver: zone, Now: time.Now})
	defer advisor.Close()
	if err := advisor.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	h, err := New(Config{Store: st, Advisor: advisor, Importer: importer, Gateway: keptGate(t), Work: worked(t, st, advisor, zone), Version: "test", Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	browse(t, srv.URL, "month", true)
}

// TestBrowserHostile drives the pages over a world whose every text is an
// attempt to break out of them.
func TestBrowserHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("drives a browser for a minute")
	}
	srv := httptest.NewServer(site(t, newWorld(t.TempDir())))
	defer srv.Close()
	browse(t, srv.URL, "hostile", false) // what is hostile is so in all themes
}

// worked is the work of fixing over a real store: its cases are opened, and its
// timeline and inventory are those of the zone.
func worked(t *testing.T, st *store.Store, advisor *advise.Advisor, zone dns.Resolver) *api.Work {
	t.Helper()
	ctx := t.Context()
	manager := repair.New(repair.Config{Store: st, Advisor: advisor, Resolver: zone})
	watcher, err := watch.New(watch.Config{Store: st, Resolver: zone})
	if err != nil {
		t.Fatal(err)
	}
	names, err := st.DomainNames(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range names {
		name, err := domain.Parse(text)
		if err != nil {
			continue
		}
		a, _, err := advisor.Cached(ctx, name, advise.Question{Days: 30})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := manager.Refresh(ctx, a); err != nil {
			t.Fatal(err)
		}
		if _, err := watcher.Look(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	return &api.Work{Store: st, Repair: manager, Letter: publish.Letter, Timeline: watcher, Inventory: api.NewInventory(inventory.Config{Store: st, Resolver: zone}, st, nil),
		Monthly: months{publish.MonthlySource{Store: st, Timeline: watcher, Advisor: advisor, Now: time.Now}}}
}

// months is the monthly report over a real store.
type months struct{ publish.MonthlySource }

func (m months) Figures(ctx context.Context, q api.Month) (any, error) { return m.of(ctx, q) }

func (m months) of(ctx context.Context, q api.Month) (publish.MonthlyFigures, error) {
	name, err := domain.Parse(q.Domain)
	if err != nil {
		return publish.MonthlyFigures{}, err
	}
	return m.MonthlySource.Figures(ctx, name, q.Month, q.Department)
}

func (m months) Write(ctx context.Context, w io.Writer, q api.Month, lang locale.Lang, format publish.Format) error {
	f, err := m.of(ctx, q)
	if err != nil {
		return err
	}
	return publish.Monthly(w, f, lang, format)
}
