//go:build unix

package arrival

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"sekimori/internal/mailserver"
)

// bareLF are the ways in which Postfix may take line ends that are none:
// smtpd_forbid_bare_newline.
var bareLF = []string{"no", "normalize", "reject"}

// TestSmuggling hides a second message behind line ends that some servers take
// for the end of data. Whatever Postfix makes of it, each message that comes
// out is judged as what it is.
func TestSmuggling(t *testing.T) {
	w := here(t)
	for _, bare := range bareLF {
		t.Run(bare, func(t *testing.T) {
			t.Parallel()
			for i, end := range []string{"\n.\r\n", "\r.\r\n", "\n.\n", "\r\n.\n", "\r\n.\r", "\r.\r", "\r\n\x00.\r\n", "\r\n.\x00\r\n", "\n\n.\r\n"} {
				id := fmt.Sprintf("smuggled-%s-%d", bare, i)
				outer := compose(id+"-outer", forged).signed("mallory.example", "r").from(mallory, forged)
				inner := compose(id+"-inner", atBank).from(mallory, atBank)
				c, err := mailserver.Dial(w.postfix.Address("refuse-" + bare))
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Introduce(outer); err != nil {
					t.Fatal(err)
				}
				outer.Raw = []byte(strings.TrimSuffix(string(outer.Data), "\r\n") + end +
					"MAIL FROM:<" + inner.From + ">\r\nRCPT TO:<" + inner.Rcpt[0] + ">\r\nDATA\r\n" + string(mailserver.Stuffed(inner.Data)))
				var replies []mailserver.Reply
				r, err := c.Mail(outer)
				for err == nil {
					replies = append(replies, r)
					if r.Code == 221 || r.Code == 421 {
						break
					}
					if len(replies) == 1 {
						_, _ = c.Write([]byte("QUIT\r\n"))
					}
					r, err = c.Reply()
				}
				c.Close()
				queued := 0
				for _, r := range replies {
					if r.ID() == "" {
						continue
					}
					queued++
					fate, text := w.fateOf(t, "refuse", r)
					field, err := said([]byte(text))
					h, _, _ := header([]byte(text))
					from := strings.TrimSpace(h.Get("From"))
					if err != nil || fate != delivered || from != forged || !strings.HasPrefix(field, mallorS) || !strings.HasSuffix(field, "dmarc=pass mallory.example reject") {
						t.Errorf("%q: %s: %s %v\n%s", end, fate, field, err, text)
					}
				}
				t.Logf("%q: %d queued, %v", end, queued, replies)
			}
		})
	}
}

// TestSession brings many messages in one session: what one is must not rub
// off on the next.
func TestSession(t *testing.T) {
	w := here(t)
	all := arrivals()
	one := func(name string) arriving {
		for _, a := range all {
			if a.name == name {
				return a
			}
		}
		t.Fatal(name)
		return arriving{}
	}
	for _, gate := range []string{"hold", "refuse"} {
		t.Run(gate, func(t *testing.T) {
			t.Parallel()
			for _, pipelined := range []bool{false, true} {
				// All from one client, for the client is said once.
				turns := []arriving{one("forged, reject"), one("the victim in the name"), one("forged, the victim in the envelope"), one("lookalike"),
					one("forged, signed by the forger"), one("no From"), one("forged, none"), one("two From fields"), one("the victim in the name")}
				c, err := mailserver.Dial(w.postfix.Address(gate))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if err := c.Introduce(turns[0].send); err != nil {
					t.Fatal(err)
				}
				for i, a := range turns {
					if i%2 == 1 { // begun, and given up
						for _, command := range []string{"MAIL FROM:<info@bank.example>", "RCPT TO:<reader@receiver.example>", "RSET"} {
							if r, err := c.Command(command); err != nil || r.Code != 250 {
								t.Fatal(r, err)
							}
						}
					}
					var r mailserver.Reply
					if pipelined {
						if _, err = fmt.Fprintf(c, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n", a.send.From, a.send.Rcpt[0]); err != nil {
							t.Fatal(err)
						}
						for _, code := range []int{250, 250, 354} {
							if r, err = c.Reply(); err != nil || r.Code != code {
								t.Fatal(r, err)
							}
						}
						if _, err := c.Write(append(mailserver.Stuffed(a.send.Data), "NOOP\r\n"...)); err != nil {
							t.Fatal(err)
						}
						if r, err = c.Reply(); err != nil {
							t.Fatal(err)
						}
						if noop, err := c.Reply(); err != nil || noop.Code != 250 {
							t.Fatal(noop, err)
						}
					} else if r, err = c.Mail(a.send); err != nil {
						t.Fatal(err)
					}
					want := map[string]fate{"hold": a.hold, "refuse": a.refuse}[gate]
					got, text := w.fateOf(t, gate, r)
					if got != want {
						t.Errorf("%d %s: %s, want %s: %s", i, a.name, got, want, text)
					}
					if got == refused {
						continue
					}
					if field, err := said([]byte(text)); err != nil || field != a.want {
						t.Errorf("%d %s: %v\n got %s\nwant %s", i, a.name, err, field, a.want)
					}
				}
			}
		})
	}
}

// TestBroken breaks connections off wherever that can be; the gateway goes on.
func TestBroken(t *testing.T) {
	w := here(t)
	l := compose("broken-off", atBank).from(bankMail, atBank)
	dialogue := []string{"XCLIENT ADDR=" + bankMail + " NAME=[UNAVAILABLE]\r\n", "EHLO mail.bank.example\r\n", "MAIL FROM:<" + l.From + ">\r\n", "RCPT TO:<" + l.Rcpt[0] + ">\r\n", "DATA\r\n",
		string(l.Data[:20]), string(l.Data[20:]), "\r\n.\r\n"}
	for n := range dialogue {
		c, err := mailserver.Dial(w.postfix.Address("refuse"))
		if err != nil {
			t.Fatal(err)
		}
		for i, said := range dialogue[:n] {
			if _, err := c.Write([]byte(said)); err != nil {
				t.Fatal(err)
			}
			if i < 5 {
				if _, err := c.Reply(); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.Close()
	}
	if got, text := w.bring(t, "refuse", l); got != delivered {
		t.Errorf("%s: %s", got, text)
	}
}

// TestBDAT sends messages in chunks (RFC 3030), with line ends as they please.
func TestBDAT(t *testing.T) {
	w := here(t)
	l := compose("chunked", atBank).signed("bank.example", "r").from(elsewhere, nobody)
	c, err := mailserver.Dial(w.postfix.Address("refuse"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Introduce(l); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"MAIL FROM:<" + l.From + ">", "RCPT TO:<" + l.Rcpt[0] + ">"} {
		if r, err := c.Command(command); err != nil || r.Code != 250 {
			t.Fatal(r, err)
		}
	}
	var r mailserver.Reply
	for rest := l.Data; len(rest) > 0; {
		n := min(97, len(rest))
		last := ""
		if n == len(rest) {
			last = " LAST"
		}
		if _, err := fmt.Fprintf(c, "BDAT %d%s\r\n%s", n, last, rest[:n]); err != nil {
			t.Fatal(err)
		}
		if r, err = c.Reply(); err != nil || r.Code != 250 {
			t.Fatal(r, err)
		}
		rest = rest[n:]
	}
	_, text, err := w.postfix.Await(r.ID(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if field, err := said(text); err != nil || field != none+"dkim=pass bank.example/r; "+bankAR || !bytes.HasSuffix(text, []byte("the bridge is open again.\n")) {
		t.Errorf("%s %v\n%s", field, err, text)
	}
}
