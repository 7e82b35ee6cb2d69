package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

// looksLikeZone tells a master file (RFC 1035 §5.1) by a directive, or by a line
// that is a record: a class or a time to live, and a type.
func looksLikeZone(head []byte) bool {
	records, others := 0, 0
	for line := range bytes.Lines(whole(head)) {
		text, _, _ := strings.Cut(string(line), ";")
		f := strings.Fields(text)
		if len(f) == 0 {
			continue
		}
		switch strings.ToUpper(f[0]) {
		case "$ORIGIN", "$TTL", "$INCLUDE", "$GENERATE":
			return true
		}
		if isRecord(f, text[0] == ' ' || text[0] == '\t') {
			records++
		} else {
			others++
		}
		if records+others >= 200 {
			break
		}
	}
	// Records may run over several lines.
	return records > 0 && records*4 >= others
}

// isRecord reports whether the fields of a line are those of a record.
func isRecord(f []string, continued bool) bool {
	if !continued {
		f = f[1:]
	}
	sure := false
	for len(f) > 0 {
		s := strings.ToUpper(f[0])
		if s == "IN" || isTTL(s) {
			sure = true
		} else if _, ok := mdns.StringToType[s]; ok {
			return len(f) > 1 && (sure || s == "A" || s == "AAAA" || s == "CNAME" || s == "MX" || s == "TXT" || s == "NS" || s == "SOA")
		} else {
			return false
		}
		f = f[1:]
	}
	return false
}

// isTTL: digits, or the units of BIND.
func isTTL(s string) bool {
	if _, err := strconv.ParseUint(s, 10, 32); err == nil {
		return true
	}
	return s != "" && strings.Trim(s, "0123456789SMHDW") == "" && '0' <= s[0] && s[0] <= '9'
}

// zone reads a master file. Its names, where they are relative, are below the
// wanted domain until $ORIGIN says otherwise. $INCLUDE is refused: nothing but
// the file given is read.
func (t *taker) zone(src *source) error {
	origin := ""
	if !t.o.Domain.IsZero() {
		origin = t.o.Domain.String() + "."
	}
	zp := mdns.NewZoneParser(src, origin, "")
	zp.SetDefaultTTL(3600)
	last := ""
	for {
		rr, ok := zp.Next()
		if !ok {
			break
		}
		src.begin()
		t.sum.Entries++
		if t.sum.Entries > 10*maxNames {
			return fmt.Errorf("it holds more than %d records; cut it into smaller files", 10*maxNames)
		}
		name := rr.Header().Name
		if name == last {
			continue
		}
		last = name
		if err := t.take(unescaped(name), time.Time{}, time.Time{}); err != nil {
			return err
		}
	}
	if err := zp.Err(); err != nil {
		return zoneError(err, src)
	}
	if src.err != nil && !errors.Is(src.err, io.EOF) {
		return src.err
	}
	return nil
}

// unescaped takes a name out of its presentation form as far as a name of a
// host can need it: an escaped octet is in no such name (RFC 1035 §5.1).
func unescaped(name string) string { return strings.TrimSuffix(name, ".") }

// zoneError words the parser's error.
func zoneError(err error, src *source) error {
	if src.err != nil && !errors.Is(src.err, io.EOF) {
		return src.err
	}
	line := src.line
	msg := err.Error()
	var pe *mdns.ParseError
	if errors.As(err, &pe) {
		msg = strings.TrimPrefix(pe.Error(), "dns: ")
		if i := strings.LastIndex(msg, " at line: "); i >= 0 {
			at, _, _ := strings.Cut(msg[i+len(" at line: "):], ":")
			if n, err := strconv.ParseInt(at, 10, 64); err == nil {
				line = n
			}
			msg = msg[:i]
		}
	}
	if strings.Contains(msg, "$INCLUDE") {
		msg = "$INCLUDE is not followed: nothing but the file given is read; put the included records into it"
	}
	if len(msg) > 300 {
		msg = msg[:300] + "…"
	}
	return &ReadError{Line: line, Err: errors.New(strings.ToValidUTF8(msg, "\uFFFD"))}
}
