package differential

import (
	"regexp"
	"slices"
	"strings"
)

// Directions of a disagreement.
func weAlone(c dkimCase) bool   { return c.ours.class == "pass" && c.theirs.class != "pass" }
func theyAlone(c dkimCase) bool { return c.ours.class != "pass" && c.theirs.class == "pass" }
func neither(c dkimCase) bool   { return c.ours.class != "pass" && c.theirs.class != "pass" }

// when makes a rule's condition: a direction, and one of the oddities.
func when(direction func(dkimCase) bool, odd ...string) func(dkimCase) bool {
	return func(c dkimCase) bool { return direction(c) && c.has(odd...) }
}

// whenAbout is when for the beginning of an oddity's name.
func whenAbout(direction func(dkimCase) bool, prefix string) func(dkimCase) bool {
	return func(c dkimCase) bool { return direction(c) && c.about(prefix) }
}

var bareCR = regexp.MustCompile(`\r([^\n]|$)`)

// dkimRules are the disagreements that are known. The order counts: the first
// that fits is taken.
var dkimRules = []rule[dkimCase]{
	{"rsa-sha1", "RFC 8301 §3.1", "they verify rsa-sha1; it must not be", when(theyAlone, "tag:a sha1")},
	{"algorithm in capitals", "RFC 6376 §3.2", "they take the value of a= in any case; tag values are case-sensitive unless said otherwise", when(theyAlone, "tag:a RSA-SHA256")},
	{"canonicalization in capitals", "RFC 6376 §3.2", "the same of c=", whenAbout(theyAlone, "tag:c Relaxed")},
	{"key type in capitals", "RFC 6376 §3.2", "the same of k=", when(theyAlone, "key:upper")},
	{"tag of the signature twice", "RFC 6376 §3.2", "they take the last of a repeated tag; the whole list is invalid", whenAbout(theyAlone, "tag:twice")},
	{"name of a tag", "RFC 6376 §3.2", "they allow names of tags that begin with a digit or have a hyphen", when(theyAlone, "tag:name with hyphen", "tag:syntax 9=x")},
	{"version 0.5", "RFC 6376 §3.5", "they still verify drafts of the time before RFC 4871; v must be 1", when(theyAlone, "tag:v=0.5")},
	{"numbers with white space", "RFC 6376 §3.5", "they delete white space inside numbers (t=12 34); digits only", when(theyAlone, "tag:t syntax", "tag:x syntax", "tag:l syntax")},
	{"empty or odd name in h=", "RFC 6376 §3.5", "they skip empty names and names with spaces in h=; each must be a field name", when(theyAlone, "tag:h empty name", "tag:h syntax")},
	{"h= syntax after a changed bit", "RFC 6376 §3.5", "the same, by chance", when(theyAlone, "mail:signature bit")},
	{"key for another algorithm", "RFC 6376 §6.1.2, RFC 8463 §4", "they do not hold k= against a=; the key must be of the algorithm's type", when(theyAlone, "key:other kind", "key:k missing")},
	{"version not first in the key", "RFC 6376 §3.6.1", "they take v= anywhere; it must stand first", when(theyAlone, "key:version last")},
	{"bare CR", "RFC 5322 §2.2, §2.3", "they drop a bare CR near the end of a line; it is an octet like others", func(c dkimCase) bool {
		return theyAlone(c) && c.about("mail:") && bareCR.MatchString(c.text)
	}},
	{"leading white space of a field", "none: how their test mode reads", "it puts one space after the colon before it verifies \"simple\"", func(c dkimCase) bool {
		return theyAlone(c) && c.headCanon == "simple" && c.has("mail:field leading space", "mail:field white space", "mail:field refolded", "mail:field bit")
	}},

	{"white space before the colon", "RFC 6376 §3.4.2, RFC 5322 §4.5", "they refuse such a header; relaxed deletes the white space", when(weAlone, "mail:space before colon")},
	{"t= in the future", "RFC 6376 §3.5", "they use the MAY and ignore the signature; clocks differ and the date is the signer's own", when(weAlone, "tag:t future")},
	{"x= far away", "RFC 6376 §3.5", "they refuse numbers that they cannot hold; beyond 10^12 it may count as infinite", when(weAlone, "tag:x huge")},
	{"octets beyond ASCII in an unknown tag", "RFC 6376 §3.2, RFC 8616 §3", "they refuse the signature; unknown tags are ignored", when(weAlone, "tag:syntax n=é")},
	{"empty tags in the key", "RFC 6376 §3.2", "they refuse \";;\", which some records in use have; we pass over it (documented)", when(weAlone, "key:broken tags")},
	{"bare RSA key", "RFC 6376 §3.6.1", "they know SubjectPublicKeyInfo only; the clause says RSAPublicKey", when(weAlone, "key:pkcs1")},
	{"one = more in bh=", "RFC 6376 §2.10", "they compare the text of bh=; the octets are the same, and the grammar allows two \"=\"", when(weAlone, "tag:bh syntax bh=%bh=")},

	{"a length beyond the body", "RFC 6376 §3.5", "both refuse; they call it a fault of the signature, we a body that was cut short", func(c dkimCase) bool {
		return neither(c) && c.ours.detail == "dkim.body-short"
	}},
	{"From that cannot be read", "RFC 6376 §6.1", "they do not verify such a message; we do, and the signature fails", func(c dkimCase) bool {
		return neither(c) && c.theirs.class == "none"
	}},
	{"one malformed signature of two", "RFC 6376 §6.1", "they give up on the message; for us the other signature passes", func(c dkimCase) bool {
		return weAlone(c) && c.has("mail:signature twice") && strings.HasPrefix(c.theirs.detail, "refused")
	}},
	{"header refused", "RFC 6376 §6.1", "they stop at a header or a signature that they cannot parse; we go on, and it fails", func(c dkimCase) bool {
		return neither(c) && strings.HasPrefix(c.theirs.detail, "refused")
	}},
	{"key with two p=", "RFC 6376 §3.2", "they verify with the last p= and fail; for us the record is invalid", when(neither, "key:twice p")},
	{"base64 that is none", "RFC 6376 §2.10", "they pass over octets that are no base64, and the signature fails; for us it is malformed", func(c dkimCase) bool {
		return neither(c) && c.ours.class == "invalid" && (c.about("tag:b") || c.has("mail:signature bit"))
	}},
	{"several things wrong", "RFC 8601 §2.7.1", "both refuse, each names another of the faults", func(c dkimCase) bool {
		return neither(c) && len(c.odd) > 1
	}},
	{"form before content", "RFC 6376 §6.1.1", "both refuse: for us the form of a tag is wrong, they try and fail", func(c dkimCase) bool {
		return neither(c) && c.ours.class == "invalid" && c.theirs.class == "fail" && slices.ContainsFunc(c.odd, func(o string) bool { return strings.HasPrefix(o, "tag:") })
	}},
}
