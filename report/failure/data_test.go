package failure

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sekimori/internal/require"
)

func parseFile(t *testing.T, path string) (Report, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return Parse(f, Limits{})
}

// TestRealDMARC reads the failure reports that reporters really sent.
func TestRealDMARC(t *testing.T) {
	for name, want := range map[string]Report{
		"DMARC Failure Report for domain.de (mail-from=sharepoint@domain.de, ip=10.10.10.10).eml": {
			AuthFailure: DMARC, UserAgent: "Lua/1.0", MailFrom: "sharepoint@domain.de", Delivery: "smg-policy-action", Whole: true,
			ReportedDomains: []string{"domain.de"}, Deviations: []Deviation{NoAlignment},
		},
		"[Netease DMARC Failure Report] Rent Reminder.eml": {
			UserAgent: "NtesDmarcReporter/1.0", MailFrom: "bounces+1137616-c1ad-xsj399=163.com@email.entrata.com", Delivery: Delivered, Whole: true,
			Unaligned: []Method{MethodSPF, MethodDKIM}, DKIMDomain: "entrata.com", EnvelopeID: "N8CowEApcUPo6q1bnXlMAA--.44392S3",
			ReportedDomains: []string{"cardinal.com"}, Deviations: []Deviation{Encoded, NotMultipart, NoAuthFailure},
		},
		"dmarc_ruf_report_linkedin.eml": {
			AuthFailure: DMARC, UserAgent: "Lua/1.0", NullFrom: true, Delivery: Delivered, Whole: true,
			ReportedDomains: []string{"example.com"}, Deviations: []Deviation{NoAlignment},
		},
		"exim_plain_text_only_no_arf_part.eml": {
			AuthFailure: DMARC, Unaligned: []Method{MethodSPF, MethodDKIM},
			ReportedDomains: []string{"example.com"}, Deviations: []Deviation{NoFeedback},
		},
	} {
		got, err := parseFile(t, require.Data(t, "reports-parsedmarc", "failure", name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.FeedbackType != "auth-failure" || got.AuthFailure != want.AuthFailure || got.UserAgent != want.UserAgent || got.MailFrom != want.MailFrom ||
			got.NullFrom != want.NullFrom || got.Delivery != want.Delivery || got.Whole != want.Whole || got.DKIMDomain != want.DKIMDomain || got.EnvelopeID != want.EnvelopeID ||
			!slices.Equal(got.Unaligned, want.Unaligned) || !slices.Equal(got.ReportedDomains, want.ReportedDomains) || !slices.Equal(got.Deviations, want.Deviations) ||
			!got.SourceIP.IsValid() || got.Arrived.IsZero() || len(got.AuthenticationResults) == 0 || len(got.Header) == 0 || got.Mail.Text == "" || got.Mail.ID == "" {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
}

// TestRealFeedback tells reports from complaints in other forms and from
// automatic replies.
func TestRealFeedback(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(require.Data(t, "arf-sisimai"), "*", "*.eml"))
	if len(files) < 20 {
		t.Fatalf("%d files", len(files))
	}
	kinds := map[string]int{}
	for _, path := range files {
		name := filepath.Base(path)
		r, err := parseFile(t, path)
		// Hotmail's complaints and iCloud's unsubscriptions have no feedback part.
		none := strings.HasPrefix(name, "rfc3834") || slices.Contains([]string{"arf-22.eml", "arf-23.eml", "arf-24.eml", "arf-26.eml"}, name)
		if none != errors.Is(err, ErrNotReport) || !none && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		kinds[r.FeedbackType]++
	}
	if kinds["abuse"] < 8 || kinds["auth-failure"] != 3 || kinds["opt-out"] != 1 {
		t.Errorf("kinds: %v", kinds)
	}
}

// TestRealLeaks redacts the headers of real reports' originals: no local-part
// of the addresses in them may be left, and neither their subjects.
func TestRealLeaks(t *testing.T) {
	a, _ := filepath.Glob(filepath.Join(require.Data(t, "reports-parsedmarc", "failure"), "*.eml"))
	b, _ := filepath.Glob(filepath.Join(require.Data(t, "arf-sisimai"), "*", "*.eml"))
	c, _ := filepath.Glob(filepath.Join(require.Data(t, "mail-japanese"), "*.eml"))
	seen := 0
	for _, path := range slices.Concat(a, b, c) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		seen += leaks(t, path, bytes.NewReader(text))
		if r, err := Parse(bytes.NewReader(text), Limits{}); err == nil {
			seen += leaksHeader(t, path, r.Header)
		}
	}
	if seen < 50 {
		t.Errorf("only %d local-parts were looked for", seen)
	}
}
