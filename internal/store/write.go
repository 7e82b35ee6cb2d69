package store

import "unsafe"

// The columns of table record, in its order.
const (
	recSeq = iota
	recDom
	recOrg
	recFirst
	recDays
	recNet
	recHost
	recCount
	recDisposition
	recDKIMAligned
	recSPFAligned
	recTexts
	recLists = recTexts + rowTexts
)

// filing is where a report's rows are filed.
type filing struct {
	seq      int64
	dom, org uint32
	first    Day
	days     int
}

// appendRecords adds a report's rows to table record.
func appendRecords(a *appender, f filing, r *Rows) error {
	for from := 0; from < r.n; {
		room, err := a.room()
		if err != nil {
			return err
		}
		n := min(room, r.n-from)
		to := from + n
		base := a.pin(r.arena)
		fill(a, recSeq, n, f.seq)
		fill(a, recDom, n, f.dom)
		fill(a, recOrg, n, f.org)
		fill(a, recFirst, n, int32(f.first))
		fill(a, recDays, n, uint16(f.days))
		put(a, recNet, r.net[from:to])
		put(a, recHost, r.host[from:to])
		put(a, recCount, r.count[from:to])
		put(a, recDisposition, r.disposition[from:to])
		put(a, recDKIMAligned, r.dkim[from:to])
		put(a, recSPFAligned, r.spf[from:to])
		for i := range r.texts {
			putTexts(col[text](a, recTexts+i)[a.at:], r.texts[i][from:to], base)
		}
		for i := range r.lists {
			putList(a, recLists+i, &r.lists[i], from, to, base)
		}
		a.at += n
		from = to
	}
	return nil
}

// A text is handed to DuckDB as its string_t.
var _ [16]byte = [unsafe.Sizeof(text{})]byte{}

// The columns of table report, in its order.
const (
	repSeq = iota
	repDom
	repOrg
	repFirst
	repDays
	repRows
	repMessages
	repAligned
	repBegun
	repEnded
	repStored
	repImport
	repPack
	repPos
	repSize
	repTexts
	repErrors     = repTexts + 20
	repDeviations = repErrors + 1
)

// appendHead adds a report to table report.
func appendHead(a *appender, h *head) error {
	if _, err := a.room(); err != nil {
		return err
	}
	r, in := &h.in.Report, h.in
	fill(a, repSeq, 1, h.file.seq)
	fill(a, repDom, 1, h.file.dom)
	fill(a, repOrg, 1, h.file.org)
	fill(a, repFirst, 1, int32(h.file.first))
	fill(a, repDays, 1, uint16(h.file.days))
	fill(a, repRows, 1, h.n)
	fill(a, repMessages, 1, h.totals.Messages)
	fill(a, repAligned, 1, h.totals.Aligned)
	fill(a, repBegun, 1, timestamp(r.Metadata.Begin))
	fill(a, repEnded, 1, timestamp(r.Metadata.End))
	fill(a, repStored, 1, timestamp(h.stored))
	fill(a, repImport, 1, in.Origin.Import)
	fill(a, repPack, 1, h.raw.pack)
	fill(a, repPos, 1, h.raw.pos)
	fill(a, repSize, 1, h.raw.size)

	m, p := &r.Metadata, &r.PolicyPublished
	texts := [repErrors - repTexts]string{
		string(r.Form), r.Version, m.OrgName, m.Email, m.ExtraContactInfo, m.ReportID, m.Generator,
		p.Domain, p.ADKIM, p.ASPF, p.P, p.SP, p.NP, p.PCT, p.FO, p.Testing, p.DiscoveryMethod,
		in.Origin.Path, in.Origin.Member, string(h.raw.encoding),
	}
	var arena []byte // of this report, so that it may be pinned once it is full
	var laid [len(texts)]text
	for i, s := range texts {
		laid[i] = layText(s, &arena)
	}
	errs := list{end: []uint32{uint32(len(m.Errors))}}
	for _, s := range m.Errors {
		errs.fields[0] = append(errs.fields[0], layText(s, &arena))
	}
	devs := list{end: []uint32{uint32(len(r.Deviations))}}
	for i := range r.Deviations {
		d := &r.Deviations[i]
		devs.fields[0] = append(devs.fields[0], layText(string(d.Code), &arena))
		devs.fields[1] = append(devs.fields[1], layText(d.Element, &arena))
		devs.fields[2] = append(devs.fields[2], layText(d.Detail, &arena))
	}
	base := a.pin(arena)
	for i := range laid {
		putText(a, repTexts+i, laid[i], base)
	}
	putList(a, repErrors, &errs, 0, 1, base)
	at := a.cols[repDeviations].size
	putList(a, repDeviations, &devs, 0, 1, base)
	for i := range r.Deviations {
		d := &r.Deviations[i]
		kid[int64](a, repDeviations, 3)[at+i] = int64(d.Line)
		kid[int64](a, repDeviations, 4)[at+i] = d.Offset
		kid[int64](a, repDeviations, 5)[at+i] = d.Times
		kid[uint64](a, repDeviations, 6)[at+i] = d.Messages
	}
	a.at++
	return nil
}

// appendDays adds a report's days to table report_day.
func appendDays(a *appender, h *head) error {
	t := layText(h.in.Report.PolicyPublished.P, new([]byte))
	if t.n > inlineText {
		t = text{} // no policy; report has it in full
	}
	for k, d := range h.days {
		if _, err := a.room(); err != nil {
			return err
		}
		fill(a, 0, 1, h.file.seq)
		fill(a, 1, 1, h.file.dom)
		fill(a, 2, 1, int32(h.file.first)+int32(k))
		fill(a, 3, 1, uint16(k))
		putText(a, 4, t, 0)
		fill(a, 5, 1, d.Messages)
		fill(a, 6, 1, d.Aligned)
		fill(a, 7, 1, d.Quarantined)
		fill(a, 8, 1, d.Rejected)
		a.at++
	}
	return nil
}
