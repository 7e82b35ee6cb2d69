package collect

// Add adds what another import did. Rejected is not nil afterwards.
func (r *Result) Add(o Result) {
	r.Files += o.Files
	r.Reports += o.Reports
	r.Rows += o.Rows
	r.Messages = addMessages(r.Messages, o.Messages)
	r.Duplicates += o.Duplicates
	r.FailureReports += o.FailureReports
	r.FailureDuplicates += o.FailureDuplicates
	r.Rejected = append(r.Rejected, o.Rejected...)
	if r.Rejected == nil {
		r.Rejected = []Rejected{}
	}
}
