package api

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestSurveys(t *testing.T) {
	_, h := newWorld(t, Config{})
	read := func(path string, into any) {
		t.Helper()
		rec := do(h, "GET", path, nil, nil)
		if rec.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", path, rec.Code, rec.Body)
		}
		if err := json.Unmarshal(rec.Body.Bytes(), into); err != nil {
			t.Fatalf("%s: %v: %.300s", path, err, rec.Body)
		}
	}
	var list struct{ Surveys []map[string]any }
	read("/api/v1/surveys", &list)
	if len(list.Surveys) != 2 || list.Surveys[0]["name"] != "2026-11" || list.Surveys[1]["finished"] != nil || list.Surveys[0]["measured"] != 2.0 {
		t.Errorf("surveys: %v", list)
	}
	var one map[string]any
	read("/api/v1/surveys/2026-11", &one)
	if one["domains"] != 3.0 {
		t.Errorf("survey: %v", one)
	}
	var rows struct {
		Total int
		Rows  []struct {
			No    int
			Facts map[string]string
		}
	}
	read("/api/v1/surveys/2026-11/rows?sort=domain", &rows)
	if rows.Total != 3 || rows.Rows[0].Facts["dmarc"] != "no" || rows.Rows[0].Facts["later"] != "unknown" || rows.Rows[2].Facts["spf"] != "unknown" {
		t.Errorf("rows: %+v", rows)
	}
	var entry struct {
		Domain   string
		Posture  struct{ Domain string }
		Profiles []struct {
			Profile, State string
			Items          []struct{ ID string }
		}
		Messages []struct{ From string }
	}
	read("/api/v1/surveys/2026-11/rows/1", &entry)
	if entry.Domain != "a.example" || entry.Posture.Domain != "a.example" || len(entry.Profiles) != 4 || len(entry.Profiles[0].Items) == 0 || len(entry.Messages) != 2 {
		t.Errorf("row: %+v", entry)
	}
	read("/api/v1/surveys/2026-11/rows/3", &one)
	if one["posture"] != nil || one["measured_at"] != nil {
		t.Errorf("a row that waits: %v", one)
	}
	var summary struct {
		Domains int
		By      map[string]map[string]map[string]struct{ Yes, No, Unknown int }
	}
	read("/api/v1/surveys/2026-11/summary?lang=ja", &summary)
	if got := summary.By["all"]["all"]["spf"]; summary.Domains != 3 || got.Yes != 2 || got.Unknown != 1 {
		t.Errorf("summary: %+v", summary)
	}
	var change struct {
		Both  int
		Facts []struct {
			Fact  string
			Moves map[string]map[string]int
		}
	}
	read("/api/v1/surveys/2026-11/compare/2025-11", &change)
	if change.Both != 3 || change.Facts[1].Moves["no"]["yes"] != 1 {
		t.Errorf("comparison: %+v", change)
	}
	var mails struct{ Messages []map[string]any }
	read("/api/v1/surveys/2026-11/messages?no=-1", &mails)
	if len(mails.Messages) != 2 || mails.Messages[1]["arrived"] != nil {
		t.Errorf("messages: %v", mails)
	}
	for path, want := range map[string]int{
		"surveys/none": 404, "surveys/none/rows": 404, "surveys/2026-11/rows/9": 404, "surveys/2026-11/rows?fact=colour": 400, "surveys/2026-11/rows?attribute=colour": 400,
		"surveys/2026-11/rows?state=maybe": 422, "surveys/none/summary": 404, "surveys/2026-11/compare/none": 404,
	} {
		if rec := do(h, "GET", "/api/v1/"+path, nil, nil); rec.Code != want {
			t.Errorf("%s: %d, want %d: %s", path, rec.Code, want, rec.Body)
		}
	}
}

func TestSurveyDownloads(t *testing.T) {
	_, h := newWorld(t, Config{})
	for target, want := range map[string][]string{
		"survey.csv?wave=2026-11": {"Number,Line,Organisation,Domain,'=sector,size,", "1,2,'=cmd,a.example,city,10,Yes,No,Unknown,posture.dmarc-missing,2026-11-01 00:30:00", "3,4,,c.example,city,7,Unknown,Unknown,Unknown,,"},
		"survey.csv?wave=2026-11&fact=spf&state=yes&attribute==sector&value=city&sort=domain&desc=true": {"Number"},
		"survey-by.csv?wave=2026-11&attribute==sector":                                                  {"city,2,SPF,1,0,1,1.000000", "town,1,later,0,0,1,,,"},
		"survey-by.csv?wave=2026-11":                                                                    {"all,3,SPF,2,0,1"},
		"survey-problems.csv?wave=2026-11":                                                              {"posture.dmarc-missing", "0.333333"},
		"survey-changes.csv?wave=2026-11&other=2025-11":                                                 {"DMARC,0.000000,0,1,1.000000,1,1,"},
		"survey-moved.csv?wave=2026-11&other=2025-11&fact=dmarc&from=no&to=yes":                         {"2,架空市,b.example,DMARC,No,Yes"},
		"survey-combinations.csv?wave=2026-11":                                                          {"none,pass,pass,pass,2,1.000000"},
		"survey-mail.csv?wave=2026-11":                                                                  {"1,'@x,'=1+1,2026-10-01 00:00:00,none,,,,pass,pass,pass,"},
	} {
		rec := do(h, "GET", "/export/"+target+"&lang=en", nil, nil)
		if rec.Code != 200 {
			t.Errorf("%s: %d %s", target, rec.Code, rec.Body)
			continue
		}
		body := strings.TrimPrefix(rec.Body.String(), "\ufeff")
		if _, err := csv.NewReader(strings.NewReader(body)).ReadAll(); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s: no %q in\n%.900s", target, w, body)
			}
		}
		if strings.Contains(body, "⟦") {
			t.Errorf("%s: a text is missing:\n%.300s", target, body)
		}
		if rec := do(h, "GET", "/export/"+strings.Replace(target, ".csv", ".xlsx", 1), nil, nil); rec.Code != 200 || !strings.HasPrefix(rec.Body.String(), "PK") {
			t.Errorf("%s as a spreadsheet: %d %.100s", target, rec.Code, rec.Body)
		}
	}
	for target, want := range map[string]int{
		"survey.csv": 400, "survey.csv?wave=none": 404, "survey.csv?wave=2026-11&fact=colour": 400, "survey.csv?wave=2026-11&attribute=colour&value=x": 400,
		"survey-by.csv?wave=2026-11&attribute=colour": 404, "survey-changes.csv?wave=2026-11": 400, "survey-moved.csv?wave=2026-11&other=2025-11": 400,
		"survey.csv?wave=" + url.QueryEscape(strings.Repeat("x", 3000)): 400, "survey.csv?wave=2026-11&sort=colour": 400,
	} {
		if rec := do(h, "GET", "/export/"+target, nil, nil); rec.Code != want {
			t.Errorf("%s: %d, want %d: %s", target, rec.Code, want, rec.Body)
		}
	}
}
