package publish

import (
	"encoding/json"

	"sekimori/explain"
	"sekimori/internal/store"
)

// status says what became of an entry of the list.
type status string

const (
	measured   status = "measured"
	unanswered status = "unanswered" // asked, and nothing could be learnt
	pending    status = "pending"    // not yet asked
	duplicate  status = "duplicate"  // its domain stands further up
	nameless   status = "without-domain"
	invalid    status = "invalid" // its domain cannot be understood
)

// record is an entry of the list as it is published.
type record struct {
	*store.SurveyRow
	status status
	published
}

// published is as much of a posture.Posture as is published of one domain.
type published struct {
	DMARC struct {
		Policy  string   `json:"policy"`
		Records []string `json:"records"`
	} `json:"dmarc"`
	SPF struct {
		All     string   `json:"all"` // the qualifier of "all"
		Lookups int64    `json:"lookups"`
		Records []string `json:"records"`
	} `json:"spf"`
	Findings []finding `json:"findings"`
}

// finding is as much of a posture.Finding as is published.
type finding struct {
	Topic string       `json:"topic"`
	Grade string       `json:"grade"`
	Code  string       `json:"code"`
	Args  explain.Args `json:"args"`
}

// set makes the record that of a row, until the next row.
func (r *record) set(row *store.SurveyRow) {
	*r = record{SurveyRow: row, status: statusOf(row)}
	if r.status == measured && len(row.Result.Doc) > 0 {
		// A document of another version may lack any of it; what it lacks stays
		// empty.
		_ = json.Unmarshal(row.Result.Doc, &r.published)
	}
}

func statusOf(row *store.SurveyRow) status {
	switch {
	case row.Of != 0:
		return duplicate
	case row.Domain == "" && row.Problem == "":
		return nameless
	case row.Domain == "":
		return invalid
	case row.Result.No == 0:
		return pending
	case row.Result.Unanswered:
		return unanswered
	}
	return measured
}

// state is the state of the wave's fact number i, in the words of the tables;
// empty for an entry that was not to be measured.
func (r *record) state(i int) string {
	switch r.status {
	case duplicate, nameless, invalid:
		return ""
	}
	if i < 0 || i >= len(r.Result.States) {
		return "unknown"
	}
	return r.Result.States[i].String()
}
