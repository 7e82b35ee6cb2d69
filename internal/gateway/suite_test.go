package gateway

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sekimori/authres"
	"sekimori/dns/dnstest"
	"sekimori/internal/require"
	"sekimori/message"
	"sekimori/milter"
)

// suiteExceptions are results that are not ours, by "source", "source from ip"
// or "source of sender", by method; and why.
var suiteExceptions = map[string]map[string]string{
	// rsa-sha1 must not be accepted (RFC 8301 §3.1); of 2015.
	"dmarc_reject_wl.eml": {"dkim": "permerror"},
	// From is a display name folded over lines of white space, and an address:
	// obsolete syntax that must be accepted (RFC 5322 §4.2). The domain,
	// example.com, has no record.
	"spam_headers.eml": {"dmarc": "none"},
	// The program's configuration maps these addresses to another one.
	"google_apps_good.eml from 4.3.2.1": {"spf": "softfail"},
	"google_apps_good.eml from 5.4.3.2": {"spf": "softfail"},
	// The reverse-path is two addresses, which no mail server takes (RFC 5321
	// §4.1.2). What follows the last "@" is the domain; the set has none.
	"dmarc_multi.eml of test@goestheweasel.com,test@marcbradshaw.net": {"spf": "softfail"},
}

// suiteConfigs are the program's configurations, as far as they are ours too.
// Results hidden by "hide_none" are not compared, and so are those switched off
// for local and trusted clients: here every client is verified unless the site
// says otherwise. iprev, ADSP, X-PTR, X-Google-DKIM and Received-SPF are not ours.
// "Hard" sessions end with a refusal there; here they would be on_reject: refuse.

// suiteTrusted are the hosts for which it removes results.
var suiteTrusted = []string{"example.com", "sub.example.com", "module", "test.module"}

// TestMilterSuite runs the sessions of Fastmail's authentication_milter over the
// wire: the results of SPF, DKIM and DMARC, which fields are taken out, and that
// nothing else is changed.
func TestMilterSuite(t *testing.T) {
	dir := require.Data(t, "auth-authentication-milter")
	var suite struct {
		Cases []struct {
			Desc, Config, Source string
			Output               string `json:"expected_output"`
			IP                   any
			Helo                 any `json:"ptr_or_helo"`
			MailFrom             any
			Rcpt                 any
			Results              map[string][]string `json:"expected_results"`
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &suite); err != nil {
		t.Fatal(err)
	}
	raw, err = os.ReadFile(filepath.Join(dir, "zonefile"))
	if err != nil {
		t.Fatal(err)
	}
	// Comments and records without data are of that program's test server.
	raw = regexp.MustCompile(`(?m)^(;.*|.* TXT *)$`).ReplaceAll(raw, nil)
	z, err := dnstest.Parse(bytes.NewReader(raw), "zonefile")
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, z, Options{})
	address := g.listen(t)
	list := func(v any) []string {
		if s, ok := v.(string); ok {
			return []string{s}
		}
		var out []string
		for _, s := range v.([]any) {
			out = append(out, s.(string))
		}
		return out
	}
	compared, excepted := map[string]int{}, 0
	for _, s := range suite.Cases {
		text, err := os.ReadFile(filepath.Join(dir, s.Source))
		if err != nil {
			t.Fatal(err)
		}
		wrote := written(t, filepath.Join(dir, s.Output))
		id, left := "test.module", wrote
		if len(s.Results) > 0 {
			id, left = wrote[0], wrote[1:]
		}
		if len(list(s.IP)) > 1 {
			left = nil // what follows are the other messages'
		}
		if err := g.Reload(Site{AuthServID: id, TrustedIDs: suiteTrusted}, nil); err != nil {
			t.Fatal(err)
		}
		c := dial(t, address, milter.ClientOptions{})
		ips, helos, froms := list(s.IP), list(s.Helo), list(s.MailFrom)
		for i := range ips { // several messages in one connection; the first's result is kept
			mailFrom, _, _ := strings.Cut(froms[min(i, len(froms)-1)], " BODY=")
			mailFrom = strings.ReplaceAll(strings.Trim(mailFrom, "<>"), " ", "")
			m := mail{client: ips[i] + ":25", helo: helos[min(i, len(helos)-1)], from: mailFrom, rcpt: list(s.Rcpt), text: withCRLF(string(text))}
			o, h, body := send(t, c, m)
			if o.Response.Do != milter.Continue || o.Quarantined() {
				t.Errorf("%s: %+v", s.Desc, o.Response)
			}
			if i > 0 {
				continue
			}
			ours, err := authres.Parse(h[0].RawValue())
			if err != nil || ours.AuthServID != id {
				t.Fatalf("%s: %v: %s", s.Desc, err, h[0].Raw())
			}
			got := map[string]string{}
			for _, r := range ours.Results {
				if got[r.Method] == "" {
					got[r.Method] = r.Value
				}
			}
			source := filepath.Base(s.Source)
			for _, method := range []string{"spf", "dkim", "dmarc"} {
				want := s.Results[method]
				if len(want) == 0 {
					continue
				}
				compared[method]++
				expect := want[0] // of several author domains, the strictest comes first
				for _, key := range []string{source, source + " from " + ips[i], source + " of " + mailFrom} {
					if e, ok := suiteExceptions[key][method]; ok {
						expect, excepted = e, excepted+1
					}
				}
				if got[method] != expect {
					t.Errorf("%s (%s, %s from %s <%s>): %s=%s, want %s", s.Desc, s.Config, source, ips[i], mailFrom, method, got[method], expect)
				}
			}
			compared["fields"]++
			before, rest, err := message.Read(strings.NewReader(m.text), 0)
			if err != nil {
				t.Fatal(err)
			}
			var original bytes.Buffer
			original.ReadFrom(rest)
			if body != original.String() {
				t.Errorf("%s: the body was changed", s.Desc)
			}
			if got := ids(t, h[1:]); len(s.Results) > 0 && !slices.Equal(got, left) {
				t.Errorf("%s (%s): fields of %q are left, want %q", s.Desc, s.Config, got, left)
			}
			unchanged(t, s.Desc+" "+s.Config, before, h[1:])
		}
	}
	t.Logf("%d sessions; compared %v, of which %d by an exception", len(suite.Cases), compared, excepted)
	if len(suite.Cases) != 69 || compared["dkim"] < 50 {
		t.Errorf("%d sessions, compared %v", len(suite.Cases), compared)
	}
	if s := g.settled(); s.Panics != 0 || s.InProgress != 0 {
		t.Errorf("%+v", s)
	}
}

// written lists the authserv-ids of the fields in a message that the program
// has passed on: its own, then those that it has left.
func written(t *testing.T, path string) (out []string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?mi)^authentication-results: *([^;\s]+)`).FindAllSubmatch(raw, -1) {
		out = append(out, string(m[1]))
	}
	return out
}

func ids(t *testing.T, h message.Header) (out []string) {
	t.Helper()
	for _, f := range h.All("Authentication-Results") {
		r, err := authres.Parse(f.RawValue())
		if err != nil {
			t.Error(err)
			continue
		}
		out = append(out, r.AuthServID)
	}
	return out
}

// unchanged compares the fields that are passed on with those that arrived:
// only results may be missing.
func unchanged(t *testing.T, what string, before, after message.Header) {
	t.Helper()
	i := 0
	for _, f := range before {
		switch {
		case i < len(after) && after[i].Name() == f.Name() && after[i].RawValue() == f.RawValue():
			i++
		case !f.Is("Authentication-Results"):
			t.Errorf("%s: taken out or changed: %q", what, f.Raw())
		}
	}
	if i != len(after) {
		t.Errorf("%s: %d fields that were not there: %q", what, len(after)-i, after[i].Raw())
	}
}
