package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sekimori/internal/store/verdict"
)

// mostExported is how many messages a download has at most; what is looked for
// can be narrowed.
const mostExported = 100_000

func gatewayMessagesTable() table {
	return table{
		columns: []column{{code: "gateway_time", kind: moment}, {code: "gateway_action", kind: text}, {code: "gateway_asked", kind: text}, {code: "dmarc_result", kind: text}, {code: "spf_result", kind: text}, {code: "dkim_result", kind: text}, {code: "arc_result", kind: text},
			{code: "gateway_from", kind: text}, {code: "gateway_mail_from", kind: text}, {code: "gateway_rcpt", kind: text}, {code: "address", kind: text}, {code: "helo", kind: text}, {code: "message_id", kind: text}, {code: "queue_id", kind: text},
			{code: "size", kind: number}, {code: "policy_domain", kind: text}, {code: "policy_record", kind: text}, {code: "gateway_why", kind: text}, {code: "took_ms", kind: number}, {code: "id", kind: text}},
		rows: func(ctx context.Context, s *server, q *exportQuery, emit func(...any) error) error {
			if s.Gateway == nil {
				return nil
			}
			find, err := q.gateway.Query(s.Gateway.Now(), time.UTC)
			if err != nil {
				return huma.Error400BadRequest(err.Error())
			}
			find.Limit = 1000
			for n := 0; n < mostExported; {
				found, more, err := s.Gateway.Find(ctx, find)
				if err != nil {
					return err
				}
				for i := range found {
					if err := emit(q.messageCells(&found[i])...); err != nil {
						return err
					}
				}
				if !more || len(found) == 0 {
					return nil
				}
				n += len(found)
				find.Before = found[len(found)-1].ID
			}
			return nil
		},
	}
}

func (q *exportQuery) messageCells(e *verdict.Entry) []any {
	var why []string
	if e.Rule.Code != "" {
		why = append(why, q.lang.Step(e.Rule))
	}
	for _, s := range e.Why {
		why = append(why, q.lang.Step(s))
	}
	client := ""
	if e.Client.IsValid() {
		client = e.Client.String()
	}
	return []any{e.Time, q.word("webgateway.action.", string(e.Action)), q.word("webgateway.action.", string(e.Asked)), e.DMARC, e.SPF, e.DKIM, e.ARC,
		e.From, e.MailFrom, strings.Join(e.Rcpt, "\n"), client, e.Helo, e.MessageID, e.QueueID,
		e.Size, e.Policy.Domain, e.Policy.Text, strings.Join(why, "\n"), e.Took.Milliseconds(), fmt.Sprint(e.ID)}
}
