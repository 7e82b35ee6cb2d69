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
	v := &smime.Verifier{}
	if file == "" {
		return v, nil
	}
	path := e.path(file)
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("--roots %s: %w", file, unwrapPath(err))
	case !info.Mode().IsRegular() || info.Size() > maxRoots:
		return nil, fmt.Errorf("--roots %s: want a file of certificates in PEM, of at most %d MiB", file, maxRoots>>20)
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--roots %s: %w", file, unwrapPath(err))
	}
	v.Roots = x509.NewCertPool()
	if !v.Roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--roots %s: no certificate found: want PEM, beginning with -----BEGIN CERTIFICATE-----", file)
	}
	return v, nil
}
