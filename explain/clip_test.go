package explain

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"v=spf1 -all":            "v=spf1 -all",
		"日本語 é":                  "日本語 é",
		"a\r\nb\x00\x7f\u202e":   "a��b���",
		"\xff\xfe":               "��",
		strings.Repeat("a", 200): strings.Repeat("a", 200),
		strings.Repeat("a", 201): strings.Repeat("a", 197) + "…",
		strings.Repeat("語", 100): strings.Repeat("語", 65) + "…",
	} {
		if got := Clip(in); got != want || len(got) > 200 || !utf8.ValidString(got) {
			t.Errorf("Clip(%.20q) = %q, want %q", in, got, want)
		}
	}
}

func TestClipFolded(t *testing.T) {
	for in, want := range map[string]string{
		"relaxed/relaxed":          "relaxed/relaxed",
		"a\r\n\tb\x00":             "a   b�",
		"語\tb\u202e\u200f":         "語 b��",
		strings.Repeat("a", 201):   strings.Repeat("a", 197) + "…",
		strings.Repeat("語", 10000): strings.Repeat("語", 65) + "…",
	} {
		if got := ClipFolded(in); got != want || len(got) > 200 || !utf8.ValidString(got) {
			t.Errorf("ClipFolded(%.20q) = %q, want %q", in, got, want)
		}
	}
}
