package posture

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"sekimori/dns/dnstest"
)

// web is a Fetcher of what is in it, by URL.
type web struct {
	mu    sync.Mutex
	pages map[string]page
	asked []string
}

type page struct {
	body, mediaType string
	err             error
}

// failure is an error that says what it is.
type failure struct {
	temporary      bool
	reason, detail string
}

func (f failure) Error() string   { return f.reason }
func (f failure) Temporary() bool { return f.temporary }
func (f failure) Reason() string  { return f.reason }
func (f failure) Detail() string  { return f.detail }

func (w *web) Fetch(_ context.Context, url string, most int, chosen bool) ([]byte, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if chosen {
		w.asked = append(w.asked, "chosen "+url)
	} else {
		w.asked = append(w.asked, url)
	}
	p, ok := w.pages[url]
	switch {
	case !ok:
		return nil, "", failure{reason: "status", detail: "404"}
	case p.err != nil:
		return nil, "", p.err
	case len(p.body) > most:
		return nil, "", failure{reason: "too-large"}
	}
	return []byte(p.body), p.mediaType, nil
}

const stsZone = `$TTL 60
a.example.           IN MX 10 mx1.a.example.
a.example.           IN MX 20 mx.b.example.
mx1.a.example.       IN A 192.0.2.1
mx.b.example.        IN A 192.0.2.2
_mta-sts.a.example.  IN TXT "v=STSv1; id=1"
mta-sts.a.example.   IN A 192.0.2.3
bad.example.         IN MX 10 mx1.a.example.
_mta-sts.bad.example. IN TXT "v=STSv1; id=?"
mta-sts.bad.example. IN A 192.0.2.3
nohost.example.      IN MX 10 mx1.a.example.
_mta-sts.nohost.example. IN TXT "v=STSv1; id=1"
slowhost.example.    IN MX 10 mx1.a.example.
_mta-sts.slowhost.example. IN TXT "v=STSv1; id=1"
mta-sts.slowhost.example. IN TYPE65280 \# 0
slow.example.        IN MX 10 mx1.a.example.
_mta-sts.slow.example. IN TYPE65280 \# 0
none.example.        IN MX 10 mx1.a.example.
null.example.        IN MX 0 .
_mta-sts.null.example. IN TXT "v=STSv1; id=1"
mta-sts.null.example. IN A 192.0.2.3
`

func TestPolicy(t *testing.T) {
	z, err := dnstest.Parse(strings.NewReader(stsZone), "zone")
	if err != nil {
		t.Fatal(err)
	}
	policy := func(mode, mx string) page {
		return page{"version: STSv1\nmode: " + mode + "\nmx: " + strings.ReplaceAll(mx, " ", "\nmx: ") + "\nmax_age: 604800\n", "text/plain", nil}
	}
	for _, tt := range []struct {
		name, domain   string
		page           page
		fetched, valid State
		mode           string
		covers         State
		level          Level
		enforce        State
		codes          string
	}{
		{"enforced", "a.example", policy("enforce", "*.a.example mx.b.example"), Yes, Yes, "enforce", Yes, LevelOK, Yes, ""},
		{"an MX host is missing", "a.example", policy("enforce", "*.a.example"), Yes, Yes, "enforce", No, LevelError, Yes, "mtasts.policy.host-absent"},
		{"testing", "a.example", policy("testing", "*.a.example"), Yes, Yes, "testing", No, LevelWarning, No, "mtasts.policy.host-absent-testing mtasts.policy.testing"},
		{"given up", "a.example", policy("none", "x.example"), Yes, Yes, "none", Unknown, LevelAdvice, No, "mtasts.policy.none"},
		{"not understood", "a.example", page{"<html>", "text/html", nil}, Yes, No, "", Unknown, LevelError, No,
			"mtasts.policy.syntax mtasts.policy.missing mtasts.policy.missing mtasts.policy.missing mtasts.policy.missing"},
		{"of another type", "a.example", page{policy("enforce", "*.a.example mx.b.example").body, "text/html", nil}, Yes, Yes, "enforce", Yes, LevelWarning, Yes, "posture.mta-sts-media-type"},
		{"not there", "a.example", page{err: failure{false, "status", "404"}}, No, No, "", Unknown, LevelError, No, "posture.mta-sts-unfetched-detail"},
		{"wrong certificate", "a.example", page{err: failure{false, "certificate-name", ""}}, No, No, "", Unknown, LevelError, No, "posture.mta-sts-unfetched"},
		{"in vain", "a.example", page{err: failure{true, "timeout", ""}}, Unknown, Unknown, "", Unknown, LevelUnknown, Unknown, ""},
		{"an error that says nothing", "a.example", page{err: errors.New("?")}, Unknown, Unknown, "", Unknown, LevelUnknown, Unknown, ""},
		{"a record that does not count", "bad.example", page{}, Unknown, No, "", Unknown, LevelError, No, "mtasts.lint.id-bad"},
		{"no host", "nohost.example", page{}, No, No, "", Unknown, LevelError, No, "posture.mta-sts-host-missing"},
		{"host not known", "slowhost.example", page{}, Unknown, Unknown, "", Unknown, LevelUnknown, Unknown, ""},
		{"record not known", "slow.example", page{}, Unknown, Unknown, "", Unknown, LevelUnknown, Unknown, ""},
		{"no record", "none.example", page{}, No, No, "", Unknown, LevelAbsent, No, "posture.mta-sts-missing"},
		{"no such domain", "nowhere.example", page{}, No, No, "", Unknown, LevelAbsent, No, ""},
		{"receives nothing", "null.example", policy("enforce", "x.example"), Yes, Yes, "enforce", Unknown, LevelOK, Yes, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := "https://mta-sts." + tt.domain + "/.well-known/mta-sts.txt"
			w := &web{pages: map[string]page{url: tt.page}}
			p := Inspect(t.Context(), z, name(t, tt.domain), Options{Fetch: w})
			q := p.MTASTS.Policy
			if q == nil || q.Fetched.Fetched != tt.fetched || q.Valid != tt.valid || string(q.Mode) != tt.mode || q.Covers != tt.covers {
				t.Errorf("%+v", q)
			}
			if p.MTASTS.Level != tt.level || p.MTASTS.Valid != tt.valid {
				t.Errorf("level %s, valid %s", p.MTASTS.Level, p.MTASTS.Valid)
			}
			if v, e := p.Fact(FactMTASTSValid), p.Fact(FactMTASTSEnforce); v != tt.valid || e != tt.enforce {
				t.Errorf("facts: valid %s, enforce %s", v, e)
			}
			var codes []string
			for _, f := range p.Findings {
				if f.Topic == TopicMTASTS {
					codes = append(codes, f.Code)
				}
			}
			if got := strings.Join(codes, " "); got != tt.codes {
				t.Errorf("findings %q, want %q", got, tt.codes)
			}
			if len(w.asked) > 1 || len(w.asked) == 1 && w.asked[0] != url {
				t.Errorf("asked for %q", w.asked)
			}
			b, err := json.Marshal(p)
			if err != nil || strings.Contains(string(b), ":null") {
				t.Errorf("%v, or null in a list", err)
			}

			// Not looked at, it is unknown, and nothing is said about it.
			p = Inspect(t.Context(), z, name(t, tt.domain), Options{})
			if p.MTASTS.Policy != nil || p.Fact(FactMTASTSValid) != Unknown || p.Fact(FactMTASTSEnforce) != Unknown {
				t.Errorf("without a Fetcher: %+v", p.MTASTS)
			}
		})
	}
}
