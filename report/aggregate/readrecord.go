package aggregate

import "math"

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

// fields reads the children of e, which are all leaves that come once, and
// hands over each that is not empty. Until then r.in holds none of them.
func (r *Reader) fields(e *element, take func(k *element, b []byte)) error {
	for {
		k, err := r.s.child(e)
		if err != nil {
			return err
		}
		if k == nil {
			return nil
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
		if r.size += len(b); r.size > r.limit.Record {
			return r.s.failTag(ErrLimit, "texts of the record are longer than %d bytes", r.limit.Record)
		}
		take(k, b)
	}
}

// record reads one record and tells whether it is to be kept.
func (r *Reader) record(e *element, rec *Record) (kept bool, err error) {
	*rec = Record{Disposition: DispositionNone}
	r.in, r.size = 0, 0
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
	err := r.fields(e, func(k *element, b []byte) {
		switch k.id {
		case idReasonType:
			v.Type = r.reasonType(k, b)
		case idReasonComment:
			v.Comment = r.words.text(k, b)
		}
	})
	if err != nil {
		return err
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
	err := r.fields(e, func(k *element, b []byte) {
		switch k.id {
		case idHeaderFrom:
			rec.HeaderFrom = r.domain(k, b)
		case idEnvelopeFrom:
			rec.EnvelopeFrom = r.domain(k, b)
		case idEnvelopeTo:
			rec.EnvelopeTo = r.domain(k, b)
		}
	})
	if err != nil {
		return err
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
	err := r.fields(e, func(k *element, b []byte) {
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
	})
	if err != nil {
		return err
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
	err := r.fields(e, func(k *element, b []byte) {
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
	})
	if err != nil {
		return err
	}
	r.require(e, requiredSPF7489, requiredSPF9990)
	r.spf = append(r.spf, v)
	return nil
}
