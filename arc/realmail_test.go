package arc

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sekimori/authres"
	"sekimori/internal/require"
	"sekimori/message"
)

// TestRealMail holds the chains of 250 real messages against results worked
// out independently, as of the date when each arrived.
func TestRealMail(t *testing.T) {
	dir := require.Data(t, "realmail-kernel")
	keys := records{}
	raw, err := os.ReadFile(filepath.Join(dir, "dns.json"))
	if err != nil {
		t.Fatal(err)
	}
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(raw, &sections); err != nil {
		t.Fatal(err)
	}
	for _, section := range sections {
		var m map[string]string
		if json.Unmarshal(section, &m) == nil {
			for name, txt := range m {
				keys[strings.ToLower(name)] = txt
			}
		}
	}
	mails := untar(t, filepath.Join(dir, "messages.tar.gz"))
	f, err := os.Open(filepath.Join(dir, "index.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	counts := map[Status]int{}
	for _, row := range rows[1:] {
		get := func(name string) string { return row[column[name]] }
		date, err := time.Parse(time.RFC3339, get("date"))
		if err != nil {
			t.Fatal(err)
		}
		h, body, err := message.Read(bytes.NewReader(mails[get("file")]), 0)
		if err != nil {
			t.Fatal(err)
		}
		v := &Verifier{Resolver: keys, Now: func() time.Time { return date }}
		got, err := v.Verify(context.Background(), h, body)
		if err != nil {
			t.Fatal(err)
		}
		counts[got.Status]++
		if string(got.Status) != get("arc") || strconv.Itoa(got.Sets) != get("arc_sets") {
			t.Errorf("%s: %s with %d sets (%s), want %s with %s (%s)", get("file"), got.Status, got.Sets, got.Reason.Code, get("arc"), get("arc_sets"), get("arc_detail"))
			continue
		}
		why := map[bool]string{true: "arc.marked-failed"}[strings.Contains(get("arc_detail"), "cv=fail")]
		if got.Status == Fail && why == "" {
			why = "arc.signature-wrong or arc.body-differs"
		}
		if why != "" && !strings.Contains(why, got.Reason.Code) {
			t.Errorf("%s: because of %s, want %s (%s)", get("file"), got.Reason.Code, why, get("arc_detail"))
		}
		for _, s := range got.Chain {
			if r, err := authres.Parse(s.Results); err != nil || len(r.All("arc")) == 0 {
				t.Errorf("%s: results of set %d: %v", get("file"), s.Instance, err)
			}
		}
		if got.Status == Pass && got.OldestPass != 0 && !strings.Contains(get("arc_detail"), "ams1=False") {
			t.Errorf("%s: oldest pass %d (%s)", get("file"), got.OldestPass, get("arc_detail"))
		}
	}
	if counts[Pass] < 190 || counts[Fail] < 30 || counts[None] < 10 {
		t.Errorf("%v", counts)
	}
	t.Log(counts)
}

func untar(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(h.Name)] = data
	}
}
