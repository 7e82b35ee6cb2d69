package api

import (
	"context"
	"slices"

	"sekimori/domain"
	"sekimori/internal/advise"
)

// mostNarrowed bounds how many domains of a department are joined.
const mostNarrowed = 200

// Overview is an advisor's overview; for a department (not 0) it is that of
// the domains of which it has a part, with the figures of that part. A
// department that is none is ErrUnknownDepartment.
func (w *Work) Overview(ctx context.Context, a Advisor, days int, department int64) ([]advise.DomainSummary, error) {
	all, err := a.Overview(ctx, days)
	if err != nil || department == 0 {
		return all, err
	}
	if w == nil {
		return nil, ErrUnknownDepartment
	}
	if _, err := w.Department(ctx, department); err != nil {
		return nil, err
	}
	names, err := w.DepartmentDomains(ctx, department)
	if err != nil {
		return nil, err
	}
	var out []advise.DomainSummary
	for _, d := range all {
		if !slices.Contains(names, d.Domain) || len(out) == mostNarrowed {
			continue
		}
		name, err := domain.Parse(d.Domain)
		if err != nil {
			continue
		}
		part, fresh, err := a.Cached(ctx, name, advise.Question{Days: days, Department: department})
		if err != nil {
			return nil, err
		}
		d.Window, d.Messages, d.Aligned, d.Verdict, d.Daily, d.Stale, d.Pending = part.Window, part.Messages, part.Aligned, part.Verdict, part.Daily, !fresh, false
		d.Broken, d.Forwarder, d.Unknown, d.Spoof = 0, 0, 0, 0
		for _, c := range part.Daily {
			d.Broken, d.Forwarder, d.Unknown, d.Spoof = d.Broken+c.Broken, d.Forwarder+c.Forwarder, d.Unknown+c.Unknown, d.Spoof+c.Spoof
		}
		out = append(out, d)
	}
	return out, nil
}
