//go:build unix

package arrival

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// TestStoreLocked has another process hold the day's file, such as a backup
// that takes its time. Mail flows, a gateway starts beside it, and nothing is
// lost.
func TestStoreLocked(t *testing.T) {
	t.Parallel()
	w := here(t)
	g := w.gates["locked"]
	if err := g.configure("  mode: enforce\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.start(); err != nil {
		t.Fatal(err)
	}
	defer g.kill()
	w.flow(t, g, "locked-before", 5)
	g.awaitCount(t, "bank.example", 5, 5*time.Second)
	files, err := filepath.Glob(filepath.Join(g.data(), "gateway", "20*.sqlite"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var locks []*sql.Conn
	for _, file := range append(files, filepath.Join(g.data(), "gateway", "outbox.sqlite")) {
		db, err := sql.Open("sqlite", file)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		c, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
			t.Fatal(err)
		}
		locks = append(locks, c)
	}
	began := time.Now()
	w.flow(t, g, "locked-during", 20)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("mail waits for the store: %s for twenty messages", took)
	}
	g.kill()
	if d, err := g.start(); err != nil || d > time.Second {
		t.Fatalf("started beside a locked store after %s: %v", d, err)
	}
	w.flow(t, g, "locked-started", 20)
	began = time.Now()
	if err := g.stop(); err != nil {
		t.Errorf("stopped: %v: %s", err, g.log())
	}
	// What it keeps is safe already: nobody has to wait for the lock to go.
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("ending beside a locked store took %s", took)
	}
	if d, err := g.start(); err != nil || d > time.Second {
		t.Fatalf("started beside a locked store after %s: %v", d, err)
	}
	for _, c := range locks {
		if _, err := c.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	g.awaitCount(t, "bank.example", 45, 10*time.Second)
}
