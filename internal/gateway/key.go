package gateway

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"sekimori/dkim"
	"sekimori/domain"
	"sekimori/explain"
)

// Key is a private key to sign with, as the configuration names it.
type Key struct {
	Domain   domain.Name
	Selector string
	File     string // PEM: PKCS #1 or PKCS #8; RSA or Ed25519
}

// maxKeyFile bounds the file of a key; one of 16,384 bits takes 13 KiB.
const maxKeyFile = 64 << 10

// LoadKeys reads keys from their files. What is wrong with any of them is an
// error, which names every file at fault and what to do; then there is no
// Signer. The findings are about keys that work, and could be better.
//
// A file must be readable by its owner alone. One of root's may be readable by
// root's group or by one that this process is in (0640), which is how a key is
// given to a service that runs as somebody else; it may never be written to by
// others than its owner.
func LoadKeys(keys []Key) (*Signer, []explain.Finding, error) {
	s := &Signer{byDomain: map[domain.Name][]*signingKey{}}
	var errs []error
	seen := map[string]string{}
	for _, k := range keys {
		loaded, err := loadKey(k)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if other, twice := seen[loaded.name]; twice {
			errs = append(errs, fmt.Errorf("%s: the selector %q of %s has a key already, %s: give each key a selector of its own", k.File, k.Selector, k.Domain, other))
			continue
		}
		seen[loaded.name] = k.File
		s.keys = append(s.keys, loaded)
		s.byDomain[k.Domain] = append(s.byDomain[k.Domain], loaded)
	}
	if len(errs) > 0 {
		return nil, nil, errors.Join(errs...)
	}
	return s, s.advice(), nil
}

func loadKey(k Key) (*signingKey, error) {
	if k.Domain.IsZero() {
		return nil, fmt.Errorf("%s: the key has no domain: name the one it signs for", k.File)
	}
	out := &signingKey{file: k.File, name: dkim.KeyName(k.Selector, k.Domain.String())}
	if out.name == "" {
		return nil, fmt.Errorf("%s: the selector %q is no name: use letters, digits and hyphens, such as s2026", k.File, explain.Clip(k.Selector))
	}
	private, err := readKey(k.File)
	if err != nil {
		return nil, err
	}
	if _, err := dkim.AlgorithmOf(private); err != nil {
		return nil, fmt.Errorf("%s: %w", k.File, err)
	}
	record, err := dkim.NewKey(private.Public())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.File, err)
	}
	out.record, out.bits = record.String(), record.Bits()
	out.signer = dkim.Signer{Domain: k.Domain, Selector: k.Selector, Key: private}
	return out, nil
}

// readKey reads a private key of a file that nobody else can read.
func readKey(path string) (crypto.Signer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait
		return nil, fmt.Errorf("%s: not a file: name the file of a private key (PEM)", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	defer f.Close()
	// The open file is what counts, not its name, which may lead elsewhere by now.
	if info, err = f.Stat(); err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	if err := guarded(path, info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("%s: longer than %d octets: not the file of a private key", path, maxKeyFile)
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// parseKey reads the one private key of a PEM file. Certificates, public keys
// and parameters beside it are passed over.
func parseKey(text []byte) (crypto.Signer, error) {
	var found crypto.Signer
	public := false
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		var key any
		var err error
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return nil, errors.New("the key is encrypted, and nobody is there to type its passphrase: store it without one (openssl pkey -in OLD -out NEW) and guard the file")
		case block.Type == "PRIVATE KEY": // RFC 5958
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case block.Type == "RSA PRIVATE KEY": // RFC 8017 appendix A.1.2
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case block.Type == "EC PRIVATE KEY":
			return nil, errors.New("an elliptic curve key that DKIM does not have: make an RSA or an Ed25519 key")
		case block.Type == "OPENSSH PRIVATE KEY":
			return nil, errors.New("a key of OpenSSH: make one for DKIM (openssl genpkey -algorithm ed25519)")
		default:
			public = public || strings.HasSuffix(block.Type, "PUBLIC KEY")
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("the private key cannot be read: %w", err)
		}
		if found != nil {
			return nil, errors.New("more than one private key: keep each in a file of its own")
		}
		switch key := key.(type) {
		case *rsa.PrivateKey:
			found = key
		case ed25519.PrivateKey:
			found = key
		default:
			return nil, errors.New("the key is neither RSA nor Ed25519: make one of these")
		}
	}
	switch {
	case found != nil:
		return found, nil
	case public:
		return nil, errors.New("a public key; the private one is needed to sign")
	case len(bytes.TrimSpace(text)) == 0:
		return nil, errors.New("the file is empty")
	}
	return nil, errors.New("no private key in it: want PEM, beginning with \"-----BEGIN PRIVATE KEY-----\"")
}
