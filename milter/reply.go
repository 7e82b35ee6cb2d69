package milter

// Verdict is an answer to an event.
type Verdict byte

// The verdicts. Continue is the zero value's meaning, too.
const (
	Continue Verdict = 'c' // SMFIR_CONTINUE: go on
	Accept   Verdict = 'a' // SMFIR_ACCEPT: take the message (at Connect and Helo: all of them) without asking this filter further
	Reject   Verdict = 'r' // SMFIR_REJECT: refuse for good, in the MTA's words
	TempFail Verdict = 't' // SMFIR_TEMPFAIL: refuse for now, in the MTA's words
	Discard  Verdict = 'd' // SMFIR_DISCARD: say yes, and throw the message away
	Skip     Verdict = 's' // SMFIR_SKIP: at Body only: send no more of the body
	Custom   Verdict = 'y' // SMFIR_REPLYCODE: refuse in the words of the Response
)

// Response is the answer to an event. The zero value says Continue.
type Response struct {
	Do Verdict // implied Custom where Code is set

	// Of a Custom response: a code from 400 to 599, an enhanced code of the
	// same class, such as "5.7.26", or none, and one or more lines.
	Code     int
	Enhanced string
	Text     []string
}
