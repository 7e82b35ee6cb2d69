package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sekimori/report/aggregate"
)

// output writes report files below dir, a folder for each receiver.
type output struct {
	dir    string
	totals totals
}

// receiver writes all reports of one receiver.
func (o *output) receiver(r *receiver, m *ministry) error {
	dir := filepath.Join(o.dir, r.org)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	index := 0
	for i := range receivers {
		if receivers[i].org == r.org {
			index = i
		}
	}
	var box bytes.Buffer
	for period := range monthDays {
		for _, domain := range []string{mainDomain, instituteDom, parkedDomain} {
			k := reportKey{index, domain, period}
			if len(m.tally[k]) == 0 {
				continue
			}
			name, xml, err := o.xml(r, k, m)
			if err != nil {
				return err
			}
			data, ext, err := wrap(r, k, name, xml)
			if err != nil {
				return err
			}
			if r.wrap == mailbox {
				fmt.Fprintf(&box, "From %s %s\n%s\n", r.email, sent(r, k).Format(time.ANSIC), bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")))
				continue
			}
			if cutShort(r, k) {
				data = data[:2*len(data)/3]
			}
			if err := o.file(filepath.Join(dir, name+ext), data); err != nil {
				return err
			}
			if sentTwice(r, k) {
				if err := o.file(filepath.Join(dir, name+"!resent"+ext), data); err != nil {
					return err
				}
			}
		}
	}
	if r.wrap == mailbox {
		return o.file(filepath.Join(dir, "dmarc-2026-09.mbox"), box.Bytes())
	}
	return nil
}

// cutShort tells the one report whose transfer broke off: nobody can read it.
func cutShort(r *receiver, k reportKey) bool {
	return r.org == "sakurane.example" && k.policy == mainDomain && k.period == 19
}

// sentTwice tells the one report that comes again under another file name.
func sentTwice(r *receiver, k reportKey) bool {
	return r.org == "cloudgate.example" && k.policy == mainDomain && k.period == 11
}

func (o *output) file(path string, data []byte) error {
	o.totals.files++
	return os.WriteFile(path, data, 0o644)
}

// xml writes one report and returns its file name without the extension.
func (o *output) xml(r *receiver, k reportKey, m *ministry) (name string, xml []byte, err error) {
	begin, end := r.span(k)
	rep := aggregate.Report{Form: r.form, Version: "1.0", PolicyPublished: policyOn(k.policy, k.period*r.period()),
		Metadata: aggregate.Metadata{OrgName: cond(r.name != "", r.name, r.org), Email: r.email, ExtraContactInfo: r.contact,
			ReportID: r.id(k, begin), Begin: begin, End: end}}
	if r.form == aggregate.RFC9990 {
		rep.Metadata.Generator = r.generator
		rep.PolicyPublished.DiscoveryMethod = "treewalk"
	} else {
		rep.PolicyPublished.PCT = "100"
	}
	records := m.records(k, r)
	if !cutShort(r, k) {
		o.totals.reports++
		o.totals.rows += len(records)
		for i := range records {
			o.totals.messages += records[i].Count
		}
	}
	if xml, err = write(rep, records); err != nil {
		return "", nil, fmt.Errorf("%s %s: %w", k.policy, begin.Format(time.DateOnly), err)
	}
	if r.edit != nil {
		xml = r.edit(xml, k)
	}
	return fmt.Sprintf("%s!%s!%d!%d", r.org, k.policy, begin.Unix(), end.Unix()), xml, nil
}

// write is the report as a document of its form.
func write(rep aggregate.Report, records []aggregate.Record) ([]byte, error) {
	var b bytes.Buffer
	w, err := aggregate.NewWriter(&b, rep.Form, rep)
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

// wrap puts a report into the container that its receiver uses, and returns
// the extension of the file.
func wrap(r *receiver, k reportKey, name string, xml []byte) (data []byte, ext string, err error) {
	switch r.wrap {
	case gzipped:
		data, err = gz(name+".xml", xml)
		return data, ".xml.gz", err
	case zipped:
		data, err = zipFile(name+".xml", xml)
		return data, ".zip", err
	case mailGzip, mailbox:
		data, err = gz("", xml)
		return mail(r, k, name+".xml.gz", "application/gzip", data), ".eml", err
	case mailZip:
		data, err = zipFile(name+".xml", xml)
		return mail(r, k, name+".zip", "application/octet-stream", data), ".eml", err
	}
	return xml, ".xml", nil
}

func gz(name string, data []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Name = name
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}

func zipFile(name string, data []byte) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = z.Close()
	return b.Bytes(), err
}

// sent is when a report goes out: some hours after its period.
func sent(r *receiver, k reportKey) time.Time {
	_, end := r.span(k)
	return end.Add(3*time.Hour + time.Duration(hash(k)%7200)*time.Second)
}

// mail is the message that brings a report (RFC 9990 §3.5).
func mail(r *receiver, k reportKey, filename, mediaType string, attachment []byte) []byte {
	begin, _ := r.span(k)
	boundary := fmt.Sprintf("=_%016x", hash(k))
	lines := func(b []byte) string {
		s := base64.StdEncoding.EncodeToString(b)
		var out strings.Builder
		for len(s) > 76 {
			out.WriteString(s[:76] + "\r\n")
			s = s[76:]
		}
		return out.String() + s + "\r\n"
	}
	from := r.email
	if r.name != "" {
		from = mime.BEncoding.Encode("utf-8", r.name) + " <" + r.email + ">"
	}
	text := "This is a DMARC aggregate report for " + k.policy + " from " + r.org + ".\r\n"
	if r.zone == jst {
		text = k.policy + " に関する DMARC 集約レポートです。\r\n" + text
	}
	var b bytes.Buffer
	for _, h := range []string{
		"From: " + from, "To: dmarc-reports@kakuu.example", "Date: " + sent(r, k).In(time.FixedZone("", int(r.zone.Seconds()))).Format(time.RFC1123Z),
		"Subject: Report Domain: " + k.policy + "\r\n Submitter: " + r.org + "\r\n Report-ID: <" + strings.Trim(r.id(k, begin), "<>") + ">",
		fmt.Sprintf("Message-ID: <%016x@%s>", hash(k), r.org), "MIME-Version: 1.0",
		"Content-Type: multipart/mixed; boundary=\"" + boundary + "\"",
	} {
		b.WriteString(h + "\r\n")
	}
	fmt.Fprintf(&b, "\r\n--%s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n%s", boundary, lines([]byte(text)))
	fmt.Fprintf(&b, "--%s\r\nContent-Type: %s; name=\"%s\"\r\nContent-Disposition: attachment; filename=\"%s\"\r\nContent-Transfer-Encoding: base64\r\n\r\n%s--%s--\r\n",
		boundary, mediaType, filename, filename, lines(attachment), boundary)
	return b.Bytes()
}
