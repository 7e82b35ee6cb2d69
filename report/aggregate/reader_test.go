package aggregate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"
)

// whole is a report without any deviation, in RFC 7489's form; tests replace
// parts of it.
const whole = `<?xml version="1.0" encoding="UTF-8"?>
<feedback>
  <version>1.0</version>
  <report_metadata>
    <org_name>Receiver</org_name>
    <email>dmarc@receiver.example</email>
    <extra_contact_info>https://receiver.example/</extra_contact_info>
    <report_id>r-1@receiver.example</report_id>
    <date_range><begin>1700000000</begin><end>1700086399</end></date_range>
    <error>no SPF record</error>
  </report_metadata>
  <policy_published>
    <domain>example.jp</domain>
    <adkim>r</adkim>
    <aspf>s</aspf>
    <p>none</p>
    <sp>quarantine</sp>
    <pct>100</pct>
    <fo>1</fo>
  </policy_published>
  <record>
    <row>
      <source_ip>192.0.2.1</source_ip>
      <count>7</count>
      <policy_evaluated>
        <disposition>none</disposition>
        <dkim>pass</dkim>
        <spf>fail</spf>
        <reason><type>mailing_list</type><comment>a list</comment></reason>
      </policy_evaluated>
    </row>
    <identifiers>
      <envelope_to>receiver.example</envelope_to>
      <envelope_from>bounce.example.jp</envelope_from>
      <header_from>example.jp</header_from>
    </identifiers>
    <auth_results>
      <dkim>
        <domain>example.jp</domain>
        <selector>s1</selector>
        <result>pass</result>
        <human_result>good</human_result>
      </dkim>
      <spf>
        <domain>bounce.example.jp</domain>
        <scope>mfrom</scope>
        <result>softfail</result>
      </spf>
    </auth_results>
  </record>
</feedback>
`

// modern is a report without any deviation, in RFC 9990's form.
const modern = `<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">
  <version>1.0</version>
  <report_metadata>
    <org_name>Receiver</org_name>
    <email>dmarc@receiver.example</email>
    <report_id>r2</report_id>
    <date_range><begin>1700000000</begin><end>1700086399</end></date_range>
    <generator>reporter 2.0</generator>
  </report_metadata>
  <policy_published>
    <domain>example.jp</domain>
    <p>reject</p>
    <np>reject</np>
    <discovery_method>treewalk</discovery_method>
    <testing>n</testing>
  </policy_published>
  <extension><x:a xmlns:x="urn:x"><x:domain>other.example</x:domain></x:a></extension>
  <record>
    <row>
      <source_ip>2001:db8::1</source_ip>
      <count>3</count>
      <policy_evaluated>
        <disposition>pass</disposition>
        <dkim>pass</dkim>
        <spf>fail</spf>
        <reason><type>policy_test_mode</type></reason>
      </policy_evaluated>
    </row>
    <identifiers><header_from>example.jp</header_from></identifiers>
    <auth_results>
      <dkim><domain>example.jp</domain><selector>s1</selector><result>pass</result></dkim>
    </auth_results>
    <y:arc xmlns:y="urn:y"><y:result>pass</y:result></y:arc>
  </record>
</feedback>
`

func TestReader(t *testing.T) {
	rep, records, err := read([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := Report{
		Form: RFC7489, Version: "1.0",
		Metadata: Metadata{
			OrgName: "Receiver", Email: "dmarc@receiver.example", ExtraContactInfo: "https://receiver.example/",
			ReportID: "r-1@receiver.example", Begin: time.Unix(1700000000, 0).UTC(), End: time.Unix(1700086399, 0).UTC(),
			Errors: []string{"no SPF record"},
		},
		PolicyPublished: PolicyPublished{Domain: "example.jp", ADKIM: "r", ASPF: "s", P: "none", SP: "quarantine", PCT: "100", FO: "1"},
	}
	if !reflect.DeepEqual(rep, want) {
		t.Errorf("head:\n%+v\nwant\n%+v", rep, want)
	}
	wantRecords := []Record{{
		SourceIP: netip.MustParseAddr("192.0.2.1"), Count: 7, Disposition: DispositionNone, DKIM: true,
		Reasons:    []Reason{{"mailing_list", "a list"}},
		HeaderFrom: "example.jp", EnvelopeFrom: "bounce.example.jp", EnvelopeTo: "receiver.example",
		DKIMResults: []DKIMResult{{"example.jp", "s1", "pass", "good"}},
		SPFResults:  []SPFResult{{"bounce.example.jp", "mfrom", "softfail", ""}},
	}}
	if !reflect.DeepEqual(records, wantRecords) {
		t.Errorf("records:\n%+v\nwant\n%+v", records, wantRecords)
	}
}

func TestReader9990(t *testing.T) {
	rep, records, err := read([]byte(modern))
	if err != nil {
		t.Fatal(err)
	}
	if rep.Form != RFC9990 || rep.Metadata.Generator != "reporter 2.0" {
		t.Errorf("head: %+v", rep)
	}
	if want := (PolicyPublished{Domain: "example.jp", P: "reject", NP: "reject", DiscoveryMethod: "treewalk", Testing: "n"}); rep.PolicyPublished != want {
		t.Errorf("policy: %+v", rep.PolicyPublished)
	}
	if len(rep.Deviations) > 0 {
		t.Errorf("deviations: %+v", rep.Deviations)
	}
	if len(records) != 1 || records[0].Disposition != DispositionPass || records[0].Reasons[0].Type != "policy_test_mode" {
		t.Errorf("records: %+v", records)
	}
}

// TestPieces reads reports through readers that give little at a time, so that
// everything is cut everywhere.
func TestPieces(t *testing.T) {
	for _, doc := range []string{whole, modern, cdataReport} {
		rep, records, err := read([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		for name, r := range map[string]io.Reader{
			"one byte": iotest.OneByteReader(strings.NewReader(doc)),
			"half":     iotest.HalfReader(strings.NewReader(doc)),
			"data err": iotest.DataErrReader(strings.NewReader(doc)),
		} {
			rep2, records2, err := all(NewReader(r, Limits{}))
			if err != nil || !reflect.DeepEqual(rep, rep2) || !reflect.DeepEqual(records, records2) {
				t.Errorf("%s: read otherwise: %v\n%+v\n%+v", name, err, rep2, records2)
			}
		}
	}
	// And with the edge of the window at every place of a record.
	for pad := range 700 {
		doc := strings.Replace(whole, "<record>", strings.Repeat(" ", firstBuffer-900+pad)+"<record>", 1)
		_, records, err := read([]byte(doc))
		if err != nil || len(records) != 1 || records[0].HeaderFrom != "example.jp" || records[0].SPFResults[0].Result != "softfail" {
			t.Fatalf("pad %d: %v, %+v", pad, err, records)
		}
	}
}

var cdataReport = strings.NewReplacer(
	"Receiver<", "<![CDATA[A <b> & ]] c]]>&#x65E5;&#26412;<!-- no -->語<?x?>é\r\nx<",
	"a list", "]&lt;&gt;&amp;&quot;&apos;",
	"<row>", "<!-- a > b --><row a='1' b = \"x>y\"\n>",
	"</row>", "</row >",
	"<spf>\n", "<spf\t>\n",
	"feedback>", "ns0:feedback>",
	"good", " \n good\t",
).Replace(whole)

func TestMarkup(t *testing.T) {
	rep, records, err := read([]byte(cdataReport))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := rep.Metadata.OrgName, "A <b> & ]] c日本語é\nx"; got != want {
		t.Errorf("org_name %q, want %q", got, want)
	}
	if got, want := records[0].Reasons[0].Comment, "]<>&\"'"; got != want {
		t.Errorf("comment %q, want %q", got, want)
	}
	if got := records[0].DKIMResults[0].HumanResult; got != "good" {
		t.Errorf("human_result %q", got)
	}
	if len(rep.Deviations) > 0 {
		t.Errorf("deviations: %+v", rep.Deviations)
	}
}

// TestEncodings reads reports in other encodings than UTF-8.
func TestEncodings(t *testing.T) {
	utf16Of := func(s string, big bool) string {
		var b strings.Builder
		for _, u := range utf16.Encode([]rune(s)) {
			if big {
				b.WriteByte(byte(u >> 8))
				b.WriteByte(byte(u))
			} else {
				b.WriteByte(byte(u))
				b.WriteByte(byte(u >> 8))
			}
		}
		return b.String()
	}
	declared := func(label, org string) string {
		return strings.NewReplacer("UTF-8", label, "Receiver<", org+"<").Replace(whole)
	}
	for _, tt := range []struct{ name, doc, org, codes string }{
		{"mark", "\xEF\xBB\xBF" + whole, "Receiver", ""},
		{"latin 1", declared("ISO-8859-1", "caf\xe9"), "café", ""},
		{"latin 1 single quotes", strings.Replace(declared("ISO-8859-1", "caf\xe9"), `encoding="ISO-8859-1"`, `encoding = 'iso-8859-1' standalone='yes'`, 1), "café", ""},
		{"windows", declared("windows-1252", "\x80uro"), "€uro", ""},
		{"shift_jis", declared("Shift_JIS", "\x93\xfa\x96{"), "日本", ""},
		{"euc-jp", declared("EUC-JP", "\xc6\xfc\xcb\xdc"), "日本", ""},
		{"iso-2022-jp", declared("ISO-2022-JP", "\x1b$BF|K\\\x1b(B"), "日本", ""},
		{"utf-16 le", "\xff\xfe" + utf16Of(declared("UTF-16", "日本"), false), "日本", ""},
		{"utf-16 be", "\xfe\xff" + utf16Of(declared("UTF-16", "日本"), true), "日本", ""},
		{"utf-16 le, no mark", utf16Of(declared("UTF-16", "日本"), false), "日本", "wrong-encoding "},
		{"utf-16 be, no mark", utf16Of(declared("UTF-16", "日本"), true), "日本", "wrong-encoding "},
		{"utf-16 by name only", declared("utf-16", "日本"), "日本", "wrong-encoding "},
		{"unknown", declared("klingon", "日本"), "日本", "wrong-encoding "},
		{"ascii by name only", declared("us-ascii", "日本"), "日本", ""},
		{"latin 1 in utf-8", declared("UTF-8", "caf\xe9"), "caf\uFFFD", "invalid-utf8 report_metadata/org_name"},
	} {
		rep, records, err := read([]byte(tt.doc))
		if err != nil || len(records) != 1 || rep.Metadata.OrgName != tt.org || codes(rep) != tt.codes {
			t.Errorf("%s: %v; %d records, org_name %q, want %q; deviations %q, want %q",
				tt.name, err, len(records), rep.Metadata.OrgName, tt.org, codes(rep), tt.codes)
		}
	}
}

// TestPlaces: deviations and errors name the place.
func TestPlaces(t *testing.T) {
	doc := strings.Replace(whole, "<dkim>pass</dkim>", "<dkim>Pass</dkim>", 1)
	rep, _, err := read([]byte(doc))
	if err != nil || len(rep.Deviations) != 1 {
		t.Fatalf("%v, %+v", err, rep.Deviations)
	}
	at := strings.Index(doc, "<dkim>Pass")
	want := Deviation{MixedCase, "record/row/policy_evaluated/dkim", 1 + strings.Count(doc[:at], "\n"), int64(at), "Pass", 1, 0}
	if rep.Deviations[0] != want {
		t.Errorf("deviation %+v, want %+v", rep.Deviations[0], want)
	}
	// The same far behind the first window, in a text longer than one.
	pad := strings.Repeat("\n", 3*maxBuffer)
	doc = strings.Replace(whole, "<row>", pad+"<row>", 1)
	doc = strings.Replace(doc, "<count>7<", "<count>-"+strings.Repeat("7", 40_000)+"<", 1)
	_, _, err = all(NewReader(iotest.HalfReader(strings.NewReader(doc)), Limits{}))
	at = strings.Index(doc, "<count>")
	prefix := fmt.Sprintf("line %d, offset %d: count \"-777", 1+strings.Count(doc[:at], "\n"), at)
	if err == nil || !strings.HasPrefix(err.Error(), prefix) {
		t.Errorf("error %v, want it to begin with %s", err, prefix)
	}
}

func TestReportLater(t *testing.T) {
	i, j := strings.Index(whole, "  <policy_published>"), strings.Index(whole, "  <record>")
	policy := whole[i:j]
	doc := strings.Replace(strings.Replace(whole, policy, "", 1), "</feedback>", policy+"</feedback>", 1)
	r := NewReader(strings.NewReader(doc), Limits{})
	var rec Record
	if err := r.Next(&rec); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Report(); ok {
		t.Error("the head is said to be whole before the policy was read")
	}
	if err := r.Next(&rec); err != io.EOF {
		t.Fatal(err)
	}
	rep, ok := r.Report()
	if !ok || rep.PolicyPublished.Domain != "example.jp" || codes(rep) != "out-of-order policy_published" {
		t.Errorf("%v, %+v", ok, rep)
	}
	if err := r.Next(&rec); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	if r.Offset() != int64(len(doc)) {
		t.Errorf("offset %d, want %d", r.Offset(), len(doc))
	}
}

func TestReset(t *testing.T) {
	r := NewReader(strings.NewReader("<feedback><x"), Limits{})
	if _, _, err := all(r); !errors.Is(err, ErrTruncated) {
		t.Fatalf("error %v, want ErrTruncated", err)
	}
	for _, doc := range []string{cdataReport, whole, modern} {
		wantRep, wantRecords, _ := read([]byte(doc))
		r.Reset(strings.NewReader(doc))
		rep, records, err := all(r)
		if err != nil || !reflect.DeepEqual(rep, wantRep) || !reflect.DeepEqual(records, wantRecords) {
			t.Errorf("after Reset: %v\n%+v\n%+v", err, rep, records)
		}
	}
	r.Reset(nil)
	if _, _, err := all(r); err != ErrEmpty {
		t.Errorf("after Reset(nil): %v", err)
	}
}

// TestReadError: what the source fails with comes through, with the place.
func TestReadError(t *testing.T) {
	broken := errors.New("checksum error")
	for _, n := range []int{0, 1, 10, 500, len(whole) - 12, len(whole)} {
		r := io.MultiReader(strings.NewReader(whole[:n]), iotest.ErrReader(broken))
		_, _, err := all(NewReader(r, Limits{}))
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("after %d bytes: error %v, want %v and the line", n, err, broken)
		}
	}
	_, _, err := all(NewReader(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(whole))), Limits{}))
	if !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("error %v, want a time-out", err)
	}
}

// TestAddress: netip is the oracle, but for zones and mapped addresses.
func TestAddress(t *testing.T) {
	for _, s := range []string{"0.0.0.0", "255.255.255.255", "192.0.2.1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.04",
		"1..2.3", ".1.2.3", "1.2.3.", "", "a.b.c.d", "1.2.3.4 ", "::", "::1", "2001:db8::1", "2001:DB8:0:0:0:0:0:1", "1::2::3", "::ffff:192.0.2.1",
		"[::1]", "1234567890", "999.1.1.1", "1.2.3.4:25", strings.Repeat("1", 300)} {
		want, err := netip.ParseAddr(s)
		got, ok := address([]byte(s))
		if ok != (err == nil) || ok && got != want.Unmap() {
			t.Errorf("address(%q) = %v, %v; netip says %v, %v", s, got, ok, want, err)
		}
	}
	if _, ok := address([]byte("fe80::1%eth0")); ok {
		t.Error("an address with a zone was read")
	}
}

// TestAllocations keeps the promise that a large report costs few.
func TestAllocations(t *testing.T) {
	var doc bytes.Buffer
	const rows = 2000
	generate(&doc, rows)
	n := testing.AllocsPerRun(3, func() {
		r := NewReader(bytes.NewReader(doc.Bytes()), Limits{})
		var rec Record
		for r.Next(&rec) == nil {
		}
	})
	if perRow := n / rows; perRow > 0.2 {
		t.Errorf("%.2f allocations a record, want one in ten (for IPv6)", perRow)
	}
}
