package main

import (
	"archive/zip"
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"github.com/klauspost/compress/flate"
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
	// draw draws a row; nil draws those of the large and the small reports.
	draw func(*rand.Rand) row
}

// row is what differs from one record to the next.
type row struct {
	addr                  string
	dkim, spf             string // results
	dkimDomain, spfDomain string // "" for the policy domain, bounce.policy-domain
	forwarded             bool   // the reporter says so
	author                string // "" for the policy domain
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
	var v row
	if h.draw != nil {
		v = h.draw(s.rand)
	} else {
		v = s.row(i)
	}
	b := s.line[:0]
	b = append(b, "  <record>\n    <row>\n      <source_ip>"...)
	b = append(b, v.addr...)
	b = append(b, "</source_ip>\n      <count>"...)
	b = strconv.AppendInt(b, 1+s.rand.Int64N(500), 10)
	b = append(b, "</count>\n      <policy_evaluated>\n        <disposition>none</disposition>\n        <dkim>"...)
	b = append(b, aligned(v.dkim, v.dkimDomain)...)
	b = append(b, "</dkim>\n        <spf>"...)
	b = append(b, aligned(v.spf, v.spfDomain)...)
	b = append(b, "</spf>\n"...)
	if v.forwarded {
		b = append(b, "        <reason>\n          <type>forwarded</type>\n          <comment>looks forwarded</comment>\n        </reason>\n"...)
	}
	b = append(b, "      </policy_evaluated>\n    </row>\n    <identifiers>\n      <envelope_from>"...)
	b = append(b, or(v.spfDomain, "bounce."+h.domain)...)
	b = append(b, "</envelope_from>\n      <header_from>"...)
	b = append(b, or(v.author, h.domain)...)
	b = append(b, "</header_from>\n    </identifiers>\n    <auth_results>\n"...)
	if v.dkim != "" {
		b = append(b, "      <dkim>\n        <domain>"...)
		b = append(b, or(v.dkimDomain, h.domain)...)
		b = append(b, "</domain>\n        <selector>k1</selector>\n        <result>"...)
		b = append(b, v.dkim...)
		b = append(b, "</result>\n      </dkim>\n"...)
	}
	b = append(b, "      <spf>\n        <domain>"...)
	b = append(b, or(v.spfDomain, "bounce."+h.domain)...)
	b = append(b, "</domain>\n        <scope>mfrom</scope>\n        <result>"...)
	b = append(b, v.spf...)
	b = append(b, "</result>\n      </spf>\n    </auth_results>\n  </record>\n"...)
	s.line = b
	return b
}

// aligned is what policy_evaluated says: a pass counts for the policy domain only.
func aligned(result, domain string) string {
	if domain != "" || result != "pass" {
		return "fail"
	}
	return "pass"
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// row draws the i-th row of a large or a small report.
func (s *sheet) row(i int) row {
	v := row{addr: s.address(i), dkim: "pass", spf: "pass"}
	switch i % 5 {
	case 3:
		v.spf = "fail"
	case 4:
		v.dkim, v.spf, v.forwarded = "fail", "fail", true
	}
	return v
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
						draw: func(r *rand.Rand) row { return worldRow(r, d, pool) }}
					if err := s.entry(z, h, tag); err != nil {
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

// worldRow draws a row of a domain: own servers and a vendor that pass, a
// vendor that does not, forwarders, and for the most part a botnet of so many
// addresses.
func worldRow(r *rand.Rand, domain, bots int) row {
	v := row{dkim: "pass", spf: "pass"}
	switch k := r.IntN(20); {
	case k < 3:
		v.addr = address(domain, 0, r.IntN(6))
	case k < 6:
		v.addr, v.spfDomain = address(domain%7, 1, r.IntN(24)), "bounce.vendor.example"
	case k < 7:
		v.addr, v.dkimDomain, v.spfDomain = address(domain%5, 2, r.IntN(12)), "survey.example", "mail.survey.example"
	case k < 9:
		// 40 organisations forward, five servers each.
		v.addr, v.spf = address(r.IntN(40), 3, r.IntN(5)), "fail"
		if r.IntN(20) == 0 {
			v.dkim, v.forwarded = "fail", true
		}
	default:
		v.addr, v.dkim, v.spf = scattered(domain, r.IntN(bots)), "", "fail"
	}
	return v
}

// address is the n-th server of an organisation: neighbours in a network.
func address(organisation, kind, n int) string {
	h := mix(uint32(organisation)*4 + uint32(kind))
	return fmt.Sprintf("%d.%d.%d.%d", 11+h>>24%80, h>>16&255, h>>8&255, 10+n)
}

// scattered is the n-th address of a domain's botnet.
func scattered(domain, n int) string {
	h := mix(uint32(domain)<<17 + uint32(n))
	return fmt.Sprintf("%d.%d.%d.%d", 91+h>>24%100, h>>16&255, h>>8&255, 1+h%254)
}

func mix(h uint32) uint32 {
	h *= 2654435761
	h ^= h >> 15
	h *= 2246822519
	return h ^ h>>13
}

// entry writes a report as one file of a zip, named as receivers name theirs.
func (s *sheet) entry(z *zip.Writer, h head7489, tag string) error {
	begin := monthBegin + int64(h.day)*86400
	e, err := z.Create(fmt.Sprintf("%s!%s!%d!%d!%s.xml", h.receiver, h.domain, begin, begin+86399, tag))
	if err != nil {
		return err
	}
	return s.report(e, h)
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
