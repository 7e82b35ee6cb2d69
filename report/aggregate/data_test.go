package aggregate

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekimori/internal/require"
)

// unpack returns the report in a file: XML, gzip or zip by its first bytes.
func unpack(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case bytes.HasPrefix(b, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if b, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	case bytes.HasPrefix(b, []byte("PK")):
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		f, err := z.File[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if b, err = io.ReadAll(f); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// all reads a whole report.
func all(r *Reader) (rep Report, records []Record, err error) {
	for {
		var rec Record
		err := r.Next(&rec)
		if err != nil {
			rep, _ := r.Report()
			if err == io.EOF {
				err = nil
			}
			return rep, records, err
		}
		rec.DKIMResults = append([]DKIMResult(nil), rec.DKIMResults...)
		rec.SPFResults = append([]SPFResult(nil), rec.SPFResults...)
		rec.Reasons = append([]Reason(nil), rec.Reasons...)
		records = append(records, rec)
	}
}

func read(b []byte) (Report, []Record, error) {
	return all(NewReader(bytes.NewReader(b), Limits{}))
}

func codes(rep Report) string {
	var s []string
	for _, d := range rep.Deviations {
		s = append(s, string(d.Code)+" "+d.Element)
	}
	return strings.Join(s, "\n")
}

// TestSharedReports reads every report among the test data that is XML in a
// plain container, with the rows and messages that its README lists. Those in
// messages are tested where messages are read.
func TestSharedReports(t *testing.T) {
	const parsedmarc, small = "reports-parsedmarc", "reports-schema-and-small"
	special := map[string]struct {
		rows     int
		messages uint64
		codes    string // some of the deviations
	}{
		"!large-example.com!1711897200!1711983600.xml":              {2286, 2286, "missing-element report_metadata/org_name\nmissing-element record/identifiers/envelope_from"},
		"rfc9990-example.net!example.com!1700000000!1700086399.xml": {2, 7, "bad-version version\nmissing-namespace "},
		"usssa.com!example.com!1538784000!1538870399.xml":           {2, 2, "missing-element record/identifiers/envelope_from\nmissing-element record/auth_results/spf"},
		"rfc9990-sample.xml":                            {1, 123, ""},
		"empty_reason.xml":                              {1, 2, "empty-reason record/row/policy_evaluated/reason"},
		"old_draft_from_wiki.xml":                       {1, 2, "missing-element record/identifiers/envelope_from\nmissing-element record/auth_results/spf/scope"},
		"nice-input.xml":                                {20, 3047, "missing-namespace \nother-form policy_published/pct"},
		"nice-input.xml.gz":                             {20, 3047, ""},
		"nice-input.xml.zip":                            {20, 3047, ""},
		"changed-input.xml":                             {20, 3047, ""},
		"dmarc-xml-0.2.xml":                             {1, 123, ""},
		"dmarc-xmlalt-0.2.xml":                          {1, 123, "other-namespace \nbad-version version"},
		"invalid_utf_8.xml":                             {1, 1, "invalid-utf8 record/identifiers/header_from"},
		"invalid_xml.xml":                               {1, 1, "unescaped-markup report_metadata/email\nunescaped-markup record/identifiers/header_from"},
		"ikea.com!example.de!1538690400!1538776800.xml": {1, 1, "stray-schema "},
		"report_with_upper_cased_pass.xml":              {1, 1, "mixed-case record/row/policy_evaluated/disposition\nmixed-case record/auth_results/spf/result\nlong-period report_metadata/date_range\nmissing-element policy_published/sp"},
		"!example.com!1538204542!1538463818.xml":        {1, 1, "missing-element record/auth_results/spf/domain"},
	}
	read := 0
	for _, dir := range []string{parsedmarc + "/aggregate", parsedmarc + "/aggregate_invalid", parsedmarc + "/extract_report",
		small + "/dmarcbis", small + "/mail-dmarc/t/fixtures"} {
		err := filepath.WalkDir(require.Data(t, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name := d.Name()
			if d.IsDir() || !strings.Contains(name, ".xml") {
				return nil
			}
			read++
			t.Run(name, func(t *testing.T) {
				want, ok := special[name]
				if !ok {
					want.rows, want.messages = 1, 1
				}
				rep, records, err := all(NewReader(bytes.NewReader(unpack(t, path)), Limits{}))
				if err != nil {
					t.Fatal(err)
				}
				var messages uint64
				for _, r := range records {
					messages += r.Count
				}
				if len(records) != want.rows || messages != want.messages {
					t.Errorf("%d rows, %d messages, want %d and %d", len(records), messages, want.rows, want.messages)
				}
				got := codes(rep)
				for _, c := range strings.Split(want.codes, "\n") {
					if !strings.Contains(got+"\n", c) {
						t.Errorf("deviation %q is not noted; noted are:\n%s", c, got)
					}
				}
				if rep.Metadata.ReportID == "" || rep.PolicyPublished.Domain == "" || rep.Metadata.Reporter() == "" {
					t.Errorf("head is not whole: %+v", rep)
				}
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if read != 26 {
		t.Errorf("%d reports were found, want 26", read)
	}
}

func TestSharedEmpty(t *testing.T) {
	b := unpack(t, filepath.Join(require.Data(t, "reports-parsedmarc"), "empty.xml"))
	if _, _, err := read(b); !errors.Is(err, ErrEmpty) {
		t.Errorf("error is %v, want ErrEmpty", err)
	}
}

// TestSharedWorlds reads the reports of the simulated organisations: a dozen
// receivers, each with its habits. All of them are whole.
func TestSharedWorlds(t *testing.T) {
	dir := require.Data(t, "worlds")
	for _, world := range []string{"1", "2"} {
		f, err := os.Open(filepath.Join(dir, world, "reports.tar.gz"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		archive := tar.NewReader(z)
		r := NewReader(nil, Limits{})
		reports, rows := 0, 0
		noted := map[string]int{}
		for {
			h, err := archive.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(h.Name, ".xml.gz") {
				continue
			}
			inner, err := gzip.NewReader(archive)
			if err != nil {
				t.Fatalf("%s: %v", h.Name, err)
			}
			r.Reset(inner)
			rep, records, err := all(r)
			if err != nil {
				t.Errorf("%s: %v", h.Name, err)
				continue
			}
			reports++
			rows += len(records)
			for _, d := range rep.Deviations {
				noted[string(d.Code)+" "+d.Element]++
				if d.Code == SkippedRow || d.Code == UnknownValue {
					t.Errorf("%s: %+v", h.Name, d)
				}
			}
		}
		if reports < 100 || rows < 1000 {
			t.Errorf("world %s: %d reports, %d rows", world, reports, rows)
		}
		t.Logf("world %s: %d reports, %d rows; deviations %v", world, reports, rows, noted)
	}
}
