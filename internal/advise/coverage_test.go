package advise

import (
	"testing"

	"sekimori/internal/sources"
)

// TestCoverage: the share is of what our own mail server sent, where that is
// known; more than all of it is all.
func TestCoverage(t *testing.T) {
	seen := map[string]*receiverCount{"large.example": {legitimate: 300}, "small.example": {legitimate: 100}, "none.example": {}}
	for name, c := range map[string]struct {
		sent sources.Sent
		want Coverage
		said string
	}{
		"not known": {sources.Sent{}, Coverage{Reporters: 2, Largest: 0.75}, "ladder.coverage-unknown"},
		"a part":    {sources.Sent{Copies: 200, Reported: 50, Since: 9}, Coverage{Reporters: 2, Largest: 0.75, Sent: 200, Seen: 50, Since: 9, Share: 0.25}, "ladder.coverage"},
		"a list":    {sources.Sent{Copies: 200, Reported: 350, Since: 9}, Coverage{Reporters: 2, Largest: 0.75, Sent: 200, Seen: 200, Since: 9, Share: 1}, "ladder.coverage"},
		"nothing":   {sources.Sent{Copies: 200, Since: 9}, Coverage{Reporters: 2, Largest: 0.75, Sent: 200, Since: 9}, "ladder.coverage"},
	} {
		n := &analysis{sent: c.sent, counts: counts{receivers: seen}}
		if got := n.coverage(); got != c.want || len(n.said) != 2 || n.said[0].Code != c.said {
			t.Errorf("%s: %+v, %v", name, got, n.said)
		}
	}
}
