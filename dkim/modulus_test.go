package dkim

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	mrand "math/rand/v2"
	"testing"
)

// TestVerifyPrepared holds the prepared verification against crypto/rsa: on
// good signatures, on changed ones, and on any number below and above the
// modulus.
func TestVerifyPrepared(t *testing.T) {
	for _, bits := range []int{1024, 1032, 1536, 2048, 4096} {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		m := prepare(&k.PublicKey)
		if m == nil {
			t.Fatalf("%d bits: not prepared", bits)
		}
		for i := range 200 {
			digest := sha256.Sum256([]byte{byte(i)})
			sig, err := rsa.SignPKCS1v15(nil, k, crypto.SHA256, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			switch i % 8 {
			case 1:
				sig[mrand.IntN(len(sig))] ^= 1 << mrand.IntN(8)
			case 2:
				digest[mrand.IntN(32)] ^= 1 << mrand.IntN(8)
			case 3:
				sig = sig[:len(sig)-1]
			case 4:
				sig = append([]byte{0}, sig...)
			case 5:
				sig = new(big.Int).Add(new(big.Int).SetBytes(sig), k.N).Bytes()
			case 6:
				_, _ = rand.Read(sig)
			case 7:
				sig = k.N.FillBytes(make([]byte, len(sig)))
			}
			want := rsa.VerifyPKCS1v15(&k.PublicKey, crypto.SHA256, digest[:], sig) == nil
			if got := verifyPrepared(m, k.E, digest[:], sig); got != want {
				t.Fatalf("%d bits, case %d: %v, crypto/rsa %v", bits, i%8, got, want)
			}
			if want != (i%8 == 0) {
				t.Fatalf("%d bits, case %d: crypto/rsa %v", bits, i%8, want)
			}
		}
	}
	if prepare(&rsa.PublicKey{N: big.NewInt(0).Lsh(big.NewInt(1), 2047), E: 65537}) != nil {
		t.Error("an even modulus was prepared")
	}
}
