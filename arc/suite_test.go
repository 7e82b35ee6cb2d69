package arc

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"sekimori/authres"
	"sekimori/dns"
	"sekimori/domain"
	"sekimori/internal/require"
	"sekimori/message"
	"sekimori/taglist"
)

// suiteDiffers lists the tests whose expectation the RFC does not share. The
// suite was written for draft 18 of the protocol.
var suiteDiffers = map[string]struct {
	want Status
	why  string
}{
	"cv_fail_i1_as_cv_fail": {Fail, `RFC 8617 §5.2, step 2: a newest seal with cv=fail is "fail"; the suite wants no output`},
	"cv_fail_i2_as1_fail":   {Fail, `RFC 8617 §5.2, step 3.C: a seal with cv=fail is "fail"; the suite wants no output`},
	"cv_fail_i2_as2_fail":   {Fail, `RFC 8617 §5.2, step 2: a newest seal with cv=fail is "fail"; the suite wants no output`},
}

type scenario struct {
	Description string
	Tests       yaml.Node
	Records     map[string]string `yaml:"txt-records"`
	Domain      string
	Selector    string `yaml:"sel"`
	Key         string `yaml:"privatekey"`
}

type suiteTest struct {
	name    string
	Message string
	CV      string
	T       int64
	Headers string `yaml:"sig-headers"`
	ID      string `yaml:"srv-id"`
	AS      string `yaml:"AS"`
	AMS     string `yaml:"AMS"`
	AAR     string `yaml:"AAR"`
}

// tests reads the tests of a scenario; some names occur twice.
func (s *scenario) tests(t *testing.T) []suiteTest {
	t.Helper()
	var out []suiteTest
	for i := 0; i+1 < len(s.Tests.Content); i += 2 {
		c := suiteTest{name: s.Tests.Content[i].Value}
		if err := s.Tests.Content[i+1].Decode(&c); err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func scenarios(t *testing.T, file string) []scenario {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(require.Data(t, "arc-valimail"), file))
	if err != nil {
		t.Fatal(err)
	}
	var out []scenario
	for d := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var s scenario
		err := d.Decode(&s)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
}

// records is TXT records as a Resolver. The value "temporary" is a failure.
type records map[string]string

func (r records) Lookup(_ context.Context, name string, _ dns.Type) (dns.Answer, error) {
	txt, ok := r[strings.ToLower(strings.TrimSuffix(name, "."))]
	switch {
	case !ok:
		return dns.Answer{}, dns.ErrNameNotFound
	case txt == "temporary":
		return dns.Answer{}, dns.ErrTemporary
	}
	return dns.Answer{Records: []string{txt}}, nil
}

// parts cuts a message with LF or CRLF in two.
func split(t testing.TB, text string) (message.Header, string) {
	t.Helper()
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
	h, r, err := message.Read(strings.NewReader(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return h, string(body)
}

// suiteRecords takes the folding out of the suite's key records.
func suiteRecords(in map[string]string) records {
	out := records{}
	for name, txt := range in {
		out[strings.ToLower(name)] = strings.NewReplacer("\n", "", " ", "").Replace(txt)
	}
	return out
}

func TestValidationSuite(t *testing.T) {
	run, passed := 0, 0
	for _, s := range scenarios(t, "arc-draft-validation-tests.yml") {
		v := &Verifier{Resolver: suiteRecords(s.Records)}
		for _, c := range s.tests(t) {
			run++
			want := Status(strings.ToLower(strings.TrimSpace(c.CV)))
			if e, ok := suiteDiffers[c.name]; ok {
				if want == e.want {
					t.Errorf("%s is no exception (%s)", c.name, e.why)
				}
				want = e.want
			}
			h, body := split(t, c.Message)
			got, err := v.Verify(context.Background(), h, strings.NewReader(body))
			if err != nil || got.Status != want {
				t.Errorf("%s / %s: %s (%s %v), want %s", s.Description, c.name, got.Status, got.Reason.Code, got.Reason.Args, want)
				continue
			}
			if len(got.Steps) == 0 || got.Steps[len(got.Steps)-1].Code != got.Reason.Code || got.Status == Fail && got.Err == nil {
				t.Errorf("%s: not explained: %+v", c.name, got)
			}
			passed++
		}
	}
	if run < 100 {
		t.Errorf("only %d tests were run", run)
	}
	t.Logf("%d of %d", passed, run)
}

func TestSigningSuite(t *testing.T) {
	run := 0
	for _, s := range scenarios(t, "arc-draft-sign-tests.yml") {
		block, _ := pem.Decode([]byte(s.Key))
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		d, err := domain.Parse(s.Domain)
		if err != nil {
			t.Fatal(err)
		}
		v := &Verifier{Resolver: suiteRecords(s.Records)}
		for _, c := range s.tests(t) {
			run++
			h, body := split(t, c.Message)
			before, err := v.Verify(context.Background(), h, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			sealer := &Sealer{Domain: d, Selector: s.Selector, Key: key, Headers: strings.Split(c.Headers, ":"),
				Now: func() time.Time { return time.Unix(c.T, 0) }}
			var digests message.Digests
			n, err := sealer.Begin(h, &digests)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			io.WriteString(&digests, body)
			digests.Close()
			n.lines = 1 << 20 // what the suite's seals cover has b= in one piece
			set, err := n.Finish(before.Status, authres.Merge(h, c.ID).String())
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			for i, want := range []string{c.AS, c.AMS, c.AAR} {
				f, _ := message.ParseField(set[i])
				if got := f.Value(); !sameTags(got, want) {
					t.Errorf("%s:\n got %s\nwant %s", c.name, got, want)
				}
			}
			after, _ := split(t, strings.Join(set, "")+c.Message)
			got, err := v.Verify(context.Background(), after, strings.NewReader(body))
			if err != nil || got.Status != max(before.Status, Status("pass")) && before.Status != Fail {
				t.Errorf("%s: sealed, and then %s (%v)", c.name, got.Status, got.Reason)
			}
		}
	}
	if run != 12 {
		t.Errorf("%d tests were run, want 12", run)
	}
}

// sameTags compares lists, white space in the values aside.
func sameTags(got, want string) bool {
	a, _ := taglist.Parse(got)
	b, _ := taglist.Parse(want)
	if len(a) != len(b) || len(a) == 0 {
		return taglist.Unfold(got) == taglist.Unfold(want)
	}
	for i := range a {
		if a[i].Name != b[i].Name || taglist.Unfold(a[i].Value) != taglist.Unfold(b[i].Value) {
			return false
		}
	}
	return true
}
