package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"

	"sekimori/explain"
	"sekimori/internal/store/verdict"
	"sekimori/internal/web"
	"sekimori/internal/web/api"
)

// mostFound is how many messages "gateway find" shows at most.
const mostFound = 1000

func newGatewayFind(e *Env) *cobra.Command {
	var q api.MessageQuery
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "find [QUERY]",
		Short: e.text("gatewayfind.short", nil),
		Long: strings.Join([]string{e.prose("gatewayfind.long"), e.prose("gatewayfind.long_data"),
			e.prose("gatewayfind.long_status")}, "\n\n"),
		Example: "  sekimori gateway find yamada@city.example.jp\n  sekimori gateway find --action quarantine --since 24h\n" +
			"  sekimori gateway find --message-id 20261122.1@example.jp --json",
		Args: cobra.MaximumNArgs(1),
	}
	data := dataFlag(cmd, e)
	fl := cmd.Flags()
	fl.StringVar(&q.MessageID, "message-id", "", e.text("gatewayfind.flag.message_id", nil))
	fl.StringVar(&q.Sender, "sender", "", e.text("gatewayfind.flag.sender", nil))
	fl.StringVar(&q.Address, "address", "", e.text("gatewayfind.flag.address", nil))
	fl.StringVar(&q.Since, "since", "", e.text("gatewayfind.flag.since", nil))
	fl.StringVar(&q.Until, "until", "", e.text("gatewayfind.flag.until", nil))
	fl.StringVar(&q.Action, "action", "", e.text("gatewayfind.flag.action", nil))
	fl.IntVar(&limit, "limit", 20, e.text("gatewayfind.flag.limit", nil))
	fl.BoolVar(&asJSON, "json", false, e.text("gatewayfind.flag.json", nil))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		if len(args) == 1 {
			q.Text = args[0]
		}
		actions := []string{string(verdict.Accept), string(verdict.Mark), string(verdict.Quarantine), string(verdict.Refuse), string(verdict.TryAgain)}
		if q.Action != "" && !slices.Contains(actions, q.Action) {
			return usage(fmt.Errorf("--action %s: want %s", quote(q.Action), strings.Join(actions, ", ")))
		}
		if limit < 1 || limit > mostFound {
			return usage(fmt.Errorf("--limit %d: want 1 to %d", limit, mostFound))
		}
		find, err := q.Query(e.now(), time.Local)
		if err != nil {
			return usage(fmt.Errorf("--%w", err))
		}
		find.Limit = limit
		if _, err := os.Stat(e.path(*data)); errors.Is(err, os.ErrNotExist) {
			return usage(fmt.Errorf("no data folder at %s: name that of the gateway with --data", e.path(*data)))
		}
		found, more, err := e.findMessages(cmd.Context(), *data, find)
		if err != nil {
			return temporary(err)
		}
		switch {
		case asJSON:
			if err := writeJSON(e.Out, api.MessagesOf(found, more)); err != nil {
				return err
			}
		case len(found) == 1 && !more:
			e.printMessage(&found[0])
		case len(found) > 0:
			e.printMessages(found, more)
		default:
			fmt.Fprintln(e.Out, e.text("gatewayfind.none", nil))
		}
		if len(found) == 0 {
			return statusError{status: StatusNegative}
		}
		return nil
	}
	return cmd
}

// findMessages reads the gateway's verdicts where they lie, beside whatever
// process writes them.
func (e *Env) findMessages(ctx context.Context, data string, q verdict.Query) ([]verdict.Entry, bool, error) {
	r, err := verdict.Read(e.gatewayFolder(data))
	if err != nil {
		return nil, false, err
	}
	defer r.Close()
	return r.Find(ctx, q)
}

// printMessages is the table of several messages.
func (e *Env) printMessages(found []verdict.Entry, more bool) {
	cols := []column{{head: e.text("gatewayfind.col.time", nil)}, {head: e.text("gatewayfind.col.action", nil)}, {head: "DMARC"}, {head: e.text("gatewayfind.col.queue", nil)}, {head: e.text("gatewayfind.col.from", nil), grow: true}}
	var rows [][]string
	other := false
	for i := range found {
		m := &found[i]
		action := e.text("gatewayfind.action."+string(m.Action), nil)
		if m.Asked != "" && m.Asked != m.Action {
			action, other = "("+e.text("gatewayfind.action."+string(m.Asked), nil)+")", true
		}
		from := m.From
		if from == "" {
			from = "<" + m.MailFrom + ">"
		}
		rows = append(rows, []string{m.Time.Local().Format("2006-01-02 15:04"), action, dash(m.DMARC), cut(dash(printable(m.QueueID)), 15), printable(from)})
	}
	table(e.Out, e.width(), cols, rows)
	if other {
		fmt.Fprintln(e.Out)
		wrap(e.Out, e.width(), "", e.text("gatewayfind.monitor", nil))
	}
	if more {
		fmt.Fprintln(e.Out)
		wrap(e.Out, e.width(), "", e.text("gatewayfind.more", explain.Args{"n": int64(len(found))}))
	}
}

// printMessage tells of one message in full: what was done, and why.
func (e *Env) printMessage(m *verdict.Entry) {
	w, width := e.Out, e.width()
	answer, because := web.MessageAnswer(e.Lang, m)
	wrap(w, width, "", printable(answer))
	wrap(w, width, "", printable(because))
	if m.Rule.Code != "" {
		wrap(w, width, "", printable(e.Lang.Step(m.Rule)))
	}
	if len(m.Why) > 0 {
		fmt.Fprintln(w)
		for _, s := range m.Why {
			e.printStep(s, 1)
		}
	}
	if advice := web.MessageAdvice(e.Lang, m); len(advice) > 0 {
		fmt.Fprintln(w)
		wrap(w, width, "", e.text("gatewayfind.sender", nil))
		for _, a := range advice {
			wrap(w, width, "  - ", printable(a))
		}
	}
	client := ""
	if m.Client.IsValid() {
		client = m.Client.String()
	}
	fmt.Fprintln(w)
	for _, f := range []struct{ code, value string }{
		{"time", m.Time.Local().Format("2006-01-02 15:04:05 -0700")}, {"action", e.text("gatewayfind.action."+string(m.Action), nil)},
		{"results", fmt.Sprintf("SPF %s, DKIM %s, DMARC %s, ARC %s", dash(m.SPF), dash(m.DKIM), dash(m.DMARC), dash(m.ARC))},
		{"policy", m.Policy.Text}, {"subject", m.Subject}, {"from", m.From}, {"mail_from", "<" + m.MailFrom + ">"}, {"rcpt", e.Lang.List(m.Rcpt)},
		{"client", client}, {"helo", m.Helo}, {"message_id", m.MessageID}, {"queue", m.QueueID},
	} {
		if f.value == "" {
			continue
		}
		label := e.text("gatewayfind.field."+f.code, nil)
		wrap(w, width, label+strings.Repeat(" ", max(1, 16-uniseg.StringWidth(label))), printable(f.value))
	}
	if m.Action == verdict.Quarantine && web.QueueID(m.QueueID) {
		fmt.Fprintln(w)
		wrap(w, width, "", e.text("gatewayfind.release", explain.Args{"command": "postsuper -H " + m.QueueID}))
	}
}

// dash stands for nothing in a table.
func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// printable takes out of a text from outside what would steer a terminal.
func printable(s string) string {
	var b strings.Builder
	for s != "" {
		part := s[:min(len(s), 180)]
		for len(part) < len(s) && len(part) > 170 && s[len(part)]&0xc0 == 0x80 { // not in the middle of a character
			part = part[:len(part)-1]
		}
		b.WriteString(explain.Clip(part))
		s = s[len(part):]
	}
	return b.String()
}
