package check

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/dmarc"
	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/internal/require"
)

// texts answers questions for TXT from a table; what it has not, is not there.
type texts map[string]string

func (z texts) Lookup(_ context.Context, name string, t dns.Type) (dns.Answer, error) {
	if s, ok := z[strings.ToLower(strings.TrimSuffix(name, "."))]; ok {
		if t == dns.TXT {
			return dns.Answer{Records: []string{s}, TTL: time.Hour}, nil
		}
		return dns.Answer{}, dns.ErrNoData
	}
	return dns.Answer{}, dns.ErrNameNotFound
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

// milterExceptions are results of the milter suite that are not ours, by
// "source" or "source from ip", method, and why.
var milterExceptions = map[string]map[string]string{
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

// TestMilterSuite runs the sessions of Fastmail's authentication_milter: the
// results of SPF, DKIM and DMARC are compared with what that program adds.
func TestMilterSuite(t *testing.T) {
	dir := require.Data(t, "auth-authentication-milter")
	var suite struct {
		Cases []struct {
			Desc, Config, Source string
			IP                   any
			Helo                 any `json:"ptr_or_helo"`
			MailFrom             any
			Results              map[string][]string `json:"expected_results"`
		}
	}
	readJSON(t, filepath.Join(dir, "cases.json"), &suite)
	raw, err := os.ReadFile(filepath.Join(dir, "zonefile"))
	if err != nil {
		t.Fatal(err)
	}
	// Comments and records without data are of that program's test server.
	raw = regexp.MustCompile(`(?m)^(;.*|.* TXT *)$`).ReplaceAll(raw, nil)
	zone, err := dnstest.Parse(bytes.NewReader(raw), "zonefile")
	if err != nil {
		t.Fatal(err)
	}
	c := &Checker{Resolver: zone, DMARC: dmarc.Options{EachAuthor: true}}
	first := func(v any) string {
		if list, ok := v.([]any); ok {
			v = list[0] // several messages in one connection; the first is kept
		}
		return v.(string)
	}
	compared, excepted := map[string]int{}, 0
	for _, s := range suite.Cases {
		mailFrom, _, _ := strings.Cut(first(s.MailFrom), " BODY=")
		mailFrom = strings.ReplaceAll(strings.Trim(mailFrom, "<>"), " ", "")
		in := Input{IP: netip.MustParseAddr(first(s.IP)), Helo: first(s.Helo), MailFrom: mailFrom, NullSender: mailFrom == ""}
		f, err := os.Open(filepath.Join(dir, s.Source))
		if err != nil {
			t.Fatal(err)
		}
		v, err := c.Check(context.Background(), in, f)
		f.Close()
		if err != nil {
			t.Errorf("%s: %v", s.Desc, err)
			continue
		}
		source := filepath.Base(s.Source)
		got := map[string]string{"spf": string(v.SPF.Status), "dkim": "none", "dmarc": string(v.DMARC.Status)}
		if len(v.DKIM) > 0 {
			got["dkim"] = string(v.DKIM[0].Status)
		}
		for _, method := range []string{"spf", "dkim", "dmarc"} {
			want := s.Results[method]
			if len(want) == 0 {
				continue // switched off for local and trusted clients, or none hidden
			}
			compared[method]++
			expect := want[0] // of several author domains, the strictest comes first
			for _, key := range []string{source, source + " from " + in.IP.String(), source + " of " + mailFrom} {
				if e, ok := milterExceptions[key][method]; ok {
					expect = e
					excepted++
				}
			}
			if got[method] != expect {
				t.Errorf("%s (%s, %s from %s <%s>): %s=%s, want %s", s.Desc, s.Config, source, in.IP, mailFrom, method, got[method], expect)
			}
		}
	}
	t.Logf("%d sessions; compared %v, of which %d by an exception", len(suite.Cases), compared, excepted)
	if len(suite.Cases) != 69 || compared["dkim"] < 50 {
		t.Errorf("%d sessions, compared %v", len(suite.Cases), compared)
	}
}

// TestAuthHeadersSuite runs the DMARC cases of authheaders whose DKIM results
// are to be worked out, from the message to the verdict.
func TestAuthHeadersSuite(t *testing.T) {
	dir := require.Data(t, "dmarc-authheaders")
	var suite struct {
		DNS   texts
		Cases []struct {
			Message, DMARC string
			DKIM           string
			Policy         *string
			HeaderFrom     *string `json:"header_from"`
		}
	}
	readJSON(t, filepath.Join(dir, "cases.json"), &suite)
	// bad.example.com: a word without "=" is ignored (RFC 9989 §4.8), so that
	// its p=none applies and the message, with nothing signed, fails it.
	exceptions := map[string]string{"test.bad.message": "fail"}
	ran := 0
	for _, s := range suite.Cases {
		if s.DKIM == "given" {
			continue
		}
		ran++
		f, err := os.Open(filepath.Join(dir, s.Message))
		if err != nil {
			t.Fatal(err)
		}
		v, err := (&Checker{Resolver: suite.DNS}).Check(context.Background(), Input{}, f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ := strings.Cut(s.DMARC, " ")
		if e, ok := exceptions[s.Message]; ok {
			want = e
		}
		if string(v.DMARC.Status) != want {
			t.Errorf("%s: %s, want %s: %v", s.Message, v.DMARC.Status, want, v.DMARC.Steps)
		}
		if s.HeaderFrom != nil && v.From().String() != *s.HeaderFrom {
			t.Errorf("%s: from %s, want %s", s.Message, v.From(), *s.HeaderFrom)
		}
		if want != "permerror" && s.Policy != nil && string(v.DMARC.Policy) != *s.Policy {
			t.Errorf("%s: policy %s, want %s", s.Message, v.DMARC.Policy, *s.Policy)
		}
	}
	t.Logf("%d cases", ran)
	if ran != 5 {
		t.Errorf("%d cases, want 5", ran)
	}
}

// TestRealMail checks real mail as of the dates it was sent.
func TestRealMail(t *testing.T) {
	dir := require.Data(t, "realmail-kernel")
	var keys struct{ Published, Recovered texts }
	readJSON(t, filepath.Join(dir, "dns.json"), &keys)
	zone := texts{}
	for _, m := range []texts{keys.Published, keys.Recovered} {
		for k, v := range m {
			zone[strings.ToLower(k)] = v
		}
	}
	f, err := os.Open(filepath.Join(dir, "index.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(f).ReadAll()
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	messages := untar(t, filepath.Join(dir, "messages.tar.gz"))
	c := &Checker{Resolver: zone}
	counts := map[string]int{}
	for _, row := range rows[1:] {
		file, date, fromDomain, signatures, arcResult := row[0], row[2], row[3], row[4], row[6]
		at, err := time.Parse(time.RFC3339, date)
		if err != nil {
			t.Fatal(err)
		}
		v, err := c.Check(context.Background(), Input{Time: at}, strings.NewReader(messages[file]))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		var got, want []string
		for _, s := range v.DKIM {
			got = append(got, s.Selector+"._domainkey."+s.Domain.String()+":"+string(s.Algorithm)+"="+string(s.Status))
			counts["dkim "+string(s.Status)]++
		}
		for _, w := range strings.Fields(signatures) {
			if w != "-" {
				// A key that is not there is a permanent error (RFC 6376 §6.1.2).
				want = append(want, strings.ReplaceAll(w, "=nokey", "=permerror"))
			}
		}
		for i := range got {
			got[i] = strings.ToLower(got[i])
		}
		for i := range want {
			want[i] = strings.ToLower(want[i])
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: signatures %v, want %v", file, got, want)
		}
		counts["arc "+string(v.ARC.Status)]++
		if string(v.ARC.Status) != arcResult {
			t.Errorf("%s: arc %s, want %s (%s)", file, v.ARC.Status, arcResult, row[9])
		}
		if from := v.From().String(); from != fromDomain {
			t.Errorf("%s: from %s, want %s", file, from, fromDomain)
		}
	}
	t.Logf("%d messages: %v", len(rows)-1, counts)
	if len(rows) != 251 {
		t.Errorf("%d rows", len(rows))
	}
}

func untar(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(h.Name)] = string(b)
	}
}

// TestOddMail reads mail of every kind, malformed on purpose or by age: each
// has a verdict, always the same.
func TestOddMail(t *testing.T) {
	zone := texts{}
	n := 0
	for _, folder := range []string{"mail-japanese", "mime-mail-parser", "arf-sisimai"} {
		root := require.Data(t, folder)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), "LICENSE") || strings.HasPrefix(d.Name(), "PROVENANCE") || strings.HasSuffix(d.Name(), ".csv") || strings.HasSuffix(d.Name(), ".json") {
				return err
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			n++
			c := &Checker{Resolver: zone, Helo: true}
			var first []byte
			for i := range 3 {
				b := &Batch{Checker: c, Workers: 2, TempDir: t.TempDir()}
				var out bytes.Buffer
				if err := b.Run(context.Background(), []Place{{Name: "m", In: bytes.NewReader(raw)}}, func(k Checked) error {
					line, err := json.Marshal(k)
					out.Write(line)
					return err
				}); err != nil {
					t.Errorf("%s: %v", path, err)
				}
				if i == 0 {
					first = bytes.Clone(out.Bytes())
				} else if !bytes.Equal(first, out.Bytes()) {
					t.Errorf("%s: not the same twice:\n%s\n%s", path, first, out.Bytes())
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d messages", n)
	if n < 110 {
		t.Errorf("%d messages", n)
	}
}
