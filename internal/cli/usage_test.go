package cli

import (
	"strings"
	"testing"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"

	"sekimori/internal/locale"
)

// TestUsageWidth: every verb's help fits a terminal, in both languages.
func TestUsageWidth(t *testing.T) {
	for _, lang := range []locale.Lang{locale.English, locale.Japanese} {
		var walk func(*cobra.Command)
		walk = func(c *cobra.Command) {
			text := c.Long + "\n" + c.UsageString()
			for l := range strings.Lines(text) {
				if w := uniseg.StringWidth(strings.TrimRight(l, "\n")); w > 80 {
					t.Errorf("%v: %s: %d columns: %s", lang, c.CommandPath(), w, l)
				}
			}
			if c.HasAvailableLocalFlags() && !strings.Contains(text, "--help ") {
				t.Errorf("%v: %s: no flags in\n%s", lang, c.CommandPath(), text)
			}
			for _, sub := range c.Commands() {
				if sub.Name() != "completion" { // cobra's
					walk(sub)
				}
			}
		}
		root := newRoot(&Env{Lang: lang})
		root.InitDefaultHelpFlag()
		walk(root)
	}
}
