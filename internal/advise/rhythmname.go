package advise

// rhythm names a pattern for people.
func (p pattern) rhythm() Rhythm {
	r := Rhythm{Active: p.active}
	if !p.known || p.active == 0 {
		return r
	}
	switch {
	case p.period >= 6 && p.period <= 8:
		r.Pattern = "weekly"
	case p.period >= 26 && p.period <= 36:
		r.Pattern = "monthly"
	case p.period >= 80 && p.period <= 100:
		r.Pattern = "quarterly"
	case p.period >= 350 && p.period <= 380:
		r.Pattern = "yearly"
	case p.burst:
		r.Pattern = "burst"
	case p.business >= 3.3, p.business >= 2.5 && p.active >= 8:
		r.Pattern = "business-days"
	case p.span >= 14 && p.active*10 >= p.span*7:
		r.Pattern, r.Days = "daily", 1
	default:
		r.Pattern = "irregular"
	}
	if p.period >= 5 {
		r.Days = p.period
	}
	return r
}
