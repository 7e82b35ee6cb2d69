package rpki

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// cache is one side of a conversation, written down in advance.
type cache struct {
	io.Reader
	asked bytes.Buffer
}

func (c *cache) Write(p []byte) (int, error) { return c.asked.Write(p) }

func unit(version, kind, session int, body ...byte) []byte {
	return slices.Concat([]byte{byte(version), byte(kind)}, be16(session), be32(8+len(body)), body)
}

func v4(version int, flags byte, p string, most byte, asn int) []byte {
	q := prefix(p)
	return unit(version, 4, 0, slices.Concat([]byte{flags, byte(q.Bits()), most, 0}, q.Addr().AsSlice(), be32(asn))...)
}

func v6(version int, flags byte, p string, most byte, asn int) []byte {
	q := prefix(p)
	return unit(version, 6, 0, slices.Concat([]byte{flags, byte(q.Bits()), most, 0}, q.Addr().AsSlice(), be32(asn))...)
}

func endOfData(version, session, serial int) []byte {
	if version == 0 {
		return unit(0, 7, session, be32(serial)...)
	}
	return unit(version, 7, session, slices.Concat(be32(serial), be32(3600), be32(600), be32(7200))...)
}

func rtrError(version, code int, about []byte, text string) []byte {
	return unit(version, 10, code, slices.Concat(be32(len(about)), about, be32(len(text)), []byte(text))...)
}

func TestReadRTR(t *testing.T) {
	const want = "[192.0.2.0/24-24 AS64496 2001:db8::/32-48 AS64497]"
	body := func(v int) []byte {
		return slices.Concat(unit(v, 0, 7, be32(3)...), unit(v, 3, 7), v4(v, 1, "192.0.2.0/24", 24, 64496), unit(v, 9, 1, make([]byte, 60)...),
			v6(v, 1, "2001:db8::/32", 48, 64497), v4(v, 1, "192.0.2.0/24", 24, 64496), unit(v, 11, 0, 1, 2, 3, 4), endOfData(v, 7, 99))
	}
	for _, c := range []struct{ ask, answer int }{{1, 1}, {0, 0}, {1, 0}} {
		conn := &cache{Reader: bytes.NewReader(body(c.answer))}
		s, got, err := ReadRTR(conn, uint8(c.ask))
		if err != nil {
			t.Errorf("%v: %v", c, err)
			continue
		}
		if !bytes.Equal(conn.asked.Bytes(), []byte{byte(c.ask), 2, 0, 0, 0, 0, 0, 8}) {
			t.Errorf("%v: asked %x", c, conn.asked.Bytes())
		}
		if all := fmt.Sprint(slices.Collect(s.All())); all != want {
			t.Errorf("%v: %s", c, all)
		}
		expire := time.Duration(0)
		if c.answer == 1 {
			expire = 2 * time.Hour
		}
		if int(got.Version) != c.answer || got.Session != 7 || got.Serial != 99 || got.Expire != expire || got.RouterKeys != 1 || got.Repeated != 1 {
			t.Errorf("%v: %+v", c, got)
		}
	}
}

func TestReadRTRErrors(t *testing.T) {
	begin := unit(1, 3, 7)
	payload := v4(1, 1, "192.0.2.0/24", 24, 1)
	for _, c := range []struct {
		name   string
		answer []byte
		want   string
	}{
		{"closed at once", nil, "offset 0: the cache closed"},
		{"closed in between", slices.Concat(begin, payload), "offset 28: the cache closed"},
		{"cut off", slices.Concat(begin, payload[:12]), "the cache closed"},
		{"no RTR", []byte("HTTP/1.1 400 Bad Request\r\n"), "is this an RTR cache"},
		{"short unit", []byte{1, 3, 0, 0, 0, 0, 0, 7}, "a unit of 7 octets"},
		{"payload first", payload, "before the cache response"},
		{"end first", endOfData(1, 7, 1), "before the cache response"},
		{"twice", slices.Concat(begin, begin), "second cache response"},
		{"withdrawal", slices.Concat(begin, v4(1, 0, "192.0.2.0/24", 24, 1)), "withdrawal"},
		{"short prefix", slices.Concat(begin, unit(1, 4, 0, 1, 2, 3)), "prefix unit of 11"},
		{"short end", slices.Concat(begin, payload, unit(1, 7, 7, 0, 0, 0, 1)), "end of data of 12"},
		{"other session", slices.Concat(begin, payload, endOfData(1, 8, 1)), "session changed"},
		{"other version", slices.Concat(begin, v4(0, 1, "192.0.2.0/24", 24, 1)), "changes to version 0"},
		{"newer version", unit(2, 3, 7), "changes to version 2"},
		{"reset", unit(1, 8, 0), "by a reset"},
		{"nothing", slices.Concat(begin, endOfData(1, 7, 1)), "no validated"},
		{"bits", slices.Concat(begin, unit(1, 4, 0, 1, 33, 33, 0, 1, 2, 3, 4, 0, 0, 0, 1), endOfData(1, 7, 1)), "prefix of 33 bits"},
		{"host bits", slices.Concat(begin, v4(1, 1, "192.0.2.1/24", 24, 1), endOfData(1, 7, 1)), "bits behind"},
		{"maxLength", slices.Concat(begin, v4(1, 1, "192.0.2.0/24", 23, 1), endOfData(1, 7, 1)), "maxLength 23"},
		{"error", rtrError(1, 1, []byte{1, 2, 0, 0, 0, 0, 0, 8}, "out of \x1b[31morder"), "error 1: out of [31morder"},
		{"short error", unit(1, 10, 1, 0, 0, 0, 9), "error 1: "},
	} {
		_, _, err := ReadRTR(&cache{Reader: bytes.NewReader(c.answer)}, 1)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, _, err := ReadRTR(&cache{Reader: bytes.NewReader(rtrError(1, 2, nil, ""))}, 1); !errors.Is(err, ErrNotReady) {
		t.Errorf("no data: %v", err)
	}
	var version *VersionError
	if _, _, err := ReadRTR(&cache{Reader: bytes.NewReader(rtrError(0, 4, nil, "v0 only"))}, 1); !errors.As(err, &version) || version.Version != 0 {
		t.Errorf("version: %v", err)
	}
	if _, _, err := ReadRTR(&cache{Reader: bytes.NewReader(nil)}, 2); err == nil {
		t.Error("version 2 was asked for")
	}
}
