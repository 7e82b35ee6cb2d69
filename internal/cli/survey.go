package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sekimori/explain"
	"sekimori/internal/store"
)

func newSurvey(e *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "survey",
		Short: e.text("cli.survey.short", nil),
		Long:  e.prose("cli.survey.long"),
		Example: "  sekimori survey run municipalities.xlsx --out report\n  sekimori survey mail newsletters.mbox\n" +
			"  sekimori survey report --compare 2025-11",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown verb %q%s", args[0], suggest(cmd, args[0])), cmd.CommandPath()}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSurveyRun(e))
	cmd.AddCommand(newSurveyList(e))
	cmd.AddCommand(newSurveyReport(e))
	cmd.AddCommand(newSurveyMail(e))
	for _, c := range cmd.Commands() {
		c.InitDefaultHelpFlag()
		c.Flags().Lookup("help").Usage = e.text("cli.flag.help", nil)
		if check := c.Args; check != nil {
			c.Args = func(cmd *cobra.Command, args []string) error {
				if err := check(cmd, args); err != nil {
					return usageError{err, cmd.CommandPath()}
				}
				return nil
			}
		}
	}
	return cmd
}

// surveyLine is a survey in the list of them.
type surveyLine struct {
	Name       string     `json:"name"`
	List       string     `json:"list"`
	Started    time.Time  `json:"started"`
	Finished   *time.Time `json:"finished"` // null while there is something left to do
	Entries    int64      `json:"entries"`
	Domains    int64      `json:"domains"`
	Looked     int64      `json:"looked_at"`
	Unanswered int64      `json:"unanswered"`
	Messages   int64      `json:"messages"`
}

func newSurveyList(e *Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: e.text("cli.survey.list.short", nil),
		Long:  e.prose("cli.survey.list.long"),
		Args:  cobra.NoArgs,
	}
	data := dataFlag(cmd, e)
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("cli.flag.json", nil))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		return e.withStore(ctx, *data, false, func(st *store.Store) error {
			waves, err := st.Waves(ctx)
			if err != nil {
				return err
			}
			lines := make([]surveyLine, len(waves))
			for i, w := range waves {
				lines[i] = surveyLine{Name: w.Name, List: w.List, Started: w.Started, Entries: w.Entries, Domains: w.Domains, Looked: w.Measured, Unanswered: w.Unanswered, Messages: w.Messages}
				if !w.Finished.IsZero() {
					lines[i].Finished = &w.Finished
				}
			}
			if asJSON {
				return writeJSON(e.Out, struct {
					Surveys []surveyLine `json:"surveys"`
				}{lines})
			}
			e.printSurveys(lines)
			return nil
		})
	}
	return cmd
}

func (e *Env) printSurveys(lines []surveyLine) {
	if len(lines) == 0 {
		wrap(e.Out, e.width(), "", e.text("cli.survey.list.none", nil))
		return
	}
	var rows [][]string
	for _, l := range lines {
		state := e.text("cli.survey.state.finished", nil)
		if l.Finished == nil {
			state = e.text("cli.survey.state.open", explain.Args{"left": l.Domains - l.Looked})
		}
		rows = append(rows, []string{explain.Clip(l.Name), l.Started.UTC().Format("2006-01-02"), e.Lang.Int(l.Domains), e.Lang.Int(l.Looked - l.Unanswered), e.Lang.Int(l.Messages), state, explain.Clip(l.List)})
	}
	head := func(c string) string { return e.text("cli.survey.column."+c, nil) }
	table(e.Out, e.width(), []column{{head: head("name")}, {head: head("started")}, {head: head("domains"), right: true}, {head: head("measured"), right: true},
		{head: head("messages"), right: true}, {head: head("state")}, {head: head("list"), grow: true}}, rows)
}
