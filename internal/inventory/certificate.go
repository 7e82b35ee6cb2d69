package inventory

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// certificate is what exports of certificate transparency logs (RFC 9162) say
// of one certificate: crt.sh (?output=json) gives name_value, one name a line,
// and common_name; Cert Spotter gives dns_names. Other tools use the other names.
type certificate struct {
	NameValue  texts `json:"name_value"`
	CommonName texts `json:"common_name"`
	DNSNames   texts `json:"dns_names"`
	Names      texts `json:"names"`
	Domains    texts `json:"domains"`
	Domain     texts `json:"domain"`
	Subdomain  texts `json:"subdomain"`
	Host       texts `json:"host"`
	Name       texts `json:"name"`
	Entered    texts `json:"entry_timestamp"`
	NotBefore  texts `json:"not_before"`
	NotAfter   texts `json:"not_after"`
}

// texts is a string, or a list of them, or something else, which is none.
type texts []string

// UnmarshalJSON takes strings, wherever they stand.
func (t *texts) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		*t = texts{""}
		return json.Unmarshal(b, &(*t)[0])
	case '[':
		var many []string
		if json.Unmarshal(b, &many) == nil {
			*t = many
		}
	}
	return nil
}

func (t texts) time() time.Time {
	for _, s := range t {
		for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04:05.999999999", time.DateTime, time.DateOnly} {
			if at, err := time.Parse(form, s); err == nil {
				return at.UTC()
			}
		}
	}
	return time.Time{}
}

// newlines finds the line of an offset. It forgets what lies before.
type newlines struct {
	r    io.Reader
	pos  int64   // octets read
	line int64   // lines before at
	at   []int64 // offsets of newlines behind the last one asked for
}

func (n *newlines) Read(p []byte) (int, error) {
	k, err := n.r.Read(p)
	for i, b := range p[:k] {
		if b == '\n' {
			n.at = append(n.at, n.pos+int64(i))
		}
	}
	n.pos += int64(k)
	return k, err
}

// lineOf returns the line, from 1, of an offset that grows from call to call.
func (n *newlines) lineOf(offset int64) int64 {
	k := 0
	for k < len(n.at) && n.at[k] < offset {
		k++
	}
	n.line += int64(k)
	n.at = n.at[:copy(n.at, n.at[k:])]
	return n.line + 1
}

// certificates reads JSON: an array of objects or of names, or objects one
// after the other.
func (t *taker) certificates(src *source) error {
	lines := &newlines{r: src}
	dec := json.NewDecoder(lines)
	fail := func(err error) error {
		at := dec.InputOffset()
		var syntax *json.SyntaxError
		switch {
		case src.err != nil && !errors.Is(src.err, io.EOF):
			err = src.err
		case errors.As(err, &syntax):
			at = max(at, syntax.Offset)
			err = fmt.Errorf("this is no JSON: %v; export it again", err)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			err = errors.New("the file ends within its JSON; it was cut off, so export it again")
		}
		return &ReadError{Line: lines.lineOf(at), Err: err}
	}
	first, err := peekToken(src)
	if err != nil {
		return err
	}
	array := first == '['
	if array {
		if _, err := dec.Token(); err != nil {
			return fail(err)
		}
	}
	for {
		src.begin()
		if array && !dec.More() {
			if _, err := dec.Token(); err != nil {
				return fail(err)
			}
			break
		}
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if !array && errors.Is(err, io.EOF) && (src.err == nil || errors.Is(src.err, io.EOF)) {
			break
		}
		if err != nil {
			return fail(err)
		}
		if len(raw) > maxEntry {
			return fail(errLong)
		}
		t.sum.Entries++
		if err := t.certificate(raw); err != nil {
			var theirs callError
			if errors.As(err, &theirs) {
				return err
			}
			return &ReadError{Line: lines.lineOf(dec.InputOffset()), Err: err}
		}
		lines.lineOf(dec.InputOffset())
	}
	return nil
}

// peekToken returns the first octet that is no space.
func peekToken(src *source) (byte, error) {
	head, err := src.head()
	if err != nil {
		return 0, err
	}
	for _, b := range head {
		if b != ' ' && b != '\t' && b != '\r' && b != '\n' {
			return b, nil
		}
	}
	return 0, errEmpty
}

// certificate takes the names of one entry, each once.
func (t *taker) certificate(raw json.RawMessage) error {
	var c certificate
	if raw[0] == '{' {
		if err := json.Unmarshal(raw, &c); err != nil {
			t.invalid(string(raw[:min(len(raw), 80)]))
			return nil
		}
	} else {
		_ = c.Names.UnmarshalJSON(raw) // what is no text is none
	}
	first, last := c.NotBefore.time(), c.NotAfter.time()
	if first.IsZero() {
		first = c.Entered.time()
	}
	found := false
	seen := map[string]bool{}
	for _, list := range []texts{c.NameValue, c.CommonName, c.DNSNames, c.Names, c.Domains, c.Domain, c.Subdomain, c.Host, c.Name} {
		for _, s := range list {
			for name := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '\n' || r == ',' || r == ';' || r == ' ' || r == '\t' || r == '\r' }) {
				if found = true; seen[name] {
					continue
				}
				seen[name] = true
				if err := t.take(name, first, last); err != nil {
					return err
				}
			}
		}
	}
	if !found {
		t.invalid(string(raw[:min(len(raw), 80)]))
	}
	return nil
}
