package message

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/transform"
)

func charsetReader(charset string, r io.Reader) (io.Reader, error) {
	e := lookupCharset(charset)
	if e == nil {
		return nil, fmt.Errorf("unknown character set %q", charset)
	}
	return transform.NewReader(r, e.NewDecoder()), nil
}

func lookupCharset(name string) encoding.Encoding {
	name = strings.ToLower(strings.Trim(name, " \"'"))
	switch name { // labels that mail has and the Web has not
	case "cp932", "ms932", "windows932":
		name = "shift_jis"
	case "iso-2022-jp-ms", "cp50220", "cp50221", "iso-2022-jp-1", "iso-2022-jp-2":
		name = "iso-2022-jp"
	case "cp51932", "eucjp-ms":
		name = "euc-jp"
	}
	e, err := htmlindex.Get(name)
	if err != nil || e == encoding.Replacement {
		return nil
	}
	return e
}

// toUTF8 converts a short text of a known or, for "", unknown character set.
// The result is valid UTF-8 in any case.
func toUTF8(b []byte, charset string) string {
	if charset != "" && charset != "us-ascii" {
		if e := lookupCharset(charset); e != nil {
			if s, ok := decodeAll(e, b); ok {
				return s
			}
		}
	}
	if !bytes.Contains(b, []byte("\x1b$")) && utf8.Valid(b) {
		return string(b)
	}
	for _, e := range []encoding.Encoding{japanese.ISO2022JP, japanese.ShiftJIS, japanese.EUCJP} {
		if s, ok := decodeAll(e, b); ok {
			return s
		}
	}
	return strings.ToValidUTF8(string(b), "\ufffd")
}

func decodeAll(e encoding.Encoding, b []byte) (string, bool) {
	out, err := e.NewDecoder().Bytes(b)
	if err != nil || bytes.ContainsRune(out, utf8.RuneError) || !utf8.Valid(out) {
		return "", false
	}
	return string(out), true
}
