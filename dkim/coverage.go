package dkim

import (
	"time"

	"sekimori/explain"
)

// skew is how far ahead a signer's clock may be before it is worth a word.
const skew = 5 * time.Minute

// watched are the fields that readers see or programs act on: one of them that
// is there and not signed may come from anybody (RFC 6376 §8.15).
var watched = [...]string{"From", "Subject", "Date", "To", "Cc", "Reply-To", "Content-Type", "Content-Transfer-Encoding"}

// coverage says which fields of weight the signature leaves uncovered, after
// the header was selected.
func (n *Verification) coverage(c *candidate, r *Result) {
	var left []string
	for _, name := range watched {
		if n.fields.Left(name) {
			left = append(left, name)
		}
	}
	if left != nil {
		r.say("dkim.fields-uncovered", "RFC 6376 §8.15", explain.Args{"fields": left})
	}
}
