package rpki

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxValue bounds one value of the JSON, and maxDepth how deep what is skipped
// may be nested.
const (
	maxValue = 1 << 20
	maxDepth = 64
)

// metered bounds how much may be read between two marks, so that a value that
// never ends does not fill the memory.
type metered struct {
	r     io.Reader
	since int
}

func (m *metered) Read(p []byte) (int, error) {
	if m.since > maxValue {
		return 0, fmt.Errorf("a value of more than %d octets", maxValue)
	}
	n, err := m.r.Read(p[:min(len(p), 64<<10)])
	m.since += n
	return n, err
}

// roa is an entry of the list "roas". maxLength may be left out.
type roa struct {
	ASN       asnText `json:"asn"`
	Prefix    string  `json:"prefix"`
	MaxLength *int64  `json:"maxLength"`
}

// asnText is a number, as rpki-client has it, or text, as Routinator does.
type asnText struct {
	asn ASN
	set bool
	err error
}

// UnmarshalJSON keeps its error, so that only what is no JSON stops the decoder.
func (a *asnText) UnmarshalJSON(b []byte) error {
	a.asn, a.err = ParseASN(string(bytes.Trim(b, `"`)))
	a.set = true
	return nil
}

// json reads {"roas": [{"asn", "prefix", "maxLength"}, …]}; everything else in
// it is skipped.
func (l *loader) json(r io.Reader) error {
	m := &metered{r: r}
	d := json.NewDecoder(m)
	fail := func(err error) error {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("offset %d: it ends early: fetch it again", d.InputOffset())
		}
		return fmt.Errorf("offset %d: %w", d.InputOffset(), err)
	}
	if t, err := d.Token(); err != nil {
		return fail(err)
	} else if t != json.Delim('{') {
		return fail(errors.New("want an object with the list \"roas\""))
	}
	found := false
	for d.More() {
		m.since = 0
		key, err := d.Token()
		if err != nil {
			return fail(err)
		}
		if key == "metadata" {
			if err := l.metadata(d); err != nil {
				return fail(err)
			}
			continue
		}
		if key != "roas" {
			if err := skipValue(d, m); err != nil {
				return fail(err)
			}
			continue
		}
		found = true
		if t, err := d.Token(); err != nil {
			return fail(err)
		} else if t != json.Delim('[') {
			return fail(errors.New("\"roas\" is no list"))
		}
		for d.More() {
			m.since = 0
			if err := l.jsonEntry(d); err != nil {
				return fail(err)
			}
		}
		if _, err := d.Token(); err != nil { // the end of the list
			return fail(err)
		}
	}
	if _, err := d.Token(); err != nil { // the end of the object
		return fail(err)
	}
	if !found {
		return errors.New("no list \"roas\": want the format json or jsonext of Routinator, or the JSON of rpki-client")
	}
	return nil
}

func (l *loader) jsonEntry(d *json.Decoder) error {
	at := place{"offset", d.InputOffset()}
	var e roa
	err := d.Decode(&e)
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		return l.odd(at, fmt.Errorf("%s has the wrong type: %s", wrongType.Field, wrongType.Value))
	case err != nil:
		return err
	case e.ASN.err != nil:
		return l.odd(at, e.ASN.err)
	case !e.ASN.set || e.Prefix == "":
		return l.odd(at, errors.New("an entry without asn or prefix"))
	case e.MaxLength == nil:
		return l.entry(at, e.ASN.asn, e.Prefix, unstated)
	}
	return l.entry(at, e.ASN.asn, e.Prefix, max(*e.MaxLength, 0))
}

// metadata reads when the payloads were made: "generated" of Routinator, in
// seconds, or "buildtime" of rpki-client.
func (l *loader) metadata(d *json.Decoder) error {
	var m struct {
		Generated int64  `json:"generated"`
		Built     string `json:"buildtime"`
	}
	var wrongType *json.UnmarshalTypeError
	if err := d.Decode(&m); err != nil && !errors.As(err, &wrongType) {
		return err
	}
	if t, err := time.Parse(time.RFC3339, m.Built); err == nil {
		l.Time = t.UTC()
	} else if m.Generated > 0 && m.Generated < 1<<33 {
		l.Time = time.Unix(m.Generated, 0).UTC()
	}
	return nil
}

// skipValue passes over one value, of any size, in constant memory.
func skipValue(d *json.Decoder, m *metered) error {
	for depth := 0; ; {
		m.since = 0
		t, err := d.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth > maxDepth {
			return fmt.Errorf("nested deeper than %d", maxDepth)
		}
		if depth == 0 {
			return nil
		}
	}
}
