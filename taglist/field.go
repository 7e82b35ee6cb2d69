package taglist

import (
	"fmt"
	"strings"
)

// Field is a name and its value in a record of MTA-STS or TLS-RPT, whose form
// is alike (RFC 8461 §3.1, RFC 8460 §3): a version, then fields, each with a
// semicolon before it. It is not that of tag-lists: case and order matter.
type Field struct{ Name, Value string }

// Versioned reports whether a record begins with a version, as in "v=STSv1",
// and a semicolon.
func Versioned(txt, version string) bool {
	rest, ok := strings.CutPrefix(txt, version)
	return ok && strings.HasPrefix(strings.TrimLeft(rest, " \t"), ";")
}

// Fields calls each for the fields after the version, with their places in
// octets, until it returns an error. A piece without "=" is a field without
// value, whatever stands there. A record of more than most octets is refused.
func Fields(txt, version string, most int, each func(f Field, offset int) error) error {
	if len(txt) > most {
		return fmt.Errorf("%d octets long, at most %d are read", len(txt), most)
	}
	if !Versioned(txt, version) {
		return fmt.Errorf("octet 1: want %s;", version)
	}
	for at := strings.IndexByte(txt, ';') + 1; at <= len(txt); {
		piece, _, more := strings.Cut(txt[at:], ";")
		offset := at + len(piece) - len(strings.TrimLeft(piece, " \t"))
		at += len(piece) + 1
		piece = strings.Trim(piece, " \t")
		if piece == "" && !more {
			return nil // one delimiter may end the record
		}
		name, value, _ := strings.Cut(piece, "=")
		if err := each(Field{name, value}, offset); err != nil {
			return err
		}
	}
	return nil
}

// IsExtension reports whether a field may be one that the RFC does not know:
// sts-extension of RFC 8461 §3.1, tlsrpt-extension of RFC 8460 §3.
func (f Field) IsExtension() bool {
	for i := 0; i < len(f.Name); i++ {
		c := f.Name[i]
		if ok := '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'; !ok && (i == 0 || c != '_' && c != '-' && c != '.') {
			return false
		}
	}
	for i := 0; i < len(f.Value); i++ {
		if c := f.Value[i]; c <= ' ' || c >= 0x7f || c == ';' || c == '=' {
			return false
		}
	}
	return 1 <= len(f.Name) && len(f.Name) <= 32 && f.Value != "" && f.Name != "v"
}
