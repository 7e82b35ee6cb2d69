package profile

import "sekimori/internal/posture"

// Finding is what became of an item. State says whether it holds, whether or
// not it applies.
type Finding struct {
	Item
	State posture.State `json:"state"`
	// NotApplicable: the item is not for a domain of this kind.
	NotApplicable bool `json:"not_applicable"`
	// NotMeasurable: it cannot be seen from outside.
	NotMeasurable bool `json:"not_measurable"`
}

// Report says how a domain stands against a profile.
type Report struct {
	Profile string `json:"profile"`
	// State is Yes where everything that the profile asks of such a domain and
	// that can be seen holds; Unknown where it asks for nothing.
	State posture.State `json:"state"`
	// NotApplicable: no item that must hold, and can be seen, is for a domain
	// of this kind.
	NotApplicable bool      `json:"not_applicable"`
	Items         []Finding `json:"items"`
}

// Judge measures a domain against a profile.
func Judge(p *Profile, of Facts) Report {
	r := Report{Profile: p.ID, NotApplicable: true, Items: make([]Finding, len(p.Items))}
	var owed []posture.State
	for i := range p.Items {
		it := &p.Items[i]
		f := Finding{Item: *it, State: posture.Unknown, NotMeasurable: it.When == nil}
		applies := it.Applies.holds(of)
		f.NotApplicable = applies == posture.No
		if it.When != nil {
			f.State = it.When.state(of)
		}
		if it.Level == Must && it.When != nil && !f.NotApplicable {
			r.NotApplicable = false
			// Where it is not known whether the item is for the domain, one that
			// holds does no harm, and one that does not decides nothing.
			owed = append(owed, posture.Or(f.State, posture.Not(applies)))
		}
		r.Items[i] = f
	}
	if r.State = posture.And(owed...); r.NotApplicable {
		r.State = posture.Unknown
	}
	return r
}

// State is Judge's State alone.
func (p *Profile) State(of Facts) posture.State {
	out, owed := posture.Yes, false
	for i := range p.Items {
		it := &p.Items[i]
		if it.Level != Must || it.When == nil {
			continue
		}
		applies := it.Applies.holds(of)
		if applies == posture.No {
			continue
		}
		owed = true
		out = posture.And(out, posture.Or(it.When.state(of), posture.Not(applies)))
	}
	if !owed {
		return posture.Unknown
	}
	return out
}

// holds tells whether a domain is of the audience.
func (a Audience) holds(of Facts) posture.State {
	switch a {
	case Senders:
		return of(posture.FactSendsMail)
	case Silent:
		return posture.Not(of(posture.FactSendsMail))
	case Receivers:
		return posture.And(of(posture.FactMX), posture.Not(of(posture.FactNullMX)))
	}
	return posture.Yes
}
