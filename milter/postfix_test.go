package milter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/internal/mailserver"
	"sekimori/internal/require"
	"sekimori/milter"
)

// diary is what a filter of the tests saw and was told.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lines
	d.lines = nil
	return l
}

// TestPostfix has a real Postfix speak to the server, and looks at what it
// delivers.
func TestPostfix(t *testing.T) {
	var d diary
	srv := &milter.Server{
		Offer: milter.Offer{
			Actions: milter.ActAddHeader | milter.ActChangeHeader | milter.ActChangeBody | milter.ActQuarantine | milter.ActAddRcpt | milter.ActDeleteRcpt | milter.ActChangeFrom,
			Answers: []milter.Kind{milter.Rcpt, milter.Body},
			Macros:  map[milter.Kind][]string{milter.Mail: {"{auth_authen}", "{mail_addr}"}, milter.EndOfMessage: {"i"}},
		},
		OnError: func(err error) { t.Error(err) },
	}
	srv.Serve = func(_ context.Context, s *milter.Session) error {
		var subject string
		body := 0
		for {
			ev, err := s.Next()
			if err != nil {
				d.add("%v", err)
				return err
			}
			switch ev.Kind {
			case milter.Connect:
				d.add("connect %c %s version %d leading %v", ev.Family, ev.Addr.Addr(), s.Version(), s.LeadingSpace())
			case milter.Mail, milter.Rcpt:
				d.add("%s %q auth %q", ev.Kind, ev.Args, s.Macro("auth_authen"))
				body = 0
				if ev.Kind == milter.Rcpt && strings.HasPrefix(ev.Args[0], "<nobody@") {
					if err := s.Reply(milter.Response{Code: 550, Enhanced: "5.1.1", Text: []string{"100% nobody", "really"}}); err != nil {
						return err
					}
				}
			case milter.HeaderField:
				d.add("%s:%q", ev.Name, ev.Value)
				if ev.Name == "Subject" {
					subject = strings.TrimSpace(ev.Value)
				}
			case milter.Body:
				body += len(ev.Body)
				if subject == "skip" {
					if err := s.Reply(milter.Response{Do: milter.Skip}); err != nil {
						return err
					}
				}
			case milter.EndOfMessage:
				d.add("%s body %d queue id %v", ev.Kind, body, s.Macro("i") != "")
				var r milter.Response
				switch subject {
				case "change":
					err = errors.Join(s.DeleteHeader(3, "X-Same"), s.DeleteHeader(1, "X-Same"), s.ChangeHeader(1, "x-other", "new\r\n\tfolded"),
						s.AddHeader("X-End", "end"), s.InsertHeader(0, "X-Top", "top"), s.InsertHeader(0, "X-Same", "ours"), s.InsertHeader(1, "X-Second", "\ttab"))
				case "body":
					err = errors.Join(s.ReplaceBody(strings.NewReader(strings.Repeat("0123456789abcdef\r\n", 10000))), s.ChangeFrom("other@y.example"), s.AddRcpt("also@x.example"), s.DeleteRcpt("<b@x.example>"))
				case "hold":
					err = errors.Join(s.Quarantine("looked at"), s.InsertHeader(0, "X-Top", "top"), s.Reply(milter.Response{Do: milter.Accept}))
				case "refuse":
					r = milter.Response{Code: 550, Enhanced: "5.7.26", Text: []string{"100% refused", "see https://x.example/?a=%20b"}}
				case "later":
					r = milter.Response{Do: milter.TempFail}
				case "discard":
					r = milter.Response{Do: milter.Discard}
				case "slow":
					for range 3 {
						time.Sleep(1200 * time.Millisecond)
						err = errors.Join(err, s.Progress())
					}
				}
				if err == nil && subject != "hold" {
					err = s.Reply(r)
				}
				if err != nil {
					return err
				}
			default:
				d.add("%s %s", ev.Kind, ev.Name)
			}
		}
	}
	ln, err := milter.Listen("inet:0@127.0.0.1", milter.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Listen(ln) }()
	defer func() {
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		<-ended
	}()
	mta, err := mailserver.Start(mailserver.Options{Milters: []string{"inet:" + ln.Addr().String()}, Domains: []string{"x.example"},
		Set: map[string]string{"milter_content_timeout": "3s"}})
	if errors.Is(err, mailserver.ErrMissing) {
		require.Missing(t, "postfix (Debian: postfix), and root to run it")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer mta.Stop()

	conn, err := mailserver.Dial(mta.Address(mailserver.Main))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	letter := mailserver.Letter{Client: netip.MustParseAddr("192.0.2.1"), Helo: "helo.example", Login: "alice", From: "a@y.example", Rcpt: []string{"b@x.example"}}
	if err := conn.Introduce(letter); err != nil {
		t.Fatal(err)
	}
	d.take() // XCLIENT makes another connection of it

	head := "X-Same: 1\r\nX-Other: old\r\nX-Same:2\r\nX-Same: 3\r\n 4\r\n"
	send := func(subject, body string) mailserver.Reply {
		t.Helper()
		letter.Data = []byte(head + "Subject: " + subject + "\r\n\r\n" + body)
		r, err := conn.Mail(letter)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	delivered := func(r mailserver.Reply, want mailserver.Place) string {
		t.Helper()
		if r.Code != 250 {
			t.Errorf("answered %s", r)
			return ""
		}
		place, text, err := mta.Await(r.ID(), 20*time.Second)
		if err != nil || place != want {
			t.Errorf("is in %q, want %q: %v", place, want, err)
		}
		return string(text)
	}
	// without takes the server's own Received field out.
	without := func(text string) string {
		i := strings.Index(text, "Received: from ")
		if i < 0 {
			t.Errorf("no Received in %.300q", text)
			return text
		}
		rest := text[i:]
		for {
			line, after, _ := strings.Cut(rest, "\n")
			if line == "" || rest != text[i:] && line[0] != ' ' && line[0] != '\t' {
				break
			}
			rest = after
		}
		return text[:i] + "RECEIVED\n" + rest
	}

	t.Run("plain", func(t *testing.T) {
		text := delivered(send("plain", strings.Repeat("x", 70)+"\r\n"), mailserver.InInbox)
		if !strings.Contains(text, "X-Same:2\n") {
			t.Errorf("delivered %q", text)
		}
		want := []string{`mail ["<a@y.example>"] auth "alice"`, `rcpt ["<b@x.example>"] auth "alice"`, "data ",
			`X-Same:" 1"`, `X-Other:" old"`, `X-Same:"2"`, `X-Same:" 3\n 4"`, `Subject:" plain"`, "end of header ", "end of message body 72 queue id true"}
		got := d.take()
		// Postfix may send parameters of its own, and an abort at RSET is no
		// message's.
		if i := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "mail") }); i >= 0 {
			got = got[i:]
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("seen\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
	t.Run("abort", func(t *testing.T) {
		d.take()
		for _, line := range []string{"MAIL FROM:<a@y.example>", "RCPT TO:<b@x.example>", "RSET", "RSET"} {
			if r, err := conn.Command(line); err != nil || r.Code != 250 {
				t.Fatalf("%s: %v, %v", line, r, err)
			}
		}
		r, err := conn.Command("XYZZY")
		if err != nil || r.Code/100 != 5 {
			t.Fatalf("%v, %v", r, err)
		}
		// Postfix keeps back what wants no answer until something does.
		delivered(send("plain", "body\r\n"), mailserver.InInbox)
		got := strings.Join(d.take()[:4], "|")
		if want := `mail ["<a@y.example>"] auth "alice"|rcpt ["<b@x.example>"] auth "alice"|abort |unknown command XYZZY`; got != want {
			t.Errorf("seen %s, want %s", got, want)
		}
	})
	t.Run("change", func(t *testing.T) {
		text := without(delivered(send("change", "body\r\n"), mailserver.InInbox))
		want := "X-Same: ours\nX-Second:\ttab\nX-Top: top\nRECEIVED\nx-other: new\n\tfolded\nX-Same:2\nSubject: change\n"
		if !strings.HasPrefix(text, want) || !strings.Contains(text, "\nX-End: end\n") {
			t.Errorf("delivered %q, want %q", text, want)
		}
	})
	t.Run("body", func(t *testing.T) {
		text := delivered(send("body", strings.Repeat("y", 1000)+"\r\n"), mailserver.InInbox)
		if !strings.HasSuffix(text, "\n\n"+strings.Repeat("0123456789abcdef\n", 10000)) {
			t.Errorf("delivered %d octets: %.400q", len(text), text)
		}
	})
	t.Run("hold", func(t *testing.T) {
		r := send("hold", "body\r\n")
		place, _, err := mta.Await(r.ID(), 20*time.Second)
		if r.Code != 250 || place != mailserver.InHold {
			t.Errorf("%s, in %q: %v", r, place, err)
		}
	})
	t.Run("refuse", func(t *testing.T) {
		r := send("refuse", "body\r\n")
		if want := []string{"5.7.26 100% refused", "5.7.26 see https://x.example/?a=%20b"}; r.Code != 550 || !slices.Equal(r.Lines, want) {
			t.Errorf("answered %d %q", r.Code, r.Lines)
		}
	})
	t.Run("later", func(t *testing.T) {
		if r := send("later", "body\r\n"); r.Code != 451 {
			t.Errorf("answered %s", r)
		}
	})
	t.Run("discard", func(t *testing.T) {
		if r := send("discard", "body\r\n"); r.Code != 250 {
			t.Errorf("answered %s", r)
		}
	})
	t.Run("skip", func(t *testing.T) {
		d.take()
		text := delivered(send("skip", strings.Repeat(strings.Repeat("z", 98)+"\r\n", 10000)), mailserver.InInbox)
		if !strings.HasSuffix(text, "z\n") || len(text) < 990000 {
			t.Errorf("delivered %d octets", len(text))
		}
		if got := d.take(); !slices.Contains(got, "end of message body 65535 queue id true") {
			t.Errorf("seen %q", got)
		}
	})
	t.Run("slow", func(t *testing.T) {
		// Longer than Postfix waits: progress keeps it waiting.
		if r := send("slow", "body\r\n"); r.Code != 250 {
			t.Errorf("answered %s", r)
		}
	})
	t.Run("recipient", func(t *testing.T) {
		for _, line := range []string{"MAIL FROM:<a@y.example> SIZE=100", "RCPT TO:<b@x.example>"} {
			if r, err := conn.Command(line); err != nil || r.Code != 250 {
				t.Fatalf("%s: %v, %v", line, r, err)
			}
		}
		r, err := conn.Command("RCPT TO:<nobody@x.example>")
		if want := []string{"5.1.1 100% nobody", "5.1.1 really"}; err != nil || r.Code != 550 || !slices.Equal(r.Lines, want) {
			t.Errorf("answered %d %q, %v", r.Code, r.Lines, err)
		}
		if r, err := conn.Command("RCPT TO:<c@x.example>"); err != nil || r.Code != 250 {
			t.Errorf("the next recipient: %v, %v", r, err)
		}
		if r, err := conn.Command("RSET"); err != nil || r.Code != 250 {
			t.Errorf("%v, %v", r, err)
		}
	})
	if r, err := conn.Command("QUIT"); err != nil || r.Code != 221 {
		t.Errorf("%v, %v", r, err)
	}
	for range 200 {
		if got := d.take(); bytes.Contains([]byte(strings.Join(got, "\n")), []byte("EOF")) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("no goodbye came")
}
