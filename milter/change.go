package milter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// flushAt is how much may wait to be written along with the answer.
const flushAt = MaxChunk

// change begins a change of the message at hand.
func (s *Session) change(a Action) error {
	switch {
	case s.err != nil:
		return s.err
	case s.now != EndOfMessage:
		return ErrTooEarly
	case !s.due:
		return ErrAnswered
	case !s.Has(a):
		return ErrNotOffered
	}
	return nil
}

// ask adds a frame to what goes out with the answer.
func (s *Session) ask(frame func(b []byte) []byte) error {
	b := s.buffer()
	before := len(b)
	b = frame(b)
	s.out = b
	if n := len(b) - before - lead; n > MaxChunk {
		s.out = b[:before]
		return malformed("milter: a change of %d octets: an MTA takes at most %d", n, MaxChunk)
	}
	if len(s.out) >= flushAt {
		if err := s.flush(); err != nil {
			return s.fail(err)
		}
	}
	return nil
}

// InsertHeader puts a field before the one at index (SMFIR_INSHEADER). 0 is
// the top of the message as delivered: Postfix and Sendmail put the field
// above the Received field of their own there, which the filter does not see;
// 1 is below it. Behind the last field an index means the end.
//
// The value is what stands behind "NAME:"; a space is put before it where
// there is none. Folds are LF or CRLF with a space or a tab behind them; NUL
// and a bare CR are errors, so that nobody slips in a field.
func (s *Session) InsertHeader(index int, name, value string) error {
	if err := s.change(ActAddHeader); err != nil {
		return err
	}
	if index < 0 || index > 1<<30 {
		return malformed("milter: index %d of a header field: want 0 or more", index)
	}
	return s.field(repInsertHeader, index, name, value)
}

// AddHeader puts a field at the end of the header (SMFIR_ADDHEADER). Values
// are as in InsertHeader.
func (s *Session) AddHeader(name, value string) error {
	if err := s.change(ActAddHeader); err != nil {
		return err
	}
	return s.field(repAddHeader, -1, name, value)
}

// ChangeHeader gives the index-th field of that name, from 1, another value
// (SMFIR_CHGHEADER). Values are as in InsertHeader; "" deletes the field. Where
// there are fewer fields of that name one is added at the end.
//
// Postfix no longer counts a field that was deleted, Sendmail does: delete from
// the last to the first, and insert fields of the same name afterwards.
func (s *Session) ChangeHeader(index int, name, value string) error {
	if err := s.change(ActChangeHeader); err != nil {
		return err
	}
	if index < 1 || index > 1<<30 {
		return malformed("milter: index %d of a header field: want 1 or more", index)
	}
	return s.field(repChangeHeader, index, name, value)
}

// DeleteHeader removes the index-th field of that name, from 1. See
// ChangeHeader for the order of several.
func (s *Session) DeleteHeader(index int, name string) error {
	return s.ChangeHeader(index, name, "")
}

func (s *Session) field(code byte, index int, name, value string) error {
	if err := fieldName(name); err != nil {
		return err
	}
	value, err := fieldValue(value)
	if err != nil {
		return malformed("milter: value of %s: %v", name, err)
	}
	return s.ask(func(b []byte) []byte {
		b, at := begin(b, code)
		if index >= 0 {
			b = binary.BigEndian.AppendUint32(b, uint32(index))
		}
		b = cstring(b, name)
		if value != "" {
			blank := value[0] == ' ' || value[0] == '\t' || value[0] == '\n'
			if s.LeadingSpace() && !blank {
				b = append(b, ' ')
			} else if !s.LeadingSpace() && value[0] == ' ' {
				value = value[1:] // the MTA puts one
			}
		} else if code != repChangeHeader && s.LeadingSpace() {
			b = append(b, ' ')
		}
		return end(cstring(b, value), at)
	})
}

// fieldName takes the characters of RFC 5322 §2.2.
func fieldName(s string) error {
	if s == "" || len(s) > 998 {
		return malformed("milter: name of a header field of %d octets: want 1 to 998", len(s))
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == ':' {
			return malformed("milter: name of a header field has the octet %#02x at %d", c, i)
		}
	}
	return nil
}

// fieldValue makes LF of the folds' CRLF.
func fieldValue(s string) (string, error) {
	if strings.Contains(s, "\r\n") {
		s = strings.ReplaceAll(s, "\r\n", "\n")
	}
	for i := range len(s) {
		switch s[i] {
		case 0:
			return "", fmt.Errorf("NUL at %d", i)
		case '\r':
			return "", fmt.Errorf("bare CR at %d", i)
		case '\n':
			if i+1 == len(s) || s[i+1] != ' ' && s[i+1] != '\t' {
				return "", fmt.Errorf("line break at %d without a space or tab behind it", i)
			}
		}
	}
	return s, nil
}

// ReplaceBody gives the message another body, read to its end (SMFIR_REPLBODY).
// Lines end in CRLF. It may be called again to add to that body. An empty
// reader leaves an empty body.
func (s *Session) ReplaceBody(r io.Reader) error {
	if err := s.change(ActChangeBody); err != nil {
		return err
	}
	lent := s.srv.chunks.get()
	defer s.srv.chunks.put(lent)
	for first := true; ; first = false {
		n, err := io.ReadFull(r, lent[:MaxChunk])
		if n > 0 || first {
			if err := s.ask(func(b []byte) []byte { return AppendFrame(b, repReplaceBody, lent[:n]) }); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return fmt.Errorf("milter: reading the new body: %w", err)
		}
	}
}

// Quarantine lets the MTA hold the message (SMFIR_QUARANTINE), to be looked at
// by its administrator. The reason is one line of text; Postfix ignores it.
func (s *Session) Quarantine(reason string) error {
	if err := s.change(ActQuarantine); err != nil {
		return err
	}
	if reason == "" || strings.ContainsAny(reason, "\x00\r\n") {
		return malformed("milter: reason of a quarantine %q: want one line of text", reason)
	}
	return s.ask(func(b []byte) []byte { return AppendFrame(b, repQuarantine, reason, "\x00") })
}

// AddRcpt adds a recipient (SMFIR_ADDRCPT), with parameters of ESMTP if there
// are any (SMFIR_ADDRCPT_PAR).
func (s *Session) AddRcpt(address string, params ...string) error {
	code, action := repAddRcpt, ActAddRcpt
	if len(params) > 0 {
		code, action = repAddRcptArgs, ActAddRcptArgs
	}
	return s.envelope(code, action, address, params)
}

// DeleteRcpt removes a recipient (SMFIR_DELRCPT), written as it came.
func (s *Session) DeleteRcpt(address string) error {
	return s.envelope(repDeleteRcpt, ActDeleteRcpt, address, nil)
}

// ChangeFrom changes the sender of the envelope (SMFIR_CHGFROM); "" is the null
// sender.
func (s *Session) ChangeFrom(address string, params ...string) error {
	return s.envelope(repChangeFrom, ActChangeFrom, address, params)
}

func (s *Session) envelope(code byte, a Action, address string, params []string) error {
	if err := s.change(a); err != nil {
		return err
	}
	all := strings.Join(params, " ")
	if strings.ContainsAny(address, "\x00\r\n") || strings.ContainsAny(all, "\x00\r\n") {
		return malformed("milter: address %q: NUL, CR and LF have no place in it", address)
	}
	if !strings.HasPrefix(address, "<") {
		address = "<" + address + ">"
	}
	return s.ask(func(b []byte) []byte {
		b, at := begin(b, code)
		b = cstring(b, address)
		if all != "" {
			b = cstring(b, all)
		}
		return end(b, at)
	})
}

// Progress tells the MTA that the filter is still at work on the event at hand
// (SMFIR_PROGRESS), which begins the MTA's time-out anew.
func (s *Session) Progress() error {
	if s.err != nil {
		return s.err
	}
	if !s.due {
		return ErrAnswered
	}
	s.out = AppendFrame[string](s.buffer(), repProgress)
	if err := s.flush(); err != nil {
		return s.fail(err)
	}
	return nil
}
