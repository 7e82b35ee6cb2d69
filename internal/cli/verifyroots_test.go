package cli

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/internal/locale"
	"sekimori/message"
	"sekimori/smime"
)

// TestVerifySMIME tells a message that is signed by S/MIME, with the signer's
// root given and without.
func TestVerifySMIME(t *testing.T) {
	dir := t.TempDir()
	arrived := time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "City Hall"}, EmailAddresses: []string{"news@good.example"},
		NotBefore: arrived.AddDate(-1, 0, 0), NotAfter: arrived.AddDate(1, 0, 0), BasicConstraintsValid: true, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	field, _ := message.ParseField("From: news@good.example\r\n")
	mail, err := smime.Sign(message.Header{field}, []byte("from the city\r\n"), &smime.Credential{Certificate: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"zone": []byte(checkZone), "mail.eml": mail, "empty.pem": []byte("nothing\n"),
		"root.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args   string
		status int
		want   []string // in the output, or among the complaints
	}{
		{"mail.eml --roots root.pem", StatusNegative, []string{"S/MIME pass       signed with the certificate of City Hall", "smime=pass body.smime-identifier=news@good.example"}},
		{"mail.eml --roots root.pem --json", StatusNegative, []string{`"form": "detached"`, `"roots": "given"`, `"match": "address"`}},
		{"mail.eml", StatusNegative, []string{"S/MIME policy", "The signer made the certificate himself or herself", "smime=policy reason=self-signed"}},
		{"mail.eml --roots nowhere.pem", StatusUsage, []string{"--roots nowhere.pem: no such file"}},
		{"mail.eml --roots empty.pem", StatusUsage, []string{"no certificate found: want PEM"}},
		{"mail.eml --roots .", StatusUsage, []string{"want a file of certificates"}},
	} {
		var out, errs bytes.Buffer
		st := Run(t.Context(), Env{Args: append([]string{"verify", "--zone", "zone", "--time", "2026-11-20T09:30:00Z"}, strings.Fields(tt.args)...),
			Out: &out, Err: &errs, Dir: dir, Lang: locale.English})
		if st != tt.status {
			t.Errorf("%s: status %d, want %d\n%s", tt.args, st, tt.status, errs.String())
		}
		for _, want := range tt.want {
			if !strings.Contains(out.String()+errs.String(), want) {
				t.Errorf("%s: no %q in\n%s%s", tt.args, want, out.String(), errs.String())
			}
		}
	}
}
