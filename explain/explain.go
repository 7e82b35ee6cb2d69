// Package explain says why a verdict came out as it did, in codes and
// arguments rather than in words. The words, in Japanese and in English, live
// in internal/locale; a code is a stable name that both languages translate.
package explain

import "encoding/json"

// Args are the values that a code's sentence is filled with. A value is a
// string, a bool, an int64, a float64 (shares, 0 to 1) or a []string.
type Args map[string]any

// MarshalJSON writes no arguments as an empty object.
func (a Args) MarshalJSON() ([]byte, error) {
	if a == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(map[string]any(a))
}

// Step is one step of an explanation. Ref names the clause that the step
// applies, such as "RFC 9989 §4.10.1"; it is empty where no clause applies.
// The zero Step is invalid: a Step has a Code.
type Step struct {
	Code     string `json:"code"`
	Args     Args   `json:"args"`
	Ref      string `json:"ref,omitempty"`
	Children []Step `json:"children,omitempty"`
}
