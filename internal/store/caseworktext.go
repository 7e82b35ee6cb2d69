package store

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// What people write is bounded, in characters.
const (
	// NameMost is how long a name, an owner, a contact or a "by" may be.
	NameMost = 200
	// NoteMost is how long a note may be.
	NoteMost = 4000
	// KeyMost is how long a source's key may be, in octets.
	KeyMost = 1000

	pathMost     = 1000 // characters of a file's name and the like
	networksMost = 64   // networks, and identities, of a source
)

// written is one text on its way into the state file.
type written struct {
	what string
	text *string
	most int
}

// trim takes surrounding space and what is no character off texts, and refuses
// those that are too long.
func trim(fields ...written) error {
	for _, f := range fields {
		if len(*f.text) > 4*f.most { // before it is walked through
			return fmt.Errorf("%s: too long: at most %d characters are kept", f.what, f.most)
		}
		s := strings.TrimSpace(strings.ToValidUTF8(*f.text, "\uFFFD"))
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\x00", ""), "\r\n", "\n")
		if f.most <= NameMost { // one line, as it may stand in a header field
			s = strings.Map(func(r rune) rune {
				if unicode.IsControl(r) {
					return ' '
				}
				return r
			}, s)
		}
		if n := utf8.RuneCountInString(s); n > f.most {
			return fmt.Errorf("%s: %d characters: at most %d are kept", f.what, n, f.most)
		}
		*f.text = s
	}
	return nil
}

// domainName folds a domain's name and refuses what cannot be one.
func domainName(what string, name *string) error {
	*name = fold(*name)
	if *name == "" || len(*name) > 253 { // RFC 1035 §2.3.4, without the root
		return fmt.Errorf("%s %.60q: want a domain name of at most 253 characters", what, *name)
	}
	return nil
}

// recognised bounds what a source was recognised by; what is beyond is dropped.
func recognised(networks []netip.Prefix, identities []string) (string, string, error) {
	networks = networks[:min(len(networks), networksMost)]
	for _, p := range networks {
		if !p.IsValid() {
			return "", "", fmt.Errorf("networks of a source: one of them is not valid")
		}
	}
	var short []string
	for _, s := range identities {
		if len(s) <= 255 && len(short) < networksMost {
			short = append(short, s)
		}
	}
	return listText(networks), listText(short), nil
}

// sourceKey checks the key of a source, which is kept as it is: it comes from
// package advise, and is compared with what comes from there later.
func sourceKey(domain, key string) error {
	if key == "" || len(key) > KeyMost || !utf8.ValidString(key) {
		return fmt.Errorf("source of %s: key %.60q: want 1 to %d octets of UTF-8", domain, key, KeyMost)
	}
	return nil
}

// listText is a list as JSON, [] where it is empty.
func listText[T any](list []T) string {
	if len(list) == 0 {
		return "[]"
	}
	return jsonText(list)
}

// textList is the reverse of listText.
func textList[T any](text string, into *[]T) error {
	*into = nil
	if text == "[]" {
		return nil
	}
	return json.Unmarshal([]byte(text), into)
}

// micros is a time as it is stored.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// microTime is the reverse of micros.
func microTime(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// moment is the time a thing happened, now where it has none.
func moment(t time.Time) time.Time {
	if t.IsZero() {
		return now()
	}
	return t.UTC().Truncate(time.Microsecond)
}
