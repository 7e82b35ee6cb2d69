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
		columns: []column{{"seq", number}, {"reporter", text}, {"domain", text}, {"report_id", text}, {"begin", moment}, {"end", moment}, {"policy", text},
			{"rows", number}, {"messages", number}, {"aligned", number}, {"aligned_share", share}, {"deviations", number}, {"form", text}, {"path", text}, {"member", text}, {"stored", moment}},
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
		columns: []column{{"address", text}, {"messages", number}, {"disposition", text}, {"dkim_aligned", text}, {"spf_aligned", text}, {"override", text},
			{"header_from", text}, {"envelope_from", text}, {"envelope_to", text}, {"dkim_results", text}, {"spf_results", text}},
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
		columns: []column{{"deviation", text}, {"element", text}, {"line", number}, {"offset", number}, {"detail", text}, {"times", number}},
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
		columns: []column{{"at", moment}, {"path", text}, {"size", number}, {"reason", text}, {"kept", text}},
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
		columns: []column{{"started", moment}, {"finished", moment}, {"paths", text}, {"files", number}, {"reports", number}, {"rows", number}, {"messages", number}, {"duplicates", number}, {"rejected_files", number}},
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
