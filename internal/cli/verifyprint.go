package cli

import (
	"fmt"
	"strings"

	"github.com/rivo/uniseg"

	"sekimori/dkim"
	"sekimori/explain"
	"sekimori/internal/check"
)

// printVerdict tells one message: the verdict in one sentence, then each
// protocol with its reasons.
func (e *Env) printVerdict(v *check.Verdict) {
	w, width := e.Out, e.width()
	wrap(w, width, "", e.Lang.Step(v.Summary()))
	if s, ok := v.Request(); ok {
		wrap(w, width, "", e.Lang.Step(s))
	}
	for _, s := range v.Steps() {
		switch s.Code {
		case "check.connection", "check.connection-unknown":
			fmt.Fprintln(w)
			wrap(w, width, "", e.Lang.Step(s))
		case "check.spf-not-evaluated":
			e.heading("SPF", string(v.SPF.Status), e.text("cli.verify.unchecked", nil))
		case "check.spf":
			e.heading("SPF", string(v.SPF.Status), e.text("cli.verify.of_spf", s.Args))
		case "check.spf-null-sender":
			e.heading("SPF", string(v.SPF.Status), e.text("cli.verify.of_spf_null", s.Args))
		case "check.spf-helo-only":
			e.heading("SPF", string(v.SPF.Status), e.text("cli.verify.of_spf_helo", s.Args))
		case "check.helo":
			// It is for information: one line will do.
			wrap(w, width, "  - ", e.Lang.Step(s))
			continue
		case "check.unsigned":
			e.heading("DKIM", string(dkim.None), e.text("cli.verify.unsigned", nil))
		case "check.dkim", "check.dkim-aligned":
			e.heading("DKIM", s.Args["result"].(string), e.text("cli.verify.of_dkim", s.Args))
		case "check.arc":
			e.heading("ARC", string(v.ARC.Status), e.text("cli.verify.of_arc", s.Args))
		case "check.dmarc":
			code := "cli.verify.of_dmarc"
			switch {
			case v.From().IsZero():
				code = "cli.verify.of_dmarc_unknown"
			case v.DMARC.Policy == "":
				code = "cli.verify.of_dmarc_none"
			}
			e.heading("DMARC", string(v.DMARC.Status), e.text(code, explain.Args{"from": s.Args["from"], "policy": string(v.DMARC.Policy)}))
		case "check.smime":
			code, args := "cli.verify.of_smime_several", s.Args
			if r := v.SMIME; len(r.Signers) == 1 {
				code, args = "cli.verify.of_smime", explain.Args{"name": "–"}
				if r.Signers[0].Subject != "" {
					args["name"] = r.Signers[0].Subject
				}
			}
			e.heading("S/MIME", string(v.SMIME.Status), e.text(code, args))
		case "check.smime-unsigned":
			e.heading("S/MIME", string(v.SMIME.Status), e.text("cli.verify.of_smime_unsigned", nil))
		default:
			continue // the summary, told above
		}
		for _, c := range s.Children {
			e.printStep(c, 1)
		}
	}
	fmt.Fprintln(w)
	fmt.Fprint(w, unix.Replace(v.AuthenticationResultsField()))
}

// unix gives a header field the line ends of a terminal.
var unix = strings.NewReplacer("\r\n", "\n")

// heading is the line of a protocol: its name, its result, and of what.
func (e *Env) heading(protocol, result, of string) {
	fmt.Fprintln(e.Out)
	wrap(e.Out, e.width(), fmt.Sprintf("%-7s%-11s", protocol, result), of)
}

// maxDepth bounds how deep reasons of reasons are shown; --json has them all.
const maxDepth = 4

func (e *Env) printStep(s explain.Step, depth int) {
	wrap(e.Out, e.width(), strings.Repeat("  ", depth)+"- ", e.Lang.Step(s))
	if depth == maxDepth {
		return
	}
	for _, c := range s.Children {
		e.printStep(c, depth+1)
	}
}

// columns of the table of many messages: it is written as it comes, so its
// widths are fixed.
var verdictColumns = [...]struct {
	code  string
	width int
}{
	{"cli.verify.col_verdict", 12}, {"cli.verify.col_spf", 9}, {"cli.verify.col_dkim", 9}, {"cli.verify.col_dmarc", 9}, {"cli.verify.col_from", 22}, {"cli.verify.col_path", 0},
}

func (e *Env) verdictHead() {
	var cells [len(verdictColumns)]string
	for i, c := range verdictColumns {
		cells[i] = e.text(c.code, nil)
	}
	e.verdictLine(cells[:])
}

func (e *Env) verdictRow(c *check.Checked) {
	if c.Err != nil {
		wrap(e.Out, e.width(), "", e.text("cli.verify.rejected", explain.Args{"path": c.Path, "offset": c.Offset, "reason": c.Err.Error()}))
		return
	}
	v := &c.Verdict
	from := v.From().Unicode()
	if from == "" {
		from = "–" // no usable From field
	}
	e.verdictLine([]string{e.text("outcome."+string(v.Outcome()), nil), string(v.SPF.Status), dkimSummary(v), string(v.DMARC.Status), from, c.Path})
}

// dkimSummary is the best result of the signatures.
func dkimSummary(v *check.Verdict) string {
	if len(v.DKIM) == 0 {
		return string(dkim.None)
	}
	best := v.DKIM[0].Status
	for _, s := range v.DKIM {
		if s.Status == dkim.Pass {
			return string(dkim.Pass)
		}
		if s.Status == dkim.TempError {
			best = s.Status
		}
	}
	return string(best)
}

// verdictLine writes a row; the last cell is never cut.
func (e *Env) verdictLine(cells []string) {
	var b strings.Builder
	for i, cell := range cells {
		width := verdictColumns[i].width
		if width > 0 {
			cell = cut(cell, width)
			cell += strings.Repeat(" ", width-uniseg.StringWidth(cell)+1)
		}
		b.WriteString(cell)
	}
	fmt.Fprintln(e.Out, b.String())
}

// printCounts sums up many messages.
func (e *Env) printCounts(v *verdicts) {
	if v.n == 0 {
		fmt.Fprintln(e.Out, e.text("cli.verify.nothing", nil))
		return
	}
	fmt.Fprintln(e.Out)
	fmt.Fprintln(e.Out, e.text("cli.verify.total", explain.Args{"messages": v.n}))
	for _, o := range []check.Outcome{check.Confirmed, check.Unconfirmed, check.Failed, check.Undecided} {
		if n := v.counts[o]; n > 0 {
			wrap(e.Out, e.width(), "  ", e.text("cli.verify.count", explain.Args{"n": n, "outcome": e.text("outcome."+string(o), nil), "meaning": e.text("outcome."+string(o)+".means", nil)}))
		}
	}
	if v.rejected > 0 {
		wrap(e.Out, e.width(), "  ", e.text("cli.verify.count_rejected", explain.Args{"n": v.rejected}))
	}
}
