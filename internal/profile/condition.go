package profile

import (
	"errors"
	"fmt"
	"slices"

	"sekimori/internal/posture"
)

// Condition is a statement over facts: exactly one of All, Any, Not and Fact
// is set. It follows three-valued logic: what rests on something that is not
// known is unknown, unless the rest decides.
type Condition struct {
	All []Condition `json:"all,omitempty"`
	Any []Condition `json:"any,omitempty"`
	Not *Condition  `json:"not,omitempty"`
	// Fact holds as it is, or is in the state Is, or is not known to be in the
	// state Isnt; the last is never unknown.
	Fact posture.Fact  `json:"fact,omitempty"`
	Is   posture.State `json:"is,omitempty"`
	Isnt posture.State `json:"isnt,omitempty"`
}

// Facts answers what is known of a domain; (*posture.Posture).Fact is one.
type Facts func(posture.Fact) posture.State

func (c *Condition) state(of Facts) posture.State {
	switch {
	case len(c.All) > 0:
		states := make([]posture.State, len(c.All))
		for i := range c.All {
			states[i] = c.All[i].state(of)
		}
		return posture.And(states...)
	case len(c.Any) > 0:
		states := make([]posture.State, len(c.Any))
		for i := range c.Any {
			states[i] = c.Any[i].state(of)
		}
		return posture.Or(states...)
	case c.Not != nil:
		return posture.Not(c.Not.state(of))
	}
	s := of(c.Fact)
	switch {
	case c.Isnt != "" && s == c.Isnt:
		return posture.No
	case c.Isnt != "":
		return posture.Yes
	case c.Is == posture.No:
		return posture.Not(s)
	}
	return s
}

// check finds what is wrong with a condition.
func (c *Condition) check() error {
	kinds := 0
	for _, set := range []bool{len(c.All) > 0, len(c.Any) > 0, c.Not != nil, c.Fact != ""} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return errors.New("want exactly one of all, any, not and fact")
	case c.Fact == "" && (c.Is != "" || c.Isnt != ""), c.Is != "" && c.Isnt != "":
		return errors.New("is and isnt belong to a fact, one of them")
	case c.Fact != "" && !slices.Contains(posture.Facts[:], c.Fact):
		return fmt.Errorf("no fact is called %q", c.Fact)
	}
	for _, s := range []posture.State{c.Is, c.Isnt} {
		if s != "" && s != posture.Yes && s != posture.No {
			return fmt.Errorf("state %q: want yes or no", s)
		}
	}
	parts := slices.Concat(c.All, c.Any)
	if c.Not != nil {
		parts = append(parts, *c.Not)
	}
	for i := range parts {
		if err := parts[i].check(); err != nil {
			return err
		}
	}
	return nil
}
