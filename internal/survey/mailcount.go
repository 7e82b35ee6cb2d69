package survey

import (
	"context"

	"sekimori/internal/store"
)

// Combine counts a wave's messages by what protects them: those that belong
// to organisations of the list, or all where none does.
func Combine(ctx context.Context, st MailCounter, wave int64) (MailTable, error) {
	return combine(ctx, st, wave)
}

// MailProblems are what is wrong with a message, the worst first, by what the
// receiving server recorded or, where it recorded nothing, as evaluated now.
// What could not be evaluated is no problem of the message.
func MailProblems(m *store.MailResult) []store.Code {
	var out []store.Code
	say := func(topic, grade, code string) { out = append(out, store.Code{Topic: topic, Grade: grade, Code: code}) }
	word := func(then, now string) string {
		if then != "" {
			return then
		}
		return now
	}
	switch word(m.Then.SPF, m.Now.SPF) {
	case "fail":
		say("spf", "error", "surveymail.spf-fail")
	case "permerror":
		say("spf", "error", "surveymail.spf-permerror")
	case "none":
		say("spf", "warning", "surveymail.spf-none")
	case "softfail":
		say("spf", "warning", "surveymail.spf-softfail")
	case "neutral":
		say("spf", "warning", "surveymail.spf-neutral")
	}
	switch word(m.Then.DKIM, m.Now.DKIM) {
	case "fail", "permerror", "policy", "neutral":
		say("dkim", "error", "surveymail.dkim-invalid")
	case "none":
		say("dkim", "warning", "surveymail.dkim-none")
	}
	switch word(m.Then.DMARC, m.Now.DMARC) {
	case "fail":
		say("dmarc", "error", "surveymail.dmarc-fail")
	case "permerror":
		say("dmarc", "error", "surveymail.dmarc-permerror")
	case "none", "bestguesspass":
		say("dmarc", "warning", "surveymail.dmarc-none")
	}
	switch m.SMIME {
	case "fail":
		say("smime", "error", "surveymail.smime-fail")
	case "policy", "neutral", "permerror":
		say("smime", "warning", "surveymail.smime-unconfirmed")
	}
	// Errors first; the order of the methods stays.
	worst := out[:0:0]
	for _, grade := range [...]string{"error", "warning"} {
		for _, c := range out {
			if c.Grade == grade {
				worst = append(worst, c)
			}
		}
	}
	return worst
}
