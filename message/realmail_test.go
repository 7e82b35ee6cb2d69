package message

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekimori/internal/require"
)

// TestRealMail reads the fields of 250 real messages: the author's domain and
// the address of the client are those that were found independently.
func TestRealMail(t *testing.T) {
	dir := require.Data(t, "realmail-kernel")
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
	about := map[string][]string{}
	for _, row := range rows[1:] {
		about[row[column["file"]]] = row
	}
	packed, err := os.Open(filepath.Join(dir, "messages.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	z, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	clients, messages := 0, 0
	for r := tar.NewReader(z); ; {
		entry, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		row := about[filepath.Base(entry.Name)]
		if row == nil {
			continue
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		h, _, err := Read(bytes.NewReader(raw), 0)
		if err != nil {
			t.Fatal(err)
		}
		messages++
		name := row[column["file"]]
		from, err := ParseAddresses(h.Get("From"))
		if err != nil || len(from) != 1 || !strings.EqualFold(from[0].Domain, row[column["from_domain"]]) {
			t.Errorf("%s: From %+q, %v, want the domain %s", name, from, err, row[column["from_domain"]])
		}
		for _, to := range append(h.All("To"), h.All("Cc")...) {
			if _, err := ParseAddresses(to.RawValue()); err != nil {
				t.Errorf("%s: recipients: %v", name, err)
			}
		}
		// One client per set; the hop of an older one may have left no trace.
		wanted := map[string]bool{}
		for _, part := range strings.Split(row[column["aar_kernel"]], "smtp.client-ip=")[1:] {
			client, _, _ := strings.Cut(strings.TrimSpace(part), " ")
			wanted[strings.TrimSuffix(client, ";")] = true
		}
		found := len(wanted) == 0
		for _, field := range h.All("Received") {
			got := ParseReceived(field.RawValue())
			if got.Time.IsZero() {
				t.Errorf("%s: no time in %d octets of Received", name, len(field.Raw()))
			}
			found = found || got.IP.IsValid() && wanted[got.IP.String()]
		}
		if !found {
			t.Errorf("%s: no Received field has one of the clients %v", name, wanted)
		}
		clients += len(wanted)
	}
	if messages < 200 || clients < 100 {
		t.Errorf("%d messages, %d with a client", messages, clients)
	}
}
