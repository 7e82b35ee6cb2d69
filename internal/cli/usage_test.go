package cli

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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
			c.LocalFlags().VisitAll(func(f *pflag.Flag) {
				if value, _ := pflag.UnquoteUsage(f); slices.Contains([]string{"string", "strings", "int", "float"}, value) && !f.Hidden {
					t.Errorf("%v: %s: --%s takes a %s: give its value a name", lang, c.CommandPath(), f.Name, value)
				}
			})
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

// TestMistakes: a mistake on the command line is named, with what is wanted.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	writeReports(t, filepath.Join(dir, "reports"), 1)
	for name, text := range map[string]string{"zone": "$TTL 60\ncity.example. IN A 192.0.2.1\n", "file": "text"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e, _, errOut := env(dir, "import", "reports")
	if status := Run(context.Background(), e); status != StatusDone {
		t.Fatal(errOut)
	}
	for _, c := range []struct {
		line   string
		status int
		want   string
	}{
		{"advise", StatusUsage, "DOMAIN is missing: want sekimori advise DOMAIN"},
		{"advise city.example other.example", StatusUsage, `"other.example" is one argument too many: want sekimori advise DOMAIN`},
		{"source confirm city.example", StatusUsage, "SOURCE is missing: want sekimori source confirm DOMAIN SOURCE"},
		{"department revoke", StatusUsage, "NAME is missing: want sekimori department revoke NAME [LINK]"},
		{"department list x", StatusUsage, `"x" is one argument too many: want sekimori department list`},
		{"fix lst", StatusUsage, `unknown verb "lst"; did you mean "list"?`},
		{"advise city.example --days many", StatusUsage, `--days "many": want a whole number`},
		{"advise city.example --until soon", StatusUsage, `--until: day "soon": want YYYY-MM-DD`},
		{"advise city.example --data nowhere", StatusUsage, "nowhere: import reports first (sekimori import PATH)"},
		{"advise city.example --data file", StatusUsage, "file is a file: name a folder"},
		{"advise city.example --resolver 192.0.2.1 --zone zone", StatusUsage, "--resolver and --zone do not go together: give one of them"},
		{"advise town.example --zone zone", StatusNegative, "town.example has no reports yet. There are reports about city.example."},
		{"source list town.example --zone zone", StatusNegative, "town.example has no reports yet."},
		{"source deny town.example x --zone zone", StatusNegative, "town.example has no reports yet."},
		{"fix open town.example --zone zone", StatusNegative, "town.example has no reports yet."},
		{"monthly town.example --zone zone", StatusNegative, "town.example has no reports yet."},
		{"monthly city.example --output reports --zone zone", StatusUsage, `--output "reports": this is a folder: name a file in it`},
		{"monthly city.example --output no/where --zone zone", StatusUsage, `--output "no/where": no such file or directory`},
		{"timeline city.example --since soon", StatusUsage, `--since: day "soon": want YYYY-MM-DD`},
		{"inventory city.example --list reports --zone zone", StatusUsage, "reports is a folder: give the path of a file"},
		{"fix show 7", StatusUsage, `there is no case 7: "sekimori fix list" lists them`},
		{"fix set x --state done", StatusUsage, `"x" is no number of a case`},
	} {
		e, out, errOut := env(dir, strings.Fields(c.line)...)
		if status := Run(context.Background(), e); status != c.status || !strings.Contains(errOut.String(), c.want) {
			t.Errorf("%s: status %d, want %d with %q\n%s%s", c.line, status, c.status, c.want, errOut, out)
		}
	}
}
