package aggregate

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math/rand"
	"testing"
)

// generate writes an RFC 7489 report in the shape that large receivers send,
// with that many records. One record in ten has an IPv6 address, one in five
// fails and has a reason.
func generate(w io.Writer, rows int) (messages uint64) {
	r := rand.New(rand.NewSource(1))
	const org, dom = "receiver0.example", "d0.example"
	const begin = 1790000000
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<feedback>\n  <version>1.0</version>\n  <report_metadata>\n    <org_name>%s</org_name>\n    <email>noreply-dmarc@%s</email>\n    <extra_contact_info>https://%s/dmarc</extra_contact_info>\n    <report_id>%d%012d</report_id>\n    <date_range>\n      <begin>%d</begin>\n      <end>%d</end>\n    </date_range>\n  </report_metadata>\n", org, org, org, 0, r.Int63n(1e12), begin, begin+86399)
	fmt.Fprintf(w, "  <policy_published>\n    <domain>%s</domain>\n    <adkim>r</adkim>\n    <aspf>r</aspf>\n    <p>reject</p>\n    <sp>reject</sp>\n    <pct>100</pct>\n    <fo>0</fo>\n  </policy_published>\n", dom)
	for i := range rows {
		ip := fmt.Sprintf("%d.%d.%d.%d", 11+r.Intn(80), r.Intn(256), r.Intn(256), 1+r.Intn(254))
		if i%10 == 9 {
			ip = fmt.Sprintf("2001:db8:%x:%x::%x", r.Intn(65536), r.Intn(65536), 1+r.Intn(65535))
		}
		dk, sp, disp := "pass", "pass", "none"
		if i%5 == 3 {
			sp = "fail"
		}
		if i%5 == 4 {
			dk, sp, disp = "fail", "fail", "reject"
		}
		count := 1 + r.Intn(500)
		messages += uint64(count)
		fmt.Fprintf(w, "  <record>\n    <row>\n      <source_ip>%s</source_ip>\n      <count>%d</count>\n      <policy_evaluated>\n        <disposition>%s</disposition>\n        <dkim>%s</dkim>\n        <spf>%s</spf>\n", ip, count, disp, dk, sp)
		if i%5 == 4 {
			fmt.Fprintf(w, "        <reason>\n          <type>forwarded</type>\n          <comment>looks forwarded</comment>\n        </reason>\n")
		}
		fmt.Fprintf(w, "      </policy_evaluated>\n    </row>\n    <identifiers>\n      <envelope_from>bounce.%s</envelope_from>\n      <header_from>%s</header_from>\n    </identifiers>\n    <auth_results>\n      <dkim>\n        <domain>%s</domain>\n        <selector>k1</selector>\n        <result>%s</result>\n      </dkim>\n      <spf>\n        <domain>bounce.%s</domain>\n        <scope>mfrom</scope>\n        <result>%s</result>\n      </spf>\n    </auth_results>\n  </record>\n", dom, dom, dom, dk, dom, sp)
	}
	fmt.Fprintf(w, "</feedback>\n")
	return messages
}

// BenchmarkReader reads a report of 200,000 records from memory.
func BenchmarkReader(b *testing.B) {
	const rows = 200_000
	var doc bytes.Buffer
	messages := generate(&doc, rows)
	b.SetBytes(int64(doc.Len()))
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(bytes.NewReader(doc.Bytes()), Limits{})
		var rec Record
		var n int
		var sum uint64
		for {
			err := r.Next(&rec)
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			n++
			sum += rec.Count
		}
		if n != rows || sum != messages {
			b.Fatalf("%d rows, %d messages, want %d and %d", n, sum, rows, messages)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkSmall reads reports of 5 records, one after the other, with one
// Reader and with a new one each time.
func BenchmarkSmall(b *testing.B) {
	var doc bytes.Buffer
	generate(&doc, 5)
	for _, reset := range []bool{false, true} {
		b.Run(map[bool]string{false: "new", true: "reset"}[reset], func(b *testing.B) {
			b.SetBytes(int64(doc.Len()))
			b.ReportAllocs()
			r := NewReader(nil, Limits{})
			for b.Loop() {
				if reset {
					r.Reset(bytes.NewReader(doc.Bytes()))
				} else {
					r = NewReader(bytes.NewReader(doc.Bytes()), Limits{})
				}
				var rec Record
				var err error
				for err == nil {
					err = r.Next(&rec)
				}
				if err != io.EOF {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEncodingXML reads the same report with encoding/xml, for comparison.
func BenchmarkEncodingXML(b *testing.B) {
	var doc bytes.Buffer
	generate(&doc, 20_000)
	b.SetBytes(int64(doc.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if err := xml.Unmarshal(doc.Bytes(), new(oracle)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWriter writes a report of 20,000 records.
func BenchmarkWriter(b *testing.B) {
	var doc bytes.Buffer
	generate(&doc, 20_000)
	rep, records, err := read(doc.Bytes())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(doc.Len()))
	b.ReportAllocs()
	for b.Loop() {
		w, err := NewWriter(io.Discard, RFC7489, rep)
		if err != nil {
			b.Fatal(err)
		}
		for i := range records {
			if err := w.WriteRecord(&records[i]); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
