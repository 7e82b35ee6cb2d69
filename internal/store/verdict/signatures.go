package verdict

import (
	"slices"
	"strings"

	"sekimori/domain"
	"sekimori/report/aggregate"
)

// maxResults is how many DKIM results a row has at most (RFC 9990 §3.1.3).
const maxResults = 100

// capped returns the DKIM results of a row, at most 100. Where there are more,
// those stay that say most (RFC 9990 §3.1.3): passes of the very domain in
// From, then passes of its organization, then other passes, then the rest; in
// each group those that stood first in the header. What stays is in the order
// of the header. The organization is found by the public suffix list here,
// which costs no query; where the tree walk of RFC 9989 sees it otherwise, the
// choice among more than 100 signatures differs, nothing else.
func capped(r *aggregate.Record) []aggregate.DKIMResult {
	if len(r.DKIMResults) <= maxResults {
		return r.DKIMResults
	}
	from, _ := domain.Parse(r.HeaderFrom)
	org := from.Organizational()
	var ranks [4][]int
	for i := range r.DKIMResults {
		x := &r.DKIMResults[i]
		rank := 3
		if x.Result == "pass" {
			rank = 2
			if d, err := domain.Parse(x.Domain); err == nil && !from.IsZero() {
				switch {
				case d == from:
					rank = 0
				case d.Organizational() == org:
					rank = 1
				}
			} else if strings.EqualFold(x.Domain, r.HeaderFrom) {
				rank = 0
			}
		}
		if len(ranks[rank]) < maxResults {
			ranks[rank] = append(ranks[rank], i)
		}
	}
	var stay []int
	for _, of := range ranks {
		stay = append(stay, of[:min(len(of), maxResults-len(stay))]...)
	}
	slices.Sort(stay)
	out := make([]aggregate.DKIMResult, len(stay))
	for i, at := range stay {
		out[i] = r.DKIMResults[at]
	}
	return out
}
