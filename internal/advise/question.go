package advise

import (
	"cmp"

	"sekimori/explain"
	"sekimori/internal/sources"
)

// sureEnough is the probability from which on nobody is asked.
const sureEnough = 0.9

// question is what a person would have to say to settle a source: nil where
// the evidence does, where a person has spoken, or where nothing fails. It asks
// for what people know and evidence does not tell: who uses a service, whose a
// server is, whether there was a mailing on a day.
func (g *group) question(p float64) *explain.Step {
	if g.path == byWord || g.window.failing == 0 || g.rest {
		return nil
	}
	if g.class != Unknown && p >= sureEnough {
		return nil
	}
	from := g.headerFrom.top()
	args := explain.Args{"author": from, "messages": int64(g.window.messages)}
	ask := func(code string) *explain.Step { return &explain.Step{Code: code, Args: args} }
	foreign := g.foreign.top()
	many := len(g.hosts) > 1 && g.ptrOrg == "" && foreign == ""
	names := g.ptrs(3)
	switch {
	case many || g.name == NameScattered || g.name == NameNetworks || g.name == NameThrowaway:
		args["addresses"] = int64(len(g.hosts))
		return ask("ask.addresses")
	case g.class == Forwarder, g.class != Spoof && (g.ourSigFails*2 >= g.failing() && g.ourSigFails > 0 || g.dkimAligned > 0) && (g.ptrOrg != "" || foreign != ""):
		args["domain"] = cmp.Or(g.ptrOrg, foreign, g.name)
		return ask("ask.forwards")
	case g.own:
		args["names"] = names
		return ask("ask.own-server")
	case foreign != "" && g.pattern.known && g.pattern.burst && g.pattern.period == 0:
		args["domain"], args["day"] = foreign, g.pattern.from.String()
		return ask("ask.mailing")
	case foreign != "":
		args["domain"] = foreign
		return ask("ask.service")
	case g.ptrOrg != "":
		args["names"] = names
		return ask("ask.server")
	case !g.mainAuthor && from != "" && g.kinds.consumer == 0:
		args["address"] = g.hosts[0].addr.String()
		return ask("ask.author")
	case g.most(sources.Numbered):
		args["names"] = names
		return ask("ask.server")
	}
	args["address"] = g.hosts[0].addr.String()
	return ask("ask.address")
}
