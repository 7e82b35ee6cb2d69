package dkim

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"strings"

	"sekimori/explain"
	"sekimori/taglist"
)

// LintKeys says what is wrong with the TXT records found at one name, and what
// could be better. Exactly one key record is wanted there (RFC 6376
// §3.6.2.2); records that are plainly something else are passed over where
// there is a key.
func LintKeys(records []string, name string) []explain.Finding {
	var out []explain.Finding
	looked := 0
	for _, txt := range records {
		if len(records) > 1 && !looksLikeKey(txt) {
			continue
		}
		if looked++; looked > maxKeys {
			continue
		}
		out = append(out, LintKey(txt, name)...)
	}
	if looked > 1 {
		out = append(out, explain.Finding{Grade: explain.Warning, Step: step("dkim.key-records-several", "RFC 6376 §3.6.2.2",
			explain.Args{"name": explain.ClipFolded(name), "count": int64(looked)})})
	}
	return out
}

// looksLikeKey tells a key record, however broken, from other text.
func looksLikeKey(txt string) bool {
	list, _ := taglist.Parse(txt)
	_, p := list.Get("p")
	_, k := list.Get("k")
	v, _ := list.Get("v")
	return (p || k || strings.EqualFold(v, "DKIM1")) && !strings.EqualFold(v, "DMARC1")
}

// LintKey says what is wrong with a key record, and what could be better. Name
// is where it is published; it is only repeated. No finding says that all is
// well. Where the same key can be published in a better form, Publish is that
// record; a key that is itself too weak has to be made anew.
func LintKey(txt, name string) []explain.Finding {
	l := linter{txt: txt, name: name}
	var problems []*Error
	l.key, problems = readKey(txt)
	if l.pasted() {
		return l.found
	}
	for _, e := range problems {
		var fix func(*Key)
		if e.Step.Code == "dkim.key-version" || e.Step.Code == "dkim.key-version-place" {
			fix = func(*Key) {}
		}
		if !l.explained(e.Step.Code) {
			l.add(explain.Error, e.Step, partOf(e), fix)
		}
	}
	if len(txt) <= maxKeyRecord {
		l.form()
	}
	if onlyVersion(problems) {
		l.content()
	}
	l.suggest()
	return l.found
}

type linter struct {
	txt, name string
	key       *Key
	found     []explain.Finding
	better    *Key // what to publish instead
	fixes     []int
}

func partOf(e *Error) string {
	if part, ok := e.Step.Args["part"].(string); ok {
		return part
	}
	tag, _ := e.Step.Args["tag"].(string)
	value, ok := e.Step.Args["value"].(string)
	if !ok {
		return ""
	}
	return tag + "=" + value
}

// add notes a finding. fix changes the record so that it goes away.
func (l *linter) add(g explain.Grade, s explain.Step, part string, fix func(*Key)) {
	l.found = append(l.found, explain.Finding{Grade: g, Step: s, Part: part})
	if fix == nil {
		return
	}
	if l.better == nil {
		k := *l.key
		k.Versioned = true
		l.better = &k
	}
	fix(l.better)
	l.fixes = append(l.fixes, len(l.found)-1)
}

// suggest puts the improved record into the findings that it heals.
func (l *linter) suggest() {
	if l.better == nil || l.better.Revoked() {
		return
	}
	value := l.better.String()
	if _, err := ParseKey(value); err != nil {
		return
	}
	for _, i := range l.fixes {
		l.found[i].Publish = &explain.Publish{Name: l.name, Type: "TXT", Value: value}
	}
}

// pasted recognizes a record with the quotes or the backslashes of a zone file
// in it, and says nothing else then: the rest follows from them.
func (l *linter) pasted() bool {
	if !strings.ContainsAny(l.txt, "\"\\") || len(l.txt) > maxKeyRecord {
		return false
	}
	clean := strings.NewReplacer("\" \"", "", "\"", "", "\\;", ";", "\\", "").Replace(l.txt)
	k, err := ParseKey(strings.TrimSpace(clean))
	if err != nil {
		return false
	}
	k.Versioned = true
	l.key = k
	l.add(explain.Error, step("dkim.key-pasted", "RFC 6376 §3.6.1", nil), explain.ClipFolded(l.txt), func(*Key) {})
	l.suggest()
	if p := l.found[0].Publish; p != nil {
		// What is left to improve is improved in the same step.
		for _, f := range LintKey(p.Value, l.name) {
			if f.Publish != nil {
				l.found[0].Publish = f.Publish
				break
			}
		}
	}
	return true
}

// explained looks for the usual reasons of a p= that does not decode.
func (l *linter) explained(code string) bool {
	list, _ := taglist.Parse(l.txt)
	p, _ := list.Get("p")
	der := l.key.Data
	switch code {
	case "dkim.key-not-base64":
		// A key that was cut off need not end where base64 may.
		der, _ = decodeBase64(p)
		return len(der)+3 > len(p)/4*3 && l.truncated(p, der)
	case "dkim.key-undecodable":
	default:
		return false
	}
	if l.key.Type == Ed25519 {
		if any, err := x509.ParsePKIXPublicKey(der); err == nil {
			if pub, ok := any.(ed25519.PublicKey); ok {
				// RFC 8463 §4.2: the bare key; tools give it wrapped.
				l.add(explain.Error, step("dkim.key-ed25519-wrapped", "RFC 8463 §4.2", nil), "p="+explain.ClipFolded(p), func(k *Key) {
					k.Data, k.Public = pub, pub
				})
				return true
			}
		}
		if pub, err := rsaKey(der); err == nil {
			l.add(explain.Error, step("dkim.key-type-wrong", "RFC 8463 §4.1", explain.Args{"type": string(Ed25519), "is": string(RSA)}),
				"k="+string(Ed25519), func(k *Key) { k.Type, k.Public = RSA, pub })
			return true
		}
		return false
	}
	if len(der) == ed25519.PublicKeySize {
		l.add(explain.Error, step("dkim.key-type-wrong", "RFC 8463 §4.1", explain.Args{"type": string(RSA), "is": string(Ed25519)}),
			"k="+string(RSA), func(k *Key) { k.Type, k.Public = Ed25519, ed25519.PublicKey(k.Data) })
		return true
	}
	return l.truncated(p, der)
}

// truncated recognizes a key of which only the beginning is there.
func (l *linter) truncated(p string, der []byte) bool {
	want, ok := derLength(der)
	if !ok || want <= len(der) {
		return false
	}
	l.add(explain.Error, step("dkim.key-truncated", "RFC 6376 §3.6.2.2", explain.Args{
		"octets": int64(len(der)), "want": int64(want), "length": int64(len(l.txt))}), "p="+explain.ClipFolded(p), nil)
	return true
}

// derLength is how long a DER SEQUENCE says it is, with its head.
func derLength(b []byte) (int, bool) {
	if len(b) < 4 || b[0] != 0x30 {
		return 0, false
	}
	switch b[1] {
	case 0x81:
		return int(b[2]) + 3, true
	case 0x82:
		return int(b[2])<<8 + int(b[3]) + 4, true
	}
	return int(b[1]) + 2, b[1] < 0x80
}

// form looks at how the record is written.
func (l *linter) form() {
	list, faults := taglist.Parse(l.txt)
	none := func(*Key) {}
	for _, f := range faults {
		if f.Kind == taglist.Empty {
			l.add(explain.Warning, step("dkim.key-empty-tag", "RFC 6376 §3.2", explain.Args{"octet": int64(f.Offset) + 1}), "", none)
			break
		}
	}
	if _, ok := list.Get("v"); !ok {
		// RFC 6376 §3.6.1, "v": recommended
		l.add(explain.Advice, step("dkim.key-unversioned", "RFC 6376 §3.6.1", nil), "", none)
	}
	if p, ok := list.Get("p"); ok && strings.ContainsAny(p, " \t\r\n") {
		l.add(explain.Advice, step("dkim.key-spaces", "RFC 6376 §3.6.1", nil), "p="+explain.ClipFolded(p), none)
	}
	for _, t := range l.key.Extra {
		part := t.Name + "=" + explain.ClipFolded(t.Value)
		drop := func(k *Key) {
			k.Extra = slices.DeleteFunc(slices.Clone(k.Extra), func(x taglist.Tag) bool { return x.Name == t.Name })
			if len(k.Extra) == 0 {
				k.Extra = nil
			}
		}
		if t.Name == "g" { // RFC 6376 §C, RFC 4871 §3.6.1
			grade := explain.Advice
			if t.Value != "*" {
				grade = explain.Warning
			}
			l.add(grade, step("dkim.key-granularity", "RFC 6376 §3.6.1", explain.Args{"value": explain.ClipFolded(t.Value)}), part, drop)
			continue
		}
		l.add(explain.Advice, step("dkim.key-tag-unknown", "RFC 6376 §3.2", explain.Args{"tag": explain.ClipFolded(t.Name)}), part, drop)
	}
	if l.key.Testing() {
		l.add(explain.Warning, step("dkim.key-testing", "RFC 6376 §3.6.1", nil), "t="+explain.ClipFolded(strings.Join(l.key.Flags, ":")), func(k *Key) {
			k.Flags = without(k.Flags, "y")
		})
	}
}

func without(list []string, word string) []string {
	out := slices.DeleteFunc(slices.Clone(list), func(w string) bool { return w == word })
	if len(out) == 0 {
		return nil
	}
	return out
}

// content looks at a record that can be read.
func (l *linter) content() {
	k := l.key
	if k.Hashes != nil && !slices.Contains(k.Hashes, "sha256") {
		l.add(explain.Error, keyProblem("dkim.key-hash-refused", "h", strings.Join(k.Hashes, ":")).Step,
			"h="+explain.ClipFolded(strings.Join(k.Hashes, ":")), func(k *Key) { k.Hashes = nil })
	} else if slices.Contains(k.Hashes, "sha1") {
		l.add(explain.Advice, step("dkim.key-hash-sha1", "RFC 8301 §3.1", nil), "h="+explain.ClipFolded(strings.Join(k.Hashes, ":")),
			func(k *Key) { k.Hashes = without(k.Hashes, "sha1") })
	}
	if k.Services != nil && !slices.Contains(k.Services, "*") && !slices.Contains(k.Services, "email") {
		grade := explain.Error
		if slices.Contains(k.Services, "tlsrpt") { // RFC 8460 §3
			grade = explain.Advice
		}
		l.add(grade, keyProblem("dkim.key-service", "s", strings.Join(k.Services, ":")).Step,
			"s="+explain.ClipFolded(strings.Join(k.Services, ":")), nil)
	}
	if k.Revoked() {
		l.add(explain.Advice, step("dkim.key-revoked", "RFC 6376 §3.6.1", nil), "p=", nil)
		return
	}
	pub, ok := k.Public.(*rsa.PublicKey)
	if !ok {
		l.add(explain.Advice, step("dkim.key-ed25519", "RFC 8463 §5", nil), "k="+string(k.Type), nil)
		return
	}
	bits := pub.N.BitLen()
	args := explain.Args{"bits": int64(bits)}
	switch {
	case bits < 1024:
		l.add(explain.Error, length("dkim.key-short", bits, 1024).Step, "", nil)
	case bits < 2048:
		l.add(explain.Advice, step("dkim.key-weak", "RFC 8301 §3.2", args), "", nil)
	case bits > 4096:
		l.add(explain.Warning, length("dkim.key-long", bits, 4096).Step, "", nil)
	}
	if pub.E < 65537 {
		l.add(explain.Warning, step("dkim.key-exponent", "RFC 6376 §3.3.1", explain.Args{"exponent": int64(pub.E)}), "", nil)
	}
	if _, err := x509.ParsePKIXPublicKey(k.Data); err != nil {
		// RFC 6376 §3.6.1 names RSAPublicKey, its example and everybody use
		// SubjectPublicKeyInfo (erratum 3017).
		if der, err := x509.MarshalPKIXPublicKey(pub); err == nil {
			l.add(explain.Warning, step("dkim.key-bare", "RFC 6376 §3.6.1", nil), "", func(k *Key) { k.Data = der })
		}
	}
}
