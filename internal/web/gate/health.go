package gate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// State is how a part does.
type State string

const (
	Good     State = "good"
	Degraded State = "degraded" // mail flows; something else suffers
	Down     State = "down"     // no mail is treated
)

// Part is how one part of the gateway does.
type Part struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"`
}

// ReadyFunc says how the parts do. It answers requests by itself: 200 where
// all are good, else 503, as text, or as JSON for who accepts that.
type ReadyFunc func(context.Context) []Part

// readyPatience is how long the parts may take.
const readyPatience = 5 * time.Second

func (f ReadyFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var parts []Part
	if f != nil {
		ctx, cancel := context.WithTimeout(r.Context(), readyPatience)
		defer cancel()
		parts = f(ctx)
	}
	state := Good
	for _, p := range parts {
		if p.State == Down || p.State == Degraded && state == Good {
			state = p.State
		}
	}
	status := http.StatusOK
	if state != Good {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Cache-Control", "no-store")
	if strings.Contains(r.Header.Get("Accept"), "json") || r.URL.Query().Get("format") == "json" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(struct {
			State State  `json:"state"`
			Parts []Part `json:"parts"`
		}{state, parts})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintln(w, state)
	for _, p := range parts {
		line := p.Name + ": " + string(p.State)
		if p.Reason != "" {
			line += ": " + p.Reason
		}
		fmt.Fprintln(w, line)
	}
}

// alive answers that the process does: nothing else is asked.
func alive(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	io.WriteString(w, "ok\n")
}
