package api

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sekimori/internal/locale"
	"sekimori/internal/store"
)

// export answers GET /export/TABLE.csv and /export/TABLE.xlsx: the whole list,
// not a page of it, with what the list's own parameters (domain, days, until,
// source, seq, class, search, sort, desc …) leave of it. Headings are in the
// language of ?lang=, else of the request. Days and times are UTC.
func (s *server) export(w http.ResponseWriter, r *http.Request) {
	name, form, _ := strings.Cut(r.PathValue("file"), ".")
	t, ok := tables()[name]
	if !ok || form != "csv" && form != "xlsx" {
		problem(w, http.StatusNotFound, "no such table: /export/ has TABLE.csv and TABLE.xlsx")
		return
	}
	q, err := s.exportQuery(r)
	if err == nil && q.sort != "" && !slices.Contains(strings.Split(t.sorts, ","), q.sort) {
		err = huma.Error400BadRequest("sort: want one of " + t.sorts)
	}
	if err == nil && t.of != nil {
		t, err = t.of(r.Context(), s, q)
	}
	if err == nil {
		if form == "csv" {
			err = s.csv(w, r, name, t, q)
		} else {
			err = s.xlsx(w, r, name, t, q)
		}
	}
	if err != nil {
		answer := s.fail(r.Context(), err).(huma.StatusError)
		problem(w, answer.GetStatus(), answer.Error())
	}
}

// exportQuery reads the parameters of a download.
func (s *server) exportQuery(r *http.Request) (*exportQuery, error) {
	v := r.URL.Query()
	p := params{v: v}
	var until store.Day
	if !strings.HasPrefix(r.PathValue("file"), "gateway-") { // their times are finer
		until = p.day("until")
	}
	q := &exportQuery{
		Named: Named{Domain: v.Get("domain")}, SourceID: SourceID{Source: v.Get("source")}, ReportSeq: ReportSeq{Seq: int64(p.number("seq", 1, 1<<62))},
		Window: Window{Days: int(p.number("days", 1, 3660)), Until: Date{until}},
		Part:   Part{Department: int64(p.number("department", 1, 1<<62))},
		class:  v.Get("class"), sort: v.Get("sort"),
		page:    Page{Search: v.Get("search"), Desc: p.flag("desc")},
		reports: reportQuery{Domain: v.Get("domain"), Reporter: v.Get("reporter"), Begin: Date{p.day("begin")}, End: Date{p.day("end")}, Deviations: p.flag("deviations")},
	}
	q.survey = surveyQuery{wave: v.Get("wave"), other: v.Get("other"), attribute: v.Get("attribute"), value: v.Get("value"), none: p.flag("none"), odd: p.flag("odd"), low: v.Get("low"), high: v.Get("high"),
		fact: v.Get("fact"), state: v.Get("state"), from: v.Get("from"), to: v.Get("to"), code: v.Get("code")}
	q.gateway = MessageQuery{Text: v.Get("text"), MessageID: v.Get("message_id"), Sender: v.Get("sender"), Address: v.Get("address"), Since: v.Get("since"), Until: v.Get("until"), Action: v.Get("action"), DMARC: v.Get("dmarc")}
	q.cases = CaseQuery{Domain: v.Get("domain"), Department: q.Department, Owner: v.Get("owner"), State: v.Get("state"), Open: p.flag("open"), Overdue: p.flag("overdue")}
	q.names = InventoryQuery{State: v.Get("state"), Advice: p.flag("advice"), Origin: v.Get("origin"), Search: v.Get("search")}
	q.kind = v.Get("kind")
	q.sent = SentQuery{Day: v.Get("day"), Domain: v.Get("domain"), State: v.Get("state"), Text: v.Get("text")}
	if q.Days == 0 {
		q.Days = 30
	}
	if len(q.page.Search) > 200 || len(q.Source) > 200 || len(q.Domain) > 254 || len(q.reports.Reporter) > 300 || q.survey.long() || q.gateway.long() || len(q.cases.Owner) > 800 || len(q.cases.State) > 40 || len(q.names.Origin) > 40 || len(q.kind) > 40 || len(q.sent.Day) > 10 || len(q.sent.State) > 40 {
		return nil, huma.Error400BadRequest("a parameter is too long")
	}
	q.lang = s.Lang(r)
	if l := v.Get("lang"); l != "" {
		lang, ok := locale.Parse(l)
		if !ok {
			return nil, huma.Error400BadRequest("lang: want ja or en")
		}
		q.lang = lang
	}
	return q, p.err
}

// params reads parameters and keeps the first error.
type params struct {
	v   url.Values
	err error
}

func (p *params) number(name string, least, most uint64) uint64 {
	s := p.v.Get(name)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if (err != nil || n < least || n > most) && p.err == nil {
		p.err = huma.Error400BadRequest(fmt.Sprintf("%s: want a number from %d to %d", name, least, most))
	}
	return n
}

func (p *params) day(name string) store.Day {
	var d store.Day
	if s := p.v.Get(name); s != "" {
		if err := d.UnmarshalText([]byte(s)); err != nil && p.err == nil {
			p.err = huma.Error400BadRequest(name + ": " + err.Error())
		}
	}
	return d
}

func (p *params) flag(name string) bool {
	s := p.v.Get(name)
	if s == "" {
		return false
	}
	b, err := strconv.ParseBool(s)
	if err != nil && p.err == nil {
		p.err = huma.Error400BadRequest(name + ": want true or false")
	}
	return b
}

// startDownload sets the headers of a file that is sent next.
func startDownload(w http.ResponseWriter, mediaType, filename string) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Disposition", attachment(filename))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "private, no-cache")
}

// headings returns the words over a table's columns.
func (t table) headings(l locale.Lang) []string {
	out := make([]string, len(t.columns))
	for i, c := range t.columns {
		if out[i] = harmless(c.label); c.code != "" {
			out[i] = l.Text("table."+c.code, nil)
		}
	}
	return out
}

// csv sends a table as CSV (RFC 4180), in UTF-8 with a byte order mark so that
// Excel reads Japanese. The first error before any line is returned; one after
// that cuts the download off.
func (s *server) csv(w http.ResponseWriter, r *http.Request, name string, t table, q *exportQuery) error {
	out := s.patient(w)
	cw := csv.NewWriter(out)
	cw.UseCRLF = true
	started := false
	start := func() error {
		started = true
		startDownload(w, "text/csv; charset=utf-8", q.file(name)+".csv")
		if _, err := out.Write([]byte("\ufeff")); err != nil {
			return err
		}
		return cw.Write(t.headings(q.lang))
	}
	cells := make([]string, len(t.columns))
	err := t.rows(r.Context(), s, q, func(row ...any) error {
		if !started {
			if err := start(); err != nil {
				return err
			}
		}
		for i, v := range row {
			cells[i] = plain(v)
		}
		return cw.Write(cells)
	})
	if err == nil && !started {
		err = start()
	}
	if err == nil {
		cw.Flush()
		err = cw.Error()
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil && started {
		s.cutOff(r, err)
	}
	return err
}

// plain writes a value as CSV shows it.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return harmless(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', 6, 64)
	case store.Day:
		if v == 0 {
			return ""
		}
		return v.String()
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.UTC().Format("2006-01-02 15:04:05")
	}
	return harmless(fmt.Sprint(v))
}

// harmless makes sure that a spreadsheet takes s as text: reports are written
// by anyone, and a cell that begins with one of these would be a formula. The
// full-width forms count too, as Japanese Excel takes them for the others.
func harmless(s string) string {
	if s == "" {
		return s
	}
	for _, p := range [...]string{"=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"} {
		if strings.HasPrefix(s, p) {
			return "'" + s
		}
	}
	return s
}

// enter waits for one of the few places where spreadsheets are made, since
// each takes memory.
func (s *server) enter(ctx context.Context) (leave func(), err error) {
	select {
	case s.sheets <- struct{}{}:
		return func() { <-s.sheets }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
