package api

import (
	"context"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sekimori/domain"
	"sekimori/internal/advise"
	"sekimori/internal/locale"
	"sekimori/internal/store"
)

// kind is what a column holds, and so how a spreadsheet shows it.
type kind int

const (
	text   kind = iota // string
	number             // int64 or uint64
	share              // float64, 0 to 1
	day                // store.Day
	moment             // time.Time
)

// column is a column of a downloaded table. Its heading is the sentence
// "table." + code; without a code it is label.
type column struct {
	code  string
	kind  kind
	label string
}

// table is a list that can be downloaded. Its name in the address is its key
// in tables; its title is the sentence "table.name." + key.
type table struct {
	columns []column
	sorts   string // the columns it can be sorted by, as of the list's operation
	work    bool   // it is about the work of fixing, and not there without
	// of makes the table for what is asked, where its columns depend on that;
	// nil for most.
	of func(ctx context.Context, s *server, q *exportQuery) (table, error)
	// rows calls emit with each line, a value for each column.
	rows func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error
}

// tables are the lists that can be downloaded, by their name in the address.
func tables() map[string]table {
	return map[string]table{
		"domains": domainsTable(), "daily": dailyTable(), "ladder": ladderTable(), "policies": policiesTable(),
		"sources": sourcesTable(), "addresses": addressesTable(), "source-daily": sourceDailyTable(), "reporters": reportersTable(),
		"auth": authTable(), "envelopes": envelopesTable(),
		"reports": reportsTable(), "records": recordsTable(), "deviations": deviationsTable(),
		"quarantine": quarantineTable(), "imports": importsTable(),
		"survey": surveyTable(), "survey-by": surveyByTable(), "survey-problems": surveyProblemsTable(), "survey-changes": surveyChangesTable(),
		"survey-moved": surveyMovedTable(), "survey-combinations": surveyCombinationsTable(), "survey-mail": surveyMailTable(),
		"gateway-messages": gatewayMessagesTable(), "gateway-reports": gatewayReportsTable(),
		"cases": casesTable(), "departments": departmentsTable(), "inventory": inventoryTable(), "timeline": timelineTable(),
	}
}

// exportQuery is what a download is asked for: the same parameters as the
// list's operation, and the language of its headings.
type exportQuery struct {
	Named
	SourceID
	ReportSeq
	Window
	Part
	cases   CaseQuery
	names   InventoryQuery
	kind    string
	reports reportQuery
	class   string
	page    Page
	sort    string
	lang    locale.Lang
	name    domain.Name
	survey  surveyQuery
	gateway MessageQuery
	sent    SentQuery
}

// source narrows an export to a source's query.
func (q *exportQuery) sources() *sourceQuery {
	return &sourceQuery{Named: q.Named, Window: q.Window, Page: q.page, Sort: q.sort, Class: q.class}
}

// needDomain resolves the domain and its window.
func (q *exportQuery) needDomain(ctx context.Context, s *server) (store.Window, error) {
	if q.Domain == "" {
		return store.Window{}, huma.Error400BadRequest("domain is missing")
	}
	name, err := q.Named.name()
	if err != nil {
		return store.Window{}, err
	}
	q.name = name
	return q.Window.of(ctx, s.Store, name)
}

// needSource is needDomain for a table about one source.
func (q *exportQuery) needSource(ctx context.Context, s *server) (store.Window, error) {
	if q.Source == "" {
		return store.Window{}, huma.Error400BadRequest("source is missing")
	}
	return q.needDomain(ctx, s)
}

func (q *exportQuery) needSeq() error {
	if q.Seq < 1 {
		return huma.Error400BadRequest("seq is missing")
	}
	return nil
}

// all calls f with one page of the store after the other until a page is not
// full. f returns the number of lines it got.
func (q *exportQuery) all(sort string, f func(store.Page) (int, error)) error {
	p := store.Page{Limit: 1000, Sort: q.sort, Desc: q.page.Desc, Search: q.page.Search}
	if p.Sort == "" {
		p.Sort = sort
	}
	for {
		n, err := f(p)
		if err != nil || n < p.Limit {
			return err
		}
		p.Offset += n
	}
}

// word is the sentence of a token, or the token itself where it is unknown.
func (q *exportQuery) word(prefix, token string) string {
	if token == "" || !q.lang.Has(prefix+token) {
		return token
	}
	return q.lang.Text(prefix+token, nil)
}

func part(n, of uint64) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

func list(v []string) string { return strings.Join(v, " ") }

func domainsTable() table {
	return table{
		columns: []column{{code: "domain", kind: text}, {code: "policy", kind: text}, {code: "policy_since", kind: day}, {code: "messages", kind: number}, {code: "aligned", kind: number}, {code: "aligned_share", kind: share},
			{code: "broken", kind: number}, {code: "forwarder", kind: number}, {code: "unknown", kind: number}, {code: "spoof", kind: number}, {code: "verdict", kind: text}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			all, err := s.Work.Overview(ctx, s.Advisor, q.Days, q.Department)
			if err != nil {
				return err
			}
			want := strings.ToLower(q.page.Search)
			for _, d := range all {
				if !strings.Contains(d.Domain, want) {
					continue
				}
				if err := emit(d.Domain, d.Policy, d.PolicySince, d.Messages, d.Aligned, part(d.Aligned, d.Messages),
					d.Broken, d.Forwarder, d.Unknown, d.Spoof, q.word("web.verdict.", string(d.Verdict))); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func dailyTable() table {
	return table{
		columns: []column{{code: "day", kind: day}, {code: "messages", kind: number}, {code: "passed", kind: number}, {code: "quarantined", kind: number}, {code: "rejected", kind: number},
			{code: "broken", kind: number}, {code: "forwarder", kind: number}, {code: "unknown", kind: number}, {code: "spoof", kind: number}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			advice, _, w, err := s.adviceOf(ctx, q.Named, q.Window, q.Part)
			if err != nil {
				return err
			}
			if q.Department != 0 { // what receivers did is not known by department
				for _, c := range advice.Daily {
					all := c.Aligned + c.Broken + c.Forwarder + c.Unknown + c.Spoof
					if err := emit(c.Day, all, c.Aligned, uint64(0), uint64(0), c.Broken, c.Forwarder, c.Unknown, c.Spoof); err != nil {
						return err
					}
				}
				return nil
			}
			days, err := s.Store.DomainDaily(ctx, advice.Domain, w)
			if err != nil {
				return err
			}
			classes := make(map[store.Day]advise.ClassDay, len(advice.Daily))
			for _, c := range advice.Daily {
				classes[c.Day] = c
			}
			for _, d := range days {
				c := classes[d.Day]
				if err := emit(d.Day, d.Messages, d.Aligned, d.Quarantined, d.Rejected, c.Broken, c.Forwarder, c.Unknown, c.Spoof); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func ladderTable() table {
	return table{
		columns: []column{{code: "policy", kind: text}, {code: "at_risk", kind: number}, {code: "at_risk_share", kind: share}, {code: "at_risk_upper95", kind: share}, {code: "indirect_at_risk", kind: number}, {code: "stopped", kind: number}, {code: "uncertain", kind: number}, {code: "remainder_at_risk", kind: number}, {code: "legitimate", kind: number}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			advice, _, _, err := s.adviceOf(ctx, q.Named, q.Window, q.Part)
			if err != nil {
				return err
			}
			for _, p := range advice.Policies {
				if err := emit(p.P, p.LegitimateAtRisk, p.Share, p.Upper95, p.IndirectAtRisk, p.Stopped, p.Uncertain, p.RemainderAtRisk, p.Legitimate); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func policiesTable() table {
	return table{
		columns: []column{{code: "from", kind: day}, {code: "to", kind: day}, {code: "policy", kind: text}, {code: "sp", kind: text}, {code: "np", kind: text}, {code: "adkim", kind: text}, {code: "aspf", kind: text}, {code: "reports", kind: number}, {code: "messages", kind: number}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			if _, err := q.needDomain(ctx, s); err != nil {
				return err
			}
			spans, err := s.Store.PolicyHistory(ctx, q.name.String())
			if err != nil {
				return err
			}
			for _, p := range spans {
				if err := emit(p.From, p.To, p.Policy.P, p.Policy.SP, p.Policy.NP, p.Policy.ADKIM, p.Policy.ASPF, p.Reports, p.Messages); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func sourcesTable() table {
	return table{
		sorts: "messages,failing,name,class,first_day,last_day,reporters",
		columns: []column{{code: "source", kind: text}, {code: "class", kind: text}, {code: "messages", kind: number}, {code: "failing", kind: number}, {code: "failing_share", kind: share}, {code: "addresses", kind: number},
			{code: "header_from", kind: text}, {code: "dkim_domains", kind: text}, {code: "spf_domains", kind: text}, {code: "ptr", kind: text}, {code: "first_day", kind: day}, {code: "last_day", kind: day}, {code: "why", kind: text}, {code: "id", kind: text}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			advice, _, _, err := s.adviceOf(ctx, q.Named, q.Window, q.Part)
			if err != nil {
				return err
			}
			for _, x := range selectSources(advice.Sources, q.sources()) {
				var why []string
				for _, step := range x.Reasons {
					why = append(why, q.lang.Step(step))
				}
				if err := emit(q.word("source.", x.Name), q.word("web.class.", string(x.Class)), x.Messages, x.Failing, part(x.Failing, x.Messages),
					int64(max(x.AddressCount, len(x.Addresses))), list(x.HeaderFrom), list(x.DKIM), list(x.SPF), list(x.PTR), x.FirstDay, x.LastDay, strings.Join(why, "\n"), x.ID); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func addressesTable() table {
	return table{
		sorts:   "messages,failing,addr,first_day,last_day,reporters",
		columns: []column{{code: "address", kind: text}, {code: "messages", kind: number}, {code: "failing", kind: number}, {code: "failing_share", kind: share}, {code: "first_day", kind: day}, {code: "last_day", kind: day}, {code: "reporters", kind: number}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			w, err := q.needSource(ctx, s)
			if err != nil {
				return err
			}
			return q.all("addr", func(p store.Page) (int, error) {
				list, _, err := s.Store.SourceAddresses(ctx, q.name.String(), q.Source, w, p)
				if err != nil {
					return 0, err
				}
				for _, a := range list {
					if err := emit(a.Addr.String(), a.Messages, a.Failing, part(a.Failing, a.Messages), a.FirstDay, a.LastDay, int64(a.Reporters)); err != nil {
						return 0, err
					}
				}
				return len(list), nil
			})
		},
	}
}

func sourceDailyTable() table {
	return table{
		columns: []column{{code: "day", kind: day}, {code: "messages", kind: number}, {code: "passed", kind: number}, {code: "quarantined", kind: number}, {code: "rejected", kind: number}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			w, err := q.needSource(ctx, s)
			if err != nil {
				return err
			}
			days, err := s.Store.SourceDaily(ctx, q.name.String(), q.Source, w)
			if err != nil {
				return err
			}
			for _, d := range days {
				if err := emit(d.Day, d.Messages, d.Aligned, d.Quarantined, d.Rejected); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func reportersTable() table {
	return table{
		columns: []column{{code: "reporter", kind: text}, {code: "messages", kind: number}, {code: "failing", kind: number}, {code: "reports", kind: number}, {code: "first_day", kind: day}, {code: "last_day", kind: day}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			w, err := q.needSource(ctx, s)
			if err != nil {
				return err
			}
			all, err := s.Store.SourceReporters(ctx, q.name.String(), q.Source, w)
			if err != nil {
				return err
			}
			for _, r := range all {
				if err := emit(r.Reporter, r.Messages, r.Failing, r.Reports, r.FirstDay, r.LastDay); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func authTable() table {
	return table{
		columns: []column{{code: "method", kind: text}, {code: "auth_domain", kind: text}, {code: "selector", kind: text}, {code: "scope", kind: text}, {code: "result", kind: text}, {code: "messages", kind: number}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			w, err := q.needSource(ctx, s)
			if err != nil {
				return err
			}
			all, err := s.Store.SourceAuth(ctx, q.name.String(), q.Source, w)
			if err != nil {
				return err
			}
			for _, a := range all {
				if err := emit(strings.ToUpper(a.Method), a.Domain, a.Selector, a.Scope, a.Result, a.Messages); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func envelopesTable() table {
	return table{
		columns: []column{{code: "header_from", kind: text}, {code: "envelope_from", kind: text}, {code: "messages", kind: number}, {code: "failing", kind: number}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			w, err := q.needSource(ctx, s)
			if err != nil {
				return err
			}
			all, err := s.Store.SourceEnvelopes(ctx, q.name.String(), q.Source, w)
			if err != nil {
				return err
			}
			for _, e := range all {
				if err := emit(e.HeaderFrom, e.EnvelopeFrom, e.Messages, e.Failing); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// file is the name of the file that a table is downloaded as, without its
// extension.
func (q *exportQuery) file(table string) string {
	name := table
	if !q.name.IsZero() {
		name += "-" + q.name.String()
	} else if n, err := parseName(q.Domain); err == nil && q.Domain != "" {
		name += "-" + n.String()
	}
	if q.survey.wave != "" {
		name += "-" + q.survey.wave
	}
	if q.Seq > 0 {
		name += "-" + strconv.FormatInt(q.Seq, 10)
	}
	return name
}
