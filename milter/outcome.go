package milter

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strconv"
	"strings"
)

// readReply reads the SMTP reply of SMFIR_REPLYCODE, as Postfix checks it: a
// code of 4xx or 5xx, and the text beginning with an enhanced code of that
// class.
func readReply(data []byte) (Response, error) {
	text, rest := cut(data)
	if len(text) == len(data) || len(rest) > 0 {
		return Response{}, breach("sends an SMTP reply without an end")
	}
	r := Response{Do: Custom}
	for _, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if len(line) < 5 || line[0] != '4' && line[0] != '5' || line[3] != ' ' && line[3] != '-' || line[4] != line[0] {
			return Response{}, breach("sends an SMTP reply that is none")
		}
		code, err := strconv.ParseUint(line[:3], 10, 16)
		if err != nil || r.Code != 0 && int(code) != r.Code {
			return Response{}, breach("sends an SMTP reply that is none")
		}
		enhanced, words, _ := strings.Cut(line[4:], " ")
		if !enhancedCode(enhanced, line[0]) {
			return Response{}, breach("sends an SMTP reply without an enhanced code")
		}
		r.Code, r.Enhanced = int(code), enhanced
		r.Text = append(r.Text, single(words))
	}
	return r, nil
}

// single makes one "%" of two, and drops single ones, as Postfix does.
func single(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if i++; i == len(s) {
				break
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// readChange reads a modification.
func readChange(code byte, data []byte) (Change, error) {
	c := Change{Code: code}
	rest := data
	switch code {
	case repReplaceBody:
		c.Body = slices.Clone(data)
		return c, nil
	case repInsertHeader, repChangeHeader:
		if len(rest) < 4 {
			return c, breach("sends the change %q without an index", code)
		}
		n := binary.BigEndian.Uint32(rest)
		if n > 1<<31-1 {
			return c, breach("sends the change %q with the index %d", code, n)
		}
		c.Index, rest = int(n), rest[4:]
	case repAddHeader, repAddRcpt, repDeleteRcpt, repAddRcptArgs, repChangeFrom, repQuarantine:
	default:
		return c, breach("answers with %q, which is unknown", code)
	}
	parts := strings.Split(string(rest), "\x00")
	want := 1 // strings
	switch code {
	case repInsertHeader, repChangeHeader, repAddHeader:
		want = 2
	case repAddRcptArgs, repChangeFrom:
		want = min(max(len(parts)-1, 1), 2)
	}
	if len(parts) != want+1 || parts[want] != "" || parts[0] == "" {
		return c, breach("sends the change %q in a wrong form", code)
	}
	c.Name = parts[0]
	if want == 2 {
		c.Value = parts[1]
	}
	return c, nil
}

// Apply returns the message as the MTA would pass it on, after all changes in
// their order, as Postfix makes them: an index of a change counts the fields of
// that name as they are by then, an insertion counts all fields. m stays as it
// is, but for its body, which is handed on unless the filter replaced it.
func Apply(m Message, o Outcome) Message {
	m.Header = slices.Clone(m.Header)
	m.Rcpt = slices.Clone(m.Rcpt)
	var body []byte
	replaced := false
	for _, c := range o.Changes {
		value := c.Value
		if !o.LeadingSpace && c.Value != "" {
			value = " " + value
		}
		address := strings.TrimSuffix(strings.TrimPrefix(c.Name, "<"), ">")
		switch c.Code {
		case repAddHeader:
			m.Header = append(m.Header, Field{c.Name, value})
		case repInsertHeader:
			m.Header = slices.Insert(m.Header, min(c.Index, len(m.Header)), Field{c.Name, value})
		case repChangeHeader:
			m.Header = changeField(m.Header, max(c.Index, 1), c.Name, value)
		case repReplaceBody:
			body, replaced = append(body, c.Body...), true
		case repAddRcpt, repAddRcptArgs:
			m.Rcpt = append(m.Rcpt, address)
		case repDeleteRcpt:
			m.Rcpt = slices.DeleteFunc(m.Rcpt, func(r string) bool { return strings.EqualFold(r, address) })
		case repChangeFrom:
			m.From = address
		}
	}
	if replaced {
		m.Body = bytes.NewReader(body)
	}
	return m
}

func changeField(h []Field, index int, name, value string) []Field {
	for i := range h {
		if !strings.EqualFold(h[i].Name, name) {
			continue
		}
		if index--; index > 0 {
			continue
		}
		if value == "" {
			return slices.Delete(h, i, i+1)
		}
		h[i].Value = value
		return h
	}
	if value == "" {
		return h
	}
	return append(h, Field{name, value})
}

// Bytes returns a message as it is delivered: the header, an empty line, the
// body, lines ended by CRLF. It reads the body.
func (m *Message) Bytes() ([]byte, error) {
	var b bytes.Buffer
	for _, f := range m.Header {
		b.WriteString(f.Name)
		b.WriteByte(':')
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(f.Value, "\r\n", "\n"), "\n", "\r\n"))
		b.WriteString("\r\n")
	}
	b.WriteString("\r\n")
	if m.Body != nil {
		if _, err := io.Copy(&b, m.Body); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}
