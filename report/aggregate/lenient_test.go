package aggregate

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// result is what was read.
type result struct {
	rep     Report
	records []Record
}

// TestTolerated changes one thing in a whole report, and expects it to be read
// all the same, with that deviation noted and no other.
func TestTolerated(t *testing.T) {
	rec := func(f func(Record) string) func(result) string {
		return func(r result) string {
			if len(r.records) != 1 {
				return fmt.Sprintf("%d records", len(r.records))
			}
			return f(r.records[0])
		}
	}
	meta := func(f func(Metadata) string) func(result) string {
		return func(r result) string { return f(r.rep.Metadata) }
	}
	pol := func(f func(PolicyPublished) string) func(result) string {
		return func(r result) string { return f(r.rep.PolicyPublished) }
	}
	count := func(r result) string { return fmt.Sprint(len(r.records)) }
	org := meta(func(m Metadata) string { return m.OrgName })
	from := rec(func(r Record) string { return r.HeaderFrom })
	spf := rec(func(r Record) string { return r.SPFResults[0].Result })
	scope := rec(func(r Record) string { return r.SPFResults[0].Scope })
	period := meta(func(m Metadata) string { return fmt.Sprint(m.Begin.Unix(), m.End.Unix()) })
	disposition := rec(func(r Record) string { return string(r.Disposition) })
	dkim := rec(func(r Record) string { return fmt.Sprint(r.DKIMResults) })

	const header = `<?xml version="1.0" encoding="UTF-8"?>`
	const spfBlock = "<spf>\n        <domain>bounce.example.jp</domain>"
	for _, tt := range []struct {
		name, old, new string
		codes          string // "code element", several separated by ", "
		got            func(result) string
		want           string
	}{
		// XML
		{"no header", header + "\n", "", "", count, "1"},
		{"newline before header", header, "\n" + header, "broken-header ", count, "1"},
		{"header twice", header, header + header, "broken-header ", count, "1"},
		{"header without ?", header, `<?xml version="1.0" encoding="UTF-8">`, "broken-header ", count, "1"},
		{"header without end", header, `<?xml version="1.0" encoding="UTF-8"`, "broken-header ", count, "1"},
		{"header without <", header, header[1:], "broken-header ", count, "1"},
		{"header as element", header, `<xml version="1.0">`, "broken-header ", count, "1"},
		{"stylesheet", header, header + `<?xml-stylesheet href="a"?>`, "", count, "1"},
		{"comment first", header, header + "<!-- <feedback> -->", "", count, "1"},
		{"stray schema", header, header + ` <xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">`, "stray-schema ", count, "1"},
		{"xsd and xsi", "<feedback>", `<feedback xmlns:xsd="a" xmlns:xsi="b">`, "", count, "1"},
		{"7489 namespace", "<feedback>", `<feedback xmlns="http://dmarc.org/dmarc-xml/0.1">`, "", count, "1"},
		{"other namespace", "<feedback>", `<feedback xmlns="http://dmarc.org/dmarc-xml/9">`, "other-namespace ", count, "1"},
		{"address in brackets", "dmarc@receiver.example", "<a@receiver.example>", "unescaped-markup report_metadata/email", meta(func(m Metadata) string { return m.Email }), "<a@receiver.example>"},
		{"unescaped <", "<header_from>example.jp", "<header_from>bad<xml.jp", "unescaped-markup record/identifiers/header_from", from, "bad<xml.jp"},
		{"element in text", "good", "<b>good</b>", "unescaped-markup record/auth_results/dkim/human_result", rec(func(r Record) string { return r.DKIMResults[0].HumanResult }), "<b>good</b>"},
		{"named element in text", "good", "see <domain>", "unescaped-markup record/auth_results/dkim/human_result", rec(func(r Record) string { return r.DKIMResults[0].HumanResult }), "see <domain>"},
		{"unescaped &", "Receiver<", "R & D &x; &#0x; &#xffffffffff;<", "unescaped-markup report_metadata/org_name", org, "R & D &x; &#0x; &#xffffffffff;"},
		{"unescaped & at the end", "Receiver<", "A&<", "unescaped-markup report_metadata/org_name", org, "A&"},
		{"unescaped < at the end", "Receiver<", "A<<", "unescaped-markup report_metadata/org_name", org, "A<"},
		{"control", "Receiver<", "A\x01B\x00<", "invalid-character report_metadata/org_name", org, "A\uFFFDB\uFFFD"},
		{"control by number", "Receiver<", "A&#1;B&#xD800;<", "invalid-character report_metadata/org_name", org, "A\uFFFDB\uFFFD"},
		{"non-character", "Receiver<", "A\uFFFEB<", "invalid-character report_metadata/org_name", org, "A\uFFFDB"},
		{"not utf-8", "Receiver<", "A\xe9\xff<", "invalid-utf8 report_metadata/org_name", org, "A\uFFFD\uFFFD"},
		{"text between", "</sp>", "</sp>11", "stray-text policy_published", count, "1"},
		{"cdata between", "</sp>", "</sp><![CDATA[<row>]]>", "stray-text policy_published", count, "1"},
		{"< between", "</sp>", "</sp> < ", "unescaped-markup policy_published", count, "1"},
		{"after the end", "</feedback>\n", "</feedback>\n junk <<< ", "trailing-content ", count, "1"},
		{"second report", "</feedback>\n", "</feedback>\n<feedback>", "trailing-content ", count, "1"},
		{"schema ends", "</feedback>\n", "</feedback></xs:schema>\n<!-- x -->", "stray-schema ", count, "1"},

		// Elements
		{"unknown", "<pct>", "<psd>n</psd><pct>", "unknown-element policy_published", count, "1"},
		{"unknown tree", "<row>", "<a><b c='d'><e/>x</b><![CDATA[</a>]]></a><row>", "unknown-element record", count, "1"},
		{"extension", "<record>", "<extension><a/></extension><record>", "other-form extension", count, "1"},
		{"identities", "identifiers>", "identities>", "renamed-element record/identifiers", from, "example.jp"},
		{"case of elements", "header_from>", "Header_From>", "renamed-element record/identifiers/header_from", from, "example.jp"},
		{"case of the root", "feedback>", "Feedback>", "renamed-element ", count, "1"},
		{"policy twice", "<record>", "<policy_published><domain>other.example</domain></policy_published><record>", "repeated-element policy_published", pol(func(p PolicyPublished) string { return p.Domain }), "example.jp"},
		{"domain twice", "<adkim>", "<domain>other.example</domain><adkim>", "repeated-element policy_published/domain", pol(func(p PolicyPublished) string { return p.Domain }), "example.jp"},
		{"row twice", "<identifiers>", "<row><source_ip>1.1.1.1</source_ip></row><identifiers>", "repeated-element record/row", rec(func(r Record) string { return r.SourceIP.String() }), "192.0.2.1"},
		{"empty elements", "<human_result>good</human_result>", "<human_result/>", "", dkim, "[{example.jp s1 pass }]"},
		{"no org_name", "<org_name>Receiver</org_name>", "<org_name></org_name>", "missing-element report_metadata/org_name", func(r result) string { return r.rep.Metadata.Reporter() }, "dmarc@receiver.example"},
		{"no sp", "<sp>quarantine</sp>", "", "missing-element policy_published/sp", pol(func(p PolicyPublished) string { return p.SP }), ""},
		{"no p", "<p>none</p>", "<p/>", "missing-element policy_published/p", pol(func(p PolicyPublished) string { return p.P }), ""},
		{"no scope", "<scope>mfrom</scope>", "", "missing-element record/auth_results/spf/scope", scope, ""},
		{"no selector", "<selector>s1</selector>", "", "", dkim, "[{example.jp  pass good}]"},
		{"no result", "<result>softfail</result>", "<result> </result>", "missing-element record/auth_results/spf/result", spf, "none"},
		{"no dkim domain", "<domain>example.jp</domain>\n        <selector>", "<domain></domain>\n        <selector>", "missing-element record/auth_results/dkim/domain", dkim, "[{ s1 pass good}]"},
		{"no envelope_from", "<envelope_from>bounce.example.jp</envelope_from>", "", "missing-element record/identifiers/envelope_from", from, "example.jp"},
		{"no header_from", "<header_from>example.jp</header_from>", "", "missing-element record/identifiers/header_from", from, ""},
		{"empty auth_results", "*auth_results", "", "missing-element record/auth_results/spf", spfCount, "0"},
		{"no auth_results", "*auth_results-all", "", "missing-element record/auth_results", spfCount, "0"},
		{"no policy_evaluated", "*policy_evaluated-all", "", "missing-element record/row/policy_evaluated", disposition, "none"},
		{"empty policy_evaluated", "*policy_evaluated", "", "missing-element record/row/policy_evaluated/disposition, missing-element record/row/policy_evaluated/dkim, missing-element record/row/policy_evaluated/spf", disposition, "none"},
		{"no record", "*record-all", "", "no-records record", count, "0"},
		{"empty reason", "<type>mailing_list</type><comment>a list</comment>", "<type></type><comment/>", "empty-reason record/row/policy_evaluated/reason", rec(func(r Record) string { return fmt.Sprint(r.Reasons) }), "[]"},
		{"reason without type", "<type>mailing_list</type>", "", "missing-element record/row/policy_evaluated/reason/type", rec(func(r Record) string { return fmt.Sprint(r.Reasons) }), "[{ a list}]"},

		// Values
		{"mixed case", "<disposition>none<", "<disposition>None<", "mixed-case record/row/policy_evaluated/disposition", disposition, "none"},
		{"upper case result", "<result>pass<", "<result>PASS<", "mixed-case record/auth_results/dkim/result", dkim, "[{example.jp s1 pass good}]"},
		{"upper case policy", "<p>none<", "<p>REJECT<", "mixed-case policy_published/p", pol(func(p PolicyPublished) string { return p.P }), "reject"},
		{"upper case domain", "<header_from>example.jp<", "<header_from>Example.JP.<", "", from, "example.jp"},
		{"domain in kanji", "<header_from>example.jp<", "<header_from>日本語.jp<", "", from, "xn--wgv71a119e.jp"},
		{"hardfail", "<result>softfail<", "<result>HardFail<", "mixed-case record/auth_results/spf/result, nonstandard-value record/auth_results/spf/result", spf, "fail"},
		{"dkim hardfail", "<result>pass<", "<result>hardfail<", "nonstandard-value record/auth_results/dkim/result", dkim, "[{example.jp s1 fail good}]"},
		{"spf unknown", "<result>softfail<", "<result>unknown<", "nonstandard-value record/auth_results/spf/result", spf, "temperror"},
		{"spf error", "<result>softfail<", "<result>error<", "nonstandard-value record/auth_results/spf/result", spf, "permerror"},
		{"spf nonsense", "<result>softfail<", "<result>banana<", "unknown-value record/auth_results/spf/result", spf, "none"},
		{"dkim softfail", "<result>pass<", "<result>softfail<", "unknown-value record/auth_results/dkim/result", dkim, "[{example.jp s1 none good}]"},
		{"scope helo", "<scope>mfrom<", "<scope>helo<", "", scope, "helo"},
		{"scope mailfrom", "<scope>mfrom<", "<scope>mailfrom<", "nonstandard-value record/auth_results/spf/scope", scope, "mfrom"},
		{"disposition of nobody", "<disposition>none<", "<disposition>delivered<", "unknown-value record/row/policy_evaluated/disposition", disposition, "none"},
		{"aligned result of nobody", "<dkim>pass<", "<dkim>neutral<", "unknown-value record/row/policy_evaluated/dkim", rec(func(r Record) string { return fmt.Sprint(r.DKIM) }), "false"},
		{"disposition pass in 7489", "<disposition>none<", "<disposition>pass<", "other-form record/row/policy_evaluated/disposition", disposition, "pass"},
		{"override of 9990 in 7489", "<type>mailing_list<", "<type>policy_test_mode<", "other-form record/row/policy_evaluated/reason/type", rec(func(r Record) string { return r.Reasons[0].Type }), "policy_test_mode"},
		{"override of nobody", "<type>mailing_list<", "<type>arc<", "unknown-value record/row/policy_evaluated/reason/type", rec(func(r Record) string { return fmt.Sprint(r.Reasons) }), "[{other a list}]"},
		{"strict written out", "<aspf>s<", "<aspf>strict<", "nonstandard-value policy_published/aspf", pol(func(p PolicyPublished) string { return p.ASPF }), "s"},
		{"pct of 200", "<pct>100<", "<pct>200<", "unknown-value policy_published/pct", pol(func(p PolicyPublished) string { return p.PCT }), ""},
		{"fo of nobody", "<fo>1<", "<fo>1:x<", "unknown-value policy_published/fo", pol(func(p PolicyPublished) string { return p.FO }), ""},
		{"fo list", "<fo>1<", "<fo>1:d:S<", "mixed-case policy_published/fo", pol(func(p PolicyPublished) string { return p.FO }), "1:d:s"},
		{"9990 without namespace", "<pct>100</pct>", "<np>none</np>", "missing-namespace ", func(r result) string { return string(r.rep.Form) }, "rfc9990"},
		{"pct in 9990", "<pct>100</pct>", "<pct>100</pct><testing>n</testing>", "missing-namespace , other-form policy_published/pct", func(r result) string { return string(r.rep.Form) }, "rfc9990"},
		{"t for testing", "<pct>100</pct>", "<t>y</t>", "renamed-element policy_published/testing, missing-namespace ", pol(func(p PolicyPublished) string { return p.Testing }), "y"},
		{"version 2.0", "<version>1.0<", "<version>two<", "bad-version version", func(r result) string { return r.rep.Version }, "two"},
		{"address for domain", "<envelope_from>bounce.example.jp<", "<envelope_from>a@Bounce.example.jp<", "address-for-domain record/identifiers/envelope_from", rec(func(r Record) string { return r.EnvelopeFrom }), "bounce.example.jp"},
		{"policy domain is none", "<domain>example.jp</domain>\n    <adkim>", "<domain>Exa mple.jp</domain>\n    <adkim>", "bad-domain policy_published/domain", pol(func(p PolicyPublished) string { return p.Domain }), "exa mple.jp"},
		{"report id in brackets", ">r-1@receiver.example<", ">&lt;r-1@receiver.example&gt;<", "bracketed-report-id report_metadata/report_id", meta(func(m Metadata) string { return m.ReportID }), "r-1@receiver.example"},
		{"report id in bare brackets", ">r-1@receiver.example<", "><r-1@receiver.example><", "unescaped-markup report_metadata/report_id, bracketed-report-id report_metadata/report_id", meta(func(m Metadata) string { return m.ReportID }), "r-1@receiver.example"},
		{"fraction", "1700000000<", "1700000000.75<", "fractional-time report_metadata/date_range/begin", period, "1700000000 1700086399"},
		{"negative begin", "1700000000<", "-5<", "negative-time report_metadata/date_range/begin, long-period report_metadata/date_range", period, "0 1700086399"},
		{"end before begin", "1700086399<", "1600000000<", "reversed-period report_metadata/date_range", period, "1700000000 1700000000"},
		{"no end", "<end>1700086399</end>", "", "missing-element report_metadata/date_range/end", period, "1700000000 1700000000"},
		{"no begin", "<begin>1700000000</begin>", "", "missing-element report_metadata/date_range/begin", period, "1700086399 1700086399"},
		{"a week", "1700086399<", "1700600000<", "long-period report_metadata/date_range", period, "1700000000 1700600000"},
		{"count 0", "<count>7<", "<count>0<", "zero-count record/row/count", rec(func(r Record) string { return fmt.Sprint(r.Count) }), "0"},
		{"no source_ip", "<source_ip>192.0.2.1</source_ip>", "", "skipped-row record/row/source_ip", count, "0"},
		{"source_ip is none", "192.0.2.1", "unknown", "skipped-row record/row/source_ip", count, "0"},
		{"no count", "<count>7</count>", "", "skipped-row record/row/count", count, "0"},
		{"mapped address", "192.0.2.1", "::ffff:192.0.2.1", "", rec(func(r Record) string { return r.SourceIP.String() }), "192.0.2.1"},
		{"two results", spfBlock, "<spf><domain>a.example</domain><scope>helo</scope><result>none</result></spf>" + spfBlock, "", spfCount, "2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc := whole
			if element, ok := strings.CutPrefix(tt.old, "*"); ok {
				doc = cut(t, doc, element)
			} else {
				if !strings.Contains(doc, tt.old) {
					t.Fatal("the test changes nothing")
				}
				n := 1
				if strings.HasSuffix(tt.old, ">") && !strings.HasPrefix(tt.old, "<") {
					n = -1 // start and end tag
				}
				doc = strings.Replace(doc, tt.old, tt.new, n)
			}
			rep, records, err := read([]byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll(codes(rep), "\n", ", "); got != tt.codes {
				t.Errorf("deviations %q, want %q", got, tt.codes)
			}
			if got := tt.got(result{rep, records}); got != tt.want {
				t.Errorf("read %q, want %q", got, tt.want)
			}
			for _, d := range rep.Deviations {
				if d.Line < 1 || d.Offset < 0 || d.Offset > int64(len(doc)) || d.Times < 1 || len(d.Detail) > maxDetail {
					t.Errorf("deviation %+v", d)
				}
			}
		})
	}
}

func spfCount(r result) string {
	return fmt.Sprint(len(r.records[0].SPFResults))
}

// cut takes out what is in an element, or with "-all" the element.
func cut(t *testing.T, doc, element string) string {
	t.Helper()
	name, all := strings.CutSuffix(element, "-all")
	i, j := strings.Index(doc, "<"+name+">"), strings.Index(doc, "</"+name+">")
	if i < 0 || j < 0 {
		t.Fatalf("no <%s> in the document", name)
	}
	if all {
		return doc[:i] + doc[j+len("</"+name+">"):]
	}
	return doc[:i+len("<"+name+">")] + doc[j:]
}

// TestTolerated9990 is the same for an RFC 9990 report.
func TestTolerated9990(t *testing.T) {
	for _, tt := range []struct{ name, old, new, codes string }{
		{"version", "1.0", "2.0", "bad-version version"},
		{"no selector", "<selector>s1</selector>", "", "missing-element record/auth_results/dkim/selector"},
		{"several spf", "</dkim>\n    </auth", "</dkim><spf><domain>a.example</domain><result>pass</result></spf><spf><domain>b.example</domain><result>pass</result></spf></auth", "other-form record/auth_results/spf"},
		{"scope helo", "</dkim>\n    </auth", "</dkim><spf><domain>a.example</domain><scope>helo</scope><result>policy</result></spf></auth", "other-form record/auth_results/spf/scope"},
		{"override of 7489", "policy_test_mode", "sampled_out", "other-form record/row/policy_evaluated/reason/type"},
		{"two errors", "<generator>", "<error>a</error><error>b</error><generator>", "other-form report_metadata/error"},
		{"unknown in a result", "<selector>", "<bits>2048</bits><selector>", "unknown-element record/auth_results/dkim"},
		{"yes for y", "<testing>n", "<testing>yes", "nonstandard-value policy_published/testing"},
		{"tree-walk", ">treewalk", ">tree-walk", "nonstandard-value policy_published/discovery_method"},
		{"empty extension", "<record>", "<extension/><record>", ""},
	} {
		doc := strings.Replace(modern, tt.old, tt.new, 1)
		if doc == modern {
			t.Fatalf("%s: the test changes nothing", tt.name)
		}
		rep, records, err := read([]byte(doc))
		if err != nil || len(records) != 1 {
			t.Errorf("%s: %d records, error %v", tt.name, len(records), err)
			continue
		}
		if got := strings.ReplaceAll(codes(rep), "\n", ", "); got != tt.codes {
			t.Errorf("%s: deviations %q, want %q", tt.name, got, tt.codes)
		}
	}
}

// TestSkippedRows: rows that are left out are counted, and the rest is read.
func TestSkippedRows(t *testing.T) {
	var b strings.Builder
	i, j := strings.Index(whole, "  <record>"), strings.Index(whole, "</feedback>")
	record := whole[i:j]
	for n := range 10 {
		switch n % 5 {
		case 1:
			b.WriteString(strings.Replace(record, "192.0.2.1", "192.0.2.1000", 1))
		case 3:
			b.WriteString(strings.Replace(record, "<source_ip>192.0.2.1</source_ip>", "", 1))
		default:
			b.WriteString(record)
		}
	}
	rep, records, err := read([]byte(whole[:i] + b.String() + whole[j:]))
	if err != nil || len(records) != 6 {
		t.Fatalf("%d records, error %v", len(records), err)
	}
	if len(rep.Deviations) != 1 {
		t.Fatalf("deviations %+v", rep.Deviations)
	}
	if d := rep.Deviations[0]; d.Code != SkippedRow || d.Times != 4 || d.Messages != 28 || d.Detail != "192.0.2.1000" {
		t.Errorf("deviation %+v", d)
	}
}

// TestCut: lists longer than the limits are cut, and that is noted.
func TestCut(t *testing.T) {
	many := func(s string) string { return strings.Repeat(s, 30) }
	doc := strings.NewReplacer(
		"<error>no SPF record</error>", many("<error>e</error>"),
		"<reason>", many("<reason><type>other</type></reason>")+"<reason>",
		"<auth_results>", "<auth_results>"+many("<dkim><domain>a.example</domain><result>fail</result></dkim>"),
	).Replace(whole)
	rep, records, err := all(NewReader(strings.NewReader(doc), Limits{Results: 10, Reasons: 5}))
	if err != nil {
		t.Fatal(err)
	}
	r := records[0]
	if len(r.DKIMResults) != 10 || len(r.SPFResults) != 0 || len(r.Reasons) != 5 || len(rep.Metadata.Errors) != 5 {
		t.Errorf("%d, %d, %d, %d kept", len(r.DKIMResults), len(r.SPFResults), len(r.Reasons), len(rep.Metadata.Errors))
	}
	want := map[string]int64{"report_metadata/error": 25, "record/row/policy_evaluated/reason": 26, "record/auth_results": 22}
	for _, d := range rep.Deviations {
		if d.Code == ListCut && d.Times == want[d.Element] {
			delete(want, d.Element)
		}
	}
	if len(want) > 0 {
		t.Errorf("not noted: %v; noted: %+v", want, rep.Deviations)
	}
}

// TestManyDeviations: the list is bounded, and says so.
func TestManyDeviations(t *testing.T) {
	doc := strings.NewReplacer("<p>none", "<p>x", "<sp>quarantine", "<sp>x", "<pct>100", "<pct>x", "<fo>1", "<fo>x", "<adkim>r", "<adkim>x").Replace(whole)
	rep, _, err := all(NewReader(strings.NewReader(doc), Limits{Deviations: 3}))
	if err != nil || len(rep.Deviations) != 3 {
		t.Fatalf("%v, %+v", err, rep.Deviations)
	}
	if d := rep.Deviations[2]; d.Code != MoreDeviations || d.Times != 3 {
		t.Errorf("last deviation %+v", d)
	}
}

// TestCodes: every code is listed, once.
func TestCodes(t *testing.T) {
	seen := map[DeviationCode]bool{}
	for _, c := range DeviationCodes() {
		if seen[c] || c == "" {
			t.Errorf("%q is listed twice", c)
		}
		seen[c] = true
	}
	if len(seen) < 30 {
		t.Errorf("%d codes", len(seen))
	}
}

func TestFilename(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	for want, r := range map[string]Report{
		"receiver.example!example.jp!1700000000!1700086399!r1.xml.gz": {
			Metadata:        Metadata{OrgName: "Receiver", Email: "dmarc@Receiver.Example", ReportID: "r-1", Begin: at(1700000000), End: at(1700086399)},
			PolicyPublished: PolicyPublished{Domain: "example.jp"}},
		"big-mail--inc!unknown!0!1.xml.gz": {
			Metadata: Metadata{OrgName: "Big Mail, Inc.", Email: "nobody", ReportID: "日本", Begin: at(0), End: at(1)}},
		"etc-passwd!xn--wgv71a119e.jp!0!1.xml.gz": {
			Metadata:        Metadata{OrgName: "../etc/passwd", Begin: at(0), End: at(1)},
			PolicyPublished: PolicyPublished{Domain: "日本語.jp"}},
	} {
		if got := Filename(r); got != want {
			t.Errorf("Filename = %q, want %q", got, want)
		}
	}
}
