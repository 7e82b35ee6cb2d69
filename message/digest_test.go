package message

import (
	"bytes"
	"crypto"
	_ "crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// naiveCanon canonicalizes a body octet by octet: what bodyCanon is held
// against.
type naiveCanon struct {
	relaxed bool
	cr      bool // a CR is held back
	space   bool // white space is held back (relaxed)
	empty   int  // empty lines held back
	inLine  bool // the line has something in it
	any     bool // something was given out
	buf     []byte
}

func (c *naiveCanon) write(p []byte, out func([]byte)) {
	c.buf = c.buf[:0]
	for _, b := range p {
		if c.cr {
			c.cr = false
			if b == '\n' {
				c.endLine()
				continue
			}
			c.octet('\r')
		}
		switch b {
		case '\r':
			c.cr = true
		case '\n':
			c.endLine()
		default:
			c.octet(b)
		}
	}
	if len(c.buf) > 0 {
		c.any = true
		out(c.buf)
	}
}

func (c *naiveCanon) octet(b byte) {
	if c.relaxed && (b == ' ' || b == '\t') {
		c.space = true
		return
	}
	for ; c.empty > 0; c.empty-- {
		c.buf = append(c.buf, '\r', '\n')
	}
	if c.space {
		c.buf = append(c.buf, ' ')
		c.space = false
	}
	c.inLine = true
	c.buf = append(c.buf, b)
}

func (c *naiveCanon) endLine() {
	c.space = false
	if !c.inLine {
		c.empty++
		return
	}
	c.inLine = false
	c.buf = append(c.buf, '\r', '\n')
}

func (c *naiveCanon) close(out func([]byte)) {
	c.buf = c.buf[:0]
	if c.cr {
		c.cr = false
		c.octet('\r')
	}
	c.space = false
	if c.inLine || !c.relaxed && !c.any && len(c.buf) == 0 {
		c.buf = append(c.buf, '\r', '\n')
	}
	if len(c.buf) > 0 {
		out(c.buf)
	}
}

// naive returns the canonical form of a body in one piece.
func naive(body string, relaxed bool) string {
	var out []byte
	take := func(p []byte) { out = append(out, p...) }
	c := naiveCanon{relaxed: relaxed}
	c.write([]byte(body), take)
	c.close(take)
	return string(out)
}

// recorder is a hash that keeps what it is given.
type recorder struct{ bytes.Buffer }

func (r *recorder) Sum(b []byte) []byte { return append(b, r.Bytes()...) }
func (r *recorder) Size() int           { return r.Len() }
func (r *recorder) BlockSize() int      { return 64 }

// canonical returns the canonical form that bodyCanon gives of pieces.
func canonical(relaxed bool, pieces ...string) string {
	var r recorder
	c := bodyCanon{sinks: []*BodyDigest{{BodyHash: BodyHash{Limit: -1}, h: &r}}}
	for _, p := range pieces {
		if relaxed {
			c.writeRelaxed([]byte(p))
		} else {
			c.writeSimple([]byte(p))
		}
	}
	c.close(!relaxed)
	return r.String()
}

// tricky are bodies in which everything that matters is near something else
// that matters.
var tricky = []string{
	"", "\r\n", "\n", "\r", " ", "\t", " \r\n", "\r\n\r\n", "\r\r\n", "\n\r\n", "a", "a\r", "a\n", "a\r\n", "a \r\n",
	"\r\n\r\na\r\n\r\n\r\n", " a\r\n  b \r\n \t \r\n\r\n", "a\r\rb\r\n", "a \r b\r\n", "a \n b\n\n", "a\tb", "a \tb\t c\t",
	"\ta\r\n\t\r\n\tb  c", "a\x00 \x00b \x00", "a \x01\r\n", "x \r", "x \r\r", "\r\n \r\n", "a\r\n\r\nb", "a\r\n \r\nb", "a\r\n\n\nb\n\r",
	"日本語\r\n　全角  空白 \r\n", "a b c d e f g h i j k l m n o p  q r s t u v w x y z\r\n",
	strings.Repeat("0123456 ", 5) + "\r\n\r\n" + strings.Repeat("x", 33) + " \t\r\n\r\n",
}

func TestBodyCanonicalization(t *testing.T) {
	// RFC 6376 §3.4.5
	const body = " C \r\nD \t E\r\n\r\n\r\n"
	if got, want := canonical(true, body), " C\r\nD E\r\n"; got != want {
		t.Errorf("relaxed: %q, want %q", got, want)
	}
	if got, want := canonical(false, body), " C \r\nD \t E\r\n"; got != want {
		t.Errorf("simple: %q, want %q", got, want)
	}
	for _, body := range tricky {
		for _, relaxed := range []bool{false, true} {
			if got, want := canonical(relaxed, body), naive(body, relaxed); got != want {
				t.Errorf("relaxed %t, %q: %q, want %q", relaxed, body, got, want)
			}
		}
	}
}

// TestBodyPieces cuts bodies at every place and pair of places.
func TestBodyPieces(t *testing.T) {
	for _, body := range tricky {
		for _, relaxed := range []bool{false, true} {
			want := naive(body, relaxed)
			for i := 0; i <= len(body); i++ {
				for j := i; j <= len(body); j++ {
					if got := canonical(relaxed, body[:i], body[i:j], body[j:]); got != want {
						t.Fatalf("relaxed %t, %q | %q | %q: %q, want %q", relaxed, body[:i], body[i:j], body[j:], got, want)
					}
				}
			}
			pieces := strings.Split(body, "")
			if got := canonical(relaxed, pieces...); got != want {
				t.Errorf("relaxed %t, %q octet by octet: %q, want %q", relaxed, body, got, want)
			}
		}
	}
}

// TestBodyRandom draws bodies from a small alphabet and cuts them anywhere.
func TestBodyRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{" ", " ", "\t", "\r\n", "\r\n", "\r", "\n", "a", "bc", "word", "\x00", "\xe3\x81\x8a", "longer-word-here", strings.Repeat("z", 300)}
	for round := range 30000 {
		var b strings.Builder
		for range r.IntN(40) {
			b.WriteString(words[r.IntN(len(words)-round%4)])
		}
		body := b.String()
		var pieces []string
		for rest := body; rest != ""; {
			n := 1 + r.IntN(len(rest))
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		for _, relaxed := range []bool{false, true} {
			if got, want := canonical(relaxed, pieces...), naive(body, relaxed); got != want {
				t.Fatalf("relaxed %t, %q: %q, want %q", relaxed, pieces, got, want)
			}
		}
	}
}

func TestDigests(t *testing.T) {
	// RFC 6376 §3.4.3, §3.4.4: the hashes of an empty body.
	var d Digests
	simple := d.Add(BodyHash{Simple, crypto.SHA256, -1})
	relaxed := d.Add(BodyHash{Relaxed, crypto.SHA256, -1})
	if d.Add(BodyHash{"", crypto.SHA256, -7}) != simple {
		t.Error("an equal hash is worked out twice")
	}
	d.Close()
	if got := base64.StdEncoding.EncodeToString(simple.Sum()); got != "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=" {
		t.Errorf("simple: %s", got)
	}
	if got := base64.StdEncoding.EncodeToString(relaxed.Sum()); got != "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" {
		t.Errorf("relaxed: %s", got)
	}
	if simple.Octets() != 2 || relaxed.Octets() != 0 {
		t.Errorf("octets: %d and %d, want 2 and 0", simple.Octets(), relaxed.Octets())
	}
}

func TestDigestsLimit(t *testing.T) {
	body := strings.Repeat("one two  three \r\n", 400)
	for _, canon := range []Canonicalization{Simple, Relaxed} {
		want := naive(body, canon == Relaxed)
		for _, limit := range []int64{0, 1, 17, 1000, int64(len(want)) - 1, int64(len(want)), int64(len(want)) + 1, 1 << 62} {
			var d Digests
			b := d.Add(BodyHash{canon, crypto.SHA256, limit})
			all := d.Add(BodyHash{canon, crypto.SHA256, -1})
			for i := 0; i < len(body); i += 777 {
				d.Write([]byte(body[i:min(i+777, len(body))]))
			}
			d.Close()
			if b.Octets() != int64(len(want)) {
				t.Errorf("%s, limit %d: %d octets, want %d", canon, limit, b.Octets(), len(want))
			}
			sum := crypto.SHA256.New()
			sum.Write([]byte(want[:min(limit, int64(len(want)))]))
			if !bytes.Equal(b.Sum(), sum.Sum(nil)) {
				t.Errorf("%s, limit %d: another sum", canon, limit)
			}
			sum.Reset()
			sum.Write([]byte(want))
			if !bytes.Equal(all.Sum(), sum.Sum(nil)) {
				t.Errorf("%s beside limit %d: another sum", canon, limit)
			}
		}
	}
}

// FuzzDigests: the canonical form does not depend on how a body is cut, and is
// that of the naive way.
func FuzzDigests(f *testing.F) {
	for i, body := range tricky {
		f.Add(body, uint16(i*3), uint16(i))
	}
	f.Fuzz(func(t *testing.T, body string, i, j uint16) {
		a, b := min(int(i), len(body)), min(int(i)+int(j), len(body))
		for _, relaxed := range []bool{false, true} {
			want := naive(body, relaxed)
			if got := canonical(relaxed, body[:a], body[a:b], body[b:]); got != want {
				t.Errorf("relaxed %t, %q | %q | %q: %q, want %q", relaxed, body[:a], body[a:b], body[b:], got, want)
			}
			if again := canonical(relaxed, want); again != want {
				t.Errorf("relaxed %t: the canonical form %q has the canonical form %q", relaxed, want, again)
			}
		}
	})
}

// bodies of the kinds that mail has.
func benchBody(kind string, size int) []byte {
	var b bytes.Buffer
	r := rand.New(rand.NewPCG(3, 4))
	switch kind {
	case "base64":
		for b.Len() < size {
			for range 76 {
				b.WriteByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[r.IntN(64)])
			}
			b.WriteString("\r\n")
		}
	case "japanese":
		for b.Len() < size {
			for range 20 + r.IntN(18) {
				b.WriteRune(rune('ぁ' + r.IntN(80)))
			}
			b.WriteString("。\r\n")
		}
	case "text", "prose", "code":
		for b.Len() < size {
			if kind == "code" {
				b.WriteString(strings.Repeat("\t", r.IntN(3)) + strings.Repeat("    ", r.IntN(3)))
			}
			for col := 0; col < 66; {
				n := 1 + r.IntN(9)
				b.WriteString("abcdefghijklmnop"[:n])
				if kind == "prose" && r.IntN(8) == 0 {
					b.WriteString(".  ")
				} else {
					b.WriteByte(' ')
				}
				col += n + 1
			}
			b.WriteString("end\r\n")
			if r.IntN(6) == 0 {
				b.WriteString("\r\n")
			}
		}
	}
	return b.Bytes()[:size]
}

// discard is a hash that costs nothing, to see the canonicalization alone.
type discard struct{ n int }

func (d *discard) Write(p []byte) (int, error) { d.n += len(p); return len(p), nil }
func (d *discard) Sum(b []byte) []byte         { return b }
func (d *discard) Reset()                      {}
func (d *discard) Size() int                   { return 0 }
func (d *discard) BlockSize() int              { return 64 }

func BenchmarkDigests(b *testing.B) {
	for _, size := range []int{10 << 10, 100 << 10} {
		for _, kind := range []string{"text", "prose", "code", "japanese", "base64"} {
			body := benchBody(kind, size)
			b.Run(fmt.Sprintf("raw/%s/%dK", kind, size>>10), func(b *testing.B) {
				b.SetBytes(int64(size))
				for b.Loop() {
					h := crypto.SHA256.New()
					h.Write(body)
					h.Sum(nil)
				}
			})
			for _, canon := range []Canonicalization{Simple, Relaxed} {
				b.Run(fmt.Sprintf("%s/%s/%dK", canon, kind, size>>10), func(b *testing.B) {
					b.SetBytes(int64(size))
					for b.Loop() {
						var d Digests
						s := d.Add(BodyHash{canon, crypto.SHA256, -1})
						d.Write(body)
						d.Close()
						s.Sum()
					}
				})
				b.Run(fmt.Sprintf("%s-alone/%s/%dK", canon, kind, size>>10), func(b *testing.B) {
					b.SetBytes(int64(size))
					for b.Loop() {
						c := bodyCanon{sinks: []*BodyDigest{{BodyHash: BodyHash{Limit: -1}, h: &discard{}}}}
						if canon == Relaxed {
							c.writeRelaxed(body)
						} else {
							c.writeSimple(body)
						}
						c.close(canon == Simple)
					}
				})
			}
		}
	}
}
