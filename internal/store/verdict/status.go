package verdict

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Status is what a running gateway tells of itself to other processes, which
// read its folder. It is small, is written every few seconds, and may be lost:
// nothing is decided by it.
type Status struct {
	At      time.Time `json:"at"` // when it was written
	Started time.Time `json:"started"`
	// Stopped says that the gateway ended as it was told to.
	Stopped bool     `json:"stopped,omitempty"`
	PID     int      `json:"pid"`
	Version string   `json:"version,omitempty"`
	Mode    string   `json:"mode"`   // "monitor" or "enforce"
	Listen  []string `json:"listen"` // as given: "unix:/run/…", "tcp:127.0.0.1:8891"
	// Keep is for how many days verdicts are kept.
	Keep int `json:"keep"`
	// Reports says whether aggregate reports are sent.
	Reports  bool  `json:"reports"`
	Sessions int64 `json:"sessions"` // open now
	// Waiting, Unmoved, Lost and Fault are those of Stats.
	Waiting int64  `json:"waiting"`
	Unmoved int64  `json:"unmoved"`
	Lost    int64  `json:"lost"`
	Fault   string `json:"fault,omitempty"`
}

const (
	statusName = "status.json"
	mostStatus = 64 << 10 // octets of the file that are read
)

// WriteStatus puts s in the place of the folder's last status, at once and
// whole. It is not synced to the disk.
func WriteStatus(dir string, s Status) error {
	if err := replace(dir, statusName, s, false); err != nil {
		return fmt.Errorf("gateway status: %w", err)
	}
	return nil
}

// replace puts a document in the place of a file of the folder, at once and
// whole; synced, it outlives a loss of power.
func replace(dir, name string, doc any, synced bool) error {
	b, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, name+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		// The dashboard may run as another user of the same group.
		err = f.Chmod(0o640)
	}
	if err == nil && synced {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	if synced {
		syncDir(dir)
	}
	return nil
}

// ReadStatus returns the folder's last status; false where no gateway has
// written one.
func ReadStatus(dir string) (Status, bool, error) {
	var s Status
	f, err := os.Open(filepath.Join(dir, statusName))
	if errors.Is(err, fs.ErrNotExist) {
		return s, false, nil
	}
	if err != nil {
		return s, false, fmt.Errorf("gateway status: %w", err)
	}
	defer f.Close()
	b := make([]byte, mostStatus)
	n, _ := f.Read(b)
	if err := json.Unmarshal(b[:n], &s); err != nil {
		return s, false, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return s, true, nil
}
