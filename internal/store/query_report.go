package store

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/klauspost/compress/zstd"

	"sekimori/report/aggregate"
)

const headColumns = `seq, rows, messages, aligned, begun, ended, stored, import, form, version, org_name, email, contact, report_id, generator,
	domain, adkim, aspf, p, sp, np, pct, fo, testing, discovery, path, member, errors, deviations`

func scanHead(r *sql.Rows) (ReportHead, error) {
	var h ReportHead
	m, p := &h.Report.Metadata, &h.Report.PolicyPublished
	var form string
	var errs, devs any
	err := r.Scan(&h.Seq, &h.Rows, &h.Messages, &h.Aligned, &m.Begin, &m.End, &h.Stored, &h.Origin.Import, &form, &h.Report.Version,
		&m.OrgName, &m.Email, &m.ExtraContactInfo, &m.ReportID, &m.Generator,
		&p.Domain, &p.ADKIM, &p.ASPF, &p.P, &p.SP, &p.NP, &p.PCT, &p.FO, &p.Testing, &p.DiscoveryMethod,
		&h.Origin.Path, &h.Origin.Member, &errs, &devs)
	if err != nil {
		return h, err
	}
	h.Report.Form = aggregate.Form(form)
	h.FirstDay, h.Days = Spread(m.Begin, m.End)
	for _, e := range elements(errs) {
		s, _ := e.(string)
		m.Errors = append(m.Errors, s)
	}
	for _, e := range elements(devs) {
		d, _ := e.(map[string]any)
		line, _ := d["line"].(int64)
		offset, _ := d["place"].(int64)
		times, _ := d["times"].(int64)
		messages, _ := d["messages"].(uint64)
		h.Report.Deviations = append(h.Report.Deviations, aggregate.Deviation{
			Code: aggregate.DeviationCode(field(d, "code")), Element: field(d, "element"), Detail: field(d, "detail"),
			Line: int(line), Offset: offset, Times: times, Messages: messages,
		})
	}
	return h, nil
}

// elements returns a LIST as the driver gives it.
func elements(v any) []any {
	l, _ := v.([]any)
	return l
}

// field returns a VARCHAR of a STRUCT as the driver gives it.
func field(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return s
}

var reportSort = map[string]string{
	"": "begun", "begin": "begun", "reporter": "lower(org_name || email)", "domain": "domain", "rows": "rows",
	"messages": "messages", "deviations": "len(deviations)", "seq": "seq",
}

// Reports pages through reports, with how many the filter leaves. Page.Sort:
// "begin" (default, newest first), "reporter", "domain", "rows", "messages",
// "deviations", "seq". Page.Search looks in reporter, policy domain and report
// id. Cost: a scan of a few columns of report; a search reads report ids too.
func (s *Store) Reports(ctx context.Context, f ReportFilter, p Page) ([]ReportHead, int64, error) {
	order, err := p.order(reportSort, "seq")
	if err != nil {
		return nil, 0, err
	}
	where, args, ok := s.reportFilter(f, p.Search)
	if !ok {
		return nil, 0, nil
	}
	limit, offset := p.bounds()
	// First the page's numbers, from narrow columns; then their heads.
	page := fmt.Sprintf(" FROM report WHERE %s%s LIMIT %d OFFSET %d", where, order, limit, offset)
	var seqs []string
	var count int64
	if p.Search == "" {
		if err := s.query(ctx, "SELECT count(*) FROM report WHERE "+where, args, func(r *sql.Rows) error { return r.Scan(&count) }); err != nil {
			return nil, 0, err
		}
		page = "SELECT seq, 0" + page
	} else { // a search is dear: do it once
		page = "SELECT seq, count(*) OVER ()" + page
	}
	err = s.query(ctx, page, args, func(r *sql.Rows) error {
		var seq, among int64
		err := r.Scan(&seq, &among)
		seqs, count = append(seqs, fmt.Sprint(seq)), max(count, among)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	if len(seqs) == 0 {
		if p.Search != "" && offset > 0 {
			_, count, err = s.Reports(ctx, f, Page{Limit: 1, Search: p.Search})
		}
		return nil, count, err
	}
	q := fmt.Sprintf("SELECT %s FROM report WHERE seq IN (%s)%s", headColumns, strings.Join(seqs, ", "), order)
	var out []ReportHead
	err = s.query(ctx, q, nil, func(r *sql.Rows) error {
		h, err := scanHead(r)
		out = append(out, h)
		return err
	})
	return out, count, err
}

// reportFilter is a condition on report with its arguments; false when nothing
// can meet it.
func (s *Store) reportFilter(f ReportFilter, search string) (string, []any, bool) {
	where := []string{"true"}
	var args []any
	if f.Domain != "" {
		id, ok := s.domains.id(f.Domain)
		if !ok {
			return "", nil, false
		}
		where = append(where, fmt.Sprintf("dom = %d", id))
	}
	if f.Reporter != "" {
		id, ok := s.reporters.id(f.Reporter)
		if !ok {
			return "", nil, false
		}
		where = append(where, fmt.Sprintf("org = %d", id))
	}
	if f.Window != (Window{}) {
		sp := spanOf(f.Window)
		where = append(where, fmt.Sprintf("first < %s AND first + days::INTEGER > %s", sp.end.date(), sp.begin.date()))
	}
	if f.WithDeviations {
		where = append(where, "len(deviations) > 0")
	}
	if search != "" {
		search = strings.ToLower(search)
		where = append(where, `(contains(lower(report_id), ?) OR org IN (SELECT id FROM reporter WHERE contains(lower(name), ?))
			OR dom IN (SELECT id FROM policy_domain WHERE contains(name, ?)))`)
		args = append(args, search, search, search)
	}
	return strings.Join(where, " AND "), args, true
}

// Report returns one report's head; ErrNotFound where there is none.
func (s *Store) Report(ctx context.Context, seq int64) (ReportHead, error) {
	var h ReportHead
	err := s.query(ctx, fmt.Sprintf("SELECT %s FROM report WHERE seq = %d", headColumns, seq), nil, func(r *sql.Rows) (err error) {
		h, err = scanHead(r)
		return err
	})
	if err == nil && h.Seq == 0 {
		err = fmt.Errorf("report %d: %w", seq, ErrNotFound)
	}
	return h, err
}

var recordSort = map[string]string{"": "no", "no": "no", "messages": "n", "addr": "(net, host)", "header_from": "header_from"}

// Records pages through a report's records, with how many there are. Page.Sort:
// "no" (default: the order in the report), "messages", "addr", "header_from".
// Page.Search is as in SourceAddresses. Cost: the report's records, found by
// their number without reading others'.
func (s *Store) Records(ctx context.Context, seq int64, p Page) ([]RecordRow, int64, error) {
	if p.Sort == "" {
		p.Sort = "no"
	}
	order, err := p.order(recordSort, "no")
	if err != nil {
		return nil, 0, err
	}
	cond := ""
	if p.Search != "" {
		cond = " WHERE " + addrRange(p.Search)
	}
	limit, offset := p.bounds()
	numbered := fmt.Sprintf("(SELECT row_number() OVER (ORDER BY rowid) - 1 AS no, rowid AS id, net, host, n, header_from FROM record WHERE seq = %d)", seq)
	q := fmt.Sprintf(`WITH page AS MATERIALIZED (SELECT id, no, count(*) OVER () AS among FROM %s%s%s LIMIT %d OFFSET %d)
		SELECT page.no, page.among, record.net, record.host, record.n, disposition, dkim_aligned, spf_aligned, record.header_from, envelope_from, envelope_to, dkim, spf, reasons
		FROM record JOIN page ON record.rowid = page.id WHERE seq = %d%s`,
		numbered, cond, order, limit, offset, seq, order)
	var out []RecordRow
	var count int64
	err = s.query(ctx, q, nil, func(r *sql.Rows) error {
		var row RecordRow
		var n number
		var disp string
		var dkim, spf, reasons any
		c := &row.Record
		err := r.Scan(&row.No, &count, &n.net, &n.host, &c.Count, &disp, &c.DKIM, &c.SPF, &c.HeaderFrom, &c.EnvelopeFrom, &c.EnvelopeTo, &dkim, &spf, &reasons)
		if err != nil {
			return err
		}
		c.SourceIP, c.Disposition = numberAddr(n), aggregate.Disposition(disp)
		for _, e := range elements(dkim) {
			d, _ := e.(map[string]any)
			c.DKIMResults = append(c.DKIMResults, aggregate.DKIMResult{
				Domain: field(d, "domain"), Selector: field(d, "selector"), Result: field(d, "result"), HumanResult: field(d, "human")})
		}
		for _, e := range elements(spf) {
			d, _ := e.(map[string]any)
			c.SPFResults = append(c.SPFResults, aggregate.SPFResult{
				Domain: field(d, "domain"), Scope: field(d, "scope"), Result: field(d, "result"), HumanResult: field(d, "human")})
		}
		for _, e := range elements(reasons) {
			d, _ := e.(map[string]any)
			c.Reasons = append(c.Reasons, aggregate.Reason{Type: field(d, "kind"), Comment: field(d, "comment")})
		}
		out = append(out, row)
		return nil
	})
	if err == nil && len(out) == 0 && offset > 0 {
		_, count, err = s.Records(ctx, seq, Page{Limit: 1, Search: p.Search})
	}
	return out, count, err
}

// Raw opens a report's XML, decompressed while it is read, with a file name
// (RFC 9990 §3.5.1) ending in .xml. ErrNotFound where the report or its bytes
// are not kept. The reader is for one goroutine and works on after Close.
func (s *Store) Raw(ctx context.Context, seq int64) (io.ReadCloser, string, error) {
	var at place
	var org, email, domain string
	var begun, ended time.Time
	found := false
	err := s.query(ctx, fmt.Sprintf("SELECT pack, pos, size, encoding, org_name, email, domain, begun, ended FROM report WHERE seq = %d", seq), nil, func(r *sql.Rows) error {
		found = true
		return r.Scan(&at.pack, &at.pos, &at.size, &at.encoding, &org, &email, &domain, &begun, &ended)
	})
	if err != nil {
		return nil, "", err
	}
	if !found || at.pack == 0 {
		return nil, "", fmt.Errorf("report %d as received: %w", seq, ErrNotFound)
	}
	section, file, err := s.packs.open(seq, at)
	if err != nil {
		return nil, "", err
	}
	x := &rawReader{closers: []io.Closer{file}}
	switch at.encoding {
	case Gzip:
		z, err := gzip.NewReader(section)
		if err != nil {
			return nil, "", errors.Join(err, x.Close())
		}
		x.Reader = z
	case Zstd:
		z, err := zstd.NewReader(section, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			return nil, "", errors.Join(err, x.Close())
		}
		x.Reader, x.closers = z, append(x.closers, z.IOReadCloser())
	case Deflate:
		x.Reader = flate.NewReader(section)
	case Identity:
		x.Reader = section
	default:
		return nil, "", errors.Join(fmt.Errorf("report %d: kept with the unknown encoding %q", seq, at.encoding), x.Close())
	}
	reporter := org
	if reporter == "" || strings.ContainsAny(reporter, " !/\\") {
		if _, d, ok := strings.Cut(email, "@"); ok {
			reporter = d
		}
	}
	return x, fmt.Sprintf("%s!%s!%d!%d.xml", fileName(reporter), fileName(domain), begun.Unix(), ended.Unix()), nil
}

// fileName makes a name harmless as part of a file's name.
func fileName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".-_", r) {
			return '_'
		}
		return r
	}, s)
	s = strings.TrimLeft(s, ".")
	if s == "" {
		return "unknown"
	}
	return s[:min(len(s), 100)]
}

// rawReader reads through a decompressor and closes what is behind it.
type rawReader struct {
	io.Reader
	closers []io.Closer
}

func (x *rawReader) Close() error {
	var errs []error
	for _, c := range x.closers {
		errs = append(errs, c.Close())
	}
	x.closers = nil
	return errors.Join(errs...)
}
