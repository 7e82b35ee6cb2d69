package message

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"sekimori/internal/require"
)

// leaf is what a test compares of a part.
type leaf struct {
	path, mediaType, filename, body string
}

func walkAll(t testing.TB, msg string, l Limits) ([]leaf, error) {
	t.Helper()
	var out []leaf
	err := Walk(strings.NewReader(msg), l, func(p *Part) error {
		b, err := io.ReadAll(p.Body)
		if err != nil {
			return err
		}
		lf := leaf{p.Path, p.MediaType, p.Filename, string(b)}
		if p.Preamble {
			lf.path = "preamble"
		}
		out = append(out, lf)
		return nil
	})
	return out, err
}

func TestWalk(t *testing.T) {
	for _, tt := range []struct {
		name, msg string
		want      []leaf
	}{
		{"empty", "", []leaf{{"1", "text/plain", "", ""}}},
		{"plain", "Subject: a\n\nhello\nyou\n", []leaf{{"1", "text/plain", "", "hello\nyou\n"}}},
		{"crlf", "Subject: a\r\n\r\nhello\r\n", []leaf{{"1", "text/plain", "", "hello\r\n"}}},
		{"no line end", "Subject: a\n\nhello", []leaf{{"1", "text/plain", "", "hello"}}},
		{"header only", "Subject: a\nX: b", []leaf{{"1", "text/plain", "", ""}}},
		{"no header", "hello there\nyou\n", []leaf{{"1", "text/plain", "", "hello there\nyou\n"}}},
		{"no empty line", "Subject: a\n<feedback>\n</feedback>\n", []leaf{{"1", "text/plain", "", "<feedback>\n</feedback>\n"}}},
		{"mbox line", "From a@b Thu Jan  1 00:00:00 1970\nSubject: a\n\nhello", []leaf{{"1", "text/plain", "", "hello"}}},
		{"empty lines first", "\n\nContent-Type: text/html\n\nhello", []leaf{{"1", "text/html", "", "hello"}}},
		{"two parts", "Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x\nContent-Type: text/xml\n\ntwo\n\n--x--\n", []leaf{
			{"1", "text/plain", "", "one"}, {"2", "text/xml", "", "two\n"}}},
		{"preamble and epilogue", "Content-Type: multipart/mixed; boundary=x\n\nfor old readers\n--x\n\none\n--x--\nend\n", []leaf{
			{"preamble", "text/plain", "", "for old readers"}, {"1", "text/plain", "", "one"}}},
		{"no closing boundary", "Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n", []leaf{{"1", "text/plain", "", "one\n"}}},
		{"parts after the end", "Content-Type: multipart/mixed; boundary=x\n\n--x--\n--x\n\none\n--x--", []leaf{{"1", "text/plain", "", "one"}}},
		{"no boundary named", "Content-Type: multipart/mixed\n\n--abc\n\none\n--abc\n\ntwo\n--abc--\n", []leaf{
			{"1", "text/plain", "", "one"}, {"2", "text/plain", "", "two"}}},
		{"wrong boundary", "Content-Type: multipart/mixed; boundary=x\n\n--abc\nContent-Type: text/html\n\none\n--abc--\n", []leaf{{"1", "text/html", "", "one"}}},
		{"no boundary at all", "Content-Type: multipart/mixed; boundary=x\n\nhello\n", []leaf{{"preamble", "text/plain", "", "hello\n"}}},
		{"part without empty line", "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/html\n--x\n\ntwo\n--x--", []leaf{
			{"1", "text/html", "", ""}, {"2", "text/plain", "", "two"}}},
		{"boundary with space behind", "Content-Type: multipart/mixed; boundary=\"x\"\n\n--x \t\n\none\n--x-- \n", []leaf{{"1", "text/plain", "", "one"}}},
		{"boundary that begins like another", "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: multipart/mixed; boundary=xy\n\n--xy\n\none\n--xyz\n--xy--\n--x--", []leaf{
			{"1.1", "text/plain", "", "one\n--xyz"}}},
		{"inner ended by outer", "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: multipart/mixed; boundary=y\n\n--y\n\none\n--x\n\ntwo\n--x--", []leaf{
			{"1.1", "text/plain", "", "one"}, {"2", "text/plain", "", "two"}}},
		{"attached message", "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/rfc822\n\nSubject: in\nContent-Type: text/html\n\none\n--x--", []leaf{{"1", "text/html", "", "one"}}},
		{"attached message, encoded", "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" +
			base64.StdEncoding.EncodeToString([]byte("Content-Type: multipart/mixed; boundary=q\n\n--q\n\none\n--q--\n")) + "\n--x\n\ntwo\n--x--", []leaf{{"1.1", "text/plain", "", "one"}, {"2", "text/plain", "", "two"}}},
		{"digest", "Content-Type: multipart/digest; boundary=x\n\n--x\n\nSubject: a\n\none\n--x--", []leaf{{"1", "text/plain", "", "one"}}},
		{"base64", "Content-Transfer-Encoding: BASE64\n\nPGE+\nPC9h\nPg==\n", []leaf{{"1", "text/plain", "", "<a></a>"}}},
		{"base64 that is none", "Content-Transfer-Encoding: base64\n\n<a></a>\n", []leaf{{"1", "text/plain", "", "<a></a>\n"}}},
		{"quoted-printable", "Content-Transfer-Encoding: quoted-printable\n\n=3Ca=3E=\n=3c/a> \t\n=ZZ=", []leaf{{"1", "text/plain", "", "<a></a>\n=ZZ"}}},
		{"x-uuencode", "Content-Transfer-Encoding: x-uuencode\n\nbegin 644 a\n#0V%T\n`\nend\n", []leaf{{"1", "text/plain", "", "Cat"}}},
		{"header cut by a long line", "X: " + strings.Repeat("y", 100<<10) + "\nContent-Type: text/html\n\none", []leaf{{"1", "text/html", "", "one"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := walkAll(t, tt.msg, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestWalkContext(t *testing.T) {
	msg := "Subject: outer\nContent-Type: multipart/report; boundary=x\n\n--x\nContent-Type: message/rfc822\n\nSubject: inner\nContent-Type: multipart/mixed; boundary=y\n\n--y\nContent-Type: Application/GZIP; name=a\nContent-Disposition: ATTACHMENT\n\none\n--y--\n--x--\n"
	err := Walk(strings.NewReader(msg), Limits{}, func(p *Part) error {
		if got := p.Message.Get("subject"); got != "inner" {
			t.Errorf("message: %q", got)
		}
		if got := fmt.Sprint(p.Containers); got != "[multipart/report message/rfc822 multipart/mixed]" {
			t.Errorf("containers: %v", got)
		}
		if p.MediaType != "application/gzip" || p.Disposition != "attachment" || p.Filename != "a" {
			t.Errorf("%+v", p)
		}
		return nil // the body is left unread
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWalkLimits(t *testing.T) {
	nest := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
		}
		return b.String()
	}
	for _, tt := range []struct {
		name, msg, want string
		l               Limits
	}{
		{"header", "X: " + strings.Repeat("y", 2<<20) + "\n\nbody", "header section of more than 1048576 bytes", Limits{}},
		{"header fields", strings.Repeat("X: y\n", 1000) + "\nbody", "header section of more than 4000 bytes", Limits{Header: 4000}},
		{"parts", "Content-Type: multipart/mixed; boundary=x\n\n" + strings.Repeat("--x\n\na\n", 1000), "more than 1000 parts", Limits{}},
		{"depth", nest(30), "nested deeper than 20", Limits{}},
		{"attached depth", strings.Repeat("Content-Type: message/rfc822\n\n", 30), "nested deeper than 20", Limits{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := walkAll(t, tt.msg, tt.l)
			if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := walkAll(t, nest(19)+"\nbody", Limits{}); err != nil {
		t.Errorf("depth within the limit: %v", err)
	}
}

func TestWalkErrors(t *testing.T) {
	broken := errors.New("broken")
	msg := "Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x\n\ntwo\n--x--\n"
	for n := range len(msg) {
		r := io.MultiReader(strings.NewReader(msg[:n]), iotest.ErrReader(broken))
		err := Walk(r, Limits{}, func(p *Part) error { _, err := io.Copy(io.Discard, p.Body); return err })
		if !errors.Is(err, broken) {
			t.Fatalf("after %d bytes: got %v", n, err)
		}
	}
	err := Walk(strings.NewReader(msg), Limits{}, func(*Part) error { return broken })
	if err != broken {
		t.Errorf("visit's error: got %v", err)
	}
}

// TestWalkReadSizes reads messages through readers and into buffers of odd
// sizes: the result must not depend on them.
func TestWalkReadSizes(t *testing.T) {
	long := strings.Repeat("0123456789", 7000)
	msg := "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n" + long + "\r\n\r\n" + long + "\r\n--x\r\n" +
		"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat("=E3=81=82 =\r\n", 3000) + "\r\n--x\r\n" +
		"Content-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("QUJD\r\nREVG", 3000) + "\r\n--x--\r\n"
	want := []string{long + "\r\n\r\n" + long, strings.Repeat("あ ", 3000), strings.Repeat("ABCDEF", 3000)}
	for _, wrap := range []func(io.Reader) io.Reader{
		func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader,
	} {
		for _, size := range []int{1, 2, 3, 100, 4096, 100_000} {
			var got []string
			err := Walk(wrap(strings.NewReader(msg)), Limits{}, func(p *Part) error {
				var b bytes.Buffer
				buf := make([]byte, size)
				for {
					n, err := p.Body.Read(buf)
					b.Write(buf[:n])
					if err == io.EOF {
						break
					}
					if err != nil {
						return err
					}
				}
				got = append(got, b.String())
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Fatalf("%d parts", len(got))
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("read size %d, part %d: %d bytes, want %d", size, i+1, len(got[i]), len(want[i]))
				}
			}
		}
	}
}

// TestRawHeader: what DKIM needs is there byte for byte.
// TestObsoleteFrom: white space before the colon does not make a separator of
// a mailbox out of the From field, not even in the first line (RFC 5322
// §4.5.2).
func TestObsoleteFrom(t *testing.T) {
	for in, want := range map[string]string{
		"From : a@b.example\nSubject: x\n\n":                              "a@b.example",
		"From \t: a@b.example\n\n":                                        "a@b.example",
		"From a@b.example Sat Nov 21 09:30:00 2026\nFrom : c@d.example\n": "c@d.example",
	} {
		h, _, err := Read(strings.NewReader(in), 0)
		if err != nil || h.Get("From") != want {
			t.Errorf("%q: From is %q, %v; want %q", in, h.Get("From"), err, want)
		}
	}
}

func TestRawHeader(t *testing.T) {
	head := "A : b \r\n\tc\r\nSUBJECT: =?utf-8?Q?=E3=81=82?=\r\nX:\nempty:   \n"
	err := Walk(strings.NewReader(head+"\nbody"), Limits{}, func(p *Part) error {
		var raw strings.Builder
		for _, f := range p.Header {
			raw.WriteString(f.Raw())
		}
		if raw.String() != head {
			t.Errorf("raw %q", raw.String())
		}
		a := p.Header[0]
		if a.Name() != "A" || a.RawValue() != " b \r\n\tc" || a.Value() != "b \tc" {
			t.Errorf("%q %q %q", a.Name(), a.RawValue(), a.Value())
		}
		if got := DecodeWords(p.Header.Get("subject")); got != "あ" {
			t.Errorf("subject %q", got)
		}
		if p.Header.Get("x") != "" || !p.Header.Has("X") || len(p.Header.All("empty")) != 1 {
			t.Error("empty fields")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestParseParams(t *testing.T) {
	for _, tt := range []struct{ in, value, want string }{
		{"text/plain", "text/plain", ""},
		{"text/plain;", "text/plain", ""},
		{"multipart/mixed; boundary=\"a b;c\"", "multipart/mixed", "boundary=a b;c"},
		{"multipart/mixed; boundary=abc (comment)", "multipart/mixed", "boundary=abc"},
		{"a/b; NAME=report 1.xml ; x=y", "a/b", "name=report 1.xml x=y"},
		{"a/b; name=\"q\\\"q\\\\\"", "a/b", "name=q\"q\\"},
		{"a/b; name=\"C:\\tmp\\x\"", "a/b", "name=C:\\tmp\\x"},
		{"a/b; name=a; name=b", "a/b", "name=a"},
		{"a/b; (comment; x=y) name=a", "a/b", "name=a"},
		{"a/b; junk; name=a", "a/b", "name=a"},
		{"a/b; name=\"unclosed", "a/b", "name=unclosed"},
		{"a/b name=a", "a/b", ""},
		{"attachment; filename*=UTF-8''%E5%A0%B1%E5%91%8A.xml", "attachment", "filename=報告.xml"},
		{"attachment; filename*=iso-2022-jp'ja'%1B$BJs9p%1B(B.xml", "attachment", "filename=報告.xml"},
		{"attachment; filename*1*=%91%8A.xml; filename*0*=UTF-8'ja'%E5%A0%B1%E5", "attachment", "filename=報告.xml"},
		{"attachment; filename*0=\"a\"; filename*1=\"b\"", "attachment", "filename=ab"},
		{"attachment; filename=plain.xml; filename*=UTF-8''better.xml", "attachment", "filename=better.xml"},
		{"attachment; filename*x=a", "attachment", "filename*x=a"},
	} {
		value, params := ParseParams(tt.in)
		var got []string
		for _, k := range []string{"boundary", "filename", "filename*x", "name", "x"} {
			if v, ok := params[k]; ok {
				got = append(got, k+"="+v)
			}
		}
		if value != tt.value || strings.Join(got, " ") != tt.want {
			t.Errorf("%q: got %q %q", tt.in, value, got)
		}
	}
}

func TestFilenames(t *testing.T) {
	for _, tt := range []struct{ header, want string }{
		{"Content-Disposition: attachment; filename=\"=?UTF-8?B?5aCx5ZGKLnhtbA==?=\"", "報告.xml"},
		{"Content-Disposition: attachment; filename=\"=?ISO-2022-JP?B?GyRCSnM5cBsoQi54bWw=?=\"", "報告.xml"},
		{"Content-Disposition: attachment; filename=\"=?cp932?B?lfGNkC54bWw=?=\"", "報告.xml"},
		{"Content-Type: text/xml; name=\"\x1b$BJs9p\x1b(B.xml\"", "報告.xml"},
		{"Content-Type: text/xml; name=\"\x95\xf1\x8d\x90.xml\"", "報告.xml"},
		{"Content-Type: text/xml; charset=euc-jp; name=\"\xca\xf3\xb9\xf0.xml\"", "報告.xml"},
		{"Content-Type: text/xml; name=\"\xe5\xa0\xb1\xe5\x91\x8a.xml\"", "報告.xml"},
		{"Content-Type: text/xml; name=\"=?x-unknown?B?AAAA?=\"", "=?x-unknown?B?AAAA?="},
	} {
		got, err := walkAll(t, tt.header+"\n\n", Limits{})
		if err != nil || len(got) != 1 || got[0].filename != tt.want {
			t.Errorf("%q: got %q, %v", tt.header, got, err)
		}
	}
}

// TestSuite reads the public MIME suite, with either line end. The well-formed
// messages must have the leaves that the suite lists; malformed ones must be
// read without an error, and may be cut differently.
func TestSuite(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(require.Data(t, "mime-mail-parser"), "*", "*.eml"))
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		malformed := filepath.Base(filepath.Dir(f)) == "malformed"
		for _, crlf := range []bool{false, true} {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if crlf {
				raw = bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
			}
			got, err := walkAll(t, string(raw), Limits{})
			if err != nil {
				t.Errorf("%s: %v", f, err)
			}
			if malformed {
				continue
			}
			want := suiteLeaves(t, strings.TrimSuffix(f, ".eml")+".json")
			var have []string
			for _, l := range got {
				if l.path != "preamble" {
					have = append(have, l.body)
				}
			}
			if len(have) != len(want) {
				t.Errorf("%s: %d leaves, want %d: %q", f, len(have), len(want), have)
			}
		}
	}
}

func suiteLeaves(t *testing.T, path string) []string {
	t.Helper()
	type part struct {
		Body map[string]json.RawMessage `json:"body"`
	}
	type msg struct {
		Parts []part `json:"parts"`
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("%v", err)
	}
	var count func(raw []byte) []string
	count = func(raw []byte) []string {
		var m msg
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		var out []string
		for _, p := range m.Parts {
			for kind, v := range p.Body {
				switch kind {
				case "Multipart":
				case "Message":
					out = append(out, count(v)...)
				default:
					out = append(out, string(v))
				}
			}
		}
		return out
	}
	return count(b)
}

func TestJapaneseMail(t *testing.T) {
	dir := require.Data(t, "mail-japanese")
	files, _ := filepath.Glob(filepath.Join(dir, "*.*"))
	names := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		err = Walk(bytes.NewReader(b), Limits{}, func(p *Part) error {
			if p.Filename != "" {
				names[p.Filename] = true
			}
			if s := DecodeWords(p.Message.Get("subject")); strings.Contains(s, "=?") {
				t.Logf("%s: subject %q", filepath.Base(f), s)
			}
			_, err := io.Copy(io.Discard, p.Body)
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
	t.Logf("%d names", len(names))
	for n := range names {
		t.Log(n)
	}
}

func FuzzWalk(f *testing.F) {
	f.Add([]byte("Content-Type: multipart/mixed; boundary=x\n\npre\n--x\n\none\n--x--\n"))
	f.Add([]byte("Content-Type: multipart/mixed\n\n--a\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogYQoKYgo=\n--a--"))
	f.Add([]byte("Content-Transfer-Encoding: quoted-printable\n\n=3D= \r\n=4"))
	f.Add([]byte("Content-Transfer-Encoding: x-uuencode\n\nbegin 644 a\n#0V%T\n`\nend\n"))
	f.Add([]byte("Content-Type: a/b; name*0*=UTF-8''%E5; name*1*=%A0%B1\n\n"))
	f.Add([]byte("Content-Type: multipart/mixed\n\n\n\n\n\nC"))
	f.Fuzz(func(t *testing.T, b []byte) {
		run := func(r io.Reader) (string, error) {
			var all strings.Builder
			n := 0
			err := Walk(r, Limits{Header: 4096, Parts: 50, Depth: 5}, func(p *Part) error {
				if n++; n > 100 {
					t.Fatal("more leaves than parts allowed")
				}
				fmt.Fprintf(&all, "%s %q %q %q\n", p.Path, p.MediaType, p.Filename, p.Containers)
				k, err := io.Copy(&all, p.Body)
				if k > 2*int64(len(b))+64 {
					t.Fatalf("a body of %d bytes out of %d", k, len(b))
				}
				return err
			})
			return all.String(), err
		}
		one, err1 := run(bytes.NewReader(b))
		two, err2 := run(iotest.OneByteReader(bytes.NewReader(b)))
		if (err1 == nil) != (err2 == nil) || err1 == nil && one != two {
			t.Fatalf("depends on read sizes:\n%q %v\n%q %v", one, err1, two, err2)
		}
		if err1 != nil && !errors.Is(err1, ErrTooLarge) {
			t.Fatal(err1)
		}
	})
}
