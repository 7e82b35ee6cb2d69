package failure

import (
	"io"
	"strings"
	"testing"

	"sekimori/message"
)

var testRedactor = &Redactor{Key: []byte("0123456789abcdef0123456789abcdef")}

func header(t testing.TB, text string) message.Header {
	t.Helper()
	h, _, err := message.Read(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")), 16<<20)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRedact(t *testing.T) {
	taro, hanako := testRedactor.Word("taro"), testRedactor.Word("hanako")
	if taro == hanako || len(taro) != 16 || testRedactor.Word("taro") != taro {
		t.Fatalf("words: %q, %q", taro, hanako)
	}
	if other := (&Redactor{Key: []byte("another key")}).Word("taro"); other == taro {
		t.Error("the word does not depend on the key")
	}
	for _, c := range []struct{ in, want string }{
		{"From: =?utf-8?B?5bGx55Sw?= <taro@example.jp>", "From: " + taro + "@example.jp"},
		{"From: taro@example.jp (Yamada Taro)", "From: " + taro + "@example.jp"},
		{"To: Hanako <hanako@example.jp>,\n taro@example.jp", "To: " + hanako + "@example.jp, " + taro + "@example.jp"},
		{"To: undisclosed-recipients:;", ""},
		{"Return-Path: <>", "Return-Path: <>"},
		{"Reply-To: \"taro\"@example.jp", "Reply-To: " + taro + "@example.jp"},
		// Unreadable lists.
		{"From: taro@example.jp hanako@example.jp", "From: " + taro + "@example.jp, " + hanako + "@example.jp"},
		{"From: Yamada Taro <taro@example.jp> <hanako@example.jp>", "From: " + taro + "@example.jp, " + hanako + "@example.jp"},
		{"Subject: Meeting on Friday", "Subject: [" + testRedactor.Word("Meeting on Friday") + "]"},
		{"Bcc: taro@example.jp", ""},
		{"X-Originating-IP: 192.0.2.1", ""},
		{"X-Sender: taro@example.jp", ""},
		{"Received: from a.example (a.example [192.0.2.1])\n\t(Authenticated sender: taro)\n\tby mx.example for <hanako@example.jp>; date",
			"Received: from a.example (a.example [192.0.2.1]) by mx.example for <" + hanako + "@example.jp>; date"},
		{"Received: from x (AUTH: CRAM-MD5 taro@SYT0/k, TLS) by y", "Received: from x by y"},
		{"Received-SPF: pass (x: domain of taro@example.jp) envelope-from=taro@example.jp; helo=x",
			"Received-SPF: pass (x: domain of " + taro + "@example.jp) envelope-from=" + taro + "@example.jp; helo=x"},
		{"Received: by mx.example (Postfix) id 1 for taro; date", "Received: by mx.example (Postfix) id 1 for " + taro + "; date"},
		{"Received: by mx.example id 1 for <taro>; date", "Received: by mx.example id 1 for <" + taro + ">; date"},
		{"Authentication-Results: x; Auth=pass (login taro) smtp.auth=taro; spf=pass smtp.mailfrom=\"taro\"@example.jp",
			"Authentication-Results: x; spf=pass smtp.mailfrom=" + taro + "@example.jp"},
		{"Authentication-Results: x; y=z smtp.auth=taro@example.jp", "Authentication-Results: x; y=z smtp.auth=" + taro + "@example.jp"},
		{"Authentication-Results: x; y=z smtp.auth=\"taro\" a.b=c", "Authentication-Results: x; y=z smtp.auth=" + taro + " a.b=c"},
		{"Content-Type: multipart/mixed; boundary=\"taro@example.jp\"", "Content-Type: multipart/mixed; boundary=\"" + taro + "@example.jp\""},
		{"DKIM-Signature: v=1; d=example.jp; i=taro@example.jp; z=From:taro@example.jp|Subject:hello; b=abc",
			"DKIM-Signature: v=1; d=example.jp; i=" + taro + "@example.jp; b=abc"},
		{"DKIM-Signature: v=1; d=example.jp; i=@example.jp; b=abc", "DKIM-Signature: v=1; d=example.jp; i=@example.jp; b=abc"},
		{"Content-Type: application/pdf; name=\"salary of taro.pdf\"; charset=utf-8", "Content-Type: application/pdf; charset=\"utf-8\""},
		{"Message-ID: <2026@example.jp>", "Message-ID: <2026@example.jp>"},
		{"List-Id: <http://example.jp/x>", "List-Id: <hxxp://example.jp/x>"},
		{"List-Id: <HTTPS://example.jp/x>", "List-Id: <hxxpS://example.jp/x>"},
		// A VERP address is one local-part, though it looks like a property.
		{"Return-Path: <bounce+hanako=example.jp@list.example>", "Return-Path: <" + testRedactor.Word("bounce+hanako=example.jp") + "@list.example>"},
		{"Received: from x for <bounce+hanako=example.jp@list.example>; d", "Received: from x for <" + testRedactor.Word("bounce+hanako=example.jp") + "@list.example>; d"},
		{"User-Agent: \x1b[31m日本", "User-Agent: ?[31m??????"},
	} {
		got := ""
		for _, f := range testRedactor.Header(header(t, c.in+"\n\n")) {
			got += strings.TrimSuffix(f.Raw(), "\r\n")
		}
		want := c.want
		if strings.HasPrefix(c.in, "Return-Path: <b") {
			want = strings.NewReplacer("<", "", ">", "").Replace(want) // address fields lose their brackets
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", c.in, got, want)
		}
	}
	if got := (&Redactor{}).Address("taro@example.jp"); got != "redacted@example.jp" {
		t.Errorf("without a key: %s", got)
	}
}

// TestRedactBounds keeps what is left small, whatever comes.
func TestRedactBounds(t *testing.T) {
	many := strings.Repeat("Received: from x by y\n", 10000) + "X: y\n\n"
	if n := len(testRedactor.Header(header(t, many))); n != 100 {
		t.Errorf("%d fields", n)
	}
	long := strings.Repeat("Received: from "+strings.Repeat("x", 8000)+"\n", 50) + "\n"
	total := 0
	for _, f := range testRedactor.Header(header(t, long)) {
		total += len(f.Raw())
	}
	if total == 0 || total > 32<<10 {
		t.Errorf("%d octets", total)
	}
	if h := testRedactor.Header(header(t, "To: "+strings.Repeat("taro@example.jp, ", 100000)+"x@example.jp\n\n")); len(h) != 0 {
		t.Errorf("a field of a megabyte stays")
	}
}

func leaks(t *testing.T, name string, r io.Reader) int {
	h, _, err := message.Read(r, 0)
	if err != nil {
		return 0
	}
	return leaksHeader(t, name, h)
}

// leaksHeader looks for local-parts, names of people and the subject in what is
// left of a header.
func leaksHeader(t *testing.T, name string, h message.Header) int {
	t.Helper()
	var left strings.Builder
	for _, f := range testRedactor.Header(h) {
		if !f.Is("Message-ID") {
			left.WriteString(f.Raw())
		}
	}
	text := strings.ToLower(left.String())
	looked := 0
	for _, field := range []string{"From", "To", "Cc", "Reply-To", "Sender", "Return-Path"} {
		for _, f := range h.All(field) {
			list, _ := message.ParseAddresses(f.RawValue())
			for _, a := range list {
				looked++
				if a.Local != "" && strings.Contains(text, strings.ToLower(a.Local)+"@") {
					t.Errorf("%s: %q is left of %s", name, a.Local, f.Value())
				}
				if len(a.Name) > 6 && strings.Contains(text, strings.ToLower(a.Name)) && !strings.Contains(strings.ToLower(a.Domain), strings.ToLower(a.Name)) {
					t.Errorf("%s: the name %q is left", name, a.Name)
				}
			}
		}
	}
	if s := h.Get("Subject"); len(s) > 8 && strings.Contains(text, strings.ToLower(s)) {
		t.Errorf("%s: the subject is left", name)
	}
	return looked
}

func FuzzRedact(f *testing.F) {
	f.Add("From: taro@example.jp\r\nReceived: (auth \\) x@y \"a@b\"@c\r\n")
	f.Add("DKIM-Signature: z=; i=\"@\"@x; smtp.auth=\"a b\" smtp.auth=\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		h, _, err := message.Read(strings.NewReader(text), 1<<20)
		if err != nil {
			return
		}
		for _, field := range testRedactor.Header(h) {
			if strings.ContainsAny(strings.TrimSuffix(field.Raw(), "\r\n"), "\r\n") {
				t.Errorf("more than one line: %q", field.Raw())
			}
		}
	})
}

// FuzzRedactSecret puts an address into every field that stays: wherever it
// stands, its local-part does not.
func FuzzRedactSecret(f *testing.F) {
	const secret = "s3cretlocal"
	f.Add("from x ", "; date")
	f.Add("\"quo\\\"te\" <", ">, b@c")
	f.Add("(comment (auth", ")) smtp.auth=")
	f.Add("smtp.mailfrom=a=b@", "@c http://")
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.ContainsAny(before+after, "\r\n") || strings.Contains(before+after, secret) || len(before)+len(after) > 4000 {
			return
		}
		for name := range kept {
			if name == "message-id" {
				continue
			}
			field, ok := message.ParseField(name + ": " + before + secret + "@example.jp" + after + "\r\n")
			if !ok {
				t.Fatal(name)
			}
			for _, left := range testRedactor.Header(message.Header{field}) {
				if strings.Contains(left.Raw(), secret) {
					t.Errorf("%q becomes %q", field.Raw(), left.Raw())
				}
			}
		}
	})
}
