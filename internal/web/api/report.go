package api

import (
	"context"
	"fmt"
	"io"
	"mime"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sekimori/domain"
	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// policy is the DMARC record as a receiver saw it.
type policy struct {
	P               string `json:"p"`
	SP              string `json:"sp,omitempty"`
	NP              string `json:"np,omitempty"`
	ADKIM           string `json:"adkim,omitempty"`
	ASPF            string `json:"aspf,omitempty"`
	PCT             string `json:"pct,omitempty"`
	FO              string `json:"fo,omitempty"`
	Testing         string `json:"testing,omitempty"`
	DiscoveryMethod string `json:"discovery_method,omitempty"`
}

func policyOf(p aggregate.PolicyPublished) policy {
	return policy{P: p.P, SP: p.SP, NP: p.NP, ADKIM: p.ADKIM, ASPF: p.ASPF, PCT: p.PCT, FO: p.FO, Testing: p.Testing, DiscoveryMethod: p.DiscoveryMethod}
}

// reportHead is a stored report without its records.
type reportHead struct {
	Seq        int64                 `json:"seq" doc:"The report's number here."`
	Form       aggregate.Form        `json:"form"`
	Reporter   string                `json:"reporter" doc:"The organisation, or where it gave none its e-mail address."`
	Email      string                `json:"email"`
	Contact    string                `json:"extra_contact_info,omitempty"`
	ReportID   string                `json:"report_id"`
	Generator  string                `json:"generator,omitempty"`
	Begin      time.Time             `json:"begin"`
	End        time.Time             `json:"end"`
	FirstDay   store.Day             `json:"first_day" format:"date"`
	Days       int                   `json:"days" doc:"How many UTC days its figures are spread over."`
	Domain     string                `json:"domain"`
	Policy     policy                `json:"policy"`
	Rows       int64                 `json:"rows"`
	Messages   uint64                `json:"messages"`
	Aligned    uint64                `json:"aligned"`
	Errors     []string              `json:"errors"`
	Deviations []aggregate.Deviation `json:"deviations" doc:"Where it departs from its form and was read all the same."`
	Import     int64                 `json:"import"`
	Path       string                `json:"path"`
	Member     string                `json:"member,omitempty" doc:"Place inside the file, for an archive or a mailbox."`
	Stored     time.Time             `json:"stored"`
}

func headOf(h store.ReportHead) reportHead {
	m := h.Report.Metadata
	return reportHead{Seq: h.Seq, Form: h.Report.Form, Reporter: m.Reporter(), Email: m.Email, Contact: m.ExtraContactInfo, ReportID: m.ReportID,
		Generator: m.Generator, Begin: m.Begin.UTC(), End: m.End.UTC(), FirstDay: h.FirstDay, Days: h.Days, Domain: h.Report.PolicyPublished.Domain,
		Policy: policyOf(h.Report.PolicyPublished), Rows: h.Rows, Messages: h.Messages, Aligned: h.Aligned, Errors: notNil(m.Errors),
		Deviations: notNil(h.Report.Deviations), Import: h.Origin.Import, Path: h.Origin.Path, Member: h.Origin.Member, Stored: h.Stored.UTC()}
}

type reportList struct {
	Total   int64        `json:"total"`
	Reports []reportHead `json:"reports"`
}

type record struct {
	No           int64                 `json:"no" doc:"Place in the report, from 0."`
	SourceIP     string                `json:"source_ip"`
	Count        uint64                `json:"count"`
	Disposition  aggregate.Disposition `json:"disposition"`
	DKIMAligned  bool                  `json:"dkim_aligned"`
	SPFAligned   bool                  `json:"spf_aligned"`
	Reasons      []reason              `json:"reasons"`
	HeaderFrom   string                `json:"header_from"`
	EnvelopeFrom string                `json:"envelope_from,omitempty"`
	EnvelopeTo   string                `json:"envelope_to,omitempty"`
	DKIM         []dkimResult          `json:"dkim"`
	SPF          []spfResult           `json:"spf"`
}

type reason struct {
	Type    string `json:"type"`
	Comment string `json:"comment,omitempty"`
}

type dkimResult struct {
	Domain      string `json:"domain"`
	Selector    string `json:"selector,omitempty"`
	Result      string `json:"result"`
	HumanResult string `json:"human_result,omitempty"`
}

type spfResult struct {
	Domain      string `json:"domain"`
	Scope       string `json:"scope,omitempty"`
	Result      string `json:"result"`
	HumanResult string `json:"human_result,omitempty"`
}

func recordOf(r store.RecordRow) record {
	x := r.Record
	out := record{No: r.No, Count: x.Count, Disposition: x.Disposition, DKIMAligned: x.DKIM, SPFAligned: x.SPF,
		HeaderFrom: x.HeaderFrom, EnvelopeFrom: x.EnvelopeFrom, EnvelopeTo: x.EnvelopeTo,
		Reasons: make([]reason, len(x.Reasons)), DKIM: make([]dkimResult, len(x.DKIMResults)), SPF: make([]spfResult, len(x.SPFResults))}
	if x.SourceIP.IsValid() {
		out.SourceIP = x.SourceIP.String()
	}
	for i, v := range x.Reasons {
		out.Reasons[i] = reason(v)
	}
	for i, v := range x.DKIMResults {
		out.DKIM[i] = dkimResult(v)
	}
	for i, v := range x.SPFResults {
		out.SPF[i] = spfResult(v)
	}
	return out
}

type recordList struct {
	Seq     int64    `json:"seq"`
	Total   int64    `json:"total"`
	Records []record `json:"records"`
}

// reportQuery narrows the list of reports.
type reportQuery struct {
	Page
	Domain     string `query:"domain" maxLength:"254" doc:"Only of this policy domain."`
	Reporter   string `query:"reporter" maxLength:"300" doc:"Only of this reporter, as it names itself."`
	Begin      Date   `query:"begin" format:"date" doc:"Only reports that cover a day from this one on."`
	End        Date   `query:"end" format:"date" doc:"Only reports that cover a day before this one."`
	Deviations bool   `query:"deviations" doc:"Only those that depart from their form."`
	Sort       string `query:"sort" enum:"begin,reporter,domain,rows,messages,deviations,seq" doc:"Default: the newest first."`
}

// lastDay stands for "no end"; store.Day would reach further, SQL's DATE too.
const lastDay = store.Day(1 << 21)

func (q *reportQuery) filter() (store.ReportFilter, error) {
	f := store.ReportFilter{Reporter: q.Reporter, Window: store.Window{Begin: q.Begin.Day, End: q.End.Day}, WithDeviations: q.Deviations}
	if q.Domain != "" {
		name, err := domain.Parse(q.Domain)
		if err != nil {
			return f, huma.Error400BadRequest("domain: " + err.Error())
		}
		f.Domain = name.String()
	}
	if q.Begin.Day != 0 && q.End.Day == 0 {
		f.Window.End = lastDay
	}
	if f.Window.End < f.Window.Begin {
		return f, huma.Error400BadRequest("end is before begin")
	}
	return f, nil
}

// ReportSeq is the report that an operation is asked about.
type ReportSeq struct {
	Seq int64 `path:"seq" minimum:"1" doc:"The report's number here."`
}

func (s *server) reportOperations(a huma.API) {
	huma.Register(a, get("list-reports", "/reports", "reports", "The reports received"),
		func(ctx context.Context, in *reportQuery) (*answer[reportList], error) {
			f, err := in.filter()
			if err != nil {
				return nil, err
			}
			list, total, err := s.Store.Reports(ctx, f, in.sorted(in.Sort))
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			out := reportList{Total: total, Reports: make([]reportHead, len(list))}
			for i := range list {
				out.Reports[i] = headOf(list[i])
			}
			return reply(out), nil
		})

	huma.Register(a, get("get-report", "/reports/{seq}", "reports", "One report, without its records"),
		func(ctx context.Context, in *ReportSeq) (*answer[reportHead], error) {
			h, err := s.Store.Report(ctx, in.Seq)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return reply(headOf(h)), nil
		})

	huma.Register(a, get("list-records", "/reports/{seq}/records", "reports", "The records of a report"),
		func(ctx context.Context, in *struct {
			ReportSeq
			Page
			Sort string `query:"sort" enum:"no,messages,addr,header_from" doc:"Default: their order in the report."`
		}) (*answer[recordList], error) {
			list, total, err := s.Store.Records(ctx, in.Seq, in.sorted(in.Sort))
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			if len(list) == 0 { // an empty page, or no such report
				if _, err := s.Store.Report(ctx, in.Seq); err != nil {
					return nil, s.fail(ctx, err)
				}
			}
			out := recordList{Seq: in.Seq, Total: total, Records: make([]record, len(list))}
			for i := range list {
				out.Records[i] = recordOf(list[i])
			}
			return reply(out), nil
		})

	op := get("get-raw-report", "/reports/{seq}/raw", "reports", "The XML of a report as it was received")
	op.Responses = file("application/xml")
	huma.Register(a, op, func(ctx context.Context, in *ReportSeq) (*huma.StreamResponse, error) {
		body, name, err := s.Store.Raw(ctx, in.Seq)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		// Not application/xml: a browser must not take it for a page of ours.
		return s.download(body, name, "application/octet-stream"), nil
	})
}

// file describes an answer that is a file.
func file(mediaType string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
		mediaType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}}
}

// download streams body and closes it.
func (s *server) download(body io.ReadCloser, name, mediaType string) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer body.Close()
		r, w := humago.Unwrap(hc)
		h := w.Header()
		h.Set("Content-Type", mediaType)
		h.Set("Content-Disposition", attachment(name))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
		h.Set("Cache-Control", "private, no-cache")
		out := s.patient(w)
		_, err := io.Copy(out, body)
		if err == nil {
			err = out.Close()
		}
		if err != nil {
			s.cutOff(r, err)
		}
	}}
}

// attachment is the Content-Disposition of a file to save (RFC 6266).
func attachment(name string) string {
	if v := mime.FormatMediaType("attachment", map[string]string{"filename": name}); v != "" {
		return v
	}
	return fmt.Sprintf("attachment; filename=%q", "download")
}
