package survey

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/internal/check"
	"sekimori/internal/store"
	"sekimori/message"
)

// mailStore is a MailStore in memory.
type mailStore struct {
	entries map[string]int64 // domains and aliases
	rows    []store.SurveyRow
	mail    map[[16]byte]store.MailResult
	puts    int
	fail    error
}

func (s *mailStore) MatchEntry(_ context.Context, _ int64, domains []string) (map[string]int64, error) {
	out := map[string]int64{}
	for _, d := range domains {
		if no := s.entries[d]; no != 0 {
			out[d] = no
		}
	}
	return out, nil
}

func (s *mailStore) SurveyRows(_ context.Context, _ int64, f store.SurveyFilter, p store.Page) ([]store.SurveyRow, int64, error) {
	var out []store.SurveyRow
	for _, r := range s.rows {
		if strings.Contains(r.Domain, f.Search) {
			out = append(out, r)
		}
	}
	return out, int64(len(out)), nil
}

func (s *mailStore) PutMail(_ context.Context, _ int64, m []store.MailResult) (fresh int64, err error) {
	if s.fail != nil {
		return 0, s.fail
	}
	s.puts++
	if s.mail == nil {
		s.mail = map[[16]byte]store.MailResult{}
	}
	for _, one := range m {
		if _, known := s.mail[one.Key]; !known {
			fresh++
		}
		s.mail[one.Key] = one
	}
	return fresh, nil
}

const lettersZone = `example. 3600 IN SOA ns.example. postmaster.example. 1 3600 600 604800 600
city.example. 3600 IN TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.city.example. 3600 IN TXT "v=DMARC1; p=none"
`

// letter is a message as it was received.
func letter(from, subject, more string) string {
	return "Return-Path: <bounce@" + from[strings.IndexByte(from, '@')+1:] + ">\r\n" +
		"Received: from mail.city.example (mail.city.example [192.0.2.10])\r\n\tby mx.receiver.example (Postfix) with ESMTPS id 1; Mon, 2 Nov 2026 02:00:03 +0900\r\n" +
		more + "From: <" + from + ">\r\nSubject: " + subject + "\r\n\r\nhello\r\n"
}

func mailing(t *testing.T, st *mailStore) *Mailing {
	t.Helper()
	z, err := dnstest.Parse(strings.NewReader(lettersZone), "zone")
	if err != nil {
		t.Fatal(err)
	}
	return &Mailing{Store: st, Checker: &check.Checker{Resolver: z, Sequential: true}}
}

// one is a place that hands out messages.
func one(messages ...string) check.Place {
	return check.Place{Name: "box", Each: func(_ context.Context, yield func(string, io.Reader) error) error {
		for i, m := range messages {
			if err := yield(fmt.Sprintf("box#%d", i+1), strings.NewReader(m)); err != nil {
				return err
			}
		}
		return nil
	}}
}

func TestMailing(t *testing.T) {
	st := &mailStore{entries: map[string]int64{"city.example": 3}}
	m := mailing(t, st)
	var rejected []string
	m.Rejected = func(path string, _ int64, err error) { rejected = append(rejected, path) }
	first := letter("news@city.example", "=?utf-8?q?one?=", "Authentication-Results: mx.receiver.example; spf=softfail smtp.mailfrom=city.example; dkim=none; dmarc=bestguesspass\r\n")
	again := "X-UID: 77\nStatus: RO\n" + strings.ReplaceAll(first, "\r\n", "\n") // the same, out of another mailbox
	count, err := m.Run(t.Context(), 1, []check.Place{one(first, letter("news@other.example", "two", ""), again, "%PDF-1.4\n")})
	if err != nil {
		t.Fatal(err)
	}
	if want := (MailCount{Read: 4, Fresh: 2, Again: 1, Rejected: 1, Matched: 2, Recorded: 2, Changed: 2}); count != want {
		t.Errorf("%+v\nwant %+v", count, want)
	}
	if len(rejected) != 1 || rejected[0] != "box#4" {
		t.Errorf("rejected %v", rejected)
	}
	for got := range maps.Values(st.mail) {
		if got.From != "city.example" {
			continue
		}
		if got.Entry != 3 || got.Subject != "one" || got.SMIME != "none" || got.Then != (store.MailStates{SPF: "softfail", DKIM: "none", DMARC: "bestguesspass"}) ||
			got.Now != (store.MailStates{SPF: "pass", DKIM: "none", DMARC: "pass"}) || got.Arrived.IsZero() || !strings.Contains(string(got.Doc), `"host":"mx.receiver.example"`) {
			t.Errorf("%+v", got)
		}
	}
	// A second run finds nothing new.
	count, err = m.Run(t.Context(), 1, []check.Place{one(first)})
	if err != nil || count.Fresh != 0 || count.Again != 1 {
		t.Errorf("again: %+v, %v", count, err)
	}
}

func TestMailingStops(t *testing.T) {
	st := &mailStore{fail: errors.New("disk full")}
	if _, err := mailing(t, st).Run(t.Context(), 1, []check.Place{one(letter("a@city.example", "x", ""))}); !errors.Is(err, st.fail) {
		t.Errorf("store: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	st = &mailStore{}
	many := make([]string, 2000)
	for i := range many {
		many[i] = letter("a@city.example", fmt.Sprint(i), "")
	}
	place := one(many...)
	each := place.Each
	n := 0
	place.Each = func(ctx context.Context, yield func(string, io.Reader) error) error {
		return each(ctx, func(name string, r io.Reader) error {
			if n++; n == 1500 {
				cancel()
			}
			return yield(name, r)
		})
	}
	count, err := mailing(t, st).Run(ctx, 1, []check.Place{place})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if int64(len(st.mail)) != count.Fresh || count.Fresh == 0 || count.Fresh > 1500 {
		t.Errorf("%d kept, %d counted", len(st.mail), count.Fresh)
	}
}

func TestMatch(t *testing.T) {
	rows := []store.SurveyRow{{Entry: store.Entry{No: 9, Domain: "mail.ward.example"}}, {Entry: store.Entry{No: 7, Domain: "www.ward.example"}}, {Entry: store.Entry{No: 5, Domain: "notward.example"}}}
	st := &mailStore{entries: map[string]int64{"city.example": 1, "news.city.example": 2, "alias.example": 3}, rows: rows}
	for header, want := range map[string]int64{
		"From: a@city.example":                           1,
		"From: a@NEWS.city.example":                      2,
		"From: a@x.y.news.city.example":                  2,
		"From: a@x.city.example":                         1,
		"From: a@alias.example":                          3,
		"From: a@letters.ward.example":                   7,
		"From: a@example":                                0,
		"From: a@nobody.example":                         0,
		"From: a@nobody.example, b@city.example":         1,
		"From: a@nobody.example\nSender: b@city.example": 0, // a mail service is not the author
		"From: nobody\nSender: b@city.example":           1,
		"Subject: x\nReturn-Path: <b@city.example>":      1,
		"Subject: x":                                     0,
	} {
		h, _, err := message.Read(strings.NewReader(header+"\n\n"), 0)
		if err != nil {
			t.Fatal(err)
		}
		r := mailRun{Mailing: &Mailing{Store: st}, ctx: t.Context(), siblings: map[domain.Name]int64{}, held: []pendingMail{{authors: authors(h, &check.Verdict{})}}}
		if err := r.match(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.held[0].result.Entry; got != want {
			t.Errorf("%q: entry %d, want %d", header, got, want)
		}
	}
}

func TestMailProblems(t *testing.T) {
	codes := func(m store.MailResult) string {
		var out []string
		for _, c := range MailProblems(&m) {
			out = append(out, c.Code)
		}
		return strings.Join(out, " ")
	}
	for want, m := range map[string]store.MailResult{
		"": {SMIME: "pass", Now: store.MailStates{SPF: "pass", DKIM: "pass", DMARC: "pass"}},
		"surveymail.spf-permerror surveymail.dkim-none surveymail.dmarc-none": {SMIME: "none", Then: store.MailStates{SPF: "permerror", DKIM: "none", DMARC: "bestguesspass"}, Now: store.MailStates{SPF: "pass", DKIM: "pass", DMARC: "pass"}},
		"surveymail.dmarc-fail surveymail.spf-none":                           {SMIME: "none", Then: store.MailStates{SPF: "none"}, Now: store.MailStates{SPF: "unknown", DKIM: "temperror", DMARC: "fail"}},
		"surveymail.smime-fail":                                               {SMIME: "fail", Now: store.MailStates{SPF: "unknown", DKIM: "pass", DMARC: "temperror"}},
	} {
		if got := codes(m); got != want {
			t.Errorf("%+v: %q, want %q", m, got, want)
		}
	}
}

// TestMailChanged: what the DNS does not answer is not another result.
func TestMailChanged(t *testing.T) {
	for now, want := range map[string]bool{"pass": false, "none": true, "temperror": false, "unknown": false} {
		m := store.MailResult{Then: store.MailStates{SPF: "pass"}, Now: store.MailStates{SPF: now, DKIM: "none", DMARC: "none"}}
		if got := MailChanged(&m); got != want {
			t.Errorf("%s: %v", now, got)
		}
	}
}
