package main

import (
	"archive/zip"
	"bufio"
	"compress/flate"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

// monthBegin is the begin of the first day that generated reports cover.
const monthBegin = 1790035200 // 2026-09-22

// sheet writes generated reports. The shape of a row is the usual one: nine
// tenths IPv4, four fifths pass DKIM, an override reason on the rest.
type sheet struct {
	rand *rand.Rand
	line []byte
}

func newSheet(seed uint64) *sheet { return &sheet{rand: rand.New(rand.NewPCG(seed, 1))} }

// head is what a generated report says once.
type head7489 struct {
	receiver, domain string
	id               string
	day              int
	rows             int
	// addr draws a source address; nil draws any.
	addr func(*rand.Rand) string
}

// report writes one RFC 7489 report to w.
func (s *sheet) report(w io.Writer, h head7489) error {
	begin := monthBegin + int64(h.day)*86400
	_, err := fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8" ?>
<feedback>
  <version>1.0</version>
  <report_metadata>
    <org_name>%[1]s</org_name>
    <email>noreply-dmarc@%[1]s</email>
    <extra_contact_info>https://%[1]s/dmarc</extra_contact_info>
    <report_id>%[2]s</report_id>
    <date_range>
      <begin>%[3]d</begin>
      <end>%[4]d</end>
    </date_range>
  </report_metadata>
  <policy_published>
    <domain>%[5]s</domain>
    <adkim>r</adkim>
    <aspf>r</aspf>
    <p>none</p>
    <sp>none</sp>
    <pct>100</pct>
    <fo>0</fo>
  </policy_published>
`, h.receiver, h.id, begin, begin+86399, h.domain)
	for i := 0; i < h.rows && err == nil; i++ {
		_, err = w.Write(s.record(i, h))
	}
	if err == nil {
		_, err = io.WriteString(w, "</feedback>\n")
	}
	return err
}

// record returns the i-th record's text, good until the next call.
func (s *sheet) record(i int, h head7489) []byte {
	addr := s.address(i)
	if h.addr != nil {
		addr = h.addr(s.rand)
	}
	dkim, spf := "pass", "pass"
	switch i % 5 {
	case 3:
		spf = "fail"
	case 4:
		dkim, spf = "fail", "fail"
	}
	b := s.line[:0]
	b = append(b, "  <record>\n    <row>\n      <source_ip>"...)
	b = append(b, addr...)
	b = append(b, "</source_ip>\n      <count>"...)
	b = strconv.AppendInt(b, 1+s.rand.Int64N(500), 10)
	b = append(b, "</count>\n      <policy_evaluated>\n        <disposition>none</disposition>\n        <dkim>"...)
	b = append(b, dkim...)
	b = append(b, "</dkim>\n        <spf>"...)
	b = append(b, spf...)
	b = append(b, "</spf>\n"...)
	if i%5 == 4 {
		b = append(b, "        <reason>\n          <type>forwarded</type>\n          <comment>looks forwarded</comment>\n        </reason>\n"...)
	}
	b = append(b, "      </policy_evaluated>\n    </row>\n    <identifiers>\n      <envelope_from>bounce."...)
	b = append(b, h.domain...)
	b = append(b, "</envelope_from>\n      <header_from>"...)
	b = append(b, h.domain...)
	b = append(b, "</header_from>\n    </identifiers>\n    <auth_results>\n      <dkim>\n        <domain>"...)
	b = append(b, h.domain...)
	b = append(b, "</domain>\n        <selector>k1</selector>\n        <result>"...)
	b = append(b, dkim...)
	b = append(b, "</result>\n      </dkim>\n      <spf>\n        <domain>bounce."...)
	b = append(b, h.domain...)
	b = append(b, "</domain>\n        <scope>mfrom</scope>\n        <result>"...)
	b = append(b, spf...)
	b = append(b, "</result>\n      </spf>\n    </auth_results>\n  </record>\n"...)
	s.line = b
	return b
}

func (s *sheet) address(i int) string {
	r := s.rand
	if i%10 == 9 {
		return fmt.Sprintf("2001:db8:%x:%x::%x", r.IntN(65536), r.IntN(65536), 1+r.IntN(65535))
	}
	return fmt.Sprintf("%d.%d.%d.%d", 11+r.IntN(80), r.IntN(256), r.IntN(256), 1+r.IntN(254))
}

// gzipped makes a file that fill writes, packed as level says.
func gzipped(path string, level int, fill func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := bufio.NewWriterSize(f, 1<<20)
	z, err := gzip.NewWriterLevel(buf, level)
	if err != nil {
		return err
	}
	if err := fill(z); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// large makes one gzipped report of so many rows.
func large(path string, rows int, id string) error {
	s := newSheet(uint64(rows))
	return gzipped(path, gzip.DefaultCompression, func(w io.Writer) error {
		buf := bufio.NewWriterSize(w, 1<<20)
		if err := s.report(buf, head7489{receiver: "receiver0.example", domain: "d0.example", id: id, rows: rows}); err != nil {
			return err
		}
		return buf.Flush()
	})
}

// small makes a folder of n gzipped reports of so many rows each.
func small(dir string, n, rows int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	s := newSheet(uint64(n))
	for i := range n {
		h := head7489{receiver: fmt.Sprintf("receiver%d.example", i%40), domain: fmt.Sprintf("d%d.example", i%500), id: fmt.Sprintf("s%d", i), day: i % 30, rows: rows}
		begin := monthBegin + int64(h.day)*86400
		name := fmt.Sprintf("%s!%s!%d!%d!%d.xml.gz", h.receiver, h.domain, begin, begin+86399, i)
		if err := gzipped(filepath.Join(dir, name), gzip.DefaultCompression, func(w io.Writer) error { return s.report(w, h) }); err != nil {
			return err
		}
	}
	return nil
}

// The world of the queries part: some domains, the first with a fifth of all
// rows and 100,000 addresses, the others ever smaller; a zip for each day.
const (
	worldDomains   = 500
	worldDays      = 60
	worldReceivers = 8
	largestPool    = 100_000
)

// world makes a folder of zips with about so many rows in all. The day numbers
// begin with from; tag tells the reports of one world from those of another.
func world(dir string, rows, from, days int, tag string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var share [worldDomains]float64
	sum := 0.0
	for i := range share {
		share[i] = math.Pow(float64(i+1), -1.15)
		sum += share[i]
	}
	s := newSheet(uint64(from) + 77)
	for day := from; day < from+days; day++ {
		err := zipped(filepath.Join(dir, fmt.Sprintf("day-%03d.zip", day)), func(z *zip.Writer) error {
			for d := range share {
				perReport := share[d] / sum * float64(rows) / float64(days) / worldReceivers
				pool := max(12, int(largestPool*share[d]/share[0]))
				for r := range worldReceivers {
					// Fractions of a row are given out by chance, and a
					// receiver that saw nothing does not report.
					n := int(perReport + s.rand.Float64())
					if n == 0 {
						continue
					}
					h := head7489{receiver: fmt.Sprintf("receiver%d.example", r), domain: fmt.Sprintf("d%d.example", d), id: fmt.Sprintf("%s-%d-%d-%d", tag, day, d, r), day: day - worldDays, rows: n,
						addr: func(r *rand.Rand) string { return poolAddress(r, d, pool) }}
					begin := monthBegin + int64(h.day)*86400
					e, err := z.Create(fmt.Sprintf("%s!%s!%d!%d!%s.xml", h.receiver, h.domain, begin, begin+86399, tag))
					if err != nil {
						return err
					}
					if err := s.report(e, h); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// poolAddress draws one of a domain's addresses, half the time one of its ten
// busiest.
func poolAddress(r *rand.Rand, domain, pool int) string {
	n := r.IntN(pool)
	if r.IntN(2) == 0 {
		n = r.IntN(10)
	}
	h := uint32(domain)*2654435761 + uint32(n)*40503
	h ^= h >> 15
	h *= 2246822519
	h ^= h >> 13
	return fmt.Sprintf("%d.%d.%d.%d", 11+h>>24%80, h>>16&255, h>>8&255, 1+h%254)
}

func zipped(path string, fill func(*zip.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := bufio.NewWriterSize(f, 1<<20)
	z := zip.NewWriter(buf)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	if err := fill(z); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	return f.Close()
}
