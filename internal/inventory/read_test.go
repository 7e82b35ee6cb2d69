package inventory

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"

	"sekimori/domain"
	"sekimori/internal/store"
)

var now = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

func mustName(t testing.TB, s string) domain.Name {
	n, err := domain.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// readAll reads a file about city.example.jp.
func readAll(t testing.TB, text string) ([]string, Summary, error) {
	t.Helper()
	var got []string
	sum, err := Reading{Domain: mustName(t, "city.example.jp"), Now: now}.Read("file", strings.NewReader(text), func(n store.KnownName) error {
		got = append(got, n.Name)
		return nil
	})
	return got, sum, err
}

const crtsh = `[{"issuer_ca_id":1,"issuer_name":"C=US, O=Let's Encrypt, CN=R3","common_name":"www.city.example.jp","name_value":"*.dev.city.example.jp\nwww.city.example.jp","id":1,"entry_timestamp":"2024-01-02T03:04:05.678","not_before":"2024-01-02T02:04:05","not_after":"2024-04-02T02:04:05","serial_number":"00"},
{"common_name":"other.example.com","name_value":"other.example.com\nMAIL.City.Example.jp.","not_before":"2023-01-01T00:00:00","not_after":"2099-01-01T00:00:00"}]`

func TestRead(t *testing.T) {
	sjis, _ := japanese.ShiftJIS.NewEncoder().String("団体名,ドメイン\r\n例市,www.city.example.jp\r\n例市,健康.city.example.jp\r\n")
	utf16, _ := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String("name\tdomain\nx\twww.city.example.jp\n")
	for _, tc := range []struct {
		name, text string
		form       Form
		origin     string
		want       []string
		sum        Summary // counts only
	}{
		{"crt.sh", crtsh, FormCertificateJSON, FromCertificates, []string{"dev.city.example.jp", "www.city.example.jp", "mail.city.example.jp"},
			Summary{Entries: 2, Names: 3, Wildcards: 1, Outside: 1}},
		{"crt.sh objects in a row", strings.NewReplacer("[{", "{", "}]", "}", "},", "}").Replace(crtsh), FormCertificateJSON, FromCertificates,
			[]string{"dev.city.example.jp", "www.city.example.jp", "mail.city.example.jp"}, Summary{Entries: 2, Names: 3, Wildcards: 1, Outside: 1}},
		{"cert spotter", `[{"id":"1","tbs_sha256":"x","dns_names":["city.example.jp","*.city.example.jp","a.city.example.jp"],"not_before":"2024-01-01T00:00:00Z"}]`,
			FormCertificateJSON, FromCertificates, []string{"city.example.jp", "a.city.example.jp"}, Summary{Entries: 1, Names: 2, Wildcards: 1}},
		{"array of names", `["a.city.example.jp", "b.city.example.jp", 7, {"x":1}]`, FormCertificateJSON, FromCertificates,
			[]string{"a.city.example.jp", "b.city.example.jp"}, Summary{Entries: 4, Names: 2, Invalid: 2}},
		{"crt.sh CSV", "crt.sh ID,Logged At,Not Before,Common Name,Matching Identities,Issuer Name\n1,2024-01-01,2024-01-01,www.city.example.jp,\"www.city.example.jp\nshop.city.example.jp\",\"C=US, CN=r3.letsencrypt.org\"\n",
			FormCertificateCSV, FromCertificates, []string{"www.city.example.jp", "shop.city.example.jp"}, Summary{Entries: 1, Names: 2}},
		{"zone", "$TTL 3600\n@ IN SOA ns1 root 1 2 3 4 5\n  NS ns1\nns1 A 192.0.2.1\nwww 300 IN CNAME @\n*.dev TXT \"x\"\n_dmarc.mail TXT \"v=DMARC1; p=none\"\ns1._domainkey.news TXT \"p=\"\n$ORIGIN example.com.\nwww A 192.0.2.1\n",
			FormZone, FromZone, []string{"city.example.jp", "ns1.city.example.jp", "www.city.example.jp", "dev.city.example.jp", "mail.city.example.jp", "news.city.example.jp"},
			Summary{Entries: 8, Names: 6, Wildcards: 1, Outside: 1}},
		{"zone transfer", "; <<>> DiG <<>> axfr\ncity.example.jp. 3600 IN SOA ns. root. 1 2 3 4 5\na.city.example.jp. 3600 IN A 192.0.2.1\na.city.example.jp. 3600 IN AAAA ::1\n",
			FormZone, FromZone, []string{"city.example.jp", "a.city.example.jp"}, Summary{Entries: 3, Names: 2}},
		{"names", "# ours\nwww.city.example.jp\n\nhttps://shop.city.example.jp:8443/x?y\ninfo@news.city.example.jp\nno name\nexample.org\n192.0.2.1\n",
			FormText, FromList, []string{"www.city.example.jp", "shop.city.example.jp", "news.city.example.jp"}, Summary{Entries: 6, Names: 3, Outside: 1, Invalid: 3}},
		{"survey list", "\ufeffname,domain,url\nExample City,city.example.jp,https://www.city.example.jp/\nSchool,school.city.example.jp,\n",
			FormTable, FromList, []string{"city.example.jp", "school.city.example.jp"}, Summary{Entries: 2, Names: 2}},
		{"no headers", "1;a.city.example.jp;x\n2;b.city.example.jp;y\n", FormTable, FromList, []string{"a.city.example.jp", "b.city.example.jp"}, Summary{Entries: 2, Names: 2}},
		{"Shift_JIS", sjis, FormTable, FromList, []string{"www.city.example.jp", "xn--dhqw2p.city.example.jp"}, Summary{Entries: 2, Names: 2}},
		{"UTF-16", utf16, FormTable, FromList, []string{"www.city.example.jp"}, Summary{Entries: 1, Names: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, sum, err := readAll(t, tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if tc.name == "Shift_JIS" {
				tc.want[1] = mustName(t, "健康.city.example.jp").String()
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			if sum.Form != tc.form || sum.Origin != tc.origin {
				t.Errorf("form %s, origin %s; want %s, %s", sum.Form, sum.Origin, tc.form, tc.origin)
			}
			w := tc.sum
			if sum.Entries != w.Entries || sum.Names != w.Names || sum.Wildcards != w.Wildcards || sum.Outside != w.Outside || sum.Invalid != w.Invalid {
				t.Errorf("%+v, want %+v", sum, w)
			}
		})
	}
}

// TestReadDates checks what certificates say about when a name was in use.
func TestReadDates(t *testing.T) {
	var got []store.KnownName
	_, err := Reading{Domain: mustName(t, "city.example.jp"), Now: now}.Read("ct.json", strings.NewReader(crtsh), func(n store.KnownName) error {
		got = append(got, n)
		return nil
	})
	if err != nil || len(got) != 3 {
		t.Fatalf("%v, %v", got, err)
	}
	day := func(s string) time.Time { d, _ := time.Parse(time.RFC3339, s); return d }
	want := store.KnownName{Domain: "city.example.jp", Name: "www.city.example.jp", Origin: FromCertificates, From: "ct.json",
		First: day("2024-01-02T02:04:05Z"), Last: day("2024-04-02T02:04:05Z")}
	if got[1] != want {
		t.Errorf("got %+v, want %+v", got[1], want)
	}
	if !got[2].Last.Equal(now) { // it is still valid
		t.Errorf("last %s, want %s", got[2].Last, now)
	}
}

// TestReadRefuses checks that a file that cannot be read says where and why.
func TestReadRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, text, want string
		line             int64
	}{
		{"empty", "", "empty", 1},
		{"space", " \n\n", "empty", 1},
		{"gzip", "\x1f\x8b\x08\x00", "gzip", 1},
		{"zip", "PK\x03\x04", "zip", 1},
		{"binary", "abc\x00def", "binary", 1},
		{"html", "<!DOCTYPE html><html>", "web page", 1},
		{"JSON cut off", strings.TrimSuffix(crtsh, "]"), "cut off", 2},
		{"JSON broken", "[{\"name_value\":\"a.city.example.jp\"},\n\n{\"name_value\" \"b\"}]", "no JSON", 3},
		{"include", "$ORIGIN city.example.jp.\na IN A 192.0.2.1\n$INCLUDE /etc/passwd\n", "$INCLUDE is not followed", 3},
		{"zone broken", "$ORIGIN city.example.jp.\na IN A 192.0.2.1\nb IN A nonsense\n", "bad A", 3},
		{"long entry", "[\"" + strings.Repeat("a", maxEntry+2) + "\"]", "longer than", 1},
		{"no column", "a,b\nc,d\n", "no column holds domain names", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := readAll(t, tc.text)
			var re *ReadError
			if !errors.As(err, &re) || !strings.Contains(err.Error(), tc.want) || re.Line != tc.line || re.File != "file" {
				t.Fatalf("got %v, want %q in line %d", err, tc.want, tc.line)
			}
		})
	}
}

// TestReadMost checks that more names than are wanted end it, with the line.
func TestReadMost(t *testing.T) {
	var b strings.Builder
	for i := range 600 {
		fmt.Fprintf(&b, "h%d.city.example.jp\n", i)
	}
	n := 0
	_, err := Reading{Domain: mustName(t, "city.example.jp"), MaxNames: 500}.Read("many", strings.NewReader(b.String()), func(store.KnownName) error { n++; return nil })
	var re *ReadError
	if !errors.As(err, &re) || re.Line != 501 || n != 500 {
		t.Fatalf("%v after %d names", err, n)
	}
	stop := errors.New("stop")
	if _, err := (Reading{}).Read("many", strings.NewReader(b.String()), func(store.KnownName) error { return stop }); err != stop {
		t.Fatalf("the caller's own error came back as %v", err)
	}
}

// generator writes n entries of a form, without holding them.
type generator struct {
	n, at int
	entry func(int) string
	rest  string
}

func (g *generator) Read(p []byte) (int, error) {
	for g.rest == "" {
		if g.at == g.n {
			return 0, io.EOF
		}
		g.rest = g.entry(g.at)
		g.at++
	}
	n := copy(p, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

// TestReadBounded reads many certificates, and as many lines, and looks
// at the memory in use meanwhile.
func TestReadBounded(t *testing.T) {
	const n = 60_000
	for name, entry := range map[string]func(int) string{
		"json": func(i int) string {
			open := ","
			if i == 0 {
				open = "["
			}
			end := ""
			if i == n-1 {
				end = "]"
			}
			return fmt.Sprintf(`%s{"common_name":"h%d.city.example.jp","name_value":"h%d.city.example.jp\n*.h%d.city.example.jp","not_before":"2024-01-01T00:00:00"}`+"\n%s", open, i, i, i, end)
		},
		"text": func(i int) string { return fmt.Sprintf("h%d.city.example.jp\n", i) },
	} {
		t.Run(name, func(t *testing.T) {
			var most uint64
			k := 0
			sum, err := Reading{Domain: mustName(t, "city.example.jp")}.Read("big", &generator{n: n, entry: entry}, func(store.KnownName) error {
				if k++; k%20_000 == 0 {
					var m runtime.MemStats
					runtime.GC()
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapAlloc)
				}
				return nil
			})
			if err != nil || sum.Names != n || sum.Entries != n {
				t.Fatalf("%+v, %v", sum, err)
			}
			if most > 40<<20 {
				t.Errorf("%d MiB in use, want at most 40", most>>20)
			}
			t.Logf("%d names, %d MiB in use", sum.Names, most>>20)
		})
	}
}

// FuzzRead checks that no file makes it panic, that every name it gives is one
// and belongs to the domain, and that its counts add up.
func FuzzRead(f *testing.F) {
	for _, s := range []string{crtsh, "[", "{}", "[[]]", "\"", "a,b\n\"", "$ORIGIN .\n$GENERATE 1-3 a$ A 192.0.2.$\n", "@ IN SOA a b 1 2 3 4 5\n",
		"domain\nwww.city.example.jp\n", "\xff\xfea\x00", "*.*.city.example.jp", "a._b.city.example.jp", "\xef\xbb\xbf"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		of := mustName(t, "city.example.jp")
		var n int64
		sum, err := Reading{Domain: of, Now: now, MaxNames: 2000}.Read("f", strings.NewReader(string(b)), func(k store.KnownName) error {
			n++
			name, err := domain.Parse(k.Name)
			if err != nil || name.String() != k.Name || !name.IsSubdomainOf(of) || k.Last.Before(k.First) || k.Last.After(now) {
				t.Fatalf("%+v: %v", k, err)
			}
			return nil
		})
		if n != sum.Names || len(sum.InvalidSample) > maxSamples || len(sum.OutsideSample) > maxSamples {
			t.Fatalf("%d names, %+v", n, sum)
		}
		var re *ReadError
		if err != nil && !errors.As(err, &re) {
			t.Fatalf("an error without a place: %v", err)
		}
	})
}
