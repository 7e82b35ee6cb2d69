package aggregate

// The kinds of deviation that are tolerated. Each names its own remedy in the
// reading: what was read instead, or what was left out.
const (
	// BrokenHeader: the XML declaration is malformed, repeated, or not at the
	// very beginning (XML 1.0 §2.8). It was read for its encoding and skipped.
	BrokenHeader DeviationCode = "broken-header"
	// WrongEncoding: the declared encoding is unknown, or the bytes are
	// plainly in another one. The text was read as what the bytes are, UTF-8
	// where that cannot be told.
	WrongEncoding DeviationCode = "wrong-encoding"
	// InvalidUTF8: bytes that are not UTF-8 became U+FFFD.
	InvalidUTF8 DeviationCode = "invalid-utf8"
	// InvalidCharacter: a character that XML forbids (XML 1.0 §2.2), such as
	// a control, became U+FFFD.
	InvalidCharacter DeviationCode = "invalid-character"
	// UnescapedMarkup: "<" or "&" that begins no markup was read as text.
	UnescapedMarkup DeviationCode = "unescaped-markup"
	// StraySchema: an XML Schema tag outside the report was skipped.
	StraySchema DeviationCode = "stray-schema"
	// StrayText: text between elements, where there is none, was skipped.
	StrayText DeviationCode = "stray-text"
	// TrailingContent: what follows the report's end was not read.
	TrailingContent DeviationCode = "trailing-content"
	// UnknownElement: an element that neither form has was skipped. The
	// extension points of RFC 9990 are not deviations.
	UnknownElement DeviationCode = "unknown-element"
	// RepeatedElement: an element that comes once came again; the first holds.
	RepeatedElement DeviationCode = "repeated-element"
	// MissingElement: an element that the form requires is absent or empty.
	MissingElement DeviationCode = "missing-element"
	// RenamedElement: an element under another name ("identities" for
	// "identifiers", or in another case) was read as the one meant.
	RenamedElement DeviationCode = "renamed-element"
	// OutOfOrder: the head, or a part of it, follows the first record.
	OutOfOrder DeviationCode = "out-of-order"
	// NoRecords: the report has no record at all; both forms require one.
	NoRecords DeviationCode = "no-records"

	// MissingNamespace: an RFC 9990 report, told by its elements, without the
	// namespace that RFC 9990 requires.
	MissingNamespace DeviationCode = "missing-namespace"
	// OtherNamespace: the report is in a namespace that neither form defines.
	OtherNamespace DeviationCode = "other-namespace"
	// BadVersion: RFC 9990 has the version "1.0" only; RFC 7489 a decimal.
	BadVersion DeviationCode = "bad-version"
	// OtherForm: an element or a value that only the other form has. It was
	// read with the meaning it has there.
	OtherForm DeviationCode = "other-form"
	// MixedCase: a token not in lower case ("Pass") was read in lower case.
	MixedCase DeviationCode = "mixed-case"
	// NonstandardValue: an unregistered token with a known meaning was read
	// as the registered one: "hardfail" as "fail", SPF "unknown" as
	// "temperror" and "error" as "permerror", scope "mailfrom" as "mfrom".
	NonstandardValue DeviationCode = "nonstandard-value"
	// UnknownValue: a token nobody defines was read as absent: a result as
	// "none", a disposition as "none", an aligned result as a fail.
	UnknownValue DeviationCode = "unknown-value"
	// EmptyReason: a reason without type and comment was left out.
	EmptyReason DeviationCode = "empty-reason"
	// AddressForDomain: an e-mail address where a domain belongs; the part
	// after the last "@" was read.
	AddressForDomain DeviationCode = "address-for-domain"
	// BadDomain: the policy domain is no domain name; it was kept as sent, in
	// lower case.
	BadDomain DeviationCode = "bad-domain"
	// BracketedReportID: a report id in "<…>", as in a mail header; the
	// brackets were taken off.
	BracketedReportID DeviationCode = "bracketed-report-id"
	// FractionalTime: begin or end with a fraction, which was cut off.
	FractionalTime DeviationCode = "fractional-time"
	// NegativeTime: begin or end before 1970 was read as 1970-01-01.
	NegativeTime DeviationCode = "negative-time"
	// ReversedPeriod: end is before begin; it was read as begin.
	ReversedPeriod DeviationCode = "reversed-period"
	// LongPeriod: the period is 36 hours or longer, so that it belongs to
	// more than one day.
	LongPeriod DeviationCode = "long-period"
	// ZeroCount: a record of no messages. It was read as it stands.
	ZeroCount DeviationCode = "zero-count"
	// SkippedRow: a record whose address or count is missing, or whose address
	// is none, was left out. Deviation.Messages adds up the messages lost.
	SkippedRow DeviationCode = "skipped-row"
	// ListCut: a list (results, reasons, errors) is longer than the limit; its
	// further members were left out.
	ListCut DeviationCode = "list-cut"
	// MoreDeviations: the list of deviations is full; Times counts the rest.
	MoreDeviations DeviationCode = "more-deviations"
)

// DeviationCodes lists every DeviationCode, for those who translate them.
func DeviationCodes() []DeviationCode {
	return []DeviationCode{
		BrokenHeader, WrongEncoding, InvalidUTF8, InvalidCharacter, UnescapedMarkup,
		StraySchema, StrayText, TrailingContent, UnknownElement, RepeatedElement,
		MissingElement, RenamedElement, OutOfOrder, NoRecords, MissingNamespace,
		OtherNamespace, BadVersion, OtherForm, MixedCase, NonstandardValue,
		UnknownValue, EmptyReason, AddressForDomain, BadDomain, BracketedReportID,
		FractionalTime, NegativeTime, ReversedPeriod, LongPeriod, ZeroCount,
		SkippedRow, ListCut, MoreDeviations,
	}
}

// maxDetail is the most bytes of a value that a Deviation quotes.
const maxDetail = 200

// deviations gathers what was tolerated in one report.
type deviations struct {
	list []Deviation
	max  int
	full bool // the last of list is MoreDeviations
}

// find returns the deviation of that code at that element, nil where it has
// not been met.
func (d *deviations) find(code DeviationCode, element string) *Deviation {
	for i := range d.list {
		if v := &d.list[i]; v.Code == code && v.Element == element {
			return v
		}
	}
	return nil
}

// again counts a deviation that was met before, and tells whether it was. When
// the list is full it counts any.
func (d *deviations) again(code DeviationCode, element string) *Deviation {
	v := d.find(code, element)
	if v == nil && d.full {
		v = &d.list[len(d.list)-1]
	}
	if v != nil {
		v.Times++
	}
	return v
}

// add notes a deviation met for the first time and returns it. The last place
// of a full list becomes MoreDeviations.
func (d *deviations) add(v Deviation) *Deviation {
	if len(d.list) >= d.max-1 {
		d.full = true
		v = Deviation{Code: MoreDeviations, Line: v.Line, Offset: v.Offset, Times: 1}
	}
	v.Detail = quote(v.Detail)
	d.list = append(d.list, v)
	return &d.list[len(d.list)-1]
}

// quote cuts a value to maxDetail bytes without splitting a character.
func quote(s string) string {
	if len(s) <= maxDetail {
		return s
	}
	const mark = "…"
	n := maxDetail - len(mark)
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + mark
}
