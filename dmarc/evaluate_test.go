package dmarc_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"sekimori/dmarc"
	"sekimori/dns"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/locale"
	"sekimori/message"
)

// zoneOf reads "name|text" lines; "!" is a name that does not answer, "+" one
// that exists without TXT records. The text of a record may be doubled with
// " || ".
func zoneOf(lines ...string) *zone {
	z := &zone{txt: map[string][]string{}, exists: map[string]bool{}, fails: map[string]error{}}
	for _, l := range lines {
		n, txt, _ := strings.Cut(l, "|")
		switch txt {
		case "!":
			z.fails[n] = dns.ErrTemporary
		case "+":
			z.exists[n] = true
		default:
			z.txt[n] = strings.Split(txt, " || ")
		}
	}
	return z
}

// ids reads "dkim:example.com spf:example.com?", where "?" is Temporary.
func ids(t testing.TB, s string) []dmarc.Identifier {
	var out []dmarc.Identifier
	for _, w := range strings.Fields(s) {
		m, d, _ := strings.Cut(w, ":")
		d, temporary := strings.CutSuffix(d, "?")
		out = append(out, dmarc.Identifier{Method: m, Domain: name(t, d), Temporary: temporary})
	}
	return out
}

func codes(steps []explain.Step) []string {
	var out []string
	for _, s := range steps {
		out = append(out, strings.TrimPrefix(s.Code, "dmarc."))
		out = append(out, codes(s.Children)...)
	}
	return out
}

// spoken checks that both languages have a full sentence for every step.
func spoken(t *testing.T, steps []explain.Step) {
	t.Helper()
	for _, s := range steps {
		for _, l := range locale.Langs {
			if text := l.Step(s); strings.Contains(text, "⟦") {
				t.Errorf("%s: %s", l, text)
			}
		}
		if s.Ref == "" {
			t.Errorf("%s names no clause", s.Code)
		}
		spoken(t, s.Children)
	}
}

// TestEvaluate: a zone, an author, what passed; the result as "status policy
// tag@domain disposition organizational by", and steps that must be there.
func TestEvaluate(t *testing.T) {
	rfc9989 := dmarc.Options{}
	rfc7489 := dmarc.Options{Method: dmarc.PSL}
	for _, tt := range []struct {
		why     string
		options dmarc.Options
		zone    []string
		author  string
		ids     string
		want    string
		steps   string
	}{
		// §5.3.5, one aligned pass is enough.
		{"both", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject"}, "example.com", "spf:example.com dkim:example.com",
			"pass reject p@example.com none example.com spf,dkim", "record-own aligned-same pass"},
		{"one foreign", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject"}, "example.com", "spf:example.net dkim:example.com",
			"pass reject p@example.com none example.com dkim", "unaligned pass"},
		{"below, relaxed", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject"}, "example.com", "spf:bounce.example.com",
			"pass reject p@example.com none example.com spf", "aligned-relaxed pass"},
		{"above, relaxed", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject"}, "mail.example.com", "dkim:example.com",
			"pass reject p@example.com none example.com dkim", "record-inherited policy-subdomain aligned-relaxed"},
		{"nothing passed", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject"}, "example.com", "",
			"fail reject p@example.com reject example.com ", "nothing-passed fail do-reject"},
		{"foreign", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=quarantine"}, "example.com", "dkim:example.net spf:other.com",
			"fail quarantine p@example.com quarantine example.com ", "unaligned fail do-quarantine"},
		{"none changes nothing, §5.4", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=none"}, "example.com", "",
			"fail none p@example.com none example.com ", "fail do-none"},
		// Strict, for each mechanism by itself.
		{"adkim=s", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject; adkim=s"}, "example.com", "dkim:mail.example.com",
			"fail reject p@example.com reject example.com ", "unaligned-strict"},
		{"adkim=s leaves SPF", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject; adkim=s"}, "example.com", "dkim:mail.example.com spf:mail.example.com",
			"pass reject p@example.com none example.com spf", "unaligned-strict aligned-relaxed"},
		{"aspf=s", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject; aspf=s"}, "example.com", "spf:mail.example.com",
			"fail reject p@example.com reject example.com ", "unaligned-strict"},
		{"strict, inherited", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject; adkim=s"}, "mail.example.com", "dkim:example.com",
			"fail reject p@example.com reject example.com ", "unaligned-strict"},
		{"strict, inherited, equal", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject; adkim=s"}, "mail.example.com", "dkim:mail.example.com",
			"pass reject p@example.com none example.com dkim", "aligned-same"},
		// §4.10.2: equal names and a record there: that is the Organizational Domain.
		{"equal, deep", rfc9989, []string{"_dmarc.mail.example.com|v=DMARC1; p=none", "_dmarc.example.com|v=DMARC1; p=reject"}, "mail.example.com", "spf:mail.example.com",
			"pass none p@mail.example.com none mail.example.com spf", ""},
		{"not equal, deep", rfc9989, []string{"_dmarc.mail.example.com|v=DMARC1; p=none", "_dmarc.example.com|v=DMARC1; p=reject"}, "mail.example.com", "spf:other.example.com",
			"pass none p@mail.example.com none example.com spf", ""},
		// §4.10.1: a record between the two is never the policy.
		{"intermediate", rfc9989, []string{"_dmarc.b.example.com|v=DMARC1; p=reject", "_dmarc.example.com|v=DMARC1; p=none; sp=quarantine"}, "a.b.example.com", "",
			"fail quarantine sp@example.com quarantine example.com ", ""},
		{"psd=n below", rfc9989, []string{"_dmarc.b.example.com|v=DMARC1; p=reject; psd=n", "_dmarc.example.com|v=DMARC1; p=none"}, "a.b.example.com", "dkim:example.com",
			"fail reject p@b.example.com reject b.example.com ", "unaligned"},
		// psd=y: the policy of the registry, only where the organization has none.
		{"psd=y", rfc9989, []string{"_dmarc.bank.example|v=DMARC1; p=reject; psd=y"}, "mail.giant.bank.example", "dkim:giant.bank.example",
			"pass reject p@bank.example none giant.bank.example dkim", "record-psd"},
		{"psd=y, another below it", rfc9989, []string{"_dmarc.bank.example|v=DMARC1; p=reject; psd=y"}, "mail.giant.bank.example", "dkim:mega.bank.example",
			"fail reject p@bank.example reject giant.bank.example ", "unaligned"},
		{"psd=y, organization has one", rfc9989, []string{"_dmarc.bank.example|v=DMARC1; p=reject; psd=y", "_dmarc.giant.bank.example|v=DMARC1; p=none"}, "mail.giant.bank.example", "",
			"fail none p@giant.bank.example none giant.bank.example ", "record-inherited"},
		{"psd=y, mail of the registry itself", rfc9989, []string{"_dmarc.bank.example|v=DMARC1; p=reject; psd=y"}, "bank.example", "dkim:giant.bank.example",
			"fail reject p@bank.example reject bank.example ", "record-own unaligned-organizational"},
		{"identifier that is the psd", rfc9989, []string{"_dmarc.bank.example|v=DMARC1; p=reject; psd=y"}, "giant.bank.example", "dkim:bank.example",
			"fail reject p@bank.example reject giant.bank.example ", "unaligned"},
		{"psd=y passed over by the walk", rfc9989, []string{"_dmarc.c.d.e.f.g.h.example|v=DMARC1; p=reject; psd=y"}, "a.a.b.c.d.e.f.g.h.example", "dkim:x.b.c.d.e.f.g.h.example",
			"pass reject p@c.d.e.f.g.h.example none b.c.d.e.f.g.h.example dkim", "record-psd aligned-relaxed"},
		// Several records are as good as none, and the walk goes on.
		{"several at the author", rfc9989, []string{"_dmarc.mail.example.com|v=DMARC1; p=none || v=DMARC1; p=none;", "_dmarc.example.com|v=DMARC1; p=reject"}, "mail.example.com", "",
			"fail reject p@example.com reject example.com ", "records-several record-inherited"},
		{"several, and nothing above", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=none || v=DMARC1; p=none;"}, "example.com", "dkim:example.com",
			"none  @ none example.com ", "records-several no-record"},
		{"other texts beside", rfc9989, []string{"_dmarc.example.com|v=spf1 -all || v=DMARC1; p=reject || v=dmarc1; p=none"}, "example.com", "",
			"fail reject p@example.com reject example.com ", ""},
		{"several, RFC 7489", rfc7489, []string{"_dmarc.mail.example.com|v=DMARC1; p=none || v=DMARC1; p=none;", "_dmarc.example.com|v=DMARC1; p=reject"}, "mail.example.com", "",
			"none  @ none example.com ", "records-several-end"},
		{"several above, RFC 7489", rfc7489, []string{"_dmarc.example.com|v=DMARC1; p=none || v=DMARC1; p=none;"}, "mail.example.com", "",
			"none  @ none example.com ", "records-several-end"},
		// sp and np.
		{"sp", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=none; sp=reject; np=quarantine", "mail.example.com|+"}, "mail.example.com", "",
			"fail reject sp@example.com reject example.com ", "author-exists policy-subdomain"},
		{"np", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=none; sp=quarantine; np=reject"}, "mail.example.com", "",
			"fail reject np@example.com reject example.com ", "author-missing"},
		{"np, an empty non-terminal", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=none; np=reject", "a.mail.example.com|+"}, "mail.example.com", "",
			"fail none p@example.com none example.com ", "author-exists"},
		{"np, something below _dmarc", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=none; np=reject", "x._dmarc.mail.example.com|+"}, "mail.example.com", "",
			"fail none p@example.com none example.com ", "author-exists"},
		{"np, not for the domain itself", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=none; np=reject"}, "example.com", "",
			"fail none p@example.com none example.com ", "policy-own"},
		{"np, the DNS fails", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=none; np=reject", "mail.example.com|!"}, "mail.example.com", "dkim:example.com",
			"temperror  @ none  ", "dns-failed"},
		{"np, the DNS fails and it does not matter", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject; np=reject", "mail.example.com|!"}, "mail.example.com", "",
			"fail reject p@example.com reject example.com ", ""},
		{"np, unknown to RFC 7489", rfc7489, []string{"_dmarc.example.com|v=DMARC1; p=none; np=reject"}, "mail.example.com", "",
			"fail none p@example.com none example.com ", ""},
		// t and pct.
		{"t=y, reject", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject; t=y"}, "example.com", "",
			"fail reject p@example.com quarantine example.com ", "testing do-quarantine"},
		{"t=y, quarantine", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=quarantine; t=y"}, "example.com", "",
			"fail quarantine p@example.com none example.com ", "testing do-none"},
		{"t=y, none", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=none; t=y"}, "example.com", "",
			"fail none p@example.com none example.com ", "do-none"},
		{"t=y, pass", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject; t=y"}, "example.com", "spf:example.com",
			"pass reject p@example.com none example.com spf", "pass"},
		{"t=y, unknown to RFC 7489", rfc7489, []string{"_dmarc.example.com|v=DMARC1; p=reject; t=y"}, "example.com", "",
			"fail reject p@example.com reject example.com ", "do-reject"},
		{"pct is historic", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject; pct=0"}, "example.com", "",
			"fail reject p@example.com reject example.com ", "do-reject"},
		{"pct=0, RFC 7489", rfc7489, []string{"_dmarc.example.com|v=DMARC1; p=reject; pct=0"}, "example.com", "",
			"fail reject p@example.com quarantine example.com ", "sampled-out do-quarantine"},
		{"pct=50, RFC 7489, no sampling", rfc7489, []string{"_dmarc.example.com|v=DMARC1; p=quarantine; pct=50"}, "example.com", "",
			"fail quarantine p@example.com quarantine example.com ", "sampled-in"},
		// §4.10.1: rua rescues a bad policy.
		{"bad p", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=bad"}, "example.com", "",
			"none  @ none example.com ", "policy-unusable"},
		{"bad p, rua", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=bad; rua=mailto:a@example.com"}, "example.com", "",
			"fail none p@example.com none example.com ", "policy-rescued"},
		{"bad p, bad rua", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=bad; rua=a@example.com"}, "example.com", "",
			"none  @ none example.com ", "policy-unusable"},
		{"bad sp, rua", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject; sp=bad; rua=mailto:a@example.com"}, "example.com", "",
			"fail none p@example.com none example.com ", "policy-rescued"},
		{"bad np", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject; np=bad"}, "example.com", "",
			"none  @ none example.com ", "policy-unusable"},
		{"bad np, unknown to RFC 7489", rfc7489, []string{"_dmarc.example.com|v=DMARC1; p=reject; np=bad"}, "example.com", "",
			"fail reject p@example.com reject example.com ", ""},
		{"a bad record of its own hides that above", rfc9989, []string{"_dmarc.mail.example.com|v=DMARC1; p=bad", "_dmarc.example.com|v=DMARC1; p=reject"}, "mail.example.com", "",
			"none  @ none example.com ", "policy-unusable"},
		// The two readings of a missing p.
		{"no p", rfc9989, []string{"_dmarc.example.com|v=DMARC1; sp=reject"}, "example.com", "",
			"none  @ none example.com ", "policy-unusable"},
		{"no p, rua", rfc9989, []string{"_dmarc.example.com|v=DMARC1; sp=reject; rua=mailto:a@example.com"}, "mail.example.com", "",
			"fail none p@example.com none example.com ", "policy-rescued"},
		{"no p, §4.7", dmarc.Options{MissingPolicy: dmarc.AsNone}, []string{"_dmarc.example.com|v=DMARC1"}, "example.com", "",
			"fail none p@example.com none example.com ", "policy-missing policy-own"},
		{"no p, §4.7, sp", dmarc.Options{MissingPolicy: dmarc.AsNone}, []string{"_dmarc.example.com|v=DMARC1; sp=reject"}, "mail.example.com", "",
			"fail reject sp@example.com reject example.com ", "policy-missing policy-subdomain"},
		{"bad p, §4.7", dmarc.Options{MissingPolicy: dmarc.AsNone}, []string{"_dmarc.example.com|v=DMARC1; p=bad"}, "example.com", "",
			"none  @ none example.com ", "policy-unusable"},
		{"no p, bad sp, §4.7", dmarc.Options{MissingPolicy: dmarc.AsNone}, []string{"_dmarc.example.com|v=DMARC1; sp=bad"}, "example.com", "",
			"none  @ none example.com ", "policy-unusable"},
		// The readings of a repeated tag.
		{"p twice", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject; p=none"}, "example.com", "",
			"fail reject p@example.com reject example.com ", "tag-repeated"},
		{"p twice, last", dmarc.Options{Duplicates: dmarc.LastTag}, []string{"_dmarc.example.com|v=DMARC1; p=reject; p=none"}, "example.com", "",
			"fail none p@example.com none example.com ", "tag-repeated"},
		{"p twice, last bad", dmarc.Options{Duplicates: dmarc.LastTag}, []string{"_dmarc.example.com|v=DMARC1; p=reject; p=bad"}, "example.com", "",
			"none  @ none example.com ", "policy-unusable"},
		{"psd twice, last", dmarc.Options{Duplicates: dmarc.LastTag}, []string{"_dmarc.example.com|v=DMARC1; p=reject; psd=n; psd=x", "_dmarc.com|v=DMARC1; p=none"}, "example.com", "dkim:other.com",
			"pass reject p@example.com none com dkim", "tag-repeated"},
		{"all twice, last", dmarc.Options{Duplicates: dmarc.LastTag}, []string{"_dmarc.example.com|v=DMARC1; p=reject; t=y; t=n; adkim=s; adkim=x; aspf=r; aspf=s"}, "example.com", "spf:a.example.com",
			"fail reject p@example.com reject example.com ", "tag-repeated unaligned-strict"},
		{"x twice, invalid", dmarc.Options{Duplicates: dmarc.InvalidRecord}, []string{"_dmarc.example.com|v=DMARC1; p=reject; x=1; x=2"}, "example.com", "",
			"none  @ none example.com ", "record-invalid no-record"},
		{"invalid and a valid one", dmarc.Options{Duplicates: dmarc.InvalidRecord}, []string{"_dmarc.example.com|v=DMARC1; p=reject; p=none || v=DMARC1; p=quarantine"}, "example.com", "",
			"fail quarantine p@example.com quarantine example.com ", "record-own"},
		// §5.3.6: errors of the DNS.
		{"author fails", rfc9989, []string{"_dmarc.example.com|!"}, "example.com", "dkim:example.com",
			"temperror  @ none  ", "dns-failed"},
		{"above fails", rfc9989, []string{"_dmarc.com|!", "_dmarc.example.com|v=DMARC1; p=reject"}, "mail.example.com", "dkim:mail.example.com",
			"temperror  @ none  ", "dns-failed"},
		{"above fails, and is not needed", rfc9989, []string{"_dmarc.com|!", "_dmarc.example.com|v=DMARC1; p=reject"}, "example.com", "dkim:example.com",
			"pass reject p@example.com none example.com dkim", "pass"},
		{"above fails, nothing could be aligned", rfc9989, []string{"_dmarc.com|!", "_dmarc.example.com|v=DMARC1; p=reject"}, "example.com", "dkim:example.net",
			"fail reject p@example.com reject  ", "fail"},
		{"above fails, and something could", rfc9989, []string{"_dmarc.com|!", "_dmarc.example.com|v=DMARC1; p=reject"}, "example.com", "dkim:mail.example.com",
			"temperror reject p@example.com none  ", "organizational-failed alignment-failed undecided"},
		{"above fails, and psd=n ends before", rfc9989, []string{"_dmarc.com|!", "_dmarc.example.com|v=DMARC1; p=reject; psd=n"}, "mail.example.com", "dkim:example.com",
			"pass reject p@example.com none example.com dkim", ""},
		{"the identifier fails", rfc9989, []string{"_dmarc.mail.example.com|!", "_dmarc.example.com|v=DMARC1; p=reject"}, "example.com", "dkim:mail.example.com",
			"temperror reject p@example.com none example.com ", "alignment-failed undecided"},
		{"the identifier fails, another passes", rfc9989, []string{"_dmarc.mail.example.com|!", "_dmarc.example.com|v=DMARC1; p=reject"}, "example.com", "dkim:mail.example.com spf:example.com",
			"pass reject p@example.com none example.com spf", "alignment-failed pass"},
		{"a foreign identifier is not asked for", rfc9989, []string{"_dmarc.example.net|!", "_dmarc.example.com|v=DMARC1; p=reject"}, "example.com", "dkim:example.net",
			"fail reject p@example.com reject example.com ", ""},
		{"author fails, RFC 7489", rfc7489, []string{"_dmarc.example.com|!"}, "mail.example.com", "dkim:example.com",
			"temperror  @ none  ", "dns-failed"},
		// What could not be evaluated for now, and might have passed.
		{"temporary, aligned", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject"}, "example.com", "dkim:example.com?",
			"temperror reject p@example.com none example.com ", "identifier-temporary undecided"},
		{"temporary, aligned, relaxed", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject"}, "example.com", "spf:mail.example.com?",
			"temperror reject p@example.com none example.com ", "identifier-temporary undecided"},
		{"temporary, foreign", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject"}, "example.com", "dkim:example.net?",
			"fail reject p@example.com reject example.com ", "identifier-temporary fail"},
		{"temporary beside a pass", rfc9989, []string{"_dmarc.example.com|v=DMARC1; p=reject"}, "example.com", "dkim:example.com? spf:example.com",
			"pass reject p@example.com none example.com spf", "pass"},
		// RFC 7489: the list.
		{"list, relaxed", rfc7489, []string{"_dmarc.example.co.jp|v=DMARC1; p=none; sp=reject"}, "a.b.example.co.jp", "dkim:c.example.co.jp",
			"pass reject sp@example.co.jp none example.co.jp dkim", "record-inherited"},
		{"list, a suffix between", rfc7489, []string{"_dmarc.co.jp|v=DMARC1; p=reject"}, "example.co.jp", "",
			"none  @ none example.co.jp ", "no-record"},
		{"list, own record", rfc7489, []string{"_dmarc.a.example.co.jp|v=DMARC1; p=none"}, "a.example.co.jp", "spf:example.co.jp",
			"pass none p@a.example.co.jp none example.co.jp spf", ""},
		// An organization by walk where the list has none, and the reverse.
		{"walk, no registry in the DNS", rfc9989, []string{"_dmarc.example.co.jp|v=DMARC1; p=none"}, "a.example.co.jp", "dkim:other.co.jp",
			"fail none p@example.co.jp none example.co.jp ", "unaligned"},
		{"walk, a record on a suffix without psd", rfc9989, []string{"_dmarc.jp|v=DMARC1; p=none"}, "a.example.co.jp", "dkim:other.jp",
			"pass none p@jp none jp dkim", "aligned-relaxed"}, // the danger of §11.8
		{"no record", rfc9989, nil, "example.com", "dkim:example.com", "none  @ none example.com ", "no-record"},
		{"one label", rfc9989, []string{"_dmarc.jp|v=DMARC1; p=reject; psd=y"}, "jp", "dkim:jp",
			"pass reject p@jp none jp dkim", ""},
	} {
		for _, sequential := range []bool{false, true} {
			o := tt.options
			o.Sequential = sequential
			v := &dmarc.Verifier{Resolver: zoneOf(tt.zone...), Options: o}
			d := v.Discover(context.Background(), name(t, tt.author))
			r := v.Evaluate(context.Background(), d, ids(t, tt.ids))
			got := fmt.Sprintf("%s %s %s@%s %s %s %s", r.Status, r.Policy, r.PolicyTag, r.PolicyDomain, r.Disposition, r.Organizational, strings.Join(r.AlignedBy, ","))
			if got != tt.want {
				t.Errorf("%s:\n%s, want\n%s\n%v", tt.why, got, tt.want, codes(r.Steps))
			}
			for _, c := range strings.Fields(tt.steps) {
				if !slices.Contains(codes(r.Steps), c) {
					t.Errorf("%s: no step %s in %v", tt.why, c, codes(r.Steps))
				}
			}
			if (r.Err != nil) != (r.Status == dmarc.TempError && !strings.Contains(tt.ids, "?") && !strings.Contains(tt.why, "the identifier fails")) {
				t.Errorf("%s: %s with error %v", tt.why, r.Status, r.Err)
			}
			spoken(t, r.Steps)
		}
	}
}

// TestSample: RFC 7489 §6.6.4, with a caller's choice.
func TestSample(t *testing.T) {
	z := zoneOf("_dmarc.example.com|v=DMARC1; p=reject; pct=30")
	for _, in := range []bool{true, false} {
		v := &dmarc.Verifier{Resolver: z, Options: dmarc.Options{Method: dmarc.PSL}, Sample: func(p int) bool {
			if p != 30 {
				t.Errorf("asked for %d percent", p)
			}
			return in
		}}
		r := v.Evaluate(context.Background(), v.Discover(context.Background(), name(t, "example.com")), nil)
		want := dmarc.Quarantine
		if in {
			want = dmarc.Reject
		}
		if r.Disposition != want || r.SampledOut == in {
			t.Errorf("in the sample %v: %s, sampled out %v", in, r.Disposition, r.SampledOut)
		}
	}
}

// alias answers NXDOMAIN for a name that is an alias of nothing.
type alias struct{ *zone }

func (a alias) Lookup(ctx context.Context, n string, t dns.Type) (dns.Answer, error) {
	if n == "alias.example.com" {
		return dns.Answer{Name: "gone.example.net"}, dns.ErrNameNotFound
	}
	return a.zone.Lookup(ctx, n, t)
}

func TestExistsAlias(t *testing.T) {
	v := &dmarc.Verifier{Resolver: alias{zoneOf("_dmarc.example.com|v=DMARC1; p=none; np=reject")}}
	if d := v.Discover(context.Background(), name(t, "alias.example.com")); d.Tag != "p" {
		t.Errorf("an alias does not exist: %s", d.Tag)
	}
}

// TestLimits: beyond the limit, identifiers count as foreign.
func TestLimits(t *testing.T) {
	z := zoneOf("_dmarc.example.com|v=DMARC1; p=reject")
	v := &dmarc.Verifier{Resolver: z, Limits: dmarc.Limits{Identifiers: 2}}
	d := v.Discover(context.Background(), name(t, "example.com"))
	r := v.Evaluate(context.Background(), d, ids(t, "dkim:a.example.com dkim:b.example.com dkim:b.example.com spf:c.example.com dkim:example.com"))
	if got := fmt.Sprint(r.AlignedBy); got != "[dkim]" || !slices.Contains(codes(r.Steps), "identifiers-over") {
		t.Errorf("aligned by %v, steps %v", r.AlignedBy, codes(r.Steps))
	}
	for i, want := range []bool{true, true, true, false, true} {
		if r.Alignments[i].Aligned != want {
			t.Errorf("identifier %d: aligned %v", i, r.Alignments[i].Aligned)
		}
	}
	spoken(t, r.Steps)
	if n := len(z.queries()); n > 2+2 {
		t.Errorf("%d questions", n)
	}
}

// TestOutside: what others wrote is shown in one line, bounded, and harmless.
func TestOutside(t *testing.T) {
	bad := "v=DMARC1; p=reject; x=\x00\r\n\u202e日本" + strings.Repeat("長", 100)
	v := &dmarc.Verifier{Resolver: zoneOf("_dmarc.example.com|" + bad)}
	r := v.Evaluate(context.Background(), v.Discover(context.Background(), name(t, "example.com")), nil)
	shown, _ := r.Steps[0].Args["record"].(string)
	if len(shown) > 200 || strings.ContainsAny(shown, "\x00\r\n\u202e") || !strings.HasPrefix(shown, "v=DMARC1; p=reject; x=") || !utf8.ValidString(shown) {
		t.Errorf("%q", shown)
	}
	if r := v.Evaluate(context.Background(), v.Discover(context.Background(), domain.Name{}), nil); r.Status != dmarc.PermError {
		t.Errorf("no author: %s", r.Status)
	}
}

func header(t testing.TB, s string) message.Header {
	t.Helper()
	h, _, err := message.Read(strings.NewReader(s), 0)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestFromDomains: RFC 9989 §5.3.1.
func TestFromDomains(t *testing.T) {
	for _, tt := range []struct{ fields, domains, problem string }{
		{"From: a@example.com", "example.com", ""},
		{"from : A <a@Example.COM>", "example.com", ""},
		{"From: a@日本語.jp", "xn--wgv71a119e.jp", ""},
		{"From: a@xn--wgv71a119e.jp", "xn--wgv71a119e.jp", ""},
		{"From: a@example.com, b@EXAMPLE.com", "example.com", ""},
		{"From: group: a@example.com, b@example.com;", "example.com", ""},
		{"From: \"b@example.net\" <a@example.com>", "example.com", ""},
		{"From: (b@example.net) a@example.com", "example.com", ""},
		{"From: =?utf-8?q?b=40example.net?= <a@example.com>", "example.com", ""},
		{"From: \"x, y\"\r\n <a@example.com>", "example.com", ""},
		{"From: a@example.com, undisclosed", "example.com", ""},
		{"From: a@example.com, b@example.net", "example.com example.net", "from-several-domains"},
		{"From: a@example.com\r\nFrom: b@example.net", "example.com example.net", "from-several-domains"},
		{"From: a@example.com\r\nFROM: b@example.com", "example.com", "from-several-fields"},
		{"From: a@example.com\r\nFrom:", "example.com", "from-several-fields"},
		{"To: a@example.com", "", "from-missing"},
		{"From:", "", "from-no-domain"},
		{"From: \"Test User\"", "", "from-no-domain"},
		{"From: group:;", "", "from-no-domain"},
		{"From: <>", "", "from-no-domain"},
		{"From: a@[192.0.2.1]", "", "from-bad-domain"},
		{"From: a@" + strings.Repeat("a", 64) + ".example", "", "from-bad-domain"},
		{"From: a@example.com, b@[192.0.2.1]", "", "from-bad-domain"},
		{"From: a@exa$mple.com", "", "from-unreadable"},
		{"From: a@b@example.com", "", "from-unreadable"},
		{"From: <a@example.com> <b@example.net>", "", "from-unreadable"},
		{"From: a@example.com b@example.net", "", "from-unreadable"},
	} {
		names, problem := dmarc.FromDomains(header(t, tt.fields+"\r\n\r\n"))
		var got []string
		for _, n := range names {
			got = append(got, n.String())
		}
		code := ""
		if problem != nil {
			code = strings.TrimPrefix(problem.Code, "dmarc.")
			spoken(t, []explain.Step{*problem})
		}
		if strings.Join(got, " ") != tt.domains || code != tt.problem {
			t.Errorf("%q: %v, %q, want %q, %q", tt.fields, got, code, tt.domains, tt.problem)
		}
	}
	var many strings.Builder
	for i := range 500 {
		fmt.Fprintf(&many, "a@d%d.example, ", i)
	}
	names, problem := dmarc.FromDomains(header(t, "From: "+many.String()+"\r\n\r\n"))
	if len(names) != 64 || problem == nil || len(problem.Args["domains"].([]string)) != 11 {
		t.Errorf("%d domains, %v", len(names), problem)
	}
}

// TestEachAuthor: RFC 9989 §11.5, and the default of §5.3.1.
func TestEachAuthor(t *testing.T) {
	z := zoneOf("_dmarc.n.example|v=DMARC1; p=none", "_dmarc.q.example|v=DMARC1; p=quarantine", "_dmarc.r.example|v=DMARC1; p=reject",
		"_dmarc.rt.example|v=DMARC1; p=reject; t=y", "_dmarc.x.example|!")
	for _, tt := range []struct{ from, passed, want string }{
		{"a@n.example, a@q.example", "", "fail q.example quarantine quarantine"},
		{"a@q.example, a@r.example, a@n.example", "", "fail r.example reject reject"},
		{"a@rt.example, a@r.example", "", "fail r.example reject reject"},
		{"a@q.example, a@rt.example", "", "fail rt.example reject quarantine"},
		{"a@q.example, a@r.example", "dkim:r.example", "fail q.example quarantine quarantine"},
		{"a@q.example, a@r.example", "dkim:r.example spf:q.example", "pass q.example quarantine none"},
		{"a@q.example, a@nothing.example", "spf:q.example", "none nothing.example  none"},
		{"a@q.example, a@x.example", "spf:q.example", "temperror x.example  none"},
		{"a@q.example, a@x.example", "", "fail q.example quarantine quarantine"},
		{"a@n.example, a@1.example, a@2.example, a@3.example, a@r.example", "dkim:n.example", "permerror 1.example  none"},
		{"a@r.example, a@1.example, a@2.example, a@3.example, a@4.example", "", "fail r.example reject reject"},
		{"a@n.example\r\nFrom: a@n.example", "dkim:n.example", "pass n.example none none"},
		{"nobody", "", "permerror   none"},
	} {
		h := header(t, "From: "+tt.from+"\r\n\r\n")
		v := &dmarc.Verifier{Resolver: z, Options: dmarc.Options{EachAuthor: true}}
		r := v.Evaluate(context.Background(), v.DiscoverFrom(context.Background(), h), ids(t, tt.passed))
		if got := fmt.Sprintf("%s %s %s %s", r.Status, r.From, r.Policy, r.Disposition); got != tt.want {
			t.Errorf("%q: %s, want %s\n%v", tt.from, got, tt.want, codes(r.Steps))
		}
		spoken(t, r.Steps)
		// Unless asked for, no domain is evaluated.
		v.Options.EachAuthor = false
		r = v.Evaluate(context.Background(), v.DiscoverFrom(context.Background(), h), ids(t, tt.passed))
		if r.Status != dmarc.PermError || r.Disposition != dmarc.None || r.Reason.Code == "" {
			t.Errorf("%q by default: %s, %s", tt.from, r.Status, r.Disposition)
		}
	}
}

// FuzzFrom: whatever stands in From, the domains are names, each once, and
// there is exactly one of them or a reason.
func FuzzFrom(f *testing.F) {
	f.Add("a@example.com")
	f.Add("\"x\" <a@日本語.jp>, g: b@example.com;")
	f.Add("a@b@c\r\nFrom: d@e")
	f.Fuzz(func(t *testing.T, value string) {
		h, _, err := message.Read(strings.NewReader("From: "+value+"\r\n\r\n"), 0)
		if err != nil {
			return
		}
		names, problem := dmarc.FromDomains(h)
		if problem == nil && len(names) != 1 || len(names) > 64 {
			t.Fatalf("%q: %v, %v", value, names, problem)
		}
		for i, n := range names {
			if again := name(t, n.String()); again != n || slices.Contains(names[:i], n) {
				t.Fatalf("%q: %v", value, names)
			}
		}
	})
}

// What policy.dmarc tells: the policy after its options (RFC 9989 §9.1), on a
// pass as well.
func TestApplied(t *testing.T) {
	for _, c := range []struct {
		policy  dmarc.Policy
		testing bool
		want    dmarc.Policy
	}{
		{dmarc.Reject, false, dmarc.Reject}, {dmarc.Reject, true, dmarc.Quarantine},
		{dmarc.Quarantine, true, dmarc.None}, {dmarc.None, true, dmarc.None},
		{"", true, ""}, {"", false, ""},
	} {
		r := dmarc.Result{Policy: c.policy, Testing: c.testing}
		if got := r.Applied(); got != c.want {
			t.Errorf("%q, testing %v: %q, want %q", c.policy, c.testing, got, c.want)
		}
	}
}
