package web

import (
	"fmt"
	"strings"

	"sekimori/internal/advise"
	"sekimori/internal/store"
)

// chart is a daily stacked chart. The server writes its figures as a table;
// the script draws from that table, so both always say the same.
type chart struct {
	ID, Kind string // Kind: "class" or "disposition"
	Title    string // code
	Says     string // the chart in a sentence
	File     string // name of a saved picture, without ending
	ByClass  bool   // the columns are classes
	Columns  []chartColumn
	Rows     []chartRow
	List     *listing // for downloads; nil for none
	Head     string   // code of the first column's heading; "" for days
	Caption  string   // code of the figures' caption; "" for days
	Live     bool     // the figures are fetched again while the page is open
}

type chartColumn struct{ Key, Label string }

type chartRow struct {
	Day    store.Day
	At     moment // in the place of the day, where rows are shorter than one
	Values []uint64
}

// classColumns are the columns of a chart by class.
func classColumns() []chartColumn {
	var out []chartColumn
	for _, c := range advise.Classes {
		out = append(out, chartColumn{string(c), "web.class." + string(c)})
	}
	return out
}

// classChart draws who sent, day by day. Days without mail are shown as such.
func classChart(p *page, id, name string, w store.Window, days []advise.ClassDay) *chart {
	c := &chart{ID: id, Kind: "class", Title: "web.chart.classes", ByClass: true, Columns: classColumns(),
		File: fileName(name, w, "classes"), Rows: emptyRows(w, len(advise.Classes))}
	var total, spoof, broken uint64
	var worst advise.ClassDay
	for _, d := range days {
		if i := int(d.Day - w.Begin); i >= 0 && i < len(c.Rows) {
			c.Rows[i].Values = []uint64{d.Aligned, d.Broken, d.Forwarder, d.Unknown, d.Spoof}
		}
		total += d.Aligned + d.Broken + d.Forwarder + d.Unknown + d.Spoof
		spoof, broken = spoof+d.Spoof, broken+d.Broken
		if d.Spoof > worst.Spoof {
			worst = d
		}
	}
	c.Says = p.text("web.chart.classes.says", "total", total, "broken", broken, "spoof", spoof)
	if worst.Spoof > 0 {
		c.Says += p.text("web.chart.classes.worst", "day", dayOf(p.Lang, worst.Day), "n", worst.Spoof)
	}
	return c
}

// dispositionChart draws what receivers did, day by day.
func dispositionChart(p *page, id, name string, w store.Window, days []store.DayTotals) *chart {
	c := &chart{ID: id, Kind: "disposition", Title: "web.chart.dispositions",
		Columns: []chartColumn{{"delivered", "web.disposition.delivered"}, {"quarantine", "web.disposition.quarantine"}, {"reject", "web.disposition.reject"}},
		File:    fileName(name, w, "dispositions"), Rows: emptyRows(w, 3)}
	var total, quarantined, rejected uint64
	for _, d := range days {
		if i := int(d.Day - w.Begin); i >= 0 && i < len(c.Rows) {
			c.Rows[i].Values = []uint64{d.Messages - min(d.Messages, d.Quarantined+d.Rejected), d.Quarantined, d.Rejected}
		}
		total, quarantined, rejected = total+d.Messages, quarantined+d.Quarantined, rejected+d.Rejected
	}
	c.Says = p.text("web.chart.dispositions.says", "total", total, "quarantined", quarantined, "rejected", rejected)
	return c
}

// passChart draws one source's passing and failing mail, day by day.
func passChart(p *page, id, name string, w store.Window, class advise.Class, days []store.DayTotals) *chart {
	c := &chart{ID: id, Kind: "pass", Title: "web.chart.source", File: fileName(name, w, "source"), ByClass: true, Rows: emptyRows(w, 2)}
	failing := string(class)
	if class == advise.Aligned {
		failing = string(advise.Broken)
	}
	c.Columns = []chartColumn{{"aligned", "web.chart.passing"}, {failing, "web.chart.failing"}}
	var total, aligned uint64
	seen := 0
	for _, d := range days {
		if i := int(d.Day - w.Begin); i >= 0 && i < len(c.Rows) {
			c.Rows[i].Values = []uint64{d.Aligned, d.Messages - min(d.Messages, d.Aligned)}
		}
		total, aligned = total+d.Messages, aligned+d.Aligned
		if d.Messages > 0 {
			seen++
		}
	}
	c.Says = p.text("web.chart.source.says", "total", total, "failing", total-min(total, aligned), "seen", seen, "days", w.Days())
	return c
}

func emptyRows(w store.Window, columns int) []chartRow {
	rows := make([]chartRow, max(0, w.Days()))
	for i := range rows {
		rows[i] = chartRow{Day: w.Begin + store.Day(i), Values: make([]uint64, columns)}
	}
	return rows
}

// fileName is what a saved chart is called.
func fileName(name string, w store.Window, what string) string {
	return fmt.Sprintf("%s-%s-%s-%s", name, what, w.Begin, w.End-1)
}

// sparkline is a small chart of one line of a table: all mail, and on top of
// it what failed, one bar a day. It is drawn on the server.
type sparkline struct{ All, Fail, Label string }

func sparkOf(p *page, w store.Window, days []advise.ClassDay) sparkline {
	const width, height = 128.0, 29.0
	n := max(1, w.Days())
	pass, fail := make([]uint64, n), make([]uint64, n)
	var most uint64
	for _, d := range days {
		if i := int(d.Day - w.Begin); i >= 0 && i < n {
			pass[i], fail[i] = d.Aligned, d.Broken+d.Forwarder+d.Unknown+d.Spoof
			most = max(most, pass[i]+fail[i])
		}
	}
	var s sparkline
	if most > 0 {
		var a, f strings.Builder
		step := width / float64(n)
		bar := step
		if step >= 3 {
			bar = step - 1
		}
		for i := range n {
			x := float64(i) * step
			ha, hf := height*float64(pass[i])/float64(most), height*float64(fail[i])/float64(most)
			if ha > 0 {
				fmt.Fprintf(&a, "M%.1f %.1fh%.1fv%.1fh-%.1fz", x, height-ha, bar, ha, bar)
			}
			if hf > 0 {
				fmt.Fprintf(&f, "M%.1f %.1fh%.1fv%.1fh-%.1fz", x, height-ha-hf, bar, hf, bar)
			}
		}
		s.All, s.Fail = a.String(), f.String()
	}
	half := n / 2
	var early, late uint64
	for i := range n {
		if i < half {
			early += pass[i] + fail[i]
		} else if i >= n-half {
			late += pass[i] + fail[i]
		}
	}
	code := "web.trend.steady"
	switch {
	case most == 0:
		code = "web.trend.none"
	case float64(late) > 1.2*float64(early):
		code = "web.trend.up"
	case float64(late) < 0.8*float64(early):
		code = "web.trend.down"
	}
	s.Label = p.text("web.trend.label", "most", most, "trend", p.text(code))
	return s
}

// gauge is a bar of a share or of a limit; Width is of 100.
type gauge struct {
	Kind  string // a class for its colour
	Width int
}

func shareGauge(part, whole uint64) gauge {
	if whole == 0 {
		return gauge{}
	}
	return gauge{Width: int(float64(part)/float64(whole)*100 + 0.5)}
}
