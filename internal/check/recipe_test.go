package check

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/arc"
	"sekimori/dkim"
	"sekimori/domain"
	"sekimori/message"
)

// today is the time of the scenarios.
var today = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)

// recipe makes a scenario. The zone may hold RSA and ED25519 for the public
// keys; the message is the draft, signed, edited, under the trace.
type recipe struct {
	name, why string
	zone      string
	conn      connectionFile
	trace     string // fields on top
	draft     string
	sign      []signing
	edit      func(string) string
	resign    []signing // after the edit
	seal      string    // the domain that seals at last (ARC), selector s1
	found     string    // what it found, for its ARC-Authentication-Results
	broken    bool      // the chain is broken after it was sealed
}

type signing struct {
	domain, selector, key string // key: "rsa" or "ed25519"
	expires               time.Duration
}

func name(t testing.TB, s string) domain.Name {
	t.Helper()
	n, err := domain.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func testKey(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "keys", kind+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return k.(crypto.Signer)
}

// publicKeys puts the public keys into a zone.
func publicKeys(t testing.TB, zone string) string {
	t.Helper()
	for _, kind := range []string{"rsa", "ed25519"} {
		der, err := x509.MarshalPKIXPublicKey(testKey(t, kind).Public())
		if err != nil {
			t.Fatal(err)
		}
		if kind == "ed25519" {
			der = der[len(der)-32:] // RFC 8463 §4.2: the key alone
		}
		p := base64.StdEncoding.EncodeToString(der)
		text := `"v=DKIM1; k=` + kind + `; p=`
		for len(p) > 200 {
			text += p[:200] + `" "`
			p = p[200:]
		}
		zone = strings.ReplaceAll(zone, strings.ToUpper(kind), text+p+`"`)
	}
	return zone
}

// signed signs a message with CRLF or LF line ends.
func signed(t testing.TB, text string, with ...signing) string {
	t.Helper()
	for _, s := range with {
		h, body, err := message.Read(strings.NewReader(text), 0)
		if err != nil {
			t.Fatal(err)
		}
		signer := &dkim.Signer{Domain: name(t, s.domain), Selector: s.selector, Key: testKey(t, s.key), Expires: s.expires,
			Now: func() time.Time { return today.Add(-time.Hour) }}
		fields, err := dkim.Sign(h, body, signer)
		if err != nil {
			t.Fatal(err)
		}
		text = strings.Join(fields, "") + text
	}
	return text
}

// sealed puts a first ARC Set on a message.
func sealed(t testing.TB, text, by, found string) string {
	t.Helper()
	h, body, err := message.Read(strings.NewReader(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &arc.Sealer{Domain: name(t, by), Selector: "s1", Key: testKey(t, "rsa"), Now: func() time.Time { return today.Add(-time.Minute) }}
	fields, err := s.Seal(h, body, arc.None, found)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(fields, "") + text
}

func crlfs(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

func writeScenarios(t *testing.T, root string) {
	t.Helper()
	for _, r := range recipes() {
		dir := filepath.Join(root, r.name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		text := signed(t, crlfs(r.draft), r.sign...)
		if r.edit != nil {
			text = r.edit(text)
		}
		text = signed(t, text, r.resign...)
		if r.seal != "" {
			text = sealed(t, text, r.seal, r.found)
		}
		if r.broken {
			text = replace("of November", "of December")(text)
		}
		text = crlfs(r.trace) + text
		conn, err := json.MarshalIndent(r.conn, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		for file, content := range map[string]string{
			"message.eml": text,
			"zone":        "$TTL 3600\n" + publicKeys(t, strings.TrimLeft(r.zone, "\n")),
			"why.md":      strings.TrimSpace(r.why) + "\n",
			"conn.json":   string(conn) + "\n",
		} {
			path := filepath.Join(dir, file)
			if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, []byte(content)) {
				continue
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
