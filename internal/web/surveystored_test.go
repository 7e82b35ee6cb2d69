package web

import (
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/internal/locale"
	"sekimori/internal/store"
)

// TestStoredSurvey shows a survey that a real store holds: what the made-up
// one answers is what the store answers.
func TestStoredSurvey(t *testing.T) {
	ctx := t.Context()
	st, err := store.Open(ctx, filepath.Join(t.TempDir(), "data"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	facts := factNames()
	kinds := []string{"good", "watched", "open", "bare", "broken", "silent", "slow", "gone"}
	for i, name := range []string{"2025/11 前回", "2026-11"} {
		wave, _, err := st.StartWave(ctx, store.WaveSpec{Name: name, List: "list.csv", Digest: name, Attributes: []string{"業種", "資本金"}, Facts: facts})
		if err != nil {
			t.Fatal(err)
		}
		var entries []store.Entry
		for n := range int64(60) {
			e := store.Entry{No: n + 1, Line: n + 2, Name: fmt.Sprintf("架空社%02d", n), Domain: fmt.Sprintf("kaisha%02d.example", n), Input: "x", Attributes: []string{[]string{"銀行", "商社", ""}[n%3], fmt.Sprint(n * n * 10)}}
			switch n {
			case 50:
				e.Domain, e.Problem, e.Input = "", "survey.list.domain", "???"
			case 51:
				e.Domain = entries[3].Domain
			case 52:
				e.Attributes[1] = "非公開"
			}
			entries = append(entries, e)
		}
		if err := st.AddEntries(ctx, wave.ID, entries); err != nil {
			t.Fatal(err)
		}
		if wave, err = st.SealEntries(ctx, wave.ID); err != nil {
			t.Fatal(err)
		}
		w, err := st.Surveying(ctx, wave.ID)
		if err != nil {
			t.Fatal(err)
		}
		for n, e := range entries {
			if e.Domain == "" || n == 51 || n > 56 {
				continue
			}
			k := lookedAt()[kinds[(n+i*n/3)%len(kinds)]]
			if err := w.Put(store.Result{No: e.No, States: k.states, Codes: k.codes, Doc: k.doc, Unanswered: k.unanswered, Questions: 14, Attempts: 1, At: time.Date(2025+i, 11, 2, 0, 0, 0, 0, time.UTC)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := st.PutMail(ctx, wave.ID, []store.MailResult{{Key: [16]byte{1}, Entry: 1, From: "a@kaisha00.example", SMIME: "none", Now: store.MailStates{SPF: "pass", DKIM: "none", DMARC: "pass"}}, {Key: [16]byte{2}, From: "b@other.example", SMIME: "pass", Now: store.MailStates{SPF: "none", DKIM: "none", DMARC: "none"}}}); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t.TempDir())
	h, err := New(Config{Store: st, Advisor: w, Importer: w, Version: "test", Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	before := "/survey/" + url.PathEscape("2025/11 前回")
	attribute, capital := url.QueryEscape("業種"), url.QueryEscape("資本金")
	for target, want := range map[string]string{
		"/survey": "2026-11", "/survey/2026-11": "銀行", before: "2025/11 前回",
		"/survey/2026-11/list": "架空社00", "/survey/2026-11/list?fact=dmarc&state=unknown&sort=problems&q=kaisha": "不明", "/survey/2026-11/list?odd=1": "???",
		"/survey/2026-11/list?code=posture.dmarc-missing&sort=domain&desc=1": "DMARC レコードがありません", "/survey/2026-11/problems": "DMARC",
		"/survey/2026-11/by?attribute=" + attribute: "商社", "/survey/2026-11/by?attribute=" + attribute + "&value=" + url.QueryEscape("銀行") + "&fact=spf&state=yes": "架空社",
		"/survey/2026-11/by?attribute=" + attribute + "&none=1": "架空社02", "/survey/2026-11/by?attribute=" + capital + "&fact=spf&sort=spf": "記載なし", "/survey/2026-11/by?attribute=" + capital + "&none=1": "架空社52",
		"/survey/2026-11/domain/1": "kaisha00.example", "/survey/2026-11/domain/52": "重複", "/survey/2026-11/domain/51": "???", "/survey/2026-11/domain/60": "まだ調べていません", "/survey/2026-11/domain/1/letter": "御中",
		"/survey/2026-11/compare/" + url.PathEscape("2025/11 前回"): "kind", "/survey/2026-11/compare/" + url.PathEscape("2025/11 前回") + "?fact=protected&from=no&to=yes": "架空社",
		"/survey/2026-11/mail": "b@other.example", "/survey/2026-11/mail?unmatched=1&sort=arrived&q=other": "b@other.example",
	} {
		for _, l := range locale.Langs {
			rec := get(h, target, "Accept-Language", string(l))
			body := strings.ReplaceAll(rec.Body.String(), "<wbr>", "")
			if rec.Code != 200 {
				t.Errorf("%s: %d", target, rec.Code)
				continue
			}
			if l == locale.Japanese && !strings.Contains(body, want) && want != "kind" && want != "重複" {
				t.Errorf("%s: no %q", target, want)
			}
			if g := gap.FindString(body); g != "" {
				t.Errorf("%s %s: no text for %s", l, target, g)
			}
			checkMarkup(t, target, body)
		}
	}
	for _, target := range []string{"/survey/none", "/survey/2026-11/domain/0", "/survey/2026-11/domain/99", "/survey/2026-11/domain/x", "/survey/2026-11/domain/51/letter", "/survey/2026-11/compare/2026-11", "/survey/2026-11/compare/none",
		"/survey/2026-11/by", "/survey/2026-11/by?attribute=x", "/survey/2026-11/by?attribute=" + attribute + "&value=x", "/survey/" + strings.Repeat("x", 300)} {
		if rec := get(h, target); rec.Code != 404 {
			t.Errorf("%s: %d, want 404", target, rec.Code)
		}
	}
	for _, kind := range []string{"survey", "survey-by", "survey-problems", "survey-combinations", "survey-mail"} {
		if rec := get(h, "/export/"+kind+".csv?wave=2026-11&lang=ja"); rec.Code != 200 || rec.Body.Len() < 20 {
			t.Errorf("%s: %d %s", kind, rec.Code, rec.Body)
		}
	}
	if rec := get(h, "/export/survey.csv?wave=2026-11&lang=ja&attribute="+capital+"&none=1"); rec.Code != 200 || strings.Count(rec.Body.String(), "\n") != 2 {
		t.Errorf("values that are no numbers: %d %s", rec.Code, rec.Body)
	}
	if rec := get(h, "/api/v1/surveys/2026-11/summary"); rec.Code != 200 || !strings.Contains(rec.Body.String(), `"by"`) {
		t.Errorf("summary: %d", rec.Code)
	}
}
