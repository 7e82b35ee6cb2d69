package aggregate

import (
	"strings"
	"time"

	"sekimori/domain"
)

// latest is the last second of the year 9999: what is later is no timestamp
// in seconds.
const latest = 253402300799

// head reads one element of the report that is not a record.
func (r *Reader) head(k *element) error {
	if k.id == idExtension {
		if r.report.Form != RFC9990 {
			r.s.note(OtherForm, k.path, "")
		}
		return r.s.discard(k)
	}
	if r.seen.has(k.id) {
		r.s.note(RepeatedElement, k.path, "")
		return r.s.discard(k)
	}
	if r.records > 0 {
		r.s.note(OutOfOrder, k.path, "")
	}
	r.in = 0
	var err error
	switch k.id {
	case idVersion:
		err = r.version(k)
	case idMetadata:
		err = r.metadata(k)
	case idPolicy:
		err = r.policy(k)
	}
	if err != nil {
		return err
	}
	whole := r.whole()
	r.seen.add(k.id)
	if r.whole() && !whole {
		r.checkVersion()
	}
	return nil
}

// whole tells whether the head was read.
func (r *Reader) whole() bool { return r.seen.has(idMetadata) && r.seen.has(idPolicy) }

func (r *Reader) version(k *element) error {
	b, err := r.s.text(k)
	if err != nil {
		return err
	}
	r.report.Version = string(b)
	r.versionAt.line, r.versionAt.off = r.s.tagPlace()
	return nil
}

// checkVersion is for when the head is whole, for the form decides: RFC 9990
// §3.1.1.1 knows "1.0" only, RFC 7489 appendix C any decimal.
func (r *Reader) checkVersion() {
	v := r.report.Version
	rest := strings.Trim(v, "0123456789")
	if v == "" || v == "1.0" || r.report.Form == RFC7489 && (rest == "" || rest == ".") {
		return
	}
	r.s.dev.add(Deviation{
		Code: BadVersion, Element: "version", Line: r.versionAt.line, Offset: r.versionAt.off,
		Detail: clean([]byte(v)), Times: 1,
	})
}

var (
	requiredMetadata = setOf(idOrgName, idEmail)
	requiredPolicy   = setOf(idP, idSP)
	requiredPolicy9  = setOf(idP)
)

// metadata reads report_metadata.
func (r *Reader) metadata(e *element) error {
	m := &r.report.Metadata
	errors := 0
	for {
		k, err := r.s.child(e)
		if err != nil {
			return err
		}
		if k == nil {
			break
		}
		if k.id == idError {
			if errors++; errors == 2 && r.report.Form == RFC9990 {
				r.s.note(OtherForm, k.path, "")
			}
		} else if r.repeated(k) {
			if err := r.s.discard(k); err != nil {
				return err
			}
			continue
		}
		if k.id == idDateRange {
			if err := r.dateRange(k); err != nil {
				return err
			}
			continue
		}
		b, err := r.s.text(k)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			r.in &^= 1 << k.id
			continue
		}
		if k.id == idError && len(m.Errors) >= r.limit.Reasons {
			r.s.note(ListCut, k.path, "")
			continue
		}
		v := string(b)
		switch k.id {
		case idOrgName:
			m.OrgName = v
		case idEmail:
			m.Email = v
		case idContact:
			m.ExtraContactInfo = v
		case idReportID:
			m.ReportID = r.reportID(k, v)
		case idGenerator:
			m.Generator = v
			r.is9990(k)
		case idError:
			m.Errors = append(m.Errors, v)
		}
	}
	// Without these the report cannot be told from others, or placed.
	if m.ReportID == "" {
		return r.s.fail(nil, "report_metadata has no report_id")
	}
	if !r.in.has(idDateRange) {
		return r.s.fail(nil, "report_metadata has no date_range")
	}
	if requiredMetadata&^r.in != 0 {
		r.need(e, requiredMetadata)
	}
	return nil
}

// reportID takes the brackets off an id that is written as in a mail header.
func (r *Reader) reportID(k *element, v string) string {
	if t := strings.TrimSuffix(strings.TrimPrefix(v, "<"), ">"); t != v && t != "" {
		r.s.note(BracketedReportID, k.path, clean([]byte(v)))
		return strings.TrimSpace(t)
	}
	return v
}

// dateRange reads date_range.
func (r *Reader) dateRange(e *element) error {
	var begin, end int64
	var has elementSet
	for {
		k, err := r.s.child(e)
		if err != nil {
			return err
		}
		if k == nil {
			break
		}
		if r.repeated(k) {
			if err := r.s.discard(k); err != nil {
				return err
			}
			continue
		}
		b, err := r.s.text(k)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			continue
		}
		t, err := r.timestamp(k, string(b))
		if err != nil {
			return err
		}
		has.add(k.id)
		if k.id == idBegin {
			begin = t
		} else {
			end = t
		}
	}
	switch {
	case !has.has(idBegin) && !has.has(idEnd):
		return r.s.fail(nil, "date_range has neither begin nor end")
	case !has.has(idBegin):
		r.s.note(MissingElement, e.path+"/begin", "")
		begin = end
	case !has.has(idEnd):
		r.s.note(MissingElement, e.path+"/end", "")
		end = begin
	}
	if end < begin {
		r.s.note(ReversedPeriod, e.path, "")
		end = begin
	}
	if end-begin >= 36*3600 {
		r.s.note(LongPeriod, e.path, "")
	}
	m := &r.report.Metadata
	m.Begin, m.End = time.Unix(begin, 0).UTC(), time.Unix(end, 0).UTC()
	return nil
}

// timestamp reads seconds since 1970, as begin and end are given.
func (r *Reader) timestamp(k *element, v string) (int64, error) {
	digits, negative := strings.CutPrefix(v, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	n, err := count([]byte(whole))
	if err != nil || whole == "" || strings.Trim(fraction, "0123456789") != "" {
		return 0, r.s.failTag(nil, "%s %q: want seconds since 1970-01-01", k.name, clean([]byte(v)))
	}
	if n > latest {
		return 0, r.s.failTag(nil, "%s %q: is after the year 9999; want seconds since 1970-01-01", k.name, clean([]byte(v)))
	}
	if point {
		r.s.note(FractionalTime, k.path, v)
	}
	if negative && n > 0 {
		r.s.note(NegativeTime, k.path, v)
		n = 0
	}
	return int64(n), nil
}

// policy reads policy_published.
func (r *Reader) policy(e *element) error {
	p := &r.report.PolicyPublished
	for {
		k, err := r.s.child(e)
		if err != nil {
			return err
		}
		if k == nil {
			break
		}
		if r.repeated(k) {
			if err := r.s.discard(k); err != nil {
				return err
			}
			continue
		}
		b, err := r.s.text(k)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			r.in &^= 1 << k.id
			continue
		}
		switch k.id {
		case idDomain:
			p.Domain = r.policyDomain(k, b)
		case idADKIM:
			p.ADKIM = r.oneOf(k, b, alignmentModes)
		case idASPF:
			p.ASPF = r.oneOf(k, b, alignmentModes)
		case idP:
			p.P = r.oneOf(k, b, policies)
		case idSP:
			p.SP = r.oneOf(k, b, policies)
		case idNP:
			p.NP = r.oneOf(k, b, policies)
			r.is9990(k)
		case idPCT:
			p.PCT = r.percent(k, b)
		case idFO:
			p.FO = r.failureOptions(k, b)
		case idTesting:
			p.Testing = r.oneOf(k, b, yesNo)
			r.is9990(k)
		case idDiscovery:
			p.DiscoveryMethod = r.oneOf(k, b, discoveryMethods)
			r.is9990(k)
		}
	}
	if p.Domain == "" {
		return r.s.fail(nil, "policy_published has no domain")
	}
	if r.report.Form == RFC9990 && p.PCT != "" {
		r.s.note(OtherForm, e.path+"/pct", p.PCT)
	}
	r.require(e, requiredPolicy, requiredPolicy9)
	return nil
}

func (r *Reader) policyDomain(k *element, b []byte) string {
	v := r.domain(k, b)
	if _, err := domain.Parse(v); err != nil {
		r.s.noteValue(BadDomain, k.path, b)
	}
	return v
}

// choice is a token and what it stands for: itself, or the registered token
// for what was met in its place.
type choice struct{ written, meant string }

var (
	policies         = []choice{{"none", "none"}, {"quarantine", "quarantine"}, {"reject", "reject"}}
	alignmentModes   = []choice{{"r", "r"}, {"s", "s"}, {"relaxed", "r"}, {"strict", "s"}}
	yesNo            = []choice{{"y", "y"}, {"n", "n"}, {"yes", "y"}, {"no", "n"}}
	discoveryMethods = []choice{{"psl", "psl"}, {"treewalk", "treewalk"}, {"tree-walk", "treewalk"}, {"tree_walk", "treewalk"}}
)

// oneOf reads a token that is one of a few; "" for any other.
func (r *Reader) oneOf(k *element, b []byte, of []choice) string {
	v := r.lower(k, b)
	for _, c := range of {
		if v != c.written {
			continue
		}
		if v != c.meant {
			r.s.note(NonstandardValue, k.path, v)
		}
		return c.meant
	}
	r.s.noteValue(UnknownValue, k.path, b)
	return ""
}

// percent reads pct.
func (r *Reader) percent(k *element, b []byte) string {
	n, err := count(b)
	if err != nil || n > 100 {
		r.s.noteValue(UnknownValue, k.path, b)
		return ""
	}
	return string(b)
}

// failureOptions reads fo: "0", "1", "d" and "s" with colons between them.
func (r *Reader) failureOptions(k *element, b []byte) string {
	v := r.lower(k, b)
	if strings.Trim(v, "01ds:") != "" {
		r.s.noteValue(UnknownValue, k.path, b)
		return ""
	}
	return v
}
