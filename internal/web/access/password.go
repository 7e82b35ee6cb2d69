package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// verifier tells the right password. It takes the same time for every wrong one.
type verifier interface{ right(password string) bool }

// newVerifier reads a configured password: a hash, or the password itself.
func newVerifier(s string) (verifier, error) {
	switch {
	case strings.HasPrefix(s, "$argon2"):
		h, err := parseArgon2id(s)
		if err != nil {
			return nil, err
		}
		return h, nil
	case strings.HasPrefix(s, "$2a$"), strings.HasPrefix(s, "$2b$"), strings.HasPrefix(s, "$2y$"):
		if _, err := bcrypt.Cost([]byte(s)); err != nil {
			return nil, fmt.Errorf("the password's bcrypt hash: %w", err)
		}
		return bcryptHash(s), nil
	case len(s) < MinPassword:
		return nil, fmt.Errorf("the password is too short: want at least %d characters", MinPassword)
	}
	return plainPassword(sha256.Sum256([]byte(s))), nil
}

// plainPassword is the digest of a password that is configured in the clear.
type plainPassword [32]byte

func (p plainPassword) right(password string) bool {
	sum := sha256.Sum256([]byte(password))
	return subtle.ConstantTimeCompare(sum[:], p[:]) == 1
}

type bcryptHash string

func (h bcryptHash) right(password string) bool {
	// bcrypt reads 72 bytes; longer ones it refuses.
	return bcrypt.CompareHashAndPassword([]byte(h), []byte(password)) == nil
}

// argon2idHash is a hash as of RFC 9106.
type argon2idHash struct {
	memory, time uint32 // KiB, passes
	threads      uint8
	salt, sum    []byte
}

var errArgon2 = errors.New("the password's argon2id hash: want $argon2id$v=19$m=KIB,t=PASSES,p=THREADS$SALT$HASH")

// parseArgon2id reads the PHC string form. At most 1 GiB and 32 passes.
func parseArgon2id(s string) (argon2idHash, error) {
	var h argon2idHash
	f := strings.Split(s, "$")
	if len(f) != 6 || f[1] != "argon2id" || f[2] != "v=19" {
		return h, errArgon2
	}
	if n, err := fmt.Sscanf(f[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); n != 3 || err != nil {
		return h, errArgon2
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(f[4]); err != nil {
		return h, errArgon2
	}
	if h.sum, err = base64.RawStdEncoding.DecodeString(f[5]); err != nil {
		return h, errArgon2
	}
	if h.memory < 8 || h.memory > 1<<20 || h.time < 1 || h.time > 32 || h.threads < 1 || len(h.salt) < 8 || len(h.sum) < 16 || len(h.sum) > 64 {
		return h, errors.New("the password's argon2id hash: parameters out of range (m up to 1048576, t up to 32, a salt of 8 bytes or more, a hash of 16 to 64)")
	}
	return h, nil
}

func (h argon2idHash) right(password string) bool {
	sum := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(sum, h.sum) == 1
}
