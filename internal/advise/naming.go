package advise

import (
	"slices"
	"strings"

	"sekimori/internal/sources"
)

// registered are suffixes below which only organisations of a kind get a name,
// one each, on proof of who they are: nobody takes one for a day.
var registered = map[string]bool{
	"ac.jp": true, "ad.jp": true, "co.jp": true, "ed.jp": true, "go.jp": true, "gr.jp": true, "lg.jp": true, "ne.jp": true, "or.jp": true,
	"edu": true, "gov": true, "mil": true, "int": true, "bank": true, "ac.uk": true, "gov.uk": true, "edu.au": true, "gov.au": true,
	"ac.kr": true, "go.kr": true, "co.kr": true, "edu.tw": true, "gov.tw": true, "gov.br": true,
}

// bona reports whether an organisation's domain is one of those.
func bona(org string) bool {
	_, suffix, _ := strings.Cut(org, ".")
	return registered[suffix]
}

// habitual are numbers at the end of honest names: round the clock, all year.
var habitual = []string{"24", "365", "360", "21", "101", "123"}

// throwaway reports whether an organisation's domain looks like one that was
// registered for a few days.
func throwaway(org string) bool {
	if bona(org) || !sources.Throwaway(org) {
		return false
	}
	label, rest, _ := strings.Cut(org, ".")
	stem := strings.TrimRight(label, "0123456789")
	if slices.Contains(habitual, label[len(stem):]) && stem != "" {
		return sources.Throwaway(stem + "." + rest)
	}
	return true
}
