package survey

import (
	"sekimori/internal/check"
	"sekimori/smime"
)

// smimeWord is the result of S/MIME in one word; none where the message bears
// no signature that can be seen.
func smimeWord(v *check.Verdict) string {
	if v.SMIME == nil {
		return string(smime.None)
	}
	return string(v.SMIME.Status)
}
