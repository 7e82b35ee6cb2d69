package dkim

import (
	"strconv"

	"sekimori/explain"
)

func step(code, ref string, args explain.Args) explain.Step {
	return explain.Step{Code: code, Ref: ref, Args: args}
}

// length is the error of a key that is too short or too long.
func length(code string, bits, bound int) *Error {
	return &Error{
		Step: step(code, "RFC 8301 §3.2", explain.Args{"bits": int64(bits), "bound": int64(bound)}),
		text: phrase(code) + ": " + strconv.Itoa(bits) + " bits, the bound is " + strconv.Itoa(bound),
	}
}
