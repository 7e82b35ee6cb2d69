package survey

import "sekimori/internal/check"

// smimeWord is the result of S/MIME in one word; none where the message bears
// no such signature.
func smimeWord(v *check.Verdict) string { return "none" }
