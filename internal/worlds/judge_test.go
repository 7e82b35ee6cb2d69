package worlds

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestJudge holds answers against a truth made by hand.
func TestJudge(t *testing.T) {
	truth := &Truth{Domain: "a.example", Legitimate: 20000, AtRisk: 300, Sources: map[string]*Source{
		"own":     {Class: Aligned, IPs: []string{"192.0.2.1"}, Messages30: 19000, Failing30: 3},
		"vendor":  {Class: Broken, IPs: []string{"192.0.2.2", "192.0.2.3"}, Messages30: 295, Failing30: 295},
		"printer": {Class: Broken, Also: []string{Unknown}, IPs: []string{"192.0.2.4"}, Messages30: 5, Failing30: 5},
		"list":    {Class: Forwarder, IPs: []string{"192.0.2.5"}, Messages30: 700, Failing30: 100},
		"bots":    {Class: Spoof, IPs: []string{"192.0.2.6", "192.0.2.7", "192.0.2.8", "192.0.2.9"}, Messages30: 400, Failing30: 400},
	}}
	said := func(class string, p float64, ips ...string) Said {
		return Said{Name: class, Class: class, Probability: p, Addresses: ips}
	}
	good := Answer{Verdict: "not-ready", AtRisk: 300, Legitimate: 20000, Fixes: []int{1}, Sources: []Said{
		said(Aligned, 0.99, "192.0.2.1"), said(Broken, 0.9, "192.0.2.2", "192.0.2.3"), said(Unknown, 0.5, "192.0.2.4"),
		said(Forwarder, 0.8, "192.0.2.5"), said(Spoof, 0.9, "192.0.2.6", "192.0.2.7", "192.0.2.8", "192.0.2.9"),
	}}
	j := Judge(truth, good)
	if j.Broken != 2 || j.Found != 2 || j.Lost != 0 || j.SpoofOurs != 0 || j.IndirectOK != 100 || j.Verdicts != 1 || j.Lists != 1 || j.Enough != 1 || j.Least != 1 || len(j.Missed) != 0 || len(j.Sure) != 4 {
		t.Errorf("a right answer: %+v", j)
	}
	bad := Answer{Verdict: "ready", AtRisk: 0, Legitimate: 20000, Sources: []Said{
		said(Aligned, 0.99, "192.0.2.1"), said(Spoof, 0.9, "192.0.2.2", "192.0.2.3"),
		said(Unknown, 0.5, "192.0.2.5"), said(Broken, 0.9, "192.0.2.6"), said(Spoof, 0.9, "192.0.2.7", "192.0.2.8", "192.0.2.9"),
	}}
	b := Judge(truth, bad)
	if b.Found != 0 || b.Lost != 1 || b.SpoofOurs != 100 || b.IndirectOK != 0 || b.Verdicts != 0 || b.FalseReady != 1 || b.MessagesOff != 1 || len(b.Missed) != 5 {
		t.Errorf("a wrong answer: %+v", b)
	}
	for _, s := range b.Sure {
		if s.Truth == Broken && s.Right {
			t.Errorf("%+v", s)
		}
	}
	if m := b.Messages[[2]string{Spoof, Broken}]; m != 100 {
		t.Errorf("%d spoofed messages called broken", m)
	}
	unlucky := good
	unlucky.Fixes = []int{2}
	if x := Judge(truth, unlucky); x.Enough != 0 || x.Lists != 1 {
		t.Errorf("a list that leaves the vendor: %+v", x)
	}
	j.Add(b)
	if j.Worlds != 2 || j.Broken != 4 || j.Found != 2 || j.Lost != 1 {
		t.Errorf("the sum: %+v", j)
	}
	for line := range strings.Lines(j.String()) {
		if utf8.RuneCountInString(line) > 81 {
			t.Errorf("long line: %s", line)
		}
	}
}

// TestOpenVerdicts: while a source that nobody can tell is open, waiting is right; so
// is it to say nothing yet about a domain that sends nothing.
func TestOpenVerdicts(t *testing.T) {
	truth := &Truth{Domain: "a.example", Legitimate: 20000, Ready: true, Sources: map[string]*Source{
		"rented": {Class: Spoof, Also: []string{Unknown}, IPs: []string{"192.0.2.1"}, Messages30: 400, Failing30: 400},
	}}
	a := Answer{Verdict: "not-ready", Legitimate: 20000, Sources: []Said{{Class: Unknown, Addresses: []string{"192.0.2.1"}}}}
	if j := Judge(truth, a); j.Verdicts != 1 || j.FalseReady != 0 {
		t.Errorf("%+v", j)
	}
	a.Sources[0].Class = Spoof // then there is nothing to wait for
	if j := Judge(truth, a); j.Verdicts != 0 {
		t.Errorf("%+v", j)
	}
	silent := &Truth{Domain: "b.example", Ready: true}
	for verdict, want := range map[string]int{"ready": 1, "insufficient-data": 1, "not-ready": 0} {
		if j := Judge(silent, Answer{Verdict: verdict}); j.Verdicts != want {
			t.Errorf("%s: %+v", verdict, j)
		}
	}
}
