package aggregate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestRefused: what cannot be read with certainty is refused, with the place.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string
		kind           error
		msg            string // "@" stands for the line and offset of the new text
	}{
		{"empty", "*", "", ErrEmpty, "empty input"},
		{"white space", "*", " \n\t\r\n ", ErrEmpty, "empty input"},
		{"mark only", "*", "\xEF\xBB\xBF", ErrEmpty, "empty input"},
		{"text", "*", "Hello", nil, "line 1, offset 0: not XML: it begins with \"Hello\""},
		{"mail", "*", "From: a@b.example\n\n<feedback>", nil, "line 1, offset 0: not XML"},
		{"gzip", "*", "\x1f\x8b\x08\x00\x00\x00\x00\x00", nil, "line 1, offset 0: not XML"},
		{"JSON", "*", "{\"a\": 1}", nil, "not XML"},
		{"html", "*", "<html><body/></html>", ErrNotReport, "line 1, offset 0: the root element is <html>"},
		{"html 5", "*", "<!DOCTYPE html><html>", nil, "line 1, offset 0: <!DOCTYPE: document type"},
		{"schema only", "*", "<?xml version='1.0'?>\n<xs:schema xmlns:xs='x'></xs:schema>", ErrTruncated, "line 2, offset 58: input ends before the report begins"},
		{"header only", "*", "<?xml version='1.0'?>", ErrTruncated, "line 1, offset 21: input ends"},
		{"half a header", "*", "<?xml version='1.0", ErrTruncated, "input ends"},
		{"half a comment", "*", "\n<!-- ", ErrTruncated, "line 2, offset 1: input ends inside \"<!--\""},
		{"broken tag", "*", "<feedback a='1>\n", nil, "no tag"},
		{"bare <", "*", "<", ErrTruncated, "input ends"},
		{"< and space", "*", "< feedback>", nil, "is no tag"},
		{"empty root", "*", "<feedback/>", nil, "report has no <report_metadata>"},
		{"utf-32", "*", "\xff\xfe\x00\x00<\x00\x00\x00f\x00\x00\x00", nil, "not XML"},

		{"entities", "<feedback>", "<!DOCTYPE feedback [<!ENTITY a \"b\">]><feedback>", nil, "@<!DOCTYPE: document type and entity declarations are not allowed"},
		{"lower case", "<feedback>", "<!doctype feedback SYSTEM 'http://x'><feedback>", nil, "@<!DOCTYPE"},
		{"entity inside", "Receiver<", "<!ENTITY a 'b'><", nil, "@<!ENTITY"},
		{"doctype inside", "<row>", "<!DOCTYPE a><row>", nil, "@<!DOCTYPE"},
		{"doctype in the unknown", "<row>", "<a><!DOCTYPE a></a><row>", nil, "<!DOCTYPE"},

		{"no end of leaf", "Receiver</org_name>", "Receiver", nil, "</report_metadata> while <org_name> is open"},
		{"no end of element", "</policy_evaluated>", "", nil, "</row> closes nothing: <policy_evaluated> is open"},
		{"no end of unknown", "<row>", "<a><row>", nil, "</record> while <a> is open"},
		{"one end too many", "</row>", "</row></row>", nil, "</row> closes nothing: <record> is open"},

		{"negative count", ">7<", ">-7<", nil, "count \"-7\": is negative"},
		{"count too large", ">7<", ">99999999999999999999<", nil, "count \"99999999999999999999\": is larger"},
		{"count of 2^63", ">7<", ">9223372036854775808<", nil, "count \"9223372036854775808\": is larger"},
		{"count in words", ">7<", ">seven<", nil, "count \"seven\": want a whole number"},
		{"count with fraction", ">7<", ">7.5<", nil, "count \"7.5\": want a whole number"},
		{"count in hex", ">7<", ">0x7<", nil, "count \"0x7\": want a whole number"},
		{"count with sign", ">7<", ">+7<", nil, "want a whole number"},
		{"no report id", "r-1@receiver.example", " ", nil, "report_metadata has no report_id"},
		{"no date range", "<date_range><begin>1700000000</begin><end>1700086399</end></date_range>", "", nil, "report_metadata has no date_range"},
		{"empty date range", "<begin>1700000000</begin><end>1700086399</end>", "", nil, "date_range has neither begin nor end"},
		{"date in words", ">1700000000<", ">yesterday<", nil, "begin \"yesterday\": want seconds"},
		{"milliseconds", ">1700000000<", ">1700000000000<", nil, "begin \"1700000000000\": is after the year 9999"},
		{"date as 2023-11-14", ">1700000000<", ">2023-11-14<", nil, "want seconds since"},
		{"no policy domain", "<domain>example.jp</domain>\n    <adkim>", "<adkim>", nil, "policy_published has no domain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc, msg := tt.new, tt.msg
			if tt.old != "*" {
				if doc = strings.Replace(whole, tt.old, tt.new, 1); doc == whole {
					t.Fatal("the test changes nothing")
				}
				if rest, ok := strings.CutPrefix(msg, "@"); ok {
					at := strings.Index(doc, tt.new)
					msg = fmt.Sprintf("line %d, offset %d: %s", 1+strings.Count(doc[:at], "\n"), at, rest)
				}
			}
			_, _, err := read([]byte(doc))
			if err == nil {
				t.Fatal("it was read")
			}
			if !strings.Contains(err.Error(), msg) {
				t.Errorf("error %q, want %q in it", err, msg)
			}
			if tt.kind != nil && !errors.Is(err, tt.kind) {
				t.Errorf("error %q is not %q", err, tt.kind)
			}
			var se *SyntaxError
			if !errors.Is(err, ErrEmpty) && (!errors.As(err, &se) || se.Line < 1 || se.Offset > int64(len(doc))) {
				t.Errorf("error %#v does not say where", err)
			}
		})
	}
}

// TestTruncated cuts a report everywhere: never is it taken for whole, and the
// error always says so.
func TestTruncated(t *testing.T) {
	for _, doc := range []string{whole, cdataReport, modern} {
		end := len(doc) - 1 // the newline
		for n := range end {
			_, _, err := read([]byte(doc[:n]))
			if n == 0 {
				continue
			}
			if !errors.Is(err, ErrTruncated) {
				t.Fatalf("cut after %d bytes, %q: error %v, want ErrTruncated", n, doc[max(0, n-20):n], err)
			}
		}
	}
}

// TestSum: counts that are each possible and together are not.
func TestSum(t *testing.T) {
	i, j := strings.Index(whole, "  <record>"), strings.Index(whole, "</feedback>")
	record := strings.Replace(whole[i:j], ">7<", ">9223372036854775807<", 1)
	_, records, err := read([]byte(whole[:i] + record + record + whole[j:]))
	if len(records) != 1 || err == nil || !strings.Contains(err.Error(), "add up to more than") {
		t.Errorf("%d records, error %v", len(records), err)
	}
}

func TestLimits(t *testing.T) {
	var big bytes.Buffer
	generate(&big, 100)
	doc := big.String()
	for _, tt := range []struct {
		name  string
		doc   string
		limit Limits
		msg   string
	}{
		{"bytes", doc, Limits{Bytes: 20_000}, "offset 20000: report is larger than 20000 bytes"},
		{"one byte", doc, Limits{Bytes: int64(len(doc) - 1)}, "report is larger than"},
		{"bytes behind the end", whole + strings.Repeat(" ", 1000), Limits{Bytes: int64(len(whole)) + 10}, "report is larger than"},
		{"bytes of garbage behind the end", whole + strings.Repeat("x", 300_000), Limits{Bytes: 200_000}, "report is larger than"},
		{"records", doc, Limits{Records: 99}, "report has more than 99 records"},
		{"depth", strings.Replace(whole, "<row>", strings.Repeat("<a>", 40), 1), Limits{}, "nested more than 32 deep"},
		{"field", strings.Replace(whole, "good", strings.Repeat("x", 65<<10), 1), Limits{}, "text of <human_result> is longer than 65536 bytes"},
		{"field of entities", strings.Replace(whole, "good", strings.Repeat("&amp;", 65<<10), 1), Limits{}, "text of <human_result> is longer than"},
		{"small field", whole, Limits{Field: 10}, "text of <email> is longer than 10 bytes"},
		{"record", strings.Replace(whole, "<auth_results>", "<auth_results>"+strings.Repeat("<dkim><domain>a.example</domain><human_result>"+strings.Repeat("x", 60<<10)+"</human_result></dkim>", 20), 1), Limits{}, "texts of the record are longer than 1048576 bytes"},
		{"stray text", strings.Replace(whole, "<row>", strings.Repeat("x", 70<<10)+"<row>", 1), Limits{}, "text between elements"},
		{"stray <", strings.Replace(whole, "<row>", strings.Repeat("<", 70<<10)+"<row>", 1), Limits{}, "text between elements"},
		{"unknown text", strings.Replace(whole, "<row>", "<a>"+strings.Repeat("x", 70<<10)+"</a><row>", 1), Limits{}, "text in <a> is longer"},
		{"comment", strings.Replace(whole, "<row>", "<!--"+strings.Repeat("x", 70<<10)+"--><row>", 1), Limits{}, "within 65536 bytes"},
		{"instruction", strings.Replace(whole, "<row>", "<?x "+strings.Repeat("x", 70<<10)+"?><row>", 1), Limits{}, "within 65536 bytes"},
		{"cdata", strings.Replace(whole, "good", "<![CDATA["+strings.Repeat("<", 70<<10)+"]]>", 1), Limits{}, "text of <human_result>"},
		{"tag", strings.Replace(whole, "<row>", "<row a='"+strings.Repeat("x", 70<<10)+"'>", 1), Limits{}, "tag is longer than 16384 bytes"},
		{"name", strings.Replace(whole, "<row>", "<"+strings.Repeat("x", 70<<10)+">", 1), Limits{}, "tag is longer than"},
		{"end tag", strings.Replace(whole, "</row>", "</row"+strings.Repeat(" ", 70<<10)+">", 1), Limits{}, "tag is longer than"},
		{"header", "<?xml " + strings.Repeat("x", 70<<10) + "?>" + whole, Limits{}, "tag is longer than"},
	} {
		_, _, err := all(NewReader(strings.NewReader(tt.doc), tt.limit))
		if err == nil || !strings.Contains(err.Error(), tt.msg) || !errors.Is(err, ErrLimit) {
			t.Errorf("%s: error %v, want %q in it, and ErrLimit", tt.name, err, tt.msg)
		}
	}
	// And exactly at the limit all is well.
	if _, _, err := all(NewReader(strings.NewReader(doc), Limits{Bytes: int64(len(doc)), Records: 100})); err != nil {
		t.Error(err)
	}
}

// endless gives a beginning and then the same piece again and again, up to a
// size.
type endless struct {
	begin, piece string
	at           int
	left         int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := 0
	if e.begin != "" {
		n = copy(p, e.begin)
		e.begin = e.begin[n:]
	}
	for n < len(p) {
		c := copy(p[n:], e.piece[e.at:])
		e.at = (e.at + c) % len(e.piece)
		n += c
	}
	e.left -= int64(n)
	return n, nil
}

// TestBombs feeds documents of 4 GiB made to exhaust memory or patience. Each
// ends early, or is read through in bounded memory.
func TestBombs(t *testing.T) {
	head := whole[:strings.Index(whole, "  <record>")]
	for _, tt := range []struct{ name, begin, piece, msg string }{
		{"one text", head + "<record><row><source_ip>", "1", "text of <source_ip> is longer"},
		{"one text of <", head + "<record><row><source_ip>", "<", "text of <source_ip> is longer"},
		{"one text of tags", head + "<record><row><source_ip>", "<a>", "text of <source_ip> is longer"},
		{"one text of entities", head + "<record><row><source_ip>", "&lt;", "text of <source_ip> is longer"},
		{"one text of bad bytes", head + "<record><row><source_ip>", "\xff", "text of <source_ip> is longer"},
		{"one cdata", head + "<record><row><source_ip><![CDATA[", "]]", "text of <source_ip> is longer"},
		{"one unknown text", head + "<a>", "x", "text in <a> is longer"},
		{"one comment", head + "<!--", "--", "within 65536 bytes"},
		{"one tag", head, "<a ", "text between"},
		{"one name", head + "<", "a", "tag is longer"},
		{"one attribute", head + "<a b='", "c ", "tag is longer"},
		{"one row of attributes", head + "<a ", "b='c' ", "tag is longer"},
		{"nested", head, "<a>", "nested more than 32 deep"},
		{"nested records", head, "<record>", "nested more than 32 deep"},
		{"one declaration", "<?xml ", "a", "tag is longer"},
		{"only blanks", "", " \n", "report is larger than"},
		{"comments", head, "<!-- a -->", "report is larger than"},
		{"errors", strings.TrimSuffix(head[:strings.Index(head, "</report_metadata>")], " "), "<error>" + strings.Repeat("e", 1000) + "</error>", "report is larger than"},
		{"results", head + "<record><auth_results>", "<dkim><domain>a.example</domain></dkim>", "report is larger than"},
		{"reasons", head + "<record><row><policy_evaluated>", "<reason><comment>x</comment></reason>", "report is larger than"},
		{"unknown elements", head + "<record>", "<x a='b'>y</x>", "report is larger than"},
		{"skipped rows", head, "<record><row><count>1</count></row></record>", "report is larger than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			// What only the limit on bytes stops is given 16 MiB, so that the
			// test is quick; the memory does not know the difference.
			_, records, err := all(NewReader(&endless{begin: tt.begin, piece: tt.piece, left: 4 << 30}, Limits{Bytes: 16 << 20}))
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), tt.msg) || !errors.Is(err, ErrLimit) || len(records) > 0 {
				t.Errorf("%d records, error %v, want %q in it", len(records), err, tt.msg)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
				t.Errorf("%d MiB were allocated", n>>20)
			}
			if d := time.Since(start); d > time.Minute {
				t.Errorf("it took %v", d)
			}
		})
	}
}

// TestNested: a million elements in each other, and a thousand million laughs.
func TestNested(t *testing.T) {
	doc := "<feedback>" + strings.Repeat("<a>", 1_000_000) + strings.Repeat("</a>", 1_000_000) + "</feedback>"
	if _, _, err := read([]byte(doc)); !errors.Is(err, ErrLimit) {
		t.Errorf("error %v, want ErrLimit", err)
	}
	var laughs strings.Builder
	laughs.WriteString("<?xml version=\"1.0\"?>\n<!DOCTYPE lolz [\n <!ENTITY lol \"lol\">\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&laughs, " <!ENTITY lol%d \"%s\">\n", i, strings.Repeat(fmt.Sprintf("&lol%d;", i-1), 10))
	}
	laughs.WriteString("]>\n<feedback>&lol9;</feedback>")
	_, _, err := read([]byte(laughs.String()))
	if err == nil || !strings.HasPrefix(err.Error(), "line 2, offset 22: <!DOCTYPE") {
		t.Errorf("error %v", err)
	}
}

// TestConstantMemory reads 256 MiB of records, made as they are read, and looks
// at the memory in use while it goes.
func TestConstantMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("256 MiB of XML")
	}
	i, j := strings.Index(whole, "  <record>"), strings.Index(whole, "</feedback>")
	r := NewReader(&endless{begin: whole[:i], piece: whole[i:j], left: 256 << 20}, Limits{})
	var rec Record
	var n int
	var peak uint64
	var err error
	for err == nil {
		if err = r.Next(&rec); err == nil {
			if n++; n%50_000 == 0 {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
		}
	}
	if !errors.Is(err, ErrTruncated) || n < 200_000 {
		t.Fatalf("%d records, error %v", n, err)
	}
	if peak > 8<<20 {
		t.Errorf("%d MiB in use", peak>>20)
	}
}
