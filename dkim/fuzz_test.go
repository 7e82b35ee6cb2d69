package dkim

import (
	"bytes"
	"context"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"sekimori/dns"
	"sekimori/message"
)

const rfcSignature = "v=1; a=rsa-sha256; s=brisbane; d=example.com;\r\n" +
	"         c=simple/simple; q=dns/txt; i=joe@football.example.com;\r\n" +
	"         h=Received : From : To : Subject : Date : Message-ID;\r\n" +
	"         bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n" +
	"         b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB\r\n" +
	"         4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut\r\n" +
	"         KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV\r\n" +
	"         4bmp/YzhwvcubU4="

// FuzzSignature: what is read prints back as the same signature.
func FuzzSignature(f *testing.F) {
	f.Add(rfcSignature)
	f.Add("v=1;a=ed25519-sha256;d=日本.jp;s=あ;i==40x@日本.jp;h=from;bh=" + strings.Repeat("A", 43) + ";b=AA;l=12;t=1;x=2;zz=;z=a:b|c")
	f.Add("v=1; a=; b")
	f.Fuzz(func(t *testing.T, value string) {
		s, err := ParseSignature(value)
		if s == nil {
			t.Fatal("no signature")
		}
		for _, shown := range []string{s.Identity, s.Selector, string(s.Algorithm)} {
			if strings.ContainsAny(shown, "\r\n\x00") {
				t.Errorf("%q would break a header", shown)
			}
		}
		if err != nil {
			if e := err.(*Error); e.Step.Code == "" || e.Error() == "" {
				t.Errorf("an error that says nothing: %+v", e)
			}
			return
		}
		again, err := ParseSignature(s.String())
		if err != nil {
			t.Fatalf("%q prints as %q: %v", value, s, err)
		}
		if !reflect.DeepEqual(s, again) {
			t.Errorf("%q: %+v, printed and read again %+v", value, s, again)
		}
		if len(s.Headers) > maxHeaders || len(s.Value) > maxValue || s.Length < 0 {
			t.Errorf("beyond the limits: %+v", s)
		}
	})
}

// FuzzKey: what is read prints back as the same key, the linter takes anything,
// and what it proposes is a key without errors.
func FuzzKey(f *testing.F) {
	f.Add(record(edKey()))
	f.Add("v=DKIM1; g=*; h=sha1:sha256; s=*:email; t=y:s; n=a=20b; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB")
	f.Add("v=DKIM1; k=ed25519; p=MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
	f.Add(`"v=DKIM1\; k=ed25519\; " "p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="`)
	f.Add("p=")
	f.Fuzz(func(t *testing.T, txt string) {
		for _, found := range LintKey(txt, "s._domainkey.example.jp") {
			if found.Publish == nil {
				continue
			}
			for _, left := range LintKey(found.Publish.Value, "s._domainkey.example.jp") {
				if left.Publish != nil {
					t.Errorf("%q: what is to be published, %q, is still to be mended: %+v", txt, found.Publish.Value, left)
				}
			}
		}
		k, err := ParseKey(txt)
		if err != nil {
			return
		}
		again, err := ParseKey(k.String())
		if err != nil {
			t.Fatalf("%q prints as %q: %v", txt, k, err)
		}
		if !reflect.DeepEqual(k, again) {
			t.Errorf("%q: %+v, printed and read again %+v", txt, k, again)
		}
		if k.Revoked() != (k.Public == nil) {
			t.Errorf("%q: revoked %t, key %v", txt, k.Revoked(), k.Public)
		}
	})
}

// everywhere has the same key at every name, and counts questions.
type everywhere struct {
	key   string
	asked atomic.Int64
}

func (e *everywhere) Lookup(context.Context, string, dns.Type) (dns.Answer, error) {
	e.asked.Add(1)
	return dns.Answer{Records: []string{e.key}}, nil
}

// FuzzVerify: a message may be anything. There are no more questions than
// signatures looked at, every result has a status and a reason, and the same
// message cut otherwise has the same results.
func FuzzVerify(f *testing.F) {
	key := record(edKey())
	f.Add([]byte(signed(f, sample, &Signer{Domain: name("example.jp"), Selector: "ed", Key: edKey(), Now: at(testTime)})))
	f.Add([]byte(forge(f, letter, "v=1; l=5; a=ed25519-sha256; d=example.jp; s=ed; h=from; bh=@", edKey())))
	f.Add([]byte("DKIM-Signature: " + rfcSignature + "\r\nFrom: a\r\n\r\n"))
	f.Add([]byte(strings.Repeat("DKIM-Signature: v=1\n", 20) + "\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		zone := &everywhere{key: key}
		v := &Verifier{Resolver: zone, Now: at(testTime), Diagnose: len(raw)%2 == 0, AcceptUnsigned: len(raw)%3 == 0}
		h, body, err := message.Read(bytes.NewReader(raw), 0)
		if err != nil {
			return
		}
		ctx := context.Background()
		var d, e message.Digests
		one, two := v.Begin(ctx, h, &d), v.Begin(ctx, h, &e)
		buf := make([]byte, 7)
		for {
			n, err := body.Read(buf)
			d.Write(buf[:n])
			for i := range n {
				e.Write(buf[i : i+1])
			}
			if err != nil {
				break
			}
		}
		d.Close()
		e.Close()
		res, again := one.Finish(ctx), two.Finish(ctx)
		if len(res) > 11 || zone.asked.Load() > 20 {
			t.Errorf("%d results, %d questions", len(res), zone.asked.Load())
		}
		if len(res) != len(again) {
			t.Fatalf("%d results, and %d when cut otherwise", len(res), len(again))
		}
		for i, r := range res {
			if r.Status == "" || r.Status == None || r.Reason.Code == "" || len(r.Steps) == 0 {
				t.Errorf("a result without its reason: %+v", r)
			}
			if r.Status != again[i].Status || r.Reason.Code != again[i].Reason.Code {
				t.Errorf("%s %s, and %s %s when cut otherwise", r.Status, r.Reason.Code, again[i].Status, again[i].Reason.Code)
			}
		}
	})
}
