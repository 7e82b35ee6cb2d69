package main

import (
	"bytes"
	"encoding/xml"
	"fmt"

	"sekimori/report/aggregate"
)

func esc(s string) string {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(s))
	return b.String()
}

func el(b *bytes.Buffer, ind, name, v string) {
	if v != "" {
		fmt.Fprintf(b, "%s<%s>%s</%s>\n", ind, name, esc(v), name)
	}
}

// temporary: until report/aggregate's Writer is there
func writeXML(b *bytes.Buffer, r aggregate.Report, records []aggregate.Record) error {
	b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
	if r.Form == aggregate.RFC9990 {
		b.WriteString("<feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\">\n")
	} else {
		b.WriteString("<feedback>\n")
	}
	el(b, "  ", "version", r.Version)
	b.WriteString("  <report_metadata>\n")
	el(b, "    ", "org_name", r.Metadata.OrgName)
	el(b, "    ", "email", r.Metadata.Email)
	el(b, "    ", "extra_contact_info", r.Metadata.ExtraContactInfo)
	el(b, "    ", "report_id", r.Metadata.ReportID)
	fmt.Fprintf(b, "    <date_range>\n      <begin>%d</begin>\n      <end>%d</end>\n    </date_range>\n", r.Metadata.Begin.Unix(), r.Metadata.End.Unix())
	el(b, "    ", "generator", r.Metadata.Generator)
	b.WriteString("  </report_metadata>\n  <policy_published>\n")
	p := r.PolicyPublished
	el(b, "    ", "domain", p.Domain)
	el(b, "    ", "discovery_method", p.DiscoveryMethod)
	el(b, "    ", "adkim", p.ADKIM)
	el(b, "    ", "aspf", p.ASPF)
	el(b, "    ", "p", p.P)
	el(b, "    ", "sp", p.SP)
	el(b, "    ", "pct", p.PCT)
	el(b, "    ", "fo", p.FO)
	b.WriteString("  </policy_published>\n")
	pf := func(x bool) string { return cond(x, "pass", "fail") }
	for _, rec := range records {
		fmt.Fprintf(b, "  <record>\n    <row>\n      <source_ip>%s</source_ip>\n      <count>%d</count>\n      <policy_evaluated>\n        <disposition>%s</disposition>\n        <dkim>%s</dkim>\n        <spf>%s</spf>\n", rec.SourceIP, rec.Count, rec.Disposition, pf(rec.DKIM), pf(rec.SPF))
		for _, x := range rec.Reasons {
			b.WriteString("        <reason>\n")
			el(b, "          ", "type", x.Type)
			el(b, "          ", "comment", x.Comment)
			b.WriteString("        </reason>\n")
		}
		b.WriteString("      </policy_evaluated>\n    </row>\n    <identifiers>\n")
		el(b, "      ", "envelope_to", rec.EnvelopeTo)
		el(b, "      ", "envelope_from", rec.EnvelopeFrom)
		el(b, "      ", "header_from", rec.HeaderFrom)
		b.WriteString("    </identifiers>\n    <auth_results>\n")
		for _, d := range rec.DKIMResults {
			b.WriteString("      <dkim>\n")
			el(b, "        ", "domain", d.Domain)
			el(b, "        ", "selector", d.Selector)
			el(b, "        ", "result", d.Result)
			b.WriteString("      </dkim>\n")
		}
		for _, d := range rec.SPFResults {
			b.WriteString("      <spf>\n")
			el(b, "        ", "domain", d.Domain)
			el(b, "        ", "scope", d.Scope)
			el(b, "        ", "result", d.Result)
			b.WriteString("      </spf>\n")
		}
		b.WriteString("    </auth_results>\n  </record>\n")
	}
	b.WriteString("</feedback>\n")
	return nil
}
