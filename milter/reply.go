package milter

import (
	"strconv"
	"strings"
)

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

func (v Verdict) String() string {
	switch v {
	case 0, Continue:
		return "continue"
	case Accept:
		return "accept"
	case Reject:
		return "reject"
	case TempFail:
		return "tempfail"
	case Discard:
		return "discard"
	case Skip:
		return "skip"
	case Custom:
		return "reply"
	}
	return strconv.QuoteRune(rune(v))
}

// Response is the answer to an event. The zero value says Continue.
type Response struct {
	Do Verdict // may be left out where Code is set: Custom

	// Of a Custom response: a code from 400 to 599; an enhanced code of the
	// same class, such as "5.7.26" ("": 4.7.1 or 5.7.1, as Postfix takes no
	// reply without); and the lines, printable ASCII, at most 32 of 900 octets.
	Code     int
	Enhanced string
	Text     []string
}

const (
	maxReplyLines = 32  // MAXREPLIES of libmilter
	maxReplyLine  = 900 // MAXREPLYLEN is 980, with the codes
)

// Reply answers the event at hand, with all that was asked of the message
// before. An error of the connection means that the MTA has not, or not
// wholly, been told. Another one means that nothing was sent and the event
// still waits: the response is of no form (see Response), or the event does
// not take it.
func (s *Session) Reply(r Response) error {
	if s.err != nil {
		return s.err
	}
	if r.Do == 0 {
		r.Do = Continue
		if r.Code != 0 {
			r.Do = Custom
		}
	}
	if s.ending && s.now == Body && !s.silent(Body) {
		// The last piece came with the end: its answer is the message's.
		if r.Do == Continue || r.Do == Skip {
			return nil
		}
		if err := r.fits(EndOfMessage, s.terms.steps); err != nil {
			return err
		}
		if _, _, err := s.endOfMessage(); err != nil {
			return s.fail(err)
		}
		s.ending = false
	}
	if s.now == 0 || !s.due {
		if r.Do == Continue && s.now != 0 {
			return nil
		}
		if s.now != 0 && s.silent(s.now) {
			return ErrNoReply
		}
		return ErrAnswered
	}
	if err := r.fits(s.now, s.terms.steps); err != nil {
		return err
	}
	b, at := begin(s.buffer(), byte(r.Do))
	if r.Do == Custom {
		var err error
		if b, err = r.append(b); err != nil {
			s.out = b[:at]
			return err
		}
	}
	s.out = end(b, at)
	s.due = false
	if s.now == EndOfMessage || s.at != 0 && r.ends(s.now) {
		s.over()
	}
	s.skipped = s.skipped || r.Do == Skip
	if err := s.flush(); err != nil {
		return s.fail(err)
	}
	return nil
}

// fits reports whether a verdict is known at an event.
func (r Response) fits(at Kind, steps Step) error {
	switch r.Do {
	case Continue, Accept, Reject, TempFail, Custom:
	case Discard:
		// Postfix gives up a filter that discards a connection.
		if at == Connect || at == Helo || at == Unknown {
			return malformed("milter: discard is no answer to %s: there is no message", at)
		}
	case Skip:
		if at != Body {
			return malformed("milter: skip is no answer to %s: it ends the body", at)
		}
		if steps&CanSkip == 0 {
			return ErrNotOffered
		}
	default:
		return malformed("milter: %s is no verdict", r.Do)
	}
	return nil
}

// ends reports whether a verdict ends the message before its end. At Rcpt a
// refusal is of that recipient.
func (r Response) ends(at Kind) bool {
	switch r.Do {
	case Continue, Skip:
		return false
	case Reject, TempFail, Custom:
		return at != Rcpt && at != Unknown
	}
	return at != Unknown
}

// append appends the SMTP reply as SMFIR_REPLYCODE has it. The MTA takes it
// as a format, so that "%" is doubled (smfi_setreply).
func (r Response) append(b []byte) ([]byte, error) {
	if r.Code < 400 || r.Code > 599 {
		return b, malformed("milter: reply code %d: want 400 to 599", r.Code)
	}
	enhanced := r.Enhanced
	if enhanced == "" {
		enhanced = strconv.Itoa(r.Code/100) + ".7.1"
	}
	if !enhancedCode(enhanced, byte('0'+r.Code/100)) {
		return b, malformed("milter: enhanced code %q: want %d, a dot, a number, a dot and a number, as the reply is a %d (RFC 3463 §2)", enhanced, r.Code/100, r.Code)
	}
	lines := r.Text
	if len(lines) == 0 {
		lines = []string{"Command rejected"}
	}
	if len(lines) > maxReplyLines {
		return b, malformed("milter: reply of %d lines: at most %d are taken", len(lines), maxReplyLines)
	}
	for i, line := range lines {
		if len(line) > maxReplyLine {
			return b, malformed("milter: line %d of a reply has %d octets: at most %d are taken", i+1, len(line), maxReplyLine)
		}
		between := byte('-')
		if i == len(lines)-1 {
			between = ' '
		}
		b = strconv.AppendInt(b, int64(r.Code), 10)
		b = append(b, between)
		b = append(b, enhanced...)
		b = append(b, ' ')
		for j := range len(line) {
			c := line[j]
			if c < ' ' || c > '~' {
				return b, malformed("milter: line %d of a reply has the octet %#02x at %d: printable ASCII alone is taken (RFC 5321 §4.2)", i+1, c, j)
			}
			if c == '%' {
				b = append(b, '%')
			}
			b = append(b, c)
		}
		if between == '-' {
			b = append(b, '\r', '\n')
		}
	}
	return append(b, 0), nil
}

// enhancedCode checks class.subject.detail (RFC 3463 §2).
func enhancedCode(s string, class byte) bool {
	first, rest, ok := strings.Cut(s, ".")
	subject, detail, ok2 := strings.Cut(rest, ".")
	return ok && ok2 && len(first) == 1 && first[0] == class && shortNumber(subject) && shortNumber(detail)
}

func shortNumber(s string) bool {
	if s == "" || len(s) > 3 || s[0] == '0' && len(s) > 1 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
