package smime

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"sekimori/internal/require"
)

var mutations = flag.Int("mutations", 60, "how many damaged messages TestDifferential shows to OpenSSL")

// stricter are the reasons for which a signature that OpenSSL lets pass is
// none here, each by its clause.
var stricter = map[string]string{
	"smime.algorithms-disagree": "RFC 5652 §5.3: OpenSSL takes the digest's algorithm, whatever the signature's says",
	"smime.unreadable":          "RFC 5652 §5.1: OpenSSL does not look at all fields",
	"smime.part-missing":        "RFC 8551 §3.5.3: OpenSSL does not look at the type of the second part",
	"smime.content-unknown":     "RFC 8551 §2.4: the content of a mail is data",
	"":                          "RFC 8551 §3.9: the header no longer says that it is S/MIME",
}

// TestDifferential damages signed messages at random and compares with
// OpenSSL. What it rejects must never pass here; where it is the more lenient,
// there must be a reason.
func TestDifferential(t *testing.T) {
	program := require.Program(t, "openssl", "openssl")
	p := newPKI(t)
	signer := p.leaf(t, "rsa", nil)
	var seeds [][]byte
	for _, opaque := range []bool{false, true} {
		c := signer.credential(p.middle)
		c.Opaque = opaque
		seeds = append(seeds, sign(t, c, plainMail))
	}
	content := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(content, []byte("Content-Type: text/plain\r\n\r\nfrom the city\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, keyFile := writeKey(t, signer)
	for _, args := range [][]string{{"-nodetach", "-stream"}, {"-stream"}, {"-noattr"}} {
		out, err := exec.Command(program, append([]string{"cms", "-sign", "-binary", "-in", content, "-signer", cert, "-inkey", keyFile}, args...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, append([]byte("From: news@city.example.jp\n"), out...))
	}
	random := rand.New(rand.NewPCG(1, 2))
	table := map[string]int{}
	for n := range *mutations {
		raw := damage(random, seeds[n%len(seeds)])
		in := parse(t, raw)
		in.Arrived = today
		r := p.v.Verify(context.Background(), in)
		ours := false
		for _, s := range r.Signers {
			ours = ours || s.Signature == Yes
		}
		theirs := openssl(t, program, raw)
		switch {
		case ours == theirs:
			table[fmt.Sprintf("both %v", ours)]++
		case ours:
			table["only we: "+r.Reason.Code]++
			// The damage is in how the message is wrapped, or in a part of a
			// certificate that the signature does not need.
			if !bytes.Equal(shown(t, raw), shown(t, seeds[n%len(seeds)])) {
				t.Errorf("message %d: OpenSSL rejects what gets %s here, and it is not what was signed:\n%s", n, r.Status, raw)
			}
		default:
			table["only OpenSSL: "+r.Reason.Code]++
			if stricter[r.Reason.Code] == "" {
				t.Errorf("message %d: OpenSSL accepts what gets %s (%s) here:\n%s", n, r.Status, r.Reason.Code, raw)
			}
		}
		if testing.Verbose() && ours != theirs {
			if a, b := firstDifference(seeds[n%len(seeds)], raw); len(a)+len(b) < 400 {
				t.Logf("%d: %s, OpenSSL %v: %q became %q", n, r.Reason.Code, theirs, a, b)
			}
		}
	}
	var lines []string
	for k, n := range table {
		lines = append(lines, fmt.Sprintf("%6d  %s", n, k))
	}
	sort.Strings(lines)
	t.Logf("%d messages:\n%s", *mutations, strings.Join(lines, "\n"))
}

// shown is the content that a message shows as signed.
func shown(t *testing.T, raw []byte) []byte {
	in := parse(t, raw)
	f, ok := find(entity{header: in.Header, body: in.Body}, 0)
	if !ok {
		t.Errorf("no signed content in\n%s", raw)
		return nil
	}
	if f.form == Detached {
		return withCRLF(f.content)
	}
	_, s, err := contentInfo(f.cms)
	if err != nil {
		t.Fatal(err)
	}
	d, err := readSignedData(s, Limits{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	return d.content
}

// firstDifference returns the lines around where two messages differ.
func firstDifference(a, b []byte) (string, string) {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	from := bytes.LastIndexByte(a[:i], '\n') + 1
	line := func(m []byte) string {
		rest := m[min(from, len(m)):]
		if n := bytes.IndexByte(rest, '\n'); n >= 0 {
			rest = rest[:n]
		}
		return string(rest)
	}
	return line(a), line(b)
}

// damage changes a message in one place.
func damage(random *rand.Rand, seed []byte) []byte {
	raw := bytes.Clone(seed)
	at := random.IntN(len(raw))
	switch random.IntN(8) {
	case 0: // a bit
		raw[at] ^= 1 << random.IntN(7)
	case 1: // a character of base64 for another
		at = len(raw) * 2 / 3
		at += random.IntN(len(raw) - at)
		raw[at] = "ABCDEFGHabcdefgh01234567+/"[random.IntN(26)]
	case 2:
		raw = append(raw[:at], raw[at+1:]...)
	case 3:
		raw = append(raw[:at], append([]byte("x"), raw[at:]...)...)
	case 4:
		raw = append(raw[:at], append([]byte("\r\n"), raw[at:]...)...)
	case 5: // a line twice
		lines := bytes.SplitAfter(raw, []byte("\n"))
		i := random.IntN(len(lines))
		raw = bytes.Join(append(lines[:i+1:i+1], lines[i:]...), nil)
	case 6: // a line gone
		lines := bytes.SplitAfter(raw, []byte("\n"))
		i := random.IntN(len(lines))
		raw = bytes.Join(append(lines[:i:i], lines[i+1:]...), nil)
	default:
		raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	}
	return raw
}
