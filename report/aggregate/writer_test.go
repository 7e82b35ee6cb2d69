package aggregate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sekimori/internal/require"
)

// write writes a whole report.
func write(form Form, rep Report, records []Record) ([]byte, error) {
	var b bytes.Buffer
	w, err := NewWriter(&b, form, rep)
	if err != nil {
		return nil, err
	}
	for i := range records {
		if err := w.WriteRecord(&records[i]); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return b.Bytes(), err
}

// random makes a report that the form can express.
func random(r *rand.Rand, form Form) (Report, []Record) {
	pick := func(s ...string) string { return s[r.Intn(len(s))] }
	text := func() string {
		return pick("", "plain", "R & D <x>", "日本語 \"quoted\" 'it'", "]]>", "a\tb\nc", "&amp;", "x > y", "é\u00a0ü", "line\rend", "\U0001F600")
	}
	dom := func() string { return pick("example.jp", "a.b.example.com", "xn--wgv71a119e.jp", "", "_spf.example") }
	begin := int64(r.Intn(2_000_000_000))
	rep := Report{
		Form: form, Version: "1.0",
		Metadata: Metadata{
			OrgName: "org" + text() + "x", Email: "dmarc@example.jp", ExtraContactInfo: text(), ReportID: "id " + text() + ".",
			Begin: time.Unix(begin, 0).UTC(), End: time.Unix(begin+int64(r.Intn(100_000)), 0).UTC(),
		},
		PolicyPublished: PolicyPublished{
			Domain: "example.jp", ADKIM: pick("r", "s", ""), ASPF: pick("r", "s", ""),
			P: pick("none", "quarantine", "reject"), SP: pick("none", "quarantine", "reject"), FO: pick("0", "1", "1:d:s"),
		},
	}
	results := []string{"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"}
	spfResults := []string{"none", "pass", "fail", "softfail", "neutral", "temperror", "permerror"}
	scopes := []string{"mfrom", "helo"}
	reasons := []string{"local_policy", "mailing_list", "other", "trusted_forwarder"}
	dispositions := []string{"none", "quarantine", "reject"}
	if form == RFC9990 {
		rep.Metadata.Generator = text()
		rep.PolicyPublished.SP = pick("", "none", "reject")
		rep.PolicyPublished.NP = pick("", "none", "reject")
		rep.PolicyPublished.Testing = pick("", "y", "n")
		rep.PolicyPublished.DiscoveryMethod = pick("", "psl", "treewalk")
		spfResults = append(spfResults, "policy")
		scopes = []string{"mfrom", ""}
		reasons = append(reasons, "policy_test_mode")
		dispositions = append(dispositions, "pass")
	} else {
		rep.PolicyPublished.PCT = pick("0", "50", "100")
		reasons = append(reasons, "forwarded", "sampled_out")
	}
	for range r.Intn(2) {
		rep.Metadata.Errors = append(rep.Metadata.Errors, "error: "+text()+".")
	}
	var records []Record
	for range 1 + r.Intn(5) {
		rec := Record{
			Count: uint64(r.Intn(1 << 30)), Disposition: Disposition(pick(dispositions...)), DKIM: r.Intn(2) == 0, SPF: r.Intn(2) == 0,
			HeaderFrom: dom(), EnvelopeFrom: dom(), EnvelopeTo: dom(),
		}
		var a [16]byte
		r.Read(a[:])
		// No run of zeros: the schema of RFC 7489 knows no "::".
		for i := range a {
			a[i] |= 1
		}
		rec.SourceIP = netip.AddrFrom4([4]byte(a[:4]))
		if r.Intn(3) == 0 {
			rec.SourceIP = netip.AddrFrom16(a)
		}
		for range r.Intn(3) {
			rec.Reasons = append(rec.Reasons, Reason{pick(reasons...), strings.TrimSpace(text())})
		}
		for range r.Intn(3) {
			rec.DKIMResults = append(rec.DKIMResults, DKIMResult{dom(), "s" + strings.TrimSpace(text()), pick(results...), strings.TrimSpace(text())})
		}
		v := SPFResult{dom(), pick(scopes...), pick(spfResults...), ""}
		if form == RFC9990 {
			v.HumanResult = strings.TrimSpace(text())
		}
		rec.SPFResults = append(rec.SPFResults, v)
		records = append(records, rec)
	}
	return rep, records
}

// TestRoundTrip writes reports at random and reads them back, equal.
func TestRoundTrip(t *testing.T) {
	for _, form := range []Form{RFC9990, RFC7489} {
		r := rand.New(rand.NewSource(1))
		for range 2000 {
			rep, records := random(r, form)
			b, err := write(form, rep, records)
			if err != nil {
				t.Fatalf("%+v\n%+v\n%v", rep, records, err)
			}
			rep2, records2, err := read(b)
			if err != nil {
				t.Fatalf("%v\n%s", err, b)
			}
			rep2.Deviations = nil // empty domains
			if form == RFC9990 {
				rep2.Form = RFC9990
			}
			if !reflect.DeepEqual(rep, rep2) || !reflect.DeepEqual(records, records2) {
				t.Fatalf("written:\n%+v\n%+v\nread:\n%+v\n%+v\n%s", rep, records, rep2, records2, b)
			}
		}
	}
}

// TestWrittenIsClean: what we write has no deviation.
func TestWrittenIsClean(t *testing.T) {
	for _, doc := range []string{whole, modern} {
		rep, records, err := read([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		for form, change := range map[Form]func(*Report, *Record){
			rep.Form: func(*Report, *Record) {},
			RFC9990: func(rep *Report, _ *Record) {
				rep.PolicyPublished.PCT = ""
			},
			RFC7489: func(rep *Report, rec *Record) {
				rep.Metadata.Generator = ""
				p := &rep.PolicyPublished
				p.NP, p.Testing, p.DiscoveryMethod = "", "", ""
				rec.Reasons, rec.EnvelopeFrom = nil, "example.jp"
				if rec.Disposition == DispositionPass {
					rec.Disposition = DispositionNone
				}
				if rec.SPFResults == nil {
					rec.SPFResults = []SPFResult{{Domain: "example.jp", Result: "none"}}
				}
			},
		} {
			rep, rec := rep, records[0]
			change(&rep, &rec)
			b, err := write(form, rep, []Record{rec})
			if err != nil {
				t.Fatalf("%s: %v", form, err)
			}
			again, _, err := read(b)
			if err != nil || again.Form != form || len(again.Deviations) > 0 {
				t.Errorf("%s: %v, form %s, deviations %+v", form, err, again.Form, again.Deviations)
			}
		}
	}
}

// TestWriterRefuses: what the form cannot express is not written.
func TestWriterRefuses(t *testing.T) {
	for _, tt := range []struct {
		form   Form
		change func(*Report, *Record)
		msg    string
	}{
		{"rfc1", func(*Report, *Record) {}, "report form \"rfc1\""},
		{RFC9990, func(r *Report, _ *Record) { r.Version = "2.0" }, "version: \"2.0\""},
		{RFC7489, func(r *Report, _ *Record) { r.Version = "one" }, "version: \"one\""},
		{RFC9990, func(r *Report, _ *Record) { r.Metadata.ReportID = "" }, "report_metadata/report_id: is empty"},
		{RFC9990, func(r *Report, _ *Record) { r.Metadata.OrgName = "a\x00b" }, "report_metadata/org_name: \"a\\x00b\": byte 1"},
		{RFC9990, func(r *Report, _ *Record) { r.Metadata.Email = "a\xff" }, "report_metadata/email"},
		{RFC9990, func(r *Report, _ *Record) { r.Metadata.Email = "\uFFFF" }, "report_metadata/email"},
		{RFC9990, func(r *Report, _ *Record) { r.Metadata.Errors = []string{"a", "b"} }, "report_metadata/error: there are 2"},
		{RFC9990, func(r *Report, _ *Record) { r.Metadata.End = r.Metadata.Begin.Add(-time.Second) }, "is before begin"},
		{RFC9990, func(r *Report, _ *Record) { r.Metadata.Begin = time.Time{} }, "want times from 1970"},
		{RFC7489, func(r *Report, _ *Record) { r.Metadata.Generator = "x" }, "report_metadata/generator"},
		{RFC9990, func(r *Report, _ *Record) { r.PolicyPublished.Domain = "" }, "policy_published/domain: is empty"},
		{RFC9990, func(r *Report, _ *Record) { r.PolicyPublished.P = "" }, "policy_published/p"},
		{RFC9990, func(r *Report, _ *Record) { r.PolicyPublished.PCT = "100" }, "policy_published/pct"},
		{RFC7489, func(r *Report, _ *Record) { r.PolicyPublished.NP = "none" }, "policy_published/np"},
		{RFC7489, func(r *Report, _ *Record) { r.PolicyPublished.Testing = "y" }, "policy_published/testing"},
		{RFC7489, func(r *Report, _ *Record) { r.PolicyPublished.DiscoveryMethod = "psl" }, "policy_published/discovery_method"},
		{RFC9990, func(r *Report, _ *Record) { r.PolicyPublished.ADKIM = "relaxed" }, "policy_published/adkim: \"relaxed\""},
		{RFC9990, func(_ *Report, r *Record) { r.SourceIP = netip.Addr{} }, "record/row/source_ip"},
		{RFC9990, func(_ *Report, r *Record) { r.SourceIP = netip.MustParseAddr("fe80::1%eth0") }, "record/row/source_ip"},
		{RFC7489, func(_ *Report, r *Record) { r.Disposition = DispositionPass }, "disposition: \"pass\""},
		{RFC9990, func(_ *Report, r *Record) { r.Disposition = "" }, "disposition: \"\""},
		{RFC9990, func(_ *Report, r *Record) { r.Reasons[0].Type = "forwarded" }, "reason/type: \"forwarded\""},
		{RFC7489, func(_ *Report, r *Record) { r.Reasons[0].Type = "policy_test_mode" }, "reason/type"},
		{RFC9990, func(_ *Report, r *Record) { r.SPFResults = append(r.SPFResults, r.SPFResults[0]) }, "record/auth_results/spf: there are 2"},
		{RFC7489, func(_ *Report, r *Record) { r.SPFResults = nil }, "record/auth_results/spf: there is none"},
		{RFC9990, func(_ *Report, r *Record) { r.SPFResults[0].Scope = "helo" }, "spf/scope: \"helo\""},
		{RFC7489, func(_ *Report, r *Record) { r.SPFResults[0].HumanResult = "x" }, "spf/human_result"},
		{RFC7489, func(_ *Report, r *Record) { r.SPFResults[0].Result = "policy" }, "spf/result"},
		{RFC9990, func(_ *Report, r *Record) { r.DKIMResults[0].Result = "softfail" }, "dkim/result"},
	} {
		rep, records, err := read([]byte(whole))
		if err != nil {
			t.Fatal(err)
		}
		if tt.form == RFC9990 {
			rep.PolicyPublished.PCT = ""
		}
		tt.change(&rep, &records[0])
		_, err = write(tt.form, rep, records)
		if err == nil || !strings.Contains(err.Error(), tt.msg) {
			t.Errorf("%s: error %v, want %q in it", tt.form, err, tt.msg)
		}
	}
	rep, _, _ := read([]byte(modern))
	if _, err := write("", rep, nil); err == nil || !strings.Contains(err.Error(), "there is none") {
		t.Errorf("no record: %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// TestWriterFails: an error of the writer below stays.
func TestWriterFails(t *testing.T) {
	rep, records, _ := read([]byte(modern))
	w, err := NewWriter(brokenWriter{}, "", rep)
	for range 1000 {
		if err == nil {
			err = w.WriteRecord(&records[0])
		}
	}
	if err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("error %v", err)
	}
	if again := w.Close(); again != err {
		t.Errorf("Close: %v, want %v", again, err)
	}
	w, err = NewWriter(io.Discard, "", rep)
	if err != nil || w.WriteRecord(&records[0]) != nil || w.Close() != nil {
		t.Error("a whole report was not written")
	}
	if w.WriteRecord(&records[0]) == nil || w.Close() == nil {
		t.Error("a closed Writer goes on")
	}
}

// TestSchema validates what is written against the schemas of both forms.
func TestSchema(t *testing.T) {
	dir := require.Data(t, "reports-schema-and-small")
	xmllint := require.Program(t, "xmllint", "libxml2-utils")
	tmp := t.TempDir()
	old, err := os.ReadFile(filepath.Join(dir, "mail-dmarc-2013", "dmarc-report-2013-draft.xsd"))
	if err != nil {
		t.Fatal(err)
	}
	// The 2013 draft lacks what RFC 7489 appendix C added to it.
	appendixC := strings.NewReplacer(
		`<xs:element name="pct" type="xs:integer"/>`, `<xs:element name="pct" type="xs:integer"/><xs:element name="fo" type="xs:string"/>`,
		`<xs:element name="adkim" type="AlignmentType"/>`, `<xs:element name="adkim" type="AlignmentType" minOccurs="0"/>`,
		`<xs:element name="aspf" type="AlignmentType"/>`, `<xs:element name="aspf" type="AlignmentType" minOccurs="0"/>`,
		`<xs:element name="header_from" type="xs:string" minOccurs="1"/>`, `<xs:element name="header_from" type="xs:string"/><xs:element name="envelope_from" type="xs:string"/>`,
		`<xs:element name="result" type="DKIMResultType" minOccurs="1"/>`, `<xs:element name="result" type="DKIMResultType"/><xs:element name="selector" type="xs:string" minOccurs="0"/>`,
		`<xs:element name="result" type="SPFResultType" minOccurs="1"/>`, `<xs:element name="result" type="SPFResultType"/><xs:element name="scope" type="SPFDomainScope"/>`,
		`<!-- SPF result -->`, `<xs:simpleType name="SPFDomainScope"><xs:restriction base="xs:string"><xs:enumeration value="helo"/><xs:enumeration value="mfrom"/></xs:restriction></xs:simpleType>`,
		`<xs:element name="report_metadata" type="ReportMetadataType"/>`, `<xs:element name="version" type="xs:decimal"/><xs:element name="report_metadata" type="ReportMetadataType"/>`,
	).Replace(string(old))
	schema := filepath.Join(tmp, "rfc7489.xsd")
	if err := os.WriteFile(schema, []byte(appendixC), 0o600); err != nil {
		t.Fatal(err)
	}
	for form, xsd := range map[Form]string{
		RFC9990: filepath.Join(dir, "dmarcbis", "dmarc-xml-0.2.xsd"),
		RFC7489: schema,
	} {
		r := rand.New(rand.NewSource(2))
		args := []string{"--noout", "--nonet", "--schema", xsd}
		for i := range 60 {
			rep, records := random(r, form)
			b, err := write(form, rep, records)
			if err != nil {
				t.Fatal(err)
			}
			if form == RFC7489 {
				// The schema has a namespace, which nobody writes, on the
				// root alone.
				b = bytes.Replace(b, []byte("<feedback>"), []byte(`<d:feedback xmlns:d="`+namespace7489+`">`), 1)
				b = bytes.Replace(b, []byte("</feedback>"), []byte("</d:feedback>"), 1)
			}
			file := filepath.Join(tmp, fmt.Sprintf("%s-%d.xml", form, i))
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, file)
		}
		if out, err := exec.Command(xmllint, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%.3000s", form, err, out)
		}
	}
}
