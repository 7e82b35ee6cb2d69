package web

import (
	"time"

	"sekimori/internal/store/verdict"
	"sekimori/internal/web/api"
)

// resultChart draws how messages were judged, step by step.
func resultChart(p *page, span api.Span, live *verdict.Live) *chart {
	c := liveChart(p, "results", span, live, []chartColumn{
		{"pass", "webgateway.result.pass"}, {"nopolicy", "webgateway.result.none"}, {"trouble", "webgateway.result.trouble"}, {"fail", "webgateway.result.fail"}, {"own", "webgateway.result.own"},
	}, func(b *verdict.Bucket) []int64 {
		return []int64{b.Pass, b.NoPolicy, b.Trouble, b.Fail, b.Messages() - judged(b)}
	})
	t := &live.Total
	c.Says = p.text("webgateway.chart.results.says", "n", judged(t), "pass", t.Pass, "fail", t.Fail)
	var worst verdict.Bucket
	for _, b := range live.Buckets {
		if b.Fail > worst.Fail {
			worst = b
		}
	}
	if worst.Fail > 0 {
		c.Says += p.text("webgateway.chart.results.worst", "at", stepOf(p, span, worst.Start).Text, "n", worst.Fail)
	}
	return c
}

// actionChart draws what was done with messages, step by step.
func actionChart(p *page, span api.Span, live *verdict.Live) *chart {
	c := liveChart(p, "actions", span, live, []chartColumn{
		{"delivered", "webgateway.action.accept"}, {"marked", "webgateway.action.mark"}, {"trouble", "webgateway.action.tempfail"}, {"quarantine", "webgateway.action.quarantine"}, {"reject", "webgateway.action.refuse"},
	}, func(b *verdict.Bucket) []int64 {
		return []int64{b.Accept, b.Mark, b.TryAgain, b.Quarantine, b.Refuse}
	})
	t := &live.Total
	c.Says = p.text("webgateway.chart.actions.says", "accept", t.Accept, "mark", t.Mark, "quarantine", t.Quarantine, "refuse", t.Refuse, "tempfail", t.TryAgain)
	return c
}

func liveChart(p *page, id string, span api.Span, live *verdict.Live, columns []chartColumn, values func(*verdict.Bucket) []int64) *chart {
	c := &chart{ID: id, Kind: id, Title: "webgateway.chart." + id + "." + string(span), Head: "webgateway.col.step." + string(span), Caption: "webgateway.chart.caption." + string(span),
		Live: true, File: "gateway-" + id + "-" + live.Until.UTC().Format("20060102T1504Z"), Columns: columns}
	for i := range live.Buckets {
		row := chartRow{At: stepOf(p, span, live.Buckets[i].Start)}
		for _, n := range values(&live.Buckets[i]) {
			row.Values = append(row.Values, uint64(max(0, n)))
		}
		c.Rows = append(c.Rows, row)
	}
	return c
}

// stepOf is when a step began: the clock, and the day where there are several.
func stepOf(p *page, span api.Span, t time.Time) moment {
	form := "15:04"
	if span == api.LastWeek {
		form = "01/02 15:04"
	}
	return moment{t.UTC().Format(time.RFC3339), t.In(p.zone).Format(form)}
}
