package cli

import (
	"strings"

	"sekimori/explain"
	"sekimori/internal/locale"
	"sekimori/internal/reporter"
)

// reportLetter is the text at the head of a report's mail. Whoever owns the
// domain may read either language: English, and the gist in Japanese.
func reportLetter(l reporter.Letter) string {
	args := explain.Args{"organization": l.Organization, "domain": l.Domain, "day": l.Day, "messages": l.Messages,
		"file": l.Filename, "id": l.ReportID, "email": l.Email, "contact": l.Contact}
	lines := []string{
		locale.English.Text("reportverb.letter.gist", args),
		locale.English.Text("reportverb.letter.file", args),
		"",
		locale.Japanese.Text("reportverb.letter.gist", args),
		"",
		"Report-ID: " + l.ReportID,
		locale.English.Text("reportverb.letter.questions", args),
	}
	if l.Contact != "" {
		lines = append(lines, l.Contact)
	}
	return strings.Join(lines, "\n") + "\n"
}
