package web

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// reportsView is the list of reports.
type reportsView struct {
	List       *listing
	Domain     string
	Domains    []string
	Deviations bool
	Filtered   bool
	Rows       []reportLine
}

type reportLine struct {
	Seq                          int64
	Period, ID, Reporter, Domain string
	Rows                         int64
	Messages, Aligned            uint64
	Deviations                   int
}

// mostDomains is how many domains the filter offers; a longer list is searched.
const mostDomains = 500

func (s *server) reports(w http.ResponseWriter, r *http.Request, p *page) error {
	ctx := r.Context()
	v := &reportsView{Domain: clip(p.query.Get("domain"), 255), Deviations: p.query.Get("deviations") == "1"}
	v.List = p.list("web.reports.list", []string{"begin", "reporter", "domain", "rows", "messages", "deviations"}, "begin", "rows", "messages", "deviations")
	v.List.exports("reports", "domain", v.Domain, "deviations", flag(v.Deviations), "lang", string(p.Lang)).ordered("begin", "reporter", "domain", "rows", "messages", "deviations")
	v.Filtered = v.Domain != "" || v.Deviations || v.List.Search != ""
	heads, total, err := s.Store.Reports(ctx, store.ReportFilter{Domain: v.Domain, WithDeviations: v.Deviations}, v.List.page())
	if err != nil {
		return err
	}
	v.List.Total = total
	names, err := s.Store.DomainNames(ctx)
	if err != nil {
		return err
	}
	v.Domains = names[:min(len(names), mostDomains)]
	for _, h := range heads {
		v.Rows = append(v.Rows, reportLine{Seq: h.Seq, Period: periodOf(h), ID: h.Report.Metadata.ReportID, Reporter: orDash(h.Report.Metadata.Reporter()),
			Domain: h.Report.PolicyPublished.Domain, Rows: h.Rows, Messages: h.Messages, Aligned: h.Aligned, Deviations: len(h.Report.Deviations)})
	}
	p.template, p.Nav, p.IsTop, p.Data = "reports", "reports", true, v
	p.Title = p.text("web.reports.title")
	return nil
}

func flag(b bool) string {
	if b {
		return "true"
	}
	return ""
}

// periodOf writes the days that a report covers.
func periodOf(h store.ReportHead) string {
	if h.Days <= 1 {
		return h.FirstDay.String()
	}
	return h.FirstDay.String() + " – " + (h.FirstDay + store.Day(h.Days) - 1).String()
}

// reportView is one report.
type reportView struct {
	Head               store.ReportHead
	Meta               aggregate.Metadata
	Published          aggregate.PolicyPublished
	Reporter, Period   string
	Begin, End, Stored moment
	Settings           []setting
	Deviations         []deviationLine
	DeviationList      *listing
	List               *listing
	Rows               []recordLine
}

type deviationLine struct {
	aggregate.Deviation
	Text string
}

type recordLine struct {
	No          int64 // from 1
	Addr        string
	Disposition string
	Rec         aggregate.Record
}

func (s *server) report(w http.ResponseWriter, r *http.Request, p *page) error {
	ctx := r.Context()
	seq, err := strconv.ParseInt(r.PathValue("seq"), 10, 64)
	if err != nil {
		return errNotFound
	}
	head, err := s.Store.Report(ctx, seq)
	if err != nil {
		return err
	}
	v := &reportView{Head: head, Meta: head.Report.Metadata, Published: head.Report.PolicyPublished,
		Reporter: orDash(head.Report.Metadata.Reporter()), Period: periodOf(head),
		Begin: p.at(head.Report.Metadata.Begin), End: p.at(head.Report.Metadata.End), Stored: p.at(head.Stored),
		Settings: settingsOf(head.Report.PolicyPublished)}
	for _, d := range head.Report.Deviations {
		v.Deviations = append(v.Deviations, deviationLine{d, p.text("web.deviation." + string(d.Code))})
	}
	v.DeviationList = downloads("web.report.deviations", "deviations", "seq", strconv.FormatInt(seq, 10), "lang", string(p.Lang))
	v.List = p.list("web.report.rows", []string{"no", "addr", "messages", "header_from"}, "messages").
		exports("records", "seq", strconv.FormatInt(seq, 10), "lang", string(p.Lang)).ordered("no", "addr", "messages", "header_from")
	v.List.Fragment = "rows"
	rows, total, err := s.Store.Records(ctx, seq, v.List.page())
	if err != nil {
		return err
	}
	v.List.Total = total
	for _, row := range rows {
		line := recordLine{No: row.No + 1, Rec: row.Record, Addr: "–", Disposition: p.text("web.disposition." + dispositionCode(row.Record.Disposition))}
		if row.Record.SourceIP.IsValid() {
			line.Addr = row.Record.SourceIP.String()
		}
		v.Rows = append(v.Rows, line)
	}
	p.template, p.Nav, p.Data = "report", "reports", v
	p.Title = p.text("web.report.title", "reporter", v.Reporter)
	p.Crumbs = []crumb{{p.text("web.reports.title"), "/reports"}, {v.Reporter + " " + v.Period, ""}}
	return nil
}

func dispositionCode(d aggregate.Disposition) string {
	switch d {
	case aggregate.DispositionQuarantine, aggregate.DispositionReject:
		return string(d)
	case aggregate.DispositionPass:
		return "pass"
	}
	return "delivered"
}

// reportRaw sends the report as it was received, decompressed. A browser shows
// it as plain text: what a stranger wrote is never rendered.
func (s *server) reportRaw(w http.ResponseWriter, r *http.Request, p *page) error {
	seq, err := strconv.ParseInt(r.PathValue("seq"), 10, 64)
	if err != nil {
		return errNotFound
	}
	raw, name, err := s.Store.Raw(r.Context(), seq)
	if err != nil {
		return err
	}
	defer raw.Close()
	sendXML(w, s, r, p, raw, name)
	return nil
}

// sendXML sends a report as plain text, or, with ?save=1, to be saved.
func sendXML(w http.ResponseWriter, s *server, r *http.Request, p *page, body io.Reader, name string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	how := "inline"
	if r.URL.Query().Get("save") == "1" {
		h.Set("Content-Type", "application/xml")
		how = "attachment"
	}
	send(w, s, body, how, name)
	p.template = ""
}

// harmless makes a file name of a name that came from outside: letters and
// digits of any script, and a few signs.
func harmless(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-!@+~", r) {
			return r
		}
		return '_'
	}, clip(name, 200))
	if strings.Trim(name, "._") == "" {
		return "file"
	}
	return name
}

// send copies a file to the client under a name that came from outside.
func send(w http.ResponseWriter, s *server, from io.Reader, how, name string) {
	d := mime.FormatMediaType(how, map[string]string{"filename": harmless(name)})
	if d == "" {
		d = how
	}
	w.Header().Set("Content-Disposition", d)
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	w.Header().Set("Cache-Control", "private, no-cache")
	if n, err := io.Copy(patientWriter{w, http.NewResponseController(w)}, from); err != nil && n > 0 {
		// The status is sent: break the connection off, so that half a file
		// does not pass for a whole one.
		s.Logger.Warn("file not sent whole", "name", name, "err", err)
		panic(http.ErrAbortHandler)
	} else if err != nil {
		s.Logger.Error("file cannot be read", "name", name, "err", err)
		http.Error(w, fmt.Sprintf("%s cannot be read", name), http.StatusInternalServerError)
	}
}
