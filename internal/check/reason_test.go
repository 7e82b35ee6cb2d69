package check

import (
	"testing"

	"sekimori/explain"
)

func TestReasonCode(t *testing.T) {
	for code, want := range map[string]string{"dkim.body-hash-differs": "body-hash-differs", "gateway.header-too-long": "header-too-long", "": ""} {
		s := Signature{}
		s.Reason = explain.Step{Code: code}
		if got := s.ReasonCode(); got != want {
			t.Errorf("%q: %q", code, got)
		}
	}
}
