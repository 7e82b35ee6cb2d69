package cli

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sekimori/explain"
	"sekimori/internal/reporter"
	"sekimori/internal/store/outbox"
)

func newReportList(e *Env) *cobra.Command {
	var asJSON, open bool
	var day, of string
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   e.text("reportverb.list.short", nil),
		Long:    e.prose("reportverb.list.long"),
		Example: "  sekimori report list\n  sekimori report list --open\n  sekimori report list --domain example.jp --day 2026-11-21 --json",
		Args:    cobra.NoArgs,
	}
	data := dataFlag(cmd, e)
	cmd.Flags().StringVar(&day, "day", "", e.text("reportverb.list.day", nil))
	cmd.Flags().StringVar(&of, "domain", "", e.text("reportverb.list.domain", nil))
	cmd.Flags().BoolVar(&open, "open", false, e.text("reportverb.list.open", nil))
	cmd.Flags().IntVar(&limit, "limit", 100, e.text("reportverb.list.limit", nil))
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("reportverb.flag.json", nil))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		f := outbox.Filter{Open: open, Limit: limit}
		var err error
		if f.Day, err = dayFlag(day, ""); err != nil {
			return usage(err)
		}
		if limit < 1 || limit > 100_000 {
			return usage(fmt.Errorf("--limit %d: want 1 to 100000", limit))
		}
		if of != "" {
			it := takeDomain(of)
			if it.err != nil {
				return usage(it.err)
			}
			f.Domain = it.name.String()
		}
		r, err := outbox.Read(e.gatewayFolder(*data))
		if err != nil {
			return err
		}
		defer r.Close()
		list, total, err := r.Reports(cmd.Context(), f)
		if err != nil {
			return temporary(err)
		}
		if asJSON {
			return e.listJSON(list, total)
		}
		e.printList(list, total)
		return nil
	}
	return cmd
}

type deliveryJSON struct {
	To       string       `json:"to"`
	State    outbox.State `json:"state"`
	Reason   explain.Step `json:"reason"`
	Attempts int64        `json:"attempts"`
	First    *time.Time   `json:"first,omitempty"`
	Next     *time.Time   `json:"next,omitempty"`
	Ended    *time.Time   `json:"ended,omitempty"`
	Error    string       `json:"error,omitempty"`
}

type reportJSON struct {
	Day        string         `json:"day"`
	Domain     string         `json:"domain"`
	ReportID   string         `json:"report_id"`
	Form       string         `json:"form"`
	Filename   string         `json:"filename"`
	Messages   int64          `json:"messages"`
	Rows       int64          `json:"rows"`
	Size       int64          `json:"size"`
	Made       time.Time      `json:"made"`
	Deliveries []deliveryJSON `json:"deliveries"`
}

// listJSON writes one document.
func (e *Env) listJSON(list []outbox.Entry, total int64) error {
	out := struct {
		Total   int64        `json:"total"`
		Reports []reportJSON `json:"reports"`
	}{total, []reportJSON{}}
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	for _, r := range list {
		j := reportJSON{r.Day, r.Domain, r.ReportID, r.Form, r.Filename, r.Messages, r.Rows, r.Size, r.Made, []deliveryJSON{}}
		for _, d := range r.Deliveries {
			next := at(d.Next)
			if !d.State.Open() {
				next = nil
			}
			j.Deliveries = append(j.Deliveries, deliveryJSON{d.Address, d.State, d.Reason, d.Attempts, at(d.First), next, at(d.Ended), d.Error})
		}
		out.Reports = append(out.Reports, j)
	}
	return writeJSON(e.Out, out)
}

// printList writes a line for each delivery and what went wrong with it below.
func (e *Env) printList(list []outbox.Entry, total int64) {
	if len(list) == 0 {
		fmt.Fprintln(e.Out, e.text("reportverb.list.none", nil))
		return
	}
	cols := []column{{head: e.text("reportverb.list.col_day", nil)}, {head: e.text("reportverb.list.col_state", nil)},
		{head: e.text("reportverb.list.col_tries", nil), right: true}, {head: e.text("reportverb.list.col_messages", nil), right: true},
		{head: e.text("reportverb.list.col_about", nil), grow: true}}
	var rows [][]string
	var below []string
	for _, r := range list {
		for _, d := range r.Deliveries {
			rows = append(rows, []string{r.Day, e.text("reportverb.state."+string(d.State), nil), e.Lang.Int(d.Attempts), e.Lang.Int(r.Messages),
				r.Domain + " → " + explain.Clip(d.Address)})
			below = append(below, e.troubleOf(&d))
		}
	}
	width := min(e.width(), lineWidth)
	var b bytes.Buffer
	table(&b, width, cols, rows)
	for i, line := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		fmt.Fprintln(e.Out, line)
		if i > 0 && below[i-1] != "" {
			wrap(e.Out, width, "    ", below[i-1])
		}
	}
	if more := total - int64(len(list)); more > 0 {
		fmt.Fprintln(e.Out, e.text("reportverb.list.more", explain.Args{"n": more}))
	}
}

// troubleOf says why a delivery is not sent; "" where it is.
func (e *Env) troubleOf(d *outbox.Delivery) string {
	if d.State == outbox.Dropped {
		return e.Lang.Step(d.Reason)
	}
	if d.Error == "" {
		return ""
	}
	if d.State.Open() {
		return e.text("reportverb.list.again", explain.Args{"error": d.Error, "time": d.Next.UTC().Format("2006-01-02 15:04 UTC")})
	}
	return d.Error
}

func newReportSend(e *Env) *cobra.Command {
	var asJSON bool
	var day string
	cmd := &cobra.Command{
		Use:     "send",
		Short:   e.text("reportverb.send.short", nil),
		Long:    strings.Join([]string{e.prose("reportverb.send.long"), e.prose("reportverb.send.long_status")}, "\n\n"),
		Example: "  sekimori report send --config sekimori.yaml\n  sekimori report send --config sekimori.yaml --day 2026-11-21",
		Args:    cobra.NoArgs,
	}
	f := addReportFlags(cmd, e)
	cmd.Flags().StringVar(&day, "day", "", e.text("reportverb.send.day", nil))
	cmd.Flags().BoolVar(&asJSON, "json", false, e.text("reportverb.flag.json", nil))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		usage := func(err error) error { return usageError{err, cmd.CommandPath()} }
		day, err := dayFlag(day, "")
		if err != nil {
			return usage(err)
		}
		if day >= e.now().UTC().Format(time.DateOnly) && day != "" {
			return usage(fmt.Errorf("--day %s: the day is not over yet (UTC)", day))
		}
		o, err := f.options(e)
		if err != nil {
			return usage(err)
		}
		if o.Email == "" {
			return usage(errors.New("reports name their sender: give --config FILE with reports.organization and reports.email"))
		}
		r, err := reporter.New(o)
		if err != nil {
			return usage(err)
		}
		defer r.Close()
		out, err := r.Round(cmd.Context(), day)
		switch {
		case errors.Is(err, reporter.ErrNothing):
			return statusError{StatusNegative, errors.New(e.text("reportverb.send.nothing", explain.Args{"day": day}))}
		case errors.Is(err, outbox.ErrLocked):
			return temporary(errors.New(e.text("reportverb.send.locked", nil)))
		case err != nil:
			return temporary(err)
		}
		if asJSON {
			err = writeJSON(e.Out, struct {
				Made    int   `json:"made"`
				Sent    int64 `json:"sent"`
				Failed  int64 `json:"failed"`
				Waiting int64 `json:"waiting"`
			}{out.Made, out.Sent, out.Failed, out.Waiting})
		} else {
			_, err = fmt.Fprintln(e.Out, e.text("reportverb.send.done", explain.Args{"made": int64(out.Made), "sent": out.Sent, "failed": out.Failed, "waiting": out.Waiting}))
		}
		switch {
		case err != nil:
			return temporary(err)
		case out.Waiting > 0:
			return statusError{status: StatusTemporary}
		case out.Failed > 0:
			return statusError{status: StatusNegative}
		}
		return nil
	}
	return cmd
}
