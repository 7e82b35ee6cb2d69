package cli

import (
	"crypto/x509"
	"fmt"
	"os"

	"sekimori/smime"
)

// maxRoots bounds a file of roots, in octets.
const maxRoots = 16 << 20

// smimeVerifier makes a verifier for S/MIME that trusts the roots of a file of
// certificates (PEM); without a file those of the system.
func (e *Env) smimeVerifier(file string) (*smime.Verifier, error) {
	roots, err := e.certificates("--roots", file)
	return &smime.Verifier{Roots: roots}, err
}

// certificates reads the file of certificates (PEM) that a flag names; nil
// where it names none.
func (e *Env) certificates(flag, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	path := e.path(file)
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w", flag, file, unwrapPath(err))
	case !info.Mode().IsRegular() || info.Size() > maxRoots:
		return nil, fmt.Errorf("%s %s: want a file of certificates in PEM, of at most %d MiB", flag, file, maxRoots>>20)
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, file, unwrapPath(err))
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s %s: no certificate found: want PEM, beginning with -----BEGIN CERTIFICATE-----", flag, file)
	}
	return pool, nil
}
