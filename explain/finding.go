package explain

// Grade says how much a finding matters.
type Grade string

const (
	Error   Grade = "error"   // it does not work, or works against its owner
	Warning Grade = "warning" // it works today, and may stop or be abused
	Advice  Grade = "advice"  // it would be better otherwise
)

// Finding is something found wrong, or to be improved, in what somebody
// publishes. Its sentence is that of Code; the sentence of Code + ".why" says
// why it matters. The zero Finding is invalid.
type Finding struct {
	Grade Grade `json:"grade"`
	Step
	// Part is the piece of the record that the finding is about, as published;
	// empty where it is about the whole.
	Part string `json:"part,omitempty"`
	// Publish is what to publish instead; nil where that cannot be said.
	Publish *Publish `json:"publish,omitempty"`
}

// Publish is one DNS record to publish.
type Publish struct {
	Name  string `json:"name"`  // absolute, without the final dot
	Type  string `json:"type"`  // "TXT", "MX"
	Value string `json:"value"` // as one string; zone files may have to split it
}
