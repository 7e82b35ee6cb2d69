package api

import (
	"time"

	"sekimori/explain"
	"sekimori/internal/store"
	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
)

// GatewayMessages is a part of the messages that were looked for.
type GatewayMessages struct {
	Messages []GatewayMessage `json:"messages"`
	More     bool             `json:"more" doc:"There are older ones."`
}

// GatewayMessage is one message that came to the gateway.
type GatewayMessage struct {
	ID        uint64         `json:"id"`
	Time      time.Time      `json:"time" doc:"When its end arrived."`
	TookMS    float64        `json:"took_ms" doc:"From then to the answer."`
	QueueID   string         `json:"queue_id"`
	MessageID string         `json:"message_id"`
	Subject   string         `json:"subject,omitempty" doc:"Where the site keeps subjects."`
	Client    string         `json:"client" doc:"IP address of the host that handed it over; empty where there was none."`
	Helo      string         `json:"helo"`
	MailFrom  string         `json:"mail_from"`
	From      string         `json:"from"`
	Rcpt      []string       `json:"rcpt"`
	Size      int64          `json:"size"`
	Action    verdict.Action `json:"action" doc:"accept, mark, quarantine, refuse or tempfail."`
	Asked     verdict.Action `json:"asked" doc:"What would have been done without monitoring mode."`
	Rule      *explain.Step  `json:"rule" doc:"The rule of the site that decided; null where none did."`
	SPF       string         `json:"spf"`
	DKIM      string         `json:"dkim"`
	DMARC     string         `json:"dmarc"`
	ARC       string         `json:"arc"`
	Policy    *gatewayPolicy `json:"policy" doc:"The DMARC record that applied; null where there was none."`
	Record    gatewayRecord  `json:"record" doc:"The message as its line of an aggregate report."`
	Why       []explain.Step `json:"why" doc:"How the verdict came about; empty for messages that simply passed."`
}

type gatewayPolicy struct {
	Domain string `json:"domain"`
	Text   string `json:"text"`
	Method string `json:"method"`
}

type gatewayRecord struct {
	Disposition  aggregate.Disposition `json:"disposition"`
	DKIMAligned  bool                  `json:"dkim_aligned"`
	SPFAligned   bool                  `json:"spf_aligned"`
	Reasons      []reason              `json:"reasons"`
	HeaderFrom   string                `json:"header_from"`
	EnvelopeFrom string                `json:"envelope_from"`
	EnvelopeTo   string                `json:"envelope_to,omitempty"`
	DKIM         []dkimResult          `json:"dkim"`
	SPF          []spfResult           `json:"spf"`
}

// MessageOf is an entry as JSON shows it.
func MessageOf(e *verdict.Entry) GatewayMessage {
	r := recordOf(store.RecordRow{Record: e.Record})
	m := GatewayMessage{ID: e.ID, Time: e.Time.UTC(), TookMS: milliseconds(e.Took), QueueID: e.QueueID, MessageID: e.MessageID, Subject: e.Subject,
		Helo: e.Helo, MailFrom: e.MailFrom, From: e.From, Rcpt: notNil(e.Rcpt), Size: e.Size, Action: e.Action, Asked: e.Asked,
		SPF: e.SPF, DKIM: e.DKIM, DMARC: e.DMARC, ARC: e.ARC, Why: notNil(e.Why),
		Record: gatewayRecord{Disposition: r.Disposition, DKIMAligned: r.DKIMAligned, SPFAligned: r.SPFAligned, Reasons: r.Reasons,
			HeaderFrom: r.HeaderFrom, EnvelopeFrom: r.EnvelopeFrom, EnvelopeTo: r.EnvelopeTo, DKIM: r.DKIM, SPF: r.SPF}}
	if e.Client.IsValid() {
		m.Client = e.Client.String()
	}
	if e.Rule.Code != "" {
		m.Rule = &e.Rule
	}
	if e.Policy != (verdict.Policy{}) {
		m.Policy = &gatewayPolicy{e.Policy.Domain, e.Policy.Text, e.Policy.Method}
	}
	return m
}

// MessagesOf is a list of entries as JSON shows it.
func MessagesOf(found []verdict.Entry, more bool) GatewayMessages {
	out := GatewayMessages{Messages: make([]GatewayMessage, len(found)), More: more}
	for i := range found {
		out.Messages[i] = MessageOf(&found[i])
	}
	return out
}

// milliseconds has three digits after the point.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// GatewayLive is what happened in a span.
type GatewayLive struct {
	Since   time.Time       `json:"since"`
	Until   time.Time       `json:"until"`
	StepS   int64           `json:"step_s" doc:"Length of a bucket in seconds."`
	Buckets []gatewayBucket `json:"buckets"`
	Total   gatewayCounts   `json:"total"`
	Spoofed []spoofed       `json:"spoofed" doc:"Domains in whose names mail came that failed."`
	Senders []gatewaySender `json:"senders" doc:"Addresses that sent mail that failed."`
	Latency latency         `json:"latency" doc:"From the end of a message to the answer."`
}

type gatewayBucket struct {
	Start time.Time `json:"start"`
	gatewayCounts
}

type gatewayCounts struct {
	Messages   int64 `json:"messages"`
	Accept     int64 `json:"accept"`
	Mark       int64 `json:"mark"`
	Quarantine int64 `json:"quarantine"`
	Refuse     int64 `json:"refuse"`
	Tempfail   int64 `json:"tempfail"`
	Pass       int64 `json:"pass"`
	Fail       int64 `json:"fail"`
	NoPolicy   int64 `json:"no_policy"`
	Trouble    int64 `json:"trouble" doc:"Undecided: the DNS did not tell, or a record or the message cannot be judged."`
}

type spoofed struct {
	Domain   string `json:"domain"`
	Messages int64  `json:"messages"`
	Sources  int64  `json:"sources" doc:"Addresses that they came from."`
}

type gatewaySender struct {
	Client   string `json:"client"`
	Messages int64  `json:"messages"`
	Failing  int64  `json:"failing"`
	Domains  int64  `json:"domains" doc:"In whose names."`
}

type latency struct {
	MedianMS float64   `json:"median_ms"`
	P99MS    float64   `json:"p99_ms"`
	BoundsMS []float64 `json:"bounds_ms"`
	Counts   []int64   `json:"counts" doc:"Messages up to each bound, and at last those beyond."`
}

func countsOf(b *verdict.Bucket) gatewayCounts {
	return gatewayCounts{Messages: b.Messages(), Accept: b.Accept, Mark: b.Mark, Quarantine: b.Quarantine, Refuse: b.Refuse, Tempfail: b.TryAgain,
		Pass: b.Pass, Fail: b.Fail, NoPolicy: b.NoPolicy, Trouble: b.Trouble}
}

func liveOf(l verdict.Live) GatewayLive {
	out := GatewayLive{Since: l.Since.UTC(), Until: l.Until.UTC(), StepS: int64(l.Step / time.Second), Total: countsOf(&l.Total),
		Buckets: make([]gatewayBucket, len(l.Buckets)), Spoofed: make([]spoofed, len(l.Spoofed)), Senders: make([]gatewaySender, len(l.Senders)),
		Latency: latency{BoundsMS: make([]float64, len(l.Latency.Bounds)), Counts: notNil(l.Latency.Counts)}}
	for i := range l.Buckets {
		out.Buckets[i] = gatewayBucket{l.Buckets[i].Start.UTC(), countsOf(&l.Buckets[i])}
	}
	for i, s := range l.Spoofed {
		out.Spoofed[i] = spoofed(s)
	}
	for i, s := range l.Senders {
		out.Senders[i] = gatewaySender{Messages: s.Messages, Failing: s.Failing, Domains: s.Domains}
		if s.Client.IsValid() {
			out.Senders[i].Client = s.Client.String()
		}
	}
	for i, b := range l.Latency.Bounds {
		out.Latency.BoundsMS[i] = milliseconds(b)
	}
	if out.Total.Messages > 0 {
		out.Latency.MedianMS, out.Latency.P99MS = milliseconds(l.Latency.Quantile(0.5)), milliseconds(l.Latency.Quantile(0.99))
	}
	return out
}
