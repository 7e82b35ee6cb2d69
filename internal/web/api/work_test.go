package api

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/inventory"
	"sekimori/internal/publish"
	"sekimori/internal/repair"
	"sekimori/internal/store"
	"sekimori/internal/watch"
)

// events is a timeline with one entry of each of two kinds.
type events struct{}

func (events) Timeline(_ context.Context, name domain.Name, since time.Time) ([]watch.Entry, error) {
	return []watch.Entry{{Domain: name.String(), At: newest.Time(), Kind: "dns", Step: explain.Step{Code: "no.such.code"}, Name: "=cmd", Before: "a", After: "b"},
		{Domain: name.String(), At: first.Time(), Kind: "wave", Step: explain.Step{Code: "no.such.code"}}}, nil
}

// TestWork goes through the operations of the work of fixing over a real
// store: departments, what belongs to them, words, cases.
func TestWork(t *testing.T) {
	ctx := context.Background()
	st, err := store.Open(ctx, t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	now := func() time.Time { return newest.Time().Add(time.Hour) }
	w, h := newWorld(t, Config{Work: &Work{Store: st, Repair: repair.New(repair.Config{Store: st, Now: now}), Letter: publish.Letter, Timeline: events{},
		Inventory: NewInventory(inventory.Config{Store: st, Now: now}, st, nil), Now: now}})
	_ = w
	c, err := st.PutCase(ctx, store.Case{Domain: "kakuu.example", Key: "org:broken.example", Source: "sbroken", Name: "=broken.example", State: store.CaseFound, Opened: now(), Changed: now(), Due: newest - 3, Failing: 7, Messages: 9})
	if err != nil {
		t.Fatal(err)
	}
	seen, _ := json.Marshal(c.Changed)
	ask := func(method, target, body string, status int, want ...string) string {
		t.Helper()
		header := map[string]string{}
		if body != "" {
			header["Content-Type"] = "application/json"
		}
		rec := do(h, method, target, header, strings.NewReader(body))
		if rec.Code != status {
			t.Errorf("%s %s: %d, want %d: %s", method, target, rec.Code, status, rec.Body)
		}
		for _, s := range want {
			if !strings.Contains(rec.Body.String(), s) {
				t.Errorf("%s %s: no %q in %s", method, target, s, rec.Body)
			}
		}
		return rec.Body.String()
	}
	const v1 = "/api/v1"
	ask("GET", v1+"/departments", "", 200, `"departments":[]`)
	ask("POST", v1+"/departments", `{"name":"観光課","contact":"kanko@kakuu.example"}`, 201, `"id":1`, `"name":"観光課"`)
	ask("POST", v1+"/departments", `{"name":" 観光課 "}`, 409, "already")
	ask("POST", v1+"/departments", `{"name":"x","contact":"not an address"}`, 422, "contact")
	ask("POST", v1+"/departments", `{"name":"x","colour":"red"}`, 422, "colour")
	ask("PUT", v1+"/departments/1", `{"name":"観光振興課"}`, 200, "観光振興課")
	ask("PUT", v1+"/departments/9", `{"name":"x"}`, 404)
	ask("POST", v1+"/assignments", `{"department":1,"domain":"KAKUU.example","subdomain":"news.kakuu.example","by":"田中"}`, 204)
	ask("POST", v1+"/assignments", `{"department":1,"domain":"kakuu.example","key":"org:broken.example","by":"田中"}`, 204)
	ask("POST", v1+"/assignments", `{"department":1,"domain":"kakuu.example","subdomain":"other.example","by":"田中"}`, 422, "subdomain")
	ask("POST", v1+"/assignments", `{"department":7,"domain":"kakuu.example","by":"田中"}`, 404)
	ask("GET", v1+"/assignments?department=1", "", 200, `"subdomain":"news.kakuu.example"`, `"key":"org:broken.example"`)
	ask("GET", v1+"/assignments?department=2", "", 200, `"assignments":[]`)

	ask("POST", v1+"/domains/kakuu.example/sources/sbroken/words", `{"class":"broken","name":"予約システム","by":"田中"}`, 201, `"key":"org:broken.example"`, `"class":"broken"`, "192.0.2.0/24")
	ask("POST", v1+"/domains/kakuu.example/sources/none/words", `{"class":"broken","by":"田中"}`, 404)
	ask("POST", v1+"/domains/kakuu.example/sources/sbroken/words", `{"class":"nonsense","by":"田中"}`, 422, "class")
	ask("POST", v1+"/domains/kakuu.example/sources/sbroken/words", `{"class":"spoof","by":" "}`, 422, "by")
	ask("GET", v1+"/domains/kakuu.example/words", "", 200, "予約システム")

	ask("GET", v1+"/cases?overdue=true&department=1", "", 200, `"total":1`, `"overdue":true`)
	ask("GET", v1+"/cases?state=done", "", 200, `"total":0,"cases":[]`)
	ask("GET", v1+"/cases?state=nonsense", "", 422, "state")
	ask("GET", v1+"/cases/1", "", 200, `"next":["contacted"`)
	ask("GET", v1+"/cases/99", "", 404)
	ask("PATCH", v1+"/cases/1", `{"state":"accepted","by":"田中"}`, 422, "note")
	ask("PATCH", v1+"/cases/1", `{"state":"contacted","by":""}`, 422, "by")
	ask("PATCH", v1+"/cases/1", `{"state":"contacted","owner":"佐藤","due":"2026-12-01","note":"電話した","by":"田中"}`, 200, `"state":"contacted"`, `"due":"2026-12-01"`, "電話した", `"overdue":false`)
	ask("PATCH", v1+"/cases/1", `{"state":"in-repair","by":"鈴木","seen":`+string(seen)+`}`, 409, "somebody else")
	ask("PATCH", v1+"/cases/1", `{"due":"","by":"鈴木"}`, 200, `"due":null`)
	ask("PATCH", v1+"/cases/1", `{"due":"2026-13-01","by":"鈴木"}`, 422, "due")

	ask("GET", v1+"/domains/kakuu.example/timeline?kind=dns", "", 200, `"kind":"dns"`)
	if body := ask("GET", v1+"/domains/kakuu.example/timeline?kind=dns", "", 200); strings.Contains(body, "wave") {
		t.Errorf("timeline is not narrowed: %s", body)
	}
	ask("GET", v1+"/domains/kakuu.example/inventory", "", 200, `"domain":"kakuu.example"`)
	ask("GET", v1+"/domains/kakuu.example/inventory?state=nonsense", "", 422)
	ask("GET", v1+"/domains/kakuu.example/advice?department=9", "", 404, "department")
	ask("GET", v1+"/domains/kakuu.example/sources?department=1", "", 200)

	ask("GET", "/export/cases.csv?lang=ja&department=1", "", 200, "'=broken.example", "佐藤", "観光振興課")
	ask("GET", "/export/cases.csv?department=9", "", 404)
	ask("GET", "/export/departments.csv?lang=en", "", 200, "news.kakuu.example")
	ask("GET", "/export/timeline.csv?domain=kakuu.example&lang=en", "", 200, "'=cmd")
	ask("GET", "/export/inventory.csv?domain=kakuu.example&lang=en", "", 200)
	ask("GET", "/export/cases.xlsx", "", 200)
	ask("GET", "/export/sources.csv?domain=kakuu.example&department=9", "", 404)
	ask("DELETE", v1+"/departments/1", "", 204)
	ask("DELETE", v1+"/departments/1", "", 404)
}

// TestWithoutWork answers as before where nothing of the work is shown.
func TestWithoutWork(t *testing.T) {
	_, h := newWorld(t, Config{})
	for _, target := range []string{"/api/v1/cases", "/api/v1/departments", "/export/cases.csv", "/export/departments.xlsx", "/export/timeline.csv?domain=kakuu.example", "/export/inventory.csv?domain=kakuu.example",
		"/export/sources.csv?domain=kakuu.example&department=1"} {
		if rec := do(h, "GET", target, nil, nil); rec.Code != 404 {
			t.Errorf("%s: %d %s", target, rec.Code, rec.Body)
		}
	}
}
