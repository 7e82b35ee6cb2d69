package aggregate

import (
	"io"
	"math"
	"slices"
)

// A Reader reads one report, record by record, in memory that does not grow
// with the report: a window of at most 128 KiB, the head, and one record.
// It reads RFC 7489 appendix C and the drafts before it, and RFC 9990, and
// tells them apart by namespace and elements (Report.Form). It is lenient in
// what real reporters get wrong and notes every such thing as a Deviation;
// what cannot be read with certainty it refuses with a SyntaxError.
//
// A Reader serves one goroutine.
type Reader struct {
	s     scanner
	limit Limits
	words words

	report    Report
	seen      elementSet // of the head: which elements were read whole
	in        elementSet // of the element being read: which children came
	err       error      // sticky
	begun     bool
	versionAt mark
	records   int64
	messages  uint64

	dkim    []DKIMResult // of the present record
	spf     []SPFResult
	reasons []Reason
}

// NewReader returns a Reader of the report in r. The report is XML: r has to
// inflate it, if need be. Reading fails where r fails, and r is read to its
// end before the last Next returns io.EOF.
func NewReader(r io.Reader, l Limits) *Reader {
	rd := new(Reader)
	rd.limit = l.withDefaults()
	rd.Reset(r)
	return rd
}

// Reset makes the Reader read another report, with the same limits and
// without allocating its buffers again.
func (r *Reader) Reset(src io.Reader) {
	l := r.limit.withDefaults()
	words := r.words
	if words.seen == nil {
		words = newWords()
	}
	*r = Reader{
		s: scanner{
			src: src, buf: r.s.buf, scratch: r.s.scratch[:0], open: r.s.open[:0],
			max: l.Bytes, field: l.Field, depth: l.Depth,
			dev: deviations{max: l.Deviations},
		},
		limit: l, words: words,
		dkim: r.dkim[:0], spf: r.spf[:0], reasons: r.reasons[:0],
	}
	r.report.Form = RFC7489
}

// Report returns what is known of the report's head, and whether that is all
// of it: true once report_metadata and policy_published were both read, which
// both forms place before the first record. The deviations are those met so
// far; after Next has returned io.EOF the Report is final.
func (r *Reader) Report() (Report, bool) {
	rep := r.report
	rep.Metadata.Errors = slices.Clone(rep.Metadata.Errors)
	rep.Deviations = slices.Clone(r.s.dev.list)
	return rep, r.whole()
}

// Offset returns how many bytes of XML were read, counted as UTF-8.
func (r *Reader) Offset() int64 { return r.s.base + int64(r.s.pos) }

// Next reads the next record into rec, all of it. Its slices are valid until
// the next call, its strings for ever; domains are in lower case and in
// A-labels, without a trailing dot. Records that name no sender are left out
// (SkippedRow). At the end of a report that is whole the error is io.EOF; any
// other error stays, and means that the report as a whole is refused.
func (r *Reader) Next(rec *Record) error {
	if r.err == nil {
		r.err = r.next(rec)
	}
	return r.err
}

func (r *Reader) next(rec *Record) error {
	if !r.begun {
		r.begun = true
		namespace, err := r.s.prolog()
		if err != nil {
			return err
		}
		switch namespace {
		case namespace9990:
			r.report.Form = RFC9990
			r.s.foreign = true
		case "", namespace7489:
		default:
			r.s.note(OtherNamespace, "", clean([]byte(namespace)))
		}
	}
	for {
		k, err := r.s.child(root)
		if err != nil {
			return err
		}
		if k == nil {
			return r.finish()
		}
		if k.id == idRecord {
			if r.records++; r.records > r.limit.Records {
				return r.s.failTag(ErrLimit, "report has more than %d records", r.limit.Records)
			}
			if r.records == largeAt {
				r.words.grow()
			}
			kept, err := r.record(k, rec)
			if err != nil {
				return err
			}
			if kept {
				return nil
			}
			continue
		}
		if err := r.head(k); err != nil {
			return err
		}
	}
}

// finish is for the end of the report: what is still missing then is missing.
func (r *Reader) finish() error {
	for _, need := range []struct {
		id   elementID
		name string
	}{{idMetadata, "report_metadata"}, {idPolicy, "policy_published"}} {
		if !r.seen.has(need.id) {
			return r.s.fail(nil, "report has no <%s>", need.name)
		}
	}
	if r.records == 0 {
		r.s.note(NoRecords, "record", "")
	}
	if err := r.s.epilog(); err != nil {
		return err
	}
	return io.EOF
}

// is9990 settles the form: e is an element that only RFC 9990 has.
func (r *Reader) is9990(e *element) {
	if r.report.Form == RFC9990 {
		return
	}
	r.report.Form = RFC9990
	r.s.foreign = true
	r.s.note(MissingNamespace, "", e.name)
}

// repeated tells whether e, which comes once, came already in its element, and
// notes that.
func (r *Reader) repeated(e *element) bool {
	if r.in.has(e.id) {
		r.s.note(RepeatedElement, e.path, "")
		return true
	}
	r.in.add(e.id)
	return false
}

// need notes every one of those elements of e that did not come, or came
// empty.
func (r *Reader) need(e *element, required elementSet) {
	missing := required &^ r.in
	if missing == 0 {
		return
	}
	for _, k := range e.kids {
		if missing.has(k.id) {
			r.s.note(MissingElement, k.path, "")
		}
	}
}

// setOf makes a set.
func setOf(ids ...elementID) (s elementSet) {
	for _, id := range ids {
		s.add(id)
	}
	return s
}

// What is required of a record's elements, besides what makes it be skipped.
var (
	requiredEvaluated       = setOf(idDisposition, idAlignedDKIM, idAlignedSPF)
	requiredIdentifiers7489 = setOf(idHeaderFrom, idEnvelopeFrom)
	requiredIdentifiers9990 = setOf(idHeaderFrom)
	requiredDKIM7489        = setOf(idDKIMDomain, idDKIMResult)
	requiredDKIM9990        = setOf(idDKIMDomain, idDKIMResult, idDKIMSelector)
	requiredSPF7489         = setOf(idSPFDomain, idSPFResult, idSPFScope)
	requiredSPF9990         = setOf(idSPFDomain, idSPFResult)
	childrenOfEvaluated     = setOf(idDisposition, idAlignedDKIM, idAlignedSPF)
	childrenOfReason        = setOf(idReasonType, idReasonComment)
	childrenOfDKIM          = setOf(idDKIMDomain, idDKIMSelector, idDKIMResult, idDKIMHuman)
	childrenOfSPF           = setOf(idSPFDomain, idSPFScope, idSPFResult, idSPFHuman)
)

func (r *Reader) require(e *element, old, new elementSet) {
	if r.report.Form == RFC9990 {
		old = new
	}
	if old&^r.in != 0 {
		r.need(e, old)
	}
}

// record reads one record and tells whether it is to be kept.
func (r *Reader) record(e *element, rec *Record) (kept bool, err error) {
	*rec = Record{Disposition: DispositionNone}
	r.in = 0
	r.dkim, r.spf, r.reasons = r.dkim[:0], r.spf[:0], r.reasons[:0]
	var row rowState
	for {
		k, err := r.s.child(e)
		if err != nil {
			return false, err
		}
		if k == nil {
			break
		}
		if r.repeated(k) {
			err = r.s.discard(k)
		} else {
			switch k.id {
			case idRow:
				err = r.row(k, rec, &row)
			case idIdentifiers:
				err = r.identifiers(k, rec)
			case idAuthResults:
				err = r.authResults(k)
			}
		}
		if err != nil {
			return false, err
		}
	}
	if !rec.SourceIP.IsValid() || !row.counted {
		r.skipRow(rec, &row)
		return false, nil
	}
	if rec.Count > math.MaxInt64-r.messages {
		return false, r.s.fail(nil, "the counts of the report add up to more than %d messages", int64(math.MaxInt64))
	}
	r.messages += rec.Count
	if rec.Count == 0 {
		r.s.note(ZeroCount, "record/row/count", "")
	}
	const all = 1<<idRow | 1<<idIdentifiers | 1<<idAuthResults
	if r.in&all != all {
		r.need(e, all)
	}
	if len(r.dkim) > 0 {
		rec.DKIMResults = r.dkim
	}
	if len(r.spf) > 0 {
		rec.SPFResults = r.spf
	}
	if len(r.reasons) > 0 {
		rec.Reasons = r.reasons
	}
	return true, nil
}

// rowState is what decides whether a row can be kept.
type rowState struct {
	counted bool
	address string // as sent, where it is no address
}

// skipRow notes a row that does not say who sent or how many.
func (r *Reader) skipRow(rec *Record, row *rowState) {
	path, detail := "record/row/source_ip", row.address
	if rec.SourceIP.IsValid() {
		path, detail = "record/row/count", rec.SourceIP.String()
	}
	v := r.s.note(SkippedRow, path, detail)
	if v.Code == SkippedRow && row.counted {
		v.Messages = min(v.Messages, math.MaxInt64) + min(rec.Count, math.MaxInt64)
	}
}

// row reads row: address, count and policy_evaluated.
func (r *Reader) row(e *element, rec *Record, row *rowState) error {
	for {
		k, err := r.s.child(e)
		if err != nil {
			return err
		}
		if k == nil {
			if !r.in.has(idEvaluated) {
				r.need(e, 1<<idEvaluated)
			}
			return nil
		}
		if r.repeated(k) {
			if err := r.s.discard(k); err != nil {
				return err
			}
			continue
		}
		if k.id == idEvaluated {
			if err := r.evaluated(k, rec); err != nil {
				return err
			}
			continue
		}
		b, err := r.s.text(k)
		if err != nil {
			return err
		}
		switch k.id {
		case idSourceIP:
			addr, ok := address(b)
			if ok {
				rec.SourceIP = addr
			} else {
				row.address = clean(b)
			}
		case idCount:
			if len(b) == 0 {
				break
			}
			n, err := count(b)
			if err != nil {
				return r.s.failTag(nil, "count %q: %v", clean(b), err)
			}
			rec.Count, row.counted = n, true
		}
	}
}

// evaluated reads policy_evaluated.
func (r *Reader) evaluated(e *element, rec *Record) error {
	r.in &^= childrenOfEvaluated
	for {
		k, err := r.s.child(e)
		if err != nil {
			return err
		}
		if k == nil {
			break
		}
		if k.id == idReason {
			if err := r.reason(k); err != nil {
				return err
			}
			continue
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
		case idDisposition:
			rec.Disposition = r.disposition(k, b)
		case idAlignedDKIM:
			rec.DKIM = r.aligned(k, b)
		case idAlignedSPF:
			rec.SPF = r.aligned(k, b)
		}
	}
	if requiredEvaluated&^r.in != 0 {
		r.need(e, requiredEvaluated)
	}
	return nil
}

// reason reads one reason.
func (r *Reader) reason(e *element) error {
	r.in &^= childrenOfReason
	var v Reason
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
		switch k.id {
		case idReasonType:
			v.Type = r.reasonType(k, b)
		case idReasonComment:
			v.Comment = r.words.text(k, b)
		}
	}
	switch {
	case v == Reason{}:
		r.s.note(EmptyReason, e.path, "")
	case len(r.reasons) >= r.limit.Reasons:
		r.s.note(ListCut, e.path, "")
	default:
		if v.Type == "" {
			r.s.note(MissingElement, "record/row/policy_evaluated/reason/type", "")
		}
		r.reasons = append(r.reasons, v)
	}
	return nil
}

// identifiers reads identifiers.
func (r *Reader) identifiers(e *element, rec *Record) error {
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
		case idHeaderFrom:
			rec.HeaderFrom = r.domain(k, b)
		case idEnvelopeFrom:
			rec.EnvelopeFrom = r.domain(k, b)
		case idEnvelopeTo:
			rec.EnvelopeTo = r.domain(k, b)
		}
	}
	r.require(e, requiredIdentifiers7489, requiredIdentifiers9990)
	return nil
}

// authResults reads auth_results.
func (r *Reader) authResults(e *element) error {
	for {
		k, err := r.s.child(e)
		if err != nil {
			return err
		}
		if k == nil {
			break
		}
		full := len(r.dkim)+len(r.spf) >= r.limit.Results
		switch {
		case full:
			r.s.note(ListCut, e.path, "")
			err = r.s.discard(k)
		case k.id == idDKIM:
			err = r.dkimResult(k)
		default:
			err = r.spfResult(k)
		}
		if err != nil {
			return err
		}
	}
	if len(r.spf) == 0 && r.report.Form == RFC7489 {
		r.s.note(MissingElement, "record/auth_results/spf", "")
	}
	return nil
}

// dkimResult reads the result of one signature.
func (r *Reader) dkimResult(e *element) error {
	r.in &^= childrenOfDKIM
	v := DKIMResult{Result: "none"}
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
		case idDKIMDomain:
			v.Domain = r.domain(k, b)
		case idDKIMSelector:
			v.Selector = r.words.text(k, b)
		case idDKIMResult:
			v.Result = r.dkimToken(k, b)
		case idDKIMHuman:
			v.HumanResult = r.words.text(k, b)
		}
	}
	r.require(e, requiredDKIM7489, requiredDKIM9990)
	r.dkim = append(r.dkim, v)
	return nil
}

// spfResult reads the result of one SPF check.
func (r *Reader) spfResult(e *element) error {
	if len(r.spf) == 1 && r.report.Form == RFC9990 {
		r.s.note(OtherForm, e.path, "")
	}
	r.in &^= childrenOfSPF
	v := SPFResult{Result: "none"}
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
		case idSPFDomain:
			v.Domain = r.domain(k, b)
		case idSPFScope:
			v.Scope = r.scope(k, b)
		case idSPFResult:
			v.Result = r.spfToken(k, b)
		case idSPFHuman:
			if r.report.Form == RFC7489 {
				r.s.note(OtherForm, k.path, "")
			}
			v.HumanResult = r.words.text(k, b)
		}
	}
	r.require(e, requiredSPF7489, requiredSPF9990)
	r.spf = append(r.spf, v)
	return nil
}
