package bimi

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidLogotype = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 12}

	oidSHA1   = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
)

var (
	errLogotype = errors.New("logotype extension: want a subjectLogo with a direct image (RFC 3709 §4.1)")
	errDataURI  = errors.New("logotype extension: want a data URI of image/svg+xml in base64")
	errHash     = errors.New("logotype extension: the image is not the one of its hash")
)

// logotype takes the file of the logo, mostly in gzip, out of the value of a
// logotype extension (RFC 3709 §4.1, RFC 6170 §4): of the subject's logo the
// first image, which the certificate itself holds (RFC 2397).
func logotype(value []byte) ([]byte, error) {
	in := cryptobyte.String(value)
	var extension cryptobyte.String
	if !in.ReadASN1(&extension, tags.SEQUENCE) || !in.Empty() {
		return nil, errLogotype
	}
	context := func(n uint8) tags.Tag { return tags.Tag(n).ContextSpecific().Constructed() }
	var subject, direct, images, image, details, hashes, uris cryptobyte.String
	// communityLogos [0] and issuerLogo [1] may come first.
	if !extension.SkipOptionalASN1(context(0)) || !extension.SkipOptionalASN1(context(1)) ||
		!extension.ReadASN1(&subject, context(2)) ||
		!subject.ReadASN1(&direct, context(0)) ||
		!direct.ReadASN1(&images, tags.SEQUENCE) ||
		!images.ReadASN1(&image, tags.SEQUENCE) ||
		!image.ReadASN1(&details, tags.SEQUENCE) ||
		!details.SkipASN1(tags.IA5String) ||
		!details.ReadASN1(&hashes, tags.SEQUENCE) ||
		!details.ReadASN1(&uris, tags.SEQUENCE) {
		return nil, errLogotype
	}
	var uri cryptobyte.String
	if !uris.ReadASN1(&uri, tags.IA5String) {
		return nil, errLogotype
	}
	head, data, ok := strings.Cut(string(uri), ",")
	scheme, params, _ := strings.Cut(head, ":")
	if !ok || !strings.EqualFold(scheme, "data") || !strings.EqualFold(strings.ReplaceAll(params, " ", ""), "image/svg+xml;base64") {
		return nil, errDataURI
	}
	file, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return nil, errDataURI
	}
	return file, fingerprint(hashes, file)
}

// fingerprint holds a file against the hashes: one that is known and agrees is
// enough. Issuers hash what is in the certificate, or what that unpacks to.
func fingerprint(hashes cryptobyte.String, file []byte) error {
	plain, _ := Unpack(file)
	known := false
	for n := 0; !hashes.Empty() && n < 8; n++ {
		var one, algorithm, sum cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !hashes.ReadASN1(&one, tags.SEQUENCE) || !one.ReadASN1(&algorithm, tags.SEQUENCE) ||
			!algorithm.ReadASN1ObjectIdentifier(&oid) || !one.ReadASN1(&sum, tags.OCTET_STRING) {
			return errLogotype
		}
		for _, b := range [][]byte{file, plain} {
			var got []byte
			switch {
			case oid.Equal(oidSHA1): // a fingerprint that the certificate's signature covers
				h := sha1.Sum(b)
				got = h[:]
			case oid.Equal(oidSHA256):
				h := sha256.Sum256(b)
				got = h[:]
			case oid.Equal(oidSHA384):
				h := sha512.Sum384(b)
				got = h[:]
			case oid.Equal(oidSHA512):
				h := sha512.Sum512(b)
				got = h[:]
			default:
				continue
			}
			if known = true; bytes.Equal(got, sum) {
				return nil
			}
		}
	}
	if known {
		return errHash
	}
	return nil
}
