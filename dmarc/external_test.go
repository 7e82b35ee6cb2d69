package dmarc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"sekimori/dmarc"
	"sekimori/explain"
)

// TestExternal: RFC 9990 §4, step by step; RFC 9991 §5 with ruf for rua.
func TestExternal(t *testing.T) {
	long := strings.Repeat("a123456789.", 11) // 121 octets; twice is too long
	for _, tt := range []struct {
		why, policy, uri, tag string
		zone                  []string
		want                  string // "code external asked to"
	}{
		{"same name", "example.com", "mailto:a@example.com", "rua", nil, "same false  mailto:a@example.com"},
		{"same name, nothing asked", "example.com", "mailto:a@example.com", "rua", []string{"_dmarc.example.com|!"}, "same false  mailto:a@example.com"},
		{"same organization", "example.com", "mailto:a@mail.example.com", "rua", []string{"_dmarc.example.com|v=DMARC1; p=none"}, "same false  mailto:a@mail.example.com"},
		{"a subdomain's record", "mail.example.com", "mailto:a@example.com", "rua", []string{"_dmarc.example.com|v=DMARC1; p=none", "_dmarc.mail.example.com|v=DMARC1; p=none"}, "same false  mailto:a@example.com"},
		{"another", "blue.example.com", "mailto:r@red.example.net", "rua", []string{"blue.example.com._report._dmarc.red.example.net|v=DMARC1"},
			"allowed true blue.example.com._report._dmarc.red.example.net mailto:r@red.example.net"},
		{"another, the record's own policy counts", "example.com", "mailto:r@example.net", "rua", []string{"_dmarc.example.com|v=DMARC1; psd=n", "example.com._report._dmarc.example.net|v=DMARC1;"},
			"allowed true example.com._report._dmarc.example.net mailto:r@example.net"},
		{"refused", "example.com", "mailto:r@example.net", "rua", nil, "refused true example.com._report._dmarc.example.net "},
		{"wrong text", "example.com", "mailto:r@example.net", "rua", []string{"example.com._report._dmarc.example.net|v=DMARC2 || yes || p=none; v=DMARC1"}, "refused true example.com._report._dmarc.example.net "},
		{"several are as good as one", "example.com", "mailto:r@example.net", "rua", []string{"example.com._report._dmarc.example.net|no || v=DMARC1 || v=DMARC1;"},
			"allowed true example.com._report._dmarc.example.net mailto:r@example.net"},
		{"p is not needed, nor right", "example.com", "mailto:r@example.net", "rua", []string{"example.com._report._dmarc.example.net|v=DMARC1; p=bad"},
			"allowed true example.com._report._dmarc.example.net mailto:r@example.net"},
		{"another address", "example.com", "mailto:r@example.net", "rua", []string{"example.com._report._dmarc.example.net|v=DMARC1; rua=mailto:x@example.net,mailto:y@example.net; ruf=mailto:z@example.net"},
			"allowed true example.com._report._dmarc.example.net mailto:x@example.net mailto:y@example.net"},
		{"another address for ruf", "example.com", "mailto:r@example.net", "ruf", []string{"example.com._report._dmarc.example.net|v=DMARC1; rua=mailto:x@example.net; ruf=mailto:z@example.net"},
			"allowed true example.com._report._dmarc.example.net mailto:z@example.net"},
		{"an address elsewhere", "example.com", "mailto:r@example.net", "rua", []string{"example.com._report._dmarc.example.net|v=DMARC1; rua=mailto:x@victim.example"},
			"stranger true example.com._report._dmarc.example.net "},
		{"one of them elsewhere", "example.com", "mailto:r@example.net", "rua", []string{"example.com._report._dmarc.example.net|v=DMARC1; rua=mailto:x@example.net,mailto:x@mail.example.net"},
			"stranger true example.com._report._dmarc.example.net "},
		{"elsewhere for the other tag", "example.com", "mailto:r@example.net", "rua", []string{"example.com._report._dmarc.example.net|v=DMARC1; ruf=mailto:x@victim.example"},
			"allowed true example.com._report._dmarc.example.net mailto:r@example.net"},
		{"too long a name", long + "example", "mailto:r@" + long + "example.net", "rua", nil, "long true " + long + "example._report._dmarc." + long + "example.net "},
		{"no answer", "example.com", "mailto:r@example.net", "rua", []string{"example.com._report._dmarc.example.net|!"}, "failed true example.com._report._dmarc.example.net "},
		{"no answer from the walk", "example.com", "mailto:r@example.net", "rua", []string{"_dmarc.net|!"}, "failed false  "},
		{"https", "example.com", "https://example.com/r", "rua", nil, "scheme false  "},
	} {
		z := zoneOf(tt.zone...)
		v := &dmarc.Verifier{Resolver: z}
		u, err := dmarc.ParseURI(tt.uri)
		if err != nil {
			t.Fatal(err)
		}
		d := v.External(context.Background(), name(t, tt.policy), u, tt.tag)
		var to []string
		for _, x := range d.To {
			to = append(to, x.String())
		}
		got := fmt.Sprintf("%s %v %s %s", strings.TrimPrefix(d.Reason.Code, "dmarc.external-"), d.External, d.Name, strings.Join(to, " "))
		if got != tt.want {
			t.Errorf("%s:\n%s, want\n%s", tt.why, got, tt.want)
		}
		if d.Allowed != (len(to) > 0) || (d.Err != nil) != strings.HasPrefix(tt.want, "failed") {
			t.Errorf("%s: allowed %v, error %v", tt.why, d.Allowed, d.Err)
		}
		if n := len(z.queries()); n > 17 {
			t.Errorf("%s: %d questions", tt.why, n)
		}
		spoken(t, []explain.Step{d.Reason})
	}
}

func TestDestinations(t *testing.T) {
	z := zoneOf("example.com._report._dmarc.b.example|v=DMARC1")
	v := &dmarc.Verifier{Resolver: z, Limits: dmarc.Limits{Destinations: 3}}
	r, err := dmarc.Parse("v=DMARC1; p=none; rua=mailto:a@example.com,bad,mailto:a@b.example,https://example.com/,mailto:c@example.com; ruf=mailto:a@example.com")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range v.Destinations(context.Background(), name(t, "example.com"), r, "rua") {
		got = append(got, strings.TrimPrefix(d.Reason.Code, "dmarc.external-"))
	}
	if fmt.Sprint(got) != "[same allowed scheme]" {
		t.Errorf("rua: %v", got)
	}
	// RFC 9991 §2: no failure reports to a registry.
	for record, want := range map[*dmarc.Record]bool{r: true, r.With("psd", "y"): false} {
		d := v.Destinations(context.Background(), name(t, "example.com"), record, "ruf")
		if len(d) != 1 || d[0].Allowed != want {
			t.Errorf("ruf with psd=%s: %+v", record.PSD, d)
		}
	}
	if d := v.Destinations(context.Background(), name(t, "example.com"), dmarc.New(dmarc.None), "rua"); d != nil {
		t.Errorf("no rua: %v", d)
	}
}
