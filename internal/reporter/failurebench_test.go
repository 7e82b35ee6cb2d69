package reporter

import (
	"strings"
	"testing"
)

func BenchmarkFailureReport(b *testing.B) {
	w := newWorld(b)
	f, _ := w.failures(b, nil)
	c := w.judge(b, arrival{mailFrom: "x@attacker.example", text: from("example.com")})
	b.ReportAllocs()
	for b.Loop() {
		f.Report(c)
	}
}

func BenchmarkFailureDescribe(b *testing.B) {
	w := newWorld(b)
	f, _ := w.failures(b, nil)
	c := w.judge(b, arrival{mailFrom: "x@attacker.example", text: strings.Repeat("Received: from x (x [192.0.2.1]) by y for <taro@city.example>; date\n", 10) + from("example.com")})
	wish, _ := wanted(c.Verdict)
	b.ReportAllocs()
	for b.Loop() {
		f.describe(&c, wish)
	}
}
