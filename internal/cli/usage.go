package cli

import (
	"fmt"
	"io"
	"strings"
	"text/template"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sekimori/explain"
)

// usage writes how a verb is used: cobra's template, shortened, with headings
// in the user's language. Flags are laid out here, because pflag counts octets
// and breaks lines only at spaces, of which Japanese has none.
func usage(e *Env) func(*cobra.Command) error {
	h := func(code string) string { return strings.ReplaceAll(e.text(code, nil), "{{", "") }
	text := h("cli.usage.usage") + `
{{- if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} ` + h("cli.usage.verb") + `{{end}}{{if .HasExample}}

` + h("cli.usage.examples") + `
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

` + h("cli.usage.verbs") + `{{range .Commands}}{{if (or .IsAvailableCommand (eq .Name "help"))}}
  {{pad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

` + h("cli.usage.flags") + `
{{flags .LocalFlags}}{{end}}
`
	return func(c *cobra.Command) error {
		t, err := template.New("usage").Funcs(template.FuncMap{
			"pad":   func(s string, n int) string { return fmt.Sprintf("%-*s", n, s) },
			"flags": e.flagUsages,
		}).Parse(text)
		if err != nil {
			return err
		}
		return t.Execute(c.OutOrStderr(), c)
	}
}

// flagUsages lists flags with what they mean, a column each.
func (e *Env) flagUsages(set *pflag.FlagSet) string {
	type row struct{ name, text string }
	var rows []row
	width := 0
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" {
			return
		}
		r := row{name: "      --" + f.Name}
		if f.Shorthand != "" && f.ShorthandDeprecated == "" {
			r.name = "  -" + f.Shorthand + ", --" + f.Name
		}
		value, text := pflag.UnquoteUsage(f)
		if value != "" {
			r.name += " " + value
		}
		switch f.DefValue {
		case "", "0", "false", "[]", "0s":
		default:
			text += e.text("cli.usage.default", explain.Args{"value": f.DefValue})
		}
		r.text = text
		rows = append(rows, r)
		width = max(width, uniseg.StringWidth(r.name))
	})
	var b strings.Builder
	for _, r := range rows {
		lead := r.name + strings.Repeat(" ", width-uniseg.StringWidth(r.name)+3)
		if r.text == "" {
			io.WriteString(&b, r.name+"\n")
			continue
		}
		wrap(&b, lineWidth-1, lead, r.text)
	}
	return strings.TrimRight(b.String(), "\n")
}
