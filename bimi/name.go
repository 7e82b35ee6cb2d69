package bimi

import (
	"encoding/xml"
	"unicode/utf8"
)

// isQName: a name with at most one colon, neither first nor last. The decoder
// cuts names at the first colon, so that a second is in the local part.
func isQName(n xml.Name) bool {
	return isNCName(n.Local) && (n.Space == "" || isNCName(n.Space))
}

// isNCName: a name without a colon (Namespaces in XML §3).
func isNCName(s string) bool {
	for i, r := range s {
		if r == utf8.RuneError || !nameStart(r) && (i == 0 || !nameInner(r)) {
			return false
		}
	}
	return s != ""
}

// isNMToken: characters of names, in any order (XML 1.0 §2.3).
func isNMToken(s string) bool {
	for _, r := range s {
		if r != ':' && !nameStart(r) && !nameInner(r) {
			return false
		}
	}
	return s != ""
}

// nameStart and nameInner are the classes of XML 1.0 §2.3, fifth edition,
// without the colon.
func nameStart(r rune) bool {
	switch {
	case r == '_', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
		return true
	case r < 0xc0 || r == 0xd7 || r == 0xf7 || r == 0x37e:
		return false
	case r <= 0x2ff, 0x370 <= r && r <= 0x1fff, r == 0x200c, r == 0x200d, 0x2070 <= r && r <= 0x218f, 0x2c00 <= r && r <= 0x2fef,
		0x3001 <= r && r <= 0xd7ff, 0xf900 <= r && r <= 0xfdcf, 0xfdf0 <= r && r <= 0xfffd, 0x10000 <= r && r <= 0xeffff:
		return true
	}
	return false
}

func nameInner(r rune) bool {
	return r == '-' || r == '.' || '0' <= r && r <= '9' || r == 0xb7 || 0x300 <= r && r <= 0x36f || r == 0x203f || r == 0x2040
}

// isLanguage: the form of xs:language; empty is allowed (XML 1.0 §2.12).
func isLanguage(s string) bool {
	if s == "" {
		return true
	}
	n, first := 0, true
	for i := 0; i <= len(s); i++ {
		if i == len(s) || s[i] == '-' {
			if n < 1 || n > 8 {
				return false
			}
			n, first = 0, false
			continue
		}
		c := s[i] | 0x20
		if (c < 'a' || 'z' < c) && (first || s[i] < '0' || '9' < s[i]) {
			return false
		}
		n++
	}
	return true
}
