package repair

import (
	"encoding/json"

	"sekimori/explain"
	"sekimori/internal/store"
)

// Said words one line of a case's history, as a code with its arguments. What
// a person wrote is in the event's Text, and not in the step; what the program
// wrote there is the step itself.
func Said(e store.CaseEvent) explain.Step {
	switch e.Kind {
	case "opened", "proof", "reopened", "mended":
		var s explain.Step
		if json.Unmarshal([]byte(e.Text), &s) == nil && s.Code != "" {
			return s
		}
		return explain.Step{Code: "repair.event-state", Args: explain.Args{"from": e.From, "to": e.To}}
	case "state":
		return explain.Step{Code: "repair.event-state", Args: explain.Args{"from": e.From, "to": e.To}}
	}
	args := explain.Args{"from": e.From, "to": e.To}
	either := func(set, gone string) explain.Step {
		if e.To == "" {
			return explain.Step{Code: gone, Args: explain.Args{"from": e.From}}
		}
		return explain.Step{Code: set, Args: explain.Args{"to": e.To}}
	}
	switch e.Kind {
	case "owner":
		return either("repair.event-owner", "repair.event-no-owner")
	case "department":
		return either("repair.event-department", "repair.event-no-department")
	case "due":
		return either("repair.event-due", "repair.event-no-due")
	case "fixed":
		return explain.Step{Code: "repair.event-fixed", Args: explain.Args{"to": e.To}}
	case "letter":
		return explain.Step{Code: "repair.event-letter", Args: explain.Args{"to": e.To}}
	case "reminder":
		if e.To == "" {
			return explain.Step{Code: "repair.event-reminder-nowhere", Args: explain.Args{"kind": e.From}}
		}
		return explain.Step{Code: "repair.event-reminder", Args: explain.Args{"kind": e.From, "to": e.To}}
	case "followed":
		return explain.Step{Code: "repair.event-followed", Args: args}
	}
	return explain.Step{Code: "repair.event-note"}
}

// Text returns what a person wrote with a line of a case's history.
func Text(e store.CaseEvent) string {
	switch e.Kind {
	case "opened", "proof", "reopened", "mended":
		return ""
	}
	return e.Text
}
