package aggregate

// Limits bound what one report may cost. A field that is zero or negative
// stands for its default.
type Limits struct {
	// Bytes of XML, inflated and as UTF-8. Default 8 GiB. More is an error.
	Bytes int64
	// Records of a report. Default 50,000,000. More is an error.
	Records int64
	// Depth of nested elements; a report needs 6. Default 32. More is an error.
	Depth int
	// Field is the most bytes of one text, comment or CDATA section, wherever
	// it stands. Default 64 KiB. More is an error.
	Field int
	// Record is the most bytes of text in one record that are kept, so that a
	// record costs no more memory than that. Default 1 MiB. More is an error.
	Record int
	// Results is how many DKIM and SPF results of a record are kept, together.
	// Default 200 (RFC 9990 §3.1.3 has senders stop at 100 signatures). More
	// is a deviation.
	Results int
	// Reasons is how many override reasons of a record are kept, and how many
	// errors of a report. Default 20. More is a deviation.
	Reasons int
	// Deviations is how many kinds of deviation are kept. Default 100. More
	// are counted in a last one, MoreDeviations.
	Deviations int
}

// withDefaults fills in the defaults.
func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 8 << 30
	}
	if l.Records <= 0 {
		l.Records = 50_000_000
	}
	if l.Depth <= 0 {
		l.Depth = 32
	}
	if l.Field <= 0 {
		l.Field = 64 << 10
	}
	if l.Record <= 0 {
		l.Record = 1 << 20
	}
	if l.Results <= 0 {
		l.Results = 200
	}
	if l.Reasons <= 0 {
		l.Reasons = 20
	}
	if l.Deviations <= 0 {
		l.Deviations = 100
	}
	return l
}
