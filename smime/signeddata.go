package smime

import (
	"bytes"
	"slices"
	"time"
)

// Object identifiers of content types (RFC 5652 §4 to §8, RFC 5083, RFC 3274).
const (
	oidData              = "1.2.840.113549.1.7.1"
	oidSignedData        = "1.2.840.113549.1.7.2"
	oidEnvelopedData     = "1.2.840.113549.1.7.3"
	oidEncryptedData     = "1.2.840.113549.1.7.6"
	oidAuthEnvelopedData = "1.2.840.113549.1.9.16.1.23"
	oidCompressedData    = "1.2.840.113549.1.9.16.1.9"
)

// Object identifiers of signed attributes (RFC 5652 §11).
const (
	oidContentType   = "1.2.840.113549.1.9.3"
	oidMessageDigest = "1.2.840.113549.1.9.4"
	oidSigningTime   = "1.2.840.113549.1.9.5"
)

// signedData is the SignedData of RFC 5652 §5.1, as far as it is used. All
// slices are of the input.
type signedData struct {
	contentType  string
	content      []byte // eContent
	hasContent   bool
	certificates [][]byte
	beyond       int // certificates that were not kept
	signers      []signerInfo
	unread       int // signers beyond the limit
}

// signerInfo is the SignerInfo of RFC 5652 §5.3.
type signerInfo struct {
	issuer, serial []byte // DER of the name; contents of the integer
	keyID          []byte // instead of the two
	digest         algorithm
	signature      algorithm
	value          []byte
	attributes     element // [0] IMPLICIT SET OF Attribute
	hasAttributes  bool

	messageDigest []byte
	contentType   string
	signingTime   time.Time
	repeated      string // the attribute that occurs twice, or has no single value
}

// algorithm is an AlgorithmIdentifier (RFC 5280 §4.1.1.2).
type algorithm struct {
	oid    string
	params []byte // the whole element, or nil
}

// contentInfo reads the outermost layer (RFC 5652 §3): which type of content,
// and the scanner that stands before it.
func contentInfo(in []byte) (kind string, content *scanner, err error) {
	s := newScanner(in)
	e, err := s.expect(tagSequence, "ContentInfo")
	if err != nil {
		return "", nil, err
	}
	s = s.within(e)
	id, err := s.expect(tagOID, "content type")
	if err != nil {
		return "", nil, err
	}
	kind = oid(id.contents)
	x, err := s.expect(tagContext|constructed, "content")
	if err != nil {
		return kind, nil, err
	}
	return kind, s.within(x), nil
}

// readSignedData reads what contentInfo stands before.
func readSignedData(s *scanner, l Limits) (*signedData, error) {
	e, err := s.expect(tagSequence, "SignedData")
	if err != nil {
		return nil, err
	}
	s = s.within(e)
	if _, err := s.expect(tagInteger, "version"); err != nil {
		return nil, err
	}
	if _, err := s.expect(tagSet, "digestAlgorithms"); err != nil {
		return nil, err
	}
	d := &signedData{}
	e, err = s.expect(tagSequence, "encapContentInfo")
	if err != nil {
		return nil, err
	}
	if err := d.encapsulated(s.within(e)); err != nil {
		return nil, err
	}
	if s.peek() == tagContext|constructed {
		e, err := s.next()
		if err != nil {
			return nil, err
		}
		in := s.within(e)
		for in.more() {
			c, err := in.next()
			switch {
			case err != nil:
				return nil, err
			case c.tag != tagSequence: // an attribute certificate, or another format
			case len(d.certificates) == l.Certificates:
				d.beyond++
			default:
				d.certificates = append(d.certificates, c.full)
			}
		}
	}
	if s.peek() == tagContext|constructed|1 { // crls: not used
		if _, err := s.next(); err != nil {
			return nil, err
		}
	}
	e, err = s.expect(tagSet, "signerInfos")
	if err != nil {
		return nil, err
	}
	in := s.within(e)
	for in.more() {
		e, err := in.expect(tagSequence, "SignerInfo")
		if err != nil {
			return nil, err
		}
		if len(d.signers) == l.Signers {
			d.unread++
			continue
		}
		var i signerInfo
		if err := i.read(in.within(e)); err != nil {
			return nil, err
		}
		d.signers = append(d.signers, i)
	}
	return d, nil
}

// encapsulated reads EncapsulatedContentInfo (RFC 5652 §5.2).
func (d *signedData) encapsulated(s *scanner) error {
	id, err := s.expect(tagOID, "eContentType")
	if err != nil {
		return err
	}
	d.contentType = oid(id.contents)
	if !s.more() {
		return nil
	}
	x, err := s.expect(tagContext|constructed, "eContent")
	if err != nil {
		return err
	}
	s = s.within(x)
	if s.peek() != tagOctetString && s.peek() != tagOctetString|constructed {
		// PKCS #7 allowed any type here (RFC 5652 §5.2.1); mail has none but this.
		return s.fail("eContent is no octet string")
	}
	e, err := s.next()
	if err != nil {
		return err
	}
	d.hasContent = true
	d.content, err = s.octets(e)
	return err
}

func (i *signerInfo) read(s *scanner) error {
	if _, err := s.expect(tagInteger, "version of SignerInfo"); err != nil {
		return err
	}
	e, err := s.next()
	if err != nil {
		return err
	}
	switch e.tag {
	case tagSequence: // issuerAndSerialNumber
		in := s.within(e)
		name, err := in.expect(tagSequence, "issuer")
		if err != nil {
			return err
		}
		if len(name.full) > maxSmall {
			return &malformed{name.offset, "a name beyond all bounds"}
		}
		if i.issuer, err = in.distinguished(name, 0); err != nil {
			return err
		}
		serial, err := in.expect(tagInteger, "serial number")
		if err != nil {
			return err
		}
		i.serial = serial.contents
	case tagContext: // subjectKeyIdentifier
		i.keyID = e.contents
	case tagContext | constructed:
		if i.keyID, err = s.octets(e); err != nil {
			return err
		}
	default:
		return &malformed{e.offset, "no identifier of the signer"}
	}
	if i.digest, err = s.algorithm(); err != nil {
		return err
	}
	if s.peek() == tagContext|constructed {
		if i.attributes, err = s.next(); err != nil {
			return err
		}
		i.hasAttributes = true
		if len(i.attributes.full) > maxSmall {
			return &malformed{i.attributes.offset, "signed attributes beyond all bounds"}
		}
		if err := i.readAttributes(s.within(i.attributes)); err != nil {
			return err
		}
	}
	if i.signature, err = s.algorithm(); err != nil {
		return err
	}
	if s.peek() != tagOctetString && s.peek() != tagOctetString|constructed {
		return s.fail("no signature value")
	}
	if e, err = s.next(); err != nil {
		return err
	}
	i.value, err = s.octets(e)
	return err // unsignedAttrs are not used
}

// maxSmall bounds, in octets, what is encoded anew.
const maxSmall = 64 << 10

func (s *scanner) algorithm() (algorithm, error) {
	var a algorithm
	e, err := s.expect(tagSequence, "algorithm")
	if err != nil {
		return a, err
	}
	in := s.within(e)
	id, err := in.expect(tagOID, "algorithm's identifier")
	if err != nil {
		return a, err
	}
	a.oid = oid(id.contents)
	if in.more() {
		p, err := in.next()
		if err != nil {
			return a, err
		}
		a.params = p.full
	}
	return a, nil
}

// readAttributes reads the signed attributes that matter. Each must be there
// once, with one value (RFC 5652 §11).
func (i *signerInfo) readAttributes(s *scanner) error {
	seen := map[string]bool{}
	for s.more() {
		a, err := s.expect(tagSequence, "attribute")
		if err != nil {
			return err
		}
		in := s.within(a)
		id, err := in.expect(tagOID, "attribute's type")
		if err != nil {
			return err
		}
		set, err := in.expect(tagSet, "attribute's values")
		if err != nil {
			return err
		}
		kind := oid(id.contents)
		switch kind {
		case oidContentType, oidMessageDigest, oidSigningTime:
		default:
			continue
		}
		values := in.within(set)
		if !values.more() || seen[kind] {
			i.repeated = kind
			continue
		}
		seen[kind] = true
		v, err := values.next()
		if err != nil {
			return err
		}
		if values.more() {
			i.repeated = kind
		}
		switch {
		case kind == oidContentType && v.tag == tagOID:
			i.contentType = oid(v.contents)
		case kind == oidMessageDigest && v.tag|constructed == tagOctetString|constructed:
			if i.messageDigest, err = values.octets(v); err != nil {
				return err
			}
		case kind == oidSigningTime:
			i.signingTime = readTime(v)
		}
	}
	return nil
}

// readTime reads a UTCTime or a GeneralizedTime as RFC 5652 §11.3 has it; the
// zero time where it is neither.
func readTime(e element) time.Time {
	layout := "20060102150405Z"
	switch e.tag {
	case 0x17:
		layout = "060102150405Z"
		if len(e.contents) == 11 {
			layout = "0601021504Z"
		}
	case 0x18:
	default:
		return time.Time{}
	}
	t, err := time.Parse(layout, string(e.contents))
	if err != nil {
		return time.Time{}
	}
	if e.tag == 0x17 && t.Year() >= 2050 { // RFC 5652 §11.3: YY below 50 is 20YY
		t = t.AddDate(-100, 0, 0)
	}
	return t
}

// toBeSigned returns what the signature of the attributes is over: their DER
// as an explicit SET OF (RFC 5652 §5.4), in the order given and, where that is
// not the order of DER, in that too. Signers do either.
func (i *signerInfo) toBeSigned() ([][]byte, error) {
	s := newScanner(i.attributes.full)
	e, err := s.next()
	if err != nil {
		return nil, err
	}
	given, err := s.distinguished(e, 0)
	if err != nil {
		return nil, err
	}
	given[0] = tagSet
	var parts [][]byte
	in := newScanner(given)
	if e, err = in.next(); err != nil {
		return nil, err
	}
	in = in.within(e)
	sorted := true
	for in.more() {
		a, err := in.next()
		if err != nil {
			return nil, err
		}
		if n := len(parts); n > 0 && bytes.Compare(parts[n-1], a.full) > 0 {
			sorted = false
		}
		parts = append(parts, a.full)
	}
	if sorted {
		return [][]byte{given}, nil
	}
	slices.SortFunc(parts, bytes.Compare)
	return [][]byte{given, appendElement(nil, tagSet, bytes.Join(parts, nil))}, nil
}
