package publish

import (
	"time"

	"sekimori/internal/store"
	"sekimori/internal/survey"
)

// Share is a metric in summary.json.
type Share struct {
	Yes     int64    `json:"yes"`
	No      int64    `json:"no"`
	Unknown int64    `json:"unknown"`
	Share   *float64 `json:"share"`
	Low95   *float64 `json:"low95"`
	High95  *float64 `json:"high95"`
}

// ShareOf is the JSON form of a share: null where nothing is known.
func ShareOf(s survey.Share) Share {
	out := Share{Yes: s.Yes, No: s.No, Unknown: s.Unknown}
	if v, ok := s.Value(); ok {
		low, high, _ := s.Interval()
		out.Share, out.Low95, out.High95 = &v, &low, &high
	}
	return out
}

type combination struct {
	SMIME string  `json:"smime"`
	SPF   string  `json:"spf"`
	DKIM  string  `json:"dkim"`
	DMARC string  `json:"dmarc"`
	Count int64   `json:"count"`
	Share float64 `json:"share"`
}

// numbers writes everything of summary.json that comes before its list of
// problems.
func (e *emitter) numbers(s *survey.Summary) {
	w := s.Wave
	e.member("name", w.Name)
	e.member("list", w.List)
	e.member("started", moment(w.Started))
	e.member("finished", moment(w.Finished))
	e.member("domains", w.Domains)
	e.member("measured", s.Measured())
	e.member("unanswered", w.Unanswered)
	e.member("questions", w.Questions)
	e.member("entries", w.Entries)
	e.member("duplicates", w.Duplicates)
	e.member("without_domain", w.Without)
	e.member("invalid", w.Invalid)
	e.member("messages", w.Messages)

	keys := tableKeys(s.Tables)
	e.object("by")
	for i, t := range s.Tables {
		e.object(keys[i])
		for _, r := range t.Rows {
			e.object(r.Value)
			for j, f := range w.Facts {
				e.member(f, ShareOf(r.Facts[j]))
			}
			e.end()
		}
		e.end()
	}
	e.end()
	e.object("sizes")
	for i, t := range s.Tables {
		e.object(keys[i])
		for _, r := range t.Rows {
			e.member(r.Value, r.Domains)
		}
		e.end()
	}
	e.end()
	e.bands(s.Tables, keys)
	e.untabulated(s)

	e.combinations("combinations", s.Mail.Then, s.Mail.Messages)
	e.combinations("combinations_now", s.Mail.Now, s.Mail.Messages)
	e.member("combinations_of", struct {
		Messages int64 `json:"messages"`
		Matched  bool  `json:"matched"`
	}{s.Mail.Messages, s.Mail.Matched && s.Mail.Messages > 0})
	e.changes(s.Change)
}

// bands says which numbers the values of banded attributes stand for.
func (e *emitter) bands(tables []survey.Table, keys []string) {
	type band struct {
		Value string   `json:"value"`
		Low   *float64 `json:"low"`  // included
		High  *float64 `json:"high"` // not included
	}
	e.object("bands")
	for i, t := range tables {
		if t.Kind != survey.Bands {
			continue
		}
		e.list(keys[i])
		for _, r := range t.Rows {
			if r.Band == nil {
				continue
			}
			b := band{Value: r.Value}
			if low, ok := r.Band.From(); ok {
				b.Low = &low
			}
			if high, ok := r.Band.To(); ok {
				b.High = &high
			}
			e.element(b)
		}
		e.end()
	}
	e.end()
}

// untabulated names the attributes without a table.
func (e *emitter) untabulated(s *survey.Summary) {
	type shape struct {
		Attribute string `json:"attribute"`
		Filled    int64  `json:"filled"`
		Distinct  int64  `json:"distinct"`
	}
	e.list("untabulated")
	for _, a := range s.Untabulated {
		e.element(shape{a.Name, a.Filled, a.Distinct})
	}
	e.end()
}

func (e *emitter) combinations(key string, list []store.Combination, total int64) {
	e.list(key)
	for _, c := range list {
		out := combination{SMIME: c.SMIME, SPF: c.SPF, DKIM: c.DKIM, DMARC: c.DMARC, Count: c.Count}
		if total > 0 {
			out.Share = float64(c.Count) / float64(total)
		}
		e.element(out)
	}
	e.end()
}

// changes writes what became of each fact since the wave compared with.
func (e *emitter) changes(c *survey.Comparison) {
	if c == nil {
		e.member("changes", nil)
		return
	}
	type moves struct {
		YesYes int64 `json:"yes_yes"`
		YesNo  int64 `json:"yes_no"`
		YesUnk int64 `json:"yes_unknown"`
		NoYes  int64 `json:"no_yes"`
		NoNo   int64 `json:"no_no"`
		NoUnk  int64 `json:"no_unknown"`
		UnkYes int64 `json:"unknown_yes"`
		UnkNo  int64 `json:"unknown_no"`
		UnkUnk int64 `json:"unknown_unknown"`
	}
	e.object("changes")
	e.member("against", c.Before.Name)
	e.member("started", moment(c.Before.Started))
	e.member("domains_in_both", c.Both)
	e.object("metrics")
	for _, f := range c.Facts {
		e.object(f.Fact)
		e.member("before", ShareOf(f.Before))
		e.member("after", ShareOf(f.After))
		m := f.Moves
		e.member("moves", moves{m[store.Yes][store.Yes], m[store.Yes][store.No], m[store.Yes][store.Unknown],
			m[store.No][store.Yes], m[store.No][store.No], m[store.No][store.Unknown],
			m[store.Unknown][store.Yes], m[store.Unknown][store.No], m[store.Unknown][store.Unknown]})
		e.end()
	}
	e.end()
	e.end()
}

// moment is a time in UTC, or null.
func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

// tableKeys are the attributes' names, each of them once: an attribute that is
// called as one before it, or as the table of the whole list, gets a number.
func tableKeys(tables []survey.Table) []string {
	out := make([]string, len(tables))
	seen := map[string]bool{}
	for i, t := range tables {
		out[i] = uniqueName(t.Attribute, seen)
	}
	return out
}
