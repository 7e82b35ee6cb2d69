package dkim

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/dns"
	"sekimori/internal/require"
	"sekimori/message"
	"sekimori/taglist"
)

func load(t *testing.T, path string, into any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func codes(res []Result) string {
	var b strings.Builder
	for _, r := range res {
		b.WriteString(" " + string(r.Status) + ":" + r.Reason.Code)
	}
	return b.String()
}

// corpusZone reads the zone of Mail::DKIM's corpus: a name and its TXT record,
// or what the server does instead.
func corpusZone(t *testing.T, path string) records {
	zone := records{}
	for _, line := range strings.Split(read(t, path), "\n") {
		line = strings.TrimRight(line, "\r")
		name, txt, ok := strings.Cut(line, " ")
		txt = strings.TrimSpace(txt)
		switch {
		case !ok || line[0] == '#' || txt == "NXDOMAIN":
		case strings.HasPrefix(txt, "~~"):
			zone[strings.ToLower(name)] = []string{"SERVFAIL"}
		default:
			zone[strings.ToLower(name)] = []string{txt}
		}
	}
	return zone
}

// TestMailDKIMCorpus: 79 messages. What the collection's upstream calls a pass
// is one by the rules of 2007; by those of RFC 8301 one message may pass.
// DomainKeys signatures (RFC 4870) are no DKIM signatures.
func TestMailDKIMCorpus(t *testing.T) {
	dir := require.Data(t, "dkim-mail-dkim-corpus")
	zone := corpusZone(t, filepath.Join(dir, "FAKE_DNS.dat"))
	var want struct {
		Cases []struct {
			File, Note, Kind string
			Upstream         string `json:"upstream_result"`
			RFC8301          string `json:"rfc8301_result"`
			Signatures       []struct {
				Usable bool `json:"usable_today"`
			}
		}
	}
	load(t, filepath.Join(dir, "expected.json"), &want)
	if len(want.Cases) != 79 {
		t.Errorf("%d cases, want 79", len(want.Cases))
	}
	v := &Verifier{Resolver: zone, Now: at(testTime)}
	passed, old := 0, 0
	for _, c := range want.Cases {
		msg := read(t, filepath.Join(dir, c.File))
		res := verify(t, v, msg)
		if strings.HasPrefix(c.Kind, "domainkeys") {
			if len(res) != 0 {
				t.Errorf("%s: %s, want no DKIM signature", c.File, codes(res))
			}
			continue
		}
		if len(res) == 0 {
			t.Errorf("%s: no result", c.File)
		}
		for i, r := range res {
			ok := false
			switch {
			case c.RFC8301 == "pass":
				ok = r.Status == Pass
			case c.Upstream == "fail" && len(c.Signatures) > 0 && c.Signatures[0].Usable:
				ok = r.Status == Fail
			case c.Upstream == "invalid":
				ok = r.Status == PermError || r.Status == TempError
			default: // not usable today
				ok = r.Status == PermError
			}
			if !ok {
				t.Errorf("%s, signature %d: %s %s; upstream %s %s %s", c.File, i+1, r.Status, r.Reason.Code, c.Upstream, c.Note, c.RFC8301)
			}
			if r.Status == Pass {
				passed++
			}
		}
		if c.Upstream == "pass" && c.RFC8301 != "pass" {
			old += historic(t, zone, c.File, msg)
		}
	}
	if passed != 1 {
		t.Errorf("%d signatures pass, want 1", passed)
	}
	// The old passes must still agree octet for octet: only the rules changed.
	if old < 20 {
		t.Errorf("%d of the historic signatures agree, want 20 or more", old)
	}
}

// historic verifies a message by the rules before RFC 8301: SHA-1, short keys,
// no or another version. It returns 1 where a signature agrees.
func historic(t *testing.T, zone records, file, msg string) int {
	h, body, err := message.Read(strings.NewReader(msg), 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	fields := NewFields(h)
	var why []string
	for _, f := range h.All("DKIM-Signature") {
		list, _ := taglist.Parse(f.RawValue())
		a, _ := list.Get("a")
		sig, _ := signatureOf(list, false)
		bh, ok := list.Get("bh")
		if !ok {
			return 0 // of the drafts before RFC 4871, which hashed otherwise
		}
		sig.BodyHash, _ = decodeBase64(bh)
		hash := crypto.SHA256
		if strings.HasSuffix(a, "sha1") {
			hash = crypto.SHA1
		}
		var d message.Digests
		limit := int64(-1)
		if sig.Limited {
			limit = sig.Length
		}
		sum := d.Add(message.BodyHash{Canonicalization: sig.BodyCanon, Hash: hash, Limit: limit})
		d.Write(raw)
		d.Close()
		if !bytes.Equal(sum.Sum(), sig.BodyHash) {
			why = append(why, "the body hash differs")
			continue
		}
		answer, err := zone.Lookup(context.Background(), KeyName(sig.Selector, sig.Domain.String()), dns.TXT)
		if err != nil {
			why = append(why, err.Error())
			continue
		}
		k, problems := readKey(answer.Records[0])
		pub, ok := k.Public.(*rsa.PublicKey)
		if !ok {
			why = append(why, fmt.Sprint("no key: ", problems))
			continue
		}
		in := AppendSelf(fields.AppendSigned(nil, sig.HeaderCanon, sig.Headers), sig.HeaderCanon, f)
		digest := hash.New()
		digest.Write(in)
		em := new(big.Int).Exp(new(big.Int).SetBytes(sig.Value), big.NewInt(int64(pub.E)), pub.N)
		if bytes.HasSuffix(em.Bytes(), digest.Sum(nil)) {
			return 1
		}
		why = append(why, "the signature differs")
	}
	t.Errorf("%s: no signature agrees by the old rules: %s", file, strings.Join(why, "; "))
	return 0
}

func TestRealMail(t *testing.T) {
	dir := require.Data(t, "realmail-kernel")
	var keys struct{ Published, Recovered map[string]string }
	load(t, filepath.Join(dir, "dns.json"), &keys)
	zone := records{}
	for _, m := range []map[string]string{keys.Published, keys.Recovered} {
		for name, txt := range m {
			zone[strings.ToLower(name)] = []string{txt}
		}
	}
	mails := map[string]string{}
	f, err := os.Open(filepath.Join(dir, "messages.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		mails[filepath.Base(h.Name)] = string(raw)
	}
	index, err := os.Open(filepath.Join(dir, "index.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer index.Close()
	rows, err := csv.NewReader(index).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	signatures := 0
	for _, row := range rows[1:] {
		file := row[column["file"]]
		when, err := time.Parse(time.RFC3339, row[column["date"]])
		if err != nil {
			t.Fatal(err)
		}
		v := &Verifier{Resolver: zone, Now: at(when)}
		res := verify(t, v, mails[file])
		want := strings.Fields(row[column["dkim"]])
		if len(res) != len(want) {
			t.Errorf("%s: %d signatures, want %d", file, len(res), len(want))
			continue
		}
		for i, w := range want {
			signatures++
			key, result, _ := strings.Cut(w, "=")
			name, algorithm, _ := strings.Cut(key, ":")
			r := res[i]
			if got := r.Selector + "._domainkey." + r.Domain.String(); !strings.EqualFold(got, name) || string(r.Algorithm) != algorithm {
				t.Errorf("%s, signature %d: %s %s, want %s", file, i+1, got, r.Algorithm, key)
			}
			got := string(r.Status)
			if r.Reason.Code == "dkim.key-absent" {
				got = "nokey" // the collection has not got every key
			}
			if got != result {
				t.Errorf("%s, signature %d by %s: %s (%s), want %s", file, i+1, name, got, r.Reason.Code, result)
			}
		}
	}
	if signatures < 250 {
		t.Errorf("%d signatures seen, want 250 or more", signatures)
	}
}
