package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"sekimori/dkim"
	"sekimori/dns/dnstest"
	"sekimori/message"
)

// TestMail: the generated messages have the size they should have and verify,
// as they are made and as they come out of a mailbox.
func TestMail(t *testing.T) {
	p, err := newPostOffice()
	if err != nil {
		t.Fatal(err)
	}
	text, err := p.zone()
	if err != nil {
		t.Fatal(err)
	}
	zone, err := dnstest.Parse(strings.NewReader(text), "zone")
	if err != nil {
		t.Fatal(err)
	}
	v := &dkim.Verifier{Resolver: zone}
	check := func(l letter, size int) {
		t.Helper()
		if n := len(l.text); n < size*93/100 || n > size*107/100 {
			t.Errorf("a message has %d octets, want about %d", n, size)
		}
		h, body, err := message.Read(bytes.NewReader(l.text), 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(h) < 11 || len(h) > 16 {
			t.Errorf("%d fields", len(h))
		}
		res, err := v.Verify(context.Background(), h, body)
		if err != nil || len(res) != 1 || res[0].Status != dkim.Pass {
			t.Fatalf("%v %+v\n%s", err, res, l.text)
		}
	}
	path := filepath.Join(t.TempDir(), "mbox")
	for _, size := range []int{10_240, 102_400} {
		for i := range 20 {
			l, err := p.letter(i, size)
			if err != nil {
				t.Fatal(err)
			}
			check(l, size)
		}
		if err := p.mailbox(path, 300, size); err != nil {
			t.Fatal(err)
		}
		all, err := letters(path, 1000)
		if err != nil || len(all) != 300 {
			t.Fatalf("%d messages, %v", len(all), err)
		}
		for _, l := range all[280:] {
			check(l, size)
		}
	}
}
