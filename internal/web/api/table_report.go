package api

import (
	"context"
	"strings"

	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

func reportsTable() table {
	return table{
		sorts: "begin,reporter,domain,rows,messages,deviations,seq",
		columns: []column{{code: "seq", kind: number}, {code: "reporter", kind: text}, {code: "domain", kind: text}, {code: "report_id", kind: text}, {code: "begin", kind: moment}, {code: "end", kind: moment}, {code: "policy", kind: text},
			{code: "rows", kind: number}, {code: "messages", kind: number}, {code: "aligned", kind: number}, {code: "aligned_share", kind: share}, {code: "deviations", kind: number}, {code: "form", kind: text}, {code: "path", kind: text}, {code: "member", kind: text}, {code: "stored", kind: moment}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			f, err := q.reports.filter()
			if err != nil {
				return err
			}
			// By number: reports that arrive meanwhile come last, and no line
			// is met twice.
			return q.all("seq", func(p store.Page) (int, error) {
				list, _, err := s.Store.Reports(ctx, f, p)
				if err != nil {
					return 0, err
				}
				for _, h := range list {
					m := h.Report.Metadata
					if err := emit(h.Seq, m.Reporter(), h.Report.PolicyPublished.Domain, m.ReportID, m.Begin, m.End, h.Report.PolicyPublished.P,
						h.Rows, h.Messages, h.Aligned, part(h.Aligned, h.Messages), int64(len(h.Report.Deviations)), formName(h.Report.Form), h.Origin.Path, h.Origin.Member, h.Stored); err != nil {
						return 0, err
					}
				}
				return len(list), nil
			})
		},
	}
}

func formName(f aggregate.Form) string {
	switch f {
	case aggregate.RFC7489:
		return "RFC 7489"
	case aggregate.RFC9990:
		return "RFC 9990"
	}
	return string(f)
}

func recordsTable() table {
	return table{
		sorts: "no,messages,addr,header_from",
		columns: []column{{code: "address", kind: text}, {code: "messages", kind: number}, {code: "disposition", kind: text}, {code: "dkim_aligned", kind: text}, {code: "spf_aligned", kind: text}, {code: "override", kind: text},
			{code: "header_from", kind: text}, {code: "envelope_from", kind: text}, {code: "envelope_to", kind: text}, {code: "dkim_results", kind: text}, {code: "spf_results", kind: text}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			if err := q.needSeq(); err != nil {
				return err
			}
			if _, err := s.Store.Report(ctx, q.Seq); err != nil {
				return err
			}
			return q.all("no", func(p store.Page) (int, error) {
				list, _, err := s.Store.Records(ctx, q.Seq, p)
				if err != nil {
					return 0, err
				}
				for i := range list {
					if err := emit(recordCells(&list[i].Record)...); err != nil {
						return 0, err
					}
				}
				return len(list), nil
			})
		},
	}
}

func recordCells(r *aggregate.Record) []any {
	var reasons, dkim, spf []string
	for _, x := range r.Reasons {
		reasons = append(reasons, spaced(x.Type, x.Comment))
	}
	for _, d := range r.DKIMResults {
		dkim = append(dkim, spaced(d.Result, d.Domain, d.Selector))
	}
	for _, x := range r.SPFResults {
		spf = append(spf, spaced(x.Result, x.Domain, x.Scope))
	}
	addr := ""
	if r.SourceIP.IsValid() {
		addr = r.SourceIP.String()
	}
	return []any{addr, r.Count, string(r.Disposition), passFail(r.DKIM), passFail(r.SPF), strings.Join(reasons, "\n"),
		r.HeaderFrom, r.EnvelopeFrom, r.EnvelopeTo, strings.Join(dkim, "\n"), strings.Join(spf, "\n")}
}

// spaced joins what is not empty.
func spaced(v ...string) string {
	var b strings.Builder
	for _, s := range v {
		if s != "" && b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(s)
	}
	return b.String()
}

func passFail(ok bool) string {
	if ok {
		return "pass"
	}
	return "fail"
}

func deviationsTable() table {
	return table{
		columns: []column{{code: "deviation", kind: text}, {code: "element", kind: text}, {code: "line", kind: number}, {code: "offset", kind: number}, {code: "detail", kind: text}, {code: "times", kind: number}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			if err := q.needSeq(); err != nil {
				return err
			}
			h, err := s.Store.Report(ctx, q.Seq)
			if err != nil {
				return err
			}
			for _, d := range h.Report.Deviations {
				if err := emit(q.word("web.deviation.", string(d.Code)), d.Element, int64(d.Line), d.Offset, d.Detail, d.Times); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func quarantineTable() table {
	return table{
		sorts:   "at,path,size",
		columns: []column{{code: "at", kind: moment}, {code: "path", kind: text}, {code: "size", kind: number}, {code: "reason", kind: text}, {code: "kept", kind: text}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			return q.all("at", func(p store.Page) (int, error) {
				list, _, err := s.Store.ListQuarantined(ctx, p)
				if err != nil {
					return 0, err
				}
				for _, x := range list {
					if err := emit(x.At, x.Path, x.Size, x.Reason, x.Kept); err != nil {
						return 0, err
					}
				}
				return len(list), nil
			})
		},
	}
}

func importsTable() table {
	return table{
		columns: []column{{code: "started", kind: moment}, {code: "finished", kind: moment}, {code: "paths", kind: text}, {code: "files", kind: number}, {code: "reports", kind: number}, {code: "rows", kind: number}, {code: "messages", kind: number}, {code: "duplicates", kind: number}, {code: "rejected_files", kind: number}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			return q.all("", func(p store.Page) (int, error) {
				list, _, err := s.Store.Imports(ctx, p)
				if err != nil {
					return 0, err
				}
				for _, x := range list {
					if err := emit(x.Started, x.Finished, strings.Join(x.Paths, "\n"), x.Files, x.Reports, x.Rows, x.Messages, x.Duplicates, x.Rejected); err != nil {
						return 0, err
					}
				}
				return len(list), nil
			})
		},
	}
}
