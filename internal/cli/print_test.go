package cli

import (
	"strings"
	"testing"

	"github.com/rivo/uniseg"
)

func TestWrap(t *testing.T) {
	for _, tt := range []struct{ name, lead, text, want string }{
		{"short", "- ", "one line", "- one line\n"},
		{"hanging", "- ", "some words that need a second line", "- some words that\n  need a second line\n"},
		{"japanese", "  ", "日本語の文は空白がなくても折り返されます", "  日本語の文は空白が\n  なくても折り返され\n  ます\n"},
		{"long word", "", "a verylongwordthatdoesnotfitanywhere b", "a\nverylongwordthatdoesnotfitanywhere\nb\n"},
		{"empty", "  ", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			wrap(&b, 20, tt.lead, tt.text)
			if got := b.String(); strings.ReplaceAll(got, " \n", "\n") != strings.ReplaceAll(tt.want, " \n", "\n") {
				t.Errorf("got %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestTableFitsTheLine(t *testing.T) {
	var b strings.Builder
	cols := []column{{head: "区分"}, {head: "送信元", grow: true}, {head: "通数", right: true}}
	table(&b, 40, cols, [][]string{
		{"要修正", strings.Repeat("とても長い名前", 10), "1,234,567"},
		{"合格", "example.jp", "1"},
	})
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for _, l := range lines {
		if w := uniseg.StringWidth(l); w > 40 {
			t.Errorf("line of %d columns: %q", w, l)
		}
	}
	if !strings.Contains(lines[1], "…") || !strings.HasSuffix(lines[2], "        1") {
		t.Errorf("not cut and aligned:\n%s", b.String())
	}
}

// TestFit: columns that grow share what there is, so that a table with several
// of them fits too.
func TestFit(t *testing.T) {
	cols := []column{{head: "ID", right: true}, {head: "NAME", grow: true}, {head: "OWNER", grow: true}, {head: "DUE"}}
	var b strings.Builder
	table(&b, 50, cols, [][]string{{"#1", "mail.news.kawase-denki18.example", "somebody@kawase-denki18.example", "! 2026-11-02"}, {"#2", "a", "b", ""}})
	for _, line := range strings.Split(b.String(), "\n") {
		if n := uniseg.StringWidth(line); n > 50 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if !strings.Contains(b.String(), "#1  mail.news.kawa…  somebody@kawas…  ! 2026-11-02") {
		t.Errorf("\n%s", b.String())
	}
}
