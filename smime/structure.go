package smime

import (
	"bytes"
	"io"
	"strconv"
	"strings"

	"sekimori/message"
)

// Form is how a message carries its signature, or why none can be seen.
type Form string

const (
	Detached         Form = "detached"   // multipart/signed (RFC 8551 §3.5.3)
	Opaque           Form = "opaque"     // application/pkcs7-mime with signed-data (§3.5.2)
	Encrypted        Form = "encrypted"  // a signature may be inside, and cannot be seen (§3.4)
	CertificatesOnly Form = "certs-only" // certificates, and no signature (§3.8)
	Compressed       Form = "compressed" // RFC 8551 §3.6; it is not looked into
	Unseen           Form = "unseen"     // it announces S/MIME, and was too long to be kept
)

// Announced reports whether a header section says that the message is an
// S/MIME message, so that its body is worth keeping for Verify. It costs one
// look at the header.
func Announced(h message.Header) bool {
	value := h.Get("Content-Type")
	if !startsLike(value, "multipart/signed") && !startsLike(value, "application/pkcs7-") &&
		!startsLike(value, "application/x-pkcs7-") && !startsLike(value, "application/octet-stream") {
		return false
	}
	kind, params := contentType(value)
	return kind == "multipart/signed" && !otherProtocol(params) || isPKCS7(kind, params, h)
}

// Wrapping reports whether a header section is that of a message in which a
// signed one may be found: a mailing list or filter that adds a part of its own
// makes it multipart/mixed.
func Wrapping(h message.Header) bool { return startsLike(h.Get("Content-Type"), "multipart/mixed") }

// startsLike compares the start of a value in any case.
func startsLike(value, kind string) bool {
	return len(value) >= len(kind) && strings.EqualFold(value[:len(kind)], kind)
}

// contentType reads the value of a Content-Type field.
func contentType(value string) (string, map[string]string) {
	if !startsLike(value, "multipart/") && !startsLike(value, "application/") {
		return "", nil // nothing else is of interest
	}
	kind, params := message.ParseParams(value)
	return strings.ToLower(kind), params
}

// otherProtocol reports whether a multipart/signed is of another kind, such as
// PGP/MIME.
func otherProtocol(params map[string]string) bool {
	p := params["protocol"]
	return p != "" && !signatureType(strings.ToLower(strings.TrimSpace(p)))
}

func signatureType(kind string) bool {
	return kind == "application/pkcs7-signature" || kind == "application/x-pkcs7-signature"
}

// isPKCS7 tells a pkcs7-mime entity, also by its file's name (RFC 8551 §3.9).
func isPKCS7(kind string, params map[string]string, h message.Header) bool {
	switch kind {
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		return true
	case "application/octet-stream":
		return strings.HasSuffix(strings.ToLower(fileName(params, h)), ".p7m")
	}
	return false
}

func fileName(params map[string]string, h message.Header) string {
	if n := params["name"]; n != "" {
		return n
	}
	_, disposition := message.ParseParams(h.Get("Content-Disposition"))
	return disposition["filename"]
}

// entity is a MIME entity (RFC 2045 §2.4), its octets as received.
type entity struct {
	header message.Header
	body   []byte
	path   string // as in IMAP; "" for the message itself
}

// found is what was looked for.
type found struct {
	form    Form     // Detached or Opaque; Opaque stands for all of pkcs7-mime
	content []byte   // of Detached: the signed part, header and all
	signed  entity   // of Detached: the signed part, read
	cms     []byte   // decoded
	path    string   // of the part with the signature
	outer   []string // media types around it, which are not signed
	extra   int      // parts of the multipart/signed beyond the two
	broken  string   // code: it calls itself signed, and is not in the form
}

// maxParts and maxNesting bound the search.
const maxParts, maxNesting = 100, 5

// find looks for the outermost signature of an entity: in itself or, where it
// is a multipart of another kind, in its parts. Attached messages are others'.
func find(e entity, depth int) (found, bool) {
	kind, params := contentType(e.header.Get("Content-Type"))
	switch {
	case kind == "multipart/signed":
		if otherProtocol(params) {
			return found{}, false
		}
		return detached(e, params)
	case isPKCS7(kind, params, e.header):
		path := e.path
		if path == "" {
			path = "1"
		}
		return found{form: Opaque, cms: decode(e), path: path}, true
	case strings.HasPrefix(kind, "multipart/") && depth < maxNesting:
		parts := split(e.body, params["boundary"])
		for i, p := range parts {
			if f, ok := find(read(p, e.path, i+1), depth+1); ok {
				f.outer = append([]string{kind}, f.outer...)
				return f, true
			}
		}
	}
	return found{}, false
}

// detached reads a multipart/signed.
func detached(e entity, params map[string]string) (found, bool) {
	f := found{form: Detached} // micalg is a hint (RFC 8551 §3.5.3.2), and not needed
	parts := split(e.body, params["boundary"])
	if len(parts) < 2 {
		f.broken = "smime.part-missing"
		return f, params["protocol"] != ""
	}
	sig := read(parts[1], e.path, 2)
	kind, sigParams := contentType(sig.header.Get("Content-Type"))
	if !signatureType(kind) && !(kind == "application/octet-stream" && strings.HasSuffix(strings.ToLower(fileName(sigParams, sig.header)), ".p7s")) {
		f.broken = "smime.part-missing"
		return f, params["protocol"] != ""
	}
	f.content, f.signed = parts[0], read(parts[0], e.path, 1)
	f.cms, f.path, f.extra = decode(sig), sig.path, len(parts)-2
	return f, true
}

// read makes an entity of a part.
func read(raw []byte, parent string, no int) entity {
	e := entity{path: strconv.Itoa(no)}
	if parent != "" {
		e.path = parent + "." + e.path
	}
	if len(raw) > 0 && (raw[0] == '\n' || raw[0] == '\r') { // no header
		e.body = raw
		return e
	}
	h, rest, err := message.Read(bytes.NewReader(raw), 0)
	if err != nil {
		return e
	}
	e.header = h
	// The body is the end of raw: it is not copied, unless there was something
	// before the header that message.Read passes over.
	after := raw
	for _, field := range h {
		if !bytes.HasPrefix(after, []byte(field.Raw())) {
			e.body, _ = io.ReadAll(rest) // of memory: it cannot fail
			return e
		}
		after = after[len(field.Raw()):]
	}
	if bytes.HasPrefix(after, []byte("\r\n")) {
		after = after[2:]
	} else if bytes.HasPrefix(after, []byte("\n")) {
		after = after[1:]
	}
	e.body = after
	return e
}

// split cuts the body of a multipart at its boundary lines (RFC 2046 §5.1.1).
// The line end before such a line belongs to it. What follows the closing
// line is no part.
func split(body []byte, boundary string) [][]byte {
	if boundary == "" {
		return nil
	}
	var parts [][]byte
	start := -1 // of the current part
	for i := 0; i < len(body); {
		line := body[i:]
		if n := bytes.IndexByte(line, '\n'); n >= 0 {
			line = line[:n+1]
		}
		closing, ok := delimiter(line, boundary)
		if ok {
			if start >= 0 {
				end := i
				if end > start && body[end-1] == '\n' {
					end--
					if end > start && body[end-1] == '\r' {
						end--
					}
				}
				parts = append(parts, body[start:end])
			}
			start = i + len(line)
			if closing || len(parts) == maxParts {
				return parts
			}
		}
		i += len(line)
	}
	if start >= 0 && start < len(body) {
		parts = append(parts, body[start:]) // cut off, or its closing line is missing
	}
	return parts
}

// delimiter tells a boundary line: two hyphens, the boundary, two more for the
// last, and white space.
func delimiter(line []byte, boundary string) (closing, ok bool) {
	if len(line) < len(boundary)+2 || line[0] != '-' || line[1] != '-' || string(line[2:2+len(boundary)]) != boundary {
		return false, false
	}
	rest := bytes.TrimRight(line[2+len(boundary):], " \t\r\n")
	return len(rest) == 2 && rest[0] == '-' && rest[1] == '-', len(rest) == 0 || string(rest) == "--"
}

// decode takes the transfer encoding off. Some senders forget to name it: what
// is not in BER is taken for base64 then.
func decode(e entity) []byte {
	out := decodeAs(e.header.Get("Content-Transfer-Encoding"), e.body)
	if len(out) > 0 && out[0] == tagSequence && len(e.body) > 0 {
		return out
	}
	return decodeAs("base64", e.body)
}

func decodeAs(encoding string, body []byte) []byte {
	in := io.MultiReader(strings.NewReader("Content-Transfer-Encoding: "+encoding+"\r\n\r\n"), bytes.NewReader(body))
	var out []byte
	// Neither can fail: nothing is read but memory, and one part is within the limits.
	message.Walk(in, message.Limits{}, func(p *message.Part) error {
		var err error
		out, err = io.ReadAll(p.Body)
		return err
	})
	return out
}

// withCRLF makes each line end CRLF (RFC 8551 §3.1.1). Where they are, it
// returns b itself.
func withCRLF(b []byte) []byte {
	bare := 0
	for i := 0; i < len(b); {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			break
		}
		if i += n; i == 0 || b[i-1] != '\r' {
			bare++
		}
		i++
	}
	if bare == 0 {
		return b
	}
	out := make([]byte, 0, len(b)+bare)
	for i, c := range b {
		if c == '\n' && (i == 0 || b[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}
