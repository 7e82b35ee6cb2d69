package cli

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sekimori/internal/store"
	"sekimori/internal/watch"
)

type fixedAlarms struct {
	a   watch.Alarms
	err error
}

func (f fixedAlarms) Alarms(context.Context) (watch.Alarms, error) { return f.a, f.err }

// TestWatchMeter checks that an alarm is seen among more domains than have
// lines of their own, and that a fault of the store is.
func TestWatchMeter(t *testing.T) {
	var many []watch.DomainAlarm
	for i := range 2 * meteredDomains {
		many = append(many, watch.DomainAlarm{Domain: fmt.Sprintf("d%d.example", i)})
	}
	many = append(many, watch.DomainAlarm{Domain: "city.example.jp", Tripped: true, Since: store.Day(20000), Failing: 50, Looked: time.Unix(1_790_000_000, 0), Silent: 2})
	r := prometheus.NewRegistry()
	r.MustRegister(newWatchMeter(fixedAlarms{a: watch.Alarms{Domains: many, Unwatched: 3, Alerts: store.AlertCounts{Waiting: 1, Sent: 2, GivenUp: 4}}}))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "sekimori_step_back" && len(f.GetMetric()) != meteredDomains {
			t.Errorf("%d domains, want %d", len(f.GetMetric()), meteredDomains)
		}
		for _, m := range f.GetMetric() {
			label := ""
			for _, l := range m.GetLabel() {
				label = " " + l.GetValue()
			}
			got[f.GetName()+label] = m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"sekimori_step_back city.example.jp": 1, "sekimori_step_back d1.example": 0,
		"sekimori_step_back_since_timestamp_seconds city.example.jp": 20000 * 86400, "sekimori_step_back_failing_messages city.example.jp": 50,
		"sekimori_zone_looked_timestamp_seconds city.example.jp": 1_790_000_000, "sekimori_zone_unanswered_questions city.example.jp": 2,
		"sekimori_alerts waiting": 1, "sekimori_alerts sent": 2, "sekimori_alerts given-up": 4, "sekimori_domains_unwatched": 3,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s: %v, %v; want %v", name, v, ok, want)
		}
	}
	r = prometheus.NewRegistry()
	r.MustRegister(newWatchMeter(fixedAlarms{err: errors.New("no store")}))
	if _, err := r.Gather(); err == nil {
		t.Error("a fault of the store went unseen")
	}
}
