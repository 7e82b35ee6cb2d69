package web

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sekimori/internal/advise"
	"sekimori/internal/repair"
	"sekimori/internal/store"
	"sekimori/internal/web/api"
)

// workMeters shows how the work stands. It is read when it is asked for.
type workMeters struct {
	work    *api.Work
	advisor Advisor
}

var (
	casesDesc   = prometheus.NewDesc("sekimori_cases", "Pieces of work, by state.", []string{"state"}, nil)
	overdueDesc = prometheus.NewDesc("sekimori_cases_overdue", "Pieces of work that were due before today and are not over.", nil, nil)
	verdictDesc = prometheus.NewDesc("sekimori_domains", "Domains with reports, by the verdict about the next step; pending: not worked out yet.", []string{"verdict"}, nil)
)

func (m *workMeters) Describe(ch chan<- *prometheus.Desc) {
	ch <- casesDesc
	ch <- overdueDesc
	ch <- verdictDesc
}

// metersPatience bounds one reading.
const metersPatience = 5 * time.Second

// Collect reads the figures; what cannot be read is left out.
func (m *workMeters) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), metersPatience)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	one := store.Page{Limit: 1}
	for _, st := range repair.States {
		if _, n, err := m.work.Store.Cases(ctx, store.CaseFilter{States: []store.CaseState{st}}, one); err == nil {
			gauge(casesDesc, float64(n), string(st))
		}
	}
	if _, n, err := m.work.Store.Cases(ctx, store.CaseFilter{Due: m.work.Today()}, one); err == nil {
		gauge(overdueDesc, float64(n))
	}
	all, err := m.advisor.Overview(ctx, 30)
	if err != nil {
		return
	}
	counts := map[advise.Verdict]int{advise.Ready: 0, advise.NotReady: 0, advise.InsufficientData: 0, "": 0}
	for _, d := range all {
		counts[d.Verdict]++
	}
	for v, n := range counts {
		if v == "" {
			v = "pending"
		}
		gauge(verdictDesc, float64(n), string(v))
	}
}
