package api

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sekimori/explain"
	"sekimori/internal/store/outbox"
)

// OutboxReader is the reports that were made for the owners of domains;
// *outbox.Reader has it.
type OutboxReader interface {
	Reports(ctx context.Context, f outbox.Filter) (found []outbox.Entry, total int64, err error)
	Report(ctx context.Context, reportID string) (outbox.Entry, error)
	Open(ctx context.Context, reportID string) (gz io.ReadCloser, filename string, err error)
}

// XML opens the XML of a report that was made, and says what its file is called.
// It is decompressed as it is read.
func (g *Gateway) XML(ctx context.Context, reportID string) (io.ReadCloser, string, error) {
	packed, name, err := g.Outbox.Open(ctx, reportID)
	if err != nil {
		return nil, "", err
	}
	z, err := gzip.NewReader(packed)
	if err != nil {
		packed.Close()
		return nil, "", err
	}
	return unpacked{z, packed}, strings.TrimSuffix(name, ".gz"), nil
}

// unpacked closes the file together with what unpacks it.
type unpacked struct {
	*gzip.Reader
	file io.Closer
}

func (u unpacked) Close() error { return errors.Join(u.Reader.Close(), u.file.Close()) }

// sentReport is a report that was made for the owner of a domain.
type sentReport struct {
	ReportID   string         `json:"report_id"`
	Day        string         `json:"day" format:"date"`
	Domain     string         `json:"domain" doc:"The policy domain."`
	Form       string         `json:"form"`
	Filename   string         `json:"filename"`
	Messages   int64          `json:"messages"`
	Rows       int64          `json:"rows"`
	Size       int64          `json:"size" doc:"Of the file as it is sent."`
	Made       time.Time      `json:"made"`
	Deliveries []sentDelivery `json:"deliveries"`
}

type sentDelivery struct {
	URI      string         `json:"uri" doc:"Of the DMARC record, that led here."`
	Address  string         `json:"address"`
	Host     string         `json:"host"`
	State    outbox.State   `json:"state" doc:"unverified, waiting, sent, refused, given-up or dropped."`
	Reason   []explain.Step `json:"reason" doc:"Why it may be sent there, or may not."`
	Attempts int64          `json:"attempts"`
	First    *time.Time     `json:"first"`
	Next     *time.Time     `json:"next" doc:"The next attempt; null where there is none."`
	Ended    *time.Time     `json:"ended"`
	Error    string         `json:"error,omitempty" doc:"Of the last attempt."`
}

type sentReports struct {
	Total   int64        `json:"total"`
	Reports []sentReport `json:"reports"`
}

func sentOf(e *outbox.Entry) sentReport {
	out := sentReport{ReportID: e.ReportID, Day: e.Day, Domain: e.Domain, Form: e.Form, Filename: e.Filename, Messages: e.Messages, Rows: e.Rows, Size: e.Size, Made: e.Made.UTC(),
		Deliveries: make([]sentDelivery, len(e.Deliveries))}
	for i, d := range e.Deliveries {
		x := sentDelivery{URI: d.URI, Address: d.Address, Host: d.Host, State: d.State, Reason: []explain.Step{}, Attempts: d.Attempts, First: timeOrNull(d.First), Ended: timeOrNull(d.Ended), Error: d.Error}
		if d.State.Open() {
			x.Next = timeOrNull(d.Next)
		}
		if d.Reason.Code != "" {
			x.Reason = append(x.Reason, d.Reason)
		}
		out.Deliveries[i] = x
	}
	return out
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// SentQuery is what reports that were made are looked for by.
type SentQuery struct {
	Day    string `query:"day" maxLength:"10" doc:"Only of this UTC day (YYYY-MM-DD)."`
	Domain string `query:"domain" maxLength:"254" doc:"Only about this policy domain."`
	State  string `query:"state" enum:"unverified,waiting,sent,refused,given-up,dropped" doc:"Only with a delivery in this state."`
	Text   string `query:"text" maxLength:"400" doc:"Only with this in the domain, the report id or a destination."`
}

// Filter returns it as the outbox takes it. A day that is none matches nothing.
func (q *SentQuery) Filter() outbox.Filter {
	return outbox.Filter{Day: q.Day, Domain: strings.ToLower(q.Domain), State: outbox.State(q.State), Text: q.Text}
}

// ReportID is the sent report that an operation is asked about.
type ReportID struct {
	ID string `path:"id" maxLength:"400" doc:"The report id."`
}

func (s *server) gatewayReportOperations(a huma.API) {
	huma.Register(a, get("list-sent-reports", "/gateway/reports", "gateway", "Aggregate reports that were made for the owners of domains, and what became of them"),
		func(ctx context.Context, in *struct {
			SentQuery
			Offset int `query:"offset" minimum:"0" maximum:"10000000" default:"0" doc:"How many to skip."`
			Limit  int `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"How many to return at most."`
		}) (*answer[sentReports], error) {
			out := sentReports{Reports: []sentReport{}}
			if s.Gateway == nil {
				return reply(out), nil
			}
			f := in.Filter()
			f.Limit, f.Offset = in.Limit, in.Offset
			found, total, err := s.Gateway.Outbox.Reports(ctx, f)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			out.Total = total
			for i := range found {
				out.Reports = append(out.Reports, sentOf(&found[i]))
			}
			return reply(out), nil
		})

	huma.Register(a, get("get-sent-report", "/gateway/reports/{id}", "gateway", "One report that was made, and what became of it"),
		func(ctx context.Context, in *ReportID) (*answer[sentReport], error) {
			if s.Gateway == nil {
				return nil, huma.Error404NotFound("there is no gateway")
			}
			e, err := s.Gateway.Outbox.Report(ctx, in.ID)
			if errors.Is(err, outbox.ErrUnknown) {
				return nil, huma.Error404NotFound("no such report, or it is kept no longer")
			}
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return reply(sentOf(&e)), nil
		})

	op := get("get-sent-report-xml", "/gateway/reports/{id}/xml", "gateway", "The XML of a report that was made")
	op.Responses = file("application/xml")
	huma.Register(a, op, func(ctx context.Context, in *ReportID) (*huma.StreamResponse, error) {
		if s.Gateway == nil {
			return nil, huma.Error404NotFound("there is no gateway")
		}
		body, name, err := s.Gateway.XML(ctx, in.ID)
		if errors.Is(err, outbox.ErrUnknown) {
			return nil, huma.Error404NotFound("no such report, or it went nowhere")
		}
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		return s.download(body, name, "application/octet-stream"), nil
	})
}

func gatewayReportsTable() table {
	return table{
		columns: []column{{code: "sent_day", kind: text}, {code: "domain", kind: text}, {code: "report_id", kind: text}, {code: "form", kind: text}, {code: "messages", kind: number}, {code: "rows", kind: number},
			{code: "sent_to", kind: text}, {code: "sent_state", kind: text}, {code: "sent_attempts", kind: number}, {code: "sent_first", kind: moment}, {code: "sent_next", kind: moment}, {code: "sent_ended", kind: moment}, {code: "sent_error", kind: text}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			if s.Gateway == nil {
				return nil
			}
			f := q.sent.Filter()
			f.Limit = 1000
			for ; f.Offset < mostExported; f.Offset += f.Limit {
				found, _, err := s.Gateway.Outbox.Reports(ctx, f)
				if err != nil {
					return err
				}
				for i := range found {
					e := &found[i]
					for _, d := range e.Deliveries {
						next := d.Next
						if !d.State.Open() {
							next = time.Time{}
						}
						why := d.Error
						if why == "" && d.Reason.Code != "" {
							why = q.lang.Step(d.Reason)
						}
						if err := emit(e.Day, e.Domain, e.ReportID, e.Form, e.Messages, e.Rows, d.Address, q.word("webgateway.state.", string(d.State)), d.Attempts, d.First, next, d.Ended, why); err != nil {
							return err
						}
					}
				}
				if len(found) < f.Limit {
					return nil
				}
			}
			return nil
		},
	}
}
