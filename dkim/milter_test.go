package dkim

import (
	"encoding/base64"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sekimori/internal/require"
)

// TestAuthenticationMilter: what Fastmail's milter says of each signature in
// the messages it passed on, found again by the first octets of b=. A signature
// with rsa-sha1, which it accepts, is a permanent error (RFC 8301 §3.1).
func TestAuthenticationMilter(t *testing.T) {
	dir := require.Data(t, "auth-authentication-milter")
	zone := records{}
	for _, line := range strings.Split(read(t, filepath.Join(dir, "zonefile")), "\n") {
		owner, rest, ok := strings.Cut(line, "\tTXT\t")
		name := strings.TrimSuffix(strings.ToLower(strings.Fields(owner + " .")[0]), ".")
		if ok && strings.Contains(name, "._domainkey.") {
			// Some of it is quoted, some is not.
			txt := strings.TrimSuffix(strings.TrimPrefix(rest, "( "), " )")
			txt = strings.NewReplacer("\" \"", "", "\" ", "", "\"", "").Replace(txt)
			zone[name] = []string{strings.TrimSpace(txt)}
		}
	}
	var cases struct {
		Cases []struct {
			Source   string
			Expected string `json:"expected_output"`
		}
	}
	load(t, filepath.Join(dir, "cases.json"), &cases)
	said := regexp.MustCompile(`dkim=([a-z]+) \(([^)]*)\)\s+header\.d=\S+\s+header\.i=\S+\s+header\.b=(\S+)`)
	v := &Verifier{Resolver: zone, Now: at(testTime)}
	checked := 0
	for _, c := range cases.Cases {
		want := map[string]string{}
		for _, m := range said.FindAllStringSubmatch(read(t, filepath.Join(dir, c.Expected)), -1) {
			want[m[3]] = m[1]
		}
		for _, r := range verify(t, v, crlf(read(t, filepath.Join(dir, c.Source)))) {
			w, ok := want[base64.StdEncoding.EncodeToString(r.Signature.Value)[:8]]
			if !ok {
				continue // that session ran without DKIM
			}
			if r.Algorithm == RSASHA1 {
				w = string(PermError)
			}
			if string(r.Status) != w {
				t.Errorf("%s, %s: %s %s, want %s", c.Source, r.Domain, r.Status, r.Reason.Code, w)
			}
			checked++
		}
	}
	if checked < 20 {
		t.Errorf("%d signatures were compared, want 20 or more", checked)
	}
	t.Logf("%d signatures", checked)
}
