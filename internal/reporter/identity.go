package reporter

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sekimori/dmarc"
	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
)

// policyKey tells a policy from the others of a day. It depends on nothing
// else, so that a day has one report on it whatever the options become.
func policyKey(p verdict.Policy) string {
	sum := sha256.Sum256([]byte(p.Domain + "\x00" + p.Text + "\x00" + p.Method))
	return hex.EncodeToString(sum[:16])
}

// reportID names the report of a day on a policy. It is the same whenever it is
// made: of the same day, policy and reporter. It has letters and digits only,
// so that it is the same in the report, the subject and the file name (RFC 9990
// §3.1.4, §3.5.1, §3.5.2).
func (o *Options) reportID(day string, p verdict.Policy) string {
	h := sha256.New()
	for _, s := range []string{day, p.Domain, p.Text, p.Method, o.Organization, o.Email} {
		// With its length in front, no part can be taken for another.
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return strings.ReplaceAll(day, "-", "") + hex.EncodeToString(h.Sum(nil)[:12])
}

// period is what a report about a day says of it: its first and its last
// second. RFC 9990 leaves open whether the end is the last moment inside or the
// first outside; nearly all reporters write 23:59:59, and so does its example.
func period(day string) (begin, end time.Time, err error) {
	begin, err = time.ParseInLocation(time.DateOnly, day, time.UTC)
	if err != nil {
		return begin, end, fmt.Errorf("day %q: want one like 2026-11-22 (UTC)", day)
	}
	return begin, begin.Add(24*time.Hour - time.Second), nil
}

// dayOf is the UTC day of a time.
func dayOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// head is a report's head. The record is the policy's text, read.
func (o *Options) head(day string, p verdict.Policy, rec *dmarc.Record) (aggregate.Report, error) {
	begin, end, err := period(day)
	if err != nil {
		return aggregate.Report{}, err
	}
	rep := aggregate.Report{
		Form: o.Form, Version: "1.0",
		Metadata: aggregate.Metadata{
			OrgName: o.Organization, Email: o.Email, ExtraContactInfo: o.Contact,
			ReportID: o.reportID(day, p), Begin: begin, End: end,
		},
		PolicyPublished: published(o.Form, p, rec),
	}
	if o.Form == aggregate.RFC9990 {
		rep.Metadata.Generator = o.Generator
	}
	if text := faults(rec); text != "" {
		rep.Metadata.Errors = []string{text}
	}
	return rep, nil
}

// faults says in a line what is wrong with the record (RFC 9990 §3.1.5); empty
// where nothing is.
func faults(rec *dmarc.Record) string {
	const most = 5
	var all []string
	for i, f := range rec.Faults {
		if i == most {
			all = append(all, "…")
			break
		}
		all = append(all, clean(f.Error()))
	}
	return strings.Join(all, "; ")
}

// published is the policy as it was applied: what the record says, or the
// default (RFC 9990 §3.1.1.5), so that a reader need not know which tag falls
// back to which. A record whose policies are not all valid counted as p=none,
// for its rua's sake (RFC 9989 §4.10.1).
func published(form aggregate.Form, p verdict.Policy, rec *dmarc.Record) aggregate.PolicyPublished {
	eff, sp, np := rec.Effective()
	byList := p.Method == string(dmarc.PSL)
	if rec.P == "" || rec.SP == "" && rec.Has("sp") || !byList && rec.NP == "" && rec.Has("np") {
		eff, sp, np = dmarc.None, dmarc.None, dmarc.None
	}
	out := aggregate.PolicyPublished{Domain: p.Domain, P: string(eff), SP: string(sp), ADKIM: string(rec.ADKIM), ASPF: string(rec.ASPF), FO: rec.FO.String()}
	if form == aggregate.RFC7489 {
		// Historic, and not applied (RFC 9989 §9.3); this form wants it as published.
		out.PCT = strconv.Itoa(rec.Pct)
		return out
	}
	if !byList { // RFC 7489 knows no np
		out.NP = string(np)
	}
	out.Testing = "n"
	if rec.Testing {
		out.Testing = "y"
	}
	switch p.Method {
	case string(dmarc.PSL), string(dmarc.TreeWalk):
		out.DiscoveryMethod = p.Method
	}
	return out
}
