package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sekimori/domain"
	"sekimori/internal/gateway"
	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
)

var byValue = cmp.Comparer(func(a, b domain.Name) bool { return a == b })
var byPrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func mustName(t *testing.T, s string) domain.Name {
	t.Helper()
	n, err := domain.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestExample: the example is right, names every key that there is, and says
// what it says.
func TestExample(t *testing.T) {
	file := filepath.Join("..", "..", "examples", "sekimori.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{name: file, folder: "/etc/sekimori", known: map[string]bool{}, seen: map[string]bool{}}
	c, err := r.config(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.known, r.seen); diff != "" {
		t.Errorf("keys that are known but not in the example (-), or the other way round (+):\n%s", diff)
	}
	for _, w := range c.Warnings {
		t.Errorf("warning: %s", w)
	}
	n := func(s string) domain.Name { return mustName(t, s) }
	want := Config{
		Gateway: Gateway{
			Listen: []string{"unix:/run/sekimori/milter.sock"},
			Socket: Socket{Mode: 0o660, Owner: "sekimori", Group: "postfix"},
			HTTP:   "127.0.0.1:8026",
			Keep:   30,
			Site: gateway.Site{
				AuthServID: "mx.city.example.jp", TrustedIDs: []string{"inner.city.example.jp"},
				Mode: gateway.Monitor, OnReject: verdict.Quarantine, OnQuarantine: verdict.Quarantine, OnTrouble: verdict.Accept, OnBadFrom: verdict.Accept,
				ExplainURL: "https://mx.city.example.jp/why",
				Networks:   []netip.Prefix{netip.MustParsePrefix("192.0.2.0/25"), netip.MustParsePrefix("2001:db8:1::/48")},
				Rules: []gateway.Rule{
					{Forwarder: n("alumni.example"), Reason: "卒業生のアドレスからの転送"},
					{List: n("ml.example.org")},
					{Sealer: n("forwarder.example.net")},
					{Network: netip.MustParsePrefix("198.51.100.0/24"), Action: verdict.Accept, Reason: "the old fax gateway"},
					{From: n("example.com"), Action: verdict.Refuse, Reason: "asked for by its owner"},
					{MailFrom: n("bulk.example.net"), Action: verdict.Mark},
				},
			},
		},
		Sign: []gateway.Key{
			{Domain: n("city.example.jp"), Selector: "s2026", File: "/etc/sekimori/s2026.pem"},
			{Domain: n("city.example.jp"), Selector: "e2026", File: "/etc/sekimori/e2026.pem"},
		},
		Reports: Reports{Organization: "City of Example", Email: "dmarc-reports@city.example.jp", Contact: "https://www.city.example.jp/mail",
			SMTP: "127.0.0.1:25", TLS: "opportunistic", Form: aggregate.RFC9990, OptOut: []string{"example.com", "someone@example.org"}, PerDestination: 100, Failure: Failure{PerHour: 10}},
		Advise: Advise{Senders: "/etc/sekimori/senders.yaml", Networks: []string{"/etc/sekimori/networks.mmdb", "/etc/sekimori/networks.csv"}},
		Alerts: Alerts{Mail: []string{"postmaster@city.example.jp"}, From: "sekimori@city.example.jp", Webhook: "https://hooks.city.example.jp/sekimori",
			Secret: "/etc/sekimori/webhook.secret", SMTP: "127.0.0.1:25", URL: "https://sekimori.city.example.jp"},
		Letters:   Letters{Name: "情報政策課 メール担当", Address: "postmaster@city.example.jp"},
		Reminders: true,
	}
	if diff := cmp.Diff(want, c, byValue, byPrefix); diff != "" {
		t.Errorf("the example says (-want +got):\n%s", diff)
	}
}

// TestPlaces: the advice on keys in a wrong place is right.
func TestPlaces(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", "sekimori.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{known: map[string]bool{}, seen: map[string]bool{}}
	if _, err := r.config(text); err != nil {
		t.Fatal(err)
	}
	for key, place := range places {
		path := place + "." + key
		if place == "the top level" {
			path = key
		}
		if !r.known[path] {
			t.Errorf("places says that %s is a key", path)
		}
	}
	for path := range r.known {
		parent, key := "the top level", path
		if at := strings.LastIndexByte(path, '.'); at >= 0 {
			parent, key = path[:at], path[at+1:]
		}
		switch parent {
		case "gateway.rules", "gateway.socket", "sign": // their keys are too common for advice
		default:
			// Some keys are of several sections.
			if places[key] != parent && !slices.Contains([]string{"send", "networks", "smtp", "from", "name", "address"}, key) {
				t.Errorf("places does not know %s", path)
			}
		}
	}
}

// TestNothing: an empty file, and sections without lines, are the defaults.
func TestNothing(t *testing.T) {
	for _, text := range []string{"", "\n\n# nothing\n", "---\n", "gateway:\n", "gateway:\n  rules:\n  # - {from: a.example}\nsign:\nreports:\n  failure:\n", "\ufeff", "gateway: {}\n"} {
		c, err := Parse("sekimori.yaml", []byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(Default(), c, byValue, byPrefix); diff != "" {
			t.Errorf("%q differs from the defaults:\n%s", text, diff)
		}
	}
}

// TestProblems: what is said of a mistake, and where.
func TestProblems(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"gateway:\n  lisen: unix:/run/a\n", `f.yaml:2:3: gateway: unknown key "lisen"; did you mean "listen"?`},
		{"gateway:\n  on-reject: refuse\n", `f.yaml:2:3: gateway: unknown key "on-reject"; did you mean "on_reject"?`},
		{"listen: unix:/run/a\n", `f.yaml:1:1: unknown key "listen"; it belongs under gateway`},
		{"gateway:\n  keep: {day: 3}\n", `f.yaml:2:10: gateway.keep: unknown key "day"; did you mean "days"?`},
		{"gateway:\n  keep: {purple: 3}\n", `f.yaml:2:10: gateway.keep: unknown key "purple"; known here: days, subjects`},
		{"gateway:\n  mode: monitor\n  mode: enforce\n", `f.yaml:3:3: gateway: "mode" is there twice: it stands in line 2 already`},
		{"gateway:\n  mode: enforced\n", `f.yaml:2:9: gateway.mode: "enforced" is none of monitor, enforce; did you mean "enforce"?`},
		{"gateway:\n  mode:\n", `f.yaml:2:8: gateway.mode: empty: write a value, or delete the line`},
		{"gateway:\n  on_quarantine: refuse\n", `f.yaml:2:18: gateway.on_quarantine: "refuse" is none of quarantine, mark`},
		{"gateway:\n  listen: [unix:run/a, 8025]\n", `f.yaml:2:12: gateway.listen: "unix:run/a": the path of a socket must begin with "/"` + "\n" + `f.yaml:2:24: gateway.listen: "8025": want unix:PATH or tcp:HOST:PORT`},
		{"gateway:\n  listen: tcp:localhost:99999\n", `f.yaml:2:11: gateway.listen: "tcp:localhost:99999": the port must be a number from 0 to 65535`},
		{"gateway:\n  http: 8026\n", `f.yaml:2:9: gateway.http: "8026": want HOST:PORT, such as 127.0.0.1:8026 or [::1]:8026`},
		{"gateway:\n  socket: {mode: 999}\n", `f.yaml:2:18: gateway.socket.mode: "999" are no permissions: write them as "0660"`},
		{"gateway:\n  networks: [10.0.0.1/8, ten, 0.0.0.0/0, '::ffff:10.0.0.0/104']\n", `f.yaml:2:14: gateway.networks: "10.0.0.1/8" has bits beyond its length: did you mean 10.0.0.0/8, or the address 10.0.0.1?
f.yaml:2:26: gateway.networks: "ten" is no network: write it as 192.0.2.0/24 or 2001:db8::/32
f.yaml:2:31: gateway.networks: 0.0.0.0/0 is everybody: then no mail would be verified, and everybody's be signed
f.yaml:2:42: gateway.networks: "::ffff:10.0.0.0/104": write the IPv4 network itself, without "::ffff:"`},
		{"gateway:\n  bimi: yes\n", `f.yaml:2:9: gateway.bimi: "yes" is neither true nor false`},
		{"gateway:\n  keep: {days: 1}\n", `f.yaml:2:16: gateway.keep.days: "1" is no whole number from 2 to 3650`},
		{"gateway:\n  rules:\n    - {action: refuse}\n", `f.yaml:3:7: gateway.rules: a rule without a condition: add network, forwarder, list, sealer, from or mail_from`},
		{"gateway:\n  rules:\n    - {forwarder: , from: a.example}\n", `f.yaml:3:19: gateway.rules.forwarder: empty: write a value, or delete the line`},
		{"gateway:\n  rules:\n    - from: info@a.example\n", `f.yaml:3:13: gateway.rules.from: "info@a.example": an address, where a domain belongs: write what stands behind the @`},
		{"gateway:\n  rules:\n    - from: '*.a.example'\n", `f.yaml:3:13: gateway.rules.from: "*.a.example": no wildcards: a domain stands for all below it, too, where that makes sense`},
		{"gateway:\n  explain_url: mx.example/why\n", `f.yaml:2:16: gateway.explain_url: "mx.example/why" is no web address: write it as https://mx.example.jp/why`},
		{"gateway:\n  explain_url: https://市.example/why\n", `f.yaml:2:16: gateway.explain_url: "https://市.example/why": mail servers read ASCII only: write the host as an A-label (xn--…), and the rest percent-encoded`},
		{"sign:\n  - {domain: a.example, key: k.pem}\n", `f.yaml:2:5: sign: this entry lacks selector: each has domain, selector and key`},
		{"sign:\n  - {domain: a.example, selector: s._domainkey.a.example, key: k.pem}\n", `f.yaml:2:35: sign.selector: "s._domainkey.a.example" is the name of the whole record: write "s" alone`},
		{"sign:\n  - {domain: a.example, selector: s, key: k}\n  - {domain: A.example., selector: S, key: l}\n", `f.yaml:3:5: sign: s._domainkey.a.example is there twice: it stands in line 2 already`},
		{"reports: {send: true}\n", `f.yaml:1:17: reports.send: reports name their sender: add reports.organization` + "\n" + `f.yaml:1:17: reports.send: reports name their sender: add reports.email`},
		{"reports: {send: true, organization: O, email: nobody}\n", `f.yaml:1:47: reports.email: "nobody": want an address, such as dmarc-reports@example.jp`},
		{"reports: {smtp: 'smtp://a'}\n", `f.yaml:1:17: reports.smtp: "smtp://a": a URL: write HOST:PORT`},
		{"reports: {opt_out: ['a b']}\n", `f.yaml:1:21: reports.opt_out: "a b": want a domain or an address:`},
		{"reminders: true\n", `f.yaml:1:12: reminders: reminders are mails: add alerts.from, the address that they come from`},
		{"alerts: {webhook: 'http://hooks.example/x'}\n", `f.yaml:1:19: alerts.webhook: "http://hooks.example/x" is not encrypted: write https://…, or an address of this host`},
		{"alerts: {webhook: 'https://u:p@hooks.example/x'}\n", `f.yaml:1:19: alerts.webhook: "https://u:p@hooks.example/x": the address alone, without a password before the host or "#"`},
		{"alerts: {url: sekimori.example}\n", `f.yaml:1:15: alerts.url: "sekimori.example" is no web address: write it as https://sekimori.example.jp`},
		{"alerts: {mail: [a, b@c.example]}\n", `f.yaml:1:17: alerts.mail: "a": want an address`},
		{"letters: {address: a}\n", `f.yaml:1:20: letters.address: "a": want an address`},
		{"- a\n", `f.yaml:1:1: want keys and values here, such as "advise: …"`},
		{"gateway: on\n", `f.yaml:1:10: gateway: want keys and values here, such as "authserv_id: …"`},
		{"gateway: {mode: [monitor]}\n", `f.yaml:1:17: gateway.mode: want one value here, not a list or further keys`},
		{"gateway: {rules: [~]}\n", `f.yaml:1:19: gateway.rules: an empty entry: write a value, or delete the line`},
		{"a: &x {mode: monitor}\ngateway:\n  <<: *x\n", `f.yaml:1:1: unknown key "a"; known here: advise, alerts, gateway, letters, reminders, reports, sign` + "\n" + `f.yaml:3:3: gateway: merging with "<<" is not done here: write the keys out`},
		{"gateway:\n\tmode: monitor\n", `f.yaml:2:1: the line is indented with a tab: YAML wants spaces`},
		{"gateway:\n  mode：monitor\n  http: a\n", `f.yaml:2:7: a full-width colon: write ":" and a space`},
		{"gateway:\n  mode: [monitor\n", `f.yaml:`},
		{"gateway: {}\n---\nsign: []\n", `f.yaml:2:`},
		{"gateway:\n  # \x82\xa0\n", `f.yaml:2:1: this line is not in UTF-8: save the file in UTF-8, not in Shift_JIS or EUC-JP`},
	} {
		_, err := Parse("f.yaml", []byte(c.text))
		var all Errors
		if !errors.As(err, &all) {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
			continue
		}
		if got := err.Error(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q:\n%s\nwant\n%s", c.text, got, c.want)
		}
	}
}

// TestAllAtOnce: mistakes all over a file are told together, by line.
func TestAllAtOnce(t *testing.T) {
	_, err := Parse("f.yaml", []byte("reports: {tls: maybe}\ngateway:\n  mode: off\n  rules:\n    - {from: a.example, action: burn}\nsing: []\n"))
	var all Errors
	if !errors.As(err, &all) || len(all) != 4 {
		t.Fatalf("%v", err)
	}
	if !slices.IsSortedFunc(all, func(a, b Problem) int { return a.Line - b.Line }) {
		t.Errorf("not in order:\n%v", err)
	}
	var b strings.Builder
	for i := range 500 {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	if _, err := Parse("f.yaml", []byte(b.String())); strings.Count(err.Error(), "\n") != maxProblems || !strings.HasSuffix(err.Error(), "f.yaml: and 450 more") {
		t.Errorf("500 mistakes: %v", err)
	}
}

// TestValues: other forms of values that are right.
func TestValues(t *testing.T) {
	c, err := Parse("/etc/sekimori/f.yaml", []byte(`
gateway:
  listen: ["inet:8025@localhost", "local:/run/a.sock", "tcp:[::1]:0", "inet:8026@192.0.2.1"]
  http: :8026
  socket: {mode: 0600, group: 104}
  authserv_id: 受信.example
  networks: 192.0.2.1
  rules:
    - from: 例え.テスト
sign:
  domain: a.example
  selector: 2026
  key: keys/a.pem
reports: {send: true, organization: 例市, email: d@b.a.example, smtp: mail.example, opt_out: ['@C.example', 'D@e.example'], contact: help@a.example}
`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"tcp:localhost:8025", "unix:/run/a.sock", "tcp:[::1]:0", "tcp:192.0.2.1:8026"}, c.Gateway.Listen); diff != "" {
		t.Error(diff)
	}
	if len(c.Warnings) != 2 || !strings.Contains(c.Warnings[1].String(), "gateway.http: :8026 can be reached") || !strings.Contains(c.Warnings[0].String(), "/etc/sekimori/f.yaml:3:71: gateway.listen: inet:8026@192.0.2.1 can be reached from elsewhere") {
		t.Errorf("warnings: %v", c.Warnings)
	}
	for _, s := range [][2]string{
		{c.Gateway.HTTP, ":8026"}, {c.Gateway.Socket.Group, "104"}, {c.Gateway.Socket.Mode.String(), "-rw-------"},
		{c.Gateway.Site.AuthServID, "xn--vuq69g.example"}, {c.Gateway.Site.Networks[0].String(), "192.0.2.1/32"},
		{c.Gateway.Site.Rules[0].From.String(), "xn--r8jz45g.xn--zckzah"}, {c.Sign[0].Selector, "2026"}, {c.Sign[0].File, "/etc/sekimori/keys/a.pem"},
		{c.Reports.SMTP, "mail.example:25"}, {strings.Join(c.Reports.OptOut, " "), "c.example D@e.example"},
	} {
		if s[0] != s[1] {
			t.Errorf("%q, want %q", s[0], s[1])
		}
	}
	// The section that the warning needs may come later.
	c, err = Parse("f.yaml", []byte("reports: {send: true, organization: O, email: d@a.example}\nsign: [{domain: a.example, selector: s, key: k}]\n"))
	if err != nil || c.Warnings != nil {
		t.Errorf("%v %v", err, c.Warnings)
	}
	c, err = Parse("f.yaml", []byte("reports: {send: true, organization: O, email: d@a.example}\n"))
	if err != nil || len(c.Warnings) != 1 {
		t.Errorf("unsigned reports: %v %v", err, c.Warnings)
	}
}

// TestAliases: a name ("*a") stands for its value, and many of them do not
// cost more than they say.
func TestAliases(t *testing.T) {
	c, err := Parse("f.yaml", []byte("gateway:\n  networks: &ours [192.0.2.0/24]\n  rules:\n    - &r {from: a.example}\n    - *r\n"))
	if err != nil || len(c.Gateway.Site.Rules) != 2 {
		t.Fatalf("%v %v", err, c.Gateway.Site.Rules)
	}
	bomb := "gateway:\n  networks: &a [" + strings.Repeat("x,", 900) + "x]\n  listen: [" + strings.Repeat("*a,", 15) + "*a]\n  rules: [" + strings.Repeat("*a,", 9000) + "*a]\n"
	if _, err := Parse("f.yaml", []byte(bomb)); err == nil {
		t.Error("no error")
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	for file, want := range map[string]string{dir: "is a folder", filepath.Join(dir, "none.yaml"): "no such file"} {
		if _, err := Read(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
	large := filepath.Join(dir, "large.yaml")
	if err := os.WriteFile(large, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(large); err == nil || !strings.Contains(err.Error(), "this is no configuration") {
		t.Error(err)
	}
}

// FuzzParse: nothing makes the reader fail in another way than by its errors,
// and each of them says where.
func FuzzParse(f *testing.F) {
	if text, err := os.ReadFile(filepath.Join("..", "..", "examples", "sekimori.yaml")); err == nil {
		f.Add(string(text))
	}
	f.Add("gateway:\n  listen: [unix:/a, *b]\n  <<: &b {}\n")
	f.Add("sign: [{domain: a.example, selector: s, key: k}]\n---\n")
	f.Add("reports: {send: true}\n")
	f.Add("gateway: !!binary aGVsbG8=\n? [a]\n: b\n")
	f.Add("a: &a [*a]\ngateway: *a\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("f.yaml", []byte(text))
		if err != nil {
			var all Errors
			if !errors.As(err, &all) || len(all) == 0 || len(all) > maxProblems+1 {
				t.Fatalf("%T: %v", err, err)
			}
			for _, p := range all {
				if p.Text == "" || p.Line < 0 || p.Line > 0 && p.Column <= 0 {
					t.Fatalf("%+v", p)
				}
			}
			return
		}
		for _, s := range c.Gateway.Listen {
			if again, _, err := ParseListen(s); err != nil || again != s {
				t.Fatalf("%q is read as %q: %v", s, again, err)
			}
		}
		for _, r := range c.Gateway.Site.Rules {
			r.Action, r.Reason = "", ""
			if r == (gateway.Rule{}) {
				t.Fatal("a rule without a condition")
			}
		}
	})
}
