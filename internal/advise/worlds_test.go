package advise

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/internal/require"
	"sekimori/internal/store"
	"sekimori/report/aggregate"
)

// truth is what a simulated world says about itself.
type truth struct {
	Domain  string `json:"domain"`
	Sources map[string]truthSource
	Legit   uint64 `json:"legitimate_last30"`
	AtRisk  uint64 `json:"broken_at_risk_last30"`
	Ready   bool   `json:"ready"`
}

type truthSource struct {
	Class    Class    `json:"cls"`
	IPs      []string `json:"ips"`
	Failing  uint64   `json:"failing_last30"`
	Messages uint64   `json:"messages_last30"`
}

// judgement counts an answer against the truth of a world.
type judgement struct {
	matrix      map[[2]Class]uint64 // (truth, said) → failing messages
	broken      int                 // broken sources with failing messages
	found       int
	lost        int // broken sources called spoof
	spoofed     uint64
	spoofOurs   uint64
	indirect    uint64
	indirectOK  uint64
	verdict     bool
	falseReady  bool
	description []string
}

func judge(t truth, a *Advice) judgement {
	j := judgement{matrix: map[[2]Class]uint64{}}
	said := map[string]Class{}
	for _, s := range a.Sources {
		for _, ip := range s.Addresses {
			said[ip] = s.Class
		}
	}
	names := make([]string, 0, len(t.Sources))
	for name := range t.Sources {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		s := t.Sources[name]
		classes := map[Class]int{}
		seen := 0
		for _, ip := range s.IPs {
			if c, ok := said[ip]; ok {
				classes[c]++
				seen++
			}
		}
		if s.Failing > 0 && seen > 0 {
			for c, k := range classes {
				j.matrix[[2]Class{s.Class, c}] += s.Failing * uint64(k) / uint64(seen)
			}
		}
		switch s.Class {
		case Broken:
			if s.Failing > 0 {
				j.broken++
				if classes[Broken]*2 > seen {
					j.found++
				}
				if classes[Spoof] > 0 {
					j.lost++
				}
			}
		case Spoof:
			j.spoofed += s.Failing
			if seen > 0 {
				j.spoofOurs += s.Failing * uint64(classes[Broken]+classes[Aligned]) / uint64(seen)
			}
		case Forwarder:
			j.indirect += s.Failing
			if seen > 0 {
				j.indirectOK += s.Failing * uint64(classes[Forwarder]) / uint64(seen)
			}
		}
		if seen > 0 && (len(classes) > 1 || classes[s.Class] == 0) {
			j.description = append(j.description, fmt.Sprintf("%s: %s is said to be %v (%d failing)", name, s.Class, classes, s.Failing))
		}
	}
	j.verdict = (a.Verdict == Ready) == t.Ready
	j.falseReady = a.Verdict == Ready && !t.Ready
	return j
}

// add sums judgements.
func (j *judgement) add(o judgement) {
	for k, v := range o.matrix {
		j.matrix[k] += v
	}
	j.broken += o.broken
	j.found += o.found
	j.lost += o.lost
	j.spoofed += o.spoofed
	j.spoofOurs += o.spoofOurs
	j.indirect += o.indirect
	j.indirectOK += o.indirectOK
}

func (j judgement) String() string {
	var b strings.Builder
	order := []Class{Aligned, Broken, Forwarder, Unknown, Spoof}
	fmt.Fprintf(&b, "failing messages, truth down, said across\n%10s", "")
	for _, c := range order {
		fmt.Fprintf(&b, "%10s", c)
	}
	for _, r := range []Class{Aligned, Broken, Forwarder, Spoof} {
		fmt.Fprintf(&b, "\n%10s", r)
		for _, c := range order {
			fmt.Fprintf(&b, "%10d", j.matrix[[2]Class{r, c}])
		}
	}
	fmt.Fprintf(&b, "\nbroken sources found %d of %d, called spoof %d; spoofed called ours %d of %d; forwarders right %d of %d",
		j.found, j.broken, j.lost, j.spoofOurs, j.spoofed, j.indirectOK, j.indirect)
	return b.String()
}

// loadTruth reads what a world says about itself, and its DNS.
func loadTruth(t testing.TB, dir string) (truth, dns.Resolver) {
	var tr truth
	raw, err := os.ReadFile(filepath.Join(dir, "truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &tr); err != nil {
		t.Fatal(err)
	}
	z, err := dnstest.Open(filepath.Join(dir, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	return tr, z
}

// loadWorld reads a world into a store in memory.
func loadWorld(t testing.TB, dir string) (*memory, dns.Resolver, truth) {
	tr, z := loadTruth(t, dir)
	m := newMemory()
	f, err := os.Open(filepath.Join(dir, "reports.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	tr2 := tar.NewReader(gz)
	for {
		h, err := tr2.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		x, err := gzip.NewReader(tr2)
		if err != nil {
			t.Fatal(err)
		}
		rep, recs, err := readXML(x)
		if err != nil {
			t.Fatalf("%s: %v", h.Name, err)
		}
		m.put(rep, recs)
	}
	return m, z, tr
}

// readXML reads a well-formed report; the program's own reader is tested elsewhere.
func readXML(r io.Reader) (aggregate.Report, []aggregate.Record, error) {
	var f struct {
		Metadata struct {
			Org   string `xml:"org_name"`
			ID    string `xml:"report_id"`
			Begin int64  `xml:"date_range>begin"`
			End   int64  `xml:"date_range>end"`
		} `xml:"report_metadata"`
		Policy struct {
			Domain string `xml:"domain"`
			P      string `xml:"p"`
			SP     string `xml:"sp"`
			NP     string `xml:"np"`
			ADKIM  string `xml:"adkim"`
			ASPF   string `xml:"aspf"`
		} `xml:"policy_published"`
		Records []struct {
			IP    string `xml:"row>source_ip"`
			Count uint64 `xml:"row>count"`
			Eval  struct {
				Disposition string   `xml:"disposition"`
				DKIM        string   `xml:"dkim"`
				SPF         string   `xml:"spf"`
				Reasons     []string `xml:"reason>type"`
			} `xml:"row>policy_evaluated"`
			From string `xml:"identifiers>header_from"`
			DKIM []struct {
				Domain   string `xml:"domain"`
				Selector string `xml:"selector"`
				Result   string `xml:"result"`
			} `xml:"auth_results>dkim"`
			SPF []struct {
				Domain string `xml:"domain"`
				Result string `xml:"result"`
			} `xml:"auth_results>spf"`
		} `xml:"record"`
	}
	var rep aggregate.Report
	if err := xml.NewDecoder(r).Decode(&f); err != nil {
		return rep, nil, err
	}
	rep.Metadata = aggregate.Metadata{OrgName: f.Metadata.Org, ReportID: f.Metadata.ID, Begin: time.Unix(f.Metadata.Begin, 0).UTC(), End: time.Unix(f.Metadata.End, 0).UTC()}
	rep.PolicyPublished = aggregate.PolicyPublished{Domain: f.Policy.Domain, P: f.Policy.P, SP: f.Policy.SP, NP: f.Policy.NP, ADKIM: f.Policy.ADKIM, ASPF: f.Policy.ASPF}
	var out []aggregate.Record
	for _, x := range f.Records {
		ip, err := netip.ParseAddr(x.IP)
		if err != nil {
			return rep, nil, err
		}
		rec := aggregate.Record{SourceIP: ip, Count: x.Count, Disposition: aggregate.Disposition(x.Eval.Disposition),
			DKIM: x.Eval.DKIM == "pass", SPF: x.Eval.SPF == "pass", HeaderFrom: x.From}
		for _, s := range x.Eval.Reasons {
			rec.Reasons = append(rec.Reasons, aggregate.Reason{Type: s})
		}
		for _, d := range x.DKIM {
			rec.DKIMResults = append(rec.DKIMResults, aggregate.DKIMResult{Domain: d.Domain, Selector: d.Selector, Result: d.Result})
		}
		for _, s := range x.SPF {
			rec.SPFResults = append(rec.SPFResults, aggregate.SPFResult{Domain: s.Domain, Result: s.Result})
		}
		out = append(out, rec)
	}
	return rep, out, nil
}

func mustName(t testing.TB, s string) domain.Name {
	n, err := domain.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestWorlds asks about the simulated organisations and compares with their
// truth, with the DNS and without.
func TestWorlds(t *testing.T) {
	root := require.Data(t, "worlds")
	dirs, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		m, zone, tr := loadWorld(t, filepath.Join(root, d.Name()))
		for _, offline := range []bool{false, true} {
			name := d.Name()
			cfg := Config{Store: m, Resolver: zone}
			if offline {
				name += "-offline"
				cfg.Resolver, m.ptr = nil, map[netip.Addr]store.PTR{}
			}
			t.Run(name, func(t *testing.T) {
				start := time.Now()
				a, err := New(cfg).Advise(context.Background(), mustName(t, tr.Domain), Question{})
				if err != nil {
					t.Fatal(err)
				}
				j := judge(tr, a)
				t.Logf("%v: verdict %s, at risk %d of %d (truth %d of %d), next %s\n%s\n%s", time.Since(start).Round(time.Millisecond), a.Verdict,
					a.Policies[0].LegitimateAtRisk, a.Policies[0].Legitimate, tr.AtRisk, tr.Legit, a.NextRecord, j, strings.Join(j.description, "\n"))
				if testing.Verbose() {
					show(t, a)
				}
				if j.lost > 0 || j.found < j.broken && !offline || j.spoofOurs*20 > j.spoofed || j.indirectOK*5 < j.indirect*4 && !offline || !j.verdict {
					t.Error("targets missed")
				}
				if !offline && (a.Policies[0].LegitimateAtRisk != tr.AtRisk || a.Policies[0].Legitimate != tr.Legit) {
					t.Errorf("at risk %d of %d, want %d of %d", a.Policies[0].LegitimateAtRisk, a.Policies[0].Legitimate, tr.AtRisk, tr.Legit)
				}
			})
		}
	}
}

func show(t *testing.T, a *Advice) {
	for _, s := range a.Sources {
		var why []string
		for _, r := range s.Reasons {
			why = append(why, fmt.Sprint(r.Code, r.Args))
		}
		t.Logf("%-10s %-30s %7d %7d %4d addr  %v\n      %s", s.Class, s.Name, s.Messages, s.Failing, s.AddressCount, s.HeaderFrom, strings.Join(why, "\n      "))
	}
	for _, r := range append(a.Reasons, a.Notes...) {
		t.Logf("  %s %v", r.Code, r.Args)
	}
}
