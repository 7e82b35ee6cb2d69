package collect

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekimori/internal/require"
	"sekimori/internal/store"
)

// TestContainers reads one report out of everything it may come in.
func TestContainers(t *testing.T) {
	xml := reportXML("1", 3)
	big := reportXML("1", 6000) // streams
	named := func(n string, b []byte) item { return item{n, b} }
	mboxGz := gz(mboxed(mail("application/gzip", "a.xml.gz", gz(xml))))
	for _, tt := range []struct {
		name     string
		b        []byte
		member   string
		encoding store.Encoding
		rows     int64
	}{
		{"xml", xml, "", store.Zstd, 3},
		{"xml with BOM and space", append([]byte("\xef\xbb\xbf \r\n"), xml...), "", store.Zstd, 3},
		{"large xml", big, "", store.Zstd, 6000},
		{"gzip", gz(xml), "", store.Gzip, 3},
		{"large gzip", gz(big), "", store.Gzip, 6000},
		{"gzip of two members", append(gz(xml[:100]), gz(xml[100:])...), "", store.Gzip, 3},
		{"gzip with a line end behind", append(gz(xml), "\r\n"...), "", store.Gzip, 3},
		{"gzip with zeros behind", append(gz(xml), make([]byte, 600)...), "", store.Gzip, 3},
		{"gzip in gzip", gz(gz(xml)), "", store.Gzip, 3},
		{"zstd", zst(xml), "", store.Zstd, 3},
		{"large zstd", zst(big), "", store.Zstd, 6000},
		{"zstd after a skippable frame", append([]byte("\x50\x2a\x4d\x18\x02\x00\x00\x00ab"), zst(xml)...), "", store.Zstd, 3},
		{"zip", zipped(named("r.xml", xml)), "r.xml", store.Deflate, 3},
		{"large zip", zipped(named("r.xml", big)), "r.xml", store.Deflate, 6000},
		{"zip, stored", storedZip("r.xml", xml), "r.xml", store.Zstd, 3},
		{"zip of gzip", zipped(named("r.xml.gz", gz(xml))), "r.xml.gz", store.Gzip, 3},
		{"zip in a folder, with what a Mac adds", zipped(named("d/", nil), named("d/r.xml", xml), named("__MACOSX/d/._r.xml", []byte("x")), named("d/.DS_Store", []byte("x"))), "d/r.xml", store.Deflate, 3},
		{"zip in zip", zipped(named("in.zip", zipped(named("r.xml", xml)))), "in.zip!r.xml", store.Deflate, 3},
		{"tar", tarred(named("d/", nil), named("d/r.xml", xml)), "d/r.xml", store.Zstd, 3},
		{"large tar", tarred(named("d/r.xml", big)), "d/r.xml", store.Zstd, 6000},
		{"tar.gz", gz(tarred(named("r.xml.gz", gz(xml)))), "r.xml.gz", store.Gzip, 3},
		{"tar.zst", zst(tarred(named("r.xml", xml))), "r.xml", store.Zstd, 3},
		{"tar of zip", tarred(named("r.zip", zipped(named("r.xml", xml)))), "r.zip!r.xml", store.Deflate, 3},
		{"mail of gzip", mail("application/gzip", "r.xml.gz", gz(xml)), "r.xml.gz", store.Gzip, 3},
		{"mail of large gzip", mail("application/gzip", "r.xml.gz", gz(big)), "r.xml.gz", store.Gzip, 6000},
		{"mail of zip", mail("application/zip", "r.zip", zipped(named("r.xml", xml))), "r.zip!r.xml", store.Deflate, 3},
		{"mail of xml", mail("text/xml", "r.xml", xml), "r.xml", store.Zstd, 3},
		{"mail under the wrong media type", mail("application/octet-stream", "x", gz(xml)), "x", store.Gzip, 3},
		{"mail under text/plain", mail("text/plain", "report.txt", gz(xml)), "report.txt", store.Gzip, 3},
		{"mail under an image's media type", mail("IMAGE/PNG", "r.png", zipped(named("r.xml", xml))), "r.png!r.xml", store.Deflate, 3},
		{"mail of nothing else", []byte("From: a@b\nContent-Type: application/gzip; name=r.gz\nContent-Transfer-Encoding: base64\n\n" + wrapped(gz(xml)) + "\n"), "r.gz", store.Gzip, 3},
		{"mail, base64 without saying so", []byte("From: a@b\nContent-Type: application/gzip; name=r.gz\n\n" + wrapped(gz(xml)) + "\n"), "r.gz", store.Gzip, 3},
		{"mail, inline xml", append([]byte("From: a@b\n\n"), xml...), "part 1", store.Zstd, 3},
		{"mail, inline xml among text", []byte("From: a@b\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nhi\n--x\nContent-Disposition: inline\n\n" + string(xml) + "\n--x--\n"), "part 2", store.Zstd, 3},
		{"mail, crlf", bytes.ReplaceAll(mail("application/gzip", "r.gz", gz(xml)), []byte("\n"), []byte("\r\n")), "r.gz", store.Gzip, 3},
		{"mail forwarded", []byte("From: a@b\nContent-Type: multipart/mixed; boundary=out\n\n--out\n\nsee below\n--out\nContent-Type: message/rfc822\n\n" + string(mail("application/gzip", "r.gz", gz(xml))) + "\n--out--\n"), "r.gz", store.Gzip, 3},
		{"mail forwarded as a file", mail("application/octet-stream", "r.eml", mail("application/gzip", "r.gz", gz(xml))), "r.eml!r.gz", store.Gzip, 3},
		{"mbox", mboxed(mail("application/gzip", "r.gz", gz(xml))), "message 1!r.gz", store.Gzip, 3},
		{"mbox in gzip", mboxGz, "message 1!a.xml.gz", store.Gzip, 3},
		{"base64 by itself", []byte(wrapped(gz(xml))), "", store.Gzip, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			res := importFile(t, f.importer(t), "input", tt.b)
			if res.Files != 1 || res.Reports != 1 || res.Rows != tt.rows || res.HasRejected() {
				t.Fatalf("got %+v", res)
			}
			for _, r := range f.reports {
				if r.in.Origin.Member != tt.member || r.in.Raw.Encoding != tt.encoding {
					t.Errorf("member %q, encoding %q; want %q, %q", r.in.Origin.Member, r.in.Raw.Encoding, tt.member, tt.encoding)
				}
				want := xml
				if tt.rows > 3 {
					want = big
				}
				if !bytes.Equal(bytes.TrimSpace(bytes.TrimPrefix(r.xml, []byte("\xef\xbb\xbf"))), bytes.TrimSpace(want)) &&
					!strings.Contains(tt.name, "crlf") {
					t.Errorf("kept as received: %d bytes, want %d", len(r.xml), len(want))
				}
			}
		})
	}
}

// TestRefusals: what holds no report is rejected with a sentence that says
// what it is.
func TestRefusals(t *testing.T) {
	xml := reportXML("1", 30)
	cut := gz(xml)
	cut = cut[:len(cut)-20]
	badSum := gz(xml)
	badSum[len(badSum)-6] ^= 1
	badDeflate := gz(xml)
	for i := 40; i < 80; i++ {
		badDeflate[i] = 0xff
	}
	nest := func(n int) []byte {
		b := xml
		for range n {
			b = gz(b)
		}
		return b
	}
	for _, tt := range []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "an empty file"},
		{"blank", []byte(" \n\n"), "an empty file: nothing but white space"},
		{"empty gzip", gz(nil), "gzip: nothing in it"},
		{"text", []byte("Dear colleagues,\nplease"), `not a report: plain text that begins "Dear colleagues,"`},
		{"text with a colon", []byte("Note: this\nis text"), `not a report: plain text`},
		{"binary", []byte{0, 1, 2, 3}, "not a report: an unknown kind of file that begins 00 01 02 03"},
		{"pdf", []byte("%PDF-1.7\n"), "not a report: a PDF document"},
		{"xz", []byte("\xfd7zXZ\x00abc"), "xz-compressed"},
		{"html", []byte("<!DOCTYPE html><html></html>"), ""},
		{"other xml", []byte("<rss><channel/></rss>"), "the root element is <rss>"},
		{"json", []byte(`{"a": 1}`), "a JSON document"},
		{"tls report", []byte(`{"organization-name": "x", "policies": []}`), "a TLS report (RFC 8460)"},
		{"tls report in gzip", gz([]byte(`{"organization-name": "x", "policies": []}`)), "a TLS report (RFC 8460)"},
		{"tls report by mail", mail("application/tlsrpt+gzip", "r.json.gz", gz([]byte(`{"organization-name": "x"}`))), "a TLS report (RFC 8460)"},
		{"tls report by mail, other media type", mail("application/gzip", "r.json.gz", gz([]byte(`{"organization-name": "x"}`))), "a TLS report (RFC 8460)"},
		{"failure report", []byte("From: a@b\nContent-Type: multipart/report; boundary=x\n\n--x\n\nhi\n--x\nContent-Type: message/feedback-report\n\nFeedback-Type: auth-failure\n--x--\n"), "a failure report on one message (RFC 9991)"},
		{"bounce", []byte("From: a@b\nContent-Type: multipart/report; boundary=x\n\n--x\n\nhi\n--x\nContent-Type: message/delivery-status\n\nStatus: 5.0.0\n--x--\n"), "a delivery status notification"},
		{"mail", []byte("From: a@b\nSubject: =?utf-8?Q?=E5=A0=B1=E5=91=8A?=\n\nhello\n"), `a message without a report (subject "報告")`},
		{"mail with html and a picture", []byte("From: a@b\nSubject: x\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/html\n\n<html></html>\n--x\nContent-Type: image/svg+xml\n\n<svg/>\n--x--\n"), "a message without a report"},
		{"mail with a cut attachment", mail("application/gzip", "r.xml.gz", cut), "r.xml.gz: "},
		{"truncated gzip", cut, fmt.Sprintf("cut off: the data ends at byte %d", len(cut))},
		{"gzip, checksum", badSum, "checksum"},
		{"gzip, damaged", badDeflate, "gzip: damaged at about byte"},
		{"gzip header only", []byte("\x1f\x8b\x08"), "gzip: cut off"},
		{"truncated zstd", zst(xml)[:100], "zstd: cut off"},
		{"truncated xml", xml[:len(xml)-100], "offset"},
		{"truncated xml in gzip", gz(xml[:len(xml)-100]), "offset"},
		{"truncated zip", zipped(item{"a.xml", xml})[:200], "zip: damaged: no readable directory"},
		{"empty zip", zipped(), "zip: nothing in it"},
		{"office document", zipped(item{"[Content_Types].xml", xml}, item{"word/document.xml", xml}), "an Office document"},
		{"truncated tar", tarred(item{"a", xml}, item{"b.xml", xml})[:3000], "tar: cut off in entry 1"},
		{"empty tar", tarred(item{"d/", nil})[:512], "tar: nothing"},
		{"7 times gzip", nest(7), "more than 6 containers in each other"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			im := f.importer(t)
			res := importFile(t, im, "input", tt.b)
			if res.Files != 1 || res.Reports != 0 || len(res.Rejected) != 1 || len(f.reports) != 0 {
				t.Fatalf("got %+v", res)
			}
			r := res.Rejected[0]
			if !strings.Contains(r.Error, tt.want) {
				t.Errorf("error %q, want %q", r.Error, tt.want)
			}
			kept, err := os.ReadFile(r.Kept)
			if err != nil || !bytes.Equal(kept, tt.b) {
				t.Errorf("kept %d bytes, %v; want %d", len(kept), err, len(tt.b))
			}
			if _, err := os.Stat(r.Kept + ".json"); err != nil {
				t.Error(err)
			}
			if len(f.kept) != 1 || filepath.Join(im.DataDir, f.kept[0].Kept) != r.Kept || f.kept[0].Reason != r.Error {
				t.Errorf("noted %+v", f.kept)
			}
		})
	}
}

func storedZip(name string, b []byte) []byte {
	var o bytes.Buffer
	w := newZipWriter(&o)
	w.stored(name, b)
	w.close()
	return o.Bytes()
}

// TestOneBadAmongGood: a bad part does not stop the others, and it alone is
// kept.
func TestOneBadAmongGood(t *testing.T) {
	one, two, bad := reportXML("1", 1), reportXML("2", 2), []byte("<feedback><oops")
	cut := gz(reportXML("3", 50))[:60]
	badMail := mail("application/gzip", "bad.gz", cut)
	for _, tt := range []struct {
		name string
		b    []byte
		path string // of the rejected
		kept []byte
	}{
		{"zip", zipped(item{"a.xml", one}, item{"bad.xml", bad}, item{"b.xml", two}), "!bad.xml", bad},
		{"tar", tarred(item{"a.xml", one}, item{"bad.xml", bad}, item{"b.xml", two}), "!bad.xml", bad},
		{"tar.gz", gz(tarred(item{"a.xml", one}, item{"bad.xml.gz", cut}, item{"b.xml", two})), "!bad.xml.gz", cut},
		{"mbox", mboxed(mail("application/gzip", "a.gz", gz(one)), badMail, mail("application/gzip", "b.gz", gz(two))), "!message 2", append(badMail, '\n')},
		{"zip of mails", zipped(item{"1.eml", mail("text/xml", "a.xml", one)}, item{"2.eml", badMail}, item{"3.eml", mail("text/xml", "b.xml", two)}), "!2.eml", badMail},
		{"mail with three zips", []byte("From: a@b\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Transfer-Encoding: base64\n\n" + wrapped(gz(one)) +
			"\n--x\nContent-Transfer-Encoding: base64\nContent-Type: application/zip; name=bad.zip\n\n" + wrapped(zipped(item{"bad.xml", bad})) +
			"\n--x\nContent-Transfer-Encoding: base64\n\n" + wrapped(gz(two)) + "\n--x--\n"), "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			res := importFile(t, f.importer(t), "input", tt.b)
			if res.Files != 1 || res.Reports != 2 || res.Rows != 3 || len(res.Rejected) != 1 {
				t.Fatalf("got %+v", res)
			}
			r := res.Rejected[0]
			if !strings.HasSuffix(r.Path, "input"+tt.path) {
				t.Errorf("path %q, want …%q", r.Path, tt.path)
			}
			want := tt.kept
			if want == nil {
				want = tt.b
			}
			if kept, err := os.ReadFile(r.Kept); err != nil || !bytes.Equal(kept, want) {
				t.Errorf("kept %q (%v), want %q", kept, err, want)
			}
		})
	}
}

// TestDamagedZipEntry: an entry that cannot be inflated is kept within its
// archive.
func TestDamagedZipEntry(t *testing.T) {
	b := zipped(item{"a.xml", reportXML("1", 1)}, item{"b.xml", reportXML("2", 200)}, item{"c.xml", reportXML("3", 1)})
	at := bytes.Index(b, []byte("b.xml")) + 100
	for i := range 50 {
		b[at+i] ^= 0xff
	}
	f := newFake()
	res := importFile(t, f.importer(t), "input.zip", b)
	if res.Reports != 2 || len(res.Rejected) != 1 || !strings.Contains(res.Rejected[0].Error, "zip: damaged") {
		t.Fatalf("got %+v", res)
	}
	if kept, err := os.ReadFile(res.Rejected[0].Kept); err != nil || !bytes.Equal(kept, b) {
		t.Errorf("kept %d bytes, %v", len(kept), err)
	}
}

func TestEncryptedZipEntry(t *testing.T) {
	b := zipped(item{"a.xml", reportXML("1", 1)})
	b[6] |= 1                                      // local header
	b[bytes.Index(b, []byte("PK\x01\x02"))+8] |= 1 // directory
	f := newFake()
	res := importFile(t, f.importer(t), "input.zip", b)
	if len(res.Rejected) != 1 || !strings.Contains(res.Rejected[0].Error, "encrypted") {
		t.Fatalf("got %+v", res)
	}
}

// TestSameNames: entries of one name in an archive are two places.
func TestSameNames(t *testing.T) {
	b := tarred(item{"r.xml", reportXML("1", 1)}, item{"r.xml", reportXML("1", 1)}, item{"r.xml", reportXML("2", 1)})
	f := newFake()
	res := importFile(t, f.importer(t), "input.tar", b)
	if res.Reports != 2 || res.Duplicates != 1 {
		t.Fatalf("got %+v", res)
	}
	if got := strings.Join(f.members(), " "); !strings.Contains(got, "r.xml#3") {
		t.Errorf("members %s", got)
	}
}

// TestHeadLast: a large report whose head comes after its records is read
// twice.
func TestHeadLast(t *testing.T) {
	xml := string(reportXML("1", 6000))
	xml = strings.Replace(xml, reportPolicy, "", 1)
	xml = strings.Replace(xml, "</feedback>", reportPolicy+"</feedback>", 1)
	for name, b := range map[string][]byte{"xml": []byte(xml), "gzip": gz([]byte(xml)), "zip": zipped(item{"a", []byte(xml)}), "zstd": zst([]byte(xml))} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			res := importFile(t, f.importer(t), "input", b)
			if res.Reports != 1 || res.Rows != 6000 || res.Messages != 6000 || f.begun != 1 {
				t.Fatalf("got %+v, %d streams", res, f.begun)
			}
		})
	}
}

// TestLargeDuplicate: a large report again is a duplicate, and one that is
// broken near its end is not.
func TestLargeDuplicate(t *testing.T) {
	xml := reportXML("1", 6000)
	f := newFake()
	im := f.importer(t)
	importFile(t, im, "a", xml)
	if res := importFile(t, im, "b", gz(xml)); res.Duplicates != 1 || res.Reports != 0 || f.begun != 1 {
		t.Errorf("got %+v, %d streams", res, f.begun)
	}
	if res := importFile(t, im, "c", xml[:len(xml)-30]); res.Duplicates != 0 || len(res.Rejected) != 1 {
		t.Errorf("got %+v", res)
	}
}

// TestHalfRead: a large report that breaks off leaves nothing.
func TestHalfRead(t *testing.T) {
	xml := reportXML("1", 100_000)
	f := newFake()
	res := importFile(t, f.importer(t), "a.xml.gz", gz(xml[:len(xml)-1000]))
	if len(f.reports) != 0 || f.begun != 1 || len(res.Rejected) != 1 {
		t.Fatalf("got %+v", res)
	}
	if len(f.writer) != 0 {
		t.Error("the writer is still held")
	}
}

// TestSampleMails reads the public messages that hold reports or do not.
func TestSampleMails(t *testing.T) {
	dir := require.Data(t, "reports-parsedmarc")
	for _, tt := range []struct {
		pattern string
		reports int64
		want    string
	}{
		{"aggregate/*.eml", 1, ""},
		{"failure/*linkedin*.eml", 0, "failure report"},
		{"failure/*Netease*.eml", 0, "failure report"},
		{"smtp_tls/*", 0, "TLS report"},
	} {
		files, _ := filepath.Glob(filepath.Join(dir, strings.ReplaceAll(tt.pattern, "[", "\\[")))
		if len(files) == 0 {
			t.Errorf("%s: no file", tt.pattern)
		}
		for _, file := range files {
			f := newFake()
			res, err := f.importer(t).Import(context.Background(), []string{file})
			if err != nil {
				t.Fatal(err)
			}
			if res.Reports != tt.reports || tt.want != "" && (len(res.Rejected) != 1 || !strings.Contains(res.Rejected[0].Error, tt.want)) {
				t.Errorf("%s: %+v", file, res)
			}
		}
	}
	// None of the odd messages is taken for a report, or breaks anything.
	for _, suite := range []string{"mime-mail-parser", "arf-sisimai", "mail-japanese"} {
		f := newFake()
		res, err := f.importer(t).Import(context.Background(), []string{require.Data(t, suite)})
		if err != nil || res.Reports != 0 || res.Files == 0 {
			t.Errorf("%s: %s, %v", suite, summary(res), err)
		}
		for _, r := range res.Rejected {
			if strings.Contains(r.Error, "\n") || len(r.Error) > 600 {
				t.Errorf("%s: %q", r.Path, r.Error)
			}
		}
	}
}
