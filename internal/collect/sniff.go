package collect

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"sekimori/message"
)

// Kind is what an input is by its first bytes.
type Kind string

const (
	Empty   Kind = "empty"
	XML     Kind = "xml"
	Gzip    Kind = "gzip"
	Zip     Kind = "zip"
	Zstd    Kind = "zstd"
	Bzip2   Kind = "bzip2"
	Tar     Kind = "tar"
	Mail    Kind = "message"
	Mbox    Kind = "mbox"
	Base64  Kind = "base64" // of gzip or zip, without a message around it
	JSON    Kind = "json"
	Unknown Kind = "unknown"
)

// SniffLen is how many first bytes Sniff looks at.
const SniffLen = 4096

// Sniff tells what an input is by its first bytes, of which SniffLen suffice.
func Sniff(b []byte) Kind {
	if len(b) > SniffLen {
		b = b[:SniffLen]
	}
	switch {
	case len(b) == 0:
		return Empty
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}): // RFC 1952 §2.3.1
		return Gzip
	case bytes.HasPrefix(b, []byte("PK\x03\x04")), bytes.HasPrefix(b, []byte("PK\x05\x06")), bytes.HasPrefix(b, []byte("PK\x07\x08PK\x03\x04")):
		return Zip
	case bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878 §3.1.1
		return Zstd
	case len(b) >= 8 && b[0]&0xf0 == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18: // a skippable frame, §3.1.2
		return Zstd
	case len(b) >= 10 && bytes.HasPrefix(b, []byte("BZh")) && bytes.Equal(b[4:10], []byte("1AY&SY")):
		return Bzip2
	case isTar(b):
		return Tar
	case isUTF16XML(b):
		return XML
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \t\r\n")
	switch {
	case len(text) == 0:
		return Empty
	case text[0] == '<':
		return XML
	case bytes.HasPrefix(text, []byte("From ")) && mboxStart(text):
		return Mbox
	case mailStart(text):
		return Mail
	case bytes.Contains(text, []byte("<feedback")): // something before the XML
		return XML
	case (text[0] == '{' || text[0] == '[') && jsonStart(text):
		return JSON
	case bytes.HasPrefix(text, []byte("H4sI")) || bytes.HasPrefix(text, []byte("UEsDB")):
		return Base64
	}
	return Unknown
}

// isTar tells a tar header by its magic (POSIX ustar, at 257) or, for the form
// before it, by its checksum.
func isTar(b []byte) bool {
	if len(b) < 512 {
		return false
	}
	if bytes.Equal(b[257:262], []byte("ustar")) {
		return true
	}
	if b[0] <= ' ' || b[0] >= 0x7f {
		return false
	}
	want, err := strconv.ParseInt(strings.Trim(string(b[148:156]), " \x00"), 8, 64)
	if err != nil {
		return false
	}
	sum := int64(8 * ' ')
	for i, c := range b[:512] {
		if i < 148 || i >= 156 {
			sum += int64(c)
		}
	}
	return sum == want
}

func isUTF16XML(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	switch binary.BigEndian.Uint32(b) {
	case 0xfeff003c, 0xfffe3c00, 0x003c003f, 0x3c003f00:
		return true
	}
	return false
}

// mboxStart tells "From " lines with a header behind them from text.
func mboxStart(b []byte) bool {
	line, rest, _ := bytes.Cut(b, []byte("\n"))
	return isFromLine(line) && (len(rest) == 0 || message.IsFieldLine(rest) || rest[0] == '\n' || rest[0] == '\r' || rest[0] == '>')
}

// isFromLine tells an mbox separator: "From ", an address and a date, which
// has a time of day in it.
func isFromLine(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("From ")) {
		return false
	}
	for i := 5; i+4 < len(line); i++ {
		if line[i+2] == ':' && digit(line[i]) && digit(line[i+1]) && digit(line[i+3]) && digit(line[i+4]) {
			return true
		}
	}
	return false
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// mailFields are fields of which a message has one among its first.
var mailFields = []string{"from", "to", "subject", "date", "received", "message-id", "mime-version", "content-type",
	"return-path", "delivered-to", "dkim-signature", "authentication-results", "received-spf", "reply-to", "sender", "cc",
	"envelope-to", "content-transfer-encoding", "arc-seal", "arc-message-signature", "arc-authentication-results",
	"thread-topic", "thread-index", "user-agent", "list-id", "auto-submitted", "resent-from", "x-original-to", "status"}

// mailStart tells a message by a header-like first line and a usual field
// among the lines that can be seen.
func mailStart(b []byte) bool {
	if !message.IsFieldLine(b) {
		return false
	}
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		b = rest
		if len(bytes.TrimRight(line, "\r")) == 0 {
			return false
		}
		name, _, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) > 80 || line[0] == ' ' || line[0] == '\t' {
			continue
		}
		field := strings.ToLower(string(bytes.TrimRight(name, " \t")))
		for _, known := range mailFields {
			if field == known {
				return true
			}
		}
		if strings.HasPrefix(field, "x-") || strings.HasPrefix(field, "authentication-results") {
			return true
		}
	}
	return false
}

func jsonStart(b []byte) bool {
	b = bytes.TrimLeft(b[1:], " \t\r\n")
	return len(b) == 0 || bytes.IndexByte([]byte(`"{[]}-0123456789tfn`), b[0]) >= 0
}

// signatures are kinds of file that turn up beside reports, by first bytes.
var signatures = []struct{ magic, name string }{
	{"%PDF", "a PDF document"},
	{"\x89PNG", "a PNG image"},
	{"\xff\xd8\xff", "a JPEG image"},
	{"GIF8", "a GIF image"},
	{"\xfd7zXZ\x00", "xz-compressed data, which is not supported: decompress it first"},
	{"7z\xbc\xaf\x27\x1c", "a 7z archive, which is not supported: unpack it first"},
	{"Rar!\x1a\x07", "a RAR archive, which is not supported: unpack it first"},
	{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document or an Outlook message (.msg): save the message as .eml"},
	{"SQLite format 3\x00", "an SQLite database"},
	{"!BDN", "an Outlook mailbox (.pst), which is not supported: export it as mbox"},
	{"\x7fELF", "a program"},
	{"MZ", "a program"},
}

// describe says what an input of no use is, for a person.
func describe(b []byte) error {
	for _, s := range signatures {
		if bytes.HasPrefix(b, []byte(s.magic)) {
			return fmt.Errorf("not a report: %s", s.name)
		}
	}
	text := b
	if len(text) >= SniffLen-4 { // do not judge by a character cut in half
		for i := 0; i < 3 && len(text) > 0 && !utf8.Valid(text); i++ {
			text = text[:len(text)-1]
		}
	}
	if utf8.Valid(text) && !bytes.ContainsRune(text, 0) {
		line, _, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(string(text), "\ufeff")), "\n")
		return fmt.Errorf("not a report: plain text that begins %q", clip(strings.TrimSpace(line), 40))
	}
	return fmt.Errorf("not a report: an unknown kind of file that begins % x", b[:min(len(b), 8)])
}

func describeJSON(b []byte) error {
	if bytes.Contains(b, []byte(`"organization-name"`)) || bytes.Contains(b, []byte(`"policies"`)) || bytes.Contains(b, []byte(`"policy-type"`)) {
		return errTLSReport
	}
	return fmt.Errorf("not a report: a JSON document")
}

// clip shortens s to about n characters.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + "…"
}
