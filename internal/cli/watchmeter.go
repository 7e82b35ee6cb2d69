package cli

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sekimori/internal/watch"
)

// meteredDomains is how many domains have lines of their own in /metrics: the
// names of domains come from reports, and those from anyone.
const meteredDomains = 1000

// alarms is what the watch tells of itself; *watch.Watcher has it.
type alarms interface {
	Alarms(ctx context.Context) (watch.Alarms, error)
}

// watchMeter is the state of the watch in /metrics.
type watchMeter struct {
	w alarms

	stepBack, since, failing, looked, silent, alerts, unwatched *prometheus.Desc
}

func newWatchMeter(w alarms) prometheus.Collector {
	of := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &watchMeter{
		w:         w,
		stepBack:  of("sekimori_step_back", "1 while the policy of a domain should be taken a step back: legitimate mail fails above the bar.", "domain"),
		since:     of("sekimori_step_back_since_timestamp_seconds", "First day above the bar, while there is an alarm.", "domain"),
		failing:   of("sekimori_step_back_failing_messages", "Legitimate messages that failed on the day that crossed the bar, while there is an alarm.", "domain"),
		looked:    of("sekimori_zone_looked_timestamp_seconds", "Last look at what a domain publishes for mail.", "domain"),
		silent:    of("sekimori_zone_unanswered_questions", "Questions of the last look that the DNS did not answer.", "domain"),
		alerts:    of("sekimori_alerts", "Alerts by mail and webhook, by what became of them.", "outcome"),
		unwatched: of("sekimori_domains_unwatched", "Domains with reports that are not watched for their number."),
	}
}

// Describe is that of prometheus.Collector.
func (m *watchMeter) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.stepBack, m.since, m.failing, m.looked, m.silent, m.alerts, m.unwatched} {
		out <- d
	}
}

// Collect is that of prometheus.Collector. Domains with an alarm come first.
func (m *watchMeter) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	a, err := m.w.Alarms(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(m.stepBack, err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	slices.SortStableFunc(a.Domains, func(x, y watch.DomainAlarm) int { return cmp.Compare(oneIf(y.Tripped), oneIf(x.Tripped)) })
	for _, d := range a.Domains[:min(len(a.Domains), meteredDomains)] {
		gauge(m.stepBack, oneIf(d.Tripped), d.Domain)
		if d.Tripped {
			gauge(m.since, float64(d.Since.Time().Unix()), d.Domain)
			gauge(m.failing, float64(d.Failing), d.Domain)
		}
		if !d.Looked.IsZero() {
			gauge(m.looked, float64(d.Looked.Unix()), d.Domain)
			gauge(m.silent, float64(d.Silent), d.Domain)
		}
	}
	gauge(m.alerts, float64(a.Alerts.Waiting), "waiting")
	gauge(m.alerts, float64(a.Alerts.Sent), "sent")
	gauge(m.alerts, float64(a.Alerts.GivenUp), "given-up")
	gauge(m.unwatched, float64(a.Unwatched))
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
