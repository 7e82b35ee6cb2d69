package cli

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"sekimori/internal/store/verdict"
)

// logMessage writes the line of a message. Addresses stand in it because people
// who run mail need them; how long logs are kept is theirs to decide.
//
// As JSON it is what slog would write, made by hand: there is one for each
// message, and so it takes a third of the time.
func (k *gatekeeper) logMessage(e *verdict.Entry) {
	if !k.env.Terminal {
		var buf [1024]byte
		_, _ = k.out.Write(appendMessageLine(buf[:0], time.Now(), e))
		return
	}
	attrs := make([]slog.Attr, 0, 20)
	messageFields(e, func(name, value string) { attrs = append(attrs, slog.String(name, value)) },
		func(name string, value float64) { attrs = append(attrs, slog.Float64(name, value)) })
	k.log.LogAttrs(context.Background(), slog.LevelInfo, "message", attrs...)
}

// appendMessageLine appends the line of a message as a JSON object.
func appendMessageLine(b []byte, at time.Time, e *verdict.Entry) []byte {
	b = append(b, `{"time":"`...)
	b = at.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","level":"INFO","msg":"message"`...)
	name := func(n string) { b = append(append(append(b, `,"`...), n...), `":`...) }
	messageFields(e, func(n, value string) {
		name(n)
		b = appendJSONText(b, value)
	}, func(n string, value float64) {
		name(n)
		b = strconv.AppendFloat(b, value, 'f', -1, 64)
	})
	return append(b, "}\n"...)
}

// messageFields tells what stands in the line of a message, in its order.
func messageFields(e *verdict.Entry, text func(name, value string), number func(name string, value float64)) {
	client := ""
	if e.Client.IsValid() {
		client = e.Client.String()
	}
	dmarc := e.DMARC
	if dmarc == "" {
		dmarc = "own" // our own mail, which is not verified
	}
	text("queue_id", e.QueueID)
	text("client", client)
	text("helo", e.Helo)
	text("mail_from", e.MailFrom)
	text("from", e.From)
	number("rcpts", float64(len(e.Rcpt)))
	text("message_id", e.MessageID)
	number("size", float64(e.Size))
	text("spf", e.SPF)
	text("dkim", e.DKIM)
	text("dmarc", dmarc)
	text("arc", e.ARC)
	text("policy", policyWords(e.Policy.Text))
	text("policy_domain", e.Policy.Domain)
	text("action", string(e.Action))
	text("asked", string(e.Asked))
	text("rule", e.Rule.Code)
	number("took_ms", float64(e.Took.Microseconds())/1000)
}

// appendJSONText appends a text as a JSON string.
func appendJSONText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s) // of a string it does not fail
			if err != nil {
				quoted = []byte(`""`)
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// policyWords is what a DMARC record asks for, such as "p=reject sp=none t=y".
func policyWords(record string) string {
	var buf [96]byte
	out := buf[:0]
	for tag := range strings.SplitSeq(record, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(tag), "=")
		switch name = strings.ToLower(strings.TrimSpace(name)); name {
		case "p", "sp", "np", "t":
			if len(out) > 0 {
				out = append(out, ' ')
			}
			out = append(out, name...)
			out = append(out, '=')
			value = strings.TrimSpace(value)
			out = append(out, value[:min(len(value), 20)]...)
		}
	}
	return string(out)
}
