package dmarc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"sekimori/dmarc"
	"sekimori/dns"
	"sekimori/domain"
	"sekimori/internal/require"
	"sekimori/message"
)

// zone is the DNS of a test: TXT records by name. A name that is not there,
// and has nothing below it, does not exist. It remembers what it was asked.
type zone struct {
	txt    map[string][]string
	exists map[string]bool  // names with records of other types
	fails  map[string]error // names that do not answer

	mu    sync.Mutex
	asked []string
}

func (z *zone) Lookup(_ context.Context, name string, t dns.Type) (dns.Answer, error) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	z.mu.Lock()
	z.asked = append(z.asked, name)
	z.mu.Unlock()
	if err := z.fails[name]; err != nil {
		return dns.Answer{}, fmt.Errorf("%s: %w", name, err)
	}
	if rec := z.txt[name]; rec != nil && t == dns.TXT {
		return dns.Answer{Records: rec}, nil
	}
	if z.has(name) {
		return dns.Answer{}, dns.ErrNoData
	}
	return dns.Answer{}, dns.ErrNameNotFound
}

func (z *zone) has(name string) bool {
	for n := range z.txt {
		if n == name || strings.HasSuffix(n, "."+name) {
			return true
		}
	}
	for n := range z.exists {
		if n == name || strings.HasSuffix(n, "."+name) {
			return true
		}
	}
	return false
}

func (z *zone) queries() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	out := z.asked
	z.asked = nil
	return out
}

func name(t testing.TB, s string) domain.Name {
	t.Helper()
	n, err := domain.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func readJSON(t *testing.T, into any, elem ...string) {
	t.Helper()
	raw, err := os.ReadFile(require.Data(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

// TestTreeWalkSuite runs the examples of RFC 9989 (§4.10, App. B), with the
// exact names asked and their order, and once more with the names of a walk
// asked at once.
func TestTreeWalkSuite(t *testing.T) {
	var suite struct {
		Cases []struct {
			ID, Kind, Start         string
			DNS                     map[string][]string
			Queries                 []string
			Org                     string
			Author, Identifier, Via string
			Mode                    string
			AuthorOrg               string   `json:"author_org"`
			IdentifierOrg           string   `json:"identifier_org"`
			AuthorQueries           []string `json:"author_queries"`
			Aligned                 bool
			PolicyDomain            string `json:"policy_domain"`
			URI, Query              string
			Authorised              bool
			EffectiveRUF            string `json:"effective_ruf"`
		}
	}
	readJSON(t, &suite, "dmarc-bis-treewalk", "cases.json")
	if len(suite.Cases) != 14 {
		t.Fatalf("%d cases, want 14", len(suite.Cases))
	}
	ctx := context.Background()
	for _, c := range suite.Cases {
		for _, sequential := range []bool{true, false} {
			z := &zone{txt: c.DNS}
			v := &dmarc.Verifier{Resolver: z, Options: dmarc.Options{Sequential: sequential}}
			asked := func(what string, want []string) {
				t.Helper()
				got := z.queries()
				if len(got) > 8 {
					t.Errorf("%s: %d queries", c.ID, len(got))
				}
				if sequential && !slices.Equal(got, want) {
					t.Errorf("%s: %s asks\n%s, want\n%s", c.ID, what, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				for _, q := range want {
					if !slices.Contains(got, q) {
						t.Errorf("%s: %s does not ask %s", c.ID, what, q)
					}
				}
			}
			org := func(d *dmarc.Discovery, of, want string) {
				t.Helper()
				if got, err := d.Organizational(ctx, name(t, of)); err != nil || got.String() != want && want != "" {
					t.Errorf("%s: organizational domain of %s is %s, %v, want %s", c.ID, of, got, err, want)
				}
			}
			switch c.Kind {
			case "queries", "org":
				d := v.Discover(ctx, name(t, c.Start))
				org(d, c.Start, c.Org)
				asked("the walk", c.Queries)
			case "align":
				// The mode of the case stands for that of the record.
				if c.Mode == "s" {
					for n, rec := range z.txt {
						z.txt[n] = []string{rec[0] + "; adkim=s; aspf=s"}
					}
				}
				d := v.Discover(ctx, name(t, c.Author))
				if c.AuthorQueries != nil {
					asked("discovery", c.AuthorQueries)
				}
				r := v.Evaluate(ctx, d, []dmarc.Identifier{{Method: c.Via, Domain: name(t, c.Identifier)}})
				if got := r.Status == dmarc.Pass; got != c.Aligned || got != slices.Contains(r.AlignedBy, c.Via) {
					t.Errorf("%s: %s, aligned by %v, want aligned %v", c.ID, r.Status, r.AlignedBy, c.Aligned)
				}
				if c.PolicyDomain != "" && r.PolicyDomain.String() != c.PolicyDomain {
					t.Errorf("%s: policy of %s, want %s", c.ID, r.PolicyDomain, c.PolicyDomain)
				}
				if c.AuthorOrg != "" && r.Organizational.String() != c.AuthorOrg {
					t.Errorf("%s: organizational domain %s, want %s", c.ID, r.Organizational, c.AuthorOrg)
				}
				if c.IdentifierOrg != "" {
					org(d, c.Identifier, c.IdentifierOrg)
				}
			case "report-authorisation":
				u, err := dmarc.ParseURI(c.URI)
				if err != nil {
					t.Fatal(err)
				}
				got := v.External(ctx, name(t, c.PolicyDomain), u, "ruf")
				if got.Allowed != c.Authorised || got.Name != c.Query {
					t.Errorf("%s: %+v, want %v by %s", c.ID, got, c.Authorised, c.Query)
				}
				want := c.URI
				if c.EffectiveRUF != "" {
					want = c.EffectiveRUF
				}
				if len(got.To) != 1 || got.To[0].Text != want {
					t.Errorf("%s: to %v, want %s", c.ID, got.To, want)
				}
			default:
				t.Errorf("%s: kind %q is not known", c.ID, c.Kind)
			}
		}
	}
}

// TestAuthHeadersSuite runs the verdicts of the authheaders set. Its results of
// DKIM are taken as given: "verify DKIM" passes for the signer's domain.
func TestAuthHeadersSuite(t *testing.T) {
	var suite struct {
		DNS   map[string]string
		Cases []struct {
			Message    string
			Given      *string `json:"given_results"`
			DKIM       string
			DMARC      string
			Policy     *string
			HeaderFrom *string `json:"header_from"`
		}
	}
	readJSON(t, &suite, "dmarc-authheaders", "cases.json")
	if len(suite.Cases) != 11 {
		t.Fatalf("%d cases, want 11", len(suite.Cases))
	}
	// Where the set has another result than the RFC, and why.
	exceptions := map[string]dmarc.Status{
		// RFC 9989 §4.8: a syntax error after the version "MUST be discarded in
		// favor of default values (if any) or ignored outright": p=none stands.
		"test.bad.message": dmarc.Fail,
	}
	z := &zone{txt: map[string][]string{}, exists: map[string]bool{"sub2.example.biz": true}}
	for n, txt := range suite.DNS {
		z.txt[n] = []string{txt}
	}
	// Two domains in From are evaluated each only as an option (RFC 9989 §11.5).
	v := &dmarc.Verifier{Resolver: z, Options: dmarc.Options{EachAuthor: true}}
	for _, c := range suite.Cases {
		f, err := os.Open(filepath.Join(require.Data(t, "dmarc-authheaders"), c.Message))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		h, _, err := message.Read(f, 0)
		if err != nil {
			t.Fatal(err)
		}
		var passed []dmarc.Identifier
		given := ""
		if c.DKIM == "verify DKIM" {
			given = "dkim=pass header.d=example.com"
		} else if c.Given != nil {
			given = *c.Given
		}
		for _, res := range strings.Split(given, ";") {
			if d, ok := strings.CutPrefix(strings.TrimSpace(res), "dkim=pass header.d="); ok {
				passed = append(passed, dmarc.Identifier{Method: "dkim", Domain: name(t, d)})
			}
		}
		r := v.Evaluate(context.Background(), v.DiscoverFrom(context.Background(), h), passed)
		want, ok := exceptions[c.Message]
		if !ok {
			want = dmarc.Status(c.DMARC)
		}
		if r.Status != want {
			t.Errorf("%s: %s, want %s\n%v", c.Message, r.Status, want, r.Steps)
		}
		policy := ""
		if c.Policy != nil && want != dmarc.PermError {
			policy = *c.Policy
		}
		if string(r.Policy) != policy {
			t.Errorf("%s: policy %q, want %q", c.Message, r.Policy, policy)
		}
		if c.HeaderFrom != nil && r.From.String() != *c.HeaderFrom {
			t.Errorf("%s: from %s, want %s", c.Message, r.From, *c.HeaderFrom)
		}
	}
}

// TestMilterSuite takes the DMARC results of the authentication_milter set:
// the records of its zone, and what passed from the results that the set itself
// has for SPF and DKIM, as this package evaluates neither.
func TestMilterSuite(t *testing.T) {
	var suite struct {
		Cases []struct {
			Desc, Source string
			Output       string `json:"expected_output"`
			MailFrom     any
			Helo         any                 `json:"ptr_or_helo"`
			Results      map[string][]string `json:"expected_results"`
		}
	}
	readJSON(t, &suite, "auth-authentication-milter", "cases.json")
	dir := require.Data(t, "auth-authentication-milter")
	raw, err := os.ReadFile(filepath.Join(dir, "zonefile"))
	if err != nil {
		t.Fatal(err)
	}
	z := &zone{txt: map[string][]string{}}
	records := regexp.MustCompile(`(?m)^(_dmarc\.\S+)\.\s.*TXT\s+\( "([^"]*)" \)`)
	for _, m := range records.FindAllStringSubmatch(string(raw), -1) {
		z.txt[m[1]] = []string{m[2]}
	}
	if len(z.txt) != 4 {
		t.Fatalf("%d records in the zone, want 4", len(z.txt))
	}
	signed := regexp.MustCompile(`(?m)^    dkim=pass [^;]*header\.d=([^\s;]+)`)
	published := regexp.MustCompile(`dmarc=(\w+) policy\.published-domain-policy=(\w+) [^;]*policy\.evaluated-disposition=(\w+)`)
	v := &dmarc.Verifier{Resolver: z, Options: dmarc.Options{EachAuthor: true}}
	// Where the set has another result than the RFC, by source, and why.
	exceptions := map[string]dmarc.Status{
		// From is a quoted display name over lines of which many are white space
		// only, and an address: obsolete folding, which "MUST be accepted"
		// (RFC 5322 §4, §4.2). The domain is example.com, without a record.
		"data/source/spam_headers.eml": dmarc.NoRecord,
	}
	ran := 0
	for _, c := range suite.Cases {
		mailFrom, one := c.MailFrom.(string)
		want := c.Results["dmarc"]
		if len(want) == 0 || !one {
			continue // no result of DMARC, or several messages in one session
		}
		ran++
		read := func(p string) []byte {
			b, err := os.ReadFile(filepath.Join(dir, p))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		h, _, err := message.Read(bytes.NewReader(read(c.Source)), 0)
		if err != nil {
			t.Fatal(err)
		}
		// The results the set has for SPF and DKIM, in its first field.
		out := read(c.Output)
		first := out[:bytes.Index(out, []byte("\nReceived-SPF"))+1]
		if len(first) == 0 {
			first = out
		}
		var passed []dmarc.Identifier
		if slices.Contains(c.Results["spf"], "pass") {
			_, d := message.SplitAddress(mailFrom)
			if d == "" {
				d = c.Helo.(string) // a null reverse-path (RFC 7208 §2.4)
			}
			passed = append(passed, dmarc.Identifier{Method: "spf", Domain: name(t, d)})
		}
		if slices.Contains(c.Results["dkim"], "pass") {
			for _, m := range signed.FindAllSubmatch(first, -1) {
				passed = append(passed, dmarc.Identifier{Method: "dkim", Domain: name(t, string(m[1]))})
			}
		}
		r := v.Evaluate(context.Background(), v.DiscoverFrom(context.Background(), h), passed)
		// Of several domains, the strictest policy of those that fail (RFC 9989
		// §11.5): the first in the set's lists.
		status, ok := exceptions[c.Source]
		if !ok {
			status = dmarc.Status(want[0])
		}
		if r.Status != status {
			t.Errorf("%s (%s): %s, want %s\n%v", c.Desc, c.Output, r.Status, status, r.Steps)
		}
		if m := published.FindSubmatch(first); m != nil && r.Status != dmarc.NoRecord {
			if string(r.Policy) != string(m[2]) || string(r.Disposition) != string(m[3]) {
				t.Errorf("%s (%s): policy %s, disposition %s, want %s and %s", c.Desc, c.Output, r.Policy, r.Disposition, m[2], m[3])
			}
		}
	}
	if ran < 48 {
		t.Errorf("%d cases ran", ran)
	}
	t.Logf("%d cases with a result of DMARC", ran)
}
