package profile

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"sekimori/internal/posture"
)

// Level says how much an item weighs.
type Level string

const (
	Must     Level = "must"     // the profile holds only where it does
	Should   Level = "should"   // is recommended
	Consider Level = "consider" // is to be thought about
)

// Audience is the kind of domain that an item is for.
type Audience string

const (
	Everybody Audience = "all"
	Senders   Audience = "sends"    // domains that send mail
	Silent    Audience = "silent"   // domains that send none
	Receivers Audience = "receives" // domains that accept mail
)

// Item is one thing that a profile asks for. ID is unique within the profile
// and does not change.
type Item struct {
	ID      string   `json:"id"`
	Level   Level    `json:"level"`
	Applies Audience `json:"applies"`
	// When is what has to hold; nil for what cannot be seen in the DNS.
	When *Condition `json:"when,omitempty"`
	// Messages: received messages show it instead.
	Messages bool   `json:"messages,omitempty"`
	Ref      string `json:"ref"`             // the clause
	Since    string `json:"since,omitempty"` // the day from which it is asked for, YYYY-MM-DD
}

// Profile is a list of requirements. Its ID and Metric do not change.
type Profile struct {
	ID     string `json:"id"`            // "jp-gov"
	Metric string `json:"metric"`        // its name in published tables, "profile_jp_gov"
	URL    string `json:"url,omitempty"` // of the source; empty where its address is not certain
	Items  []Item `json:"items"`
}

//go:embed *.json
var files embed.FS

// order is that of the tables.
var order = [...]string{"jp-gov", "google", "yahoo", "microsoft"}

// load reads the embedded files once. They are part of the program: a fault in
// them is found by the tests, and stops the program at its first use.
var load = sync.OnceValue(func() []Profile {
	out := make([]Profile, len(order))
	for i, id := range order {
		raw, err := files.ReadFile(id + ".json")
		if err == nil {
			err = decode(raw, &out[i])
		}
		if err != nil {
			panic(fmt.Sprintf("profile %s: %v", id, err))
		}
	}
	return out
})

func decode(raw []byte, p *Profile) error {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	return d.Decode(p)
}

// All returns the profiles in the order of the tables. The result is shared:
// it must not be changed.
func All() []Profile { return load() }

// Metrics returns the profiles' names in published tables, in the order of All.
func Metrics() []string {
	out := make([]string, len(order))
	for i, p := range load() {
		out[i] = p.Metric
	}
	return out
}

// States tells of each profile, by its metric, whether a domain holds it;
// Unknown too where the profile has nothing to ask of such a domain, so that
// it is in no denominator. It takes some two microseconds.
func States(p *posture.Posture) map[string]posture.State {
	out := make(map[string]posture.State, len(order))
	for i := range load() {
		pr := &load()[i]
		out[pr.Metric] = pr.State(p.Fact)
	}
	return out
}
