package aggregate

import (
	"bytes"
	"errors"
	"reflect"
	"runtime/metrics"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzReader gives a Reader anything. It never panics, needs memory in
// proportion to the input, refuses with one of its errors, and what it accepts
// it reads again the same from what Writer makes of it.
func FuzzReader(f *testing.F) {
	for _, doc := range []string{
		whole, modern, cdataReport, "", "<", "<feedback/>", "<!DOCTYPE a>", "\xff\xfe<\x00f\x00",
		"<?xml version='1.0' encoding='Shift_JIS'?><feedback>\x93\xfa",
		"<?xml version='1.0' encoding='utf-16'?><feedback></feedback>",
		strings.Replace(whole, "good", "<a@b.example> &amp &#x41; <![CDATA[<]]>", 1),
		strings.Replace(whole, "<row>", "<row a='b'><x:y xmlns:x='z'><q/></x:y>", 1),
		strings.Replace(whole, "192.0.2.1", "2001:db8::%1", 1),
		strings.Replace(whole, "<pct>100</pct>", "<testing>y</testing></policy_published><policy_published>", 1),
		whole[:700], modern[:900], "Xml 00\x000",
	} {
		f.Add([]byte(doc))
	}
	// runtime.ReadMemStats would stop the world twice for every input.
	allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	allocs := func() uint64 {
		metrics.Read(allocated)
		return allocated[0].Value.Uint64()
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := allocs()
		start := time.Now()
		r := NewReader(bytes.NewReader(b), Limits{Records: 1000})
		rep, records, err := all(r)
		n := allocs() - before
		// The window and its growth, the words, and every text a few times.
		if n > 4<<20+400*uint64(len(b)) {
			t.Errorf("%d bytes allocated for %d", n, len(b))
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%v for %d bytes", d, len(b))
		}
		for _, d := range rep.Deviations {
			if d.Line < 1 || d.Offset < 0 || d.Times < 1 || len(d.Detail) > maxDetail || !utf8.ValidString(d.Detail) {
				t.Errorf("deviation %+v", d)
			}
		}
		if len(rep.Deviations) > 100 {
			t.Errorf("%d deviations", len(rep.Deviations))
		}
		if err != nil {
			var se *SyntaxError
			if !errors.Is(err, ErrEmpty) && !errors.As(err, &se) {
				t.Errorf("error %T: %v", err, err)
			}
			if !utf8.ValidString(err.Error()) {
				t.Errorf("error %q", err)
			}
			return
		}
		_ = Filename(rep)
		again, err := write(rep.Form, rep, records)
		if err != nil {
			return // read leniently, and not to be written so
		}
		rep2, records2, err := read(again)
		if err != nil {
			t.Fatalf("what was written is not read: %v\n%s", err, again)
		}
		rep.Deviations, rep2.Deviations = nil, nil
		// What the form requires was filled in.
		if rep.Version == "" {
			rep2.Version = ""
		}
		if p, p2 := &rep.PolicyPublished, &rep2.PolicyPublished; rep.Form == RFC7489 {
			if p.SP == "" && p2.SP == p.P {
				p2.SP = ""
			}
			if p.PCT == "" && p2.PCT == "100" {
				p2.PCT = ""
			}
			if p.FO == "" && p2.FO == "0" {
				p2.FO = ""
			}
			for i, r := range records2 {
				for k := range r.SPFResults {
					if i < len(records) && k < len(records[i].SPFResults) && records[i].SPFResults[k].Scope == "" {
						r.SPFResults[k].Scope = ""
					}
				}
			}
		}
		if !reflect.DeepEqual(rep, rep2) || !reflect.DeepEqual(records, records2) {
			t.Fatalf("read:\n%+v\n%+v\nread again:\n%+v\n%+v\n%s", rep, records, rep2, records2, again)
		}
	})
}
