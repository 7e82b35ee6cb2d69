package survey

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"

	"sekimori/internal/require"
	"sekimori/internal/store"
)

// readText reads a whole list.
func readText(t testing.TB, text string, o Reading) (*List, *Text, []store.Entry, Count) {
	t.Helper()
	file, err := OpenText(strings.NewReader(text), int64(len(text)), "")
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewList(file.Rows, o)
	if err != nil {
		t.Fatal(err)
	}
	var entries []store.Entry
	n, err := l.Each(func(e store.Entry) error {
		if len(e.Attributes) != len(l.Attributes()) {
			t.Fatalf("line %d: %d attributes, want %d", e.Line, len(e.Attributes), len(l.Attributes()))
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, file, entries, n
}

func roles(l *List) string {
	var s []string
	for _, c := range l.Columns {
		switch {
		case c.Role != "":
			s = append(s, c.Header+"="+string(c.Role))
		default:
			s = append(s, c.Name)
		}
	}
	return strings.Join(s, " ")
}

func TestRealLists(t *testing.T) {
	for _, c := range []struct {
		file, roles string
		count       Count
		distinct    int
	}{
		{"jp-survey-domains.csv", "domain=domain kind name=name host_seen source", Count{Rows: 5153, Named: 5153}, 5153},
		{"localgovjp/localgovjp-utf8.csv", "pid pref cid city=name citykana lat lng url=url phrase lgcode", Count{}, 0},
		{"localgovjp/prefjp-utf8.csv", "pid pref=name prefkana prefshort prefshortkana pref_en pref3code url=url lgcode ISO3166-2 capital lat lng", Count{Rows: 47, Named: 47}, 47},
		{"covid19-surveyor/city.csv", "組織名=name 略称 URL=url #4", Count{}, 0},
		{"covid19-surveyor/pref.csv", "組織名=name 略称 URL=url", Count{Rows: 47, Named: 47}, 47},
		{"covid19-surveyor/gov.csv", "組織名=name 略称 URL=url", Count{}, 0},
	} {
		t.Run(c.file, func(t *testing.T) {
			b, err := os.ReadFile(require.Data(t, "domains-japan", c.file))
			if err != nil {
				t.Fatal(err)
			}
			l, _, entries, n := readText(t, string(b), Reading{})
			if got := roles(l); got != c.roles {
				t.Errorf("columns: %s\n   want: %s", got, c.roles)
			}
			seen := map[string]bool{}
			for _, e := range entries {
				if e.Domain == "" || e.Problem != "" {
					t.Logf("line %d: %q %q %s %s", e.Line, e.Input, e.Domain, e.Problem, e.Detail)
				}
				seen[e.Domain] = true
			}
			t.Logf("%+v, %d different", n, len(seen))
			if c.count.Rows > 0 && (n != c.count || len(seen) != c.distinct) {
				t.Errorf("got %+v and %d different, want %+v and %d", n, len(seen), c.count, c.distinct)
			}
		})
	}
}

func TestCells(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a,b\nc,d\n", "1[a b] 2[c d]"},
		{"a,b\r\nc,d", "1[a b] 2[c d]"},
		{"a,b\rc,d\r", "1[a b] 2[c d]"},
		{"\"a,1\",\"b\"\"c\"\nx,", "1[a,1 b\"c] 2[x ]"},
		{"\"two\nlines\",b\nc,d", "1[two\nlines b] 3[c d]"},
		{"\"never closed,b\nc,d", "1[\"never closed b] 2[c d]"},
		{"in\"ner,b\"\nc,d", "1[in\"ner b\"] 2[c d]"},
		{"\"a\" b,c", "1[a b c]"},
		{"\n\n,\n", "1[] 2[] 3[ ]"},
	} {
		rows := newCells(strings.NewReader(c.in), ',')
		var got []string
		for {
			cells, line, err := rows.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string('0'+byte(line))+"["+strings.Join(cells, " ")+"]")
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%q: %q, want %q", c.in, s, c.want)
		}
	}
	rows := newCells(io.MultiReader(strings.NewReader("a\n"), strings.NewReader(strings.Repeat(",", 2<<20))), ',')
	_, _, _ = rows.Next()
	if _, _, err := rows.Next(); !errors.Is(err, ErrLongRow) {
		t.Errorf("a row of two million cells: %v", err)
	}
}

func TestDomainsIn(t *testing.T) {
	for _, c := range []struct {
		cell string
		role Role
		want string
		code string
	}{
		{"example.jp", RoleDomain, "example.jp", ""},
		{" Example.JP. ", RoleDomain, "example.jp", ""},
		{"ｅｘａｍｐｌｅ．ｊｐ", RoleDomain, "example.jp", ""},
		{"ｅｘａｍｐｌｅ。ｊｐ", RoleDomain, "example.jp", ""},
		{"日本語.jp", RoleDomain, "xn--wgv71a119e.jp", ""},
		{"www.example.jp", RoleDomain, "example.jp www.example.jp", ""},
		{"mail.example.jp", RoleSubdomain, "mail.example.jp", ""},
		{"https://www.city.sapporo.jp/chuo/?a=b#c", RoleURL, "city.sapporo.jp", ""},
		{"https://www.city.otaru.lg.jp/docs/", RoleURL, "city.otaru.lg.jp", ""},
		{"https://www2.pref.iwate.lg.jp/", RoleURL, "pref.iwate.lg.jp", ""},
		{"https://www.otaru.lg.jp/", RoleURL, "otaru.lg.jp", ""},
		{"https://www.example.co.jp:8443/x", RoleDomain, "example.co.jp", ""},
		{"http://user:pa@ss@www.example.co.jp/", RoleURL, "example.co.jp", ""},
		{"http//example.jp/", RoleURL, "example.jp", ""},
		{"www.example.co.jp/path/", RoleURL, "example.co.jp", ""},
		{"https:/example.jp", RoleURL, "example.jp", ""},
		{"mailto:info@mail.example.jp?subject=x@y.jp", RoleURL, "mail.example.jp", ""},
		{"info＠example.jp", RoleMail, "example.jp", ""},
		{"山田太郎 <taro@example.jp>", RoleMail, "example.jp", ""},
		{"a@example.jp、b@example.com; c@example.jp", RoleMail, "example.jp example.com", ""},
		{"「info@example.jp」", RoleMail, "example.jp", ""},
		{"info@gmail.com", RoleMail, "", codeFreeMail},
		{"info@gmail.com info@example.jp", RoleMail, "example.jp", codeFreeMail},
		{"gmail.com", RoleDomain, "gmail.com", ""},
		{"https://www.facebook.com/city", RoleURL, "", codeShared},
		{"https://abashiri.hokkaido.jp/", RoleURL, "", codeSuffix},
		{"なし", RoleMail, "", ""},
		{"－", RoleURL, "", ""},
		{"N/A", RoleURL, "", ""},
		{"", RoleURL, "", ""},
		{"192.0.2.1", RoleDomain, "", codeAddress},
		{"http://[2001:db8::1]/", RoleURL, "", codeAddress},
		{"http://192.0.2.1:80/x", RoleURL, "", codeAddress},
		{"co.jp", RoleDomain, "", codeSuffix},
		{"jp", RoleDomain, "", codeSuffix},
		{"localhost", RoleDomain, "", codeNotAName},
		{"exa mple", RoleDomain, "", codeNotAName},
		{"exam!ple.jp", RoleDomain, "", codeNotAName},
		{"a..jp", RoleDomain, "", codeNotAName},
		{"_dmarc.example.jp", RoleDomain, "example.jp", ""},
		{"*.example.jp", RoleDomain, "example.jp", ""},
		{strings.Repeat("a", 64) + ".jp", RoleDomain, "", codeNotAName},
	} {
		got, f := domainsIn(c.cell, c.role)
		code := ""
		if f != nil {
			code = f.code
		}
		if s := strings.Join(got, " "); s != c.want || code != c.code {
			t.Errorf("%s %q: %q %s, want %q %s", c.role, c.cell, s, code, c.want, c.code)
		}
	}
}

const small = `令和8年度 団体一覧,,,,
,,,,
団体名,都道府県,ホームページ（ＰＣ）,メールアドレス,人口
山川市,青葉県,https://www.city.yamakawa.example/,info@city.yamakawa.example,"12,345"
海辺町,青葉県,なし,town@umibe.example,
山川市（再掲）,青葉県,https://www.city.yamakawa.example/a,info@city.yamakawa.example,1
谷村,霞県,,,900
変な町,霞県,これから,未定です,5
`

func TestSmallList(t *testing.T) {
	sjis, err := japanese.ShiftJIS.NewEncoder().String(small)
	if err != nil {
		t.Fatal(err)
	}
	euc, err := japanese.EUCJP.NewEncoder().String(small)
	if err != nil {
		t.Fatal(err)
	}
	jis, err := japanese.ISO2022JP.NewEncoder().String(small)
	if err != nil {
		t.Fatal(err)
	}
	little, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(strings.ReplaceAll(strings.ReplaceAll(small, ",", "\t"), "12\t", "12,"))
	if err != nil {
		t.Fatal(err)
	}
	big, err := unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder().String(small + strings.Repeat(",,,,note\n", 400))
	if err != nil {
		t.Fatal(err)
	}
	want := []store.Entry{
		{No: 1, Line: 4, Input: "https://www.city.yamakawa.example/", Domain: "city.yamakawa.example", Name: "山川市", Aliases: []string{"yamakawa.example"}, Attributes: []string{"青葉県", "12,345"}},
		{No: 2, Line: 5, Domain: "umibe.example", Input: "town@umibe.example", Name: "海辺町", Attributes: []string{"青葉県", ""}},
		{No: 3, Line: 6, Domain: "city.yamakawa.example", Input: "info@city.yamakawa.example", Name: "山川市（再掲）", Aliases: []string{"yamakawa.example"}, Attributes: []string{"青葉県", "1"}},
		{No: 4, Line: 7, Name: "谷村", Attributes: []string{"霞県", "900"}},
		{No: 5, Line: 8, Input: "未定です", Name: "変な町", Attributes: []string{"霞県", "5"}, Problem: codeNotAName, Detail: "未定です"},
	}
	want[0].Input = "info@city.yamakawa.example"
	for name, text := range map[string]string{"utf-8": small, "utf-8 mark": "\ufeff" + small, "shift_jis": sjis, "euc-jp": euc, "iso-2022-jp": jis, "utf-16": little, "utf-16 no mark": big} {
		l, file, entries, n := readText(t, text, Reading{})
		if charset, _, _ := strings.Cut(name, " "); file.Charset != charset {
			t.Errorf("%s: taken for %s", name, file.Charset)
		}
		if got, want := roles(l), "団体名=name 都道府県 ホームページ（ＰＣ）=url メールアドレス=mail 人口"; got != want {
			t.Errorf("%s: columns %s", name, got)
		}
		if diff := cmp.Diff(want, entries[:min(5, len(entries))]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if n.Named != 3 || n.Invalid != 1 || name != "utf-16 no mark" && n.Without != 1 {
			t.Errorf("%s: %+v", name, n)
		}
	}
}

func TestPlans(t *testing.T) {
	for _, c := range []struct {
		name, text string
		o          Reading
		want       string // or the error's beginning after "!"
		domains    string
	}{
		{"a domain a line", "# remark\nexample.jp\nexample.com\n", Reading{}, "=domain", "example.jp example.com"},
		{"one column with a header", "ドメイン\nexample.jp\n", Reading{}, "ドメイン=domain", "example.jp"},
		{"one column, header unknown", "しるし\nexample.jp\n", Reading{}, "しるし=domain", "example.jp"},
		{"no header", "山川市,https://www.yamakawa.example/,1\n海辺町,http://umibe.example,2\n", Reading{}, "=name =url #3", "yamakawa.example umibe.example"},
		{"all are URLs", "https://a.example/\nhttps://b.example/\n", Reading{}, "=url", "a.example b.example"},
		{"precedence", "URL,ドメイン,メールアドレス,送信元サブドメイン\nhttps://u.example,d.example,x@m.example,news.s.example\n", Reading{}, "URL=url ドメイン=domain メールアドレス=mail 送信元サブドメイン=subdomain", "news.s.example"},
		{"header lies", "ID,メール,サイト名\n1,あり,a.example\n2,なし,b.example\n3,あり,c.example\n4,あり,d.example\n5,あり,e.example\n6,あり,f.example\n", Reading{}, "ID メール サイト名=url", "a.example b.example c.example d.example e.example f.example"},
		{"given", "name,A,B\nx,a.example,b.example\n", Reading{Columns: map[Role][]string{RoleDomain: {"B"}}}, "name=name A B=domain", "b.example"},
		{"given by number", "name,A,B\nx,a.example,b.example\n", Reading{Columns: map[Role][]string{RoleDomain: {"3"}, RoleIgnore: {"1"}}}, "name=ignore A B=domain", "b.example"},
		{"given beats headers", "domain,サイト\na.example,b.example\n", Reading{Columns: map[Role][]string{RoleDomain: {"サイト"}}}, "domain サイト=domain", "b.example"},
		{"semicolons", "domain;kind\na.example;x,y\n", Reading{}, "domain=domain kind", "a.example"},
		{"same header twice", "domain,note,note,all\na.example,1,2,3\n", Reading{}, "domain=domain note note (2) all (2)", "a.example"},
		{"empty columns", "domain,kind,,\na.example,x,,\n", Reading{}, "domain=domain kind =ignore =ignore", "a.example"},
		{"unknown column", "団体名,サイト\nx,a.example\n", Reading{Columns: map[Role][]string{RoleDomain: {"どこ"}}}, `!no column "どこ" in the list; its columns are "団体名", "サイト"`, ""},
		{"number too large", "a,b\nx,a.example\n", Reading{Columns: map[Role][]string{RoleDomain: {"9"}}}, "!column 9: the list has 2 columns", ""},
		{"empty", "\n \n", Reading{}, "!the list is empty", ""},
		{"no domains", "団体名,人口\nx,3\ny,4.5\n", Reading{}, `!no column of the list holds domains`, ""},
		{"prose", "Hello there\nthis is text\n", Reading{}, `!the list holds no domains`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if want, bad := strings.CutPrefix(c.want, "!"); bad {
				file, err := OpenText(strings.NewReader(c.text), int64(len(c.text)), "")
				if err != nil {
					t.Fatal(err)
				}
				if _, err = NewList(file.Rows, c.o); err == nil || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("error %v, want %s", err, want)
				}
				return
			}
			l, _, entries, _ := readText(t, c.text, c.o)
			if got := roles(l); got != c.want {
				t.Errorf("columns %q, want %q", got, c.want)
			}
			var domains []string
			for _, e := range entries {
				domains = append(domains, e.Domain)
			}
			if got := strings.Join(domains, " "); got != c.domains {
				t.Errorf("domains %q, want %q", got, c.domains)
			}
		})
	}
}

func TestForms(t *testing.T) {
	for head, want := range map[string]string{
		"domain\n": "text", "PK\x03\x04rest": "xlsx", "%PDF-1.7": "!", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "!", "<!DOCTYPE html>": "!", "\x1f\x8b\x08": "!", "a\x00\x00\x00b\x00\x00\x00\x00\x00": "!", "\xff\xfea\x00": "text", "": "text",
		"[{\"a\": 1}]": "!",
	} {
		got, err := FormOf([]byte(head))
		if err != nil {
			got = "!"
		}
		if string(got) != want {
			t.Errorf("%q: %s, want %s", head, got, want)
		}
	}
}

// FuzzList holds that no list, however odd, is read without an end, into more
// than it has, or differently the second time.
func FuzzList(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte("domain,selector\n\"a.example\",s1._domainkey\nb.example,\"\n"))
	f.Add([]byte("\xff\xfed\x00.\x00j\x00p\x00\n\x00"))
	f.Add([]byte("\x83h\x83\x81\x83C\x83\x93\nexample.jp\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if form, err := FormOf(b[:min(len(b), 512)]); err != nil || form != FormText {
			return
		}
		file, err := OpenText(bytes.NewReader(b), int64(len(b)), "")
		if err != nil {
			t.Fatal(err)
		}
		l, err := NewList(file.Rows, Reading{})
		if err != nil {
			return
		}
		var first []store.Entry
		for pass := range 2 {
			at := 0
			n, err := l.Each(func(e store.Entry) error {
				if len(e.Attributes) != len(l.Attributes()) || len(e.Aliases) > maxAliases || len(e.Selectors) > maxGiven || len(e.Input) > maxValue || len(e.Name) > maxValue {
					t.Fatalf("entry %+v", e)
				}
				if pass == 0 {
					first = append(first, e)
				} else if !cmp.Equal(first[at], e) {
					t.Fatalf("first %+v, then %+v", first[at], e)
				}
				at++
				return nil
			})
			if err != nil && !errors.Is(err, ErrLongRow) {
				t.Fatal(err)
			}
			if n.Rows != int64(at) || n.Named+n.Without+n.Invalid != n.Rows {
				t.Fatalf("%+v of %d", n, at)
			}
		}
	})
}
