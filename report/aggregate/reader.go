package aggregate

import (
	"io"
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

	size    int          // bytes of text in the present record
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
// without allocating its buffers again. A nil src is an empty one: the Reader
// then holds on to nothing that it read from.
func (r *Reader) Reset(src io.Reader) {
	if src == nil {
		src = nothing{}
	}
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

// nothing is an empty input.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }

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
