package gate

import (
	"github.com/prometheus/client_golang/prometheus"

	"sekimori/internal/gateway"
	"sekimori/internal/reporter"
	"sekimori/internal/store/verdict"
	"sekimori/milter"
)

// Sources are where the figures come from. A nil one is left out.
type Sources struct {
	Gateway  func() gateway.Stats
	Milter   func() milter.Stats
	Verdicts func() verdict.Stats
	Reports  func() reporter.Stats
	Failures func() reporter.FailureStats
}

// NewMeters returns the gateway's metrics. They are read when they are asked
// for, and cost nothing otherwise.
func NewMeters(s Sources) prometheus.Collector { return &meters{s} }

type meters struct{ from Sources }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sekimori_"+name, help, labels, nil)
}

var (
	messages       = describe("gateway_messages_total", "Messages that were answered, by what was done and what DMARC said.", "action", "dmarc")
	seconds        = describe("gateway_seconds", "Time from the end of a message to its answer.")
	inProgress     = describe("gateway_messages_in_progress", "Messages between MAIL FROM and the answer.")
	forged         = describe("gateway_forged_fields_total", "Header fields taken out because they bore our name.")
	signed         = describe("gateway_signed_total", "Messages of our own that were signed.")
	unsigned       = describe("gateway_unsigned_total", "Messages of our own that could not be signed, or not with every key, though there is one.")
	panics         = describe("gateway_panics_total", "Messages passed on unverified because of a fault of the program.")
	unlogged       = describe("gateway_verdicts_unlogged_total", "Messages whose verdict could not be kept at all.")
	sessions       = describe("gateway_sessions", "Connections of mail servers that are open.")
	sessionsTotal  = describe("gateway_sessions_total", "Connections of mail servers.")
	protocolErrors = describe("gateway_protocol_errors_total", "Connections that ended because of a breach of the milter protocol.")
	waiting        = describe("gateway_verdicts_waiting", "Verdicts in memory because the journal cannot be written.")
	unmoved        = describe("gateway_verdicts_unmoved", "Verdicts in the journal that are not in a day's file yet.")
	appended       = describe("gateway_verdicts_total", "Verdicts kept.")
	lost           = describe("gateway_verdicts_lost_total", "Verdicts dropped because memory for those that wait was full.")
	reportsSent    = describe("reports_sent_total", "Aggregate reports that the mail server took.")
	reportsFailed  = describe("reports_failed_total", "Aggregate reports that were given up.")
	reportsWaiting = describe("reports_waiting", "Aggregate reports that are tried again.")
	failuresSent   = describe("failure_reports_sent_total", "Failure reports that the mail server took.")
	failuresFailed = describe("failure_reports_failed_total", "Failure reports that the mail server did not take.")
	failuresHeld   = describe("failure_reports_limited_total", "Messages not reported on because of a rate limit.")
)

// Describe tells the metrics' names.
func (m *meters) Describe(ch chan<- *prometheus.Desc) {
	all := []*prometheus.Desc{}
	if m.from.Gateway != nil {
		all = append(all, messages, seconds, inProgress, forged, signed, unsigned, panics, unlogged)
	}
	if m.from.Milter != nil {
		all = append(all, sessions, sessionsTotal, protocolErrors)
	}
	if m.from.Verdicts != nil {
		all = append(all, waiting, unmoved, appended, lost)
	}
	if m.from.Reports != nil {
		all = append(all, reportsSent, reportsFailed, reportsWaiting)
	}
	if m.from.Failures != nil {
		all = append(all, failuresSent, failuresFailed, failuresHeld)
	}
	for _, d := range all {
		ch <- d
	}
}

// Collect reads the figures.
func (m *meters) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
	if m.from.Gateway != nil {
		s := m.from.Gateway()
		for _, c := range s.Messages {
			dmarc := c.DMARC
			if dmarc == "" {
				dmarc = "own" // our own mail, which is not verified
			}
			counter(messages, c.Messages, string(c.Action), dmarc)
		}
		ch <- latency(s.Took)
		gauge(inProgress, s.InProgress)
		counter(forged, s.Removed)
		counter(signed, s.Signed)
		counter(unsigned, s.Unsigned)
		counter(panics, s.Panics)
		counter(unlogged, s.Unlogged)
	}
	if m.from.Milter != nil {
		s := m.from.Milter()
		gauge(sessions, s.Sessions)
		counter(sessionsTotal, s.SessionsTotal)
		counter(protocolErrors, s.ProtocolErrors)
	}
	if m.from.Verdicts != nil {
		s := m.from.Verdicts()
		gauge(waiting, s.Waiting)
		gauge(unmoved, s.Unmoved)
		counter(appended, s.Appended)
		counter(lost, s.Lost)
	}
	if m.from.Reports != nil {
		s := m.from.Reports()
		counter(reportsSent, s.Sent)
		counter(reportsFailed, s.Failed)
		gauge(reportsWaiting, s.Waiting)
	}
	if m.from.Failures != nil {
		s := m.from.Failures()
		counter(failuresSent, s.Sent)
		counter(failuresFailed, s.Failed)
		counter(failuresHeld, s.Limited)
	}
}

// latency makes Prometheus's cumulative buckets of ours.
func latency(l gateway.Latency) prometheus.Metric {
	buckets := make(map[float64]uint64, len(l.Bounds))
	var sum uint64
	for i, n := range l.Counts {
		sum += uint64(n)
		if i < len(l.Bounds) {
			buckets[l.Bounds[i].Seconds()] = sum
		}
	}
	return prometheus.MustNewConstHistogram(seconds, sum, l.Sum.Seconds(), buckets)
}
