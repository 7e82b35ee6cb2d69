package web

import (
	"testing"

	"sekimori/internal/advise"
)

func TestNextPolicy(t *testing.T) {
	for _, tt := range []struct {
		policy  string
		verdict advise.Verdict
		record  string
		want    string
	}{
		{"none", advise.NotReady, "v=DMARC1; p=none; np=reject", "quarantine"},
		{"none", advise.Ready, "v=DMARC1; p=quarantine; sp=none", "quarantine"},
		{"none", advise.Ready, "v=DMARC1; p=reject; fo=1", "reject"}, // a domain without mail
		{"quarantine", advise.Ready, "v=DMARC1; p=reject", "reject"},
		{"reject", advise.Ready, "v=DMARC1; p=reject", "reject"},
		{"", advise.InsufficientData, "v=DMARC1; p=none", "quarantine"},
	} {
		a := &advise.Advice{Policy: tt.policy, Verdict: tt.verdict, NextRecord: tt.record}
		if got := nextPolicy(a); got != tt.want {
			t.Errorf("p=%s, %s, %q: next is %s, want %s", tt.policy, tt.verdict, tt.record, got, tt.want)
		}
	}
}
