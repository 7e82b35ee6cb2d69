package aggregate

import (
	"errors"
	"fmt"
)

// Errors that a SyntaxError may wrap, for errors.Is.
var (
	// ErrEmpty: there is nothing in the input, or only white space.
	ErrEmpty = errors.New("empty input: no report in it")
	// ErrNotReport: the input is XML, and its root is not "feedback".
	ErrNotReport = errors.New("not a DMARC aggregate report")
	// ErrTruncated: the input ends in the middle of the report.
	ErrTruncated = errors.New("report cut off")
	// ErrLimit: one of Limits was exceeded.
	ErrLimit = errors.New("limit exceeded")
)

// SyntaxError is why the content of a report was refused, and where. Its text
// is for a person: "line 12, offset 345: …". Every refusal of content is one,
// except ErrEmpty; what the underlying reader fails with is passed on wrapped.
type SyntaxError struct {
	Line   int   // from 1
	Offset int64 // in bytes of the XML as UTF-8, from 0
	Msg    string
	Err    error // nil, or one of the errors above
}

// Error returns the place and the message.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, offset %d: %s", e.Line, e.Offset, e.Msg)
}

// Unwrap returns Err.
func (e *SyntaxError) Unwrap() error { return e.Err }
