package advise

import (
	"math"
	"strings"

	"sekimori/explain"
	"sekimori/internal/sources"
)

// weighTime weighs the rhythm of a group.
func (s *scene) weighTime(g *group, w *weigh, bare, lone bool) {
	p := g.pattern
	if !p.known {
		if span := int(g.last-g.first) + 1; span <= 5 && g.first-s.begin >= 14 && !bare {
			w.add(-2, "why.short-burst", explain.Args{"days": int64(span), "from": g.first.String()})
		}
		return
	}
	business := s.officeHours(g, lone)
	s.weighRhythm(g, w, business, bare, lone)
	if lone {
		s.weighStanding(g, w, business)
	}
	if g.asked == 0 && !bare && (p.period >= 26 || p.span >= 14 && p.active >= 8 && (p.period > 0 || business >= 2.5)) {
		w.add(1, "why.same-identity", explain.Args{"domain": g.foreign.top(), "span": int64(p.span)})
	}
	if p.burst && p.period == 0 && !(bare && lone) {
		s.weighBurst(g, w, bare)
	}
}

// officeHours is how much a group keeps the days on which people work, less what
// its like keep of them: of many hosts that come and go, some do by chance.
func (s *scene) officeHours(g *group, lone bool) float64 {
	business, like := g.pattern.business, s.like(g)
	if !lone {
		return business
	}
	n := s.scattered[g.headerFrom.top()]
	switch {
	case like.business >= 3.3, n >= 10 && like.office >= 6:
		business = 0 // the whole swarm keeps these hours, or a part of it
	case n >= 10 && business < 3.3+math.Log(float64(n))/2 && like.quieter >= max(4, like.hosts/10):
		business = 0
	case n >= 10 && business < 3.3+math.Log(float64(n))/2:
		business = math.Min(business, 2.9) // among so many, one does by chance
	}
	return business
}

// weighRhythm weighs on which days a group sends.
func (s *scene) weighRhythm(g *group, w *weigh, business float64, bare, lone bool) {
	p, like := g.pattern, s.like(g)
	maybe := s.unsigned && s.mayForward(g)
	crowd := float64(max(1, s.scattered[g.headerFrom.top()])) // so many could keep a rhythm by chance
	switch {
	case lone && p.natural() && p.weekday*crowd < 1e-3 && like.weekly < 3:
		points := 4.0
		if p.weekday*crowd < 1e-6 {
			points = 6
		}
		w.add(points, "why.periodic", explain.Args{"days": int64(p.period), "times": int64(p.occasions)})
	case p.period >= 5 && p.occasions >= 3 && lone && (!p.natural() ||
		s.scattered[g.headerFrom.top()] >= 5 && (like.regular >= 6 || g.busiest() < 3*s.typical[g.headerFrom.top()])):
		// Among many hosts that come and go, some are regular by chance.
		w.add(0.5, "why.periodic", explain.Args{"days": int64(p.period), "times": int64(p.occasions)})
	case p.period >= 5 && p.occasions >= 3 && (p.natural() || p.occasions >= 12):
		points := 4.0
		switch {
		case g.crowded >= 4:
			points = 1 // its neighbours have it as well
		case lone && s.scattered[g.headerFrom.top()] >= 10:
			points = 2.5
		}
		w.add(points, "why.periodic", explain.Args{"days": int64(p.period), "times": int64(p.occasions)})
	case p.period >= 26 && !lone && p.equal:
		w.add(3.5, "why.twice", explain.Args{"days": int64(p.period)})
	case p.period >= 26 && !lone:
		w.add(2.5, "why.twice", explain.Args{"days": int64(p.period)})
	case business >= 3.3 && maybe:
		// Without signatures, mail of ours that others pass on keeps our hours.
		w.add(1, "why.business-days", explain.Args{"active": int64(p.active)})
	case business >= 7:
		w.add(7, "why.business-days", explain.Args{"active": int64(p.active)})
	case business >= 6:
		w.add(6, "why.business-days", explain.Args{"active": int64(p.active)})
	case business >= 4.5:
		w.add(4, "why.business-days", explain.Args{"active": int64(p.active)})
	case business >= 3.3 && lone && crowd < 3:
		// Nobody else does what it does: it is no part of anything larger.
		w.add(4, "why.business-days", explain.Args{"active": int64(p.active)})
	case business >= 3.3:
		w.add(3, "why.business-days", explain.Args{"active": int64(p.active)})
	case p.steady() && g.crowded < 4 && (!lone || s.scattered[g.headerFrom.top()] < 10 && like.steady < 4):
		points := 2.5
		if g.most(sources.Numbered) || g.most(sources.Consumer) && like.hosts >= 3 {
			points = 1 // a rented server is steady as long as the rent is paid
		}
		w.add(points, "why.steady", explain.Args{"active": int64(p.active), "span": int64(p.span)})
		if horizon := int(s.end - s.begin); horizon >= 45 && int(g.first-s.begin) <= 7 && int(s.end-g.last) <= 7 && p.active*10 >= p.span*6 {
			w.add(points*0.6, "why.all-along", explain.Args{"days": int64(horizon)})
		}
	case lone && p.constant() && !p.waves && like.constant < 3 && len(g.networks()) == 1:
		// The others around it come and go.
		w.add(2, "why.steady", explain.Args{"active": int64(p.active), "span": int64(p.span)})
	case business >= 2.3 && p.active >= 6 && p.span >= 10 && !bare:
		w.add(2, "why.business-days", explain.Args{"active": int64(p.active)})
	case business >= 2.3 && p.active >= 6 && lone && g.busiest() > 3*s.typical[g.headerFrom.top()]:
		w.add(2, "why.business-days", explain.Args{"active": int64(p.active)})
	case business >= 2.5 && p.active >= 8 && lone:
		w.add(1.5, "why.business-days", explain.Args{"active": int64(p.active)})
	case business >= 2.3 && p.active >= 6 && p.span >= 10 && !lone && !g.most(sources.Numbered):
		w.add(1.5, "why.business-days", explain.Args{"active": int64(p.active)})
	case p.occasions >= 3 && p.span >= 40 && !bare && !g.most(sources.Numbered) && (!p.waves || g.ptrOrg != "" && g.ptrOrg == g.foreign.top() && g.crowded < 3):
		w.add(1.5, "why.comes-back", explain.Args{"times": int64(p.occasions), "span": int64(p.span)})
	}
}

// weighStanding weighs how a group stands out from the others that use the same
// author domain without any authentication.
func (s *scene) weighStanding(g *group, w *weigh, business float64) {
	p, like := g.pattern, s.like(g)
	if business >= 4 && p.active >= 15 {
		g.notable = true
	}
	if e := g.envelope.top(); e != "" && e != g.headerFrom.top() && e != s.domain && s.envelopes[e] == len(g.hosts) && p.active >= 10 {
		g.notable = true
		w.add(2.5, "why.only-envelope", explain.Args{"domain": e})
	}
	if len(g.hosts) >= 3 && strings.HasPrefix(g.key, "bare:") && p.active >= 10 {
		w.add(1.5, "why.one-network", explain.Args{"addresses": int64(len(g.hosts))})
	}
	if top := g.headerFrom.top(); p.active >= 5 && s.scattered[top] >= 10 &&
		(g.busiest() > 5*s.typical[top] && s.large[top] < 5 || like.towers(g)) {
		points := 1.5
		if p.span >= 30 && p.active*2 >= p.span {
			points, g.notable = 3, true
		}
		w.add(points, "why.stands-out", explain.Args{"active": int64(p.active), "span": int64(p.span)})
	} else if p.span >= 30 && p.active*2 >= p.span && s.foremost(g) {
		g.notable = true
		w.add(1.5, "why.stands-out", explain.Args{"active": int64(p.active), "span": int64(p.span)})
	}
}

// weighBurst weighs that a group came in one short burst.
func (s *scene) weighBurst(g *group, w *weigh, bare bool) {
	p, horizon := g.pattern, int(s.end-s.begin)
	args := explain.Args{"days": int64(min(p.span, burstDays)), "from": p.from.String()}
	switch {
	case horizon >= 28 && p.isNew && g.ptrOrg != "" && g.ptrOrg == g.foreign.top():
		w.add(-2.5, "why.short-burst", args)
	case horizon >= 28 && p.isNew:
		w.add(-3, "why.short-burst", args)
	case horizon >= 28:
		w.add(-1.5, "why.short-burst", args)
	}
	if g.asked == 0 && !bare {
		// Without host names a yearly run and a rented server look alike.
		w.add(1, "why.name-not-known", nil)
	}
}

// foremost reports whether a group is among the few that send most of those
// without authentication, far more than a typical one.
func (s *scene) foremost(g *group) bool {
	top, most := g.headerFrom.top(), g.busiest()
	return s.scattered[top] >= 10 && most > 5*s.typical[top] && most > 2*s.fifth[top]
}

// busiest is the messages of the busiest host.
func (g *group) busiest() uint64 {
	var most uint64
	for _, h := range g.hosts {
		most = max(most, h.all.messages)
	}
	return most
}
