package aggregate

import "strconv"

// record writes a record, in the order of elements that both schemas have.
func (w *Writer) record(r *Record) {
	w.begin(1, "record")
	w.row(r)
	const path = "record/identifiers/"
	w.begin(2, "identifiers")
	w.optional(3, path+"envelope_to", r.EnvelopeTo)
	if w.form == RFC9990 {
		w.optional(3, path+"envelope_from", r.EnvelopeFrom)
	} else {
		w.leaf(3, path+"envelope_from", r.EnvelopeFrom) // required, and empty for bounces
	}
	w.leaf(3, path+"header_from", r.HeaderFrom)
	w.end(2, "identifiers")
	w.begin(2, "auth_results")
	for i := range r.DKIMResults {
		w.dkim(&r.DKIMResults[i])
	}
	switch n := len(r.SPFResults); {
	case n == 0 && w.form == RFC7489:
		w.refuse("record/auth_results/spf", "there is none; %s requires one", w.form)
	case n > 1 && w.form == RFC9990:
		w.refuse("record/auth_results/spf", "there are %d; %s allows one", n, w.form)
	}
	for i := range r.SPFResults {
		w.spf(&r.SPFResults[i])
	}
	w.end(2, "auth_results")
	w.end(1, "record")
}

func (w *Writer) row(r *Record) {
	const path = "record/row/policy_evaluated/"
	if !r.SourceIP.IsValid() || r.SourceIP.Zone() != "" {
		w.refuse("record/row/source_ip", "%q: want an address without a zone", r.SourceIP)
	}
	if w.form == RFC9990 {
		w.among(path+"disposition", string(r.Disposition), "none", "pass", "quarantine", "reject")
	} else {
		w.among(path+"disposition", string(r.Disposition), "none", "quarantine", "reject")
	}
	w.begin(2, "row")
	w.leaf(3, "source_ip", r.SourceIP.Unmap().String())
	w.leaf(3, "count", strconv.FormatUint(r.Count, 10))
	w.begin(3, "policy_evaluated")
	w.leaf(4, "disposition", string(r.Disposition))
	w.leaf(4, "dkim", passed(r.DKIM))
	w.leaf(4, "spf", passed(r.SPF))
	for _, v := range r.Reasons {
		if w.form == RFC9990 {
			w.among(path+"reason/type", v.Type, "local_policy", "mailing_list", "other", "policy_test_mode", "trusted_forwarder")
		} else {
			w.among(path+"reason/type", v.Type, "forwarded", "sampled_out", "trusted_forwarder", "mailing_list", "local_policy", "other")
		}
		w.begin(4, "reason")
		w.leaf(5, path+"reason/type", v.Type)
		w.optional(5, path+"reason/comment", v.Comment)
		w.end(4, "reason")
	}
	w.end(3, "policy_evaluated")
	w.end(2, "row")
}

func passed(ok bool) string {
	if ok {
		return "pass"
	}
	return "fail"
}

func (w *Writer) dkim(v *DKIMResult) {
	const path = "record/auth_results/dkim/"
	w.among(path+"result", v.Result, "none", "pass", "fail", "policy", "neutral", "temperror", "permerror")
	w.begin(3, "dkim")
	w.leaf(4, path+"domain", v.Domain)
	if w.form == RFC9990 {
		w.leaf(4, path+"selector", v.Selector)
	} else {
		w.optional(4, path+"selector", v.Selector)
	}
	w.leaf(4, path+"result", v.Result)
	w.optional(4, path+"human_result", v.HumanResult)
	w.end(3, "dkim")
}

func (w *Writer) spf(v *SPFResult) {
	const path = "record/auth_results/spf/"
	w.begin(3, "spf")
	w.leaf(4, path+"domain", v.Domain)
	if w.form == RFC9990 {
		// RFC 9990 appendix A: only the MAIL FROM identity is reported.
		w.maybe(path+"scope", v.Scope, "mfrom")
		w.among(path+"result", v.Result, "none", "pass", "fail", "softfail", "policy", "neutral", "temperror", "permerror")
		w.optional(4, path+"scope", v.Scope)
	} else {
		w.maybe(path+"scope", v.Scope, "helo", "mfrom")
		w.among(path+"result", v.Result, "none", "neutral", "pass", "fail", "softfail", "temperror", "permerror")
		w.leaf(4, path+"scope", or(v.Scope, "mfrom"))
	}
	w.leaf(4, path+"result", v.Result)
	if w.form == RFC9990 {
		w.optional(4, path+"human_result", v.HumanResult)
	} else {
		w.lacks(path+"human_result", v.HumanResult)
	}
	w.end(3, "spf")
}
