package dkim

import (
	"bytes"
	"crypto"
	"fmt"
	"math/rand/v2"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"sekimori/message"
	"sekimori/taglist"
)

// diffCases is how many cases the differential test makes; a quarter is signed
// by us, a quarter by them, and half is signed and then changed.
const diffCases = 20000

// disagreement is a kind of case on which go-msgauth and this package differ,
// and the clause by which ours is right, or why both may be.
type disagreement struct {
	name  string
	ours  Status // Pass, or anything else for "not pass"
	match func(msg string, r Result) bool
	why   string
	rare  bool // chance may leave it out
}

func tagMatches(pattern string) func(string, Result) bool {
	re := regexp.MustCompile(pattern)
	return func(msg string, _ Result) bool {
		f, _, _ := strings.Cut(msg, "\r\nFrom")
		return re.MatchString(f)
	}
}

func because(codes ...string) func(string, Result) bool {
	return func(_ string, r Result) bool {
		for _, c := range codes {
			if r.Reason.Code == c {
				return true
			}
		}
		return false
	}
}

var bareCR = regexp.MustCompile("\r([^\n]|$)")

// unpadded tells a signature of which b= or bh= lacks padding.
func unpadded(msg string, _ Result) bool {
	f, _, _ := strings.Cut(msg, "\r\nFrom")
	_, value, _ := strings.Cut(f, ":")
	list, _ := taglist.Parse(value)
	for _, t := range list {
		if (t.Name == "b" || t.Name == "bh") && len(taglist.Unfold(t.Value))%4 != 0 {
			return true
		}
	}
	return false
}

// strayLine tells a header section with a line that is neither a field nor the
// continuation of one.
func strayLine(msg string, _ Result) bool {
	for i, line := range strings.SplitAfter(msg, "\n") {
		switch {
		case strings.Trim(line, "\r\n") == "":
			return false
		case !message.IsFieldLine([]byte(line)) && (i == 0 || line[0] != ' ' && line[0] != '\t'):
			return true
		}
	}
	return false
}

var disagreements = []disagreement{
	{"l= that covers the body", Pass, tagMatches(`\bl=`),
		"go-msgauth refuses every l=; RFC 6376 §3.5 allows one that covers all", false},
	{"empty tag, name of a tag", Fail, because("dkim.tags-malformed"),
		"RFC 6376 §3.2: a tag-list has no empty tags, and names begin with a letter", false},
	{"i= in another case", Pass, tagMatches(`(?i)i=[^;]*@[a-z.]*EXAMPLE`),
		"names of domains have no case; go-msgauth compares octets", false},
	{"i= almost below d=", Fail, because("dkim.identity-outside", "dkim.tag-invalid"),
		"go-msgauth takes any i= that ends in \".\" and d=, as a local part does; RFC 6376 §3.5 wants a domain after @", false},
	{"white space inside a value", Fail, because("dkim.tag-invalid", "dkim.canonicalization-unknown", "dkim.algorithm-unknown"),
		"go-msgauth deletes white space everywhere; RFC 6376 §3.5 allows it in b, bh, h, i, q and z only", false},
	{"t= or x= beyond 64 bits", Pass, tagMatches(`\b[tx]=\d{19}`),
		"RFC 6376 §3.5: more than twelve digits are as good as infinite", false},
	{"x= not after t=", Fail, because("dkim.expires-before-created"),
		"RFC 6376 §3.5: x must be greater than t", false},
	{"key of two records", Pass, tagMatches(`s=two`),
		"RFC 6376 §3.6.2.2 leaves it open; go-msgauth refuses, we try them", false},
	{"v= not first in the key", Fail, because("dkim.key-version-place"),
		"RFC 6376 §3.6.1: it must be the first tag", false},
	{"t=s", Fail, because("dkim.key-strict-identity"),
		"go-msgauth does not look at t=s (RFC 6376 §3.6.1)", false},
	{"bare CR", Pass, func(msg string, _ Result) bool { return bareCR.MatchString(msg) },
		"a bare CR is neither white space nor a line end (RFC 6376 §2.8, §3.4.4); go-msgauth has it as both", true},
	{"bare CR", Fail, func(msg string, _ Result) bool { return bareCR.MatchString(msg) },
		"as above, the other way about", true},
	{"b= in another tag", Pass, tagMatches(`=[^;]*b\s*=|\wb\s*=`),
		"go-msgauth takes the first \"b=\" for the signature, wherever it stands; RFC 6376 §3.7 deletes the value of the tag", false},
	{"a line that is no field", Fail, strayLine,
		"the header section ends there and the body begins (RFC 5322 §2.1); go-msgauth has it as a field without a name", true},
	{"a line that is no field", Pass, strayLine,
		"as above, the other way about", true},
	{"no end of the header", Pass, func(msg string, _ Result) bool { return !strings.Contains(msg, "\r\n\r\n") },
		"the input may end with the header (RFC 5322 §2.1: the body is optional); go-msgauth wants the empty line", true},
	{"unpadded base64", Pass, unpadded,
		"RFC 6376 §2.10: the padding may be absent", false},
}

// drawn makes messages and mutations.
type drawn struct{ *rand.Rand }

func (r drawn) of(list ...string) string { return list[r.IntN(len(list))] }

func (r drawn) words(n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(r.of("a", "Hello", "会議", "x=1;", "https://example.jp/?q=1", "=E3=81=82", "b=", "longer-word", "=?UTF-8?B?5bGx?="))
		b.WriteString(r.of(" ", " ", " ", "  ", "\t", " \t ", "\r\n ", "\r\n\t"))
	}
	return b.String()
}

func (r drawn) header() string {
	fields := []string{"From:" + r.of(" ", "", "  ") + "a@example.jp\r\n"}
	for range r.IntN(7) {
		name := r.of("To", "Subject", "subject", "Cc", "Date", "Received", "X-Long-Header-Name", "MIME-Version", "Reply-To", "List-Id")
		v := r.words(r.IntN(5))
		v = strings.TrimRight(v, "\r\n\t ")
		fields = append(fields, name+":"+r.of(" ", "", "\t", "\r\n ")+v+r.of("", "", " ", "\t ")+"\r\n")
	}
	r.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return strings.Join(fields, "")
}

func (r drawn) body() string {
	var b strings.Builder
	for range r.IntN(12) {
		b.WriteString(r.of("", "text", " lead", "two  spaces", "tab\there", "trail \t", " ", "\t", ".", "日本語", strings.Repeat("y", 90)))
		b.WriteString(r.of("\r\n", "\r\n", "\r\n", "\r\n\r\n", "\n"))
	}
	b.WriteString(r.of("", "", "no end", "\r\n\r\n", " "))
	return b.String()
}

// mutate changes a signed message as a careless or a hostile hand may.
func (r drawn) mutate(msg string) string {
	head, rest, _ := strings.Cut(msg, "\r\nFrom")
	tag := func(from, to string) {
		if i := strings.Index(head, from); i >= 0 {
			head = head[:i] + to + head[i+len(from):]
		}
	}
	octet := func(s string) string {
		if s == "" {
			return s
		}
		i := r.IntN(len(s))
		return s[:i] + r.of(" ", "a", "Z", "\r\n ", "\t", ";", "=", ":", "0", "\r", "") + s[i+r.IntN(2):]
	}
	switch r.IntN(18) {
	case 0:
		head = octet(head)
	case 1:
		rest = octet(rest)
	case 2:
		tag("; ", r.of(";; ", ";", ";\r\n ", " ;  ", ";\r\n\t\r\n "))
	case 3:
		tag("v=1", r.of("v=2", "v=1 ", "v= 1", "V=1", "v=01"))
	case 4:
		tag("d=example.jp", r.of("d=EXAMPLE.jp", "d=example.jp.", "d=exa mple.jp", "d=example.com", "d=jp", "d= example.jp "))
	case 5:
		tag("s=", r.of("s=x", "s= ", "s=two; y=", "S="))
	case 6:
		tag("c=", r.of("c=x", "q=", "c= ", "n="))
	case 7:
		tag("relaxed", r.of("simple", "relaxed ", "Relaxed", "nowsp"))
	case 8:
		tag("simple", r.of("relaxed", " simple", "simple/"))
	case 9:
		tag("; h=", r.of("; l=0; h=", "; l=99999; h=", "; z=From:b=40; h=", "; i=@example.jp; h=", "; i=a.example.jp; h=", "; i=@EXAMPLE.jp; h=", "; q=dns/txt; h=", "; q=http; h=", "; x=99999999999; h=", "; x=1; h=", "; t=5; h="))
	case 10:
		tag("From", r.of("from", "FROM", "Frm", "From:From", "From : To", " From"))
	case 11:
		tag("b=", r.of("b= ", "b=A", "b=\r\n ", "b"))
	case 12:
		i := strings.LastIndexByte(head, '=')
		head = head[:i]
	case 13:
		rest = strings.Replace(rest, "\r\n", r.of("\n", "\r\n ", " \r\n", "\r\n\r\n", "\r\nTo: b@example.jp\r\n"), 1)
	case 14:
		rest = strings.Replace(rest, "  ", " ", 1)
	case 15:
		rest += r.of("\r\n", "\r\n\r\n", " ", "x", "\t\r\n", "\n", "\r")
	case 16:
		head = "Subject: new\r\n" + head
	case 17:
		rest = rest[:r.IntN(len(rest)+1)]
	}
	return head + "\r\nFrom" + rest
}

// oddity is the tags of a signature of letter, but for b.
func (r drawn) oddity() string {
	const d, h = "d=example.jp; ", "h=from; "
	return r.of(
		"l=15; v=1; a=ed25519-sha256; "+d+h, "l=5; v=1; a=ed25519-sha256; "+d+h, "v=1;; a=ed25519-sha256; "+d+h, "9x=1; v=1; a=ed25519-sha256; "+d+h,
		"i=a.example.jp; v=1; a=ed25519-sha256; "+d+h, "i=@x y.example.jp; v=1; a=ed25519-sha256; "+d+h, "v=1; a=ed25519 -sha256; "+d+h,
		"c=relaxed / simple; v=1; a=ed25519-sha256; "+d+h, "v=1; a=ed25519-sha256; "+d+"h=fr om; ", "v=1; a=ed25519-sha256; d=exam ple.jp; "+h,
		"x=9999999999999999999; v=1; a=ed25519-sha256; "+d+h, "t=999999999999; x=99999999999; v=1; a=ed25519-sha256; "+d+h, "x=1 9999999999; v=1; a=ed25519-sha256; "+d+h,
		"v=1; a=ed25519-sha256; "+d+"h=from:subject:from; ", "z=From:b=40c; v=1; a=ed25519-sha256; "+d+h, "n=b=; v=1; a=ed25519-sha256; "+d+h,
	) + "s=ed; bh=@"
}

func TestAgainstMsgauth(t *testing.T) {
	keys := map[string]crypto.Signer{"ed": edKey(), "r1": rsa1024(), "r2": rsa2048()}
	zone := records{}
	for sel, k := range keys {
		zone[sel+"._domainkey.example.jp"] = []string{record(k)}
	}
	strict := record(edKey())
	keys["strict"], keys["late"], keys["two"] = edKey(), edKey(), edKey()
	zone["strict._domainkey.example.jp"] = []string{"v=DKIM1; t=s; " + strict[9:]}
	zone["late._domainkey.example.jp"] = []string{strict[9:] + "; v=DKIM1"}
	zone["two._domainkey.example.jp"] = []string{record(otherEd()), strict}
	lookup := func(name string) ([]string, error) {
		if txt, ok := zone[strings.ToLower(name)]; ok {
			return txt, nil
		}
		return nil, fmt.Errorf("no such host")
	}
	ours := &Verifier{Resolver: zone}
	// What they say of the one signature: nil for a pass.
	theirs := func(msg string) error {
		res, err := msgauth.VerifyWithOptions(strings.NewReader(msg), &msgauth.VerifyOptions{LookupTXT: lookup})
		switch {
		case err != nil:
			return err
		case len(res) == 0:
			return fmt.Errorf("no signature")
		}
		return res[0].Err
	}
	r := drawn{rand.New(rand.NewPCG(20, 26))}
	seen := map[string]int{}
	unexplained, agreed, passed := 0, 0, 0
	start := time.Now()
	for n := range diffCases {
		sel := r.of("ed", "ed", "ed", "r1", "r1", "ed", "r1", "r2")
		if n%4 >= 2 && n%20 < 4 {
			sel = r.of("strict", "late", "two")
		}
		hc := message.Canonicalization(r.of("simple", "relaxed"))
		bc := message.Canonicalization(r.of("simple", "relaxed"))
		identity := r.of("", "", "@example.jp", "user@sub.example.jp")
		plain := r.header() + "\r\n" + r.body()
		var headers []string
		if r.IntN(2) == 0 {
			headers = []string{"From", "Subject", "to", "To", "Absent", "Received"}
		}
		var msg string
		if n%20 == 19 {
			// What no signer writes, rightly signed.
			plain, sel = letter, "ed"
			msg = forge(t, letter, r.oddity(), keys[sel])
		} else if n%4 == 1 {
			var out bytes.Buffer
			err := msgauth.Sign(&out, strings.NewReader(plain), &msgauth.SignOptions{
				Domain: "example.jp", Selector: sel, Identifier: identity, Signer: keys[sel], HeaderKeys: headers,
				HeaderCanonicalization: msgauth.Canonicalization(hc), BodyCanonicalization: msgauth.Canonicalization(bc)})
			if err != nil {
				t.Fatal(err)
			}
			msg = out.String()
		} else {
			msg = signed(t, plain, &Signer{Domain: name("example.jp"), Selector: sel, Key: keys[sel],
				Identity: identity, Headers: headers, HeaderCanon: hc, BodyCanon: bc, Now: at(testTime)})
		}
		if n%4 >= 2 && n%20 != 19 {
			for range 1 + r.IntN(2) {
				msg = r.mutate(msg)
			}
		}
		res := verify(t, ours, msg)
		var our Result
		our.Status = None
		if len(res) > 0 {
			our = res[0]
		}
		their := theirs(msg)
		if n%4 < 2 && (our.Status != Pass || their != nil) {
			t.Fatalf("case %d, unchanged: ours %s %s, theirs %v\n%q", n, our.Status, our.Reason.Code, their, msg)
		}
		if our.Status == Pass {
			passed++
		}
		if (our.Status == Pass) == (their == nil) {
			agreed++
			continue
		}
		known := false
		for _, d := range disagreements {
			if (d.ours == Pass) == (our.Status == Pass) && d.match(msg, our) {
				seen[d.name]++
				known = true
				break
			}
		}
		if !known {
			if unexplained++; unexplained <= 12 {
				t.Errorf("case %d: ours %s %s %v, theirs %v\n%q", n, our.Status, our.Reason.Code, our.Reason.Args, their, msg)
			}
		}
	}
	t.Logf("%d cases in %v: %d agreed, %d of them passes; disagreements, explained:", diffCases, time.Since(start).Round(time.Millisecond), agreed, passed)
	var names []string
	for name := range seen {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, d := range disagreements {
		if seen[d.name] == 0 && !d.rare {
			t.Errorf("nothing disagrees any more for %q: take it out", d.name)
		}
	}
	for _, name := range names {
		t.Logf("%5d  %s", seen[name], name)
	}
	if unexplained > 0 {
		t.Errorf("%d disagreements are unexplained", unexplained)
	}
}
