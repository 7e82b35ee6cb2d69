package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"

	"sekimori/explain"
	"sekimori/internal/reporter"
)

// preview shows a report that would be sent.
type preview struct {
	env    *Env
	plan   *reporter.Planned
	all    []reporter.Planned
	today  bool // the day is not over
	madeUp bool // no address of the reports is configured
	email  string
}

type destinationJSON struct {
	URI      string       `json:"uri"`
	To       string       `json:"to,omitempty"`
	External bool         `json:"external"`
	Allowed  bool         `json:"allowed"`
	Unknown  bool         `json:"unknown,omitempty"` // the DNS did not tell
	Reason   explain.Step `json:"reason"`
}

type previewJSON struct {
	Domain       string            `json:"domain"`
	Day          string            `json:"day"`
	ReportID     string            `json:"report_id"`
	Form         string            `json:"form"`
	Filename     string            `json:"filename"`
	Subject      string            `json:"subject"`
	Policy       string            `json:"policy"`
	Method       string            `json:"method"`
	Messages     int64             `json:"messages"`
	Rows         int64             `json:"rows"`
	Made         bool              `json:"made"`
	Destinations []destinationJSON `json:"destinations"`
	Others       []string          `json:"others"` // report ids of the domain's other policies of the day
}

// json writes one document. The XML is its last field, streamed: it may be
// larger than memory.
func (v *preview) json(ctx context.Context) error {
	p := v.plan
	doc := previewJSON{Domain: p.Policy.Domain, Day: p.Day, ReportID: p.ReportID, Form: string(p.Form), Filename: p.Filename, Subject: p.Subject,
		Policy: p.Policy.Text, Method: p.Policy.Method, Messages: p.Messages, Rows: p.Rows, Made: p.Made,
		Destinations: []destinationJSON{}, Others: []string{}}
	for _, d := range p.Destinations {
		doc.Destinations = append(doc.Destinations, destinationJSON{d.URI, d.Address, d.External, d.Allowed, d.Unknown, d.Reason})
	}
	for i := range v.all {
		if v.all[i].ReportID != p.ReportID {
			doc.Others = append(doc.Others, v.all[i].ReportID)
		}
	}
	var b bytes.Buffer
	if err := writeJSON(&b, doc); err != nil {
		return err
	}
	head := bytes.TrimSuffix(bytes.TrimSpace(b.Bytes()), []byte("\n}"))
	w := bufio.NewWriterSize(v.env.Out, 64<<10)
	w.Write(head)
	w.WriteString(",\n  \"xml\": \"")
	if err := p.Write(ctx, &jsonText{w: w}); err != nil {
		return temporary(err)
	}
	w.WriteString("\"\n}\n")
	return w.Flush()
}

// jsonText writes UTF-8 text as the inside of a JSON string.
type jsonText struct {
	w    *bufio.Writer
	rest []byte // a character that was cut
}

func (j *jsonText) Write(b []byte) (int, error) {
	n := len(b)
	if len(j.rest) > 0 {
		b = append(j.rest, b...)
		j.rest = nil
	}
	// A character may end in the next piece.
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-i:]) {
				j.rest = bytes.Clone(b[len(b)-i:])
				b = b[:len(b)-i]
			}
			break
		}
	}
	var quoted bytes.Buffer
	enc := json.NewEncoder(&quoted)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(string(b)); err != nil {
		return 0, err
	}
	text := bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))
	if _, err := j.w.Write(text[1 : len(text)-1]); err != nil {
		return 0, err
	}
	return n, nil
}

// print says beside the XML what it is and where it goes: on the standard
// error, so that the XML can be kept.
func (v *preview) print() {
	e, p := v.env, v.plan
	w := bufio.NewWriter(e.Err)
	defer w.Flush()
	width := min(e.width(), lineWidth)
	say := func(code string, args explain.Args) { wrap(w, width, "", e.text(code, args)) }
	item := func(code, value string) { wrap(w, width, "  "+e.text(code, nil)+" ", value) }
	args := explain.Args{"domain": p.Policy.Domain, "day": p.Day, "messages": p.Messages, "rows": p.Rows}
	fmt.Fprintln(w)
	switch {
	case p.Made:
		say("reportverb.preview.made", args)
	case v.today:
		say("reportverb.preview.today", args)
	default:
		say("reportverb.preview.would", args)
	}
	item("reportverb.preview.policy", p.Policy.Text)
	item("reportverb.preview.report_id", p.ReportID)
	item("reportverb.preview.file", p.Filename)
	item("reportverb.preview.subject", p.Subject)
	if len(p.Destinations) == 0 {
		say("reportverb.preview.unasked", args)
	}
	for _, d := range p.Destinations {
		code := "reportverb.preview.not_to"
		switch {
		case d.Allowed:
			code = "reportverb.preview.to"
		case d.Unknown:
			code = "reportverb.preview.perhaps_to"
		}
		to := d.Address
		if to == "" {
			to = d.URI
		}
		say(code, explain.Args{"to": explain.Clip(to)})
		wrap(w, width, "    ", e.Lang.Step(d.Reason))
	}
	if len(v.all) > 1 {
		say("reportverb.preview.others", explain.Args{"n": int64(len(v.all) - 1)})
		for i := range v.all {
			if o := &v.all[i]; o.ReportID != p.ReportID {
				wrap(w, width, "  --id "+o.ReportID+" ", o.Policy.Text)
			}
		}
	}
	if v.madeUp && !p.Made {
		say("reportverb.preview.made_up", explain.Args{"email": v.email})
	}
}

var _ io.Writer = (*jsonText)(nil)
